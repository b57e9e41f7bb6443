//! What clusters remember, and going back to it.

use serde_json::{Value, json};
use testkit::program;

use crate::stage::{Stage, with_result};

fn command(stage: &Stage, command: &[&str]) -> (i32, Value) {
    let call = program("deployer").args(command).arg("--configs").arg(stage.clusters.configs()).args([
        "--resource-set",
        &stage.set(),
        "--inventory-namespace",
        &stage.namespace,
        "--output",
        "json",
    ]);
    let answer = stage.sandbox.run(call);
    assert!(!answer.stdout.is_empty(), "{answer}");
    if command[0] == "history" {
        testkit::assert_schema("crates/cli/schema/history.v1.json", &answer.json());
    }
    (answer.exit_code, answer.json()["clusters"][0].clone())
}

#[test]
fn a_rollback_is_shown_first_and_brings_back_what_was_deployed_with_its_secrets() {
    let stage = Stage::new("rollback-back");
    let secret = |value: &str| {
        stage.write(
            "secret.yaml",
            &format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: NS}}\nstringData: {{k: {value}}}\n"),
        );
    };
    for (number, id) in [("1", "one"), ("2", "two"), ("3", "three")] {
        stage.config("a", &format!("x: '{number}'"));
        secret(&format!("canary-{number}"));
        stage.deploy(&["--deploy-id", id, "--sha", &format!("{number}{}", "a".repeat(39))]).success();
    }
    let (code, history) = command(&stage, &["history"]);
    assert_eq!(code, 0);
    let deploys: Vec<(&Value, &Value, &Value)> = history["deploys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|deploy| (&deploy["revision"], &deploy["id"], &deploy["state"]))
        .collect();
    assert_eq!(
        deploys,
        [
            (&json!(1), &json!("one"), &json!("succeeded")),
            (&json!(2), &json!("two"), &json!("succeeded")),
            (&json!(3), &json!("three"), &json!("succeeded")),
        ],
        "{history:#}"
    );
    let (code, dry) = command(&stage, &["rollback", "--dry-run"]);
    assert_eq!((code, &dry["set"]["rollbackTo"]), (0, &json!("two")), "{dry:#}");
    assert_eq!(dry["changes"].as_array().unwrap().len(), 2);
    assert!(!dry.to_string().contains("canary"), "{dry:#}");

    let (code, report) = command(&stage, &["rollback"]);
    assert_eq!(
        (code, with_result(&report, "configured")),
        (0, vec!["ConfigMap/a".into(), "Secret/s".into()])
    );
    if testkit::kubectl_is_there() {
        assert_eq!(stage.get("configmap/a").unwrap()["data"]["x"], "2");
    }
    let (_, again) = command(&stage, &["rollback"]);
    assert_eq!(again["set"]["rollbackTo"], "one", "again means further back: {again:#}");
    let (_, forward) = command(&stage, &["rollback", "--to", "3aaaaaaa"]);
    assert_eq!(forward["set"]["rollbackTo"], "three", "a commit, and nothing newer is lost: {forward:#}");
    let (code, none) = command(&stage, &["rollback", "--to", "nowhere"]);
    assert_eq!(code, 1);
    assert_eq!(none["trouble"]["message"], "no deploy is remembered that is called `nowhere`");
}

#[test]
fn a_rollback_prunes_what_came_later_if_asked_and_only_so_many_deploys_are_kept() {
    let stage = Stage::new("rollback-prune");
    for number in 0..4 {
        stage.config(&format!("c{number}"), "x: '1'");
        stage.deploy(&["--history", "3"]).success();
    }
    let (_, history) = command(&stage, &["history"]);
    let revisions: Vec<&Value> =
        history["deploys"].as_array().unwrap().iter().map(|deploy| &deploy["revision"]).collect();
    assert_eq!(revisions, [&json!(2), &json!(3), &json!(4)]);
    let (code, report) = command(&stage, &["rollback", "--to", "2", "--prune"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/c2", "ConfigMap/c3"]);
    if testkit::kubectl_is_there() {
        let secrets = stage.kubectl(&["get", "secrets", "-o", "name"]).unwrap();
        let kept = secrets.lines().filter(|name| name.contains("kit-set-")).count();
        assert_eq!(kept, 4, "three deploys, and the rollback, whose `--history` is ten: {secrets}");
    }
}

#[test]
fn a_failed_deploy_goes_back_and_takes_what_it_had_added_with_it() {
    let stage = Stage::new("rollback-failure");
    let web = |image: &str| {
        stage.write(
            "web.yaml",
            &format!(
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: NS}}\nspec:\n  selector: {{matchLabels: {{app: web}}}}\n  \
                 template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: web, image: 'registry.example.com/{image}'}}]}}\n"
            ),
        );
    };
    web("web:1");
    stage.deploy(&["--deploy-id", "good"]).success();
    web("bad:2");
    stage.config("added", "x: '1'");
    let flags =
        ["--rollback-on-failure", "--deploy-id", "worse", "--available-health-check-grace-period", "0"];
    let (code, report) = stage.report(&flags);
    assert_eq!((code, &report["state"]), (1, &json!("failed")), "{report:#}");
    assert_eq!(
        report["trouble"]["message"], "the deploy failed, and deploy `good` was brought back",
        "{report:#}"
    );
    assert_eq!(report["set"]["rollbackTo"], "good");
    let (_, history) = command(&stage, &["history"]);
    let states: Vec<&Value> =
        history["deploys"].as_array().unwrap().iter().map(|deploy| &deploy["state"]).collect();
    assert_eq!(states, [&json!("succeeded"), &json!("rolled-back"), &json!("succeeded")], "{history:#}");
    if testkit::kubectl_is_there() {
        let live = stage.get("deployment/web").unwrap();
        assert_eq!(live["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/web:1");
        assert_eq!(stage.get("configmap/added"), None);
    }
}

#[test]
fn a_first_deploy_that_fails_has_nothing_to_go_back_to_and_says_so() {
    let stage = Stage::new("rollback-first");
    stage.write(
        "bad.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: b, namespace: NS}\ndata: {k: 'not base64!'}\n",
    );
    let (code, report) = stage.report(&["--rollback-on-failure"]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        report["trouble"]["message"], "the deploy failed, and nothing earlier could be brought back",
        "{report:#}"
    );
}
