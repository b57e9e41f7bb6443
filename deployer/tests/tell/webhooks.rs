//! Webhooks: at start and end, in kit's form and Slack's, retried, never in a dry run, and never a reason to fail.

use serde_json::json;

use crate::Stage;
use crate::hook::Hook;

#[test]
fn both_kinds_hear_of_the_start_and_of_the_end() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "web:1");
    // The first answer is a refusal that may pass: it is tried again.
    let hook = Hook::answering(&[503]);
    let answer = stage.run(stage.deployer().args([
        "--available-webhook",
        &format!("{}/kit", hook.url),
        "--is-rollback",
        "--uuid",
        "u-1",
    ]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    let web: Vec<_> =
        hook.heard().into_iter().filter(|(path, _)| path == "/kit/web").map(|(_, body)| body).collect();
    assert_eq!(web.len(), 2, "{web:#?}");
    let clusters = |completed: u32, done: bool| {
        let none = json!([]);
        let names = json!(["eu-1"]);
        let (left, good) = if done { (&none, &names) } else { (&names, &none) };
        json!({"total": 1, "completed": completed, "found": names, "remaining": left, "successful": good, "failed": []})
    };
    let body = |phase: &str, status: &str, percent: f64, clusters: serde_json::Value| {
        json!({
            "uuid": "u-1", "name": "kubernetes-deploy", "provider": "CodeShip/Kubernetes",
            "build": {
                "phase": phase, "status": status, "progress": {"percent": percent, "clusters": clusters},
                "scm": {}, "parameters": {"REVERT": "true"}, "artifacts": {},
            },
        })
    };
    assert_eq!(web[0], body("STARTED", "IN_PROGRESS", 0.0, clusters(0, false)));
    assert_eq!(web[1], body("COMPLETED", "SUCCESS", 1.0, clusters(1, true)));

    let slack = Hook::answering(&[]);
    let answer = stage.run(stage.deployer().env("KIT_SLACK_WEBHOOK", &slack.url));
    assert_eq!(answer.exit_code, 0, "{answer}");
    let texts: Vec<String> =
        slack.heard().iter().map(|(_, body)| body["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(texts[0], "deploy started: 1 cluster");
    assert!(texts[1].starts_with("*deploy done*: 1 cluster: 1 done; 2 unchanged; "), "{texts:?}");
}

#[test]
fn the_name_that_failed_is_told_with_its_reason_and_an_alias_is_used() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "crash:1");
    let path = "manifests/eu-1/web.yaml";
    let text = stage.sandbox.read(path).replace(
        "labels: {name: web}}",
        "labels: {name: web}, annotations: {kit-deployer/alias-name: shop web}}",
    );
    stage.sandbox.write(path, text);
    let hook = Hook::answering(&[]);
    let answer =
        stage.run(stage.deployer().args(["--available-webhook", &hook.url, "--slack-webhook", &hook.url]));
    assert_eq!(answer.exit_code, 1, "{answer}");
    let heard = hook.heard();
    let web = heard.iter().rfind(|(path, _)| path == "/shop%20web").unwrap();
    assert_eq!(web.1["build"]["status"], "FAILURE", "{web:?}");
    assert!(web.1["build"]["reason"].as_str().unwrap().contains("keeps crashing"), "{web:?}");
    let namespace = heard.iter().rfind(|(path, _)| path.starts_with("/tell-")).unwrap();
    assert_eq!(namespace.1["build"]["status"], "SUCCESS", "{namespace:?}");
    let slack = heard.iter().rfind(|(path, _)| path == "/").unwrap();
    assert!(slack.1["text"].as_str().unwrap().starts_with("*deploy failed*"), "{slack:?}");
}

#[test]
fn a_dry_run_tells_nobody() {
    let stage = Stage::new(&["eu-1"]);
    let hook = Hook::answering(&[]);
    let answer = stage.run(stage.deployer().args([
        "--dry-run",
        "--available-webhook",
        &hook.url,
        "--slack-webhook",
        &hook.url,
    ]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert_eq!(hook.tries(), 0);
}

#[test]
fn a_webhook_that_fails_is_told_without_its_secret_and_fails_nothing() {
    let stage = Stage::new(&["eu-1"]);
    let hook = Hook::answering(&[404; 20]);
    let url = format!("{}/services/T0/s3cret", hook.url);
    let answer = stage.run(stage.deployer().args(["--slack-webhook", &url]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert!(answer.stderr.contains("refused: HTTP status 404"), "{answer}");
    assert!(!answer.to_string().contains("s3cret"), "{answer}");
}

#[test]
fn an_address_that_is_none_is_invalid_input() {
    let stage = Stage::new(&["eu-1"]);
    let answer = stage.run(stage.deployer().args(["--available-webhook", "hooks.example.com/x"]));
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("a webhook is an http or https address: `hooks.example.com`"), "{answer}");
}
