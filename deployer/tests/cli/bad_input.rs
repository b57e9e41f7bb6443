//! Input that cannot be deployed: found before anything is touched, all of it at once, code 2.

use testkit::{Answer, Clusters, Sandbox, fresh_name, program};

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

fn kubeconfig(name: &str) -> String {
    format!(
        "kind: Config\napiVersion: v1\nmetadata: {{name: {name}}}\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:1'}}}}]\nusers: [{{name: u, user: {{token: secret-token}}}}]\n"
    )
}

/// One good cluster `eu-1`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("configs/eu-1.yaml", kubeconfig("eu-1"));
    sandbox.write("manifests/eu-1/a.yaml", CONFIG_MAP);
    sandbox
}

fn deploy(sandbox: &Sandbox, flags: &[&str]) -> Answer {
    sandbox
        .run(program("deployer").args(["--configs", "configs", "--manifests-dir", "manifests"]).args(flags))
}

#[test]
fn without_manifests_or_kubeconfigs_there_is_nothing_to_do() {
    let sandbox = sandbox();
    crate::assert_answer!(sandbox.run(program("deployer")));
    crate::assert_answer!(sandbox.run(program("deployer").env("MANIFESTS_DIR", "manifests")));
}

#[test]
fn everything_that_is_wrong_with_the_manifests_is_said_at_once() {
    let sandbox = sandbox();
    sandbox.write("manifests/eu-1/no-kind.yaml", "apiVersion: v1\nmetadata: {name: a}\n");
    sandbox
        .write("manifests/eu-1/no-name.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {namespace: web}\n");
    sandbox.write("manifests/eu-1/syntax.yaml", "apiVersion: v1\nkind: [\n");
    sandbox.write("manifests/eu-1/tab.yml", "a:\n\tb: 1\n");
    sandbox.write("manifests/eu-1/twice.yaml", CONFIG_MAP);
    sandbox.write(
        "manifests/eu-1/label.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n  labels:\n    version: 1.10\n",
    );
    crate::assert_answer!(deploy(&sandbox, &[]));
}

#[test]
fn manifests_without_a_kubeconfig_and_kubeconfigs_without_manifests_are_errors() {
    let sandbox = sandbox();
    sandbox.write("configs/eu-2.yaml", kubeconfig("eu-2"));
    sandbox.write("manifests/us-1/a.yaml", CONFIG_MAP);
    crate::assert_answer!(deploy(&sandbox, &[]));
}

#[test]
fn two_kubeconfigs_that_name_one_cluster_are_an_error() {
    let sandbox = sandbox();
    sandbox.write("configs/sub/other.yaml", kubeconfig("eu-1"));
    crate::assert_answer!(deploy(&sandbox, &[]));
}

#[test]
fn a_kubeconfig_that_is_none_is_shown_without_what_is_in_it() {
    let sandbox = sandbox();
    sandbox.write(
        "configs/broken.yaml",
        "kind: Config\nclusters: []\nusers: [{name: u, user: {token: secret-token]\n",
    );
    sandbox.write(
        "configs/empty-context.yaml",
        "kind: Config\ncurrent-context: gone\ncontexts: []\nclusters: []\n",
    );
    let answer = deploy(&sandbox, &[]);
    assert!(!answer.stderr.contains("secret-token"), "{answer}");
    crate::assert_answer!(answer);
}

#[test]
fn a_cluster_that_is_not_there_is_an_error() {
    let sandbox = sandbox();
    crate::assert_answer!(deploy(&sandbox, &["--cluster", "eu-2"]));
}

#[test]
fn a_directory_without_kubeconfigs_is_an_error() {
    let sandbox = sandbox();
    sandbox.write("empty/README.md", "nothing here");
    crate::assert_answer!(sandbox.run(program("deployer").args(["-c", "empty", "-m", "manifests"])));
    crate::assert_answer!(sandbox.run(program("deployer").args(["-c", "nowhere/**", "-m", "manifests"])));
}

#[test]
fn a_selector_that_is_none_is_an_error() {
    let sandbox = sandbox();
    crate::assert_answer!(deploy(&sandbox, &["--selector", "app in (a"]));
}

#[test]
fn flags_of_the_original_are_taken_and_answered_with_what_took_their_place() {
    let sandbox = sandbox();
    let answer = deploy(
        &sandbox,
        &[
            "--github-enabled",
            "true",
            "--backup-enabled",
            "true",
            "--available-polling-interval",
            "10",
            "--cluster",
            "x",
        ],
    );
    crate::assert_answer!(answer);
}

#[test]
fn clusters_lists_what_the_kubeconfigs_name_without_connecting() {
    let sandbox = sandbox();
    sandbox.write("configs/eu-2.yaml", kubeconfig("eu-2"));
    let answer =
        sandbox.run(program("deployer").args(["clusters", "-c", "configs/*.yaml", "-m", "manifests"]));
    crate::assert_answer!(answer);
}

#[test]
fn an_unknown_kind_and_a_namespace_that_is_not_there_fail_alone_and_say_what_to_do() {
    let namespace = fresh_name("astray");
    let mut clusters = Clusters::start(&["eu-1"]);
    clusters.remove_namespace_at_end("eu-1", &namespace);
    let sandbox = Sandbox::new();
    let write = |file: &str, text: &str| {
        sandbox.write(format!("manifests/eu-1/{file}"), text.replace("NS", &namespace));
    };
    write("ns.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: NS}\n");
    write(
        "conf.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: NS}\ndata: {a: \"1\"}\n",
    );
    write(
        "widget.yaml",
        "apiVersion: acme.example.com/v1\nkind: Widget\nmetadata: {name: w, namespace: NS}\n",
    );
    write(
        "old.yaml",
        "apiVersion: extensions/v1beta1\nkind: Deployment\nmetadata: {name: o, namespace: NS}\n",
    );
    write("astray.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: not-NS}\n");
    let call = program("deployer")
        .args(["--quiet", "--manifests-dir", "manifests", "--configs"])
        .arg(clusters.configs());
    let answer = sandbox.run(call).to_string().replace(&namespace, "NS");
    crate::assert_answer!(answer);
}
