//! Sets of field paths, and their `FieldsV1` form.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::Ty;

/// One step of a path. The order is that of `FieldsV1` documents.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    Field(String),
    /// The key fields of a list item, sorted by name.
    Key(Vec<(String, Atom)>),
    /// A member of a set.
    Item(Atom),
    Index(i64),
}

/// A scalar that can be compared.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Atom {
    Null,
    Bool(bool),
    Int(i64),
    /// Numbers beyond `i64`, as written.
    Number(String),
    Str(String),
}

impl Atom {
    pub(crate) fn of(value: &Value) -> Atom {
        match value {
            Value::Bool(b) => Atom::Bool(*b),
            Value::Number(n) => n.as_i64().map_or_else(|| Atom::Number(n.to_string()), Atom::Int),
            Value::String(s) => Atom::Str(s.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => Atom::Null,
        }
    }

    fn value(&self) -> Value {
        match self {
            Atom::Null => Value::Null,
            Atom::Bool(b) => Value::Bool(*b),
            Atom::Int(i) => Value::from(*i),
            Atom::Number(n) => serde_json::from_str(n).unwrap_or(Value::Null),
            Atom::Str(s) => Value::String(s.clone()),
        }
    }
}

impl Step {
    fn encode(&self) -> String {
        match self {
            Step::Field(name) => format!("f:{name}"),
            Step::Key(fields) => {
                let map: Map<String, Value> = fields.iter().map(|(k, v)| (k.clone(), v.value())).collect();
                format!("k:{}", Value::Object(map))
            }
            Step::Item(atom) => format!("v:{}", atom.value()),
            Step::Index(i) => format!("i:{i}"),
        }
    }

    fn decode(text: &str) -> Option<Step> {
        let (kind, rest) = text.split_once(':')?;
        Some(match kind {
            "f" => Step::Field(rest.to_owned()),
            "k" => {
                let map: Map<String, Value> = serde_json::from_str(rest).ok()?;
                let mut fields: Vec<_> = map.iter().map(|(k, v)| (k.clone(), Atom::of(v))).collect();
                fields.sort();
                Step::Key(fields)
            }
            "v" => Step::Item(Atom::of(&serde_json::from_str(rest).ok()?)),
            "i" => Step::Index(rest.parse().ok()?),
            _ => return None,
        })
    }

    fn print(&self, out: &mut String) {
        match self {
            Step::Field(name) => {
                let _ = write!(out, ".{name}");
            }
            Step::Key(fields) => {
                let text: Vec<String> = fields.iter().map(|(k, v)| format!("{k}={}", v.value())).collect();
                let _ = write!(out, "[{}]", text.join(","));
            }
            Step::Item(atom) => {
                let _ = write!(out, "[={}]", atom.value());
            }
            Step::Index(i) => {
                let _ = write!(out, "[{i}]");
            }
        }
    }
}

/// A set of paths, as a tree. The root itself is never a member.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Set {
    /// Whether the path that ends here is in the set.
    pub member: bool,
    pub children: BTreeMap<Step, Set>,
}

