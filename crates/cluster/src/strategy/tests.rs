//! The pure core, as tables: manifests and what is live on one side, names, selectors and steps on the other.

use serde_json::{Map, Value, json};

use super::scene::Sibling;
use super::{Cast, Moves, Reserves, Scene, Step, What, moves, prepare};
use crate::discovery::Resource;
use crate::plan::{Action, Marks, PlanOptions, PlannedObject, Wanted};

const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template: {metadata: {labels: {app: web}}}\n";
const SERVICE: &str =
    "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: web}}\n";
const SCALER: &str = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: web, namespace: shop}\n\
    spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}}\n";
const BUDGET: &str = "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: web, namespace: shop}\n\
    spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}\n";

fn marks(strategy: &str, id: Option<&str>) -> Marks {
    Marks { strategy: strategy.into(), deploy_id: id.map(str::to_owned), ..Marks::default() }
}

fn wanted(texts: &[&str], marks: &Marks) -> Vec<Wanted> {
    let objects = manifest::load::parse_objects(&texts.join("---\n"), "a.yaml").unwrap();
    objects
        .iter()
        .map(|object| {
            let (group, version) = object.api_version().split_once('/').unwrap_or(("", object.api_version()));
            let resource = Resource::new(group, version, object.kind(), "x", true);
            Wanted::new(object, resource.into(), "shop", marks)
        })
        .collect()
}

/// A Deployment on the cluster, with ready pods.
fn live(name: &str, id: Option<&str>, second: u32, replicas: i64) -> Value {
    let mut labels = json!({"app": "web"});
    if let Some(id) = id {
        labels["id"] = json!(id);
        labels["strategy"] = json!("fast-rollback");
    }
    let strategy = if id.is_some() { "fast-rollback" } else { "rolling-update" };
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "generation": 1,
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            "labels": {"strategy": strategy, "id": id.unwrap_or("unspecified")},
            "annotations": {"kit-deployer/original-name": "web"},
        },
        "spec": {"replicas": replicas, "template": {"metadata": {"labels": labels}}},
        "status": {"observedGeneration": 1, "replicas": replicas, "updatedReplicas": replicas, "readyReplicas": replicas,
            "availableReplicas": replicas, "conditions": [{"type": "Available", "status": "True"}]},
    })
}

fn service(selector: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop", "uid": "uid-s"},
        "spec": {"selector": selector}})
}

fn fast(id: &str) -> Value {
    json!({"app": "web", "id": id, "strategy": "fast-rollback"})
}

fn pod(hash: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({"metadata": {"labels": {"app": "web", "pod-template-hash": hash}},
        "status": {"conditions": [{"type": "Ready", "status": status}]}})
}

/// A cluster and a deploy to it.
struct Case {
    deployments: Vec<Value>,
    service: Option<Value>,
    others: Vec<Value>,
    pods: Vec<Value>,
    texts: Vec<&'static str>,
    reserves: Reserves,
}

impl Case {
    fn new(deployments: Vec<Value>, selector: Value) -> Self {
        Self {
            deployments,
            service: Some(service(selector)),
            others: Vec::new(),
            pods: Vec::new(),
            texts: vec![WEB, SERVICE],
            reserves: Reserves::default(),
        }
    }

    fn plan(&self, strategy: &str, id: Option<&str>) -> (Vec<PlannedObject>, Moves) {
        let marks = marks(strategy, id);
        let options = PlanOptions { reserves: self.reserves.clone(), ..PlanOptions::default() };
        let mut wanted = wanted(&self.texts, &marks);
        let mut cast = id.map_or_else(Cast::default, |id| Cast::with_id(&mut wanted, id));
        let name = wanted[0].object.name.clone();
        let siblings: Vec<Sibling> = self
            .deployments
            .iter()
            .filter(|one| one["metadata"]["name"] != name.as_str())
            .map(Sibling::of)
            .collect();
        if id.is_none() && siblings.iter().any(Sibling::is_fast) {
            cast = Cast::around(&wanted, [0].into());
        }
        let mut scene = Scene { services: self.others.clone(), ..Scene::default() };
        scene.services.extend(self.service.clone());
        if cast.mains.contains(&0) {
            scene.siblings.insert(0, siblings);
        }
        if !self.pods.is_empty() {
            scene.pods.insert(1, self.pods.clone());
        }
        let live_of = |wanted: &Wanted| match wanted.resource.kind.as_str() {
            "Deployment" => {
                self.deployments.iter().find(|one| one["metadata"]["name"] == wanted.object.name.as_str())
            }
            "Service" => self.service.as_ref(),
            _ => None,
        };
        prepare(&mut wanted, &cast, &live_of, &marks, &options);
        let mut planned: Vec<PlannedObject> = wanted
            .into_iter()
            .map(|wanted| {
                let live = live_of(&wanted).cloned();
                let same = live.as_ref().is_some_and(|live| {
                    live["spec"]["selector"] == wanted.value["spec"]["selector"]
                        || wanted.resource.kind == "Deployment"
                });
                PlannedObject {
                    action: match (&live, same) {
                        (None, _) => Action::Create,
                        (Some(_), true) => Action::Unchanged,
                        (Some(_), false) => Action::Configure,
                    },
                    wanted,
                    live: live.map(Box::new),
                    changes: Vec::new(),
                    force: false,
                    member: false,
                    migrate: false,
                    needs: Default::default(),
                    after: None,
                }
            })
            .collect();
        let moves = moves(&mut planned, &cast, &scene, &marks, &options);
        (planned, moves)
    }
}

