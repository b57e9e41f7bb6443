//! Pod specs: containers, ports, environment, probes, volumes.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::metadata;
use crate::schema::quantity;
use crate::status::Cause;

const PORT: &str = "must be between 1 and 65535, inclusive";
pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

fn list<'a>(at: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    at[key].as_array().into_iter().flatten().enumerate()
}

fn text<'a>(at: &'a Value, key: &str) -> &'a str {
    at[key].as_str().unwrap_or_default()
}

/// Refuses a negative number.
pub(super) fn not_negative(at: &Value, key: &str, path: &str, causes: &mut Vec<Cause>) {
    if at[key].as_i64().is_some_and(|n| n < 0) {
        causes.push(Cause::invalid(format!("{path}.{key}"), &at[key], NOT_NEGATIVE));
    }
}

/// Refuses a string that is not one of a few.
pub(super) fn one_of(at: &Value, key: &str, allowed: &[&str], path: &str, causes: &mut Vec<Cause>) {
    if let Some(given) = at[key].as_str()
        && !allowed.contains(&given)
    {
        causes.push(Cause::unsupported(format!("{path}.{key}"), given, allowed));
    }
}

/// Checks a pod spec at `path`.
pub(super) fn spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let volumes = volumes(spec, path, causes);
    let claims: BTreeSet<String> = volumes;
    let mut names = BTreeSet::new();
    if spec["containers"].as_array().is_none_or(Vec::is_empty) {
        causes.push(Cause::required(format!("{path}.containers"), ""));
    }
    for group in ["containers", "initContainers"] {
        for (i, c) in list(spec, group) {
            let at = format!("{path}.{group}[{i}]");
            let name = text(c, "name");
            if name.is_empty() {
                causes.push(Cause::required(format!("{at}.name"), ""));
            } else {
                for problem in metadata::label(name) {
                    causes.push(Cause::invalid(format!("{at}.name"), &c["name"], &problem));
                }
                if !names.insert(name.to_owned()) {
                    causes.push(Cause::duplicate(format!("{at}.name"), &c["name"]));
                }
            }
            container(c, &at, &claims, group == "initContainers", causes);
        }
    }
    one_of(spec, "restartPolicy", &["Always", "OnFailure", "Never"], path, causes);
    one_of(spec, "dnsPolicy", &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"], path, causes);
    for (k, v) in spec["nodeSelector"].as_object().into_iter().flatten() {
        for problem in metadata::qualified(k) {
            causes.push(Cause::invalid_text(format!("{path}.nodeSelector"), &format!("{k:?}"), &problem));
        }
        for problem in metadata::label_value(v.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(format!("{path}.nodeSelector"), v, &problem));
        }
    }
    let account = text(spec, "serviceAccountName");
    if !account.is_empty() {
        for problem in metadata::subdomain(account) {
            causes.push(Cause::invalid(
                format!("{path}.serviceAccountName"),
                &spec["serviceAccountName"],
                &problem,
            ));
        }
    }
    if let Some(seconds) = spec["activeDeadlineSeconds"].as_i64().filter(|s| *s < 1) {
        let range = "must be between 1 and 2147483647, inclusive";
        causes.push(Cause::invalid(format!("{path}.activeDeadlineSeconds"), &json!(seconds), range));
    }
    for (i, t) in list(spec, "tolerations") {
        let at = format!("{path}.tolerations[{i}]");
        if !matches!(text(t, "operator"), "" | "Equal" | "Exists") {
            causes.push(Cause::unsupported(
                format!("{at}.operator"),
                text(t, "operator"),
                &["Equal", "Exists"],
            ));
        }
        if text(t, "operator") == "Exists" && !text(t, "value").is_empty() {
            let detail = "value must be empty when `operator` is 'Exists'";
            causes.push(Cause::invalid(format!("{at}.operator"), &t["value"], detail));
        }
        if !text(t, "effect").is_empty() {
            one_of(t, "effect", &["NoSchedule", "PreferNoSchedule", "NoExecute"], &at, causes);
        }
    }
    for (i, c) in list(spec, "topologySpreadConstraints") {
        let at = format!("{path}.topologySpreadConstraints[{i}]");
        if c["maxSkew"].as_i64().is_some_and(|n| n <= 0) {
            causes.push(Cause::invalid(format!("{at}.maxSkew"), &c["maxSkew"], "must be greater than zero"));
        }
        if text(c, "topologyKey").is_empty() {
            causes.push(Cause::required(format!("{at}.topologyKey"), "can not be empty"));
        }
        one_of(c, "whenUnsatisfiable", &["DoNotSchedule", "ScheduleAnyway"], &at, causes);
    }
}

