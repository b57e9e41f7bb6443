//! A value that is not there yet, put at the end of the mapping or list that it belongs in.
//!
//! The layout of the new lines is oneyaml's, which follows the neighbours; the proof is ours.

use super::{
    find::Gap,
    node::Kind,
    path::{PropertyPath, Step},
    proof::{Change, Expected, Tree},
    quote,
    refusal::{Position, Reason, Why},
    set::{Edit, Edited, Source},
};

/// Stands for the new value while oneyaml lays out the lines: plain to every reader, and in no file.
const PLACEHOLDER: &str = "kit-value-to-be-written-here";

pub(super) fn create(
    source: &Source<'_>,
    document: usize,
    path: &PropertyPath,
    value: &str,
    gap: Option<Gap<'_>>,
) -> Result<Edit, Why> {
    let position = gap.as_ref().map(|gap| gap.parent.position);
    let refuse = |why: String| (position, Reason::CannotCreate { missing: format!("`{path}`"), why });
    if source.json {
        return Err(refuse("a JSON file is only edited where the value is already there".into()));
    }
    if source.text.contains(PLACEHOLDER) {
        return Err(refuse("the file holds the text that kit uses while it works".into()));
    }
    let (laid_out, expected) = match &gap {
        None => at_the_end_of_nothing(source, path),
        Some(gap) => with_oneyaml(source, document, path, gap),
    }
    .map_err(refuse)?;
    let at = laid_out.find(PLACEHOLDER).ok_or_else(|| refuse("the place was not found again".into()))?;
    let quoted = quote::scalar(value, granit_parser::ScalarStyle::Plain);
    let new = format!("{}{quoted}{}", &laid_out[..at], &laid_out[at + PLACEHOLDER.len()..]);
    let line = new[..at].matches('\n').count() + 1;
    let column = new[..at].rsplit('\n').next().unwrap_or_default().chars().count() + 1;

    let mut bytes = source.content[..source.base].to_vec();
    bytes.extend_from_slice(new.as_bytes());
    if !only_inserted(source.text, &new) {
        return Err(refuse("other bytes of the file would change".into()));
    }
    let expected = Expected { trail: expected.0, change: Change::Append(written(&expected.1, value)) };
    source.prove(&bytes, &[expected]).map_err(|reason| (position, reason))?;
    Ok(Edit {
        bytes: Some(bytes),
        values: vec![Edited {
            path: path.clone(),
            position: Position { line, column },
            old: None,
            new: value.to_owned(),
            changed: true,
            hold: None,
        }],
    })
}

type Laid = (String, (Vec<usize>, Vec<Step>));

/// A file without any document: comments and blank lines, or no byte at all.
fn at_the_end_of_nothing(source: &Source<'_>, path: &PropertyPath) -> Result<Laid, String> {
    let [Step::Key(_)] = path.steps() else {
        return Err("the file is empty".into());
    };
    let text = source.text;
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { line_break };
    let key = path.steps().first().map(key_of).unwrap_or_default();
    let new = format!("{text}{gap}{key}: {PLACEHOLDER}{line_break}");
    Ok((new, (vec![0], path.steps().to_vec())))
}

fn key_of(step: &Step) -> String {
    match step {
        Step::Key(key) => quote::scalar(key, granit_parser::ScalarStyle::Plain),
        Step::Index(_) | Step::Item { .. } => String::new(),
    }
}

