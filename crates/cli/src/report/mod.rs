//! The report of a deploy: one set of plain values, written as text, JSON, `JUnit`, Markdown and HTML, and read back from
//! JSON ([`Report::read`]) by whoever joins or shows reports.
//!
//! The JSON carries [`VERSION`]; `crates/cli/schema/report.v1.json` describes it, and a test holds the two together. Fields may be
//! added within a version; a reader ignores those that it does not know. `status.v1.json` beside it does the same for [`Status`].

mod alike;
mod counts;
mod file;
mod html;
mod json;
mod junit;
mod markdown;
mod merge;
mod pulled;
mod rollout;
mod running;
mod text;

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

pub(crate) use alike::{What, failures as alike};

pub use counts::Counts;
pub use file::{ReportError, ReportFile, ReportFormat};
pub use html::{Page, page};
pub use json::SharedJson;
pub use junit::junit;
pub use markdown::{SUMMARY_LIMIT, markdown};
pub use merge::{MergeError, merge};
pub use pulled::{SyncState, SyncStatus};
pub use rollout::{RolloutReport, Stopped, VersionGroup, WaveReport, WaveState, waves};
pub use running::{
    ClusterStatus, Difference, DifferenceKind, PodGroup, ResourceState, ResourceStatus, Status,
};
pub use text::{failures, table};

/// Version of the JSON form.
pub const VERSION: u32 = 1;

/// What a run did, over the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// `report`: tells it from the other lines of `--output ndjson`.
    pub event: String,
    /// Program and version, for example `deployer 0.1.0`.
    pub program: String,
    /// RFC 3339, UTC.
    pub started: String,
    /// Wall time of the run, in seconds.
    pub seconds: f64,
    /// Nothing was written: this is what would have been.
    pub dry_run: bool,
    /// The commit that was deployed, where it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// What the shell is told.
    pub exit_code: u8,
    /// Which part of the fleet this is, for example `2/4`; absent where it is all of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub shard: Option<String>,
    /// The waves, where there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollout: Option<RolloutReport>,
    /// Objects by result, over all clusters.
    pub totals: Counts,
    /// Each cluster, sorted by name.
    pub clusters: Vec<ClusterReport>,
}

/// One cluster of a [`Report`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// The wave that it belongs to, where there are any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wave: Option<String>,
    /// How it ended.
    pub state: ClusterState,
    /// It could not be reached and was set aside; a resume of the rollout takes it up again.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub quarantined: bool,
    /// An earlier run of the rollout has done it; this one did not touch it.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub done_before: bool,
    /// From its start to its end.
    pub seconds: f64,
    /// Objects by result.
    pub counts: Counts,
    /// Why the cluster as a whole failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<Trouble>,
    /// Each object, in the order of the manifests.
    pub objects: Vec<ObjectReport>,
    /// The resource set that was deployed, and what became of what it had before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub set: Option<SetReport>,
    /// What differs, object by object; in a dry run what would be written.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub changes: Vec<SharedJson>,
    /// What the server warned of.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub warnings: Vec<String>,
    /// Requests sent, retries included.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_sent: u64,
    /// Bytes of response bodies over the wire.
    pub bytes_received: u64,
}

/// The resource set of a [`ClusterReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SetReport {
    /// Its name.
    pub name: String,
    /// Where its inventory is.
    pub namespace: String,
    /// The lease that keeps other deployers away while something is written; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lease: Option<String>,
    /// The number of the last deploy before this one; 0 if this is the first.
    pub revision: u64,
    /// The commit that the cluster had, as far as it was ever said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// Objects of earlier deploys that stay though the manifests do not have them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub kept: Vec<KeptReport>,
    /// How many objects of earlier deploys the manifests do not have, where nobody asked to delete them.
    #[serde(default)]
    pub leftover: usize,
    /// The deploy that this one brought back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rollback_to: Option<String>,
}

/// An object that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeptReport {
    /// `Kind/namespace/name`.
    pub object: String,
    /// Why.
    pub because: String,
}

/// How a cluster ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterState {
    /// Everything is as wanted.
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

/// One object of a [`ClusterReport`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReport {
    /// `Kind/namespace/name`, as everywhere.
    pub object: String,
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Absent for objects of the cluster.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
    /// How it ended.
    pub result: ObjectResult,
    /// `file:line:column` of its manifest.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<String>,
    /// Why it was skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub because: Option<String>,
    /// Why it is not well.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<Trouble>,
    /// What is wrong with its pods.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diagnoses: Vec<Diagnosis>,
}

/// How an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words are those of the table")]
pub enum ObjectResult {
    Created,
    Configured,
    Recreated,
    Unchanged,
    Deleted,
    Skipped,
    Failed,
    NotReady,
}

impl ObjectResult {
    /// The word in tables and pages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Configured => "configured",
            Self::Recreated => "recreated",
            Self::Unchanged => "unchanged",
            Self::Deleted => "deleted",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::NotReady => "not ready",
        }
    }

    /// Whether somebody has to look at it.
    #[must_use]
    pub fn is_bad(self) -> bool {
        matches!(self, Self::Failed | Self::NotReady)
    }
}

