//! Strategic merge patch: lists of the API types merge by key; `$patch`, `$retainKeys`,
//! `$setElementOrder/…` and `$deleteFromPrimitiveList/…` are obeyed.

use serde_json::{Map, Value};

use crate::schema::{ListKind, Ty};

/// Applies `patch` to `target`, whose type is `ty`.
pub(crate) fn merge(ty: &Ty, target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    match patch.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            let mut new = patch.clone();
            new.remove("$patch");
            *target = Value::Object(new);
            return;
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return;
        }
        _ => {}
    }
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(target) = target else { return };
    if let Some(keep) = patch.get("$retainKeys").and_then(Value::as_array) {
        target.retain(|k, _| keep.iter().any(|x| x == k));
    }
    for (key, value) in patch {
        if key == "$patch" || key == "$retainKeys" || key.starts_with("$setElementOrder/") {
            continue;
        }
        if let Some(list) = key.strip_prefix("$deleteFromPrimitiveList/") {
            if let (Some(Value::Array(items)), Value::Array(gone)) = (target.get_mut(list), value) {
                items.retain(|i| !gone.contains(i));
            }
            continue;
        }
        if value.is_null() {
            target.remove(key);
            continue;
        }
        let ty = field(ty, key);
        match (ty, value) {
            (Ty::List { kind: ListKind::Keyed(keys), item }, Value::Array(changes)) => {
                let merge_key = keys.first().map(String::as_str).unwrap_or_default();
                let entry = target.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if !entry.is_array() {
                    *entry = Value::Array(Vec::new());
                }
                if let Value::Array(items) = entry {
                    merge_list(item, merge_key, items, changes);
                    order(items, merge_key, patch.get(&format!("$setElementOrder/{key}")));
                    if items.is_empty() {
                        target.remove(key);
                    }
                }
            }
            (Ty::List { kind: ListKind::Set, .. }, Value::Array(more)) => {
                let entry = target.entry(key.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if let Value::Array(items) = entry {
                    for item in more {
                        if !items.contains(item) {
                            items.push(item.clone());
                        }
                    }
                    order(items, "", patch.get(&format!("$setElementOrder/{key}")));
                }
            }
            (ty, Value::Object(_)) => {
                merge(ty, target.entry(key.clone()).or_insert(Value::Null), value);
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
    for (key, wanted) in patch.iter().filter_map(|(k, v)| Some((k.strip_prefix("$setElementOrder/")?, v))) {
        if patch.contains_key(key) {
            continue;
        }
        let merge_key = match field(ty, key) {
            Ty::List { kind: ListKind::Keyed(keys), .. } => keys.first().cloned().unwrap_or_default(),
            _ => String::new(),
        };
        if let Some(Value::Array(items)) = target.get_mut(key) {
            order(items, &merge_key, Some(wanted));
        }
    }
}

fn field<'a>(ty: &'a Ty, name: &str) -> &'a Ty {
    const ANY: &Ty = &Ty::Any;
    match ty {
        Ty::Struct(s) => s.field(name).map_or(ANY, |f| &f.ty),
        Ty::Map { item, .. } => item,
        Ty::Any | Ty::Scalar(_) | Ty::List { .. } => ANY,
    }
}

fn merge_list(item: &Ty, key: &str, items: &mut Vec<Value>, changes: &[Value]) {
    if changes.iter().any(|c| c["$patch"] == "replace") {
        *items = changes.iter().filter(|c| c["$patch"] != "replace").cloned().collect();
        return;
    }
    for change in changes {
        let found = items.iter().position(|i| i.get(key) == change.get(key));
        match (change["$patch"].as_str(), found) {
            (Some("delete"), Some(i)) => {
                items.remove(i);
            }
            (Some("delete"), None) => {}
            (_, Some(i)) => merge(item, &mut items[i], change),
            (_, None) => {
                let mut new = Value::Object(Map::new());
                merge(item, &mut new, change);
                items.push(new);
            }
        }
    }
}

fn order(items: &mut [Value], key: &str, wanted: Option<&Value>) {
    let Some(Value::Array(wanted)) = wanted else { return };
    let place = |item: &Value| {
        wanted.iter().position(|w| if key.is_empty() { w == item } else { w.get(key) == item.get(key) })
    };
    items.sort_by_key(|i| place(i).unwrap_or(usize::MAX));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::built_in;

    #[test]
    fn containers_are_merged_by_name_and_deleted_on_request() {
        let mut v = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}]}}}});
        let patch = json!({"spec": {"template": {"spec": {"containers": [
            {"name": "a", "image": "2"}, {"name": "b", "$patch": "delete"}, {"name": "c", "image": "3"}]}}}});
        merge(&built_in("apps.v1.Deployment"), &mut v, &patch);
        assert_eq!(
            v,
            json!({"spec": {"template": {"spec": {"containers": [
                {"name": "a", "image": "2", "env": [{"name": "X", "value": "1"}]}, {"name": "c", "image": "3"}]}}}})
        );
    }
}
