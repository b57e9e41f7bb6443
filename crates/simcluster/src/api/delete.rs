//! Deletion: finalizers, grace periods, propagation.

use serde_json::{Value, json};

use super::rules::metadata;
use super::write::{Options, storage_id};
use crate::cluster::{State, now};
use crate::kinds::Kind;
use crate::status::{Refusal, success};
use crate::store::Key;

/// What becomes of the dependents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    Background,
    Foreground,
    Orphan,
}

/// The part of `DeleteOptions` that matters.
#[derive(Debug, Clone)]
pub(crate) struct DeleteOptions {
    pub propagation: Option<Propagation>,
    pub grace: Option<i64>,
    pub uid: Option<String>,
    pub rv: Option<String>,
    pub dry_run: bool,
}

impl DeleteOptions {
    /// Reads the body and the query of a DELETE.
    pub(crate) fn read(
        body: &Value,
        query: &dyn Fn(&str) -> Option<String>,
        options: &Options,
    ) -> DeleteOptions {
        let text = |v: &Value| v.as_str().map(str::to_owned);
        let policy = text(&body["propagationPolicy"]).or_else(|| query("propagationPolicy"));
        let orphan = body["orphanDependents"].as_bool();
        DeleteOptions {
            propagation: match (policy.as_deref(), orphan) {
                (Some("Foreground"), _) => Some(Propagation::Foreground),
                (Some("Orphan"), _) | (None, Some(true)) => Some(Propagation::Orphan),
                (Some(_), _) | (None, Some(false)) => Some(Propagation::Background),
                (None, None) => None,
            },
            grace: body["gracePeriodSeconds"]
                .as_i64()
                .or_else(|| query("gracePeriodSeconds").and_then(|s| s.parse().ok())),
            uid: text(&body["preconditions"]["uid"]),
            rv: text(&body["preconditions"]["resourceVersion"]),
            dry_run: options.dry_run || body["dryRun"].as_array().is_some_and(|d| !d.is_empty()),
        }
    }
}

/// Deletes one object and returns what the API answers.
///
/// # Errors
/// 404, or 409 if a precondition does not hold.
pub(crate) fn delete(
    state: &mut State,
    kind: &Kind,
    ns: &str,
    name: &str,
    options: &DeleteOptions,
) -> Result<Value, Refusal> {
    let key = Key { kind: storage_id(kind), ns: ns.into(), name: name.into() };
    let Some(mut object) = state.store.get(&key) else {
        return Err(Refusal::not_found(&kind.group, &kind.plural, name));
    };
    let meta = |k: &str| object["metadata"][k].as_str().unwrap_or_default().to_owned();
    for (field, what, given) in
        [("uid", "UID", &options.uid), ("resourceVersion", "ResourceVersion", &options.rv)]
    {
        if let Some(given) = given
            && *given != meta(field)
        {
            let why = format!(
                "the {what} in the precondition ({given}) does not match the {what} in record ({}). The object might have been {}",
                meta(field),
                if what == "UID" { "deleted and then recreated" } else { "modified" }
            );
            return Err(Refusal::conflict(&kind.group, &kind.kind, name, &why));
        }
    }
    if &*key.kind == "namespaces" && matches!(name, "default" | "kube-system" | "kube-public") {
        return Err(Refusal::forbidden("", "namespaces", name, "this namespace may not be deleted"));
    }
    let uid = meta("uid");
    if options.dry_run {
        return Ok(success(&kind.group, &kind.plural, name, &uid));
    }
    let gone = start(state, &key, &mut object, options);
    if gone && !matches!(&*key.kind, "pods" | "services" | "persistentvolumeclaims" | "serviceaccounts") {
        return Ok(success(&kind.group, &kind.plural, name, &uid));
    }
    Ok(object)
}

