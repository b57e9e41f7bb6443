//! What the API server does to a body by decoding it into its Go type and encoding it again: unknown
//! fields are found and dropped, empty optional ones disappear, quantities become canonical.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Scalar, Struct, Ty, quantity};

/// What decoding found.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// `unknown field "spec.foo"`, in document order.
    pub strict: Vec<String>,
    /// The first value of a wrong type, in the words of the API server's JSON decoder.
    pub error: Option<String>,
}

/// Decodes `value` in place.
pub(crate) fn decode(ty: &Arc<Ty>, value: &mut Value) -> Decoded {
    let mut out = Decoded::default();
    let mut at = At { indexed: String::new(), plain: String::new() };
    visit(ty, value, "", &mut at, &mut out);
    out
}

/// Where the walk is: with list indexes for strict errors, without for type errors.
struct At {
    indexed: String,
    plain: String,
}

impl At {
    fn enter<R>(&mut self, name: &str, f: impl FnOnce(&mut Self) -> R) -> R {
        let (a, b) = (self.indexed.len(), self.plain.len());
        for path in [&mut self.indexed, &mut self.plain] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(name);
        }
        let result = f(self);
        self.indexed.truncate(a);
        self.plain.truncate(b);
        result
    }
}

fn visit(ty: &Arc<Ty>, value: &mut Value, owner: &str, at: &mut At, out: &mut Decoded) {
    match &**ty {
        Ty::Any => {}
        Ty::Scalar(scalar) => visit_scalar(*scalar, value, owner, at, out),
        Ty::List { item, .. } => match value {
            Value::Array(items) => {
                for (i, entry) in items.iter_mut().enumerate() {
                    let len = at.indexed.len();
                    at.indexed.push_str(&format!("[{i}]"));
                    visit(item, entry, owner, at, out);
                    at.indexed.truncate(len);
                }
            }
            Value::Null => {}
            other => mismatch(other, &format!("[]{}", go_name(item)), owner, at, out),
        },
        Ty::Map { item, .. } => match value {
            Value::Object(map) => {
                for (key, entry) in map.iter_mut() {
                    let len = at.indexed.len();
                    at.indexed.push_str(&format!(".{key}"));
                    visit(item, entry, owner, at, out);
                    at.indexed.truncate(len);
                }
                map.retain(|_, v| !v.is_null());
            }
            Value::Null => {}
            other => mismatch(other, &format!("map[string]{}", go_name(item)), owner, at, out),
        },
        Ty::Struct(s) => match value {
            Value::Object(map) => visit_struct(s, map, at, out),
            Value::Null => *value = Value::Object(Map::new()),
            other => mismatch(other, &format!("v1.{}", s.name), owner, at, out),
        },
    }
}

fn visit_struct(s: &Arc<Struct>, map: &mut Map<String, Value>, at: &mut At, out: &mut Decoded) {
    let mut unknown = Vec::new();
    for (key, entry) in map.iter_mut() {
        match s.field(key) {
            Some(field) if entry.is_null() => {
                let _ = field;
            }
            Some(field) => at.enter(key, |at| visit(&field.ty, entry, &s.name, at, out)),
            None => match &s.rest {
                Some(rest) => at.enter(key, |at| visit(rest, entry, &s.name, at, out)),
                None => {
                    at.enter(key, |at| out.strict.push(format!("unknown field \"{}\"", at.indexed)));
                    unknown.push(key.clone());
                }
            },
        }
    }
    if s.custom {
        map.retain(|k, _| !unknown.contains(k));
        return;
    }
    map.retain(|key, entry| {
        !entry.is_null()
            && !unknown.contains(key)
            && (!is_empty(entry)
                || s.field(key).is_some_and(|f| f.required || keeps_empty(&s.name, key, &f.ty, entry)))
    });
}

/// Structs that Go holds by value inside others, so that even an empty object has them.
const STRUCT_BY_VALUE: &[(&str, &str)] = &[
    ("PersistentVolumeClaimSpec", "resources"),
    ("PodTemplate", "template"),
    ("DeploymentSpec", "template"),
    ("DeploymentSpec", "strategy"),
    ("StatefulSetSpec", "template"),
    ("StatefulSetSpec", "updateStrategy"),
    ("DaemonSetSpec", "template"),
    ("DaemonSetSpec", "updateStrategy"),
    ("ReplicaSetSpec", "template"),
    ("JobSpec", "template"),
    ("CronJobSpec", "jobTemplate"),
    ("HorizontalPodAutoscalerSpec", "scaleTargetRef"),
    ("NetworkPolicySpec", "podSelector"),
    ("ServiceStatus", "loadBalancer"),
    ("IngressStatus", "loadBalancer"),
    ("RoleBinding", "roleRef"),
    ("ClusterRoleBinding", "roleRef"),
];

