//! The inventory: which objects of a cluster are of one *resource set*, and which deploys brought them.
//!
//! A resource set is everything that one repository (or one pipeline) deploys to a cluster. It has a name, `default` if none is
//! given, and one ConfigMap per cluster, [`SetName::parent`], which [`applyset`] makes readable for Kubernetes' own tools. Sets do
//! not know each other: what one has deployed, another neither changes nor deletes. The ConfigMap holds names, never manifests; it
//! is read once per run, and written before the first object, so that a deploy that is killed is known to the next.

pub mod applyset;
mod away;
mod member;
mod options;
mod store;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use manifest::ObjectRef;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

pub(crate) use member::{Membership, is_foreign, membership};
pub use options::{Manifests, RollbackTo, Scope, SetOptions};
pub(crate) use store::{CONFIG_MAP, WriteError, write};
pub use store::{ReadError, read};

/// The form of what the ConfigMap holds.
const VERSION: u32 = 1;
const OBJECTS: &str = "objects.json";
const DEPLOYS: &str = "deploys.json";

/// The name of a resource set: a DNS label of at most 40 characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SetName(String);

/// A name that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the name of a resource set has 1 to 40 characters of a-z, 0-9 and `-`, and begins and ends with a letter or digit: `{0}`"
)]
pub struct SetNameError(String);

impl SetName {
    /// The set of deploys that name none.
    pub const DEFAULT: &'static str = "default";

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The ConfigMap that is the set's inventory.
    pub fn parent(&self) -> String {
        format!("kit-set-{}", self.0)
    }
}

impl Default for SetName {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl FromStr for SetName {
    type Err = SetNameError;

    fn from_str(text: &str) -> Result<Self, SetNameError> {
        let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edges = !text.starts_with('-') && !text.ends_with('-');
        let good = (1..=40).contains(&text.len()) && text.chars().all(inside) && edges;
        if good { Ok(Self(text.to_owned())) } else { Err(SetNameError(text.to_owned())) }
    }
}

impl fmt::Display for SetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What identifies a member however its version is written: group, kind, namespace, name.
pub(crate) type Key = (String, String, String, String);

pub(crate) fn key(object: &ObjectRef) -> Key {
    let namespace = object.namespace.clone().unwrap_or_default();
    (object.group().to_owned(), object.kind.clone(), namespace, object.name.clone())
}

/// A member of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Member {
    /// Which object, in the version that was applied last.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// The `--resource` that it was deployed with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource: Option<String>,
    /// When a Job was seen to have completed, if it is one that goes by itself afterwards.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
}

/// How a deploy ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RevisionState {
    /// It has begun; if nobody is at it any more, it was killed.
    Running,
    /// Everything was as wanted.
    Succeeded,
    /// Something was not.
    Failed,
    /// Something was not, and the deploy before it was brought back.
    RolledBack,
}

impl RevisionState {
    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::RolledBack => "rolled back",
        }
    }
}

/// One deploy that changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Revision {
    /// Counts the deploys of the set on this cluster, from 1.
    pub revision: u64,
    /// The same on all clusters of a run.
    pub id: String,
    /// What was deployed, where it was said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub finished: Option<Timestamp>,
    /// How it ended.
    pub state: RevisionState,
    /// `--resource` and `--selector`: it was about these objects only.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub scope: String,
    /// Objects in it.
    pub objects: usize,
    /// Objects of the server that hold its manifests; 0 where they are not kept.
    #[serde(default)]
    pub parts: usize,
    /// The id of the deploy that it brought back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollback_to: Option<String>,
    /// With `fast-rollback`: the id in the names of its Deployments.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fast_id: Option<String>,
}

/// The deploys of a set, as stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deploys {
    version: u32,
    set: String,
    /// Of the last deploy that changed something.
    revision: u64,
    /// The commit that the cluster has, as far as it was ever said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    commit: Option<String>,
    history: Vec<Revision>,
}

/// The inventory of one set on one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Inventory {
    /// Its members.
    pub(crate) members: BTreeMap<Key, Member>,
    /// The last deploy that changed something; 0 before the first.
    pub revision: u64,
    /// The commit that the cluster has, as far as it was ever said.
    pub commit: Option<String>,
    /// The deploys that are remembered, oldest first.
    pub history: Vec<Revision>,
    /// The ConfigMap as it was read.
    pub(crate) live: Option<Value>,
}

impl Inventory {
    /// The objects of the set, sorted.
    pub fn objects(&self) -> impl Iterator<Item = &ObjectRef> {
        self.members.values().map(|member| &member.object)
    }

