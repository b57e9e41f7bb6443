//! A manifests repository: kit.yaml, the layers that all clusters share, and the clusters.

mod clusters;
mod config;
mod names;
mod parsed;
mod selection;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use manifest::KitConfig;
use manifest::yaml::{Schema, position};

use crate::aliases;
use crate::files::{Files, resolve, shown};
use crate::layers::{Observe, Rules, merge};
use crate::node::{FileId, Layer, Node, Origin};
use crate::problem::{Place, Problem};

pub use parsed::Parsed;
pub use selection::{Selection, patterns};

use config::{has_mustache, read_config};
pub(crate) use names::{did_you_mean, nearest};

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
    /// The layers as they were parsed.
    pub parsed: Arc<Parsed>,
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

impl Merged {
    /// The value of a key of the cluster's `metadata`.
    pub(crate) fn metadata(&self, key: &str) -> Option<&Arc<Node>> {
        self.definition.get("metadata").and_then(|metadata| metadata.get(key))
    }

    /// The branch of a resource with this definition. As kit has it (`resource.branch || cluster.metadata.branch`), what
    /// the cluster says stands even where it is empty: templates see it.
    pub(crate) fn branch_of<'n>(&'n self, definition: &'n Node) -> Option<&'n Arc<Node>> {
        definition.truthy("branch").or_else(|| self.metadata("branch"))
    }
}

impl Repository {
    /// Reads kit.yaml and the layers that all clusters share. `workdir` replaces the folder of kit.yaml as the place
    /// that its paths are relative to.
    ///
    /// # Errors
    /// Everything that is wrong with these files.
    pub fn open(files: Arc<dyn Files>, config: &Path, workdir: Option<&Path>) -> Result<Self, Vec<Problem>> {
        Self::open_with(Arc::new(Parsed::once()), files, config, workdir)
    }

    /// As [`Repository::open`], where files that other states of the repository have as well are not parsed again.
    ///
    /// # Errors
    /// As [`Repository::open`].
    pub fn open_with(
        parsed: Arc<Parsed>,
        files: Arc<dyn Files>,
        config: &Path,
        workdir: Option<&Path>,
    ) -> Result<Self, Vec<Problem>> {
        let (path, config) = read_config(&*files, config).map_err(|problem| vec![problem])?;
        let root = workdir.unwrap_or(manifest::config::folder(&path)).to_owned();
        let folders = Folders {
            base: resolve(&root, &config.base),
            types: resolve(&root, &config.types),
            clusters: resolve(&root, &config.clusters),
            resources: resolve(&root, &config.resources),
            images: resolve(&root, &config.images.path),
            output: resolve(&root, &config.output),
            config: path,
            root,
        };
        let schema =
            if has_mustache(&*files, &folders.resources) { Schema::JsYaml3 } else { Schema::Kubernetes };
        let mut repository = Self {
            folders,
            config,
            parsed,
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
        let Some(text) = self.layer_text(path)? else { return Ok(None) };
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
            Ok(bytes) => utf8(bytes, path).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Problem::unreadable(&shown(path), &error)),
        }
    }

    /// The text of a layer, which must not be a link out of the repository: whoever may change the repository could print
    /// any file of the machine.
    fn layer_text(&self, path: &Path) -> Result<Option<String>, Problem> {
        let text = self.text(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let stays_in = |folder: &Path| self.files.is_inside(folder, path).unwrap_or(false);
        if text.is_some() && self.files.is_link(path) && !stays_in(&self.folders.root) && !stays_in(folder) {
            return Err(Problem::new("a symbolic link leaves the repository")
                .at(Place::of_file(shown(path)))
                .hint("copy the file to where the link is"));
        }
        Ok(text)
    }

    /// Parses a layer's text under the schema of the repository.
    pub(crate) fn parse(&self, text: &str, name: &str, layer: Layer) -> Result<Arc<Node>, Problem> {
        let (node, mut lints) = self.parsed.parse(text, name, layer, self.schema)?;
        if !lints.is_empty() {
            self.lints.lock().unwrap_or_else(PoisonError::into_inner).append(&mut lints);
        }
        Ok(node)
    }

    /// What the user calls a file of the folder of the resources.
    pub fn template_name(&self, relative: &str) -> Arc<str> {
        shown(&self.folders.resources.join(relative)).into()
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
        Some(Place { file: self.parsed.table.name(origin.file), line: origin.line, column: origin.column })
    }

    /// Says where the value stands that a problem is about, if a file holds it.
    pub(crate) fn at(&self, problem: Problem, origin: &Origin) -> Problem {
        match self.place(origin) {
            Some(place) => problem.at(place),
            None => problem,
        }
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
            self.lint(self.at(problem, &spent.entry));
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

/// What the file at `path` holds, as text.
fn utf8(bytes: Vec<u8>, path: &Path) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let (line, column) = position(&String::from_utf8_lossy(valid), valid.len());
        Problem::new("the file is not UTF-8 text").at(Place { file: shown(path).into(), line, column })
    })
}
