//! JSON that many places of a report hold, kept once.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// A JSON value, kept as its text: as a tree it takes ten times as much. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedJson(Arc<str>);

impl SharedJson {
    fn value(&self) -> Value {
        // It was written from one. What is nested more deeply than a parser goes is still the text that it is.
        serde_json::from_str(&self.0).unwrap_or_else(|_| Value::from(&*self.0))
    }
}

impl From<&Value> for SharedJson {
    fn from(value: &Value) -> Self {
        Self(value.to_string().into())
    }
}

impl Serialize for SharedJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Value::deserialize(deserializer).map(|value| Self::from(&value))
    }
}
