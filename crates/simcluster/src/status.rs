//! `Status` objects: what the API server answers when it refuses.

use serde_json::{Value, json};

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Value>>,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u64>,
}

/// One invalid field.
#[derive(Debug, Clone)]
pub(crate) struct Cause {
    pub reason: &'static str,
    pub message: String,
    pub field: String,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
        Refusal { code, reason, message: message.into(), details: None, retry_after: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Refusal {
        Refusal::new(400, "BadRequest", message)
    }

    pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Refusal {
        let gr = group_resource(group, resource);
        let mut r = Refusal::new(404, "NotFound", format!("{gr} {name:?} not found"));
        r.details = Some(Box::new(details(group, resource, name)));
        r
    }

    pub(crate) fn already_exists(group: &str, resource: &str, name: &str) -> Refusal {
        let gr = group_resource(group, resource);
        let mut r = Refusal::new(409, "AlreadyExists", format!("{gr} {name:?} already exists"));
        r.details = Some(Box::new(details(group, resource, name)));
        r
    }

    pub(crate) fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Refusal {
        let gr = group_resource(group, resource);
        let message = format!("Operation cannot be fulfilled on {gr} {name:?}: {why}");
        let mut r = Refusal::new(409, "Conflict", message);
        r.details = Some(Box::new(details(group, resource, name)));
        r
    }

    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Refusal {
        let gr = group_resource(group, resource);
        let named = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let mut r = Refusal::new(403, "Forbidden", format!("{gr}{named} is forbidden: {why}"));
        r.details = Some(Box::new(details(group, resource, name)));
        r
    }

    /// 422 with a cause per field.
    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Refusal {
        let qualified = if group.is_empty() { kind.to_owned() } else { format!("{kind}.{group}") };
        let mut texts: Vec<String> = Vec::new();
        for cause in causes {
            let text = format!("{}: {}", cause.field, cause.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let text = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut r = Refusal::new(422, "Invalid", format!("{qualified} {name:?} is invalid: {text}"));
        let mut d = details(group, kind, name);
        d["causes"] = causes
            .iter()
            .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
            .collect();
        r.details = Some(Box::new(d));
        r
    }

    /// The `Status` document.
    pub(crate) fn body(&self) -> Value {
        let mut body = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": self.message,
        });
        if !self.reason.is_empty() {
            body["reason"] = json!(self.reason);
        }
        if let Some(details) = &self.details {
            body["details"] = (**details).clone();
        }
        if let Some(seconds) = self.retry_after {
            body["details"]["retryAfterSeconds"] = json!(seconds);
        }
        body["code"] = json!(self.code);
        body
    }
}

pub(crate) fn group_resource(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

fn details(group: &str, kind: &str, name: &str) -> Value {
    let mut out = serde_json::Map::new();
    if !name.is_empty() {
        out.insert("name".into(), json!(name));
    }
    if !group.is_empty() {
        out.insert("group".into(), json!(group));
    }
    out.insert("kind".into(), json!(kind));
    Value::Object(out)
}

/// The `Status` document of something that was done.
pub(crate) fn success(group: &str, resource: &str, name: &str, uid: &str) -> Value {
    let mut d = details(group, resource, name);
    d["uid"] = json!(uid);
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": d})
}

impl Cause {
    fn new(reason: &'static str, field: impl Into<String>, message: String) -> Cause {
        Cause { reason, message, field: field.into() }
    }

    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Cause {
        let text =
            if detail.is_empty() { "Required value".into() } else { format!("Required value: {detail}") };
        Cause::new("FieldValueRequired", field, text)
    }

    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Cause {
        Cause::new("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    /// As [`Cause::invalid`], with the value in the form Go prints it.
    pub(crate) fn invalid_text(field: impl Into<String>, value: &str, detail: &str) -> Cause {
        Cause::new("FieldValueInvalid", field, format!("Invalid value: {value}: {detail}"))
    }

    pub(crate) fn unsupported(field: impl Into<String>, value: &str, supported: &[&str]) -> Cause {
        let list: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        Cause::new(
            "FieldValueNotSupported",
            field,
            format!("Unsupported value: {value:?}: supported values: {}", list.join(", ")),
        )
    }

    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Cause {
        Cause::new("FieldValueForbidden", field, format!("Forbidden: {detail}"))
    }

    pub(crate) fn duplicate(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new("FieldValueDuplicate", field, format!("Duplicate value: {value}"))
    }

    pub(crate) fn not_found(field: impl Into<String>, value: &Value) -> Cause {
        Cause::new("FieldValueNotFound", field, format!("Not found: {value}"))
    }

    pub(crate) fn wrong_type(field: impl Into<String>, value: &str, detail: &str) -> Cause {
        Cause::new("FieldValueTypeInvalid", field, format!("Invalid value: {value}: {detail}"))
    }
}
