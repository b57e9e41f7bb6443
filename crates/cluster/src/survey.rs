//! What kit runs on a cluster, seen from the cluster alone: workloads that carry kit's marks or field manager, their images,
//! the commit they came from, whether they are ready, and their pods.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use manifest::ObjectRef;
use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

use crate::connect::{Call, CallError, ConnectOptions, Connection, Plugins, Target};
use crate::discovery::escaped;
use crate::events::Events;
use crate::health::{Belonging, Crowd, Diagnosis, Event, Pod, ReplicaSet, Workload};
use crate::plan::{COMMIT, FIELD_MANAGER, ORIGINAL_NAME, managed_fields};
use crate::status::{Object, Readiness, assess};

/// Objects per page of a list: what is in memory at once.
const PAGE: usize = 250;

/// A kind as lists of it are asked for: `apiVersion`, kind and plural.
type Kind = (&'static str, &'static str, &'static str);

/// The kinds that run pods for good.
const LASTING: [Kind; 3] = [
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("apps/v1", "DaemonSet", "daemonsets"),
];

/// Those that run them to an end.
const ENDING: [Kind; 2] = [("batch/v1", "CronJob", "cronjobs"), ("batch/v1", "Job", "jobs")];

/// The plural of a kind that runs pods for good.
pub(crate) fn lasting(object: &ObjectRef) -> Option<&'static str> {
    let (_, _, plural) = LASTING.iter().find(|(api_version, kind, _)| {
        let (group, _) = api_version.split_once('/').unwrap_or_default();
        (group, *kind) == (object.group(), object.kind.as_str())
    })?;
    Some(plural)
}

/// A workload of kit.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Running {
    /// Which.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Images of its containers, init containers first.
    pub images: Vec<String>,
    /// The commit that it was deployed from.
    pub commit: Option<String>,
    /// When kit last wrote it, RFC 3339.
    pub updated: Option<String>,
    /// Whether it is what it should be.
    pub readiness: Readiness,
    /// Its pods by state.
    pub pods: Vec<PodGroup>,
    /// What is wrong with them.
    pub diagnoses: Vec<Diagnosis>,
}

/// Pods in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodGroup {
    /// As `kubectl get pods` shows it.
    pub state: String,
    /// How many.
    pub count: usize,
    /// Restarts of all of them.
    pub restarts: i64,
    /// Made from an earlier spec.
    pub old: bool,
}

/// Everything that kit runs on the cluster, sorted by kind, namespace and name. `selector` narrows it by labels (empty for all).
///
/// # Errors
/// A list that the server refuses or that cannot be had. What explains a state (pods, Events) is left out where it is refused.
pub async fn survey(connection: &Connection, selector: &str) -> Result<Vec<Running>, CallError> {
    let mut found = Vec::new();
    for (api_version, kind, plural) in LASTING.into_iter().chain(ENDING) {
        list(connection, api_version, None, plural, selector, |mut object| {
            if !is_ours(&object) {
                return;
            }
            object["apiVersion"] = Value::from(api_version);
            object["kind"] = Value::from(kind);
            found.push((Workload::read(&object), running(&object)));
        })
        .await?;
    }
    let mut by_namespace: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, (_, running)) in found.iter().enumerate() {
        by_namespace.entry(running.object.namespace.clone().unwrap_or_default()).or_default().push(index);
    }
    for (namespace, members) in by_namespace {
        let Ok(seen) = look(connection, &namespace).await else { continue };
        let crowd = Crowd::new(&seen.sets, &seen.pods, &seen.events);
        for index in members {
            let (workload, running) = &mut found[index];
            running.pods = groups(workload, &crowd);
            if !running.readiness.is_current() {
                running.diagnoses = crowd.diagnose(workload);
            }
        }
    }
    let mut all: Vec<Running> = found.into_iter().map(|(_, running)| running).collect();
    all.sort_by(|a, b| a.object.cmp(&b.object));
    Ok(all)
}

/// The commits that the workloads of kit on a cluster came from, as far as they say; nothing if it cannot be asked within
/// `limit`.
pub async fn commits(
    target: &Target,
    options: &ConnectOptions,
    plugins: &Plugins,
    limit: Duration,
) -> Option<BTreeSet<String>> {
    let ask = async {
        let events = Events::unheard(target.name.clone());
        let connection =
            Connection::open(target, options, plugins, Instant::now() + limit, events).await.ok()?;
        let mut commits = BTreeSet::new();
        for (api_version, _, plural) in LASTING {
            list(&connection, api_version, None, plural, "", |object| {
                if is_ours(&object) {
                    commits.extend(running(&object).commit);
                }
            })
            .await
            .ok()?;
        }
        Some(commits)
    };
    tokio::time::timeout(limit, ask).await.ok().flatten()
}

