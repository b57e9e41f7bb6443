//! A Kubernetes object as a file wrote it.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::ObjectRef;

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file as the caller named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// One object of a manifest: it has `apiVersion`, `kind` and `metadata.name`, and its labels and annotations are strings.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The object as JSON.
    pub value: Value,
    /// Where it begins.
    pub place: Place,
}

impl Object {
    /// Which object it is.
    pub fn reference(&self) -> ObjectRef {
        reference(&self.value)
    }

    /// `apps/v1`.
    pub fn api_version(&self) -> &str {
        text(&self.value, "apiVersion")
    }

    /// `Deployment`.
    pub fn kind(&self) -> &str {
        text(&self.value, "kind")
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        text(&self.value["metadata"], "name")
    }

    /// `metadata.namespace`, if written.
    pub fn namespace(&self) -> Option<&str> {
        self.value["metadata"].get("namespace").and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// `metadata.labels`.
    pub fn labels(&self) -> Option<&Map<String, Value>> {
        self.value["metadata"].get("labels").and_then(Value::as_object)
    }

    /// The annotation `key`.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        annotation(&self.value, key)
    }
}

/// Which object `value` is; empty texts where it does not say.
pub fn reference(value: &Value) -> ObjectRef {
    let metadata = &value["metadata"];
    ObjectRef {
        api_version: text(value, "apiVersion").to_owned(),
        kind: text(value, "kind").to_owned(),
        namespace: Some(text(metadata, "namespace")).filter(|text| !text.is_empty()).map(str::to_owned),
        name: text(metadata, "name").to_owned(),
    }
}

/// The annotation `key` of `value`.
pub fn annotation<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get("metadata")?.get("annotations")?.get(key)?.as_str()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
