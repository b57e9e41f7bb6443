//! Which clusters, which manifests, and how a cluster is reached: each way that a kubeconfig or a flag can say it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simcluster::{Options, Simulation};
use testkit::{Answer, Sandbox, copy_tree, program, workspace_root};

use crate::proxy::ConnectProxy;
use crate::server::{Certificate, Server};

fn config_map(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default, labels: {{{labels}}}}}\ndata: {{a: b}}\n"
    )
}

/// A sandbox with a kubeconfig and a ConfigMap for each of the clusters.
fn sandbox(simulation: &Simulation) -> Sandbox {
    let sandbox = Sandbox::new();
    for name in simulation.names() {
        sandbox.write(format!("configs/{name}.yaml"), simulation.kubeconfig(name).unwrap());
        sandbox.write(format!("manifests/{name}/a.yaml"), config_map("a", "app: a"));
    }
    sandbox
}

fn deploy(sandbox: &Sandbox, flags: &[&str]) -> Answer {
    let call = program("deployer").args(["-m", "manifests", "--output", "json"]).args(flags);
    let configs = !flags.contains(&"--in-cluster");
    sandbox.run(if configs { call.args(["--configs", "configs"]) } else { call })
}

/// The names of the clusters that were deployed to.
fn clusters(answer: &Answer) -> Vec<String> {
    let names = |cluster: &Value| cluster["name"].as_str().unwrap().to_owned();
    answer.json()["clusters"].as_array().unwrap().iter().map(names).collect()
}

/// The names of the objects that were deployed to the first cluster.
fn objects(answer: &Answer) -> Vec<String> {
    let names = |object: &Value| object["name"].as_str().unwrap().to_owned();
    answer.json()["clusters"][0]["objects"].as_array().unwrap().iter().map(names).collect()
}

