//! Create and update: from a body to a stored object.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::body::Body;
use super::prepare;
use super::rules::{
    check_names, check_type, complete_type, keep_server_fields, metadata, spec_changed, status_only,
    without_managed_fields,
};
use crate::cluster::{Cluster, State, now};
use crate::controllers::quota;
use crate::fields::managers::{Managers, Reach, Writer};
use crate::kinds::{Kind, KindId, Version};
use crate::schema::crd;
use crate::schema::decode::{decode, zero};
use crate::status::{Cause, Refusal};
use crate::store::Key;
use crate::{convert, defaults, validate};

/// What is done about unknown and duplicate fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Query parameters of a write.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub dry_run: bool,
    pub manager: String,
    /// Whether `fieldManager` was given, as apply demands.
    pub manager_given: bool,
    pub force: bool,
    pub validation: FieldValidation,
}

/// What a write has done.
#[derive(Debug)]
pub(crate) struct Written {
    /// In the version of the request.
    pub object: Value,
    pub created: bool,
    pub warnings: Vec<String>,
}

/// A write to one kind, under the cluster's lock.
pub(crate) struct Writing<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub state: &'a mut State,
    pub kind: Arc<Kind>,
    pub version: String,
    pub ns: &'a str,
    /// Empty, `status` or `scale`.
    pub subresource: &'a str,
    pub options: &'a Options,
}

/// The kind under which objects are stored: both kinds of events are one.
pub(crate) fn storage_id(kind: &Kind) -> KindId {
    if kind.kind == "Event" { "events".into() } else { kind.group_resource().into() }
}

