//! Carrying out a plan: phases in order, objects of a phase side by side, whoever waits for others afterwards, Services last.
//!
//! One refusal does not stop the others; what needs the refused object is skipped and says so.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use manifest::{ObjectRef, Selector};
use serde_json::Value;
use tokio::time::Instant;

use crate::connect::Connection;
use crate::discovery::Resource;
use crate::events::Happening;
use crate::finished_job;
use crate::order::{self, Phase};
use crate::outcome::ObjectResult;
use crate::plan::{Action, Plan, PlannedObject};
use crate::rollout::{RolloutOptions, Run};
use crate::status;
use crate::waiting::{self, Await, NotReady};
use crate::writing::{Finished, Written, write_one};

/// A plan being carried out.
pub(crate) struct Applying<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) plan: &'a Plan,
    pub(crate) options: &'a RolloutOptions,
    pub(crate) run: &'a Run,
    pub(crate) results: Vec<Option<ObjectResult>>,
    pub(crate) written: BTreeMap<usize, Written>,
    /// Objects whose wait has ended: `None` for well.
    pub(crate) waited: BTreeMap<usize, Option<NotReady>>,
    /// The end of each deletion of the plan.
    pub(crate) deleted: Vec<Option<ObjectResult>>,
    /// How the steps of the strategy ended, in the order of the plan.
    pub(crate) steps: Vec<ObjectResult>,
}

/// What has to be known of a Job that goes by itself when its content is forgotten.
pub(crate) struct PassingJob {
    index: usize,
    suspended: bool,
    /// When it was read.
    completed: bool,
}

