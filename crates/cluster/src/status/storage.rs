//! `PersistentVolumeClaim` and `PersistentVolume`.

use super::{Object, Readiness, Surroundings, VolumeBinding};

/// Bound; or, where the class waits for the first consumer, not yet used by any pod: then nothing more
/// will happen to the claim, and whoever uses it has its own verdict.
pub(super) fn claim(o: Object<'_>, around: &Surroundings) -> Readiness {
    match o.text("/status/phase") {
        Some("Bound") => match o.condition("Resizing").filter(|c| c.is_true()) {
            Some(resizing) => {
                Readiness::progress(format!("bound, waiting for the resize: {}", resizing.explains()))
            }
            None => Readiness::current(match o.text("/status/capacity/storage") {
                Some(size) => format!("bound: {size}"),
                None => "bound".to_owned(),
            }),
        },
        Some("Lost") => Readiness::failed(
            "Lost",
            format!(
                "the volume it was bound to is gone: {}",
                o.text("/spec/volumeName").unwrap_or("unnamed")
            ),
        ),
        Some(_) | None => unbound(o, around),
    }
}

fn unbound(o: Object<'_>, around: &Surroundings) -> Readiness {
    const SELECTED_NODE: &str = "/metadata/annotations/volume.kubernetes.io~1selected-node";
    let Some(class) = o.text("/spec/storageClassName") else {
        return Readiness::progress(
            "waiting for a volume: it names no storage class and the cluster has no default",
        );
    };
    match around.storage_classes.get(class) {
        Some(VolumeBinding::WaitForFirstConsumer) if !o.has(SELECTED_NODE) => {
            Readiness::current("waits for its first consumer before it binds (WaitForFirstConsumer)")
        }
        None if !around.storage_classes.is_empty() => {
            Readiness::progress(format!("waiting for a volume: no storage class of that name: `{class}`"))
        }
        Some(VolumeBinding::WaitForFirstConsumer | VolumeBinding::Immediate) | None => {
            Readiness::progress(format!("waiting for a volume of storage class `{class}`"))
        }
    }
}

/// Available for a claim, or taken by one.
pub(super) fn volume(o: Object<'_>) -> Readiness {
    match o.text("/status/phase") {
        Some("Failed") => Readiness::failed(
            o.text("/status/reason").unwrap_or("Failed"),
            o.text("/status/message").unwrap_or("automatic reclamation has failed"),
        ),
        Some("Pending") | None => Readiness::progress("waiting for the volume to become available"),
        Some(phase) => Readiness::current(phase.to_lowercase()),
    }
}
