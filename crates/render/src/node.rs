//! The value tree: every leaf knows where it came from, and whether it is secret.
//!
//! Trees are immutable and shared. A merge copies only the spine above what differs, so that a
//! thousand clusters share the one tree of their base, and two views that hold the same pointer hold
//! the same value.

use std::sync::Arc;

use manifest::yaml;

/// Names a file in a [`FileTable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

impl FileId {
    /// No file: values that the program itself gives, such as a resource's name.
    pub const NONE: FileId = FileId(u32::MAX);
}

/// The files that values came from.
#[derive(Debug, Default)]
pub struct FileTable {
    names: std::sync::RwLock<Vec<Arc<str>>>,
}

impl FileTable {
    /// Adds a file. The same name may be added twice; the two then differ as files.
    pub fn add(&self, name: &str) -> FileId {
        let mut names = self.names.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.push(name.into());
        FileId(names.len() as u32 - 1)
    }

    /// The name of a file; empty for [`FileId::NONE`].
    pub fn name(&self, file: FileId) -> Arc<str> {
        let names = self.names.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        names.get(file.0 as usize).cloned().unwrap_or_else(|| "".into())
    }
}

/// Which layer gave a value. Later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Layer {
    /// `base-cluster.yaml`, `base-var.yaml`.
    Base,
    /// `type/<type>-var.yaml`.
    Type,
    /// `cluster.yaml`, `configuration-var.yaml`.
    Cluster,
    /// A provider (`plugin:` of kit.yaml).
    Provider,
    /// The process environment, for `external: true`.
    Environment,
    /// An image file.
    Image,
    /// A command line flag.
    Flag,
    /// The program itself: names, branch, primary.
    Derived,
}

impl Layer {
    /// As users read it.
    pub fn name(self) -> &'static str {
        match self {
            Layer::Base => "base",
            Layer::Type => "type",
            Layer::Cluster => "cluster",
            Layer::Provider => "provider",
            Layer::Environment => "environment",
            Layer::Image => "image file",
            Layer::Flag => "flag",
            Layer::Derived => "derived",
        }
    }
}

/// Where a value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The file.
    pub file: FileId,
    /// Line of the value, from 1; 0 if there is none.
    pub line: u32,
    /// Column of the value in characters, from 1; 0 if there is none.
    pub column: u32,
    /// The layer.
    pub layer: Layer,
    /// Whether the value must not be shown.
    pub secret: bool,
}

impl Origin {
    /// A value of no file.
    pub const fn of(layer: Layer) -> Origin {
        Origin { file: FileId::NONE, line: 0, column: 0, layer, secret: false }
    }
}

/// A value and where it came from.
#[derive(Debug, Clone)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Its origin.
    pub origin: Origin,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub enum Value {
    /// Null.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(Arc<str>),
    /// Milliseconds since 1970 (repositories with kit's YAML only).
    Date(i64),
    /// A list.
    List(List),
    /// A map.
    Map(Map),
}

/// A list. Kit lets a map be merged over one; its keys that are no index are kept beside the items.
#[derive(Debug, Clone, Default)]
pub struct List {
    /// The items.
    pub items: Vec<Arc<Node>>,
    /// Named values, almost always none.
    pub named: Vec<Entry>,
}

/// A pair of a map.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// Line of the key in the file that gave the value, 0 if there is none.
    pub line: u32,
    /// The value.
    pub value: Arc<Node>,
}

/// A map in order.
#[derive(Debug, Clone, Default)]
pub struct Map {
    /// The pairs; no key twice.
    pub entries: Vec<Entry>,
}

impl Map {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.value)
    }

    /// The value of `key`, if JavaScript takes it for true: in kit every other one counted as if the key were not there.
    pub fn truthy(&self, key: &str) -> Option<&Arc<Node>> {
        self.get(key).filter(|value| value.is_truthy())
    }

    /// Sets `key`, where it stands or at the end.
    pub fn set(&mut self, key: impl AsRef<str> + Into<Arc<str>>, value: Arc<Node>) {
        match self.entries.iter_mut().find(|entry| &*entry.key == key.as_ref()) {
            Some(entry) => {
                entry.line = value.origin.line;
                entry.value = value;
            }
            None => {
                let line = value.origin.line;
                self.entries.push(Entry { key: key.into(), line, value });
            }
        }
    }

    /// The keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| &*entry.key)
    }
}

impl Node {
    /// A node on its own.
    pub fn new(value: Value, origin: Origin) -> Arc<Node> {
        Arc::new(Node { value, origin })
    }

    /// Text.
    pub fn text(text: impl Into<Arc<str>>, origin: Origin) -> Arc<Node> {
        Self::new(Value::Text(text.into()), origin)
    }

    /// True or false.
    pub fn bool(flag: bool, origin: Origin) -> Arc<Node> {
        Self::new(Value::Bool(flag), origin)
    }

    /// An empty map.
    pub fn empty_map(origin: Origin) -> Arc<Node> {
        Self::new(Value::Map(Map::default()), origin)
    }

