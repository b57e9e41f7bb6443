//! minijinja, with the settings that manifests need.
//!
//! Undefined is an error unless tested or given a default; nothing is escaped; the final newline stays; a list or map
//! is never printed by accident; templates see their data and the folder of the resources, nothing else; fuel and
//! depth end a runaway.

// minijinja's enums are open-ended, and its errors carry what the dropped ones say.
#![allow(clippy::wildcard_enum_match_arm, clippy::map_err_ignore)]

use std::error::Error as _;
use std::path::PathBuf;
use std::sync::Arc;

use manifest::yaml::position;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior, Value as Jinjavalue};

use super::filters;
use crate::files::{Files, below, shown};
use crate::node::{Node, Value};
use crate::problem::{Place, Problem};
use crate::source::{did_you_mean, nearest};
use crate::view::View;

/// Instructions that one rendering may take; a large template takes some ten thousand.
const FUEL: u64 = 20_000_000;

/// The most that one template may print, in bytes.
const MOST_BYTES: usize = 64 << 20;

/// The minijinja templates of a repository.
pub struct Jinja {
    environment: Environment<'static>,
    folder: PathBuf,
}

impl Jinja {
    /// Templates are read from `folder` when asked for.
    pub fn new(files: Arc<dyn Files>, folder: PathBuf) -> Self {
        let mut environment = settings();
        let root = folder.clone();
        environment.set_loader(move |name| load(&*files, &root, name));
        Self { environment, folder }
    }

    /// The environment, for tracing renders.
    pub fn environment(&self) -> &Environment<'static> {
        &self.environment
    }

    /// Renders `file` into `out`.
    pub(crate) fn render(
        &self,
        file: &str,
        place: &Arc<str>,
        view: &View,
        searched: &[Arc<str>],
        out: &mut String,
    ) -> Result<(), Problem> {
        let template = self.environment.get_template(file);
        let rendered = template.and_then(|template| {
            let mut writer = Limited { out: std::mem::take(out).into_bytes() };
            let context = Jinjavalue::from_dyn_object(view.extended.clone());
            let result = template.render_captured_to(context, &mut writer);
            *out = String::from_utf8(writer.out).expect("the engine writes whole strings");
            result.map(drop)
        });
        rendered.map_err(|error| self.problem(&error, file, place, view, searched))
    }

    fn shown(&self, template: &str) -> Arc<str> {
        shown(&self.folder.join(template)).into()
    }

    /// The error as the user should see it: where it happened, through which includes, what was meant.
    fn problem(
        &self,
        error: &Error,
        file: &str,
        place: &Arc<str>,
        view: &View,
        searched: &[Arc<str>],
    ) -> Problem {
        let mut chain = vec![error];
        let mut others = Vec::new();
        let mut next = error.source();
        while let Some(source) = next {
            match source.downcast_ref::<Error>() {
                Some(inner) => chain.push(inner),
                None => others.push(source.to_string()),
            }
            next = source.source();
        }
        let (inner, outer) = chain.split_last().expect("the chain starts with the error itself");
        if inner.kind() == ErrorKind::TemplateNotFound && inner.line().is_none() && outer.is_empty() {
            return Problem::new(format!("there is no such file: {place}"));
        }
        let name = inner.name().or_else(|| outer.iter().rev().find_map(|error| error.name())).unwrap_or(file);
        let source = self.environment.get_template(name).map(|template| template.source().to_owned());
        let source = source.ok().or_else(|| inner.template_source().map(str::to_owned));
        let source = source.or_else(|| {
            let path = self.folder.join(name);
            std::fs::read_to_string(path).ok()
        });
        let source = source.unwrap_or_default();
        let range = inner.range().filter(|range| source.get(range.clone()).is_some());
        let (line, column) = match &range {
            Some(range) => position(&source, range.start),
            None => (inner.line().unwrap_or(0) as u32, 0),
        };
        let expression = range.map(|range| expression(&source, range)).unwrap_or_default();
        let mut problem = match inner.kind() {
            ErrorKind::UndefinedError => undefined(&expression, view, searched),
            ErrorKind::OutOfFuel => {
                Problem::new(format!("the template does too much: stopped after {FUEL} steps"))
            }
            ErrorKind::WriteFailure => {
                Problem::new(format!("the template prints too much: stopped after {} MB", MOST_BYTES >> 20))
            }
            _ => match inner.detail() {
                Some(detail) if inner.kind() == ErrorKind::SyntaxError => {
                    Problem::new(format!("syntax error: {detail}"))
                }
                Some(detail) => Problem::new(detail.to_owned()),
                None => Problem::new(inner.kind().to_string()),
            },
        };
        problem = match inner.kind() {
            ErrorKind::UnknownFilter => {
                let name = problem.message.split(' ').nth(1).unwrap_or_default().to_owned();
                did_you_mean(problem, &name, filters::NAMES.iter().copied())
            }
            _ => problem,
        };
        problem = problem.at(Place { file: self.shown(name), line, column }).excerpt_of(&source);
        for error in outer.iter().rev() {
            if let (Some(name), Some(line)) = (error.name(), error.line()) {
                let used = format!("used at {}:{line}", self.shown(name));
                if !problem.causes.contains(&used) {
                    problem = problem.cause(used);
                }
            }
        }
        for other in others {
            problem = problem.cause(other);
        }
        problem
    }
}

