//! From a property path, or from a question asked of every scalar, to nodes of a file.

use super::{
    node::{Kind, Node, Stream},
    path::{PropertyPath, Step},
    refusal::{Position, Reason},
};

/// A node, and how to get there in any reader of the same file.
#[derive(Debug, Clone)]
pub(super) struct Found<'n> {
    pub(super) node: &'n Node,
    /// The key in front of it, if it is the value of a mapping.
    pub(super) key: Option<&'n Node>,
    /// Document, then the place in each mapping or list on the way.
    pub(super) trail: Vec<usize>,
}

/// A path that leads to nothing, or must not be followed.
#[derive(Debug)]
pub(super) struct Miss<'n> {
    pub(super) position: Option<Position>,
    pub(super) reason: Reason,
    /// Where the rest of the path could be created.
    pub(super) gap: Option<Gap<'n>>,
}

/// The last node on a path that is there, and the steps that are not.
#[derive(Debug)]
pub(super) struct Gap<'n> {
    pub(super) parent: &'n Node,
    pub(super) trail: Vec<usize>,
    pub(super) rest: Vec<Step>,
}

/// Follows `path` through one document.
pub(super) fn follow<'n>(
    stream: &'n Stream,
    document: usize,
    path: &PropertyPath,
) -> Result<Found<'n>, Box<Miss<'n>>> {
    let root = &stream.documents[document];
    let mut found = Found { node: root, key: None, trail: vec![document] };
    let mut shared = is_shared(stream, root);
    for (n, step) in path.steps().iter().enumerate() {
        let position = Some(found.node.position);
        let at = PropertyPath::new(path.steps()[..n].iter().cloned());
        match descend(found.node, step, &at) {
            Ok(Down { place, key, node }) => {
                found.key = key;
                found.node = node;
                found.trail.push(place);
            }
            Err(reason) => {
                let reason = shared.unwrap_or(reason);
                let gap = matches!(reason, Reason::Missing { .. }).then(|| Gap {
                    parent: found.node,
                    trail: found.trail,
                    rest: path.steps()[n..].to_vec(),
                });
                return Err(Box::new(Miss { position, reason, gap }));
            }
        }
        shared = shared.or_else(|| is_shared(stream, found.node));
    }
    match shared {
        Some(reason) => Err(Box::new(Miss { position: Some(found.node.position), reason, gap: None })),
        None => Ok(found),
    }
}

struct Down<'n> {
    place: usize,
    key: Option<&'n Node>,
    node: &'n Node,
}

/// One step down from `node`, which is `at` this path.
fn descend<'n>(node: &'n Node, step: &Step, at: &PropertyPath) -> Result<Down<'n>, Reason> {
    let missing = |missing: String| Reason::Missing { missing };
    match (&node.kind, step) {
        (Kind::Alias { defined, .. }, _) => Err(Reason::Alias { defined: *defined }),
        (Kind::Mapping { entries, .. }, Step::Key(wanted)) => {
            if let Some((place, (key, value))) = node.entry(wanted) {
                return Ok(Down { place, key: Some(key), node: value });
            }
            if let Some((merge, _)) =
                entries.iter().find(|(key, _)| key.text() == Some("<<") && is_plain(key))
            {
                return Err(Reason::MergeKey { missing: wanted.clone(), merge: merge.position });
            }
            if is_expression(node) {
                return Err(unquoted_expression());
            }
            let at = if at.steps().is_empty() { String::new() } else { format!(" in `{at}`") };
            Err(missing(format!("`{wanted}`{at}")))
        }
        (Kind::List { items }, Step::Index(place)) => match items.get(*place) {
            Some(node) => Ok(Down { place: *place, key: None, node }),
            None => Err(missing(format!("item {place} in `{at}`, which has {}", items.len()))),
        },
        (Kind::List { items }, Step::Item { key, value }) => {
            let mut matching = items.iter().enumerate().filter(|(_, item)| item.get_text(key) == Some(value));
            match (matching.next(), matching.count()) {
                (Some((place, node)), 0) => Ok(Down { place, key: None, node }),
                (Some(_), more) => {
                    Err(Reason::SeveralItems { at: at.join(step.clone()).to_string(), count: more + 1 })
                }
                (None, _) => Err(missing(format!("item with `{key}: {value}` in `{at}`"))),
            }
        }
        (Kind::Scalar { .. }, _) if node.is_empty() => Err(missing(format!("value in `{at}`"))),
        (kind, Step::Key(_)) => {
            Err(Reason::WrongKind { at: at.to_string(), found: kind.noun(), wanted: "a mapping" })
        }
        (kind, Step::Index(_) | Step::Item { .. }) => {
            Err(Reason::WrongKind { at: at.to_string(), found: kind.noun(), wanted: "a list" })
        }
    }
}