impl ClusterReport {
    /// A cluster of which nothing is told but how it ended.
    #[must_use]
    pub fn new(name: impl Into<String>, state: ClusterState) -> Self {
        Self {
            name: name.into(),
            wave: None,
            state,
            quarantined: false,
            done_before: false,
            seconds: 0.0,
            counts: Counts::default(),
            trouble: None,
            objects: Vec::new(),
            set: None,
            changes: Vec::new(),
            warnings: Vec::new(),
            requests: 0,
            bytes_sent: 0,
            bytes_received: 0,
        }
    }

    /// How it ended, in a word.
    pub(crate) fn state_word(&self) -> &'static str {
        if self.quarantined { "quarantined" } else { self.state.word() }
    }

    /// The word in tables and pages: a cluster that is done may have changed, would change, or is unchanged.
    #[must_use]
    pub fn word(&self, dry_run: bool) -> &'static str {
        if self.quarantined {
            return "quarantined";
        }
        if self.done_before {
            return "done before";
        }
        match (self.state, self.counts.changes() > 0, dry_run) {
            (ClusterState::Done, false, _) => "unchanged",
            (ClusterState::Done, true, true) => "would change",
            (state, _, _) => state.word(),
        }
    }
}

impl ClusterState {
    /// The word in tables and pages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::NotStarted => "not started",
        }
    }

    /// Whether everything is as wanted.
    #[must_use]
    pub fn is_good(self) -> bool {
        self == Self::Done
    }
}

/// What is wrong, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trouble {
    /// A lower-case sentence without a final period.
    pub message: String,
    /// Why, from the nearest cause to the root.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub causes: Vec<String>,
    /// What gets the user on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub hints: Vec<String>,
}

/// One thing that is wrong with the pods of an object, told once for all that have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnosis {
    /// A sentence with pods, container, state, reason and exit code.
    pub summary: String,
    /// What kind of thing it is, whatever the server calls it at the moment: `imagePull`, `crashLoop`, …
    pub problem: String,
    /// The server's word, for example `CrashLoopBackOff`.
    pub reason: String,
    /// The server's sentence, without what differs from pod to pod; may be empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
    /// How many pods have it.
    pub pod_count: usize,
    /// The first few of them.
    pub pods: Vec<String>,
    /// In which container.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<String>,
    /// How it ended last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exit_code: Option<i64>,
    /// The most restarts that one pod has had.
    pub restarts: i64,
    /// Since when, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// What was said about the pods, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub events: Vec<EventLine>,
    /// The last lines of one pod's log.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub log: Option<LogTail>,
}

/// A Kubernetes Event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventLine {
    /// For example `FailedMount`.
    pub reason: String,
    /// The words.
    pub message: String,
    /// How often.
    pub count: i64,
    /// When last, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<String>,
}

/// The last lines of a container's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogTail {
    /// Whose.
    pub pod: String,
    /// Of the run before the present one.
    pub previous: bool,
    /// Oldest first.
    pub lines: Vec<String>,
}

impl Report {
    /// The report as one line, for `--output ndjson`.
    #[must_use]
    pub fn json_line(&self) -> String {
        let mut text = serde_json::to_string(self).expect("maps with text keys always serialise");
        text.push('\n');
        text
    }

    /// Whether the rollout stopped before its end.
    pub(crate) fn is_stopped(&self) -> bool {
        self.rollout.as_ref().is_some_and(|rollout| rollout.stopped.is_some())
    }

    /// Whether the clusters belong to waves.
    pub(crate) fn has_waves(&self) -> bool {
        self.clusters.iter().any(|cluster| cluster.wave.is_some())
    }

    /// Clusters that are as wanted, and those that are not.
    #[must_use]
    pub fn good_and_bad(&self) -> (usize, usize) {
        let good = self.clusters.iter().filter(|cluster| cluster.state.is_good()).count();
        (good, self.clusters.len() - good)
    }

    /// One line: `3 clusters: 2 done, 1 failed; 4 created, 1 not ready; 12.3 s`.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut states: Vec<(&str, usize)> = Vec::new();
        for cluster in &self.clusters {
            match states.iter_mut().find(|(word, _)| *word == cluster.state.word()) {
                Some((_, count)) => *count += 1,
                None => states.push((cluster.state.word(), 1)),
            }
        }
        let states: Vec<String> = states.iter().map(|(word, count)| format!("{count} {word}")).collect();
        let clusters = match self.clusters.len() {
            1 => "1 cluster".to_owned(),
            n => format!("{n} clusters"),
        };
        let dry = if self.dry_run { "dry run, nothing was written; " } else { "" };
        format!(
            "{dry}{clusters}: {}; {}; {}",
            states.join(", "),
            self.totals.sentence(),
            seconds(self.seconds)
        )
    }

    /// The report as JSON, with a final newline.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps with text keys always serialise");
        text.push('\n');
        text
    }

    /// Writes what [`Report::json`] returns.
    pub(crate) fn write_json(&self, out: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer_pretty(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// Reads what [`Report::json`] wrote.
    ///
    /// # Errors
    /// Not JSON, not a report, or of a version that this program does not know.
    pub fn read(text: &str) -> Result<Self, ReportError> {
        let report: Self = serde_json::from_str(text).map_err(ReportError::Parse)?;
        match report.version {
            VERSION => Ok(report),
            found => Err(ReportError::Version { found, known: VERSION }),
        }
    }
}

/// `1 cluster`, `2 clusters`.
#[must_use]
pub fn counted(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `0.4 s`, `12.3 s`, `2 min 5 s`.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    if seconds < 100.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    format!("{:.0} min {:.0} s", (whole / 60.0).floor(), whole % 60.0)
}