    /// How many members it has.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether nothing has ever been deployed.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Reads the ConfigMap.
    ///
    /// # Errors
    /// What is wrong with it: a later program's form, or somebody's edit. Whoever deletes by such a list deletes the wrong things.
    pub(crate) fn parse(live: Value) -> Result<Self, String> {
        let section = |name: &str| live["data"][name].as_str().ok_or_else(|| format!("`{name}` is missing"));
        let deploys: Deploys =
            serde_json::from_str(section(DEPLOYS)?).map_err(|error| format!("`{DEPLOYS}`: {error}"))?;
        if deploys.version != VERSION {
            return Err(format!("its version is {}, this program knows {VERSION}", deploys.version));
        }
        let members: Vec<Member> =
            serde_json::from_str(section(OBJECTS)?).map_err(|error| format!("`{OBJECTS}`: {error}"))?;
        Ok(Self {
            members: members.into_iter().map(|member| (key(&member.object), member)).collect(),
            revision: deploys.revision,
            commit: deploys.commit,
            history: deploys.history,
            live: Some(live),
        })
    }

    /// The ConfigMap as it is to be: what others wrote into its metadata stays.
    pub(crate) fn render(&self, set: &SetName, namespace: &str) -> Value {
        let name = set.parent();
        let mut metadata: Map<String, Value> =
            self.live.as_ref().and_then(|live| live["metadata"].as_object()).cloned().unwrap_or_default();
        metadata.remove("managedFields");
        metadata.insert("name".into(), Value::from(name.clone()));
        metadata.insert("namespace".into(), Value::from(namespace));
        applyset::mark_parent(&mut metadata, &name, namespace, self.objects());
        let deploys = Deploys {
            version: VERSION,
            set: set.to_string(),
            revision: self.revision,
            commit: self.commit.clone(),
            history: self.history.clone(),
        };
        // A line per object: kubectl and diffs show them one by one.
        let lines: Vec<String> = self.members.values().map(|member| json!(member).to_string()).collect();
        json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {
                OBJECTS: format!("[\n{}\n]\n", lines.join(",\n")),
                DEPLOYS: serde_json::to_string_pretty(&deploys).unwrap_or_default(),
            },
        })
    }

    /// The revision of the deploy called `id`: its id or the beginning of it, its commit, or its number on this cluster.
    pub fn find(&self, id: &str) -> Vec<&Revision> {
        let commit = |revision: &Revision| {
            id.len() >= 7 && revision.commit.as_deref().is_some_and(|commit| commit.starts_with(id))
        };
        let exact: Vec<&Revision> = self
            .history
            .iter()
            .filter(|revision| revision.id == id || revision.revision.to_string() == id)
            .collect();
        if !exact.is_empty() {
            return exact;
        }
        self.history.iter().filter(|revision| revision.id.starts_with(id) || commit(revision)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inventory() -> Inventory {
        let object = ObjectRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("web".into()),
            name: "cart".into(),
        };
        let member = Member { object, resource: Some("cart".into()), finished: None };
        Inventory {
            members: [(key(&member.object), member)].into(),
            revision: 3,
            commit: Some("4f2a91c0".into()),
            history: vec![Revision {
                revision: 3,
                id: "20260101-120000-abcdef".into(),
                commit: Some("4f2a91c0".into()),
                started: Timestamp::UNIX_EPOCH,
                finished: None,
                state: RevisionState::Running,
                scope: String::new(),
                objects: 1,
                parts: 1,
                rollback_to: None,
                fast_id: None,
            }],
            live: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let set: SetName = "shop".parse().unwrap();
        let value = inventory().render(&set, "default");
        let read = Inventory::parse(value).unwrap();
        assert_eq!(Inventory { live: None, ..read }, inventory());
    }

    #[test]
    fn an_inventory_of_a_later_program_or_one_that_was_edited_is_not_guessed_at() {
        let set = SetName::default();
        let mut value = inventory().render(&set, "default");
        let later = value["data"][DEPLOYS].as_str().unwrap().replace("\"version\": 1", "\"version\": 2");
        value["data"][DEPLOYS] = Value::from(later);
        assert_eq!(Inventory::parse(value.clone()).unwrap_err(), "its version is 2, this program knows 1");
        value["data"] = json!({DEPLOYS: "{"});
        assert!(Inventory::parse(value).unwrap_err().starts_with("`deploys.json`: EOF"));
    }

    #[test]
    fn a_deploy_is_found_by_number_id_and_commit() {
        let inventory = inventory();
        for id in ["3", "20260101-120000-abcdef", "20260101", "4f2a91c"] {
            assert_eq!(inventory.find(id).len(), 1, "{id}");
        }
        assert!(inventory.find("4f2a").is_empty(), "too short for a commit");
    }

    #[test]
    fn a_set_has_a_name_that_fits_into_the_names_of_objects() {
        assert!("shop-1".parse::<SetName>().is_ok());
        for bad in ["", "-a", "a-", "A", "a.b", "a/b", &"x".repeat(41)] {
            assert!(bad.parse::<SetName>().is_err(), "{bad}");
        }
    }
}
