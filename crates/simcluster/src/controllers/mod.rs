//! The control plane's loops: they look at what changed and write what follows, on one shared driver.
//!
//! Nothing runs while a cluster is quiet. A change wakes the driver, which reconciles what the change
//! concerns; what is due later is a [`Task`] on the driver's clock.

pub(crate) mod bootstrap;
pub(crate) mod budget;
pub(crate) mod cronjob;
pub(crate) mod daemonset;
pub(crate) mod definitions;
pub(crate) mod deployment;
pub(crate) mod deployment_status;
pub(crate) mod endpoints;
pub(crate) mod events;
pub(crate) mod job;
pub(crate) mod kubelet;
pub(crate) mod namespaces;
pub(crate) mod objects;
pub(crate) mod pod;
pub(crate) mod quota;
mod references;
mod replicaset;
pub(crate) mod scheduler;
pub(crate) mod statefulset;
pub(crate) mod storage;

use std::cmp::Ordering;
use std::collections::{BTreeSet, BinaryHeap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::sync::mpsc;

use crate::api::delete;
use crate::cluster::{Cluster, State};
use crate::store::{Change, Key};

/// What the driver is told.
pub(crate) enum Message {
    /// Something in this cluster changed.
    Changed(Arc<Cluster>),
}

/// Something that is due later.
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Look at this object again.
    Reconcile(Key),
    /// The next step in the life of a pod with this uid.
    Pod(Key, String, kubelet::Step),
    /// Endpoints, budgets and autoscalers of a namespace.
    Namespace(String),
}

/// What a controller gets: the cluster and its locked state.
pub(crate) struct Context<'a> {
    pub cluster: &'a Arc<Cluster>,
    pub state: &'a mut State,
}

impl Context<'_> {
    /// Runs a task after a while.
    pub(crate) fn after(&mut self, delay: Duration, task: Task) {
        self.state.tasks.push((delay, task));
    }

    /// As [`Context::after`], but once: a request is dropped if one that is due earlier is pending.
    pub(crate) fn once(&mut self, name: String, delay: Duration, task: Task) {
        let due = Instant::now() + delay;
        if self.state.pending.get(&name).is_none_or(|pending| due < *pending) {
            self.state.pending.insert(name, due);
            self.after(delay, task);
        }
    }

    /// Notes something under a name; whether it was not noted before.
    pub(crate) fn note(&mut self, name: String) -> bool {
        self.state.pending.insert(name, Instant::now()).is_none()
    }
}

/// How long a burst of changes is collected before endpoints and budgets are computed.
const SETTLE: Duration = Duration::from_millis(20);
/// Objects that are reconciled before the lock is given back.
const BATCH: usize = 64;

struct Due {
    at: Instant,
    number: u64,
    cluster: Arc<Cluster>,
    task: Task,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The earliest is the greatest, for the heap.
    fn cmp(&self, other: &Due) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Serves all clusters until every sender is gone.
pub(crate) async fn drive(mut messages: mpsc::UnboundedReceiver<Message>) {
    let mut heap: BinaryHeap<Due> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let next = heap.peek().map(|d| d.at);
        let sleep = async {
            match next {
                Some(at) => tokio::time::sleep_until(at.into()).await,
                None => std::future::pending().await,
            }
        };
        let cluster = tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Changed(cluster)) => {
                    cluster.clean();
                    cluster
                }
                None => return,
            },
            () = sleep => {
                let Some(due) = heap.pop() else { continue };
                run_locked(&due.cluster, due.task);
                // What else is due by now is reconciled together: a hundred pods that start are one burst.
                let now = Instant::now();
                while heap.peek().is_some_and(|next| next.at <= now && Arc::ptr_eq(&next.cluster, &due.cluster)) {
                    let Some(next) = heap.pop() else { break };
                    run_locked(&next.cluster, next.task);
                }
                due.cluster
            }
        };
        let (more, tasks) = work_locked(&cluster);
        let now = Instant::now();
        for (delay, task) in tasks {
            number += 1;
            heap.push(Due { at: now + delay, number, cluster: cluster.clone(), task });
        }
        if more {
            cluster.wake();
        }
        tokio::task::yield_now().await;
    }
}

fn run_locked(cluster: &Arc<Cluster>, task: Task) {
    let mut state = cluster.lock();
    run(&mut Context { cluster, state: &mut state }, task);
}

/// One round of work, and the tasks that it asked for.
fn work_locked(cluster: &Arc<Cluster>) -> (bool, Vec<(Duration, Task)>) {
    let mut state = cluster.lock();
    let more = work(&mut Context { cluster, state: &mut state });
    (more, std::mem::take(&mut state.tasks))
}

/// Reconciles what changed; returns whether there is more.
fn work(context: &mut Context<'_>) -> bool {
    let mut todo: BTreeSet<Key> = BTreeSet::new();
    let mut done = 0;
    loop {
        while let Some((key, change, before)) = context.state.store.changed.pop_front() {
            if !context.cluster.controllers {
                continue;
            }
            notice(context, &key, change, before.as_deref(), &mut todo);
        }
        let Some(key) = todo.pop_first() else { return false };
        reconcile(context, &key);
        done += 1;
        if done >= BATCH && (!todo.is_empty() || !context.state.store.changed.is_empty()) {
            for key in todo {
                context.after(Duration::ZERO, Task::Reconcile(key));
            }
            return true;
        }
    }
}