/// Removes an object, or marks it as being deleted. Returns whether it is gone.
pub(crate) fn start(state: &mut State, key: &Key, object: &mut Value, options: &DeleteOptions) -> bool {
    let default = match &*key.kind {
        "jobs.batch" | "replicationcontrollers"
            if options.propagation.is_none() && &*key.kind == "jobs.batch" =>
        {
            Propagation::Orphan
        }
        _ => Propagation::Background,
    };
    let propagation = options.propagation.unwrap_or(default);
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    if propagation == Propagation::Orphan {
        orphan(state, &uid);
    }
    let foreground = propagation == Propagation::Foreground && !state.store.dependents(&uid).is_empty();
    let meta = metadata(object);
    let mut finalizers = meta.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if foreground && !finalizers.iter().any(|f| f == "foregroundDeletion") {
        finalizers.push(json!("foregroundDeletion"));
        meta.insert("finalizers".into(), Value::Array(finalizers.clone()));
    }
    let dying = meta.contains_key("deletionTimestamp");
    let grace = if &*key.kind == "pods" { pod_grace(object, options.grace) } else { 0 };
    let namespace = &*key.kind == "namespaces"
        && object.pointer("/spec/finalizers").and_then(Value::as_array).is_some_and(|f| !f.is_empty());
    if finalizers.is_empty() && grace == 0 && !namespace {
        state.store.remove(key);
        return true;
    }
    let unchanged = dying && metadata(object).get("deletionGracePeriodSeconds") == Some(&json!(grace));
    if unchanged && !foreground {
        return false;
    }
    let now = now();
    let meta = metadata(object);
    meta.entry("deletionTimestamp").or_insert_with(|| json!(now));
    meta.insert("deletionGracePeriodSeconds".into(), json!(grace));
    if namespace {
        object["status"]["phase"] = json!("Terminating");
    }
    state.store.put(key, object);
    false
}

/// A pod that is not on a node yet, or is done, goes at once.
fn pod_grace(pod: &Value, given: Option<i64>) -> i64 {
    if pod["spec"].get("nodeName").is_none()
        || matches!(pod["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
    {
        return 0;
    }
    given.or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64()).unwrap_or(30).max(0)
}

fn orphan(state: &mut State, uid: &str) {
    for key in state.store.dependents(uid) {
        let Some(mut object) = state.store.get(&key) else { continue };
        let meta = metadata(&mut object);
        if let Some(owners) = meta.get_mut("ownerReferences").and_then(Value::as_array_mut) {
            owners.retain(|o| o["uid"] != uid);
            if owners.is_empty() {
                meta.remove("ownerReferences");
            }
        }
        state.store.put(&key, &mut object);
    }
}

/// Called when an object is gone: the garbage collector's part.
pub(crate) fn collect_dependents(state: &mut State, uid: &str) {
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        grace: None,
        uid: None,
        rv: None,
        dry_run: false,
    };
    for key in state.store.dependents(uid) {
        let Some(mut object) = state.store.get(&key) else { continue };
        let others = object["metadata"]["ownerReferences"]
            .as_array()
            .map_or(0, |o| o.iter().filter(|o| o["uid"] != uid && o["uid"].as_str().is_some()).count());
        if others > 0 {
            let meta = metadata(&mut object);
            if let Some(owners) = meta.get_mut("ownerReferences").and_then(Value::as_array_mut) {
                owners.retain(|o| o["uid"] != uid);
            }
            state.store.put(&key, &mut object);
        } else {
            start(state, &key, &mut object, &options);
        }
    }
}

/// Foreground deletion: the dependents first, then the owner. Returns whether the owner may go.
pub(crate) fn foreground_step(state: &mut State, key: &Key, object: &mut Value) -> bool {
    let uid = object["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let options = DeleteOptions {
        propagation: Some(Propagation::Foreground),
        grace: None,
        uid: None,
        rv: None,
        dry_run: false,
    };
    let dependents = state.store.dependents(&uid);
    for key in &dependents {
        if let Some(mut dependent) = state.store.get(key) {
            start(state, key, &mut dependent, &options);
        }
    }
    if !state.store.dependents(&uid).is_empty() {
        return false;
    }
    drop_finalizer(state, key, object, "foregroundDeletion");
    true
}

/// Takes a finalizer off; the object goes if it was the last one of a deleted object.
pub(crate) fn drop_finalizer(state: &mut State, key: &Key, object: &mut Value, finalizer: &str) {
    let meta = metadata(object);
    let mut left = 0;
    if let Some(list) = meta.get_mut("finalizers").and_then(Value::as_array_mut) {
        list.retain(|f| f != finalizer);
        left = list.len();
    }
    if left == 0 {
        meta.remove("finalizers");
        if meta.contains_key("deletionTimestamp") {
            state.store.remove(key);
            return;
        }
    }
    state.store.put(key, object);
}
