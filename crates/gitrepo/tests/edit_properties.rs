//! Random YAML, a random value in it, a random new text: the edit changes the bytes of that scalar and no other
//! byte, and every reader gets the new text.
#![allow(clippy::unwrap_used)]

use std::ops::Range;

use gitrepo::edit::{Document, IfMissing, PropertyPath, Reason, Step, set, set_each};
use proptest::prelude::*;

/// A value, and how it is written.
#[derive(Debug, Clone)]
enum Tree {
    Scalar(&'static str),
    /// `|` or `>-`, then lines: refused when it is the target.
    Block(&'static str),
    Mapping(Vec<(Key, Tree)>),
    List(Vec<Tree>),
    FlowMapping(Vec<(Key, Tree)>),
    FlowList(Vec<Tree>),
}

#[derive(Debug, Clone, Copy)]
enum Key {
    Plain,
    Quoted,
    Dotted,
    NonAscii,
}

const SCALARS: &[&str] = &[
    "nginx",
    "quay.io/acme/web:1",
    "1.9",
    "true",
    "null",
    "~",
    "0x1f",
    "a#b",
    "é ü",
    "a: b",
    "x y  z",
    "-1",
    "''",
    "'it''s'",
    "'a: b # c'",
    "\"\"",
    "\"a\\nb\"",
    "\"\\u00e9 # no comment\"",
    "'{{ template }}'",
    "!!str 1",
    "&anchor x",
    "2001-01-01",
    "<<",
    "=",
    "\"quay.io/a:1\"",
];

fn scalar() -> impl Strategy<Value = Tree> {
    // `a: b` is no plain scalar.
    let fits = |text: &&&str| **text != "a: b";
    let plain: Vec<&'static str> = SCALARS.iter().filter(fits).copied().collect();
    proptest::sample::select(plain).prop_map(Tree::Scalar)
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![4 => Just(Key::Plain), 1 => Just(Key::Quoted), 1 => Just(Key::Dotted), 1 => Just(Key::NonAscii)]
}

fn flow() -> impl Strategy<Value = Tree> {
    scalar().prop_recursive(2, 8, 3, |inner| {
        prop_oneof![
            prop::collection::vec((key(), inner.clone()), 0..3).prop_map(Tree::FlowMapping),
            prop::collection::vec(inner, 0..3).prop_map(Tree::FlowList),
        ]
    })
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        6 => scalar(),
        1 => flow(),
        1 => proptest::sample::select(vec!["|", ">-", "|+", ">2"]).prop_map(Tree::Block),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            2 => prop::collection::vec((key(), inner.clone()), 1..4).prop_map(Tree::Mapping),
            1 => prop::collection::vec(inner, 1..4).prop_map(Tree::List),
        ]
    })
}

/// Writes trees, choosing spaces and comments, and remembers where each scalar is.
struct Writer<'c> {
    text: String,
    line_break: &'static str,
    /// Runs out and begins again.
    choices: &'c [u8],
    chosen: usize,
    scalars: Vec<(PropertyPath, Range<usize>, bool)>,
}

