//! A list that YAML aliases put in several places, under kit's merge.
//!
//! In kit an alias is the same list in memory, and the merge of lists under `env` takes the entries that it uses out
//! of the upper list. So an `env: *shared` that stands in two places overrides names in the first one only. Bytes
//! that people have come to rely on; [`spend`] does the same, and says so.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::layers::name_of;
use crate::node::{Entry, FileId, List, Map, Node, Origin, Value};

/// An entry that a merge used up before an alias came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Spent {
    /// Where the entry stands.
    pub entry: Origin,
}

type Place = (FileId, u32, u32);

/// `over` as kit's merge over `base` finds it, and the entries that are missing in later places.
pub fn spend(base: &Arc<Node>, over: &Arc<Node>) -> (Arc<Node>, Vec<Spent>) {
    let mut seen = HashSet::new();
    if !has_shared_env(over, false, &mut seen) {
        return (over.clone(), Vec::new());
    }
    let mut walk = Walk { used: HashMap::new(), spent: Vec::new() };
    let over = walk.node(Some(base), over, false);
    walk.spent.dedup();
    (over, walk.spent)
}

fn place(node: &Node) -> Place {
    (node.origin.file, node.origin.line, node.origin.column)
}

fn has_shared_env(node: &Node, is_env: bool, seen: &mut HashSet<Place>) -> bool {
    match &node.value {
        Value::List(list) => {
            (is_env && !list.items.is_empty() && !seen.insert(place(node)))
                || list.items.iter().any(|item| has_shared_env(item, false, seen))
        }
        Value::Map(map) => {
            map.entries.iter().any(|entry| has_shared_env(&entry.value, &*entry.key == "env", seen))
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            false
        }
    }
}

struct Walk {
    /// Which items of a list are used up.
    used: HashMap<Place, Vec<bool>>,
    spent: Vec<Spent>,
}

impl Walk {
    fn node(&mut self, base: Option<&Arc<Node>>, over: &Arc<Node>, is_env: bool) -> Arc<Node> {
        let value = match &over.value {
            Value::List(list) if is_env => {
                let below = base.and_then(|base| base.as_list());
                Value::List(List { items: self.env(below, over, list), named: list.named.clone() })
            }
            Value::List(list) => {
                let below = base.and_then(|base| base.as_list()).unwrap_or_default();
                let items = list.items.iter().enumerate();
                let items = items.map(|(at, item)| self.node(below.get(at), item, false)).collect();
                Value::List(List { items, named: list.named.clone() })
            }
            Value::Map(map) => {
                let entries = map.entries.iter().map(|entry| {
                    let below = base.and_then(|base| base.get(&entry.key));
                    Entry { value: self.node(below, &entry.value, &*entry.key == "env"), ..entry.clone() }
                });
                Value::Map(Map { entries: entries.collect() })
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => return over.clone(),
        };
        Node::new(value, over.origin)
    }

    fn env(&mut self, below: Option<&[Arc<Node>]>, over: &Arc<Node>, list: &List) -> Vec<Arc<Node>> {
        let used = self.used.entry(place(over)).or_insert_with(|| vec![false; list.items.len()]);
        let left: Vec<usize> = (0..list.items.len()).filter(|&at| !used[at]).collect();
        for (item, _) in list.items.iter().zip(used.iter()).filter(|(_, used)| **used) {
            self.spent.push(Spent { entry: item.origin });
        }
        for base in below.unwrap_or_default() {
            let Some(name) = name_of(base) else { continue };
            let same = |at: &usize| name_of(&list.items[*at]).is_some_and(|other| other.same_scalar(name));
            if let Some(at) = left.iter().copied().filter(|&at| !used[at]).find(|at| same(at)) {
                used[at] = true;
            }
        }
        left.into_iter().map(|at| list.items[at].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use manifest::yaml::{Schema, read_one};

    use super::*;
    use crate::layers::{Rules, merge};
    use crate::node::Layer;

    fn node(text: &str, file: u32) -> Arc<Node> {
        let document = read_one(text, "values.yaml", Schema::JsYaml3).expect("valid");
        Node::from_yaml(&document.root, FileId(file), Layer::Base, false)
    }

    #[test]
    fn an_env_list_in_two_places_overrides_in_the_first_one_only() {
        let base = node("a: {env: [{name: X, value: 0}]}\nb: {env: [{name: X, value: 0}]}\n", 0);
        let over = node("a: {env: &e [{name: X, value: 1}, {name: Y, value: 2}]}\nb: {env: *e}\n", 1);
        let (over, spent) = spend(&base, &over);
        let merged = merge(&base, &over, Rules { integer_keys_first: true }, &mut ());
        assert_eq!(
            merged.to_json().to_string(),
            "{\"a\":{\"env\":[{\"name\":\"X\",\"value\":1},{\"name\":\"Y\",\"value\":2}]},\
             \"b\":{\"env\":[{\"name\":\"X\",\"value\":0},{\"name\":\"Y\",\"value\":2}]}}"
        );
        assert_eq!(spent.iter().map(|spent| spent.entry.line).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn what_is_in_one_place_only_stays_the_same_tree() {
        let over = node("a: {env: [{name: X, value: 1}]}\n", 1);
        let (same, spent) = spend(&over, &over);
        assert!(Arc::ptr_eq(&same, &over) && spent.is_empty());
    }
}
