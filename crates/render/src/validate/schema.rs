//! A schema, whether it comes from Kubernetes itself or from a custom resource definition.

use std::borrow::Cow;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::Value;

/// What a value must look like.
#[derive(Debug, Default)]
pub(super) struct Schema {
    pub(super) shape: Shape,
    /// Whether null is a value. Kubernetes' own types read null as "not given", so it is true for all of them.
    pub(super) nullable: bool,
    /// What goes beyond the shape.
    pub(super) rules: Option<Box<Rules>>,
}

/// What kind of value.
#[derive(Debug, Default)]
pub(super) enum Shape {
    /// Anything.
    #[default]
    Any,
    /// A mapping with these fields.
    Object(Box<Object>),
    /// A type of the bundled schemas, by its place there.
    Type(usize),
    /// A mapping with any keys.
    Map(Box<Schema>),
    /// A list.
    List(Box<Schema>, Keys),
    /// Text.
    Text,
    /// Text in base64.
    Base64,
    /// A time as in RFC 3339.
    Time,
    /// A whole number, between these.
    Integer(i64, i64),
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A whole number or text.
    IntOrString,
    /// `500m`, `1Gi`, `2`.
    Quantity,
    /// The first of these that takes this kind of value.
    Either(Vec<Schema>),
}

/// What tells the elements of a list apart (`x-kubernetes-list-type`).
#[derive(Debug, Default)]
pub(super) enum Keys {
    /// Nothing: elements may repeat.
    #[default]
    None,
    /// The element itself.
    Element,
    /// These fields; with a default where one may be left out.
    Fields(Vec<(Cow<'static, str>, Option<Cow<'static, str>>)>),
}

/// The fields of a mapping.
#[derive(Debug, Default)]
pub(super) struct Object {
    /// Sorted by name.
    pub(super) fields: Vec<Field>,
    /// Fields that must be there without being listed, as in `anyOf: [{required: [a]}, {required: [b]}]`.
    pub(super) also_required: Vec<String>,
    /// What happens to other fields.
    pub(super) others: Others,
    /// Whether a whole Kubernetes object stands here (`x-kubernetes-embedded-resource`).
    pub(super) embedded: bool,
}

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: Cow<'static, str>,
    pub(super) required: bool,
    /// Whether the server fills it in when it is missing.
    pub(super) has_default: bool,
    pub(super) schema: Schema,
}

/// Fields that are not listed.
#[derive(Debug, Default)]
pub(super) enum Others {
    /// An error.
    #[default]
    Refused,
    /// Kept as they are.
    Kept,
    /// Like this.
    Like(Box<Schema>),
}

/// Rules about a value of the right shape (OpenAPI v3's value validations).
#[derive(Debug, Default)]
pub(super) struct Rules {
    pub(super) values: Vec<Value>,
    pub(super) minimum: Option<Limit>,
    pub(super) maximum: Option<Limit>,
    pub(super) multiple_of: Option<f64>,
    /// Numbers of characters, of elements, of fields: least and most.
    pub(super) length: (Option<u64>, Option<u64>),
    pub(super) items: (Option<u64>, Option<u64>),
    pub(super) properties: (Option<u64>, Option<u64>),
    pub(super) pattern: Option<Pattern>,
    pub(super) format: Option<String>,
    pub(super) all_of: Vec<Schema>,
    pub(super) any_of: Vec<Schema>,
    pub(super) one_of: Vec<Schema>,
    pub(super) not: Option<Schema>,
}

/// A limit of a number.
#[derive(Debug)]
pub(super) struct Limit {
    pub(super) value: f64,
    /// Whether the limit itself is beyond it.
    pub(super) exclusive: bool,
}

/// A regular expression that is compiled when it is first needed.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), compiled: OnceLock::new() }
    }

    /// Whether `text` matches somewhere. What only Go's engine understands matches.
    pub(super) fn matches(&self, text: &str) -> bool {
        match self.compiled.get_or_init(|| Regex::new(&self.text).ok()) {
            Some(regex) => regex.is_match(text),
            None => true,
        }
    }
}

impl Object {
    /// The field called `name`.
    pub(super) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.binary_search_by(|field| (*field.name).cmp(name)).ok().map(|at| &self.fields[at])
    }
}

impl Schema {
    pub(super) fn of(shape: Shape) -> Self {
        Self { shape, nullable: false, rules: None }
    }
}
