//! The status of a Deployment: counts, and the conditions Available and Progressing.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::deployment::{MANAGER, Owned, limits};
use super::objects::{condition, drop_condition, number, set_condition, set_count};
use crate::cluster::now;
use crate::store::Key;

fn progress(deployment: &mut Value, status: &str, reason: &str, message: &str) {
    set_condition(deployment, "Progressing", status, reason, message, true);
}

fn reason(deployment: &Value) -> &str {
    condition(deployment, "Progressing").and_then(|c| c["reason"].as_str()).unwrap_or_default()
}

/// A new ReplicaSet was made.
pub(crate) fn created(deployment: &mut Value, set: &str) {
    progress(deployment, "True", "NewReplicaSetCreated", &format!("Created new replica set \"{set}\""));
}

/// An existing ReplicaSet fits the template.
pub(crate) fn found(deployment: &mut Value, set: &str) {
    if condition(deployment, "Progressing").is_none() {
        progress(deployment, "True", "FoundNewReplicaSet", &format!("Found new replica set \"{set}\""));
    }
}

/// Records pausing and resuming.
pub(crate) fn note_pause(deployment: &mut Value, paused: bool) {
    let was = reason(deployment) == "DeploymentPaused";
    if paused && !was && reason(deployment) != "ProgressDeadlineExceeded" {
        progress(deployment, "Unknown", "DeploymentPaused", "Deployment is paused");
    } else if !paused && was {
        progress(deployment, "Unknown", "DeploymentResumed", "Deployment is resumed");
    }
}

/// Computes and stores the status.
pub(crate) fn write(
    context: &mut Context<'_>,
    key: &Key,
    mut deployment: Value,
    new: Option<&Owned>,
    old: &[Owned],
) {
    let before = context.state.store.get(key).unwrap_or_default();
    let wanted = number(&deployment, "/spec/replicas");
    let sum = |field: &str| -> i64 { old.iter().chain(new).map(|s| s.status(field)).sum() };
    let (replicas, ready, available) = (sum("replicas"), sum("readyReplicas"), sum("availableReplicas"));
    let updated = new.map_or(0, |s| s.status("replicas"));
    if !deployment["status"].is_object() {
        deployment["status"] = json!({});
    }
    deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
    set_count(&mut deployment, "replicas", replicas);
    set_count(&mut deployment, "updatedReplicas", updated);
    set_count(&mut deployment, "readyReplicas", ready);
    set_count(&mut deployment, "availableReplicas", available);
    let total: i64 = old.iter().chain(new).map(Owned::wanted).sum();
    set_count(&mut deployment, "unavailableReplicas", (total - available).max(0));
    let terminating = sum("terminatingReplicas");
    deployment["status"]["terminatingReplicas"] = json!(terminating);
    let (_, unavailable) = limits(&deployment);
    if available >= wanted - unavailable {
        set_condition(
            &mut deployment,
            "Available",
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
            true,
        );
    } else {
        set_condition(
            &mut deployment,
            "Available",
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
            true,
        );
    }
    // The latest set's complaint is the Deployment's.
    match new.and_then(|set| condition(&set.set, "ReplicaFailure")).filter(|c| c["status"] == "True") {
        Some(failure) => {
            let text = failure["message"].as_str().unwrap_or_default().to_owned();
            set_condition(&mut deployment, "ReplicaFailure", "True", "FailedCreate", &text, true);
        }
        None => drop_condition(&mut deployment, "ReplicaFailure"),
    }
    judge_progress(context, key, &mut deployment, &before, new, [replicas, updated, available, wanted]);
    context.save_status(key, &deployment, MANAGER);
}

fn judge_progress(
    context: &mut Context<'_>,
    key: &Key,
    deployment: &mut Value,
    before: &Value,
    new: Option<&Owned>,
    [replicas, updated, available, wanted]: [i64; 4],
) {
    let deadline = number(deployment, "/spec/progressDeadlineSeconds");
    if deployment["spec"]["paused"] == true || deadline == i64::from(i32::MAX) {
        return;
    }
    let set = new.map_or_else(|| key.name.to_string(), |s| s.key.name.to_string());
    let kind = if new.is_some() { "ReplicaSet" } else { "Deployment" };
    let complete = updated == wanted && replicas == wanted && available == wanted;
    if reason(deployment) == "NewReplicaSetAvailable" && replicas == updated {
        return;
    }
    let status = |o: &Value, f: &str| o["status"][f].as_i64().unwrap_or(0);
    let old_pods = |o: &Value| status(o, "replicas") - status(o, "updatedReplicas");
    let progressed = updated > status(before, "updatedReplicas")
        || old_pods(deployment) < old_pods(before)
        || status(deployment, "readyReplicas") > status(before, "readyReplicas")
        || available > status(before, "availableReplicas");
    if complete {
        let message = format!("{kind} \"{set}\" has successfully progressed.");
        progress(deployment, "True", "NewReplicaSetAvailable", &message);
        return;
    }
    if progressed {
        let message = format!("{kind} \"{set}\" is progressing.");
        touch(deployment, &message);
    }
    let Some(progressing) = condition(deployment, "Progressing").cloned() else { return };
    if progressing["reason"] == "ProgressDeadlineExceeded"
        || progressing["reason"] == "NewReplicaSetAvailable"
    {
        return;
    }
    let since = progressing["lastUpdateTime"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let Some(since) = since else { return };
    let left = since.as_millisecond() + deadline * 1000 - jiff::Timestamp::now().as_millisecond();
    match u64::try_from(left) {
        Ok(left) if left > 0 => context.again(key, Duration::from_millis(left + 10)),
        _ => {
            let message = format!("{kind} \"{set}\" has timed out progressing.");
            progress(deployment, "False", "ProgressDeadlineExceeded", &message);
        }
    }
}

/// Progress was made: the clock of the deadline starts anew.
fn touch(deployment: &mut Value, message: &str) {
    progress(deployment, "True", "ReplicaSetUpdated", message);
    let time = now();
    for c in deployment["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if c["type"] == "Progressing" {
            c["lastUpdateTime"] = json!(time);
        }
    }
}
