//! What earlier deploys applied and the manifests do not have any more.

use serde_json::json;

use crate::stage::{Stage, with_result};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: NS, labels: {app: web}}\nspec:\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
    containers: [{name: web, image: 'registry.example.com/web:1', envFrom: [{configMapRef: {name: used}}]}]\n---\n\
    apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: NS}\nspec: {selector: {app: web}, ports: [{port: 80}]}\n";

#[test]
fn what_is_not_in_the_manifests_any_more_is_shown_by_a_dry_run_and_goes_in_reverse_order() {
    let stage = Stage::new("prune-order");
    stage.config("stays", "a: '1'");
    stage.config("used", "a: '1'");
    stage.write("web.yaml", WEB);
    stage.deploy(&["--prune"]).success();
    stage.remove("web.yaml");
    stage.remove("used.yaml");

    let dry = stage.deploy(&["--prune", "--dry-run", "--detailed-exitcode", "--quiet"]);
    assert_eq!(dry.exit_code, 3, "{dry}");
    for object in ["ConfigMap/NS/used", "Deployment/NS/web", "Service/NS/web"] {
        let line = format!("- delete {object}  in eu-1\n    the manifests do not have it any more\n");
        assert!(dry.stdout.contains(&line.replace("NS", &stage.namespace)), "{dry}");
    }
    let (code, report) = stage.report(&["--prune", "--debug"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/used", "Deployment/web", "Service/web"]);
    // The service leads to the pods, and these read the configuration.
    let order: Vec<String> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["result"] == "deleted")
        .map(|object| object["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(order.len(), 3);
    assert_eq!(
        (report["counts"]["deleted"].clone(), report["counts"]["failed"].clone()),
        (json!(3), json!(0))
    );
    if testkit::kubectl_is_there() {
        for gone in ["deployment/web", "service/web", "configmap/used"] {
            assert_eq!(stage.get(gone), None, "{gone}");
        }
        assert!(stage.get("configmap/stays").is_some());
        assert_eq!(stage.members(), ["ConfigMap/stays"]);
    }
    let (_, again) = stage.report(&["--prune"]);
    assert_eq!((&again["counts"]["unchanged"], &again["bytesSent"]), (&json!(2), &json!(0)), "{again:#}");
}

#[test]
fn without_the_flag_nothing_goes_and_the_report_says_how_much_is_left_over() {
    let stage = Stage::new("prune-off");
    stage.config("a", "x: '1'");
    stage.config("b", "x: '1'");
    stage.deploy(&[]).success();
    stage.remove("b.yaml");
    let (code, report) = stage.report(&[]);
    assert_eq!((code, &report["set"]["leftover"]), (0, &json!(1)), "{report:#}");
    assert_eq!(report["bytesSent"], 0, "{report:#}");
    // The inventory has not forgotten it.
    let (_, report) = stage.report(&["--prune"]);
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/b"]);
}

#[test]
fn more_than_the_budget_is_refused_and_nothing_is_written() {
    let stage = Stage::new("prune-budget");
    for name in ["a", "b", "c", "d"] {
        stage.config(name, "x: '1'");
    }
    stage.deploy(&[]).success();
    for name in ["b", "c", "d"] {
        stage.remove(&format!("{name}.yaml"));
    }
    stage.config("a", "x: '2'");
    for flags in [&["--dry-run"][..], &[]] {
        let (code, report) = stage.report(&[&["--prune", "--prune-budget", "2"], flags].concat());
        assert_eq!((code, &report["state"]), (5, &json!("refused")), "{report:#}");
        assert_eq!(
            report["trouble"]["message"],
            "3 of 5 objects would be deleted, and the prune budget is 2 objects"
        );
        assert_eq!(report["trouble"]["hints"][0], "if that is meant: `--prune-budget 3`");
        assert_eq!(report["changes"].as_array().unwrap().len(), 4, "what it was about is shown: {report:#}");
    }
    let (code, report) = stage.report(&["--prune", "--prune-budget", "60%"]);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(3)), "{report:#}");
    assert_eq!(report["counts"]["configured"], 1, "the refused runs had written nothing");
}

#[test]
fn an_empty_directory_deletes_nothing_whatever_the_budget() {
    let stage = Stage::new("prune-empty");
    stage.config("a", "x: '1'");
    stage.deploy(&[]).success();
    stage.remove("a.yaml");
    stage.write("none.yaml", "# the render has failed\n");
    std::fs::remove_file(stage.sandbox.join("namespaces/eu-1/ns.yaml")).unwrap();
    let (code, report) = stage.report(&["--prune", "--prune-budget", "100%"]);
    assert_eq!(code, 5, "{report:#}");
    assert_eq!(
        report["trouble"]["message"],
        "there are no manifests at all, and everything that was deployed would be deleted"
    );
}

#[test]
fn objects_that_hold_data_or_ask_to_be_kept_stay_and_the_report_says_why() {
    let stage = Stage::new("prune-kept");
    stage.config("a", "x: '1'");
    stage.write(
        "kept.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: kept, namespace: NS, annotations: {kit/keep: 'true'}}\n",
    );
    stage.write(
        "claim.yaml",
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data, namespace: NS}\nspec:\n  accessModes: [ReadWriteOnce]\n  \
         resources: {requests: {storage: 1Gi}}\n",
    );
    stage.deploy(&["--available-enabled", "false"]).success();
    stage.remove("kept.yaml");
    stage.remove("claim.yaml");
    let (code, report) = stage.report(&["--prune"]);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(0)), "{report:#}");
    let ns = &stage.namespace;
    assert_eq!(
        report["set"]["kept"],
        json!([
            {"object": format!("ConfigMap/{ns}/kept"), "because": "its annotation `kit/keep` says so"},
            {"object": format!("PersistentVolumeClaim/{ns}/data"),
             "because": "objects of its kind only go with `--prune-kinds PersistentVolumeClaim`"},
        ])
    );
    let (code, report) = stage.report(&["--prune", "--prune-kinds", "PersistentVolumeClaim"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(with_result(&report, "deleted"), ["PersistentVolumeClaim/data"]);
}

#[test]
fn what_another_took_over_or_unlabelled_is_not_ours_to_delete() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("prune-others");
    for name in ["a", "b", "c"] {
        stage.config(name, "x: '1'");
    }
    stage.deploy(&[]).success();
    stage.kubectl(&["label", "configmap/b", "applyset.kubernetes.io/part-of-"]).unwrap();
    stage
        .kubectl(&["label", "--overwrite", "configmap/c", "applyset.kubernetes.io/part-of=applyset-other-v1"])
        .unwrap();
    stage.remove("b.yaml");
    stage.remove("c.yaml");
    let (code, report) = stage.report(&["--prune"]);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(0)), "{report:#}");
    assert_eq!(report["set"]["kept"].as_array().unwrap().len(), 2, "{report:#}");
    assert!(stage.get("configmap/b").is_some() && stage.get("configmap/c").is_some());
    assert_eq!(stage.members(), ["ConfigMap/a"]);
}

