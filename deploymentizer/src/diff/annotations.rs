//! The source lines that cause something, beside the code in GitHub and GitLab.

use std::collections::BTreeSet;
use std::path::Path;

use cli::Printer;
use cli::ci::{ANNOTATIONS, append_summary, notice};

use super::Outcome;
use super::show::markdown;
use crate::counted::counted;
use crate::git_files::GitFiles;

struct Annotation {
    file: String,
    line: u32,
    message: String,
}

/// One for each source line that causes something, the widest first.
fn annotations(outcome: &Outcome, git: &GitFiles) -> Vec<Annotation> {
    let mut by_place: Vec<(&str, BTreeSet<&str>, BTreeSet<&str>)> = Vec::new();
    for group in &outcome.groups {
        for cause in &group.causes {
            let at = by_place.iter().position(|(place, ..)| place == cause).unwrap_or_else(|| {
                by_place.push((cause, BTreeSet::new(), BTreeSet::new()));
                by_place.len() - 1
            });
            by_place[at].1.extend(group.clusters());
            by_place[at].2.extend(group.files());
        }
    }
    by_place.sort_by_key(|(_, clusters, _)| std::cmp::Reverse(clusters.len()));
    let one = |(place, clusters, files): (&str, BTreeSet<&str>, BTreeSet<&str>)| {
        let (file, line) = place.rsplit_once(':')?;
        let clusters: Vec<&str> = clusters.into_iter().collect();
        let files: Vec<&str> = files.into_iter().collect();
        let message = format!("changes {} in {}", counted(&files, "file"), counted(&clusters, "cluster"));
        Some(Annotation { file: git.path_in_repository(file), line: line.parse().ok()?, message })
    };
    by_place.into_iter().filter_map(one).collect()
}

/// Annotations of GitHub Actions, on stderr, where they are read as well: at most as many as it shows, the rest counted.
pub(super) fn workflow_commands(outcome: &Outcome, git: &GitFiles, printer: &Printer) {
    let mut all = annotations(outcome, git);
    let rest = all.len().saturating_sub(ANNOTATIONS);
    let mut last = String::new();
    if rest > 0 {
        all.truncate(ANNOTATIONS - 1);
        last = format!("{} more lines cause changes: see the log and the summary", rest + 1);
    }
    for annotation in &all {
        let place = Some((annotation.file.as_str(), annotation.line));
        printer.command(&notice(place, "deploymentizer diff", &annotation.message));
    }
    if rest > 0 {
        printer.command(&notice(None, "deploymentizer diff", &last));
    }
}

/// A Code Quality report, as GitLab wants it.
pub(super) fn code_quality(outcome: &Outcome, git: &GitFiles, path: &Path) -> Result<(), cli::Problem> {
    let issue = |annotation: &Annotation| {
        let Annotation { file, line, message } = annotation;
        serde_json::json!({
            "description": message,
            "check_name": "deploymentizer diff",
            "fingerprint": format!("deploymentizer:{file}:{line}"),
            "severity": "info",
            "location": { "path": file, "lines": { "begin": line } },
        })
    };
    let report: Vec<serde_json::Value> = annotations(outcome, git).iter().map(issue).collect();
    std::fs::write(path, format!("{:#}\n", serde_json::Value::from(report))).map_err(|error| {
        let problem = cli::Problem::new(format!("cannot write the report: `{}`", path.display()));
        cli::Problem { causes: vec![error.to_string()], ..problem }
    })
}

/// Adds to the summary of the step as much as it still takes.
pub(super) fn summary(outcome: &Outcome, revisions: &str, path: &Path, printer: &Printer) {
    if let Err(why) = append_summary(path, |room| markdown(outcome, revisions, room)) {
        printer.warn(&why);
    }
}
