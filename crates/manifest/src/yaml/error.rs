//! What can be wrong with YAML text, and where.

use std::fmt;

/// Text that is not the YAML that was asked for.
///
/// Displays as `file:line:column: message`. It never contains a value of the file (which may be a
/// secret); [`excerpt`] shows the line, for the callers that may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct YamlError {
    /// The file as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Byte offset.
    pub offset: usize,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The parser's own words about the syntax.
    Syntax(String),
    /// A key is given twice in one mapping.
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it was given first.
        first_line: u32,
        /// Column of the first one.
        first_column: u32,
    },
    /// A mapping or list stands where a key must be.
    KeyNotScalar {
        /// Whether it looks like `{{ … }}` without quotes.
        template: bool,
    },
    /// `<<` with something else than a mapping or a list of mappings.
    BadMerge(&'static str),
    /// Aliases expand to more nodes than [`MAX_NODES_FROM_ALIASES`](super::MAX_NODES_FROM_ALIASES).
    Bomb,
    /// Nested deeper than [`MAX_DEPTH`](super::MAX_DEPTH).
    TooDeep,
    /// An alias inside the node that it names.
    Recursive,
    /// A tag that this schema does not know.
    UnknownTag(String),
    /// A value that is not what its tag says.
    BadTagValue(String),
    /// A character that YAML does not allow, not even in quotes.
    ControlCharacter(char),
    /// More than one document where one is expected.
    SecondDocument,
}

impl YamlError {
    /// The message without the position.
    pub fn message(&self) -> String {
        self.problem.to_string()
    }

    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<&'static str> {
        match &self.problem {
            Problem::KeyNotScalar { template: true } => {
                Some("an unquoted template? write it as `key: \"{{ … }}\"`")
            }
            Problem::SecondDocument => Some("remove the `---`, or put the second document into its own file"),
            Problem::Syntax(text) if text.contains("tab") => Some("indent with spaces"),
            Problem::Syntax(text) if text.starts_with("mapping values are not allowed") => {
                Some("quote a text that contains `: `")
            }
            Problem::Syntax(_)
            | Problem::DuplicateKey { .. }
            | Problem::KeyNotScalar { .. }
            | Problem::BadMerge(_)
            | Problem::Bomb
            | Problem::TooDeep
            | Problem::Recursive
            | Problem::UnknownTag(_)
            | Problem::ControlCharacter(_)
            | Problem::BadTagValue(_) => None,
        }
    }
}

/// The line of `text` with a caret under the column, as
/// ```text
///   |
/// 3 | a: b: c
///   |     ^
/// ```
/// Both count from 1; column 0 is the line as a whole and has no caret. `None` if there is no such line. Do not show it for
/// files that may hold secrets.
pub fn excerpt(text: &str, line: u32, column: u32) -> Option<String> {
    let source = text.lines().nth(line.checked_sub(1)? as usize)?;
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let Some(before) = column.checked_sub(1) else {
        return Some(format!("{margin} |\n{number} | {source}"));
    };
    let before = source.chars().take(before as usize);
    let before: String = before.map(|character| if character == '\t' { '\t' } else { ' ' }).collect();
    Some(format!("{margin} |\n{number} | {source}\n{margin} | {before}^"))
}

/// The line and the column in characters, both from 1, of a byte of `text`.
pub fn position(text: &str, offset: usize) -> (u32, u32) {
    let before = &text[..offset];
    let line = before.bytes().filter(|&byte| byte == b'\n').count() as u32 + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() as u32 + 1)
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.problem)
    }
}

impl std::error::Error for YamlError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Syntax(text) => f.write_str(text),
            Problem::DuplicateKey { key, first_line, .. } => {
                write!(f, "duplicate key `{key}`, first given in line {first_line}")
            }
            Problem::KeyNotScalar { template: true } => {
                f.write_str("a mapping stands where a key must be, as in an unquoted `{{ … }}`")
            }
            Problem::KeyNotScalar { template: false } => {
                f.write_str("a mapping or list stands where a key must be")
            }
            Problem::BadMerge(kind) => write!(f, "`<<` takes a mapping or a list of mappings, not {kind}"),
            Problem::Bomb => write!(
                f,
                "aliases expand to more than {} values; refusing what looks like a YAML bomb",
                super::MAX_NODES_FROM_ALIASES
            ),
            Problem::TooDeep => write!(f, "nested deeper than {} levels", super::MAX_DEPTH),
            Problem::Recursive => f.write_str("an alias stands inside the value that it names"),
            Problem::UnknownTag(tag) => write!(f, "unknown tag `{tag}`"),
            Problem::BadTagValue(tag) => write!(f, "the value is not what its tag `{tag}` says"),
            Problem::ControlCharacter(character) => {
                write!(
                    f,
                    "control character U+{:04X}, which YAML allows as an escape in double quotes only",
                    *character as u32
                )
            }
            Problem::SecondDocument => f.write_str("a second document where one is expected"),
        }
    }
}
