//! The check of the output at the speed of reading it, for the YAML that manifests are almost always made of.
//!
//! This is a recogniser of a part of YAML that all parsers agree on: block maps and lists by indentation, plain, quoted
//! and block scalars, small flow collections in one line. What it accepts, the full parser accepts too and finds the same
//! objects in (a property test holds it to that); whatever it is not sure of, it leaves to the full parser.

mod value;

use manifest::ObjectRef;

use super::{Object, acceptable_name, is_label};
use value::{Flow, identity, key_of, value_end};

/// The objects of `text`, or `None` if the full parser must look.
pub(super) fn check(text: &str) -> Option<Vec<Object>> {
    // By the block and without a way out in between, so that the compiler looks at many bytes at once.
    let plain = |block: &[u8]| block.iter().fold(true, |plain, byte| plain & is_plain_byte(*byte));
    if !text.as_bytes().chunks(256).all(plain) {
        return None;
    }
    let mut reader =
        Reader { objects: Vec::new(), stack: Vec::new(), keys: Vec::new(), document: Document::default() };
    let mut lines = Lines { text, at: 0, number: 0 };
    while let Some(line) = lines.next() {
        reader.line(line, &mut lines)?;
    }
    reader.end_document()?;
    Some(reader.objects)
}

/// Whether a word of `text` is a value, or a part of one, of a line `key: value` that ends in its line and does not say
/// which object this is. What the reader knows after such a line is the same whatever the value is; in a block scalar the
/// line is text, whatever it says.
pub(super) fn is_harmless(text: &str, word: &std::ops::Range<usize>) -> bool {
    let bytes = text.as_bytes();
    if !bytes[word.clone()].iter().all(|byte| *byte != b'\n' && is_plain_byte(*byte)) {
        return false;
    }
    let start = bytes[..word.start].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let end = bytes[word.end..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| word.end + at);
    let line = text[start..end].trim_end_matches(' ');
    let mut rest = line.trim_start_matches(' ');
    while let Some(after) = rest.strip_prefix("- ") {
        rest = after.trim_start_matches(' ');
    }
    let Some((key, value)) = key_of(rest) else { return false };
    let says_which = matches!(key, "apiVersion" | "kind" | "metadata" | "name" | "namespace");
    // A value that is not there is waited for in the next line; a block takes lines.
    let ends_here = !value.is_empty() && !value.starts_with(['|', '>']);
    let is_in_value = start + line.len() - value.len() <= word.start;
    let mut none = Lines { text: "", at: 0, number: 0 };
    !says_which && ends_here && is_in_value && value_end(value, 0, &mut none).is_some()
}

/// Printable ASCII, line feeds, and the parts of letters outside ASCII; not those that begin control characters,
/// line separators or byte order marks.
fn is_plain_byte(byte: u8) -> bool {
    matches!(byte, b'\n' | b' '..=b'~' | 0x80..) && !matches!(byte, 0xc2 | 0xe2 | 0xef)
}

struct Lines<'t> {
    text: &'t str,
    at: usize,
    number: u32,
}

impl<'t> Lines<'t> {
    fn peek(&self) -> Option<&'t str> {
        let rest = self.text.get(self.at..).filter(|rest| !rest.is_empty())?;
        Some(rest.split_once('\n').map_or(rest, |(line, _)| line))
    }

    fn next(&mut self) -> Option<&'t str> {
        let line = self.peek()?;
        self.at += line.len() + 1;
        self.number += 1;
        Some(line)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Map,
    List,
}

/// What a map is, as far as identity goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Root,
    Metadata,
    Other,
}

struct Frame {
    indent: usize,
    shape: Shape,
    role: Role,
    /// The last key, or dash, has no value yet.
    pending: bool,
    /// Where the keys of this map begin in [`Reader::keys`].
    keys: usize,
}

#[derive(Default)]
struct Document<'t> {
    has_root: bool,
    line: u32,
    api_version: Option<&'t str>,
    kind: Option<&'t str>,
    name: Option<&'t str>,
    namespace: Option<&'t str>,
    has_metadata: bool,
}

struct Reader<'t> {
    objects: Vec<Object>,
    stack: Vec<Frame>,
    keys: Vec<&'t str>,
    document: Document<'t>,
}

const MAX_DEPTH: usize = 40;
const MAX_KEYS: usize = 200;

