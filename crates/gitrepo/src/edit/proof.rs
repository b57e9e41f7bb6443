//! The proof that an edit changed what it should and nothing else: the old and the new text are read by a
//! parser that had no part in the edit, and compared value by value.
//!
//! That parser is libyaml, whose grammar is the one that kubectl accepts. Where its numbers do not suffice (an
//! integer of 30 digits), oneyaml stands in.

use serde::Deserialize as _;

use super::refusal::Reason;

/// What a reader got from a document. Scalars that are not text are compared by their debug form.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Tree {
    Text(String),
    Other(String),
    List(Vec<Tree>),
    Mapping(Vec<(Tree, Tree)>),
    Tagged(String, Box<Tree>),
}

/// What to expect at one place of the new text.
#[derive(Debug)]
pub(super) struct Expected {
    /// Document, then the place in each mapping or list on the way.
    pub(super) trail: Vec<usize>,
    pub(super) change: Change,
}

#[derive(Debug)]
pub(super) enum Change {
    /// The value there is this text.
    Set(String),
    /// The mapping, list or null there has got this at its end.
    Append(Tree),
}

/// Reads both texts and compares; the error is what differs.
pub(super) fn prove(old: &str, new: &str, expected: &[Expected]) -> Result<(), Reason> {
    let (mut before, reader) = match libyaml(old) {
        Ok(documents) => (documents, libyaml as fn(&str) -> Result<Vec<Tree>, String>),
        Err(message) => match oneyaml(old) {
            Ok(documents) => (documents, oneyaml as fn(&str) -> Result<Vec<Tree>, String>),
            Err(_) => return Err(Reason::SecondReader { message }),
        },
    };
    let after = reader(new)
        .map_err(|message| Reason::Unproven { what: format!("the new text is not read back: {message}") })?;
    for Expected { trail, change } in expected {
        let place = at(&mut before, trail).ok_or_else(|| Reason::Unproven {
            what: "two YAML readers disagree on the structure of the file".into(),
        })?;
        apply(place, change);
    }
    if before == after {
        Ok(())
    } else {
        Err(Reason::Unproven { what: "another value of the file would change with it".into() })
    }
}

fn at<'t>(documents: &'t mut [Tree], trail: &[usize]) -> Option<&'t mut Tree> {
    let (document, places) = trail.split_first()?;
    let mut tree = documents.get_mut(*document)?;
    for place in places {
        while let Tree::Tagged(_, inner) = tree {
            tree = inner;
        }
        tree = match tree {
            Tree::List(items) => items.get_mut(*place)?,
            Tree::Mapping(entries) => &mut entries.get_mut(*place)?.1,
            Tree::Text(_) | Tree::Other(_) | Tree::Tagged(..) => return None,
        };
    }
    Some(tree)
}

fn apply(place: &mut Tree, change: &Change) {
    match (change, &mut *place) {
        (_, Tree::Tagged(_, inner)) => apply(inner, change),
        (Change::Set(value), place) => *place = Tree::Text(value.clone()),
        (Change::Append(Tree::List(new)), Tree::List(items)) => items.extend(new.iter().cloned()),
        (Change::Append(Tree::Mapping(new)), Tree::Mapping(entries)) => entries.extend(new.iter().cloned()),
        (Change::Append(new), place) => *place = new.clone(),
    }
}

fn libyaml(text: &str) -> Result<Vec<Tree>, String> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        // Stop at the first error: the iterator repeats it for ever.
        let value = serde_yaml::Value::deserialize(document).map_err(|error| error.to_string())?;
        documents.push(from_libyaml(value));
    }
    Ok(documents)
}

fn from_libyaml(value: serde_yaml::Value) -> Tree {
    match value {
        serde_yaml::Value::String(text) => Tree::Text(text),
        serde_yaml::Value::Sequence(items) => Tree::List(items.into_iter().map(from_libyaml).collect()),
        serde_yaml::Value::Mapping(entries) => {
            Tree::Mapping(entries.into_iter().map(|(k, v)| (from_libyaml(k), from_libyaml(v))).collect())
        }
        serde_yaml::Value::Tagged(tagged) => {
            Tree::Tagged(tagged.tag.to_string(), Box::new(from_libyaml(tagged.value)))
        }
        serde_yaml::Value::Null | serde_yaml::Value::Bool(_) | serde_yaml::Value::Number(_) => {
            Tree::Other(format!("{value:?}"))
        }
    }
}

fn oneyaml(text: &str) -> Result<Vec<Tree>, String> {
    let stream = oneyaml::Stream::parse(text).map_err(|error| error.to_string())?;
    stream
        .documents()
        .map(|document| document.to_value().map(from_oneyaml).map_err(|error| error.to_string()))
        .collect()
}

// The values of oneyaml are a non-exhaustive enum.
#[allow(clippy::wildcard_enum_match_arm)]
fn from_oneyaml(value: oneyaml::Value) -> Tree {
    match value {
        oneyaml::Value::String(text) => Tree::Text(text),
        oneyaml::Value::Sequence(items) => Tree::List(items.into_iter().map(from_oneyaml).collect()),
        oneyaml::Value::Mapping(entries) => {
            Tree::Mapping(entries.into_iter().map(|(k, v)| (from_oneyaml(k), from_oneyaml(v))).collect())
        }
        other => Tree::Other(format!("{other:?}")),
    }
}
