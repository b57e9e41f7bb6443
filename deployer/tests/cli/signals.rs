//! SIGINT and SIGTERM: what is in flight is finished, the report says what was not done, 130 and 143.

use std::io::Read as _;
use std::process::Command;
use std::time::{Duration, Instant};

use simcluster::{Action, Fault, Options, Simulation};
use testkit::{Clusters, Sandbox, fresh_name, program};

fn kill(child: &std::process::Child, signal: &str) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
}

fn stopped_by(signal: &str) -> (Option<i32>, serde_json::Value) {
    let namespace = fresh_name("engine-signal");
    let mut clusters = Clusters::start(&["eu-1"]);
    clusters.remove_namespace_at_end("eu-1", &namespace);
    let sandbox = Sandbox::new();
    // An image that never comes, so that the wait lasts until the signal; the next object would come after it.
    let deployment = |name: &str, annotations: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{app: {name}}}{annotations}}}\nspec:\n  \
             selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n      \
             containers: [{{name: web, image: 'registry.example.com/bad:1'}}]\n"
        )
    };
    sandbox.write(
        "manifests/eu-1/all.yaml",
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n{}---\n{}",
            deployment("first", ""),
            deployment("second", ", annotations: {kit-deployer/dependency-selector: app=first}")
        ),
    );
    let call = program("deployer")
        .args([
            "-m",
            "manifests",
            "--output",
            "json",
            "--debug",
            "--available-health-check",
            "false",
            "--inventory-namespace",
            &namespace,
            "--configs",
        ])
        .arg(clusters.configs());
    let mut child = sandbox.start(&call);
    let mut stderr = child.stderr.take().unwrap();
    let mut seen = Vec::new();
    let mut byte = [0];
    while !String::from_utf8_lossy(&seen).contains("first created") {
        assert_eq!(stderr.read(&mut byte).unwrap(), 1, "{}", String::from_utf8_lossy(&seen));
        seen.extend(byte);
    }
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    std::thread::sleep(Duration::from_millis(200));
    kill(&child, signal);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn an_interrupted_deploy_says_what_was_and_what_was_not_done() {
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let (exit, report) = stopped_by(signal);
        assert_eq!(exit, Some(code), "{report:#}");
        let cluster = &report["clusters"][0];
        assert_eq!(cluster["state"], "interrupted", "{report:#}");
        let result = |name: &str| {
            let objects = cluster["objects"].as_array().unwrap();
            objects.iter().find(|object| object["name"] == name).unwrap()["result"].clone()
        };
        assert_eq!((result("first"), result("second")), ("not-ready".into(), "skipped".into()), "{report:#}");
        let first = cluster["objects"].as_array().unwrap().iter().find(|object| object["name"] == "first");
        let said = first.unwrap()["trouble"].to_string();
        assert!(said.contains("the run was stopped while it was waited for"), "{said}");
        assert!(said.contains("waiting for 0/1"), "what was so at that moment: {said}");
    }
}

#[test]
fn a_second_signal_ends_at_once_what_the_first_lets_finish() {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("configs/a.yaml", simulation.kubeconfig("a").unwrap());
    sandbox.write(
        "manifests/a/a.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: default}\n",
    );
    let hang = Fault { verbs: vec!["apply".into()], ..Fault::every(Action::Hang) };
    simulation.set_faults("a", vec![hang], 1);
    let mut child = sandbox.start(&program("deployer").args(["-c", "configs", "-m", "manifests"]));
    let started = Instant::now();
    while !simulation.metrics("a").unwrap().by_verb.contains_key("apply") {
        assert!(started.elapsed() < Duration::from_secs(20), "nothing was written");
        std::thread::sleep(Duration::from_millis(10));
    }
    kill(&child, "-INT");
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(child.try_wait().unwrap(), None, "the write that is in flight may end");
    let second = Instant::now();
    kill(&child, "-TERM");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(second.elapsed() < Duration::from_secs(2));
}
