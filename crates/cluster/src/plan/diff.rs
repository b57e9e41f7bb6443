//! What differs between two states of an object, field by field: lists by key, nothing that only a server cares about, secrets as
//! tokens.

use std::fmt;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::mask::Mask;
use super::ownership::{Step, owner_of};
use super::wanted::is_volatile;

/// One field that differs. Values are masked already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// `spec.template.spec.containers[api].image`.
    pub path: String,
    /// What is there; absent if nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Shown>,
    /// What is to be there; absent if it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Shown>,
    /// Who changed a field of ours since the last deploy: this is drift, and is put back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<String>,
}

/// A value as it is shown, kept as JSON text: as a tree it takes twenty times as much, and a fleet's changes are kept to the end of
/// a run.
#[derive(Clone, PartialEq, Eq)]
pub struct Shown(pub(super) Box<str>);

impl Shown {
    /// The value itself.
    pub fn value(&self) -> Value {
        // It was written from one. What is nested more deeply than a parser goes is still the text that it is.
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::from(&*self.0))
    }
}

impl From<&Value> for Shown {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

/// The changes from `before` to `after`; `before` is a live object with its managed fields, or null.
pub(crate) fn changes(before: &Value, after: &Value, mask: &Mask) -> Vec<Change> {
    mask.learn(before);
    let shown = |value: &Value| (!value.is_null()).then(|| mask.object(&without_noise(value)));
    let mut found = Vec::new();
    compare(shown(before).as_ref(), shown(after).as_ref(), &mut Vec::new(), &mut found);
    let mut changes: Vec<Change> = found
        .into_iter()
        .map(|Found { path, before: old, after }| {
            let drift = old.as_ref().and_then(|_| owner_of(before, &path));
            let shown = |value: Option<Value>| value.as_ref().map(Shown::from);
            Change { path: display(&path), before: shown(old), after: shown(after), drift }
        })
        .collect();
    // They are kept to the end of the run, and have the room of the trees that they were made of.
    changes.shrink_to_fit();
    changes
}

/// The object without what the server maintains and what differs on every deploy.
pub(crate) fn without_noise(value: &Value) -> Value {
    let mut clean = value.clone();
    let Some(object) = clean.as_object_mut() else { return clean };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in ["managedFields", "resourceVersion", "uid", "generation", "creationTimestamp", "selfLink"]
        {
            metadata.remove(key);
        }
        for map in ["labels", "annotations"] {
            let empty = match metadata.get_mut(map).and_then(Value::as_object_mut) {
                Some(entries) => {
                    entries.retain(|key, _| !is_volatile(key) && !is_last_applied(key));
                    entries.is_empty()
                }
                None => false,
            };
            if empty {
                metadata.remove(map);
            }
        }
    }
    clean
}

fn is_last_applied(key: &str) -> bool {
    key.ends_with("/last-applied-configuration") || key.ends_with("/last-applied-configuration-sha1")
}

struct Found {
    path: Vec<Step>,
    before: Option<Value>,
    after: Option<Value>,
}

fn compare(before: Option<&Value>, after: Option<&Value>, path: &mut Vec<Step>, found: &mut Vec<Found>) {
    match (before, after) {
        (Some(a), Some(b)) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let mut keys: Vec<&String> =
                a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))).collect();
            keys.sort();
            for key in keys {
                path.push(Step::Key(key.clone()));
                compare(a.get(key), b.get(key), path, found);
                path.pop();
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => match common_key(a, b) {
            Some(key) => {
                let same = |x: &Value, y: &Value| key.iter().all(|field| x.get(field) == y.get(field));
                let step = |item: &Value| Step::Item(item.as_object().cloned().unwrap_or_default());
                for old in a {
                    path.push(step(old));
                    compare(Some(old), b.iter().find(|new| same(old, new)), path, found);
                    path.pop();
                }
                for new in b.iter().filter(|new| !a.iter().any(|old| same(old, new))) {
                    path.push(step(new));
                    compare(None, Some(new), path, found);
                    path.pop();
                }
                let order = |items: &[Value], others: &[Value]| -> Vec<Value> {
                    items
                        .iter()
                        .filter(|x| others.iter().any(|y| same(x, y)))
                        .map(|x| x[key[0]].clone())
                        .collect()
                };
                let (old, new) = (order(a, b), order(b, a));
                if old != new {
                    path.push(Step::Key("(order)".into()));
                    found.push(Found {
                        path: path.clone(),
                        before: Some(old.into()),
                        after: Some(new.into()),
                    });
                    path.pop();
                }
            }
            None if a.len() == b.len()
                && a.iter().chain(b).any(|item| item.is_object() || item.is_array()) =>
            {
                for (index, (old, new)) in a.iter().zip(b).enumerate() {
                    path.push(Step::Index(index));
                    compare(Some(old), Some(new), path, found);
                    path.pop();
                }
            }
            None => found.push(Found { path: path.clone(), before: before.cloned(), after: after.cloned() }),
        },
        (None, None) => {}
        (before, after) => {
            found.push(Found { path: path.clone(), before: before.cloned(), after: after.cloned() });
        }
    }
}

