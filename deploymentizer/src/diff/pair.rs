//! One cluster in both states: only what can differ is rendered.

use render::inputs::{ByResource, reached};
use render::plan::{OutputFile, Renderer, claims};
use render::problem::Problem;
use render::source::{Cluster, Merged};

use super::in_state;

/// A cluster in both states.
pub(super) struct Pair {
    pub(super) is_in: Is,
    /// The files that may differ, in the old state.
    pub(super) before: Vec<OutputFile>,
    /// And in the new one.
    pub(super) after: Vec<OutputFile>,
    /// How many resources a change reaches; the files of all others are the same.
    pub(super) resources: usize,
}

/// Which of the states have the cluster.
pub(super) enum Is {
    InBoth,
    New,
    Gone,
}

/// A cluster in one of the states.
struct Side<'r> {
    renderer: &'r Renderer,
    merged: Merged,
    inputs: ByResource,
}

impl Pair {
    /// Compares what the resources are made from, and renders those that are not made from the same.
    pub(super) fn of(
        (old, before): (&Renderer, Option<&Cluster>),
        (new, after): (&Renderer, Option<&Cluster>),
    ) -> Result<Self, Vec<Problem>> {
        let is_in = match (before, after) {
            (None, Some(_)) => Is::New,
            (Some(_), None) => Is::Gone,
            (Some(_), Some(_)) | (None, None) => Is::InBoth,
        };
        let (before, after) = both(Side::open(old, before), Side::open(new, after))?;
        let none = ByResource::new();
        let reached = reached(Side::inputs(&before, &none), Side::inputs(&after, &none));
        if reached.is_empty() {
            return Ok(Self { is_in, before: Vec::new(), after: Vec::new(), resources: 0 });
        }
        let files = |side: Option<&Side<'_>>| match side {
            Some(side) => side.files(&|name| reached.contains(name)),
            None => Ok(Vec::new()),
        };
        let (old_files, new_files) = both(files(before.as_ref()), files(after.as_ref()))?;
        // What is there only once may now be there twice, the second time in a resource that no change reaches.
        if let Some(side) = after.filter(|_| !claims(&new_files).is_subset(&claims(&old_files))) {
            both(Ok(()), side.files(&|_| true))?;
        }
        Ok(Self { is_in, before: old_files, after: new_files, resources: reached.len() })
    }
}

impl<'r> Side<'r> {
    fn open(renderer: &'r Renderer, cluster: Option<&Cluster>) -> Result<Option<Self>, Vec<Problem>> {
        let Some(cluster) = cluster else { return Ok(None) };
        let merged = renderer.merged(cluster)?;
        let inputs = renderer.inputs(&merged)?;
        Ok(Some(Self { renderer, merged, inputs }))
    }

    /// What a side is made from; one without the cluster is made from nothing.
    fn inputs<'s>(side: &'s Option<Self>, none: &'s ByResource) -> &'s ByResource {
        side.as_ref().map_or(none, |side| &side.inputs)
    }

    fn files(&self, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<OutputFile>, Vec<Problem>> {
        self.renderer.render_some(&self.merged, wanted).map(|rendered| rendered.files)
    }
}

/// Both, or what is wrong in each of the states.
fn both<A, B>(old: Result<A, Vec<Problem>>, new: Result<B, Vec<Problem>>) -> Result<(A, B), Vec<Problem>> {
    match (old, new) {
        (Ok(old), Ok(new)) => Ok((old, new)),
        (old, new) => {
            let mut problems = in_state("old", old.err().unwrap_or_default());
            problems.extend(in_state("new", new.err().unwrap_or_default()));
            Err(problems)
        }
    }
}