/// Checks the volumes; returns their names.
fn volumes(spec: &Value, path: &str, causes: &mut Vec<Cause>) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (i, v) in list(spec, "volumes") {
        let at = format!("{path}.volumes[{i}]");
        let name = text(v, "name");
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else {
            for problem in metadata::label(name) {
                causes.push(Cause::invalid(format!("{at}.name"), &v["name"], &problem));
            }
            if !names.insert(name.to_owned()) {
                causes.push(Cause::duplicate(format!("{at}.name"), &v["name"]));
            }
        }
        let mut sources: Vec<&String> =
            v.as_object().into_iter().flatten().map(|(k, _)| k).filter(|k| *k != "name").collect();
        sources.sort_by_key(|k| *k != "emptyDir");
        for extra in sources.iter().skip(1) {
            causes.push(Cause::forbidden(format!("{at}.{extra}"), "may not specify more than 1 volume type"));
        }
        for (source, field) in [
            ("configMap", "name"),
            ("secret", "secretName"),
            ("persistentVolumeClaim", "claimName"),
            ("hostPath", "path"),
        ] {
            if let Some(s) = v.get(source)
                && text(s, field).is_empty()
            {
                causes.push(Cause::required(format!("{at}.{source}.{field}"), ""));
            }
        }
    }
    names
}

fn container(c: &Value, at: &str, volumes: &BTreeSet<String>, init: bool, causes: &mut Vec<Cause>) {
    let image = text(c, "image");
    if image.is_empty() {
        causes.push(Cause::required(format!("{at}.image"), ""));
    }
    one_of(c, "imagePullPolicy", &["Always", "IfNotPresent", "Never"], at, causes);
    one_of(c, "terminationMessagePolicy", &["File", "FallbackToLogsOnError"], at, causes);
    ports(c, at, causes);
    environment(c, at, causes);
    mounts(c, at, volumes, causes);
    resources(&c["resources"], &format!("{at}.resources"), causes);
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        let Some(p) = c.get(name) else { continue };
        let at = format!("{at}.{name}");
        if init && c["restartPolicy"] != "Always" {
            let detail = "must not be set for init containers without restartPolicy=Always";
            causes.push(Cause::forbidden(at, detail));
            continue;
        }
        probe(p, &at, causes);
        if name != "readinessProbe"
            && let Some(n) = p["successThreshold"].as_i64().filter(|n| *n != 1)
        {
            causes.push(Cause::invalid(format!("{at}.successThreshold"), &json!(n), "must be 1"));
        }
    }
    for hook in ["postStart", "preStop"] {
        if let Some(h) = c["lifecycle"].get(hook) {
            handler(h, &format!("{at}.lifecycle.{hook}"), causes);
        }
    }
}

/// What is wrong with the name of a port.
pub(super) fn port_name(name: &str) -> Vec<&'static str> {
    let mut out = Vec::new();
    if name.len() > 15 {
        out.push("must be no more than 15 characters");
    }
    if !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-') {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    }
    if !name.chars().any(|c| c.is_ascii_lowercase()) {
        out.push("must contain at least one letter (a-z)");
    }
    if name.contains("--") {
        out.push("must not contain consecutive hyphens");
    }
    if name.starts_with('-') || name.ends_with('-') {
        out.push("must not begin or end with a hyphen");
    }
    out
}

