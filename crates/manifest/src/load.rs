//! Manifests of one cluster, read and checked: `<dir>/**/*.{yaml,yml,json}`, several documents to a file, `kind: List`.
//!
//! Every problem of every file is reported, with file, line and column; values of the file are never part of a message.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::ObjectRef;
use crate::names::is_label;
use crate::object::{Object, Place};
use crate::yaml::{self, Node, Schema};

/// Directories nested deeper than this are taken for a loop of symbolic links.
const DEEPEST: usize = 32;

/// Why manifests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A file or directory that cannot be read.
    #[error("cannot read: {path}", path = path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not YAML.
    #[error("{0}")]
    Yaml(yaml::YamlError),
    /// YAML, but not an object.
    #[error("{place}: {problem}")]
    Object {
        /// Where.
        place: Place,
        /// What is wrong, as a sentence.
        problem: String,
        /// What to do about it.
        hint: Option<String>,
    },
    /// The same object twice.
    #[error("{second}: {object} is already defined: {first}")]
    Duplicate {
        /// Which.
        object: ObjectRef,
        /// Where it is defined first.
        first: Place,
        /// Where it is defined again.
        second: Place,
    },
}

impl LoadError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Yaml(error) => error.hint().map(str::to_owned),
            Self::Object { hint, .. } => hint.clone(),
            Self::Read { .. } | Self::Duplicate { .. } => None,
        }
    }
}

/// The manifest files below `dir`, sorted; hidden files and directories are not looked at.
///
/// # Errors
/// Directories that cannot be read.
pub fn manifest_files(dir: &Path) -> Result<Vec<PathBuf>, Vec<LoadError>> {
    let (mut files, mut errors) = (Vec::new(), Vec::new());
    walk(dir, 0, &mut files, &mut errors);
    files.sort();
    if errors.is_empty() { Ok(files) } else { Err(errors) }
}

fn walk(dir: &Path, depth: usize, files: &mut Vec<PathBuf>, errors: &mut Vec<LoadError>) {
    let mut fail = |path: &Path, source| errors.push(LoadError::Read { path: path.to_owned(), source });
    if depth > DEEPEST {
        return fail(dir, std::io::Error::other("nested too deep, a loop of symbolic links?"));
    }
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => return fail(dir, error),
    };
    let mut dirs = Vec::new();
    for entry in entries {
        match entry {
            Ok(entry) if entry.file_name().to_string_lossy().starts_with('.') => {}
            Ok(entry) => match std::fs::metadata(entry.path()) {
                Ok(metadata) if metadata.is_dir() => dirs.push(entry.path()),
                Ok(_) if is_manifest(&entry.path()) => files.push(entry.path()),
                Ok(_) => {}
                Err(error) => fail(&entry.path(), error),
            },
            Err(error) => fail(dir, error),
        }
    }
    for sub in dirs {
        walk(&sub, depth + 1, files, errors);
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ext| ext == "yaml" || ext == "yml" || ext == "json")
}

/// The objects of the files below `dir`, in the order of files and documents.
///
/// # Errors
/// Every problem found.
pub fn load_dir(dir: &Path) -> Result<Vec<Object>, Vec<LoadError>> {
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    let mut seen: BTreeMap<(String, ObjectRef), Place> = BTreeMap::new();
    for file in manifest_files(dir)? {
        match load_file(&file) {
            Ok(found) => {
                for object in found {
                    let mut reference = object.reference();
                    let group = reference.group().to_owned();
                    reference.api_version.clear();
                    if let Some(first) = seen.get(&(group.clone(), reference.clone())) {
                        errors.push(LoadError::Duplicate {
                            object: object.reference(),
                            first: first.clone(),
                            second: object.place.clone(),
                        });
                    } else {
                        seen.insert((group, reference), object.place.clone());
                        objects.push(object);
                    }
                }
            }
            Err(found) => errors.extend(found),
        }
    }
    if errors.is_empty() { Ok(objects) } else { Err(errors) }
}

/// The objects of one file.
///
/// # Errors
/// Every problem found.
pub fn load_file(path: &Path) -> Result<Vec<Object>, Vec<LoadError>> {
    let bytes =
        std::fs::read(path).map_err(|source| vec![LoadError::Read { path: path.to_owned(), source }])?;
    let text = String::from_utf8(bytes).map_err(|error| {
        vec![LoadError::Read {
            path: path.to_owned(),
            source: std::io::Error::other(format!("not UTF-8: {error}")),
        }]
    })?;
    parse_objects(&text, &path.display().to_string())
}

