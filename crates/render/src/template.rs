//! Templates: which engine renders a file, and what the file is called then.

mod filters;
mod jinja;
mod reads;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::files::{below, shown};
use crate::mustache::{self, Found, Tag};
use crate::node::{Node, Value};
use crate::problem::{Place, Problem};
use crate::source::{Repository, did_you_mean};
use crate::view::View;

pub use jinja::Jinja;
pub(crate) use jinja::{join, settings, to_value};
pub(crate) use reads::{Print, Reads, brings_in, statements, tag_length};

/// What happens to a resource's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// kit's templates: `.mustache`.
    Mustache,
    /// `.j2`, `.jinja`, `.jinja2`.
    Jinja,
    /// `.yaml`, `.yml`, `.json`: copied byte for byte.
    Copy,
}

impl Engine {
    /// The engine for a file name, and the name of what it makes.
    pub fn of(file: &str) -> Option<(Engine, String)> {
        let base = file.rsplit('/').next().unwrap_or(file);
        let manifest = |name: &str| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if let Some(stem) = base.strip_suffix(".mustache") {
            return Some((Engine::Mustache, format!("{stem}.yaml")));
        }
        for end in [".j2", ".jinja", ".jinja2"] {
            if let Some(stem) = base.strip_suffix(end) {
                let name = if manifest(stem) { stem.to_owned() } else { format!("{stem}.yaml") };
                return Some((Engine::Jinja, name));
            }
        }
        if manifest(base) { Some((Engine::Copy, base.to_owned())) } else { None }
    }
}

/// The names that the template of all services may have, by engine.
pub const SERVICE_TEMPLATES: [(&str, Engine); 6] = [
    ("base-svc.mustache", Engine::Mustache),
    ("base-svc.yaml.j2", Engine::Jinja),
    ("base-svc.yaml.jinja", Engine::Jinja),
    ("base-svc.yaml.jinja2", Engine::Jinja),
    ("base-svc.j2", Engine::Jinja),
    ("base-svc.jinja", Engine::Jinja),
];

/// A file that is copied.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Its bytes.
    pub text: Arc<str>,
    /// Its permission bits.
    pub mode: u32,
}

/// All templates of a repository, each read and compiled once.
pub struct Templates {
    jinja: Jinja,
    mustache: Mutex<HashMap<String, Result<Arc<mustache::Template>, Problem>>>,
    copied: Mutex<HashMap<String, Result<Copied, Problem>>>,
    service: [Option<&'static str>; 2],
    strict: bool,
}

impl Templates {
    /// The templates of a repository; none is read yet. With `strict`, a name that Mustache finds nowhere is an error.
    pub fn new(repository: &Repository, strict: bool) -> Self {
        let folder = &repository.folders.resources;
        let entries = repository.files.list(folder).unwrap_or_default();
        let find = |engine: Engine| {
            SERVICE_TEMPLATES
                .iter()
                .filter(|(_, of)| *of == engine)
                .find(|(name, _)| entries.iter().any(|entry| entry.name == *name && !entry.is_dir))
                .map(|(name, _)| *name)
        };
        Self {
            jinja: Jinja::new(repository.files.clone(), folder.clone()),
            mustache: Mutex::default(),
            copied: Mutex::default(),
            service: [find(Engine::Mustache), find(Engine::Jinja)],
            strict,
        }
    }

    /// The template of services: the one of the resource's own engine if there are two.
    pub fn service(&self, engine: Option<Engine>) -> Option<(&'static str, Engine)> {
        let mustache = self.service[0].map(|name| (name, Engine::Mustache));
        let jinja = self.service[1].map(|name| (name, Engine::Jinja));
        if engine == Some(Engine::Jinja) { jinja.or(mustache) } else { mustache.or(jinja) }
    }

    /// The minijinja side.
    pub fn jinja(&self) -> &Jinja {
        &self.jinja
    }

