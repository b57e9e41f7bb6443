//! How Deployments are replaced: in place (`rolling-update`), or side by side (`fast-rollback`, the original's blue-green).
//!
//! ```text
//! cast ─ which objects take part, under which names      (pure, before anything is read)
//! scene ─ their relatives on the cluster                  (reads)
//! moves ─ what is done before, and after, traffic moves   (pure)
//! ```
//!
//! With `fast-rollback` and id `d2`, Deployment `web` becomes `web-d2`, beside what runs. Services move to it when every object of
//! the deploy is there and ready, all of them or none; autoscalers and disruption budgets follow; what ran before stays, as a
//! reserve that a deploy with its id goes back to. With `rolling-update`, the Deployments that `fast-rollback` has left behind are
//! removed by the same steps.
//!
//! The rules are those of the original (kit-deployer's `fast-rollback` and `rolling-update` strategies), without its bugs:
//! `docs/from-kit.md` lists the differences.

mod cast;
mod moves;
mod prepare;
mod scene;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use manifest::ObjectRef;
use serde_json::{Map, Value};

use crate::discovery::Resource;
use crate::outcome::ObjectResult;
use crate::plan::{Change, Marks, Shown, Wanted};
use crate::status::{self, Condition, Object};

pub(crate) use cast::Cast;
pub(crate) use moves::moves;
pub(crate) use prepare::prepare;
pub(crate) use scene::{Scene, pods};

/// The name of the strategy with a Deployment per deploy.
pub const FAST_ROLLBACK: &str = "fast-rollback";
/// The name of the strategy that changes Deployments in place.
pub const ROLLING_UPDATE: &str = "rolling-update";
/// On a Service: the id of the deploy that it led to before.
pub const PREVIOUS_ID: &str = "kit/previous-id";
/// On a Deployment that was scaled down as a reserve: the replicas that it had.
pub const FULL_REPLICAS: &str = "kit/full-replicas";
/// Who scales what is not the manifest's to scale: a manager of its own, so that autoscalers and people may take over.
pub(crate) const SCALE_MANAGER: &str = "kit-scale";
/// The label by which a `ReplicaSet` tells its pods from those of its siblings.
const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// What becomes of the Deployments that traffic has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserves {
    /// How many older ones are kept.
    pub keep: usize,
    /// To how many replicas they are scaled down; `None` leaves them as they are.
    pub replicas: Option<u32>,
    /// Whether those that are newer than the one that traffic goes to are deleted, as the original did.
    pub delete_newer: bool,
}

impl Default for Reserves {
    fn default() -> Self {
        Self { keep: 3, replicas: None, delete_newer: false }
    }
}

/// What a plan does beside writing its objects, and the objects whose turn is not that of their kind.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    /// Done before any object is written.
    pub before: Vec<Step>,
    /// Done when the Deployments are written, before they are waited for.
    pub grow: Vec<Step>,
    /// Deployments that must be available before traffic moves, by index.
    pub mains: Vec<usize>,
    /// Services that move together, or not at all, by index.
    pub services: Vec<usize>,
    /// All Services that lead to the mains, also those that do so already, by index.
    pub traffic: Vec<usize>,
    /// Autoscalers and disruption budgets, which follow, by index.
    pub followers: Vec<usize>,
    /// Done when traffic has moved and the followers have followed.
    pub after: Vec<Step>,
    /// What the user should know.
    pub warnings: Vec<(ObjectRef, String)>,
    /// Deployments that other deploys have made from the same manifests. What becomes of them is decided here, not by pruning.
    pub siblings: BTreeSet<ObjectRef>,
}

impl Moves {
    /// Whether a step deletes `object`.
    pub fn deletes(&self, object: &ObjectRef) -> bool {
        self.steps().any(|step| step.what == What::Delete && step.object == *object)
    }

    /// Every step, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.before.iter().chain(&self.grow).chain(&self.after)
    }

    /// Whether object `index` is written when traffic moves, and not when its kind is.
    pub fn holds(&self, index: usize) -> bool {
        self.services.contains(&index) || self.followers.contains(&index)
    }
}

