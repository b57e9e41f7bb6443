//! A bare Pod.

use super::{Object, Readiness};

/// kstatus, but a pod that ended badly has failed. Why a pod does not start is told by [`crate::health`].
pub(super) fn pod(o: Object<'_>) -> Readiness {
    match o.text("/status/phase") {
        Some("Succeeded") => Readiness::current("completed"),
        Some("Failed") => {
            let reason = o.text("/status/reason").unwrap_or("PodFailed");
            Readiness::failed(reason, o.text("/status/message").map_or_else(|| exits(o), str::to_owned))
        }
        Some("Running") if o.condition("Ready").is_some_and(|c| c.is_true()) => Readiness::current("ready"),
        Some("Running") => {
            let total = o.list("/status/containerStatuses").len();
            let ready =
                o.list("/status/containerStatuses").iter().filter(|c| Object(c).flag("/ready")).count();
            Readiness::progress(format!("waiting for {ready}/{total} containers to be ready"))
        }
        Some("Pending") => match o.condition("PodScheduled").filter(|c| c.is_false()) {
            Some(unscheduled) => {
                Readiness::progress(format!("waiting for a node: {}", unscheduled.explains()))
            }
            None => Readiness::progress(waiting(o).unwrap_or_else(|| "waiting for it to start".to_owned())),
        },
        Some("Unknown") => Readiness::unknown("the node does not report"),
        Some(_) | None => Readiness::progress("waiting for the pod to be seen"),
    }
}

fn waiting(o: Object<'_>) -> Option<String> {
    let containers =
        o.list("/status/initContainerStatuses").iter().chain(o.list("/status/containerStatuses"));
    containers.map(Object).find_map(|container| {
        let reason = container.text("/state/waiting/reason").filter(|r| *r != "PodInitializing")?;
        Some(format!("container {} is waiting: {reason}", container.text("/name").unwrap_or_default()))
    })
}

fn exits(o: Object<'_>) -> String {
    let ended = o.list("/status/containerStatuses").iter().map(Object).filter_map(|container| {
        let code = container.int("/state/terminated/exitCode").filter(|code| *code != 0)?;
        Some(format!("container {} exited with {code}", container.text("/name").unwrap_or_default()))
    });
    let ended = ended.collect::<Vec<_>>().join(", ");
    if ended.is_empty() { "the pod has failed".to_owned() } else { ended }
}