/// The fields that tell the elements of two lists apart, if they are maps and all have them.
fn common_key(a: &[Value], b: &[Value]) -> Option<&'static [&'static str]> {
    const KEYS: &[&[&str]] = &[
        &["name"],
        &["containerPort", "protocol"],
        &["port", "protocol"],
        &["port"],
        &["mountPath"],
        &["devicePath"],
        &["key"],
        &["ip"],
        &["type"],
        &["host"],
        &["topologyKey"],
        &["uid"],
        &["path"],
    ];
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let unique = |items: &[Value], key: &[&str]| {
        let mut seen: Vec<Vec<&Value>> = Vec::new();
        items.iter().all(|item| {
            let Some(values) = key.iter().map(|field| item.get(field)).collect::<Option<Vec<_>>>() else {
                return false;
            };
            let new = !seen.contains(&values);
            seen.push(values);
            new
        })
    };
    KEYS.iter().copied().find(|key| unique(a, key) && unique(b, key))
}

fn display(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Key(key) if key.contains(['.', '/']) => {
                text.push_str(&format!("[{key:?}]"));
            }
            Step::Key(key) => {
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(key);
            }
            Step::Item(item) => text.push_str(&format!("[{}]", item_name(item))),
            Step::Index(index) => text.push_str(&format!("[{index}]")),
        }
    }
    text
}

fn item_name(item: &Map<String, Value>) -> String {
    let keys = [
        "name",
        "containerPort",
        "port",
        "mountPath",
        "devicePath",
        "key",
        "ip",
        "type",
        "host",
        "topologyKey",
        "uid",
        "path",
    ];
    match keys.iter().find_map(|key| item.get(*key).map(|value| (*key, value))) {
        Some(("name", Value::String(name))) => name.clone(),
        Some((key, Value::String(text))) => format!("{key}={text}"),
        Some((key, value)) => format!("{key}={value}"),
        None => "?".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        changes(before, after, &Mask::new())
            .iter()
            .map(|change| {
                let text = |value: &Option<Shown>| value.as_ref().map_or("-".into(), ToString::to_string);
                let drift = change.drift.as_ref().map_or(String::new(), |by| format!(" ({by})"));
                format!("{}: {} -> {}{drift}", change.path, text(&change.before), text(&change.after))
            })
            .collect()
    }

    #[test]
    fn lists_are_compared_by_key_and_the_servers_own_fields_are_not() {
        let before = json!({"metadata": {"resourceVersion": "1", "labels": {"id": "x"}}, "status": {"a": 1},
            "spec": {"containers": [{"name": "a", "image": "i:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}});
        let after = json!({"metadata": {"resourceVersion": "2"},
            "spec": {"containers": [{"name": "b"}, {"name": "a", "image": "i:2", "env": [{"name": "Y", "value": "1"}]}]}});
        assert_eq!(
            lines(&before, &after),
            [
                r#"spec.containers[a].env[X]: {"name":"X","value":"1"} -> -"#,
                r#"spec.containers[a].env[Y]: - -> {"name":"Y","value":"1"}"#,
                r#"spec.containers[a].image: "i:1" -> "i:2""#,
                r#"spec.containers.(order): ["a","b"] -> ["b","a"]"#,
            ]
        );
    }

    #[test]
    fn a_field_that_somebody_else_changed_is_drift() {
        let before = json!({"spec": {"replicas": 5}, "metadata": {"managedFields": [
            {"manager": "kubectl-scale", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]}});
        assert_eq!(
            lines(&before, &json!({"metadata": {}, "spec": {"replicas": 2}})),
            ["spec.replicas: 5 -> 2 (kubectl-scale)"]
        );
    }

    #[test]
    fn keys_with_dots_are_quoted() {
        let before = json!({"data": {"a.conf": "1"}});
        assert_eq!(lines(&before, &json!({"data": {}})), [r#"data["a.conf"]: "1" -> -"#]);
    }
}
