//! One more entry under `resources:` of a base-cluster.yaml, every other byte kept.

use manifest::yaml::{self, Schema, Style, Value};
use render::node::{FileId, Layer, Node};

/// The text with `name` under `resources:`; `fields` are its lines, without indentation.
///
/// # Errors
/// Why it cannot be put there, as a clause.
pub(super) fn add(text: &str, schema: Schema, name: &str, fields: &[String]) -> Result<String, String> {
    let read =
        |text: &str| yaml::read_one(text, "base-cluster.yaml", schema).map_err(|error| error.message());
    let document = read(text)?;
    let end = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let resources = document.root.as_map().and_then(|map| map.iter().find(|entry| entry.key == "resources"));
    let lines = |indent: usize| {
        let step = if indent == 0 { 2 } else { indent };
        let head = format!("{}{}:{end}", " ".repeat(indent), key(name));
        let fields = fields.iter().map(|field| format!("{}{field}{end}", " ".repeat(indent + step)));
        std::iter::once(head).chain(fields).collect::<String>()
    };
    let new = match resources {
        None if document.is_empty() || document.root.style == Style::Block => {
            insert(text, text.len(), &format!("resources:{end}{}", lines(2)), end)
        }
        None => return Err("it is written in braces".to_owned()),
        Some(entry) => {
            let value = &entry.value;
            let key_line_end = line_end(text, entry.key_span.bytes.end);
            match &value.value {
                Value::Map(map) if value.style == Style::Block => {
                    let Some(first) = map.iter().next() else { return Err("it is empty".to_owned()) };
                    let indent = (first.key_span.column as usize).saturating_sub(1);
                    insert(
                        text,
                        block_end(text, key_line_end, entry.key_span.column as usize - 1),
                        &lines(indent),
                        end,
                    )
                }
                Value::Map(map) if map.iter().next().is_none() => {
                    let bytes = value.span.bytes.clone();
                    let without = format!("{}{}", text[..bytes.start].trim_end(), &text[bytes.end..]);
                    let at = line_end(&without, entry.key_span.bytes.end);
                    insert(&without, at, &lines(2), end)
                }
                Value::Scalar(_) if value.is_null() && value.span.text(text).trim().is_empty() => {
                    insert(text, key_line_end, &lines(2), end)
                }
                Value::Map(_) => return Err("`resources` is written in braces".to_owned()),
                Value::Scalar(_) | Value::List(_) => return Err("`resources` is not a map".to_owned()),
            }
        }
    };
    prove(&document.root, &read(&new)?.root, name)?;
    Ok(new)
}

/// The key as it must be written to be this text.
fn key(name: &str) -> String {
    let is_text = |schema: Schema| matches!(schema.resolve(name), yaml::Scalar::Text(_));
    if is_text(Schema::Kubernetes) && is_text(Schema::JsYaml3) {
        name.to_owned()
    } else {
        format!("\"{name}\"")
    }
}

/// The offset behind the line that `offset` is in.
fn line_end(text: &str, offset: usize) -> usize {
    text[offset..].find('\n').map_or(text.len(), |at| offset + at + 1)
}

/// The offset behind the last line of a block whose key is indented by `indent`, from the line at `start` on.
fn block_end(text: &str, start: usize, indent: usize) -> usize {
    let (mut at, mut end) = (start, start);
    for line in text[start..].split_inclusive('\n') {
        at += line.len();
        let content = line.trim_start_matches(' ');
        if content.trim().is_empty() {
            continue;
        }
        if line.len() - content.len() <= indent {
            break;
        }
        end = at;
    }
    end
}

fn insert(text: &str, at: usize, lines: &str, end: &str) -> String {
    let (before, after) = text.split_at(at);
    let newline = if before.is_empty() || before.ends_with('\n') { "" } else { end };
    format!("{before}{newline}{lines}{after}")
}

/// Whether the new text differs in the one entry only.
fn prove(old: &yaml::Node, new: &yaml::Node, name: &str) -> Result<(), String> {
    let json = |node: &yaml::Node| Node::from_yaml(node, FileId::NONE, Layer::Base, false).to_json();
    let (mut old, mut new) = (json(old), json(new));
    let resources = |tree: &mut serde_json::Value| {
        tree.as_object_mut().and_then(|map| map.remove("resources")).unwrap_or_default()
    };
    let (mut before, mut after) = (resources(&mut old), resources(&mut new));
    if before.is_null() {
        before = serde_json::json!({});
    }
    if old.is_null() {
        old = serde_json::json!({});
    }
    let is_added = after.as_object_mut().and_then(|map| map.shift_remove(name)).is_some();
    if is_added && old == new && before == after {
        return Ok(());
    }
    Err("the entry would change something else".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(text: &str) -> Result<String, String> {
        add(text, Schema::Kubernetes, "cart", &["file: ./cart.yaml.j2".to_owned(), "port: 80".to_owned()])
    }

    #[test]
    fn the_entry_goes_behind_the_last_one_and_every_other_byte_stays() {
        assert_eq!(
            added(
                "# a\nresources:\n    hello:  # x\n        file: a\n\n    # end\n\n# next\nmetadata: {a: 1}"
            )
            .as_deref(),
            Ok(
                "# a\nresources:\n    hello:  # x\n        file: a\n\n    # end\n    cart:\n        file: ./cart.yaml.j2\n        port: 80\n\n# next\nmetadata: {a: 1}"
            )
        );
    }

    #[test]
    fn without_resources_they_begin() {
        let cart = "  cart:\n    file: ./cart.yaml.j2\n    port: 80\n";
        assert_eq!(added("kind: A"), Ok(format!("kind: A\nresources:\n{cart}")));
        assert_eq!(added("resources: # none\nkind: A\n"), Ok(format!("resources: # none\n{cart}kind: A\n")));
        assert_eq!(
            added("resources: {} # none\nkind: A\n"),
            Ok(format!("resources: # none\n{cart}kind: A\n"))
        );
        assert_eq!(added(""), Ok(format!("resources:\n{cart}")));
    }

    #[test]
    fn line_ends_stay_what_they_are() {
        assert_eq!(
            added("resources:\r\n  a:\r\n    file: x\r\n").as_deref(),
            Ok(
                "resources:\r\n  a:\r\n    file: x\r\n  cart:\r\n    file: ./cart.yaml.j2\r\n    port: 80\r\n"
            )
        );
    }

    #[test]
    fn what_cannot_be_edited_is_refused() {
        assert!(added("{kind: A}").is_err());
        assert!(added("resources: {a: {file: x}}\n").is_err());
        assert!(added("x: &x\n  a: {file: x}\nresources: *x\nkind: A\n").is_err());
        assert!(added("resources: [a]\n").is_err());
        assert!(added("resources:\n  cart: {file: a}\n").is_err());
        assert!(added("a: [\n").is_err());
    }

    #[test]
    fn a_name_that_yaml_reads_as_something_else_is_quoted() {
        let text = add("resources:\n  a: {}\n", Schema::Kubernetes, "on", &["file: x".to_owned()]);
        assert_eq!(text.as_deref(), Ok("resources:\n  a: {}\n  \"on\":\n    file: x\n"));
    }
}
