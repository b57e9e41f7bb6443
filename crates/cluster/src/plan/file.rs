//! A plan as a file: made, reviewed by a person, then carried out exactly, or refused where a cluster has moved.
//!
//! It holds digests, actions, resource versions and masked differences; no secret value, and no manifest: those are read again and
//! must be the same.

use manifest::{ClusterName, ObjectRef};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::diff::{Change, Shown, without_noise};
use super::{Action, Plan, PlannedObject};
use crate::fleet::{Rollout, Wave};
use crate::outcome::Trouble;

/// The form of the file.
pub const VERSION: u32 = 1;

/// Rounds of the digest of an object that holds secrets: trying out passwords against the file is made expensive.
const SECRET_ROUNDS: u32 = 20_000;

/// The plan of a whole fleet.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FleetPlan {
    /// [`VERSION`].
    pub version: u32,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// Random; goes into every digest.
    pub salt: String,
    /// The options that decide what is written, as `name=value`; they must be the same when it is carried out.
    pub options: Vec<String>,
    /// The waves, where there are any; they must be the same when it is carried out.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutPlan>,
    /// Each cluster.
    pub clusters: Vec<ClusterPlan>,
}

/// A rollout in waves, for the reviewer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RolloutPlan {
    /// Failed clusters of the fleet that are borne.
    pub budget: String,
    /// Unreachable clusters of a wave that are borne.
    pub unreachable: String,
    /// The waves in their order.
    pub waves: Vec<WavePlan>,
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WavePlan {
    /// Its name.
    pub name: String,
    /// Its clusters, sorted.
    pub clusters: Vec<ClusterName>,
    /// How many at once, where it has a limit of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub concurrency: Option<usize>,
    /// How long it must stay well.
    pub bake_seconds: f64,
    /// Who else has to agree, without what may be secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gate: Option<String>,
    /// Failed clusters of the wave that are borne.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<String>,
}

impl From<&Rollout> for RolloutPlan {
    fn from(rollout: &Rollout) -> Self {
        let wave = |wave: &Wave| WavePlan {
            name: wave.name.clone(),
            clusters: wave.clusters.clone(),
            concurrency: wave.concurrency,
            bake_seconds: wave.bake.as_secs_f64(),
            gate: wave.gate.as_ref().map(ToString::to_string),
            budget: wave.budget.map(|budget| budget.to_string()),
        };
        Self {
            budget: rollout.budget.to_string(),
            unreachable: rollout.unreachable.to_string(),
            waves: rollout.waves.iter().map(wave).collect(),
        }
    }
}

/// The plan of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterPlan {
    /// Which.
    pub cluster: ClusterName,
    /// Its API server.
    pub server: String,
    /// The resource set.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetState>,
    /// What is done with each object, sorted.
    pub objects: Vec<ObjectPlan>,
}

/// The resource set when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetState {
    /// Its name.
    pub name: String,
    /// Where its inventory and its lease are.
    pub namespace: String,
    /// The lease that is held while the plan is carried out; none where it writes nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<String>,
    /// The number of its last deploy.
    pub revision: u64,
    /// The commit that the cluster had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
}

/// What is done with one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectPlan {
    /// Which.
    pub object: ObjectRef,
    /// `create`, `configure`, `recreate`, `unchanged`, `skip`, `refuse`, `delete`; of a strategy also `select`, `scale`.
    pub action: String,
    /// Digest of what is wanted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wanted: Option<String>,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub live: Option<LiveState>,
    /// What differs, masked; for the reviewer.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<ReviewedChange>,
}

/// The state of an object when the plan was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveState {
    /// Its uid.
    pub uid: String,
    /// Its resource version. Status updates change it too, so that a difference alone says nothing.
    pub resource_version: String,
    /// Digest of everything but its status.
    pub digest: String,
}

/// A field that differs, as it was shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewedChange {
    /// Which field.
    pub path: String,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before: Option<Value>,
    /// After.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<Value>,
}

