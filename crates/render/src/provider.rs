//! Values from outside, one source for each `plugin:` of kit.yaml.

mod exec;
mod file;
mod http;

use std::sync::Arc;

use crate::node::Node;
use crate::problem::{Place, Problem};
use crate::source::{Merged, Repository};

pub use exec::ExecProvider;
pub use file::FileProvider;
pub use http::HttpProvider;

/// A question to a provider.
pub struct Ask<'a> {
    /// The repository, for its files and folders.
    pub repository: &'a Repository,
    /// The cluster.
    pub merged: &'a Merged,
    /// The resource.
    pub resource: &'a str,
    /// The container as merged so far, with its `name`.
    pub container: &'a Arc<Node>,
}

/// A source of values from outside. What it answers is laid over the container.
pub trait Provider: Send + Sync {
    /// The answer; `None` leaves the container as it is.
    ///
    /// # Errors
    /// When the source cannot answer.
    fn fetch(&self, ask: &Ask<'_>) -> Result<Option<Arc<Node>>, Problem>;
}

/// The provider that kit.yaml names, if it names one. `environment` is where a provider finds its tokens.
///
/// # Errors
/// An unknown provider, or options that it does not have.
pub fn from_config(
    repository: &Repository,
    environment: &crate::external::Environment,
) -> Result<Option<Box<dyn Provider>>, Problem> {
    let Some(plugin) = &repository.config.plugin else { return Ok(None) };
    let name = plugin.path.rsplit('/').next().unwrap_or(&plugin.path).trim_end_matches(".js");
    let provider: Box<dyn Provider> = match name {
        "file-config" => Box::new(FileProvider::new(repository, &plugin.options)?),
        "exec" => Box::new(ExecProvider::new(repository, &plugin.options, environment)?),
        "env-api-client-v3" | "http" => Box::new(HttpProvider::new(&plugin.options, environment)?),
        _ => {
            return Err(Problem::new(format!("unknown plugin: `{}`", plugin.path))
                .at(Place::of_file(crate::files::shown(&repository.folders.config)))
                .cause("plugins written in JavaScript do not run here")
                .hint("use `file-config`, `env-api-client-v3`, or `exec` with `command: [PROGRAM]` for your own"));
        }
    };
    Ok(Some(provider))
}

/// Options of kit.yaml, each taken once so that a misspelt one is noticed.
pub(crate) struct Options<'a> {
    left: serde_json::Map<String, serde_json::Value>,
    plugin: &'a str,
}

impl<'a> Options<'a> {
    pub(crate) fn new(options: &serde_json::Map<String, serde_json::Value>, plugin: &'a str) -> Self {
        Self { left: options.clone(), plugin }
    }

    pub(crate) fn text(&mut self, key: &str) -> Result<Option<String>, Problem> {
        match self.left.remove(key) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(key, "a string")),
        }
    }

    pub(crate) fn flag(&mut self, key: &str, default: bool) -> Result<bool, Problem> {
        match self.left.remove(key) {
            None | Some(serde_json::Value::Null) => Ok(default),
            Some(serde_json::Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(self.wrong(key, "true or false")),
        }
    }

    /// A whole number of at least 1.
    pub(crate) fn count(&mut self, key: &str, default: u64) -> Result<u64, Problem> {
        match self.count_or_none(key, default)? {
            0 => Err(self.wrong(key, "a whole number above 0")),
            count => Ok(count),
        }
    }

    /// A whole number, 0 included.
    pub(crate) fn count_or_none(&mut self, key: &str, default: u64) -> Result<u64, Problem> {
        match self.left.remove(key) {
            None | Some(serde_json::Value::Null) => Ok(default),
            Some(value) => value.as_u64().ok_or_else(|| self.wrong(key, "a whole number")),
        }
    }

    pub(crate) fn texts(&mut self, key: &str) -> Result<Option<Vec<String>>, Problem> {
        match self.left.remove(key) {
            None | Some(serde_json::Value::Null) => Ok(None),
            Some(serde_json::Value::String(text)) => Ok(Some(vec![text])),
            Some(serde_json::Value::Array(items)) => items
                .iter()
                .map(|item| {
                    item.as_str().map(str::to_owned).ok_or_else(|| self.wrong(key, "a list of strings"))
                })
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(self.wrong(key, "a list of strings")),
        }
    }

    pub(crate) fn required<T>(&self, key: &str, value: Option<T>) -> Result<T, Problem> {
        value.ok_or_else(|| Problem::new(format!("kit.yaml: plugin `{}` needs `options.{key}`", self.plugin)))
    }

    pub(crate) fn wrong(&self, key: &str, expected: &str) -> Problem {
        Problem::new(format!("kit.yaml: option `{key}` of plugin `{}` must be {expected}", self.plugin))
    }

    /// No option may be left over.
    pub(crate) fn done(self, known: &[&str]) -> Result<(), Problem> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(key) => {
                let problem =
                    Problem::new(format!("kit.yaml: plugin `{}` has no option `{key}`", self.plugin));
                let known: Vec<String> = known.iter().map(|key| format!("`{key}`")).collect();
                Err(problem.hint(format!("its options are {}", known.join(", "))))
            }
        }
    }
}
