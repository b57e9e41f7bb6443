//! The loop: changes in, verdicts out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join_all;
use futures::stream::{BoxStream, SelectAll, StreamExt as _};
use kube::Api;
use kube::core::{ApiResource, DynamicObject};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::seen::Slim;
use super::slot::Slot;
use super::sources::{self, Break, Change, Signal, builtin};
use super::surveillance::Surveillance;
use super::watch::Source;
use super::{WaitEvent, WaitOptions, WaitOutcome, WaitTarget, has_readiness, logs};
use crate::connect::Connection;
use crate::health::{Diagnosis, Workload};
use crate::status::{Surroundings, VolumeBinding};

/// How long a refusal (403, 404) may last before it is believed: rights and definitions that this deploy has just
/// created take a moment to be known everywhere.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Changes of pods and Events are taken together for this long before they are judged.
const GATHER: Duration = Duration::from_millis(200);
/// How long a log may take.
const LOG_LIMIT: Duration = Duration::from_secs(3);

/// Waits until every target is ready, has failed, or the deadline passes. Outcomes are in the order of the targets.
///
/// A target that has failed is watched on while others are pending: if it recovers, it is ready. The wait ends when
/// nothing is pending any more.
///
/// Returns at once when `stop` ends. Returns at the deadline, or when it passes a few seconds later, in which it looks why who is late
/// is late, and fetches logs.
pub async fn until_ready(
    connection: &Connection,
    targets: Vec<WaitTarget<'_>>,
    options: WaitOptions,
    stop: impl Future<Output = ()>,
    on_event: impl FnMut(WaitEvent) + Send,
) -> Vec<WaitOutcome> {
    let started = Instant::now();
    let mut wait = Wait::new(connection, targets, options, on_event, started);
    let whole = async {
        wait.learn_storage().await;
        wait.run().await;
        wait.explain_the_late().await;
    };
    let stopped = tokio::select! {
        () = whole => false,
        () = stop => true,
    };
    wait.outcomes(stopped)
}

/// The objects of one kind in one namespace.
struct Group<'a> {
    resource: ApiResource,
    namespace: Option<String>,
    /// Slot by name.
    members: HashMap<&'a str, usize>,
    /// During a list: the members it has had so far.
    listed: Option<BTreeSet<usize>>,
    refused_since: Option<Instant>,
}

struct Wait<'a, F> {
    connection: &'a Connection,
    source: Source,
    options: WaitOptions,
    on_event: F,
    started: Instant,
    around: Surroundings,
    slots: Vec<Slot<'a>>,
    groups: Vec<Group<'a>>,
    namespaces: Vec<Surveillance>,
    namespace_of: BTreeMap<String, usize>,
    streams: SelectAll<BoxStream<'static, Signal>>,
    /// When something is to be done though nothing has changed.
    wake: Option<Instant>,
    /// A watch was refused with 401.
    unauthorized: bool,
    /// When the namespaces that have changed are judged.
    judge_at: Option<Instant>,
}

impl<'a, F: FnMut(WaitEvent) + Send> Wait<'a, F> {
    fn new(
        connection: &'a Connection,
        targets: Vec<WaitTarget<'a>>,
        options: WaitOptions,
        on_event: F,
        started: Instant,
    ) -> Self {
        let mut wait = Self {
            connection,
            source: Source::of(connection),
            options,
            on_event,
            started,
            around: Surroundings::default(),
            slots: Vec::with_capacity(targets.len()),
            groups: Vec::new(),
            namespaces: Vec::new(),
            namespace_of: BTreeMap::new(),
            streams: SelectAll::new(),
            wake: None,
            unauthorized: false,
            judge_at: None,
        };
        for target in targets {
            wait.add(target);
        }
        wait.watch_objects();
        wait
    }

    fn watch_objects(&mut self) {
        for (index, group) in self.groups.iter().enumerate() {
            let mut names = group.members.keys();
            let only = names.next().filter(|_| group.members.len() == 1).copied();
            let namespace = group.namespace.as_deref();
            self.streams.push(sources::objects(&self.source, &group.resource, namespace, only, index));
        }
    }

