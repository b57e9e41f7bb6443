//! How layers are laid over each other: kit's rules, to the letter.
//!
//! | case | result |
//! |---|---|
//! | scalar over anything | replaces it |
//! | null over something | keeps what is below (null never deletes) |
//! | map over map | recursive; the lower keys first in their order, then new ones |
//! | list over list | item by item: `[1, 2, 3]` and `[9]` give `[9, 2, 3]` |
//! | list over list under a key `env` | by `name`, see [`merge_envs`] |
//! | map over list | stays a list: numeric keys replace items, others are lost |
//! | list over map | replaces it |
//!
//! A merge that changes nothing returns the very same tree.

use std::sync::Arc;

use crate::node::{Entry, Layer, List, Map, Node, Origin, Value, array_index};

/// Sees what a merge decides. The losing value is what the winning one stands over.
pub trait Observe {
    /// `winner` replaced `loser`.
    fn replaced(&mut self, _loser: &Arc<Node>, _winner: &Arc<Node>) {}
}

impl Observe for () {}

impl<F: FnMut(&Arc<Node>, &Arc<Node>)> Observe for F {
    fn replaced(&mut self, loser: &Arc<Node>, winner: &Arc<Node>) {
        self(loser, winner);
    }
}

/// What a merge must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether keys that look like array indices come first, as in a JavaScript object.
    pub integer_keys_first: bool,
}

/// Lays `over` over `base`.
pub fn merge(base: &Arc<Node>, over: &Arc<Node>, rules: Rules, observe: &mut impl Observe) -> Arc<Node> {
    match (&base.value, &over.value) {
        // A map does not replace a date: its keys become hidden properties of it.
        (_, Value::Null) | (Value::Date(_), Value::Map(_)) => base.clone(),
        (Value::Null, _) => over.clone(),
        (Value::Map(below), Value::Map(above)) => match merge_maps(below, above, rules, observe) {
            None => base.clone(),
            Some(map) => Node::new(Value::Map(map), base.origin),
        },
        (Value::List(below), Value::List(above)) => match merge_lists(below, above, rules, observe) {
            None => base.clone(),
            Some(list) => Node::new(Value::List(list), base.origin),
        },
        (Value::List(below), Value::Map(above)) => {
            let mut list = below.clone();
            for entry in &above.entries {
                if let Some(index) = array_index(&entry.key).filter(|&index| index < MAX_INDEX) {
                    set_item(&mut list.items, index, &entry.value, rules, observe);
                }
            }
            Node::new(Value::List(list), base.origin)
        }
        _ => {
            observe.replaced(base, over);
            over.clone()
        }
    }
}

/// A map laid over a list may name an index far behind its end; beyond this it is ignored.
const MAX_INDEX: usize = 1000;

/// `None` if nothing changes.
fn merge_maps(below: &Map, above: &Map, rules: Rules, observe: &mut impl Observe) -> Option<Map> {
    let mut result: Option<Map> = None;
    for entry in &above.entries {
        let at = below.entries.iter().position(|candidate| candidate.key == entry.key);
        let merged = match at {
            Some(at) => {
                let value = merge_values(&entry.key, &below.entries[at].value, &entry.value, rules, observe);
                if Arc::ptr_eq(&value, &below.entries[at].value) {
                    continue;
                }
                value
            }
            None => entry.value.clone(),
        };
        let map = result.get_or_insert_with(|| below.clone());
        match at {
            Some(at) => {
                if Arc::ptr_eq(&merged, &entry.value) {
                    map.entries[at].line = entry.line;
                }
                map.entries[at].value = merged;
            }
            None => map.entries.push(Entry { value: merged, ..entry.clone() }),
        }
    }
    if rules.integer_keys_first
        && let Some(map) = &mut result
        && map.entries.len() > below.entries.len()
        && map.entries.iter().any(|entry| array_index(&entry.key).is_some())
    {
        map.entries.sort_by_key(|entry| array_index(&entry.key).map_or((1, 0), |index| (0, index)));
    }
    result
}

