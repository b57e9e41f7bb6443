//! The watches: which there are, how they are resumed, when one is given up.

use std::time::Duration;

use futures::stream::{BoxStream, StreamExt as _};
use kube::core::{ApiResource, DynamicResourceScope, GroupVersionKind};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Config};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource};

use super::seen::{Reduce, Seen, Slim};
use crate::connect::RetryPolicy;
use crate::health::{Event, Pod, ReplicaSet};

/// How long the server may hold a watch: short enough that a connection that died without a word is noticed.
const WATCH_SECONDS: u32 = 45;
/// Objects per page of the initial list: what is in memory at once.
const PAGE: u32 = 100;

/// What a watch brought.
pub(super) enum Signal {
    /// An object of the group of this index.
    Object(usize, Change<Slim>),
    /// A pod of this namespace.
    Pod(usize, Change<Pod>),
    /// A `ReplicaSet` of this namespace.
    Set(usize, Change<ReplicaSet>),
    /// An Event of this namespace.
    Event(usize, Change<Event>),
}

/// What happened to one kind in one namespace.
pub(super) enum Change<T> {
    /// A list begins: what it does not have is gone.
    Relist,
    /// There, new or changed.
    Put(Box<Seen<T>>),
    /// Deleted.
    Gone(Box<Seen<T>>),
    /// The list is complete.
    Listed,
    /// The watch broke; it is taken up again by itself.
    Broken(Break),
}

/// Why a watch broke.
pub(super) struct Break {
    pub(super) because: String,
    /// The server will not allow it, however often it is asked.
    pub(super) refused: bool,
    /// The credentials are not, or no longer, good.
    pub(super) unauthorized: bool,
    /// Normal life of a watch (the server closed it, its version is too old): not worth a word.
    pub(super) routine: bool,
}

/// How often a watch that broke is tried again: for as long as the wait lasts, and soon, so that a short wait is not spent in pauses.
const AGAIN: RetryPolicy = RetryPolicy {
    attempts: u32::MAX,
    first_contact: u32::MAX,
    initial: Duration::from_millis(200),
    longest: Duration::from_secs(5),
};

/// The pauses of one watch, by the tries since it last brought something. The watches of a cluster break together, because they share
/// a connection; were they taken up in step, one that is reset would take the others with it every time.
#[derive(Clone)]
struct Pauses(u32);

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0 = self.0.saturating_add(1);
        Some(AGAIN.pause(self.0))
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {
        self.0 = 0;
    }
}

/// A resource of Kubernetes itself.
pub(super) fn builtin(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Watches the objects of one kind in one namespace (or in the cluster), or just the one of that name.
pub(super) fn objects(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    only: Option<&str>,
    index: usize,
) -> BoxStream<'static, Signal> {
    let config = match only {
        Some(name) => config().fields(&format!("metadata.name={name}")),
        None => config(),
    };
    stream::<Slim>(client, resource, namespace, config)
        .map(move |change| Signal::Object(index, change))
        .boxed()
}

/// Watches what explains the objects of a namespace: its pods, `ReplicaSet`s (by their metadata) and warnings.
pub(super) fn explanations(
    client: &Client,
    namespace: &str,
    index: usize,
) -> [BoxStream<'static, Signal>; 3] {
    let namespace = Some(namespace);
    let pods = stream::<Pod>(client, &builtin("", "v1", "Pod", "pods"), namespace, config());
    let sets = stream::<ReplicaSet>(
        client,
        &builtin("apps", "v1", "ReplicaSet", "replicasets"),
        namespace,
        config(),
    );
    let warnings = config().fields("type=Warning");
    let events = stream::<Event>(client, &builtin("", "v1", "Event", "events"), namespace, warnings);
    [
        pods.map(move |change| Signal::Pod(index, change)).boxed(),
        sets.map(move |change| Signal::Set(index, change)).boxed(),
        events.map(move |change| Signal::Event(index, change)).boxed(),
    ]
}

fn config() -> Config {
    Config::default().timeout(WATCH_SECONDS).page_size(PAGE)
}

fn stream<T: Reduce>(
    client: &Client,
    resource: &ApiResource,
    namespace: Option<&str>,
    config: Config,
) -> BoxStream<'static, Change<T>>
where
    Seen<T>: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    let api: Api<Seen<T>> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    };
    watch(api, config)
        .backoff(Pauses(0))
        .map(|event| match event {
            Ok(watcher::Event::Init) => Change::Relist,
            Ok(watcher::Event::InitDone) => Change::Listed,
            Ok(watcher::Event::Apply(seen) | watcher::Event::InitApply(seen)) => Change::Put(Box::new(seen)),
            Ok(watcher::Event::Delete(seen)) => Change::Gone(Box::new(seen)),
            Err(error) => Change::Broken(broken(&error)),
        })
        .boxed()
}

fn broken(error: &watcher::Error) -> Break {
    let (status, routine) = match error {
        watcher::Error::WatchError(status) => (Some(status.as_ref()), status.code == 410),
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => {
            (Some(status.as_ref()), status.code == 410)
        }
        watcher::Error::WatchFailed(_) => (None, true),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::NoResourceVersion => (None, false),
    };
    let refused = status.is_some_and(|status| matches!(status.code, 401 | 403 | 404 | 405));
    let unauthorized = status.is_some_and(|status| status.code == 401);
    let because = match status {
        Some(status) if !status.message.is_empty() => status.message.clone(),
        Some(status) => format!("HTTP status {}", status.code),
        None => chain(error),
    };
    Break { because, refused, unauthorized, routine }
}

/// An error and its causes on one line, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        if !text.contains(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        next = cause.source();
    }
    text
}
