//! What a watch keeps of an object: name, versions, and what was asked of it. The rest is dropped while reading.

use std::borrow::Cow;
use std::fmt::Debug;

use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::health::{Event, Pod, ReplicaSet};

/// Something that can be read off an object as the server sent it.
pub(super) trait Reduce: Clone + Debug + Send + 'static {
    fn reduce(object: Value) -> Self;
}

/// An object on a watch.
#[derive(Debug, Clone)]
pub(super) struct Seen<T> {
    meta: ObjectMeta,
    pub(super) kept: T,
}

impl<T> Seen<T> {
    pub(super) fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    pub(super) fn uid(&self) -> &str {
        self.meta.uid.as_deref().unwrap_or_default()
    }
}

impl<'de, T: Reduce> Deserialize<'de> for Seen<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Value::deserialize(deserializer)?;
        let text = |field: &str| object.pointer(field).and_then(Value::as_str).map(str::to_owned);
        let meta = ObjectMeta {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, kept: T::reduce(object) })
    }
}

impl<T: Reduce> Resource for Seen<T> {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.kind)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.group)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.version)
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.api_version)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        Cow::Borrowed(&resource.plural)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// A whole object, without the parts that are large and say nothing about readiness.
#[derive(Debug, Clone)]
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
