//! The schemas inside CustomResourceDefinitions (`apiextensions.k8s.io/v1`).

use std::borrow::Cow;

use manifest::yaml::{Node, Scalar};

use super::check::number;
use super::schema::{Field, Keys, Limit, Object, Others, Pattern, Rules, Schema, Shape};

/// One version of a custom kind.
#[derive(Debug)]
pub(super) struct Custom {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) namespaced: bool,
    pub(super) served: bool,
    /// Whether `status` is a subresource, which is dropped when an object is created.
    pub(super) has_status: bool,
    pub(super) schema: Schema,
}

/// Whether this is a definition of a custom kind.
pub(super) fn is_crd(node: &Node) -> bool {
    node.get("kind").and_then(Node::as_str) == Some("CustomResourceDefinition")
        && node.get("apiVersion").and_then(Node::as_str) == Some("apiextensions.k8s.io/v1")
}

/// The kinds that a definition declares. What is malformed is left out: the definition itself is checked as an object
/// of its own.
pub(super) fn read(node: &Node, metadata: usize) -> Vec<Custom> {
    let text = |path: &[&str]| {
        let found = path.iter().try_fold(node, |node, key| node.get(key));
        found.and_then(Node::as_str).map(str::to_owned)
    };
    let (Some(group), Some(kind)) = (text(&["spec", "group"]), text(&["spec", "names", "kind"])) else {
        return Vec::new();
    };
    let namespaced = text(&["spec", "scope"]).as_deref() != Some("Cluster");
    let versions =
        node.get("spec").and_then(|spec| spec.get("versions")).and_then(Node::as_list).unwrap_or_default();
    let custom = |version: &Node| {
        let schema = version.get("schema").and_then(|schema| schema.get("openAPIV3Schema"))?;
        Some(Custom {
            group: group.clone(),
            version: version.get("name")?.as_str()?.to_owned(),
            kind: kind.clone(),
            namespaced,
            served: is_true(version, "served"),
            has_status: version.get("subresources").and_then(|all| all.get("status")).is_some(),
            schema: root(schema, metadata),
        })
    };
    versions.iter().filter_map(custom).collect()
}

/// The schema of the object itself, to which every object's own fields belong.
fn root(node: &Node, metadata: usize) -> Schema {
    let mut schema = structural(node, metadata, true);
    if let Shape::Object(object) = &mut schema.shape {
        object.fields.retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
        object.embedded = false;
        object.fields.extend(own_fields(metadata, false));
        object.fields.sort_by(|a, b| a.name.cmp(&b.name));
    }
    schema
}

/// `apiVersion`, `kind`, `metadata`.
fn own_fields(metadata: usize, required: bool) -> [Field; 3] {
    let field = |name: &'static str, required, shape| {
        let schema = Schema { nullable: true, ..Schema::of(shape) };
        Field { name: Cow::Borrowed(name), required, has_default: false, schema }
    };
    [
        field("apiVersion", required, Shape::Text),
        field("kind", required, Shape::Text),
        field("metadata", false, Shape::Type(metadata)),
    ]
}

fn is_true(node: &Node, key: &str) -> bool {
    matches!(node.get(key).and_then(Node::as_scalar), Some(Scalar::Bool(true)))
}

fn count(node: &Node, key: &str) -> Option<u64> {
    node.get(key).and_then(number).map(|number| number as u64)
}

/// A schema. A structural one says what fields there are; those inside `allOf`, `anyOf`, `oneOf` and `not` only restrict.
fn structural(node: &Node, metadata: usize, specifies: bool) -> Schema {
    let keeps = is_true(node, "x-kubernetes-preserve-unknown-fields");
    let kind = node.get("type").and_then(Node::as_str);
    let shape = match kind {
        _ if is_true(node, "x-kubernetes-int-or-string") => Shape::IntOrString,
        Some("object") => object(node, metadata, specifies, keeps),
        None if node.get("properties").is_some() || node.get("required").is_some() => {
            object(node, metadata, false, keeps)
        }
        Some("array") => {
            let items = node.get("items").map(|items| structural(items, metadata, specifies));
            Shape::List(Box::new(items.unwrap_or_default()), list_keys(node))
        }
        Some("string") => Shape::Text,
        Some("integer") => Shape::Integer(i64::MIN, i64::MAX),
        Some("number") => Shape::Number,
        Some("boolean") => Shape::Boolean,
        _ => Shape::Any,
    };
    Schema { shape, nullable: is_true(node, "nullable"), rules: rules(node, metadata).map(Box::new) }
}

