//! What other readers accept and the parser does not. White space is put where it wants some and where it is no part
//! of any text, and the places of values are set right afterwards.
//!
//! Quoted text that goes on at the indentation of its key, which libyaml (so `kubectl`) and js-yaml accept:
//! ```yaml
//! key: "one
//! two"
//! ```
//! And what only js-yaml 3.5.2 accepts:
//! ```yaml
//! --- a: {b:{}, c:[1]}# note
//! ```

use super::Schema;
use super::error::{Problem, YamlError};
use super::node::{Document, Node, Span, Value};

/// More than the deepest indentation of a block.
const MARGIN: usize = 512;

/// Places that are mended before the first error is believed after all.
const MOST: usize = 2000;

/// White space that `mended` has and the file does not: before which offset, and how much.
type Inserted = Vec<(usize, usize)>;

/// Where `text` wants white space for the parser to go on after `error`.
fn missing(text: &str, error: &YamlError, schema: Schema) -> Option<(usize, usize)> {
    let Problem::Syntax(words) = &error.problem else { return None };
    let js = schema == Schema::JsYaml3;
    if words == "invalid indentation in multiline quoted scalar" {
        Some((line_start(text, error.line)?, MARGIN))
    } else if js && words.starts_with("':' may not precede any of") {
        text.get(error.offset..)?.starts_with(':').then_some((error.offset + 1, 1))
    } else if js && words.starts_with("comments must be separated") {
        text.get(error.offset..)?.starts_with('#').then_some((error.offset, 1))
    } else {
        None
    }
}

/// js-yaml lets the first key stand behind the `---`, and its column is that of the mapping.
fn without_marker(text: &str, error: &YamlError, schema: Schema) -> Option<String> {
    let start = line_start(text, error.line)?;
    let line = text.get(start..)?;
    let comment = |line: &str| line.trim_start().starts_with('#') || line.trim().is_empty();
    let first = text.get(..start)?.trim_start_matches('\u{feff}').lines().all(comment);
    if schema != Schema::JsYaml3 || !first || !line.starts_with("--- ") {
        return None;
    }
    let mut mended = text.to_owned();
    mended.replace_range(start..start + 3, "   ");
    Some(mended)
}

/// Reads `text` with `read` after mending what `error` is about, and further ones as they come up.
pub(super) fn mend(
    text: &str,
    mut error: YamlError,
    schema: Schema,
    read: &dyn Fn(&str) -> Result<Vec<Document>, YamlError>,
) -> Result<Vec<Document>, YamlError> {
    let mut mended = text.to_owned();
    let first = error.clone();
    let mut inserted = Inserted::new();
    while inserted.len() < MOST {
        if let Some((at, count)) = missing(&mended, &error, schema) {
            if inserted.last().is_some_and(|&(last, _)| last >= at) {
                return Err(first);
            }
            mended.insert_str(at, &" ".repeat(count));
            inserted.push((at, count));
        } else if let Some(without) = without_marker(&mended, &error, schema) {
            mended = without;
        } else {
            break;
        }
        match read(&mended) {
            Ok(mut documents) => {
                documents.iter_mut().for_each(|document| place(&mut document.root, &mended, &inserted));
                return Ok(documents);
            }
            Err(next) => error = next,
        }
    }
    let mut span = Span { bytes: error.offset..error.offset, line: error.line, column: error.column };
    correct(&mut span, &mended, &inserted);
    error.column = span.column;
    error.offset = span.bytes.start;
    Err(error)
}

fn line_start(text: &str, line: u32) -> Option<usize> {
    let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(breaks).nth(line as usize - 1)
}

fn place(node: &mut Node, mended: &str, inserted: &[(usize, usize)]) {
    correct(&mut node.span, mended, inserted);
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(list) => list.iter_mut().for_each(|item| place(item, mended, inserted)),
        Value::Map(map) => map.entries.iter_mut().for_each(|entry| {
            correct(&mut entry.key_span, mended, inserted);
            place(&mut entry.value, mended, inserted);
        }),
    }
}

fn correct(span: &mut Span, mended: &str, inserted: &[(usize, usize)]) {
    let before = |offset: usize| -> usize {
        inserted.iter().take_while(|&&(at, _)| at < offset).map(|&(_, count)| count).sum()
    };
    let start = span.bytes.start;
    let on_line: usize = inserted
        .iter()
        .filter(|&&(at, _)| {
            at < start && mended.get(at..start).is_some_and(|between| !between.contains('\n'))
        })
        .map(|&(_, count)| count)
        .sum();
    span.column = span.column.saturating_sub(on_line as u32).max(1);
    span.bytes = start - before(start)..span.bytes.end - before(span.bytes.end);
}

#[cfg(test)]
mod tests {
    use crate::yaml::{Schema, read, read_one};

    #[test]
    fn quoted_text_may_go_on_at_the_indentation_of_its_key() {
        let text = "a: \"one\ntwo\n\n\nthree\"\nb:\n  c: 'x\n  y'\n  d: [\"p\nq\", r]\ne: 1\n";
        let document = read_one(text, "x", Schema::Kubernetes).unwrap();
        let get = |key: &str| document.root.get(key).unwrap();
        assert_eq!(get("a").as_str(), Some("one two\n\nthree"));
        assert_eq!(get("b").get("c").unwrap().as_str(), Some("x y"));
        let list = get("b").get("d").unwrap().as_list().unwrap();
        assert_eq!(list[0].as_str(), Some("p q"));
        assert_eq!((list[1].span.line, list[1].span.column, list[1].span.text(text)), (10, 5, "r"));
        assert_eq!((get("e").span.line, get("e").span.text(text)), (11, "1"));
        assert_eq!(get("a").span.text(text), "\"one\ntwo\n\n\nthree\"");
    }

    #[test]
    fn what_js_yaml_lets_pass_reads_as_there_and_keeps_its_place() {
        let text = "# note\n--- a: {b:{}, c:[x], d: y}# note\n    e: z\n";
        let document = read_one(text, "x", Schema::JsYaml3).unwrap();
        assert_eq!(
            document.root.to_json().unwrap(),
            serde_json::json!({"a": {"b": {}, "c": ["x"], "d": "y"}, "e": "z"})
        );
        let d = document.root.get("a").and_then(|a| a.get("d")).unwrap();
        assert_eq!((d.span.line, d.span.column, d.span.text(text)), (2, 25, "y"));
        assert_eq!(document.root.get("e").unwrap().span.text(text), "z");
        for schema in [Schema::Kubernetes, Schema::Core] {
            assert!(read_one(text, "x", schema).is_err());
        }
        let error = read_one("a: {b:{}, c: d: e}\n", "x", Schema::JsYaml3).unwrap_err();
        assert_eq!((error.line, error.column, error.offset), (1, 15, 14), "{error}");
        assert!(read_one("--- a: 1\nb: 2\n", "x", Schema::JsYaml3).is_err());
    }

    #[test]
    fn other_errors_behind_such_text_keep_their_place() {
        let error = read("a: \"one\ntwo\"\nb: c: d\n", "x", Schema::Kubernetes).unwrap_err();
        assert_eq!((error.line, error.column, error.offset), (3, 5, 17));
        assert!(read("a: \"one\ntwo", "x", Schema::Kubernetes).is_err());
    }
}
