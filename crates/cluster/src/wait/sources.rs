//! The watches: which there are, and what they bring.

use futures::stream::{BoxStream, StreamExt as _};
use kube::Resource as _;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};

use super::seen::{Reduce, Seen, Slim};
use super::watch::{Source, Watch};
use crate::connect::Refusal;
use crate::health::{Event, Pod, ReplicaSet};

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
    /// The version, or the page, is one that the server does not have any more: the list begins anew.
    pub(super) expired: bool,
    /// Normal life of a watch (the server closed it, its version is too old): not worth a word.
    pub(super) routine: bool,
}

impl Break {
    /// What may be better the next time.
    pub(super) fn passing(because: String) -> Self {
        Self { because, refused: false, unauthorized: false, expired: false, routine: false }
    }

    /// The server's no.
    pub(super) fn refused(refusal: &Refusal) -> Self {
        let expired = refusal.code == 410;
        Self {
            refused: matches!(refusal.code, 401 | 403 | 404 | 405),
            unauthorized: refusal.code == 401,
            expired,
            routine: expired,
            ..Self::passing(refusal.to_string())
        }
    }
}

/// A resource of Kubernetes itself.
pub(super) fn builtin(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

/// Watches the objects of one kind in one namespace (or in the cluster), or just the one of that name.
pub(super) fn objects(
    source: &Source,
    resource: &ApiResource,
    namespace: Option<&str>,
    only: Option<&str>,
    index: usize,
) -> BoxStream<'static, Signal> {
    let only = only.map(|name| format!("metadata.name={name}"));
    watch::<Slim>(source, resource, namespace, only, move |change| Signal::Object(index, change))
}

/// Watches what explains the objects of a namespace: its pods, `ReplicaSet`s (by their metadata) and warnings.
pub(super) fn explanations(
    source: &Source,
    namespace: &str,
    index: usize,
) -> [BoxStream<'static, Signal>; 3] {
    let namespace = Some(namespace);
    let pods = builtin("", "v1", "Pod", "pods");
    let sets = builtin("apps", "v1", "ReplicaSet", "replicasets");
    let events = builtin("", "v1", "Event", "events");
    let warnings = Some("type=Warning".to_owned());
    [
        watch(source, &pods, namespace, None, move |change| Signal::Pod(index, change)),
        watch(source, &sets, namespace, None, move |change| Signal::Set(index, change)),
        watch(source, &events, namespace, warnings, move |change| Signal::Event(index, change)),
    ]
}

fn watch<T: Reduce>(
    source: &Source,
    resource: &ApiResource,
    namespace: Option<&str>,
    fields: Option<String>,
    signal: impl Fn(Change<T>) -> Signal + Send + 'static,
) -> BoxStream<'static, Signal> {
    let path = DynamicObject::url_path(resource, namespace);
    Watch::new(source.clone(), path, fields).changes().map(signal).boxed()
}
