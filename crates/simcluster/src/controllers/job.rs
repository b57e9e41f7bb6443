//! Jobs: pods that run to completion, with a limit of failures and of time.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use super::events::Event;
use super::objects::{condition, is_ready, number, pod_of, set_condition, set_count, text};
use super::replicaset::remove_pod;
use crate::api::delete::{self, DeleteOptions, Propagation};
use crate::cluster::now;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";
const COMPONENT: &str = "job-controller";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut job: Value) {
    if job["metadata"].get("deletionTimestamp").is_some() {
        return;
    }
    let is = |job: &Value, name: &str| condition(job, name).is_some_and(|c| c["status"] == "True");
    if is(&job, "Complete") || is(&job, "Failed") {
        expire(context, key, &mut job);
        return;
    }
    let uid = text(&job, "/metadata/uid").to_owned();
    let suspended = job["spec"]["suspend"] == true;
    if suspended {
        for (pod_key, pod) in context.owned(&uid, "pods") {
            if pod["metadata"].get("deletionTimestamp").is_none() {
                remove_pod(context, &pod_key, pod);
            }
        }
        if !is(&job, "Suspended") {
            set_condition(&mut job, "Suspended", "True", "JobSuspended", "Job suspended", false);
            stamp(&mut job);
            job["status"].as_object_mut().map(|s| s.shift_remove("startTime"));
            context.event(&job, Event::normal(COMPONENT, "Suspended", "Job suspended"));
        }
        count(context, &mut job, &uid);
        context.save_status(key, &job, MANAGER);
        return;
    }
    if is(&job, "Suspended") {
        set_condition(&mut job, "Suspended", "False", "JobResumed", "Job resumed", false);
        stamp(&mut job);
        job["status"]["startTime"] = json!(now());
        context.event(&job, Event::normal(COMPONENT, "Resumed", "Job resumed"));
    }
    if job["status"].get("startTime").is_none() {
        if !job["status"].is_object() {
            job["status"] = json!({});
        }
        job["status"]["startTime"] = json!(now());
    }
    count(context, &mut job, &uid);
    let (active, succeeded) = (number(&job, "/status/active"), number(&job, "/status/succeeded"));
    let failures = number(&job, "/status/failed") + restarts(context, &uid);
    let completions = job["spec"]["completions"].as_i64();
    let parallelism = job["spec"]["parallelism"].as_i64().unwrap_or(1);
    if let Some(left) = deadline(&job) {
        if left.is_zero() {
            fail(
                context,
                key,
                &mut job,
                &uid,
                "DeadlineExceeded",
                "Job was active longer than specified deadline",
            );
            return;
        }
        context.again(key, left);
    }
    if failures > number(&job, "/spec/backoffLimit") {
        fail(
            context,
            key,
            &mut job,
            &uid,
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        );
        return;
    }
    let done = match completions {
        Some(n) => succeeded >= n,
        None => succeeded > 0 && active == 0,
    };
    if done {
        let message = "Reached expected number of succeeded pods";
        set_condition(&mut job, "SuccessCriteriaMet", "True", "CompletionsReached", message, false);
        set_condition(&mut job, "Complete", "True", "CompletionsReached", message, false);
        stamp(&mut job);
        job["status"]["completionTime"] = json!(now());
        context.event(&job, Event::normal(COMPONENT, "Completed", "Job completed"));
        context.save_status(key, &job, MANAGER);
        return;
    }
    let wanted = match completions {
        Some(n) => parallelism.min(n - succeeded),
        None if succeeded > 0 => active,
        None => parallelism,
    };
    let failed = number(&job, "/status/failed");
    for index in active..wanted {
        let mut pod = pod_of(&job, &job["spec"]["template"]);
        if job["spec"]["completionMode"] == "Indexed" {
            let at = (succeeded + index).to_string();
            pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] = json!(at);
            pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = json!(at);
        }
        if failed > 0 && !backoff_over(context, key, &uid, failed) {
            break;
        }
        match context.try_create("pods", pod, MANAGER) {
            Ok(created) => {
                let message = format!("Created pod: {}", created.name);
                context.event(&job, Event::normal(COMPONENT, "SuccessfulCreate", &message));
            }
            Err(None) => {}
            Err(Some(why)) => {
                let message = format!("Error creating: {why}");
                context.event(&job, Event::warning(COMPONENT, "FailedCreate", &message));
                context.again(key, super::replicaset::RETRY);
                break;
            }
        }
    }
    count(context, &mut job, &uid);
    context.save_status(key, &job, MANAGER);
}

