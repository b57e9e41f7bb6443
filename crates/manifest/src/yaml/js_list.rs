//! Lists as js-yaml 3.5.2 reads them (`readBlockSequence`): behind an empty item it takes the next `-` for its own
//! list's, however far left that stands.
//! ```yaml
//! - - a
//!   -
//! - b      # js-yaml: [[a, null, b]], everybody else: [[a, null], b]
//! ```

use super::node::{Node, Value};

/// The list that takes the next item, as levels below a node along the items and values that were written last.
/// `Some(0)` is the node itself.
pub(super) type Open = Option<usize>;

/// Hands `item` to the list `levels` below `node`.
pub(super) fn feed(node: &mut Node, levels: usize, item: Node) {
    node.span.bytes.end = node.span.bytes.end.max(item.span.bytes.end);
    let below = match &mut node.value {
        Value::List(list) if levels == 0 => return list.push(item),
        Value::List(list) => list.last_mut(),
        Value::Map(map) => map
            .entries
            .iter_mut()
            .max_by_key(|entry| entry.key_span.bytes.start)
            .map(|entry| &mut entry.value),
        Value::Scalar(_) => None,
    };
    if let Some(below) = below {
        feed(below, levels.saturating_sub(1), item);
    }
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Schema, read_one};

    #[test]
    fn an_empty_item_makes_its_list_take_the_next_one() {
        // Each expectation is what `yaml.safeLoad(text).k` gives in js-yaml 3.5.2.
        for (text, expected) in [
            ("k:\n- - a\n  -\n- b\n- c\n", "[[\"a\",null,\"b\"],\"c\"]"),
            ("k:\n- -\n-\n- c\n", "[[null,null,\"c\"]]"),
            ("k:\n- x:\n  - # empty\n- y\n", "[{\"x\":[null,\"y\"]}]"),
            ("k:\n- x:\n  -\n  z: 1\n- y\n", "[{\"x\":[null],\"z\":1},\"y\"]"),
            ("k:\n- 2:\n  -\n  1: 1\n- y\n", "[{\"1\":1,\"2\":[null]},\"y\"]"),
            ("k:\n- - -\n- - b\n  -\n- c\n", "[[[null,[\"b\",null,\"c\"]]]]"),
            ("k:\n- - ~\n- b\n", "[[null],\"b\"]"),
            ("k:\n- - a\n  - ''\n- b\n", "[[\"a\",\"\"],\"b\"]"),
        ] {
            let document = read_one(text, "values.yaml", Schema::JsYaml3).expect(text);
            let value = document.root.get("k").expect("k").to_json().expect("no infinities");
            assert_eq!(value.to_string(), expected, "{text:?}");
        }
        let document = read_one("k:\n- - a\n  -\n- b\n", "values.yaml", Schema::Kubernetes).expect("YAML");
        assert_eq!(document.root.to_json().expect("JSON").to_string(), "{\"k\":[[\"a\",null],\"b\"]}");
    }

    #[test]
    fn lists_that_swallow_each_other_do_not_nest_without_end() {
        let text = format!("k:\n{}", "- - a\n  -\n".repeat(10_000));
        let error = read_one(&text, "values.yaml", Schema::JsYaml3).expect_err("too deep");
        assert!(error.to_string().ends_with("nested deeper than 128 levels"), "{error}");
    }
}
