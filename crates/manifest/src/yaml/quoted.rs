//! Quoted text that goes on at the indentation of its key, as in
//! ```yaml
//! key: "one
//! two"
//! ```
//! libyaml (so `kubectl`) and js-yaml accept it, the parser does not. White space at the start of such a line is no
//! part of the text, so the line is read with more of it, and the places of values are set right afterwards.

use super::error::YamlError;
use super::node::{Document, Node, Span, Value};

/// More than the deepest indentation of a block.
const MARGIN: usize = 512;

/// The parser's words for it.
pub(super) const REFUSAL: &str = "invalid indentation in multiline quoted scalar";

/// Lines that are mended before the first error is believed after all.
const MOST: usize = 2000;

/// Reads `text` with `read` after mending the line of `error`, and further ones as they come up.
pub(super) fn mend(
    text: &str,
    mut error: YamlError,
    read: &dyn Fn(&str) -> Result<Vec<Document>, YamlError>,
) -> Result<Vec<Document>, YamlError> {
    let mut mended = text.to_owned();
    let first = error.clone();
    // Offsets in `mended` behind which text was moved, in order.
    let mut inserted: Vec<usize> = Vec::new();
    while error.message() == REFUSAL && inserted.len() < MOST {
        let Some(start) = line_start(&mended, error.line) else { return Err(first) };
        if inserted.last().is_some_and(|&last| last >= start) {
            return Err(first);
        }
        mended.insert_str(start, &" ".repeat(MARGIN));
        inserted.push(start);
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

fn place(node: &mut Node, mended: &str, inserted: &[usize]) {
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

fn correct(span: &mut Span, mended: &str, inserted: &[usize]) {
    let before = |offset: usize| inserted.iter().take_while(|&&at| at < offset).count();
    let start = span.bytes.start;
    let on_line = inserted
        .iter()
        .filter(|&&at| at < start && mended.get(at..start).is_some_and(|between| !between.contains('\n')))
        .count();
    span.column = span.column.saturating_sub((on_line * MARGIN) as u32).max(1);
    span.bytes = start - before(start) * MARGIN..span.bytes.end - before(span.bytes.end) * MARGIN;
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
    fn other_errors_behind_such_text_keep_their_place() {
        let error = read("a: \"one\ntwo\"\nb: c: d\n", "x", Schema::Kubernetes).unwrap_err();
        assert_eq!((error.line, error.column, error.offset), (3, 5, 17));
        assert!(read("a: \"one\ntwo", "x", Schema::Kubernetes).is_err());
    }
}