/// Pods of a namespace and what tells about them.
struct Seen {
    pods: Vec<Pod>,
    sets: Vec<ReplicaSet>,
    events: Vec<Event>,
}

async fn look(connection: &Connection, namespace: &str) -> Result<Seen, CallError> {
    let mut seen = Seen { pods: Vec::new(), sets: Vec::new(), events: Vec::new() };
    let here = Some(namespace);
    list(connection, "v1", here, "pods", "", |pod| seen.pods.push(Pod::read(&pod))).await?;
    list(connection, "apps/v1", here, "replicasets", "", |set| seen.sets.push(ReplicaSet::read(&set)))
        .await?;
    // Without the right to read Events there is still the state of the pods.
    let _ = list(connection, "v1", here, "events", "", |event| seen.events.push(Event::read(&event))).await;
    Ok(seen)
}

/// Reads a collection page by page.
pub(crate) async fn list(
    connection: &Connection,
    api_version: &str,
    namespace: Option<&str>,
    plural: &str,
    selector: &str,
    mut take: impl FnMut(Value),
) -> Result<(), CallError> {
    let root = if api_version.contains('/') { "apis" } else { "api" };
    let within = namespace.map(|namespace| format!("/namespaces/{}", escaped(namespace))).unwrap_or_default();
    let labels =
        if selector.is_empty() { String::new() } else { format!("&labelSelector={}", escaped(selector)) };
    let mut after = String::new();
    loop {
        let path = format!("/{root}/{api_version}{within}/{plural}?limit={PAGE}{labels}{after}");
        let mut page = connection.call(&Call::get(format!("list {plural}"), path)).await?.value;
        if let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) {
            items.into_iter().for_each(&mut take);
        }
        match Object(&page).text("/metadata/continue") {
            Some(token) => after = format!("&continue={}", escaped(token)),
            None => return Ok(()),
        }
    }
}

/// Applied by kit, this one or the original. What a controller made (a Job of a `CronJob`) is its controller's.
fn is_ours(object: &Value) -> bool {
    let o = Object(object);
    if o.list("/metadata/ownerReferences").iter().any(|owner| owner["controller"] == true) {
        return false;
    }
    let manager = |entry: &Value| entry["manager"] == FIELD_MANAGER;
    !object["metadata"]["annotations"][ORIGINAL_NAME].is_null() || managed_fields(object).any(manager)
}

fn running(object: &Value) -> Running {
    let o = Object(object);
    let annotation = |name: &str| object["metadata"]["annotations"][name].as_str();
    let template =
        if o.text("/kind") == Some("CronJob") { "/spec/jobTemplate/spec/template" } else { "/spec/template" };
    let containers = ["initContainers", "containers"].map(|list| o.list(&format!("{template}/spec/{list}")));
    let images = containers.into_iter().flatten().filter_map(|c| c["image"].as_str().map(str::to_owned));
    let written = managed_fields(object)
        .filter(|entry| entry["manager"] == FIELD_MANAGER && entry["subresource"].is_null());
    let written = written.filter_map(|entry| entry["time"].as_str()).max();
    Running {
        object: ObjectRef {
            api_version: o.text("/apiVersion").unwrap_or_default().to_owned(),
            kind: o.text("/kind").unwrap_or_default().to_owned(),
            namespace: o.text("/metadata/namespace").map(str::to_owned),
            name: o.text("/metadata/name").unwrap_or_default().to_owned(),
        },
        images: images.collect(),
        // The original wrote it as a JSON string, quotes included.
        commit: annotation(COMMIT).map(|sha| sha.trim_matches('"').to_owned()).filter(|sha| !sha.is_empty()),
        updated: written.or_else(|| annotation("kit-deployer/last-updated")).map(str::to_owned),
        readiness: assess(object),
        pods: Vec::new(),
        diagnoses: Vec::new(),
    }
}

fn groups(workload: &Workload, crowd: &Crowd<'_>) -> Vec<PodGroup> {
    let mut groups: BTreeMap<(bool, String), PodGroup> = BTreeMap::new();
    for (pod, belonging) in crowd.pods_of(workload) {
        let old = belonging == Belonging::Old;
        let state = pod.state();
        let group =
            groups.entry((old, state.clone())).or_insert(PodGroup { state, count: 0, restarts: 0, old });
        group.count += 1;
        group.restarts += pod.restarts();
    }
    groups.into_values().collect()
}
