//! Waiting, through the whole program: flags keep their meaning, failures are found early, a recovery is seen.

use std::time::{Duration, Instant};

use crate::Stage;

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
