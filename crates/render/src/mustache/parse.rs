//! From text to tokens, with the quirks of mustache.js 2.2.1's `parseTemplate`.

use std::fmt;
use std::ops::Range;

use manifest::yaml::position;

use super::lookup::Name;
use super::template::{Tag, Token};
use crate::js::is_space;

/// How deep sections may be nested; mustache.js overflows its stack some thousands deeper.
const DEEPEST: usize = 200;

/// A place in a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line, counted from 1.
    pub line: u32,
    /// Column in characters, counted from 1.
    pub column: u32,
    /// Offset in UTF-16 units, which is how mustache.js counts.
    pub utf16: usize,
}

impl Position {
    /// The place of a byte offset.
    pub fn of(text: &str, offset: usize) -> Position {
        let (line, column) = position(text, offset);
        Position { line, column, utf16: text[..offset].encode_utf16().count() }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// A template that is not Mustache.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The file ends inside a tag.
    #[error("the tag that starts here is never closed: missing `{closing}`")]
    UnclosedTag {
        /// Where the tag starts.
        at: Position,
        /// The delimiter that is missing.
        closing: String,
        /// Where mustache.js notices: the end of the template, in UTF-16 units.
        noticed: usize,
    },
    /// A section is still open at the end of the file.
    #[error("the section that starts here is never closed: missing `/{name}`")]
    UnclosedSection {
        /// Where the section starts.
        at: Position,
        /// Its name.
        name: String,
        /// Where mustache.js notices: the end of the template, in UTF-16 units.
        noticed: usize,
    },
    /// A section is closed by another name.
    #[error("the section `{name}` of line {} is closed by another name: `/{found}`", opened.line)]
    MismatchedSection {
        /// Where the closing tag starts.
        at: Position,
        /// Where the section starts.
        opened: Position,
        /// The name of the section.
        name: String,
        /// The name in the closing tag.
        found: String,
    },
    /// A closing tag without a section.
    #[error("this closes a section that was never opened: `/{name}`")]
    UnopenedSection {
        /// Where the closing tag starts.
        at: Position,
        /// The name in the closing tag.
        name: String,
    },
    /// Sections are nested so deeply that rendering could exhaust the stack.
    #[error("sections are nested too deeply: more than {}", DEEPEST)]
    TooDeep {
        /// Where the section that is too much starts.
        at: Position,
    },
    /// A `{{=… …=}}` tag without two delimiters in it.
    #[error("delimiters are changed by two words with a space between them, as in `<% %>`; found: `{found}`")]
    InvalidDelimiters {
        /// Where the tag starts.
        at: Position,
        /// What stands between the equals signs.
        found: String,
    },
}

impl ParseError {
    /// Where to look in the template.
    pub fn position(&self) -> Position {
        match self {
            ParseError::UnclosedTag { at, .. }
            | ParseError::UnclosedSection { at, .. }
            | ParseError::MismatchedSection { at, .. }
            | ParseError::UnopenedSection { at, .. }
            | ParseError::TooDeep { at }
            | ParseError::InvalidDelimiters { at, .. } => *at,
        }
    }

    /// The message of mustache.js 2.2.1 for the same template.
    pub fn original(&self) -> String {
        match self {
            ParseError::UnclosedTag { noticed, .. } => format!("Unclosed tag at {noticed}"),
            ParseError::UnclosedSection { name, noticed, .. } => {
                format!("Unclosed section \"{name}\" at {noticed}")
            }
            ParseError::MismatchedSection { name, at, .. } => {
                format!("Unclosed section \"{name}\" at {}", at.utf16)
            }
            ParseError::UnopenedSection { name, at } => {
                format!("Unopened section \"{name}\" at {}", at.utf16)
            }
            ParseError::InvalidDelimiters { found, .. } => format!("Invalid tags: {found}"),
            ParseError::TooDeep { .. } => "Maximum call stack size exceeded".into(),
        }
    }
}

/// Splits a template into tokens; sections know where they end.
pub(super) fn parse(text: &str) -> Result<Vec<Token>, ParseError> {
    let mut parser = Parser {
        text,
        pos: 0,
        opening: "{{".into(),
        closing: "}}".into(),
        tokens: Vec::new(),
        blanks: Vec::new(),
        has_tag: false,
        has_more: false,
    };
    parser.run()?;
    Ok(squash(parser.tokens))
}

struct Parser<'t> {
    text: &'t str,
    pos: usize,
    opening: String,
    closing: String,
    tokens: Vec<Token>,
    /// The tokens of the current line that are nothing but white space.
    blanks: Vec<usize>,
    /// A tag starts on the current line.
    has_tag: bool,
    /// The current line has something beside white space and silent tags.
    has_more: bool,
}

