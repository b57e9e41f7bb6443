//! The result, for people: what differs (once for all clusters in which it differs alike), a line per cluster, failures below.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster::health::Diagnosis;
use cluster::outcome::{ClusterOutcome, ClusterState, Counts, ObjectResult, Trouble};
use cluster::plan::{Change, ObjectChange};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// Whether things have happened or would happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// `created`.
    Done,
    /// `to create`.
    Planned,
}

/// What differs, equal changes of several clusters together.
pub(crate) fn changes(outcomes: &[ClusterOutcome]) -> String {
    let mut groups: BTreeMap<(String, String), (&ObjectChange, Vec<&str>)> = BTreeMap::new();
    for outcome in outcomes {
        for change in &outcome.changes {
            let content = serde_json::to_string(change).unwrap_or_default();
            let group = groups.entry((change.object.to_string(), content)).or_insert((change, Vec::new()));
            group.1.push(outcome.cluster.as_str());
        }
    }
    let mut text = String::new();
    for (change, clusters) in groups.values() {
        let sign = match change.action {
            "create" => '+',
            "delete" => '-',
            "recreate" => '!',
            _ => '~',
        };
        let _ = writeln!(
            text,
            "{sign} {} {}  {}",
            change.action,
            change.object,
            places(clusters, outcomes.len())
        );
        if change.action == "configure" && change.changes.is_empty() {
            let _ = writeln!(text, "    only who owns its fields");
        }
        for field in &change.changes {
            one_change(&mut text, field);
        }
    }
    text
}

fn places(clusters: &[&str], of: usize) -> String {
    match clusters {
        [only] => format!("in {only}"),
        all if all.len() == of => format!("in all {of} clusters"),
        some if some.len() <= 3 => format!("in {}", some.join(", ")),
        some => format!("in {} clusters: {}, ...", some.len(), some[..3].join(", ")),
    }
}

fn one_change(text: &mut String, change: &Change) {
    let drift = match &change.drift {
        Some(who) => format!("  (drift: changed by {who})"),
        None => String::new(),
    };
    if change.path.is_empty() {
        let yaml = change.after.as_ref().or(change.before.as_ref()).map(yaml).unwrap_or_default();
        yaml.lines().for_each(|line| {
            let _ = writeln!(text, "    + {line}");
        });
        return;
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if is_long(before) || is_long(after) => {
            let _ = writeln!(text, "    {}{drift}", change.path);
            line_diff(text, &yaml(before), &yaml(after));
        }
        (Some(before), Some(after)) => {
            let _ = writeln!(text, "    {}: {} -> {}{drift}", change.path, scalar(before), scalar(after));
        }
        (Some(before), None) => block(text, '-', &change.path, before, &drift),
        (None, Some(after)) => block(text, '+', &change.path, after, &drift),
        (None, None) => {}
    }
}

fn block(text: &mut String, sign: char, path: &str, value: &Value, drift: &str) {
    if is_long(value) {
        let _ = writeln!(text, "  {sign} {path}:{drift}");
        yaml(value).lines().for_each(|line| {
            let _ = writeln!(text, "      {sign} {line}");
        });
    } else {
        let _ = writeln!(text, "  {sign} {path}: {}{drift}", scalar(value));
    }
}

fn is_long(value: &Value) -> bool {
    match value {
        Value::Object(map) => !map.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object()) || items.len() > 6,
        Value::String(text) => text.contains('\n'),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

fn scalar(value: &Value) -> String {
    value.to_string()
}

fn yaml(value: &Value) -> String {
    match value {
        // Long texts are compared as they are, not as YAML writes them.
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            manifest::yaml::emit(value).unwrap_or_else(|_| value.to_string())
        }
    }
}

fn line_diff(text: &mut String, before: &str, after: &str) {
    let diff = TextDiff::from_lines(before, after);
    for (index, hunk) in diff.grouped_ops(2).iter().enumerate() {
        if index > 0 {
            let _ = writeln!(text, "        ...");
        }
        for change in hunk.iter().flat_map(|op| diff.iter_changes(op)) {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            let _ = writeln!(text, "      {sign} {}", change.value().trim_end_matches('\n'));
        }
    }
}

