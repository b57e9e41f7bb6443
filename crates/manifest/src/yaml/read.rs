//! From text to spanned nodes, over the events of granit-parser.

// The parser's enums are open-ended; what is not named here is an error.
#![allow(clippy::wildcard_enum_match_arm)]

use std::borrow::Cow;
use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span as Place, StructureStyle, Tag};

use super::error::{Problem, YamlError, position};
use super::js_block::{self, Parent};
use super::js_list::{self, Open};
use super::js_quoted;
use super::mend;
use super::node::{Document, Entry, Map, Node, Span, Style, Value};
use super::scalar::{Scalar, Schema, integer_like};

/// How deep values may nest. Manifests with CRDs reach about 40.
pub const MAX_DEPTH: usize = 128;

/// How many nodes all aliases of one stream may expand to.
pub const MAX_NODES_FROM_ALIASES: usize = 250_000;

/// Reads all documents of `text`. `file` only names it in errors.
///
/// # Errors
/// The first thing that is wrong, with its place.
pub fn read(text: &str, file: &str, schema: Schema) -> Result<Vec<Document>, YamlError> {
    refuse_control_characters(text, file)?;
    match read_events(text, file, schema) {
        Err(error) => mend::mend(text, error, schema, &|mended| read_events(mended, file, schema)),
        result => result,
    }
}

fn read_events(text: &str, file: &str, schema: Schema) -> Result<Vec<Document>, YamlError> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut reader = Reader {
        text,
        file,
        schema,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        expanded: 0,
        parent: Parent::Document,
        before: 0,
        last: 0,
    };
    reader.stream()
}

/// Reads text that holds one document at most; no document at all is null.
///
/// # Errors
/// As [`read`], and [`Problem::SecondDocument`].
pub fn read_one(text: &str, file: &str, schema: Schema) -> Result<Document, YamlError> {
    let mut documents = read(text, file, schema)?;
    if let Some(second) = documents.get(1) {
        let span = &second.root.span;
        return Err(YamlError {
            file: file.to_owned(),
            line: span.line,
            column: span.column,
            offset: span.bytes.start,
            problem: Problem::SecondDocument,
        });
    }
    Ok(documents.pop().unwrap_or(Document {
        index: 0,
        root: Node {
            value: Value::Scalar(Scalar::Null),
            span: Span { bytes: 0..0, line: 1, column: 1 },
            style: Style::Plain,
        },
    }))
}

/// The parser lets them pass; `kubectl` and js-yaml do not.
fn refuse_control_characters(text: &str, file: &str) -> Result<(), YamlError> {
    let bad = |character: char| {
        matches!(character,
            '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}'
            | '\u{fffe}' | '\u{ffff}')
    };
    // Only ASCII controls, C1 controls (0xc2 first) and U+FFFE/F (0xef first) are bad.
    let suspicious = |byte: u8| matches!(byte, 0..=8 | 0xb | 0xc | 0xe..=0x1f | 0x7f | 0xc2 | 0xef);
    if !text.bytes().any(suspicious) {
        return Ok(());
    }
    match text.char_indices().find(|(_, character)| bad(*character)) {
        None => Ok(()),
        Some((offset, character)) => {
            let (line, column) = position(text, offset);
            let problem = Problem::ControlCharacter(character);
            Err(YamlError { file: file.to_owned(), line, column, offset, problem })
        }
    }
}

struct Anchor {
    node: Node,
    size: usize,
    depth: usize,
}

struct Reader<'t> {
    text: &'t str,
    file: &'t str,
    schema: Schema,
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    anchors: HashMap<usize, Anchor>,
    expanded: usize,
    /// The block collection whose item is read next.
    parent: Parent,
    /// Where the event before the current one ended.
    before: usize,
    /// Where the current event ended.
    last: usize,
}

/// A node with what bounds need: nodes inside, and levels below.
struct Built {
    node: Node,
    size: usize,
    height: usize,
    open: Open,
}

