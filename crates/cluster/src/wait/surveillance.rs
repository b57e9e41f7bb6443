//! What is kept of a namespace in which something does not become ready: the pods that are not well, the
//! `ReplicaSet`s, the latest warnings.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Reduce, Seen};
use super::sources::{Break, Change};
use crate::health::{Diagnosis, Event, Pod, ReplicaSet, Workload, diagnose};

/// Warnings kept per namespace.
const EVENTS: usize = 1000;

/// One namespace under observation.
pub(super) struct Surveillance {
    pub(super) namespace: String,
    pub(super) started: bool,
    pub(super) dirty: bool,
    /// Why something of it cannot be watched.
    pub(super) blind: BTreeMap<&'static str, String>,
    pods: Kept<Pod>,
    sets: Kept<ReplicaSet>,
    events: Kept<Event>,
}

/// Objects of one kind by uid.
struct Kept<T> {
    /// Boxed, because a tree has room for twice as many as are in it.
    by_uid: BTreeMap<String, Box<T>>,
    /// A list has come to its end, or been refused.
    complete: bool,
    /// During a list: what it has had so far.
    listed: Option<BTreeSet<String>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { by_uid: BTreeMap::new(), complete: false, listed: None }
    }
}

impl<T: Reduce + Clone> Kept<T> {
    fn all(&self) -> Vec<T> {
        self.by_uid.values().map(|one| T::clone(one)).collect()
    }

    /// Takes in a change; objects that are not worth keeping are dropped.
    fn take(&mut self, change: Change<T>, worth: impl Fn(&T) -> bool) -> Option<Break> {
        match change {
            Change::Relist => self.listed = Some(BTreeSet::new()),
            Change::Put(seen) => {
                let Seen { uid, kept, .. } = *seen;
                if let Some(listed) = &mut self.listed {
                    listed.insert(uid.clone());
                }
                if worth(&kept) {
                    self.by_uid.insert(uid, Box::new(kept));
                } else {
                    self.by_uid.remove(&uid);
                }
            }
            Change::Gone(seen) => {
                self.by_uid.remove(&seen.uid);
            }
            Change::Listed => {
                self.complete = true;
                if let Some(listed) = self.listed.take() {
                    self.by_uid.retain(|uid, _| listed.contains(uid));
                }
            }
            Change::Broken(why) => {
                self.complete |= why.refused;
                return Some(why);
            }
        }
        None
    }
}

impl Surveillance {
    pub(super) fn new(namespace: String) -> Self {
        Self {
            namespace,
            started: false,
            dirty: false,
            blind: BTreeMap::new(),
            pods: Kept::default(),
            sets: Kept::default(),
            events: Kept::default(),
        }
    }

    /// Whether all that there is has been seen once.
    pub(super) fn is_complete(&self) -> bool {
        self.pods.complete && self.sets.complete && self.events.complete
    }

    /// A ready pod has nothing to explain.
    pub(super) fn pod(&mut self, change: Change<Pod>) -> Option<Break> {
        self.dirty = true;
        self.pods.take(change, |pod| !pod.ready && pod.phase != "Succeeded")
    }

    pub(super) fn set(&mut self, change: Change<ReplicaSet>) -> Option<Break> {
        self.dirty = true;
        self.sets.take(change, |set| set.controller.is_some())
    }

    pub(super) fn event(&mut self, change: Change<Event>) -> Option<Break> {
        self.dirty = true;
        let broken = self.events.take(change, |_| true);
        if self.events.by_uid.len() > EVENTS + EVENTS / 10 {
            let mut times: Vec<_> = self.events.by_uid.values().map(|event| event.last).collect();
            times.sort_unstable();
            let oldest = times[times.len() - EVENTS];
            self.events.by_uid.retain(|_, event| event.last >= oldest);
        }
        broken
    }

    /// What there is now.
    pub(super) fn crowd(&self) -> Crowd {
        Crowd { pods: self.pods.all(), sets: self.sets.all(), events: self.events.all() }
    }
}

/// What explains the objects of a namespace, at one moment.
pub(super) struct Crowd {
    pods: Vec<Pod>,
    sets: Vec<ReplicaSet>,
    events: Vec<Event>,
}

impl Crowd {
    /// What is wrong with a workload, or with an object that runs no pods.
    pub(super) fn diagnose(&self, workload: &Workload) -> Vec<Diagnosis> {
        diagnose(workload, &self.sets, &self.pods, &self.events)
    }
}
