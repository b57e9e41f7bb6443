//! From findings in pods to an answer that a person would give.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::finding::{Finding, findings};
use crate::status::without_pod;

use super::{Crowd, Event, Exit, Pod, Problem, Workload};

/// Names of pods that are kept; the rest is counted.
const NAMES: usize = 5;
/// Events that are kept.
const EVENTS: usize = 5;

/// One thing that is wrong with a rollout, told once for all pods that have it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// What kind of thing.
    pub problem: Problem,
    /// The server's word for it, for example `CrashLoopBackOff`.
    pub reason: String,
    /// The server's sentence, without what differs from pod to pod; may be empty.
    pub message: String,
    /// In which container.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
    /// How many pods have it.
    pub pod_count: usize,
    /// The first few of them, sorted.
    pub pods: Vec<String>,
    /// How the container ended last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit: Option<Box<Exit>>,
    /// The most restarts that one of them has had.
    pub restarts: i64,
    /// Since when, as far as the server tells.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<Timestamp>,
    /// What was said about these pods beyond `reason` and `message`, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub events: Vec<Event>,
    /// The last lines of the first pod's log, where the caller fetched them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<Box<LogTail>>,
    /// How often the most repeated Event about these pods was said, also of those that are not kept.
    #[serde(skip)]
    pub repeated: i64,
    /// Whether it is so right now, as opposed to between two crashes.
    #[serde(skip)]
    pub acute: bool,
    /// Whose log says more: pod, and whether of its previous run.
    #[serde(skip)]
    pub ask_log: Option<(String, bool)>,
}

/// The last lines of a container's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogTail {
    /// Whose.
    pub pod: String,
    /// Of the run before the present one.
    pub previous: bool,
    /// Oldest first.
    pub lines: Vec<String>,
}

impl Crowd<'_> {
    /// What is wrong with the pods that belong to the present spec of `workload`, the gravest first.
    #[must_use]
    pub fn diagnose(&self, workload: &Workload) -> Vec<Diagnosis> {
        let mut mine: Vec<&Pod> = self.current_pods_of(workload).collect();
        mine.sort_by(|a, b| a.name.cmp(&b.name));
        let mut all: Vec<Diagnosis> = Vec::new();
        for pod in mine {
            let mut about = self.said_of(&pod.uid).to_vec();
            about.sort_by_key(|event| event.last);
            for finding in findings(pod, &about) {
                add(&mut all, pod, finding, &about);
            }
        }
        all.extend(uncreated(workload, self));
        if all.is_empty() {
            all.extend(warning(workload, self));
        }
        all.sort_by_key(|diagnosis| (diagnosis.problem, diagnosis.container.clone()));
        let mut told: Vec<Event> = Vec::new();
        for diagnosis in &mut all {
            diagnosis.repeated = diagnosis.events.iter().map(|event| event.count).max().unwrap_or(0);
            let Diagnosis { events, reason, message, .. } = diagnosis;
            events.retain(|event| !told.contains(event) && says_more(event, reason, message));
            events.sort_by_key(|event| event.last);
            let surplus = events.len().saturating_sub(EVENTS);
            events.drain(..surplus);
            told.extend(events.iter().cloned());
        }
        all
    }
}

/// Whether an Event tells a person more than the reason and the message that are told anyway.
fn says_more(event: &Event, reason: &str, message: &str) -> bool {
    let text = event.message.as_str();
    // `Error: ImagePullBackOff`: the kubelet's word for a state that the pod is or was in.
    let bare_reason = text.strip_prefix("Error: ").is_some_and(|rest| !rest.contains(' '));
    let back_off = event.reason == "BackOff";
    let repeats = text == reason || (!text.is_empty() && message.contains(text));
    let quotes = !message.is_empty() && text.strip_prefix("Error: ").unwrap_or(text) == message;
    !(bare_reason || back_off || repeats || quotes || text.strip_prefix("Error creating: ") == Some(message))
}

/// Adds `finding` to the diagnosis that it repeats, or as a new one.
fn add(all: &mut Vec<Diagnosis>, pod: &Pod, finding: Finding, events: &[&Event]) {
    let message = general(&finding.message, pod);
    let code = |exit: Option<&Exit>| exit.map(|exit| exit.code);
    let same = all.iter_mut().find(|d| {
        let alike = d.problem == finding.problem && d.container == finding.container;
        // Two steps of one back-off loop (ErrImagePull, ImagePullBackOff) are one problem.
        alike
            && code(d.exit.as_deref()) == code(finding.exit.as_deref())
            && (d.message == message || d.reason != finding.reason)
    });
    match same {
        Some(d) => {
            d.pod_count += 1;
            if d.pods.len() < NAMES {
                d.pods.push(pod.name.clone());
            }
            d.restarts = d.restarts.max(finding.restarts);
            d.since = d.since.into_iter().chain(finding.since).min();
            d.acute |= finding.acute;
            merge_events(&mut d.events, pod, finding.container.as_deref(), events);
        }
        None => {
            let mut kept = Vec::new();
            merge_events(&mut kept, pod, finding.container.as_deref(), events);
            all.push(Diagnosis {
                problem: finding.problem,
                reason: finding.reason,
                message,
                container: finding.container,
                pod_count: 1,
                pods: vec![pod.name.clone()],
                exit: finding.exit,
                restarts: finding.restarts,
                since: finding.since,
                events: kept,
                log: None,
                repeated: 0,
                acute: finding.acute,
                ask_log: finding.logs.map(|previous| (pod.name.clone(), previous)),
            });
        }
    }
}