/// A write that is not the apply of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// To which object.
    pub object: ObjectRef,
    /// How it is addressed.
    pub resource: Resource,
    /// Its uid, where it exists already: another object of the name is not hit.
    pub uid: Option<String>,
    /// What is done.
    pub what: What,
    /// Why.
    pub because: String,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A Service gets another selector.
    Select {
        /// The selector that it has.
        from: Map<String, Value>,
        /// The selector that it gets.
        to: Map<String, Value>,
    },
    /// A Deployment gets another number of replicas.
    Scale {
        /// What it has; `None` if it is yet to be created.
        from: Option<i64>,
        /// What it gets.
        to: i64,
        /// What [`FULL_REPLICAS`] is to say; `None` removes it.
        full: Option<i64>,
    },
    /// It goes.
    Delete,
}

impl Step {
    /// The word for it in diffs and plan files.
    pub fn word(&self) -> &'static str {
        match self.what {
            What::Select { .. } => "select",
            What::Scale { .. } => "scale",
            What::Delete => "delete",
        }
    }

    /// How it ends when all goes well.
    pub fn expected(&self) -> ObjectResult {
        match self.what {
            What::Select { .. } | What::Scale { .. } => ObjectResult::Configured,
            What::Delete => ObjectResult::Deleted,
        }
    }

    /// What differs afterwards.
    pub fn changes(&self) -> Vec<Change> {
        let change = |path: &str, before: Option<Value>, after: Option<Value>| {
            let shown = |value: Option<Value>| value.as_ref().map(Shown::from);
            Change { path: path.to_owned(), before: shown(before), after: shown(after), drift: None }
        };
        match &self.what {
            What::Select { from, to } => {
                let keys: BTreeSet<&String> = from.keys().chain(to.keys()).collect();
                keys.into_iter()
                    .filter(|key| from.get(*key) != to.get(*key))
                    .map(|key| {
                        change(&format!("spec.selector.{key}"), from.get(key).cloned(), to.get(key).cloned())
                    })
                    .collect()
            }
            What::Scale { from, to, .. } => {
                vec![change("spec.replicas", from.map(Value::from), Some(Value::from(*to)))]
            }
            What::Delete => Vec::new(),
        }
    }
}

/// The id of a `fast-rollback` deploy; `None` for every other.
pub(crate) fn fast_id(marks: &Marks) -> Option<&str> {
    marks.deploy_id.as_deref().filter(|_| marks.strategy == FAST_ROLLBACK && !marks.raw)
}

/// Whether a Deployment that is there could serve: its pods were all available once, also if it is being scaled now.
fn is_usable(live: &Value) -> bool {
    let mut conditions = live["status"]["conditions"].as_array().into_iter().flatten();
    status::assess(live).is_current()
        || manifest::object::annotation(live, FULL_REPLICAS).is_some()
        || conditions.any(|one| one["type"] == "Progressing" && one["reason"] == "NewReplicaSetAvailable")
}

fn is_deployment(wanted: &Wanted) -> bool {
    wanted.resource.group == "apps" && wanted.resource.kind == "Deployment"
}

fn is_service(wanted: &Wanted) -> bool {
    wanted.resource.group.is_empty() && wanted.resource.kind == "Service"
}

fn template_labels(value: &Value) -> Option<&Map<String, Value>> {
    value.pointer("/spec/template/metadata/labels")?.as_object()
}

fn service_selector(value: &Value) -> Option<&Map<String, Value>> {
    value.pointer("/spec/selector")?.as_object().filter(|selector| !selector.is_empty())
}

/// Whether labels carry every pair of a Service's selector.
fn selects(selector: &Map<String, Value>, labels: Option<&Map<String, Value>>) -> bool {
    labels.is_some_and(|labels| selector.iter().all(|(key, value)| labels.get(key) == Some(value)))
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}

/// Whether a pod serves and goes on serving.
pub(crate) fn is_ready_pod(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_none()
        && Object(pod).condition("Ready").is_some_and(Condition::is_true)
}
