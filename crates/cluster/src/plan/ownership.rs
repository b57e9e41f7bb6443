//! Who owns which field: `metadata.managedFields`, read.
//!
//! With it, two questions are answered without asking the server again: is an object exactly as wanted, owned by us and nothing
//! more ([`proves_unchanged`]), and who changed a field that is not as wanted ([`owner_of`]).

use serde_json::{Map, Value};

use super::quantity;
use super::wanted::is_volatile;

/// Our field manager.
pub const FIELD_MANAGER: &str = "kit";

/// Managers whose fields become ours at the first deploy: what applied the same manifests before kit did.
pub(crate) const PREDECESSORS: &[&str] = &[
    // `kubectl apply`, which is also what the original kit ran.
    "kubectl-client-side-apply",
    // `kubectl apply --server-side`, and client-side apply before 1.18.
    "kubectl",
    // `kubectl create --save-config`, the original's `--create-only`.
    "kubectl-create",
    // Objects from before managed fields.
    "before-first-apply",
];

/// Managers that are a person with a terminal: what they changed in a field of ours is drift, and is put back.
const PEOPLE: &[&str] = &[
    "kubectl-edit",
    "kubectl-patch",
    "kubectl-set",
    "kubectl-scale",
    "kubectl-replace",
    "kubectl-label",
    "kubectl-annotate",
    "kubectl-rollout",
    "kubectl-taint",
    "kubectl-autoscale",
    "kubectl-expose",
    "kubectl-run",
];

/// Whether fields of `manager` are taken back without being asked.
pub(crate) fn yields(manager: &str) -> bool {
    PREDECESSORS.contains(&manager)
        || PEOPLE.contains(&manager)
        || manager == FIELD_MANAGER
        || manager == crate::strategy::SCALE_MANAGER
}

/// The entries of `metadata.managedFields`.
pub(crate) fn managed_fields(live: &Value) -> impl Iterator<Item = &Value> {
    live["metadata"]["managedFields"].as_array().into_iter().flatten()
}

pub(crate) fn is_ours(entry: &Value) -> bool {
    entry["manager"] == FIELD_MANAGER
        && entry["operation"] == "Apply"
        && entry["subresource"].as_str().unwrap_or_default().is_empty()
}

/// The fields that we own in `live`.
pub(crate) fn our_fields(live: &Value) -> Option<&Map<String, Value>> {
    managed_fields(live).find(|entry| is_ours(entry))?["fieldsV1"].as_object()
}

/// Whether the fields of an entry are to become ours: a predecessor's, or what we created otherwise than by apply
/// (`--create-only`), which the server takes for another manager's (kubernetes/kubernetes#107417).
pub(crate) fn is_predecessor(entry: &Value) -> bool {
    entry["subresource"].as_str().unwrap_or_default().is_empty()
        && entry["manager"].as_str().is_some_and(|manager| {
            PREDECESSORS.contains(&manager) || (manager == FIELD_MANAGER && entry["operation"] == "Update")
        })
}

/// The predecessors that own something in `live` which is to become ours.
pub(crate) fn predecessors(live: &Value) -> Vec<&str> {
    let mut found: Vec<&str> = managed_fields(live)
        .filter(|entry| is_predecessor(entry))
        .filter_map(|entry| entry["manager"].as_str())
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether applying `wanted` could not change anything: every field that it has is there with that value and is ours, and nothing
/// else is ours. `false` means "not proven".
pub(crate) fn proves_unchanged(wanted: &Value, live: &Value) -> bool {
    match our_fields(live) {
        Some(fields) => same_map(wanted, live, fields, Place::Root),
        None => false,
    }
}

/// Where in the object a comparison is; only as much as decides special cases.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Root,
    Metadata,
    Annotations,
    Labels,
    /// Texts of the user, which are compared as texts: `data`, annotations and labels of templates.
    Opaque,
    Other {
        quantities: bool,
    },
}

impl Place {
    fn child(self, key: &str) -> Self {
        match (self, key) {
            (Self::Root, "metadata") => Self::Metadata,
            (Self::Metadata, "annotations") => Self::Annotations,
            (Self::Metadata, "labels") => Self::Labels,
            (Self::Root, "data" | "binaryData" | "stringData") => Self::Opaque,
            (Self::Root | Self::Metadata, _) => Self::Other { quantities: false },
            (Self::Annotations | Self::Labels | Self::Opaque, _) => Self::Opaque,
            (Self::Other { .. }, "annotations" | "labels") => Self::Opaque,
            // Maps inside a map of quantities do not exist; a list ends it.
            (Self::Other { quantities }, _) => {
                Self::Other { quantities: quantities || quantity::holds_quantities(key) }
            }
        }
    }

