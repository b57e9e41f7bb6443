//! The check of what was rendered, before anything is written: valid YAML, one `apiVersion`, `kind` and name per
//! document, names that Kubernetes accepts.

use manifest::ObjectRef;
use manifest::yaml::{self, Node, Scalar, Schema, Style};

/// What is wrong with rendered text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line of the output, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

/// An object and the line that it starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The object.
    pub name: ObjectRef,
    /// Line of the output, from 1.
    pub line: u32,
}

/// The objects of a rendered text. `schema` decides which keys are the same: to Kubernetes `yes` and `on` are one key,
/// and the second a duplicate; in the core schema, which kit's repositories are held to, they are two.
///
/// # Errors
/// Everything that is wrong with it; of broken YAML the first thing.
pub fn check(text: &str, schema: Schema) -> Result<Vec<Object>, Vec<Finding>> {
    let documents = yaml::read(text, "output", schema).map_err(|error| {
        vec![Finding { line: error.line, column: error.column, message: error.message(), hint: error.hint() }]
    })?;
    let (mut objects, mut findings) = (Vec::new(), Vec::new());
    for document in &documents {
        if !document.root.is_null() {
            object(&document.root, &mut objects, &mut findings);
        }
    }
    if findings.is_empty() { Ok(objects) } else { Err(findings) }
}

fn object(node: &Node, objects: &mut Vec<Object>, findings: &mut Vec<Finding>) {
    let mut find = |node: &Node, message: String, hint: Option<&'static str>| {
        findings.push(Finding { line: node.span.line, column: node.span.column, message, hint });
    };
    if node.as_map().is_none() {
        let hint = Some("every document of a manifest is a map with `apiVersion`, `kind` and `metadata`");
        find(node, format!("expected a Kubernetes object, found {}", node.kind()), hint);
        return;
    }
    let mut text = |parent: &Node, path: &str, key: &str| match parent.get(key) {
        Some(value) => match value.as_str() {
            Some("") => {
                find(value, format!("`{path}` is empty"), None);
                None
            }
            Some(text)
                if value.style == Style::Plain
                    && Schema::Kubernetes.resolve(text) != Scalar::Text(text.to_owned()) =>
            {
                find(
                    value,
                    format!("`{path}` is no string to Kubernetes: `{text}`"),
                    Some("put it in quotes"),
                );
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                let hint = (!value.is_null()).then_some("put it in quotes");
                find(value, format!("`{path}` must be a string, found {}", value.kind()), hint);
                None
            }
        },
        None => {
            find(parent, format!("`{path}` is missing"), None);
            None
        }
    };
    let (api_version, kind) = (text(node, "apiVersion", "apiVersion"), text(node, "kind", "kind"));
    let (Some(api_version), Some(kind)) = (api_version, kind) else { return };
    if kind == "List" && api_version == "v1" {
        let items = node.get("items").and_then(|items| items.as_list()).unwrap_or_default();
        items.iter().for_each(|item| object(item, objects, findings));
        return;
    }
    let Some(metadata) = node.get("metadata").filter(|metadata| metadata.as_map().is_some()) else {
        find(node, "`metadata` is missing".to_owned(), None);
        return;
    };
    let Some(name) = text(metadata, "metadata.name", "name") else { return };
    let namespace = match metadata.get("namespace") {
        None => None,
        Some(node) if node.is_null() => None,
        Some(_) => text(metadata, "metadata.namespace", "namespace"),
    };
    let mut refuse = |key: &str, why: &str, value: &str| {
        let node = metadata.get(key).unwrap_or(metadata);
        find(node, format!("`metadata.{key}` {why}: `{value}`"), None);
    };
    if let Err(why) = acceptable_name(&api_version, &kind, &name) {
        refuse("name", why, &name);
    }
    if let Some(namespace) = &namespace
        && !is_label(namespace)
    {
        refuse("namespace", NOT_A_LABEL, namespace);
    }
    objects.push(Object { name: ObjectRef { api_version, kind, namespace, name }, line: node.span.line });
}

const NOT_A_LABEL: &str =
    "must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends";
const NOT_A_SUBDOMAIN: &str = "must be at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part";

/// Whether Kubernetes takes `name` for an object of this kind (`k8s.io/apimachinery/pkg/api/validation`).
///
/// # Errors
/// What the name must be.
pub fn acceptable_name(api_version: &str, kind: &str, name: &str) -> Result<(), &'static str> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Namespace" | "Service") => {
            if is_label(name) {
                Ok(())
            } else {
                Err(NOT_A_LABEL)
            }
        }
        ("rbac.authorization.k8s.io", _) => {
            let bad = name == "." || name == ".." || name.contains(['/', '%']);
            if bad { Err("must not be `.` or `..`, nor contain `/` or `%`") } else { Ok(()) }
        }
        _ if is_subdomain(name) => Ok(()),
        _ => Err(NOT_A_SUBDOMAIN),
    }
}

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    text.len() <= 63
        && !text.is_empty()
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !part.starts_with('-')
            && !part.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(part)
}
