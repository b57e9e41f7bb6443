//! What is known before the first connection: waves in a dry run and in a plan file, and input that is refused.

use serde_json::json;
use testkit::program;

use crate::{Fleet, config_map};

#[test]
fn a_dry_run_shows_the_waves_first_and_writes_nothing() {
    let fleet = Fleet::numbered(4);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write(
        "waves.yaml",
        "waves:\n- {name: canary, clusters: [c00], bake: 10m, budget: 0}\n\
         - {name: rest, rest: true, concurrency: 2, gate: {exec: [./ok.sh, --token, s3cret]}}\nbudget: 25%\n",
    );
    let dry = fleet.run(&["--waves", "waves.yaml", "--dry-run", "--quiet"]);
    let expected = "\
exit code: 0
--- stdout
wave 1/2 canary  planned  1 cluster: c00 (32 at a time, bakes 10 min 0 s, budget 0)
wave 2/2 rest    planned  3 clusters: c01, c02, c03 (2 at a time, gate exec ./ok.sh)
failure budget of the fleet: 25%
+ create ConfigMap/default/conf  in all 4 clusters
";
    assert!(dry.to_string().starts_with(expected), "{dry}");
    assert!(!fleet.sandbox.join("kit-rollout.journal").exists());
    let json = fleet.run(&["--waves", "waves.yaml", "--dry-run", "--output", "json"]).json();
    assert_eq!(json["rollout"]["waves"][1]["clusters"], json!(["c01", "c02", "c03"]));
    assert_eq!(json["clusters"][3]["wave"], "rest");
    testkit::assert_schema("crates/cli/schema/report.v1.json", &json);
}

#[test]
fn a_plan_holds_its_waves_and_is_refused_with_others() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: one, clusters: [c00]}, {name: two, rest: true}]\n");
    fleet.run(&["--waves", "waves.yaml", "--plan-out", "plan.json"]).success();
    let plan: serde_json::Value = serde_json::from_str(&fleet.sandbox.read("plan.json")).unwrap();
    assert_eq!(plan["rollout"]["waves"][0], json!({"name": "one", "clusters": ["c00"], "bakeSeconds": 0.0}));

    fleet.sandbox.write("other.yaml", "waves: [{name: one, clusters: [c01]}, {name: two, rest: true}]\n");
    for (args, said) in [
        (&["--waves", "other.yaml"][..], "the waves are not those of the plan"),
        (&[], "the plan was made in waves"),
    ] {
        let refused = fleet.run(&[args, &["--plan", "plan.json"]].concat());
        assert_eq!(refused.exit_code, 5, "{refused}");
        assert!(refused.stderr.contains(said), "{refused}");
    }
    fleet.run(&["--waves", "waves.yaml", "--plan", "plan.json"]).success();
}

#[test]
fn without_a_file_the_waves_are_those_of_the_rendered_clusters() {
    let fleet = Fleet::new(&["dev-1".to_owned(), "eu-1".to_owned(), "us-1".to_owned()]);
    let sandbox = &fleet.sandbox;
    sandbox.write("kit.yaml", "version: 1\nbase: {path: .}\ntype: {path: ./type}\ncluster: {path: ./clusters}\nresources: {path: ./resources}\nimages: {path: ./images, property: image}\noutput: {path: ./manifests}\n");
    sandbox.write("base-cluster.yaml", "kind: ClusterNamespace\nmetadata: {labels: {company: larkspur}}\nresources:\n  conf: {file: ./conf.yaml}\n");
    sandbox.write("base-var.yaml", "kind: ResourceConfig\n");
    sandbox.write("resources/conf.yaml", config_map("1"));
    sandbox
        .write("type/development-var.yaml", "kind: ResourceConfig\nmetadata: {type: development, wave: 1}\n");
    sandbox
        .write("type/production-var.yaml", "kind: ResourceConfig\nmetadata: {type: production, wave: 20}\n");
    let cluster = |name: &str, kind: &str, more: &str| {
        let text = format!("kind: ClusterNamespace\nmetadata: {{name: {name}, type: {kind}{more}}}\n");
        sandbox.write(format!("clusters/{name}/cluster.yaml"), text);
    };
    cluster("dev-1", "development", "");
    cluster("eu-1", "production", ", labels: {region: eu}");
    cluster("us-1", "production", ", wave: 3");
    sandbox.run(program("deploymentizer").args(["--conf", "kit.yaml"])).success();

    let answer = fleet.run(&[]).success();
    let told: Vec<&str> = answer.stdout.lines().filter(|line| line.starts_with("wave ")).collect();
    assert_eq!(
        told,
        [
            "wave 1/3 1   passed  1 cluster: 1 done",
            "wave 2/3 3   passed  1 cluster: 1 done",
            "wave 3/3 20  passed  1 cluster: 1 done"
        ],
        "{answer}"
    );
    // A waves file selects by what is in the repository too.
    sandbox.write(
        "waves.yaml",
        "waves: [{name: home, labels: 'company=larkspur,type=development'}, {name: eu, labels: region=eu}, {name: rest, rest: true}]\n",
    );
    let json = fleet.run(&["--waves", "waves.yaml", "--dry-run", "--output", "json"]).json();
    let waves: Vec<_> = json["clusters"].as_array().unwrap().iter().map(|c| c["wave"].clone()).collect();
    assert_eq!(waves, ["home", "eu", "rest"]);
    let at_once = fleet.run(&["--no-waves"]).success();
    assert!(!at_once.stdout.contains("wave"), "{at_once}");

    sandbox.write(
        "clusters/us-1/cluster.yaml",
        "kind: ClusterNamespace\nmetadata:\n  name: us-1\n  type: production\n  wave: soon\n",
    );
    let refused = sandbox.run(program("deploymentizer").args(["--conf", "kit.yaml"]));
    assert_eq!(refused.exit_code, 4, "{refused}");
    let said = "`metadata.wave` is not a whole number: `soon`";
    assert!(refused.stderr.contains(said) && refused.stderr.contains("cluster.yaml:5"), "{refused}");
}

