//! One cluster, from its kubeconfig to its outcome: connect, plan, apply, wait, tell.
//!
//! Whatever happens becomes part of the [`ClusterOutcome`]; nothing here ends another cluster's run.

use std::sync::Arc;
use std::time::Duration;

use manifest::ObjectRef;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::applying::Applying;
use crate::connect::{CallError, ConnectOptions, Connection, Plugins, Target};
use crate::events::{Events, Happening};
use crate::finished_job;
use crate::health::HealthOptions;
use crate::inventory::{Manifests, SetOptions};
use crate::lease;
use crate::outcome::{
    ClusterOutcome, ClusterState, Counts, ObjectOutcome, ObjectResult, SetOutcome, Trouble,
};
use crate::plan::file::{ClusterPlan, FleetPlan};
use crate::plan::{Action, Marks, Mask, ObjectChange, Plan, PlanOptions, PlannedObject, SharedChange};
use crate::planning::{self, PlanError};
use crate::rollback;
use crate::status;
use crate::stop::Stop;
use crate::turn::Turn;
use crate::wait::has_readiness;
use crate::waiting::NotReady;

/// How far a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Plan, write nothing.
    Plan,
    /// Plan and apply.
    Deploy,
}

/// What is waited for after the apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing.
    No,
    /// What was written.
    Changed,
    /// Everything.
    All,
}

/// How clusters are deployed to; the same for all of a run.
#[derive(Clone, Debug)]
pub struct RolloutOptions {
    /// How to connect.
    pub connect: ConnectOptions,
    /// How to plan.
    pub plan: PlanOptions,
    /// What kit writes on objects.
    pub marks: Marks,
    /// How far to go.
    pub extent: Extent,
    /// Whether the server is asked what it thinks of objects that are yet to be created.
    pub ask_before_create: bool,
    /// What to wait for.
    pub waiting: Waiting,
    /// Whether what does not become ready fails the deploy.
    pub ready_required: bool,
    /// What counts as a failure while waiting.
    pub health: HealthOptions,
    /// Lines of a failed container's log to fetch.
    pub log_lines: u32,
    /// How long to wait for readiness.
    pub available_timeout: Duration,
    /// Pause between looks at dependencies outside the deploy.
    pub dependency_wait: Duration,
    /// How long to wait for dependencies.
    pub dependency_timeout: Duration,
    /// How long a cluster may take in all.
    pub timeout: Duration,
    /// Requests in flight per cluster.
    pub cluster_concurrency: usize,
    /// Earlier runs of a Job that are kept.
    pub job_history: usize,
    /// Whether the outcome carries the plan as a file holds it: its digests are expensive where there are secrets.
    pub keep_plan: bool,
    /// The resource set, and what guards it.
    pub set: SetOptions,
    /// Goes into the digests of a plan that is written to a file.
    pub salt: String,
    /// The plan that was reviewed: what differs from it is refused.
    pub approved: Option<Arc<FleetPlan>>,
}

/// A deploy that waits for what it changes, for ten minutes.
impl Default for RolloutOptions {
    fn default() -> Self {
        let limit = Duration::from_secs(600);
        Self {
            connect: ConnectOptions::default(),
            plan: PlanOptions::default(),
            marks: Marks::default(),
            extent: Extent::Deploy,
            ask_before_create: false,
            waiting: Waiting::Changed,
            ready_required: true,
            health: HealthOptions::default(),
            log_lines: 10,
            available_timeout: limit,
            dependency_wait: Duration::from_secs(3),
            dependency_timeout: limit,
            timeout: limit,
            cluster_concurrency: 8,
            job_history: 3,
            keep_plan: false,
            set: SetOptions::default(),
            salt: String::new(),
            approved: None,
        }
    }
}

/// What the clusters of a run share.
#[derive(Clone, Debug)]
pub struct Run {
    /// Hides secrets. A fleet gives each cluster one [`Mask::with_same_key`]: every text is searched for all that it knows.
    pub mask: Mask,
    /// Whether to stop.
    pub stop: Stop,
    /// Writes in flight, over all clusters.
    pub writes: Arc<Semaphore>,
}

