//! Typed walks over objects: their field set, what changed between two, the merge of two, removal of a set.
//!
//! The rules are those of structured-merge-diff, the library behind server-side apply.

use serde_json::{Map, Value};

use super::set::{Atom, Set, Step};
use crate::schema::{ListKind, Scalar, Struct, Ty};

/// The form that a value takes under a type.
enum Shape<'a> {
    Leaf,
    List(&'a ListKind, &'a Ty),
    Map(Fields<'a>),
}

/// The field types of a map or struct.
#[derive(Clone, Copy)]
enum Fields<'a> {
    Struct(&'a Struct),
    Map(&'a Ty),
}

const ANY: &Ty = &Ty::Any;

impl<'a> Fields<'a> {
    fn ty(self, name: &str) -> &'a Ty {
        match self {
            Fields::Struct(s) => s.field(name).map_or_else(|| s.rest.as_deref().unwrap_or(ANY), |f| &*f.ty),
            Fields::Map(item) => item,
        }
    }

    fn declares(self, name: &str) -> bool {
        match self {
            Fields::Struct(s) => s.field(name).is_some(),
            Fields::Map(_) => false,
        }
    }
}

fn shape<'a>(ty: &'a Ty, value: &Value) -> Shape<'a> {
    match ty {
        Ty::Scalar(_) => Shape::Leaf,
        Ty::Any => match value {
            Value::Object(_) => Shape::Map(Fields::Map(ANY)),
            _ => Shape::Leaf,
        },
        Ty::List { kind: ListKind::Atomic, .. } => Shape::Leaf,
        Ty::List { kind, item } if value.is_array() || value.is_null() => Shape::List(kind, item),
        Ty::List { .. } => Shape::Leaf,
        Ty::Map { atomic: true, .. } => Shape::Leaf,
        Ty::Map { item, .. } if value.is_object() || value.is_null() => Shape::Map(Fields::Map(item)),
        Ty::Map { .. } => Shape::Leaf,
        Ty::Struct(s) if s.atomic => Shape::Leaf,
        Ty::Struct(s) if value.is_object() || value.is_null() => Shape::Map(Fields::Struct(s)),
        Ty::Struct(_) => Shape::Leaf,
    }
}

/// The step that leads to a list item.
fn item_step(kind: &ListKind, item: &Ty, value: &Value) -> Result<Step, String> {
    match (kind, value) {
        (ListKind::Keyed(keys), Value::Object(map)) => {
            let mut fields = Vec::new();
            for key in keys {
                let default = match item {
                    Ty::Struct(s) => s.field(key).and_then(|f| f.key_default.as_ref()),
                    _ => None,
                };
                if let Some(v) = map.get(key).or(default) {
                    fields.push((key.clone(), Atom::of(v)));
                }
            }
            if fields.is_empty() {
                let keys = keys.iter().map(|k| format!("{k:?}")).collect::<Vec<_>>().join(" ");
                return Err(format!(
                    "associative list with keys has an element that omits all key fields [{keys}] (and doesn't have default values for any key fields)"
                ));
            }
            fields.sort();
            Ok(Step::Key(fields))
        }
        (ListKind::Keyed(_), Value::Null) => {
            Err("associative list with keys may not have a null element".into())
        }
        (ListKind::Keyed(_), _) => Err("associative list with keys may not have non-map elements".into()),
        (_, Value::Object(_)) => Err("associative list without keys has an element that's a map type".into()),
        (_, Value::Array(_)) => Err("not supported: associative list with lists as elements".into()),
        (_, Value::Null) => {
            Err("associative list without keys has an element that's an explicit null".into())
        }
        (_, scalar) => Ok(Step::Item(Atom::of(scalar))),
    }
}

fn steps(kind: &ListKind, item: &Ty, list: &[Value]) -> Vec<Step> {
    list.iter()
        .enumerate()
        .map(|(i, v)| item_step(kind, item, v).unwrap_or(Step::Index(i64::try_from(i).unwrap_or(i64::MAX))))
        .collect()
}

/// Checks an applied configuration against its type; the errors read as the API server's do.
pub(crate) fn validate(ty: &Ty, value: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    check(ty, value, "", &mut errors);
    errors
}

