//! Values that kit's YAML parser and Kubernetes' read differently, rewritten so that both read what kit did.

use manifest::yaml::{self, Node, Scalar, Schema, Style, Value};

/// A replacement of bytes.
struct Edit {
    bytes: std::ops::Range<usize>,
    text: String,
}

/// A value that cannot be rewritten in place.
pub(super) struct Stuck {
    /// Its line.
    pub(super) line: u32,
    /// Why, as a clause.
    pub(super) reason: String,
}

/// `text` with every such value rewritten, and every `file: x.mustache` renamed if `renames`.
pub(super) fn rewrite(text: &str, name: &str, renames: bool) -> Result<String, Vec<Stuck>> {
    let read = |text: &str, schema| {
        yaml::read_one(text, name, schema).map_err(|error| {
            vec![Stuck { line: error.line, reason: format!("is not valid YAML: {}", error.message()) }]
        })
    };
    // Keys first: two that kit tells apart (`yes`, `on`) may be one and the same to Kubernetes.
    let mut edits = Vec::new();
    keys(text, &read(text, Schema::JsYaml3)?.root, &mut edits);
    let text = &apply(text, edits);
    let (kit, kubernetes) = (read(text, Schema::JsYaml3)?, read(text, Schema::Kubernetes)?);
    let mut rewriter = Rewriter { text, edits: Vec::new(), stuck: Vec::new(), renames };
    rewriter.node(&kit.root, &kubernetes.root);
    if !rewriter.stuck.is_empty() {
        return Err(rewriter.stuck);
    }
    Ok(apply(text, rewriter.edits))
}

fn apply(text: &str, mut edits: Vec<Edit>) -> String {
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.bytes.start));
    // What aliases and merge keys bring in stands in the file once.
    edits.dedup_by(|a, b| a.bytes == b.bytes);
    let mut rewritten = text.to_owned();
    for edit in edits {
        rewritten.replace_range(edit.bytes, &edit.text);
    }
    rewritten
}

/// Quotes every key that Kubernetes would not call as kit did.
fn keys(text: &str, node: &Node, edits: &mut Vec<Edit>) {
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter().for_each(|item| keys(text, item, edits)),
        Value::Map(map) => {
            for entry in map {
                let written = entry.key_span.text(text);
                let is_quoted = written.starts_with(['"', '\'']);
                if !is_quoted && Schema::Kubernetes.resolve(written).to_text() != entry.key {
                    edits.push(Edit { bytes: entry.key_span.bytes.clone(), text: quoted(&entry.key) });
                }
                keys(text, &entry.value, edits);
            }
        }
    }
}

struct Rewriter<'t> {
    text: &'t str,
    edits: Vec<Edit>,
    stuck: Vec<Stuck>,
    renames: bool,
}

impl Rewriter<'_> {
    fn node(&mut self, kit: &Node, kubernetes: &Node) {
        match (&kit.value, &kubernetes.value) {
            (Value::Scalar(own), Value::Scalar(other)) => {
                if own == other || same_number(own, other) {
                    return;
                }
                match kit.style {
                    Style::Plain => {
                        self.edits.push(Edit { bytes: kit.span.bytes.clone(), text: written(own) })
                    }
                    Style::Quoted | Style::Block | Style::Flow => self.stuck.push(Stuck {
                        line: kit.span.line,
                        reason: "is a block of text that kit's YAML parser reads in its own way".to_owned(),
                    }),
                }
            }
            (Value::List(own), Value::List(other)) => {
                own.iter().zip(other).for_each(|(own, other)| self.node(own, other));
            }
            (Value::Map(own), Value::Map(_)) => {
                for entry in own {
                    self.entry(entry, kubernetes);
                }
            }
            _ => self.stuck.push(Stuck { line: kit.span.line, reason: "has two readings".to_owned() }),
        }
    }

    fn entry(&mut self, entry: &yaml::Entry, kubernetes: &Node) {
        let Some(map) = kubernetes.as_map() else { return };
        // Keys stand at the same bytes in both readings.
        let Some(other) = map.iter().find(|other| other.key_span.bytes == entry.key_span.bytes) else {
            self.stuck
                .push(Stuck { line: entry.key_span.line, reason: "has a key with two readings".to_owned() });
            return;
        };
        if self.renames
            && entry.key == "file"
            && entry.value.as_str().is_some_and(|file| file.ends_with(".mustache"))
        {
            let span = &entry.value.span.bytes;
            let written = &self.text[span.clone()];
            if let Some(at) = written.rfind(".mustache") {
                let start = span.start + at;
                self.edits
                    .push(Edit { bytes: start..start + ".mustache".len(), text: ".yaml.j2".to_owned() });
            }
            return;
        }
        self.node(&entry.value, &other.value);
    }
}

fn same_number(a: &Scalar, b: &Scalar) -> bool {
    let number = |scalar: &Scalar| match scalar {
        Scalar::Int(number) => Some(*number as f64),
        Scalar::UInt(number) => Some(*number as f64),
        Scalar::Float(number) => Some(*number),
        Scalar::Null | Scalar::Bool(_) | Scalar::Text(_) | Scalar::Date(_) => None,
    };
    match (number(a), number(b)) {
        (Some(x), Some(y)) => {
            // Whole numbers above 2^53 lost digits in kit.
            (x == y && !matches!((a, b), (Scalar::Float(_), Scalar::Int(_) | Scalar::UInt(_))))
                || (x.is_nan() && y.is_nan())
        }
        _ => false,
    }
}

fn written(scalar: &Scalar) -> String {
    match scalar {
        Scalar::Null => "null".to_owned(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Int(number) => number.to_string(),
        Scalar::UInt(number) => number.to_string(),
        Scalar::Float(number) => {
            let mut text = String::new();
            manifest::js::write_number(*number, &mut text);
            text
        }
        Scalar::Text(text) => quoted(text),
        Scalar::Date(millis) => {
            let mut text = String::new();
            manifest::js::write_date(*millis, &mut text);
            quoted(&text)
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