    /// Fields that identify the object or differ on every deploy: nobody's, or never a reason to write.
    fn skips(self, key: &str) -> bool {
        match self {
            Self::Root => key == "apiVersion" || key == "kind",
            Self::Metadata => key == "name" || key == "namespace",
            Self::Annotations | Self::Labels => is_volatile(key),
            Self::Opaque | Self::Other { .. } => false,
        }
    }
}

fn same(wanted: &Value, live: Option<&Value>, fields: &Map<String, Value>, place: Place, key: &str) -> bool {
    let leaf = fields.keys().all(|key| key == ".");
    match wanted {
        Value::Object(map) if !leaf || (map.is_empty() && !fields.is_empty()) => match live {
            Some(live) => same_map(wanted, live, fields, place),
            None => false,
        },
        Value::Array(items) if !leaf => match live.and_then(Value::as_array) {
            Some(live) => same_list(items, live, fields, place),
            None => false,
        },
        Value::Object(_) | Value::Array(_) => live.is_some_and(|live| same_atom(wanted, live, place, key)),
        Value::Null => leaf && live.is_none_or(Value::is_null),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            leaf && live.is_some_and(|live| same_scalar(wanted, live, place))
        }
    }
}

fn same_map(wanted: &Value, live: &Value, fields: &Map<String, Value>, place: Place) -> bool {
    let (Some(wanted), Some(live)) = (wanted.as_object(), live.as_object()) else { return false };
    let ours_only = fields
        .keys()
        .filter_map(|key| key.strip_prefix("f:"))
        .all(|key| place.skips(key) || wanted.contains_key(key));
    ours_only
        && wanted.iter().filter(|(key, _)| !place.skips(key)).all(|(key, value)| {
            match fields.get(&format!("f:{key}")).and_then(Value::as_object) {
                Some(below) => same(value, live.get(key), below, place.child(key), key),
                // Only what says nothing may be unowned: null, and maps of which nothing is left but volatile keys.
                None => value.is_null() || says_nothing(value, place.child(key)),
            }
        })
}

fn says_nothing(value: &Value, place: Place) -> bool {
    value.as_object().is_some_and(|map| !map.is_empty() && map.keys().all(|key| place.skips(key)))
}

fn same_list(wanted: &[Value], live: &[Value], fields: &Map<String, Value>, place: Place) -> bool {
    type Fields = Map<String, Value>;
    let keyed: Vec<(Fields, &Fields)> = fields
        .iter()
        .filter_map(|(key, below)| {
            let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            Some((key.as_object()?.clone(), below.as_object()?))
        })
        .collect();
    let values: Vec<Value> =
        fields.keys().filter_map(|key| serde_json::from_str(key.strip_prefix("v:")?).ok()).collect();
    if !values.is_empty() && keyed.is_empty() {
        return values.len() == wanted.len()
            && wanted.iter().all(|item| values.contains(item) && live.contains(item));
    }
    if keyed.len() != wanted.len() {
        return false;
    }
    let mut after = 0;
    wanted.iter().all(|item| {
        let Some((key, below)) = keyed.iter().find(|(key, _)| has_key(item, key)) else { return false };
        // The order of a list is part of what is applied: `$(A)` in an env value needs A before it.
        let Some(at) = live.iter().skip(after).position(|other| has_key(other, key)) else { return false };
        after += at + 1;
        same_item(item, &live[after - 1], below, key, place)
    })
}

/// As a map, but the fields that make up the key may be left to their default in the manifest (`protocol`).
fn same_item(
    wanted: &Value,
    live: &Value,
    fields: &Map<String, Value>,
    key: &Map<String, Value>,
    place: Place,
) -> bool {
    let (Some(wanted), Some(live)) = (wanted.as_object(), live.as_object()) else { return false };
    fields
        .keys()
        .filter_map(|field| field.strip_prefix("f:"))
        .all(|field| wanted.contains_key(field) || key.contains_key(field))
        && wanted.iter().all(|(field, value)| {
            match fields.get(&format!("f:{field}")).and_then(Value::as_object) {
                Some(below) => same(value, live.get(field), below, place.child(field), field),
                None => value.is_null(),
            }
        })
}