/// The JSON of an empty Go object of this type: what a new object is compared with.
pub(crate) fn zero(ty: &Ty) -> Value {
    let Ty::Struct(s) = ty else { return Value::Null };
    let mut out = Map::new();
    for (name, field) in s.order.iter().filter_map(|n| Some((n, s.field(n)?))) {
        let by_value = matches!(name.as_str(), "metadata" | "spec" | "status")
            || STRUCT_BY_VALUE.contains(&(s.name.as_str(), name.as_str()));
        match &*field.ty {
            Ty::Struct(_) if by_value => {
                out.insert(name.clone(), zero(&field.ty));
            }
            Ty::List { .. } | Ty::Map { .. } | Ty::Any if field.required => {
                out.insert(name.clone(), Value::Null);
            }
            _ => {}
        }
    }
    Value::Object(out)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(s) => s.is_empty(),
        Value::Array(a) => a.is_empty(),
        Value::Object(o) => o.is_empty(),
    }
}

/// Optional numbers and booleans that Go holds by value, so that zero means absent.
const BY_VALUE: &[&str] = &[
    "readOnly",
    "chapAuthDiscovery",
    "chapAuthSession",
    "sslEnabled",
    "hostPort",
    "initialDelaySeconds",
    "periodSeconds",
    "successThreshold",
    "failureThreshold",
    "stdin",
    "stdinOnce",
    "tty",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "minReadySeconds",
    "publishNotReadyAddresses",
    "healthCheckNodePort",
    "targetPort",
    "nodePort",
    "unschedulable",
    "paused",
    "count",
    "number",
    "observedGeneration",
    "generation",
    "fullyLabeledReplicas",
    "readyReplicas",
    "updatedReplicas",
    "unavailableReplicas",
    "currentReplicas",
    "updatedNumberScheduled",
    "numberAvailable",
    "numberUnavailable",
    "active",
    "succeeded",
    "failed",
    "globalDefault",
    "signal",
    "deprecatedCount",
];

/// Optional strings that Go holds by reference, so that `""` is not absent.
const BY_REFERENCE: &[&str] = &[
    "storageClassName",
    "volumeAttributesClassName",
    "ingressClassName",
    "apiGroup",
    "holderIdentity",
    "localhostProfile",
    "serviceName",
    "timeZone",
    "reportingComponent",
    "reportingInstance",
    "loadBalancerClass",
];

fn keeps_empty(owner: &str, field: &str, ty: &Ty, value: &Value) -> bool {
    match ty {
        Ty::Struct(_) => true,
        Ty::Any => true,
        Ty::List { .. } => {
            matches!(
                (owner, field),
                ("Role" | "ClusterRole", "rules") | ("EndpointSlice", "endpoints" | "ports")
            )
        }
        Ty::Map { .. } => false,
        Ty::Scalar(_) => match value {
            Value::String(_) => BY_REFERENCE.contains(&field) || (owner == "EndpointPort" && field == "name"),
            _ if field == "replicas" => !matches!(owner, "DeploymentStatus" | "ScaleSpec"),
            _ if field == "availableReplicas" => owner == "StatefulSetStatus",
            _ if field == "timeoutSeconds" => owner != "Probe",
            _ if field == "partition" => owner == "RollingUpdateStatefulSetStrategy",
            _ if field == "readOnly" => matches!(owner, "AzureDiskVolumeSource" | "CSIVolumeSource"),
            _ => !BY_VALUE.contains(&field),
        },
    }
}

fn visit_scalar(scalar: Scalar, value: &mut Value, owner: &str, at: &At, out: &mut Decoded) {
    match (scalar, &*value) {
        (_, Value::Null) | (Scalar::Str | Scalar::Time | Scalar::MicroTime, Value::String(_)) => {}
        (Scalar::Bool, Value::Bool(_)) => {}
        (Scalar::Float, Value::Number(_)) => {}
        (Scalar::Int32, Value::Number(n)) => match n.as_i64() {
            Some(i) if i32::try_from(i).is_ok() => {}
            _ => mismatch_text(&format!("number {n}"), "int32", owner, at, out),
        },
        (Scalar::Int64, Value::Number(n)) => {
            if n.as_i64().is_none() {
                mismatch_text(&format!("number {n}"), "int64", owner, at, out);
            }
        }
        (Scalar::IntOrString, Value::Number(_) | Value::String(_)) => {}
        (Scalar::Bytes, Value::String(text)) => {
            if let Err(at_byte) = check_base64(text) {
                fail(out, format!("illegal base64 data at input byte {at_byte}"));
            }
        }
        (Scalar::Quantity, Value::String(_) | Value::Number(_)) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            match quantity::parse(text.trim()) {
                Some(q) => *value = Value::String(q.canonical()),
                None => fail(out, quantity_error(&text).to_owned()),
            }
        }
        (Scalar::Quantity, _) => fail(out, quantity::FORMAT_ERROR.into()),
        (_, other) => mismatch(other, go_scalar(scalar), owner, at, out),
    }
}

