//! The file of one cluster as a stencil for the others: the same text but for words that the template only prints.
//!
//! A stencil is cut from a rendering in which these words were marks, and kept only if the words of the rendering that
//! was checked, put in place of the marks, give that rendering to the byte. That nothing but the words can differ follows
//! from the template ([`crate::template::Reads`]); that the words do no harm to the YAML is proven for each of them
//! ([`check::is_harmless`]), and where that fails the whole text is checked.

use std::ops::Range;
use std::sync::Arc;

use manifest::ObjectRef;

use crate::check;
use crate::memo::{Made, Values};
use crate::mustache::escape_from;
use crate::node::{Node, Value};
use crate::template::{Print, Reads};

/// Values are marked with the characters from here on, which no manifest has.
const FIRST_MARK: u32 = 0xF_0100;
/// So many values at most.
const MOST_MARKS: usize = 256;
/// Larger texts are left to the template engine, which has a limit.
const MOST_BYTES: usize = 1 << 20;

/// A text with holes.
#[derive(Debug)]
pub(crate) struct Stencil {
    /// What stands before each hole.
    holes: Vec<(Box<str>, Hole)>,
    /// What stands behind the last one.
    end: Box<str>,
    /// The objects in it, if these are the same whatever harmless words are filled in.
    objects: Option<Arc<[ObjectRef]>>,
}

#[derive(Debug, Clone, Copy)]
struct Hole {
    /// Which of the printed values.
    value: usize,
    print: Print,
}

/// A text from a stencil.
pub(crate) struct Filled {
    pub(crate) text: String,
    /// What is in it, if it needs no check.
    pub(crate) objects: Option<Arc<[ObjectRef]>>,
}

/// Whether a value is a word that a stencil can print.
pub(crate) fn is_word(node: &Node) -> bool {
    // JavaScript prints larger numbers in its own way.
    let is_small = |number: i64| number.unsigned_abs() < 1 << 53;
    !node.origin.secret
        && match &node.value {
            Value::Text(_) | Value::Bool(_) => true,
            Value::Int(number) => is_small(*number),
            Value::Null | Value::Float(_) | Value::Date(_) | Value::List(_) | Value::Map(_) => false,
        }
}

/// `root` with a mark in place of each of the values.
pub(crate) fn marked(root: &Node, values: &Values) -> Option<Arc<Node>> {
    let mut map = root.as_map().filter(|_| values.len() <= MOST_MARKS)?.clone();
    for (at, (name, node)) in values.iter().enumerate() {
        map.set(name.clone(), Node::text(mark(at).to_string(), node.origin));
    }
    Some(Node::new(Value::Map(map), root.origin))
}

fn mark(at: usize) -> char {
    char::from_u32(FIRST_MARK + at as u32).expect("the private use plane has room for all marks")
}

impl Stencil {
    /// Cuts the stencil from a marked rendering; `values` are those that `made` was rendered with.
    pub(crate) fn cut(marked: &str, values: &Values, reads: &Reads, made: &Made) -> Option<Self> {
        let (mut holes, mut start) = (Vec::new(), 0);
        for (at, character) in marked.char_indices() {
            let value = (character as u32).wrapping_sub(FIRST_MARK) as usize;
            let Some((name, _)) = values.get(value) else { continue };
            let print = *reads.printed.get(&**name)?;
            holes.push((marked[start..at].into(), Hole { value, print }));
            start = at + character.len_utf8();
        }
        let mut stencil = Self { holes, end: marked[start..].into(), objects: None };
        let (text, words) = stencil.print(values);
        // Nothing to print, or something else than the template did.
        if stencil.end.trim().is_empty() || text != *made.text {
            return None;
        }
        if check::is_ordinary(&text) && words.iter().all(|word| check::is_harmless(&text, word)) {
            stencil.objects = Some(made.objects.clone());
        }
        Some(stencil)
    }

    /// The text with these values; `None` if it is too long.
    pub(crate) fn fill(&self, values: &Values) -> Option<Filled> {
        let (text, words) = self.print(values);
        let is_harmless = |word: &Range<usize>| check::is_harmless(&text, word);
        let objects = self.objects.clone().filter(|_| words.iter().all(is_harmless));
        (text.len() <= MOST_BYTES).then_some(Filled { text, objects })
    }

    fn print(&self, values: &Values) -> (String, Vec<Range<usize>>) {
        let literal: usize = self.holes.iter().map(|(before, _)| before.len()).sum();
        let mut text = String::with_capacity(literal + self.end.len() + 16 * self.holes.len());
        let mut words = Vec::with_capacity(self.holes.len());
        for (before, hole) in &self.holes {
            text.push_str(before);
            let start = text.len();
            match values.get(hole.value).map(|(_, node)| &node.value) {
                Some(Value::Text(word)) => text.push_str(word),
                Some(_) | None => {
                    text.push_str(
                        &values.get(hole.value).map(|(_, node)| node.to_text()).unwrap_or_default(),
                    );
                }
            }
            if hole.print == Print::Html {
                escape_from(start, &mut text);
            }
            words.push(start..text.len());
        }
        text.push_str(&self.end);
        (text, words)
    }
}
