//! Going back: an earlier deploy's manifests, planned and carried out like any other.

use std::collections::BTreeSet;

use tokio::time::Instant;

use crate::connect::Connection;
use crate::events::Happening;
use crate::history;
use crate::inventory::{Inventory, Manifests, Revision, RevisionState, RollbackTo, Scope, key};
use crate::outcome::{ClusterState, ObjectResult, Trouble};
use crate::plan::SetPlan;
use crate::planning::{self, PlanError};
use crate::prune::{PruneBudget, PruneOptions};
use crate::reporting::Report;
use crate::resource_set;
use crate::rollout::RolloutOptions;
use crate::strategy::{FAST_ROLLBACK, ROLLING_UPDATE};
use crate::turn::Turn;

/// What a rollback deploys, and how.
pub(crate) struct Back {
    pub(crate) manifests: Manifests,
    pub(crate) options: Box<RolloutOptions>,
    pub(crate) inventory: Inventory,
}

/// Looks up where a rollback goes.
///
/// # Errors
/// It cannot be known, or its manifests cannot be had.
pub(crate) async fn prepare(
    connection: &Connection,
    options: &RolloutOptions,
    to: &RollbackTo,
) -> Result<Box<Back>, PlanError> {
    let set = &options.set;
    let namespace = set.namespace_on(connection);
    let inventory = resource_set::inventory(connection, None, options).await?.unwrap_or_default();
    let revision = history::target(&inventory, to, &set.name).map_err(PlanError::Manifests)?.clone();
    if let (Some(id), true) = (&revision.fast_id, options.marks.raw || options.plan.create_only) {
        return Err(PlanError::Manifests(
            Trouble::new(format!("deploy `{}` was one of `{FAST_ROLLBACK}`, as `{id}`", revision.id))
                .because("going back to it moves Services to its Deployments, which `--raw` and `--create-only` do not do")
                .hint("leave out these flags"),
        ));
    }
    let objects =
        history::load(connection, &set.name, &namespace, &revision).await.map_err(PlanError::Manifests)?;
    let mut options = Box::new(going_to(options, &revision));
    if !revision.scope.is_empty() && options.set.prune.take().is_some() {
        let text =
            format!("nothing is deleted: deploy `{}` was about `{}` only", revision.id, revision.scope);
        connection.events().emit(Happening::Warning { object: None, text });
    }
    let manifests = Manifests { objects, left_out: Vec::new() };
    Ok(Box::new(Back { manifests, options, inventory }))
}

fn going_to(options: &RolloutOptions, revision: &Revision) -> RolloutOptions {
    let mut options = options.clone();
    options.marks.sha = revision.commit.clone();
    options.set.is_rollback = true;
    options.set.rollback = None;
    options.set.rollback_on_failure = false;
    options.set.guard = None;
    options.set.commit = revision.commit.clone();
    options.set.brings_back = Some(revision.id.clone());
    // The way that it was deployed, whatever is the way today: its Deployments may still be there.
    options.marks.strategy = match &revision.fast_id {
        Some(id) => {
            options.marks.deploy_id = Some(id.clone());
            FAST_ROLLBACK.to_owned()
        }
        None => ROLLING_UPDATE.to_owned(),
    };
    options
}

/// After a deploy that failed: brings back the last one that succeeded, and removes what the failed one had added.
pub(crate) async fn after_failure(
    turn: &Turn<'_>,
    set: &SetPlan,
    inventories: (Inventory, Inventory),
    report: &mut Report<'_>,
) {
    if turn.run.stop.is_set() {
        return;
    }
    let end = back(turn, set, inventories, report).await;
    let trouble = match end {
        Ok(id) => {
            if let Some(set) = &mut report.outcome.set {
                set.rollback_to = Some(id.clone());
            }
            Trouble::new(format!("the deploy failed, and deploy `{id}` was brought back"))
        }
        Err(trouble) => {
            let mut whole = Trouble::new("the deploy failed, and nothing earlier could be brought back")
                .because(trouble.line());
            whole.hints = trouble.hints;
            whole
        }
    };
    report.outcome.trouble = Some(trouble);
}

async fn back(
    turn: &Turn<'_>,
    set: &SetPlan,
    (before, inventory): (Inventory, Inventory),
    report: &Report<'_>,
) -> Result<String, Trouble> {
    let failed = inventory.revision;
    let revision = history::target(&inventory, &RollbackTo::Previous, &set.name)?.clone();
    let objects = history::load(turn.connection, &set.name, &set.namespace, &revision).await?;
    let manifests = Manifests { objects, left_out: Vec::new() };
    let mut options = going_to(turn.options, &revision);
    // What was there before the deploy stays; what it made goes, however much that is.
    let added: BTreeSet<_> = report
        .outcome
        .objects
        .iter()
        .filter(|object| {
            let made = matches!(object.result, ObjectResult::Created | ObjectResult::NotReady { .. });
            made && !before.members.contains_key(&key(&object.object))
        })
        .map(|object| object.object.clone())
        .collect();
    options.set.prune = Some(PruneOptions { budget: PruneBudget::Percent(100), kinds: BTreeSet::new() });
    options.set.scope = Scope { only: Some(added.into_iter().collect()), ..options.set.scope };
    options.approved = None;

    let text = format!("the deploy failed: deploy `{}` is brought back", revision.id);
    turn.connection.events().emit(Happening::Warning { object: None, text });
    let mut second = Report::new(turn.connection.target(), Instant::now(), turn.connection.events().clone());
    turn.run.busy.begin().await;
    let mut plan = match planning::plan(turn.connection, &manifests, None, &options, turn.run).await {
        Ok(plan) => plan,
        Err(error) => {
            second.no_plan(error, turn.run);
            return Err(said(&second));
        }
    };
    if !second.admit(&mut plan, &options) {
        return Err(said(&second));
    }
    let mut again = Turn { connection: turn.connection, manifests, options: &options, run: turn.run };
    again.supersede(failed, plan, &mut second).await;
    match second.outcome.state {
        ClusterState::Done => Ok(revision.id),
        ClusterState::Failed
        | ClusterState::Refused
        | ClusterState::Interrupted
        | ClusterState::NotStarted => Err(said(&second)),
    }
}

/// Why a rollback did not work.
fn said(report: &Report<'_>) -> Trouble {
    let mut bad = report.outcome.bad();
    let bad =
        bad.next().map(|(object, trouble)| Trouble::new(format!("{}: {}", object.object, trouble.line())));
    report.outcome.trouble.clone().or(bad).unwrap_or_else(|| Trouble::new("it was stopped"))
}

impl Turn<'_> {
    /// Carries out `plan` in place of the deploy `failed`, under the lease that is held.
    async fn supersede(&mut self, failed: u64, mut plan: crate::plan::Plan, report: &mut Report<'_>) {
        if let Some(set) = &mut plan.set
            && let Some(revision) = set.next.history.iter_mut().find(|revision| revision.revision == failed)
        {
            revision.state = RevisionState::RolledBack;
        }
        self.work(plan, Vec::new(), report).await;
    }
}