impl Writing<'_> {
    pub(crate) fn key(&self, name: &str) -> Key {
        Key { kind: storage_id(&self.kind), ns: self.ns.into(), name: name.into() }
    }

    pub(super) fn served(&self) -> &Version {
        self.kind.version(&self.version).unwrap_or_else(|| self.kind.stored())
    }

    pub(super) fn reach(&self) -> Reach {
        match self.subresource {
            "status" if self.kind.custom => Reach::CustomStatus,
            "status" => Reach::Status,
            "scale" => Reach::Scale,
            _ if self.served().status => Reach::NotStatus,
            _ => Reach::All,
        }
    }

    pub(super) fn writer<'b>(
        &self,
        api_version: &'b str,
        now: &'b str,
        manager: &'b str,
        subresource: &'b str,
    ) -> Writer<'b> {
        Writer { manager, api_version, subresource, now }
    }

    /// Decodes a body: type errors are refused, unknown fields dropped and reported as asked. A body that a
    /// patch has produced is refused in other words than one that was sent.
    fn decode(&self, body: Body, patched: bool) -> Result<(Value, Vec<String>), Refusal> {
        let mut value = body.value;
        let expected = self.kind.api_version(&self.version);
        complete_type(&mut value, &self.kind.kind, &expected);
        check_type(&value, &self.kind.kind, &expected)?;
        let sent = if patched { value.to_string() } else { String::new() };
        let mut strict = body.duplicates;
        let kind = &self.kind.kind;
        let wrap = |text: &str| {
            if patched {
                let cause = Cause::invalid("patch", &Value::String(sent.clone()), text);
                return Refusal::invalid("", "", "", &[cause]);
            }
            Refusal::bad_request(format!(
                "{kind} in version {:?} cannot be handled as a {kind}: {text}",
                self.version
            ))
        };
        if self.kind.custom {
            strict.extend(crd::prune(self.served(), &mut value));
        } else {
            let found = decode(&self.served().ty, &mut value);
            if let Some(error) = found.error {
                return Err(wrap(&error));
            }
            strict.extend(found.strict);
        }
        match self.options.validation {
            FieldValidation::Strict if !strict.is_empty() => {
                Err(wrap(&format!("strict decoding error: {}", strict.join(", "))))
            }
            FieldValidation::Warn => Ok((value, strict)),
            _ => Ok((value, Vec::new())),
        }
    }

    /// Fills in defaults.
    pub(crate) fn default(&self, value: &mut Value) {
        if self.kind.custom {
            crd::default(self.served(), value);
        } else if self.version == self.kind.stored().name {
            defaults::apply(&self.kind.group_resource(), value);
        }
    }

    /// POST.
    pub(crate) fn create(&mut self, body: Body) -> Result<Written, Refusal> {
        let (mut value, warnings) = self.decode(body, false)?;
        let meta = metadata(&mut value);
        if let Some(ns) = meta.get("namespace").and_then(Value::as_str)
            && self.kind.namespaced
            && ns != self.ns
        {
            return Err(Refusal::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        if meta.get("resourceVersion").is_some_and(|v| v != "") {
            return Err(Refusal::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let generated = meta.get("generateName").and_then(Value::as_str).map(str::to_owned);
        if meta.get("name").and_then(Value::as_str).is_none_or(str::is_empty)
            && let Some(prefix) = generated.filter(|p| !p.is_empty())
        {
            let cut: String = prefix.chars().take(58).collect();
            let name = format!("{cut}{}", self.state.store.new_suffix());
            meta.insert("name".into(), json!(name));
        }
        let mut managers = Managers::default();
        if let Some(given) = Managers::read(&value) {
            managers = given;
        }
        metadata(&mut value).remove("managedFields");
        self.default(&mut value);
        let api_version = self.kind.api_version(&self.version);
        let (time, manager) = (now(), self.options.manager.clone());
        let live = if self.kind.custom { json!({}) } else { zero(&self.served().ty) };
        managers.update(
            &self.served().ty.clone(),
            &live,
            &value,
            self.writer(&api_version, &time, &manager, ""),
            self.reach(),
        );
        self.insert(value, managers, warnings)
    }

    /// The second half of a creation: server-set fields, validation, storage.
    pub(super) fn insert(
        &mut self,
        value: Value,
        managers: Managers,
        warnings: Vec<String>,
    ) -> Result<Written, Refusal> {
        let mut object = convert::to_stored(&self.kind, &self.version, value);
        let name = metadata(&mut object).get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        self.namespace_ready(&name)?;
        let uid = self.state.store.new_uid();
        let meta = metadata(&mut object);
        for gone in [
            "selfLink",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "resourceVersion",
        ] {
            meta.remove(gone);
        }
        if self.kind.namespaced {
            meta.insert("namespace".into(), json!(self.ns));
        } else {
            meta.remove("namespace");
        }
        meta.insert("uid".into(), json!(uid));
        meta.insert("creationTimestamp".into(), json!(now()));
        if self.kind.generation {
            meta.insert("generation".into(), json!(1));
        } else {
            meta.remove("generation");
        }
        prepare::create(
            self.cluster,
            self.state,
            &self.kind,
            self.served().status,
            &mut object,
            self.options.dry_run,
        )?;
        let causes = validate::create(&self.kind, self.served(), &object);
        self.refuse(&name, causes)?;
        let key = self.key(&name);
        if self.state.store.has(&key) {
            return Err(Refusal::already_exists(&self.kind.group, &self.kind.plural, &name));
        }
        if self.kind.namespaced {
            quota::charge(self.state, &key.kind, self.ns, &object, self.options.dry_run)
                .map_err(|why| Refusal::forbidden(&self.kind.group, &self.kind.plural, &name, &why))?;
        }
        managers.write(&mut object);
        if !self.options.dry_run {
            self.state.store.put(&key, &mut object);
        }
        Ok(Written {
            object: convert::from_stored(&self.kind, &self.version, object),
            created: true,
            warnings,
        })
    }

    /// Refuses with 422 if there are causes.
    fn refuse(&self, name: &str, causes: Vec<Cause>) -> Result<(), Refusal> {
        if causes.is_empty() {
            return Ok(());
        }
        Err(Refusal::invalid(&self.kind.group, &self.kind.kind, name, &causes))
    }

    fn namespace_ready(&self, name: &str) -> Result<(), Refusal> {
        if !self.kind.namespaced {
            return Ok(());
        }
        let Some(ns) = self.state.store.get(&Key::new("namespaces", "", self.ns)) else {
            return Err(Refusal::not_found("", "namespaces", self.ns));
        };
        if ns.pointer("/metadata/deletionTimestamp").is_some() && storage_id(&self.kind) != "events".into() {
            let mut refusal = Refusal::forbidden(
                &self.kind.group,
                &self.kind.plural,
                name,
                &format!(
                    "unable to create new content in namespace {} because it is being terminated",
                    self.ns
                ),
            );
            if let Some(details) = &mut refusal.details {
                details["causes"] = json!([{
                    "reason": "NamespaceTerminating",
                    "message": format!("namespace {} is being terminated", self.ns),
                    "field": "metadata.namespace",
                }]);
            }
            return Err(refusal);
        }
        Ok(())
    }

    /// The live object in the version of the request.
    pub(crate) fn live(&self, name: &str) -> Result<Value, Refusal> {
        self.state
            .store
            .get(&self.key(name))
            .map(|o| convert::from_stored(&self.kind, &self.version, o))
            .ok_or_else(|| Refusal::not_found(&self.kind.group, &self.kind.plural, name))
    }

    /// PUT, and the end of every patch that is not an apply.
    pub(crate) fn update(&mut self, name: &str, body: Body, patched: bool) -> Result<Written, Refusal> {
        let (mut value, warnings) = self.decode(body, patched)?;
        check_names(&mut value, name, self.ns, self.kind.namespaced)?;
        let live = self.live(name)?;
        self.check_versions(name, &live, &mut value)?;
        if self.kind.custom && metadata(&mut value).get("resourceVersion").is_none_or(|v| v == "") {
            // Patches carry the live version; a PUT of a custom resource must say which one it replaces.
            let cause =
                Cause::invalid_text("metadata.resourceVersion", "0", "must be specified for an update");
            return Err(Refusal::invalid(&self.kind.group, &self.kind.plural, name, &[cause]));
        }
        self.default(&mut value);
        let given = metadata(&mut value).get("managedFields").cloned();
        let mut managers = match (self.subresource, given) {
            ("", Some(Value::Array(list))) if list.is_empty() || list == [json!({})] => Managers::default(),
            ("", Some(_)) => Managers::read(&value)
                .filter(|m| !m.0.is_empty())
                .or_else(|| Managers::read(&live))
                .unwrap_or_default(),
            _ => Managers::read(&live).unwrap_or_default(),
        };
        let old = without_managed_fields(&live);
        keep_server_fields(&old, &mut value);
        if self.subresource == "status" {
            value = status_only(&old, value, self.kind.custom);
        }
        let api_version = self.kind.api_version(&self.version);
        let (time, manager) = (now(), self.options.manager.clone());
        managers.update(
            &self.served().ty.clone(),
            &old,
            &value,
            self.writer(&api_version, &time, &manager, self.subresource),
            self.reach(),
        );
        self.replace(name, live, value, managers, warnings)
    }

    /// The second half of an update.
    pub(crate) fn replace(
        &mut self,
        name: &str,
        live: Value,
        mut value: Value,
        mut managers: Managers,
        warnings: Vec<String>,
    ) -> Result<Written, Refusal> {
        metadata(&mut value).remove("managedFields");
        keep_server_fields(&live, &mut value);
        let old = convert::to_stored(&self.kind, &self.version, live);
        let mut object = convert::to_stored(&self.kind, &self.version, value);
        if self.subresource.is_empty() {
            if self.served().status {
                match old.get("status") {
                    Some(status) => object["status"] = status.clone(),
                    None => {
                        object.as_object_mut().map(|o| o.remove("status"));
                    }
                }
            }
            prepare::update(self.cluster, self.state, &self.kind, &old, &mut object, self.options.dry_run);
        }
        if self.kind.generation && self.subresource != "status" && spec_changed(&self.kind, &old, &object) {
            let generation = old.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0) + 1;
            metadata(&mut object).insert("generation".into(), json!(generation));
        }
        let causes = validate::update(&self.kind, self.served(), &old, &object, self.subresource);
        self.refuse(name, causes)?;
        let before = Managers::read(&old).unwrap_or_default();
        if managers.same_but_times(&before) {
            let mut probe = object.clone();
            before.write(&mut probe);
            if probe == old {
                managers = before;
            }
        }
        managers.write(&mut object);
        let key = self.key(name);
        if object != old && !self.options.dry_run {
            let meta = metadata(&mut object);
            let dying = meta.contains_key("deletionTimestamp");
            let held = meta.get("finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
            let graceful = meta.get("deletionGracePeriodSeconds").and_then(Value::as_i64).unwrap_or(0) > 0;
            let namespace_held = &*key.kind == "namespaces"
                && object
                    .pointer("/spec/finalizers")
                    .and_then(Value::as_array)
                    .is_some_and(|f| !f.is_empty());
            self.state.store.put(&key, &mut object);
            if dying && !held && !graceful && !namespace_held {
                self.state.store.remove(&key);
            }
        }
        Ok(Written {
            object: convert::from_stored(&self.kind, &self.version, object),
            created: false,
            warnings,
        })
    }

    pub(super) fn check_versions(&self, name: &str, live: &Value, value: &mut Value) -> Result<(), Refusal> {
        let meta = metadata(value);
        let given =
            |m: &Map<String, Value>, k: &str| m.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (uid, rv) = (given(meta, "uid"), given(meta, "resourceVersion"));
        if !uid.is_empty() && live["metadata"]["uid"] != uid.as_str() {
            let why = format!(
                "StorageError: invalid object, Code: 4, Key: /registry/{}/{}/{name}, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                self.kind.plural,
                self.ns,
                live["metadata"]["uid"].as_str().unwrap_or_default()
            );
            return Err(Refusal::conflict(&self.kind.group, &self.kind.plural, name, &why));
        }
        if !rv.is_empty() && live["metadata"]["resourceVersion"] != rv.as_str() {
            let why =
                "the object has been modified; please apply your changes to the latest version and try again";
            return Err(Refusal::conflict(&self.kind.group, &self.kind.plural, name, why));
        }
        Ok(())
    }
}
