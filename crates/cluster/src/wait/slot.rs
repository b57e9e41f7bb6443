//! One object that is waited for, and where it stands. Pure: what was seen, and the time.

use std::time::Duration;

use manifest::ObjectRef;

use super::{WaitEnd, WaitEvent, WaitOptions, WaitTarget};
use crate::health::{Diagnosis, Judge, Problem, Verdict, Workload};
use crate::status::{Object, Readiness, Surroundings, assess_in};

/// Where an object stands; the sentence about it is [`Slot::message`].
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// On its way.
    Pending,
    /// Ready since.
    Ready(Duration),
    /// Ready or silent, but perhaps only not yet looked at: counts from this time on.
    Settling(Duration, Box<Readiness>),
    /// Judged, for good unless it becomes ready after all.
    Failed { at: Duration, reason: Box<str> },
    /// Settled without a verdict.
    Unjudged(Duration),
}

/// Of a [`WaitTarget`], what one object needs; where it is served is known to its group.
pub(super) struct Target<'a> {
    pub(super) object: &'a ObjectRef,
    generation: Option<i64>,
    /// Only of strangers, see [`is_builtin`].
    written: Option<String>,
}

/// One object that is waited for. Fifty of them may wait on each of a thousand clusters, for hours.
pub(super) struct Slot<'a> {
    pub(super) target: Target<'a>,
    pub(super) workload: Option<Workload>,
    /// What explains a failure, should one come: by then the pods may be gone. That pods are slow to start explains none; it is so of
    /// thousands, and is found out again where one is late.
    pub(super) diagnoses: Vec<Diagnosis>,
    state: State,
    /// The last sentence about it.
    message: String,
    judge: Judge,
    told: Vec<(Problem, Option<String>)>,
}

impl<'a> Slot<'a> {
    pub(super) fn new(target: WaitTarget<'a>) -> Self {
        let WaitTarget { object, resource: _, generation, written } = target;
        let written = written.filter(|_| !is_builtin(object.group()));
        Self {
            target: Target { object, generation, written },
            workload: None,
            diagnoses: Vec::new(),
            state: State::Pending,
            message: "not seen yet".to_owned(),
            judge: Judge::default(),
            told: Vec::new(),
        }
    }

    /// A kind that has nothing to wait for.
    pub(super) fn stored(&mut self, now: Duration) {
        self.state = State::Ready(now);
        self.message = "stored".to_owned();
    }

