//! The `scale` subresource.

use serde_json::{Value, json};

use super::body::Body;
use super::prepare;
use super::rules::metadata;
use super::write::{Writing, Written};
use crate::cluster::now;
use crate::fields::managers::{Managers, Reach, Writer};
use crate::kinds::Scale;
use crate::selector::LabelSelector;
use crate::status::Refusal;

/// The `Scale` view of an object.
pub(crate) fn view(scale: &Scale, object: &Value) -> Value {
    let meta = &object["metadata"];
    let mut out = json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"], "creationTimestamp": meta["creationTimestamp"],
        },
        "spec": {},
        "status": {"replicas": object.pointer(&scale.status_path).and_then(Value::as_i64).unwrap_or(0)},
    });
    if let Some(replicas) = object.pointer(&scale.spec_path).and_then(Value::as_i64) {
        out["spec"]["replicas"] = json!(replicas);
    }
    let selector = match &scale.selector_path {
        Some(path) => object.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned(),
        None => match object.pointer("/spec/selector") {
            Some(s) if s.get("matchLabels").is_none() && s.get("matchExpressions").is_none() => {
                LabelSelector::of_map(Some(s)).print()
            }
            other => LabelSelector::of(other).print(),
        },
    };
    if !selector.is_empty() {
        out["status"]["selector"] = json!(selector);
    }
    out
}

/// Replaces the replicas of an object by those of a `Scale`.
///
/// # Errors
/// 404, 409, 422.
pub(crate) fn update(
    writing: &mut Writing<'_>,
    scale: &Scale,
    name: &str,
    body: Body,
) -> Result<Written, Refusal> {
    let live = writing.live(name)?;
    let given = body.value["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    if !given.is_empty() && live["metadata"]["resourceVersion"] != given {
        let why =
            "the object has been modified; please apply your changes to the latest version and try again";
        return Err(Refusal::conflict(&writing.kind.group, &writing.kind.plural, name, why));
    }
    let replicas = body.value["spec"]["replicas"].as_i64().unwrap_or(0);
    let mut value = live.clone();
    prepare::put(&mut value, &scale.spec_path, json!(replicas));
    let mut managers = Managers::read(&live).unwrap_or_default();
    let mut old = live.clone();
    metadata(&mut old).remove("managedFields");
    metadata(&mut value).remove("managedFields");
    let api_version = writing.kind.api_version(&writing.version);
    let (time, ty) = (now(), writing.kind.version(&writing.version).map(|v| v.ty.clone()));
    let manager = writing.options.manager.clone();
    if let Some(ty) = ty {
        let writer =
            Writer { manager: &manager, api_version: &api_version, subresource: "scale", now: &time };
        managers.update(&ty, &old, &value, writer, Reach::Scale);
    }
    let written = writing.replace(name, live, value, managers, Vec::new())?;
    Ok(Written { object: view(scale, &written.object), ..written })
}