fn is_plain(node: &Node) -> bool {
    matches!(node.kind, Kind::Scalar { style: granit_parser::ScalarStyle::Plain, .. })
}

fn is_shared(stream: &Stream, node: &Node) -> Option<Reason> {
    let (id, name) = node.anchor.as_ref()?;
    let used = *stream.used.get(id)?;
    Some(Reason::Shared { anchor: name.clone(), used })
}

/// `{{ x }}` without quotes is, to YAML, a mapping with a mapping as its key.
pub(super) fn is_expression(node: &Node) -> bool {
    match &node.kind {
        Kind::Mapping { entries, flow: true } => entries
            .iter()
            .any(|(key, _)| matches!(key.kind, Kind::Mapping { flow: true, .. } | Kind::List { .. })),
        Kind::Mapping { .. } | Kind::List { .. } | Kind::Scalar { .. } | Kind::Alias { .. } => false,
    }
}

/// [`is_expression`], as a reason.
pub(super) fn unquoted_expression() -> Reason {
    Reason::Expression { value: "{{ … }} without quotes".to_owned() }
}

/// One scalar of a file, as the caller of [`set_each`](super::set_each) sees it.
#[derive(Debug)]
pub struct Leaf<'n> {
    /// Where it is in its document.
    pub path: PropertyPath,
    /// Its text, without quotes; empty where nothing is written.
    pub value: &'n str,
    parent: Option<&'n Node>,
}

impl Leaf<'_> {
    /// The nearest key above the scalar: its own, or that of the list it is in.
    pub fn key(&self) -> Option<&str> {
        self.path.last_key()
    }

    /// The text of another entry of the mapping that holds this scalar.
    pub fn sibling(&self, key: &str) -> Option<&str> {
        self.parent.and_then(|parent| parent.get_text(key))
    }
}

/// A scalar that the caller wants changed: where it is, what it is to be, and why that must not be done.
pub(super) struct Choice<'n> {
    pub(super) path: PropertyPath,
    pub(super) found: Found<'n>,
    pub(super) value: String,
    pub(super) refused: Option<Reason>,
}

/// Asks `choose` for the new value of every scalar of every document.
pub(super) fn choose<'n>(
    stream: &'n Stream,
    choose: &mut dyn FnMut(&Leaf<'_>) -> Option<String>,
) -> Vec<Choice<'n>> {
    let mut walk = Walk { stream, choose, chosen: Vec::new() };
    for (document, root) in stream.documents.iter().enumerate() {
        let found = Found { node: root, key: None, trail: vec![document] };
        walk.visit(found, PropertyPath::default(), None, None);
    }
    walk.chosen
}

struct Walk<'n, 'c> {
    stream: &'n Stream,
    choose: &'c mut dyn FnMut(&Leaf<'_>) -> Option<String>,
    chosen: Vec<Choice<'n>>,
}

impl<'n> Walk<'n, '_> {
    fn visit(&mut self, at: Found<'n>, path: PropertyPath, parent: Option<&'n Node>, shared: Option<Reason>) {
        let shared = shared.or_else(|| is_shared(self.stream, at.node));
        match &at.node.kind {
            // What an alias stands for is visited at its anchor, and refused there if chosen.
            Kind::Alias { .. } => {}
            Kind::Scalar { .. } => {
                let leaf = Leaf { path: path.clone(), value: at.node.text().unwrap_or_default(), parent };
                if let Some(value) = (self.choose)(&leaf) {
                    self.chosen.push(Choice { path, found: at, value, refused: shared });
                }
            }
            Kind::List { items } => {
                for (place, item) in items.iter().enumerate() {
                    let step = match item.get_text("name") {
                        Some(name) if !name.is_empty() => {
                            Step::Item { key: "name".into(), value: name.to_owned() }
                        }
                        _ => Step::Index(place),
                    };
                    let found = Found { node: item, key: None, trail: extend(&at.trail, place) };
                    self.visit(found, path.join(step), Some(at.node), shared.clone());
                }
            }
            Kind::Mapping { entries, .. } => {
                for (place, (key, value)) in entries.iter().enumerate() {
                    let Some(text) = key.text() else { continue };
                    let found = Found { node: value, key: Some(key), trail: extend(&at.trail, place) };
                    self.visit(found, path.join(Step::Key(text.into())), Some(at.node), shared.clone());
                }
            }
        }
    }
}

fn extend(trail: &[usize], place: usize) -> Vec<usize> {
    let mut trail = trail.to_vec();
    trail.push(place);
    trail
}
