//! When all goes well.

use std::time::Duration;

use serde_json::json;

use crate::stage::{SHOP, Stage, changes, counts, result};

#[test]
fn traffic_moves_with_its_followers_back_and_forth_and_three_reserves_stay() {
    let mut stage = Stage::new("fast-moves");
    stage.write(SHOP, "1");
    let (code, first) = stage.fast("d1", &[]);
    assert_eq!((code, counts(&first)), (0, json!({"created": 5})), "{first:#}");
    assert_eq!((stage.ids(), stage.deployments()), (vec!["d1".into(), "d1".into()], vec!["web-d1 2".into()]));

    stage.watch();
    stage.write(SHOP, "2");
    // A dry run shows all of it and does none.
    let (code, dry) = stage.fast("d2", &["--dry-run"]);
    assert_eq!(code, 0, "{dry:#}");
    let expected = ["create web-d2", "configure web", "configure web-admin", "configure web"];
    assert_eq!(changes(&dry), expected, "{dry:#}");
    assert_eq!(stage.deployments(), ["web-d1 2"]);

    let (code, second) = stage.fast("d2", &[]);
    assert_eq!(
        (code, counts(&second)),
        (0, json!({"created": 1, "configured": 3, "unchanged": 1})),
        "{second:#}"
    );
    assert_eq!(
        (stage.ids(), stage.deployments()),
        (vec!["d2".into(); 2], vec!["web-d1 2".into(), "web-d2 2".into()])
    );
    assert_eq!(stage.service("web")["metadata"]["annotations"]["kit/previous-id"], "d1");
    let budget = stage.api.get(&stage.path("apis/policy/v1", "poddisruptionbudgets/web")).unwrap();
    assert_eq!(budget["spec"]["selector"]["matchLabels"]["id"], "d2");

    // Again: nothing.
    let (code, again) = stage.fast("d2", &[]);
    assert_eq!((code, counts(&again)), (0, json!({"unchanged": 5})), "{again:#}");

    // Back, with the manifests of d2: one write per Service and one for the budget, no new pods.
    let before = stage.pods();
    let (code, back) = stage.fast("d1", &["--is-rollback"]);
    assert_eq!(
        (code, counts(&back)),
        (0, json!({"configured": 3, "skipped": 1, "unchanged": 1})),
        "{back:#}"
    );
    assert_eq!(
        result(&back, "Deployment", "web-d1"),
        (
            "skipped".into(),
            "it differs from the manifest: what was deployed as `d1` is used as it is (`--force` applies the manifest)".into()
        )
    );
    assert_eq!((stage.pods(), stage.ids()), (before, vec!["d1".to_owned(); 2]));
    let web = stage.api.get(&stage.path("apis/apps/v1", "deployments/web-d1")).unwrap();
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/web:1");

    // Forward again, then on: three reserves stay.
    for id in ["d3", "d4", "d5"] {
        stage.write(SHOP, id);
        let (code, report) = stage.fast(id, &[]);
        assert_eq!(code, 0, "{report:#}");
    }
    assert_eq!(stage.deployments(), ["web-d2 2", "web-d3 2", "web-d4 2", "web-d5 2"]);
    stage.all_was_well();
}

#[test]
fn reserves_are_scaled_down_and_come_back_whole_and_what_is_newer_goes_when_asked() {
    let mut stage = Stage::new("fast-reserves");
    for id in ["d1", "d2", "d3"] {
        stage.write(SHOP, id);
        assert_eq!(stage.fast(id, &["--reserve-replicas", "0", "--reserves", "5"]).0, 0);
        if id == "d1" {
            stage.watch();
        }
        // Which one is newer is told by `creationTimestamp`, which has whole seconds.
        std::thread::sleep(Duration::from_millis(1100));
    }
    assert_eq!(stage.deployments(), ["web-d1 0", "web-d2 0", "web-d3 2"]);
    let (code, dry) = stage.fast("d1", &["--dry-run", "--delete-newer"]);
    assert_eq!(code, 0);
    assert_eq!(
        changes(&dry),
        [
            "configure web",
            "configure web-admin",
            "configure web",
            "scale web-d1",
            "delete web-d2",
            "delete web-d3"
        ],
        "{dry:#}"
    );
    let (code, back) = stage.fast("d1", &["--delete-newer"]);
    assert_eq!(code, 0, "{back:#}");
    assert_eq!(back["counts"]["deleted"], 2, "{back:#}");
    assert_eq!((stage.deployments(), stage.ids()), (vec!["web-d1 2".into()], vec!["d1".to_owned(); 2]));
    stage.all_was_well();
}

