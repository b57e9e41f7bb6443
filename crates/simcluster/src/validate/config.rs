//! ConfigMaps, Secrets, claims, roles, autoscalers, budgets, definitions.

use serde_json::{Value, json};

use super::pod::one_of;
use super::workload::int_or_percent;
use crate::controllers::objects::canonical;
use crate::schema::quantity;
use crate::status::Cause;

const KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const MOST: usize = 1_048_576;

fn keys(map: &Value, path: &str, causes: &mut Vec<Cause>) -> usize {
    let mut size = 0;
    for (key, value) in map.as_object().into_iter().flatten() {
        let fits = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        if !fits {
            causes.push(Cause::invalid_text(format!("{path}[{key}]"), &format!("{key:?}"), KEY));
        }
        size += value.as_str().map_or(0, str::len);
    }
    size
}

fn too_long(path: &str, causes: &mut Vec<Cause>) {
    causes.push(Cause {
        reason: "FieldValueTooLong",
        message: format!("Too long: may not be more than {MOST} bytes"),
        field: path.into(),
    });
}

pub(super) fn config_map(object: &Value, causes: &mut Vec<Cause>) {
    let mut size = keys(&object["data"], "data", causes);
    for (key, _) in object["data"].as_object().into_iter().flatten() {
        if object["binaryData"].get(key).is_some() {
            let detail = "duplicate of key present in binaryData";
            causes.push(Cause::invalid_text(format!("data[{key}]"), &format!("{key:?}"), detail));
        }
    }
    size += keys(&object["binaryData"], "binaryData", causes) / 4 * 3;
    if size > MOST {
        too_long("[]", causes);
    }
}

pub(super) fn secret(object: &Value, causes: &mut Vec<Cause>) {
    use base64::Engine as _;
    let size = keys(&object["data"], "data", causes) / 4 * 3;
    if size > MOST {
        too_long("data", causes);
    }
    let mut need = |names: &[&str]| {
        for name in names {
            if object["data"].get(*name).is_none() {
                causes.push(Cause::required(format!("data[{name}]"), ""));
            }
        }
    };
    match object["type"].as_str().unwrap_or_default() {
        "kubernetes.io/tls" => need(&["tls.crt", "tls.key"]),
        "kubernetes.io/basic-auth" => {
            let given = |k: &str| object["data"].get(k).is_some();
            if !given("username") && !given("password") {
                need(&["username", "password"]);
            }
        }
        "kubernetes.io/ssh-auth" => need(&["ssh-privatekey"]),
        kind @ ("kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg") => {
            let name = if kind.ends_with("json") { ".dockerconfigjson" } else { ".dockercfg" };
            match object["data"].get(name).and_then(Value::as_str) {
                None => need(&[name]),
                Some(text) => {
                    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap_or_default();
                    if serde_json::from_slice::<Value>(&bytes).is_err() {
                        let first = bytes.first().map_or("unexpected end of JSON input".to_owned(), |b| {
                            format!("invalid character '{}' looking for beginning of value", char::from(*b))
                        });
                        let at = format!("data[{name}]");
                        causes.push(Cause::invalid_text(at, "\"<secret contents redacted>\"", &first));
                    }
                }
            }
        }
        "kubernetes.io/service-account-token"
            if object["metadata"]["annotations"]["kubernetes.io/service-account.name"].as_str().is_none() =>
        {
            causes.push(Cause::required("metadata.annotations[kubernetes.io/service-account.name]", ""));
        }
        _ => {}
    }
}

pub(super) fn claim(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let modes = spec["accessModes"].as_array().cloned().unwrap_or_default();
    if modes.is_empty() {
        causes.push(Cause::required("spec.accessModes", "at least 1 access mode is required"));
    }
    for mode in modes {
        let allowed = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
        let given = mode.as_str().unwrap_or_default();
        if !allowed.contains(&given) {
            causes.push(Cause::unsupported("spec.accessModes", given, &allowed));
        }
    }
    let size = &spec["resources"]["requests"]["storage"];
    match size.as_str().and_then(quantity::parse) {
        None => causes.push(Cause::required("spec.resources[storage]", "")),
        Some(q) if q.nano <= 0 => {
            causes.push(Cause::invalid("spec.resources[storage]", size, "must be greater than zero"));
        }
        Some(_) => {}
    }
}