/// Deploys `manifests` to `target`, or plans to.
pub async fn deploy(
    target: &Target,
    manifests: &Manifests,
    options: &RolloutOptions,
    plugins: &Plugins,
    run: &Run,
    events: Events,
) -> ClusterOutcome {
    let started = Instant::now();
    let events = events.hiding(run.mask.clone());
    events.emit(Happening::Started);
    let mut report = Report::new(target, started, events.clone());
    if run.stop.is_set() {
        report.outcome.state = ClusterState::NotStarted;
        return report.finish(&events);
    }
    let connection =
        match Connection::open(target, &options.connect, plugins, started + options.timeout, events.clone())
            .await
        {
            Ok(connection) => connection,
            Err(error) => {
                let mut trouble = Trouble::new("cannot connect").because(run.mask.said(&error));
                if let Some(source) = std::error::Error::source(&error) {
                    trouble = trouble.because(run.mask.said(&source));
                }
                report.outcome.unreachable = true;
                report.fail(trouble.maybe_hint(error.hint()));
                return report.finish(&events);
            }
        };
    let back = match &options.set.rollback {
        Some(to) => match rollback::prepare(&connection, options, to).await {
            Ok(back) => Some(back),
            Err(error) => {
                report.no_plan(error, run);
                return report.finish(&events);
            }
        },
        None => None,
    };
    let (manifests, options, known) = match &back {
        Some(back) => (&back.manifests, &back.options, Some(back.inventory.clone())),
        None => (manifests, options, None),
    };
    match planning::plan(&connection, manifests, known, options, run).await {
        Ok(plan) if !report.admit(&plan, options) => {}
        Ok(plan) => match options.extent {
            Extent::Plan => {
                report.planned(&plan);
                warn_of_the_lease(&connection, &plan, options).await;
            }
            Extent::Deploy => {
                Turn { connection: &connection, manifests, options, run }.take(plan, &mut report).await;
            }
        },
        Err(error) => report.no_plan(error, run),
    }
    if let Some(back) = back.filter(|back| back.options.set.hand_back) {
        report.outcome.restored = back.manifests.objects;
    }
    let traffic = connection.traffic();
    report.outcome.requests = traffic.requests();
    report.outcome.bytes_sent = traffic.bytes_sent();
    report.outcome.bytes_received = traffic.bytes_received();
    report.finish(&events)
}

/// Whether a plan is the one that was reviewed, if one was.
fn approved(plan: &ClusterPlan, options: &RolloutOptions) -> Result<(), Trouble> {
    let Some(fleet) = &options.approved else { return Ok(()) };
    match fleet.clusters.iter().find(|reviewed| reviewed.cluster == plan.cluster) {
        Some(reviewed) => reviewed.verify(plan),
        None => Err(Trouble::new("the plan does not mention this cluster, nothing was written")),
    }
}

/// In a dry run: who would have to be waited for.
async fn warn_of_the_lease(connection: &Connection, plan: &Plan, options: &RolloutOptions) {
    let Some(set) = plan.set.as_ref().filter(|_| plan.writes()) else { return };
    if let Some(holder) = lease::holder(connection, &options.set, &set.namespace).await {
        let text = format!("a deploy would wait: `{holder}` holds the lease of resource set `{}`", set.name);
        connection.events().emit(Happening::Warning { object: None, text });
    }
}

/// Carries out `plan`; what was done ahead of it is not done again. Returns the Jobs that will go by themselves and have completed.
pub(crate) async fn carry_out(
    connection: &Connection,
    plan: &Plan,
    options: &RolloutOptions,
    run: &Run,
    report: &mut Report<'_>,
    early: Vec<(usize, ObjectResult)>,
) -> Vec<ObjectRef> {
    let mut applying = Applying::new(connection, plan, options, run);
    for (index, result) in early {
        applying.results[index] = Some(result);
    }
    applying.apply_all().await;
    let to_wait: Vec<usize> = match options.waiting {
        Waiting::No => Vec::new(),
        Waiting::Changed => (0..plan.objects.len())
            .filter(|index| applying.written.contains_key(index) || is_unfinished_job(&applying, *index))
            .collect(),
        Waiting::All => (0..plan.objects.len()).filter(|index| !applying.is_ready(*index)).collect(),
    }
    .into_iter()
    .filter(|index| {
        let failed = matches!(
            applying.results[*index],
            Some(ObjectResult::Failed { .. } | ObjectResult::Skipped { .. })
        );
        !failed && has_readiness(&plan.objects[*index].wanted.object)
    })
    .collect();
    applying.wait_for(&to_wait, options.available_timeout).await;
    warn_of_the_sick(connection, &applying, options);
    let finished = applying.finished_jobs();
    for (index, end) in std::mem::take(&mut applying.waited) {
        if let (Some(NotReady { trouble, diagnoses }), Some(Some(result))) =
            (end, applying.results.get_mut(index))
            && !matches!(result, ObjectResult::Failed { .. } | ObjectResult::Skipped { .. })
        {
            *result = ObjectResult::NotReady { trouble, diagnoses };
        }
    }
    applying.delete_all().await;
    let (results, deleted) = (std::mem::take(&mut applying.results), std::mem::take(&mut applying.deleted));
    let steps = std::mem::take(&mut applying.steps);
    report.applied(plan, results, (deleted, steps), options, run);
    finished
}

