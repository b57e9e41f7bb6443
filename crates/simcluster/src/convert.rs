//! Between the version of a request and the stored one.

use serde_json::{Map, Value, json};

use crate::kinds::Kind;

/// From the version of a request to the stored form.
pub(crate) fn to_stored(kind: &Kind, version: &str, mut object: Value) -> Value {
    if kind.kind == "Event" && kind.group == "events.k8s.io" {
        rename(&mut object, EVENT_FIELDS, false);
        object["apiVersion"] = json!("v1");
        return object;
    }
    if version != kind.stored().name {
        if kind.kind == "HorizontalPodAutoscaler" {
            hpa_to_v2(&mut object);
        }
        object["apiVersion"] = json!(kind.api_version(&kind.stored().name));
    }
    object
}

/// From the stored form to the version of a request.
pub(crate) fn from_stored(kind: &Kind, version: &str, mut object: Value) -> Value {
    if kind.kind == "Event" && kind.group == "events.k8s.io" {
        rename(&mut object, EVENT_FIELDS, true);
        object["apiVersion"] = json!("events.k8s.io/v1");
        return object;
    }
    if version != kind.stored().name {
        if kind.kind == "HorizontalPodAutoscaler" {
            hpa_to_v1(&mut object);
        }
        object["apiVersion"] = json!(kind.api_version(version));
    }
    object
}

/// Whether objects must be converted for this version.
pub(crate) fn needed(kind: &Kind, version: &str) -> bool {
    version != kind.stored().name || kind.group == "events.k8s.io"
}

/// Core name, events.k8s.io name.
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("count", "deprecatedCount"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("source", "deprecatedSource"),
    ("reportingComponent", "reportingController"),
];

fn rename(object: &mut Value, names: &[(&str, &str)], forward: bool) {
    let Some(map) = object.as_object_mut() else { return };
    let old = std::mem::take(map);
    *map = old
        .into_iter()
        .map(|(k, v)| {
            let new = names.iter().find_map(|(a, b)| match forward {
                true if *a == k => Some((*b).to_owned()),
                false if *b == k => Some((*a).to_owned()),
                _ => None,
            });
            (new.unwrap_or(k), v)
        })
        .collect::<Map<_, _>>();
}

fn hpa_to_v2(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
        && let Some(target) = spec.remove("targetCPUUtilizationPercentage")
    {
        spec.insert(
            "metrics".into(),
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": target}}}]),
        );
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("currentCPUUtilizationPercentage");
    }
}

fn hpa_to_v1(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("behavior");
        let target = spec.remove("metrics").and_then(|m| {
            m.as_array()?
                .iter()
                .find(|m| m["resource"]["name"] == "cpu")?
                .pointer("/resource/target/averageUtilization")
                .cloned()
        });
        if let Some(target) = target {
            spec.insert("targetCPUUtilizationPercentage".into(), target);
        }
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        status.remove("conditions");
        status.remove("currentMetrics");
    }
}