impl<'t> Reader<'t> {
    fn stream(&mut self) -> Result<Vec<Document>, YamlError> {
        let mut documents = Vec::new();
        while let Some((event, place)) = self.next()? {
            match event {
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => break,
                other => {
                    self.parent = Parent::Document;
                    let built = self.node(other, place, 0)?;
                    documents.push(Document { index: documents.len(), root: built.node });
                    self.anchors.clear();
                }
            }
        }
        Ok(documents)
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Place)>, YamlError> {
        match self.parser.next() {
            None => Ok(None),
            Some(Ok(next)) => {
                self.before = self.last;
                self.last = next.1.end.byte_offset().unwrap_or(self.last);
                Ok(Some(next))
            }
            Some(Err(error)) => {
                let mark = error.marker();
                let problem = match error.kind() {
                    granit_parser::ErrorKind::RecursionLimitExceeded => Problem::TooDeep,
                    _ => Problem::Syntax(error.info()),
                };
                Err(self.error_at(mark.line(), mark.col(), mark.byte_offset().unwrap_or(0), problem))
            }
        }
    }

    fn must_next(&mut self) -> Result<(Event<'t>, Place), YamlError> {
        match self.next()? {
            Some(next) => Ok(next),
            None => Err(self.error_at(1, 0, self.text.len(), Problem::Syntax("unexpected end".to_owned()))),
        }
    }

    fn error_at(&self, line: usize, col: usize, offset: usize, problem: Problem) -> YamlError {
        YamlError {
            file: self.file.to_owned(),
            line: line.max(1) as u32,
            column: col as u32 + 1,
            offset,
            problem,
        }
    }

    fn error(&self, span: &Span, problem: Problem) -> YamlError {
        self.error_at(span.line as usize, span.column as usize - 1, span.bytes.start, problem)
    }

    /// An error about the tag of a node, which the parser does not count as a part of the node.
    fn error_at_tag(&self, place: &Place, span: &Span, problem: Problem) -> YamlError {
        match place.tag_start() {
            Some(at) => {
                self.error_at(at.line(), at.col(), at.byte_offset().unwrap_or(span.bytes.start), problem)
            }
            None => self.error(span, problem),
        }
    }

    fn span(place: &Place) -> Span {
        let start = place.start.byte_offset().unwrap_or(0);
        let end = place.end.byte_offset().unwrap_or(start);
        Span {
            bytes: start..end.max(start),
            line: place.start.line().max(1) as u32,
            column: place.start.col() as u32 + 1,
        }
    }

