//! What is wrong with one pod.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Container, ContainerState, Event, Exit, Pod};

/// What kind of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Problem {
    /// The image cannot be had.
    ImagePull,
    /// A `ConfigMap`, Secret or key that a container names is not there.
    ContainerConfig,
    /// The runtime cannot start the container: no such command, a hook that fails.
    ContainerStart,
    /// Ends, again and again.
    CrashLoop,
    /// Killed for its memory limit, again and again.
    OutOfMemory,
    /// A volume cannot be mounted or attached.
    Mount,
    /// The pod's network or sandbox cannot be set up.
    Sandbox,
    /// No node takes the pod.
    Unschedulable,
    /// The pods may not be created: quota, admission, security policy.
    PodCreation,
    /// The pod has ended and was not meant to, for example evicted; or an attempt of a Job.
    PodFailed,
    /// Runs, and its probes fail.
    NotReady,
    /// Its controller warns of something.
    Warning,
}

impl Problem {
    /// How much longer than the grace period it may last, and how it is called in Events (so that
    /// `--available-health-check-ignored-errors` can name it as in kit).
    const fn rule(self) -> (u32, &'static [&'static str]) {
        match self {
            Self::ImagePull => (1, &["ImagePullBackOff", "ErrImagePull", "Failed", "BackOff"]),
            Self::ContainerConfig | Self::ContainerStart => (1, &["Failed"]),
            Self::CrashLoop | Self::OutOfMemory => (1, &["CrashLoopBackOff", "BackOff"]),
            Self::Mount => (3, &["FailedMount", "FailedAttachVolume"]),
            Self::Sandbox => (6, &["FailedCreatePodSandBox"]),
            // Room is made by autoscalers, by old pods that go away.
            Self::Unschedulable => (6, &["Unschedulable", "FailedScheduling"]),
            Self::PodCreation => (3, &["FailedCreate"]),
            Self::PodFailed => (0, &["Evicted"]),
            Self::NotReady => (0, &["Unhealthy"]),
            Self::Warning => (0, &[]),
        }
    }

    /// How long it may last before it fails the rollout; `None`: it never does by itself, because its
    /// controller goes on (a Job's next attempt) or only time tells (a slow start).
    #[must_use]
    pub fn patience(self, grace: Duration) -> Option<Duration> {
        match self.rule().0 {
            0 => None,
            times => Some(grace * times),
        }
    }

    /// Its name in reports, the same whatever the server calls it at the moment.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ImagePull => "imagePull",
            Self::ContainerConfig => "containerConfig",
            Self::ContainerStart => "containerStart",
            Self::CrashLoop => "crashLoop",
            Self::OutOfMemory => "outOfMemory",
            Self::Mount => "mount",
            Self::Sandbox => "sandbox",
            Self::Unschedulable => "unschedulable",
            Self::PodCreation => "podCreation",
            Self::PodFailed => "podFailed",
            Self::NotReady => "notReady",
            Self::Warning => "warning",
        }
    }

    /// The reasons under which Events know it.
    #[must_use]
    pub fn event_reasons(self) -> &'static [&'static str] {
        self.rule().1
    }

    /// Progress elsewhere in the rollout may end it: then its time starts anew.
    pub(super) const fn yields_to_progress(self) -> bool {
        matches!(self, Self::Unschedulable | Self::PodCreation)
    }
}

/// One thing that is wrong with one pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) problem: Problem,
    /// Right now, as opposed to between two crashes.
    pub(super) acute: bool,
    pub(super) container: Option<String>,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) exit: Option<Box<Exit>>,
    pub(super) restarts: i64,
    pub(super) since: Option<Timestamp>,
    /// The container's logs say more: of the run before (`true`) or of the present one.
    pub(super) logs: Option<bool>,
}

/// All that is wrong with `pod`, given the events about it.
pub(super) fn findings(pod: &Pod, events: &[&Event]) -> Vec<Finding> {
    if pod.deleting || pod.phase == "Succeeded" {
        return Vec::new();
    }
    if pod.phase == "Failed" {
        return vec![ended(pod)];
    }
    if let Some(unscheduled) = &pod.unscheduled {
        let gated = unscheduled.reason == "SchedulingGated";
        let problem = if gated { Problem::NotReady } else { Problem::Unschedulable };
        let since = unscheduled.since.or(pod.created);
        return vec![bare(problem, &unscheduled.reason, unscheduled.message.clone(), since)];
    }
    let mut all: Vec<Finding> = pod.containers.iter().filter_map(|c| in_container(pod, c, events)).collect();
    if all.is_empty() && !pod.ready {
        all.extend(around_containers(pod, events));
    }
    if all.is_empty() && !pod.ready && pod.phase == "Running" {
        all.extend(pod.containers.iter().filter(|c| !c.ready && !c.init).map(|c| not_ready(pod, c, events)));
    }
    all
}

fn bare(problem: Problem, reason: &str, message: String, since: Option<Timestamp>) -> Finding {
    Finding {
        problem,
        acute: true,
        container: None,
        reason: reason.to_owned(),
        message,
        exit: None,
        restarts: 0,
        since,
        logs: None,
    }
}

