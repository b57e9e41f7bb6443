//! Objects that `kubectl apply`, or the original kit through it, has written before: their fields become ours, once.
//!
//! Without this a field that is removed from a manifest stays in the cluster for ever, because its other owner still holds it
//! (kubernetes/kubernetes#99003). The rule is that of client-go's `csaupgrade`: the predecessors' fields are merged into our entry,
//! their entries go, nothing else of the object changes.

use serde_json::{Map, Value, json};

use super::ownership::{FIELD_MANAGER, is_ours, is_predecessor, managed_fields};

/// The JSON patch that makes the fields of predecessors ours. It fails if the object has changed meanwhile.
pub(crate) fn patch(live: &Value) -> Value {
    json!([
        {"op": "replace", "path": "/metadata/managedFields", "value": merged(live)},
        {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
    ])
}

/// `managedFields` with the predecessors' entries merged into ours.
pub(crate) fn merged(live: &Value) -> Vec<Value> {
    let mut fields = Map::new();
    let mut api_version = live["apiVersion"].clone();
    let mut time = Value::Null;
    // Fields of another version of the kind cannot be merged by path; the latest entry's version wins, as in client-go.
    for entry in managed_fields(live).filter(|entry| is_ours(entry) || is_predecessor(entry)) {
        if let Some(more) = entry["fieldsV1"].as_object() {
            union(&mut fields, more);
        }
        if is_ours(entry) || api_version.is_null() {
            api_version = entry["apiVersion"].clone();
        }
        if entry["time"].as_str() > time.as_str() {
            time = entry["time"].clone();
        }
    }
    // The annotation that client-side apply keeps its state in is nobody's any more: with the next apply it goes.
    let mut ours = json!({
        "manager": FIELD_MANAGER, "operation": "Apply", "apiVersion": api_version,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    });
    if !time.is_null() {
        ours["time"] = time;
    }
    let rest = managed_fields(live).filter(|entry| !is_ours(entry) && !is_predecessor(entry)).cloned();
    std::iter::once(ours).chain(rest).collect()
}

fn union(into: &mut Map<String, Value>, from: &Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(key).and_then(Value::as_object_mut), value.as_object()) {
            (Some(below), Some(more)) => union(below, more),
            _ => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `result`, a dry run made before the migration, without the fields that only a predecessor holds and that `wanted` does not
/// have: they go when the migration has been made.
pub(crate) fn without_orphans(result: &Value, live: &Value, wanted: &Value) -> Value {
    let merged = merged(live);
    let others: Vec<&Map<String, Value>> =
        merged.iter().skip(1).filter_map(|entry| entry["fieldsV1"].as_object()).collect();
    let mut clean = result.clone();
    if let Some(fields) = merged.first().and_then(|entry| entry["fieldsV1"].as_object()) {
        remove(&mut clean, fields, Some(wanted), &others);
    }
    clean
}

/// Removes from `value` what `fields` has and neither `wanted` nor any of `others` does.
fn remove(
    value: &mut Value,
    fields: &Map<String, Value>,
    wanted: Option<&Value>,
    others: &[&Map<String, Value>],
) {
    for (key, below) in fields {
        let Some(below) = below.as_object() else { continue };
        let theirs: Vec<&Map<String, Value>> =
            others.iter().filter_map(|other| other.get(key)?.as_object()).collect();
        if let Some(name) = key.strip_prefix("f:") {
            let leaf = below.keys().all(|key| key == ".");
            let is_wanted = wanted.and_then(|wanted| wanted.get(name));
            let Some(map) = value.as_object_mut() else { continue };
            if leaf {
                if is_wanted.is_none() && theirs.is_empty() {
                    map.remove(name);
                }
            } else if let Some(child) = map.get_mut(name) {
                remove(child, below, is_wanted, &theirs);
                let emptied = child.as_object().is_some_and(Map::is_empty)
                    || child.as_array().is_some_and(Vec::is_empty);
                if emptied && is_wanted.is_none() && theirs.is_empty() {
                    map.remove(name);
                }
            }
        } else if let Some(item_key) =
            key.strip_prefix("k:").and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok())
        {
            let matches = |item: &Value| item_key.iter().all(|(field, value)| item.get(field) == Some(value));
            let wanted_item = wanted
                .and_then(Value::as_array)
                .and_then(|items| items.iter().find(|item| matches(item) || loosely(item, &item_key)));
            let Some(items) = value.as_array_mut() else { continue };
            if wanted_item.is_none() && theirs.is_empty() {
                items.retain(|item| !matches(item));
            } else if let Some(item) = items.iter_mut().find(|item| matches(item)) {
                remove(item, below, wanted_item, &theirs);
            }
        }
    }
}

/// An item of a manifest may leave the protocol of its key to its default.
fn loosely(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter().all(|(field, value)| match item.get(field) {
        Some(found) => found == value,
        None => field == "protocol" && value == "TCP",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn live() -> Value {
        json!({
            "apiVersion": "apps/v1", "metadata": {"resourceVersion": "9", "managedFields": [
                {"manager": "kubectl-client-side-apply", "operation": "Update", "apiVersion": "apps/v1", "time": "2020-01-01T00:00:00Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}, "f:old": {}, "f:shared": {},
                    "f:list": {"k:{\"name\":\"gone\"}": {".": {}, "f:name": {}}, "k:{\"name\":\"kept\"}": {".": {}, "f:x": {}}}}}},
                {"manager": "other", "operation": "Update", "fieldsV1": {"f:spec": {"f:shared": {}}}},
                {"manager": "kubectl", "operation": "Update", "subresource": "scale", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
        })
    }

    #[test]
    fn the_predecessors_fields_become_ours_and_everybody_elses_stay() {
        let merged = merged(&live());
        let managers: Vec<_> = merged.iter().map(|entry| entry["manager"].as_str().unwrap()).collect();
        assert_eq!(managers, ["kit", "other", "kubectl"]);
        assert_eq!(merged[0]["operation"], "Apply");
        assert_eq!(merged[0]["fieldsV1"]["f:spec"]["f:old"], json!({}));
        assert_eq!(patch(&live())[1]["value"], "9");
    }

    #[test]
    fn fields_that_only_the_predecessor_holds_are_shown_as_going() {
        let result = json!({"spec": {"replicas": 2, "old": 1, "shared": 1,
            "list": [{"name": "gone"}, {"name": "kept", "x": 1, "y": 2}]}});
        let wanted = json!({"spec": {"replicas": 2, "list": [{"name": "kept"}]}});
        assert_eq!(
            without_orphans(&result, &live(), &wanted),
            json!({"spec": {"replicas": 2, "shared": 1, "list": [{"name": "kept", "y": 2}]}})
        );
    }
}