pub(super) fn role(object: &Value, causes: &mut Vec<Cause>) {
    for (i, rule) in object["rules"].as_array().into_iter().flatten().enumerate() {
        let at = format!("rules[{i}]");
        let empty = |k: &str| rule[k].as_array().is_none_or(Vec::is_empty);
        if empty("verbs") {
            causes.push(Cause::required(format!("{at}.verbs"), "verbs must contain at least one value"));
        }
        if !empty("nonResourceURLs") {
            continue;
        }
        if empty("apiGroups") {
            causes.push(Cause::required(
                format!("{at}.apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if empty("resources") {
            causes.push(Cause::required(
                format!("{at}.resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
}

pub(super) fn binding(object: &Value, cluster: bool, causes: &mut Vec<Cause>) {
    let role = &object["roleRef"];
    let kinds: &[&str] = if cluster { &["ClusterRole"] } else { &["Role", "ClusterRole"] };
    let kind = role["kind"].as_str().unwrap_or_default();
    if !kinds.contains(&kind) {
        causes.push(Cause::unsupported("roleRef.kind", kind, kinds));
    }
    if role["name"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required("roleRef.name", ""));
    }
    for (i, subject) in object["subjects"].as_array().into_iter().flatten().enumerate() {
        let at = format!("subjects[{i}]");
        if subject["name"].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("{at}.name"), ""));
        }
        match subject["kind"].as_str().unwrap_or_default() {
            "ServiceAccount" if cluster && subject["namespace"].as_str().is_none_or(str::is_empty) => {
                causes.push(Cause::required(format!("{at}.namespace"), ""));
            }
            "ServiceAccount" | "User" | "Group" => {}
            other => {
                causes.push(Cause::unsupported(
                    format!("{at}.kind"),
                    other,
                    &["ServiceAccount", "User", "Group"],
                ));
            }
        }
    }
}

pub(super) fn autoscaler(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let (low, high) = (spec["minReplicas"].as_i64().unwrap_or(1), spec["maxReplicas"].as_i64().unwrap_or(0));
    if low < 1 {
        causes.push(Cause::invalid(
            "spec.minReplicas",
            &spec["minReplicas"],
            "must be greater than or equal to 1",
        ));
    }
    if high < 1 {
        causes.push(Cause::required("spec.maxReplicas", "must be set and greater than 0"));
    }
    if high < low {
        let value = json!(high);
        causes.push(Cause::invalid(
            "spec.maxReplicas",
            &value,
            "must be greater than or equal to `minReplicas`",
        ));
    }
    let target = &spec["scaleTargetRef"];
    for field in ["kind", "name"] {
        if target[field].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("spec.scaleTargetRef.{field}"), ""));
        }
    }
    if target["apiVersion"].as_str().is_none_or(|v| !v.contains('/')) {
        let value = json!(target["apiVersion"].as_str().unwrap_or_default());
        let detail = "apiVersion must specify API group";
        causes.push(Cause::invalid("spec.scaleTargetRef.apiVersion", &value, detail));
    }
    for (i, metric) in spec["metrics"].as_array().into_iter().flatten().enumerate() {
        let at = format!("spec.metrics[{i}]");
        let allowed = ["ContainerResource", "External", "Object", "Pods", "Resource"];
        one_of(metric, "type", &allowed, &at, causes);
        if metric["type"] == "Resource" {
            let target = &metric["resource"]["target"];
            if target.get("averageUtilization").is_none() && target.get("averageValue").is_none() {
                causes.push(Cause::required(
                    format!("{at}.resource.target.averageUtilization"),
                    "must set either a target raw value or a target utilization",
                ));
            }
        }
    }
    if low == 0 {
        causes.push(Cause::forbidden(
            "spec.metrics",
            "must specify at least one Object or External metric to support scaling to zero replicas",
        ));
    }
}

pub(super) fn budget(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    if spec.get("minAvailable").is_some() && spec.get("maxUnavailable").is_some() {
        let value = json!({
            "MinAvailable": spec["minAvailable"], "Selector": spec["selector"], "MaxUnavailable": spec["maxUnavailable"],
            "UnhealthyPodEvictionPolicy": spec.get("unhealthyPodEvictionPolicy"),
        });
        causes.push(Cause::invalid("spec", &value, "minAvailable and maxUnavailable cannot be both set"));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        int_or_percent(spec, field, "spec", causes);
    }
}

pub(super) fn definition(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let wanted = format!(
        "{}.{}",
        spec["names"]["plural"].as_str().unwrap_or_default(),
        spec["group"].as_str().unwrap_or_default()
    );
    if object["metadata"]["name"] != wanted.as_str() {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        causes.push(Cause::invalid("metadata.name", &object["metadata"]["name"], detail));
    }
    if spec["group"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required("spec.group", ""));
    }
    let scope = spec["scope"].as_str().unwrap_or_default();
    if scope.is_empty() {
        causes.push(Cause::required("spec.scope", ""));
    } else {
        one_of(spec, "scope", &["Cluster", "Namespaced"], "spec", causes);
    }
    let versions = spec["versions"].as_array().cloned().unwrap_or_default();
    for (i, version) in versions.iter().enumerate() {
        if version.pointer("/schema/openAPIV3Schema").is_none() {
            causes.push(Cause::required(format!("spec.versions[{i}].schema.openAPIV3Schema"), ""));
        }
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        let value = spec.get("versions").map_or_else(|| "[]".into(), canonical);
        causes.push(Cause::invalid_text("spec.versions", &value, detail));
        let detail = "must have at least one stored version";
        causes.push(Cause::invalid_text("status.storedVersions", "null", detail));
    }
    for field in ["plural", "singular", "kind", "listKind"] {
        if spec["names"][field].as_str().is_none_or(str::is_empty) {
            causes.push(Cause::required(format!("spec.names.{field}"), ""));
        }
    }
}