/// The objects of `text`, which messages call `file`.
///
/// # Errors
/// Every problem found.
pub fn parse_objects(text: &str, file: &str) -> Result<Vec<Object>, Vec<LoadError>> {
    let documents =
        yaml::read(text, file, Schema::Kubernetes).map_err(|error| vec![LoadError::Yaml(error)])?;
    let file: Arc<str> = Arc::from(file);
    let mut reader = Reader { file, objects: Vec::new(), errors: Vec::new() };
    for document in documents.iter().filter(|document| !document.is_empty()) {
        reader.object(&document.root);
    }
    if reader.errors.is_empty() { Ok(reader.objects) } else { Err(reader.errors) }
}

struct Reader {
    file: Arc<str>,
    objects: Vec<Object>,
    errors: Vec<LoadError>,
}

impl Reader {
    fn fail(&mut self, at: &Node, problem: impl fmt::Display, hint: Option<&str>) {
        self.errors.push(LoadError::Object {
            place: self.place(at),
            problem: problem.to_string(),
            hint: hint.map(str::to_owned),
        });
    }

    fn place(&self, at: &Node) -> Place {
        Place { file: self.file.clone(), line: at.span.line, column: at.span.column }
    }

    fn object(&mut self, root: &Node) {
        if root.as_map().is_none() {
            let problem = format!("expected a Kubernetes object, found {}", root.kind());
            return self.fail(root, problem, None);
        }
        let before = self.errors.len();
        let kind = self.required(root, "kind", "kind");
        self.required(root, "apiVersion", "apiVersion");
        if kind.is_some_and(|kind| kind.ends_with("List"))
            && let Some(items) = root.get("items")
        {
            match items.as_list() {
                Some(items) => items.iter().for_each(|item| self.object(item)),
                None if items.is_null() => {}
                None => self.fail(items, format!("`items` must be a list, found {}", items.kind()), None),
            }
            return;
        }
        match root.get("metadata") {
            None => self.fail(root, "the object has no `metadata.name`", None),
            Some(metadata) if metadata.as_map().is_none() => {
                let problem = format!("`metadata` must be a mapping, found {}", metadata.kind());
                self.fail(metadata, problem, None);
            }
            Some(metadata) => self.metadata(metadata),
        }
        if self.errors.len() > before {
            return;
        }
        match root.to_json() {
            Ok(value) => self.objects.push(Object { value, place: self.place(root) }),
            Err(error) => {
                let place = Place { file: self.file.clone(), line: error.line, column: error.column };
                let problem = format!("Kubernetes has no number for {}", error.value);
                self.errors.push(LoadError::Object { place, problem, hint: None });
            }
        }
    }

    /// A string that must be there; `path` is how messages call it.
    fn required<'a>(&mut self, map: &'a Node, key: &str, path: &str) -> Option<&'a str> {
        match map.get(key) {
            None => self.fail(map, format!("the object has no `{path}`"), None),
            Some(value) => match value.as_str() {
                Some("") => self.fail(value, format!("`{path}` is empty"), None),
                Some(text) => return Some(text),
                None if value.is_null() => self.fail(value, format!("`{path}` is empty"), None),
                None => self.not_a_string(value, path),
            },
        }
        None
    }

    fn not_a_string(&mut self, value: &Node, path: &str) {
        let hint = value.as_scalar().map(|_| "put the value into quotes");
        self.fail(value, format!("`{path}` must be a string, found {}", value.kind()), hint);
    }

    fn metadata(&mut self, metadata: &Node) {
        if metadata.get("name").is_none() && metadata.get("generateName").is_some() {
            let hint = "give it a `name`: kit gives a changed Job a new one by itself";
            self.fail(
                metadata,
                "`metadata.generateName` would make a new object on every deploy",
                Some(hint),
            );
        } else if let Some(name) = self.required(metadata, "name", "metadata.name")
            && (name.contains(['/', '%']) || name == "." || name == "..")
        {
            let problem = format!("`metadata.name` cannot be part of a URL: `{name}`");
            self.fail(metadata.get("name").unwrap_or(metadata), problem, None);
        }
        if let Some(namespace) = metadata.get("namespace")
            && !namespace.is_null()
        {
            match namespace.as_str() {
                Some(name) if name.is_empty() || is_label(name) => {}
                Some(name) => {
                    self.fail(namespace, format!("`metadata.namespace` is not a namespace: `{name}`"), None);
                }
                None => self.not_a_string(namespace, "metadata.namespace"),
            }
        }
        for field in ["labels", "annotations"] {
            match metadata.get(field) {
                None => {}
                Some(value) if value.is_null() => {}
                Some(value) => match value.as_map() {
                    Some(map) => {
                        for entry in map {
                            if entry.value.as_str().is_none() {
                                self.not_a_string(&entry.value, &format!("metadata.{field}.{}", entry.key));
                            }
                        }
                    }
                    None => {
                        let problem = format!("`metadata.{field}` must be a mapping, found {}", value.kind());
                        self.fail(value, problem, None);
                    }
                },
            }
        }
    }
}

