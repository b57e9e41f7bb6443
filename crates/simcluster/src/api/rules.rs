//! What holds of every write: the type and names that a body must have, the fields that are the server's, and when a
//! generation rises.

use serde_json::{Map, Value, json};

use crate::kinds::Kind;
use crate::status::Refusal;

/// The `metadata` of an object, made if it is missing.
pub(crate) fn metadata(object: &mut Value) -> &mut Map<String, Value> {
    if !object.is_object() {
        *object = json!({});
    }
    if !object["metadata"].is_object() {
        object["metadata"] = json!({});
    }
    object["metadata"].as_object_mut().expect("it was made an object")
}

pub(super) fn without_managed_fields(object: &Value) -> Value {
    let mut out = object.clone();
    metadata(&mut out).remove("managedFields");
    out
}

/// What a write to the status endpoint may change: the status and, of built-in kinds, metadata but labels.
pub(super) fn status_only(old: &Value, new: Value, custom: bool) -> Value {
    let mut out = old.clone();
    if !custom {
        let labels = old["metadata"].get("labels").cloned();
        let meta = metadata(&mut out);
        *meta = new["metadata"].as_object().cloned().unwrap_or_default();
        match labels {
            Some(labels) => meta.insert("labels".into(), labels),
            None => meta.remove("labels"),
        };
    }
    match new.get("status") {
        Some(status) => out["status"] = status.clone(),
        None => {
            out.as_object_mut().map(|o| o.remove("status"));
        }
    }
    out
}

pub(super) fn keep_server_fields(old: &Value, new: &mut Value) {
    let from = old.get("metadata").cloned().unwrap_or_default();
    let meta = metadata(new);
    for field in [
        "uid",
        "creationTimestamp",
        "generation",
        "resourceVersion",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "namespace",
        "generateName",
    ] {
        match from.get(field) {
            Some(v) => meta.insert(field.into(), v.clone()),
            None => meta.remove(field),
        };
    }
    meta.remove("selfLink");
}

pub(super) fn spec_changed(kind: &Kind, old: &Value, new: &Value) -> bool {
    if kind.custom || kind.group == "admissionregistration.k8s.io" {
        let strip = |v: &Value| {
            let mut v = v.clone();
            if let Some(map) = v.as_object_mut() {
                map.remove("metadata");
                map.remove("status");
            }
            v
        };
        return strip(old) != strip(new);
    }
    // A Deployment hands its annotations on to its ReplicaSets: they count (pkg/registry/apps/deployment/strategy.go).
    let annotations = |v: &Value| v["metadata"]["annotations"].clone();
    old.get("spec") != new.get("spec")
        || (kind.group == "apps" && kind.kind == "Deployment" && annotations(old) != annotations(new))
}

/// A body without type is taken for what the path says.
pub(super) fn complete_type(value: &mut Value, kind: &str, api_version: &str) {
    if let Some(map) = value.as_object_mut() {
        for (field, default) in [("apiVersion", api_version), ("kind", kind)] {
            if map.get(field).and_then(Value::as_str).is_none_or(str::is_empty) {
                map.insert(field.into(), json!(default));
            }
        }
    }
}

pub(super) fn check_type(value: &Value, kind: &str, api_version: &str) -> Result<(), Refusal> {
    let text = |k: &str| value.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (given_kind, given_version) = (text("kind"), text("apiVersion"));
    if given_version != api_version {
        return Err(Refusal::bad_request(format!(
            "the API version in the data ({given_version}) does not match the expected API version ({api_version})"
        )));
    }
    if given_kind != kind {
        let (group, version) = api_version.split_once('/').unwrap_or(("core", api_version));
        let group = group.split('.').next().unwrap_or(group);
        return Err(Refusal::bad_request(format!(
            "{given_kind} in version {version:?} cannot be handled as a {kind}: converting ({version}.{given_kind}) to ({group}.{kind}): unknown conversion"
        )));
    }
    Ok(())
}

pub(super) fn check_names(value: &mut Value, name: &str, ns: &str, namespaced: bool) -> Result<(), Refusal> {
    let meta = metadata(value);
    match meta.get("name").and_then(Value::as_str) {
        None | Some("") => {
            meta.insert("name".into(), json!(name));
        }
        Some(given) if given != name => {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        Some(_) => {}
    }
    if namespaced {
        match meta.get("namespace").and_then(Value::as_str) {
            None | Some("") => {
                meta.insert("namespace".into(), json!(ns));
            }
            Some(given) if given != ns => {
                return Err(Refusal::bad_request(
                    "the namespace of the provided object does not match the namespace sent on the request",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}