/// A Job of an earlier deploy that has not succeeded: what it was to do is not done, and nobody else will say so.
fn is_unfinished_job(applying: &Applying<'_>, index: usize) -> bool {
    applying.plan.objects[index].wanted.resource.kind == "Job" && !applying.is_ready(index)
}

/// Objects that were not touched and do not run: said, though they fail nothing.
fn warn_of_the_sick(connection: &Connection, applying: &Applying<'_>, options: &RolloutOptions) {
    if options.waiting == Waiting::No {
        return;
    }
    for (index, object) in applying.plan.objects.iter().enumerate() {
        let name = &object.wanted.object;
        if object.action == Action::Unchanged
            && !applying.waited.contains_key(&index)
            && has_readiness(name)
            && let Some(live) = &object.live
        {
            let readiness = status::assess(live);
            if !readiness.is_current() && !finished_job::is_done(&object.wanted, live) {
                let text = format!("it is unchanged, and not ready: {}", readiness.message());
                let object = Some(name.clone());
                connection.events().emit(Happening::Warning { object, text });
            }
        }
    }
}

/// Why a cluster could not even be planned for.
fn unreachable(target: &Target, error: &CallError, run: &Run) -> Trouble {
    let said = run.mask.said(&error);
    let origin = target.origin();
    match error {
        CallError::Unreachable { trouble, .. } => {
            Trouble::new(format!("cannot reach the cluster at {}", target.server()))
                .because(said)
                .maybe_hint(trouble.hint(target.server(), &origin))
        }
        CallError::Late { .. } => Trouble::new(format!("the cluster at {} is too slow", target.server()))
            .because(said)
            .hint("raise `--timeout`"),
        CallError::Refused { refusal, .. } => match refusal.code {
            401 => Trouble::new("the cluster does not accept the credentials of the kubeconfig")
                .because(said)
                .hint(format!("renew the token or certificate of the user in {origin}")),
            403 => Trouble::new("the user of the kubeconfig may not read what is to be deployed")
                .because(said)
                .hint("kubectl auth can-i --list"),
            _ => Trouble::new("the cluster refuses to answer").because(said),
        },
        CallError::Credentials(_) => Trouble::new("the credentials cannot be renewed").because(said),
        CallError::LeaseLost => Trouble::new("another deployer has taken over").because(said),
    }
}

impl Plan {
    /// What would happen to each object.
    pub fn expected(&self) -> Vec<(&ObjectRef, ObjectResult)> {
        let result = |object: &PlannedObject| match &object.action {
            Action::Create => ObjectResult::Created,
            Action::Configure => ObjectResult::Configured,
            Action::Recreate => ObjectResult::Recreated,
            Action::Unchanged => ObjectResult::Unchanged,
            Action::Skip { because } => ObjectResult::Skipped { because: because.clone() },
            Action::Refuse { trouble } => ObjectResult::Failed { trouble: trouble.clone() },
        };
        let planned = self.objects.iter().map(|object| (&object.wanted.object, result(object)));
        let unplanned = self
            .unplanned
            .iter()
            .map(|object| (&object.object, ObjectResult::Failed { trouble: object.trouble.clone() }));
        let deleted = self.deletions.iter().map(|deletion| (&deletion.object, ObjectResult::Deleted));
        let steps = self.moves.steps().map(|step| (&step.object, step.expected()));
        planned.chain(unplanned).chain(deleted).chain(steps).collect()
    }
}

/// An outcome in the making.
pub(crate) struct Report<'a> {
    target: &'a Target,
    started: Instant,
    events: Events,
    pub(crate) outcome: ClusterOutcome,
}

impl<'a> Report<'a> {
    pub(crate) fn new(target: &'a Target, started: Instant, events: Events) -> Self {
        let outcome = ClusterOutcome::new(target.name.clone(), ClusterState::Done);
        Self { target, started, events, outcome }
    }

    pub(crate) fn fail(&mut self, trouble: Trouble) {
        self.outcome.state = ClusterState::Failed;
        self.outcome.trouble = Some(trouble);
    }

    pub(crate) fn refuse(&mut self, trouble: Trouble) {
        self.outcome.state = ClusterState::Refused;
        self.outcome.trouble = Some(trouble);
    }

    /// There is no plan, and this is why.
    pub(crate) fn no_plan(&mut self, error: PlanError, run: &Run) {
        match error {
            PlanError::Manifests(trouble) => self.fail(trouble),
            PlanError::Call(error) => {
                self.outcome.unreachable =
                    matches!(error, CallError::Unreachable { .. } | CallError::Late { .. });
                self.fail(unreachable(self.target, &error, run));
            }
        }
    }

