//! What is there, read with as few requests as possible.
//!
//! One list per kind in use, narrowed to what kit has deployed (everything kit writes carries the `strategy` label), in the one
//! namespace in use or across all; an object that this does not find is either new or from before kit, and only for those is asked
//! again: singly where they are few, by a list of the namespace where they are many.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;

use crate::connect::{Call, CallError, Connection};
use crate::discovery::{Resource, escaped};
use crate::plan::{STRATEGY_LABEL, Wanted};

/// Requests in flight while reading.
const WIDTH: usize = 16;
/// Up to so many objects of a kind and namespace are asked for one by one.
const FEW: usize = 4;
/// Objects per page of a list.
const PAGE: usize = 500;

/// Namespace (empty for objects of the cluster) and name.
type Key = (String, String);

/// Live objects, by kind and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Live {
    objects: BTreeMap<Resource, BTreeMap<Key, Value>>,
}

impl Live {
    /// The live form of `wanted`.
    pub(crate) fn get(&self, wanted: &Wanted) -> Option<&Value> {
        self.objects.get(&wanted.resource)?.get(&key_of(wanted))
    }

    /// The live form of `wanted`, which is not needed here any more.
    pub(crate) fn take(&mut self, wanted: &Wanted) -> Option<Value> {
        self.objects.get_mut(&wanted.resource)?.remove(&key_of(wanted))
    }

    /// An object that may have been read beside what is wanted.
    pub(crate) fn find(&self, resource: &Resource, namespace: Option<&str>, name: &str) -> Option<&Value> {
        let key = (namespace.unwrap_or_default().to_owned(), name.to_owned());
        self.objects.get(resource)?.get(&key)
    }

    /// Everything that was read of a kind, also what is not wanted.
    pub(crate) fn of(&self, resource: &Resource) -> impl Iterator<Item = &Value> {
        self.objects.get(resource).into_iter().flat_map(BTreeMap::values)
    }

    fn insert(&mut self, resource: &Resource, mut object: Value) {
        // Items of a list do not repeat what they are.
        if let Some(map) = object.as_object_mut() {
            map.insert("apiVersion".into(), Value::from(resource.api_version()));
            map.insert("kind".into(), Value::from(resource.kind.clone()));
        }
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        let key = (text("namespace"), text("name"));
        self.objects.entry(resource.clone()).or_default().insert(key, object);
    }
}

fn key_of(wanted: &Wanted) -> Key {
    (wanted.object.namespace.clone().unwrap_or_default(), wanted.object.name.clone())
}

/// Reads the live forms of `wanted`. Kinds in `absent` are not served yet (their CRD is part of the same deploy).
///
/// # Errors
/// The first refusal, or no answer.
pub(crate) async fn read(
    connection: &Connection,
    wanted: &[Wanted],
    absent: &BTreeSet<(String, String)>,
    labelled: bool,
) -> Result<Live, CallError> {
    let mut by_kind: BTreeMap<&Resource, Vec<&Wanted>> = BTreeMap::new();
    for object in wanted {
        let kind = (object.resource.group.clone(), object.resource.kind.clone());
        if !absent.contains(&kind) {
            by_kind.entry(&object.resource).or_default().push(object);
        }
    }
    let mut reads: Vec<Read<'_>> = Vec::new();
    for (resource, objects) in &by_kind {
        reads.push(first_read(connection, resource, objects, labelled).boxed());
    }
    let mut live = Live::default();
    collect(&mut live, reads).await?;
    let mut reads: Vec<Read<'_>> = Vec::new();
    for (resource, objects) in &by_kind {
        if objects.len() > 1 || (labelled && has_siblings(resource)) {
            for (namespace, names) in missing(&live, objects) {
                reads.push(second_read(connection, resource, namespace, names).boxed());
            }
        }
    }
    collect(&mut live, reads).await?;
    Ok(live)
}

type Read<'a> = BoxFuture<'a, Result<(Resource, Vec<Value>), CallError>>;

async fn collect(live: &mut Live, reads: Vec<Read<'_>>) -> Result<(), CallError> {
    let mut results = stream::iter(reads).buffer_unordered(WIDTH);
    while let Some(result) = results.next().await {
        let (resource, objects) = result?;
        for object in objects {
            live.insert(&resource, object);
        }
    }
    Ok(())
}