    /// Still worth waiting for.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::Pending | State::Settling(..))
    }

    /// Worth an explanation.
    pub(super) fn is_unready(&self) -> bool {
        matches!(self.state, State::Pending)
    }

    pub(super) fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed { .. })
    }

    /// The server's present copy of the object.
    pub(super) fn see(
        &mut self,
        object: &serde_json::Value,
        around: &Surroundings,
        options: &WaitOptions,
        now: Duration,
    ) -> Option<WaitEvent> {
        let o = Object(object);
        if self.target.generation > o.int("/metadata/generation") && o.has("/metadata/generation") {
            return None;
        }
        self.workload = Some(Workload::read(object));
        let readiness = assess_in(object, around);
        let untouched = self.target.written.is_some()
            && self.target.written.as_deref() == o.text("/metadata/resourceVersion");
        let believed = o.has("/status/observedGeneration") || !untouched || is_builtin(o.group());
        match readiness {
            Readiness::Current { message } if believed => self.ready(message, now),
            // A pod on a node that is silent: that may pass, and is not good.
            Readiness::Unknown { message } if is_builtin(o.group()) => self.pending(message),
            Readiness::Current { .. } | Readiness::Unknown { .. } => {
                if !matches!(self.state, State::Unjudged(..) | State::Settling(..)) {
                    self.state = State::Settling(now + options.settle, Box::new(readiness.clone()));
                } else if let State::Settling(_, last) = &mut self.state {
                    **last = readiness.clone();
                }
                self.say(readiness.message())
            }
            Readiness::InProgress { message } => self.pending(message),
            Readiness::Failed { reason, message } => self.fail(reason, message, now),
        }
    }

    /// It is not there, or not any more.
    pub(super) fn vanish(&mut self, now: Duration) -> Option<WaitEvent> {
        if matches!(self.state, State::Ready(..)) && self.target.object.kind == "Job" {
            return None;
        }
        self.fail("Deleted".to_owned(), "it was deleted while waiting for it".to_owned(), now)
    }

    /// It cannot be watched.
    pub(super) fn blind(&mut self, because: &str, now: Duration) -> Option<WaitEvent> {
        self.is_open()
            .then(|| self.fail("CannotWatch".to_owned(), format!("cannot be watched: {because}"), now))?
    }

    /// What is wrong with its pods now. Returns what to tell, and when to ask again.
    pub(super) fn trouble(
        &mut self,
        diagnoses: Vec<Diagnosis>,
        options: &WaitOptions,
        now: Duration,
    ) -> (Vec<WaitEvent>, Option<Duration>) {
        if !self.is_unready() {
            return (Vec::new(), None);
        }
        let mut events = Vec::new();
        for diagnosis in diagnoses.iter().filter(|d| d.problem.patience(Duration::ZERO).is_some()) {
            let key = (diagnosis.problem, diagnosis.container.clone());
            if !self.told.contains(&key) {
                self.told.push(key);
                let object = self.target.object.clone();
                events.push(WaitEvent::Troubled { object, diagnosis: Box::new(diagnosis.clone()) });
            }
        }
        let verdict = self.judge.observe(&options.health, now, &diagnoses, &self.message);
        let slow = diagnoses.iter().all(|diagnosis| diagnosis.problem == Problem::NotReady);
        self.diagnoses = if slow { Vec::new() } else { diagnoses };
        match verdict {
            Verdict::Fine => (events, None),
            Verdict::Suspicious(next) => (events, Some(next)),
            Verdict::Failed(index) => {
                self.diagnoses[..=index].rotate_right(1);
                let gravest = &self.diagnoses[0];
                let (reason, message, known) = (gravest.reason.clone(), gravest.to_string(), gravest.brief());
                events.extend(self.condemn(reason, message, Some(known), now));
                (events, None)
            }
        }
    }

    /// Time has passed; says when to look again.
    pub(super) fn settle(&mut self, now: Duration) -> (Option<WaitEvent>, Option<Duration>) {
        match &self.state {
            State::Settling(due, readiness) if *due <= now => {
                let message = readiness.message().to_owned();
                if readiness.is_current() {
                    return (self.ready(message, now), None);
                }
                (self.state, self.message) = (State::Unjudged(now), message);
                (None, None)
            }
            State::Settling(due, _) => (None, Some(*due)),
            State::Pending | State::Ready(..) | State::Failed { .. } | State::Unjudged(..) => (None, None),
        }
    }

    fn ready(&mut self, message: String, now: Duration) -> Option<WaitEvent> {
        let object = self.target.object.clone();
        let was_failed = self.has_failed();
        if matches!(self.state, State::Ready(..)) {
            return None;
        }
        self.state = State::Ready(now);
        self.message.clone_from(&message);
        self.diagnoses = Vec::new();
        Some(if was_failed { WaitEvent::Recovered { object } } else { WaitEvent::Ready { object, message } })
    }

    fn pending(&mut self, message: String) -> Option<WaitEvent> {
        let object = self.target.object.clone();
        match self.state {
            // Judged by its pods: only readiness changes that.
            State::Failed { .. } => None,
            State::Ready(..) => {
                self.state = State::Pending;
                message.clone_into(&mut self.message);
                Some(WaitEvent::Lost { object, message })
            }
            State::Pending | State::Settling(..) | State::Unjudged(..) => {
                self.state = State::Pending;
                self.say(&message)
            }
        }
    }

    fn say(&mut self, message: &str) -> Option<WaitEvent> {
        (self.message != message).then(|| {
            message.clone_into(&mut self.message);
            WaitEvent::Progress { object: self.target.object.clone(), message: message.to_owned() }
        })
    }

    fn fail(&mut self, reason: String, message: String, now: Duration) -> Option<WaitEvent> {
        self.condemn(reason, message, None, now)
    }

    fn condemn(
        &mut self,
        reason: String,
        message: String,
        brief: Option<String>,
        now: Duration,
    ) -> Option<WaitEvent> {
        if self.has_failed() {
            return None;
        }
        self.state = State::Failed { at: now, reason: reason.into() };
        self.message.clone_from(&message);
        Some(WaitEvent::Failed { object: self.target.object.clone(), message, brief })
    }

    /// How it ended, at `now`: because nothing was open any more, the deadline had come, or the wait was `stopped`.
    pub(super) fn end(self, now: Duration, stopped: bool) -> (ObjectRef, WaitEnd, Duration) {
        let Self { target, state, message, diagnoses, .. } = self;
        let (end, after) = match state {
            State::Ready(at) => (WaitEnd::Ready { message }, at),
            State::Unjudged(at) => (WaitEnd::Unjudged { message }, at),
            State::Failed { at, reason } => {
                (WaitEnd::Failed { reason: reason.into(), message, diagnoses }, at)
            }
            State::Settling(..) | State::Pending if stopped => (WaitEnd::Stopped { message, diagnoses }, now),
            State::Settling(_, readiness) if readiness.is_current() => (WaitEnd::Ready { message }, now),
            State::Settling(..) => (WaitEnd::Unjudged { message }, now),
            State::Pending => (WaitEnd::Late { message, diagnoses }, now),
        };
        (target.object.clone(), end, after)
    }
}

/// Kinds of Kubernetes itself report in ways that [`crate::status`] knows; only strangers have to settle.
fn is_builtin(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}
