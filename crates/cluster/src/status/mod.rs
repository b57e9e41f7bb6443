//! Is this object what its manifest asks for? Pure: one object in, one verdict out.
//!
//! The rules are those of `kubectl rollout status` for Deployments, `StatefulSets`
//! and `DaemonSets`, and of kstatus (sigs.k8s.io/cli-utils) for the rest, tightened
//! where those call something done that is not: a Job is done when it has
//! completed, a load balancer when it has an address. A kind that has no notion of
//! readiness (a `ConfigMap`) is current as soon as it is stored. A custom resource
//! that reports nothing is [`Readiness::Unknown`], never silently current.
//!
//! ```
//! use cluster::status::{Readiness, assess};
//! let deployment = serde_json::json!({
//!     "apiVersion": "apps/v1", "kind": "Deployment",
//!     "metadata": {"name": "web", "generation": 2},
//!     "spec": {"replicas": 3},
//!     "status": {"observedGeneration": 2, "replicas": 4, "updatedReplicas": 2, "availableReplicas": 3}
//! });
//! let Readiness::InProgress { message } = assess(&deployment) else { panic!() };
//! assert_eq!(message, "waiting for 2/3 replicas to be updated");
//! ```

mod autoscaling;
mod batch;
mod custom;
mod extension;
mod field;
mod network;
mod pod;
mod storage;
mod workload;

pub(crate) use workload::without_pod;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use field::{Condition, Object};

/// What can be said of an object from the object alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum Readiness {
    /// It is what was asked for.
    Current {
        /// In which sense, for example `3/3 replicas are available`.
        message: String,
    },
    /// It is on its way.
    InProgress {
        /// What is missing, for example `waiting for 2/3 replicas to be updated`.
        message: String,
    },
    /// It says of itself that it will not get there without help.
    Failed {
        /// The server's word, for example `ProgressDeadlineExceeded`.
        reason: String,
        /// What happened.
        message: String,
    },
    /// It says nothing that we can judge.
    Unknown {
        /// What was looked for.
        message: String,
    },
}

impl Readiness {
    pub(crate) fn current(message: impl Into<String>) -> Self {
        Self::Current { message: message.into() }
    }

    pub(crate) fn progress(message: impl Into<String>) -> Self {
        Self::InProgress { message: message.into() }
    }

    pub(crate) fn failed(reason: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Failed { reason: reason.into(), message: message.into() }
    }

    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown { message: message.into() }
    }

    /// Whether this is [`Readiness::Current`].
    #[must_use]
    pub fn is_current(&self) -> bool {
        matches!(self, Self::Current { .. })
    }

    /// The sentence, whatever the state.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Current { message }
            | Self::InProgress { message }
            | Self::Failed { message, .. }
            | Self::Unknown { message } => message,
        }
    }
}

/// What an object's verdict can depend on besides the object itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// When each `StorageClass` binds its volumes. Empty means not known: then a claim that
    /// is not bound is in progress.
    pub storage_classes: BTreeMap<String, VolumeBinding>,
}

/// `volumeBindingMode` of a `StorageClass`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeBinding {
    /// As soon as the claim exists.
    Immediate,
    /// When the first pod that uses the claim is scheduled.
    WaitForFirstConsumer,
}

/// The verdict on `object` as the server returned it (`apiVersion`, `kind`, `metadata`, `spec`, `status`).
#[must_use]
pub fn assess(object: &Value) -> Readiness {
    assess_in(object, &Surroundings::default())
}

/// Like [`assess`], with what is known of the rest of the cluster.
#[must_use]
pub fn assess_in(object: &Value, around: &Surroundings) -> Readiness {
    let o = Object(object);
    if o.text("/metadata/deletionTimestamp").is_some() {
        return deleting(o);
    }
    if let Some(stale) = unobserved(o) {
        return stale;
    }
    match (o.group(), o.text("/kind").unwrap_or_default()) {
        ("apps" | "extensions", "Deployment") => workload::deployment(o),
        ("apps" | "extensions", "DaemonSet") => workload::daemon_set(o),
        ("apps", "StatefulSet") => workload::stateful_set(o),
        ("apps" | "extensions", "ReplicaSet") | ("", "ReplicationController") => workload::replica_set(o),
        ("batch", "Job") => batch::job(o),
        ("batch", "CronJob") => batch::cron_job(o),
        ("", "Pod") => pod::pod(o),
        ("", "PersistentVolumeClaim") => storage::claim(o, around),
        ("", "PersistentVolume") => storage::volume(o),
        ("", "Service") => network::service(o),
        ("networking.k8s.io" | "extensions", "Ingress") => network::ingress(o),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaling::horizontal(o),
        ("policy", "PodDisruptionBudget") => autoscaling::disruption_budget(o),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => extension::definition(o),
        ("apiregistration.k8s.io", "APIService") => extension::api_service(o),
        ("", "Namespace") => extension::namespace(o),
        ("certificates.k8s.io", "CertificateSigningRequest") => extension::signing_request(o),
        ("", "Node") => custom::by_condition(o),
        (group, _) if is_builtin(group) => Readiness::current("stored"),
        _ => custom::by_condition(o),
    }
}

/// An object on its way out is not what a manifest asks for, and nothing brings it back.
fn deleting(o: Object<'_>) -> Readiness {
    let since = o.text("/metadata/deletionTimestamp").unwrap_or_default();
    let held = o.strings("/metadata/finalizers");
    let message = if held.is_empty() {
        format!("is being deleted since {since}")
    } else {
        format!("is being deleted since {since}, held by finalizers: {}", held.join(", "))
    };
    Readiness::failed("Terminating", message)
}

/// A status that is about an older generation says nothing about this one.
fn unobserved(o: Object<'_>) -> Option<Readiness> {
    let generation = o.int("/metadata/generation")?;
    let observed = o.int("/status/observedGeneration")?;
    (observed < generation).then(|| Readiness::progress("waiting for the controller to see the new spec"))
}

/// Groups that Kubernetes itself serves. Their kinds that are not in the table have no notion of readiness.
fn is_builtin(group: &str) -> bool {
    const BUILTIN: [&str; 14] = [
        "",
        "apps",
        "autoscaling",
        "batch",
        "policy",
        "extensions",
        "admissionregistration.k8s.io",
        "coordination.k8s.io",
        "discovery.k8s.io",
        "flowcontrol.apiserver.k8s.io",
        "networking.k8s.io",
        "rbac.authorization.k8s.io",
        "scheduling.k8s.io",
        "storage.k8s.io",
    ];
    BUILTIN.contains(&group) || ["node.k8s.io", "events.k8s.io", "resource.k8s.io"].contains(&group)
}
