//! `HorizontalPodAutoscaler` and `PodDisruptionBudget`.

use super::{Object, Readiness};

/// It has found what it scales. That it cannot read metrics yet (fresh pods have none for a minute) is
/// said, and is no reason to wait.
pub(super) fn horizontal(o: Object<'_>) -> Readiness {
    let target = || {
        let kind = o.text("/spec/scaleTargetRef/kind").unwrap_or("object");
        format!("{kind}/{}", o.text("/spec/scaleTargetRef/name").unwrap_or("?"))
    };
    // v1 has no conditions; the controller's first look shows in the counters.
    let looked = o.has("/status/desiredReplicas") && o.text("/apiVersion") == Some("autoscaling/v1");
    match o.condition("AbleToScale") {
        None if looked => Readiness::current(format!("scales {}", target())),
        None => Readiness::progress(format!("waiting for the autoscaler to look at {}", target())),
        Some(able) if !able.is_true() => {
            Readiness::progress(format!("cannot scale {}: {}", target(), able.says()))
        }
        Some(_) => match o.condition("ScalingActive").filter(|active| active.is_false()) {
            Some(idle) => {
                Readiness::current(format!("found {}, does not scale it: {}", target(), idle.says()))
            }
            None => Readiness::current(format!("scales {}", target())),
        },
    }
}

/// The disruption controller has counted for this generation (kstatus), and could.
pub(super) fn disruption_budget(o: Object<'_>) -> Readiness {
    if !o.has("/status/observedGeneration") {
        return Readiness::progress("waiting for the allowed disruptions to be counted");
    }
    match o.condition("DisruptionAllowed").filter(|c| c.reason() == "SyncFailed") {
        Some(failed) => Readiness::progress(failed.says()),
        None => Readiness::current(match o.count("/status/disruptionsAllowed") {
            1 => "1 disruption allowed".to_owned(),
            n => format!("{n} disruptions allowed"),
        }),
    }
}
