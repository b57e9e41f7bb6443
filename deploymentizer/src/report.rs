//! What a run did, per cluster, as text and JSON.

use cli::{Exit, Format, Printer};
use render::problem::{Problem, deduplicate};
use render::validate::KubernetesVersion;
use serde::Serialize;

use crate::problems::shown;
use crate::validation::Tally;

/// What became of a cluster's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Status {
    /// Something was written or removed.
    Changed,
    /// All was as it should be.
    Unchanged,
    /// The cluster is not in the repository any more; its files were removed.
    Removed,
    /// Nothing was touched.
    Failed,
}

/// The outcome of one cluster.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ClusterReport {
    pub(crate) name: String,
    pub(crate) status: Status,
    pub(crate) written: Vec<String>,
    pub(crate) unchanged: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Files of ours that were changed by hand and would have been removed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) kept: Vec<String>,
}

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) saved: bool,
    pub(crate) clusters: Vec<ClusterReport>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) warnings: Vec<Problem>,
    /// Clusters whose own file could not be read, so that they have no name to be listed under.
    pub(crate) unnamed_failures: usize,
    /// What objects were held against, and how many there were.
    pub(crate) validation: Option<(KubernetesVersion, Tally)>,
}

impl Report {
    /// Of no cluster yet; `unreadable` is what is wrong with clusters that have no name.
    pub(crate) fn new(saved: bool, unreadable: Vec<Problem>) -> Self {
        Self {
            saved,
            clusters: Vec::new(),
            unnamed_failures: unreadable.len(),
            problems: unreadable,
            warnings: Vec::new(),
            validation: None,
        }
    }

    /// The exit code: 4 when some clusters failed and some did not, 1 when all failed.
    pub(crate) fn exit(&self, detailed: bool) -> Exit {
        let failed = self.clusters.iter().filter(|cluster| cluster.status == Status::Failed).count();
        let failed = failed + self.unnamed_failures;
        let done = self.clusters.iter().filter(|cluster| cluster.status != Status::Failed).count();
        if failed > 0 {
            return if done > 0 { Exit::Partial } else { Exit::Failed };
        }
        let changed = self.clusters.iter().any(|c| matches!(c.status, Status::Changed | Status::Removed));
        if detailed && changed { Exit::Changes } else { Exit::Done }
    }

    /// Prints warnings and errors only, for runs whose result is already on stdout.
    pub(crate) fn print_problems(self, printer: &Printer, lints: &[Problem], every_lint: bool) {
        deduplicate(self.warnings).iter().for_each(|warning| printer.warn(&shown(warning).to_string()));
        print_lints(printer, lints, every_lint);
        deduplicate(self.problems).iter().for_each(|problem| printer.error(&shown(problem)));
    }

    /// Prints everything: warnings and errors to stderr, the result to stdout.
    pub(crate) fn print(self, printer: &Printer, exit: Exit, lints: &[Problem], every_lint: bool) {
        let warnings = deduplicate(self.warnings);
        for warning in &warnings {
            printer.warn(&shown(warning).to_string());
        }
        print_lints(printer, lints, every_lint);
        for cluster in &self.clusters {
            for file in &cluster.kept {
                printer.warn(&format!(
                    "{}: `{file}` is not part of the cluster any more, but was changed by hand: it stays",
                    cluster.name
                ));
            }
        }
        let problems = deduplicate(self.problems);
        problems.iter().for_each(|problem| printer.error(&shown(problem)));
        match printer.format() {
            Format::Text => printer.result(&(text(self.saved, &self.clusters) + &validated(self.validation))),
            Format::Json | Format::Ndjson => printer.json(&serde_json::json!({
                "version": 1,
                "exitCode": exit.code(),
                "saved": self.saved,
                "clusters": self.clusters,
                "validation": self.validation.map(|(version, tally)| serde_json::json!({
                    "kubernetes": version.to_string(),
                    "objects": tally.objects,
                    "invalid": tally.invalid,
                    "withoutSchema": tally.without_schema,
                })),
                "errors": problems.iter().map(shown).collect::<Vec<_>>(),
                "warnings": warnings.iter().chain(lints).map(shown).collect::<Vec<_>>(),
            })),
        }
    }
}

/// How many lints are printed unless all are asked for.
const LINTS: usize = 10;

fn print_lints(printer: &Printer, lints: &[Problem], all: bool) {
    let shown_now = if all { lints.len() } else { LINTS };
    for lint in lints.iter().take(shown_now) {
        printer.warn(&lint.to_string());
    }
    if lints.len() > shown_now {
        printer.warn(&format!(
            "{} more values mean something else to Kubernetes' YAML parser; `--debug` lists all",
            lints.len() - shown_now
        ));
    }
}

/// A line for each cluster that is not simply unchanged, and one for all.
fn text(saved: bool, clusters: &[ClusterReport]) -> String {
    let mut text = String::new();
    let (mut written, mut unchanged, mut removed, mut failed) = (0, 0, 0, 0);
    for cluster in clusters {
        written += cluster.written.len();
        unchanged += cluster.unchanged.len();
        removed += cluster.removed.len();
        let name = &cluster.name;
        match cluster.status {
            Status::Unchanged => {}
            Status::Failed => {
                failed += 1;
                text.push_str(&format!("{name}: failed, left as it was\n"));
            }
            Status::Changed | Status::Removed => {
                let gone =
                    if cluster.status == Status::Removed { "no longer in the repository, " } else { "" };
                text.push_str(&format!(
                    "{name}: {gone}{}\n",
                    counts(saved, cluster.written.len(), cluster.unchanged.len(), cluster.removed.len())
                ));
            }
        }
    }
    let plural = if clusters.len() == 1 { "" } else { "s" };
    let failures = if failed > 0 { format!(", {failed} failed") } else { String::new() };
    text.push_str(&format!(
        "{} cluster{plural}: {}{failures}\n",
        clusters.len(),
        counts(saved, written, unchanged, removed)
    ));
    text
}

fn counts(saved: bool, written: usize, unchanged: usize, removed: usize) -> String {
    match saved {
        true => format!("{written} written, {unchanged} unchanged, {removed} removed"),
        false => format!("{written} to write, {unchanged} unchanged, {removed} to remove (nothing saved)"),
    }
}

/// `12 objects checked against Kubernetes 1.37: 1 invalid, 2 without a schema`.
fn validated(validation: Option<(KubernetesVersion, Tally)>) -> String {
    let Some((version, tally)) = validation else { return String::new() };
    let plural = if tally.objects == 1 { "" } else { "s" };
    let without = match tally.without_schema {
        0 => String::new(),
        count => format!(", {count} without a schema"),
    };
    format!(
        "{} object{plural} checked against Kubernetes {version}: {} invalid{without}\n",
        tally.objects, tally.invalid
    )
}
