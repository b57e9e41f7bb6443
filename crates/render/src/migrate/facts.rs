//! What the tags of a mustache template find in the data of a repository.
//!
//! A tag alone does not say what it is: `{{#x}}` may go through a list or only test, `{{value}}` may be the item's
//! or an outer one. The renderings of all clusters do say it.

use std::collections::BTreeMap;

use crate::mustache::{Data, Name, Shape, Tag, Template, Token};
use crate::node::Node;

/// Who gives the context in which a name was found: the index of a section's token, or the data itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// The data of the resource. Sorts behind every section: it is the outermost.
    Section(std::cmp::Reverse<usize>),
    /// The data of the resource: the outermost context.
    Root,
}

/// Everything that one tag found.
#[derive(Debug, Clone, Default)]
pub(super) struct TagFacts {
    /// Where the name was found, innermost first; whether a part before the last was ever absent there.
    pub(super) owners: BTreeMap<Owner, ()>,
    /// Where a part of the path before the last was absent or no map.
    pub(super) broken: BTreeMap<Owner, ()>,
    /// Found nowhere.
    pub(super) missing: bool,
    /// Found as null.
    pub(super) null: bool,
    /// Found `false` or `0`.
    pub(super) false_or_zero: bool,
    /// Found true, a number or text.
    pub(super) scalar: bool,
    /// Found `true`, in which case a section changes no context.
    pub(super) yes: bool,
    /// Found text that HTML escaping changes.
    pub(super) special: bool,
    /// Found a list.
    pub(super) list: bool,
    /// Found a map.
    pub(super) map: bool,
    /// Found an empty map, which mustache takes for true.
    pub(super) empty_map: bool,
    /// Found the length of something.
    pub(super) length: bool,
    /// Found what only JavaScript has.
    pub(super) odd: bool,
}

/// What all tags of a template found, by the index of their token.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    tags: BTreeMap<usize, TagFacts>,
}

impl Facts {
    /// What the tag of token `index` found; nothing if it was never reached.
    pub(super) fn of(&self, index: usize) -> TagFacts {
        self.tags.get(&index).cloned().unwrap_or_default()
    }

    /// Adds what one rendering finds.
    pub(super) fn add(&mut self, template: &Template, view: &Node) {
        let root = Context { owner: Owner::Root, view: Some(view), outer: None };
        self.walk(template, 0, template.tokens().len(), &root);
    }

    fn walk(&mut self, template: &Template, from: usize, to: usize, context: &Context<'_, '_>) {
        let mut index = from;
        while index < to {
            match &template.tokens()[index] {
                Token::Escaped { tag } | Token::Raw { tag } => {
                    self.look_up(index, tag, context);
                }
                Token::Section { tag, end } => {
                    self.section(template, index, *end, tag, context);
                    index = *end;
                }
                Token::Inverted { tag, end } => {
                    let found = self.look_up(index, tag, context);
                    let empty = found.is_none_or(|node| match node.shape() {
                        Shape::List(len) => len == 0,
                        Shape::Null
                        | Shape::Bool(_)
                        | Shape::Number(_)
                        | Shape::Text(_)
                        | Shape::Date(_)
                        | Shape::Map => !node.is_truthy(),
                    });
                    if empty {
                        self.walk(template, index + 1, *end, context);
                    }
                    index = *end;
                }
                Token::Text { .. }
                | Token::Close { .. }
                | Token::Partial { .. }
                | Token::Comment { .. }
                | Token::Delimiters { .. } => {}
            }
            index += 1;
        }
    }

