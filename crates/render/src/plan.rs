//! From a repository to the files of each cluster: pure once the layers are read.

mod collisions;
mod file;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock};

use globset::GlobMatcher;
use manifest::ObjectRef;
use manifest::index::{Lines, Placement};

use crate::external::Environment;
use crate::images::Images;
use crate::inputs::Hashed;
use crate::memo::{Memo, Prepared};
use crate::node::{Node, Value};
use crate::problem::Problem;
use crate::provider::{self, Provider};
use crate::secrets::Secrets;
use crate::source::{Cluster, Merged, Repository, did_you_mean, patterns};
use crate::template::{Engine, Reads, Templates, locate};
use crate::view::{self, Flags, Sources, View};

pub use collisions::claims;
use collisions::collisions;
use file::Rendering;

/// What a run renders, and how.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// `--resource`: names or patterns; empty means all.
    pub resources: Vec<String>,
    /// `--deploy-id` and `--fast-rollback`.
    pub flags: Flags,
    /// `--strict`: what Mustache finds nowhere is an error.
    pub strict: bool,
    /// `--provenance`: what made each line is recorded.
    pub provenance: bool,
    /// The process environment, for external values and providers.
    pub environment: Environment,
}

/// A file of a cluster.
#[derive(Debug, Clone)]
pub struct OutputFile {
    /// Its name in the cluster's folder.
    pub name: String,
    /// Its text.
    pub text: Arc<str>,
    /// Its permission bits if they are not the usual ones.
    pub mode: Option<u32>,
    /// The resource that it belongs to.
    pub resource: Arc<str>,
    /// The template or copied file, as the user would type it.
    pub source: Arc<str>,
    /// The same, relative to the folder of kit.yaml, so that it does not depend on where the program was started.
    pub rooted_source: Arc<str>,
    /// The objects in it.
    pub objects: Arc<[ObjectRef]>,
    /// The lines, from 1, that hold a secret.
    pub secret_lines: Arc<[u32]>,
    /// What made each line, with [`Options::provenance`].
    pub lines: Arc<Lines>,
    /// The digest of the text for the index, computed once for all clusters that share it.
    pub digest: Arc<OnceLock<String>>,
}

/// All files of a cluster, in the order of its resources.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The cluster.
    pub cluster: Arc<str>,
    /// Where it stands among the others.
    pub placement: Placement,
    /// Its files.
    pub files: Vec<OutputFile>,
    /// Things to tell the user.
    pub warnings: Vec<Problem>,
    /// The resources that failed and may (`allowFailure`): what an earlier run wrote for them should stay.
    pub failed: BTreeSet<Arc<str>>,
}

/// Renders the clusters of one repository. Shared between threads.
pub struct Renderer {
    repository: Repository,
    images: Images,
    templates: Templates,
    provider: Option<Box<dyn Provider>>,
    memo: Memo,
    prepared: Prepared,
    hashed: Hashed,
    sources: Mutex<HashMap<String, Source>>,
    resources: Vec<(String, GlobMatcher)>,
    options: Options,
}

/// A resource and its merged definition.
pub type Named = (Arc<str>, Arc<Node>);

/// A file of the resources: as the user would type it, and relative to the folder of kit.yaml.
#[derive(Clone)]
struct Source {
    shown: Arc<str>,
    rooted: Arc<str>,
}

impl Renderer {
    /// A renderer for `repository`.
    ///
    /// # Errors
    /// A plugin that cannot be used, a pattern that is none, flags that need others.
    pub fn new(repository: Repository, options: Options) -> Result<Self, Problem> {
        if options.flags.fast_rollback && options.flags.deploy_id.is_none() {
            return Err(Problem::new("`--fast-rollback` needs `--deploy-id`")
                .hint("`--deploy-id ID --fast-rollback true --resource NAME`"));
        }
        if options.flags.deploy_id.is_some() && options.resources.is_empty() {
            return Err(Problem::new("`--deploy-id` needs `--resource`")
                .cause("a deploy id belongs to the one resource that is deployed")
                .hint("`--deploy-id ID --resource NAME`"));
        }
        let provider = provider::from_config(&repository, &options.environment)?;
        let resources = patterns(&options.resources)?;
        let templates = Templates::new(&repository, options.strict);
        Ok(Self {
            repository,
            images: Images::default(),
            templates,
            provider,
            memo: Memo::default(),
            prepared: Prepared::default(),
            hashed: Hashed::default(),
            sources: Mutex::default(),
            resources,
            options,
        })
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Its templates.
    pub fn templates(&self) -> &Templates {
        &self.templates
    }

    /// What a template reads; `None` if that cannot be told.
    pub(crate) fn reads(&self, engine: Engine, file: &str) -> Option<Arc<Reads>> {
        self.memo.reads(&self.templates, &self.repository, (engine, file))
    }

    pub(crate) fn hashed(&self) -> &Hashed {
        &self.hashed
    }

    pub(crate) fn records_provenance(&self) -> bool {
        self.options.provenance
    }

    /// Whether `--resource` selects this resource.
    pub fn selects(&self, resource: &str) -> bool {
        self.resources.is_empty() || self.resources.iter().any(|(_, glob)| glob.is_match(resource))
    }

    /// Whether `--resource` leaves resources out.
    pub fn is_filtered(&self) -> bool {
        !self.resources.is_empty()
    }

    /// A `--resource` that none of the resources matches. `names` are those of all clusters of the run.
    pub fn unmatched<'n>(&self, names: impl Iterator<Item = &'n str> + Clone) -> Vec<Problem> {
        let unmatched =
            self.resources.iter().filter(|(_, glob)| !names.clone().any(|name| glob.is_match(name)));
        unmatched
            .map(|(pattern, _)| {
                let problem =
                    Problem::new(format!("no cluster has a resource that matches `--resource {pattern}`"));
                did_you_mean(problem, pattern, names.clone())
            })
            .collect()
    }