    fn node(&mut self, event: Event<'t>, place: Place, depth: usize) -> Result<Built, YamlError> {
        let span = Self::span(&place);
        if depth > MAX_DEPTH {
            return Err(self.error(&span, Problem::TooDeep));
        }
        let (built, anchor) = match event {
            Event::Alias(id) => return self.alias(id, &span, depth),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let block = matches!(style, ScalarStyle::Literal | ScalarStyle::Folded);
                let text = match self.schema {
                    Schema::JsYaml3 if block => {
                        js_block::read(self.text, self.before, self.parent).map_or(text, Cow::Owned)
                    }
                    Schema::JsYaml3 if !plain => {
                        js_quoted::read(span.text(self.text)).map_or(text, Cow::Owned)
                    }
                    Schema::JsYaml3 | Schema::Kubernetes | Schema::Core => text,
                };
                let scalar = match &tag {
                    None if plain => self.schema.resolve(text),
                    None => Scalar::Text(text.into_owned()),
                    Some(tag) => self
                        .schema
                        .resolve_tagged(tag.handle(), tag.suffix(), text, plain)
                        .map_err(|problem| self.error_at_tag(&place, &span, problem))?,
                };
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Style::Quoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let node = Node { value: Value::Scalar(scalar), span, style };
                (Built { node, size: 1, height: 0, open: None }, anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["seq", "omap"], &place, &span)?;
                (self.list(span, shape(style), depth)?, anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), &["map", "set"], &place, &span)?;
                (self.map(span, shape(style), depth)?, anchor)
            }
            other => {
                let problem = Problem::Syntax(format!("unexpected {other:?}"));
                return Err(self.error(&span, problem));
            }
        };
        if anchor != 0 {
            let copy = Anchor { node: built.node.clone(), size: built.size, depth: built.height };
            self.anchors.insert(anchor, copy);
        }
        Ok(built)
    }

    /// js-yaml knows few tags for lists and maps. `!!pairs` is one of them, and makes something else of a list of maps:
    /// better an error than another value.
    fn refuse_tag(
        &self,
        tag: Option<&Tag>,
        known: &[&str],
        place: &Place,
        span: &Span,
    ) -> Result<(), YamlError> {
        let Some(tag) = tag.filter(|_| self.schema == Schema::JsYaml3) else { return Ok(()) };
        let tag = format!("{}{}", tag.handle(), tag.suffix());
        let name = tag.strip_prefix("tag:yaml.org,2002:");
        if tag == "!" || name.is_some_and(|name| known.contains(&name)) {
            return Ok(());
        }
        let problem = Problem::UnknownTag(name.map_or(tag.clone(), |name| format!("!!{name}")));
        Err(self.error_at_tag(place, span, problem))
    }

    fn alias(&mut self, id: usize, span: &Span, depth: usize) -> Result<Built, YamlError> {
        let Some(anchor) = self.anchors.get(&id) else {
            // The parser knows the name, so the anchor is one whose node is still open.
            return Err(self.error(span, Problem::Recursive));
        };
        if depth + anchor.depth > MAX_DEPTH {
            return Err(self.error(span, Problem::TooDeep));
        }
        let expanded = self.expanded + anchor.size;
        if expanded > MAX_NODES_FROM_ALIASES {
            return Err(self.error(span, Problem::Bomb));
        }
        self.expanded = expanded;
        Ok(Built { node: anchor.node.clone(), size: anchor.size, height: anchor.depth, open: None })
    }

    fn list(&mut self, mut span: Span, style: Style, depth: usize) -> Result<Built, YamlError> {
        let (mut list, mut size, mut height, mut open) = (Vec::<Node>::new(), 1, 0, Open::None);
        let swallows = self.schema == Schema::JsYaml3 && style == Style::Block;
        loop {
            let (event, place) = self.must_next()?;
            if event == Event::SequenceEnd {
                span.bytes.end = Self::span(&place).bytes.end.max(span.bytes.start);
                break;
            }
            self.parent = Parent::List;
            let empty = swallows
                && place.is_empty()
                && matches!(&event, Event::Scalar(_, ScalarStyle::Plain, 0, None));
            let built = self.node(event, place, depth + 1)?;
            size += built.size;
            let into = open.unwrap_or(0);
            if depth + into + 1 + built.height > MAX_DEPTH {
                return Err(self.error(&built.node.span, Problem::TooDeep));
            }
            height = height.max(into + 1 + built.height);
            open = match swallows {
                true if empty => Some(into),
                true => built.open.map(|levels| into + 1 + levels),
                false => None,
            };
            match list.last_mut() {
                Some(last) if into > 0 => js_list::feed(last, into - 1, built.node),
                Some(_) | None => list.push(built.node),
            }
        }
        Ok(Built { node: Node { value: Value::List(list), span, style }, size, height, open })
    }

    fn map(&mut self, mut span: Span, style: Style, depth: usize) -> Result<Built, YamlError> {
        let mut pairs = Pairs::default();
        let (mut size, mut height, mut open) = (1, 0, Open::None);
        loop {
            let (event, place) = self.must_next()?;
            if event == Event::MappingEnd {
                span.bytes.end = Self::span(&place).bytes.end.max(span.bytes.start);
                break;
            }
            let merge = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<");
            let nested = matches!(&event, Event::MappingStart(StructureStyle::Flow, ..));
            let key = self.node(event, place, depth + 1)?.node;
            let Value::Scalar(scalar) = &key.value else {
                let template = nested && key.span.text(self.text).starts_with('{') && style == Style::Flow;
                return Err(self.error(&key.span, Problem::KeyNotScalar { template }));
            };
            if style == Style::Block && self.tab_before(key.span.bytes.start) {
                return Err(self.error(&key.span, Problem::Syntax("a tab cannot indent".to_owned())));
            }
            let name = scalar.to_key(self.schema);
            let (event, place) = self.must_next()?;
            self.parent = Parent::Map(i64::from(key.span.column) - 1);
            let value = self.node(event, place, depth + 1)?;
            size += value.size + 1;
            height = height.max(value.height + 1);
            open = value.open.filter(|_| !merge && style == Style::Block).map(|levels| levels + 1);
            if merge {
                self.merge(&mut pairs, value.node)?;
            } else {
                self.insert(&mut pairs, name, key.span, value.node)?;
            }
        }
        let mut entries = pairs.entries;
        if self.schema == Schema::JsYaml3 {
            integer_keys_first(&mut entries);
        }
        Ok(Built { node: Node { value: Value::Map(Map { entries }), span, style }, size, height, open })
    }

    /// Whether a tab is part of the indentation of the line at `offset`.
    fn tab_before(&self, offset: usize) -> bool {
        let before = self.text.get(..offset).unwrap_or_default();
        let line = &before[before.rfind(['\n', '\r']).map_or(0, |at| at + 1)..];
        line.bytes().take_while(|byte| matches!(byte, b' ' | b'\t')).any(|byte| byte == b'\t')
    }

    fn insert(&self, pairs: &mut Pairs, key: String, key_span: Span, value: Node) -> Result<(), YamlError> {
        match pairs.find(&key) {
            None => pairs.push(Entry { key, key_span, value }, false),
            Some(at) if pairs.merged[at] => {
                pairs.entries[at] = Entry { key, key_span, value };
                pairs.merged[at] = false;
            }
            Some(at) => {
                let first = &pairs.entries[at].key_span;
                let (first_line, first_column) = (first.line, first.column);
                return Err(self.error(&key_span, Problem::DuplicateKey { key, first_line, first_column }));
            }
        }
        Ok(())
    }

    /// An explicit key beats a merged one wherever it stands, and the first of several sources wins.
    fn merge(&self, pairs: &mut Pairs, source: Node) -> Result<(), YamlError> {
        let kind = source.kind();
        match source.value {
            Value::Map(map) => {
                for entry in map {
                    if pairs.find(&entry.key).is_none() {
                        pairs.push(entry, true);
                    }
                }
                Ok(())
            }
            Value::List(list) => {
                for node in list {
                    if node.as_map().is_none() {
                        return Err(self.error(&node.span, Problem::BadMerge(node.kind())));
                    }
                    self.merge(pairs, node)?;
                }
                Ok(())
            }
            Value::Scalar(_) => Err(self.error(&source.span, Problem::BadMerge(kind))),
        }
    }
}

