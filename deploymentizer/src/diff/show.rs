//! What changed, as text, Markdown and JSON.

use cli::Printer;
use cli::report::SUMMARY_LIMIT;
use render::compare::{Group, Kind};

use super::Outcome;
use crate::args::Output;
use crate::counted::counted;

/// Prints the result.
pub(super) fn show(outcome: &Outcome, revisions: &str, format: Output, printer: &Printer) {
    match format {
        Output::Text => printer.result(&text(outcome)),
        Output::Markdown => printer.result(&markdown(outcome, revisions, SUMMARY_LIMIT)),
        Output::Json => {
            let document = serde_json::json!({
                "version": 1,
                "clusters": {
                    "changed": outcome.changed,
                    "unchanged": outcome.unchanged,
                    "rendered": outcome.rendered,
                    "added": outcome.added,
                    "removed": outcome.removed,
                },
                "resources": { "rendered": outcome.resources },
                "groups": outcome.groups,
            });
            printer.result(&format!("{document:#}\n"));
        }
    }
}

fn named(clusters: &[String]) -> String {
    let names: Vec<&str> = clusters.iter().map(String::as_str).collect();
    counted(&names, "cluster")
}

fn summary(outcome: &Outcome) -> String {
    let clusters = if outcome.changed == 1 { "cluster" } else { "clusters" };
    let mut text = match outcome.groups.len() {
        0 => "no changes".to_owned(),
        1 => format!("1 change in {} {clusters}", outcome.changed),
        count => format!("{count} changes in {} {clusters}", outcome.changed),
    };
    text.push_str(&format!(", {} unchanged", outcome.unchanged));
    if !outcome.added.is_empty() {
        text.push_str(&format!(", new: {}", named(&outcome.added)));
    }
    if !outcome.removed.is_empty() {
        text.push_str(&format!(", gone: {}", named(&outcome.removed)));
    }
    text
}

fn heading(group: &Group) -> String {
    let verb = match group.kind {
        Kind::Changed => "",
        Kind::Added => "new ",
        Kind::Removed => "removed ",
    };
    format!("in {}, {verb}{}", counted(&group.clusters(), "cluster"), counted(&group.files(), "file"))
}

fn body(group: &Group) -> String {
    let mut body = String::new();
    if group.kind == Kind::Changed {
        body.push_str(&format!("@@ {}:{} @@\n", group.places[0].file, group.hunk.new_start));
    }
    for line in &group.hunk.lines {
        body.push_str(line);
        body.push('\n');
    }
    body
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for group in &outcome.groups {
        text.push_str(&format!("{}\n", heading(group)));
        if !group.causes.is_empty() {
            text.push_str(&format!("caused by {}\n", group.causes.join(", ")));
        }
        text.push_str(&body(group));
        text.push('\n');
    }
    text.push_str(&summary(outcome));
    text.push('\n');
    text
}

/// At most `limit` bytes; what does not fit is counted.
pub(super) fn markdown(outcome: &Outcome, revisions: &str, limit: usize) -> String {
    let mut text = format!("## deploymentizer diff `{revisions}`\n\n{}\n", summary(outcome));
    for (at, group) in outcome.groups.iter().enumerate() {
        let mut part = format!("\n### {}\n\n", heading(group));
        if !group.causes.is_empty() {
            let causes: Vec<String> = group.causes.iter().map(|cause| format!("`{cause}`")).collect();
            part.push_str(&format!("caused by {}\n\n", causes.join(", ")));
        }
        let body = body(group);
        // A manifest may hold a fence of its own.
        let mut fence = "```".to_owned();
        while body.contains(&fence) {
            fence.push('`');
        }
        part.push_str(&format!("{fence}diff\n{body}{fence}\n"));
        let note = |rest: usize| format!("\n{rest} more changes do not fit\n");
        let rest = outcome.groups.len() - at;
        if text.len() + part.len() + note(rest).len() > limit {
            text.push_str(&note(rest));
            break;
        }
        text.push_str(&part);
    }
    text
}