fn merge_values(
    key: &str,
    below: &Arc<Node>,
    above: &Arc<Node>,
    rules: Rules,
    observe: &mut impl Observe,
) -> Arc<Node> {
    if key == "env"
        && let Value::List(base) = &below.value
        && !matches!(above.value, Value::List(_))
    {
        // kit: what JavaScript takes for false is no list to merge; anything else is added to an empty one.
        if !above.is_truthy() {
            return below.clone();
        }
        if base.items.is_empty() {
            let items = vec![above.clone()];
            return Node::new(Value::List(List { items, named: base.named.clone() }), above.origin);
        }
    }
    if key == "env"
        && let (Value::List(base), Value::List(over)) = (&below.value, &above.value)
    {
        let items = merge_envs(&base.items, &over.items, observe);
        let same = items.len() == base.items.len()
            && items.iter().zip(&base.items).all(|(item, before)| Arc::ptr_eq(item, before));
        if same {
            return below.clone();
        }
        return Node::new(Value::List(List { items, named: base.named.clone() }), below.origin);
    }
    merge(below, above, rules, observe)
}

fn merge_lists(below: &List, above: &List, rules: Rules, observe: &mut impl Observe) -> Option<List> {
    let mut result: Option<List> = None;
    for (index, over) in above.items.iter().enumerate() {
        match below.items.get(index) {
            Some(base) => {
                let merged = merge(base, over, rules, observe);
                if !Arc::ptr_eq(&merged, base) {
                    result.get_or_insert_with(|| below.clone()).items[index] = merged;
                }
            }
            None => result.get_or_insert_with(|| below.clone()).items.push(over.clone()),
        }
    }
    result
}

fn set_item(
    items: &mut Vec<Arc<Node>>,
    index: usize,
    over: &Arc<Node>,
    rules: Rules,
    observe: &mut impl Observe,
) {
    while items.len() < index {
        items.push(Node::new(Value::Null, Origin::of(Layer::Derived)));
    }
    if index == items.len() {
        items.push(over.clone());
    } else {
        items[index] = merge(&items[index], over, rules, observe);
    }
}

/// The rule for lists under a key `env`, at any depth: for each entry below, the first unused entry
/// above of the same `name` is laid over it key by key (a null above does replace here, and
/// `valueFrom` is replaced as a whole); the others above are added in their order.
///
/// Entries without a name (and plain strings) match nothing. Unlike kit, null entries are no crash:
/// they are dropped.
pub fn merge_envs(base: &[Arc<Node>], over: &[Arc<Node>], observe: &mut impl Observe) -> Vec<Arc<Node>> {
    let mut unused: Vec<Option<&Arc<Node>>> =
        over.iter().map(|entry| Some(entry).filter(|entry| !entry.is_null())).collect();
    let mut result = Vec::with_capacity(base.len() + over.len());
    for below in base.iter().filter(|below| !below.is_null()) {
        let found = name_of(below).and_then(|name| {
            unused.iter_mut().find(|candidate| {
                candidate.is_some_and(|above| name_of(above).is_some_and(|other| other.same_scalar(name)))
            })
        });
        match found.and_then(Option::take) {
            Some(above) => result.push(assign(below, above, observe)),
            None => result.push(below.clone()),
        }
    }
    result.extend(unused.into_iter().flatten().cloned());
    result
}

/// The `name` of an env entry, if there is one that JavaScript takes for true.
pub fn name_of(entry: &Node) -> Option<&Arc<Node>> {
    entry.truthy("name")
}