impl From<&Change> for ReviewedChange {
    fn from(change: &Change) -> Self {
        let value = |shown: &Option<Shown>| shown.as_ref().map(Shown::value);
        Self { path: change.path.clone(), before: value(&change.before), after: value(&change.after) }
    }
}

impl ClusterPlan {
    /// What `plan` does to `cluster`.
    pub fn of(cluster: &ClusterName, server: &str, plan: &Plan, salt: &str) -> Self {
        let mut objects: Vec<ObjectPlan> = plan.objects.iter().map(|object| planned(object, salt)).collect();
        objects.extend(plan.unplanned.iter().map(|object| ObjectPlan {
            object: object.object.clone(),
            action: "refuse".into(),
            wanted: None,
            live: None,
            changes: Vec::new(),
        }));
        objects.extend(plan.deletions.iter().map(|deletion| ObjectPlan {
            object: deletion.object.clone(),
            action: "delete".into(),
            wanted: None,
            live: deletion.pruned.then(|| state(&deletion.live, salt)),
            changes: Vec::new(),
        }));
        objects.extend(plan.moves.steps().map(|step| ObjectPlan {
            object: step.object.clone(),
            action: step.word().into(),
            wanted: None,
            live: None,
            changes: step.changes().iter().map(ReviewedChange::from).collect(),
        }));
        objects.sort_by(|a, b| (&a.object, &a.action).cmp(&(&b.object, &b.action)));
        let set = plan.set.as_ref().map(|set| SetState {
            name: set.name.to_string(),
            namespace: set.namespace.clone(),
            lease: plan.writes().then(|| set.name.parent()),
            revision: set.inventory.revision,
            commit: set.inventory.commit.clone(),
        });
        Self { cluster: cluster.clone(), server: server.to_owned(), set, objects }
    }

