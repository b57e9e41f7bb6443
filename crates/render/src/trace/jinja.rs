//! Tracing minijinja: marked templates over data that notes what is read.
//!
//! Marks are characters of the supplementary private use planes, which no manifest has. `MARK_LINE` is followed by one
//! character for the template and one for the line; a printed value stands between `MARK_VALUE`, one character for its
//! number, and `MARK_END`.

use std::sync::{Arc, Mutex, PoisonError};

use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{Error, Value as Jinjavalue};

use super::{Piece, Read, Trace};
use crate::files::below;
use crate::node::{Node, Value};
use crate::problem::Place;
use crate::source::Repository;
use crate::template::{settings, tag_length, to_value};
use crate::view::View;

const MARK_LINE: char = '\u{F0001}';
const MARK_VALUE: char = '\u{F0002}';
const MARK_END: char = '\u{F0003}';
/// Numbers are written as the characters from here on.
const DIGITS: u32 = 0x10_0000;
const MOST: usize = 0xFFF0;

fn digit(number: usize) -> char {
    char::from_u32(DIGITS + number.min(MOST) as u32).unwrap_or(MARK_END)
}

fn number(character: char) -> Option<usize> {
    (character as u32).checked_sub(DIGITS).map(|number| number as usize)
}

type Log = Arc<Mutex<Noted>>;

#[derive(Default)]
struct Noted {
    /// Reads since the last value was printed.
    pending: Vec<(Read, String)>,
    /// The reads of each printed value.
    values: Vec<Vec<Read>>,
    /// The templates in order of first use.
    templates: Vec<String>,
}

fn lock(log: &Log) -> std::sync::MutexGuard<'_, Noted> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn trace(repository: &Repository, file: &str, view: &View) -> Option<Trace> {
    let log = Log::default();
    let mut environment = settings();
    let (files, folder, loaded) =
        (repository.files.clone(), repository.folders.resources.clone(), log.clone());
    environment.set_loader(move |name| {
        let source = below(&folder, name).and_then(|(path, _)| files.read(&path).ok());
        let Some(source) = source.and_then(|bytes| String::from_utf8(bytes).ok()) else { return Ok(None) };
        let mut noted = lock(&loaded);
        noted.templates.push(name.to_owned());
        Ok(Some(marked(&source, noted.templates.len() - 1)))
    });
    let printed = log.clone();
    let mut unmarked = settings();
    unmarked.add_template("it", "{{ it }}").ok()?;
    environment.set_formatter(move |out, _, value| {
        // As the formatter of plain renderings prints it.
        let text = unmarked.get_template("it")?.render(minijinja::context! { it => value })?;
        let index = {
            let mut noted = lock(&printed);
            let pending = std::mem::take(&mut noted.pending);
            let reads =
                pending.into_iter().map(|(read, read_text)| Read { printed: read_text == text, ..read });
            let reads = reads.collect();
            noted.values.push(reads);
            noted.values.len() - 1
        };
        out.write_fmt(format_args!("{MARK_VALUE}{}{text}{MARK_END}", digit(index))).map_err(Error::from)
    });
    let root = Traced { node: view.extended.clone(), path: "".into(), log: log.clone() };
    let marked = environment.get_template(file).ok()?.render(Jinjavalue::from_object(root)).ok()?;
    drop(environment);
    let noted = std::mem::take(&mut *lock(&log));
    let templates: Vec<Arc<str>> =
        noted.templates.iter().map(|name| repository.template_name(name)).collect();
    Some(unmark(&marked, &templates, &noted.values))
}

/// The template with a mark before the first visible character of every line of its text.
fn marked(source: &str, template: usize) -> String {
    let mut out = String::with_capacity(source.len() + source.len() / 8);
    let mut rest = source;
    let mut line = 1;
    let mut at_line_start = true;
    while let Some(first) = rest.chars().next() {
        let tag_end = match rest.get(..2) {
            Some("{{" | "{%" | "{#") => Some(tag_length(rest)),
            _ => None,
        };
        // `{{-` eats the white space before it, which a mark would stop; statements and comments print nothing.
        let prints = tag_end.is_none() || (rest.starts_with("{{") && !rest.starts_with("{{-"));
        if at_line_start && prints && !first.is_whitespace() {
            out.extend([MARK_LINE, digit(template), digit(line)]);
            at_line_start = false;
        }
        let length = tag_end.unwrap_or(first.len_utf8());
        let piece = &rest[..length];
        out.push_str(piece);
        let lines = piece.matches('\n').count();
        line += lines;
        at_line_start |= lines > 0;
        rest = &rest[length..];
    }
    out
}