impl<'a> Applying<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        plan: &'a Plan,
        options: &'a RolloutOptions,
        run: &'a Run,
    ) -> Self {
        let results = vec![None; plan.objects.len()];
        let (written, waited) = (BTreeMap::new(), BTreeMap::new());
        let (deleted, steps) = (Vec::new(), Vec::new());
        Self { connection, plan, options, run, results, written, waited, deleted, steps }
    }

    /// Writes everything that the plan says, in order.
    pub(crate) async fn apply_all(&mut self) {
        let edges: BTreeMap<usize, BTreeSet<usize>> = self
            .objects()
            .filter_map(|(index, object)| Some((index, object.after.as_ref()?.objects.clone())))
            .collect();
        // The plan has refused circles already.
        let levels = order::levels(self.plan.objects.len(), &edges).unwrap_or_default();
        let switches = self.switches();
        if !self.prepare_moves().await {
            return;
        }
        for level in levels {
            let (dependants, free): (Vec<usize>, Vec<usize>) = level
                .into_iter()
                .filter(|index| !switches.contains_key(index) && !self.plan.moves.holds(*index))
                .partition(|index| self.plan.objects[*index].after.is_some());
            for phase in Phase::ALL {
                let now: Vec<usize> = free
                    .iter()
                    .copied()
                    .filter(|index| self.plan.objects[*index].wanted.phase == phase)
                    .collect();
                self.phase(phase, &now).await;
            }
            self.dependants(&dependants).await;
        }
        self.switch(&switches).await;
        self.move_traffic().await;
    }

    fn objects(&self) -> impl Iterator<Item = (usize, &'a PlannedObject)> {
        self.plan.objects.iter().enumerate()
    }

    async fn phase(&mut self, phase: Phase, indices: &[usize]) {
        let writes = indices.iter().filter(|index| self.plan.objects[**index].writes()).count();
        if writes > 0 {
            self.connection.events().emit(Happening::Phase { phase: phase.name(), objects: writes });
        }
        self.write(indices).await;
        if phase == Phase::Definitions && writes > 0 {
            // Custom resources can be written once their definition is established.
            let fresh: Vec<usize> =
                indices.iter().copied().filter(|i| self.written.contains_key(i)).collect();
            self.wait_for(&fresh, Duration::from_secs(60)).await;
        }
    }

    /// Writes objects side by side.
    pub(crate) async fn write(&mut self, indices: &[usize]) {
        let (connection, options, run) = (self.connection, self.options, self.run);
        let mut jobs: Vec<BoxFuture<'_, Finished>> = Vec::new();
        let left: Vec<usize> =
            indices.iter().copied().filter(|index| self.results[*index].is_none()).collect();
        for index in left {
            let object = &self.plan.objects[index];
            match self.without_writing(object) {
                Some(result) => self.settle(index, result),
                None => {
                    jobs.push(async move { write_one(connection, index, object, options, run).await }.boxed())
                }
            }
        }
        let mut done = stream::iter(jobs).buffer_unordered(self.options.cluster_concurrency);
        let mut finished = Vec::new();
        while let Some(one) = done.next().await {
            emit(connection, &self.plan.objects[one.index].wanted.object, &one.result);
            finished.push(one);
        }
        drop(done);
        for Finished { index, result, written } in finished {
            self.results[index] = Some(result);
            if let Some(written) = written {
                self.written.insert(index, written);
            }
        }
    }

    pub(crate) fn settle(&mut self, index: usize, result: ObjectResult) {
        if result != ObjectResult::Unchanged {
            emit(self.connection, &self.plan.objects[index].wanted.object, &result);
        }
        self.results[index] = Some(result);
    }

    /// The result of an object that is not written.
    fn without_writing(&self, object: &PlannedObject) -> Option<ObjectResult> {
        let skipped = |because: String| Some(ObjectResult::Skipped { because });
        match &object.action {
            Action::Unchanged => return Some(ObjectResult::Unchanged),
            Action::Skip { because } => return skipped(because.clone()),
            Action::Refuse { trouble } => return Some(ObjectResult::Failed { trouble: trouble.clone() }),
            Action::Create | Action::Configure | Action::Recreate => {}
        }
        if self.run.stop.is_set() {
            return skipped("the run was stopped".into());
        }
        self.missing_need(object).and_then(skipped)
    }

    /// Why an object cannot be written: something that it needs is not there.
    fn missing_need(&self, object: &PlannedObject) -> Option<String> {
        object.needs.iter().find_map(|need| {
            let name = &self.plan.objects[*need].wanted.object;
            match self.results[*need].as_ref()? {
                ObjectResult::Failed { .. } => Some(format!("it needs {name}, which failed")),
                ObjectResult::Skipped { .. } if self.is_missing(*need) => {
                    Some(format!("it needs {name}, which was skipped"))
                }
                ObjectResult::NotReady { .. }
                    if self.plan.objects[*need].wanted.phase == Phase::Definitions =>
                {
                    Some(format!("it needs {name}, which is not ready"))
                }
                ObjectResult::Created
                | ObjectResult::Configured
                | ObjectResult::Recreated
                | ObjectResult::Unchanged
                | ObjectResult::Deleted
                | ObjectResult::Skipped { .. }
                | ObjectResult::NotReady { .. } => None,
            }
        })
    }

    /// Whether what was skipped is not there, though it is wanted.
    fn is_missing(&self, index: usize) -> bool {
        let object = &self.plan.objects[index];
        object.live.is_none() && !object.is_done_and_gone()
    }

    /// The Jobs that go by themselves.
    pub(crate) fn passing_jobs(&self) -> Vec<PassingJob> {
        let jobs =
            self.objects().filter(|(_, object)| object.member && finished_job::has_ttl(&object.wanted));
        jobs.map(|(index, object)| PassingJob {
            index,
            suspended: object.wanted.value["spec"]["suspend"] == true,
            completed: object.live.as_deref().is_some_and(|live| finished_job::completed(live).is_some()),
        })
        .collect()
    }

    /// Those of `jobs` that are known to have completed.
    pub(crate) fn finished_jobs(&self, jobs: &[PassingJob]) -> Vec<ObjectRef> {
        let done = |job: &&PassingJob| match self.waited.get(&job.index) {
            Some(end) => end.is_none() && !job.suspended,
            None => !self.written.contains_key(&job.index) && job.completed,
        };
        jobs.iter().filter(done).map(|job| self.plan.objects[job.index].wanted.object.clone()).collect()
    }

    /// Waits for some objects of the plan and remembers how that ended.
    pub(crate) async fn wait_for(&mut self, indices: &[usize], at_most: Duration) {
        let pending: Vec<usize> =
            indices.iter().copied().filter(|index| !self.waited.contains_key(index)).collect();
        let targets: Vec<Await<'_>> = pending
            .iter()
            .map(|index| Await { object: &self.plan.objects[*index], written: self.written.get(index) })
            .collect();
        let deadline = (Instant::now() + at_most).min(self.connection.deadline());
        let ends = waiting::wait(self.connection, &targets, deadline, self.options, self.run).await;
        self.waited.extend(pending.into_iter().zip(ends));
    }

    /// Whether an object is what it should be; waits for it if that is not known.
    async fn available(&mut self, indices: &BTreeSet<usize>, at_most: Duration) -> Result<(), String> {
        for index in indices {
            let name = &self.plan.objects[*index].wanted.object;
            match &self.results[*index] {
                Some(ObjectResult::Failed { .. }) => {
                    return Err(format!("it waits for {name}, which failed"));
                }
                Some(ObjectResult::Skipped { .. }) if self.is_missing(*index) => {
                    return Err(format!("it waits for {name}, which was skipped"));
                }
                _ => {}
            }
        }
        let unknown: Vec<usize> = indices.iter().copied().filter(|index| !self.is_ready(*index)).collect();
        self.wait_for(&unknown, at_most).await;
        for index in unknown {
            if let Some(Some(NotReady { trouble, .. })) = self.waited.get(&index) {
                let name = &self.plan.objects[index].wanted.object;
                return Err(format!("it waits for {name}, which is not ready: {}", trouble.line()));
            }
        }
        Ok(())
    }

    /// Whether an object is known to be ready without asking: it was not touched, and was ready when it was read.
    pub(crate) fn is_ready(&self, index: usize) -> bool {
        let object = &self.plan.objects[index];
        let done = |live| finished_job::is_done(&object.wanted, live);
        if object.is_done_and_gone() || (!object.writes() && object.live.as_deref().is_some_and(done)) {
            return true;
        }
        match self.waited.get(&index) {
            Some(end) => end.is_none(),
            None => {
                !self.written.contains_key(&index)
                    && self.plan.objects[index]
                        .live
                        .as_ref()
                        .is_some_and(|live| status::assess(live).is_current())
            }
        }
    }

    /// Objects with a dependency selector, each as soon as what it selects is available.
    async fn dependants(&mut self, indices: &[usize]) {
        let mut by_selector: BTreeMap<(String, Option<String>), Vec<usize>> = BTreeMap::new();
        for index in indices {
            let object = &self.plan.objects[*index];
            let selector = object.after.as_ref().map(|after| after.selector.to_string()).unwrap_or_default();
            by_selector.entry((selector, object.wanted.object.namespace.clone())).or_default().push(*index);
        }
        for ((selector, namespace), indices) in by_selector {
            let in_plan = self.plan.objects[indices[0]].after.as_ref().map(|after| &after.objects);
            let wait = match in_plan.filter(|objects| !objects.is_empty()) {
                // Zero matches is not yet available: somebody else may bring them.
                None => self.elsewhere(&selector, namespace.as_deref()).await,
                Some(objects) => self.available(objects, self.options.dependency_timeout).await,
            };
            match wait {
                Ok(()) => self.write(&indices).await,
                Err(because) => {
                    for index in indices {
                        match self.plan.objects[index].writes() {
                            true => self.settle(index, ObjectResult::Skipped { because: because.clone() }),
                            false => self.write(&[index]).await,
                        }
                    }
                }
            }
        }
    }

    /// Waits for objects that are not part of this deploy.
    async fn elsewhere(&self, selector: &str, namespace: Option<&str>) -> Result<(), String> {
        let deadline = (Instant::now() + self.options.dependency_timeout).min(self.connection.deadline());
        self.run.busy.rest();
        loop {
            let mut found = 0;
            let mut waiting = None;
            for (group, kind, plural) in DEPENDENCY_KINDS {
                let resource = Resource::new(group, "v1", kind, plural, true);
                match crate::live::list(self.connection, &resource, namespace, Some(selector)).await {
                    Ok((_, objects)) => {
                        found += objects.len();
                        for mut object in objects {
                            object["apiVersion"] = Value::from(resource.api_version());
                            object["kind"] = Value::from(*kind);
                            let readiness = status::assess(&object);
                            if !readiness.is_current() {
                                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                                waiting = Some(format!("{kind} {name}: {}", readiness.message()));
                            }
                        }
                    }
                    Err(error) => {
                        return Err(format!("what it waits for (`{selector}`) cannot be read: {error}"));
                    }
                }
            }
            let waiting = match (found, waiting) {
                (0, _) => "there is no such object".to_owned(),
                (_, None) => return Ok(()),
                (_, Some(waiting)) => waiting,
            };
            if self.run.stop.is_set() {
                return Err("the run was stopped".into());
            }
            if Instant::now() + self.options.dependency_wait >= deadline {
                return Err(format!("it waits for `{selector}`, which is not available: {waiting}"));
            }
            tokio::time::sleep(self.options.dependency_wait).await;
        }
    }

    /// Services that exist and change, with the workloads of this deploy that they select: traffic moves only to what runs.
    fn switches(&self) -> BTreeMap<usize, BTreeSet<usize>> {
        self.objects()
            .filter(|(_, object)| {
                object.wanted.resource.kind == "Service"
                    && object.wanted.resource.group.is_empty()
                    && object.action == Action::Configure
                    && object.after.is_none()
            })
            .filter(|(index, _)| !self.plan.moves.holds(*index))
            .filter_map(|(index, service)| {
                let selector = Selector::of_pairs(service.wanted.value["spec"]["selector"].as_object()?);
                let workloads: BTreeSet<usize> = self
                    .objects()
                    .filter(|(_, other)| {
                        let labels = &other.wanted.value["spec"]["template"]["metadata"]["labels"];
                        matches!(
                            other.wanted.resource.kind.as_str(),
                            "Deployment" | "StatefulSet" | "DaemonSet"
                        ) && other.wanted.object.namespace == service.wanted.object.namespace
                            && !selector.is_empty()
                            && selector.matches(labels.as_object())
                    })
                    .map(|(index, _)| index)
                    .collect();
                (!workloads.is_empty()).then_some((index, workloads))
            })
            .collect()
    }

    async fn switch(&mut self, switches: &BTreeMap<usize, BTreeSet<usize>>) {
        if switches.is_empty() {
            return;
        }
        // One wait for all of them.
        let workloads: BTreeSet<usize> = switches.values().flatten().copied().collect();
        let pending: Vec<usize> = workloads
            .iter()
            .copied()
            .filter(|index| self.written.contains_key(index) || !self.is_ready(*index))
            .collect();
        self.wait_for(&pending, self.options.available_timeout).await;
        let mut ready = Vec::new();
        for (service, workloads) in switches {
            match self.available(workloads, Duration::ZERO).await {
                Ok(()) => ready.push(*service),
                Err(because) => {
                    let because = format!("{because}; it still leads where it led");
                    self.settle(*service, ObjectResult::Skipped { because });
                }
            }
        }
        if !ready.is_empty() {
            let phase = "services, switched";
            self.connection.events().emit(Happening::Phase { phase, objects: ready.len() });
        }
        self.write(&ready).await;
    }
}

/// Kinds that a dependency selector can mean, as in kit, and the two that kit forgot.
const DEPENDENCY_KINDS: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
    ("apps", "DaemonSet", "daemonsets"),
    ("batch", "Job", "jobs"),
    ("", "Service", "services"),
    ("", "Secret", "secrets"),
];

pub(crate) fn emit(connection: &Connection, object: &ObjectRef, result: &ObjectResult) {
    connection.events().emit(Happening::Object { object: object.clone(), result: result.clone() });
}
