//! StatefulSets: ordered pods with stable names, partitions, claims.

use serde_json::{Value, json};

use super::Context;
use super::events::Event;
use super::objects::{
    available, canonical, hash, is_active, is_ready, number, owner, pod_of, set_count, text,
};
use super::replicaset::remove_pod;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";
const REVISION: &str = "controller-revision-hash";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut set: Value) {
    if set["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let uid = text(&set, "/metadata/uid").to_owned();
    let update = revision(context, key, &set);
    let current = set["status"]["currentRevision"].as_str().unwrap_or(&update).to_owned();
    let wanted = number(&set, "/spec/replicas");
    let start = number(&set, "/spec/ordinals/start");
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    let rolling = set["spec"]["updateStrategy"]["type"] != "OnDelete";
    let partition = number(&set, "/spec/updateStrategy/rollingUpdate/partition");
    let minimum = number(&set, "/spec/minReadySeconds");
    let pods = context.owned(&uid, "pods");
    let ordinal = |k: &Key| k.name.rsplit('-').next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(-1);
    let usable = |p: &Value| is_active(p) && available(p, minimum).is_ok();
    let mut waiting = false;
    for i in start..start + wanted {
        let name = format!("{}-{i}", key.name);
        match pods.iter().find(|(k, _)| *k.name == *name) {
            None => {
                let revision = if !rolling || i < partition { &current } else { &update };
                create_pod(context, key, &set, &name, i, revision, &update);
                waiting = !parallel;
            }
            Some((pod_key, pod))
                if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) =>
            {
                remove_pod(context, pod_key, pod.clone());
                waiting = !parallel;
            }
            Some((_, pod)) if !usable(pod) => {
                if let Err(Some(left)) = available(pod, minimum) {
                    context.again(key, left);
                }
                waiting = !parallel;
            }
            Some(_) => {}
        }
        if waiting {
            break;
        }
    }
    if !waiting {
        let mut excess: Vec<&(Key, Value)> =
            pods.iter().filter(|(k, _)| ordinal(k) >= start + wanted || ordinal(k) < start).collect();
        excess.sort_by_key(|(k, _)| std::cmp::Reverse(ordinal(k)));
        for (pod_key, pod) in excess {
            if is_active(pod) {
                remove_pod(context, pod_key, pod.clone());
                let message = format!("delete Pod {} in StatefulSet {} successful", pod_key.name, key.name);
                context.event(&set, Event::normal("statefulset-controller", "SuccessfulDelete", &message));
            }
            waiting = !parallel;
            if waiting {
                break;
            }
        }
    }
    let healthy = pods.iter().filter(|(_, p)| usable(p)).count();
    if !waiting && rolling && i64::try_from(healthy).unwrap_or(0) >= wanted {
        let mut stale: Vec<&(Key, Value)> = pods
            .iter()
            .filter(|(k, p)| {
                ordinal(k) >= partition + start && p["metadata"]["labels"][REVISION] != update.as_str()
            })
            .collect();
        stale.sort_by_key(|(k, _)| std::cmp::Reverse(ordinal(k)));
        if let Some((pod_key, pod)) = stale.first().filter(|(_, p)| is_active(p)) {
            remove_pod(context, pod_key, pod.clone());
            let message = format!("delete Pod {} in StatefulSet {} successful", pod_key.name, key.name);
            context.event(&set, Event::normal("statefulset-controller", "SuccessfulDelete", &message));
        }
    } else if rolling && !waiting {
        // The update waits for the pod that is not healthy.
    } else if rolling && waiting {
        replace_broken(context, key, &set, &pods, &update, partition + start);
    }
    status(context, key, &mut set, &update, &current, minimum);
}

/// A pod of an old revision that is not healthy is replaced at once when the update concerns it.
fn replace_broken(
    context: &mut Context<'_>,
    key: &Key,
    set: &Value,
    pods: &[(Key, Value)],
    update: &str,
    from: i64,
) {
    let ordinal = |k: &Key| k.name.rsplit('-').next().and_then(|n| n.parse::<i64>().ok()).unwrap_or(-1);
    let mut stale: Vec<&(Key, Value)> = pods
        .iter()
        .filter(|(k, p)| ordinal(k) >= from && p["metadata"]["labels"][REVISION] != update && is_active(p))
        .collect();
    stale.sort_by_key(|(k, _)| std::cmp::Reverse(ordinal(k)));
    let all_there = i64::try_from(pods.iter().filter(|(_, p)| is_active(p)).count()).unwrap_or(0)
        >= number(set, "/spec/replicas");
    if let Some((pod_key, pod)) = stale.first()
        && all_there
        && set["spec"]["podManagementPolicy"] == "Parallel"
        && !is_ready(pod)
    {
        let _ = key;
        remove_pod(context, pod_key, pod.clone());
    }
}

