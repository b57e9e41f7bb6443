//! The plan: what is wanted against what is there, as data. It can be printed, saved, counted and refused before anything is
//! written.
//!
//! Decisions are plain functions over what was read ([`decide`], [`conclude`]); who reads and who writes is elsewhere.

mod diff;
pub mod file;
mod mask;
mod migrate;
mod ownership;
mod packed;
mod quantity;
mod wanted;

use std::borrow::Cow;
use std::collections::BTreeSet;

use manifest::{ObjectRef, Selector};
use serde::Serialize;
use serde_json::Value;

pub(crate) use diff::changes;
pub use diff::{Change, Shown};
pub use mask::Mask;
pub(crate) use migrate::patch as migration_patch;
pub use ownership::FIELD_MANAGER;
pub(crate) use ownership::{managed_fields, our_fields, owns_replicas, predecessors};
pub use packed::PackedChanges;
pub use wanted::{
    COMMIT, DEPENDENCY_SELECTOR, GIVE_UP, ID_LABEL, Marks, ORIGINAL_NAME, STRATEGY_LABEL, Wanted,
};

use crate::connect::{CallError, Refusal};
use crate::finished_job;
use crate::inventory::{Inventory, SetName};
use crate::outcome::Trouble;
use crate::prune::Kept;
use ownership::{Step, owner_of, proves_unchanged, yields};

/// How plans are made; the same for all clusters of a run.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Objects that are there are left as they are.
    pub create_only: bool,
    /// Write also what is unchanged.
    pub force: bool,
    /// Take fields from other managers.
    pub force_conflicts: bool,
    /// Kinds that may be deleted and created again where they cannot be changed.
    pub recreate: BTreeSet<String>,
    /// What becomes of the Deployments that traffic has left.
    pub reserves: crate::strategy::Reserves,
}

/// What is done with an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is not there.
    Create,
    /// It differs.
    Configure,
    /// It differs in something that cannot be changed, and its kind may be recreated.
    Recreate,
    /// It is as wanted, and ours.
    Unchanged,
    /// It is left alone.
    Skip {
        /// Why.
        because: String,
    },
    /// It cannot be done.
    Refuse {
        /// Why.
        trouble: Box<Trouble>,
    },
}

impl Action {
    pub(crate) fn refuse(trouble: Trouble) -> Self {
        Self::Refuse { trouble: Box::new(trouble) }
    }
}

/// What an object is written after.
#[derive(Clone, Debug)]
pub struct After {
    /// Which objects, by their labels.
    pub selector: Selector,
    /// Those of them that are in the plan.
    pub objects: BTreeSet<usize>,
}

/// One object of a plan.
#[derive(Clone, Debug)]
pub struct PlannedObject {
    /// What is wanted.
    pub wanted: Wanted,
    /// What is there.
    pub live: Option<Box<Value>>,
    /// What is done.
    pub action: Action,
    /// What differs, masked.
    pub changes: Vec<Change>,
    /// Whether fields are taken from other managers.
    pub force: bool,
    /// Whether fields of predecessors become ours first.
    pub migrate: bool,
    /// Objects of the same deploy that this one cannot do without, as indices into the plan.
    pub needs: BTreeSet<usize>,
    /// Objects that must be available before this one is written.
    pub after: Option<Box<After>>,
    /// Whether it is, or becomes, a member of our resource set.
    pub member: bool,
}

impl PlannedObject {
    /// Whether it is written.
    pub fn writes(&self) -> bool {
        matches!(self.action, Action::Create | Action::Configure | Action::Recreate)
    }

    /// Whether it is a Job that has done its work and gone: it is not there, and nobody has to wait for it.
    pub fn is_done_and_gone(&self) -> bool {
        self.live.is_none() && matches!(self.action, Action::Skip { .. })
    }
}

/// What is done on one cluster.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Each object, in the order of the manifests.
    pub objects: Vec<PlannedObject>,
    /// Objects that this cluster cannot hold.
    pub unplanned: Vec<Unplanned>,
    /// Objects of earlier deploys that go: old Jobs, and what is pruned.
    pub deletions: Vec<Deletion>,
    /// What is done beside, when traffic moves from some Deployments to others.
    pub moves: crate::strategy::Moves,
    /// What the plan does to the inventory; none where there is no inventory.
    pub set: Option<SetPlan>,
    /// Why a guard says no to all of it.
    pub refused: Option<Trouble>,
}

