//! Writing one object: server-side apply, and the few other writes that a deploy needs.

use http::Method;
use manifest::ObjectRef;
use serde_json::{Value, json};

use crate::connect::{Call, CallError, Connection, Reply};
use crate::discovery::Resource;
use crate::plan::{FIELD_MANAGER, Wanted, migration_patch};
use crate::strategy::{FULL_REPLICAS, SCALE_MANAGER};

const APPLY: &str = "application/apply-patch+yaml";
const JSON_PATCH: &str = "application/json-patch+json";
const MERGE_PATCH: &str = "application/merge-patch+json";
const JSON: &str = "application/json";

/// Whether a write is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Yes.
    Real,
    /// The server does everything but store it.
    DryRun,
}

/// Applies `value` (server-side), taking fields of other managers if `force` says so.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn apply(
    connection: &Connection,
    wanted: &Wanted,
    value: &Value,
    force: bool,
    mode: Mode,
) -> Result<Reply, CallError> {
    let object = &wanted.object;
    let dry = if mode == Mode::DryRun { "&dryRun=All" } else { "" };
    let path = format!(
        "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict&force={force}{dry}",
        wanted.resource.path(object.namespace.as_deref(), &object.name)
    );
    let verb = if mode == Mode::DryRun { "dry-run" } else { "apply" };
    let mut call = Call::new(format!("{verb} {object}"), Method::PATCH, path).with_body(APPLY, value);
    call.again_on_conflict = true;
    connection.call(&call).await
}

/// Creates `value`; an object that is there already is left alone and `None`.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn create(
    connection: &Connection,
    wanted: &Wanted,
    mode: Mode,
) -> Result<Option<Reply>, CallError> {
    let object = &wanted.object;
    let dry = if mode == Mode::DryRun { "&dryRun=All" } else { "" };
    let path = format!(
        "{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{dry}",
        wanted.resource.collection(object.namespace.as_deref())
    );
    let call = Call::new(format!("create {object}"), Method::POST, path).with_body(JSON, &wanted.value);
    match connection.call(&call).await {
        Ok(reply) => Ok(Some(reply)),
        // Also what a retry finds whose first try got through before its connection broke.
        Err(error) if error.refusal().is_some_and(|refusal| refusal.reason == "AlreadyExists") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes the fields of predecessors ours, on the object as it is now.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn migrate(connection: &Connection, wanted: &Wanted, live: &Value) -> Result<(), CallError> {
    let object = &wanted.object;
    let path = wanted.resource.path(object.namespace.as_deref(), &object.name);
    let mut current = live.clone();
    for _ in 0..5 {
        let call = Call::new(
            format!("take over the fields of {object}"),
            Method::PATCH,
            format!("{path}?fieldManager={FIELD_MANAGER}"),
        )
        .with_body(JSON_PATCH, &migration_patch(&current));
        match connection.call(&call).await {
            Ok(_) => return Ok(()),
            // Somebody was quicker (or our own first try was): look again.
            Err(error) if error.is(409) || error.is(422) => {
                let (_, mut found) =
                    crate::live::get(connection, &wanted.resource, object.namespace.as_deref(), &object.name)
                        .await?;
                match found.pop() {
                    Some(found) if crate::plan::predecessors(&found).is_empty() => return Ok(()),
                    Some(found) => current = found,
                    None => return Ok(()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    let call = Call::get(format!("read {object}"), path);
    connection.call(&call).await.map(|_| ())
}

/// Deletes an object and what it owns; one that has gone already is fine. With `uid`, only that very object.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn delete(
    connection: &Connection,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    uid: Option<&str>,
    propagation: &str,
) -> Result<(), CallError> {
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation});
    if let Some(uid) = uid {
        options["preconditions"] = json!({"uid": uid});
    }
    let call =
        Call::new(format!("delete {} {name}", resource.kind), Method::DELETE, resource.path(namespace, name))
            .with_body(JSON, &options);
    match connection.call(&call).await {
        Ok(_) => Ok(()),
        // Gone, or another object of that name has taken its place.
        Err(error) if error.is(404) || error.is(409) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Gives a Service another selector: `from` must be what it has.
///
/// # Errors
/// The server's refusal, or no answer; 422 if it is another Service, or has another selector by now.
pub(crate) async fn select(
    connection: &Connection,
    what: (&ObjectRef, &Resource),
    uid: &str,
    from: &Value,
    to: &Value,
) -> Result<(), CallError> {
    let patch = json!([
        {"op": "test", "path": "/metadata/uid", "value": uid},
        {"op": "test", "path": "/spec/selector", "value": from},
        {"op": "replace", "path": "/spec/selector", "value": to},
    ]);
    match patch_object(connection, what, ("select pods of", FIELD_MANAGER), JSON_PATCH, &patch).await {
        // What a retry finds whose first try got through before its connection broke.
        Err(error) if error.is(422) => {
            let (object, resource) = what;
            let (_, found) =
                crate::live::get(connection, resource, object.namespace.as_deref(), &object.name).await?;
            let done = found.first().is_some_and(|found| found["spec"]["selector"] == *to);
            if done { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

/// Gives an object another number of replicas and notes how many it had. With `uid`, only that very object.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn scale(
    connection: &Connection,
    what: (&ObjectRef, &Resource),
    uid: Option<&str>,
    to: i64,
    full: Option<i64>,
) -> Result<(), CallError> {
    let mut patch = json!({
        "metadata": {"annotations": {FULL_REPLICAS: full.map(|replicas| replicas.to_string())}},
        "spec": {"replicas": to},
    });
    if let Some(uid) = uid {
        patch["metadata"]["uid"] = Value::from(uid);
    }
    patch_object(connection, what, ("scale", SCALE_MANAGER), MERGE_PATCH, &patch).await
}

/// Makes a Service what it was in `live`, if nobody has touched it since it became `written`.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn restore(
    connection: &Connection,
    what: (&ObjectRef, &Resource),
    live: &Value,
    written: &str,
) -> Result<(), CallError> {
    let patch = json!([
        {"op": "replace", "path": "/metadata/resourceVersion", "value": written},
        {"op": "replace", "path": "/metadata/labels", "value": live["metadata"]["labels"]},
        {"op": "replace", "path": "/metadata/annotations", "value": live["metadata"]["annotations"]},
        {"op": "replace", "path": "/spec", "value": live["spec"]},
    ]);
    patch_object(connection, what, ("restore", FIELD_MANAGER), JSON_PATCH, &patch).await
}

async fn patch_object(
    connection: &Connection,
    (object, resource): (&ObjectRef, &Resource),
    (verb, manager): (&str, &str),
    content_type: &'static str,
    patch: &Value,
) -> Result<(), CallError> {
    let path = format!("{}?fieldManager={manager}", resource.path(object.namespace.as_deref(), &object.name));
    let call = Call::new(format!("{verb} {object}"), Method::PATCH, path).with_body(content_type, patch);
    connection.call(&call).await.map(|_| ())
}