fn check(ty: &Ty, value: &Value, path: &str, errors: &mut Vec<String>) {
    let mut say = |text: String| {
        errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
    };
    match (ty, value) {
        (Ty::Any, _) | (_, Value::Null) => {}
        (Ty::Scalar(s), _) => {
            let fits = match s {
                Scalar::Str | Scalar::Bytes | Scalar::Time | Scalar::MicroTime => value.is_string(),
                Scalar::Int32 | Scalar::Int64 | Scalar::Float => value.is_number(),
                Scalar::Bool => value.is_boolean(),
                Scalar::Quantity | Scalar::IntOrString => {
                    value.is_string() || value.is_number() || value.is_boolean()
                }
            };
            if !fits {
                say(match s {
                    Scalar::Int32 | Scalar::Int64 | Scalar::Float => {
                        format!("expected numeric (int or float), got {}", go_kind(value))
                    }
                    Scalar::Bool => format!("expected boolean, got {}", go_print(value)),
                    Scalar::Quantity | Scalar::IntOrString => {
                        format!("expected any scalar, got {}", go_print(value))
                    }
                    _ => format!("expected string, got {}", go_debug(value)),
                });
            }
        }
        (Ty::List { kind, item }, Value::Array(list)) => {
            let mut seen = std::collections::BTreeSet::new();
            for (i, entry) in list.iter().enumerate() {
                let step = match kind {
                    ListKind::Atomic => Step::Index(i64::try_from(i).unwrap_or(i64::MAX)),
                    _ => match item_step(kind, item, entry) {
                        Ok(step) => step,
                        Err(text) => {
                            let text = format!("element {i}: {text}");
                            errors.push(if path.is_empty() { text } else { format!("{path}: {text}") });
                            return;
                        }
                    },
                };
                let mut set = Set::default();
                set.insert(std::slice::from_ref(&step));
                let text = set.paths().pop().unwrap_or_default();
                if !seen.insert(step) {
                    errors.push(format!("{path}: duplicate entries for key {text}"));
                }
                check(item, entry, &format!("{path}{text}"), errors);
            }
        }
        (Ty::List { .. }, _) => say(format!("expected list, got {}", go_print(value))),
        (Ty::Map { item, .. }, Value::Object(map)) => {
            for (key, entry) in map {
                check(item, entry, &format!("{path}.{key}"), errors);
            }
        }
        (Ty::Struct(s), Value::Object(map)) => {
            for (key, entry) in map {
                match s.field(key).map(|f| &f.ty).or(s.rest.as_ref()) {
                    Some(ty) => check(ty, entry, &format!("{path}.{key}"), errors),
                    None => {
                        errors.push(format!("{path}.{key}: field not declared in schema"));
                        return;
                    }
                }
            }
        }
        (Ty::Map { .. } | Ty::Struct(_), _) => say(format!("expected map, got {}", go_print(value))),
    }
}

fn go_kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

fn go_print(value: &Value) -> String {
    format!("&{{{}}}", go_value(value))
}

/// As Go's `%v` prints it.
fn go_value(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Array(list) => format!("[{}]", list.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let mut entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}:{}", go_value(v))).collect();
            entries.sort();
            format!("map[{}]", entries.join(" "))
        }
        other => other.to_string(),
    }
}

fn go_debug(value: &Value) -> String {
    format!("&value.valueUnstructured{{Value:{value}}}")
}

/// The set of fields that an applied configuration owns.
pub(crate) fn field_set(ty: &Ty, value: &Value) -> Set {
    let mut set = Set::default();
    collect(ty, value, &mut set);
    set.member = false;
    set
}

fn collect(ty: &Ty, value: &Value, at: &mut Set) {
    match shape(ty, value) {
        Shape::Leaf => at.member = true,
        Shape::List(kind, item) => {
            let Value::Array(list) = value else { return };
            for (step, entry) in steps(kind, item, list).into_iter().zip(list) {
                let child = at.children.entry(step).or_default();
                collect(item, entry, child);
                child.member = true;
            }
        }
        Shape::Map(fields) => {
            let Value::Object(map) = value else { return };
            for (key, entry) in map {
                let mut child = Set::default();
                collect(fields.ty(key), entry, &mut child);
                child.member |=
                    entry.is_null() || entry.as_object().is_some_and(Map::is_empty) || !fields.declares(key);
                if !child.is_empty() {
                    at.children.insert(Step::Field(key.clone()), child);
                }
            }
        }
    }
}

