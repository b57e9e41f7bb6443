//! `fast-rollback` together with resource sets: what is pruned, remembered and brought back.

use serde_json::json;

use crate::stage::{SHOP, Stage, changes, counts, result};

/// A second service beside the shop.
const CART: &str = "\
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: cart, namespace: NS}
spec:
  replicas: 1
  selector: {matchLabels: {app: cart}}
  template:
    metadata: {labels: {app: cart}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: cart, image: 'registry.example.com/cart:1'}]
---
apiVersion: v1
kind: Service
metadata: {name: cart, namespace: NS}
spec: {selector: {app: cart}, ports: [{port: 80}]}
";

fn sorted(mut all: Vec<String>) -> Vec<String> {
    all.sort();
    all
}

#[test]
fn pruning_leaves_the_reserves_and_takes_a_service_that_is_gone_with_all_of_its_own() {
    let mut stage = Stage::new("fast-prune");
    let prune = ["--resource-set", "shop", "--prune"];
    for id in ["d1", "d2"] {
        stage.write(&format!("{SHOP}{CART}"), id);
        assert_eq!(stage.fast(id, &prune).0, 0);
    }
    assert_eq!(stage.members("shop", "Deployment"), ["cart-d1", "cart-d2", "web-d1", "web-d2"]);
    stage.watch();
    stage.write(SHOP, "d3");
    let (code, dry) = stage.fast("d3", &[&prune[..], &["--dry-run"]].concat());
    let going: Vec<String> = changes(&dry).into_iter().filter(|one| one.starts_with("delete")).collect();
    let expected = ["delete cart", "delete cart-d1", "delete cart-d2"];
    assert_eq!((code, sorted(going)), (0, expected.map(str::to_owned).to_vec()), "{dry:#}");
    stage.all_was_well();

    let (code, report) = stage.fast("d3", &prune);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(3)), "{report:#}");
    assert_eq!(stage.deployments(), ["web-d1 2", "web-d2 2", "web-d3 2"]);
    assert_eq!(stage.members("shop", "Deployment"), ["web-d1", "web-d2", "web-d3"]);
    assert_eq!(stage.members("shop", "Service"), ["web", "web-admin"]);

    // What goes beyond `--reserves` is forgotten too, and a deploy without anything to do writes nothing.
    let (code, report) = stage.fast("d3", &[&prune[..], &["--reserves", "1"]].concat());
    assert_eq!((code, counts(&report)), (0, json!({"unchanged": 5, "deleted": 1})), "{report:#}");
    assert_eq!(stage.members("shop", "Deployment"), ["web-d2", "web-d3"]);
    let (_, again) = stage.fast("d3", &[&prune[..], &["--reserves", "1"]].concat());
    assert_eq!((&again["bytesSent"], &again["set"]["leftover"]), (&json!(0), &json!(0)), "{again:#}");

    // Back to the other strategy: what it replaces goes once, as leftovers and not as pruned.
    let (code, report) = stage.rolling(&prune);
    assert_eq!((code, &report["counts"]["deleted"]), (0, &json!(2)), "{report:#}");
    assert_eq!(stage.members("shop", "Deployment"), ["web"]);
}

#[test]
fn a_rollback_goes_the_way_that_the_deploy_went() {
    let mut stage = Stage::new("fast-back");
    let set = ["--resource-set", "shop"];
    for id in ["d1", "d2"] {
        stage.write(SHOP, id);
        assert_eq!(stage.fast(id, &set).0, 0);
    }
    stage.watch();
    let before = stage.pods();
    let (code, dry) = stage.rollback("shop", &["--dry-run"]);
    assert_eq!((code, &dry["set"]["rollbackTo"]), (0, &json!("d1")), "{dry:#}");
    assert_eq!(changes(&dry), ["configure web", "configure web-admin", "configure web"], "{dry:#}");
    assert_eq!(stage.ids(), ["d2", "d2"]);

    // No flag says which strategy it was, and another id in the environment of the job does not count.
    let (code, back) = stage.rollback("shop", &["--strategy", "fast-rollback", "--deploy-id", "job-7"]);
    assert_eq!((code, counts(&back)), (0, json!({"configured": 3, "unchanged": 2})), "{back:#}");
    assert_eq!((stage.ids(), stage.pods()), (vec!["d1".to_owned(); 2], before.clone()));
    let (code, forward) = stage.rollback("shop", &["--to", "d2"]);
    assert_eq!((code, stage.ids(), stage.pods()), (0, vec!["d2".to_owned(); 2], before), "{forward:#}");

    let (code, raw) = stage.rollback("shop", &["--to", "d1", "--raw"]);
    assert_eq!(code, 1, "{raw:#}");
    assert_eq!(raw["trouble"]["message"], "deploy `d1` was one of `fast-rollback`, as `d1`");

    // A deploy whose Deployments are gone comes back whole.
    let (code, report) = stage.fast("d2", &[&set[..], &["--reserves", "0"]].concat());
    assert_eq!((code, stage.deployments()), (0, vec!["web-d2 2".to_owned()]), "{report:#}");
    let (code, whole) = stage.rollback("shop", &["--to", "d1"]);
    assert_eq!((code, stage.ids()), (0, vec!["d1".to_owned(); 2]), "{whole:#}");
    let web = stage.api.get(&stage.path("apis/apps/v1", "deployments/web-d1")).unwrap();
    assert_eq!(web["spec"]["template"]["spec"]["containers"][0]["image"], "registry.example.com/web:d1");
    stage.all_was_well();
}

#[test]
fn after_a_failure_the_last_good_deploy_serves_and_what_the_bad_one_made_is_gone() {
    let mut stage = Stage::new("fast-failure");
    let set =
        ["--resource-set", "shop", "--rollback-on-failure", "--available-health-check-grace-period", "1"];
    stage.write(SHOP, "1");
    assert_eq!(stage.fast("d1", &set).0, 0);
    stage.watch();
    stage.write_bad(SHOP);
    let (code, report) = stage.fast("d2", &set);
    assert_eq!((code, &report["set"]["rollbackTo"]), (1, &json!("d1")), "{report:#}");
    assert_eq!(
        report["trouble"]["message"], "the deploy failed, and deploy `d1` was brought back",
        "{report:#}"
    );
    assert_eq!((stage.ids(), stage.deployments()), (vec!["d1".to_owned(); 2], vec!["web-d1 2".to_owned()]));
    assert_eq!(stage.members("shop", "Deployment"), ["web-d1"]);
    // The same id again, repaired.
    stage.write(SHOP, "2");
    let (code, report) = stage.fast("d2", &set);
    assert_eq!((code, stage.ids()), (0, vec!["d2".to_owned(); 2]), "{report:#}");
    stage.all_was_well();
}

#[test]
fn deployments_of_another_resource_set_are_left_alone() {
    let stage = Stage::new("fast-foreign");
    // A worker has no Service that would tell the two apart.
    let worker = SHOP.split("---").next().unwrap();
    stage.write(worker, "1");
    assert_eq!(stage.fast("d1", &["--resource-set", "one"]).0, 0);
    let (code, report) = stage.fast("d2", &["--resource-set", "two", "--reserves", "0", "--prune"]);
    assert_eq!((code, stage.deployments()), (0, vec!["web-d1 2".into(), "web-d2 2".into()]), "{report:#}");
    assert!(report["warnings"].to_string().contains("it belongs to another resource set"), "{report:#}");
    assert_eq!(result(&report, "Deployment", "web-d2").0, "created");
    assert_eq!(stage.members("one", "Deployment"), ["web-d1"]);
}