/// An environment with our settings and filters.
pub(crate) fn settings() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(100);
    environment.set_syntax(
        minijinja::syntax::SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .keep_trailing_newline(true)
            .build()
            .expect("the default delimiters are valid"),
    );
    environment.set_formatter(|out, _, value| format(out, value));
    environment.set_path_join_callback(|name, parent| join(name, parent).into());
    filters::add(&mut environment);
    environment
}

/// `./x` and `../x` are relative to the template that includes; anything else to the folder of the resources.
pub(crate) fn join(name: &str, parent: &str) -> String {
    if name.starts_with("./") || name.starts_with("../") {
        let folder = parent.rsplit_once('/').map_or("", |(folder, _)| folder);
        let joined = format!("{folder}/{name}");
        match below(std::path::Path::new("."), &joined) {
            Some((_, relative)) => relative,
            None => name.to_owned(),
        }
    } else {
        name.to_owned()
    }
}

fn load(files: &dyn Files, root: &std::path::Path, name: &str) -> Result<Option<String>, Error> {
    let refused = |why: &str| Error::new(ErrorKind::InvalidOperation, format!("`{name}` {why}"));
    let Some((path, _)) = below(root, name) else {
        return Err(refused("leaves the folder of the resources"));
    };
    let bytes = match files.read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused("cannot be read").with_source(error)),
    };
    if !files.is_inside(root, &path).unwrap_or(false) {
        return Err(refused("is a symbolic link out of the folder of the resources"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| refused("is not UTF-8 text"))
}

/// Prints scalars as YAML writes them, and refuses what would print as Python.
pub(crate) fn format(out: &mut minijinja::Output<'_>, value: &Jinjavalue) -> Result<(), Error> {
    use minijinja::value::ValueKind;
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(Error::from);
    }
    match value.kind() {
        ValueKind::Undefined => Err(Error::from(ErrorKind::UndefinedError)),
        ValueKind::None => out.write_str("null").map_err(Error::from),
        ValueKind::Bool => out.write_str(if value.is_true() { "true" } else { "false" }).map_err(Error::from),
        ValueKind::Number => match value.is_integer() {
            true => write!(out, "{value}").map_err(Error::from),
            false => {
                let mut text = String::new();
                crate::js::write_number(f64::try_from(value.clone())?, &mut text);
                out.write_str(&text).map_err(Error::from)
            }
        },
        kind @ (ValueKind::Map | ValueKind::Seq | ValueKind::Iterable) => Err(Error::new(
            ErrorKind::InvalidOperation,
            format!("a {kind} cannot be printed as it is; use `| toyaml`, `| tojson` or a loop"),
        )),
        kind => Err(Error::new(ErrorKind::InvalidOperation, format!("a {kind} cannot be printed"))),
    }
}

/// The whole expression around `range`: the engine names only the part that failed.
fn expression(source: &str, range: std::ops::Range<usize>) -> String {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '"' | '\'' | '-');
    let before = source[..range.start].trim_end_matches(part).len();
    let after = range.end + source[range.end..].find(|c| !part(c)).unwrap_or(source.len() - range.end);
    source[before..after].trim().to_owned()
}

enum Step<'p> {
    Key(&'p str),
    Item(usize),
}

