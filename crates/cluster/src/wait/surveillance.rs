//! What is kept of a namespace in which something does not become ready: the pods that are not well, the
//! `ReplicaSet`s, the latest warnings.

use std::collections::{BTreeMap, BTreeSet};

use super::seen::{Reduce, Seen};
use super::sources::{Break, Change};
use crate::health::{Crowd, Event, Pod, ReplicaSet};
use crate::packed::Packed;

/// Warnings kept per namespace.
const EVENTS: usize = 1000;

/// One namespace under observation.
pub(super) struct Surveillance {
    pub(super) namespace: String,
    pub(super) started: bool,
    pub(super) dirty: bool,
    /// Why something of it cannot be watched.
    pub(super) blind: BTreeMap<&'static str, String>,
    pods: Kept<Packed<Pod>>,
    sets: Kept<Packed<ReplicaSet>>,
    events: Kept<Box<Event>>,
}

/// Objects of one kind by uid. They are small or boxed: a tree has room for twice as many as are in it.
struct Kept<T> {
    by_uid: BTreeMap<Box<str>, T>,
    /// A list has come to its end, or been refused.
    complete: bool,
    /// During a list: what it has had so far.
    listed: Option<BTreeSet<Box<str>>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { by_uid: BTreeMap::new(), complete: false, listed: None }
    }
}

impl<T> Kept<T> {
    /// Takes in a change; objects that are not worth keeping are dropped.
    fn take<S: Reduce + Into<T>>(&mut self, change: Change<S>, worth: impl Fn(&S) -> bool) -> Option<Break> {
        match change {
            Change::Relist => self.listed = Some(BTreeSet::new()),
            Change::Put(seen) => {
                let Seen { uid, kept, .. } = *seen;
                let uid = uid.into_boxed_str();
                if let Some(listed) = &mut self.listed {
                    listed.insert(uid.clone());
                }
                if worth(&kept) {
                    self.by_uid.insert(uid, kept.into());
                } else {
                    self.by_uid.remove(&uid);
                }
            }
            Change::Gone(seen) => {
                self.by_uid.remove(seen.uid.as_str());
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
    pub(super) fn moment(&self) -> Moment<'_> {
        Moment {
            pods: self.pods.by_uid.values().filter_map(Packed::unpack).collect(),
            sets: self.sets.by_uid.values().filter_map(Packed::unpack).collect(),
            events: self.events.by_uid.values().map(|event| &**event).collect(),
        }
    }
}

/// What explains the objects of a namespace, at one moment.
pub(super) struct Moment<'a> {
    pods: Vec<Pod>,
    sets: Vec<ReplicaSet>,
    events: Vec<&'a Event>,
}

impl Moment<'_> {
    pub(super) fn crowd(&self) -> Crowd<'_> {
        Crowd::new(&self.sets, &self.pods, self.events.iter().copied())
    }
}
