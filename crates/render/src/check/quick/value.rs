//! Keys and values of the YAML that all parsers agree on: where one ends, and what it says.

use manifest::yaml::{Scalar, Schema};

use super::Lines;

/// `key: value` taken apart; the value is empty if there is none. `None` if it does not begin with a plain key that is
/// text to every reader.
pub(super) fn key_of(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    if !bytes.first()?.is_ascii_alphabetic() {
        return None;
    }
    let end = bytes.iter().position(|byte| !is_key_byte(*byte))?;
    if bytes[end] != b':' || end > 256 {
        return None;
    }
    let value = &text[end + 1..];
    if !value.is_empty() && !value.starts_with(' ') {
        return None;
    }
    let key = &text[..end];
    if end <= 5 && is_word_of_yaml(key) {
        return None;
    }
    let value = value.trim_start_matches(' ');
    Some((key, if value.starts_with('#') { "" } else { value }))
}

fn is_key_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/')
}

/// What some reader takes for a boolean or null.
fn is_word_of_yaml(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "~"];
    matches!(
        text.as_bytes().first(),
        Some(b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' | b't' | b'T' | b'f' | b'F' | b'~')
    ) && WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Goes to the end of a value that begins in this line. `parent` is the indentation of the map or list it stands in.
pub(super) fn value_end(value: &str, parent: usize, lines: &mut Lines<'_>) -> Option<()> {
    match value.as_bytes()[0] {
        b'"' => comment_or_end(after_double(value)?),
        b'\'' => comment_or_end(after_single(value)?),
        b'[' | b'{' => {
            let mut flow = Flow::new(value);
            flow.value(0)?;
            flow.end()
        }
        b'|' | b'>' => block(value, parent, lines),
        _ => plain(value).map(drop),
    }
}

/// The text of a plain scalar in block context, without its comment.
fn plain(value: &str) -> Option<&str> {
    let first = value.as_bytes()[0];
    let starts = first.is_ascii_alphanumeric()
        || matches!(first, b'/' | b'.' | b'_' | b'+' | b'$' | b'(' | b'^' | b'=' | b';')
        || (first == b'-' && value.len() > 1 && !value.starts_with("- "));
    if !starts {
        return None;
    }
    let mut before = first;
    for (at, byte) in value.bytes().enumerate().skip(1) {
        match (before, byte) {
            (b' ', b'#') => {
                return Some(value[..at].trim_end_matches(' ')).filter(|text| !text.ends_with(':'));
            }
            (b':', b' ') => return None,
            _ => before = byte,
        }
    }
    (before != b':').then_some(value)
}

/// What follows the closing quote of a double-quoted scalar.
fn after_double(value: &str) -> Option<&str> {
    let bytes = value.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' => return Some(&value[at + 1..]),
            b'\\' => {
                // The escapes that need no digits.
                if !matches!(
                    bytes.get(at + 1)?,
                    b'"' | b'\\' | b'/' | b'n' | b't' | b'r' | b'b' | b'f' | b'0'
                ) {
                    return None;
                }
                at += 2;
            }
            _ => at += 1,
        }
    }
}

fn after_single(value: &str) -> Option<&str> {
    let bytes = value.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => return Some(&value[at + 1..]),
            _ => at += 1,
        }
    }
}

fn comment_or_end(rest: &str) -> Option<()> {
    (rest.trim_start_matches(' ').is_empty()
        || rest.trim_start_matches(' ').starts_with('#') && rest.starts_with(' '))
    .then_some(())
}

/// A `|` or `>` block: everything deeper than `parent`.
fn block(header: &str, parent: usize, lines: &mut Lines<'_>) -> Option<()> {
    if !matches!(header, "|" | "|-" | "|+" | ">" | ">-" | ">+") {
        return None;
    }
    let mut indent = None;
    while let Some(line) = lines.peek() {
        let spaces = line.len() - line.trim_start_matches(' ').len();
        if spaces == line.len() {
            // Spaces beyond the text's own indentation, before its first line, are an error to some readers.
            if indent.is_none() && spaces > 0 {
                return None;
            }
        } else {
            let wanted = *indent.get_or_insert(spaces);
            if spaces <= parent || wanted <= parent {
                return Some(());
            }
            if spaces < wanted {
                return None;
            }
        }
        lines.next();
    }
    Some(())
}

