//! How a run ended, as values: per object, per cluster. Sorted, so that the same run prints the same bytes.

use manifest::{ClusterName, ObjectRef};
use serde::Serialize;

use crate::plan::PackedChanges;

/// What is wrong, in words: the shape of every error that ends up in an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// A lower-case sentence without a final period.
    pub message: String,
    /// Why, from the nearest cause to the root.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<String>,
    /// What gets the user on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
}

impl Trouble {
    /// Trouble without a cause below it.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), causes: Vec::new(), hints: Vec::new() }
    }

    /// Adds a cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds the hint that there may be.
    #[must_use]
    pub fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// The message and its causes on one line.
    pub fn line(&self) -> String {
        let mut line = self.message.clone();
        for cause in &self.causes {
            line.push_str(": ");
            line.push_str(cause);
        }
        line
    }
}

/// What happened, or in a dry run would happen, to one object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum ObjectResult {
    /// It was not there.
    Created,
    /// It was there and differed.
    Configured,
    /// It was there, could not be changed in place, and has been deleted and created again.
    Recreated,
    /// It was there exactly as wanted, owned by us.
    Unchanged,
    /// It was there and has been deleted.
    Deleted,
    /// It was left alone.
    Skipped {
        /// Why.
        because: String,
    },
    /// It is not as wanted.
    Failed {
        /// Why.
        trouble: Box<Trouble>,
    },
    /// It is as wanted, but does not run.
    NotReady {
        /// Why.
        trouble: Box<Trouble>,
        /// What is wrong with its pods, as far as that is known.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        diagnoses: Vec<crate::health::Diagnosis>,
    },
}

impl ObjectResult {
    pub(crate) fn failed(trouble: Trouble) -> Self {
        Self::Failed { trouble: Box::new(trouble) }
    }

    /// What is wrong with the object, if something is.
    pub fn trouble(&self) -> Option<&Trouble> {
        match self {
            Self::Failed { trouble } | Self::NotReady { trouble, .. } => Some(trouble),
            Self::Created
            | Self::Configured
            | Self::Recreated
            | Self::Unchanged
            | Self::Deleted
            | Self::Skipped { .. } => None,
        }
    }
}

/// One object of an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectOutcome {
    /// Which.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// `file:line:column` of its manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// How it ended.
    #[serde(flatten)]
    pub result: ObjectResult,
}

/// Objects by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are those of ObjectResult")]
pub struct Counts {
    pub created: usize,
    pub configured: usize,
    pub recreated: usize,
    pub unchanged: usize,
    pub deleted: usize,
    pub skipped: usize,
    pub failed: usize,
    pub not_ready: usize,
}

impl Counts {
    /// The counts of `results`.
    pub fn of<'a>(results: impl IntoIterator<Item = &'a ObjectResult>) -> Self {
        let mut counts = Self::default();
        for result in results {
            *match result {
                ObjectResult::Created => &mut counts.created,
                ObjectResult::Configured => &mut counts.configured,
                ObjectResult::Recreated => &mut counts.recreated,
                ObjectResult::Unchanged => &mut counts.unchanged,
                ObjectResult::Deleted => &mut counts.deleted,
                ObjectResult::Skipped { .. } => &mut counts.skipped,
                ObjectResult::Failed { .. } => &mut counts.failed,
                ObjectResult::NotReady { .. } => &mut counts.not_ready,
            } += 1;
        }
        counts
    }

    /// Objects that are, or would be, written.
    pub fn changes(&self) -> usize {
        self.created + self.configured + self.recreated + self.deleted
    }
}

/// How a cluster ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterState {
    /// Everything is as wanted, and ready where that was asked for.
    Done,
    /// Something is not.
    Failed,
    /// A guard said no before anything was written.
    Refused,
    /// The run was stopped before it was through.
    Interrupted,
    /// Its turn never came.
    NotStarted,
}

/// One cluster of an outcome.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterOutcome {
    /// Which.
    pub cluster: ClusterName,
    /// How it ended.
    pub state: ClusterState,
    /// It could not be reached, and nothing was written.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unreachable: bool,
    /// Objects by result.
    pub counts: Counts,
    /// Why the cluster as a whole failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<Trouble>,
    /// Each object, in the order of the manifests.
    pub objects: Vec<ObjectOutcome>,
    /// What differs, object by object; in a dry run what would be written.
    #[serde(skip_serializing_if = "PackedChanges::is_empty")]
    pub changes: PackedChanges,
    /// The same as it goes into a plan file.
    #[serde(skip)]
    pub plan: Option<crate::plan::file::ClusterPlan>,
    /// The manifests of the deploy that a rollback brought back, where its caller wants them.
    #[serde(skip)]
    pub restored: Vec<manifest::Object>,
    /// The resource set that was deployed; none where there is no inventory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set: Option<SetOutcome>,
    /// What the server warned of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// From its start to its end.
    pub seconds: f64,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of response bodies over the wire.
    pub bytes_received: u64,
}

impl ClusterOutcome {
    /// A cluster of which no more is known than how it ended.
    pub fn new(cluster: ClusterName, state: ClusterState) -> Self {
        Self {
            cluster,
            state,
            unreachable: false,
            counts: Counts::default(),
            trouble: None,
            objects: Vec::new(),
            changes: PackedChanges::default(),
            plan: None,
            set: None,
            warnings: Vec::new(),
            seconds: 0.0,
            requests: 0,
            bytes_sent: 0,
            bytes_received: 0,
            restored: Vec::new(),
        }
    }

    /// The objects that are not as they should be, and why.
    pub fn bad(&self) -> impl Iterator<Item = (&ObjectOutcome, &Trouble)> {
        self.objects.iter().filter_map(|object| Some((object, object.result.trouble()?)))
    }
}

/// The resource set of an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SetOutcome {
    /// Its name.
    pub name: String,
    /// Where its inventory is.
    pub namespace: String,
    /// The lease that keeps other deployers away while something is written; none where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<String>,
    /// The number of the last deploy before this one; 0 if this is the first.
    pub revision: u64,
    /// The commit that the cluster had, as far as it was ever said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// Objects of earlier deploys that stay though the manifests do not have them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<crate::prune::Kept>,
    /// How many objects of earlier deploys the manifests do not have, where nobody asked to delete them.
    pub leftover: usize,
    /// The deploy that this one brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollback_to: Option<String>,
}

impl SetOutcome {
    /// What `plan` says about its set.
    pub(crate) fn of(
        set: &crate::plan::SetPlan,
        plan: &crate::plan::Plan,
        brings_back: Option<&String>,
    ) -> Self {
        Self {
            name: set.name.to_string(),
            namespace: set.namespace.clone(),
            lease: plan.writes().then(|| set.name.parent()),
            revision: set.inventory.revision,
            commit: set.inventory.commit.clone(),
            kept: set.kept.clone(),
            leftover: set.leftover,
            rollback_to: brings_back.cloned(),
        }
    }
}