/// Checks a port number or name.
pub(super) fn port(value: &Value, path: &str, causes: &mut Vec<Cause>) {
    match value {
        Value::Number(n) if !n.as_i64().is_some_and(|n| (1..=65535).contains(&n)) => {
            causes.push(Cause::invalid(path, value, PORT));
        }
        Value::String(name) => {
            causes.extend(port_name(name).iter().map(|p| Cause::invalid(path, value, p)));
        }
        Value::Null => causes.push(Cause::invalid(path, &json!(0), PORT)),
        _ => {}
    }
}

fn ports(c: &Value, at: &str, causes: &mut Vec<Cause>) {
    let mut names = BTreeSet::new();
    for (i, p) in list(c, "ports") {
        let at = format!("{at}.ports[{i}]");
        let name = text(p, "name");
        if !name.is_empty() {
            let problems = port_name(name);
            for problem in &problems {
                causes.push(Cause::invalid(format!("{at}.name"), &p["name"], problem));
            }
            if problems.is_empty() && !names.insert(name) {
                causes.push(Cause::duplicate(format!("{at}.name"), &p["name"]));
            }
        }
        match p["containerPort"].as_i64() {
            None | Some(0) => causes.push(Cause::required(format!("{at}.containerPort"), "")),
            Some(n) if !(1..=65535).contains(&n) => {
                causes.push(Cause::invalid(format!("{at}.containerPort"), &p["containerPort"], PORT));
            }
            Some(_) => {}
        }
        if p["hostPort"].as_i64().is_some_and(|n| n != 0 && !(1..=65535).contains(&n)) {
            causes.push(Cause::invalid(format!("{at}.hostPort"), &p["hostPort"], PORT));
        }
        one_of(p, "protocol", &["SCTP", "TCP", "UDP"], &at, causes);
    }
}

fn environment(c: &Value, at: &str, causes: &mut Vec<Cause>) {
    for (i, e) in list(c, "env") {
        let at = format!("{at}.env[{i}]");
        let name = text(e, "name");
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if name.contains('=') || !name.chars().all(|c| (' '..='~').contains(&c)) {
            let detail = "a valid environment variable name must consist only of printable ASCII characters other than '='";
            causes.push(Cause::invalid(format!("{at}.name"), &e["name"], detail));
        }
        let Some(from) = e.get("valueFrom") else { continue };
        let sources = from.as_object().map_or(0, serde_json::Map::len);
        if sources == 0 {
            let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
            causes.push(Cause::invalid(format!("{at}.valueFrom"), &json!(""), detail));
        } else if !text(e, "value").is_empty() {
            let detail = "may not be specified when `value` is not empty";
            causes.push(Cause::invalid(format!("{at}.valueFrom"), &json!(""), detail));
        } else if sources > 1 {
            let detail = "may not have more than one field specified at a time";
            causes.push(Cause::invalid(format!("{at}.valueFrom"), &json!(""), detail));
        }
        for source in ["configMapKeyRef", "secretKeyRef"] {
            let Some(r) = from.get(source) else { continue };
            let at = format!("{at}.valueFrom.{source}");
            for problem in metadata::subdomain(text(r, "name")) {
                causes.push(Cause::invalid(format!("{at}.name"), &json!(text(r, "name")), &problem));
            }
            if text(r, "key").is_empty() {
                causes.push(Cause::required(format!("{at}.key"), ""));
            }
        }
    }
    for (i, e) in list(c, "envFrom") {
        let at = format!("{at}.envFrom[{i}]");
        let sources: Vec<&str> =
            ["configMapRef", "secretRef"].into_iter().filter(|s| e.get(*s).is_some()).collect();
        match sources.as_slice() {
            [] => {
                let detail = "must specify one of: `configMapRef` or `secretRef`";
                causes.push(Cause::invalid(at, &json!(""), detail));
            }
            [_] => {
                for source in sources {
                    for problem in metadata::subdomain(text(&e[source], "name")) {
                        let at = format!("{at}.{source}.name");
                        causes.push(Cause::invalid(at, &json!(text(&e[source], "name")), &problem));
                    }
                }
            }
            _ => {
                let detail = "may not have more than one field specified at a time";
                causes.push(Cause::invalid(at, &json!(""), detail));
            }
        }
    }
}