/// What changed from one object to another.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub added: Set,
    pub modified: Set,
    pub removed: Set,
}

impl Comparison {
    /// Applies a filter to all three sets.
    pub(crate) fn filter(self, f: impl Fn(&Set) -> Set) -> Comparison {
        Comparison { added: f(&self.added), modified: f(&self.modified), removed: f(&self.removed) }
    }
}

/// Compares two objects field by field.
pub(crate) fn compare(ty: &Ty, before: &Value, after: &Value) -> Comparison {
    let mut out = Comparison::default();
    walk(ty, Some(before), Some(after), &mut Vec::new(), &mut out);
    out
}

fn walk(ty: &Ty, before: Option<&Value>, after: Option<&Value>, path: &mut Vec<Step>, out: &mut Comparison) {
    let Some(sample) = after.or(before) else { return };
    let leaf = |path: &[Step], out: &mut Comparison| match (before, after) {
        (None, _) => out.added.insert(path),
        (_, None) => out.removed.insert(path),
        (Some(b), Some(a)) if a != b => out.modified.insert(path),
        _ => {}
    };
    let same_kind = match (before, after) {
        (Some(b), Some(a)) => {
            std::mem::discriminant(b) == std::mem::discriminant(a) || b.is_null() || a.is_null()
        }
        _ => true,
    };
    let empty = |v: Option<&Value>| {
        v.is_none_or(|v| match v {
            Value::Array(a) => a.is_empty(),
            Value::Object(o) => o.is_empty(),
            _ => true,
        })
    };
    match shape(ty, sample) {
        _ if !same_kind => leaf(path, out),
        Shape::Leaf => leaf(path, out),
        _ if empty(before) && empty(after) => leaf(path, out),
        Shape::List(kind, item) => {
            let list = |v: Option<&Value>| v.and_then(Value::as_array).cloned().unwrap_or_default();
            let (b, a) = (list(before), list(after));
            let (bs, as_) = (steps(kind, item, &b), steps(kind, item, &a));
            for (i, step) in bs.iter().enumerate() {
                let other = as_.iter().position(|s| s == step).map(|j| &a[j]);
                path.push(step.clone());
                walk(item, Some(&b[i]), other, path, out);
                path.pop();
            }
            for (j, step) in as_.iter().enumerate().filter(|(_, s)| !bs.contains(s)) {
                path.push(step.clone());
                walk(item, None, Some(&a[j]), path, out);
                path.pop();
            }
            ends(before, after, path, out);
        }
        Shape::Map(fields) => {
            let none = Map::new();
            let b = before.and_then(Value::as_object).unwrap_or(&none);
            let a = after.and_then(Value::as_object).unwrap_or(&none);
            for key in b.keys().chain(a.keys().filter(|k| !b.contains_key(*k))) {
                let (old, new) = (b.get(key), a.get(key));
                if old == new {
                    continue;
                }
                path.push(Step::Field(key.clone()));
                walk(fields.ty(key), old, new, path, out);
                path.pop();
            }
            ends(before, after, path, out);
        }
    }
}

fn ends(before: Option<&Value>, after: Option<&Value>, path: &[Step], out: &mut Comparison) {
    if path.is_empty() {
        return;
    }
    if before.is_none() {
        out.added.insert(path);
    } else if after.is_none() {
        out.removed.insert(path);
    }
}

/// Merges an applied configuration into the live object.
pub(crate) fn merge(ty: &Ty, live: &Value, config: &Value) -> Value {
    merged(ty, Some(live), Some(config)).unwrap_or(Value::Null)
}

