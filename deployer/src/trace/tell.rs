//! A trace for people: one line per link, from the cluster back to the build.

use std::fmt::Write as _;

use super::chain::{Report, State, Traced};

/// The whole answer.
pub(crate) fn text(report: &Report) -> String {
    let mut text = format!("{}: {}\n", report.cluster, report.object);
    if let Some(commit) = &report.deployed_commit {
        let _ = writeln!(text, "  deployed from commit {commit}");
    }
    for field in &report.fields {
        one(&mut text, field);
    }
    text
}

fn one(text: &mut String, field: &Traced) {
    let state = match field.state {
        State::AsRendered => "",
        State::Drift => "  (drift: the manifest says otherwise)",
        State::NotOurs => "  (not in the manifest)",
        State::Mark => "  (added by deployer)",
        State::Absent => "  (not in the cluster)",
        State::Unknown => "  (no manifest to compare with)",
    };
    let path = if field.path.is_empty() { "the object" } else { &field.path };
    let _ = writeln!(text, "  {path}{state}");
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "    {name:<9} {value}");
    };
    if let Some(live) = &field.live {
        line("live", &live.to_string());
    }
    if !field.managers.is_empty() {
        line("set by", &field.managers.join(", "));
    }
    if let Some(at) = &field.rendered {
        let says = match &at.value {
            Some(value) if field.state == State::Drift => format!("  says {value}"),
            Some(_) | None => String::new(),
        };
        line("rendered", &format!("{}:{}:{}{says}", at.file, at.line, at.column));
    }
    if let Some(template) = &field.template {
        line("template", template);
    }
    for value in &field.values {
        line("value", value);
    }
    if let Some(commit) = &field.commit {
        let short = commit.id.get(..12).unwrap_or(&commit.id);
        line("commit", &format!("{short}  {}  {}: {}", commit.time, commit.author, commit.subject));
        if let Some(source) = &commit.source_commit {
            line("source", source);
        }
        if let Some(url) = &commit.build_url {
            line("build", url);
        }
    }
    for missing in &field.missing {
        line("unknown", &missing.what);
        if let Some(hint) = &missing.hint {
            line("", &format!("hint: {hint}"));
        }
    }
}
