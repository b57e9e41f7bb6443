//! Waiting, through the whole program: flags keep their meaning, failures are found early, a recovery is seen.

use std::time::{Duration, Instant};

use crate::Stage;

#[test]
fn a_deploy_waits_for_the_new_pods_and_not_longer() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 100, "web:1");
    stage.run(stage.deployer()).success();
    stage.deployment("eu-1", "web", 100, "web:2");
    let answer = stage.run(stage.deployer().args(["--output", "ndjson"])).success();
    let ready = answer
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .find(|line| line["event"] == "rollout" && line["stage"] == "ready" && line["kind"] != "Namespace")
        .unwrap_or_else(|| panic!("{answer}"));
    assert_eq!(ready["message"], "100/100 replicas are available", "{ready}");
    // The server's own word for it: the condition that turned when the last new pod became available.
    let status = stage.run(
        testkit::program("deployer")
            .arg("status")
            .arg("--configs")
            .arg(stage.clusters.configs())
            .args(["--output", "json"]),
    );
    let status = status.json();
    let resources = status["clusters"][0]["resources"].as_array().unwrap();
    let web = resources.iter().find(|r| r["namespace"] == stage.namespace.as_str()).unwrap();
    assert_eq!(web["images"], serde_json::json!(["web:2"]));
    assert_eq!(web["state"], "ready");
    // Old pods may still be on their way out; kubectl does not wait for those either.
    let staying: Vec<_> =
        web["pods"].as_array().unwrap().iter().filter(|pods| pods["state"] != "Terminating").collect();
    assert_eq!(
        staying,
        [&serde_json::json!({"state": "Running", "count": 100, "restarts": 0, "old": false})]
    );
}

#[test]
fn a_failure_is_found_long_before_the_timeout_and_a_later_recovery_is_a_new_deploy() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 2, "bad:1");
    let started = Instant::now();
    let answer = stage.run(stage.deployer().args(["--available-timeout", "120"]));
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(started.elapsed() < Duration::from_secs(40), "{:?}", started.elapsed());
    assert!(answer.stdout.contains("the image cannot be pulled"), "{answer}");
    stage.deployment("eu-1", "web", 2, "web:1");
    stage.run(stage.deployer()).success();
}

#[test]
fn the_health_check_can_be_turned_off_ignored_and_made_patient() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "bad:1");
    for flags in [
        &["--available-health-check", "false"][..],
        &["--available-health-check-ignored-errors", "ErrImagePull,ImagePullBackOff"],
        &["--available-health-check-grace-period", "60"],
        &["--available-health-check-threshold", "1000"],
    ] {
        let answer =
            stage.run(stage.deployer().args(["--available-timeout", "6", "--available-all"]).args(flags));
        assert_eq!(answer.exit_code, 1, "{flags:?}: {answer}");
        assert!(answer.stdout.contains("not ready in time: waiting for"), "{flags:?}: {answer}");
        // Late, and still with the reason.
        assert!(answer.stdout.contains("the image cannot be pulled"), "{flags:?}: {answer}");
    }
}

#[test]
fn a_pod_that_recovers_within_the_grace_period_is_no_failure() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "flaky:1");
    let answer = stage.run(stage.deployer().args(["--available-health-check-grace-period", "90"]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert!(answer.stderr.contains("keeps crashing"), "{answer}");
}

#[test]
fn waiting_can_be_left_out_and_made_not_to_count() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "notready:1");
    let started = Instant::now();
    stage.run(stage.deployer().args(["--available-enabled", "false"])).success();
    assert!(started.elapsed() < Duration::from_secs(15));
    stage.deployment("eu-1", "web", 1, "notready:2");
    let answer =
        stage.run(stage.deployer().args(["--available-required", "false", "--available-timeout", "4"]));
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert!(answer.stderr.contains("is not ready") || answer.stdout.contains("not ready"), "{answer}");
}