#[test]
fn a_proxy_of_the_kubeconfig_stands_before_its_cluster() {
    let simulation = Simulation::start(Options::named(["a", "b"])).unwrap();
    let sandbox = sandbox(&simulation);
    let (http, socks) = (ConnectProxy::http(), ConnectProxy::socks5());
    for (name, proxy) in [("a", &http), ("b", &socks)] {
        let text = simulation.kubeconfig(name).unwrap();
        let proxied = text.replace("    server:", &format!("    proxy-url: {}\n    server:", proxy.url()));
        sandbox.write(format!("configs/{name}.yaml"), proxied);
    }
    deploy(&sandbox, &[]).success();
    for (name, proxy) in [("a", &http), ("b", &socks)] {
        let text = simulation.kubeconfig(name).unwrap();
        let server = text.lines().find_map(|line| line.trim().strip_prefix("server: https://")).unwrap();
        let asked = proxy.asked_for();
        assert!(!asked.is_empty() && asked.iter().all(|asked| asked == server), "{asked:?}, not {server}");
    }
    // A proxy that is not there is the trouble, not the cluster.
    let text = simulation.kubeconfig("a").unwrap();
    let proxied = text.replace("    server:", "    proxy-url: http://user:hunter2@127.0.0.1:1\n    server:");
    sandbox.write("configs/a.yaml", proxied);
    let answer = deploy(&sandbox, &["--cluster", "a"]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(!answer.to_string().contains("hunter2"), "{answer}");
}

#[test]
fn the_name_that_the_certificate_must_have_can_be_another_than_the_address() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = sandbox(&simulation);
    let named = |name: &str| {
        let text = simulation.kubeconfig("a").unwrap();
        text.replace("    server:", &format!("    tls-server-name: {name}\n    server:"))
    };
    sandbox.write("configs/a.yaml", named("kubernetes.default.svc"));
    deploy(&sandbox, &[]).success();
    sandbox.write("configs/a.yaml", named("other.example.com"));
    let answer = deploy(&sandbox, &[]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(
        answer.stdout.contains("the server's certificate is not for `other.example.com` but for"),
        "{answer}"
    );
}

#[test]
fn every_context_of_a_file_can_be_a_cluster() {
    let simulation = Simulation::start(Options::named(["a", "b"])).unwrap();
    let sandbox = sandbox(&simulation);
    // One file with both, as `kubectl config view --flatten` gives it.
    let [a, b] = ["a", "b"].map(|name| simulation.kubeconfig(name).unwrap());
    let part = |text: &str, from: &str, to: &str| {
        let start = text.find(from).unwrap() + from.len();
        let end = text[start..].find(to).unwrap() + start;
        text[start..end].to_owned()
    };
    let mut both = "apiVersion: v1\nkind: Config\ncurrent-context: a\n".to_owned();
    for (from, to) in
        [("clusters:\n", "users:"), ("users:\n", "contexts:"), ("contexts:\n", "current-context")]
    {
        both.push_str(&format!("{from}{}{}", part(&a, from, to), part(&b, from, to)));
    }
    std::fs::remove_file(sandbox.join("configs/b.yaml")).unwrap();
    sandbox.write("configs/a.yaml", both);
    assert_eq!(clusters(&deploy(&sandbox, &["--allow-missing"]).success()), ["a"], "the current one");
    let answer = deploy(&sandbox, &["--all-contexts"]).success();
    assert_eq!(clusters(&answer), ["a", "b"]);
    assert_eq!(answer.json()["clusters"][1]["counts"]["created"], 1, "{answer}");
}

#[test]
fn a_pod_deploys_to_its_own_cluster_by_its_service_account() {
    use base64::Engine as _;
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = sandbox(&simulation);
    let kubeconfig = simulation.kubeconfig("a").unwrap();
    let value = |key: &str| {
        kubeconfig.lines().find_map(|line| line.trim().strip_prefix(key)).unwrap().trim().to_owned()
    };
    let ca = base64::engine::general_purpose::STANDARD.decode(value("certificate-authority-data:")).unwrap();
    sandbox.write("account/ca.crt", ca);
    sandbox.write("account/token", format!("{}\n", value("token:")));
    sandbox.write("account/namespace", "default");
    sandbox.write("manifests/home/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: here}\n");
    let address = value("server: https://");
    let (host, port) = address.rsplit_once(':').unwrap();
    let run = |flags: &[&str], host: Option<&str>| {
        let mut call =
            program("deployer").args(["-m", "manifests", "--output", "json", "--in-cluster", "home"]);
        call = call.env("KIT_SERVICE_ACCOUNT_DIR", "account").env("KUBERNETES_SERVICE_PORT", port);
        if let Some(host) = host {
            call = call.env("KUBERNETES_SERVICE_HOST", host);
        }
        sandbox.run(call.args(flags))
    };
    let answer = run(&["--allow-missing"], Some(host)).success();
    assert_eq!((clusters(&answer), objects(&answer)), (vec!["home".to_owned()], vec!["here".to_owned()]));
    assert_eq!(answer.json()["clusters"][0]["objects"][0]["namespace"], "default");
    // Beside others.
    assert_eq!(clusters(&run(&["--configs", "configs"], Some(host)).success()), ["a", "home"]);
    let outside = run(&["--allow-missing"], None);
    assert_eq!(outside.exit_code, 2, "{outside}");
    assert!(outside.stderr.contains("not in a cluster: `KUBERNETES_SERVICE_HOST` is not set"), "{outside}");
    // Its name is one among others.
    sandbox.write("configs/home.yaml", kubeconfig.replace("  name: a\nclusters", "  name: home\nclusters"));
    let twice = run(&["--configs", "configs"], Some(host));
    assert_eq!(twice.exit_code, 2, "{twice}");
    assert!(twice.stderr.contains("gives a name that a kubeconfig has: `home`"), "{twice}");
}

#[test]
fn servers_without_aggregated_discovery_are_asked_group_by_group() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = sandbox(&simulation);
    sandbox.write(
        "manifests/a/budget.yaml",
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b, namespace: default}\n\
         spec: {maxUnavailable: 1, selector: {matchLabels: {app: a}}}\n",
    );
    simulation.set_old_discovery("a");
    let answer = deploy(&sandbox, &[]).success();
    assert_eq!(answer.json()["clusters"][0]["counts"]["created"], 2, "{answer}");
    let answer = deploy(&sandbox, &[]).success();
    assert_eq!(answer.json()["clusters"][0]["counts"]["unchanged"], 2, "{answer}");
    // The groups, the one that is used, the inventory, a list of each kind.
    assert_eq!(answer.json()["clusters"][0]["requests"], 5, "{answer}");
}

