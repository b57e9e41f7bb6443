//! The edit: find, splice, prove.

use std::ops::Range;

use granit_parser::ScalarStyle;

use super::{
    create,
    find::{self, Found, Leaf, Miss},
    node::{self, Comment, Kind, Node, Stream},
    path::PropertyPath,
    proof::{self, Expected},
    quote,
    refusal::{EditError, Position, Reason, Why},
};

/// What an edit did to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The new content of the file; `None` if every value was already as wanted.
    pub bytes: Option<Vec<u8>>,
    /// The values that were looked at, in the order of the file, changed or not.
    pub values: Vec<Edited>,
}

/// One value of a file, before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The value's path in its document.
    pub path: PropertyPath,
    /// Where the value is in the old text; where it was put, if it was not there.
    pub position: Position,
    /// The old text; `None` if there was no value.
    pub old: Option<String>,
    /// The new text.
    pub new: String,
    /// Whether bytes of the file change for it.
    pub changed: bool,
    /// The reason of a `# kit: hold <reason>` on the value's line: a human wants it to stay as it is.
    pub hold: Option<String>,
}

/// Which document of a file is meant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Document {
    /// The one that has the property; more than one is refused.
    #[default]
    Any,
    /// The object of this kind and name.
    Object {
        /// `kind`.
        kind: String,
        /// `metadata.name`.
        name: String,
    },
}

/// What to do where the property is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IfMissing {
    /// Refuse.
    Refuse,
    /// Add it at the end of the mapping it belongs in.
    Create,
}

/// Sets the value at `path` to `value`, changing the bytes of that scalar and no other.
///
/// `file` only names the content in errors; a name that ends in `.json` keeps the quotes that JSON needs.
///
/// # Errors
/// [`EditError`] when the value is not there, cannot be replaced safely, or the edit cannot be proven.
pub fn set(
    file: &str,
    content: &[u8],
    document: &Document,
    path: &PropertyPath,
    value: &str,
    if_missing: IfMissing,
) -> Result<Edit, EditError> {
    let error = |why| EditError::new(file, Some(path.clone()), why);
    let source = Source::read(file, content).map_err(error)?;
    match locate(&source.stream, document, path) {
        Ok(found) => {
            let edited = [(path.clone(), found, value.to_owned())];
            source.edit(&edited).map_err(|(_, position, reason)| error((position, reason)))
        }
        Err(miss) if if_missing == IfMissing::Create && miss.creatable => {
            create::create(&source, miss.document, path, value, miss.gap).map_err(error)
        }
        Err(miss) => Err(error((miss.position, miss.reason))),
    }
}

/// Asks `choose` for every scalar of the file what it is to be, and sets those for which it answers.
///
/// # Errors
/// [`EditError`] as for [`set`]; nothing is changed if one of the values cannot be.
pub fn set_each(
    file: &str,
    content: &[u8],
    choose: &mut dyn FnMut(&Leaf<'_>) -> Option<String>,
) -> Result<Edit, EditError> {
    let error = |path, why| EditError::new(file, path, why);
    let source = Source::read(file, content).map_err(|why| error(None, why))?;
    let mut wanted = Vec::new();
    for choice in find::choose(&source.stream, choose) {
        if let Some(reason) = choice.refused
            && choice.found.node.text() != Some(choice.value.as_str())
        {
            return Err(error(Some(choice.path), (Some(choice.found.node.position), reason)));
        }
        wanted.push((choice.path, choice.found, choice.value));
    }
    source.edit(&wanted).map_err(|(path, position, reason)| error(path, (position, reason)))
}

/// A file, read.
pub(super) struct Source<'t> {
    /// Without the byte order mark.
    pub(super) text: &'t str,
    /// Bytes of the byte order mark.
    pub(super) base: usize,
    pub(super) content: &'t [u8],
    pub(super) stream: Stream,
    pub(super) json: bool,
}

