//! What differs, for people: once for all clusters in which it differs alike.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster::outcome::ClusterOutcome;
use cluster::plan::{Change, ObjectChange, PackedChanges, Shown};
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

/// What differs, equal changes of several clusters together.
pub(crate) fn changes(outcomes: &[ClusterOutcome]) -> String {
    let mut alike: BTreeMap<&PackedChanges, Vec<&str>> = BTreeMap::new();
    for outcome in outcomes {
        alike.entry(&outcome.changes).or_default().push(outcome.cluster.as_str());
    }
    let mut groups: BTreeMap<(String, String), (ObjectChange, Vec<&str>)> = BTreeMap::new();
    for (changes, clusters) in alike {
        for change in changes.unpack() {
            let content = serde_json::to_string(&change).unwrap_or_default();
            let group = groups.entry((change.object.to_string(), content)).or_insert((change, Vec::new()));
            group.1.extend(&clusters);
        }
    }
    // In the order of the outcomes, not of what differs.
    let place: BTreeMap<&str, usize> =
        outcomes.iter().enumerate().map(|(at, outcome)| (outcome.cluster.as_str(), at)).collect();
    for (_, clusters) in groups.values_mut() {
        clusters.sort_by_key(|name| place.get(name));
    }
    let mut text = String::new();
    for (change, clusters) in groups.values() {
        let sign = match &*change.action {
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
        if let Some(because) = &change.because {
            let _ = writeln!(text, "    {because}");
        }
        if change.action == "configure" && change.changes.is_empty() {
            let _ = writeln!(text, "    only who owns its fields");
        }
        for field in &change.changes {
            one_change(&mut text, field);
        }
    }
    text.push_str(&stays(outcomes));
    text
}

/// What the manifests do not have any more and stays all the same.
fn stays(outcomes: &[ClusterOutcome]) -> String {
    let mut groups: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    let mut text = String::new();
    for outcome in outcomes {
        for kept in outcome.set.iter().flat_map(|set| &set.kept) {
            let group = groups.entry((kept.object.to_string(), kept.because.as_str())).or_default();
            group.push(outcome.cluster.as_str());
        }
    }
    for ((object, because), clusters) in &groups {
        let _ = writeln!(text, "= keep {object}  {}\n    {because}", places(clusters, outcomes.len()));
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
        let shown = change.after.as_ref().or(change.before.as_ref());
        let yaml = shown.map(|shown| yaml(&shown.value())).unwrap_or_default();
        yaml.lines().for_each(|line| {
            let _ = writeln!(text, "    + {line}");
        });
        return;
    }
    let value = |shown: &Option<Shown>| shown.as_ref().map(Shown::value);
    match (&value(&change.before), &value(&change.after)) {
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
