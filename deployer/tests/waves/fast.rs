//! A rollout of `--strategy fast-rollback`, in waves.

use serde_json::json;

use crate::{Fleet, deployment};

const WAVES: &str = "\
waves:
- {name: canary, clusters: [c00], bake: 1s}
- {name: rest, rest: true}
";

fn shop(image: &str) -> String {
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";
    deployment("default", image) + service
}

#[test]
fn a_wave_that_breaks_leaves_traffic_where_it_was_and_a_resume_moves_the_rest() {
    let fleet = Fleet::numbered(3);
    fleet.sandbox.write("waves.yaml", WAVES);
    let run = |id: &str, flags: &[&str]| {
        let all =
            ["--waves", "waves.yaml", "--strategy", "fast-rollback", "--deploy-id", id, "--output", "json"];
        fleet.run(&[&all[..], &["--sha", id, "--reserve-replicas", "0"], flags].concat())
    };
    fleet.manifest(&shop("web:1"));
    run("d1", &[]).success();

    // On one cluster the Service cannot be written: it stays, and so does what comes after.
    fleet.refuse_writes("c01", &["services"]);
    fleet.manifest(&shop("web:2"));
    let broken = run("d2", &[]);
    assert_eq!(broken.exit_code, 4, "{broken}");
    let report = broken.json();
    assert_eq!(report["rollout"]["waves"][0]["state"], "passed", "the bake bears a reserve of 0: {report:#}");
    assert_eq!(report["rollout"]["stopped"]["wave"], "rest", "{report:#}");

    fleet.repair("c01");
    let resumed = run("d2", &["--resume"]);
    assert_eq!(resumed.exit_code, 0, "{resumed}");
    assert_eq!(resumed.json()["clusters"][0]["doneBefore"], json!(true));
    let all = ["--strategy", "fast-rollback", "--deploy-id", "d2", "--reserve-replicas", "0"];
    let dry = fleet.run(&[&all[..], &["--no-waves", "--dry-run", "--detailed-exitcode"]].concat());
    assert_eq!(dry.exit_code, 0, "{dry}");
    // And back, a reviewed plan of the whole fleet.
    let back = ["--strategy", "fast-rollback", "--deploy-id", "d1", "--no-waves"];
    fleet.run(&[&back[..], &["--plan-out", "plan.json"]].concat()).success();
    let done = fleet.run(&[&back[..], &["--plan", "plan.json", "--output", "json"]].concat()).success();
    assert_eq!(done.json()["totals"]["created"], 0, "{done}");
}