/// The values in files below `dir` that deploymentizer has marked secret (by line, in its index): nothing may show them.
///
/// # Errors
/// An index that cannot be used. Files that cannot be read are [`load_dir`]'s to report.
pub fn secret_values(dir: &Path) -> Result<Vec<String>, crate::index::IndexError> {
    let Some(index) = crate::index::Index::read(dir)? else { return Ok(Vec::new()) };
    let mut values = Vec::new();
    for (name, entry) in index.files.iter().filter(|(_, entry)| !entry.secret_lines.is_empty()) {
        let Ok(text) = std::fs::read_to_string(dir.join(name)) else { continue };
        for document in yaml::read(&text, name, Schema::Kubernetes).unwrap_or_default() {
            marked(&document.root, &text, &entry.secret_lines, &mut values);
        }
    }
    Ok(values)
}

/// The scalars of `node` that touch one of `lines`.
fn marked(node: &Node, text: &str, lines: &[u32], values: &mut Vec<String>) {
    match &node.value {
        yaml::Value::Scalar(scalar) => {
            let more = node.span.text(text).trim_end().matches('\n').count();
            let last = node.span.line + u32::try_from(more).unwrap_or(u32::MAX - node.span.line);
            if lines.iter().any(|line| (node.span.line..=last).contains(line)) {
                values.push(scalar.to_text().into_owned());
            }
        }
        yaml::Value::List(items) => items.iter().for_each(|item| marked(item, text, lines, values)),
        yaml::Value::Map(map) => map.iter().for_each(|entry| marked(&entry.value, text, lines, values)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        parse_objects(text, "a.yaml").unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn documents_and_lists_become_objects_with_their_lines() {
        let text = "# c\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n---\n---\n\
                    apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: b, namespace: ns}\n";
        let objects = parse_objects(text, "a.yaml").unwrap();
        let found: Vec<_> =
            objects.iter().map(|object| format!("{} {}", object.place, object.reference())).collect();
        assert_eq!(found, ["a.yaml:3:1 ConfigMap/a", "a.yaml:11:3 Secret/ns/b"]);
    }

    #[test]
    fn everything_that_is_wrong_with_a_file_is_said_at_once() {
        let text = "apiVersion: v1\nmetadata:\n  labels: {a: 1}\n---\n- 1\n---\napiVersion: v1\nkind: Job\nmetadata: {generateName: a-}\n";
        assert_eq!(
            problems(text),
            [
                "a.yaml:1:1: the object has no `kind`",
                "a.yaml:3:3: the object has no `metadata.name`",
                "a.yaml:3:15: `metadata.labels.a` must be a string, found a number",
                "a.yaml:5:1: expected a Kubernetes object, found a list",
                "a.yaml:9:11: `metadata.generateName` would make a new object on every deploy",
            ]
        );
    }

    #[test]
    fn values_that_the_index_marks_secret_are_found_by_their_lines() {
        let dir = tempfile::tempdir().unwrap();
        let text = "a: open\nb: hidden\nc: |\n  first\n  second\nd: [x, marked]\n";
        std::fs::write(dir.path().join("a.yaml"), text).unwrap();
        std::fs::write(
            dir.path().join(".kit-index.json"),
            r#"{"version":1,"cluster":"eu","files":{"a.yaml":{"resource":"a","source":"a","digest":"","secretLines":[2,5,6]}}}"#,
        )
        .unwrap();
        assert_eq!(secret_values(dir.path()).unwrap(), ["hidden", "first\nsecond\n", "x", "marked"]);
    }

    #[test]
    fn an_object_that_two_files_define_is_an_error_that_names_both() {
        let dir = tempfile::tempdir().unwrap();
        let object = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n";
        for (name, text) in
            [("a.yaml", object), ("sub/b.yml", object), (".hidden.yaml", "nonsense: ["), ("README.md", "x")]
        {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let errors = load_dir(dir.path()).unwrap_err();
        let text: Vec<_> = errors
            .iter()
            .map(|error| error.to_string().replace(&dir.path().display().to_string(), "DIR"))
            .collect();
        assert_eq!(text, ["DIR/sub/b.yml:1:1: Secret/a is already defined: DIR/a.yaml:1:1"]);
    }
}