    /// The compiled `.mustache` template at `file`, relative to the folder of the resources.
    ///
    /// # Errors
    /// Missing, unreadable or not valid.
    pub fn mustache(&self, repository: &Repository, file: &str) -> Result<Arc<mustache::Template>, Problem> {
        let mut cache = self.mustache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(file) {
            return found.clone();
        }
        let compiled = source(repository, file).and_then(|text| {
            mustache::Template::parse(&text).map(Arc::new).map_err(|error| {
                let at = error.position();
                let place = Place { file: repository.template_name(file), line: at.line, column: at.column };
                Problem::new(error.to_string()).at(place).excerpt_of(&text)
            })
        });
        cache.insert(file.to_owned(), compiled.clone());
        compiled
    }

    /// The file at `file`, to be copied.
    ///
    /// # Errors
    /// Missing or unreadable.
    pub fn copied(&self, repository: &Repository, file: &str) -> Result<Copied, Problem> {
        let mut cache = self.copied.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get(file) {
            return found.clone();
        }
        let copied = source(repository, file).and_then(|text| {
            let path = repository.folders.resources.join(file);
            let mode =
                repository.files.mode(&path).map_err(|error| Problem::unreadable(&shown(&path), &error))?;
            Ok(Copied { text: text.into(), mode })
        });
        cache.insert(file.to_owned(), copied.clone());
        copied
    }