    fn add(&mut self, target: WaitTarget<'a>) {
        let index = self.slots.len();
        let waits = has_readiness(target.object);
        let (resource, namespace) = (target.resource.clone(), target.object.namespace.clone());
        let name = target.object.name.as_str();
        self.slots.push(Slot::new(target));
        if !waits {
            self.slots[index].stored(self.started.elapsed());
            return;
        }
        let same = |group: &&mut Group<'_>| group.resource == resource && group.namespace == namespace;
        match self.groups.iter_mut().find(same) {
            Some(group) => {
                group.members.insert(name, index);
            }
            None => self.groups.push(Group {
                resource,
                namespace,
                members: HashMap::from([(name, index)]),
                listed: None,
                refused_since: None,
            }),
        }
    }

    /// Whether a claim waits for its consumer is a property of its class.
    async fn learn_storage(&mut self) {
        let is_claim = |slot: &Slot<'_>| slot.target.object.kind == "PersistentVolumeClaim";
        if !self.slots.iter().any(is_claim) {
            return;
        }
        let resource = builtin("storage.k8s.io", "v1", "StorageClass", "storageclasses");
        let classes: Api<DynamicObject> = Api::all_with(self.connection.client(), &resource);
        let listed = timeout(Duration::from_secs(10), classes.list(&kube::api::ListParams::default())).await;
        // Without the right to list classes a claim that is not bound is simply not ready yet.
        let Ok(Ok(listed)) = listed else { return };
        self.around.storage_classes = listed
            .into_iter()
            .filter_map(|class| {
                let late = class.data.get("volumeBindingMode")?.as_str()? == "WaitForFirstConsumer";
                let binding =
                    if late { VolumeBinding::WaitForFirstConsumer } else { VolumeBinding::Immediate };
                Some((class.metadata.name?, binding))
            })
            .collect();
    }

    async fn run(&mut self) {
        let look = self.started + self.options.look_after;
        self.wake = Some(look);
        while self.slots.iter().any(Slot::is_open) {
            let now = Instant::now();
            if now >= self.options.deadline {
                return;
            }
            let pause = [Some(self.options.deadline), self.wake, self.judge_at].into_iter().flatten().min();
            let pause = pause.unwrap_or(self.options.deadline);
            tokio::select! {
                biased;
                signal = self.streams.next(), if !self.streams.is_empty() => {
                    if let Some(signal) = signal {
                        self.take(signal);
                    }
                }
                () = sleep_until(pause) => {}
            }
            if self.unauthorized {
                self.renew().await;
            }
            self.tick().await;
        }
    }

    /// Credentials that expired while waiting: gets new ones and watches with those, once per refusal.
    async fn renew(&mut self) {
        self.unauthorized = false;
        if !matches!(self.connection.renew().await, Ok(true)) {
            return;
        }
        self.streams.clear();
        self.source = Source::of(self.connection);
        self.watch_objects();
        for (index, namespace) in
            self.namespaces.iter().enumerate().filter(|(_, namespace)| namespace.started)
        {
            self.streams.extend(sources::explanations(&self.source, &namespace.namespace, index));
        }
    }

    /// What time brings: settling, looking closer, judging.
    async fn tick(&mut self) {
        let now = Instant::now();
        if self.wake.is_some_and(|wake| wake <= now) {
            self.wake = None;
            if now >= self.started + self.options.look_after {
                self.look_closer();
            } else {
                self.wake_at(self.started + self.options.look_after);
            }
            self.settle(now);
            for namespace in &mut self.namespaces {
                namespace.dirty |= namespace.started;
            }
            self.judge_at = Some(now);
        }
        if self.judge_at.is_some_and(|at| at <= now) {
            self.judge_at = None;
            self.judge(now).await;
        }
    }

    fn wake_at(&mut self, at: Instant) {
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
    }

    /// Starts to watch pods and Events wherever something has been unready for a while.
    fn look_closer(&mut self) {
        let unready = self.slots.iter().filter(|slot| slot.is_unready() || slot.has_failed());
        let namespaces: BTreeSet<String> =
            unready.filter_map(|slot| slot.target.object.namespace.clone()).collect();
        for namespace in namespaces {
            let index = *self.namespace_of.entry(namespace.clone()).or_insert_with(|| {
                self.namespaces.push(Surveillance::new(namespace.clone()));
                self.namespaces.len() - 1
            });
            if !self.namespaces[index].started {
                self.namespaces[index].started = true;
                self.streams.extend(sources::explanations(&self.source, &namespace, index));
            }
        }
    }

