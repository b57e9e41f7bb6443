//! What is kept of a pod: what tells whether and why it does not run, nothing else.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::Object;

/// A pod, reduced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `uid` of the controlling owner reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// `pod-template-hash` (of a `ReplicaSet`) or `controller-revision-hash`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `pod-template-generation`, which a `DaemonSet` writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_generation: Option<String>,
    /// `status.podIP`, to tell equal messages of different pods from different ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// `spec.nodeName`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Being deleted.
    pub deleting: bool,
    /// `status.phase`.
    pub phase: String,
    /// `status.reason`, for example `Evicted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `status.message`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `spec.restartPolicy` is `Never`: a container that ends stays ended.
    pub never_restarts: bool,
    /// When it was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
    /// The condition `Ready` is true.
    pub ready: bool,
    /// Since when `Ready` is what it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready_changed: Option<Timestamp>,
    /// The condition `PodScheduled`, where it is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unscheduled: Option<Box<Unscheduled>>,
    /// Init containers first.
    pub containers: Vec<Container>,
}

/// Why a pod has no node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unscheduled {
    /// `Unschedulable`, `SchedulingGated`, …
    pub reason: String,
    /// The scheduler's words.
    pub message: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

/// One container of a pod.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Runs before the others.
    pub init: bool,
    /// Passes its readiness probe (or has none and runs).
    pub ready: bool,
    /// `restartCount`.
    pub restarts: i64,
    /// `state`.
    pub state: ContainerState,
    /// `lastState.terminated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<Box<Exit>>,
}

/// `state` of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not yet, or not again.
    Waiting {
        /// For example `CrashLoopBackOff`.
        reason: String,
        /// The kubelet's words, often empty.
        message: String,
    },
    /// Runs since then.
    Running(Option<Timestamp>),
    /// Has ended.
    Terminated(Box<Exit>),
}

/// How a container ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exit {
    /// Exit code.
    pub code: i64,
    /// Signal, where the runtime tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<i64>,
    /// `Error`, `OOMKilled`, `Completed`, …
    pub reason: String,
    /// The termination message (`/dev/termination-log`), often empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
}

impl Pod {
    /// Reads a pod as the server sent it.
    #[must_use]
    pub fn read(pod: &Value) -> Self {
        let o = Object(pod);
        let ready = o.condition("Ready");
        let init = o.list("/status/initContainerStatuses").iter().map(|c| Container::read(Object(c), true));
        let main = o.list("/status/containerStatuses").iter().map(|c| Container::read(Object(c), false));
        Self {
            name: text(o, "/metadata/name"),
            uid: text(o, "/metadata/uid"),
            controller: controller(o),
            revision: o
                .text("/metadata/labels/pod-template-hash")
                .or_else(|| o.text("/metadata/labels/controller-revision-hash"))
                .map(str::to_owned),
            template_generation: o.text("/metadata/labels/pod-template-generation").map(str::to_owned),
            ip: o.text("/status/podIP").map(str::to_owned),
            node: o.text("/spec/nodeName").map(str::to_owned),
            deleting: o.has("/metadata/deletionTimestamp"),
            phase: text(o, "/status/phase"),
            reason: o.text("/status/reason").map(str::to_owned),
            message: o.text("/status/message").map(str::to_owned),
            never_restarts: o.text("/spec/restartPolicy") == Some("Never"),
            created: time(o, "/metadata/creationTimestamp"),
            ready: ready.is_some_and(|c| c.is_true()),
            ready_changed: ready.and_then(|c| c.changed()),
            unscheduled: o.condition("PodScheduled").filter(|c| c.is_false()).map(|c| {
                let (reason, message) = (c.reason().to_owned(), c.explains());
                Box::new(Unscheduled { reason, message, since: c.changed() })
            }),
            containers: init.chain(main).collect(),
        }
    }

    /// Whether it has run to its end, well or badly.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.phase.as_str(), "Succeeded" | "Failed")
    }

    /// The pod's state in one word, as `kubectl get pods` shows it.
    #[must_use]
    pub fn state(&self) -> String {
        if self.deleting {
            return "Terminating".to_owned();
        }
        if let Some(reason) = &self.reason {
            return reason.clone();
        }
        let main = self.containers.iter().filter(|c| !c.init);
        let waits = |c: &Container| match &c.state {
            ContainerState::Waiting { reason, .. } if !matches!(reason.as_str(), "" | "PodInitializing") => {
                Some(reason.clone())
            }
            ContainerState::Terminated(exit) if exit.code != 0 => Some(exit.reason.clone()),
            ContainerState::Waiting { .. } | ContainerState::Running(_) | ContainerState::Terminated(_) => {
                None
            }
        };
        if let Some(reason) = self.containers.iter().filter(|c| c.init).find_map(waits) {
            return format!("Init:{reason}");
        }
        if let Some(reason) = main.clone().find_map(waits) {
            return reason;
        }
        if self.phase == "Running" && !self.ready { "NotReady".to_owned() } else { self.phase.clone() }
    }

    /// Restarts of all its containers.
    #[must_use]
    pub fn restarts(&self) -> i64 {
        self.containers.iter().map(|c| c.restarts).sum()
    }
}

impl Container {
    fn read(o: Object<'_>, init: bool) -> Self {
        let state = if o.has("/state/running") {
            ContainerState::Running(time(o, "/state/running/startedAt"))
        } else if let Some(exit) = Exit::read(o, "/state/terminated") {
            ContainerState::Terminated(Box::new(exit))
        } else {
            ContainerState::Waiting {
                reason: text(o, "/state/waiting/reason"),
                message: text(o, "/state/waiting/message"),
            }
        };
        Self {
            name: text(o, "/name"),
            init,
            ready: o.flag("/ready"),
            restarts: o.count("/restartCount"),
            state,
            last: Exit::read(o, "/lastState/terminated").map(Box::new),
        }
    }
}

impl Exit {
    fn read(o: Object<'_>, pointer: &str) -> Option<Self> {
        let exit = Object(o.0.pointer(pointer).filter(|exit| exit.is_object())?);
        Some(Self {
            code: exit.count("/exitCode"),
            signal: exit.int("/signal").filter(|signal| *signal != 0),
            reason: text(exit, "/reason"),
            message: text(exit, "/message").trim().to_owned(),
            finished: time(exit, "/finishedAt"),
        })
    }
}

/// `uid` of the owner reference that controls the object.
pub(super) fn controller(o: Object<'_>) -> Option<String> {
    let mut owners = o.list("/metadata/ownerReferences").iter().map(Object);
    owners.find(|owner| owner.flag("/controller"))?.text("/uid").map(str::to_owned)
}

fn text(o: Object<'_>, pointer: &str) -> String {
    o.text(pointer).unwrap_or_default().to_owned()
}

pub(super) fn time(o: Object<'_>, pointer: &str) -> Option<Timestamp> {
    o.text(pointer)?.parse().ok()
}
