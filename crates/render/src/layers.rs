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
        && !matches!(above.value, Value::List(_) | Value::Map(_))
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
    entry.get("name").filter(|name| name.is_truthy())
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