impl<'t> Source<'t> {
    pub(super) fn read(file: &str, content: &'t [u8]) -> Result<Source<'t>, Why> {
        let whole = std::str::from_utf8(content).map_err(|error| {
            let before = &content[..error.valid_up_to()];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
            (Some(Position { line, column }), Reason::NotUtf8)
        })?;
        let text = whole.strip_prefix('\u{feff}').unwrap_or(whole);
        let base = whole.len() - text.len();
        let template = text.contains("{{") || text.contains("{%");
        let stream = node::read(text, base).map_err(|(position, reason)| {
            let Reason::NotYaml { message } = reason else { return (position, reason) };
            let reason = if template { Reason::Template { message } } else { Reason::NotYaml { message } };
            (position, reason)
        })?;
        Ok(Source { text, base, content, stream, json: file.ends_with(".json") })
    }

    /// Replaces the scalars, in one go, and proves it.
    fn edit(
        &self,
        wanted: &[(PropertyPath, Found<'_>, String)],
    ) -> Result<Edit, (Option<PropertyPath>, Option<Position>, Reason)> {
        let mut values = Vec::new();
        let mut splices = Vec::new();
        let mut expected = Vec::new();
        for (path, found, value) in wanted {
            let refuse = |reason| (Some(path.clone()), Some(found.node.position), reason);
            let splice = self.splice(found, value).map_err(refuse)?;
            values.push(Edited {
                path: path.clone(),
                position: found.node.position,
                old: (!found.node.is_empty()).then(|| found.node.text().unwrap_or_default().to_owned()),
                new: value.clone(),
                changed: splice.is_some(),
                hold: self.hold(found.node),
            });
            if let Some(splice) = splice {
                splices.push(splice);
                let change = proof::Change::Set(value.clone());
                expected.push(Expected { trail: found.trail.clone(), change });
            }
        }
        if splices.is_empty() {
            return Ok(Edit { bytes: None, values });
        }
        let bytes = apply(self.content, &splices);
        self.prove(&bytes, &expected).map_err(|reason| {
            let first = values.iter().find(|edited| edited.changed);
            (first.map(|edited| edited.path.clone()), first.map(|edited| edited.position), reason)
        })?;
        Ok(Edit { bytes: Some(bytes), values })
    }

    /// The bytes to write for `value`; `None` if the scalar already is that text to every reader.
    fn splice(&self, found: &Found<'_>, value: &str) -> Result<Option<Splice>, Reason> {
        let node = found.node;
        let style = match &node.kind {
            Kind::Scalar { style, .. } => *style,
            Kind::Alias { defined, .. } => return Err(Reason::Alias { defined: *defined }),
            Kind::List { .. } | Kind::Mapping { .. } if find::is_expression(node) => {
                return Err(find::unquoted_expression());
            }
            Kind::List { .. } | Kind::Mapping { .. } => {
                return Err(Reason::WrongKind {
                    at: found.key.and_then(Node::text).unwrap_or(".").to_owned(),
                    found: node.kind.noun(),
                    wanted: "a single value",
                });
            }
        };
        let current = node.text().unwrap_or_default();
        let is_text = style != ScalarStyle::Plain
            || node.tag.as_deref().is_some_and(is_string_tag)
            || !quote::is_other_type(current);
        if current == value && is_text {
            return Ok(None);
        }
        if let Some(tag) = node.tag.as_deref().filter(|tag| !is_string_tag(tag)) {
            return Err(Reason::Tagged { tag: tag.to_owned() });
        }
        match style {
            ScalarStyle::Literal => return Err(Reason::Multiline { style: "a literal block (`|`)" }),
            ScalarStyle::Folded => return Err(Reason::Multiline { style: "a folded block (`>`)" }),
            ScalarStyle::Plain | ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {}
        }
        if self.content[node.bytes.clone()].iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Err(Reason::Multiline { style: "continued on the next line" });
        }
        if current.contains("{{") || current.contains("{%") {
            return Err(Reason::Expression { value: current.to_owned() });
        }
        let style = if self.json { ScalarStyle::DoubleQuoted } else { style };
        let text = quote::scalar(value, style);
        if !node.is_empty() {
            return Ok(Some(Splice { at: node.bytes.clone(), text }));
        }
        // After a tag or an anchor the parser's mark is the place; after a key it is before the colon.
        let at = if node.tag.is_some() || node.anchor.is_some() {
            node.bytes.start
        } else {
            let key = found.key.ok_or(Reason::Empty)?;
            let after = &self.content[key.bytes.end..];
            let blank = after.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            if after.get(blank) != Some(&b':') {
                return Err(Reason::Empty);
            }
            key.bytes.end + blank + 1
        };
        Ok(Some(Splice { at: at..at, text: format!(" {text}") }))
    }

    /// The hold on the line on which a scalar ends.
    fn hold(&self, node: &Node) -> Option<String> {
        let end = node.bytes.end - self.base;
        let line = node.position.line + self.text[node.bytes.start - self.base..end].matches('\n').count();
        let comment = self.stream.comment_after(line, node.bytes.end)?;
        hold_reason(comment)
    }

    /// Reads the new bytes again, with both parsers, and compares.
    pub(super) fn prove(&self, bytes: &[u8], expected: &[Expected]) -> Result<(), Reason> {
        let unproven = |what: String| Reason::Unproven { what };
        let text = std::str::from_utf8(&bytes[self.base..])
            .map_err(|error| unproven(format!("the new text is not UTF-8: {error}")))?;
        proof::prove(self.text, text, expected)?;
        // What is not a value, and so unknown to the second reader: comments, anchors, aliases, tags, styles.
        let again = node::read(text, self.base)
            .map_err(|(_, reason)| unproven(format!("the new text is not read back: {reason}")))?;
        let comments = |stream: &Stream| -> Vec<String> {
            stream.comments.iter().map(|comment| comment.text.clone()).collect()
        };
        if comments(&self.stream) != comments(&again) {
            return Err(unproven("a comment would change with it".into()));
        }
        if decorations(&self.stream) != decorations(&again) {
            return Err(unproven("a tag or an anchor would change with it".into()));
        }
        Ok(())
    }
}

fn is_string_tag(tag: &str) -> bool {
    matches!(tag, "!!str" | "tag:yaml.org,2002:str" | "!<tag:yaml.org,2002:str>" | "!tag:yaml.org,2002:str")
}

/// Tags, anchors and aliases in the order of the file.
fn decorations(stream: &Stream) -> Vec<String> {
    fn visit(node: &Node, out: &mut Vec<String>) {
        if let Some(tag) = &node.tag {
            out.push(tag.clone());
        }
        if let Some((id, name)) = &node.anchor {
            out.push(format!("&{name} {id}"));
        }
        match &node.kind {
            Kind::Alias { anchor, .. } => out.push(format!("*{anchor}")),
            Kind::Scalar { .. } => {}
            Kind::List { items } => items.iter().for_each(|item| visit(item, out)),
            Kind::Mapping { entries, .. } => {
                for (key, value) in entries {
                    visit(key, out);
                    visit(value, out);
                }
            }
        }
    }
    let mut out = Vec::new();
    stream.documents.iter().for_each(|document| visit(document, &mut out));
    out
}

fn hold_reason(comment: &Comment) -> Option<String> {
    let rest = comment.text.trim().strip_prefix("kit:")?.trim_start().strip_prefix("hold")?;
    (rest.is_empty() || rest.starts_with([' ', '\t', ':', ',']))
        .then(|| rest.trim_start_matches([':', ',']).trim().to_owned())
}

struct Splice {
    at: Range<usize>,
    text: String,
}

/// Puts each text where its bytes are; the splices do not overlap and come in the order of the file.
fn apply(content: &[u8], splices: &[Splice]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(content.len() + 64);
    let mut done = 0;
    for Splice { at, text } in splices {
        bytes.extend_from_slice(&content[done..at.start]);
        bytes.extend_from_slice(text.as_bytes());
        done = at.end;
    }
    bytes.extend_from_slice(&content[done..]);
    bytes
}

/// Why the value was not located, and where it could be created.
struct Unlocated<'n> {
    position: Option<Position>,
    reason: Reason,
    creatable: bool,
    document: usize,
    gap: Option<find::Gap<'n>>,
}

fn locate<'n>(
    stream: &'n Stream,
    document: &Document,
    path: &PropertyPath,
) -> Result<Found<'n>, Box<Unlocated<'n>>> {
    let refused =
        |position, reason| Box::new(Unlocated { position, reason, creatable: false, document: 0, gap: None });
    let candidates: Vec<usize> = match document {
        Document::Any => (0..stream.documents.len()).collect(),
        Document::Object { kind, name } => {
            let wanted = |root: &Node| {
                root.get_text("kind") == Some(kind)
                    && root.entry("metadata").and_then(|(_, (_, meta))| meta.get_text("name")) == Some(name)
            };
            let found: Vec<usize> =
                (0..stream.documents.len()).filter(|n| wanted(&stream.documents[*n])).collect();
            if found.is_empty() {
                let document = format!("with `kind: {kind}` and `metadata.name: {name}`");
                return Err(refused(None, Reason::NoDocument { document }));
            }
            found
        }
    };
    let mut found = Vec::new();
    let mut missed = Vec::new();
    for n in candidates {
        match find::follow(stream, n, path) {
            Ok(hit) => found.push(hit),
            // A separator without content is not a document anybody means.
            Err(_) if stream.documents[n].is_empty() && stream.documents.len() > 1 => {}
            Err(miss) => missed.push((n, miss)),
        }
    }
    if found.len() > 1 {
        let lines = found.iter().map(|hit| hit.node.position.line).collect();
        return Err(refused(None, Reason::SeveralDocuments { path: path.to_string(), lines }));
    }
    // A document in which the value is there but must not be followed counts as having it.
    let has = |reason: &Reason| !matches!(reason, Reason::Missing { .. } | Reason::WrongKind { .. });
    if let Some(at) = missed.iter().position(|(_, miss)| has(&miss.reason)) {
        let (_, miss) = missed.swap_remove(at);
        return Err(refused(miss.position, miss.reason));
    }
    if let Some(hit) = found.pop() {
        return Ok(hit);
    }
    let only = missed.len() == 1;
    match missed.into_iter().next() {
        Some((n, miss)) if only => {
            let Miss { position, reason, gap } = *miss;
            Err(Box::new(Unlocated { position, reason, creatable: gap.is_some(), document: n, gap }))
        }
        Some(_) => {
            let missing = format!("`{path}` in any of the file's documents");
            Err(refused(None, Reason::Missing { missing }))
        }
        None => Err(Box::new(Unlocated {
            position: None,
            reason: Reason::Missing { missing: format!("`{path}`, the file is empty") },
            creatable: true,
            document: 0,
            gap: None,
        })),
    }
}