impl Parser<'_> {
    fn run(&mut self) -> Result<(), ParseError> {
        let mut sections: Vec<(String, usize)> = Vec::new();
        while self.pos < self.text.len() {
            let start = self.pos;
            let end = self.find(&self.opening).unwrap_or(self.text.len());
            self.literal(start, end);
            self.pos = end;
            if end == self.text.len() {
                break;
            }
            self.pos += self.opening.len();
            self.skip_space();
            self.has_tag = true;
            self.tag(end, &mut sections)?;
        }
        match sections.pop() {
            None => Ok(()),
            Some((name, start)) => Err(ParseError::UnclosedSection {
                at: self.position(start),
                name,
                noticed: self.position(self.text.len()).utf16,
            }),
        }
    }

    /// Reads one tag whose opening delimiter stands at `start` and has been passed.
    fn tag(&mut self, start: usize, sections: &mut Vec<(String, usize)>) -> Result<(), ParseError> {
        let sigil = self.rest().chars().next().filter(|sigil| "#^/>{&=!".contains(*sigil));
        self.pos += usize::from(sigil.is_some());
        self.skip_space();
        let content = match sigil {
            Some('=') => {
                let content = self.until("=");
                self.skip_space_and("=");
                self.until_closing();
                content
            }
            Some('{') => {
                let curly = format!("}}{}", self.closing);
                let content = self.until(&curly);
                self.skip_space_and("}");
                self.until_closing();
                content
            }
            Some(_) | None => self.until_closing(),
        };
        if !self.skip_space_and(&self.closing.clone()) {
            return Err(ParseError::UnclosedTag {
                at: self.position(start),
                closing: self.closing.clone(),
                noticed: self.position(self.text.len()).utf16,
            });
        }
        let name = self.text[content].to_owned();
        let tag = || Tag { name: Name::new(&name), text: name.as_str().into(), span: start..self.pos };
        match sigil {
            Some('#' | '^') => {
                let token = if sigil == Some('#') {
                    Token::Section { tag: tag(), end: 0 }
                } else {
                    Token::Inverted { tag: tag(), end: 0 }
                };
                self.tokens.push(token);
                if sections.len() == DEEPEST {
                    return Err(ParseError::TooDeep { at: self.position(start) });
                }
                sections.push((name, start));
            }
            Some('/') => {
                let Some((open, opened)) = sections.pop() else {
                    return Err(ParseError::UnopenedSection { at: self.position(start), name });
                };
                if open != name {
                    return Err(ParseError::MismatchedSection {
                        at: self.position(start),
                        opened: self.position(opened),
                        name: open,
                        found: name,
                    });
                }
                self.tokens.push(Token::Close { span: start..self.pos });
            }
            Some('>') => self.tokens.push(Token::Partial { tag: tag() }),
            Some('!') => self.tokens.push(Token::Comment { span: start..self.pos }),
            Some('=') => {
                let mut words = name.split(is_space).filter(|word| !word.is_empty());
                let (Some(opening), Some(closing)) = (words.next(), words.next()) else {
                    return Err(ParseError::InvalidDelimiters { at: self.position(start), found: name });
                };
                self.tokens.push(Token::Delimiters { span: start..self.pos });
                (self.opening, self.closing) = (opening.into(), closing.into());
            }
            Some(_) | None => {
                let token = match sigil {
                    None => Token::Escaped { tag: tag() },
                    Some(_) => Token::Raw { tag: tag() },
                };
                self.tokens.push(token);
                self.has_more = true;
            }
        }
        Ok(())
    }

    /// Splits literal text at line ends and keeps an eye on what is only white space.
    fn literal(&mut self, start: usize, end: usize) {
        let mut from = start;
        for line in self.text[start..end].split_inclusive('\n') {
            let blank_head = line.len() - line.trim_start_matches(is_space).len();
            let blank_tail =
                if blank_head == line.len() { 0 } else { line.len() - line.trim_end_matches(is_space).len() };
            let to = from + line.len();
            for (span, blank) in [
                (from..from + blank_head, true),
                (from + blank_head..to - blank_tail, false),
                (to - blank_tail..to, true),
            ] {
                if span.is_empty() {
                    continue;
                }
                if blank {
                    self.blanks.push(self.tokens.len());
                } else {
                    self.has_more = true;
                }
                self.tokens.push(Token::Text { span });
            }
            if line.ends_with('\n') {
                self.end_line();
            }
            from = to;
        }
    }

    /// Drops the white space, newline included, of a line that has silent tags and nothing else.
    /// The last line of a file without a newline never gets here: kept, as mustache.js keeps it.
    fn end_line(&mut self) {
        if self.has_tag && !self.has_more {
            for index in self.blanks.drain(..) {
                self.tokens[index] = Token::Text { span: 0..0 };
            }
        }
        self.blanks.clear();
        self.has_tag = false;
        self.has_more = false;
    }

    fn rest(&self) -> &str {
        &self.text[self.pos..]
    }

    fn find(&self, needle: &str) -> Option<usize> {
        self.rest().find(needle).map(|at| self.pos + at)
    }

    fn skip_space(&mut self) {
        self.pos = self.text.len() - self.rest().trim_start_matches(is_space).len();
    }

    /// Passes `\s*needle` if it stands here.
    fn skip_space_and(&mut self, needle: &str) -> bool {
        match self.rest().trim_start_matches(is_space).strip_prefix(needle) {
            Some(rest) => {
                self.pos = self.text.len() - rest.len();
                true
            }
            None => false,
        }
    }

    /// Passes everything before `\s*needle`, or to the end of the template.
    fn until(&mut self, needle: &str) -> Range<usize> {
        let start = self.pos;
        self.pos = match self.find(needle) {
            Some(at) => start + self.text[start..at].trim_end_matches(is_space).len(),
            None => self.text.len(),
        };
        start..self.pos
    }

    fn until_closing(&mut self) -> Range<usize> {
        let closing = self.closing.clone();
        self.until(&closing)
    }

    fn position(&self, offset: usize) -> Position {
        Position::of(self.text, offset)
    }
}

/// Joins neighbouring text and tells every section where it ends.
fn squash(tokens: Vec<Token>) -> Vec<Token> {
    let mut squashed: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut open: Vec<usize> = Vec::new();
    for token in tokens {
        match &token {
            Token::Text { span } if span.is_empty() => continue,
            Token::Text { span } => {
                if let Some(Token::Text { span: last }) = squashed.last_mut()
                    && last.end == span.start
                {
                    last.end = span.end;
                    continue;
                }
            }
            Token::Section { .. } | Token::Inverted { .. } => open.push(squashed.len()),
            Token::Close { .. } => {
                let at = squashed.len();
                if let Some(Token::Section { end, .. } | Token::Inverted { end, .. }) =
                    open.pop().and_then(|index| squashed.get_mut(index))
                {
                    *end = at;
                }
            }
            Token::Escaped { .. }
            | Token::Raw { .. }
            | Token::Partial { .. }
            | Token::Comment { .. }
            | Token::Delimiters { .. } => {}
        }
        squashed.push(token);
    }
    squashed
}