#[test]
fn labels_of_kubeconfigs_make_waves() {
    let fleet = Fleet::numbered(3);
    fleet.manifest(&config_map("1"));
    for (name, region) in [("c00", "us"), ("c01", "eu"), ("c02", "us")] {
        let path = fleet.sandbox.join(format!("configs/{name}.yaml"));
        let text = std::fs::read_to_string(&path).unwrap();
        let with = text.replacen(
            &format!("name: {name}"),
            &format!("name: {name}\n  labels: {{region: {region}}}"),
            1,
        );
        std::fs::write(&path, with).unwrap();
    }
    fleet.sandbox.write(
        "waves.yaml",
        "waves: [{name: eu, labels: region=eu}, {name: half, percent: 50}, {name: rest, rest: true}]\n",
    );
    let json = fleet.run(&["--waves", "waves.yaml", "--dry-run", "--output", "json"]).json();
    let sizes: Vec<_> = json["rollout"]["waves"]
        .as_array()
        .unwrap()
        .iter()
        .map(|wave| wave["clusters"].as_array().unwrap().len())
        .collect();
    assert_eq!(json["clusters"][1]["wave"], "eu");
    assert_eq!(sizes, [1, 1, 1]);
}

#[test]
fn what_cannot_be_meant_is_refused_before_anything_is_touched() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: one, clusters: [c00, c77]}]\n");
    fleet.sandbox.write("good.yaml", "waves: [{name: all, rest: true}]\n");
    fleet.sandbox.write("manifest-like.yaml", config_map("x"));
    let refused = |args: &[&str], code: i32, said: &[&str]| {
        let answer = fleet.run(args);
        assert_eq!(answer.exit_code, code, "{args:?}: {answer}");
        for said in said {
            assert!(answer.stderr.contains(said), "{args:?} {said}: {answer}");
        }
    };
    refused(
        &["--waves", "waves.yaml"],
        2,
        &["wave `one` names a cluster that is not there: `c77`", "no wave takes 1 of the clusters: c01"],
    );
    refused(&["--waves", "none.yaml"], 2, &["cannot read the waves: `none.yaml`"]);
    refused(
        &["--waves", "good.yaml", "--until-wave", "rest"],
        2,
        &["names no wave: `rest`", "the waves are: all"],
    );
    refused(&["--failure-budget", "many"], 2, &["a budget is a count such as `3` or a share such as `5%`"]);
    refused(&["--bake", "soon"], 2, &["`--bake` cannot be read", "`soon`"]);
    refused(&["--no-waves", "--resume"], 2, &["`--no-waves` and `--resume` contradict each other"]);
    refused(
        &["--waves", "good.yaml", "--available-enabled", "false"],
        2,
        &["waves need to know whether a cluster is ready"],
    );
    refused(&["--waves", "good.yaml", "--resume"], 2, &["there is nothing to resume", "kit-rollout.journal"]);
    refused(&["--waves", "good.yaml", "--resume", "--dry-run"], 2, &["there is nothing to resume"]);
    refused(
        &["--journal", "manifest-like.yaml"],
        2,
        &["manifest-like.yaml:1: not a journal entry", "give another file"],
    );
    assert_eq!(fleet.sandbox.read("manifest-like.yaml"), config_map("x"), "a file that is no journal stays");
    assert_eq!(fleet.requests("c00") + fleet.requests("c01"), 0);
}