fn shape(style: StructureStyle) -> Style {
    match style {
        StructureStyle::Flow => Style::Flow,
        StructureStyle::Block => Style::Block,
    }
}

/// The order in which JavaScript lists the properties of an object.
fn integer_keys_first(entries: &mut [Entry]) {
    if entries.iter().any(|entry| integer_like(&entry.key).is_some()) {
        entries.sort_by_key(|entry| integer_like(&entry.key).map_or((1, 0), |number| (0, number)));
    }
}

/// Pairs of a mapping under construction. Small ones are searched, large ones indexed.
#[derive(Default)]
struct Pairs {
    entries: Vec<Entry>,
    merged: Vec<bool>,
    index: HashMap<String, usize>,
}

const INDEX_FROM: usize = 24;

impl Pairs {
    fn find(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            self.entries.iter().position(|entry| entry.key == key)
        } else {
            self.index.get(key).copied()
        }
    }

    fn push(&mut self, entry: Entry, merged: bool) {
        if !self.index.is_empty() {
            self.index.insert(entry.key.clone(), self.entries.len());
        } else if self.entries.len() == INDEX_FROM {
            self.index = self.entries.iter().enumerate().map(|(at, entry)| (entry.key.clone(), at)).collect();
            self.index.insert(entry.key.clone(), self.entries.len());
        }
        self.entries.push(entry);
        self.merged.push(merged);
    }
}