    fn section(
        &mut self,
        template: &Template,
        index: usize,
        end: usize,
        tag: &Tag,
        context: &Context<'_, '_>,
    ) {
        let Some(node) = self.look_up(index, tag, context).filter(|node| node.is_truthy()) else { return };
        let owner = Owner::Section(std::cmp::Reverse(index));
        match node.shape() {
            Shape::Bool(_) => self.walk(template, index + 1, end, context),
            Shape::List(len) => {
                for at in 0..len {
                    let inner = Context { owner, view: node.item(at), outer: Some(context) };
                    self.walk(template, index + 1, end, &inner);
                }
            }
            Shape::Null | Shape::Number(_) | Shape::Text(_) | Shape::Date(_) | Shape::Map => {
                let inner = Context { owner, view: Some(node), outer: Some(context) };
                self.walk(template, index + 1, end, &inner);
            }
        }
    }

    fn look_up<'n>(&mut self, index: usize, tag: &Tag, context: &Context<'n, '_>) -> Option<&'n Node> {
        let facts = self.tags.entry(index).or_default();
        let keys: Vec<&str> = match &tag.name {
            Name::This => {
                facts.owners.insert(context.owner, ());
                facts.note(context.view);
                return context.view;
            }
            Name::Key(key) => vec![key],
            Name::Path(keys) => keys.iter().map(|key| &**key).collect(),
        };
        let mut next = Some(context);
        while let Some(context) = next {
            match step(context.view, &keys) {
                Step::Found(node) => {
                    facts.owners.insert(context.owner, ());
                    facts.note(Some(node));
                    return Some(node);
                }
                Step::Length => {
                    facts.owners.insert(context.owner, ());
                    facts.length = true;
                    return None;
                }
                Step::Odd => {
                    facts.odd = true;
                    return None;
                }
                Step::Broken => {
                    facts.broken.insert(context.owner, ());
                }
                Step::Absent => {}
            }
            next = context.outer;
        }
        facts.missing = true;
        None
    }
}

struct Context<'n, 'c> {
    owner: Owner,
    view: Option<&'n Node>,
    outer: Option<&'c Context<'n, 'c>>,
}

enum Step<'n> {
    Found(&'n Node),
    /// The length of a list.
    Length,
    /// A property that only JavaScript has.
    Odd,
    /// The last part is absent.
    Absent,
    /// A part before the last is absent.
    Broken,
}

fn step<'n>(view: Option<&'n Node>, keys: &[&str]) -> Step<'n> {
    let Some(mut node) = view else { return Step::Absent };
    for (at, key) in keys.iter().enumerate() {
        let last = at + 1 == keys.len();
        let next = match node.shape() {
            Shape::List(_) if *key == "length" => return if last { Step::Length } else { Step::Odd },
            Shape::List(_) => match key.parse::<usize>() {
                Ok(index) => node.item(index),
                Err(_) => node.field(key),
            },
            Shape::Map => node.field(key),
            Shape::Text(_) if *key == "length" || key.parse::<usize>().is_ok() => return Step::Odd,
            Shape::Null | Shape::Bool(_) | Shape::Number(_) | Shape::Text(_) | Shape::Date(_) => None,
        };
        match next {
            Some(next) => node = next,
            None if last => return Step::Absent,
            None => return Step::Broken,
        }
        // Null in the middle ends the path there.
        if !last && node.is_null() {
            return Step::Broken;
        }
    }
    Step::Found(node)
}

impl TagFacts {
    fn note(&mut self, node: Option<&Node>) {
        let Some(node) = node else {
            self.null = true;
            return;
        };
        match node.shape() {
            Shape::Null => self.null = true,
            Shape::Bool(flag) => {
                self.scalar = true;
                self.false_or_zero |= !flag;
                self.yes |= flag;
            }
            Shape::Number(number) => {
                self.scalar = true;
                self.false_or_zero |= number == 0.0;
            }
            Shape::Text(text) => {
                self.scalar = true;
                self.special |= text.contains(['&', '<', '>', '"', '\'', '/', '`', '=']);
            }
            Shape::Date(_) => self.scalar = true,
            Shape::List(_) => self.list = true,
            Shape::Map => {
                self.map = true;
                self.empty_map |= node.as_map().is_some_and(|map| map.entries.is_empty());
            }
        }
    }
}
