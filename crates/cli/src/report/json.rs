//! JSON that many places of a report hold, kept once.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value; clones share it.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedJson(Arc<Value>);

impl From<Value> for SharedJson {
    fn from(value: Value) -> Self {
        Self(Arc::new(value))
    }
}

impl Serialize for SharedJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(Self::from)
    }
}
