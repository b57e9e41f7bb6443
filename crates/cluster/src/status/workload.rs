//! Deployment, `ReplicaSet`, `StatefulSet`, `DaemonSet`: the meaning of `kubectl rollout status`.

use super::{Object, Readiness};

/// kubectl/pkg/polymorphichelpers/rollout_status.go, `DeploymentStatusViewer`; and a rollout that
/// somebody paused half way is a failure (kit's `PauseError`): it never ends by itself.
pub(super) fn deployment(o: Object<'_>) -> Readiness {
    if !o.has("/status/observedGeneration") {
        return Readiness::progress("waiting for the controller to see it");
    }
    let wanted = o.int("/spec/replicas").unwrap_or(1);
    let total = o.count("/status/replicas");
    let updated = o.count("/status/updatedReplicas");
    let available = o.count("/status/availableReplicas");
    let rolled_out = updated >= wanted && total <= updated && available >= updated;

    if rolled_out {
        return Readiness::current(format!("{available}/{wanted} replicas are available"));
    }
    if o.flag("/spec/paused") {
        return Readiness::failed(
            "Paused",
            format!("the rollout is paused with {updated}/{wanted} replicas updated"),
        );
    }
    if let Some(progressing) = o.condition("Progressing")
        && progressing.reason() == "ProgressDeadlineExceeded"
    {
        return Readiness::failed("ProgressDeadlineExceeded", progressing.explains());
    }
    let waiting = if updated < wanted {
        format!("waiting for {updated}/{wanted} replicas to be updated")
    } else if total > updated {
        match total - updated {
            1 => "waiting for 1 old replica to terminate".to_owned(),
            old => format!("waiting for {old} old replicas to terminate"),
        }
    } else {
        format!("waiting for {available}/{updated} updated replicas to be available")
    };
    match o.condition("ReplicaFailure").filter(|failure| failure.is_true()) {
        Some(failure) => Readiness::progress(format!("{waiting} ({})", without_pod(&failure.says()))),
        None => Readiness::progress(waiting),
    }
}

/// A refusal to create a pod without the pod's generated name, which is another one at each try: a sentence that stays
/// the same while nothing changes.
pub(crate) fn without_pod(text: &str) -> String {
    const BEFORE: &str = "pods \"";
    let Some((head, rest)) = text.split_once(BEFORE) else { return text.to_owned() };
    match rest.split_once('"') {
        Some((_, tail)) if tail.starts_with(" is forbidden") => format!("{head}{BEFORE}<pod>\"{tail}"),
        Some(_) | None => text.to_owned(),
    }
}

/// A bare `ReplicaSet` (or `ReplicationController`).
pub(super) fn replica_set(o: Object<'_>) -> Readiness {
    if !o.has("/status/observedGeneration") {
        return Readiness::progress("waiting for the controller to see it");
    }
    let wanted = o.int("/spec/replicas").unwrap_or(1);
    let total = o.count("/status/replicas");
    let available = o.count("/status/availableReplicas");
    if total == wanted && available >= wanted {
        return Readiness::current(format!("{available}/{wanted} replicas are available"));
    }
    let waiting = if total > wanted {
        format!("waiting for {} surplus replicas to terminate", total - wanted)
    } else {
        format!("waiting for {available}/{wanted} replicas to be available")
    };
    match o.condition("ReplicaFailure").filter(|failure| failure.is_true()) {
        Some(failure) => Readiness::progress(format!("{waiting} ({})", without_pod(&failure.says()))),
        None => Readiness::progress(waiting),
    }
}

/// rollout_status.go, `StatefulSetStatusViewer`, and kstatus for surplus pods. With `OnDelete` (on which
/// kubectl has no opinion) pods move to a new revision when somebody deletes them, so it is enough that all are ready.
pub(super) fn stateful_set(o: Object<'_>) -> Readiness {
    if o.count("/status/observedGeneration") == 0 {
        return Readiness::progress("waiting for the controller to see it");
    }
    let wanted = o.int("/spec/replicas").unwrap_or(1);
    let total = o.count("/status/replicas");
    let ready = o.count("/status/readyReplicas");
    let updated = o.count("/status/updatedReplicas");
    if ready < wanted {
        return Readiness::progress(format!("waiting for {ready}/{wanted} replicas to be ready"));
    }
    if o.count("/spec/minReadySeconds") > 0 && o.count("/status/availableReplicas") < wanted {
        let available = o.count("/status/availableReplicas");
        return Readiness::progress(format!("waiting for {available}/{wanted} replicas to be available"));
    }
    if total > wanted {
        return Readiness::progress(format!("waiting for {} surplus replicas to terminate", total - wanted));
    }
    let old = wanted - updated.min(wanted);
    if o.text("/spec/updateStrategy/type") == Some("OnDelete") {
        let settled = o.text("/status/updateRevision") == o.text("/status/currentRevision");
        return Readiness::current(match old {
            0 => format!("{ready}/{wanted} replicas are ready"),
            _ if settled => format!("{ready}/{wanted} replicas are ready"),
            old => format!(
                "{ready}/{wanted} replicas are ready; {old} keep the old revision until they are deleted (OnDelete)"
            ),
        });
    }
    let partition = o.count("/spec/updateStrategy/rollingUpdate/partition").min(wanted);
    let due = wanted - partition;
    if updated < due {
        return Readiness::progress(format!("waiting for {updated}/{due} replicas to be updated"));
    }
    if partition > 0 {
        return Readiness::current(format!(
            "{ready}/{wanted} replicas are ready, {updated} updated; ordinals below {partition} are held back by the partition"
        ));
    }
    Readiness::current(format!("{ready}/{wanted} replicas are ready"))
}

/// rollout_status.go, `DaemonSetStatusViewer`, and kstatus for `OnDelete` and for a controller that has not started.
pub(super) fn daemon_set(o: Object<'_>) -> Readiness {
    if o.count("/status/observedGeneration") == 0 {
        return Readiness::progress("waiting for the controller to see it");
    }
    let wanted = o.count("/status/desiredNumberScheduled");
    let updated = o.count("/status/updatedNumberScheduled");
    let available = o.count("/status/numberAvailable");
    let on_delete = o.text("/spec/updateStrategy/type") == Some("OnDelete");
    if wanted == 0 {
        return Readiness::current("no node matches: 0 pods wanted");
    }
    if updated < wanted && !on_delete {
        return Readiness::progress(format!("waiting for {updated}/{wanted} pods to be updated"));
    }
    if available < wanted {
        return Readiness::progress(format!("waiting for {available}/{wanted} pods to be available"));
    }
    if updated < wanted {
        let old = wanted - updated;
        return Readiness::current(format!(
            "{available}/{wanted} pods are available; {old} keep the old template until they are deleted (OnDelete)"
        ));
    }
    Readiness::current(format!("{available}/{wanted} pods are available"))
}