    /// All resources of a cluster in order, with their merged definitions, disabled ones included.
    pub fn resources(merged: &Merged) -> Vec<Named> {
        let resources = merged.definition.get("resources").and_then(|resources| resources.as_map());
        let entries = resources.map(|map| map.entries.as_slice()).unwrap_or_default();
        entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect()
    }

    /// The view of one resource.
    ///
    /// # Errors
    /// Everything that is wrong with its containers, images and external values.
    pub fn view(
        &self,
        merged: &Merged,
        name: &Arc<str>,
        definition: &Arc<Node>,
    ) -> Result<View, Vec<Problem>> {
        let sources = Sources {
            repository: &self.repository,
            images: &self.images,
            provider: self.provider.as_deref(),
            environment: &self.options.environment,
            flags: &self.options.flags,
            prepared: &self.prepared,
        };
        view::build(&sources, merged, name, definition)
    }

    /// The image of `tag` on `branch`, if the image files have it.
    pub fn image(&self, tag: &str, branch: &str) -> Option<String> {
        self.images.get(&self.repository, tag, branch).ok().map(|image| image.to_text())
    }

    /// Does `work` for each cluster, several at a time, and returns the outcomes in order.
    pub fn in_parallel<T: Send>(
        &self,
        clusters: &[Cluster],
        work: impl Fn(&Cluster) -> T + Sync + Send,
    ) -> Vec<T> {
        use rayon::prelude::*;
        clusters.par_iter().map(work).collect()
    }

    /// The layers of a cluster, merged.
    ///
    /// # Errors
    /// What is wrong with its files.
    pub fn merged(&self, cluster: &Cluster) -> Result<Merged, Vec<Problem>> {
        self.repository.merged(cluster, &mut ()).map_err(|problem| vec![problem.in_cluster(&cluster.name)])
    }

    /// Renders a cluster; a disabled one has no files.
    ///
    /// # Errors
    /// Everything that is wrong with any of its resources.
    pub fn render(&self, cluster: &Cluster) -> Result<Rendered, Vec<Problem>> {
        self.render_some(&self.merged(cluster)?, &|_| true)
    }

