//! Jobs that go by themselves once they have finished: what they were to do is done once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stage::Stage;

const JOB: &str = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, namespace: NS, labels: {job: migrate}}\nspec:\n  \
    ttlSecondsAfterFinished: 1\n  backoffLimit: 0\n  template:\n    spec:\n      restartPolicy: Never\n      \
    containers: [{name: m, image: 'registry.example.com/IMAGE'}]\n";
/// Written only once the Job is available.
const AFTER: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: after\n  namespace: NS\n  annotations: \
    {kit-deployer/dependency-selector: job=migrate}\ndata: {a: 'TEXT'}\n";

fn write(stage: &Stage, image: &str, text: &str) {
    stage.write("job.yaml", &JOB.replace("IMAGE", image));
    stage.write("after.yaml", &AFTER.replace("TEXT", text));
}

fn job(report: &Value) -> &Value {
    report["objects"].as_array().unwrap().iter().find(|object| object["kind"] == "Job").unwrap()
}

/// Waits until a dry run would do this with the Job: as long as it is there it is unchanged.
fn until(stage: &Stage, result: &str) {
    let started = Instant::now();
    loop {
        let (_, report) = stage.report(&["--dry-run"]);
        if job(&report)["result"] == result {
            return;
        }
        // One that has not completed is in the way until it has gone.
        let going = result == "created" && job(&report)["trouble"]["message"] == "it is being deleted";
        assert!(going || job(&report)["result"] == "unchanged", "{report:#}");
        assert!(started.elapsed() < Duration::from_secs(60), "its TTL has not removed it: {report:#}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

#[test]
fn a_job_that_completed_and_that_its_ttl_removed_is_not_run_again() {
    let stage = Stage::new("sets-ttl");
    write(&stage, "migrate:1", "1");
    let (code, first) = stage.report(&[]);
    assert_eq!((code, &job(&first)["result"]), (0, &json!("created")), "{first:#}");
    until(&stage, "skipped");

    // Whoever waits for it does not wait for ever.
    write(&stage, "migrate:1", "2");
    let (code, report) = stage.report(&["--prune", "--available-all"]);
    assert_eq!((code, &report["counts"]["configured"]), (0, &json!(1)), "{report:#}");
    let message = job(&report)["because"].as_str().unwrap();
    assert!(message.starts_with("it completed by 20"), "{message}");
    assert!(
        message.ends_with("its `ttlSecondsAfterFinished: 1` removed it; `--force` runs it again"),
        "{message}"
    );
    let (code, again) = stage.report(&["--prune"]);
    assert_eq!((code, &again["bytesSent"]), (0, &json!(0)), "{again:#}");

    // Another content is another Job; and the earlier one is not forgotten with `--job-history`.
    write(&stage, "migrate:2", "2");
    let (code, report) = stage.report(&[]);
    assert_eq!((code, &job(&report)["result"]), (0, &json!("created")), "{report:#}");
    until(&stage, "skipped");
    write(&stage, "migrate:1", "2");
    let (code, report) = stage.report(&[]);
    assert_eq!((code, &job(&report)["result"]), (0, &json!("skipped")), "{report:#}");

    let (code, report) = stage.report(&["--force"]);
    assert_eq!((code, &job(&report)["result"]), (0, &json!("created")), "{report:#}");
}

#[test]
fn a_job_that_nobody_saw_complete_runs_again() {
    let stage = Stage::new("sets-ttl-failed");
    write(&stage, "fail:1", "1");
    let (code, first) = stage.report(&[]);
    assert_eq!((code, &job(&first)["result"]), (1, &json!("not-ready")), "{first:#}");
    until(&stage, "created");
}

#[test]
fn a_job_that_a_later_deploy_finds_completed_is_known_as_well() {
    let stage = Stage::new("sets-ttl-later");
    let text = JOB.replace("IMAGE", "migrate:1").replace("Finished: 1", "Finished: 6");
    stage.write("job.yaml", &text);
    stage.deploy(&["--available-enabled", "false"]).success();
    // This one waits for what the one before has begun, or finds it complete.
    stage.deploy(&[]).success();
    until(&stage, "skipped");
}