#[test]
fn who_is_impersonated_and_who_asks_is_sent_with_every_request() {
    let refusal = r#"{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,"message":"no"}"#;
    for (user, expected) in [
        (
            "{token: t, as: jane, as-uid: '7', as-groups: [devs, ops], as-user-extra: {example.com/Reason: [why]}}",
            vec![
                "authorization: Bearer t",
                "impersonate-user: jane",
                "impersonate-uid: 7",
                "impersonate-group: devs",
                "impersonate-group: ops",
                "impersonate-extra-example.com%2freason: why",
            ],
        ),
        // base64 of `ann:a:b`.
        ("{username: ann, password: 'a:b'}", vec!["authorization: Basic YW5uOmE6Yg=="]),
    ] {
        let server = Server::start(Certificate::Good, "403 Forbidden", refusal);
        let sandbox = Sandbox::new();
        sandbox.write("manifests/a/a.yaml", config_map("a", ""));
        sandbox.write(
            "configs/a.yaml",
            format!(
                "kind: Config\nmetadata: {{name: a}}\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
                 clusters: [{{name: k, cluster: {{server: '{}', certificate-authority-data: {}}}}}]\nusers: [{{name: u, user: {user}}}]\n",
                server.url, server.ca
            ),
        );
        assert_eq!(deploy(&sandbox, &[]).exit_code, 1);
        let requests = server.requests();
        assert!(!requests.is_empty());
        for request in requests {
            for line in &expected {
                assert!(request.lines().any(|found| found == *line), "{line} is not in\n{request}");
            }
        }
    }
}

#[test]
fn a_plugin_that_hangs_costs_its_own_cluster_the_time_it_may_take_and_the_others_none() {
    let simulation = Simulation::start(Options::named(["a", "b"])).unwrap();
    let sandbox = sandbox(&simulation);
    let text = simulation.kubeconfig("a").unwrap();
    let token = text.lines().find(|line| line.trim().starts_with("token:")).unwrap();
    let exec = "    exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sleep, args: ['60']}";
    sandbox.write("configs/a.yaml", text.replace(token, exec));
    let started = Instant::now();
    let answer = deploy(&sandbox, &["--plugin-timeout", "1s"]);
    assert!(started.elapsed() < Duration::from_secs(15), "{answer}");
    assert_eq!(answer.exit_code, 4, "{answer}");
    let causes = answer.json()["clusters"][0]["trouble"]["causes"].to_string();
    assert!(causes.contains("did not answer within 1 s: sleep"), "{answer}");
    assert_eq!(answer.json()["clusters"][1]["state"], "done", "{answer}");
}

#[test]
fn what_has_no_counterpart_is_left_out_on_request() {
    let simulation = Simulation::start(Options::named(["a", "b"])).unwrap();
    let sandbox = sandbox(&simulation);
    std::fs::remove_dir_all(sandbox.join("manifests/b")).unwrap();
    sandbox.write("manifests/c/a.yaml", config_map("a", ""));
    let refused = deploy(&sandbox, &[]);
    assert_eq!(refused.exit_code, 2, "{refused}");
    assert!(refused.stderr.contains("`b`") && refused.stderr.contains("`c`"), "both are named: {refused}");
    assert_eq!(clusters(&deploy(&sandbox, &["--allow-missing"]).success()), ["a"]);
    // What was not asked for is not missed.
    assert_eq!(clusters(&deploy(&sandbox, &["--cluster", "a"]).success()), ["a"]);
}

#[test]
fn clusters_are_chosen_by_names_globs_and_lists() {
    let simulation = Simulation::start(Options::named(["dev-1", "eu-1", "eu-2", "us-1"])).unwrap();
    let sandbox = sandbox(&simulation);
    let chosen = |flags: &[&str]| clusters(&deploy(&sandbox, &[&["--dry-run"], flags].concat()).success());
    assert_eq!(chosen(&["--cluster", "eu-*"]), ["eu-1", "eu-2"]);
    assert_eq!(chosen(&["--cluster", "us-1,dev-?", "--cluster", "{eu,xx}-1"]), ["dev-1", "eu-1", "us-1"]);
    assert_eq!(chosen(&["--cluster", "[de]*-1"]), ["dev-1", "eu-1"]);
    sandbox.write("list.json", r#"["us-1", "eu-2"]"#);
    assert_eq!(chosen(&["--clusters-from", "list.json"]), ["eu-2", "us-1"]);
    assert_eq!(chosen(&["--clusters-from", "list.json", "--cluster", "eu-*"]), ["eu-2"]);
}

#[test]
fn manifests_are_chosen_by_labels_in_the_grammar_of_kubernetes() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = sandbox(&simulation);
    let all = [
        config_map("api", "app: api, tier: web"),
        config_map("canary", "app: api, tier: web, canary: 'true'"),
        config_map("edge", "app: edge, tier: edge"),
        config_map("plain", ""),
    ];
    sandbox.write("manifests/a/a.yaml", all.join("---\n"));
    sandbox.write("namespaces/a/ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n");
    let chosen =
        |selector: &str| objects(&deploy(&sandbox, &["--dry-run", "--selector", selector]).success());
    assert_eq!(chosen("app=api,tier in (web, edge),!canary"), ["api"]);
    assert_eq!(chosen("app"), ["api", "canary", "edge"]);
    assert_eq!(chosen("app notin (edge)"), ["api", "canary", "plain"]);
    assert_eq!(chosen("app != api"), ["edge", "plain"]);
    assert_eq!(chosen("app==edge"), ["edge"]);
    assert_eq!(chosen(""), ["api", "canary", "edge", "plain"]);
    // Namespaces of `--namespaces-dir` are there for whatever is chosen.
    let with = deploy(&sandbox, &["--dry-run", "-l", "app=edge", "--namespaces-dir", "namespaces"]).success();
    assert_eq!(objects(&with), ["other", "edge"], "{with}");
    let nothing = deploy(&sandbox, &["--selector", "app=nothing"]);
    assert_eq!(nothing.exit_code, 2, "{nothing}");
    assert!(nothing.stderr.contains("no manifest has such labels"), "{nothing}");
}