impl Writer<'_> {
    fn choose(&mut self, of: u8) -> u8 {
        let choice = self.choices.get(self.chosen % self.choices.len().max(1)).copied().unwrap_or(0);
        self.chosen += 1;
        choice % of
    }

    fn end_line(&mut self) {
        let end = ["", "", " # kit: no hold", "   ", "\t# 'x", "  # {[\"é"][usize::from(self.choose(6))];
        self.text.push_str(end);
        self.text.push_str(self.line_break);
        match self.choose(8) {
            0 => self.text.push_str(self.line_break),
            1 => {
                self.text.push_str("# between: x");
                self.text.push_str(self.line_break);
            }
            _ => {}
        }
    }

    fn key(&mut self, n: usize, key: Key, path: &PropertyPath) -> PropertyPath {
        let (written, name) = match key {
            Key::Plain => (format!("k{n}"), format!("k{n}")),
            Key::Quoted => (format!("\"k {n}\""), format!("k {n}")),
            Key::Dotted => (format!("kit.io/k{n}"), format!("kit.io/k{n}")),
            Key::NonAscii => (format!("größe{n}"), format!("größe{n}")),
        };
        self.text.push_str(&written);
        path.join(Step::Key(name))
    }

    fn scalar(&mut self, text: &str, path: &PropertyPath, settable: bool) {
        let start = self.text.len();
        self.text.push_str(text);
        // The bytes of the scalar are those after its tag and anchor.
        let skip = text.rfind("!!str ").map_or(0, |_| 6) + text.rfind("&anchor ").map_or(0, |_| 8);
        self.scalars.push((path.clone(), start + skip..self.text.len(), settable));
    }

    /// What follows `key:` or `-`, on the same line or below it.
    fn value(&mut self, tree: &Tree, indent: usize, path: &PropertyPath, after_key: bool) {
        let space = [" ", " ", "  ", "    "][usize::from(self.choose(4))];
        match tree {
            Tree::Scalar(text) => {
                self.text.push_str(space);
                self.scalar(text, path, true);
                self.end_line();
            }
            Tree::Block(header) => {
                self.text.push_str(space);
                let lines = [header, "", "first # no comment", "second: x"];
                self.scalar(header, path, false);
                for (n, line) in lines.iter().enumerate().skip(1) {
                    self.text.push_str(self.line_break);
                    if n > 1 {
                        self.text.push_str(&" ".repeat(indent + 2));
                        self.text.push_str(line);
                    }
                }
                self.text.push_str(self.line_break);
            }
            Tree::FlowMapping(_) | Tree::FlowList(_) => {
                self.text.push_str(space);
                self.flow(tree, path);
                self.end_line();
            }
            Tree::Mapping(_) | Tree::List(_) if after_key => {
                self.end_line();
                let deeper = usize::from(self.choose(3)) + 1;
                // A list may stand at the indentation of its key.
                let same = matches!(tree, Tree::List(_)) && self.choose(2) == 0;
                self.block(tree, if same { indent } else { indent + deeper }, path);
            }
            Tree::Mapping(_) | Tree::List(_) => {
                // `- key: value`: the first line continues the item's.
                let start = self.text.len();
                self.block(tree, indent + 2, path);
                self.text.replace_range(start..=start + indent, "");
                for (_, bytes, _) in self.scalars.iter_mut().filter(|(_, bytes, _)| bytes.start > start) {
                    *bytes = bytes.start - indent - 1..bytes.end - indent - 1;
                }
            }
        }
    }

    fn block(&mut self, tree: &Tree, indent: usize, path: &PropertyPath) {
        match tree {
            Tree::Mapping(entries) => {
                for (n, (key, value)) in entries.iter().enumerate() {
                    self.text.push_str(&" ".repeat(indent));
                    let path = self.key(n, *key, path);
                    self.text.push(':');
                    self.value(value, indent, &path, true);
                }
            }
            Tree::List(items) => {
                for (n, item) in items.iter().enumerate() {
                    self.text.push_str(&" ".repeat(indent));
                    self.text.push('-');
                    self.value(item, indent, &path.join(Step::Index(n)), false);
                }
            }
            Tree::Scalar(_) | Tree::Block(_) | Tree::FlowMapping(_) | Tree::FlowList(_) => {
                unreachable!("only block collections are given here")
            }
        }
    }

    fn separator(&mut self, n: usize, of: [&str; 2]) {
        if n > 0 {
            let chosen = of[usize::from(self.choose(2))];
            self.text.push_str(chosen);
        }
    }

    fn flow(&mut self, tree: &Tree, path: &PropertyPath) {
        match tree {
            Tree::FlowMapping(entries) => {
                self.text.push('{');
                for (n, (key, value)) in entries.iter().enumerate() {
                    self.separator(n, [", ", " ,"]);
                    let path = self.key(n, *key, path);
                    self.text.push_str(": ");
                    self.flow(value, &path);
                }
                self.text.push('}');
            }
            Tree::FlowList(items) => {
                self.text.push('[');
                for (n, item) in items.iter().enumerate() {
                    self.separator(n, [", ", ","]);
                    self.flow(item, &path.join(Step::Index(n)));
                }
                self.text.push(']');
            }
            Tree::Scalar(text) => self.scalar(text, path, true),
            Tree::Block(_) | Tree::Mapping(_) | Tree::List(_) => unreachable!("not in a flow collection"),
        }
    }
}

