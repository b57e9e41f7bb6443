//! What is wrong with an input, where, and what to do about it.

use std::fmt;
use std::sync::Arc;

use manifest::yaml;

/// A position in a file of the repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file as the user would type it.
    pub file: Arc<str>,
    /// Line, from 1; 0 means the file as a whole.
    pub line: u32,
    /// Column in characters, from 1; 0 means the line as a whole.
    pub column: u32,
}

impl Place {
    /// The file as a whole.
    pub fn of_file(file: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), line: 0, column: 0 }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, _) => f.write_str(&self.file),
            (line, 0) => write!(f, "{}:{line}", self.file),
            (line, column) => write!(f, "{}:{line}:{column}", self.file),
        }
    }
}

/// One thing that is wrong, ready to be shown; secrets are masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// A lower-case sentence without a final period.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
    /// The offending line with a caret, if it may be shown.
    pub excerpt: Option<String>,
    /// Why, from near to far.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hints: Vec<String>,
    /// The clusters that have it; empty if it concerns none in particular.
    pub clusters: Vec<Arc<str>>,
    /// The resources that have it.
    pub resources: Vec<Arc<str>>,
}

impl Problem {
    /// A problem without a position.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            place: None,
            excerpt: None,
            causes: Vec::new(),
            hints: Vec::new(),
            clusters: Vec::new(),
            resources: Vec::new(),
        }
    }

    /// Says where.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    /// Adds a cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Shows the line of `text` that [`Problem::place`] names, with a caret under the column.
    #[must_use]
    pub fn excerpt_of(mut self, text: &str) -> Self {
        let shown = self.place.as_ref().and_then(|place| yaml::excerpt(text, place.line, place.column));
        self.excerpt = shown.or(self.excerpt);
        self
    }

    /// The problem of a file that cannot be read.
    pub fn unreadable(file: &str, error: &std::io::Error) -> Self {
        Self::new("cannot read the file").at(Place::of_file(file)).cause(error.to_string())
    }

    /// The problem of a file that is not YAML.
    pub fn yaml(error: &yaml::YamlError, text: &str) -> Self {
        let place = Place { file: error.file.as_str().into(), line: error.line, column: error.column };
        let problem = Self::new(error.message()).at(place).excerpt_of(text);
        match error.hint() {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// Names the cluster, unless the problem already has one.
    #[must_use]
    pub fn in_cluster(mut self, cluster: &Arc<str>) -> Self {
        if self.clusters.is_empty() {
            self.clusters.push(cluster.clone());
        }
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn add(names: &mut Vec<Arc<str>>, more: Vec<Arc<str>>) {
    for name in more {
        if !names.contains(&name) {
            names.push(name);
        }
    }
}

/// The same problem of many clusters becomes one that names them all, in the order of first sight.
pub fn deduplicate(problems: Vec<Problem>) -> Vec<Problem> {
    type Identity = (String, Option<Place>);
    let mut at: std::collections::HashMap<Identity, usize> = std::collections::HashMap::new();
    let mut unique: Vec<Problem> = Vec::new();
    for problem in problems {
        let identity = (problem.message.clone(), problem.place.clone());
        match at.get(&identity) {
            Some(&index) => {
                let known = &mut unique[index];
                add(&mut known.clusters, problem.clusters);
                add(&mut known.resources, problem.resources);
            }
            None => {
                at.insert(identity, unique.len());
                unique.push(problem);
            }
        }
    }
    unique
}