    fn settle(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.started);
        for index in 0..self.slots.len() {
            let (event, again) = self.slots[index].settle(elapsed);
            self.tell(event);
            if let Some(again) = again {
                self.wake_at(self.started + again);
            }
        }
    }

    fn tell(&mut self, event: impl IntoIterator<Item = WaitEvent>) {
        event.into_iter().for_each(&mut self.on_event);
    }

    fn take(&mut self, signal: Signal) {
        let now = Instant::now();
        let broken = match signal {
            Signal::Object(group, change) => self.object(group, change, now),
            Signal::Pod(index, change) => self.note(index, "pods", |namespace| namespace.pod(change)),
            Signal::Set(index, change) => self.note(index, "replica sets", |namespace| namespace.set(change)),
            Signal::Event(index, change) => self.note(index, "events", |namespace| namespace.event(change)),
        };
        if let Some((what, broken)) = broken
            && !broken.routine
        {
            self.unauthorized |= broken.unauthorized;
            self.tell([WaitEvent::Retrying { what, because: broken.because }]);
        }
    }

    fn note(
        &mut self,
        index: usize,
        what: &'static str,
        take: impl FnOnce(&mut Surveillance) -> Option<Break>,
    ) -> Option<(String, Break)> {
        let namespace = &mut self.namespaces[index];
        let broken = take(namespace);
        self.judge_at.get_or_insert_with(|| Instant::now() + GATHER);
        match &broken {
            Some(broken) if broken.refused => {
                // Said once; without the right to look, the object's own status is all there is.
                if namespace.blind.insert(what, broken.because.clone()).is_some() {
                    return None;
                }
            }
            Some(_) | None => {}
        }
        broken.map(|broken| (format!("{what} in namespace {}", namespace.namespace), broken))
    }

    fn object(&mut self, group: usize, change: Change<Slim>, now: Instant) -> Option<(String, Break)> {
        let elapsed = now.duration_since(self.started);
        let this = &mut self.groups[group];
        match change {
            Change::Relist => this.listed = Some(BTreeSet::new()),
            Change::Put(mut seen) => {
                this.refused_since = None;
                seen.kept.name_kind(&this.resource);
                let slot = *this.members.get(seen.name.as_str())?;
                if let Some(listed) = &mut this.listed {
                    listed.insert(slot);
                }
                let event = self.slots[slot].see(&seen.kept.0, &self.around, &self.options, elapsed);
                self.after_sight(slot, now);
                self.tell(event);
            }
            Change::Gone(seen) => {
                let slot = *this.members.get(seen.name.as_str())?;
                let event = self.slots[slot].vanish(elapsed);
                self.tell(event);
            }
            Change::Listed => {
                this.refused_since = None;
                let listed = this.listed.take()?;
                let missing: Vec<usize> =
                    this.members.values().filter(|slot| !listed.contains(slot)).copied().collect();
                for slot in missing {
                    let event = self.slots[slot].vanish(elapsed);
                    self.tell(event);
                }
            }
            Change::Broken(broken) => {
                let since = *this.refused_since.get_or_insert(now);
                if !broken.refused {
                    this.refused_since = None;
                } else if now.duration_since(since) >= REFUSED_FOR {
                    let members: Vec<usize> = this.members.values().copied().collect();
                    for slot in members {
                        let event = self.slots[slot].blind(&broken.because, elapsed);
                        self.tell(event);
                    }
                    return None;
                }
                let what = match &this.namespace {
                    Some(namespace) => format!("{} in namespace {namespace}", this.resource.kind),
                    None => this.resource.kind.clone(),
                };
                return Some((what, broken));
            }
        }
        None
    }

    /// A slot that has just become unready may need a closer look; one that settles, a reminder.
    fn after_sight(&mut self, slot: usize, now: Instant) {
        let slot = &self.slots[slot];
        let namespace = slot.target.object.namespace.as_ref();
        let index = namespace.and_then(|namespace| self.namespace_of.get(namespace)).copied();
        let late = now >= self.started + self.options.look_after;
        // One that failed by its own word: find out why before that is reported.
        let unexplained = slot.has_failed() && slot.diagnoses.is_empty();
        if unexplained || (slot.is_open() && late && namespace.is_some() && index.is_none()) {
            self.wake_at(now);
        } else if slot.is_open() {
            self.wake_at(now + self.options.settle);
        }
        self.judge_at.get_or_insert(now + GATHER);
        if let Some(index) = index {
            self.namespaces[index].dirty = true;
        }
    }

    /// Judges the workloads of the namespaces that have changed.
    async fn judge(&mut self, now: Instant) {
        let elapsed = now.duration_since(self.started);
        let dirty: BTreeSet<usize> =
            (0..self.namespaces.len()).filter(|i| self.namespaces[*i].dirty).collect();
        for index in &dirty {
            self.namespaces[*index].dirty = false;
        }
        let unexplained =
            |slot: &Slot<'_>| slot.is_unready() || slot.has_failed() && slot.diagnoses.is_empty();
        let mut condemned = Vec::new();
        for (index, diagnoses) in self.diagnoses(&dirty, unexplained) {
            let slot = &mut self.slots[index];
            if slot.has_failed() {
                slot.diagnoses = diagnoses;
                condemned.push(index);
                continue;
            }
            let (events, again) = slot.trouble(diagnoses, &self.options, elapsed);
            if slot.has_failed() {
                condemned.push(index);
            }
            if let Some(again) = again {
                self.wake_at(self.started + again);
            }
            self.tell(events);
        }
        self.fetch_logs(&condemned, now + LOG_LIMIT).await;
    }

    async fn fetch_logs(&mut self, slots: &[usize], until: Instant) {
        if slots.is_empty() {
            return;
        }
        let limit = until.duration_since(Instant::now());
        let lines = self.options.log_lines;
        let client = &self.connection.client();
        let chosen = self.slots.iter_mut().enumerate().filter(|(index, _)| slots.contains(index));
        let all = chosen.filter_map(|(_, slot)| {
            let namespace = slot.target.object.namespace.clone()?;
            Some(async move { logs::fetch(client, &namespace, lines, limit, &mut slot.diagnoses).await })
        });
        join_all(all).await;
    }

    /// Explains what has failed or is late and has no explanation yet, in a moment and no longer.
    async fn explain_the_late(&mut self) {
        let unexplained = |slot: &Slot<'_>| {
            (slot.has_failed() || slot.is_unready())
                && slot.diagnoses.is_empty()
                && slot.target.object.namespace.is_some()
        };
        if self.slots.iter().any(unexplained) {
            // Not seen long enough to be looked at (a short timeout, a Job that failed at once): look now.
            self.look_closer();
            let until = Instant::now() + LOG_LIMIT;
            while self.namespaces.iter().any(|namespace| !namespace.is_complete()) {
                let Ok(Some(signal)) = timeout_at(until, self.streams.next()).await else { break };
                self.take(signal);
            }
            let all = (0..self.namespaces.len()).collect();
            for (slot, diagnoses) in self.diagnoses(&all, unexplained) {
                self.slots[slot].diagnoses = diagnoses;
            }
        }
        let bad = |slot: &Slot<'_>| slot.has_failed() || slot.is_unready();
        let late: Vec<usize> = (0..self.slots.len()).filter(|index| bad(&self.slots[*index])).collect();
        self.fetch_logs(&late, Instant::now() + LOG_LIMIT).await;
    }

    /// What is wrong with the pods of those objects of `namespaces` that `which` chooses, in the order of the slots.
    fn diagnoses(
        &self,
        namespaces: &BTreeSet<usize>,
        which: impl Fn(&Slot<'_>) -> bool,
    ) -> Vec<(usize, Vec<Diagnosis>)> {
        let mut members: BTreeMap<usize, Vec<(usize, &Workload)>> = BTreeMap::new();
        for (index, slot) in self.slots.iter().enumerate().filter(|(_, slot)| which(slot)) {
            let namespace = slot.target.object.namespace.as_ref();
            let namespace = namespace.and_then(|namespace| self.namespace_of.get(namespace));
            if let (Some(namespace), Some(workload)) = (namespace, &slot.workload) {
                members.entry(*namespace).or_default().push((index, workload));
            }
        }
        let mut all = Vec::new();
        for (namespace, members) in members.into_iter().filter(|(index, _)| namespaces.contains(index)) {
            // Gathered once for all that are judged by it.
            let moment = self.namespaces[namespace].moment();
            let crowd = moment.crowd();
            all.extend(members.into_iter().map(|(slot, workload)| (slot, crowd.diagnose(workload))));
        }
        all.sort_by_key(|(slot, _)| *slot);
        all
    }

    fn outcomes(self, stopped: bool) -> Vec<WaitOutcome> {
        let now = self.started.elapsed();
        let ends = self.slots.into_iter().map(|slot| slot.end(now, stopped));
        ends.map(|(object, end, after)| WaitOutcome { object, end, after }).collect()
    }
}
