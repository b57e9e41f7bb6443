//! A field of an object, as diffs print it: `spec.template.spec.containers[web].image`, `metadata.labels["a.b/c"]`.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::yaml::Node;

/// A path into an object. The empty one is the object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct FieldPath {
    /// Its steps from the top.
    pub steps: Vec<FieldStep>,
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FieldStep {
    /// Into a mapping.
    Key(String),
    /// Into a list: the element with this name (or port, or whatever tells elements apart), else the one at this index.
    Item(String),
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a path to a field, {problem}: `{text}`")]
pub struct FieldPathError {
    text: String,
    problem: &'static str,
}

/// What tells the elements of Kubernetes' lists apart, the most telling first.
const NAMES: [&str; 9] =
    ["name", "containerPort", "port", "mountPath", "key", "type", "ip", "devicePath", "topologyKey"];

impl FieldPath {
    /// The value at this path.
    pub fn of_value<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        self.steps.iter().try_fold(value, |at, step| match step {
            FieldStep::Key(key) => at.get(key),
            FieldStep::Item(item) => at.get(position(at.as_array()?, item)?),
        })
    }

    /// The node at this path.
    pub fn of_node<'a>(&self, node: &'a Node) -> Option<&'a Node> {
        self.steps.iter().try_fold(node, |at, step| match step {
            FieldStep::Key(key) => at.get(key),
            FieldStep::Item(item) => {
                let items = at.as_list()?;
                let named = NAMES.iter().find_map(|name| {
                    items.iter().find(|one| text(one.get(name)).as_deref() == Some(item.as_str()))
                });
                named.or_else(|| items.get(item.parse::<usize>().ok()?))
            }
        })
    }

    /// This path, one step on.
    #[must_use]
    pub fn then(&self, step: FieldStep) -> Self {
        let mut steps = self.steps.clone();
        steps.push(step);
        Self { steps }
    }
}

/// Where in a list the element is that `item` names.
pub fn position(items: &[Value], item: &str) -> Option<usize> {
    let is = |one: &Value, name: &str| match one.get(name) {
        Some(Value::String(text)) => text == item,
        Some(Value::Number(number)) => number.to_string() == item,
        _ => false,
    };
    let named = NAMES.iter().find_map(|name| items.iter().position(|one| is(one, name)));
    named.or_else(|| item.parse::<usize>().ok().filter(|index| *index < items.len()))
}

fn text(node: Option<&Node>) -> Option<String> {
    node?.as_scalar().map(|scalar| scalar.to_text().into_owned())
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(given: &str) -> Result<Self, FieldPathError> {
        let failed = |problem| FieldPathError { text: given.to_owned(), problem };
        let mut steps = Vec::new();
        let mut rest = given.strip_prefix('.').unwrap_or(given);
        while !rest.is_empty() {
            if let Some(inside) = rest.strip_prefix("[\"") {
                let end = inside.find("\"]").ok_or_else(|| failed("`[\"` without `\"]`"))?;
                steps.push(FieldStep::Key(inside[..end].to_owned()));
                rest = &inside[end + 2..];
            } else if let Some(inside) = rest.strip_prefix('[') {
                let end = inside.find(']').ok_or_else(|| failed("`[` without `]`"))?;
                steps.push(FieldStep::Item(inside[..end].to_owned()));
                rest = &inside[end + 1..];
            } else {
                let end = rest.find(['.', '[']).unwrap_or(rest.len());
                if end == 0 {
                    return Err(failed("a name is missing between two dots"));
                }
                steps.push(FieldStep::Key(rest[..end].to_owned()));
                rest = &rest[end..];
            }
            rest = match rest.strip_prefix('.') {
                Some("") => return Err(failed("it ends with a dot")),
                Some(more) => more,
                None if rest.is_empty() || rest.starts_with('[') => rest,
                None => return Err(failed("a dot is missing behind `]`")),
            };
        }
        Ok(Self { steps })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            match step {
                FieldStep::Key(key) if key.contains(['.', '/', '[']) => write!(f, "[{key:?}]")?,
                FieldStep::Key(key) if index == 0 => f.write_str(key)?,
                FieldStep::Key(key) => write!(f, ".{key}")?,
                FieldStep::Item(item) => write!(f, "[{item}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_and_written_as_diffs_have_it_and_finds_elements_by_name_or_index() {
        let value = serde_json::json!({
            "metadata": {"labels": {"a.b/c": "x"}},
            "spec": {"containers": [{"name": "web", "ports": [{"containerPort": 80}]}], "args": ["-v"]},
        });
        let yaml = crate::yaml::read_one(&value.to_string(), "a", crate::yaml::Schema::Kubernetes).unwrap();
        for (path, found) in [
            ("metadata.labels[\"a.b/c\"]", serde_json::json!("x")),
            ("spec.containers[web].ports[80].containerPort", serde_json::json!(80)),
            ("spec.containers[0].name", serde_json::json!("web")),
            ("spec.args[0]", serde_json::json!("-v")),
        ] {
            let parsed: FieldPath = path.parse().unwrap();
            assert_eq!(parsed.to_string(), path);
            assert_eq!(parsed.of_value(&value), Some(&found), "{path}");
            assert!(parsed.of_node(&yaml.root).is_some(), "{path}");
        }
        let missing: FieldPath = "spec.containers[db].image".parse().unwrap();
        assert_eq!((missing.of_value(&value), missing.of_node(&yaml.root)), (None, None));
    }

    #[test]
    fn what_is_no_path_says_why() {
        let problem = |text: &str| text.parse::<FieldPath>().unwrap_err().to_string();
        assert_eq!(problem("a..b"), "not a path to a field, a name is missing between two dots: `a..b`");
        assert_eq!(problem("a[b"), "not a path to a field, `[` without `]`: `a[b`");
        assert_eq!(problem("a[b]c"), "not a path to a field, a dot is missing behind `]`: `a[b]c`");
    }
}
