//! Kinds that a CustomResourceDefinition adds: its structural schema as a type, pruning, defaults, validation.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Field, ListKind, Scalar, Struct, Ty, built_in};
use crate::kinds::{Kind, Scale, Version};
use crate::status::Cause;

/// The kind that a CRD describes.
pub(crate) fn kind(crd: &Value) -> Option<Kind> {
    let spec = &crd["spec"];
    let names = &spec["names"];
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let list = |v: &Value| v.as_array().into_iter().flatten().map(text).collect();
    let mut versions: Vec<(bool, Version)> = Vec::new();
    for version in spec["versions"].as_array()? {
        if version["served"] != true {
            continue;
        }
        let schema = version.pointer("/schema/openAPIV3Schema").cloned().unwrap_or(Value::Null);
        let scale = version.pointer("/subresources/scale").map(|s| {
            let path = |k: &str| text(&s[k]).replace('.', "/");
            Scale {
                spec_path: path("specReplicasPath"),
                status_path: path("statusReplicasPath"),
                selector_path: Some(path("labelSelectorPath")).filter(|p| !p.is_empty()),
            }
        });
        versions.push((
            version["storage"] == true,
            Version {
                name: text(&version["name"]),
                ty: Arc::new(root(&schema, &text(&names["kind"]))),
                schema: Some(Arc::new(schema)),
                columns: version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default(),
                status: version.pointer("/subresources/status").is_some(),
                scale,
                selectable: version["selectableFields"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .map(|f| text(&f["jsonPath"]))
                    .collect(),
            },
        ));
    }
    versions.sort_by_key(|(storage, _)| !storage);
    Some(Kind {
        group: text(&spec["group"]),
        versions: versions.into_iter().map(|(_, v)| v).collect(),
        kind: text(&names["kind"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        short: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        generation: true,
        custom: true,
    })
}

/// The type of a whole object: the schema plus `apiVersion`, `kind` and `metadata`.
fn root(schema: &Value, name: &str) -> Ty {
    let string = || Arc::new(Ty::Scalar(Scalar::Str));
    let field = |ty| Field { ty, required: false, key_default: None };
    let mut s = match ty(schema) {
        Ty::Struct(s) => Struct {
            name: name.to_owned(),
            atomic: false,
            fields: s
                .fields
                .iter()
                .map(|(k, f)| {
                    (
                        k.clone(),
                        Field { ty: f.ty.clone(), required: f.required, key_default: f.key_default.clone() },
                    )
                })
                .collect(),
            rest: s.rest.clone(),
            order: s.order.clone(),
            custom: true,
        },
        _ => Struct {
            name: name.to_owned(),
            atomic: false,
            fields: HashMap::new(),
            rest: Some(Arc::new(Ty::Any)),
            order: Vec::new(),
            custom: true,
        },
    };
    s.fields.insert("apiVersion".into(), field(string()));
    s.fields.insert("kind".into(), field(string()));
    s.fields.insert("metadata".into(), field(built_in("meta.v1.ObjectMeta")));
    Ty::Struct(Arc::new(s))
}

fn ty(schema: &Value) -> Ty {
    let flag = |k: &str| schema[k] == true;
    if flag("x-kubernetes-int-or-string") {
        return Ty::Scalar(Scalar::IntOrString);
    }
    if flag("x-kubernetes-embedded-resource") {
        return Ty::Any;
    }
    match schema["type"].as_str() {
        Some("string") => Ty::Scalar(Scalar::Str),
        Some("integer") => Ty::Scalar(Scalar::Int64),
        Some("number") => Ty::Scalar(Scalar::Float),
        Some("boolean") => Ty::Scalar(Scalar::Bool),
        Some("array") => {
            let keys = || {
                schema["x-kubernetes-list-map-keys"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|k| k.as_str().map(str::to_owned))
                    .collect()
            };
            let kind = match schema["x-kubernetes-list-type"].as_str() {
                Some("set") => ListKind::Set,
                Some("map") => ListKind::Keyed(keys()),
                _ => ListKind::Atomic,
            };
            Ty::List { kind, item: Arc::new(ty(&schema["items"])) }
        }
        Some("object") => {
            let atomic = schema["x-kubernetes-map-type"] == "atomic";
            let preserve = flag("x-kubernetes-preserve-unknown-fields");
            let properties = schema["properties"].as_object();
            match (properties, schema.get("additionalProperties")) {
                (None, Some(item)) if item.is_object() => Ty::Map { atomic, item: Arc::new(ty(item)) },
                (None, Some(Value::Bool(true))) => Ty::Map { atomic, item: Arc::new(Ty::Any) },
                (None, None) if preserve => Ty::Any,
                (properties, _) => Ty::Struct(Arc::new(Struct {
                    name: String::new(),
                    atomic,
                    fields: properties
                        .into_iter()
                        .flatten()
                        .map(|(k, v)| {
                            let field = Field {
                                ty: Arc::new(ty(v)),
                                required: false,
                                key_default: v.get("default").cloned(),
                            };
                            (k.clone(), field)
                        })
                        .collect(),
                    rest: preserve.then(|| Arc::new(Ty::Any)),
                    order: properties.into_iter().flatten().map(|(k, _)| k.clone()).collect(),
                    custom: true,
                })),
            }
        }
        _ => Ty::Any,
    }
}

/// Drops fields that the schema does not have; returns `unknown field "spec.foo"` for each.
pub(crate) fn prune(version: &Version, object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(&version.ty, object, "", &mut unknown);
    unknown
}

fn walk(ty: &Ty, value: &mut Value, path: &str, unknown: &mut Vec<String>) {
    match (ty, value) {
        (Ty::Struct(s), Value::Object(map)) => {
            map.retain(|key, entry| {
                let at = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match s.field(key) {
                    Some(field) => {
                        walk(&field.ty, entry, &at, unknown);
                        true
                    }
                    None if s.rest.is_some() => true,
                    None => {
                        unknown.push(format!("unknown field \"{at}\""));
                        false
                    }
                }
            });
            if path == "metadata" || !s.custom {
                map.retain(|_, v| !v.is_null() && !matches!(v, Value::Object(o) if o.is_empty()));
            }
        }
        (Ty::Map { item, .. }, Value::Object(map)) => {
            for (key, entry) in map.iter_mut() {
                walk(item, entry, &format!("{path}.{key}"), unknown);
            }
        }
        (Ty::List { item, .. }, Value::Array(list)) => {
            for (i, entry) in list.iter_mut().enumerate() {
                walk(item, entry, &format!("{path}[{i}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Finds items of a set or keyed list that are there twice.
fn duplicates(schema: &Value, list: &[Value], path: &str, causes: &mut Vec<Cause>) {
    let key = |item: &Value| match schema["x-kubernetes-list-type"].as_str() {
        Some("set") => Some(item.clone()),
        Some("map") => {
            let keys = schema["x-kubernetes-list-map-keys"].as_array()?;
            let fields =
                keys.iter().filter_map(|k| Some((k.as_str()?.to_owned(), item.get(k.as_str()?)?.clone())));
            Some(Value::Object(fields.collect()))
        }
        _ => None,
    };
    for (i, item) in list.iter().enumerate() {
        let Some(mine) = key(item) else { return };
        if list[..i].iter().any(|other| key(other).as_ref() == Some(&mine)) {
            causes.push(Cause::duplicate(format!("{path}[{i}]"), &mine));
        }
    }
}

/// Fills in the schema's defaults; drops nulls of fields that are not nullable.
pub(crate) fn default(version: &Version, object: &mut Value) {
    if let Some(schema) = &version.schema {
        fill(schema, object);
    }
}

fn fill(schema: &Value, value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, property) in schema["properties"].as_object().into_iter().flatten() {
                if map.get(key).is_some_and(Value::is_null) && property["nullable"] != true {
                    map.remove(key);
                }
                if !map.contains_key(key)
                    && let Some(default) = property.get("default")
                {
                    map.insert(key.clone(), default.clone());
                }
                if let Some(entry) = map.get_mut(key) {
                    fill(property, entry);
                }
            }
            if schema["additionalProperties"].is_object() {
                map.values_mut().for_each(|v| fill(&schema["additionalProperties"], v));
            }
        }
        Value::Array(list) => list.iter_mut().for_each(|v| fill(&schema["items"], v)),
        _ => {}
    }
}

/// Checks an object against the schema.
pub(crate) fn validate(version: &Version, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    if let Some(schema) = &version.schema {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if matches!(key.as_str(), "metadata" | "apiVersion" | "kind") {
                continue;
            }
            if let Some(value) = object.get(key) {
                check(property, value, key, &mut causes);
            }
        }
        required(schema, object.as_object().unwrap_or(&Map::new()), "", &mut causes);
    }
    causes
}

fn required(schema: &Value, map: &Map<String, Value>, path: &str, causes: &mut Vec<Cause>) {
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !map.contains_key(name) {
            let at = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            causes.push(Cause::required(at, ""));
        }
    }
}

fn check(schema: &Value, value: &Value, path: &str, causes: &mut Vec<Cause>) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let in_body = |text: &str| format!("{path} in body {text}");
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if let Some(wanted) = schema["type"].as_str()
        && schema["x-kubernetes-int-or-string"] != true
        && wanted != got
        && !(wanted == "number" && got == "integer")
    {
        let text = in_body(&format!("must be of type {wanted}: \"{got}\""));
        causes.push(Cause::wrong_type(path, &format!("\"{got}\""), &text));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(value)
    {
        let names: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
        causes.push(Cause::unsupported(path, value.as_str().unwrap_or_default(), &names));
    }
    let number = |k: &str| schema[k].as_f64();
    match value {
        Value::Number(n) => {
            let n = n.as_f64().unwrap_or_default();
            if let Some(min) = number("minimum").filter(|m| n < *m) {
                let text = in_body(&format!("should be greater than or equal to {min}"));
                causes.push(Cause::invalid(path, value, &text));
            }
            if let Some(max) = number("maximum").filter(|m| n > *m) {
                let text = in_body(&format!("should be less than or equal to {max}"));
                causes.push(Cause::invalid(path, value, &text));
            }
        }
        Value::String(s) => {
            let length = s.chars().count();
            let length = f64::from(u32::try_from(length).unwrap_or(u32::MAX));
            if let Some(min) = number("minLength").filter(|m| length < *m) {
                let text = in_body(&format!("should be at least {min} chars long"));
                causes.push(Cause::invalid(path, value, &text));
            }
            if number("maxLength").is_some_and(|m| length > m) {
                let text =
                    format!("Too long: may not be more than {} bytes", number("maxLength").unwrap_or(0.0));
                causes.push(Cause { reason: "FieldValueTooLong", message: text, field: path.into() });
            }
        }
        Value::Array(list) => {
            if let Some(min) =
                number("minItems").filter(|m| f64::from(u32::try_from(list.len()).unwrap_or(u32::MAX)) < *m)
            {
                let text = in_body(&format!("should have at least {min} items"));
                causes.push(Cause::invalid(path, &Value::from(list.len()), &text));
            }
            duplicates(schema, list, path, causes);
            for (i, entry) in list.iter().enumerate() {
                check(&schema["items"], entry, &format!("{path}[{i}]"), causes);
            }
        }
        Value::Object(map) => {
            required(schema, map, path, causes);
            for (key, entry) in map {
                let property = &schema["properties"][key];
                let property = if property.is_null() { &schema["additionalProperties"] } else { property };
                if property.is_object() {
                    check(property, entry, &format!("{path}.{key}"), causes);
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}