/// `Object.assign({}, below, above)`.
pub fn assign(below: &Arc<Node>, above: &Arc<Node>, observe: &mut impl Observe) -> Arc<Node> {
    let (Value::Map(base), Value::Map(over)) = (&below.value, &above.value) else { return above.clone() };
    let mut map = base.clone();
    for entry in &over.entries {
        match map.entries.iter_mut().find(|candidate| candidate.key == entry.key) {
            Some(slot) => {
                if !Arc::ptr_eq(&slot.value, &entry.value) {
                    observe.replaced(&slot.value, &entry.value);
                }
                *slot = entry.clone();
            }
            None => map.entries.push(entry.clone()),
        }
    }
    Node::new(Value::Map(map), below.origin)
}

#[cfg(test)]
mod tests {
    use manifest::yaml::{self, Schema};
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::node::FileId;

    const RULES: Rules = Rules { integer_keys_first: true };

    fn tree(text: &str) -> Arc<Node> {
        let document = yaml::read_one(text, "test", Schema::JsYaml3).unwrap();
        Node::from_yaml(&document.root, FileId(0), Layer::Base, false)
    }

    fn merged(base: &str, over: &str) -> serde_json::Value {
        merge(&tree(base), &tree(over), RULES, &mut ()).to_json()
    }

    #[test]
    fn each_case_of_the_table() {
        for (base, over, expected) in [
            ("{a: 1}", "{a: 0}", json!({"a": 0})),
            ("{a: x}", "{a: ''}", json!({"a": ""})),
            ("{a: 1}", "{a: null}", json!({"a": 1})),
            ("{a: {b: 1}}", "{a: {b: null, c: null}}", json!({"a": {"b": 1, "c": null}})),
            ("{a: null}", "{a: {b: 1}}", json!({"a": {"b": 1}})),
            ("{a: [1, 2, 3]}", "{a: [9]}", json!({"a": [9, 2, 3]})),
            ("{a: [1]}", "{a: [null, null, 3]}", json!({"a": [1, null, 3]})),
            ("{a: [1, 2]}", "{a: []}", json!({"a": [1, 2]})),
            (
                "{a: [{n: x, v: 1}, {n: y, v: 2}]}",
                "{a: [{n: y, v: 3}]}",
                json!({"a": [{"n": "y", "v": 3}, {"n": "y", "v": 2}]}),
            ),
            ("{a: {b: 1}}", "{a: [1]}", json!({"a": [1]})),
            ("{a: [1, 2]}", "{a: {1: 9, x: y}}", json!({"a": [1, 9]})),
            ("{a: [1, 2]}", "{a: 3}", json!({"a": 3})),
            ("{a: 3}", "{a: [1]}", json!({"a": [1]})),
        ] {
            assert_eq!(merged(base, over), expected, "{base} + {over}");
        }
    }

    #[test]
    fn keys_of_the_base_come_first_and_integer_keys_before_all() {
        let keys = |base: &str, over: &str| {
            let node = merge(&tree(base), &tree(over), RULES, &mut ());
            node.as_map().unwrap().keys().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(keys("{b: 1, a: 2}", "{c: 3, a: 4, d: 5}"), ["b", "a", "c", "d"]);
        assert_eq!(keys("{b: 1, 2: 2}", "{1: 3, c: 4}"), ["1", "2", "b", "c"]);
    }

    #[test]
    fn env_lists_merge_by_name_at_any_depth() {
        let env = |base: &str, over: &str| {
            merged(&format!("{{x: {{env: {base}}}}}"), &format!("{{x: {{env: {over}}}}}"))["x"]["env"].clone()
        };
        let names = |value: serde_json::Value| {
            value
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["name"].as_str().unwrap_or("-").to_owned())
                .collect::<Vec<_>>()
        };
        let (abc, dca) = ("[{name: A}, {name: B}, {name: C}]", "[{name: D}, {name: C}, {name: A}]");
        assert_eq!(names(env(abc, dca)), ["A", "B", "C", "D"]);
        assert_eq!(
            env("[{name: A, value: 1}]", "[{name: A, value: null, valueFrom: {x: y}}]"),
            json!([{"name": "A", "value": null, "valueFrom": {"x": "y"}}])
        );
        assert_eq!(
            env("[{name: A, value: 1}]", "[{name: A, value: 2}, {name: A, value: 3}]"),
            json!([{"name": "A", "value": 2}, {"name": "A", "value": 3}])
        );
        assert_eq!(
            env("[{value: 1}, plain]", "[{value: 2}, plain]"),
            json!([{"value": 1}, "plain", {"value": 2}, "plain"])
        );
        assert_eq!(env("[null, {name: A}]", "[null]"), json!([{"name": "A"}]));
        assert_eq!(env("[{name: A}]", "{a: 1}"), json!([{"name": "A"}]));
        assert_eq!(env("[]", "{a: 1}"), json!([{"a": 1}]));
        assert_eq!(env("[{name: A}]", "null"), json!([{"name": "A"}]));
    }

