//! A parsed template, and rendering it.

use std::ops::Range;

use super::data::{Data, Shape};
use super::lookup::{Derived, Found, Frame, Name};
use super::parse::{self, ParseError, Position};

/// A tag that names a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tag {
    /// The name, taken apart.
    pub name: Name,
    /// The name as written, trimmed.
    pub text: Box<str>,
    /// The bytes of the template from opening to closing delimiter.
    pub span: Range<usize>,
}

/// A piece of a template. Sections are flat: their content follows them up to their `Close`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Bytes of the template that are copied.
    Text {
        /// Which.
        span: Range<usize>,
    },
    /// `{{name}}`, escaped for HTML.
    Escaped {
        /// What to print.
        tag: Tag,
    },
    /// `{{{name}}}` or `{{&name}}`.
    Raw {
        /// What to print.
        tag: Tag,
    },
    /// `{{#name}}`.
    Section {
        /// What to go through.
        tag: Tag,
        /// The index of its `Close` token.
        end: usize,
    },
    /// `{{^name}}`.
    Inverted {
        /// What must be false or empty.
        tag: Tag,
        /// The index of its `Close` token.
        end: usize,
    },
    /// `{{/name}}`.
    Close {
        /// Its bytes.
        span: Range<usize>,
    },
    /// `{{>name}}`: always empty, kit registered no partials.
    Partial {
        /// The partial that is asked for.
        tag: Tag,
    },
    /// `{{! … }}`.
    Comment {
        /// Its bytes.
        span: Range<usize>,
    },
    /// `{{=<% %>=}}`.
    Delimiters {
        /// Its bytes.
        span: Range<usize>,
    },
}

/// Sees a rendering happen. All offsets are bytes; `out` ranges count from the start of the
/// output string that the caller gave.
pub trait Observer<V> {
    /// Bytes of the template were copied.
    fn text(&mut self, _template: &Range<usize>, _out: Range<usize>) {}

    /// A tag printed a value (or nothing, when it is missing).
    fn value(&mut self, _tag: &Tag, _found: Found<V>, _out: Range<usize>) {}

    /// A section asked for a value and went through its content so many times.
    fn section(&mut self, _tag: &Tag, _found: Found<V>, _times: usize) {}
}

/// Nobody watches.
impl<V> Observer<V> for () {}

/// A template that reaches into nothing, where the original threw.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// A plain name was looked up inside a `null` item of a list.
    #[error("cannot look up a name inside a list item that is null: `{name}`")]
    InsideNull {
        /// The name.
        name: String,
        /// Where the tag starts in the template.
        at: Position,
    },
    /// Nested sections multiply into more work than any manifest needs.
    #[error("the template does too much: stopped after {} steps and {} MB of output", MOST_STEPS, MOST_BYTES >> 20)]
    Runaway {
        /// The tag that was one too many.
        at: Position,
    },
}

/// Tokens rendered before a template is taken for a runaway; the largest real one needs thousands.
const MOST_STEPS: usize = 2_000_000;
/// Bytes written before a template is taken for a runaway; Kubernetes takes objects of about 1 MB.
const MOST_BYTES: usize = 64 << 20;

impl RenderError {
    /// Where to look in the template.
    pub fn position(&self) -> Position {
        match self {
            RenderError::InsideNull { at, .. } | RenderError::Runaway { at } => *at,
        }
    }
}

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: Box<str>,
    tokens: Vec<Token>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    /// Where mustache.js 2.2.1 throws: tags and sections that do not match up.
    pub fn parse(source: &str) -> Result<Template, ParseError> {
        Ok(Template { tokens: parse::parse(source)?, source: source.into() })
    }

    /// The text that was parsed.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The pieces, in order.
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }

    /// The line and column of a byte of the template.
    pub fn position(&self, offset: usize) -> Position {
        Position::of(&self.source, offset)
    }

    /// Appends the rendering of `view` to `out`.
    ///
    /// # Errors
    /// When a name is looked up inside `null`; `out` then holds what came before it.
    pub fn render<'a, V: Data<'a>>(
        &self,
        view: V,
        out: &mut String,
        observer: &mut impl Observer<V>,
    ) -> Result<(), RenderError> {
        let mut run = Run { template: self, limit: out.len() + MOST_BYTES, out, observer, steps: 0 };
        run.tokens(0, self.tokens.len(), &Frame { view: Found::Value(view), outer: None })
    }
}

