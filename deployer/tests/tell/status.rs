//! `deployer status`.

use serde_json::{Value, json};
use testkit::{Call, program};

use crate::Stage;

fn status(stage: &Stage) -> Call {
    program("deployer").arg("status").arg("--configs").arg(stage.clusters.configs())
}

fn mine(stage: &Stage, status: &Value, cluster: &str) -> Vec<Value> {
    let clusters = status["clusters"].as_array().unwrap();
    let found = clusters.iter().find(|c| c["name"] == cluster).unwrap_or_else(|| panic!("{status:#}"));
    let mine = found["resources"].as_array().unwrap().iter();
    mine.filter(|resource| resource["namespace"] == stage.namespace.as_str()).cloned().collect()
}

/// Fails unless `status` is what the published schema says.
fn valid(status: &Value) {
    testkit::assert_schema("crates/cli/schema/status.v1.json", status);
}

#[test]
fn clusters_without_anything_of_kit_and_without_an_answer_have_their_line_and_exit_code() {
    let mut stage = Stage::new(&["eu-1"]);
    stage.dead("zz-1");
    let only =
        |stage: &Stage, name: &str| stage.run(status(stage).args(["--cluster", name, "--output", "ndjson"]));
    let empty = only(&stage, "eu-1");
    assert_eq!((empty.exit_code, empty.stdout.lines().count()), (0, 1), "{empty}");
    valid(&empty.json());
    assert_eq!(mine(&stage, &empty.json(), "eu-1"), Vec::<Value>::new());
    let dead = only(&stage, "zz-1");
    assert_eq!(dead.exit_code, 1, "{dead}");
    valid(&dead.json());
    let both = stage.run(status(&stage));
    assert_eq!(both.exit_code, 4, "{both}");
    let line = both.stdout.lines().find(|line| line.starts_with("zz-1 ")).unwrap();
    assert!(line.trim_end().ends_with("unreachable"), "{both}");
    assert!(both.stdout.contains("\nzz-1: "), "{both}");
    if !stage.clusters.are_real() {
        let line = both.stdout.lines().find(|line| line.starts_with("eu-1 ")).unwrap();
        assert!(line.ends_with("nothing of kit"), "{both}");
    }
    // A selector that matches nothing is the same as nothing.
    let none =
        stage.run(status(&stage).args(["--cluster", "eu-1", "--selector", "app=nobody", "--output", "json"]));
    assert_eq!(none.json()["clusters"][0]["resources"], json!([]), "{none}");
    let wrong = stage.run(status(&stage).args(["--report", "s.xml"]));
    assert_eq!(wrong.exit_code, 2, "{wrong}");
}

#[test]
fn status_shows_what_runs_where_and_what_has_drifted() {
    let mut stage = Stage::new(&["eu-1", "us-1"]);
    stage.deployment("eu-1", "web", 2, "web:1");
    stage.deployment("us-1", "web", 1, "crash:1");
    stage.run(stage.deployer().args(["--sha", "c6350f4c2709708b8f784408a440030e704b2b9a"]));
    stage.dead("zz-1");

    let answer = stage.run(status(&stage).args(["--output", "json"]));
    assert_eq!(answer.exit_code, 4, "{answer}");
    let all = answer.json();
    valid(&all);
    let eu = &mine(&stage, &all, "eu-1")[0];
    assert_eq!(eu["commit"], "c6350f4c2709708b8f784408a440030e704b2b9a");
    assert_eq!((&eu["images"], &eu["state"]), (&json!(["web:1"]), &json!("ready")));
    assert_eq!(eu["pods"], json!([{"state": "Running", "count": 2, "restarts": 0, "old": false}]));
    assert!(eu["updated"].as_str().is_some_and(|time| time.ends_with('Z')), "{eu}");
    assert!(eu.get("difference").is_none());
    let us = &mine(&stage, &all, "us-1")[0];
    assert_ne!(us["state"], "ready", "{us}");
    assert_eq!(us["diagnoses"][0]["exitCode"], 1, "{us}");
    let dead = all["clusters"].as_array().unwrap().iter().find(|c| c["name"] == "zz-1").unwrap();
    assert!(dead["trouble"]["message"].is_string(), "{dead}");

    // Another image in the manifests, and a file that is not deployed yet.
    stage.deployment("eu-1", "web", 2, "web:9");
    stage.deployment("eu-1", "new", 1, "web:1");
    let call = status(&stage).args(["-m", "manifests", "--output", "json", "--report", "s.html,s.json"]);
    let answer = stage.run(call);
    let all = answer.json();
    let eu = &mine(&stage, &all, "eu-1")[0];
    assert_eq!(eu["difference"]["kind"], "outdated", "{eu}");
    assert!(eu["difference"]["fields"].to_string().contains("image"), "{eu}");
    let us = &mine(&stage, &all, "us-1")[0];
    assert_eq!(us["difference"]["kind"], "in-sync", "{us}");
    let differs = all["clusters"][0]["differs"].as_array().unwrap();
    assert!(
        differs.iter().any(|d| d["kind"] == "missing" && d["object"].to_string().contains("/new")),
        "{differs:?}"
    );
    assert!(stage.sandbox.read("s.html").contains("<h1>What runs where</h1>"));
    let saved: Value = serde_json::from_str(&stage.sandbox.read("s.json")).unwrap();
    assert_eq!(saved["clusters"], all["clusters"]);
    valid(&all);
    // Somebody changes what is deployed: that is drift, with their name.
    let scaled = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {"replicas": 3}});
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", stage.namespace);
    crate::api::Api::of(&stage, "eu-1").apply(&path, &scaled);
    let drifted = stage.run(status(&stage).args(["-m", "manifests", "--output", "json"])).json();
    let difference = &mine(&stage, &drifted, "eu-1")[0]["difference"];
    assert_eq!(difference["kind"], "drift", "{difference}");
    assert!(difference["fields"].to_string().contains("spec.replicas: changed by somebody"), "{difference}");

    let text = stage.run(status(&stage).args(["--cluster", "eu-1"]));
    assert_eq!(text.exit_code, 0, "{text}");
    let line = text.stdout.lines().find(|line| line.contains(&stage.namespace)).unwrap();
    assert!(line.contains("web:1") && line.contains("c6350f4c2709") && line.contains("3 Running"), "{text}");
}