/// What a plan does to the inventory of its resource set.
#[derive(Clone, Debug)]
pub struct SetPlan {
    /// The set.
    pub name: SetName,
    /// Where its inventory is.
    pub namespace: String,
    /// The inventory as it was read.
    pub inventory: Inventory,
    /// The inventory with what the plan adds and what has gone.
    pub next: Inventory,
    /// Members that the manifests do not have any more and that stay, with the reason.
    pub kept: Vec<Kept>,
    /// Members that the manifests do not have any more, and nobody asked to delete.
    pub leftover: usize,
}

impl SetPlan {
    /// Whether the inventory has to be written though no object is: its members or its commit change.
    pub fn moves(&self) -> bool {
        self.next.members != self.inventory.members || self.next.commit != self.inventory.commit
    }
}

impl Plan {
    /// Whether anything has to be written: objects, or the inventory, now or when a Job of an earlier deploy has completed.
    pub fn writes(&self) -> bool {
        let notes = |set: &SetPlan| set.moves() || self.objects.iter().any(finished_job::is_on_its_way);
        self.changes_objects() || self.set.as_ref().is_some_and(notes)
    }

    /// Lets go of what the objects hold, wanted and live: once everything is written, a plan is about which they are and what has
    /// become of them, and that may take hours while their contents take a hundred times the memory.
    pub(crate) fn forget_contents(&mut self) {
        for object in &mut self.objects {
            (object.wanted.value, object.live, object.changes) = (Value::Null, None, Vec::new());
            (object.needs, object.after) = (BTreeSet::new(), None);
        }
        if let Some(set) = &mut self.set {
            set.next = Inventory::default();
        }
    }

    /// Whether any object is written or deleted.
    pub fn changes_objects(&self) -> bool {
        !self.deletions.is_empty()
            || self.moves.steps().next().is_some()
            || self.objects.iter().any(PlannedObject::writes)
    }
}

/// An object of a kind that the cluster does not know.
#[derive(Clone, Debug)]
pub struct Unplanned {
    /// Which.
    pub object: ObjectRef,
    /// Where its manifest is.
    pub place: manifest::Place,
    /// Why.
    pub trouble: Trouble,
}

/// An object that goes.
#[derive(Clone, Debug)]
pub struct Deletion {
    /// Which.
    pub object: ObjectRef,
    /// How it is addressed.
    pub resource: crate::discovery::Resource,
    /// Its uid, so that a new object of the same name is not hit.
    pub uid: String,
    /// Why it goes.
    pub because: String,
    /// An object that the manifests do not have any more: its end is waited for, and told. Otherwise an old run of a Job.
    pub pruned: bool,
    /// What is there.
    pub live: Value,
}

/// What differs in one object, for people and reports. Values are masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectChange {
    /// Which.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// `create`, `configure`, `recreate`, `delete`; of a strategy also `select`, `scale`.
    pub action: Cow<'static, str>,
    /// Why, where the manifest is not the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// The fields. For `create` one change without a path: the whole object.
    pub changes: Vec<Change>,
}

/// What is known about an object from what was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Settled.
    Settled(Action),
    /// To be asked of the server with a dry run.
    Ask,
}

/// Decides as much as can be decided without a dry run.
pub fn decide(wanted: &Wanted, live: Option<&Value>, options: &PlanOptions) -> Decision {
    let Some(live) = live else { return Decision::Settled(Action::Create) };
    if options.create_only {
        let because = "it is there, and only what is not is created (`--create-only`)".to_owned();
        return Decision::Settled(Action::Skip { because });
    }
    // A Job that has done its work may go: that is what its TTL is for.
    let goes = !options.force && finished_job::is_done(wanted, live);
    if live["metadata"].get("deletionTimestamp").is_some() && !goes {
        let trouble = Trouble::new("it is being deleted").hint(format!(
            "wait until it is gone, or see what holds it: `metadata.finalizers` of {}",
            wanted.object
        ));
        return Decision::Settled(Action::refuse(trouble));
    }
    // A Job that has been made runs once; another content is another object.
    if wanted.resource.kind == "Job"
        && !options.force
        && manifest::object::annotation(live, ORIGINAL_NAME).is_some()
    {
        let again = has_failed(live) && options.recreate.contains("Job");
        return Decision::Settled(if again { Action::Recreate } else { Action::Unchanged });
    }
    if !options.force && predecessors(live).is_empty() && proves_unchanged(&wanted.value, live) {
        return Decision::Settled(Action::Unchanged);
    }
    Decision::Ask
}

