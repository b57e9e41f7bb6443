//! One cluster, from its kubeconfig to its outcome: connect, plan, apply, wait, tell.
//!
//! Whatever happens becomes part of the [`ClusterOutcome`]; nothing here ends another cluster's run.

use std::sync::Arc;
use std::time::Duration;

use manifest::ObjectRef;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::applying::Applying;
use crate::busy::Busy;
use crate::connect::{ConnectOptions, Connection, Plugins, Target};
use crate::events::{Events, Happening};
use crate::finished_job;
use crate::health::HealthOptions;
use crate::inventory::{Manifests, SetOptions};
use crate::lease;
use crate::outcome::{ClusterOutcome, ClusterState, ObjectResult, Trouble};
use crate::plan::file::FleetPlan;
use crate::plan::{Action, Marks, Mask, Plan, PlanOptions};
use crate::planning;
use crate::reporting::Report;
use crate::rollback::{self, Back};
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
    /// How many clusters hold their manifests at a time.
    pub busy: Busy,
}

impl Run {
    /// A run with at most so many writes in flight, and without a bound on clusters.
    pub fn new(mask: Mask, stop: Stop, writes: usize) -> Self {
        Self { mask, stop, writes: Arc::new(Semaphore::new(writes)), busy: Busy::default() }
    }

    /// The part of one cluster: with secrets and a place of its own.
    #[must_use]
    pub fn of_cluster(&self) -> Self {
        Self { mask: self.mask.with_same_key(), busy: self.busy.another(), ..self.clone() }
    }
}

/// Deploys `manifests` to `target`, or plans to.
pub async fn deploy(
    target: &Target,
    manifests: Manifests,
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
    let back_options;
    let (manifests, options, known) = match back {
        Some(back) => {
            let Back { manifests, options, inventory } = *back;
            back_options = options;
            if back_options.set.hand_back {
                report.outcome.restored.clone_from(&manifests.objects);
            }
            (manifests, &*back_options, Some(inventory))
        }
        None => (manifests, options, None),
    };
    // Boxed: what lives as long as a wait is to be small.
    match Box::pin(planning::plan(&connection, &manifests, known, options, run)).await.map(Box::new) {
        Ok(mut plan) => match (report.admit(&mut plan, options), options.extent) {
            (false, _) => {}
            (true, Extent::Plan) => {
                report.planned(&plan);
                warn_of_the_lease(&connection, &plan, options).await;
            }
            (true, Extent::Deploy) => {
                Turn { connection: &connection, manifests, options, run }.take(*plan, &mut report).await;
            }
        },
        Err(error) => report.no_plan(error, run),
    }
    let traffic = connection.traffic();
    report.outcome.requests = traffic.requests();
    report.outcome.bytes_sent = traffic.bytes_sent();
    report.outcome.bytes_received = traffic.bytes_received();
    report.finish(&events)
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
    plan: &mut Plan,
    options: &RolloutOptions,
    run: &Run,
    report: &mut Report<'_>,
    early: Vec<(usize, ObjectResult)>,
) -> Vec<ObjectRef> {
    let mut applying = Applying::new(connection, plan, options, run);
    for (index, result) in early {
        applying.results[index] = Some(result);
    }
    Box::pin(applying.apply_all()).await;
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
    let (sick, passing) = (sick(&applying, &to_wait, options), applying.passing_jobs());
    let Applying { results, written, waited, deleted, steps, .. } = applying;
    // Everything is written. The wait may be long, and is for many clusters at a time.
    plan.forget_contents();
    let mut applying = Applying { connection, plan, options, run, results, written, waited, deleted, steps };
    if !to_wait.is_empty() && applying.written.len() > options.cluster_concurrency {
        // Many objects were written at a time, and a connection keeps the buffers that it has grown for that, as long as the wait
        // lasts: 30 kB, with a thousand clusters 30 MB.
        connection.hang_up();
    }
    applying.wait_for(&to_wait, options.available_timeout).await;
    for (object, text) in sick {
        connection.events().emit(Happening::Warning { object: Some(object), text });
    }
    let finished = applying.finished_jobs(&passing);
    for (index, end) in std::mem::take(&mut applying.waited) {
        if let (Some(NotReady { trouble, diagnoses }), Some(Some(result))) =
            (end, applying.results.get_mut(index))
            && !matches!(result, ObjectResult::Failed { .. } | ObjectResult::Skipped { .. })
        {
            *result = ObjectResult::NotReady { trouble: Box::new(trouble), diagnoses };
        }
    }
    Box::pin(applying.delete_all()).await;
    let (results, deleted) = (std::mem::take(&mut applying.results), std::mem::take(&mut applying.deleted));
    let steps = std::mem::take(&mut applying.steps);
    report.applied(plan, results, (deleted, steps), options, run);
    finished
}

/// A Job of an earlier deploy that has not succeeded: what it was to do is not done, and nobody else will say so.
fn is_unfinished_job(applying: &Applying<'_>, index: usize) -> bool {
    applying.plan.objects[index].wanted.resource.kind == "Job" && !applying.is_ready(index)
}

/// Objects that were not touched, are not waited for and do not run: said, though they fail nothing.
fn sick(applying: &Applying<'_>, to_wait: &[usize], options: &RolloutOptions) -> Vec<(ObjectRef, String)> {
    if options.waiting == Waiting::No {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (index, object) in applying.plan.objects.iter().enumerate() {
        let name = &object.wanted.object;
        if object.action == Action::Unchanged
            && !applying.waited.contains_key(&index)
            && !to_wait.contains(&index)
            && has_readiness(name)
            && let Some(live) = &object.live
        {
            let readiness = status::assess(live);
            if !readiness.is_current() && !finished_job::is_done(&object.wanted, live) {
                found
                    .push((name.clone(), format!("it is unchanged, and not ready: {}", readiness.message())));
            }
        }
    }
    found
}