    /// Renders the resources of a cluster that are wanted.
    ///
    /// # Errors
    /// Everything that is wrong with any of them.
    pub fn render_some(
        &self,
        merged: &Merged,
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<Rendered, Vec<Problem>> {
        let mut warnings = Vec::new();
        let placement = self.placement(merged, &mut warnings)?;
        let mut rendered = Rendered {
            cluster: merged.cluster.name.clone(),
            placement,
            files: Vec::new(),
            warnings: Vec::new(),
            failed: BTreeSet::new(),
        };
        let mut problems = Vec::new();
        for (name, definition) in self.enabled(merged, &mut warnings)? {
            if !wanted(&name) {
                continue;
            }
            if let Err(found) = self.resource(merged, &name, &definition, &mut rendered) {
                let found = found.into_iter().map(|mut problem| {
                    problem.resources.push(name.clone());
                    problem
                });
                match allows_failure(&merged.definition) || allows_failure(&definition) {
                    true => {
                        rendered.failed.insert(name.clone());
                        rendered.warnings.extend(found.map(|mut problem| {
                            problem.message =
                                format!("resource `{name}` is left out where it failed: {}", problem.message);
                            problem
                        }));
                    }
                    false => problems.extend(found),
                }
            }
        }
        problems.extend(collisions(&rendered.files));
        warnings.append(&mut rendered.warnings);
        rendered.warnings = in_cluster(merged, warnings);
        if problems.is_empty() { Ok(rendered) } else { Err(in_cluster(merged, problems)) }
    }

    /// Where the cluster stands among the others.
    pub(crate) fn placement(
        &self,
        merged: &Merged,
        warnings: &mut Vec<Problem>,
    ) -> Result<Placement, Vec<Problem>> {
        let placement = self.repository.placement(&merged.cluster, warnings);
        placement.map_err(|problem| in_cluster(merged, vec![problem]))
    }

    /// The resources of a cluster that are selected and not switched off, in order.
    pub(crate) fn enabled(
        &self,
        merged: &Merged,
        warnings: &mut Vec<Problem>,
    ) -> Result<Vec<Named>, Vec<Problem>> {
        if let Some(disable) = merged.metadata("disable") {
            if disable.is_true() {
                return Ok(Vec::new());
            }
            self.warn_unless_bool("metadata.disable", disable, warnings);
        }
        if let Some(resources) = merged.definition.get("resources")
            && !matches!(resources.value, Value::Map(_) | Value::Null)
        {
            let problem = Problem::new(format!("`resources` must be a map, found {}", resources.kind()));
            return Err(in_cluster(merged, vec![self.repository.at(problem, &resources.origin)]));
        }
        let mut enabled = Self::resources(merged);
        enabled.retain(|(name, definition)| {
            let disable = definition.get("disable").filter(|_| self.selects(name));
            if let Some(disable) = disable.filter(|disable| !disable.is_true()) {
                self.warn_unless_bool("disable", disable, warnings);
            }
            self.selects(name) && disable.is_none_or(|disable| !disable.is_true())
        });
        Ok(enabled)
    }

    /// kit takes only `true` for true; anything that looks like it deserves a word.
    fn warn_unless_bool(&self, key: &str, node: &Node, warnings: &mut Vec<Problem>) {
        if !matches!(node.value, Value::Bool(_) | Value::Null) {
            let problem = Problem::new(format!("`{key}` counts only as `true`, this is {}", node.kind()));
            warnings.push(self.repository.at(problem, &node.origin).hint("write `true` without quotes"));
        }
    }

    fn resource(
        &self,
        merged: &Merged,
        name: &Arc<str>,
        definition: &Arc<Node>,
        rendered: &mut Rendered,
    ) -> Result<(), Vec<Problem>> {
        if definition.as_map().is_none() {
            let problem =
                Problem::new(format!("resource `{name}` must be a map, found {}", definition.kind()));
            return Err(vec![self.repository.at(problem, &definition.origin)]);
        }
        let file = definition.truthy("file");
        let svc = definition.truthy("svc");
        let located = match file {
            Some(file) => Some(locate(&self.repository, file).map_err(|problem| vec![problem])?),
            None => None,
        };
        let view = self.view(merged, name, definition)?;
        rendered.warnings.extend(view.warnings.iter().cloned());
        let mut secrets = Secrets::default();
        if view.secret {
            secrets.add_tree(&view.root);
        }
        let mask = |mut problems: Vec<Problem>| {
            problems.iter_mut().for_each(|problem| secrets.mask_problem(problem));
            problems
        };
        let mut problems = Vec::new();
        if let (Some((relative, engine, output)), Some(file)) = (&located, file) {
            let output = self.output_name(*engine, output, definition).map_err(|problem| vec![problem])?;
            let rendering = Rendering { merged, name, view: &view, secrets: &secrets };
            match self.file(&rendering, *engine, relative, output) {
                Ok(made) => rendered.files.extend(made),
                Err(found) => {
                    let fill = |problem: Problem| match problem.place {
                        Some(_) => problem,
                        None => self.repository.at(problem, &file.origin),
                    };
                    problems.extend(mask(found.into_iter().map(fill).collect()));
                    // A template that fails stops only its own file, as in kit; a missing copy stops the resource.
                    if *engine == Engine::Copy {
                        return Err(problems);
                    }
                }
            }
        }
        if let Some(svc) = svc {
            let engine = located.as_ref().map(|(_, engine, _)| *engine);
            let rendering = Rendering { merged, name, view: &view, secrets: &secrets };
            match self.service(&rendering, engine, svc) {
                Ok(made) => rendered.files.extend(made),
                Err(found) => problems.extend(mask(found)),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }
}

fn in_cluster(merged: &Merged, problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().map(|problem| problem.in_cluster(&merged.cluster.name)).collect()
}

fn allows_failure(definition: &Node) -> bool {
    definition
        .get("metadata")
        .and_then(|metadata| metadata.get("allowFailure"))
        .is_some_and(|allow| allow.is_true())
}

/// How many clusters are rendered at a time, for the whole process; without a call, one for each core. Only the first
/// call counts, and it must come before anything is rendered.
pub fn use_threads(count: std::num::NonZeroUsize) {
    // Fails only if the pool is already in use.
    let _ = rayon::ThreadPoolBuilder::new().num_threads(count.get()).build_global();
}