fn object(node: &Node, metadata: usize, specifies: bool, keeps: bool) -> Shape {
    let others = match node.get("additionalProperties") {
        Some(schema) if schema.as_map().is_some() => {
            Others::Like(Box::new(structural(schema, metadata, specifies)))
        }
        Some(flag) if matches!(flag.as_scalar(), Some(Scalar::Bool(true))) => Others::Kept,
        _ if keeps || !specifies => Others::Kept,
        _ => Others::Refused,
    };
    let required = node.get("required").and_then(Node::as_list).unwrap_or_default();
    let required: Vec<&str> = required.iter().filter_map(Node::as_str).collect();
    let mut fields = Vec::new();
    for entry in node.get("properties").and_then(Node::as_map).into_iter().flatten() {
        fields.push(Field {
            name: Cow::Owned(entry.key.clone()),
            required: required.contains(&entry.key.as_str()),
            has_default: entry.value.get("default").is_some(),
            schema: structural(&entry.value, metadata, specifies),
        });
    }
    let described = |name: &str| fields.iter().any(|field| field.name == name);
    let also_required =
        required.iter().filter(|name| !described(name)).map(|name| (*name).to_owned()).collect();
    let embedded = is_true(node, "x-kubernetes-embedded-resource");
    if embedded {
        fields.retain(|field| !matches!(&*field.name, "apiVersion" | "kind" | "metadata"));
        fields.extend(own_fields(metadata, true));
    }
    fields.sort_by(|a, b| a.name.cmp(&b.name));
    Shape::Object(Box::new(Object { fields, also_required, others, embedded }))
}

fn list_keys(node: &Node) -> Keys {
    match node.get("x-kubernetes-list-type").and_then(Node::as_str) {
        Some("set") => Keys::Element,
        Some("map") => {
            let keys = node.get("x-kubernetes-list-map-keys").and_then(Node::as_list).unwrap_or_default();
            let properties = node.get("items").and_then(|items| items.get("properties"));
            let key = |key: &Node| {
                let name = key.as_str()?.to_owned();
                let field = properties.and_then(|properties| properties.get(&name));
                let default = field.and_then(|field| field.get("default")).and_then(Node::as_scalar);
                Some((Cow::Owned(name), default.map(|scalar| Cow::Owned(scalar.to_text().into_owned()))))
            };
            Keys::Fields(keys.iter().filter_map(key).collect())
        }
        _ => Keys::None,
    }
}

fn rules(node: &Node, metadata: usize) -> Option<Rules> {
    let schemas = |key: &str| -> Vec<Schema> {
        let list = node.get(key).and_then(Node::as_list).unwrap_or_default();
        list.iter().map(|schema| structural(schema, metadata, false)).collect()
    };
    let limit = |key: &str, exclusive: &str| {
        let value = node.get(key).and_then(number)?;
        Some(Limit { value, exclusive: is_true(node, exclusive) })
    };
    let values = node.get("enum").and_then(Node::as_list).unwrap_or_default();
    let rules = Rules {
        values: values.iter().filter_map(|value| value.to_json().ok()).collect(),
        minimum: limit("minimum", "exclusiveMinimum"),
        maximum: limit("maximum", "exclusiveMaximum"),
        multiple_of: node.get("multipleOf").and_then(number).filter(|unit| *unit != 0.0),
        length: (count(node, "minLength"), count(node, "maxLength")),
        items: (count(node, "minItems"), count(node, "maxItems")),
        properties: (count(node, "minProperties"), count(node, "maxProperties")),
        pattern: node.get("pattern").and_then(Node::as_str).map(Pattern::new),
        format: node.get("format").and_then(Node::as_str).map(str::to_owned),
        all_of: schemas("allOf"),
        any_of: schemas("anyOf"),
        one_of: schemas("oneOf"),
        not: node.get("not").map(|schema| structural(schema, metadata, false)),
    };
    let empty = rules.values.is_empty()
        && rules.minimum.is_none()
        && rules.maximum.is_none()
        && rules.multiple_of.is_none()
        && [rules.length, rules.items, rules.properties].iter().all(|pair| *pair == (None, None))
        && rules.pattern.is_none()
        && rules.format.is_none()
        && rules.all_of.is_empty()
        && rules.any_of.is_empty()
        && rules.one_of.is_empty()
        && rules.not.is_none();
    (!empty).then_some(rules)
}