/// `a.b[0]["c"]` taken apart, as far as it is as plain as that.
fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    path.split(['.', '[', ']']).filter(|part| !part.is_empty()).map(|part| {
        let part = part.trim_matches(['"', '\'']);
        part.parse().map_or(Step::Key(part), Step::Item)
    })
}

/// The message for something that is not there, with the layers searched and the nearest name.
fn undefined(expression: &str, view: &View, searched: &[Arc<str>]) -> Problem {
    let expression = expression.trim_start_matches("{{").trim_end_matches("}}").trim();
    let path: String = expression
        .chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '[' | ']' | '"' | '\''))
        .collect();
    let path = path.trim_end_matches('.');
    let message = match path {
        "" => "undefined value".to_owned(),
        path => format!("undefined: `{path}`"),
    };
    let mut problem = Problem::new(message);
    let mut node = &view.extended;
    let mut known = String::new();
    for step in steps(path) {
        let (inner, next) = match step {
            Step::Key(key) => {
                (node.get(key), if known.is_empty() { key.to_owned() } else { format!("{known}.{key}") })
            }
            Step::Item(index) => {
                (node.as_list().and_then(|items| items.get(index)), format!("{known}[{index}]"))
            }
        };
        if let Some(inner) = inner {
            (node, known) = (inner, next);
            continue;
        }
        let keys: Vec<&str> = node.as_map().map(|map| map.keys().collect()).unwrap_or_default();
        let near = match step {
            Step::Key(key) => nearest(key, keys.iter().copied()),
            Step::Item(_) => None,
        };
        if let Some(near) = near {
            let prefix = if known.is_empty() { String::new() } else { format!("{known}.") };
            problem = problem.hint(format!("did you mean `{prefix}{near}`?"));
        } else if !known.is_empty() {
            problem = problem.cause(match &node.value {
                Value::Map(_) => {
                    let list: Vec<&str> = keys.into_iter().take(12).collect();
                    format!("`{known}` has {}", list.join(", "))
                }
                Value::List(list) => format!("`{known}` is a list of {}", list.items.len()),
                Value::Null
                | Value::Bool(_)
                | Value::Int(_)
                | Value::Float(_)
                | Value::Text(_)
                | Value::Date(_) => format!("`{known}` is {}", node.kind()),
            });
        }
        break;
    }
    let layers: Vec<&str> = searched.iter().map(|file| &**file).collect();
    problem.cause(format!("searched {}", layers.join(", "))).hint(match path {
        "" => "test it with `is defined`, or give it a value with `| default(…)`".to_owned(),
        path => format!("set it in one of these files, or write `{path} | default(…)`"),
    })
}

/// Refuses more than [`MOST_BYTES`]. Bytes, because to check each of many small pieces for text costs more than the whole.
struct Limited {
    out: Vec<u8>,
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.out.len() + bytes.len() > MOST_BYTES {
            return Err(std::io::Error::other("too much"));
        }
        self.out.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl From<&Node> for Jinjavalue {
    fn from(node: &Node) -> Self {
        match &node.value {
            Value::Null => Jinjavalue::from(()),
            Value::Bool(flag) => Jinjavalue::from(*flag),
            Value::Int(number) => Jinjavalue::from(*number),
            Value::Float(number) if number.fract() == 0.0 && number.abs() < 9e15 => {
                Jinjavalue::from(*number as i64)
            }
            Value::Float(number) => Jinjavalue::from(*number),
            Value::Text(text) => Jinjavalue::from(text.clone()),
            Value::Date(_) => Jinjavalue::from(node.to_text()),
            Value::List(_) | Value::Map(_) => Jinjavalue::from_object(node.clone()),
        }
    }
}

/// The value without a copy of lists and maps.
pub(crate) fn to_value(node: &Arc<Node>) -> Jinjavalue {
    match &node.value {
        Value::List(_) | Value::Map(_) => Jinjavalue::from_dyn_object(node.clone()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            Jinjavalue::from(&**node)
        }
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if matches!(self.value, Value::List(_)) { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Jinjavalue) -> Option<Jinjavalue> {
        match &self.value {
            Value::Map(map) => match key.as_str() {
                Some(key) => map.get(key).map(to_value),
                None if key.is_integer() => map.get(&key.to_string()).map(to_value),
                None => None,
            },
            Value::List(list) => list.items.get(key.as_usize()?).map(to_value),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => None,
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Jinjavalue> {
        if let Value::Map(map) = &self.value { map.get(key).map(to_value) } else { None }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.value {
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