/// A scalar that says which object it is: text to Kubernetes, without escapes.
pub(super) fn identity(value: &str) -> Option<&str> {
    let text = match value.as_bytes()[0] {
        quote @ (b'"' | b'\'') => {
            let rest = if quote == b'"' { after_double(value)? } else { after_single(value)? };
            comment_or_end(rest)?;
            let text = &value[1..value.len() - rest.len() - 1];
            if text.contains(['\\', '\'']) {
                return None;
            }
            text
        }
        _ => {
            let text = plain(value)?;
            if !text.as_bytes()[0].is_ascii_alphabetic() || is_word_of_yaml(text) {
                // A number, perhaps.
                let Scalar::Text(_) = Schema::Kubernetes.resolve(text) else { return None };
                let Scalar::Text(_) = Schema::Core.resolve(text) else { return None };
            }
            text
        }
    };
    (!text.is_empty()).then_some(text)
}

/// A flow collection in one line.
pub(super) struct Flow<'t> {
    rest: &'t str,
    /// The pairs of the outermost map.
    pub(super) pairs: Vec<(&'t str, &'t str)>,
}

impl<'t> Flow<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { rest: text, pairs: Vec::new() }
    }

    pub(super) fn end(&self) -> Option<()> {
        comment_or_end(self.rest)
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start_matches(' ');
    }

    fn eat(&mut self, byte: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(byte)?;
        self.skip();
        Some(())
    }

    /// A value, and the text of it.
    fn value(&mut self, depth: usize) -> Option<&'t str> {
        let before = self.rest;
        match before.as_bytes().first()? {
            b'[' => self.list(depth)?,
            b'{' => self.map(depth)?,
            b'"' => self.rest = after_double(before)?,
            b'\'' => self.rest = after_single(before)?,
            _ => {
                let end = before.bytes().position(|byte| !is_flow_byte(byte)).unwrap_or(before.len());
                let starts = before.as_bytes()[0].is_ascii_alphanumeric()
                    || matches!(before.as_bytes()[0], b'/' | b'_' | b'.')
                    || (before.starts_with('-') && end > 1);
                if end == 0 || !starts {
                    return None;
                }
                self.rest = &before[end..];
            }
        }
        let text = &before[..before.len() - self.rest.len()];
        // Only a comma or a bracket, perhaps after spaces, ends it for every reader.
        self.skip();
        (self.rest.is_empty() || self.rest.starts_with([',', ']', '}', '#'])).then_some(text)
    }

    fn list(&mut self, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        self.eat('[')?;
        if self.rest.starts_with(']') {
            return self.close(']');
        }
        loop {
            self.value(depth + 1)?;
            match self.rest.as_bytes().first()? {
                b',' => self.eat(',')?,
                _ => return self.close(']'),
            }
        }
    }

    pub(super) fn map(&mut self, depth: usize) -> Option<()> {
        if depth > 8 {
            return None;
        }
        self.eat('{')?;
        if self.rest.starts_with('}') {
            return self.close('}');
        }
        let mut keys: Vec<&str> = Vec::new();
        loop {
            let (key, rest) = key_of(self.rest)?;
            if rest.is_empty() || keys.contains(&key) {
                return None;
            }
            keys.push(key);
            self.rest = rest;
            let value = self.value(depth + 1)?;
            if depth == 0 {
                self.pairs.push((key, value));
            }
            match self.rest.as_bytes().first()? {
                b',' => self.eat(',')?,
                _ => return self.close('}'),
            }
        }
    }

    /// The closing bracket; spaces behind it stay, for a comment needs one.
    fn close(&mut self, bracket: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(bracket)?;
        Some(())
    }
}

fn is_flow_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'+' | b'=' | b'@')
}