    /// The tree of a YAML document.
    pub fn from_yaml(node: &yaml::Node, file: FileId, layer: Layer, secret: bool) -> Arc<Node> {
        let origin = Origin { file, line: node.span.line, column: node.span.column, layer, secret };
        let value = match &node.value {
            yaml::Value::Scalar(scalar) => match scalar {
                yaml::Scalar::Null => Value::Null,
                yaml::Scalar::Bool(flag) => Value::Bool(*flag),
                yaml::Scalar::Int(number) => Value::Int(*number),
                yaml::Scalar::UInt(number) => Value::Float(*number as f64),
                yaml::Scalar::Float(number) => Value::Float(*number),
                yaml::Scalar::Text(text) => Value::Text(text.as_str().into()),
                yaml::Scalar::Date(millis) => Value::Date(*millis),
            },
            yaml::Value::List(list) => Value::List(List {
                items: list.iter().map(|item| Self::from_yaml(item, file, layer, secret)).collect(),
                named: Vec::new(),
            }),
            yaml::Value::Map(map) => Value::Map(Map {
                entries: map
                    .iter()
                    .map(|entry| Entry {
                        key: entry.key.as_str().into(),
                        line: entry.key_span.line,
                        value: Self::from_yaml(&entry.value, file, layer, secret),
                    })
                    .collect(),
            }),
        };
        Self::new(value, origin)
    }

    /// The tree of a JSON value, all of one origin.
    pub fn from_json(json: &serde_json::Value, origin: Origin) -> Arc<Node> {
        let value = match json {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(flag) => Value::Bool(*flag),
            serde_json::Value::Number(number) => match number.as_i64() {
                Some(number) => Value::Int(number),
                None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            serde_json::Value::String(text) => Value::Text(text.as_str().into()),
            serde_json::Value::Array(items) => Value::List(List {
                items: items.iter().map(|item| Self::from_json(item, origin)).collect(),
                named: Vec::new(),
            }),
            serde_json::Value::Object(object) => Value::Map(Map {
                entries: object
                    .iter()
                    .map(|(key, value)| Entry {
                        key: key.as_str().into(),
                        line: origin.line,
                        value: Self::from_json(value, origin),
                    })
                    .collect(),
            }),
        };
        Self::new(value, origin)
    }

    /// As JSON; numbers that JSON does not have become null.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(flag) => (*flag).into(),
            Value::Int(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Text(text) => (&**text).into(),
            Value::Date(_) => self.to_text().into(),
            Value::List(list) => list.items.iter().map(|item| item.to_json()).collect(),
            Value::Map(map) => {
                map.entries.iter().map(|entry| (entry.key.to_string(), entry.value.to_json())).collect()
            }
        }
    }

    /// The value of `key`, if this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Arc<Node>> {
        self.as_map().and_then(|map| map.get(key))
    }

    /// The value of `key`, if this is a map and has one there that [counts](Map::truthy).
    pub fn truthy(&self, key: &str) -> Option<&Arc<Node>> {
        self.as_map().and_then(|map| map.truthy(key))
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = &self.value { Some(map) } else { None }
    }

    /// The items, if it is a list.
    pub fn as_list(&self) -> Option<&[Arc<Node>]> {
        if let Value::List(list) = &self.value { Some(&list.items) } else { None }
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&Arc<str>> {
        if let Value::Text(text) = &self.value { Some(text) } else { None }
    }

    /// Whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// Whether it is exactly `true`, as kit asked of `disable`, `external` and `primary`.
    pub fn is_true(&self) -> bool {
        matches!(self.value, Value::Bool(true))
    }

    /// Whether JavaScript takes it for true.
    pub fn is_truthy(&self) -> bool {
        match &self.value {
            Value::Null => false,
            Value::Bool(flag) => *flag,
            Value::Int(number) => *number != 0,
            Value::Float(number) => *number != 0.0 && !number.is_nan(),
            Value::Text(text) => !text.is_empty(),
            Value::Date(_) | Value::List(_) | Value::Map(_) => true,
        }
    }

    /// A scalar as text: numbers as JavaScript prints them, which is also how YAML authors wrote them.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        match &self.value {
            Value::Null => text.push_str("null"),
            Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
            Value::Int(number) => text = number.to_string(),
            Value::Float(number) => crate::js::write_number(*number, &mut text),
            Value::Text(value) => text.push_str(value),
            Value::Date(millis) => crate::js::write_date(*millis, &mut text),
            Value::List(_) => text.push_str("[…]"),
            Value::Map(_) => text.push_str("{…}"),
        }
        text
    }

    /// Whether it or anything below it is marked secret.
    pub fn holds_secret(&self) -> bool {
        match &self.value {
            Value::List(list) => list.items.iter().any(|item| item.holds_secret()),
            Value::Map(map) => map.entries.iter().any(|entry| entry.value.holds_secret()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => self.origin.secret,
        }
    }

    /// What it is, for messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    /// Whether both hold the same scalar (`===`; different kinds are never the same).
    pub fn same_scalar(&self, other: &Node) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Int(a), Value::Float(b)) | (Value::Float(b), Value::Int(a)) => *a as f64 == *b,
            (Value::Float(a), Value::Float(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            _ => false,
        }
    }

    /// The same tree with every leaf marked secret and of this layer.
    pub fn marked(self: &Arc<Node>, layer: Layer) -> Arc<Node> {
        let origin = Origin { layer, secret: true, ..self.origin };
        let value = match &self.value {
            Value::List(list) => Value::List(List {
                items: list.items.iter().map(|item| item.marked(layer)).collect(),
                named: list.named.clone(),
            }),
            Value::Map(map) => Value::Map(Map {
                entries: map
                    .entries
                    .iter()
                    .map(|entry| Entry { value: entry.value.marked(layer), ..entry.clone() })
                    .collect(),
            }),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => self.value.clone(),
        };
        Node::new(value, origin)
    }
}

/// The number, if JavaScript treats the property name as an array index.
pub fn array_index(key: &str) -> Option<usize> {
    let canonical = match key.as_bytes() {
        [b'0'] => true,
        [b'1'..=b'9', rest @ ..] => rest.len() < 9 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if canonical { key.parse().ok() } else { None }
}