/// Failed pods are replaced after a delay that grows, in units of the crash period.
fn backoff_over(context: &mut Context<'_>, key: &Key, uid: &str, failed: i64) -> bool {
    let doublings = u32::try_from((failed - 1).clamp(0, 5)).unwrap_or(5);
    let wait = context.cluster.timing.crash / 2 * 2_u32.pow(doublings);
    let last = context
        .owned(uid, "pods")
        .iter()
        .filter(|(_, p)| p["status"]["phase"] == "Failed")
        .filter_map(|(_, p)| {
            p.pointer("/status/containerStatuses/0/state/terminated/finishedAt")?
                .as_str()?
                .parse::<jiff::Timestamp>()
                .ok()
        })
        .max();
    let Some(last) = last else { return true };
    let passed = jiff::Timestamp::now().as_millisecond() - last.as_millisecond();
    let left = i64::try_from(wait.as_millis()).unwrap_or(0) - passed;
    match u64::try_from(left) {
        Ok(left) if left > 0 => {
            context.again(key, Duration::from_millis(left));
            false
        }
        _ => true,
    }
}

/// Job conditions carry `lastProbeTime`.
fn stamp(job: &mut Value) {
    for c in job["status"]["conditions"].as_array_mut().into_iter().flatten() {
        if c.get("lastProbeTime").is_none() {
            c["lastProbeTime"] = c["lastTransitionTime"].clone();
        }
    }
}

fn restarts(context: &Context<'_>, uid: &str) -> i64 {
    context
        .owned(uid, "pods")
        .iter()
        .filter(|(_, p)| p["spec"]["restartPolicy"] == "OnFailure" && p["status"]["phase"] == "Running")
        .map(|(_, p)| number(p, "/status/containerStatuses/0/restartCount"))
        .sum()
}

fn count(context: &Context<'_>, job: &mut Value, uid: &str) {
    let pods = context.owned(uid, "pods");
    let phase = |name: &str| {
        i64::try_from(pods.iter().filter(|(_, p)| p["status"]["phase"] == name).count()).unwrap_or(0)
    };
    let done = phase("Succeeded") + phase("Failed");
    let dying = pods
        .iter()
        .filter(|(_, p)| {
            p["metadata"].get("deletionTimestamp").is_some()
                && !matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
        })
        .count();
    let dying = i64::try_from(dying).unwrap_or(0);
    let all = i64::try_from(pods.len()).unwrap_or(0);
    let ready = pods.iter().filter(|(_, p)| is_ready(p) && p["status"]["phase"] == "Running").count();
    set_count(job, "active", all - done - dying);
    set_count(job, "succeeded", phase("Succeeded"));
    set_count(job, "failed", phase("Failed"));
    job["status"]["terminating"] = json!(dying);
    job["status"]["ready"] = json!(ready);
    job["status"]["uncountedTerminatedPods"] = json!({});
}

/// What is left of `activeDeadlineSeconds`.
fn deadline(job: &Value) -> Option<Duration> {
    let seconds = job["spec"]["activeDeadlineSeconds"].as_i64()?;
    let start = job["status"]["startTime"].as_str()?.parse::<jiff::Timestamp>().ok()?;
    let left = start.as_millisecond() + seconds * 1000 - jiff::Timestamp::now().as_millisecond();
    Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)))
}

fn fail(context: &mut Context<'_>, key: &Key, job: &mut Value, uid: &str, reason: &str, message: &str) {
    for (pod_key, pod) in context.owned(uid, "pods") {
        let phase = pod["status"]["phase"].as_str().unwrap_or_default();
        if !matches!(phase, "Failed" | "Succeeded") && pod["metadata"].get("deletionTimestamp").is_none() {
            let name = format!("Deleted pod: {}", pod_key.name);
            context.event(job, Event::normal(COMPONENT, "SuccessfulDelete", &name));
            remove_pod(context, &pod_key, pod);
        }
    }
    set_condition(job, "FailureTarget", "True", reason, message, false);
    set_condition(job, "Failed", "True", reason, message, false);
    stamp(job);
    count(context, job, uid);
    job["status"].as_object_mut().map(|s| s.shift_remove("active"));
    context.event(job, Event::warning(COMPONENT, reason, message));
    context.save_status(key, job, MANAGER);
}

/// `ttlSecondsAfterFinished`.
fn expire(context: &mut Context<'_>, key: &Key, job: &mut Value) {
    let Some(ttl) = job["spec"]["ttlSecondsAfterFinished"].as_i64() else { return };
    let finished = ["Complete", "Failed"]
        .iter()
        .find_map(|c| condition(job, c)?["lastTransitionTime"].as_str()?.parse::<jiff::Timestamp>().ok());
    let Some(finished) = finished else { return };
    let left = finished.as_millisecond() + ttl * 1000 - jiff::Timestamp::now().as_millisecond();
    match u64::try_from(left) {
        Ok(left) if left > 0 => context.again(key, Duration::from_millis(left)),
        _ => {
            let options = DeleteOptions {
                propagation: Some(Propagation::Background),
                grace: None,
                uid: None,
                rv: None,
                dry_run: false,
            };
            delete::start(context.state, key, job, &options);
        }
    }
}
