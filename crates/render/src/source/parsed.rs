//! Layers as they were parsed, and what kit and Kubernetes disagree about in them.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::yaml::{self, Schema};

use crate::inputs::hasher;
use crate::node::{FileTable, Layer, Node};
use crate::problem::{Place, Problem};

/// Versions of a file that are kept: those of two states.
const KEPT: usize = 2;

/// The layers of one state of a repository, or of several that share what is the same in them.
#[derive(Default)]
pub struct Parsed {
    /// The files that values came from.
    pub table: FileTable,
    known: Option<Mutex<Known>>,
}

type Known = HashMap<(String, Layer), Vec<Version>>;

struct Version {
    /// Stands for the text.
    text: u64,
    schema: Schema,
    node: Arc<Node>,
    lints: Vec<Problem>,
}

impl Parsed {
    /// For one state: nothing is kept, so that memory does not grow with the fleet.
    pub fn once() -> Self {
        Self::default()
    }

    /// For several states.
    pub fn kept() -> Self {
        Self { known: Some(Mutex::default()), ..Self::default() }
    }

    /// The tree of a file, and what to tell about it.
    pub(super) fn parse(
        &self,
        text: &str,
        name: &str,
        layer: Layer,
        schema: Schema,
    ) -> Result<(Arc<Node>, Vec<Problem>), Problem> {
        let Some(known) = &self.known else { return self.read(text, name, layer, schema) };
        let key = (name.to_owned(), layer);
        let mut hasher = hasher();
        text.hash(&mut hasher);
        let hash = hasher.finish();
        let same = |version: &&Version| version.text == hash && version.schema == schema;
        if let Some(version) = locked(known).get(&key).and_then(|versions| versions.iter().find(same)) {
            return Ok((version.node.clone(), version.lints.clone()));
        }
        let (node, lints) = self.read(text, name, layer, schema)?;
        let mut known = locked(known);
        let versions = known.entry(key).or_default();
        if versions.len() == KEPT {
            versions.remove(0);
        }
        versions.push(Version { text: hash, schema, node: node.clone(), lints: lints.clone() });
        Ok((node, lints))
    }

    fn read(
        &self,
        text: &str,
        name: &str,
        layer: Layer,
        schema: Schema,
    ) -> Result<(Arc<Node>, Vec<Problem>), Problem> {
        let document = yaml::read_one(text, name, schema).map_err(|error| Problem::yaml(&error, text))?;
        let mut lints = Vec::new();
        if schema == Schema::JsYaml3 {
            disagreements(&document.root, text, name, &mut lints);
        }
        Ok((Node::from_yaml(&document.root, self.table.add(name), layer, false), lints))
    }
}

fn locked(known: &Mutex<Known>) -> std::sync::MutexGuard<'_, Known> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names every unquoted value that means one thing to kit and another to Kubernetes.
fn disagreements(node: &yaml::Node, text: &str, name: &str, lints: &mut Vec<Problem>) {
    match &node.value {
        yaml::Value::Scalar(scalar) => {
            if node.style != yaml::Style::Plain {
                return;
            }
            let written = node.span.text(text);
            let kubernetes = Schema::Kubernetes.resolve(written);
            // A value that an alias or a line break brought in is not what stands there.
            if Schema::JsYaml3.resolve(written) == *scalar && !same(scalar, &kubernetes) {
                let place = Place { file: name.into(), line: node.span.line, column: node.span.column };
                let message = format!(
                    "`{written}` is {} here, as in kit, but {} to Kubernetes' YAML parser",
                    meaning(scalar),
                    meaning(&kubernetes)
                );
                lints.push(Problem::new(message).at(place).hint("quote it, or write the value it has here"));
            }
        }
        yaml::Value::List(list) => list.iter().for_each(|item| disagreements(item, text, name, lints)),
        yaml::Value::Map(map) => map.iter().for_each(|entry| disagreements(&entry.value, text, name, lints)),
    }
}

fn same(a: &yaml::Scalar, b: &yaml::Scalar) -> bool {
    let number = |scalar: &yaml::Scalar| match scalar {
        yaml::Scalar::Int(number) => Some(*number as f64),
        yaml::Scalar::UInt(number) => Some(*number as f64),
        yaml::Scalar::Float(number) => Some(*number),
        yaml::Scalar::Null | yaml::Scalar::Bool(_) | yaml::Scalar::Text(_) | yaml::Scalar::Date(_) => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}

fn meaning(scalar: &yaml::Scalar) -> String {
    if matches!(scalar, yaml::Scalar::Text(_)) {
        return "a string".to_owned();
    }
    format!("{} ({})", scalar.kind(), scalar.to_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_known_is_not_parsed_again_but_what_it_lints_is_told_again() {
        let parsed = Parsed::kept();
        let read = |text: &str, schema| {
            parsed.parse(text, "base-var.yaml", Layer::Base, schema).expect("valid YAML")
        };
        let (first, lints) = read("a: 1:30\n", Schema::JsYaml3);
        assert_eq!(lints.len(), 1);
        let (again, lints) = read("a: 1:30\n", Schema::JsYaml3);
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(lints.len(), 1);
        // Another text, another dialect, another file.
        assert!(!Arc::ptr_eq(&first, &read("a: 1:31\n", Schema::JsYaml3).0));
        let (other, lints) = read("a: 1:30\n", Schema::Kubernetes);
        assert!(!Arc::ptr_eq(&first, &other) && lints.is_empty());
        let elsewhere = parsed.parse("a: 1:30\n", "other.yaml", Layer::Base, Schema::JsYaml3).expect("valid");
        assert_eq!(&*parsed.table.name(elsewhere.0.origin.file), "other.yaml");
    }

    #[test]
    fn for_one_state_nothing_is_kept() {
        let parsed = Parsed::once();
        let read =
            || parsed.parse("a: 1\n", "x.yaml", Layer::Base, Schema::Kubernetes).expect("valid YAML").0;
        assert!(!Arc::ptr_eq(&read(), &read()));
    }
}
