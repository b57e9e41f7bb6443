//! An outcome in the making: what a plan says will happen, what then happened, and how a cluster ended.

use std::borrow::Cow;

use manifest::ObjectRef;
use tokio::time::Instant;

use crate::connect::{CallError, Target};
use crate::events::{Events, Happening};
use crate::outcome::{
    ClusterOutcome, ClusterState, Counts, ObjectOutcome, ObjectResult, SetOutcome, Trouble,
};
use crate::plan::file::ClusterPlan;
use crate::plan::{Action, ObjectChange, PackedChanges, Plan, PlannedObject};
use crate::planning::PlanError;
use crate::rollout::{RolloutOptions, Run};

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
    ///
    /// What differs is the report's from here on.
    pub(crate) fn admit(&mut self, plan: &mut Plan, options: &RolloutOptions) -> bool {
        let file = (options.keep_plan || options.approved.is_some())
            .then(|| ClusterPlan::of(&self.target.name, self.target.server(), plan, &options.salt));
        self.plan(plan);
        self.outcome.set =
            plan.set.as_ref().map(|set| SetOutcome::of(set, plan, options.set.brings_back.as_ref()));
        if let Some(trouble) = &plan.refused {
            self.refuse(trouble.clone());
            return false;
        }
        if let Some(file) = file {
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

    fn plan(&mut self, plan: &mut Plan) {
        let change = |object: &mut PlannedObject, action| {
            let (object, changes) = (object.wanted.object.clone(), std::mem::take(&mut object.changes));
            ObjectChange { object, action: Cow::Borrowed(action), because: None, changes }
        };
        let mut changes: Vec<ObjectChange> = plan
            .objects
            .iter_mut()
            .filter_map(|object| match object.action {
                Action::Create => Some(change(object, "create")),
                Action::Configure => Some(change(object, "configure")),
                Action::Recreate => Some(change(object, "recreate")),
                Action::Unchanged | Action::Skip { .. } | Action::Refuse { .. } => None,
            })
            .collect();
        changes.extend(plan.deletions.iter().map(|deletion| {
            let (object, because) = (deletion.object.clone(), Some(deletion.because.clone()));
            ObjectChange { object, action: "delete".into(), because, changes: Vec::new() }
        }));
        changes.extend(plan.moves.steps().map(|step| {
            let (object, because) = (step.object.clone(), Some(step.because.clone()));
            ObjectChange { object, action: step.word().into(), because, changes: step.changes() }
        }));
        self.outcome.changes = PackedChanges::pack(changes);
    }

    pub(crate) fn planned(&mut self, plan: &Plan) {
        let results = plan.expected().into_iter().map(|(_, result)| Some(result)).collect();
        self.objects(plan, results);
    }

    pub(crate) fn applied(
        &mut self,
        plan: &Plan,
        mut results: Vec<Option<ObjectResult>>,
        (deleted, steps): (Vec<Option<ObjectResult>>, Vec<ObjectResult>),
        options: &RolloutOptions,
        run: &Run,
    ) {
        results
            .extend(plan.unplanned.iter().map(|object| Some(ObjectResult::failed(object.trouble.clone()))));
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

    pub(crate) fn finish(mut self, events: &Events) -> ClusterOutcome {
        self.outcome.cluster = self.target.name.clone();
        self.outcome.warnings = events.warnings();
        self.outcome.seconds = self.started.elapsed().as_secs_f64();
        events.emit(Happening::Finished { state: self.outcome.state, seconds: self.outcome.seconds });
        self.outcome
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
            .map(|object| (&object.object, ObjectResult::failed(object.trouble.clone())));
        let deleted = self.deletions.iter().map(|deletion| (&deletion.object, ObjectResult::Deleted));
        let steps = self.moves.steps().map(|step| (&step.object, step.expected()));
        planned.chain(unplanned).chain(deleted).chain(steps).collect()
    }
}

/// Whether a plan is the one that was reviewed, if one was.
fn approved(plan: &ClusterPlan, options: &RolloutOptions) -> Result<(), Trouble> {
    let Some(fleet) = &options.approved else { return Ok(()) };
    match fleet.clusters.iter().find(|reviewed| reviewed.cluster == plan.cluster) {
        Some(reviewed) => reviewed.verify(plan),
        None => Err(Trouble::new("the plan does not mention this cluster, nothing was written")),
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
