//! ReplicaSets and ReplicationControllers: as many pods as asked for.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::events::Event;
use super::objects::{self, available, is_active, is_ready, number, pod_of, set_count};
use crate::api::delete::{self, DeleteOptions};
use crate::selector::LabelSelector;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";
/// Until the creation of a pod that was forbidden is tried again.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut set: Value) {
    let uid = set["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    adopt(context, key, &set);
    let mut pods = context.owned(&uid, "pods");
    pods.retain(|(_, p)| is_active(p));
    let wanted = number(&set, "/spec/replicas");
    let have = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    let component = component(key);
    if set["metadata"].get("deletionTimestamp").is_none() {
        create_missing(context, key, &mut set, have..wanted);
        if have > wanted {
            let excess = usize::try_from(have - wanted).unwrap_or(0);
            pods.sort_by_key(|(k, p)| rank(k, p));
            for (pod_key, pod) in pods.iter().take(excess) {
                remove_pod(context, pod_key, pod.clone());
                let text = format!("Deleted pod: {}", pod_key.name);
                context.event(&set, Event::normal(component, "SuccessfulDelete", &text));
            }
        }
    }
    let mut pods = context.owned(&uid, "pods");
    pods.retain(|(_, p)| is_active(p));
    let minimum = number(&set, "/spec/minReadySeconds");
    let mut soonest: Option<Duration> = None;
    let mut ready = 0;
    let mut usable = 0;
    for (_, pod) in &pods {
        ready += i64::from(is_ready(pod));
        match available(pod, minimum) {
            Ok(()) => usable += 1,
            Err(Some(left)) => soonest = Some(soonest.map_or(left, |s| s.min(left))),
            Err(None) => {}
        }
    }
    let total = i64::try_from(pods.len()).unwrap_or(0);
    if &*key.kind == "replicasets.apps" {
        let dying = context
            .owned(&uid, "pods")
            .iter()
            .filter(|(_, p)| p["metadata"].get("deletionTimestamp").is_some())
            .count();
        set["status"]["terminatingReplicas"] = json!(dying);
    }
    set["status"]["replicas"] = json!(total);
    set_count(&mut set, "fullyLabeledReplicas", total);
    set_count(&mut set, "readyReplicas", ready);
    set_count(&mut set, "availableReplicas", usable);
    set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
    context.save_status(key, &set, MANAGER);
    if let Some(left) = soonest {
        context.again(key, left + Duration::from_millis(5));
    }
}

fn component(key: &Key) -> &'static str {
    if &*key.kind == "replicasets.apps" { "replicaset-controller" } else { "replication-controller" }
}

/// Creates pods. One that a quota forbids is recorded as a condition, and tried again after [`RETRY`], not at once.
fn create_missing(context: &mut Context<'_>, key: &Key, set: &mut Value, missing: std::ops::Range<i64>) {
    let is_refused = objects::condition(set, "ReplicaFailure").is_some();
    if is_refused && !missing.is_empty() && context.is_pending(key) {
        return;
    }
    let component = component(key);
    for _ in missing {
        let pod = pod_of(set, &set["spec"]["template"]);
        match context.try_create("pods", pod, MANAGER) {
            Ok(created) => {
                let text = format!("Created pod: {}", created.name);
                context.event(set, Event::normal(component, "SuccessfulCreate", &text));
            }
            Err(None) => {}
            Err(Some(why)) => {
                let text = format!("Error creating: {why}");
                context.event(set, Event::warning(component, "FailedCreate", &text));
                objects::set_condition(set, "ReplicaFailure", "True", "FailedCreate", &why, false);
                context.again(key, RETRY);
                return;
            }
        }
    }
    objects::drop_condition(set, "ReplicaFailure");
}

/// Those that go first: not on a node, not running, not ready, the youngest.
fn rank(key: &Key, pod: &Value) -> (bool, bool, bool, std::cmp::Reverse<String>, Key) {
    let phase = pod["status"]["phase"].as_str().unwrap_or_default();
    let created = pod["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
    (
        pod["spec"].get("nodeName").is_some(),
        phase == "Running",
        is_ready(pod),
        std::cmp::Reverse(created),
        key.clone(),
    )
}

/// Deletes a pod as a controller does.
pub(crate) fn remove_pod(context: &mut Context<'_>, key: &Key, mut pod: Value) {
    let options = DeleteOptions { propagation: None, grace: None, uid: None, rv: None, dry_run: false };
    delete::start(context.state, key, &mut pod, &options);
}

/// Takes over pods that match and have no controller.
fn adopt(context: &mut Context<'_>, key: &Key, set: &Value) {
    let selector = if &*key.kind == "replicasets.apps" {
        LabelSelector::of(set.pointer("/spec/selector"))
    } else {
        LabelSelector::of_map(set.pointer("/spec/selector"))
    };
    let orphans: Vec<(Key, Value)> = context
        .state
        .store
        .list("pods", &key.ns)
        .filter(|(_, s)| !crate::store::contains(&s.body, b"\"controller\":true"))
        .map(|(k, s)| (k.clone(), s.value()))
        .filter(|(_, p)| is_active(p) && selector.matches(p.pointer("/metadata/labels")))
        .collect();
    for (pod_key, mut pod) in orphans {
        pod["metadata"]["ownerReferences"] = json!([objects::owner(set)]);
        context.save(&pod_key, &pod, MANAGER);
    }
}
