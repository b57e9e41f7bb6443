//! The secret values of a render, so that nothing that is shown contains one.

use std::collections::BTreeSet;

use base64::Engine;
use manifest::yaml::position;

use crate::mustache::escape_from;
use crate::node::{Node, Value};

/// Shorter values are not masked: they would match everywhere, and guess as easily.
pub const MIN_SECRET: usize = 4;

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// A set of texts that must not be shown, each also in the forms that filters make of it.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    needles: BTreeSet<String>,
}

impl Secrets {
    /// Adds the text, and its base64, JSON and HTML forms. Each line of a text of several lines counts on its own
    /// too, because templates indent it.
    pub fn add(&mut self, text: &str) {
        self.add_one(text);
        if text.contains('\n') {
            text.lines().map(str::trim).for_each(|line| self.add_one(line));
        }
    }

    fn add_one(&mut self, text: &str) {
        if text.chars().count() < MIN_SECRET {
            return;
        }
        self.needles.insert(text.to_owned());
        let encoded = base64::engine::general_purpose::STANDARD.encode(text);
        self.needles.insert(encoded.trim_end_matches('=').to_owned());
        if let Ok(json) = serde_json::to_string(text) {
            self.needles.insert(json[1..json.len() - 1].to_owned());
        }
        let mut html = text.to_owned();
        escape_from(0, &mut html);
        self.needles.insert(html);
        if text.contains('\'') {
            self.needles.insert(text.replace('\'', "''"));
        }
    }

    /// Adds every secret leaf of a tree.
    pub fn add_tree(&mut self, node: &Node) {
        match &node.value {
            Value::List(list) => list.items.iter().for_each(|item| self.add_tree(item)),
            Value::Map(map) => map.entries.iter().for_each(|entry| self.add_tree(&entry.value)),
            Value::Null | Value::Bool(_) => {}
            Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
                if node.origin.secret {
                    self.add(&node.to_text());
                }
            }
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.needles.is_empty()
    }

    /// The text with every secret replaced by [`MASK`].
    pub fn mask(&self, text: &str) -> String {
        if self.needles.is_empty() {
            return text.to_owned();
        }
        let mut ordered: Vec<&String> = self.needles.iter().collect();
        ordered.sort_by_key(|needle| std::cmp::Reverse(needle.len()));
        let mut masked = text.to_owned();
        for needle in ordered {
            if masked.contains(needle.as_str()) {
                masked = masked.replace(needle.as_str(), MASK);
            }
        }
        masked
    }

    /// The lines of `text`, from 1, that hold a secret or a part of one.
    pub fn lines(&self, text: &str) -> Vec<u32> {
        if self.needles.is_empty() {
            return Vec::new();
        }
        let mut found = BTreeSet::new();
        for needle in &self.needles {
            for (at, _) in text.match_indices(needle.as_str()) {
                let (first, _) = position(text, at);
                let more = needle.trim_end_matches('\n').bytes().filter(|&byte| byte == b'\n').count() as u32;
                found.extend(first..=first + more);
            }
        }
        found.into_iter().collect()
    }

    /// Masks everything that a problem shows.
    pub fn mask_problem(&self, problem: &mut crate::problem::Problem) {
        if self.needles.is_empty() {
            return;
        }
        problem.message = self.mask(&problem.message);
        problem.excerpt = problem.excerpt.as_deref().map(|text| self.mask(text));
        for text in problem.causes.iter_mut().chain(problem.hints.iter_mut()) {
            *text = self.mask(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_masked_in_every_form_that_templates_make_of_it() {
        let mut secrets = Secrets::default();
        secrets.add("p/ss\"word");
        secrets.add("abc");
        for form in ["p/ss\"word", "cC9zcyJ3b3Jk", "p/ss\\\"word", "p&#x2F;ss&quot;word"] {
            assert_eq!(secrets.mask(&format!("<{form}> abc")), format!("<{MASK}> abc"), "{form}");
        }
    }

    #[test]
    fn lines_of_a_secret_are_found() {
        let mut secrets = Secrets::default();
        secrets.add("first line\nsecond line\n");
        assert_eq!(secrets.lines("a: |\n  first line\n  second line\nb: 1\n"), [2, 3]);
        assert_eq!(secrets.lines("nothing"), [] as [u32; 0]);
    }
}