#[test]
fn a_resource_is_chosen_by_what_deploymentizer_recorded_or_by_its_label_and_labelled() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = sandbox(&simulation);
    let entry = |resource: &str| json!({"resource": resource, "source": "s", "digest": ""});
    let index = json!({"version": 1, "cluster": "a", "files": {"cart.yaml": entry("cart"), "api.yaml": entry("api")}});
    sandbox.write("manifests/a/.kit-index.json", index.to_string());
    sandbox.write("manifests/a/a.yaml", config_map("unrecorded", ""));
    sandbox.write("manifests/a/cart.yaml", config_map("cart", "resource: mine"));
    sandbox.write("manifests/a/api.yaml", config_map("api", ""));
    sandbox.write("manifests/a/label.yaml", config_map("labelled", "resource: other"));
    let chosen =
        |resource: &str| objects(&deploy(&sandbox, &["--dry-run", "--resource", resource]).success());
    assert_eq!(chosen("cart"), ["unrecorded", "cart"]);
    assert_eq!(chosen("other"), ["unrecorded", "labelled"]);
    assert_eq!(chosen(""), ["unrecorded", "api", "cart", "labelled"]);
    std::fs::remove_file(sandbox.join("manifests/a/a.yaml")).unwrap();
    let nothing = deploy(&sandbox, &["--resource", "crat"]);
    assert_eq!(nothing.exit_code, 2, "{nothing}");
    assert!(nothing.stderr.contains("hint: there are `api`, `cart`"), "{nothing}");

    let shown = deploy(&sandbox, &["--resource", "api", "--plan-out", "plan.json"]).success();
    assert_eq!(objects(&shown), ["api"]);
    deploy(&sandbox, &["--resource", "api"]).success();
    let running = deploy(&sandbox, &["--resource", "api"]).success();
    assert_eq!(running.json()["clusters"][0]["counts"]["unchanged"], 1, "{running}");
}

#[test]
fn the_clusters_that_deploymentizer_has_rendered_are_piped_in() {
    let names = ["dev-1", "eu-1", "us-1"];
    let simulation = Simulation::start(Options::named(names)).unwrap();
    let sandbox = sandbox(&simulation);
    copy_tree(&workspace_root().join("testdata/manifests"), &sandbox.join("repository"));
    let render = program("deploymentizer").args(["--conf", "repository/kit.yaml", "--output", "json"]);
    let render = render.env("PAYMENTS_API_KEY", "k").env("PAYMENTS_WEBHOOK_TOKEN", "t");
    let rendered = sandbox.run(render.clone().args(["--cluster-name", "eu-*"])).success();
    let piped = |stdin: &str| {
        let call = program("deployer").args(["--configs", "configs", "--output", "json", "--dry-run"]);
        let call = call.args(["-m", "repository/generated", "--namespaces-dir", "repository/namespaces"]);
        sandbox.run(call.args(["--clusters-from", "-"]).stdin(stdin))
    };
    assert_eq!(clusters(&piped(&rendered.stdout).success()), ["eu-1"], "{rendered}");
    let rendered = sandbox.run(render).success();
    assert_eq!(clusters(&piped(&rendered.stdout).success()), names, "{rendered}");
    let refused = piped("not JSON");
    assert_eq!(refused.exit_code, 2, "{refused}");
    assert!(refused.stderr.contains("hint: deploymentizer --output json | deployer"), "{refused}");
}