    /// Takes a plan in; `false` where a guard, or the plan that was reviewed, says no.
    pub(crate) fn admit(&mut self, plan: &Plan, options: &RolloutOptions) -> bool {
        self.plan(plan);
        self.outcome.set =
            plan.set.as_ref().map(|set| SetOutcome::of(set, plan, options.set.brings_back.as_ref()));
        if let Some(trouble) = &plan.refused {
            self.refuse(trouble.clone());
            return false;
        }
        if options.keep_plan || options.approved.is_some() {
            let file = ClusterPlan::of(&self.target.name, self.target.server(), plan, &options.salt);
            if let Err(trouble) = approved(&file, options) {
                self.refuse(trouble);
                return false;
            }
            self.outcome.plan = options.keep_plan.then_some(file);
        }
        let counts = Counts::of(plan.expected().iter().map(|(_, result)| result));
        self.events.emit(Happening::Planned { counts });
        true
    }

    fn plan(&mut self, plan: &Plan) {
        let change = |object: &PlannedObject, action| {
            let (object, changes) = (object.wanted.object.clone(), object.changes.clone());
            SharedChange::new(ObjectChange { object, action, because: None, changes })
        };
        self.outcome.changes = plan
            .objects
            .iter()
            .filter_map(|object| match &object.action {
                Action::Create => Some(change(object, "create")),
                Action::Configure => Some(change(object, "configure")),
                Action::Recreate => Some(change(object, "recreate")),
                Action::Unchanged | Action::Skip { .. } | Action::Refuse { .. } => None,
            })
            .collect();
        self.outcome.changes.extend(plan.deletions.iter().map(|deletion| {
            let (object, because) = (deletion.object.clone(), Some(deletion.because.clone()));
            SharedChange::new(ObjectChange { object, action: "delete", because, changes: Vec::new() })
        }));
        self.outcome.changes.extend(plan.moves.steps().map(|step| {
            let (object, because) = (step.object.clone(), Some(step.because.clone()));
            SharedChange::new(ObjectChange { object, action: step.word(), because, changes: step.changes() })
        }));
    }

    fn planned(&mut self, plan: &Plan) {
        let results = plan.expected().into_iter().map(|(_, result)| Some(result)).collect();
        self.objects(plan, results);
    }

    fn applied(
        &mut self,
        plan: &Plan,
        mut results: Vec<Option<ObjectResult>>,
        (deleted, steps): (Vec<Option<ObjectResult>>, Vec<ObjectResult>),
        options: &RolloutOptions,
        run: &Run,
    ) {
        results.extend(
            plan.unplanned
                .iter()
                .map(|object| Some(ObjectResult::Failed { trouble: object.trouble.clone() })),
        );
        results.extend(deleted);
        let stopped = || ObjectResult::Skipped { because: "the run was stopped".into() };
        let mut results: Vec<_> =
            results.into_iter().map(|result| Some(result.unwrap_or_else(stopped))).collect();
        results.extend(steps.into_iter().map(Some));
        self.objects(plan, results);
        if !options.ready_required && self.outcome.counts.failed == 0 {
            self.outcome.state = ClusterState::Done;
        }
        if run.stop.is_set() && self.outcome.counts.skipped + self.outcome.counts.not_ready > 0 {
            self.outcome.state = ClusterState::Interrupted;
        }
    }

    fn objects(&mut self, plan: &Plan, results: Vec<Option<ObjectResult>>) {
        let places = plan
            .objects
            .iter()
            .map(|object| (&object.wanted.object, Some(&object.wanted.place)))
            .chain(plan.unplanned.iter().map(|object| (&object.object, Some(&object.place))))
            .chain(plan.deletions.iter().map(|deletion| (&deletion.object, None)))
            .chain(plan.moves.steps().map(|step| (&step.object, None)));
        self.outcome.objects = places
            .zip(results)
            .filter_map(|((object, place), result)| {
                Some(ObjectOutcome {
                    object: object.clone(),
                    place: place.map(ToString::to_string),
                    result: result?,
                })
            })
            .collect();
        self.outcome.counts = Counts::of(self.outcome.objects.iter().map(|object| &object.result));
        let counts = &self.outcome.counts;
        let skipped_for_failure = self.outcome.objects.iter().any(|object| {
            matches!(&object.result, ObjectResult::Skipped { because } if because.starts_with("it needs") || because.starts_with("it waits"))
        });
        if counts.failed + counts.not_ready > 0 || skipped_for_failure {
            self.outcome.state = ClusterState::Failed;
        }
    }

    fn finish(mut self, events: &Events) -> ClusterOutcome {
        self.outcome.cluster = self.target.name.clone();
        self.outcome.warnings = events.warnings();
        self.outcome.seconds = self.started.elapsed().as_secs_f64();
        events.emit(Happening::Finished { state: self.outcome.state, seconds: self.outcome.seconds });
        self.outcome
    }
}
