//! Names, labels, annotations.

use serde_json::Value;

use crate::kinds::Kind;
use crate::status::Cause;

pub(super) const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
pub(super) const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

fn label_text(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// What is wrong with an RFC 1123 label.
pub(super) fn label(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push("must be no more than 63 bytes".to_owned());
    }
    if !label_text(text) {
        out.push(LABEL.to_owned());
    }
    out
}

/// What is wrong with an RFC 1123 subdomain.
pub(super) fn subdomain(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 253 {
        out.push("must be no more than 253 bytes".to_owned());
    }
    if !text.split('.').all(label_text) {
        out.push(SUBDOMAIN.to_owned());
    }
    out
}

fn name_part(text: &str) -> bool {
    let edge = |c: char| c.is_ascii_alphanumeric();
    !text.is_empty()
        && text.chars().all(|c| edge(c) || "-_.".contains(c))
        && text.starts_with(edge)
        && text.ends_with(edge)
}

/// What is wrong with a label or annotation key.
pub(super) fn qualified(text: &str) -> Vec<String> {
    let (prefix, name) = match text.split_once('/') {
        Some((p, n)) => (Some(p), n),
        None => (None, text),
    };
    let mut out = Vec::new();
    if name.contains('/') {
        out.push(
            "a valid label key must consist of a name with an optional prefix, separated by '/'".to_owned(),
        );
        return out;
    }
    if let Some(prefix) = prefix {
        if prefix.is_empty() {
            out.push("prefix part must be non-empty".to_owned());
        } else {
            out.extend(subdomain(prefix).into_iter().map(|e| format!("prefix part {e}")));
        }
    }
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        out.push("name part must be no more than 63 bytes".to_owned());
    }
    if !name_part(name) {
        out.push(QUALIFIED.to_owned());
    }
    out
}

/// What is wrong with a label value.
pub(super) fn label_value(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    if text.len() > 63 {
        out.push("must be no more than 63 bytes".to_owned());
    }
    if !text.is_empty() && !name_part(text) {
        out.push(VALUE.to_owned());
    }
    out
}

/// Checks a `metadata.labels`-like map at `path`.
pub(super) fn labels(map: &Value, path: &str, causes: &mut Vec<Cause>) {
    for (key, value) in map.as_object().into_iter().flatten() {
        for problem in qualified(key) {
            causes.push(Cause::invalid_text(path, &format!("{key:?}"), &problem));
        }
        for problem in label_value(value.as_str().unwrap_or_default()) {
            causes.push(Cause::invalid(path, value, &problem));
        }
    }
}

/// Checks `metadata`.
pub(super) fn check(kind: &Kind, object: &Value, causes: &mut Vec<Cause>) {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        let problems = match kind.group_resource().as_str() {
            "namespaces" | "services" if name.contains('.') => vec!["must not contain dots".to_owned()],
            "namespaces" | "services" => label(name),
            r if r.ends_with("rbac.authorization.k8s.io") => {
                let bad = name == "." || name == ".." || name.contains(['/', '%']);
                if bad { vec!["may not contain '/' or '%'".to_owned()] } else { Vec::new() }
            }
            _ => subdomain(name),
        };
        causes.extend(problems.iter().map(|p| Cause::invalid("metadata.name", &meta["name"], p)));
    }
    labels(&meta["labels"], "metadata.labels", causes);
    let mut size = 0;
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        size += key.len() + value.as_str().map_or(0, str::len);
        for problem in qualified(&key.to_lowercase()) {
            causes.push(Cause::invalid_text("metadata.annotations", &format!("{key:?}"), &problem));
        }
    }
    if size > 262_144 {
        causes.push(Cause {
            reason: "FieldValueTooLong",
            message: "Too long: may not be more than 262144 bytes".into(),
            field: "metadata.annotations".into(),
        });
    }
    for (i, owner) in meta["ownerReferences"].as_array().into_iter().flatten().enumerate() {
        for field in ["apiVersion", "kind", "name", "uid"] {
            if owner[field].as_str().is_none_or(str::is_empty) {
                let at = format!("metadata.ownerReferences[{i}].{field}");
                causes.push(Cause::invalid(at, &Value::String(String::new()), "must not be empty"));
            }
        }
    }
}
