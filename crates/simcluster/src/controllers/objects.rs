//! What controllers share: writing objects as the control plane's own managers, pods from templates, conditions.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Context, Task, quota};
use crate::api::prepare;
use crate::api::rules::metadata;
use crate::cluster::now;
use crate::defaults;
use crate::fields::managers::{Managers, Reach, Writer};
use crate::kinds;
use crate::schema::decode::zero;
use crate::store::Key;

/// Kinds that nobody applies: their owners are not recorded, which keeps them small.
const UNTRACKED: &[&str] = &["pods", "events", "endpoints", "endpointslices.discovery.k8s.io"];

/// The kind that an owner reference points to, as the store names it.
pub(crate) fn owner_kind(owner: &Value) -> Option<&'static str> {
    Some(match (owner["apiVersion"].as_str()?, owner["kind"].as_str()?) {
        ("apps/v1", "ReplicaSet") => "replicasets.apps",
        ("apps/v1", "Deployment") => "deployments.apps",
        ("apps/v1", "StatefulSet") => "statefulsets.apps",
        ("apps/v1", "DaemonSet") => "daemonsets.apps",
        ("batch/v1", "Job") => "jobs.batch",
        ("batch/v1", "CronJob") => "cronjobs.batch",
        ("v1", "ReplicationController") => "replicationcontrollers",
        _ => return None,
    })
}

pub(crate) fn pending_name(key: &Key) -> String {
    format!("{} {}/{}", key.kind, key.ns, key.name)
}