    /// Whether `now`, the same cluster planned again, is what was reviewed.
    ///
    /// # Errors
    /// What has moved, object by object.
    pub fn verify(&self, now: &Self) -> Result<(), Trouble> {
        let mut moved: Vec<String> = Vec::new();
        if self.server != now.server {
            moved.push(format!(
                "the kubeconfig leads to {}, the plan was made for {}",
                now.server, self.server
            ));
        }
        if let (Some(before), Some(after)) = (&self.set, &now.set)
            && before.revision != after.revision
        {
            moved.push(format!(
                "something else has been deployed (revision {} of resource set `{}`, planned for {})",
                after.revision, after.name, before.revision
            ));
        }
        for object in &now.objects {
            match self.objects.iter().find(|planned| planned.is_about(object)) {
                None => moved.push(format!("{} is not in the plan", object.object)),
                Some(planned) => moved.extend(difference(planned, object)),
            }
        }
        for planned in &self.objects {
            if !now.objects.iter().any(|object| object.is_about(planned)) {
                moved.push(match planned.step() {
                    Some(step) => format!("{}: it is not to {step} any more", planned.object),
                    None => format!("{} is in the plan and not among the manifests", planned.object),
                });
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let mut trouble = Trouble::new("the plan is no longer valid for this cluster, nothing was written");
        for line in moved {
            trouble = trouble.because(line);
        }
        Err(trouble.hint("make a new plan with `--plan-out FILE`, and have it reviewed"))
    }
}

impl ObjectPlan {
    /// What is done beside the apply of the object's manifest.
    fn step(&self) -> Option<&str> {
        Some(self.action.as_str()).filter(|action| ["select", "scale"].contains(action))
    }

    /// Whether both say what becomes of the same object, in the same respect.
    fn is_about(&self, other: &Self) -> bool {
        self.object == other.object && self.step() == other.step()
    }
}

fn difference(planned: &ObjectPlan, now: &ObjectPlan) -> Option<String> {
    let name = &now.object;
    if planned.step().is_some() && planned.changes != now.changes {
        return Some(format!("{name}: it is to {} otherwise than planned", now.action));
    }
    if planned.wanted != now.wanted {
        return Some(format!("{name}: the manifest has changed"));
    }
    match (&planned.live, &now.live) {
        (None, Some(_)) if planned.action == "create" => return Some(format!("{name} exists by now")),
        (Some(_), None) => return Some(format!("{name} does not exist any more")),
        (Some(before), Some(after)) if before.uid != after.uid => {
            return Some(format!("{name} has been replaced"));
        }
        (Some(before), Some(after)) if before.digest != after.digest => {
            return Some(format!(
                "{name} has been changed (resource version {}, planned for {})",
                after.resource_version, before.resource_version
            ));
        }
        _ => {}
    }
    (planned.action != now.action)
        .then(|| format!("{name}: it is to {} now, planned was to {}", now.action, planned.action))
}

fn state(live: &Value, salt: &str) -> LiveState {
    let text = |key: &str| live["metadata"][key].as_str().unwrap_or_default().to_owned();
    LiveState {
        uid: text("uid"),
        resource_version: text("resourceVersion"),
        digest: digest(&without_noise(live), salt),
    }
}

fn planned(object: &PlannedObject, salt: &str) -> ObjectPlan {
    ObjectPlan {
        object: object.wanted.object.clone(),
        action: word(&object.action).to_owned(),
        wanted: Some(digest(&without_noise(&object.wanted.value), salt)),
        live: object.live.as_deref().map(|live| state(live, salt)),
        changes: object.changes.iter().map(ReviewedChange::from).collect(),
    }
}

fn word(action: &Action) -> &'static str {
    match action {
        Action::Create => "create",
        Action::Configure => "configure",
        Action::Recreate => "recreate",
        Action::Unchanged => "unchanged",
        Action::Skip { .. } => "skip",
        Action::Refuse { .. } => "refuse",
    }
}

/// A digest that does not depend on the order of keys.
fn digest(value: &Value, salt: &str) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    let mut sum = Sha256::new().chain_update(salt).chain_update(&text).finalize();
    if value["kind"] == "Secret" {
        for _ in 0..SECRET_ROUNDS {
            sum = Sha256::digest(sum);
        }
    }
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            text.push('{');
            for key in keys {
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                canonical(&map[key], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                canonical(item, text);
                text.push(',');
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            text.push_str(&value.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(action: &str, live_digest: &str, version: &str) -> ObjectPlan {
        ObjectPlan {
            object: ObjectRef {
                api_version: "v1".into(),
                kind: "ConfigMap".into(),
                namespace: Some("web".into()),
                name: "a".into(),
            },
            action: action.into(),
            wanted: Some("w".into()),
            live: Some(LiveState {
                uid: "u".into(),
                resource_version: version.into(),
                digest: live_digest.into(),
            }),
            changes: Vec::new(),
        }
    }

    fn cluster(objects: Vec<ObjectPlan>) -> ClusterPlan {
        ClusterPlan { cluster: "eu".parse().unwrap(), server: "https://eu".into(), set: None, objects }
    }

    #[test]
    fn a_new_status_is_no_reason_to_refuse_a_plan_but_a_new_spec_is() {
        let planned = cluster(vec![object("configure", "d", "1")]);
        assert_eq!(planned.verify(&cluster(vec![object("configure", "d", "2")])), Ok(()));
        let trouble = planned.verify(&cluster(vec![object("configure", "e", "2")])).unwrap_err();
        assert_eq!(trouble.causes, ["ConfigMap/web/a has been changed (resource version 2, planned for 1)"]);
    }

    #[test]
    fn what_is_missing_on_either_side_is_named() {
        let planned = cluster(vec![object("configure", "d", "1")]);
        assert_eq!(
            planned.verify(&cluster(Vec::new())).unwrap_err().causes,
            ["ConfigMap/web/a is in the plan and not among the manifests"]
        );
        assert_eq!(
            cluster(Vec::new()).verify(&planned).unwrap_err().causes,
            ["ConfigMap/web/a is not in the plan"]
        );
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_keys_but_on_the_salt() {
        let (a, b) = (json!({"x": 1, "y": [2]}), json!({"y": [2], "x": 1}));
        assert_eq!(digest(&a, "s"), digest(&b, "s"));
        assert_ne!(digest(&a, "s"), digest(&a, "t"));
    }
}
