//! Waves of a resource set: what is pruned, what a guard refuses, and how that counts.

use serde_json::{Value, json};

use crate::{Fleet, config_map};

const WAVES: &str = "\
waves:
- {name: one, clusters: [c00, c01]}
- {name: two, clusters: [c02, c03], concurrency: 1}
- {name: three, rest: true}
";

/// ConfigMap `conf` with a value, and others with none.
fn manifests(fleet: &Fleet, value: &str, others: &[&str]) {
    let more = others.iter().map(|name| format!("---\n{}", config_map("0").replace("conf", name)));
    fleet.manifest(&(config_map(value) + &more.collect::<String>()));
}

/// `state deleted` of each cluster.
fn ends(report: &Value) -> Vec<String> {
    let clusters = report["clusters"].as_array().unwrap().iter();
    clusters
        .map(|cluster| {
            let gone = cluster["objects"].as_array().into_iter().flatten();
            let gone: Vec<&str> = gone
                .filter(|object| object["result"] == "deleted")
                .map(|object| object["name"].as_str().unwrap())
                .collect();
            format!("{} {}", cluster["state"].as_str().unwrap(), gone.join(",")).trim_end().to_owned()
        })
        .collect()
}

#[test]
fn each_wave_prunes_and_a_cluster_with_a_newer_commit_counts_as_failed() {
    let fleet = Fleet::numbered(6);
    let commits: [String; 4] = fleet.commits();
    fleet.sandbox.write("waves.yaml", WAVES);
    let set = |sha: &str, flags: &[&str]| {
        let call =
            fleet.deployer().args(["--resource-set", "shop", "--prune", "--sha", sha, "--repo", "clone"]);
        fleet.sandbox.run(call.args(["--output", "json"]).args(flags))
    };
    let waves = ["--waves", "waves.yaml"];
    manifests(&fleet, "0", &["old", "older"]);
    let first = set(&commits[0], &waves);
    assert_eq!((first.exit_code, ends(&first.json())), (0, vec!["done".to_owned(); 6]), "{first}");

    // Each wave prunes its own clusters.
    manifests(&fleet, "1", &["old"]);
    let second = set(&commits[1], &waves);
    assert_eq!((second.exit_code, ends(&second.json())), (0, vec!["done older".to_owned(); 6]), "{second}");

    // Somebody is ahead on one cluster of the second wave.
    manifests(&fleet, "3", &["old"]);
    let ahead = set(&commits[3], &["--no-waves", "--cluster", "c02"]);
    assert_eq!(ahead.exit_code, 0, "{ahead}");
    manifests(&fleet, "2", &[]);
    let dry = set(&commits[2], &["--waves", "waves.yaml", "--dry-run"]);
    assert_eq!(dry.exit_code, 4, "{dry}");
    assert_eq!(ends(&dry.json())[1..4], ["done old", "refused", "done old"], "{dry}");
    let answer = set(&commits[2], &waves);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report = answer.json();
    let expected = ["done old", "done old", "refused", "not-started", "not-started", "not-started"];
    assert_eq!(ends(&report), expected, "{answer}");
    let because = "1 of 6 clusters of the fleet failed, the failure budget is 0";
    assert_eq!(report["rollout"]["stopped"], json!({"wave": "two", "because": because}));
    let trouble = &report["clusters"][2]["trouble"];
    assert_eq!(trouble["message"], "the cluster has a newer commit, nothing was written");

    // One failure is borne: the others follow, and prune; the one that is ahead keeps what it has.
    let on = set(&commits[2], &[&waves[..], &["--resume", "--failure-budget", "1"]].concat());
    assert_eq!(on.exit_code, 4, "{on}");
    assert_eq!(ends(&on.json())[2..], ["refused", "done old", "done old", "done old"], "{on}");

    // What follows its commit goes everywhere again.
    let last = set(&commits[3], &waves);
    let expected = ["done", "done", "done old", "done", "done", "done"];
    assert_eq!((last.exit_code, ends(&last.json())), (0, expected.map(str::to_owned).to_vec()), "{last}");
}

#[test]
fn a_prune_budget_that_one_cluster_exceeds_stops_its_wave_and_the_larger_one_goes_on() {
    let fleet = Fleet::numbered(6);
    fleet.sandbox.write("waves.yaml", WAVES);
    let set = |flags: &[&str]| {
        let call = fleet.deployer().args(["--resource-set", "shop", "--prune", "--waves", "waves.yaml"]);
        fleet.sandbox.run(call.args(["--output", "json"]).args(flags))
    };
    manifests(&fleet, "1", &[]);
    let more = config_map("1")
        + "---\n"
        + &config_map("0").replace("conf", "a")
        + "---\n"
        + &config_map("0").replace("conf", "b");
    fleet.sandbox.write("manifests/c03/all.yaml", more);
    assert_eq!(set(&[]).exit_code, 0);
    manifests(&fleet, "2", &[]);
    let answer = set(&["--prune-budget", "1"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let expected = ["done", "done", "done", "refused", "not-started", "not-started"];
    assert_eq!(ends(&answer.json()), expected, "{answer}");
    // Another budget is another decision about the same manifests.
    let on = set(&["--prune-budget", "2", "--resume"]);
    assert_eq!(on.exit_code, 0, "{on}");
    assert_eq!(ends(&on.json())[3..], ["done a,b", "done", "done"], "{on}");
}
