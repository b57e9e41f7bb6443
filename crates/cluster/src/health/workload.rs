//! What is kept of an object that runs pods, to tell which are of its rollout.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod::controller;
use crate::status::{Object, without_pod};

/// What is kept of an object that runs pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `metadata.uid`.
    pub uid: String,
    /// How its present pods are told from those of earlier specs.
    pub revision: Revision,
    /// Its own complaint that pods cannot be created (`ReplicaFailure`).
    pub replica_failure: Option<String>,
}

/// How the pods of the present spec are recognised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revision {
    /// Deployment: those of the `ReplicaSet` with this `deployment.kubernetes.io/revision`.
    ReplicaSet(Option<String>),
    /// `StatefulSet`: those with this `controller-revision-hash` (`status.updateRevision`).
    Hash(Option<String>),
    /// `DaemonSet`: those with this `pod-template-generation`.
    TemplateGeneration(Option<String>),
    /// Job, `ReplicaSet`: all that it controls.
    Any,
    /// A pod itself.
    Itself,
    /// It runs no pods; only what is said about it counts.
    NoPods,
}

/// A `ReplicaSet`, reduced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSet {
    /// `metadata.uid`.
    pub uid: String,
    /// `uid` of its Deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `deployment.kubernetes.io/revision`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
}

const DEPLOYMENT_REVISION: &str = "/metadata/annotations/deployment.kubernetes.io~1revision";

impl Workload {
    /// Reads an object of any kind.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let o = Object(object);
        // Until the controller has seen the present spec, what it wrote names the pods of the one before.
        let observed = o.int("/status/observedGeneration") >= o.int("/metadata/generation");
        let owned = |pointer: &str| o.text(pointer).map(str::to_owned);
        let reported = |pointer: &str| owned(pointer).filter(|_| observed);
        let revision = match o.text("/kind").unwrap_or_default() {
            "Deployment" => Revision::ReplicaSet(reported(DEPLOYMENT_REVISION)),
            "StatefulSet" => Revision::Hash(reported("/status/updateRevision")),
            // Still written by every server next to controller-revision-hash, which is not in the status.
            "DaemonSet" => {
                const GENERATION: &str = "/metadata/annotations/deprecated.daemonset.template.generation";
                Revision::TemplateGeneration(owned(GENERATION))
            }
            "Job" | "ReplicaSet" | "ReplicationController" => Revision::Any,
            "Pod" => Revision::Itself,
            _ => Revision::NoPods,
        };
        let failure = o.condition("ReplicaFailure").filter(|c| observed && c.is_true());
        Self {
            uid: o.text("/metadata/uid").unwrap_or_default().to_owned(),
            revision,
            replica_failure: failure.map(|c| without_pod(&c.explains())),
        }
    }

    /// Whether it has pods that could explain its state.
    #[must_use]
    pub fn runs_pods(&self) -> bool {
        self.revision != Revision::NoPods
    }
}

impl ReplicaSet {
    /// Reads a `ReplicaSet` as the server sent it.
    #[must_use]
    pub fn read(object: &Value) -> Self {
        let o = Object(object);
        Self {
            uid: o.text("/metadata/uid").unwrap_or_default().to_owned(),
            controller: controller(o),
            revision: o.text(DEPLOYMENT_REVISION).map(str::to_owned),
        }
    }
}
