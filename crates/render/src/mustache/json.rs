//! Templates over JSON: for tests, and for callers whose data already is JSON.

use serde_json::Value;

use super::data::{Data, Shape};

impl<'a> Data<'a> for &'a Value {
    fn shape(self) -> Shape<'a> {
        match self {
            Value::Null => Shape::Null,
            Value::Bool(value) => Shape::Bool(*value),
            Value::Number(value) => Shape::Number(value.as_f64().unwrap_or(f64::NAN)),
            Value::String(value) => Shape::Text(value),
            Value::Array(items) => Shape::List(items.len()),
            Value::Object(_) => Shape::Map,
        }
    }

    fn field(self, key: &str) -> Option<Self> {
        self.as_object()?.get(key)
    }

    fn item(self, index: usize) -> Option<Self> {
        self.as_array()?.get(index)
    }
}