impl Context<'_> {
    /// Looks at an object again after a while.
    pub(crate) fn again(&mut self, key: &Key, delay: Duration) {
        self.once(pending_name(key), delay, Task::Reconcile(key.clone()));
    }

    /// Whether [`Context::again`] has been asked for the object and is not due yet.
    pub(crate) fn is_pending(&self, key: &Key) -> bool {
        self.state.pending.get(&pending_name(key)).is_some_and(|due| *due > std::time::Instant::now())
    }

    /// Stores a changed status, unless it is what is stored.
    pub(crate) fn save_status(&mut self, key: &Key, object: &Value, manager: &str) {
        self.save_as(key, object, manager, "status", Reach::Status);
    }

    /// Stores a changed object; a changed spec gets a new generation.
    pub(crate) fn save(&mut self, key: &Key, object: &Value, manager: &str) {
        self.save_as(key, object, manager, "", Reach::NotStatus);
    }

    fn save_as(&mut self, key: &Key, object: &Value, manager: &str, subresource: &str, reach: Reach) {
        let Some(old) = self.state.store.get(key) else { return };
        let mut new = object.clone();
        metadata(&mut new).insert("resourceVersion".into(), old["metadata"]["resourceVersion"].clone());
        if new == old {
            return;
        }
        let Some(kind) = kinds::built_in(&key.kind) else { return };
        if !manager.is_empty() && !UNTRACKED.contains(&&*key.kind) {
            let version = kind.stored();
            let mut managers = Managers::read(&old).unwrap_or_default();
            let strip = |v: &Value| {
                let mut v = v.clone();
                metadata(&mut v).remove("managedFields");
                v
            };
            let (time, api_version) = (now(), kind.api_version(&version.name));
            let writer = Writer { manager, api_version: &api_version, subresource, now: &time };
            managers.update(&version.ty, &strip(&old), &strip(&new), writer, reach);
            managers.write(&mut new);
        }
        // Binding a pod to a node does not count as a change of it.
        if kind.generation && &*key.kind != "pods" && old.get("spec") != new.get("spec") {
            let generation = old["metadata"]["generation"].as_i64().unwrap_or(0) + 1;
            metadata(&mut new).insert("generation".into(), json!(generation));
        }
        self.state.store.put(key, &mut new);
    }

    /// Creates an object of a built-in kind. Does nothing if the name is taken.
    pub(crate) fn create(&mut self, kind_id: &str, object: Value, manager: &str) -> Option<Key> {
        self.try_create(kind_id, object, manager).ok()
    }

    /// As [`Context::create`]; if a quota forbids it, the server's sentence about that.
    pub(crate) fn try_create(
        &mut self,
        kind_id: &str,
        mut object: Value,
        manager: &str,
    ) -> Result<Key, Option<String>> {
        let kind = kinds::built_in(kind_id).ok_or(None)?;
        let version = kind.stored();
        object["apiVersion"] = json!(kind.api_version(&version.name));
        object["kind"] = json!(kind.kind);
        let meta = metadata(&mut object);
        if !meta.contains_key("name") {
            let prefix = meta.get("generateName").and_then(Value::as_str).unwrap_or_default().to_owned();
            let suffix = self.state.store.new_suffix();
            meta.insert("name".into(), json!(format!("{prefix}{suffix}")));
        }
        let name = meta["name"].as_str().unwrap_or_default().to_owned();
        let ns = meta.get("namespace").and_then(Value::as_str).unwrap_or_default().to_owned();
        let key = Key::new(kind_id, &ns, &name);
        if self.state.store.has(&key) {
            return Err(None);
        }
        if kind.namespaced {
            let home = self.state.store.get(&Key::new("namespaces", "", &ns)).ok_or(None)?;
            if home["metadata"].get("deletionTimestamp").is_some() && kind_id != "events" {
                return Err(None);
            }
        }
        defaults::apply(kind_id, &mut object);
        let mut managers = Managers::default();
        if !manager.is_empty() && !UNTRACKED.contains(&kind_id) {
            let (time, api_version) = (now(), kind.api_version(&version.name));
            let writer = Writer { manager, api_version: &api_version, subresource: "", now: &time };
            let reach = if version.status { Reach::NotStatus } else { Reach::All };
            managers.update(&version.ty, &zero(&version.ty), &object, writer, reach);
        }
        let uid = self.state.store.new_uid();
        let meta = metadata(&mut object);
        meta.insert("uid".into(), json!(uid));
        meta.insert("creationTimestamp".into(), json!(now()));
        if kind.generation {
            meta.insert("generation".into(), json!(1));
        }
        prepare::create(self.cluster, self.state, kind, version.status, &mut object, false)
            .map_err(|_| None)?;
        if kind.namespaced && kind_id != "events" {
            quota::charge(self.state, kind_id, &ns, &object, false)
                .map_err(|why| Some(format!("{kind_id} \"{name}\" is forbidden: {why}")))?;
        }
        managers.write(&mut object);
        self.state.store.put(&key, &mut object);
        Ok(key)
    }

    /// The dependents of an owner of one kind, with their keys, oldest first.
    pub(crate) fn owned(&self, uid: &str, kind: &str) -> Vec<(Key, Value)> {
        let mut out: Vec<(Key, Value)> = self
            .state
            .store
            .dependents(uid)
            .into_iter()
            .filter(|k| &*k.kind == kind)
            .filter_map(|k| self.state.store.get(&k).map(|v| (k, v)))
            .collect();
        out.sort_by(|a, b| {
            let time = |v: &Value| v["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned();
            (time(&a.1), &a.0).cmp(&(time(&b.1), &b.0))
        });
        out
    }
}

/// An owner reference to a controller.
pub(crate) fn owner(object: &Value) -> Value {
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"], "name": object["metadata"]["name"],
        "uid": object["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
    })
}

/// A pod from a template, owned by `object`.
pub(crate) fn pod_of(object: &Value, template: &Value) -> Value {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let mut pod = json!({
        "metadata": {
            "generateName": format!("{name}-"),
            "namespace": object["metadata"]["namespace"],
        },
        "spec": template["spec"],
    });
    for field in ["labels", "annotations", "finalizers"] {
        if let Some(value) = template["metadata"].get(field) {
            pod["metadata"][field] = value.clone();
        }
    }
    pod["metadata"]["ownerReferences"] = json!([owner(object)]);
    pod
}

pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

pub(crate) fn number(object: &Value, path: &str) -> i64 {
    object.pointer(path).and_then(Value::as_i64).unwrap_or(0)
}

/// The status of a condition.
pub(crate) fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    object.pointer("/status/conditions")?.as_array()?.iter().find(|c| c["type"] == name)
}

