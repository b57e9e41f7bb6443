//! A YAML stream in which every node knows its bytes.

use std::{collections::BTreeMap, ops::Range};

use granit_parser::{Event, Parser, ScalarStyle, Span, StructureStyle};

use super::refusal::{Position, Reason, Why};

/// All documents of a file, with what is not data: comments, and which anchors are used.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) documents: Vec<Node>,
    pub(super) comments: Vec<Comment>,
    /// Anchor id to the position of the first alias that uses it.
    pub(super) used: BTreeMap<usize, Position>,
}

#[derive(Debug)]
pub(super) struct Comment {
    pub(super) line: usize,
    pub(super) start: usize,
    /// Without the `#`.
    pub(super) text: String,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// Bytes of the node in the file, without tag and anchor; only its start for a collection.
    pub(super) bytes: Range<usize>,
    pub(super) position: Position,
    pub(super) tag: Option<String>,
    pub(super) anchor: Option<(usize, String)>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Scalar { value: String, style: ScalarStyle },
    List { items: Vec<Node> },
    Mapping { entries: Vec<(Node, Node)>, flow: bool },
    Alias { anchor: usize, defined: Position },
}

impl Kind {
    /// What a user calls it.
    pub(super) fn noun(&self) -> &'static str {
        match self {
            Kind::Scalar { .. } => "a single value",
            Kind::List { .. } => "a list",
            Kind::Mapping { .. } => "a mapping",
            Kind::Alias { .. } => "an alias",
        }
    }
}

impl Node {
    /// The text of a scalar, as a YAML reader sees it.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { value, .. } => Some(if self.is_empty() { "" } else { value }),
            Kind::List { .. } | Kind::Mapping { .. } | Kind::Alias { .. } => None,
        }
    }

    /// Nothing was written where this node is: `key:` alone.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && matches!(self.kind, Kind::Scalar { style: ScalarStyle::Plain, .. })
    }

    /// The entry of a mapping with this key, and its place in the mapping.
    pub(super) fn entry(&self, key: &str) -> Option<(usize, &(Node, Node))> {
        match &self.kind {
            Kind::Mapping { entries, .. } => {
                entries.iter().enumerate().find(|(_, (k, _))| k.text() == Some(key))
            }
            Kind::List { .. } | Kind::Scalar { .. } | Kind::Alias { .. } => None,
        }
    }

    /// The text of the scalar that a mapping holds under this key.
    pub(super) fn get_text(&self, key: &str) -> Option<&str> {
        self.entry(key).and_then(|(_, (_, value))| value.text())
    }
}

/// Reads every document of `text`; `base` is the offset of `text` in the file (3 after a byte order mark).
pub(super) fn read(text: &str, base: usize) -> Read<Stream> {
    let options = granit_parser::options! { emit_anchor_events: true };
    let mut events = Events {
        parser: Parser::new_from_str_with_options(text, options),
        base,
        comments: Vec::new(),
        used: BTreeMap::new(),
        anchors: BTreeMap::new(),
        pending: None,
    };
    let mut documents = Vec::new();
    while let Some((event, span)) = events.next()? {
        if matches!(event, Event::StreamEnd) {
            break;
        }
        if !matches!(event, Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd) {
            documents.push(events.node(event, span)?);
        }
    }
    Ok(Stream { documents, comments: events.comments, used: events.used })
}

type Read<T> = Result<T, Why>;

struct Events<'t> {
    parser: Parser<'t, granit_parser::StrInput<'t>>,
    base: usize,
    comments: Vec<Comment>,
    used: BTreeMap<usize, Position>,
    anchors: BTreeMap<usize, Position>,
    pending: Option<(Event<'t>, Span)>,
}

impl<'t> Events<'t> {
    /// The next event that is not a comment.
    fn next(&mut self) -> Read<Option<(Event<'t>, Span)>> {
        if let Some(event) = self.pending.take() {
            return Ok(Some(event));
        }
        loop {
            match self.parser.next_event() {
                None => return Ok(None),
                Some(Err(error)) => {
                    let marker = error.marker();
                    let position = Position { line: marker.line(), column: marker.col() + 1 };
                    return Err((Some(position), Reason::NotYaml { message: error.info() }));
                }
                Some(Ok((Event::Comment(text, _), span))) => self.comments.push(Comment {
                    line: span.start.line(),
                    start: self.bytes(&span).start,
                    text: text.into_owned(),
                }),
                Some(Ok(event)) => return Ok(Some(event)),
            }
        }
    }

    fn bytes(&self, span: &Span) -> Range<usize> {
        let range = span.byte_range().unwrap_or_default();
        range.start + self.base..range.end + self.base
    }

    // The parser's events are a non-exhaustive enum.
    #[allow(clippy::wildcard_enum_match_arm)]
    fn node(&mut self, event: Event<'t>, span: Span) -> Read<Node> {
        let position = Position { line: span.start.line(), column: span.start.col() + 1 };
        let tag = event.tag().map(ToString::to_string);
        let anchor = self.anchor()?;
        if let Some((id, _)) = anchor {
            self.anchors.insert(id, position);
        }
        let bytes = self.bytes(&span);
        let kind = match event {
            Event::Scalar(value, style, ..) => Kind::Scalar { value: value.into_owned(), style },
            Event::Alias(id) => {
                self.used.entry(id).or_insert(position);
                Kind::Alias { anchor: id, defined: self.anchors.get(&id).copied().unwrap_or(position) }
            }
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while let Some((event, span)) = self.until_end()? {
                    items.push(self.node(event, span)?);
                }
                Kind::List { items }
            }
            Event::MappingStart(style, ..) => {
                let entries = self.entries()?;
                Kind::Mapping { entries, flow: style == StructureStyle::Flow }
            }
            _ => {
                let message = "a value was expected".to_owned();
                return Err((Some(position), Reason::NotYaml { message }));
            }
        };
        Ok(Node { kind, bytes, position, tag, anchor })
    }

    fn entries(&mut self) -> Read<Vec<(Node, Node)>> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut seen: BTreeMap<String, Position> = BTreeMap::new();
        while let Some((event, span)) = self.until_end()? {
            let key = self.node(event, span)?;
            if let Some(text) = key.text()
                && let Some(first) = seen.insert(text.to_owned(), key.position)
            {
                let reason = Reason::DuplicateKey { key: text.to_owned(), first };
                return Err((Some(key.position), reason));
            }
            let Some((event, span)) = self.until_end()? else {
                return Err((
                    Some(key.position),
                    Reason::NotYaml { message: "a key without a value".into() },
                ));
            };
            entries.push((key, self.node(event, span)?));
        }
        Ok(entries)
    }

    /// The next event inside a collection; `None` at its end.
    fn until_end(&mut self) -> Read<Option<(Event<'t>, Span)>> {
        Ok(self.next()?.filter(|(event, _)| !matches!(event, Event::SequenceEnd | Event::MappingEnd)))
    }

    /// The anchor of the node that was just read: its event follows the node's.
    fn anchor(&mut self) -> Read<Option<(usize, String)>> {
        match self.next()? {
            Some((Event::Anchor(id, name), _)) => Ok(Some((id, name.into_owned()))),
            other => {
                self.pending = other;
                Ok(None)
            }
        }
    }
}

impl Stream {
    /// The comment that begins on `line` after byte `from`.
    pub(super) fn comment_after(&self, line: usize, from: usize) -> Option<&Comment> {
        self.comments.iter().find(|comment| comment.line == line && comment.start >= from)
    }
}