/// The ControllerRevision of the template.
fn revision(context: &mut Context<'_>, key: &Key, set: &Value) -> String {
    let data = json!({"spec": {"template": set["spec"]["template"]}});
    let name = format!("{}-{}", key.name, hash(&canonical(&data), 10));
    if !context.state.store.has(&key.beside("controllerrevisions.apps", &name)) {
        let uid = text(set, "/metadata/uid");
        let number = context.owned(uid, "controllerrevisions.apps").len() + 1;
        let mut labels = set["spec"]["template"]["metadata"]["labels"].clone();
        if labels.is_object() {
            labels["controller.kubernetes.io/hash"] = json!(name.rsplit('-').next());
        }
        context.create(
            "controllerrevisions.apps",
            json!({"metadata": {"name": name, "namespace": key.ns, "labels": labels, "ownerReferences": [owner(set)]},
                "revision": number, "data": data}),
            MANAGER,
        );
    }
    name
}

fn create_pod(
    context: &mut Context<'_>,
    key: &Key,
    set: &Value,
    name: &str,
    index: i64,
    revision: &str,
    update: &str,
) {
    let mut template = set["spec"]["template"].clone();
    if revision != update
        && let Some(old) = context.state.store.get(&key.beside("controllerrevisions.apps", revision))
    {
        template = old["data"]["spec"]["template"].clone();
    }
    let mut pod = pod_of(set, &template);
    if let Some(meta) = pod["metadata"].as_object_mut() {
        meta.insert("name".into(), json!(name));
    }
    if !pod["metadata"]["labels"].is_object() {
        pod["metadata"]["labels"] = json!({});
    }
    pod["metadata"]["labels"][REVISION] = json!(revision);
    pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
    pod["metadata"]["labels"]["apps.kubernetes.io/pod-index"] = json!(index.to_string());
    pod["spec"]["hostname"] = json!(name);
    if let Some(service) = set["spec"]["serviceName"].as_str().filter(|s| !s.is_empty()) {
        pod["spec"]["subdomain"] = json!(service);
    }
    for claim in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = claim["metadata"]["name"].as_str().unwrap_or_default();
        let claim_name = format!("{volume}-{name}");
        let mut new = json!({"metadata": claim["metadata"], "spec": claim["spec"]});
        new["metadata"]["name"] = json!(claim_name);
        new["metadata"]["namespace"] = json!(key.ns);
        if let Some(labels) = set.pointer("/spec/selector/matchLabels") {
            new["metadata"]["labels"] = labels.clone();
        }
        if context.create("persistentvolumeclaims", new, MANAGER).is_some() {
            let message = format!("Create Claim {claim_name} Pod {name} in StatefulSet {} success", key.name);
            context.event(set, Event::normal("statefulset-controller", "SuccessfulCreate", &message));
        }
        let mut volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
        volumes.retain(|v| v["name"] != volume);
        volumes.insert(0, json!({"name": volume, "persistentVolumeClaim": {"claimName": claim_name}}));
        pod["spec"]["volumes"] = Value::Array(volumes);
    }
    let what = format!("Pod {name} in StatefulSet {}", key.name);
    match context.try_create("pods", pod, MANAGER) {
        Ok(_) => {
            let message = format!("create {what} successful");
            context.event(set, Event::normal("statefulset-controller", "SuccessfulCreate", &message));
        }
        Err(None) => {}
        Err(Some(why)) => {
            let message = format!("create {what} failed error: {why}");
            context.event(set, Event::warning("statefulset-controller", "FailedCreate", &message));
            context.again(key, super::replicaset::RETRY);
        }
    }
}

fn status(context: &mut Context<'_>, key: &Key, set: &mut Value, update: &str, current: &str, minimum: i64) {
    let uid = text(set, "/metadata/uid").to_owned();
    let pods = context.owned(&uid, "pods");
    let count =
        |f: &dyn Fn(&Value) -> bool| i64::try_from(pods.iter().filter(|(_, p)| f(p)).count()).unwrap_or(0);
    let revision = |p: &Value, r: &str| p["metadata"]["labels"][REVISION] == r;
    let replicas = count(&|_| true);
    let updated = count(&|p| is_active(p) && revision(p, update));
    let ready = count(&|p| is_active(p) && is_ready(p));
    let usable = count(&|p| is_active(p) && available(p, minimum).is_ok());
    let wanted = number(set, "/spec/replicas");
    let done = updated == wanted && ready == wanted && replicas == wanted;
    let current = if done { update } else { current };
    let on_current = count(&|p| is_active(p) && revision(p, current));
    set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
    set["status"]["replicas"] = json!(replicas);
    set_count(set, "readyReplicas", ready);
    set["status"]["availableReplicas"] = json!(usable);
    set_count(set, "currentReplicas", on_current);
    set_count(set, "updatedReplicas", updated);
    set["status"]["currentRevision"] = json!(current);
    set["status"]["updateRevision"] = json!(update);
    set["status"]["collisionCount"] = json!(0);
    context.save_status(key, set, MANAGER);
}
