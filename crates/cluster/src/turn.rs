//! A deploy's turn on a cluster: lease, inventory, the plan itself, inventory, lease.
//!
//! The inventory is written before the first object and names everything that the plan will have written, so that whoever is
//! killed leaves a trace. It is written only if nobody has written it since the plan was made; else the plan is made again. With
//! the lease that makes deploys of one set on one cluster a sequence: each plan is made of the state that the one before left.

use jiff::Timestamp;
use manifest::ObjectRef;

use crate::connect::{CallError, Connection};
use crate::events::Happening;
use crate::history;
use crate::inventory::{self, CONFIG_MAP, Inventory, Manifests, Revision, RevisionState, WriteError, key};
use crate::lease::{self, Lease, NoLease};
use crate::outcome::{ClusterState, ObjectResult, Trouble};
use crate::plan::{Action, Plan, SetPlan};
use crate::planning;
use crate::reporting::Report;
use crate::rollback;
use crate::rollout::{self, RolloutOptions, Run};
use crate::strategy;
use crate::writing;

/// How often a plan is made again because somebody else was at work; a lease makes even two unlikely.
const PLANS: u32 = 5;

/// What a turn is about.
pub(crate) struct Turn<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) manifests: Manifests,
    pub(crate) options: &'a RolloutOptions,
    pub(crate) run: &'a Run,
}