impl<'t> Reader<'t> {
    fn line(&mut self, line: &'t str, lines: &mut Lines<'t>) -> Option<()> {
        let trimmed = line.trim_start_matches(' ');
        if trimmed.is_empty() || trimmed.starts_with('#') {
            return Some(());
        }
        let mut column = line.len() - trimmed.len();
        let mut rest = trimmed.trim_end_matches(' ');
        if column == 0 && matches!(rest.as_bytes()[0], b'%' | b'-' | b'.') {
            if rest == "---" {
                return self.end_document();
            }
            if rest.starts_with(['%', '.']) || rest.starts_with("---") {
                return None;
            }
        }
        let mut after_dash = false;
        while rest == "-" || rest.starts_with("- ") {
            after_dash = true;
            self.dash(column)?;
            let after = rest[1..].trim_start_matches(' ');
            column += rest.len() - after.len();
            rest = after;
            if rest.is_empty() || rest.starts_with('#') {
                return Some(());
            }
        }
        match key_of(rest) {
            Some((key, value)) => self.key(column, key, value, lines),
            None if !after_dash => None,
            None => {
                let top = self.stack.last_mut()?;
                if top.shape == Shape::Map || !top.pending {
                    return None;
                }
                top.pending = false;
                let parent = top.indent;
                value_end(rest, parent, lines)
            }
        }
    }

    fn dash(&mut self, column: usize) -> Option<()> {
        while self.stack.last().is_some_and(|top| top.indent > column) {
            self.pop();
        }
        let top = self.stack.last_mut()?;
        let fits = match top.shape {
            Shape::List => top.indent == column || top.pending,
            Shape::Map => top.pending,
        };
        if !fits {
            return None;
        }
        if top.shape == Shape::List && top.indent == column {
            top.pending = true;
            return Some(());
        }
        top.pending = false;
        self.push(column, Shape::List, Role::Other, true)
    }

    fn key(&mut self, column: usize, key: &'t str, value: &'t str, lines: &mut Lines<'t>) -> Option<()> {
        // A list may stand at the indentation of the key that it belongs to; the next key ends it.
        let ends = |top: &Frame| top.indent > column || (top.shape == Shape::List && top.indent == column);
        while self.stack.last().is_some_and(ends) {
            self.pop();
        }
        match self.stack.last_mut() {
            None if self.document.has_root => return None,
            None => {
                self.document.has_root = true;
                self.document.line = lines.number;
                self.push(column, Shape::Map, Role::Root, false)?;
            }
            Some(top) if top.shape == Shape::Map && top.indent == column => {}
            Some(top) if top.pending => {
                top.pending = false;
                let is_metadata = top.role == Role::Root && self.keys.last() == Some(&"metadata");
                let role = if is_metadata { Role::Metadata } else { Role::Other };
                self.push(column, Shape::Map, role, false)?;
            }
            Some(_) => return None,
        }
        let top = self.stack.last_mut()?;
        let (first, role, parent) = (top.keys, top.role, top.indent);
        let known = &self.keys[first..];
        if known.len() >= MAX_KEYS || known.contains(&key) {
            return None;
        }
        self.keys.push(key);
        top.pending = value.is_empty();
        if value.is_empty() {
            if role == Role::Root && key == "metadata" {
                self.document.has_metadata = true;
            }
            return Some(());
        }
        match (role, key) {
            (Role::Root, "apiVersion") => self.document.api_version = Some(identity(value)?),
            (Role::Root, "kind") => self.document.kind = Some(identity(value)?),
            (Role::Metadata, "name") => self.document.name = Some(identity(value)?),
            (Role::Metadata, "namespace") => self.document.namespace = Some(identity(value)?),
            // A flow map, or nothing that this reader would understand.
            (Role::Root, "metadata") => self.flow_metadata(value)?,
            _ => value_end(value, parent, lines)?,
        }
        Some(())
    }

    fn flow_metadata(&mut self, value: &'t str) -> Option<()> {
        let mut flow = Flow::new(value);
        flow.map(0)?;
        flow.end()?;
        self.document.has_metadata = true;
        for (key, value) in flow.pairs {
            match key {
                "name" => self.document.name = Some(identity(value)?),
                "namespace" => self.document.namespace = Some(identity(value)?),
                _ => {}
            }
        }
        Some(())
    }

    fn push(&mut self, indent: usize, shape: Shape, role: Role, pending: bool) -> Option<()> {
        if self.stack.len() >= MAX_DEPTH {
            return None;
        }
        self.stack.push(Frame { indent, shape, role, pending, keys: self.keys.len() });
        Some(())
    }

    fn pop(&mut self) {
        if let Some(frame) = self.stack.pop() {
            self.keys.truncate(frame.keys);
        }
    }

    fn end_document(&mut self) -> Option<()> {
        self.stack.clear();
        self.keys.clear();
        let document = std::mem::take(&mut self.document);
        if !document.has_root {
            return Some(());
        }
        let (api_version, kind) = (document.api_version?, document.kind?);
        let name = document.name?;
        if !document.has_metadata || kind == "List" || acceptable_name(api_version, kind, name).is_err() {
            return None;
        }
        if document.namespace.is_some_and(|namespace| !is_label(namespace)) {
            return None;
        }
        self.objects.push(Object {
            name: ObjectRef {
                api_version: api_version.to_owned(),
                kind: kind.to_owned(),
                namespace: document.namespace.map(str::to_owned),
                name: name.to_owned(),
            },
            line: document.line,
        });
        Some(())
    }
}