#[test]
fn two_sets_neither_delete_nor_change_what_the_other_has() {
    let stage = Stage::new("prune-sets");
    stage.config("a", "x: '1'");
    let one = stage.set();
    let two = format!("{}-x", one.chars().take(38).collect::<String>().trim_end_matches('-'));
    stage.deploy(&["--prune"]).success();
    stage.remove("a.yaml");
    stage.config("b", "x: '1'");
    // The later flag counts.
    let other = |flags: &[&str]| {
        let mut call = testkit::program("deployer")
            .args(["-n", "namespaces", "-m", "manifests", "--output", "json", "--configs"])
            .arg(stage.clusters.configs())
            .args(["--resource-set", &two, "--inventory-namespace", &stage.namespace]);
        call = call.args(flags);
        let answer = stage.sandbox.run(call);
        (answer.exit_code, answer.json()["clusters"][0].clone())
    };
    let (code, report) = other(&["--prune"]);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(0)), "{report:#}");
    stage.config("a", "x: '2'");
    let (code, report) = other(&["--prune"]);
    assert_eq!(code, 1, "{report:#}");
    let object = report["objects"].as_array().unwrap().iter().find(|object| object["name"] == "a").unwrap();
    assert_eq!(object["trouble"]["message"], "it belongs to another resource set");
    let (code, report) = other(&["--prune", "--force-conflicts"]);
    assert_eq!((code, with_result(&report, "configured")), (0, vec!["ConfigMap/a".to_owned()]), "{report:#}");
    stage.remove("a.yaml");
    stage.remove("b.yaml");
    stage.config("c", "x: '1'");
    // It has moved for good: its first set does not delete it.
    let (code, report) = stage.report(&["--prune"]);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(0)), "{report:#}");
}