impl Turn<'_> {
    /// Carries out `plan`.
    pub(crate) async fn take(mut self, mut plan: Plan, report: &mut Report<'_>) {
        let Some(set) = plan.set.as_ref().filter(|_| plan.writes()) else {
            self.manifests = Manifests::default();
            rollout::carry_out(self.connection, &mut plan, self.options, self.run, report, Vec::new()).await;
            return;
        };
        let namespace = set.namespace.clone();
        let (early, lease) = match Box::pin(self.lease(&plan, &namespace, report)).await {
            Ok(lease) => lease,
            Err(()) => return,
        };
        match &lease {
            Some(held) => {
                let connection = self.connection;
                let work = self.work(plan, early, report);
                tokio::select! {
                    () = work => {}
                    () = Box::pin(held.keep(connection)) => {}
                }
            }
            None => self.work(plan, early, report).await,
        }
        if let Some(lease) = lease {
            Box::pin(lease.release(self.connection)).await;
        }
    }

    /// Takes the lease. Its namespace may be one that this very deploy creates: then that goes first.
    async fn lease(
        &self,
        plan: &Plan,
        namespace: &str,
        report: &mut Report<'_>,
    ) -> Result<(Vec<(usize, ObjectResult)>, Option<Lease>), ()> {
        let set = &self.options.set;
        let mut early = Vec::new();
        loop {
            match lease::acquire(self.connection, set, namespace, &self.run.stop).await {
                Ok(lease) => return Ok((early, Some(lease))),
                Err(NoLease::Held(trouble)) => report.refuse(trouble),
                Err(NoLease::Stopped) => report.outcome.state = ClusterState::NotStarted,
                Err(NoLease::Forbidden(error)) if set.guard.is_none() => {
                    let said = self.run.mask.said(&error);
                    let text = format!("without a lease nothing keeps other deployers away: {said}");
                    self.connection.events().emit(Happening::Warning { object: None, text });
                    return Ok((early, None));
                }
                Err(NoLease::Forbidden(error)) => report.fail(
                    Trouble::new("the lease may not be taken, and a guarded deploy needs it")
                        .because(self.run.mask.said(&error))
                        .hint(format!("kubectl auth can-i create leases.coordination.k8s.io -n {namespace}")),
                ),
                Err(NoLease::NoNamespace) if early.is_empty() => {
                    let found = plan.objects.iter().position(|object| {
                        object.wanted.resource.kind == "Namespace"
                            && object.wanted.object.name == namespace
                            && object.action == Action::Create
                    });
                    if let Some(index) = found {
                        let object = &plan.objects[index];
                        let end =
                            writing::write_one(self.connection, index, object, self.options, self.run).await;
                        let done = matches!(end.result, ObjectResult::Created);
                        early.push((index, end.result));
                        if done {
                            continue;
                        }
                    }
                    report.fail(no_namespace(namespace));
                }
                Err(NoLease::NoNamespace) => report.fail(no_namespace(namespace)),
                Err(NoLease::Call(error)) => {
                    let said = self.run.mask.said(&error);
                    report.fail(Trouble::new("the lease cannot be taken").because(said));
                }
            }
            return Err(());
        }
    }

    pub(crate) async fn work(
        &mut self,
        plan: Plan,
        early: Vec<(usize, ObjectResult)>,
        report: &mut Report<'_>,
    ) {
        // What is awaited in a box here is long over when the wait begins, and takes no room in it.
        let Some((mut plan, mut inventory)) = Box::pin(self.begin(plan, report)).await else { return };
        let surplus = Box::pin(self.keep(&plan, &mut inventory)).await;
        // The plan is not made again, and whoever brings it back reads what was kept.
        self.manifests = Manifests::default();
        let inventory = inventory.put_away();
        let before = plan.set.as_mut().map(|set| std::mem::take(&mut set.inventory).put_away());
        let finished =
            rollout::carry_out(self.connection, &mut plan, self.options, self.run, report, early).await;
        let (Some(set), Some(before)) = (&plan.set, before) else { return };
        let (before, mut inventory) = match (before.take_out(), inventory.take_out()) {
            (Ok(before), Ok(inventory)) => (before, inventory),
            (Err(problem), _) | (_, Err(problem)) => return self.warn_of_the_end(&problem),
        };
        Box::pin(self.finish(&plan, set, &mut inventory, report, &finished)).await;
        if self.options.set.rollback_on_failure
            && report.outcome.state == ClusterState::Failed
            && plan.changes_objects()
        {
            // Boxed, because going back is a deploy of its own.
            Box::pin(rollback::after_failure(self, set, (before, inventory), report)).await;
        }
        for revision in &surplus {
            history::forget(self.connection, &set.name, &set.namespace, revision).await;
        }
    }

    /// Keeps the manifests of this deploy; what is beyond `--history` is to be forgotten when all is over.
    async fn keep(&self, plan: &Plan, inventory: &mut Inventory) -> Vec<Revision> {
        let (Some(set), true) = (&plan.set, plan.changes_objects()) else { return Vec::new() };
        let surplus: Vec<Revision> = set
            .inventory
            .history
            .iter()
            .filter(|old| !inventory.history.iter().any(|kept| kept.revision == old.revision))
            .cloned()
            .collect();
        let Some(last) = inventory.history.last_mut().filter(|last| last.parts > 0) else { return surplus };
        let parts = history::pack(&self.manifests.objects);
        let kept = history::keep(self.connection, &set.name, &set.namespace, last.revision, &parts).await;
        if let Err(error) = kept {
            last.parts = 0;
            // Admission plugins like to quote what they refuse.
            let said = self.run.mask.said(&error);
            let text =
                format!("this deploy cannot be brought back later, its manifests were not kept: {said}");
            self.connection.events().emit(Happening::Warning { object: None, text });
        }
        surplus
    }

    /// Writes what is about to happen; makes the plan again where the cluster has moved since it was made.
    async fn begin(&self, mut plan: Plan, report: &mut Report<'_>) -> Option<(Plan, Inventory)> {
        for _ in 0..PLANS {
            let changes = plan.changes_objects().then_some(plan.objects.len());
            let Some(set) = &mut plan.set else { return Some((plan, Inventory::default())) };
            let mut next = std::mem::take(&mut set.next);
            if let Some(objects) = changes {
                self.record(objects, &mut next);
            }
            match inventory::write(self.connection, &mut next, &set.name, &set.namespace).await {
                Ok(()) => return Some((plan, next)),
                Err(WriteError::Moved) => {}
                Err(WriteError::Call(error)) => {
                    let said = self.run.mask.said(&error);
                    report.fail(cannot_write(set, &error, said));
                    return None;
                }
            }
            match planning::plan(self.connection, &self.manifests, None, self.options, self.run).await {
                Ok(again) => plan = again,
                Err(error) => {
                    report.no_plan(error, self.run);
                    return None;
                }
            }
            if !report.admit(&mut plan, self.options) {
                return None;
            }
            if !plan.writes() {
                return Some((plan, Inventory::default()));
            }
        }
        report.fail(Trouble::new(
            "the inventory is written by somebody else all the time, nothing was written",
        ));
        None
    }

    /// Adds this deploy, of so many objects, to the history.
    fn record(&self, objects: usize, next: &mut Inventory) {
        let set = &self.options.set;
        next.revision += 1;
        if let Some(commit) = &self.options.marks.sha {
            next.commit = Some(commit.clone());
        }
        next.history.push(Revision {
            revision: next.revision,
            id: set.id.clone(),
            commit: self.options.marks.sha.clone(),
            started: Timestamp::now(),
            finished: None,
            state: RevisionState::Running,
            scope: set.scope.text(),
            objects,
            parts: if set.history > 0 { history::pack(&self.manifests.objects).len() } else { 0 },
            rollback_to: set.brings_back.clone(),
            fast_id: strategy::fast_id(&self.options.marks).map(str::to_owned),
        });
        let keep = set.history.max(1);
        let surplus = next.history.len().saturating_sub(keep);
        next.history.drain(..surplus);
    }

    /// Marks Jobs as completed, by the server's clock; whether that is news.
    fn note_finished_jobs(&self, inventory: &mut Inventory, finished: &[ObjectRef]) -> bool {
        let now = Timestamp::now() + self.connection.clock_offset();
        let mut noted = false;
        for job in finished {
            if let Some(member) = inventory.members.get_mut(&key(job)).filter(|job| job.finished.is_none()) {
                member.finished = Some(now);
                noted = true;
            }
        }
        noted
    }

    /// Writes how it ended.
    async fn finish(
        &self,
        plan: &Plan,
        set: &SetPlan,
        inventory: &mut Inventory,
        report: &Report<'_>,
        finished: &[ObjectRef],
    ) {
        let noted = self.note_finished_jobs(inventory, finished);
        if !(plan.changes_objects() || noted) || inventory.live.is_none() {
            return;
        }
        for object in &report.outcome.objects {
            if object.result == ObjectResult::Deleted {
                inventory.members.remove(&key(&object.object));
            }
        }
        if let Some(last) = inventory.history.last_mut().filter(|_| plan.changes_objects()) {
            last.finished = Some(Timestamp::now());
            last.state = match report.outcome.state {
                ClusterState::Done => RevisionState::Succeeded,
                ClusterState::Failed
                | ClusterState::Refused
                | ClusterState::Interrupted
                | ClusterState::NotStarted => RevisionState::Failed,
            };
        }
        let written = inventory::write(self.connection, inventory, &set.name, &set.namespace).await;
        let because = match written {
            Ok(()) => return,
            Err(WriteError::Moved) => "somebody else has written it".to_owned(),
            Err(WriteError::Call(error)) => self.run.mask.said(&error),
        };
        self.warn_of_the_end(&because);
    }

    fn warn_of_the_end(&self, because: &str) {
        let text = format!("the inventory does not say how this deploy ended: {because}");
        self.connection.events().emit(Happening::Warning { object: None, text });
    }
}

fn no_namespace(namespace: &str) -> Trouble {
    Trouble::new(format!("the namespace of the inventory does not exist: `{namespace}`"))
        .hint("name one that does with `--inventory-namespace`, or put the Namespace among the manifests")
}

fn cannot_write(set: &SetPlan, error: &CallError, said: String) -> Trouble {
    let trouble =
        Trouble::new("the inventory cannot be written, so that nothing else was written").because(said);
    match error.is(403) {
        true => trouble.hint(format!("kubectl auth can-i update {} -n {}", CONFIG_MAP.plural, set.namespace)),
        false => trouble,
    }
}
