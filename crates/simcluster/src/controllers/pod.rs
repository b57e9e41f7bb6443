//! When a pod comes, changes or goes: scheduling and handing it to the fake kubelet.

use std::time::Duration;

use serde_json::{Value, json};

use super::events::Event;
use super::kubelet::Step;
use super::{Context, Task, scheduler};
use crate::cluster::now;
use crate::store::{Change, Key};

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    #[default]
    New,
    Unschedulable,
    Starting,
    ConfigError,
    MountError,
    Running,
    Ready,
    Done,
    Dying,
}

/// What the fake kubelet remembers of a pod.
#[derive(Debug, Clone, Default)]
pub(crate) struct PodRun {
    pub phase: Phase,
    pub restarts: i64,
    pub ip: String,
    pub started: String,
    pub behavior: String,
    /// How often an image was pulled in vain.
    pub pulls: u32,
}

pub(crate) fn changed(context: &mut Context<'_>, key: &Key, change: Change, pod: &Value) {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    if change == Change::Deleted {
        context.state.pods.remove(&uid);
        return;
    }
    let phase = context.state.pods.entry(uid.clone()).or_default().phase;
    if pod["metadata"].get("deletionTimestamp").is_some() {
        if phase != Phase::Dying {
            set(context, &uid, Phase::Dying);
            let grace = pod["metadata"]["deletionGracePeriodSeconds"].as_u64().unwrap_or(30);
            let delay = context.cluster.timing.delete.min(Duration::from_secs(grace));
            context.after(delay, Task::Pod(key.clone(), uid, Step::Kill));
        }
        return;
    }
    let on_node = pod["spec"].get("nodeName").is_some();
    match phase {
        Phase::New if !on_node && pod["spec"].get("schedulingGates").is_none() => {
            schedule(context, key, &uid)
        }
        Phase::New | Phase::Unschedulable if on_node => {
            set(context, &uid, Phase::Starting);
            let delay = context.cluster.timing.ready_after;
            context.after(delay, Task::Pod(key.clone(), uid, Step::Start));
        }
        _ => {}
    }
}

pub(crate) fn set(context: &mut Context<'_>, uid: &str, phase: Phase) {
    if let Some(run) = context.state.pods.get_mut(uid) {
        run.phase = phase;
    }
}

/// A pod that is bound gets its node's region and zone as labels.
fn topology(context: &Context<'_>, pod: &mut Value, node: &str) {
    let Some(node) = context.state.store.get(&Key::new("nodes", "", node)) else { return };
    for label in ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"] {
        if let Some(value) = node["metadata"]["labels"].get(label) {
            if !pod["metadata"]["labels"].is_object() {
                pod["metadata"]["labels"] = json!({});
            }
            pod["metadata"]["labels"][label] = value.clone();
        }
    }
}

/// Binds a pod to a node, or says why not and tries again later.
pub(crate) fn schedule(context: &mut Context<'_>, key: &Key, uid: &str) {
    let Some(mut pod) = context.state.store.get(key).filter(|p| p["metadata"]["uid"] == uid) else { return };
    if pod["spec"].get("nodeName").is_some() || pod["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let time = now();
    match scheduler::candidates(context, &pod) {
        Ok(nodes) => {
            context.state.next_node += 1;
            let node = nodes[context.state.next_node % nodes.len()].clone();
            pod["spec"]["nodeName"] = json!(node);
            topology(context, &mut pod, &node);
            pod["status"]["conditions"] = json!([
                {"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": time},
            ]);
            context.save(key, &pod, "kube-scheduler");
            let message = format!("Successfully assigned {}/{} to {node}", key.ns, key.name);
            context.event(&pod, Event::normal("default-scheduler", "Scheduled", &message));
        }
        Err(why) => {
            if context.state.pods.get(uid).is_some_and(|p| p.phase != Phase::Unschedulable) {
                set(context, uid, Phase::Unschedulable);
                pod["status"]["conditions"] = json!([
                    {"type": "PodScheduled", "status": "False", "lastProbeTime": null, "lastTransitionTime": time,
                        "reason": "Unschedulable", "message": why},
                ]);
                context.save_status(key, &pod, "kube-scheduler");
            }
            context.event(&pod, Event::warning("default-scheduler", "FailedScheduling", &why));
            context.after(Duration::from_secs(3), Task::Pod(key.clone(), uid.to_owned(), Step::Schedule));
        }
    }
}
