//! What happens while a run goes on, as values: narrated by the caller, in any order between clusters, in order within one.

use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use manifest::{ClusterName, ObjectRef};
use serde::Serialize;
use tokio::sync::mpsc::UnboundedSender;

use crate::plan::Mask;

/// Something that happened on one cluster.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Where.
    pub cluster: ClusterName,
    /// When.
    pub time: Timestamp,
    /// What.
    #[serde(flatten)]
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Happening {
    /// The cluster's turn has come.
    Started,
    /// The server has answered.
    Connected,
    /// It is known what is to be done.
    Planned {
        /// Objects by action.
        counts: crate::outcome::Counts,
    },
    /// A request is repeated after a pause.
    Retrying {
        /// The request.
        what: String,
        /// The try that failed, from 1.
        attempt: u32,
        /// Milliseconds until the next.
        pause_ms: u64,
        /// What it ran into.
        because: String,
    },
    /// The server, or we, find something unusual.
    Warning {
        /// About which object.
        #[serde(skip_serializing_if = "Option::is_none")]
        object: Option<ObjectRef>,
        /// The text.
        text: String,
    },
    /// A phase of the apply begins.
    Phase {
        /// Its name.
        phase: &'static str,
        /// How many objects it writes.
        objects: usize,
    },
    /// One object has come to its end.
    Object {
        /// Which.
        object: ObjectRef,
        /// How it ended.
        result: crate::outcome::ObjectResult,
    },
    /// An object on its way to being ready.
    Rollout {
        /// Which.
        object: ObjectRef,
        /// Where it stands.
        stage: Stage,
        /// In words.
        message: String,
        /// In a few words, where a listener has heard of the same problem before.
        #[serde(skip)]
        brief: Option<String>,
    },
    /// The cluster is through.
    Finished {
        /// How it ended.
        state: crate::outcome::ClusterState,
        /// Seconds since it started.
        seconds: f64,
    },
}

/// Where an object stands on its way to being ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// On its way.
    Progressing,
    /// Something is wrong; it may still recover.
    Troubled,
    /// It is ready.
    Ready,
    /// It will not get there without help.
    Failed,
}

/// Where one cluster's events go.
#[derive(Clone, Debug)]
pub struct Events {
    cluster: ClusterName,
    to: Option<UnboundedSender<Event>>,
    /// Warnings so far: they are part of the outcome too.
    warnings: Arc<Mutex<Vec<String>>>,
    mask: Option<Mask>,
}

impl Events {
    /// Events of `cluster`, sent to `to`.
    pub fn new(cluster: ClusterName, to: UnboundedSender<Event>) -> Self {
        Self { cluster, to: Some(to), warnings: Arc::default(), mask: None }
    }

    /// Nobody listens.
    pub fn unheard(cluster: ClusterName) -> Self {
        Self { cluster, to: None, warnings: Arc::default(), mask: None }
    }

    /// The same, with the secrets that `mask` knows hidden from what a server says while its requests are retried.
    #[must_use]
    pub fn hiding(self, mask: Mask) -> Self {
        Self { mask: Some(mask), ..self }
    }

    /// The warnings so far, sorted.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        warnings.sort();
        warnings
    }

    /// Tells that something happened. A listener that has gone is no reason to stop.
    pub fn emit(&self, mut what: Happening) {
        if let (Happening::Retrying { because, .. }, Some(mask)) = (&mut what, &self.mask) {
            *because = mask.text(because);
        }
        if let Happening::Warning { object, text } = &what {
            let text = match object {
                Some(object) => format!("{object}: {text}"),
                None => text.clone(),
            };
            let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
            if !warnings.contains(&text) {
                warnings.push(text);
            }
        }
        if let Some(to) = &self.to {
            let _ = to.send(Event { cluster: self.cluster.clone(), time: Timestamp::now(), what });
        }
    }
}