/// Finds out which objects a change concerns.
fn notice(
    context: &mut Context<'_>,
    key: &Key,
    change: Change,
    before: Option<&[u8]>,
    todo: &mut BTreeSet<Key>,
) {
    if &*key.kind == "events" {
        return;
    }
    let object = match change {
        Change::Deleted => before.and_then(|b| serde_json::from_slice::<Value>(b).ok()),
        _ => context.state.store.get(key),
    };
    let Some(object) = object else { return };
    let meta = &object["metadata"];
    for owner in meta["ownerReferences"].as_array().into_iter().flatten() {
        if let Some(kind) = objects::owner_kind(owner) {
            let name = owner["name"].as_str().unwrap_or_default();
            todo.insert(key.beside(kind, name));
        }
    }
    match &*key.kind {
        "pods" => {
            pod::changed(context, key, change, &object);
            settle(context, &key.ns);
        }
        "services" | "poddisruptionbudgets.policy" | "horizontalpodautoscalers.autoscaling" => {
            settle(context, &key.ns);
        }
        "deployments.apps" | "statefulsets.apps" | "replicasets.apps" => settle_if_watched(context, &key.ns),
        "secrets" | "configmaps" | "persistentvolumeclaims" => {}
        _ => {}
    }
    if change == Change::Deleted {
        if let Some(uid) = meta["uid"].as_str() {
            delete::collect_dependents(context.state, uid);
        }
        definitions::deleted(context, key);
        storage::deleted(context, key, &object);
        return;
    }
    if meta["finalizers"].as_array().is_some_and(|f| f.iter().any(|f| f == "foregroundDeletion"))
        && meta.get("deletionTimestamp").is_some()
    {
        todo.insert(key.clone());
    }
    for owner in meta["ownerReferences"].as_array().into_iter().flatten() {
        // An owner that is already gone takes its dependents with it.
        if let (Some(uid), Some(kind), Some(name)) =
            (owner["uid"].as_str(), objects::owner_kind(owner), owner["name"].as_str())
        {
            let gone =
                context.state.store.get(&key.beside(kind, name)).is_none_or(|o| o["metadata"]["uid"] != uid);
            if gone && change == Change::Added {
                delete::collect_dependents(context.state, uid);
            }
        }
    }
    if RECONCILED.contains(&&*key.kind) {
        todo.insert(key.clone());
    }
}

const RECONCILED: &[&str] = &[
    "deployments.apps",
    "replicasets.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "jobs.batch",
    "cronjobs.batch",
    "replicationcontrollers",
    "namespaces",
    "services",
    "persistentvolumeclaims",
    "persistentvolumes",
    "ingresses.networking.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "apiservices.apiregistration.k8s.io",
];

fn settle(context: &mut Context<'_>, ns: &str) {
    context.once(format!("namespace {ns}"), SETTLE, Task::Namespace(ns.to_owned()));
}

fn settle_if_watched(context: &mut Context<'_>, ns: &str) {
    let kinds = ["horizontalpodautoscalers.autoscaling", "poddisruptionbudgets.policy"];
    if kinds.iter().any(|k| context.state.store.list(k, ns).next().is_some()) {
        settle(context, ns);
    }
}

fn run(context: &mut Context<'_>, task: Task) {
    match task {
        Task::Reconcile(key) => {
            context.state.pending.remove(&objects::pending_name(&key));
            reconcile(context, &key);
        }
        Task::Pod(key, uid, step) => kubelet::step(context, &key, &uid, step),
        Task::Namespace(ns) => {
            context.state.pending.remove(&format!("namespace {ns}"));
            endpoints::reconcile(context, &ns);
            budget::reconcile(context, &ns);
        }
    }
}

fn reconcile(context: &mut Context<'_>, key: &Key) {
    let Some(mut object) = context.state.store.get(key) else { return };
    if object["metadata"].get("deletionTimestamp").is_some()
        && object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|f| f.iter().any(|f| f == "foregroundDeletion"))
    {
        delete::foreground_step(context.state, key, &mut object);
        return;
    }
    match &*key.kind {
        "deployments.apps" => deployment::reconcile(context, key, object),
        "replicasets.apps" | "replicationcontrollers" => replicaset::reconcile(context, key, object),
        "statefulsets.apps" => statefulset::reconcile(context, key, object),
        "daemonsets.apps" => daemonset::reconcile(context, key, object),
        "jobs.batch" => job::reconcile(context, key, object),
        "cronjobs.batch" => cronjob::reconcile(context, key, object),
        "namespaces" => namespaces::reconcile(context, key, object),
        "services" | "ingresses.networking.k8s.io" => endpoints::address(context, key, object),
        "persistentvolumeclaims" | "persistentvolumes" => storage::reconcile(context, key, object),
        "customresourcedefinitions.apiextensions.k8s.io" | "apiservices.apiregistration.k8s.io" => {
            definitions::reconcile(context, key, object);
        }
        _ => {}
    }
}