    #[test]
    fn an_observer_sees_what_lost() {
        let mut lost = Vec::new();
        let (base, over) = (tree("{a: 1, b: {c: 2}}"), tree("{a: 9, b: {c: 8, d: 7}}"));
        merge(&base, &over, RULES, &mut |loser: &Arc<Node>, winner: &Arc<Node>| {
            lost.push((loser.to_text(), winner.to_text()));
        });
        assert_eq!(lost, [("1".to_owned(), "9".to_owned()), ("2".to_owned(), "8".to_owned())]);
    }

    fn value() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|flag| json!(flag)),
            (0..9i64).prop_map(|number| json!(number)),
            "[a-c]{0,2}".prop_map(|text| json!(text)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| json!(items)),
                map_of(inner),
            ]
        })
    }

    fn map_of(inner: impl Strategy<Value = serde_json::Value>) -> impl Strategy<Value = serde_json::Value> {
        let key = prop_oneof!["[a-e]", Just("env".to_owned()), Just("name".to_owned()), "[0-3]"];
        prop::collection::vec((key, inner), 0..5)
            .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect()))
    }

    fn node(value: &serde_json::Value) -> Arc<Node> {
        Node::from_json(value, Origin::of(Layer::Base))
    }

    proptest! {
        #[test]
        fn merging_with_nothing_is_identity(base in map_of(value())) {
            let base = node(&base);
            for nothing in [json!({}), json!(null)] {
                let merged = merge(&base, &node(&nothing), RULES, &mut ());
                prop_assert!(Arc::ptr_eq(&merged, &base));
            }
        }

        #[test]
        fn keys_of_one_side_survive_in_order(base in map_of(value()), over in map_of(value())) {
            let (base, over) = (node(&base), node(&over));
            let rules = Rules { integer_keys_first: false };
            let merged = merge(&base, &over, rules, &mut ());
            let map = merged.as_map().unwrap();
            let mut expected: Vec<&str> = base.as_map().unwrap().keys().collect();
            expected.extend(over.as_map().unwrap().keys().filter(|key| base.get(key).is_none()));
            prop_assert_eq!(map.keys().collect::<Vec<_>>(), expected);
            for entry in &base.as_map().unwrap().entries {
                if over.get(&entry.key).is_none() {
                    prop_assert!(Arc::ptr_eq(map.get(&entry.key).unwrap(), &entry.value));
                }
            }
            for entry in &over.as_map().unwrap().entries {
                if base.get(&entry.key).is_none() {
                    prop_assert!(Arc::ptr_eq(map.get(&entry.key).unwrap(), &entry.value));
                }
            }
        }

        #[test]
        fn the_same_merge_twice_changes_nothing_more(base in map_of(value()), over in map_of(value())) {
            // Entries without a name are added each time, as in kit; all other rules settle.
            let without_env = |value: &serde_json::Value| {
                node(&serde_json::from_str(&value.to_string().replace("\"env\"", "\"f\"")).unwrap())
            };
            let (base, over) = (without_env(&base), without_env(&over));
            let once = merge(&base, &over, RULES, &mut ());
            let twice = merge(&once, &over, RULES, &mut ());
            prop_assert_eq!(once.to_json(), twice.to_json());
        }
    }
}