/// Whether `item` is the element that `key` names; what the manifest leaves out has its default.
fn has_key(item: &Value, key: &Map<String, Value>) -> bool {
    key.iter().all(|(field, value)| match item.get(field) {
        Some(found) => found == value,
        None => field == "protocol" && value == "TCP",
    })
}

fn same_scalar(wanted: &Value, live: &Value, place: Place) -> bool {
    wanted == live
        || same_number(wanted, live)
        || (place == Place::Other { quantities: true } && quantity::same(wanted, live))
}

fn same_number(a: &Value, b: &Value) -> bool {
    a.is_number() && b.is_number() && a.as_f64() == b.as_f64()
}

/// Compares what the server replaces as a whole. Fields that the manifest leaves out may be there with the default that the server
/// would give them again.
fn same_atom(wanted: &Value, live: &Value, place: Place, parent: &str) -> bool {
    match (wanted, live) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| match b.get(key) {
                Some(other) => same_atom(value, other, place.child(key), key),
                None => value.is_null(),
            }) && b.iter().all(|(key, value)| a.contains_key(key) || is_default(parent, key, value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_atom(a, b, place, parent))
        }
        _ => same_scalar(wanted, live, place),
    }
}

/// Defaults inside fields that are replaced as a whole (k8s.io/kubernetes/pkg/apis/*/v1/defaults.go).
fn is_default(parent: &str, key: &str, value: &Value) -> bool {
    match (parent, key) {
        ("fieldRef", "apiVersion") => value == "v1",
        ("resourceFieldRef", "divisor") => quantity::same(value, &Value::from("0")),
        ("volumeClaimTemplates", "apiVersion") => value == "v1",
        ("volumeClaimTemplates", "kind") => value == "PersistentVolumeClaim",
        ("volumeClaimTemplates", "status") => *value == serde_json::json!({"phase": "Pending"}),
        ("spec", "volumeMode") => value == "Filesystem",
        ("metadata", "creationTimestamp") => value.is_null(),
        ("ports", "protocol") => value == "TCP",
        ("serviceAccountToken", "expirationSeconds") => *value == 3600,
        _ => false,
    }
}

/// A step into an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Key(String),
    /// The element of a list with these fields.
    Item(Map<String, Value>),
    /// The element of a list that has no key.
    Index(usize),
}

/// The manager, other than us, that owns the field at `path`, or the nearest field above that is owned as a whole.
pub(crate) fn owner_of(live: &Value, path: &[Step]) -> Option<String> {
    managed_fields(live).filter(|entry| !is_ours(entry)).find_map(|entry| {
        let fields = entry["fieldsV1"].as_object()?;
        owns(fields, path).then(|| entry["manager"].as_str().unwrap_or_default().to_owned())
    })
}

/// Whether the number of replicas is ours to say.
pub(crate) fn owns_replicas(live: &Value) -> bool {
    let path = [Step::Key("spec".into()), Step::Key("replicas".into())];
    managed_fields(live)
        .filter(|entry| is_ours(entry) || is_predecessor(entry))
        .any(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| owns(fields, &path)))
}

