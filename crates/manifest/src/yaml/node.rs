//! The tree that [`read`](super::read()) returns.

use std::ops::Range;

use super::scalar::Scalar;

/// One document of a stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its position in the stream, from 0; empty documents count.
    pub index: usize,
    /// Its content; an empty document is a null scalar.
    pub root: Node,
}

impl Document {
    /// Whether nothing stands in it (only comments or blank lines).
    pub fn is_empty(&self) -> bool {
        self.root.is_null() && self.root.span.bytes.is_empty()
    }
}

/// Where something stands in its file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span {
    /// Byte offsets of the first byte and behind the last one.
    pub bytes: Range<usize>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Span {
    /// The bytes as written; empty if `text` is not what was read.
    pub fn text<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.bytes.clone()).unwrap_or_default()
    }
}

/// How a node was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// A scalar without quotes: the only one whose meaning depends on the schema.
    Plain,
    /// `'…'` or `"…"`.
    Quoted,
    /// `|` or `>`, or a collection in block form.
    Block,
    /// `[…]` or `{…}`.
    Flow,
}

/// A value and where it stands. What an alias brought in keeps the place of its definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its place.
    pub span: Span,
    /// How it was written.
    pub style: Style,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A single value.
    Scalar(Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping.
    Map(Map),
}

/// One pair of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key as text, the way the schema's reader turns scalars into names (`010` is `8`).
    pub key: String,
    /// Where the key stands.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

/// A mapping in the order of its file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map {
    pub(super) entries: Vec<Entry>,
}

impl Map {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The pair of `key`, for its place.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    /// All pairs in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.entries.iter()
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl IntoIterator for Map {
    type Item = Entry;
    type IntoIter = std::vec::IntoIter<Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.into_iter()
    }
}

impl<'a> IntoIterator for &'a Map {
    type Item = &'a Entry;
    type IntoIter = std::slice::Iter<'a, Entry>;

    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

/// A value that JSON cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: JSON has no number for {value}")]
pub struct JsonError {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
    /// `NaN`, `inf` or `-inf`.
    pub value: String,
}

impl Node {
    /// The scalar, if it is one.
    pub fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            Value::List(_) | Value::Map(_) => None,
        }
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self.as_scalar() {
            Some(Scalar::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn as_list(&self) -> Option<&[Node]> {
        match &self.value {
            Value::List(list) => Some(list),
            Value::Scalar(_) | Value::Map(_) => None,
        }
    }

    /// The mapping, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            Value::Scalar(_) | Value::List(_) => None,
        }
    }

    /// The value of `key`, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// Whether it is null (given or left empty).
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Scalar(Scalar::Null))
    }

    /// What it is, for messages: "a mapping", "a list", "a string", "null", ….
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Scalar(scalar) => scalar.kind(),
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }

    /// The same value as JSON, the way `sigs.k8s.io/yaml` converts it: a number without a fraction
    /// is an integer whatever way it was written.
    ///
    /// # Errors
    /// Not-a-number and infinities, which JSON does not have.
    pub fn to_json(&self) -> Result<serde_json::Value, JsonError> {
        Ok(match &self.value {
            Value::Scalar(scalar) => scalar.to_json().ok_or_else(|| JsonError {
                line: self.span.line,
                column: self.span.column,
                value: scalar.to_text().into_owned(),
            })?,
            Value::List(list) => {
                serde_json::Value::Array(list.iter().map(Node::to_json).collect::<Result<_, _>>()?)
            }
            Value::Map(map) => {
                let mut object = serde_json::Map::with_capacity(map.len());
                for entry in map {
                    object.insert(entry.key.clone(), entry.value.to_json()?);
                }
                serde_json::Value::Object(object)
            }
        })
    }
}