type Written = (String, Vec<(PropertyPath, Range<usize>, bool)>);

/// Documents below a key of their own each, so that a path is in one document only.
fn write(
    documents: &[Tree],
    choices: &[u8],
    line_break: &'static str,
    mark: bool,
    final_newline: bool,
) -> Written {
    let text = if mark { "\u{feff}".to_owned() } else { String::new() };
    let mut writer = Writer { text, line_break, choices, chosen: 0, scalars: Vec::new() };
    for (n, tree) in documents.iter().enumerate() {
        if n > 0 {
            writer.text.push_str("---");
            writer.text.push_str(line_break);
        }
        let name = format!("document{n}");
        writer.text.push_str(&name);
        writer.text.push(':');
        writer.value(tree, 0, &PropertyPath::key(name), true);
    }
    if !final_newline {
        // A final block keeps its lines; everything else loses its line breaks.
        let kept = writer.text.trim_end_matches(['\r', '\n']).len();
        let last = writer.scalars.iter().map(|(_, bytes, _)| bytes.end).max().unwrap_or(0);
        writer.text.truncate(kept.max(last));
    }
    (writer.text, writer.scalars)
}

fn new_texts() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("quay.io/acme/web:main-2".to_owned()),
        Just("1.10".to_owned()),
        Just("yes".to_owned()),
        Just("12e4567".to_owned()),
        "[a-z0-9./:@-]{1,20}",
        "[ -~]{0,20}",
        any::<String>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400),
        ..ProptestConfig::default()
    })]
    #[test]
    fn an_edit_changes_one_scalar_and_no_other_byte(
        documents in prop::collection::vec(tree(), 1..3),
        choices in prop::collection::vec(any::<u8>(), 1..40),
        line_break in prop_oneof![3 => Just("\n"), 1 => Just("\r\n")],
        mark in prop::bool::weighted(0.1),
        final_newline in prop::bool::weighted(0.8),
        target in any::<prop::sample::Index>(),
        new in new_texts(),
    ) {
        let (text, scalars) = write(&documents, &choices, line_break, mark, final_newline);
        prop_assume!(!scalars.is_empty());
        let (path, bytes, settable) = &scalars[target.index(scalars.len())];
        let old = text.as_bytes();
        let edit = match set("x.yaml", old, &Document::Any, path, &new, IfMissing::Refuse) {
            Ok(edit) => edit,
            Err(error) => {
                // Only blocks and templates are refused; everything else that the generator writes can be set.
                let multiline = matches!(&*error.reason, Reason::Multiline { .. });
                let template = matches!(&*error.reason, Reason::Expression { .. });
                let expected = (multiline && !settable) || (template && text[bytes.clone()].contains("{{"));
                prop_assert!(expected, "{}\n{}", error, text);
                return Ok(());
            }
        };
        let Some(changed) = edit.bytes else {
            prop_assert!(!edit.values[0].changed);
            return Ok(());
        };
        prop_assert_eq!(&changed[..bytes.start], &old[..bytes.start], "{}", text);
        let tail = old.len() - bytes.end;
        prop_assert!(changed.len() >= bytes.start + tail);
        prop_assert_eq!(&changed[changed.len() - tail..], &old[bytes.end..], "{}", text);
        // The same edit again finds the value, through every byte that is there now.
        let again = set("x.yaml", &changed, &Document::Any, path, &new, IfMissing::Refuse).unwrap();
        prop_assert_eq!(again.bytes, None);
        prop_assert_eq!(again.values[0].old.as_deref().unwrap_or_default(), new.as_str());
        // And the other way to get there, by asking for each scalar, does the same.
        let wanted = edit.values[0].position;
        let mut seen = 0;
        let each = set_each("x.yaml", old, &mut |leaf| {
            let here = same(&leaf.path, path);
            seen += usize::from(here);
            here.then(|| new.clone())
        }).unwrap();
        if seen == 1 {
            prop_assert_eq!(each.values[0].position, wanted);
            prop_assert_eq!(each.bytes, Some(changed));
        }
    }
}

/// Leaves name list items by their `name` where they have one; the generator's items have none.
fn same(a: &PropertyPath, b: &PropertyPath) -> bool {
    a == b
}
