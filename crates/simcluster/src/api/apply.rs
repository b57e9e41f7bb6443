//! Server-side apply: a configuration, its field manager, and whom it conflicts with.

use serde_json::{Value, json};

use super::body::Body;
use super::rules::{check_names, metadata, status_only, without_managed_fields};
use super::write::{FieldValidation, Writing, Written};
use crate::cluster::now;
use crate::convert;
use crate::fields::managers::{Conflict, Managers, conflict_message};
use crate::fields::typed;
use crate::schema::crd;
use crate::schema::decode::decode;
use crate::status::{Cause, Refusal};

impl Writing<'_> {
    /// Server-side apply.
    pub(crate) fn apply(&mut self, name: &str, body: Body) -> Result<Written, Refusal> {
        let mut config = body.value;
        // The apply endpoint reads YAML, whose reader counts lines; clients send JSON in one line.
        let repeated: Vec<String> = body
            .duplicates
            .iter()
            .map(|d| {
                let field = d.trim_end_matches('"').rsplit(['.', '"']).next().unwrap_or_default();
                format!("line 1: key {field:?} already set in map")
            })
            .collect();
        if self.options.validation == FieldValidation::Strict && !repeated.is_empty() {
            return Err(Refusal::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n  {}",
                repeated.join("\n  ")
            )));
        }
        let warnings = if self.options.validation == FieldValidation::Warn { repeated } else { Vec::new() };
        if !self.options.manager_given {
            let cause = Cause::required("fieldManager", "is required for apply patch");
            return Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
        }
        let expected = self.kind.api_version(&self.version);
        let given = |k: &str| config[k].as_str().unwrap_or_default().to_owned();
        if given("kind") != self.kind.kind || given("apiVersion") != expected {
            let version = match given("apiVersion") {
                v if v.is_empty() => "/".to_owned(),
                v if v.contains('/') => v,
                v => format!("/{v}"),
            };
            return Err(Refusal::bad_request(format!(
                "invalid object type: {version}, Kind={}",
                given("kind")
            )));
        }
        if config["metadata"]["name"].as_str().is_none_or(str::is_empty) {
            return Err(Refusal::bad_request(format!(
                "the name of the object ({name} based on URL) was undeterminable: name must be provided"
            )));
        }
        let given_ns = config["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        check_names(&mut config, name, self.ns, self.kind.namespaced)?;
        let meta = metadata(&mut config);
        if meta.get("managedFields").is_some_and(|m| !m.is_null()) {
            return Err(Refusal::bad_request("metadata.managedFields must be nil"));
        }
        meta.remove("managedFields");
        let live =
            self.state.store.get(&self.key(name)).map(|o| convert::from_stored(&self.kind, &self.version, o));
        if live.is_none() && !self.subresource.is_empty() {
            return Err(Refusal::not_found(&self.kind.group, &self.kind.plural, name));
        }
        if let Some(live) = &live {
            self.check_versions(name, live, &mut config)?;
        } else if let Some(uid) =
            config.pointer("/metadata/uid").and_then(Value::as_str).filter(|u| !u.is_empty())
        {
            let why = format!(
                "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            );
            return Err(Refusal::conflict(&self.kind.group, &self.kind.plural, name, &why));
        }
        metadata(&mut config).remove("resourceVersion");
        metadata(&mut config).remove("uid");
        let ty = self.served().ty.clone();
        let errors = typed::validate(&ty, &config);
        if !errors.is_empty() {
            let (group, version) = (&self.kind.group, &self.version);
            let gvk = format!("{group}/{version}, Kind={}", self.kind.kind);
            let message = format!(
                "failed to create typed patch object ({}/{name}; {gvk}): {}",
                given_ns,
                if errors.len() == 1 {
                    errors[0].clone()
                } else {
                    format!(
                        "errors:\n{}",
                        errors.iter().map(|e| format!("  {e}")).collect::<Vec<_>>().join("\n")
                    )
                }
            );
            return Err(Refusal::new(500, "", message));
        }
        let old = live
            .as_ref()
            .map_or_else(|| json!({"apiVersion": expected, "kind": self.kind.kind}), without_managed_fields);
        let mut managers = live.as_ref().and_then(Managers::read).unwrap_or_default();
        if managers.0.is_empty() && live.is_some() {
            managers.before_first_apply(&ty, &old, &expected);
        }
        let (time, manager) = (now(), self.options.manager.clone());
        let merged = managers
            .apply(
                &ty,
                &old,
                &config,
                self.writer(&expected, &time, &manager, self.subresource),
                self.reach(),
                self.options.force,
            )
            .map_err(|c| conflict(&c))?;
        let mut value = merged.unwrap_or_else(|| old.clone());
        if self.kind.custom {
            let unknown = crd::prune(self.served(), &mut value);
            debug_assert!(unknown.is_empty() || live.is_some());
        } else {
            let found = decode(&ty, &mut value);
            if let Some(error) = found.error {
                let gvk = format!("{}/{}, Kind={}", self.kind.group, self.version, self.kind.kind);
                let why =
                    if error.contains("json: cannot unmarshal number") && error.ends_with("of type int32") {
                        "cannot convert float64 to int32"
                    } else {
                        &error
                    };
                let message = format!(
                    "failed to convert new object ({given_ns}/{name}; {gvk}) to proper version: unable to convert unstructured object to {gvk}: {why}"
                );
                return Err(Refusal::new(500, "", message));
            }
        }
        self.default(&mut value);
        match live {
            Some(live) => {
                if self.subresource == "status" {
                    value = status_only(&old, value, self.kind.custom);
                }
                self.replace(name, live, value, managers, warnings)
            }
            None => self.insert(value, managers, warnings),
        }
    }
}

fn conflict(conflicts: &[Conflict]) -> Refusal {
    let mut refusal = Refusal::new(409, "Conflict", conflict_message(conflicts));
    let causes: Vec<Value> = conflicts
        .iter()
        .map(|c| {
            json!({
                "reason": "FieldManagerConflict",
                "message": format!("conflict with {}", c.manager),
                "field": c.path,
            })
        })
        .collect();
    refusal.details = Some(Box::new(json!({"causes": causes})));
    refusal
}
