//! DaemonSets: a pod per node.

use serde_json::{Value, json};

use super::Context;
use super::events::Event;
use super::objects::{
    available, canonical, hash, is_active, is_ready, number, owner, pod_of, scaled, set_count, text,
};
use super::replicaset::remove_pod;
use super::scheduler;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";
const REVISION: &str = "controller-revision-hash";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut set: Value) {
    if set["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let uid = text(&set, "/metadata/uid").to_owned();
    let digest = hash(&canonical(&set["spec"]["template"]), 10);
    record_revision(context, key, &set, &digest);
    let template_pod = json!({"spec": set["spec"]["template"]["spec"]});
    let nodes = scheduler::candidates(context, &template_pod).unwrap_or_default();
    let minimum = number(&set, "/spec/minReadySeconds");
    let mut pods = context.owned(&uid, "pods");
    for (pod_key, pod) in &pods {
        if matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded")) {
            remove_pod(context, pod_key, pod.clone());
        }
    }
    pods = context.owned(&uid, "pods");
    let on = |p: &Value| target(p);
    for node in &nodes {
        if pods.iter().any(|(_, p)| on(p) == *node) {
            continue;
        }
        let mut pod = pod_of(&set, &set["spec"]["template"]);
        if !pod["metadata"]["labels"].is_object() {
            pod["metadata"]["labels"] = json!({});
        }
        pod["metadata"]["labels"][REVISION] = json!(digest);
        pod["metadata"]["labels"]["pod-template-generation"] =
            set["metadata"]["annotations"]["deprecated.daemonset.template.generation"].clone();
        pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] = json!({
            "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}],
        });
        pod["spec"]["tolerations"] = tolerations(&pod["spec"]["tolerations"]);
        match context.try_create("pods", pod, MANAGER) {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name);
                context.event(&set, Event::normal("daemonset-controller", "SuccessfulCreate", &message));
            }
            Err(None) => {}
            Err(Some(why)) => {
                let message = format!("Error creating: {why}");
                context.event(&set, Event::warning("daemonset-controller", "FailedCreate", &message));
                context.again(key, super::replicaset::RETRY);
                break;
            }
        }
    }
    for (pod_key, pod) in &pods {
        if is_active(pod) && !nodes.contains(&on(pod)) {
            remove_pod(context, pod_key, pod.clone());
        }
    }
    if set["spec"]["updateStrategy"]["type"] != "OnDelete" {
        let wanted = i64::try_from(nodes.len()).unwrap_or(0);
        let limit =
            scaled(set["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable"), wanted, true).max(1);
        let usable = pods.iter().filter(|(_, p)| is_active(p) && available(p, minimum).is_ok()).count();
        let mut spare = limit - (wanted - i64::try_from(usable).unwrap_or(0));
        for (pod_key, pod) in &pods {
            let stale = is_active(pod) && pod["metadata"]["labels"][REVISION] != digest.as_str();
            let broken = available(pod, minimum).is_err();
            if stale && (broken || spare > 0) {
                spare -= i64::from(!broken);
                remove_pod(context, pod_key, pod.clone());
            }
        }
    }
    let pods = context.owned(&uid, "pods");
    let count = |f: &dyn Fn(&Value) -> bool| {
        i64::try_from(pods.iter().filter(|(_, p)| is_active(p) && f(p)).count()).unwrap_or(0)
    };
    let wanted = i64::try_from(nodes.len()).unwrap_or(0);
    let usable = count(&|p| available(p, minimum).is_ok());
    set["status"]["currentNumberScheduled"] = json!(count(&|_| true).min(wanted));
    set["status"]["numberMisscheduled"] = json!(0);
    set["status"]["desiredNumberScheduled"] = json!(wanted);
    set["status"]["numberReady"] = json!(count(&is_ready));
    set["status"]["observedGeneration"] = set["metadata"]["generation"].clone();
    set_count(
        &mut set,
        "updatedNumberScheduled",
        count(&|p| p["metadata"]["labels"][REVISION] == digest.as_str()),
    );
    set_count(&mut set, "numberAvailable", usable);
    set_count(&mut set, "numberUnavailable", wanted - usable);
    context.save_status(key, &set, MANAGER);
}

/// The node that a pod is for.
fn target(pod: &Value) -> String {
    pod.pointer("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms/0/matchFields/0/values/0")
        .or(pod.pointer("/spec/nodeName"))
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn tolerations(given: &Value) -> Value {
    let mut list = given.as_array().cloned().unwrap_or_default();
    for (key, effect) in [
        ("node.kubernetes.io/not-ready", "NoExecute"),
        ("node.kubernetes.io/unreachable", "NoExecute"),
        ("node.kubernetes.io/disk-pressure", "NoSchedule"),
        ("node.kubernetes.io/memory-pressure", "NoSchedule"),
        ("node.kubernetes.io/pid-pressure", "NoSchedule"),
        ("node.kubernetes.io/unschedulable", "NoSchedule"),
    ] {
        list.push(json!({"key": key, "operator": "Exists", "effect": effect}));
    }
    Value::Array(list)
}

fn record_revision(context: &mut Context<'_>, key: &Key, set: &Value, digest: &str) {
    let name = format!("{}-{digest}", key.name);
    if !context.state.store.has(&key.beside("controllerrevisions.apps", &name)) {
        let number = context.owned(text(set, "/metadata/uid"), "controllerrevisions.apps").len() + 1;
        context.create(
            "controllerrevisions.apps",
            json!({"metadata": {"name": name, "namespace": key.ns, "ownerReferences": [owner(set)],
                    "labels": {REVISION: digest}},
                "revision": number, "data": {"spec": {"template": set["spec"]["template"]}}}),
            MANAGER,
        );
    }
}