#[test]
fn filters_delete_nothing_that_they_did_not_consider() {
    let stage = Stage::new("prune-filter");
    for (name, app) in [("a", "x"), ("b", "x"), ("c", "w")] {
        stage.write(
            &format!("{name}.yaml"),
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: NS, labels: {{app: {app}}}}}\n"),
        );
    }
    stage.deploy(&[]).success();
    stage.remove("b.yaml");
    stage.remove("c.yaml");
    let (code, report) = stage.report(&["--prune", "--selector", "app=x"]);
    assert_eq!(code, 0);
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/b"], "{report:#}");
    // A filter that takes none of the manifests is a mistake, or a folder that is suddenly empty: nothing goes.
    assert_eq!(stage.report(&["--prune", "--selector", "app=w"]).0, 2);
    for name in ["p", "q"] {
        let labels = "labels: {resource: cart}";
        stage.write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: NS, {labels}}}\n"
            ),
        );
    }
    stage.deploy(&["--resource", "cart"]).success();
    stage.remove("p.yaml");
    let (_, report) = stage.report(&["--prune", "--resource", "shop"]);
    assert_eq!(report["counts"]["deleted"], 0, "{report:#}");
    // `c` is not of this resource: not considered is not absent.
    let (_, report) = stage.report(&["--prune", "--resource", "cart"]);
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/p"], "{report:#}");
    let (_, report) = stage.report(&["--prune"]);
    assert_eq!(with_result(&report, "deleted"), ["ConfigMap/c"], "{report:#}");
}

#[test]
fn nothing_goes_while_what_is_deployed_is_not_well() {
    let stage = Stage::new("prune-unwell");
    stage.config("used", "a: '1'");
    stage.config("b", "x: '1'");
    stage.write("web.yaml", WEB);
    stage.deploy(&[]).success();
    stage.remove("b.yaml");
    stage.write("web.yaml", &WEB.replace("web:1", "bad:1"));
    let flags = ["--prune", "--available-health-check-grace-period", "0", "--available-timeout", "20"];
    let (code, report) = stage.report(&flags);
    assert_eq!(code, 1, "{report:#}");
    let b = report["objects"].as_array().unwrap().iter().find(|object| object["name"] == "b").unwrap();
    assert_eq!(
        (&b["result"], &b["because"]),
        (
            &json!("skipped"),
            &json!(format!("nothing is deleted while Deployment/{}/web is not as wanted", stage.namespace))
        )
    );
}

#[test]
fn pruning_needs_a_name_for_what_belongs_together() {
    let stage = Stage::new("prune-name");
    stage.config("a", "x: '1'");
    let call = testkit::program("deployer")
        .args(["-m", "manifests", "--prune", "--configs"])
        .arg(stage.clusters.configs());
    let answer = stage.sandbox.run(call);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("--resource-set NAME"), "{answer}");
    for flag in ["--raw", "--create-only"] {
        let answer = stage.deploy(&["--prune", flag]);
        assert_eq!(answer.exit_code, 2, "{answer}");
    }
}

#[test]
fn a_reviewed_plan_holds_the_deletions_and_is_refused_when_something_else_was_deployed() {
    let stage = Stage::new("prune-plan");
    stage.config("a", "x: '1'");
    stage.config("b", "x: '1'");
    stage.deploy(&[]).success();
    stage.remove("b.yaml");
    stage.deploy(&["--prune", "--plan-out", "plan.json"]).success();
    let plan: serde_json::Value = serde_json::from_str(&stage.sandbox.read("plan.json")).unwrap();
    let cluster = &plan["clusters"][0];
    assert_eq!(cluster["set"]["lease"], format!("kit-set-{}", stage.set()), "{plan:#}");
    let deletion =
        cluster["objects"].as_array().unwrap().iter().find(|object| object["action"] == "delete").unwrap();
    assert_eq!(deletion["object"]["name"], "b");

    stage.config("c", "x: '1'");
    stage.deploy(&[]).success();
    stage.remove("c.yaml");
    let (code, report) = stage.report(&["--prune", "--plan", "plan.json"]);
    assert_eq!(code, 5, "{report:#}");
    assert!(
        report["trouble"]["causes"].to_string().contains("something else has been deployed"),
        "{report:#}"
    );
    stage.deploy(&["--prune", "--plan-out", "plan.json"]).success();
    let (code, report) = stage.report(&["--prune", "--plan", "plan.json"]);
    assert_eq!((code, with_result(&report, "deleted").len()), (0, 2), "{report:#}");
}