fn quantity_error(text: &str) -> &'static str {
    let body = text.trim_start_matches(['+', '-']);
    let digits = body.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    if body.len() != digits.len()
        && !digits.is_empty()
        && digits.chars().all(|c| "eEinumkKMGTP0123456789+-".contains(c))
    {
        "unable to parse quantity's suffix"
    } else {
        quantity::FORMAT_ERROR
    }
}

/// The offset of the first byte that is not base64, as Go's decoder counts it.
fn check_base64(text: &str) -> Result<(), usize> {
    let bytes: Vec<u8> = text.bytes().filter(|b| *b != b'\n' && *b != b'\r').collect();
    let body = bytes.iter().rposition(|b| *b != b'=').map_or(0, |p| p + 1);
    for (i, b) in bytes[..body].iter().enumerate() {
        if !(b.is_ascii_alphanumeric() || *b == b'+' || *b == b'/') {
            return Err(i);
        }
    }
    let padding = bytes.len() - body;
    if bytes.len().is_multiple_of(4) && padding <= 2 { Ok(()) } else { Err(bytes.len() - bytes.len() % 4) }
}

fn go_scalar(scalar: Scalar) -> &'static str {
    match scalar {
        Scalar::Str => "string",
        Scalar::Int32 => "int32",
        Scalar::Int64 => "int64",
        Scalar::Float => "float64",
        Scalar::Bool => "bool",
        Scalar::Bytes => "[]uint8",
        Scalar::Time => "string",
        Scalar::MicroTime => "string",
        Scalar::Quantity => "resource.Quantity",
        Scalar::IntOrString => "int32",
    }
}

fn go_name(ty: &Ty) -> String {
    match ty {
        Ty::Scalar(s) => go_scalar(*s).into(),
        Ty::Any => "interface {}".into(),
        Ty::List { item, .. } => format!("[]{}", go_name(item)),
        Ty::Map { item, .. } => format!("map[string]{}", go_name(item)),
        Ty::Struct(s) => format!("v1.{}", s.name),
    }
}

fn mismatch(value: &Value, wanted: &str, owner: &str, at: &At, out: &mut Decoded) {
    let got = match value {
        Value::Null => return,
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    mismatch_text(got, wanted, owner, at, out);
}

fn mismatch_text(got: &str, wanted: &str, owner: &str, at: &At, out: &mut Decoded) {
    fail(
        out,
        format!("json: cannot unmarshal {got} into Go struct field {owner}.{} of type {wanted}", at.plain),
    );
}

fn fail(out: &mut Decoded, message: String) {
    out.error.get_or_insert(message);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::built_in;

    #[test]
    fn empty_optional_fields_disappear_as_they_do_in_go() {
        let mut value = json!({
            "metadata": {"name": "a", "labels": {}},
            "spec": {"replicas": 0, "paused": false, "selector": {"matchLabels": {}},
                "template": {"spec": {"containers": [{"name": "a", "env": [], "resources": {"limits": {"cpu": 0.5}},
                    "volumeMounts": [{"name": "v", "mountPath": "/v", "readOnly": false}]}],
                    "volumes": [{"name": "v", "emptyDir": {}}]}}}
        });
        let found = decode(&built_in("apps.v1.Deployment"), &mut value);
        assert!(found.strict.is_empty() && found.error.is_none(), "{found:?}");
        assert_eq!(
            value,
            json!({
                "metadata": {"name": "a"},
                "spec": {"replicas": 0, "selector": {},
                    "template": {"spec": {"containers": [{"name": "a", "resources": {"limits": {"cpu": "500m"}},
                        "volumeMounts": [{"name": "v", "mountPath": "/v"}]}],
                        "volumes": [{"name": "v", "emptyDir": {}}]}}}
            })
        );
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_named_in_the_servers_words() {
        let mut value = json!({"spec": {"foo": 1, "replicas": "3", "template": {"spec": {"containers": [{"imag": "x"}]}}}});
        let found = decode(&built_in("apps.v1.Deployment"), &mut value);
        assert_eq!(
            found.strict,
            ["unknown field \"spec.foo\"", "unknown field \"spec.template.spec.containers[0].imag\""]
        );
        assert_eq!(
            found.error.as_deref(),
            Some(
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
            )
        );
    }
}
