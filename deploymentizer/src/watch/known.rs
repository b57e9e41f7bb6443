//! What is known from the renderings before: which clusters a saved file can reach, and which of their resources it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifest::yaml::Schema;
use render::depends::Dependencies;
use render::inputs::{ByResource, reached};
use render::plan::{Rendered, Renderer, claims};
use render::problem::Problem;
use render::source::{Cluster, Parsed};

use super::{Done, absolute};
use crate::run::checked;
use crate::validation::Validation;
use crate::write::Part;

/// What is known from the renderings before.
pub(super) struct Known {
    /// Layers that were not saved since are not parsed again.
    pub(super) parsed: Arc<Parsed>,
    /// The clusters whose last rendering succeeded.
    pub(super) clusters: BTreeMap<String, KnownCluster>,
    pub(super) schema: Option<Schema>,
    /// Where we write.
    pub(super) output: Option<PathBuf>,
    /// Files that were saved while the repository could not be read.
    pub(super) pending: BTreeSet<PathBuf>,
}

/// A cluster as it was written.
pub(super) struct KnownCluster {
    /// The files that it is made from.
    dependencies: Dependencies,
    resources: Resources,
}

/// The resources of a cluster.
#[derive(Debug, Clone, Default)]
pub(super) struct Resources {
    /// What they are made from.
    inputs: ByResource,
    /// What each of them has for itself.
    claims: BTreeMap<Arc<str>, BTreeSet<u64>>,
}

/// What was rendered of a cluster.
pub(super) struct Turned {
    pub(super) part: Part,
    /// How many resources that were.
    pub(super) count: usize,
    pub(super) resources: Resources,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            parsed: Arc::new(Parsed::kept()),
            clusters: BTreeMap::new(),
            schema: None,
            output: None,
            pending: BTreeSet::new(),
        }
    }

    /// Whether one of the files that a cluster is made from was saved, or a folder that holds one.
    pub(super) fn touched(&self, cluster: &str, saved: Option<&BTreeSet<PathBuf>>) -> bool {
        let (Some(known), Some(saved)) = (self.clusters.get(cluster), saved) else { return true };
        let Dependencies { files, are_all } = &known.dependencies;
        !are_all
            || saved
                .iter()
                .any(|path| files.range(path.clone()..).next().is_some_and(|file| file.starts_with(path)))
    }

    /// Renders what is not made from the same as when it was written. With `validation` that is the whole cluster: its
    /// objects are held against each other too.
    pub(super) fn render(
        &self,
        renderer: &Renderer,
        cluster: &Cluster,
        validation: Option<&Validation>,
    ) -> Result<Turned, Vec<Problem>> {
        let merged = renderer.merged(cluster)?;
        let inputs = renderer.inputs(&merged)?;
        if let (Some(known), None) = (self.clusters.get(&*cluster.name), validation) {
            let reached = reached(&known.resources.inputs, &inputs);
            let rendered = renderer.render_some(&merged, &|name| reached.contains(name))?;
            let of_reached = known.resources.claims.iter().filter(|(name, _)| reached.contains(*name));
            let before: BTreeSet<u64> = of_reached.flat_map(|(_, claims)| claims).copied().collect();
            // What claims something new may be in the way of a resource that was not rendered.
            if claims(&rendered.files).is_subset(&before) {
                let stays: BTreeSet<Arc<str>> =
                    inputs.keys().filter(|name| !reached.contains(*name)).cloned().collect();
                let kept = known.resources.claims.iter().filter(|(name, _)| stays.contains(*name));
                let claims = kept.map(|(name, claims)| (name.clone(), claims.clone())).collect();
                let count = reached.len();
                return Ok(Turned::new(Part { rendered, stays }, count, Resources { inputs, claims }));
            }
        }
        let rendered = renderer.render_some(&merged, &|_| true)?;
        let rendered = checked(renderer, cluster, rendered, validation)?;
        let count = inputs.len();
        Ok(Turned::new(Part::all(rendered), count, Resources { inputs, claims: BTreeMap::new() }))
    }

    /// Remembers what a turn did.
    pub(super) fn learn(&mut self, done: Done, here: &Path) {
        let Done { renderer, touched, clusters, mut learned } = done;
        self.schema = Some(renderer.repository().schema);
        let found = renderer.in_parallel(&touched, |cluster| {
            let found = renderer.dependencies(cluster);
            let files = found.files.iter().map(|file| absolute(here, file)).collect();
            Dependencies { files, ..found }
        });
        for (cluster, dependencies) in touched.iter().zip(found) {
            match learned.remove(&*cluster.name) {
                Some(resources) => {
                    let known = KnownCluster { dependencies, resources };
                    self.clusters.insert(cluster.name.to_string(), known);
                }
                None => drop(self.clusters.remove(&*cluster.name)),
            }
        }
        let names: BTreeSet<&str> = clusters.iter().map(|cluster| &*cluster.name).collect();
        self.clusters.retain(|name, _| names.contains(name.as_str()));
    }
}

impl Turned {
    fn new(part: Part, count: usize, mut resources: Resources) -> Self {
        let Rendered { files, failed, .. } = &part.rendered;
        for file in files {
            resources.claims.entry(file.resource.clone()).or_default().extend(claims([file]));
        }
        // What failed and may is tried again.
        resources.inputs.retain(|name, _| !failed.contains(name));
        Self { part, count, resources }
    }
}
