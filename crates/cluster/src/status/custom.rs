//! Any custom resource, by its conditions: kstatus' convention, and the words in common use.

use super::field::Condition;
use super::{Object, Readiness};

/// True means that something is wrong which needs help.
const FAILURE: [&str; 2] = ["Stalled", "Failed"];
/// True means that the controller is at work.
const WORKING: [&str; 2] = ["Reconciling", "Progressing"];
/// True means done. The first that is present decides.
const DONE: [&str; 9] = [
    "Ready",
    "Available",
    "Healthy",
    "Programmed",
    "Established",
    "Succeeded",
    "Complete",
    "Synced",
    "Accepted",
];
/// Values of `status.phase` or `status.state`, used where there are no conditions.
const GOOD_PHASES: [&str; 12] = [
    "ready",
    "running",
    "active",
    "available",
    "healthy",
    "bound",
    "succeeded",
    "completed",
    "complete",
    "deployed",
    "synced",
    "online",
];
const BAD_PHASES: [&str; 5] = ["failed", "error", "invalid", "rejected", "lost"];

/// `Stalled`/`Failed`, then work in progress, then the first word for "done", then the phase.
/// A condition about an older generation counts as not set yet.
pub(super) fn by_condition(o: Object<'_>) -> Readiness {
    let generation = o.int("/metadata/generation");
    let fresh = |kind: &str| o.condition(kind).filter(|c| c.is_about(generation));
    let is_stale = |kind: &str| o.condition(kind).is_some_and(|c| !c.is_about(generation));

    if let Some(failed) = FAILURE.iter().find_map(|kind| fresh(kind).filter(|c| c.is_true())) {
        let reason = if failed.reason().is_empty() { failed.kind() } else { failed.reason() };
        return Readiness::failed(reason, failed.explains());
    }
    if let Some(reconciling) = fresh("Reconciling").filter(|c| c.is_true()) {
        return Readiness::progress(reconciling.says());
    }
    if let Some(done) = DONE.iter().find_map(|kind| fresh(kind)) {
        return judge(done, WORKING.iter().find_map(|kind| fresh(kind).filter(|c| c.is_true())));
    }
    if DONE.iter().any(|kind| is_stale(kind)) {
        return Readiness::progress("waiting for the controller to see the new spec");
    }
    if let Some(working) = WORKING.iter().find_map(|kind| fresh(kind).filter(|c| c.is_true())) {
        return Readiness::progress(working.says());
    }
    by_parents(o).or_else(|| by_phase(o)).unwrap_or_else(|| silent(o, generation))
}

fn judge(done: Condition<'_>, working: Option<Condition<'_>>) -> Readiness {
    if done.is_true() {
        return Readiness::current(done.kind().to_lowercase());
    }
    Readiness::progress(match working {
        Some(working) => format!("waiting for {}: {}", done.kind(), working.says()),
        None => format!("waiting for {}: {}", done.kind(), done.says()),
    })
}

/// Routes of the Gateway API report per parent: all of them have to accept.
fn by_parents(o: Object<'_>) -> Option<Readiness> {
    let parents = o.list("/status/parents");
    if parents.is_empty() {
        return None;
    }
    let refused = parents.iter().map(Object).find_map(|parent| {
        let conditions = parent.list("/conditions").iter().map(Object);
        conditions.into_iter().find(|c| {
            c.text("/status") == Some("False") && matches!(c.text("/type"), Some("Accepted" | "ResolvedRefs"))
        })
    });
    Some(match refused {
        Some(c) => Readiness::progress(format!(
            "waiting for {}: {}",
            c.text("/type").unwrap_or_default(),
            c.text("/message").or_else(|| c.text("/reason")).unwrap_or("no reason given")
        )),
        None => Readiness::current("accepted"),
    })
}

fn by_phase(o: Object<'_>) -> Option<Readiness> {
    let phase = o.text("/status/phase").or_else(|| o.text("/status/state"))?;
    let lower = phase.to_lowercase();
    if GOOD_PHASES.contains(&lower.as_str()) {
        return Some(Readiness::current(lower));
    }
    if BAD_PHASES.contains(&lower.as_str()) {
        let message = o.text("/status/message").or_else(|| o.text("/status/reason"));
        return Some(Readiness::failed(phase, message.unwrap_or("no message given")));
    }
    Some(Readiness::progress(format!("waiting for the phase to change: {phase}")))
}

/// Nothing that we can read. A controller that says it has seen this generation and complains of nothing is
/// believed (kstatus); one that says nothing at all is not.
fn silent(o: Object<'_>, generation: Option<i64>) -> Readiness {
    match (o.int("/status/observedGeneration"), generation) {
        (Some(observed), Some(generation)) if observed >= generation => {
            Readiness::current("seen by its controller")
        }
        _ if o.conditions().next().is_some() => Readiness::unknown(
            "stored; it has none of the conditions that tell readiness (Ready, Available, …)",
        ),
        _ => Readiness::unknown("stored; no controller has reported on it"),
    }
}