#[test]
fn each_strategy_takes_over_from_the_other_and_removes_what_it_left() {
    let mut stage = Stage::new("fast-both");
    stage.write(SHOP, "1");
    assert_eq!(stage.rolling(&[]).0, 0);
    stage.watch();

    // The Service selects without an id: it is kept to the old pods until the new ones are all there.
    stage.write(SHOP, "2");
    let (_, dry) = stage.fast("d1", &["--dry-run"]);
    let actions = changes(&dry);
    for step in ["select web", "select web-admin", "delete web"] {
        assert!(actions.contains(&step.to_owned()), "{step}: {dry:#}");
    }
    let (code, report) = stage.fast("d1", &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((stage.deployments(), stage.ids()), (vec!["web-d1 2".into()], vec!["d1".to_owned(); 2]));
    stage.write(SHOP, "3");
    assert_eq!(stage.fast("d2", &[]).0, 0);

    stage.write(SHOP, "4");
    let (code, report) = stage.rolling(&[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((stage.deployments(), stage.ids()), (vec!["web 2".into()], vec!["none".to_owned(); 2]));
    let (code, again) = stage.rolling(&[]);
    assert_eq!((code, counts(&again)), (0, json!({"unchanged": 5})), "{again:#}");
    stage.write(SHOP, "5");
    assert_eq!(stage.rolling(&[]).0, 0);
    stage.write(SHOP, "6");
    assert_eq!(stage.fast("d3", &[]).0, 0);
    assert_eq!((stage.deployments(), stage.ids()), (vec!["web-d3 2".into()], vec!["d3".to_owned(); 2]));
    stage.all_was_well();
}

#[test]
fn an_autoscaler_follows_and_its_pods_are_as_many_as_before() {
    let mut stage = Stage::new("fast-scaled");
    let scaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: NS}\n\
        spec: {minReplicas: 1, maxReplicas: 9, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
    let shop = format!("{}{scaler}", SHOP.replace("  replicas: 2\n", ""));
    stage.write(&shop, "1");
    assert_eq!(stage.fast("d1", &[]).0, 0);
    stage.watch();
    stage.api.patch(&stage.path("apis/apps/v1", "deployments/web-d1"), &json!({"spec": {"replicas": 4}}));
    stage.write(&shop, "2");
    let (code, report) = stage.fast("d2", &[]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(stage.deployments(), ["web-d1 4", "web-d2 4"]);
    let path = stage.path("apis/autoscaling/v2", "horizontalpodautoscalers/web");
    assert_eq!(stage.api.get(&path).unwrap()["spec"]["scaleTargetRef"]["name"], "web-d2");
    let (code, again) = stage.fast("d2", &[]);
    assert_eq!((code, counts(&again)), (0, json!({"unchanged": 6})), "{again:#}");
    assert_eq!(stage.deployments(), ["web-d1 4", "web-d2 4"]);
    stage.all_was_well();
}

#[test]
fn a_plan_that_was_reviewed_is_carried_out_and_one_that_is_not_true_any_more_is_refused() {
    let mut stage = Stage::new("fast-plan");
    stage.write(SHOP, "1");
    assert_eq!(stage.rolling(&[]).0, 0);
    stage.watch();
    stage.write(SHOP, "2");
    assert_eq!(stage.fast("d1", &["--plan-out", "plan.json"]).0, 0);
    let plan = stage.sandbox.read("plan.json");
    assert!(plan.contains("\"select\"") && plan.contains("pod-template-hash"), "{plan}");
    assert_eq!(stage.fast("d2", &["--plan", "plan.json", "--quiet"]).0, 5);
    let (code, report) = stage.fast("d1", &["--plan", "plan.json"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!(stage.fast("d1", &["--plan", "plan.json"]).0, 5);
    stage.all_was_well();
}
