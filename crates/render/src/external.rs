//! `external: true`: values that come from the process environment when rendering.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;

use crate::node::{Layer, List, Node, Origin, Value};
use crate::problem::Problem;
use crate::source::Repository;

/// The environment that the caller passes in; this crate reads none itself.
pub type Environment = BTreeMap<String, String>;

/// Replaces the `value` of every entry of an `env` list that is marked `external: true`. The value is secret.
///
/// # Errors
/// A variable that is unset or empty, an entry without a name, an unknown `encoding`.
pub fn externalise(
    env: &Arc<Node>,
    environment: &Environment,
    repository: &Repository,
) -> Result<Arc<Node>, Vec<Problem>> {
    let Value::List(list) = &env.value else { return Ok(env.clone()) };
    if !list.items.iter().any(|entry| is_external(entry)) {
        return Ok(env.clone());
    }
    let (mut items, mut problems) = (Vec::with_capacity(list.items.len()), Vec::new());
    for entry in &list.items {
        if !is_external(entry) {
            items.push(entry.clone());
            continue;
        }
        match value_of(entry, environment) {
            Ok(value) => {
                let Value::Map(map) = &entry.value else { continue };
                let mut map = map.clone();
                let origin = Origin { layer: Layer::Environment, secret: true, ..entry.origin };
                map.set("value", Node::text(value, origin));
                items.push(Node::new(Value::Map(map), entry.origin));
            }
            Err(problem) => problems.push(repository.at(problem, &entry.origin)),
        }
    }
    if problems.is_empty() {
        Ok(Node::new(Value::List(List { items, named: list.named.clone() }), env.origin))
    } else {
        Err(problems)
    }
}

fn is_external(entry: &Node) -> bool {
    entry.get("external").is_some_and(|flag| flag.is_true())
}

fn value_of(entry: &Node, environment: &Environment) -> Result<String, Problem> {
    let Some(name) = entry.truthy("name") else {
        return Err(Problem::new("an entry with `external: true` needs a `name`"));
    };
    let name = name.to_text();
    let Some(value) = environment.get(&name).filter(|value| !value.is_empty()) else {
        return Err(Problem::new(format!("the environment variable `{name}` is not set, or empty"))
            .cause(format!("`{name}` is marked `external: true`, so its value comes from the environment"))
            .hint(format!("set it for this run: `{name}=… deploymentizer`")));
    };
    let encoding = entry.truthy("encoding").map(|e| e.to_text());
    encode(value, encoding.as_deref().unwrap_or("utf8")).ok_or_else(|| {
        let given = encoding.unwrap_or_default();
        Problem::new(format!("unknown `encoding` of `{name}`: `{given}`"))
            .hint("use `utf8`, `base64`, `hex`, `binary` or `ascii`")
    })
}

/// What Node's `Buffer.from(value, 'utf8').toString(encoding)` gives.
fn encode(value: &str, encoding: &str) -> Option<String> {
    Some(match encoding {
        "utf8" => value.to_owned(),
        "base64" => base64::engine::general_purpose::STANDARD.encode(value),
        "hex" => value.bytes().map(|byte| format!("{byte:02x}")).collect(),
        "binary" => value.bytes().map(char::from).collect(),
        "ascii" => value.bytes().map(|byte| char::from(byte & 0x7f)).collect(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::encode;

    #[test]
    fn encodings_are_those_of_node() {
        let encoded = |encoding| encode("é=", encoding);
        assert_eq!(encoded("utf8").as_deref(), Some("é="));
        assert_eq!(encoded("base64").as_deref(), Some("w6k9"));
        assert_eq!(encoded("hex").as_deref(), Some("c3a93d"));
        assert_eq!(encoded("binary").as_deref(), Some("Ã©="));
        assert_eq!(encoded("ascii").as_deref(), Some("C)="));
        assert_eq!(encoded("utf16"), None);
    }
}
