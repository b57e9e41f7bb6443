//! The schemas that come with the program.
//!
//! `kubernetes.schemas` is written by `cargo run -p testkit --example kubernetes-schemas`. It holds every definition
//! once for all minor versions, as lines:
//!
//! ```text
//! minors 33 34
//! kind apps/v1 Deployment namespaced api.apps.v1.Deployment
//! kind resource.k8s.io/v1 DeviceClass cluster api.resource.v1.DeviceClass @34
//! type api.core.v1.ContainerPort
//!  containerPort! int32
//!  protocol string enum=SCTP|TCP|UDP
//! ```
//!
//! A field line is name (`!` if required), type, then `keys=`, `set`, `enum=` and `@minors` as far as they apply. Types
//! are `[T]`, `{T}` (a mapping from any key), `T|U`, a primitive, or the name of a definition. A definition is parsed
//! when a manifest first leads to it.

use std::borrow::Cow;
use std::sync::OnceLock;

use serde_json::Value;

use super::schema::{Field, Keys, Object, Others, Rules, Schema, Shape};

const TEXT: &str = include_str!("kubernetes.schemas");

/// What a kind is in one version of its API.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kind {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) namespaced: bool,
    /// The place of its type.
    pub(super) definition: usize,
    minors: Option<&'static str>,
}

/// The schemas of one minor version.
#[derive(Debug)]
pub(super) struct Bundle {
    pub(super) minor: u32,
    definitions: Vec<OnceLock<Object>>,
}

struct Index {
    minors: Vec<u32>,
    /// Sorted by `apiVersion`, then kind.
    kinds: Vec<Kind>,
    /// Name and lines, sorted by name.
    definitions: Vec<(&'static str, &'static str)>,
}

static INDEX: std::sync::LazyLock<Index> = std::sync::LazyLock::new(|| {
    let mut minors = Vec::new();
    let mut kinds = Vec::new();
    let mut definitions = Vec::new();
    let (head, types) = TEXT.split_once("\ntype ").unwrap_or((TEXT, ""));
    for part in types.split("\ntype ") {
        definitions.push(part.split_once('\n').unwrap_or((part, "")));
    }
    for line in head.lines() {
        let mut words = line.split(' ');
        match words.next() {
            Some("minors") => minors.extend(words.filter_map(|word| word.parse::<u32>().ok())),
            Some("kind") => {
                let mut word = || words.next().unwrap_or_default();
                let (api_version, kind, scope, name) = (word(), word(), word(), word());
                let minors = words.next().and_then(|word| word.strip_prefix('@'));
                let definition =
                    definitions.binary_search_by(|(known, _)| known.cmp(&name)).unwrap_or(usize::MAX);
                kinds.push(Kind { api_version, kind, namespaced: scope == "namespaced", definition, minors });
            }
            _ => {}
        }
    }
    Index { minors, kinds, definitions }
});

/// The minor versions of Kubernetes 1 that are bundled, oldest first.
pub(super) fn minors() -> &'static [u32] {
    &INDEX.minors
}

/// Every kind of every bundled minor version.
pub(super) fn all_kinds() -> &'static [Kind] {
    &INDEX.kinds
}

impl Kind {
    /// The bundled minor versions that have it.
    pub(super) fn minors(&self) -> impl Iterator<Item = u32> {
        let all = self.minors.is_none().then_some(minors()).into_iter().flatten().copied();
        all.chain(
            self.minors.into_iter().flat_map(|list| list.split(',').filter_map(|minor| minor.parse().ok())),
        )
    }

    /// The group, empty for the core.
    pub(super) fn group(&self) -> &'static str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

impl Bundle {
    pub(super) fn new(minor: u32) -> Self {
        Self { minor, definitions: INDEX.definitions.iter().map(|_| OnceLock::new()).collect() }
    }

