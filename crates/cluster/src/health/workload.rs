//! Which pods belong to the rollout.

use serde_json::Value;

use super::Pod;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaSet {
    /// `metadata.uid`.
    pub uid: String,
    /// `uid` of its Deployment.
    pub controller: Option<String>,
    /// `deployment.kubernetes.io/revision`.
    pub revision: Option<String>,
}

/// How a pod relates to the rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// Made from the present spec.
    Current,
    /// Made from an earlier one.
    Old,
    /// Somebody else's.
    Foreign,
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

    /// Whether, and how, `pod` belongs to this workload. `sets` are the namespace's `ReplicaSet`s.
    #[must_use]
    pub fn owns(&self, pod: &Pod, sets: &[ReplicaSet]) -> Belonging {
        let controller = pod.controller.as_deref();
        let direct = controller == Some(self.uid.as_str());
        let is = |present: bool| if present { Belonging::Current } else { Belonging::Old };
        match &self.revision {
            Revision::Itself if pod.uid == self.uid => Belonging::Current,
            Revision::ReplicaSet(wanted) => {
                match sets.iter().find(|set| controller == Some(set.uid.as_str())) {
                    Some(set) if set.controller.as_deref() == Some(self.uid.as_str()) => {
                        is(wanted.is_some() && set.revision == *wanted)
                    }
                    Some(_) | None => Belonging::Foreign,
                }
            }
            Revision::Hash(wanted) if direct => is(wanted.is_some() && pod.revision == *wanted),
            Revision::TemplateGeneration(wanted) if direct => {
                is(wanted.is_some() && pod.template_generation == *wanted)
            }
            Revision::Any if direct => Belonging::Current,
            Revision::Itself
            | Revision::Hash(_)
            | Revision::TemplateGeneration(_)
            | Revision::Any
            | Revision::NoPods => Belonging::Foreign,
        }
    }

    /// The uids whose events are about this workload: its own and that of its present `ReplicaSet`.
    #[must_use]
    pub fn own_uids<'a>(&'a self, sets: &'a [ReplicaSet]) -> Vec<&'a str> {
        let mut uids = vec![self.uid.as_str()];
        if let Revision::ReplicaSet(Some(wanted)) = &self.revision {
            let present = sets.iter().filter(|set| set.controller.as_deref() == Some(self.uid.as_str()));
            uids.extend(
                present.filter(|set| set.revision.as_ref() == Some(wanted)).map(|set| set.uid.as_str()),
            );
        }
        uids
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