pub(crate) fn is_ready(pod: &Value) -> bool {
    condition(pod, "Ready").is_some_and(|c| c["status"] == "True")
}

/// Whether a pod has been ready for `seconds`; if not yet, in how long it will be.
pub(crate) fn available(pod: &Value, seconds: i64) -> Result<(), Option<Duration>> {
    let Some(ready) = condition(pod, "Ready").filter(|c| c["status"] == "True") else { return Err(None) };
    if seconds == 0 {
        return Ok(());
    }
    let since = ready["lastTransitionTime"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let Some(since) = since else { return Err(None) };
    let left = since.as_millisecond() + seconds * 1000 - jiff::Timestamp::now().as_millisecond();
    match u64::try_from(left) {
        Ok(left) if left > 0 => Err(Some(Duration::from_millis(left))),
        _ => Ok(()),
    }
}

pub(crate) fn is_active(pod: &Value) -> bool {
    pod["metadata"].get("deletionTimestamp").is_none()
        && !matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
}

/// An absolute number from an int-or-percent.
pub(crate) fn scaled(value: Option<&Value>, total: i64, up: bool) -> i64 {
    match value {
        Some(Value::String(text)) => {
            let percent: i64 = text.trim_end_matches('%').parse().unwrap_or(0);
            let exact = total * percent;
            if up { (exact + 99) / 100 } else { exact / 100 }
        }
        Some(other) => other.as_i64().unwrap_or(0),
        None => 0,
    }
}

/// A short stable hash, in the alphabet of generated names.
pub(crate) fn hash(text: &str, length: usize) -> String {
    use sha2::Digest as _;
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = sha2::Sha256::digest(text.as_bytes());
    digest.iter().take(length).map(|b| char::from(ALPHABET[usize::from(*b) % ALPHABET.len()])).collect()
}

/// JSON with sorted keys, for hashing and comparing.
pub(crate) fn canonical(value: &Value) -> String {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(map) => {
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_by_key(|(k, _)| (*k).clone());
                Value::Object(entries.into_iter().map(|(k, v)| (k.clone(), sorted(v))).collect())
            }
            Value::Array(list) => Value::Array(list.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    sorted(value).to_string()
}

/// Removes a condition.
pub(crate) fn drop_condition(object: &mut Value, name: &str) {
    if let Some(conditions) = object["status"].get_mut("conditions").and_then(Value::as_array_mut) {
        conditions.retain(|condition| condition["type"] != name);
    }
}

/// Sets a condition of the `{type, status, reason, message}` kind; `times` names the time fields that move
/// on every change and on a change of the status.
pub(crate) fn set_condition(
    object: &mut Value,
    name: &str,
    status: &str,
    reason: &str,
    message: &str,
    update_time: bool,
) {
    let now = now();
    if !object["status"]["conditions"].is_array() {
        object["status"]["conditions"] = json!([]);
    }
    let Some(list) = object["status"]["conditions"].as_array_mut() else { return };
    let old = list.iter().position(|c| c["type"] == name);
    if let Some(i) = old
        && list[i]["status"] == status
        && list[i]["reason"].as_str().unwrap_or_default() == reason
        && list[i]["message"].as_str().unwrap_or_default() == message
    {
        return;
    }
    let transition = match old {
        Some(i) if list[i]["status"] == status => list[i]["lastTransitionTime"].clone(),
        _ => json!(now),
    };
    let mut new = json!({"type": name, "status": status});
    if update_time {
        new["lastUpdateTime"] = json!(now);
    }
    new["lastTransitionTime"] = transition;
    if !reason.is_empty() {
        new["reason"] = json!(reason);
    }
    if !message.is_empty() {
        new["message"] = json!(message);
    }
    match old {
        // Deployments move a changed condition to the end.
        Some(i) if update_time => {
            list.remove(i);
            list.push(new);
        }
        Some(i) => list[i] = new,
        None => list.push(new),
    }
}

/// Sets `status[field]`, or takes it away where zero means absent.
pub(crate) fn set_count(object: &mut Value, field: &str, value: i64) {
    if value == 0 {
        object["status"].as_object_mut().map(|s| s.shift_remove(field));
    } else {
        object["status"][field] = json!(value);
    }
}