/// Whether a set of fields includes `path`.
pub(crate) fn owns(fields: &Map<String, Value>, path: &[Step]) -> bool {
    let Some((step, rest)) = path.split_first() else { return true };
    if fields.is_empty() {
        return true;
    }
    let below = match step {
        Step::Key(key) => fields.get(&format!("f:{key}")),
        Step::Item(item) => fields.iter().find_map(|(key, below)| {
            let key: Value = serde_json::from_str(key.strip_prefix("k:")?).ok()?;
            key.as_object()?.iter().all(|(field, value)| item.get(field) == Some(value)).then_some(below)
        }),
        Step::Index(_) => None,
    };
    below.and_then(Value::as_object).is_some_and(|below| owns(below, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A Deployment as a 1.33 API server returns it after an apply of [`wanted`].
    fn live() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "a", "namespace": "web", "resourceVersion": "7", "labels": {"app": "a", "id": "d1"},
                "annotations": {"kit-deployer/commit": "old", "deployment.kubernetes.io/revision": "1"},
                "managedFields": [
                    {"manager": "kit", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {
                        "f:metadata": {"f:labels": {"f:app": {}, "f:id": {}}, "f:annotations": {"f:kit-deployer/commit": {}}},
                        "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {
                            "f:metadata": {"f:labels": {"f:app": {}}},
                            "f:spec": {"f:containers": {"k:{\"name\":\"a\"}": {
                                ".": {}, "f:name": {}, "f:image": {}, "f:args": {},
                                "f:resources": {"f:limits": {"f:cpu": {}}},
                                "f:env": {"k:{\"name\":\"IP\"}": {".": {}, "f:name": {}, "f:valueFrom": {"f:fieldRef": {}}}},
                                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {".": {}, "f:containerPort": {}}},
                            }}},
                        }},
                    }},
                    {"manager": "kube-controller-manager", "operation": "Update", "subresource": "status", "fieldsV1": {
                        "f:metadata": {"f:annotations": {"f:deployment.kubernetes.io/revision": {}}}}},
                ],
            },
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}}, "strategy": {"type": "RollingUpdate"},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{
                    "name": "a", "image": "i:1", "args": ["-x"], "resources": {"limits": {"cpu": "500m"}},
                    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}}],
                    "ports": [{"containerPort": 80, "protocol": "TCP"}],
                }]}}},
        })
    }

    fn wanted() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "a", "namespace": "web", "labels": {"app": "a", "id": "d2"},
                "annotations": {"kit-deployer/commit": "new"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "a"}},
                "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{
                    "name": "a", "image": "i:1", "args": ["-x"], "resources": {"limits": {"cpu": 0.5}},
                    "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}],
                    "ports": [{"containerPort": 80}],
                }]}}},
        })
    }

    #[test]
    fn an_object_that_is_as_wanted_and_ours_is_proven_unchanged() {
        assert!(proves_unchanged(&wanted(), &live()));
    }

    #[test]
    fn every_difference_of_value_order_or_ownership_breaks_the_proof() {
        let container = "/spec/template/spec/containers/0";
        let changes: &[(&str, &str, Value)] = &[
            ("wanted", "/spec/replicas", json!(3)),
            ("live", "/spec/replicas", json!(3)),
            ("wanted", "/metadata/labels", json!({"app": "a", "new": "x"})),
            ("wanted", "/metadata/labels", json!({})),
            ("wanted", &format!("{container}/args"), json!(["-x", "-y"])),
            ("wanted", &format!("{container}/resources/limits/cpu"), json!("501m")),
            ("wanted", &format!("{container}/env"), json!([])),
            ("wanted", &format!("{container}/ports"), json!([{"containerPort": 80, "protocol": "UDP"}])),
            ("live", &format!("{container}/image"), json!("i:2")),
            ("live", "/metadata/managedFields/0/operation", json!("Update")),
            ("live", "/metadata/managedFields/0/fieldsV1/f:spec/f:replicas", json!({"f:x": {}})),
            ("live", "/metadata/managedFields/0/fieldsV1/f:spec", json!({"f:replicas": {}, "f:paused": {}})),
        ];
        for (side, pointer, value) in changes {
            let (mut wanted, mut live) = (wanted(), live());
            let target = if *side == "wanted" { &mut wanted } else { &mut live };
            *target.pointer_mut(pointer).unwrap() = value.clone();
            assert!(!proves_unchanged(&wanted, &live), "{side} {pointer} {value}");
        }
    }

    #[test]
    fn the_owner_of_a_field_is_found_through_the_keys_of_lists() {
        let mut live = live();
        live["metadata"]["managedFields"].as_array_mut().unwrap().push(json!({
            "manager": "kubectl-edit", "operation": "Update", "fieldsV1": {"f:spec": {"f:template": {"f:spec": {
                "f:containers": {"k:{\"name\":\"a\"}": {"f:image": {}}}}}}}}));
        let item = json!({"name": "a", "image": "i:1"}).as_object().unwrap().clone();
        let key = |text: &str| Step::Key(text.into());
        let mut path = vec![
            key("spec"),
            key("template"),
            key("spec"),
            key("containers"),
            Step::Item(item),
            key("image"),
        ];
        assert_eq!(owner_of(&live, &path), Some("kubectl-edit".into()));
        path[5] = key("args");
        assert_eq!(owner_of(&live, &path), None);
    }
}
