//! Each step fails once: traffic stays where it was, and a repaired deploy gets there.

use serde_json::{Value, json};

use crate::stage::{SHOP, Stage, result};

/// Two deploys, so that there is something to lose.
fn stage(prefix: &str) -> Stage {
    let mut stage = Stage::new(prefix);
    for id in ["d1", "d2"] {
        stage.write(SHOP, id);
        assert_eq!(stage.fast(id, &[]).0, 0);
    }
    stage.watch();
    stage
}

/// Nothing has moved and nothing was lost.
fn stayed(stage: &Stage, report: &Value) {
    assert_eq!(stage.ids(), ["d2", "d2"], "{report:#}");
    let there = stage.deployments();
    assert!(there.starts_with(&["web-d1 2".into(), "web-d2 2".into()]), "{there:?}");
    let budget = stage.api.get(&stage.path("apis/policy/v1", "poddisruptionbudgets/web")).unwrap();
    assert_eq!(budget["spec"]["selector"]["matchLabels"]["id"], "d2");
}

/// The deploy `d3`, repaired.
fn then_it_works(mut stage: Stage) {
    stage.write(SHOP, "repaired");
    let (code, report) = stage.fast("d3", &[]);
    assert_eq!((code, stage.ids()), (0, vec!["d3".to_owned(); 2]), "{report:#}");
    stage.all_was_well();
}

#[test]
fn pods_that_do_not_run_move_nothing_and_the_same_id_can_be_repaired() {
    let stage = stage("fast-image");
    stage.write_bad(SHOP);
    let (code, report) = stage.fast("d3", &["--available-health-check-grace-period", "1"]);
    assert_eq!(code, 1, "{report:#}");
    let (is, why) = result(&report, "Service", "web");
    assert_eq!(is, "skipped", "{report:#}");
    assert!(
        why.starts_with("it waits for Deployment/") && why.ends_with("it still leads where it led"),
        "{why}"
    );
    stayed(&stage, &report);
    then_it_works(stage);
}

#[test]
fn a_selector_that_does_not_match_moves_nothing() {
    let stage = stage("fast-selector");
    let wrong = SHOP.replacen(
        "selector: {app: web}, ports: [{port: 81",
        "selector: {app: wbe}, ports: [{port: 81",
        1,
    );
    stage.write(&wrong, "3");
    let (code, report) = stage.fast("d3", &[]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(
        result(&report, "Service", "web-admin").1,
        "its selector matches no pods of this deploy, traffic would go nowhere: `app=wbe`"
    );
    assert_eq!(result(&report, "Service", "web").0, "skipped");
    stayed(&stage, &report);
    then_it_works(stage);
}

#[test]
fn when_one_service_is_refused_none_moves() {
    let stage = stage("fast-refused");
    // A port that the server does not take, which only the second Service has.
    stage.write(&SHOP.replace("port: 81", "port: 810000"), "3");
    let (code, report) = stage.fast("d3", &[]);
    assert_eq!(code, 1, "{report:#}");
    assert_eq!(result(&report, "Service", "web-admin").0, "failed");
    assert_eq!(result(&report, "Service", "web").0, "skipped", "{report:#}");
    stayed(&stage, &report);
    then_it_works(stage);
}

#[test]
fn what_fails_beside_moves_nothing_either() {
    let stage = stage("fast-beside");
    let bad = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: NS}\ndata: {k: \"not base64!\"}\n";
    stage.write(&format!("{SHOP}{bad}"), "3");
    let (code, report) = stage.fast("d3", &[]);
    assert_eq!(code, 1, "{report:#}");
    stayed(&stage, &report);
    then_it_works(stage);
}

#[test]
fn a_failed_changeover_keeps_the_old_pods_and_rolling_update_takes_them_back() {
    let mut stage = Stage::new("fast-changeover");
    stage.write(SHOP, "1");
    assert_eq!(stage.rolling(&[]).0, 0);
    stage.watch();
    stage.write_bad(SHOP);
    let (code, report) = stage.fast("d1", &["--available-health-check-grace-period", "1"]);
    assert_eq!(code, 1, "{report:#}");
    assert!(!stage.service("web")["spec"]["selector"]["pod-template-hash"].is_null());
    stage.write(SHOP, "2");
    let (code, report) = stage.rolling(&[]);
    assert_eq!((code, stage.deployments()), (0, vec!["web 2".to_owned()]), "{report:#}");
    assert_eq!(stage.service("web")["spec"]["selector"]["pod-template-hash"], json!(null));
    stage.write(SHOP, "3");
    assert_eq!(stage.rolling(&[]).0, 0);
    stage.all_was_well();
}
