//! The shape of objects: which fields a kind has, of which type, and how its lists and maps merge.
//!
//! Built-in kinds come from `kubernetes.txt`; custom resources from their CRD (see [`crate::schema::crd`]).

pub(crate) mod crd;
pub(crate) mod decode;
pub(crate) mod quantity;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde_json::Value;

/// A scalar as the API types know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar {
    Str,
    Int32,
    Int64,
    Float,
    Bool,
    Bytes,
    Time,
    MicroTime,
    Quantity,
    IntOrString,
}

/// How the items of a list are told apart when it is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ListKind {
    /// One owner for the whole list.
    Atomic,
    /// A set of scalars.
    Set,
    /// Objects told apart by these fields.
    Keyed(Vec<String>),
}

/// The type of a value.
#[derive(Debug, Clone)]
pub(crate) enum Ty {
    Scalar(Scalar),
    /// Anything goes: maps merge by field, lists as a whole.
    Any,
    List {
        kind: ListKind,
        item: Arc<Ty>,
    },
    Map {
        atomic: bool,
        item: Arc<Ty>,
    },
    Struct(Arc<Struct>),
}

/// A type with named fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// The Go type's name, as error messages show it.
    pub name: String,
    /// One owner for the whole value.
    pub atomic: bool,
    pub fields: HashMap<String, Field>,
    /// What the type of an undeclared field is; `None` means that there may be none.
    pub rest: Option<Arc<Ty>>,
    /// Field names in document order, for deterministic walks.
    pub order: Vec<String>,
    /// Whether it stems from a CRD: values are kept as sent (no dropping of empty ones).
    pub custom: bool,
}

/// A declared field.
#[derive(Debug)]
pub(crate) struct Field {
    pub ty: Arc<Ty>,
    /// Always present in the Go type's JSON.
    pub required: bool,
    /// Stands in for an absent key field of a list item (`protocol: TCP`).
    pub key_default: Option<Value>,
}

impl Struct {
    /// The declared type of `name`.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }
}

const TABLE: &str = include_str!("kubernetes.txt");

static SECTIONS: LazyLock<HashMap<&'static str, (bool, Vec<&'static str>)>> = LazyLock::new(|| {
    let mut out: HashMap<&'static str, (bool, Vec<&'static str>)> = HashMap::new();
    let mut current = "";
    for line in TABLE.lines().filter(|l| !l.starts_with('#')) {
        if let Some(field) = line.strip_prefix(' ') {
            if let Some(section) = out.get_mut(current) {
                section.1.push(field);
            }
        } else {
            let (name, atomic) = line.strip_suffix(" !").map_or((line, false), |n| (n, true));
            current = name;
            out.insert(name, (atomic, Vec::new()));
        }
    }
    out
});

static BUILT: LazyLock<Mutex<HashMap<&'static str, Arc<Ty>>>> = LazyLock::new(Mutex::default);

/// The type of a built-in definition, such as `apps.v1.Deployment`; `Any` for an unknown name.
pub(crate) fn built_in(name: &str) -> Arc<Ty> {
    let Some((&name, (atomic, lines))) = SECTIONS.get_key_value(name) else {
        return Arc::new(Ty::Any);
    };
    if let Some(ty) = BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get(name) {
        return ty.clone();
    }
    let short = name.rsplit('.').next().unwrap_or(name);
    let mut fields = HashMap::new();
    let mut order = Vec::new();
    for line in lines {
        let Some((field, code)) = line.split_once(' ') else { continue };
        let (field, required) = field.strip_suffix('+').map_or((field, false), |f| (f, true));
        // What stands for an absent key field: the Go zero value of a field that is always present.
        let key_default = match (field, code) {
            ("protocol", _) if matches!(short, "ContainerPort" | "ServicePort") => Some(Value::from("TCP")),
            ("name", "s") if short == "LocalObjectReference" => Some(Value::from("")),
            (_, "s") if required => Some(Value::from("")),
            (_, "i" | "l") if required => Some(Value::from(0)),
            _ => None,
        };
        order.push(field.to_owned());
        fields.insert(field.to_owned(), Field { ty: parse(code), required, key_default });
    }
    let ty = Arc::new(Ty::Struct(Arc::new(Struct {
        name: short.to_owned(),
        atomic: *atomic,
        fields,
        rest: None,
        order,
        custom: false,
    })));
    BUILT.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(name, ty.clone());
    ty
}

fn parse(code: &str) -> Arc<Ty> {
    let (head, rest) = code.split_at(1);
    let scalar = |s| Arc::new(Ty::Scalar(s));
    match head {
        "s" => scalar(Scalar::Str),
        "i" => scalar(Scalar::Int32),
        "l" => scalar(Scalar::Int64),
        "f" => scalar(Scalar::Float),
        "b" => scalar(Scalar::Bool),
        "y" => scalar(Scalar::Bytes),
        "t" => scalar(Scalar::Time),
        "u" => scalar(Scalar::MicroTime),
        "q" => scalar(Scalar::Quantity),
        "x" => scalar(Scalar::IntOrString),
        "@" => built_in(rest),
        "[" => {
            let (kind, item) = match rest.split_once(';') {
                Some(("set", item)) => (ListKind::Set, item),
                Some((keys, item)) => (ListKind::Keyed(keys.split(',').map(str::to_owned).collect()), item),
                None => (ListKind::Atomic, rest),
            };
            Arc::new(Ty::List { kind, item: parse(item) })
        }
        "{" => {
            let (atomic, item) = rest.strip_prefix('!').map_or((false, rest), |i| (true, i));
            Arc::new(Ty::Map { atomic, item: parse(item) })
        }
        _ => Arc::new(Ty::Any),
    }
}

#[cfg(test)]
/// The type found by following field names from `ty`; list steps are taken without being named.
pub(crate) fn descend(ty: &Arc<Ty>, path: &[&str]) -> Option<Arc<Ty>> {
    let mut at = ty.clone();
    for step in path {
        while let Ty::List { item, .. } = &*at.clone() {
            at = item.clone();
        }
        at = match &*at {
            Ty::Struct(s) => s.field(step)?.ty.clone(),
            Ty::Map { item, .. } => item.clone(),
            Ty::Any => Arc::new(Ty::Any),
            Ty::Scalar(_) | Ty::List { .. } => return None,
        };
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_told_apart_by_name_and_their_ports_by_port_and_protocol() {
        let deployment = built_in("apps.v1.Deployment");
        let containers = descend(&deployment, &["spec", "template", "spec", "containers"]);
        assert!(
            matches!(containers.as_deref(), Some(Ty::List { kind: ListKind::Keyed(k), .. }) if k == &["name"])
        );
        let ports = descend(&deployment, &["spec", "template", "spec", "containers", "ports"]);
        assert!(
            matches!(ports.as_deref(), Some(Ty::List { kind: ListKind::Keyed(k), .. }) if k == &["containerPort", "protocol"])
        );
        let selector = descend(&deployment, &["spec", "selector"]);
        assert!(matches!(selector.as_deref(), Some(Ty::Struct(s)) if s.atomic));
    }
}