/// A line per cluster, beginning with its name; then what went wrong, cluster by cluster.
pub(crate) fn summary(outcomes: &[ClusterOutcome], mood: Mood) -> String {
    let width = outcomes.iter().map(|outcome| outcome.cluster.as_str().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for outcome in outcomes {
        let name = &outcome.cluster;
        let _ = writeln!(text, "{name:width$}  {:11}  {}", state(outcome, mood), line(outcome, mood));
    }
    for outcome in outcomes {
        failures(&mut text, outcome);
    }
    text
}

fn state(outcome: &ClusterOutcome, mood: Mood) -> &'static str {
    match outcome.state {
        ClusterState::Done if outcome.counts.changes() == 0 => "unchanged",
        ClusterState::Done => match mood {
            Mood::Done => "done",
            Mood::Planned => "would change",
        },
        ClusterState::Failed => "FAILED",
        ClusterState::Refused => "REFUSED",
        ClusterState::Interrupted => "INTERRUPTED",
        ClusterState::NotStarted => "NOT STARTED",
    }
}

fn line(outcome: &ClusterOutcome, mood: Mood) -> String {
    if let Some(trouble) = &outcome.trouble {
        return first_line(&trouble.line());
    }
    let Counts { created, configured, recreated, unchanged, deleted, skipped, failed, not_ready } =
        outcome.counts;
    let words = match mood {
        Mood::Done => ["created", "changed", "recreated", "deleted"],
        Mood::Planned => ["to create", "to change", "to recreate", "to delete"],
    };
    let parts = [
        (created, words[0]),
        (configured, words[1]),
        (recreated, words[2]),
        (deleted, words[3]),
        (unchanged, "unchanged"),
        (skipped, "skipped"),
        (not_ready, "not ready"),
        (failed, "failed"),
    ];
    let counts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let counts = if counts.is_empty() { "nothing to deploy".to_owned() } else { counts.join(", ") };
    match mood {
        Mood::Done => format!("{counts} ({:.1} s)", outcome.seconds),
        Mood::Planned => counts,
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn failures(text: &mut String, outcome: &ClusterOutcome) {
    let name = &outcome.cluster;
    if let Some(trouble) = &outcome.trouble {
        let _ = writeln!(text, "\n{name}: {}", indented(trouble));
    }
    for object in &outcome.objects {
        let place = object.place.as_ref().map_or(String::new(), |place| format!(" ({place})"));
        match &object.result {
            ObjectResult::Failed { trouble } => {
                let _ = writeln!(text, "\n{name}: {} failed{place}\n  {}", object.object, indented(trouble));
            }
            ObjectResult::NotReady { trouble, diagnoses } => {
                let _ = writeln!(
                    text,
                    "\n{name}: {} is not ready{place}\n  {}",
                    object.object,
                    indented(trouble)
                );
                diagnoses.iter().for_each(|diagnosis| explain(text, diagnosis));
            }
            ObjectResult::Skipped { because } => {
                let _ = writeln!(text, "\n{name}: {} skipped: {because}", object.object);
            }
            ObjectResult::Created
            | ObjectResult::Configured
            | ObjectResult::Recreated
            | ObjectResult::Unchanged
            | ObjectResult::Deleted => {}
        }
    }
}

fn explain(text: &mut String, diagnosis: &Diagnosis) {
    let _ = writeln!(text, "  {diagnosis}");
    for event in &diagnosis.events {
        let _ = writeln!(text, "    event {}: {}", event.reason, event.message);
    }
    if let Some(log) = diagnosis.log.as_ref().filter(|log| !log.lines.is_empty()) {
        let run = if log.previous { "the previous run of " } else { "" };
        let _ = writeln!(text, "    log of {run}pod `{}`:", log.pod);
        for line in &log.lines {
            let _ = writeln!(text, "      {line}");
        }
    }
}

fn indented(trouble: &Trouble) -> String {
    let mut text = trouble.message.clone();
    for cause in &trouble.causes {
        let _ = write!(text, "\n    caused by: {}", cause.replace('\n', "\n      "));
    }
    for hint in &trouble.hints {
        let _ = write!(text, "\n    hint: {hint}");
    }
    text
}