/// One rendering under way.
struct Run<'r, O> {
    template: &'r Template,
    out: &'r mut String,
    observer: &'r mut O,
    steps: usize,
    limit: usize,
}

impl<O> Run<'_, O> {
    fn tokens<'a, V: Data<'a>>(
        &mut self,
        from: usize,
        to: usize,
        frame: &Frame<'_, V>,
    ) -> Result<(), RenderError>
    where
        O: Observer<V>,
    {
        let template = self.template;
        let mut index = from;
        while index < to {
            let start = self.out.len();
            match &template.tokens[index] {
                Token::Text { span } => {
                    self.bound(span.start)?;
                    self.out.push_str(&template.source[span.clone()]);
                    self.observer.text(span, start..self.out.len());
                }
                Token::Escaped { tag } => {
                    let found = self.lookup(frame, tag)?;
                    found.print(self.out);
                    escape_from(start, self.out);
                    self.observer.value(tag, found, start..self.out.len());
                }
                Token::Raw { tag } => {
                    let found = self.lookup(frame, tag)?;
                    found.print(self.out);
                    self.observer.value(tag, found, start..self.out.len());
                }
                Token::Section { tag, end } => {
                    let found = self.lookup(frame, tag)?;
                    self.observer.section(tag, found, times(found));
                    self.section(found, index + 1, *end, frame)?;
                    index = *end;
                }
                Token::Inverted { tag, end } => {
                    let found = self.lookup(frame, tag)?;
                    let enter = times(found) == 0;
                    self.observer.section(tag, found, enter.into());
                    if enter {
                        self.tokens(index + 1, *end, frame)?;
                    }
                    index = *end;
                }
                Token::Close { .. }
                | Token::Partial { .. }
                | Token::Comment { .. }
                | Token::Delimiters { .. } => {}
            }
            index += 1;
        }
        Ok(())
    }

    fn section<'a, V: Data<'a>>(
        &mut self,
        found: Found<V>,
        from: usize,
        to: usize,
        frame: &Frame<'_, V>,
    ) -> Result<(), RenderError>
    where
        O: Observer<V>,
    {
        if times(found) == 0 {
            return Ok(());
        }
        if let Found::Value(value) = found {
            let shape = value.shape();
            if let Shape::List(len) = shape {
                for index in 0..len {
                    let view = value.item(index).map_or(Found::Missing, Found::Value);
                    self.tokens(from, to, &Frame { view, outer: Some(frame) })?;
                }
                return Ok(());
            }
            if let Shape::Bool(_) = shape {
                return self.tokens(from, to, frame);
            }
        }
        self.tokens(from, to, &Frame { view: found, outer: Some(frame) })
    }

    fn lookup<'a, V: Data<'a>>(&mut self, frame: &Frame<'_, V>, tag: &Tag) -> Result<Found<V>, RenderError> {
        self.bound(tag.span.start)?;
        frame.lookup(&tag.name).map_err(|_inside_null| RenderError::InsideNull {
            name: tag.text.to_string(),
            at: self.template.position(tag.span.start),
        })
    }

    /// One more step, at this byte of the template, if there were not too many.
    fn bound(&mut self, at: usize) -> Result<(), RenderError> {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.out.len() > self.limit {
            return Err(RenderError::Runaway { at: self.template.position(at) });
        }
        Ok(())
    }
}

/// How many times a section over this value is gone through.
fn times<'a, V: Data<'a>>(found: Found<V>) -> usize {
    match found {
        Found::Value(value) => match value.shape() {
            Shape::List(len) => len,
            Shape::Null
            | Shape::Bool(_)
            | Shape::Number(_)
            | Shape::Text(_)
            | Shape::Date(_)
            | Shape::Map => found.is_true().into(),
        },
        Found::Derived(Derived::EmptyList) => 0,
        Found::Derived(_) | Found::Missing => found.is_true().into(),
    }
}

/// Escapes what was appended from `start` on, as `mustache.escape` does.
pub(crate) fn escape_from(start: usize, out: &mut String) {
    let special = |byte: u8| matches!(byte, b'&' | b'<' | b'>' | b'"' | b'\'' | b'/' | b'`' | b'=');
    let Some(first) = out.as_bytes()[start..].iter().position(|&byte| special(byte)) else {
        return;
    };
    let tail = out.split_off(start + first);
    for c in tail.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '/' => out.push_str("&#x2F;"),
            '`' => out.push_str("&#x60;"),
            '=' => out.push_str("&#x3D;"),
            other => out.push(other),
        }
    }
}