/// A pod that has failed as a whole: evicted, over its deadline, or with a container that ended badly.
fn ended(pod: &Pod) -> Finding {
    let bad = pod.containers.iter().find_map(|c| match &c.state {
        ContainerState::Terminated(exit) if exit.code != 0 => Some((c, exit)),
        ContainerState::Waiting { .. } | ContainerState::Running(_) | ContainerState::Terminated(_) => None,
    });
    let reason =
        pod.reason.as_deref().or_else(|| bad.map(|(_, exit)| exit.reason.as_str())).unwrap_or("Failed");
    let message =
        pod.message.clone().or_else(|| bad.map(|(_, exit)| exit.message.clone())).unwrap_or_default();
    Finding {
        container: bad.map(|(container, _)| container.name.clone()),
        exit: bad.map(|(_, exit)| exit.clone()),
        restarts: bad.map_or(0, |(container, _)| container.restarts),
        logs: bad.map(|_| false),
        ..bare(Problem::PodFailed, reason, message, bad.and_then(|(_, exit)| exit.finished).or(pod.created))
    }
}

fn in_container(pod: &Pod, container: &Container, events: &[&Event]) -> Option<Finding> {
    let in_this = |problem, reason: &str, message: String, since| Finding {
        container: Some(container.name.clone()),
        restarts: container.restarts,
        ..bare(problem, reason, message, since)
    };
    match &container.state {
        ContainerState::Waiting { reason, message } => match reason.as_str() {
            "" | "PodInitializing" | "ContainerCreating" => None,
            "CrashLoopBackOff" => {
                // The status has the latest crash; the back-off's event, the first one.
                let back_off = events.iter().filter(|event| {
                    event.reason == "BackOff" && event.container.as_ref().is_none_or(|c| *c == container.name)
                });
                let finding = crash(container, container.last.as_deref(), true);
                let first = back_off.filter_map(|event| event.first).chain(finding.since).min();
                Some(Finding { since: first, ..finding })
            }
            "ErrImagePull"
            | "ImagePullBackOff"
            | "InvalidImageName"
            | "ErrImageNeverPull"
            | "ImageInspectError"
            | "RegistryUnavailable"
            | "SignatureValidationFailed" => {
                // The back-off's own message often only repeats the image; the event has the registry's words.
                let pull =
                    events.iter().rev().find(|e| e.reason == "Failed" && e.message.contains("pull image"));
                let words = pull.map_or_else(|| message.clone(), |event| event.message.clone());
                let since = pull.and_then(|event| event.first).or(pod.created);
                Some(in_this(Problem::ImagePull, reason, words, since))
            }
            "CreateContainerConfigError" => {
                Some(in_this(Problem::ContainerConfig, reason, message.clone(), pod.created))
            }
            other => Some(in_this(Problem::ContainerStart, other, message.clone(), pod.created)),
        },
        ContainerState::Terminated(exit) if exit.code != 0 => {
            if pod.never_restarts {
                let since = exit.finished;
                let finding = in_this(Problem::PodFailed, &exit.reason, exit.message.clone(), since);
                return Some(Finding { exit: Some(exit.clone()), logs: Some(false), ..finding });
            }
            let start = matches!(exit.reason.as_str(), "StartError" | "ContainerCannotRun");
            if start {
                let finding =
                    in_this(Problem::ContainerStart, &exit.reason, exit.message.clone(), exit.finished);
                return Some(Finding { exit: Some(exit.clone()), ..finding });
            }
            Some(crash(container, Some(exit), false))
        }
        // Up again and not ready yet: between two crashes, as far as anybody can tell.
        ContainerState::Running(_) if !container.ready => {
            let last = container.last.as_ref().filter(|exit| exit.code != 0)?;
            Some(Finding { acute: false, ..crash(container, Some(last), true) })
        }
        ContainerState::Running(_) | ContainerState::Terminated(_) => None,
    }
}

fn crash(container: &Container, exit: Option<&Exit>, previous: bool) -> Finding {
    let out_of_memory = exit.is_some_and(|exit| exit.reason == "OOMKilled");
    let start = exit.is_some_and(|exit| matches!(exit.reason.as_str(), "StartError" | "ContainerCannotRun"));
    let (problem, reason) = if out_of_memory {
        (Problem::OutOfMemory, "OOMKilled")
    } else if start {
        (Problem::ContainerStart, "StartError")
    } else {
        (Problem::CrashLoop, "CrashLoopBackOff")
    };
    Finding {
        container: Some(container.name.clone()),
        exit: exit.cloned().map(Box::new),
        restarts: container.restarts,
        // While it waits for the back-off the ended run is the present one for the kubelet's log API,
        // yet `previous` always means the last one that ended when a restart has been counted.
        logs: (!start).then_some(previous && container.restarts > 0),
        ..bare(
            problem,
            reason,
            exit.map(|e| e.message.clone()).unwrap_or_default(),
            exit.and_then(|e| e.finished),
        )
    }
}

/// Before any container: volumes, network.
fn around_containers(pod: &Pod, events: &[&Event]) -> Option<Finding> {
    if pod.phase != "Pending" {
        return None;
    }
    let last = |problem: Problem| {
        let event = events.iter().rev().find(|e| problem.event_reasons().contains(&e.reason.as_str()))?;
        Some(bare(problem, &event.reason, event.message.clone(), event.first))
    };
    last(Problem::Mount).or_else(|| last(Problem::Sandbox))
}

fn not_ready(pod: &Pod, container: &Container, events: &[&Event]) -> Finding {
    let probe = events.iter().rev().find(|event| event.reason == "Unhealthy");
    let message = probe.map(|event| event.message.clone()).unwrap_or_default();
    Finding {
        container: Some(container.name.clone()),
        restarts: container.restarts,
        logs: Some(false),
        ..bare(Problem::NotReady, "Unhealthy", message, pod.ready_changed.or(pod.created))
    }
}