/// A step in words.
fn said(step: &Step) -> String {
    match &step.what {
        What::Delete => format!("delete {}", step.object.name),
        What::Scale { from, to, .. } => {
            format!("scale {} {}->{to}", step.object.name, from.map_or("?".into(), |from| from.to_string()))
        }
        What::Select { to, .. } => format!("select {}", Value::Object(to.clone())),
    }
}

fn all(steps: &[Step]) -> Vec<String> {
    steps.iter().map(said).collect()
}

fn map(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

#[test]
fn a_deploy_with_an_id_renames_deployments_and_everything_that_refers_to_them() {
    let marks = marks("fast-rollback", Some("d2"));
    let mut wanted = wanted(&[WEB, SERVICE, SCALER, BUDGET], &marks);
    let cast = Cast::with_id(&mut wanted, "d2");
    assert_eq!(wanted[0].object.to_string(), "Deployment/shop/web-d2");
    assert_eq!(wanted[0].original_name(), "web");
    assert_eq!(wanted[0].value["spec"]["selector"]["matchLabels"], fast("d2"));
    assert_eq!(wanted[0].value["spec"]["template"]["metadata"]["labels"], fast("d2"));
    assert_eq!(wanted[1].value["spec"]["selector"], fast("d2"));
    assert_eq!(wanted[2].value["spec"]["scaleTargetRef"]["name"], "web-d2");
    assert_eq!(wanted[3].value["spec"]["selector"]["matchLabels"], fast("d2"));
    assert_eq!((cast.mains, cast.followers), ([0].into(), [2, 3].into()));
    assert_eq!(cast.traffic, [(1, [0].into())].into());
    assert_eq!(cast.refused, Default::default());
}

#[test]
fn manifests_that_carry_the_id_already_come_out_the_same() {
    let marks = marks("fast-rollback", Some("d2"));
    let plain = {
        let mut wanted = wanted(&[WEB, SERVICE, SCALER], &marks);
        Cast::with_id(&mut wanted, "d2");
        wanted
    };
    let web = WEB.replace("name: web,", "name: web-d2,").replace("app: web}", "app: web, id: d2}");
    let service = SERVICE.replace("app: web", "app: web, id: d2");
    let scaler = SCALER.replace("kind: Deployment, name: web", "kind: Deployment, name: web-d2");
    let mut rendered = wanted(&[&web, &service, &scaler], &marks);
    let cast = Cast::with_id(&mut rendered, "d2");
    assert_eq!(cast.refused, Default::default());
    for (one, other) in plain.iter().zip(&rendered) {
        assert_eq!(one.value, other.value);
    }
}

#[test]
fn another_id_in_a_manifest_and_a_service_over_pods_without_an_id_are_refused() {
    let refused = |texts: &[&str]| {
        let marks = marks("fast-rollback", Some("d2"));
        let cast = Cast::with_id(&mut wanted(texts, &marks), "d2");
        cast.refused.into_values().map(|trouble| trouble.message).collect::<Vec<_>>()
    };
    assert_eq!(
        refused(&[WEB, &SERVICE.replace("app: web", "app: web, id: d1")]),
        ["its selector has the label `id` with another value than `--deploy-id d2`: \"d1\""]
    );
    assert_eq!(
        refused(&[&WEB.replace("app: web}", "app: web, id: d1}")]),
        ["its selector has the label `id` with another value than `--deploy-id d2`: \"d1\""]
    );
    let set = WEB.replace("kind: Deployment", "kind: StatefulSet").replace("name: web", "name: db");
    assert_eq!(
        refused(&[WEB, SERVICE, &set]),
        ["it selects Deployments, which get an id, and StatefulSet/shop/db, which has none"]
    );
    assert_eq!(
        refused(&[WEB, &WEB.replace("name: web,", "name: web-d2,")]),
        ["two Deployments would be called `web-d2`: a.yaml:1:1 and a.yaml:9:1"]
    );
}

#[test]
#[allow(clippy::type_complexity, reason = "a table of cases, each column said in the line above it")]
fn three_reserves_are_kept_and_older_ones_go() {
    let live = |ids: &[u32]| {
        ids.iter().map(|n| live(&format!("web-d{n}"), Some(&format!("d{n}")), *n, 2)).collect::<Vec<_>>()
    };
    // Live ids, where traffic is, the id of the deploy, reserves, what goes.
    let table: &[(&[u32], &str, &str, usize, &[&str])] = &[
        (&[1], "d1", "d2", 3, &[]),
        (&[1, 2, 3, 4], "d4", "d5", 3, &["delete web-d1"]),
        (&[1, 2, 3, 4, 5], "d5", "d6", 3, &["delete web-d2", "delete web-d1"]),
        (&[1, 2, 3], "d3", "d4", 0, &["delete web-d3", "delete web-d2", "delete web-d1"]),
        // Back to d2: what is newer stays.
        (&[1, 2, 3, 4], "d4", "d2", 3, &[]),
        // Forward again: what served until now is kept before what is newer than it.
        (&[1, 2, 3, 4], "d1", "d5", 3, &["delete web-d2"]),
    ];
    for (ids, at, id, keep, gone) in table {
        let mut case = Case::new(live(ids), fast(at));
        case.reserves.keep = *keep;
        let (_, moves) = case.plan("fast-rollback", Some(id));
        assert_eq!(all(&moves.after), *gone, "{ids:?}, at {at}, deploy {id}, keep {keep}");
    }
}

#[test]
fn what_is_newer_goes_only_when_asked() {
    let deployments = (1..=4).map(|n| live(&format!("web-d{n}"), Some(&format!("d{n}")), n, 2)).collect();
    let mut case = Case::new(deployments, fast("d4"));
    case.reserves.delete_newer = true;
    assert_eq!(all(&case.plan("fast-rollback", Some("d2")).1.after), ["delete web-d3", "delete web-d4"]);
}

#[test]
fn going_back_moves_the_service_and_writes_nothing_else() {
    let deployments = (1..=3).map(|n| live(&format!("web-d{n}"), Some(&format!("d{n}")), n, 2)).collect();
    let (planned, moves) = Case::new(deployments, fast("d3")).plan("fast-rollback", Some("d1"));
    assert_eq!((&planned[0].action, &planned[1].action), (&Action::Unchanged, &Action::Configure));
    assert_eq!(planned[1].wanted.value["metadata"]["annotations"][super::PREVIOUS_ID], "d3");
    assert_eq!((moves.services.clone(), moves.steps().count()), (vec![1], 0));
}

#[test]
fn reserves_are_scaled_down_on_request_and_up_again_before_traffic_comes_back() {
    let mut case = Case::new(vec![live("web-d1", Some("d1"), 1, 5)], fast("d1"));
    case.reserves.replicas = Some(0);
    let (_, moves) = case.plan("fast-rollback", Some("d2"));
    assert_eq!(all(&moves.after), ["scale web-d1 5->0"]);
    assert!(matches!(moves.after[0].what, What::Scale { full: Some(5), .. }));

    let mut small = live("web-d1", Some("d1"), 1, 0);
    small["metadata"]["annotations"][super::FULL_REPLICAS] = json!("5");
    let (planned, moves) = Case::new(vec![small, live("web-d2", Some("d2"), 2, 2)], fast("d2"))
        .plan("fast-rollback", Some("d1"));
    assert_eq!(planned[0].action, Action::Unchanged);
    assert_eq!(all(&moves.grow), ["scale web-d1 0->5"]);
}

#[test]
fn a_deployment_that_is_scaled_gets_as_many_pods_as_the_one_before_it_had() {
    let mut case = Case::new(vec![live("web-d1", Some("d1"), 1, 20)], fast("d1"));
    assert_eq!(all(&case.plan("fast-rollback", Some("d2")).1.grow), [""; 0], "the manifest says how many");
    case.texts.push(SCALER);
    let (planned, moves) = case.plan("fast-rollback", Some("d2"));
    assert_eq!(planned[0].wanted.value["spec"].get("replicas"), None);
    assert_eq!(all(&moves.grow), ["scale web-d2 ?->20"]);
    assert_eq!(moves.followers, [2]);
}

#[test]
fn a_service_that_selects_without_an_id_is_kept_to_its_pods_first() {
    let rolling = live("web", None, 1, 2);
    let mut case = Case::new(vec![rolling], json!({"app": "web"}));
    case.pods = vec![pod("abc", true), pod("abc", true), pod("def", false)];
    let (planned, moves) = case.plan("fast-rollback", Some("d1"));
    assert_eq!(all(&moves.before), [r#"select {"app":"web","pod-template-hash":"abc"}"#]);
    assert_eq!(planned[1].action, Action::Configure);
    assert_eq!(all(&moves.after), ["delete web"]);

    case.pods = vec![pod("abc", true), pod("def", true)];
    let (planned, _) = case.plan("fast-rollback", Some("d1"));
    assert!(matches!(planned[1].action, Action::Refuse { .. }), "{:?}", planned[1].action);

    case.pods = vec![pod("abc", false)];
    assert_eq!(all(&case.plan("fast-rollback", Some("d1")).1.before), [""; 0], "nobody serves");
}

#[test]
fn rolling_update_tells_its_pods_from_those_of_fast_rollback_and_removes_these_afterwards() {
    let deployments: Vec<Value> =
        (1..=2).map(|n| live(&format!("web-d{n}"), Some(&format!("d{n}")), n, 2)).collect();
    let (planned, moves) = Case::new(deployments, fast("d2")).plan("rolling-update", None);
    let apart = json!({"app": "web", "strategy": "rolling-update"});
    assert_eq!(planned[0].wanted.value["spec"]["selector"]["matchLabels"], apart);
    assert_eq!(planned[0].wanted.value["spec"]["template"]["metadata"]["labels"], apart);
    assert_eq!(planned[1].wanted.value["spec"]["selector"], apart);
    assert_eq!(moves.services, [1]);
    assert_eq!(all(&moves.after), ["delete web-d1", "delete web-d2"]);

    // And later nothing changes by itself.
    let mut after = live("web", None, 3, 2);
    after["spec"]["template"]["metadata"]["labels"] = apart.clone();
    let (planned, moves) = Case::new(vec![after], apart.clone()).plan("rolling-update", None);
    assert_eq!(planned[1].wanted.value["spec"]["selector"], apart);
    assert_eq!((planned[1].action.clone(), moves.steps().count()), (Action::Unchanged, 0));
}

#[test]
fn rolling_update_releases_a_service_that_a_failed_fast_rollback_has_kept_to_its_pods() {
    let pinned = json!({"app": "web", "pod-template-hash": "abc"});
    let deployments = vec![live("web", None, 1, 2), live("web-d1", Some("d1"), 2, 2)];
    let (_, moves) = Case::new(deployments, pinned).plan("rolling-update", None);
    assert_eq!(all(&moves.before), ["delete web-d1", r#"select {"app":"web"}"#]);
    assert_eq!(all(&moves.after), [""; 0]);
}

#[test]
fn a_service_whose_manifest_leads_nowhere_is_refused() {
    let mut case = Case::new(vec![live("web-d1", Some("d1"), 1, 2)], fast("d1"));
    case.texts[1] = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop}\nspec: {selector: {app: wbe}}\n";
    let (planned, moves) = case.plan("fast-rollback", Some("d2"));
    let Action::Refuse { trouble } = &planned[1].action else { panic!("{:?}", planned[1].action) };
    assert_eq!(
        trouble.message,
        "its selector matches no pods of this deploy, traffic would go nowhere: `app=wbe`"
    );
    assert_eq!(all(&moves.after), [""; 0]);
}

#[test]
fn a_deployment_that_another_service_leads_to_is_not_deleted() {
    let deployments = (1..=4).map(|n| live(&format!("web-d{n}"), Some(&format!("d{n}")), n, 2)).collect();
    let mut case = Case::new(deployments, fast("d4"));
    let mut other = service(fast("d1"));
    other["metadata"]["name"] = json!("old");
    case.others.push(other);
    let (_, moves) = case.plan("fast-rollback", Some("d5"));
    assert_eq!(all(&moves.after), [""; 0]);
    assert_eq!(
        moves.warnings.iter().map(|(object, text)| format!("{object}: {text}")).collect::<Vec<_>>(),
        [
            "Deployment/shop/web-d1: it is not deleted: Service `old`, which is not part of this deploy, leads to it"
        ]
    );
}

#[test]
fn a_step_shows_what_differs() {
    let step = Step {
        object: wanted(&[SERVICE], &marks("rolling-update", None))[0].object.clone(),
        resource: super::scene::services(),
        uid: None,
        what: What::Select { from: map(json!({"a": "1", "b": "2"})), to: map(json!({"a": "1", "c": "3"})) },
        because: String::new(),
    };
    let shown = serde_json::to_value(step.changes()).unwrap();
    assert_eq!(
        shown,
        json!([{"path": "spec.selector.b", "before": "2"}, {"path": "spec.selector.c", "after": "3"}])
    );
}