/// Takes the marks out, and says what stood behind them.
fn unmark(marked: &str, templates: &[Arc<str>], values: &[Vec<Read>]) -> Trace {
    let mut trace = Trace { text: String::with_capacity(marked.len()), pieces: Vec::new() };
    let mut place =
        Place { file: templates.first().cloned().unwrap_or_else(|| "".into()), line: 0, column: 0 };
    let mut open: Vec<(usize, Vec<Read>)> = Vec::new();
    let mut text_start = 0;
    let mut characters = marked.chars();
    let close = |trace: &mut Trace, start: usize, place: &Place, reads: Vec<Read>| {
        let out = start..trace.text.len();
        if !out.is_empty() || !reads.is_empty() {
            trace.pieces.push(Piece { out, template: place.clone(), reads });
        }
    };
    while let Some(character) = characters.next() {
        match character {
            MARK_LINE => {
                close(&mut trace, text_start, &place, Vec::new());
                let template = characters.next().and_then(number).unwrap_or(0);
                let line = characters.next().and_then(number).unwrap_or(0);
                let file = templates.get(template).cloned().unwrap_or_else(|| place.file.clone());
                place = Place { file, line: line as u32, column: 0 };
                text_start = trace.text.len();
            }
            MARK_VALUE => {
                if open.is_empty() {
                    close(&mut trace, text_start, &place, Vec::new());
                }
                let index = characters.next().and_then(number).unwrap_or(usize::MAX);
                open.push((trace.text.len(), values.get(index).cloned().unwrap_or_default()));
                text_start = trace.text.len();
            }
            MARK_END => {
                if let Some((start, reads)) = open.pop() {
                    // What was printed inside (the output of a macro, say) has its pieces already.
                    let start = start.max(text_start);
                    close(&mut trace, start, &place, reads);
                }
                text_start = trace.text.len();
            }
            other => trace.text.push(other),
        }
    }
    close(&mut trace, text_start, &place, Vec::new());
    trace.pieces.sort_by_key(|piece| piece.out.start);
    trace
}

/// Data that notes what is read of it.
#[derive(Clone)]
struct Traced {
    node: Arc<Node>,
    path: Arc<str>,
    log: Log,
}

impl std::fmt::Debug for Traced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Traced").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Traced {
    fn inner(&self, node: &Arc<Node>, step: &str) -> Jinjavalue {
        let path: Arc<str> = match (&*self.path, step.starts_with('[')) {
            ("", _) => step.into(),
            (path, true) => format!("{path}{step}").into(),
            (path, false) => format!("{path}.{step}").into(),
        };
        if matches!(node.value, Value::List(_) | Value::Map(_)) {
            return Jinjavalue::from_object(Traced { node: node.clone(), path, log: self.log.clone() });
        }
        let read = Read { path, origin: node.origin, printed: false };
        lock(&self.log).pending.push((read, node.to_text()));
        to_value(node)
    }
}

impl Object for Traced {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if matches!(self.node.value, Value::List(_)) { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Jinjavalue) -> Option<Jinjavalue> {
        if let Value::List(list) = &self.node.value {
            let index = key.as_usize()?;
            return list.items.get(index).map(|item| self.inner(item, &format!("[{index}]")));
        }
        let key = if key.is_integer() { key.to_string() } else { key.as_str()?.to_owned() };
        self.node.get(&key).map(|node| self.inner(node, &key))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.node.value {
            Value::Map(map) => Enumerator::Values(
                map.entries.iter().map(|entry| Jinjavalue::from(entry.key.clone())).collect(),
            ),
            Value::List(list) => Enumerator::Seq(list.items.len()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => Enumerator::NonEnumerable,
        }
    }
}
