//! The table, the report files, JSON, ndjson, and what CI systems get.

use cli::report::{ClusterState, ObjectResult, Report};

use crate::Stage;

/// One cluster that is well, one whose web crashes, one that does not answer.
fn mixed() -> Stage {
    let mut stage = Stage::new(&["eu-1", "us-1"]);
    stage.deployment("eu-1", "web", 2, "crash:1");
    stage.deployment("eu-1", "fine", 1, "web:1");
    stage.deployment("us-1", "web", 2, "web:1");
    stage.dead("zz-1");
    stage
}

#[test]
fn a_deploy_that_went_well_in_part_is_told_in_every_form() {
    let stage = mixed();
    let answer =
        stage.run(stage.deployer().args(["--report", "r.json,out/r.xml,r.md", "--report", "r.html"]));
    assert_eq!(answer.exit_code, 4, "{answer}");

    let rows: Vec<Vec<&str>> =
        answer.stdout.lines().take(5).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows[0],
        [
            "CLUSTER",
            "CREATED",
            "CONFIGURED",
            "UNCHANGED",
            "FAILED",
            "NOT",
            "READY",
            "SKIPPED",
            "TIME",
            "STATE"
        ]
    );
    assert_eq!(rows[1][..7], ["eu-1", "2", "0", "0", "0", "1", "0"], "{answer}");
    assert_eq!(rows[2][..7], ["us-1", "2", "0", "0", "0", "0", "0"], "{answer}");
    assert_eq!(rows[3][..7], ["zz-1", "0", "0", "0", "0", "0", "0"], "{answer}");
    assert_eq!(rows[4][..7], ["total", "4", "0", "0", "0", "1", "0"], "{answer}");
    for expected in
        ["keeps crashing (CrashLoopBackOff, exit code 1,", "last lines of the log of web-", "zz-1: "]
    {
        assert!(answer.stdout.contains(expected), "{expected}: {answer}");
    }

    let report = Report::read(&stage.sandbox.read("r.json")).unwrap();
    assert_eq!(report.exit_code, 4);
    let states: Vec<_> =
        report.clusters.iter().map(|cluster| (cluster.name.as_str(), cluster.state)).collect();
    assert_eq!(
        states,
        [("eu-1", ClusterState::Failed), ("us-1", ClusterState::Done), ("zz-1", ClusterState::Failed)]
    );
    let web = report.clusters[0].objects.iter().find(|object| object.name == "web").unwrap();
    assert_eq!(web.result, ObjectResult::NotReady);
    let found = &web.diagnoses[0];
    assert_eq!((found.reason.as_str(), found.pod_count, found.exit_code), ("CrashLoopBackOff", 2, Some(1)));
    assert!(found.pods.iter().all(|pod| pod.starts_with("web-")), "{found:?}");
    assert!(found.log.as_ref().is_some_and(|log| !log.lines.is_empty()), "{found:?}");
    assert!(found.since.is_some());

    let xml = stage.sandbox.read("out/r.xml");
    assert_eq!(xml.matches("<testsuite ").count(), 3);
    assert_eq!((xml.matches("<failure ").count(), xml.matches("<error ").count()), (1, 1), "{xml}");
    assert!(stage.sandbox.read("r.md").starts_with("## Deploy: failed on some clusters"));
    assert!(stage.sandbox.read("r.html").contains("<h1>Deploy: failed</h1>"));
}

#[test]
fn json_is_the_report_and_holds_to_its_schema_and_ndjson_ends_with_it() {
    let stage = mixed();
    let valid = |value: &serde_json::Value| testkit::assert_schema("crates/cli/schema/report.v1.json", value);
    valid(&stage.run(stage.deployer().args(["--dry-run", "--output", "json"])).json());

    let answer = stage.run(stage.deployer().args(["--output", "ndjson"]));
    let lines: Vec<serde_json::Value> =
        answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (last, before) = lines.split_last().unwrap();
    valid(last);
    assert_eq!(last["event"], "report");
    for event in ["started", "connected", "planned", "phase", "object", "rollout", "finished"] {
        assert!(before.iter().any(|line| line["event"] == event), "{event}: {answer}");
    }
    assert!(before.iter().all(|line| line["cluster"].is_string() && line["time"].is_string()), "{answer}");
}

#[test]
fn github_gets_a_group_annotations_and_a_summary() {
    let stage = mixed();
    stage.sandbox.write("summary.md", "before\n");
    let summary = stage.sandbox.join("summary.md");
    let call =
        stage.deployer().env("CI", "true").env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", summary);
    let answer = stage.run(call);
    assert!(
        answer.stdout.contains("\n::group::failures\n") && answer.stdout.contains("\n::endgroup::\n"),
        "{answer}"
    );
    let annotations: Vec<&str> = answer.stderr.lines().filter(|line| line.starts_with("::error ")).collect();
    assert_eq!(annotations.len(), 2, "{answer}");
    assert!(
        annotations[0].contains("file=manifests/eu-1/web.yaml,line=1,title=eu-1::Deployment/"),
        "{answer}"
    );
    let text = stage.sandbox.read("summary.md");
    assert!(text.starts_with("before\n## Deploy: failed on some clusters"), "{text}");
    // A line per change of state, each with its cluster's name first.
    for expected in
        ["us-1: 2 to write, 0 unchanged", "us-1: Deployment/", "us-1: done after", "eu-1: failed after"]
    {
        assert!(answer.stderr.lines().any(|line| line.starts_with(expected)), "{expected}: {answer}");
    }
}

#[test]
fn a_log_that_must_not_fall_silent_gets_a_line_in_time() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 1, "web-slow:1");
    let answer = stage.run(stage.deployer().args(["--available-keep-alive-interval", "2"]));
    let alive: Vec<&str> =
        answer.stderr.lines().filter(|line| line.starts_with("still at work: 0/1 clusters done")).collect();
    assert!(alive.len() >= 2, "{answer}");
    assert!(alive[0].contains("eu-1 waiting (Deployment/"), "{answer}");
    let silent = stage.run(stage.deployer().args([
        "--available-keep-alive",
        "false",
        "--available-keep-alive-interval",
        "0.1",
    ]));
    assert!(!silent.stderr.contains("still at work"), "{silent}");
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure_after_the_deploy() {
    let stage = Stage::new(&["eu-1"]);
    stage.sandbox.write("file", "");
    let answer = stage.run(stage.deployer().args(["--report", "file/r.json"]));
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(answer.stderr.contains("error: cannot write the report: file/r.json"), "{answer}");
    assert!(answer.stdout.contains("eu-1"), "{answer}");
    let answer = stage.run(stage.deployer().args(["--report", "r.pdf"]));
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("a report file ends in .json, .xml, .md or .html: `r.pdf`"), "{answer}");
}