/// Whether a Job has failed for good.
fn has_failed(job: &Value) -> bool {
    let conditions = job["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Failed" && condition["status"] == "True")
}

/// Gives up the fields that another manager owns and that the manifest, or an autoscaler of the same deploy, leaves to it.
pub fn give_up(wanted: &mut Wanted, live: &Value, autoscaled: bool) {
    let mut paths = wanted.given_up();
    if autoscaled {
        paths.push(vec!["spec".into(), "replicas".into()]);
    }
    for path in paths {
        let steps: Vec<Step> = path.iter().cloned().map(Step::Key).collect();
        if owner_of(live, &steps).is_some_and(|owner| !ownership::PREDECESSORS.contains(&owner.as_str())) {
            wanted.give_up(&path);
        }
    }
}

/// What a dry run is worth.
#[derive(Debug)]
pub enum Conclusion {
    /// It is known what to do.
    Settled {
        /// That.
        action: Action,
        /// What differs.
        changes: Vec<Change>,
        /// Whether other managers' fields are taken.
        force: bool,
    },
    /// The fields in the way yield: ask again, with force.
    AskWithForce,
}

/// Concludes from the answer to a dry run of `wanted` on `live`.
pub fn conclude(
    wanted: &Wanted,
    live: &Value,
    answer: &Result<Value, CallError>,
    forced: bool,
    options: &PlanOptions,
    mask: &Mask,
) -> Conclusion {
    let settled = |action, changes| Conclusion::Settled { action, changes, force: forced };
    match answer {
        Ok(result) => {
            let after = if predecessors(live).is_empty() {
                result.clone()
            } else {
                migrate::without_orphans(result, live, &wanted.value)
            };
            let changes = changes(live, &after, mask);
            let moved = !predecessors(live).is_empty()
                || stable_fields(our_fields(live)) != stable_fields(our_fields(result));
            if changes.is_empty() && !moved && !options.force {
                return settled(Action::Unchanged, changes);
            }
            settled(Action::Configure, changes)
        }
        Err(error) => match error.refusal() {
            Some(refusal) if refusal.is_field_conflict() && !forced => {
                if options.force_conflicts
                    || conflicts(refusal).iter().all(|conflict| yields(&conflict.manager))
                {
                    Conclusion::AskWithForce
                } else {
                    settled(Action::refuse(conflict_trouble(wanted, refusal)), Vec::new())
                }
            }
            Some(refusal) if is_immutable(refusal) && options.recreate.contains(&wanted.resource.kind) => {
                settled(Action::Recreate, changes(live, &wanted.value, mask))
            }
            Some(_) | None => settled(Action::refuse(refused(wanted, error, mask)), Vec::new()),
        },
    }
}

/// Owned fields without those that differ on every deploy.
fn stable_fields(fields: Option<&serde_json::Map<String, Value>>) -> Option<Value> {
    let mut fields = fields.cloned()?;
    if let Some(metadata) = fields.get_mut("f:metadata").and_then(Value::as_object_mut) {
        for map in ["f:labels", "f:annotations"] {
            if let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) {
                entries.retain(|key, _| key.strip_prefix("f:").is_none_or(|key| !wanted::is_volatile(key)));
            }
        }
    }
    Some(Value::Object(fields))
}

/// Whether every field in the way of an apply may be taken without being asked: of people, predecessors, or one that differs on
/// every deploy.
pub(crate) fn conflict_yields(refusal: &Refusal) -> bool {
    refusal.is_field_conflict()
        && conflicts(refusal).iter().all(|conflict| {
            let key =
                conflict.field.rsplit_once("annotations.").or_else(|| conflict.field.rsplit_once("labels."));
            yields(&conflict.manager) || key.is_some_and(|(_, key)| wanted::is_volatile(key))
        })
}

