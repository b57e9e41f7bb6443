//! What a watch keeps of an object: name, versions, and what was asked of it. The rest is dropped while reading.

use kube::core::ApiResource;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::health::{Event, Pod, ReplicaSet};

/// Something that can be read off an object as the server sent it.
pub(super) trait Reduce: Send + 'static {
    fn reduce(object: Value) -> Self;
}

/// An object on a watch. What the server left out is empty.
pub(super) struct Seen<T> {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) kept: T,
}

impl<T: Reduce> Seen<T> {
    pub(super) fn of(object: Value) -> Self {
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (name, uid) = (text("/metadata/name"), text("/metadata/uid"));
        Self { name, uid, kept: T::reduce(object) }
    }
}

impl<'de, T: Reduce> Deserialize<'de> for Seen<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::of)
    }
}

/// A whole object, without the parts that are large and say nothing about readiness.
pub(super) struct Slim(pub(super) Value);

impl Slim {
    /// Items of a list do not say what they are.
    pub(super) fn name_kind(&mut self, resource: &ApiResource) {
        if let Some(object) = self.0.as_object_mut() {
            object.insert("apiVersion".to_owned(), Value::from(resource.api_version.as_str()));
            object.insert("kind".to_owned(), Value::from(resource.kind.as_str()));
        }
    }
}

impl Reduce for Slim {
    fn reduce(mut object: Value) -> Self {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
            if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
                annotations.retain(|name, _| !name.ends_with("last-applied-configuration"));
            }
        }
        for (part, heavy) in [("spec", "template"), ("spec", "versions")] {
            if let Some(map) = object.get_mut(part).and_then(Value::as_object_mut) {
                map.shift_remove(heavy);
            }
        }
        Self(object)
    }
}

impl Reduce for Pod {
    fn reduce(object: Value) -> Self {
        Self::read(&object)
    }
}

impl Reduce for ReplicaSet {
    fn reduce(object: Value) -> Self {
        Self::read(&object)
    }
}

impl Reduce for Event {
    fn reduce(object: Value) -> Self {
        Self::read(&object)
    }
}
