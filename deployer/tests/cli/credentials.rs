//! Credentials: plugins are run once per user entry, renewed once when the server no longer takes what they gave; token files,
//! basic and the rest as kubectl reads them.

use simcluster::{Options, Simulation};
use testkit::{Answer, Sandbox, program};

const CONFIG_MAP: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\ndata: {a: b}\n";

/// The kubeconfig of a cluster with another user, and the token that the cluster takes.
fn with_user(simulation: &Simulation, name: &str, user: &str) -> (String, String) {
    let text = simulation.kubeconfig(name).unwrap();
    let token = text.lines().find_map(|line| line.trim().strip_prefix("token:")).unwrap().trim().to_owned();
    let users = text.find("users:").unwrap();
    let after = text[users..].find("\ncontexts:").or_else(|| text[users..].find("\ncurrent-context:"));
    let user_name =
        text[users..].lines().find_map(|line| line.trim().strip_prefix("- name:")).unwrap().trim().to_owned();
    let rest = after.map_or("", |at| &text[users + at..]);
    (format!("{}users:\n- name: {user_name}\n  user: {user}\n{rest}\n", &text[..users]), token)
}

fn deploy(sandbox: &Sandbox, names: &[&str]) -> Answer {
    for name in names {
        sandbox.write(format!("manifests/{name}/a.yaml"), CONFIG_MAP);
    }
    sandbox.run(program("deployer").args(["--configs", "configs", "-m", "manifests", "--quiet"]))
}

fn exec(script: &str) -> String {
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: IfAvailable, command: sh, args: [{script}]}}}}"
    )
}

#[test]
fn a_plugin_that_three_clusters_share_is_run_once() {
    let names = ["a", "b", "c"];
    let simulation = Simulation::start(Options::named(["one"])).unwrap();
    let sandbox = Sandbox::new();
    let script = sandbox.join("plugin.sh");
    for name in names {
        // Three names for one server: what matters is that they share the way to get a token.
        let (text, token) = with_user(&simulation, "one", &exec(&script.display().to_string()));
        let named = text.replace("metadata:\n  name: one", &format!("metadata:\n  name: {name}"));
        sandbox.write(format!("configs/{name}.yaml"), named);
        sandbox.write("token", token);
    }
    sandbox.write(
        "plugin.sh",
        "echo run >> runs\nprintf '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"%s\"}}' \"$(cat token)\"\n",
    );
    let answer = deploy(&sandbox, &names).success();
    assert_eq!(sandbox.read("runs"), "run\n", "{answer}");
}

#[test]
fn a_token_that_the_server_no_longer_takes_is_renewed_once() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = Sandbox::new();
    let script = sandbox.join("plugin.sh");
    let (text, token) = with_user(&simulation, "a", &exec(&script.display().to_string()));
    sandbox.write("configs/a.yaml", text);
    sandbox.write("token", token);
    sandbox.write(
        "plugin.sh",
        "echo run >> runs\nT=stale\n[ \"$(wc -l < runs)\" -gt 1 ] && T=$(cat token)\n\
         printf '{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{\"token\":\"%s\"}}' \"$T\"\n",
    );
    deploy(&sandbox, &["a"]).success();
    assert_eq!(sandbox.read("runs"), "run\nrun\n");

    sandbox.write("token", "wrong for ever");
    let answer = deploy(&sandbox, &["a"]);
    assert_eq!(answer.exit_code, 1);
    assert!(answer.stdout.contains("does not accept the credentials"), "{answer}");
    assert_eq!(sandbox.read("runs").lines().count(), 4, "renewed once, not for ever");
}

#[test]
fn token_files_are_read_relative_to_the_kubeconfig() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = Sandbox::new();
    let (text, token) = with_user(&simulation, "a", "{tokenFile: secrets/token}");
    sandbox.write("configs/a.yaml", text);
    sandbox.write("configs/secrets/token", format!("{token}\n"));
    deploy(&sandbox, &["a"]).success();
}

#[test]
fn client_certificates_are_taken() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("configs/a.yaml", simulation.certificate_kubeconfig("a").unwrap());
    deploy(&sandbox, &["a"]).success();
}

#[test]
fn what_reaches_nobody_and_what_is_refused_leaves_the_others_alone() {
    let simulation = Simulation::start(Options::named(["good", "ca", "token"])).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("configs/good.yaml", simulation.kubeconfig("good").unwrap());
    sandbox.write("configs/ca.yaml", simulation.wrong_ca_kubeconfig("ca").unwrap());
    sandbox.write("configs/token.yaml", simulation.wrong_token_kubeconfig("token").unwrap());
    let answer = deploy(&sandbox, &["good", "ca", "token"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    for text in [
        "ca: cannot reach the cluster",
        "is not signed by the certificate authority",
        "token: the cluster does not accept the credentials",
    ] {
        assert!(answer.stdout.contains(text), "{text}: {answer}");
    }
    let line = answer.stdout.lines().find(|line| line.starts_with("good ")).unwrap();
    assert!(line.ends_with("done"), "{answer}");
}
