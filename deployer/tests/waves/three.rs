//! Three clusters, simulated or real: a wave that bakes, a wave that fails, and its resume.

use serde_json::json;
use testkit::{Clusters, Sandbox, fresh_name, program};

use crate::deployment;

struct Stage {
    clusters: Clusters,
    sandbox: Sandbox,
    namespace: String,
}

const NAMES: [&str; 3] = ["eu-1", "eu-2", "us-1"];

impl Stage {
    fn new() -> Self {
        let mut clusters = Clusters::start(&NAMES);
        let namespace = fresh_name("waves");
        let sandbox = Sandbox::new();
        for name in NAMES {
            clusters.remove_namespace_at_end(name, &namespace);
            let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
            sandbox.write(format!("manifests/{name}/namespace.yaml"), text);
        }
        Self { clusters, sandbox, namespace }
    }

    fn web(&self, cluster: &str, image: &str) {
        self.sandbox.write(format!("manifests/{cluster}/web.yaml"), deployment(&self.namespace, image));
    }

    fn deployer(&self) -> testkit::Call {
        program("deployer")
            .arg("--configs")
            .arg(self.clusters.configs())
            .args(["--manifests-dir", "manifests"])
            .env("AVAILABLE_HEALTH_CHECK_GRACE_PERIOD", "2")
            .deadline(std::time::Duration::from_secs(180))
    }
}

const WAVES: &str = "\
waves:
- {name: canary, clusters: [eu-1], bake: 2s}
- {name: europe, clusters: ['eu-*'], bake: 2s}
- {name: rest, rest: true}
";

#[test]
fn waves_pass_one_after_the_other() {
    let stage = Stage::new();
    NAMES.iter().for_each(|name| stage.web(name, "registry.example.com/web:1"));
    stage.sandbox.write("waves.yaml", WAVES);
    let answer = stage.sandbox.run(stage.deployer().args(["--waves", "waves.yaml", "--output", "ndjson"]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    let events: Vec<serde_json::Value> =
        answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<String> = events
        .iter()
        .filter(|event| {
            let kind = event["event"].as_str().unwrap();
            kind.starts_with("wave-") || kind == "finished"
        })
        .map(|event| {
            let who = event["wave"].as_str().or(event["cluster"].as_str()).unwrap();
            format!("{} {who}", event["event"].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            "wave-started canary",
            "finished eu-1",
            "wave-baking canary",
            "wave-passed canary",
            "wave-started europe",
            "finished eu-2",
            "wave-baking europe",
            "wave-passed europe",
            "wave-started rest",
            "finished us-1",
            "wave-passed rest"
        ]
    );
}

#[test]
fn a_wave_that_does_not_get_ready_stops_and_is_resumed_after_the_repair() {
    let stage = Stage::new();
    NAMES.iter().for_each(|name| stage.web(name, "registry.example.com/web:1"));
    // Something that the deploy does not bring along: the pods wait for it.
    let needs = |text: String| text.replace("'}]", "', envFrom: [{secretRef: {name: outside}}]}]");
    let text = needs(deployment(&stage.namespace, "registry.example.com/web:1"));
    stage.sandbox.write("manifests/eu-2/web.yaml", text);
    stage.sandbox.write("waves.yaml", WAVES);
    let args = ["--waves", "waves.yaml", "--output", "json"];
    let answer = stage.sandbox.run(stage.deployer().args(args));
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report = answer.json();
    let states: Vec<_> = report["clusters"].as_array().unwrap().iter().map(|c| c["state"].clone()).collect();
    assert_eq!(states, ["done", "failed", "not-started"], "{answer}");
    assert_eq!(report["rollout"]["stopped"]["wave"], "europe");
    // Nothing has been repaired: what was written is not taken for well because nothing is left to write.
    let again = stage.sandbox.run(stage.deployer().args(args).arg("--resume"));
    assert_eq!(again.exit_code, 4, "{again}");
    assert_eq!(again.json()["clusters"][0]["doneBefore"], true);
    assert_eq!(again.json()["clusters"][1]["counts"]["notReady"], json!(1), "{again}");

    // The repair is made in the cluster, by another deploy.
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: outside, namespace: {}}}\nstringData: {{k: v}}\n",
        stage.namespace
    );
    stage.sandbox.write("repair/eu-2/secret.yaml", secret);
    let repair = program("deployer").arg("--configs").arg(stage.clusters.configs()).args([
        "--manifests-dir",
        "repair",
        "--cluster",
        "eu-2",
    ]);
    let repair = stage.sandbox.run(repair);
    assert_eq!(repair.exit_code, 0, "{repair}");
    let resumed = stage.sandbox.run(stage.deployer().args(args).arg("--resume"));
    assert_eq!(resumed.exit_code, 0, "{resumed}");
}

#[test]
fn what_becomes_unready_while_its_wave_bakes_stops_the_rollout() {
    let stage = Stage::new();
    NAMES.iter().for_each(|name| stage.web(name, "registry.example.com/web:1"));
    stage.sandbox.write(
        "waves.yaml",
        "waves: [{name: canary, clusters: [eu-1], bake: 20s}, {name: rest, rest: true}]\n",
    );
    let rollout = stage.sandbox.start(&stage.deployer().args(["--waves", "waves.yaml", "--output", "json"]));
    crate::wait_for(&stage.sandbox.join("kit-rollout.journal"), "\"done\"");
    // Somebody breaks it meanwhile.
    let broken =
        deployment(&stage.namespace, "registry.example.com/web:bad").replace("replicas: 1", "replicas: 2");
    stage.sandbox.write("broken/eu-1/web.yaml", broken);
    let breaking = program("deployer").arg("--configs").arg(stage.clusters.configs()).args([
        "--manifests-dir",
        "broken",
        "--cluster",
        "eu-1",
        "--available-enabled",
        "false",
    ]);
    stage.sandbox.run(breaking).success();
    let output = rollout.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["clusters"][0]["trouble"]["message"], "it did not stay well while its wave was baking");
    let causes = report["clusters"][0]["trouble"]["causes"].to_string();
    assert!(causes.contains("web is not ready: "), "{causes}");
    assert_eq!(report["clusters"][1]["state"], "not-started");
}