struct Conflict {
    manager: String,
    field: String,
}

/// A cause reads `conflict with "kubectl-edit" using apps/v1 at 2026-...: .spec.replicas`; only manager and field are of interest.
fn conflicts(refusal: &Refusal) -> Vec<Conflict> {
    refusal
        .causes()
        .iter()
        .filter(|cause| cause.reason == "FieldManagerConflict")
        .map(|cause| Conflict {
            manager: cause.message.split('"').nth(1).unwrap_or_default().to_owned(),
            field: cause.field.clone(),
        })
        .collect()
}

fn conflict_trouble(wanted: &Wanted, refusal: &Refusal) -> Trouble {
    let conflicts: Vec<Conflict> =
        conflicts(refusal).into_iter().filter(|conflict| !yields(&conflict.manager)).collect();
    let mut trouble = Trouble::new("other managers own fields that the manifest sets");
    for Conflict { manager, field } in &conflicts {
        trouble = trouble.because(format!("`{manager}` owns `{field}`"));
    }
    let fields: Vec<&str> = conflicts.iter().map(|conflict| conflict.field.trim_start_matches('.')).collect();
    trouble.hint("take them with `--force-conflicts`").hint(format!(
        "or leave them to their owner: remove them from {}, or annotate it with `{GIVE_UP}: {}`",
        wanted.place,
        fields.join(",")
    ))
}

/// The field that a kind does not have, or has with another type, out of the words of server-side apply.
fn undeclared(refusal: &Refusal) -> Option<String> {
    if !refusal.is_typed_patch_error() {
        return None;
    }
    let detail = refusal.message.rsplit_once("Kind=").map_or(refusal.message.as_str(), |(_, rest)| rest);
    Some(detail.split_once("): ").map_or(detail, |(_, rest)| rest).to_owned())
}

/// Whether the server refuses because a field can never change.
pub(crate) fn is_immutable(refusal: &Refusal) -> bool {
    let text = &refusal.message;
    refusal.code == 422
        && [
            "field is immutable",
            "immutable after creation",
            "updates to statefulset spec",
            "cannot change roleRef",
            "updates to parameters are forbidden",
            "may not change once set",
            "updates to provisioner are forbidden",
            "pod updates may not change fields",
        ]
        .iter()
        .any(|words| text.contains(words))
}

/// Why an object is refused, in the server's words and ours.
pub(crate) fn refused(wanted: &Wanted, error: &CallError, mask: &Mask) -> Trouble {
    let Some(refusal) = error.refusal() else {
        return Trouble::new("the cluster did not answer").because(mask.said(&error));
    };
    let kind = &wanted.resource.kind;
    // Server-side apply answers a field that the kind does not have with status 500.
    if let Some(problem) = undeclared(refusal) {
        return Trouble::new("the manifest does not fit its kind").because(mask.text(&problem));
    }
    let mut trouble = match refusal.code {
        403 => Trouble::new("we may not write it").hint(format!(
            "kubectl auth can-i patch {}{}",
            wanted.resource.plural,
            wanted.object.namespace.as_ref().map_or(String::new(), |ns| format!(" -n {ns}"))
        )),
        404 if refusal.message.contains("namespaces") => {
            let namespace = wanted.object.namespace.clone().unwrap_or_default();
            return Trouble::new(format!("its namespace does not exist: `{namespace}`"))
                .hint("put the Namespace into `--namespaces-dir`, or among the manifests");
        }
        422 if is_immutable(refusal) => Trouble::new("a field that cannot be changed differs")
            .hint(format!("if the object may be deleted and created again: `--recreate {kind}`")),
        400 | 422 => Trouble::new("the cluster finds it invalid"),
        _ => Trouble::new("the cluster refuses it"),
    };
    let causes: Vec<String> = refusal
        .causes()
        .iter()
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| mask.text(&format!("`{}`: {}", cause.field, cause.message)))
        .collect();
    let detailed = !causes.is_empty() && refusal.code == 422;
    for cause in causes.into_iter().filter(|_| detailed) {
        trouble = trouble.because(cause);
    }
    if !detailed {
        trouble = trouble.because(mask.said(&error));
    }
    trouble
}

#[cfg(test)]
mod tests;