impl Set {
    pub(crate) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Set::is_empty)
    }

    pub(crate) fn insert(&mut self, path: &[Step]) {
        let mut at = self;
        for step in path {
            at = at.children.entry(step.clone()).or_default();
        }
        at.member = true;
    }

    /// The set of the given field-name paths, such as `metadata.name`.
    pub(crate) fn of(paths: &[&str]) -> Set {
        let mut set = Set::default();
        for path in paths {
            let steps: Vec<Step> = path.split('.').map(|p| Step::Field(p.to_owned())).collect();
            set.insert(&steps);
        }
        set
    }

    pub(crate) fn child(&self, step: &Step) -> Option<&Set> {
        self.children.get(step)
    }

    pub(crate) fn union(&self, other: &Set) -> Set {
        let mut out = self.clone();
        out.absorb(other);
        out
    }

    fn absorb(&mut self, other: &Set) {
        self.member |= other.member;
        for (step, theirs) in &other.children {
            self.children.entry(step.clone()).or_default().absorb(theirs);
        }
    }

    pub(crate) fn intersection(&self, other: &Set) -> Set {
        let children = self
            .children
            .iter()
            .filter_map(|(step, mine)| {
                let both = mine.intersection(other.children.get(step)?);
                (!both.is_empty()).then(|| (step.clone(), both))
            })
            .collect();
        Set { member: self.member && other.member, children }
    }

    /// The paths that are not in `other`; what lies below a path of `other` stays.
    pub(crate) fn difference(&self, other: &Set) -> Set {
        let children = self
            .children
            .iter()
            .filter_map(|(step, mine)| match other.children.get(step) {
                None => Some((step.clone(), mine.clone())),
                Some(theirs) => {
                    let rest = mine.difference(theirs);
                    (!rest.is_empty()).then(|| (step.clone(), rest))
                }
            })
            .collect();
        Set { member: self.member && !other.member, children }
    }

    /// As [`Set::difference`], with everything below a path of `other` gone too.
    pub(crate) fn without_trees(&self, other: &Set) -> Set {
        let children = self
            .children
            .iter()
            .filter_map(|(step, mine)| match other.children.get(step) {
                None => Some((step.clone(), mine.clone())),
                Some(theirs) if theirs.member => None,
                Some(theirs) => {
                    let rest = mine.without_trees(theirs);
                    (!rest.is_empty()).then(|| (step.clone(), rest))
                }
            })
            .collect();
        Set { member: self.member, children }
    }

    /// Only what lies at or below the given top-level field.
    pub(crate) fn only(&self, field: &str) -> Set {
        let step = Step::Field(field.to_owned());
        let children = self.children.get(&step).map(|c| (step, c.clone())).into_iter().collect();
        Set { member: false, children }
    }

    /// Struct fields that have members below them become members.
    pub(crate) fn with_named_fields(&self, ty: &Ty) -> Set {
        let children = self
            .children
            .iter()
            .map(|(step, child)| {
                let (ty, named) = step_type(ty, step);
                let mut child = child.with_named_fields(&ty);
                child.member |= named && !child.children.is_empty();
                (step.clone(), child)
            })
            .collect();
        Set { member: self.member, children }
    }

    /// The `fieldsV1` document.
    pub(crate) fn encode(&self) -> Value {
        let mut out = Map::new();
        if self.member && !self.children.is_empty() {
            out.insert(".".into(), Value::Object(Map::new()));
        }
        for (step, child) in &self.children {
            out.insert(step.encode(), child.encode());
        }
        Value::Object(out)
    }

    /// Reads a `fieldsV1` document; steps that it does not know are left out.
    pub(crate) fn decode(value: &Value) -> Set {
        let mut set = Set::default();
        if let Value::Object(map) = value {
            for (key, child) in map {
                if key == "." {
                    set.member = true;
                } else if let Some(step) = Step::decode(key) {
                    let mut child_set = Set::decode(child);
                    child_set.member |= child.as_object().is_some_and(Map::is_empty);
                    set.children.insert(step, child_set);
                }
            }
        }
        set
    }

    /// The paths as the API server prints them, `.spec.containers[name="app"].image`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.print("", &mut out);
        out
    }

    /// Members of one level come before what lies below them, as upstream iterates.
    fn print(&self, prefix: &str, out: &mut Vec<String>) {
        let text = |step: &Step| {
            let mut text = prefix.to_owned();
            step.print(&mut text);
            text
        };
        out.extend(self.children.iter().filter(|(_, c)| c.member).map(|(s, _)| text(s)));
        for (step, child) in &self.children {
            child.print(&text(step), out);
        }
    }
}

/// The type below a step, and whether the step names a declared field.
fn step_type(ty: &Ty, step: &Step) -> (Ty, bool) {
    match (ty, step) {
        (Ty::Struct(s), Step::Field(name)) => match s.field(name) {
            Some(field) => ((*field.ty).clone(), true),
            None => (s.rest.as_deref().cloned().unwrap_or(Ty::Any), false),
        },
        (Ty::Map { item, .. }, Step::Field(_)) => ((**item).clone(), false),
        (Ty::List { item, .. }, Step::Key(_) | Step::Item(_) | Step::Index(_)) => ((**item).clone(), false),
        _ => (Ty::Any, false),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fieldsv1_document_survives_reading_and_writing() {
        let document = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}}},
            "f:finalizers": {"v:\"a/b\"": {}}
        });
        assert_eq!(Set::decode(&document).encode(), document);
    }

    #[test]
    fn paths_are_printed_as_the_server_prints_them() {
        let set = Set::decode(
            &json!({"f:spec": {"f:replicas": {}, "f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}}),
        );
        assert_eq!(set.paths(), [".spec.replicas", ".spec.containers[name=\"app\"].image"]);
    }
}