/// Keeps the warnings, each once for all pods that say the same; not those about another container.
fn merge_events(kept: &mut Vec<Event>, pod: &Pod, container: Option<&str>, events: &[&Event]) {
    let concerns = |event: &Event| match (container, event.container.as_deref()) {
        (Some(mine), Some(its)) => mine == its,
        (None, _) | (_, None) => true,
    };
    for event in events.iter().filter(|event| event.warning && concerns(event)) {
        let message = general(&event.message, pod);
        match kept.iter_mut().find(|k| k.reason == event.reason && k.message == message) {
            Some(k) => {
                k.count += event.count;
                k.first = k.first.into_iter().chain(event.first).min();
                k.last = k.last.max(event.last);
            }
            None => kept.push(Event { message, ..(*event).clone() }),
        }
    }
}

/// The message without what is the pod's own, so that ten pods say the same.
fn general(message: &str, pod: &Pod) -> String {
    let own = [Some(pod.uid.as_str()), Some(pod.name.as_str()), pod.ip.as_deref()];
    let stands_for = ["<uid>", "<pod>", "<pod-ip>"];
    let pairs = own
        .into_iter()
        .zip(stands_for)
        .filter_map(|(own, word)| Some((own.filter(|o| !o.is_empty())?, word)));
    pairs.fold(message.trim().to_owned(), |text, (own, word)| text.replace(own, word))
}

/// Pods that are not even there: the controller says why, in an event or in its status.
fn uncreated(workload: &Workload, crowd: &Crowd<'_>) -> Option<Diagnosis> {
    let said = crowd.said_of_controller(workload).filter(|event| event.reason == "FailedCreate");
    let last = said.clone().max_by_key(|event| event.last);
    let message = workload.replica_failure.clone().or_else(|| {
        // An event outlives its cause by an hour. Without a status to confirm it, it counts while it is repeated.
        last.filter(|_| !matches!(workload.revision, super::Revision::ReplicaSet(_)))
            .map(|event| without_pod(&event.message))
    })?;
    let said_last = last.map(|event| Event { message: without_pod(&event.message), ..event.clone() });
    Some(Diagnosis {
        problem: Problem::PodCreation,
        reason: "FailedCreate".to_owned(),
        message,
        container: None,
        pod_count: 0,
        pods: Vec::new(),
        exit: None,
        restarts: 0,
        since: said.filter_map(|event| event.first).min(),
        events: said_last.into_iter().collect(),
        log: None,
        repeated: 0,
        acute: true,
        ask_log: None,
    })
}

/// What was last said of the object itself, where nothing better explains it.
fn warning(workload: &Workload, crowd: &Crowd<'_>) -> Option<Diagnosis> {
    let said = crowd.said_of_controller(workload).filter(|event| event.warning);
    let last = said.max_by_key(|event| event.last)?;
    Some(Diagnosis {
        problem: Problem::Warning,
        reason: last.reason.clone(),
        message: last.message.clone(),
        container: None,
        pod_count: 0,
        pods: Vec::new(),
        exit: None,
        restarts: 0,
        since: last.first,
        events: vec![last.clone()],
        log: None,
        repeated: 0,
        acute: true,
        ask_log: None,
    })
}

impl Diagnosis {
    /// What, without where and why: for somebody who has read the whole of it before.
    #[must_use]
    pub fn brief(&self) -> String {
        let what = match self.problem {
            Problem::ImagePull => "the image cannot be pulled",
            Problem::ContainerConfig => "its configuration is not there",
            Problem::ContainerStart => "cannot be started",
            Problem::CrashLoop => "keeps crashing",
            Problem::OutOfMemory => "runs out of memory",
            Problem::Mount => "a volume cannot be mounted",
            Problem::Sandbox => "the pod's sandbox cannot be set up",
            Problem::Unschedulable => "no node takes the pod",
            Problem::PodCreation => "its pods cannot be created",
            Problem::PodFailed => "has failed",
            Problem::NotReady => "runs and is not ready",
            Problem::Warning => "its controller warns",
        };
        let mut facts = vec![self.reason.clone()];
        if let Some(exit) = &self.exit {
            facts.push(format!("exit code {}", exit.code));
        }
        match self.restarts {
            0 => {}
            1 => facts.push("1 restart".to_owned()),
            n => facts.push(format!("{n} restarts")),
        }
        facts.retain(|fact| !fact.is_empty());
        if facts.is_empty() { what.to_owned() } else { format!("{what} ({})", facts.join(", ")) }
    }
}

impl fmt::Display for Diagnosis {
    /// For example ``3 pods, container `app`: keeps crashing (exit code 1, 4 restarts)``.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pod_count, self.pods.as_slice()) {
            (0, _) => {}
            (1, [pod, ..]) => write!(f, "pod `{pod}`")?,
            (n, names) => {
                write!(f, "{n} pods ({}", names.join(", "))?;
                f.write_str(if n > names.len() { ", …)" } else { ")" })?;
            }
        }
        if let Some(container) = &self.container {
            write!(f, ", container `{container}`")?;
        }
        if self.pod_count > 0 {
            f.write_str(": ")?;
        }
        f.write_str(&self.brief())?;
        if !self.message.is_empty() {
            write!(f, ": {}", self.message)?;
        }
        Ok(())
    }
}