async fn first_read(
    connection: &Connection,
    resource: &Resource,
    objects: &[&Wanted],
    labelled: bool,
) -> Result<(Resource, Vec<Value>), CallError> {
    // Of some kinds also what earlier deploys made is of interest.
    if let [only] = objects
        && !(labelled && has_siblings(resource))
    {
        return get(connection, resource, only.object.namespace.as_deref(), &only.object.name).await;
    }
    let namespaces: BTreeSet<Option<&str>> =
        objects.iter().map(|object| object.object.namespace.as_deref()).collect();
    // Namespaces are few; everything else may have strangers by the thousand.
    let selector = (labelled && resource.kind != "Namespace")
        .then(|| format!("{STRATEGY_LABEL} in (rolling-update,fast-rollback)"));
    if let (1, Some(namespace)) = (namespaces.len(), namespaces.first()) {
        return list(connection, resource, *namespace, selector.as_deref()).await;
    }
    match list(connection, resource, None, selector.as_deref()).await {
        // A deployer that may only see its namespaces asks them one by one.
        Err(error) if error.is(403) => {
            let mut found = Vec::new();
            for namespace in namespaces {
                found.extend(list(connection, resource, namespace, selector.as_deref()).await?.1);
            }
            Ok((resource.clone(), found))
        }
        other => other,
    }
}

/// Kinds of which an earlier deploy of the same manifest may have made another object: runs of a Job, Deployments with an id.
fn has_siblings(resource: &Resource) -> bool {
    matches!((resource.group.as_str(), resource.kind.as_str()), ("batch", "Job") | ("apps", "Deployment"))
}

/// What the first read did not find, by namespace.
fn missing<'a>(live: &Live, objects: &[&'a Wanted]) -> Vec<(Option<&'a str>, Vec<&'a str>)> {
    let mut missing: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for object in objects.iter().filter(|object| live.get(object).is_none()) {
        missing.entry(object.object.namespace.as_deref()).or_default().push(&object.object.name);
    }
    missing.into_iter().collect()
}

async fn second_read(
    connection: &Connection,
    resource: &Resource,
    namespace: Option<&str>,
    names: Vec<&str>,
) -> Result<(Resource, Vec<Value>), CallError> {
    if names.len() > FEW {
        let (resource, mut found) = list(connection, resource, namespace, None).await?;
        found.retain(|object| object["metadata"]["name"].as_str().is_some_and(|name| names.contains(&name)));
        return Ok((resource, found));
    }
    let mut found = Vec::new();
    let mut reads: Vec<Read<'_>> = Vec::new();
    for name in names {
        reads.push(get(connection, resource, namespace, name).boxed());
    }
    let mut reads = stream::iter(reads).buffer_unordered(FEW);
    while let Some(result) = reads.next().await {
        found.extend(result?.1);
    }
    Ok((resource.clone(), found))
}

/// One object, or none.
pub(crate) async fn get(
    connection: &Connection,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
) -> Result<(Resource, Vec<Value>), CallError> {
    let call = Call::get(format!("read {} {name}", resource.kind), resource.path(namespace, name));
    match connection.call(&call).await {
        Ok(reply) => Ok((resource.clone(), vec![reply.value])),
        Err(error) if error.is(404) => Ok((resource.clone(), Vec::new())),
        Err(error) => Err(error),
    }
}

/// All objects, page by page.
pub(crate) async fn list(
    connection: &Connection,
    resource: &Resource,
    namespace: Option<&str>,
    selector: Option<&str>,
) -> Result<(Resource, Vec<Value>), CallError> {
    let what = match namespace {
        Some(namespace) => format!("list {} in namespace {namespace}", resource.plural),
        None => format!("list {}", resource.plural),
    };
    let mut base = format!("{}?limit={PAGE}", resource.collection(namespace));
    if let Some(selector) = selector {
        base.push_str(&format!("&labelSelector={}", escaped(selector)));
    }
    let mut found = Vec::new();
    let mut token = String::new();
    let mut restarted = false;
    loop {
        let path =
            if token.is_empty() { base.clone() } else { format!("{base}&continue={}", escaped(&token)) };
        match connection.call(&Call::get(what.clone(), path)).await {
            Ok(mut reply) => {
                if let Value::Array(items) = reply.value["items"].take() {
                    found.extend(items);
                }
                token = reply.value["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                if token.is_empty() {
                    return Ok((resource.clone(), found));
                }
            }
            // The kind is not served (yet): nothing of it is there.
            Err(error) if error.is(404) => return Ok((resource.clone(), Vec::new())),
            // The pages have become too old while we read them.
            Err(error) if error.is(410) && !restarted => {
                restarted = true;
                token.clear();
                found.clear();
            }
            Err(error) => return Err(error),
        }
    }
}