fn with_oneyaml(
    source: &Source<'_>,
    document: usize,
    path: &PropertyPath,
    gap: &Gap<'_>,
) -> Result<Laid, String> {
    let settings = oneyaml::Compat::yaml_1_1().merge_keys(false);
    let mut stream =
        oneyaml::Stream::parse_with(source.text, &settings).map_err(|error| error.to_string())?;
    let mut target = oneyaml::Path::new();
    let there = path.steps().len() - gap.rest.len();
    for (step, place) in path.steps()[..there].iter().zip(&gap.trail[1..]) {
        match step {
            Step::Key(key) => target.push_key(key),
            Step::Index(_) | Step::Item { .. } => target.push_index(*place),
        }
    }
    let mut rest = gap.rest.as_slice();
    let mut insert = |rest: &[Step], target: &oneyaml::Path| -> Result<(), String> {
        let value = nested(rest)?;
        let mut document = stream.document_mut(document).ok_or("the document was not found again")?;
        document.set_path(target, value).map(|_| ()).map_err(|error| error.to_string())
    };
    match (&gap.parent.kind, rest) {
        (Kind::Mapping { .. }, [Step::Key(key), inner @ ..]) => {
            target.push_key(key);
            rest = inner;
        }
        (Kind::List { items }, [Step::Item { .. }, ..]) => target.push_index(items.len()),
        (Kind::List { items }, [Step::Index(at), inner @ ..]) if *at == items.len() => {
            target.push_index(items.len());
            rest = inner;
        }
        (Kind::Scalar { .. }, [Step::Key(_), ..]) => {}
        _ => return Err("it does not fit what is there".into()),
    }
    // The item's own keys are the value of the new place, not a list in it.
    match rest {
        [Step::Item { key, value }, inner @ ..] if matches!(gap.parent.kind, Kind::List { .. }) => {
            let item = item(key, value, inner)?;
            let mut document = stream.document_mut(document).ok_or("the document was not found again")?;
            document.set_path(&target, item).map_err(|error| error.to_string())?;
        }
        rest => insert(rest, &target)?,
    }
    let text = String::from_utf8(stream.to_bytes()).map_err(|error| error.to_string())?;
    Ok((text, (gap.trail.clone(), gap.rest.clone())))
}

fn nested(steps: &[Step]) -> Result<oneyaml::Value, String> {
    match steps {
        [] => Ok(oneyaml::Value::from(PLACEHOLDER)),
        [Step::Key(key), rest @ ..] => Ok(mapping([(key.as_str(), nested(rest)?)])),
        [Step::Item { key, value }, rest @ ..] => {
            Ok(oneyaml::Value::Sequence(vec![item(key, value, rest)?].into()))
        }
        [Step::Index(0), rest @ ..] => Ok(oneyaml::Value::Sequence(vec![nested(rest)?].into())),
        [Step::Index(at), ..] => Err(format!("a new list has no item {at}")),
    }
}

fn item(key: &str, value: &str, rest: &[Step]) -> Result<oneyaml::Value, String> {
    match rest {
        [Step::Key(inner), rest @ ..] if inner != key => {
            Ok(mapping([(key, oneyaml::Value::from(value)), (inner.as_str(), nested(rest)?)]))
        }
        _ => Err(format!("a new item needs another key than `{key}`")),
    }
}

fn mapping<const N: usize>(entries: [(&str, oneyaml::Value); N]) -> oneyaml::Value {
    let mut mapping = oneyaml::Mapping::new();
    for (key, value) in entries {
        mapping.insert(oneyaml::Value::from(key), value);
    }
    oneyaml::Value::Mapping(mapping)
}

/// The steps with the value at their end, as a reader sees them.
fn written(steps: &[Step], value: &str) -> Tree {
    let text = |text: &str| Tree::Text(text.to_owned());
    match steps {
        [] => text(value),
        [Step::Key(key), rest @ ..] => Tree::Mapping(vec![(text(key), written(rest, value))]),
        [Step::Index(_), rest @ ..] => Tree::List(vec![written(rest, value)]),
        [Step::Item { key, value: name }, rest @ ..] => {
            let mut entries = vec![(text(key), text(name))];
            if let Tree::Mapping(more) = written(rest, value) {
                entries.extend(more);
            }
            Tree::List(vec![Tree::Mapping(entries)])
        }
    }
}

/// Whether `new` is `old` with one run of bytes put in.
fn only_inserted(old: &str, new: &str) -> bool {
    let same = old.bytes().zip(new.bytes()).take_while(|(a, b)| a == b).count();
    let tail = old.bytes().rev().zip(new.bytes().rev()).take_while(|(a, b)| a == b).count();
    new.len() >= old.len() && same + tail >= old.len()
}
