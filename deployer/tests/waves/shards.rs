//! `--shard I/N` and `report merge`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{Fleet, config_map};

#[test]
fn the_jobs_of_a_matrix_do_every_cluster_once_and_their_reports_become_one() {
    let fleet = Fleet::numbered(12);
    fleet.manifest(&config_map("1"));
    fleet.refuse_writes("c05", &[]);
    let mut seen = BTreeSet::new();
    for shard in 1..=3 {
        let report = format!("reports/{shard}.json");
        let answer = fleet.run(&["--shard", &format!("{shard}/3"), "--report", &report]);
        let json: Value = serde_json::from_str(&fleet.sandbox.read(&report)).unwrap();
        assert_eq!(json["shard"], format!("{shard}/3"));
        assert_eq!(json["exitCode"], answer.exit_code);
        for cluster in json["clusters"].as_array().unwrap() {
            assert!(seen.insert(cluster["name"].as_str().unwrap().to_owned()), "twice: {cluster}");
        }
    }
    assert_eq!(seen.len(), 12);

    let forms = ["--report", "all.json,all.xml,all.md,all.html"];
    let merged =
        fleet.sandbox.run(testkit::program("deployer").args(["report", "merge", "reports"]).args(forms));
    assert_eq!(merged.exit_code, 4, "{merged}");
    assert_eq!(merged.stdout.lines().filter(|line| line.starts_with('c')).count(), 12 + 1, "{merged}");
    assert!(merged.stdout.contains("\nc05: ConfigMap/default/conf failed"), "{merged}");
    for (file, says) in [
        ("all.json", "\"exitCode\": 4"),
        ("all.xml", "<testsuite name=\"c05\""),
        ("all.md", "## Deploy: failed on some clusters"),
        ("all.html", "<title>Deploy: failed</title>"),
    ] {
        assert!(fleet.sandbox.read(file).contains(says), "{file}");
    }
    let json = fleet.sandbox.run(testkit::program("deployer").args([
        "report",
        "merge",
        "reports/1.json",
        "reports/2.json",
        "reports/3.json",
        "--output",
        "json",
    ]));
    assert_eq!(json.stdout, fleet.sandbox.read("all.json"));
    testkit::assert_schema("crates/cli/schema/report.v1.json", &json.json());
}

#[test]
fn a_job_that_left_no_report_is_missed() {
    let fleet = Fleet::numbered(4);
    fleet.manifest(&config_map("1"));
    fleet.run(&["--shard", "2/2", "--report", "reports/2.json", "--dry-run"]).success();
    let merge =
        |args: &[&str]| fleet.sandbox.run(testkit::program("deployer").args(["report", "merge"]).args(args));
    let answer = merge(&["reports"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("a shard is missing: `1/2`"), "{answer}");
    fleet.sandbox.write("reports/1.json", "{\"version\": 7}");
    let answer = merge(&["reports", "none.json"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("cannot read the report: `reports/1.json`"), "{answer}");
    assert!(answer.stderr.contains("cannot read the report: `none.json`"), "{answer}");
    assert_eq!(merge(&[]).exit_code, 2);
    fleet.sandbox.write("empty/x.txt", "");
    assert!(merge(&["empty"]).stderr.contains("there is no report in it: `empty`"));
}

#[test]
fn a_shard_without_clusters_is_done() {
    let fleet = Fleet::numbered(1);
    fleet.manifest(&config_map("1"));
    let answers: Vec<_> = (1..=8).map(|n| fleet.run(&["--shard", &format!("{n}/8"), "--dry-run"])).collect();
    assert!(answers.iter().all(|answer| answer.exit_code == 0));
    assert!(
        answers.iter().any(|answer| answer.stderr.contains("no cluster is in this shard")),
        "{}",
        answers[0]
    );
}

#[test]
fn waves_are_not_sharded() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: all, rest: true}]\n");
    let forms: [&[&str]; 6] = [
        &["--waves", "waves.yaml"],
        &["--failure-budget", "5%"],
        &["--journal", "j"],
        &["--bake", "1m"],
        &["--until-wave", "all"],
        &["--resume"],
    ];
    for args in forms {
        let refused = fleet.run(&[args, &["--shard", "1/2"]].concat());
        assert_eq!(refused.exit_code, 2, "{refused}");
        assert!(
            refused.stderr.contains(&format!("`--shard` cannot be combined with waves ({})", args[0])),
            "{refused}"
        );
    }
    for bad in ["3/2", "0/2", "x"] {
        let refused = fleet.run(&["--shard", bad]);
        assert_eq!(refused.exit_code, 2, "{refused}");
        assert!(refused.stderr.contains("a shard is written `I/N`"), "{refused}");
    }
}

/// One cluster of the fleet has a wave from deploymentizer: the shards that do not have that cluster must know of it.
#[test]
fn no_shard_runs_ahead_of_the_waves_of_the_rendered_clusters() {
    let fleet = Fleet::numbered(4);
    fleet.manifest(&config_map("1"));
    let index = r#"{"version": 1, "cluster": "c00", "placement": {"wave": 1}, "files": {}}"#;
    fleet.sandbox.write("manifests/c00/.kit-index.json", index);
    for shard in ["1/4", "2/4", "3/4", "4/4"] {
        let refused = fleet.run(&["--shard", shard]);
        assert_eq!(refused.exit_code, 2, "{refused}");
        assert!(refused.stderr.contains("(`metadata.wave` of the rendered clusters)"), "{refused}");
        fleet.run(&["--shard", shard, "--no-waves"]).success();
    }
}

#[test]
fn guards_and_prune_budgets_hold_in_every_shard() {
    let fleet = Fleet::numbered(4);
    let [older, newer] = fleet.commits();
    let shards = |sha: &str, flags: &[&str]| {
        let run = |shard: u32| {
            let shard = format!("{shard}/2");
            let of_it = ["--shard", &shard, "--resource-set", "shop", "--repo", "clone", "--sha", sha];
            fleet.run(&[&of_it, flags].concat())
        };
        [run(1), run(2)]
    };
    let many: String =
        (0..12).map(|n| config_map("1").replace("name: conf", &format!("name: c{n}")) + "---\n").collect();
    fleet.manifest(&(many + &config_map("1")));
    for answer in shards(&newer, &[]) {
        answer.success();
    }

    fleet.manifest(&config_map("0"));
    for refused in shards(&older, &[]) {
        assert_eq!(refused.exit_code, 5, "{refused}");
        assert!(refused.stdout.contains("the cluster has a newer commit"), "{refused}");
    }
    for refused in shards(&newer, &["--prune"]) {
        assert_eq!(refused.exit_code, 5, "{refused}");
        assert!(refused.stdout.contains("--prune-budget"), "{refused}");
    }
    for answer in shards(&newer, &["--prune", "--prune-budget", "12"]) {
        answer.success();
    }
}
