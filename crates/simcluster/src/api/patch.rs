//! JSON patch and JSON merge patch. Strategic merge patch is in [`super::strategic`].

use serde_json::{Map, Value};

/// RFC 7386.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(key);
            } else {
                merge(target.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

/// RFC 6902.
///
/// # Errors
/// What could not be done, as the API server's library says it.
pub(crate) fn json(target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Array(operations) = patch else {
        return Err("json: cannot unmarshal object into Go value of type jsonpatch.Patch".into());
    };
    for operation in operations {
        let text = |k: &str| operation[k].as_str().unwrap_or_default();
        let path = text("path");
        let missing = |what: &str| {
            format!("{what} operation does not apply: doc is missing path: {path}: missing value")
        };
        match text("op") {
            "add" => add(target, path, operation["value"].clone()).ok_or_else(|| missing("add"))?,
            "replace" => {
                *target.pointer_mut(path).ok_or_else(|| {
                    format!("replace operation does not apply: doc is missing key: {path}: missing value")
                })? = operation["value"].clone();
            }
            "remove" => {
                remove(target, path).ok_or_else(|| {
                    format!("remove operation does not apply: doc is missing path: {path:?}: missing value",)
                })?;
            }
            "move" => {
                let value = remove(target, text("from")).ok_or_else(|| missing("move"))?;
                add(target, path, value).ok_or_else(|| missing("move"))?;
            }
            "copy" => {
                let value = target.pointer(text("from")).cloned().ok_or_else(|| missing("copy"))?;
                add(target, path, value).ok_or_else(|| missing("copy"))?;
            }
            "test" => {
                let given = operation.get("value").cloned().unwrap_or(Value::Null);
                if target.pointer(path).cloned().unwrap_or(Value::Null) != given {
                    return Err(format!("testing value {path} failed: test failed"));
                }
            }
            other => return Err(format!("Unexpected kind: {other}")),
        }
    }
    Ok(())
}

fn split(path: &str) -> Option<(&str, String)> {
    let (parent, last) = path.rsplit_once('/')?;
    Some((parent, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Option<()> {
    if path.is_empty() {
        *target = value;
        return Some(());
    }
    let (parent, last) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(map) => {
            map.insert(last, value);
        }
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index: usize = last.parse().ok()?;
            if index > list.len() {
                return None;
            }
            list.insert(index, value);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    }
    Some(())
}

fn remove(target: &mut Value, path: &str) -> Option<Value> {
    let (parent, last) = split(path)?;
    match target.pointer_mut(parent)? {
        Value::Object(map) => map.shift_remove(&last),
        Value::Array(list) => {
            let index: usize = last.parse().ok()?;
            (index < list.len()).then(|| list.remove(index))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json as j;

    use super::*;

    #[test]
    fn a_merge_patch_sets_and_deletes() {
        let mut v = j!({"a": {"b": 1, "c": 2}, "d": [1]});
        merge(&mut v, &j!({"a": {"b": null, "e": 3}, "d": [2]}));
        assert_eq!(v, j!({"a": {"c": 2, "e": 3}, "d": [2]}));
    }

    #[test]
    fn a_json_patch_is_refused_where_a_test_fails() {
        let mut v = j!({"a": [1, 2], "m/n": 1});
        json(&mut v, &j!([{"op": "add", "path": "/a/-", "value": 3}, {"op": "remove", "path": "/m~1n"}]))
            .unwrap();
        assert_eq!(v, j!({"a": [1, 2, 3]}));
        assert!(json(&mut v, &j!([{"op": "test", "path": "/a/0", "value": 9}])).is_err());
    }
}
