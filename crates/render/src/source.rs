//! A manifests repository: kit.yaml, the layers that all clusters share, and the clusters.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use globset::{Glob, GlobMatcher};
use manifest::yaml::{self, Schema};
use manifest::{ClusterName, KitConfig};
use rayon::prelude::*;

use crate::aliases;
use crate::files::{Files, resolve, shown};
use crate::layers::{Observe, Rules, merge};
use crate::node::{FileId, FileTable, Layer, Node, Origin};
use crate::problem::{Place, Problem};

/// Where the parts of a repository are, relative to the current directory.
#[derive(Debug, Clone)]
pub struct Folders {
    /// The folder of kit.yaml, or `--workdir`.
    pub root: PathBuf,
    /// kit.yaml itself.
    pub config: PathBuf,
    /// `base.path`.
    pub base: PathBuf,
    /// `type.path`.
    pub types: PathBuf,
    /// `cluster.path`.
    pub clusters: PathBuf,
    /// `resources.path`.
    pub resources: PathBuf,
    /// `images.path`.
    pub images: PathBuf,
    /// `output.path`.
    pub output: PathBuf,
}

/// Everything that clusters share, loaded once.
pub struct Repository {
    /// Its folders.
    pub folders: Folders,
    /// kit.yaml.
    pub config: KitConfig,
    /// The files that values came from.
    pub table: FileTable,
    /// What unquoted values mean here: kit's parser if there is a `.mustache` template, Kubernetes' otherwise.
    pub schema: Schema,
    /// How layers are merged here.
    pub rules: Rules,
    /// Access to the files.
    pub files: Arc<dyn Files>,
    base_definition: Arc<Node>,
    base_vars: Arc<Node>,
    types: BTreeMap<String, TypeLayer>,
    lints: Mutex<Vec<Problem>>,
}

struct TypeLayer {
    node: Arc<Node>,
    /// Whether the file is of kind `ClusterNamespace`, a layer of the definition instead of the variables.
    is_definition: bool,
}

/// A cluster of the repository, its own file read and nothing else.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.type`.
    pub kind: Arc<str>,
    /// Its folder.
    pub folder: PathBuf,
    /// Its file for messages.
    pub file: Arc<str>,
    definition: Arc<Node>,
}

/// A cluster with all layers merged.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The cluster.
    pub cluster: Cluster,
    /// base-cluster, type (if it is a definition) and cluster.yaml.
    pub definition: Arc<Node>,
    /// base-var, type and configuration-var.
    pub vars: Arc<Node>,
    /// The files that were merged, lowest first.
    pub searched: Vec<Arc<str>>,
}

/// Which clusters.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    names: Vec<(String, GlobMatcher)>,
    types: Vec<(String, GlobMatcher)>,
}

