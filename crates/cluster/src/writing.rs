//! Writing one object of a plan, with what that takes beside the apply: fields of predecessors, kinds that are just about to be
//! served, objects that must go first.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::apply::{self, Mode};
use crate::connect::{CallError, Connection, Reply};
use crate::events::Happening;
use crate::outcome::ObjectResult;
use crate::plan::{Action, PlannedObject, conflict_yields, refused};
use crate::rollout::{RolloutOptions, Run};

/// What was stored: enough to wait for it.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) generation: Option<i64>,
    pub(crate) resource_version: Option<String>,
}

/// One object that has been written, or could not be.
pub(crate) struct Finished {
    pub(crate) index: usize,
    pub(crate) result: ObjectResult,
    pub(crate) written: Option<Written>,
}

/// Writes one object, within the bound of all writes of the run.
pub(crate) async fn write_one(
    connection: &Connection,
    index: usize,
    object: &PlannedObject,
    options: &RolloutOptions,
    run: &Run,
) -> Finished {
    let unwritten = |result| Finished { index, result, written: None };
    // The overall bound; closed only when the process ends.
    let _permit = run.writes.acquire().await;
    if run.stop.is_set() {
        return unwritten(ObjectResult::Skipped { because: "the run was stopped".into() });
    }
    let wanted = &object.wanted;
    let outcome = match &object.action {
        Action::Create if options.plan.create_only => {
            match apply::create(connection, wanted, Mode::Real).await {
                Ok(Some(reply)) => Ok((ObjectResult::Created, reply)),
                Ok(None) => {
                    let because = "it appeared meanwhile, and only what is not there is created".to_owned();
                    return unwritten(ObjectResult::Skipped { because });
                }
                Err(error) => Err(error),
            }
        }
        Action::Recreate => recreate(connection, object).await.map(|reply| (ObjectResult::Recreated, reply)),
        Action::Create
        | Action::Configure
        | Action::Unchanged
        | Action::Skip { .. }
        | Action::Refuse { .. } => configure(connection, object, run).await,
    };
    match outcome {
        Ok((result, reply)) => {
            for text in &reply.warnings {
                let text = run.mask.text(text);
                connection.events().emit(Happening::Warning { object: Some(wanted.object.clone()), text });
            }
            Finished { index, result, written: Some(written(&reply)) }
        }
        Err(error) => unwritten(ObjectResult::failed(refused(wanted, &error, &run.mask))),
    }
}

async fn configure(
    connection: &Connection,
    object: &PlannedObject,
    run: &Run,
) -> Result<(ObjectResult, Reply), CallError> {
    let wanted = &object.wanted;
    if let (true, Some(live)) = (object.migrate, &object.live) {
        apply::migrate(connection, wanted, live).await?;
    }
    let reply = patiently(connection, object, run).await?;
    let version = |value: &Value| value["metadata"]["resourceVersion"].as_str().map(str::to_owned);
    let result = match &object.live {
        // 200 is also what a retry gets whose first try got through before its connection broke.
        None => ObjectResult::Created,
        Some(live) if version(live) == version(&reply.value) => ObjectResult::Unchanged,
        Some(_) => ObjectResult::Configured,
    };
    Ok((result, reply))
}

/// Applies; a kind whose definition has just been established may take a moment to be served everywhere.
async fn patiently(connection: &Connection, object: &PlannedObject, run: &Run) -> Result<Reply, CallError> {
    let until = Instant::now() + Duration::from_secs(15);
    let mut force = object.force;
    loop {
        let wanted = &object.wanted;
        let answer = apply::apply(connection, wanted, &wanted.value, force, Mode::Real).await;
        match answer {
            // The dry run was asked without the marks of this deploy.
            Err(error) if !force && error.refusal().is_some_and(conflict_yields) => force = true,
            Err(error)
                if is_not_served_yet(&error, object) && Instant::now() < until && !run.stop.is_set() =>
            {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
            answer => return answer,
        }
    }
}

fn is_not_served_yet(error: &CallError, object: &PlannedObject) -> bool {
    let custom = object.wanted.resource.group.contains('.') && object.live.is_none();
    custom
        && error
            .refusal()
            .is_some_and(|refusal| refusal.code == 404 && !refusal.message.contains("namespaces \""))
}

async fn recreate(connection: &Connection, object: &PlannedObject) -> Result<Reply, CallError> {
    let wanted = &object.wanted;
    let (namespace, name) = (wanted.object.namespace.as_deref(), wanted.object.name.as_str());
    let uid = object.live.as_deref().and_then(|live| live["metadata"]["uid"].as_str());
    apply::delete(connection, &wanted.resource, namespace, name, uid, "Background").await?;
    let mut pause = Duration::from_millis(100);
    loop {
        let (_, found) = crate::live::get(connection, &wanted.resource, namespace, name).await?;
        match found.first() {
            Some(found) if found["metadata"]["uid"].as_str() == uid => {
                if Instant::now() + pause >= connection.deadline() {
                    let last = "it is still being deleted".to_owned();
                    return Err(CallError::Late { attempts: 1, last });
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(2));
            }
            Some(_) | None => break,
        }
    }
    apply::apply(connection, wanted, &wanted.value, object.force, Mode::Real).await
}

fn written(reply: &Reply) -> Written {
    let metadata = &reply.value["metadata"];
    Written {
        generation: metadata["generation"].as_i64(),
        resource_version: metadata["resourceVersion"].as_str().map(str::to_owned),
    }
}