fn mounts(c: &Value, at: &str, volumes: &BTreeSet<String>, causes: &mut Vec<Cause>) {
    let mut paths = BTreeSet::new();
    for (i, m) in list(c, "volumeMounts") {
        let at = format!("{at}.volumeMounts[{i}]");
        let (name, path) = (text(m, "name"), text(m, "mountPath"));
        if name.is_empty() {
            causes.push(Cause::required(format!("{at}.name"), ""));
        } else if !volumes.contains(name) {
            causes.push(Cause::not_found(format!("{at}.name"), &m["name"]));
        }
        if path.is_empty() {
            causes.push(Cause::required(format!("{at}.mountPath"), ""));
        } else if !paths.insert(path) {
            causes.push(Cause::invalid(format!("{at}.mountPath"), &m["mountPath"], "must be unique"));
        }
    }
}

fn resources(r: &Value, at: &str, causes: &mut Vec<Cause>) {
    for kind in ["limits", "requests"] {
        for (name, value) in r[kind].as_object().into_iter().flatten() {
            let at = format!("{at}.{kind}[{name}]");
            let standard = matches!(name.as_str(), "cpu" | "memory" | "ephemeral-storage")
                || name.starts_with("hugepages-");
            if !name.contains('/') && !standard {
                let shown = format!("{name:?}");
                causes.push(Cause::invalid_text(
                    &at,
                    &shown,
                    "must be a standard resource type or fully qualified",
                ));
                causes.push(Cause::invalid_text(&at, &shown, "must be a standard resource for containers"));
            }
            let amount = value.as_str().and_then(quantity::parse);
            if amount.is_some_and(|q| q.nano < 0) {
                causes.push(Cause::invalid(at, value, NOT_NEGATIVE));
            }
        }
    }
    for (name, value) in r["requests"].as_object().into_iter().flatten() {
        let limit = &r["limits"][name];
        if let (Some(request), Some(most)) =
            (value.as_str().and_then(quantity::parse), limit.as_str().and_then(quantity::parse))
            && request.nano > most.nano
        {
            let detail =
                format!("must be less than or equal to {name} limit of {}", text(&r["limits"], name));
            causes.push(Cause::invalid(format!("{at}.requests"), value, &detail));
        }
    }
}

fn probe(p: &Value, at: &str, causes: &mut Vec<Cause>) {
    handler(p, at, causes);
    for field in
        ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"]
    {
        not_negative(p, field, at, causes);
    }
    if p["terminationGracePeriodSeconds"].as_i64().is_some_and(|n| n <= 0) {
        let at = format!("{at}.terminationGracePeriodSeconds");
        causes.push(Cause::invalid(at, &p["terminationGracePeriodSeconds"], "must be greater than 0"));
    }
}

fn handler(h: &Value, at: &str, causes: &mut Vec<Cause>) {
    let kinds = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];
    let given: Vec<&str> = kinds.into_iter().filter(|k| h.get(*k).is_some()).collect();
    if given.is_empty() {
        causes.push(Cause::required(at, "must specify a handler type"));
    }
    for extra in given.iter().skip(1) {
        causes.push(Cause::forbidden(format!("{at}.{extra}"), "may not specify more than 1 handler type"));
    }
    match given.first() {
        Some(&"exec") if h["exec"]["command"].as_array().is_none_or(Vec::is_empty) => {
            causes.push(Cause::required(format!("{at}.exec.command"), ""));
        }
        Some(kind @ (&"httpGet" | &"tcpSocket" | &"grpc")) => {
            port(&h[*kind]["port"], &format!("{at}.{kind}.port"), causes);
            if **kind == *"httpGet" {
                one_of(&h["httpGet"], "scheme", &["HTTP", "HTTPS"], &format!("{at}.httpGet"), causes);
            }
        }
        _ => {}
    }
}