    /// Renders a template into `out`.
    ///
    /// # Errors
    /// Everything that is wrong with the template, or with what it asks for.
    pub fn render(
        &self,
        repository: &Repository,
        engine: Engine,
        file: &str,
        view: &View,
        searched: &[Arc<str>],
        out: &mut String,
    ) -> Result<(), Vec<Problem>> {
        match engine {
            Engine::Copy => {
                out.push_str(&self.copied(repository, file).map_err(|problem| vec![problem])?.text);
                Ok(())
            }
            Engine::Jinja => {
                let place = repository.template_name(file);
                self.jinja.render(file, &place, view, searched, out).map_err(|problem| {
                    let folder = &repository.folders.resources;
                    match problem.place {
                        Some(_) => vec![problem],
                        None => vec![missing(repository, folder, &folder.join(file), file)],
                    }
                })
            }
            Engine::Mustache => {
                let template = self.mustache(repository, file).map_err(|problem| vec![problem])?;
                let mut missing = Missing { names: Vec::new() };
                let rendered = match self.strict {
                    true => template.render(&*view.root, out, &mut missing),
                    false => template.render(&*view.root, out, &mut ()),
                };
                let place = |at: mustache::Position| Place {
                    file: repository.template_name(file),
                    line: at.line,
                    column: at.column,
                };
                rendered.map_err(|error| {
                    let problem = Problem::new(error.to_string()).at(place(error.position()));
                    vec![problem.excerpt_of(template.source())]
                })?;
                let defaulted = inverted(&template);
                let missing: Vec<Problem> = missing
                    .names
                    .iter()
                    .filter(|(text, _)| !defaulted.contains(&text.as_str()))
                    .map(|(text, offset)| {
                        let problem = Problem::new(format!("nothing is called `{text}`"))
                            .at(place(template.position(*offset)))
                            .excerpt_of(template.source())
                            .cause("`--strict` makes an error of what Mustache prints as nothing");
                        did_you_mean(problem, text, keys(&view.root).iter().map(String::as_str))
                    })
                    .collect();
                if missing.is_empty() { Ok(()) } else { Err(missing) }
            }
        }
    }
}

/// The file of a resource, as `file:` of its definition names it.
///
/// # Errors
/// A path that leaves the folder of the resources, or has an unknown ending.
pub fn locate(repository: &Repository, file: &Node) -> Result<(String, Engine, String), Problem> {
    let place = |problem: Problem| repository.at(problem, &file.origin);
    let text = file.to_text();
    let Some((_, relative)) = below(&repository.folders.resources, &text) else {
        let problem = Problem::new(format!("`file` leaves the folder of the resources: `{text}`"));
        return Err(place(
            problem.hint(format!("it is taken relative to {}", shown(&repository.folders.resources))),
        ));
    };
    let Some((engine, output)) = Engine::of(&relative) else {
        let problem = Problem::new(format!("unknown file type: `{text}`"));
        return Err(place(problem.hint(
            "templates end in `.yaml.j2`, `.j2`, `.jinja` or `.mustache`; `.yaml`, `.yml` and `.json` files are copied",
        )));
    };
    Ok((relative, engine, output))
}

/// The text of a template, which must not be a link out of the folder.
fn source(repository: &Repository, file: &str) -> Result<String, Problem> {
    let folder = &repository.folders.resources;
    let path = folder.join(file);
    match repository.text(&path)? {
        None => Err(missing(repository, folder, &path, file)),
        Some(_) if !repository.files.is_inside(folder, &path).unwrap_or(false) => {
            Err(Problem::new("a symbolic link leaves the folder of the resources")
                .at(Place::of_file(shown(&path))))
        }
        Some(text) => Ok(text),
    }
}

fn missing(repository: &Repository, folder: &Path, path: &Path, file: &str) -> Problem {
    let problem = Problem::new(format!("there is no such file: {}", shown(path)));
    let mut all = Vec::new();
    list(repository, folder, "", 0, &mut all);
    did_you_mean(problem, file, all.iter().map(String::as_str))
}

fn list(repository: &Repository, folder: &Path, prefix: &str, depth: usize, all: &mut Vec<String>) {
    for entry in repository.files.list(folder).unwrap_or_default() {
        let name = format!("{prefix}{}", entry.name);
        if !entry.is_dir {
            all.push(name);
        } else if depth < 8 && !entry.is_link {
            list(repository, &folder.join(&entry.name), &format!("{name}/"), depth + 1, all);
        }
    }
}

/// All names in the top of a view, and one level down, for suggestions.
pub(crate) fn keys(root: &Node) -> Vec<String> {
    let mut all = Vec::new();
    for entry in root.as_map().map(|map| map.entries.as_slice()).unwrap_or_default() {
        all.push(entry.key.to_string());
        if let Value::Map(map) = &entry.value.value {
            all.extend(map.keys().map(|key| format!("{}.{key}", entry.key)));
        }
    }
    all
}

struct Missing {
    names: Vec<(String, usize)>,
}

impl mustache::Observer<&Node> for Missing {
    fn value(&mut self, tag: &Tag, found: Found<&Node>, _out: std::ops::Range<usize>) {
        if matches!(found, Found::Missing) && !self.names.iter().any(|(_, offset)| *offset == tag.span.start)
        {
            self.names.push((tag.text.to_string(), tag.span.start));
        }
    }
}

/// Names with an inverted section: Mustache's way to give a default.
fn inverted(template: &mustache::Template) -> Vec<&str> {
    template
        .tokens()
        .iter()
        .filter_map(
            |token| {
                if let mustache::Token::Inverted { tag, .. } = token { Some(&*tag.text) } else { None }
            },
        )
        .collect()
}

impl<'a> mustache::Data<'a> for &'a Node {
    fn shape(self) -> mustache::Shape<'a> {
        match &self.value {
            Value::Null => mustache::Shape::Null,
            Value::Bool(flag) => mustache::Shape::Bool(*flag),
            Value::Int(number) => mustache::Shape::Number(*number as f64),
            Value::Float(number) => mustache::Shape::Number(*number),
            Value::Text(text) => mustache::Shape::Text(text),
            Value::Date(millis) => mustache::Shape::Date(*millis),
            Value::List(list) => mustache::Shape::List(list.items.len()),
            Value::Map(_) => mustache::Shape::Map,
        }
    }

    fn field(self, key: &str) -> Option<Self> {
        match &self.value {
            Value::Map(map) => map.get(key).map(|node| &**node),
            Value::List(list) => {
                list.named.iter().find(|entry| &*entry.key == key).map(|entry| &*entry.value)
            }
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => None,
        }
    }

    fn item(self, index: usize) -> Option<Self> {
        if let Value::List(list) = &self.value { list.items.get(index).map(|node| &**node) } else { None }
    }
}