impl Selection {
    /// Clusters whose name matches one of `names` and whose type matches one of `types`; an empty list matches all.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new(names: &[String], types: &[String]) -> Result<Self, Problem> {
        Ok(Self { names: patterns(names)?, types: patterns(types)? })
    }

    /// Whether everything is selected.
    pub fn is_all(&self) -> bool {
        self.names.is_empty() && self.types.is_empty()
    }

    fn has_name(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|(_, glob)| glob.is_match(name))
    }

    fn has_type(&self, kind: &str) -> bool {
        self.types.is_empty() || self.types.iter().any(|(_, glob)| glob.is_match(kind))
    }

    /// Whether a `cluster.yaml` with this text may have a selected name. Names stand in the text as they are unless
    /// they are written with escapes.
    fn may_match(&self, text: &str) -> bool {
        self.names.is_empty()
            || text.contains('\\')
            || self.names.iter().any(|(pattern, _)| is_pattern(pattern) || text.contains(pattern.as_str()))
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// Compiles patterns (`*`, `?`, `[…]`, `{a,b}`).
///
/// # Errors
/// A pattern that is none.
pub fn patterns(texts: &[String]) -> Result<Vec<(String, GlobMatcher)>, Problem> {
    let compile = |text: &String| match Glob::new(text) {
        Ok(glob) => Ok((text.clone(), glob.compile_matcher())),
        Err(error) => Err(Problem::new(format!("not a pattern: `{text}`")).cause(error.kind().to_string())),
    };
    texts.iter().map(compile).collect()
}

impl Repository {
    /// Reads kit.yaml and the layers that all clusters share. `workdir` replaces the folder of kit.yaml as the place
    /// that its paths are relative to.
    ///
    /// # Errors
    /// Everything that is wrong with these files.
    pub fn open(files: Arc<dyn Files>, config: &Path, workdir: Option<&Path>) -> Result<Self, Vec<Problem>> {
        let (path, parsed) = read_config(&*files, config).map_err(|problem| vec![problem])?;
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let root = workdir.or(parent).unwrap_or(Path::new(".")).to_owned();
        let folders = Folders {
            base: resolve(&root, &parsed.base),
            types: resolve(&root, &parsed.types),
            clusters: resolve(&root, &parsed.clusters),
            resources: resolve(&root, &parsed.resources),
            images: resolve(&root, &parsed.images.path),
            output: resolve(&root, &parsed.output),
            config: path,
            root,
        };
        let schema =
            if has_mustache(&*files, &folders.resources) { Schema::JsYaml3 } else { Schema::Kubernetes };
        let mut repository = Self {
            folders,
            config: parsed,
            table: FileTable::default(),
            schema,
            rules: Rules { integer_keys_first: schema == Schema::JsYaml3 },
            files,
            base_definition: Node::empty_map(Origin::of(Layer::Base)),
            base_vars: Node::empty_map(Origin::of(Layer::Base)),
            types: BTreeMap::new(),
            lints: Mutex::default(),
        };
        let mut problems = Vec::new();
        if let Err(problem) = repository.load_base() {
            problems.push(problem);
        }
        if let Err(mut more) = repository.load_types() {
            problems.append(&mut more);
        }
        if problems.is_empty() { Ok(repository) } else { Err(problems) }
    }

    fn load_base(&mut self) -> Result<(), Problem> {
        let definition = self.folders.base.join("base-cluster.yaml");
        let vars = self.folders.base.join("base-var.yaml");
        let definition_node = self.layer(&definition, Layer::Base, Kind::ClusterNamespace)?;
        let vars_node = self.layer(&vars, Layer::Base, Kind::ResourceConfig)?;
        match (&definition_node, &vars_node) {
            (None, None) => {
                let place = Place::of_file(shown(&self.folders.config));
                return Err(Problem::new(format!(
                    "`base.path` names a folder without base-cluster.yaml: `{}`",
                    shown(&self.folders.base)
                ))
                .at(place)
                .hint("set `base: {path: …}` to the folder of base-cluster.yaml, relative to kit.yaml"));
            }
            _ => {
                if let Some(node) = definition_node {
                    self.base_definition = node;
                }
                if let Some(node) = vars_node {
                    self.base_vars = node;
                }
            }
        }
        Ok(())
    }

    fn load_types(&mut self) -> Result<(), Vec<Problem>> {
        let entries = match self.files.list(&self.folders.types) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(vec![Problem::unreadable(&shown(&self.folders.types), &error)]),
        };
        let mut problems = Vec::new();
        for entry in entries {
            if entry.is_dir || entry.name.starts_with('.') || !entry.name.ends_with("-var.yaml") {
                continue;
            }
            let path = self.folders.types.join(&entry.name);
            if let Err(problem) = self.load_type(&path) {
                problems.push(problem);
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn load_type(&mut self, path: &Path) -> Result<(), Problem> {
        let node = self.layer(path, Layer::Type, Kind::Any)?;
        let node = node.unwrap_or_else(|| Node::empty_map(Origin::of(Layer::Type)));
        let Some(name) = node.get("metadata").and_then(|metadata| metadata.get("type")) else {
            let problem = Problem::new("a type file needs `metadata: {type: NAME}`");
            return Err(problem.at(Place::of_file(shown(path))));
        };
        let is_definition = node
            .get("kind")
            .and_then(|kind| kind.as_text())
            .is_some_and(|kind| &**kind == "ClusterNamespace");
        let name = name.to_text();
        if self.types.contains_key(&name) {
            let place = Place::of_file(shown(path));
            self.lint(
                Problem::new(format!("another file already defines type `{name}`; this one wins")).at(place),
            );
        }
        self.types.insert(name, TypeLayer { node, is_definition });
        Ok(())
    }

    /// Reads one layer; `None` if the file does not exist.
    fn layer(&self, path: &Path, layer: Layer, kind: Kind) -> Result<Option<Arc<Node>>, Problem> {
        let name = shown(path);
        let Some(text) = self.text(path)? else { return Ok(None) };
        let node = self.parse(&text, &name, layer)?;
        let place = |node: &Node| self.place(&node.origin);
        if node.is_null() && kind != Kind::ClusterNamespace {
            return Ok(Some(Node::empty_map(node.origin)));
        }
        if node.as_map().is_none() {
            return Err(
                Problem::new(format!("expected a map, found {}", node.kind())).at(Place::of_file(name))
            );
        }
        let found = node.get("kind");
        let wanted: &[&str] = match kind {
            Kind::ClusterNamespace => &["ClusterNamespace"],
            Kind::ResourceConfig => &["ResourceConfig"],
            Kind::Any => &["ResourceConfig", "ClusterNamespace"],
        };
        match found {
            Some(found) if found.as_text().is_some_and(|text| wanted.contains(&&**text)) => Ok(Some(node)),
            Some(found) => {
                let problem = Problem::new(format!("`kind` must be `{}`: `{}`", wanted[0], found.to_text()));
                Err(problem.at(place(found).unwrap_or_else(|| Place::of_file(name))).excerpt_of(&text))
            }
            None => Err(Problem::new(format!("`kind: {}` is missing", wanted[0])).at(Place::of_file(name))),
        }
    }

    /// The text of a file; `None` if there is none.
    pub(crate) fn text(&self, path: &Path) -> Result<Option<String>, Problem> {
        match self.files.read(path) {
            Ok(bytes) => match String::from_utf8(bytes) {
                Ok(text) => Ok(Some(text)),
                Err(error) => Err(not_utf8(&shown(path), error.as_bytes(), error.utf8_error().valid_up_to())),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Problem::unreadable(&shown(path), &error)),
        }
    }

    /// Parses a layer's text under the schema of the repository.
    pub(crate) fn parse(&self, text: &str, name: &str, layer: Layer) -> Result<Arc<Node>, Problem> {
        let document =
            yaml::read_one(text, name, self.schema).map_err(|error| Problem::yaml(&error, text))?;
        if self.schema == Schema::JsYaml3 {
            let mut lints = Vec::new();
            disagreements(&document.root, text, name, &mut lints);
            if !lints.is_empty() {
                self.lints.lock().unwrap_or_else(PoisonError::into_inner).append(&mut lints);
            }
        }
        let file = self.table.add(name);
        Ok(Node::from_yaml(&document.root, file, layer, false))
    }

    /// A path relative to the folder of kit.yaml, if it lies below it.
    pub fn rooted(&self, path: &Path) -> String {
        let root = if self.folders.root == Path::new(".") { Path::new("") } else { &self.folders.root };
        shown(path.strip_prefix(root).unwrap_or(path))
    }

    fn lint(&self, lint: Problem) {
        self.lints.lock().unwrap_or_else(PoisonError::into_inner).push(lint);
    }

    /// What is not wrong but worth knowing about the files read so far, in order of file and line.
    pub fn lints(&self) -> Vec<Problem> {
        let mut lints = self.lints.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lints.sort_by(|a, b| a.place.cmp(&b.place));
        lints.dedup();
        lints
    }

    /// Where a value stands; `None` for values of no file.
    pub fn place(&self, origin: &Origin) -> Option<Place> {
        if origin.file == FileId::NONE {
            return None;
        }
        Some(Place { file: self.table.name(origin.file), line: origin.line, column: origin.column })
    }

    /// Finds the clusters that `selection` selects, sorted by name. Reads the `cluster.yaml` of others only as far as
    /// it takes to know that they are others.
    ///
    /// # Errors
    /// Everything that is wrong with these files, and a selection that matches nothing.
    pub fn clusters(&self, selection: &Selection) -> (Vec<Cluster>, Vec<Problem>) {
        let entries = match self.files.list(&self.folders.clusters) {
            Ok(entries) => entries,
            Err(error) => {
                let problem = Problem::unreadable(&shown(&self.folders.clusters), &error)
                    .hint("set `cluster: {path: …}` in kit.yaml to the folder of the clusters");
                return (Vec::new(), vec![problem]);
            }
        };
        let folders: Vec<_> =
            entries.iter().filter(|entry| entry.is_dir && !entry.name.starts_with('.')).collect();
        let read: Vec<Result<Option<Cluster>, Problem>> = folders
            .par_iter()
            .map(|entry| self.cluster(&self.folders.clusters.join(&entry.name), entry.is_link, selection))
            .collect();
        let (mut clusters, mut problems) = (Vec::new(), Vec::new());
        for result in read {
            match result {
                Ok(Some(cluster)) => clusters.push(cluster),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        let mut unique: Vec<Cluster> = Vec::with_capacity(clusters.len());
        for group in clusters.chunk_by(|a, b| a.name == b.name) {
            match group {
                [cluster] => unique.push(cluster.clone()),
                [first, others @ ..] => problems.extend(others.iter().map(|other| {
                    Problem::new(format!(
                        "two clusters are named `{}`: the other one is {}",
                        other.name, first.file
                    ))
                    .at(Place::of_file(other.file.clone()))
                    .hint("give each cluster its own `metadata.name`")
                    .in_cluster(&other.name)
                })),
                [] => {}
            }
        }
        if problems.is_empty() {
            problems.extend(self.unmatched(selection, &unique));
        }
        (unique, problems)
    }

    fn unmatched(&self, selection: &Selection, found: &[Cluster]) -> Vec<Problem> {
        let names = selection.names.iter().filter(|(_, glob)| !found.iter().any(|c| glob.is_match(&*c.name)));
        let types = selection.types.iter().filter(|(_, glob)| !found.iter().any(|c| glob.is_match(&*c.kind)));
        let mut problems = Vec::new();
        let known = || {
            let (all, _) = self.clusters(&Selection::default());
            all
        };
        for (pattern, _) in names {
            let all = known();
            let problem = Problem::new(format!("no cluster matches `--cluster-name {pattern}`"));
            problems.push(did_you_mean(problem, pattern, all.iter().map(|cluster| &*cluster.name)));
        }
        for (pattern, _) in types {
            let problem = Problem::new(format!("no cluster matches `--cluster-type {pattern}`"));
            problems.push(did_you_mean(problem, pattern, self.types.keys().map(String::as_str)));
        }
        problems
    }

    fn cluster(
        &self,
        folder: &Path,
        is_link: bool,
        selection: &Selection,
    ) -> Result<Option<Cluster>, Problem> {
        let path = folder.join("cluster.yaml");
        let file = shown(&path);
        if is_link && !self.files.is_inside(&self.folders.root, folder).unwrap_or(false) {
            return Err(
                Problem::new("a symbolic link leaves the repository").at(Place::of_file(shown(folder)))
            );
        }
        let Some(text) = self.text(&path)? else { return Ok(None) };
        if !selection.may_match(&text) {
            return Ok(None);
        }
        let node = self.parse(&text, &file, Layer::Cluster)?;
        let at_file = || Place::of_file(file.as_str());
        if node.as_map().is_none() {
            let problem = Problem::new(format!("expected a map with `metadata`, found {}", node.kind()));
            return Err(problem.at(at_file()));
        }
        let metadata = |key: &str| node.get("metadata").and_then(|metadata| metadata.get(key));
        let Some(name) = metadata("name").filter(|name| !name.is_null()) else {
            return Err(Problem::new("`metadata.name` is missing").at(at_file()));
        };
        if name.as_map().is_some() || name.as_list().is_some() {
            let problem = Problem::new(format!("`metadata.name` must be text, found {}", name.kind()));
            return Err(problem.at(self.place(&name.origin).unwrap_or_else(at_file)).excerpt_of(&text));
        }
        let text_name = name.to_text();
        if !selection.has_name(&text_name) {
            return Ok(None);
        }
        text_name.parse::<ClusterName>().map_err(|error| {
            Problem::new(error.to_string())
                .at(self.place(&name.origin).unwrap_or_else(at_file))
                .excerpt_of(&text)
                .hint("the name of a cluster is the name of its folder in the generated tree")
        })?;
        match node.get("kind").and_then(|kind| kind.as_text()) {
            Some(kind) if &**kind == "ClusterNamespace" => {}
            _ => return Err(Problem::new("`kind` must be `ClusterNamespace`").at(at_file())),
        }
        let Some(kind) = metadata("type").filter(|kind| !kind.is_null()) else {
            return Err(Problem::new(format!("`metadata.type` of cluster `{text_name}` is missing"))
                .at(at_file())
                .hint(format!("add `type: NAME`, one of: {}", self.known_types())));
        };
        let kind_text = kind.to_text();
        if !selection.has_type(&kind_text) {
            return Ok(None);
        }
        if !self.types.contains_key(&kind_text) {
            let problem =
                Problem::new(format!("cluster `{text_name}` has a type that no file defines: `{kind_text}`"))
                    .at(self.place(&kind.origin).unwrap_or_else(at_file))
                    .excerpt_of(&text)
                    .cause(format!(
                        "types are the `metadata.type` of {}/*-var.yaml: {}",
                        shown(&self.folders.types),
                        self.known_types()
                    ));
            return Err(did_you_mean(problem, &kind_text, self.types.keys().map(String::as_str)));
        }
        Ok(Some(Cluster {
            name: text_name.into(),
            kind: kind_text.into(),
            folder: folder.to_owned(),
            file: file.into(),
            definition: node,
        }))
    }

    fn known_types(&self) -> String {
        if self.types.is_empty() {
            return "none".to_owned();
        }
        self.types.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }

    /// In kit's repositories, what aliases leave of the lists that they put in several places.
    fn spend(&self, base: &Arc<Node>, over: &Arc<Node>) -> Arc<Node> {
        if self.schema != Schema::JsYaml3 {
            return over.clone();
        }
        let (over, spent) = aliases::spend(base, over);
        for spent in spent {
            let problem = Problem::new(
                "an alias puts this entry in several places, and as in kit it counts in the first one only",
            );
            let problem = problem.hint("write the list out where it is used, without the alias");
            self.lint(match self.place(&spent.entry) {
                Some(place) => problem.at(place),
                None => problem,
            });
        }
        over
    }

    /// `metadata` of the base, of the cluster's type and of the cluster, lowest first, where there are any.
    pub(crate) fn metadata_layers(&self, cluster: &Cluster) -> Vec<Arc<Node>> {
        let kind = self.types.get(&*cluster.kind).map(|layer| &layer.node);
        let layers = [Some(&self.base_definition), kind, Some(&cluster.definition)];
        layers.into_iter().flatten().filter_map(|layer| layer.get("metadata").cloned()).collect()
    }

    /// Merges all layers of a cluster; `observe` sees what replaced what.
    ///
    /// # Errors
    /// When `configuration-var.yaml` is not valid.
    pub fn merged(&self, cluster: &Cluster, observe: &mut impl Observe) -> Result<Merged, Problem> {
        let path = cluster.folder.join("configuration-var.yaml");
        let own_vars = self.layer(&path, Layer::Cluster, Kind::ResourceConfig)?;
        let has_vars = own_vars.is_some();
        let own_vars = own_vars.unwrap_or_else(|| Node::empty_map(Origin::of(Layer::Cluster)));
        let layer = self.types.get(&*cluster.kind);
        let (mut definition, mut vars) = (cluster.definition.clone(), own_vars);
        let mut searched: Vec<Arc<str>> = Vec::new();
        for name in ["base-cluster.yaml", "base-var.yaml"] {
            searched.push(shown(&self.folders.base.join(name)).into());
        }
        if let Some(layer) = layer {
            searched.extend(self.place(&layer.node.origin).map(|place| place.file));
            match layer.is_definition {
                true => {
                    definition =
                        merge(&layer.node, &self.spend(&layer.node, &definition), self.rules, observe)
                }
                false => vars = merge(&layer.node, &self.spend(&layer.node, &vars), self.rules, observe),
            }
        }
        // Only what comes from a file as it is can hold one list twice; a merge makes copies.
        if layer.is_none_or(|layer| !layer.is_definition) {
            definition = self.spend(&self.base_definition, &definition);
        }
        if layer.is_none_or(|layer| layer.is_definition) {
            vars = self.spend(&self.base_vars, &vars);
        }
        searched.push(cluster.file.clone());
        if has_vars {
            searched.push(shown(&path).into());
        }
        Ok(Merged {
            cluster: cluster.clone(),
            definition: merge(&self.base_definition, &definition, self.rules, observe),
            vars: merge(&self.base_vars, &vars, self.rules, observe),
            searched,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    ClusterNamespace,
    ResourceConfig,
    Any,
}

fn read_config(files: &dyn Files, path: &Path) -> Result<(PathBuf, KitConfig), Problem> {
    let path = if path.is_dir() { path.join(manifest::config::FILE_NAME) } else { path.to_owned() };
    let name = shown(&path);
    let bytes = files.read(&path).map_err(|error| {
        let problem = Problem::unreadable(&name, &error);
        if error.kind() == io::ErrorKind::NotFound {
            problem
                .hint("name it with `--conf PATH/kit.yaml`, or make a repository with `deploymentizer init`")
        } else {
            problem
        }
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|error| not_utf8(&name, error.as_bytes(), error.utf8_error().valid_up_to()))?;
    match KitConfig::parse(&text, Path::new(&name)) {
        Ok(config) => Ok((path, config)),
        Err(error) => {
            let mut problem = Problem::new(error.to_string());
            if let manifest::ConfigError::Invalid { location: Some((line, column)), message, .. } = &error {
                let place = Place { file: name.into(), line: *line as u32, column: *column as u32 };
                problem = Problem::new(message.clone()).at(place).excerpt_of(&text);
            }
            problem.hints.extend(error.hint());
            Err(problem)
        }
    }
}

fn not_utf8(name: &str, bytes: &[u8], valid: usize) -> Problem {
    let before = &bytes[..valid];
    let line = before.iter().filter(|&&byte| byte == b'\n').count() as u32 + 1;
    let start = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let column = String::from_utf8_lossy(&before[start..]).chars().count() as u32 + 1;
    Problem::new("the file is not UTF-8 text").at(Place { file: name.into(), line, column })
}

/// Whether a folder holds a `.mustache` file, at any depth.
fn has_mustache(files: &dyn Files, folder: &Path) -> bool {
    let Ok(entries) = files.list(folder) else { return false };
    entries.iter().any(|entry| !entry.is_dir && entry.name.ends_with(".mustache"))
        || entries
            .iter()
            .filter(|entry| entry.is_dir && !entry.is_link && !entry.name.starts_with('.'))
            .any(|entry| has_mustache(files, &folder.join(&entry.name)))
}

/// Names every unquoted value that means one thing to kit and another to Kubernetes.
fn disagreements(node: &yaml::Node, text: &str, name: &str, lints: &mut Vec<Problem>) {
    match &node.value {
        yaml::Value::Scalar(scalar) => {
            if node.style != yaml::Style::Plain {
                return;
            }
            let written = node.span.text(text);
            let kubernetes = Schema::Kubernetes.resolve(written);
            // A value that an alias or a line break brought in is not what stands there.
            if Schema::JsYaml3.resolve(written) == *scalar && !same(scalar, &kubernetes) {
                let place = Place { file: name.into(), line: node.span.line, column: node.span.column };
                let message = format!(
                    "`{written}` is {} here, as in kit, but {} to Kubernetes' YAML parser",
                    meaning(scalar),
                    meaning(&kubernetes)
                );
                lints.push(Problem::new(message).at(place).hint("quote it, or write the value it has here"));
            }
        }
        yaml::Value::List(list) => list.iter().for_each(|item| disagreements(item, text, name, lints)),
        yaml::Value::Map(map) => map.iter().for_each(|entry| disagreements(&entry.value, text, name, lints)),
    }
}

fn same(a: &yaml::Scalar, b: &yaml::Scalar) -> bool {
    let number = |scalar: &yaml::Scalar| match scalar {
        yaml::Scalar::Int(number) => Some(*number as f64),
        yaml::Scalar::UInt(number) => Some(*number as f64),
        yaml::Scalar::Float(number) => Some(*number),
        yaml::Scalar::Null | yaml::Scalar::Bool(_) | yaml::Scalar::Text(_) | yaml::Scalar::Date(_) => None,
    };
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a == b || (a.is_nan() && b.is_nan()),
        _ => a == b,
    }
}

fn meaning(scalar: &yaml::Scalar) -> String {
    if matches!(scalar, yaml::Scalar::Text(_)) {
        return "a string".to_owned();
    }
    format!("{} ({})", scalar.kind(), scalar.to_text())
}

/// Adds a hint with the nearest of `names`, if one is near.
pub(crate) fn did_you_mean<'a>(
    problem: Problem,
    name: &str,
    names: impl Iterator<Item = &'a str>,
) -> Problem {
    match nearest(name, names) {
        Some(near) => problem.hint(format!("did you mean `{near}`?")),
        None => problem,
    }
}

/// The candidate with the fewest edits, if they are few for its length.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 4);
    candidates
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit && *distance > 0)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, a transposition counting as one.
fn edits(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1).min(row[j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}
