//! Waiting until objects are what they should be, and finding out early when they will not.
//!
//! [`until_ready`] keeps one watch per kind and namespace (list, then watch from the list's resource version, with
//! bookmarks; resumed after drops, started anew after 410), never a request per object. Of each object only
//! the verdict is kept. Pods, `ReplicaSet`s and Events of a namespace are watched only when something in
//! it is not ready for longer than [`WaitOptions::look_after`], and of them only what explains a problem is kept.
//!
//! The decisions are elsewhere and pure: [`crate::status`] says whether an object is ready, [`crate::health`] why it
//! is not and when that is final.

mod logs;
mod seen;
mod slot;
mod sources;
mod surveillance;
mod watch;
mod watching;

use std::time::Duration;

use kube::core::ApiResource;
use manifest::ObjectRef;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::health::{Diagnosis, HealthOptions};
use crate::status::Readiness;

pub use watching::until_ready;

/// An object to wait for, as it was applied.
#[derive(Debug, Clone)]
pub struct WaitTarget<'a> {
    /// What it is called in events and outcomes, with its namespace, if it is in one.
    pub object: &'a ObjectRef,
    /// Where the server serves it.
    pub resource: ApiResource,
    /// `metadata.generation` after the apply; a status about an earlier one says nothing.
    pub generation: Option<i64>,
    /// `metadata.resourceVersion` after the apply, where this deploy wrote the object. A custom resource that
    /// does not report `observedGeneration` is believed only when it has changed since, or was left in peace for
    /// [`WaitOptions::settle`].
    pub written: Option<String>,
}

impl<'a> WaitTarget<'a> {
    /// An object that the server has stored as `stored`.
    #[must_use]
    pub fn stored(object: &'a ObjectRef, resource: ApiResource, stored: &Value) -> Self {
        let written = stored["metadata"]["resourceVersion"].as_str().map(str::to_owned);
        Self { object, resource, generation: stored["metadata"]["generation"].as_i64(), written }
    }
}

/// How to wait.
#[derive(Debug, Clone)]
pub struct WaitOptions {
    /// When to give up.
    pub deadline: Instant,
    /// What counts as a failure before that.
    pub health: HealthOptions,
    /// How long an object may be unready before its pods and Events are looked at.
    pub look_after: Duration,
    /// How long an object that tells nothing (or nothing new) is given to change.
    pub settle: Duration,
    /// How many lines of a failed container's log are fetched; 0 for none.
    pub log_lines: u32,
}

impl WaitOptions {
    /// The defaults, with this deadline.
    #[must_use]
    pub fn until(deadline: Instant) -> Self {
        Self {
            deadline,
            health: HealthOptions::default(),
            look_after: Duration::from_secs(1),
            settle: Duration::from_secs(3),
            log_lines: 10,
        }
    }
}

/// What happens while waiting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum WaitEvent {
    /// An object is on its way; sent when the sentence changes.
    Progress {
        /// Which.
        object: ObjectRef,
        /// What is missing.
        message: String,
    },
    /// An object is ready.
    Ready {
        /// Which.
        object: ObjectRef,
        /// In which sense.
        message: String,
    },
    /// An object was ready and is not any more.
    Lost {
        /// Which.
        object: ObjectRef,
        /// What is missing.
        message: String,
    },
    /// Something is wrong; the time runs in which it may still recover.
    Troubled {
        /// Which object's rollout.
        object: ObjectRef,
        /// What.
        diagnosis: Box<Diagnosis>,
    },
    /// An object has failed.
    Failed {
        /// Which.
        object: ObjectRef,
        /// One sentence.
        message: String,
        /// The same in a few words, where the problem was [`WaitEvent::Troubled`] before.
        #[serde(skip)]
        brief: Option<String>,
    },
    /// An object that had failed is ready after all.
    Recovered {
        /// Which.
        object: ObjectRef,
    },
    /// A watch broke and is taken up again.
    Retrying {
        /// What is watched, for example `Deployment in namespace shop`.
        what: String,
        /// Why.
        because: String,
    },
}

/// How waiting for one object ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WaitOutcome {
    /// Which.
    pub object: ObjectRef,
    /// How.
    #[serde(flatten)]
    pub end: WaitEnd,
    /// After how long, from the start of the wait.
    pub after: Duration,
}

/// How waiting for one object ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "end", rename_all = "camelCase")]
pub enum WaitEnd {
    /// It is what was asked for.
    Ready {
        /// In which sense.
        message: String,
    },
    /// It tells nothing that could be judged; it is stored.
    Unjudged {
        /// What was looked for.
        message: String,
    },
    /// It will not get there without help.
    Failed {
        /// The server's word, for example `CrashLoopBackOff`.
        reason: String,
        /// One sentence.
        message: String,
        /// What is wrong with its pods.
        diagnoses: Vec<Diagnosis>,
    },
    /// The caller stopped the wait before anything was certain.
    Stopped {
        /// The last that was seen of it.
        message: String,
        /// What is wrong with its pods, as far as known.
        diagnoses: Vec<Diagnosis>,
    },
    /// The deadline passed while it was in this state.
    Late {
        /// The last that was seen of it.
        message: String,
        /// What is wrong with its pods, as far as known.
        diagnoses: Vec<Diagnosis>,
    },
}

impl WaitEnd {
    /// Whether the rollout may go on: ready, or nothing that tells otherwise.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Unjudged { .. })
    }

    /// What is wrong, if anything is known.
    #[must_use]
    pub fn diagnoses(&self) -> &[Diagnosis] {
        match self {
            Self::Failed { diagnoses, .. }
            | Self::Stopped { diagnoses, .. }
            | Self::Late { diagnoses, .. } => diagnoses,
            Self::Ready { .. } | Self::Unjudged { .. } => &[],
        }
    }
}

/// Whether objects of this kind have anything to wait for. Those that do not are ready as soon as they are stored, and
/// need no watch.
#[must_use]
pub fn has_readiness(object: &ObjectRef) -> bool {
    let stored = serde_json::json!({"apiVersion": object.api_version, "kind": object.kind});
    let lb = object.kind == "Service" && object.group().is_empty();
    lb || crate::status::assess(&stored) != Readiness::current("stored")
}
