//! A hundred clusters.

use serde_json::{Value, json};
use simcluster::{Action, Fault};

use crate::{Fleet, config_map};

const WAVES: &str = "\
waves:
- {name: canary, clusters: [c00, c01]}
- {name: rest, rest: true, concurrency: 4}
budget: 5%
";

fn states(report: &Value, state: &str) -> Vec<String> {
    let clusters = report["clusters"].as_array().unwrap().iter();
    clusters
        .filter(|cluster| cluster["state"] == state)
        .map(|cluster| cluster["name"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn seven_bad_clusters_of_a_hundred_break_a_budget_of_5_percent_and_a_resume_ends_it() {
    let fleet = Fleet::numbered(100);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", WAVES);
    fleet.run(&["--no-waves", "--sha", "aaa"]).success();
    let bad = ["c10", "c20", "c30", "c40", "c50", "c60", "c70"];
    for name in bad {
        fleet.refuse_writes(name, &[]);
    }

    fleet.manifest(&config_map("2"));
    let args = ["--waves", "waves.yaml", "--sha", "bbb", "--output", "json"];
    let answer = fleet.run(&args);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report = answer.json();
    // Where it must: the sixth is one too many, and the seventh is never tried.
    assert_eq!(states(&report, "failed"), bad[..6], "{answer}");
    let because = "6 of 100 clusters of the fleet failed, the failure budget is 5 (5 %)";
    assert_eq!(report["rollout"]["stopped"], json!({"wave": "rest", "because": because}));
    let left = states(&report, "not-started");
    assert!(left.contains(&"c70".to_owned()) && left.len() >= 100 - 61 - 4, "{left:?}");
    assert_eq!(report["rollout"]["waves"][0]["state"], "passed");
    assert_eq!(report["rollout"]["waves"][1]["state"], "stopped");
    assert_eq!(report["clusters"][0]["wave"], "canary");
    assert!(answer.stderr.contains("stopped in wave `rest`: 6 of 100"), "{answer}");
    let next = report["rollout"]["next"].to_string();
    assert!(next.contains("--resume --journal kit-rollout.journal"), "{next}");
    assert!(!fleet.journal().contains("c70\"}"), "never begun");

    // The repair. What was done is not even asked again.
    for name in bad {
        fleet.repair(name);
    }
    let before: Vec<u64> = ["c00", "c02", "c11"].iter().map(|name| fleet.requests(name)).collect();
    let resumed = fleet.run(&[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.exit_code, 0, "{resumed}");
    let report = resumed.json();
    assert_eq!(states(&report, "done").len(), 100);
    let after: Vec<u64> = ["c00", "c02", "c11"].iter().map(|name| fleet.requests(name)).collect();
    assert_eq!(before, after, "clusters that were done are left alone");
    assert_eq!(report["clusters"][0]["doneBefore"], true);
    assert!(report["rollout"].get("stopped").is_none());
    assert!(fleet.journal().ends_with("{\"entry\":\"complete\"}\n"));

    // Once more: there is nothing to do, and nobody is asked.
    let again = fleet.run(&[&args[..], &["--resume"]].concat());
    assert_eq!(again.exit_code, 0, "{again}");
    assert_eq!(after[0], fleet.requests("c00"));
    // The fleet is as it should be.
    let dry = fleet.run(&["--no-waves", "--dry-run", "--detailed-exitcode", "--quiet"]);
    assert_eq!(dry.exit_code, 0, "{dry}");
}

#[test]
fn a_stopped_rollout_says_what_is_on_which_version_and_how_to_go_on() {
    let fleet = Fleet::numbered(5);
    // Commits are read off workloads.
    let web = |image: &str| crate::deployment("default", image);
    fleet.manifest(&web("registry.example.com/web:1"));
    fleet.run(&["--sha", "aaaaaaa"]).success();
    fleet.manifest(&web("registry.example.com/web:2"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: first, clusters: [c00]}, {name: second, clusters: ['c0[1-3]'], concurrency: 1}, {name: last, rest: true}]\n");
    fleet.refuse_writes("c02", &[]);
    let answer = fleet.run(&["--waves", "waves.yaml", "--sha", "bbbbbbb"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let expected = "\
wave 1/3 first   passed       1 cluster: 1 done
wave 2/3 second  stopped      3 clusters: 1 done, 1 failed
wave 3/3 last    not started  1 cluster: c04 (32 at a time)
failure budget of the fleet: 0
stopped in wave `second`: 1 of 5 clusters of the fleet failed, the failure budget is 0
on bbbbbbb: 2 clusters: c00, c01
on aaaaaaa: 3 clusters: c02, c03, c04
  hint: repair what failed, then go on where it stopped: `--resume --journal kit-rollout.journal` and the same flags
  hint: or take it back: revert the commit and deploy that, in the same waves and without `--resume`
";
    assert!(answer.stdout.ends_with(expected), "{answer}");
}

#[test]
fn clusters_out_of_reach_are_set_aside_and_taken_up_again() {
    let fleet = Fleet::numbered(6);
    fleet.manifest(&config_map("1"));
    fleet
        .sandbox
        .write("waves.yaml", "waves: [{name: first, clusters: [c00, c01]}, {name: rest, rest: true}]\n");
    let args = ["--waves", "waves.yaml", "--output", "json"];
    for name in ["c01", "c03"] {
        fleet.simulation.set_faults(name, vec![Fault::every(Action::ResetBefore)], 1);
    }
    let answer = fleet.run(&args);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report = answer.json();
    let quarantined: Vec<bool> =
        report["clusters"].as_array().unwrap().iter().map(|cluster| cluster["quarantined"] == true).collect();
    assert_eq!(quarantined, [false, true, false, true, false, false], "{answer}");
    assert_eq!(report["rollout"]["waves"][0]["quarantined"], 1);
    assert!(report["rollout"].get("stopped").is_none(), "they do not use up the failure budget");
    let table = fleet.run(&["--waves", "waves.yaml", "--resume"]);
    assert!(table.stdout.contains("quarantined"), "{table}");
    assert!(table.stdout.contains("0 failed and 2 unreachable clusters are taken up again"), "{table}");

    fleet.repair("c01");
    fleet.repair("c03");
    let resumed = fleet.run(&[&args[..], &["--resume"]].concat());
    assert_eq!(resumed.exit_code, 0, "{resumed}");
    assert!(resumed.json()["clusters"].as_array().unwrap().iter().all(|cluster| cluster["state"] == "done"));
}

#[test]
fn a_wave_of_which_more_than_half_is_out_of_reach_stops_the_rollout() {
    let fleet = Fleet::numbered(4);
    fleet.manifest(&config_map("1"));
    fleet
        .sandbox
        .write("waves.yaml", "waves: [{name: first, clusters: [c00, c01]}, {name: rest, rest: true}]\n");
    for name in ["c00", "c01"] {
        fleet.simulation.set_faults(name, vec![Fault::every(Action::ResetBefore)], 1);
    }
    let answer = fleet.run(&["--waves", "waves.yaml"]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(
        answer.stderr.contains("2 of 2 clusters of wave `first` cannot be reached, the limit is 1 (50 %)"),
        "{answer}"
    );
}

#[test]
fn a_restart_while_a_wave_bakes_stops_it() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&crate::deployment("default", "registry.example.com/web:1"));
    fleet
        .sandbox
        .write("manifests/c00/all.yaml", crate::deployment("default", "registry.example.com/web:relapse"));
    fleet
        .sandbox
        .write("waves.yaml", "waves: [{name: first, clusters: [c00], bake: 4s}, {name: rest, rest: true}]\n");
    let answer = fleet.run(&["--waves", "waves.yaml", "--output", "json"]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    let report = answer.json();
    assert_eq!(report["clusters"][0]["state"], "failed");
    let causes = report["clusters"][0]["trouble"]["causes"].to_string();
    assert!(causes.contains("Deployment/default/web restarted once: pod web-"), "{causes}");
    assert_eq!(report["clusters"][1]["state"], "not-started");
    // By now it is well: the resume deploys nothing, bakes again, and goes on.
    let resumed = fleet.run(&["--waves", "waves.yaml", "--bake", "1s", "--resume"]);
    assert_eq!(resumed.exit_code, 0, "{resumed}");
}
