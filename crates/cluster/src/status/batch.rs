//! Job and `CronJob`.

use super::{Object, Readiness};

/// Done when complete, failed when it says so (also while its pods still terminate: `FailureTarget`).
/// A suspended Job is what its manifest asks for.
pub(super) fn job(o: Object<'_>) -> Readiness {
    let wanted = o.int("/spec/completions").or_else(|| o.int("/spec/parallelism")).unwrap_or(1);
    let succeeded = o.count("/status/succeeded");
    if o.condition("Complete").is_some_and(|c| c.is_true()) {
        return Readiness::current(format!("completed: {succeeded}/{wanted} succeeded"));
    }
    for kind in ["Failed", "FailureTarget"] {
        if let Some(failed) = o.condition(kind).filter(|c| c.is_true()) {
            let reason = if failed.reason().is_empty() { "JobFailed" } else { failed.reason() };
            return Readiness::failed(reason, failed.explains());
        }
    }
    if o.flag("/spec/suspend") {
        return Readiness::current("suspended: does not run until it is resumed");
    }
    if o.text("/status/startTime").is_none() {
        return Readiness::progress("waiting for it to start");
    }
    let failed = match o.count("/status/failed") {
        0 => String::new(),
        1 => ", 1 pod has failed".to_owned(),
        n => format!(", {n} pods have failed"),
    };
    Readiness::progress(format!("waiting for {succeeded}/{wanted} completions{failed}"))
}

/// A `CronJob` is a schedule; its Jobs have their own outcome.
pub(super) fn cron_job(o: Object<'_>) -> Readiness {
    if o.flag("/spec/suspend") {
        return Readiness::current("suspended: runs nothing until it is resumed");
    }
    Readiness::current(format!("scheduled: {}", o.text("/spec/schedule").unwrap_or("no schedule")))
}