fn merged(ty: &Ty, left: Option<&Value>, right: Option<&Value>) -> Option<Value> {
    let (l, r) = match (left, right) {
        (Some(l), Some(r)) => (l, r),
        (one, other) => return other.or(one).cloned(),
    };
    match shape(ty, r) {
        Shape::List(kind, item) => match (l, r) {
            (Value::Array(l), Value::Array(r)) if !(l.is_empty() && r.is_empty()) => {
                Some(Value::Array(merge_lists(kind, item, l, r)))
            }
            (Value::Array(l), Value::Null) if !l.is_empty() => Some(Value::Array(l.clone())),
            _ => Some(r.clone()),
        },
        Shape::Map(fields) => match (l, r) {
            (Value::Object(l), Value::Object(r)) if !(l.is_empty() && r.is_empty()) => {
                let mut out = Map::new();
                for (key, value) in l {
                    if let Some(v) = merged(fields.ty(key), Some(value), r.get(key)) {
                        out.insert(key.clone(), v);
                    }
                }
                for (key, value) in r {
                    if !l.contains_key(key) {
                        out.insert(key.clone(), value.clone());
                    }
                }
                Some(Value::Object(out))
            }
            (Value::Object(l), Value::Null) if !l.is_empty() => Some(Value::Object(l.clone())),
            _ => Some(r.clone()),
        },
        Shape::Leaf => Some(r.clone()),
    }
}

/// The order is that of the configuration; items that only the live list has keep their place between.
fn merge_lists(kind: &ListKind, item: &Ty, live: &[Value], config: &[Value]) -> Vec<Value> {
    let (left, right) = (steps(kind, item, live), steps(kind, item, config));
    let mut shared = right.iter().filter(|s| left.contains(s));
    let mut next = shared.next();
    let mut done: Vec<&Step> = Vec::new();
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < left.len() || j < right.len() {
        if i < left.len() && j < right.len() {
            if left[i] == right[j] {
                out.extend(merged(item, Some(&live[i]), Some(&config[j])));
                done.push(&right[j]);
                next = shared.next();
                i += 1;
                j += 1;
                continue;
            }
            if right.contains(&left[i]) && next.is_some_and(|n| *n != left[i]) {
                i += 1;
                continue;
            }
        }
        if i < left.len() {
            if !right.contains(&left[i]) {
                out.push(live[i].clone());
                i += 1;
                continue;
            }
            if done.contains(&&left[i]) {
                i += 1;
            }
        }
        if j < right.len() {
            let mine = left.iter().position(|s| *s == right[j]).map(|k| &live[k]);
            out.extend(merged(item, mine, Some(&config[j])));
            done.push(&right[j]);
            if next == Some(&right[j]) {
                next = shared.next();
            }
            j += 1;
        }
    }
    out
}

/// The object without the fields of `remove`.
pub(crate) fn remove(ty: &Ty, value: &Value, remove: &Set) -> Value {
    removed(ty, value, remove).unwrap_or(Value::Null)
}

fn removed(ty: &Ty, value: &Value, gone: &Set) -> Option<Value> {
    match (shape(ty, value), value) {
        (Shape::List(kind, item), Value::Array(list)) => {
            let mut out = Vec::new();
            for (step, entry) in steps(kind, item, list).iter().zip(list) {
                match gone.child(step) {
                    Some(set) if set.member => {}
                    Some(set) => out.push(removed(item, entry, set).unwrap_or(Value::Object(Map::new()))),
                    None => out.push(entry.clone()),
                }
            }
            (!out.is_empty()).then_some(Value::Array(out))
        }
        (Shape::Map(fields), Value::Object(map)) => {
            let mut out = Map::new();
            let mut touched = false;
            for (key, entry) in map {
                match gone.child(&Step::Field(key.clone())) {
                    Some(set) if set.member => {}
                    Some(set) if !set.children.is_empty() => {
                        touched = true;
                        let empty = || {
                            if entry.is_array() {
                                Value::Array(Vec::new())
                            } else {
                                Value::Object(Map::new())
                            }
                        };
                        out.insert(key.clone(), removed(fields.ty(key), entry, set).unwrap_or_else(empty));
                    }
                    _ => {
                        out.insert(key.clone(), entry.clone());
                    }
                }
            }
            (!out.is_empty() || touched).then_some(Value::Object(out))
        }
        (_, Value::Array(_) | Value::Object(_)) => None,
        (_, scalar) => Some(scalar.clone()),
    }
}