#[test]
fn a_journal_of_another_rollout_is_refused_and_begun_anew_it_is_kept() {
    let fleet = Fleet::numbered(2);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: one, clusters: [c00]}, {name: two, rest: true}]\n");
    let args = ["--waves", "waves.yaml", "--sha", "aaa"];
    fleet.run(&[&args[..], &["--until-wave", "one"]].concat()).success();
    let begun = fleet.journal();

    fleet.manifest(&config_map("2"));
    let refused = fleet.run(&[&args[..], &["--resume", "--force"]].concat());
    assert_eq!(refused.exit_code, 5, "{refused}");
    assert!(
        refused.stderr.contains(
            "the manifests are not those of the rollout in the journal (commit aaa): `kit-rollout.journal`"
        ),
        "{refused}"
    );
    assert!(
        refused.stderr.contains("begun with other options: `force=false`, now `force=true`"),
        "{refused}"
    );
    fleet.sandbox.write("other.yaml", "waves: [{name: one, clusters: [c01]}, {name: two, rest: true}]\n");
    fleet.manifest(&config_map("1"));
    let refused = fleet.run(&["--waves", "other.yaml", "--resume"]);
    assert_eq!(refused.exit_code, 5, "{refused}");
    assert!(refused.stderr.contains("other clusters in wave `one`"), "{refused}");
    assert_eq!(fleet.journal(), begun, "a refusal leaves the journal alone");

    fleet.manifest(&config_map("2"));
    let anew = fleet.run(&args);
    assert_eq!(anew.exit_code, 0, "{anew}");
    assert!(anew.stderr.contains("the unfinished rollout of aaa is given up"), "{anew}");
    assert_eq!(fleet.sandbox.read("kit-rollout.journal.old"), begun);
}

#[test]
fn an_approval_stands_between_two_runs() {
    let fleet = Fleet::numbered(3);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write("waves.yaml", "waves: [{name: canary, clusters: [c00]}, {name: rest, rest: true}]\n");
    let args = ["--waves", "waves.yaml", "--journal", "j", "--output", "json"];
    let first = fleet.run(&[&args[..], &["--until-wave", "canary"]].concat()).success().json();
    assert_eq!(first["clusters"].as_array().unwrap().len(), 1, "it is about the canary only");
    assert_eq!(
        first["rollout"]["next"],
        json!(["the next wave begins with `--resume --journal j` and the same flags"])
    );
    assert_eq!(fleet.requests("c01"), 0);
    let dry = fleet.run(&[&args[..], &["--resume", "--dry-run"]].concat()).success().json();
    assert_eq!(dry["clusters"].as_array().unwrap().len(), 2, "what a resume would do");
    assert_eq!(dry["rollout"]["waves"][0]["state"], "passed");
    let second = fleet.run(&[&args[..], &["--resume"]].concat()).success().json();
    assert_eq!(second["clusters"][0]["doneBefore"], true);
    assert_eq!(second["clusters"][2]["state"], "done");
}

#[test]
fn two_rollouts_never_share_a_journal() {
    let fleet = Fleet::numbered(1);
    fleet.manifest(&config_map("1"));
    fleet.sandbox.write(
        "waves.yaml",
        "waves: [{name: all, rest: true, gate: {exec: [sh, -c, 'echo x > asked; sleep 60']}}]\n",
    );
    let mut first = fleet.sandbox.start(&fleet.deployer().args(["--waves", "waves.yaml"]));
    crate::wait_for(&fleet.sandbox.join("asked"), "x");
    let second = fleet.run(&["--waves", "waves.yaml", "--resume"]);
    assert_eq!(second.exit_code, 5, "{second}");
    assert!(
        second.stderr.contains("another deployer is writing this journal: `kit-rollout.journal`"),
        "{second}"
    );
    first.kill().unwrap();
    first.wait().unwrap();
}