    /// The kind, if this minor version has it.
    pub(super) fn kind(&self, api_version: &str, kind: &str) -> Option<&'static Kind> {
        let at = INDEX
            .kinds
            .binary_search_by(|known| (known.api_version, known.kind).cmp(&(api_version, kind)))
            .ok()?;
        let found = &INDEX.kinds[at];
        found.minors().any(|minor| minor == self.minor).then_some(found)
    }

    /// The type at a place that a [`Kind`] or a [`Shape::Type`] names.
    pub(super) fn definition(&self, at: usize) -> &Object {
        self.definitions[at].get_or_init(|| object(INDEX.definitions[at].1, self.minor))
    }

    /// The type of that name.
    pub(super) fn named(&self, name: &str) -> usize {
        INDEX.definitions.binary_search_by(|(known, _)| (*known).cmp(name)).unwrap_or_default()
    }

    /// All definitions, for tests that want to see each of them once.
    #[cfg(test)]
    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, &Object)> {
        INDEX.definitions.iter().enumerate().map(|(at, (name, _))| (*name, self.definition(at)))
    }
}

fn object(lines: &'static str, minor: u32) -> Object {
    let mut fields: Vec<Field> = lines.lines().filter_map(|line| field(line, minor)).collect();
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Object { fields, ..Object::default() }
}

fn field(line: &'static str, minor: u32) -> Option<Field> {
    let mut words = line.trim_start().split(' ');
    let (name, kind) = (words.next()?, words.next()?);
    let mut keys = Keys::None;
    let mut values = Vec::new();
    for word in words {
        if let Some(minors) = word.strip_prefix('@') {
            if !minors.split(',').any(|known| known.parse() == Ok(minor)) {
                return None;
            }
        } else if word == "set" {
            keys = Keys::Element;
        } else if let Some(list) = word.strip_prefix("keys=") {
            let key = |key: &'static str| match key.split_once('=') {
                Some((key, default)) => (Cow::Borrowed(key), Some(Cow::Borrowed(default))),
                None => (Cow::Borrowed(key), None),
            };
            keys = Keys::Fields(list.split(',').map(key).collect());
        } else if let Some(list) = word.strip_prefix("enum=") {
            values = list.split('|').map(|value| Value::String(value.replace("%20", " "))).collect();
        }
    }
    let required = name.ends_with('!');
    let name = Cow::Borrowed(name.trim_end_matches('!'));
    Some(Field { name, required, has_default: false, schema: schema(kind, keys, values) })
}

fn schema(kind: &'static str, keys: Keys, values: Vec<Value>) -> Schema {
    let mut inner = Vec::new();
    let shape = if let Some(items) = kind.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        // The enum of a list of texts is about its elements.
        inner = values;
        Shape::List(Box::new(schema(items, Keys::None, std::mem::take(&mut inner))), keys)
    } else if let Some(values) = kind.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Shape::Map(Box::new(schema(values, Keys::None, Vec::new())))
    } else if kind.contains('|') {
        Shape::Either(kind.split('|').map(|kind| schema(kind, Keys::None, Vec::new())).collect())
    } else {
        inner = values;
        match kind {
            "string" => Shape::Text,
            "byte" => Shape::Base64,
            "date-time" => Shape::Time,
            "int32" => Shape::Integer(i32::MIN.into(), i32::MAX.into()),
            "int64" => Shape::Integer(i64::MIN, i64::MAX),
            "number" => Shape::Number,
            "boolean" => Shape::Boolean,
            "int-or-string" => Shape::IntOrString,
            "quantity" => Shape::Quantity,
            "object" => Shape::Object(Box::new(Object { others: Others::Kept, ..Object::default() })),
            name => match INDEX.definitions.binary_search_by(|(known, _)| (*known).cmp(name)) {
                Ok(at) => Shape::Type(at),
                Err(_) => Shape::Any,
            },
        }
    };
    let rules = (!inner.is_empty()).then(|| {
        // A server reads an empty text as "not given".
        inner.push(Value::String(String::new()));
        Box::new(Rules { values: inner, ..Rules::default() })
    });
    Schema { shape, nullable: true, rules }
}
