//! Why an edit was refused, and where.

use std::fmt;

use super::path::PropertyPath;

/// A place in a file, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// A reason and where it is, before the file has a name.
pub(super) type Why = (Option<Position>, Reason);

/// An edit that was not made. The file was not touched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditError {
    /// The file as it was named by the caller.
    pub file: String,
    /// Where in the file, if the reason has a place.
    pub position: Option<Position>,
    /// The value that was to be changed; `None` when every value of the file was looked at.
    pub path: Option<PropertyPath>,
    /// Why.
    pub reason: Box<Reason>,
}

/// Why an edit was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The bytes are not UTF-8.
    #[error("not UTF-8 text")]
    NotUtf8,
    /// A YAML 1.2 parser does not accept the text.
    #[error("not YAML: {message}")]
    NotYaml {
        /// The parser's words.
        message: String,
    },
    /// The file holds template expressions and is not YAML before it is rendered.
    #[error("a template, not YAML: {message}")]
    Template {
        /// The parser's words.
        message: String,
    },
    /// A key twice in one mapping: readers disagree on which one counts.
    #[error("key `{key}` is here again, it was first on line {}", first.line)]
    DuplicateKey {
        /// The key.
        key: String,
        /// Where it was first.
        first: Position,
    },
    /// The second, independent parser does not accept the text.
    #[error("a second YAML reader (libyaml) does not accept the file: {message}")]
    SecondReader {
        /// Its words.
        message: String,
    },
    /// The path leads to nothing.
    #[error("there is no {missing}")]
    Missing {
        /// The step that leads to nothing, for a sentence: "`tag` in `image`".
        missing: String,
    },
    /// A step of the path needs another kind of value.
    #[error("`{at}` is {found}, not {wanted}")]
    WrongKind {
        /// The path so far.
        at: String,
        /// What is there.
        found: &'static str,
        /// What the path needs there.
        wanted: &'static str,
    },
    /// Several list items match one step.
    #[error("{count} items of `{at}` match")]
    SeveralItems {
        /// The list and the step.
        at: String,
        /// How many.
        count: usize,
    },
    /// An alias is on the way, or is the value itself.
    #[error("the value is an alias of what is on line {}", defined.line)]
    Alias {
        /// Where the anchor is.
        defined: Position,
    },
    /// The value belongs to an anchor that is used elsewhere: the edit would change more than one place.
    #[error("the value belongs to anchor `&{anchor}`, which is used again on line {}", used.line)]
    Shared {
        /// The anchor's name.
        anchor: String,
        /// The first alias.
        used: Position,
    },
    /// The value comes, or may come, from a merge key.
    #[error("`{missing}` is not written here, it may come from the merge key `<<` on line {}", merge.line)]
    MergeKey {
        /// The key looked for.
        missing: String,
        /// Where `<<` is.
        merge: Position,
    },
    /// A block scalar, or one that is continued on the next line.
    #[error("the value is {style}, only a value on one line is replaced")]
    Multiline {
        /// Which.
        style: &'static str,
    },
    /// The value carries a tag that gives the text another meaning.
    #[error("the value is tagged `{tag}`")]
    Tagged {
        /// The tag.
        tag: String,
    },
    /// The value is itself a template expression.
    #[error("the value is computed by a template: {value}")]
    Expression {
        /// The value.
        value: String,
    },
    /// An empty place where nothing can be inserted safely.
    #[error("the value is empty in a place where none can be inserted")]
    Empty,
    /// The value is in more than one document.
    #[error("`{path}` is in {} documents of the file, on lines {}", lines.len(), list(lines))]
    SeveralDocuments {
        /// The path.
        path: String,
        /// Lines of each.
        lines: Vec<usize>,
    },
    /// No document of the file is the one asked for.
    #[error("the file has no document {document}")]
    NoDocument {
        /// What was asked for, for a sentence.
        document: String,
    },
    /// The missing value cannot be created there.
    #[error("{missing} is missing and cannot be created: {why}")]
    CannotCreate {
        /// What is missing, for a sentence.
        missing: String,
        /// Why it cannot be created.
        why: String,
    },
    /// The edited text was parsed again and something else than the value had changed.
    #[error("the edit cannot be proven to change this value only: {what}")]
    Unproven {
        /// What was found.
        what: String,
    },
}

fn list(lines: &[usize]) -> String {
    lines.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

impl fmt::Display for EditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        match &self.path {
            Some(path) => write!(f, ": cannot set `{path}`: {}", self.reason),
            None => write!(f, ": {}", self.reason),
        }
    }
}

impl std::error::Error for EditError {}

impl EditError {
    pub(super) fn new(file: &str, path: Option<PropertyPath>, (position, reason): Why) -> EditError {
        EditError { file: file.to_owned(), position, path, reason: Box::new(reason) }
    }

    /// What the user can do about it, as a sentence.
    pub fn hint(&self) -> Option<&'static str> {
        match &*self.reason {
            Reason::Alias { .. } => Some("set the value at its anchor"),
            Reason::Shared { .. } => {
                Some("give each place its own value, or move the image out of the anchored part")
            }
            Reason::MergeKey { .. } => {
                Some("write the property in this mapping once by hand, then run again")
            }
            Reason::Multiline { .. } => Some("write the value on one line, then run again"),
            Reason::DuplicateKey { .. } => Some("remove one of the two keys"),
            Reason::Template { .. } | Reason::Expression { .. } => {
                Some("keep the image in a values file, and edit that one")
            }
            Reason::SeveralDocuments { .. } | Reason::NoDocument { .. } => {
                Some("name the document with `--object KIND/NAME`, for example `--object Deployment/web`")
            }
            Reason::Tagged { .. } => Some("remove the tag, or edit the file by hand"),
            Reason::Missing { .. } => Some("check the path, or add `--create` to have it written"),
            Reason::NotUtf8
            | Reason::NotYaml { .. }
            | Reason::SecondReader { .. }
            | Reason::WrongKind { .. }
            | Reason::SeveralItems { .. }
            | Reason::Empty
            | Reason::CannotCreate { .. }
            | Reason::Unproven { .. } => None,
        }
    }
}
