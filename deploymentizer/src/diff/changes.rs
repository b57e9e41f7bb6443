//! Which lines of the repository are not the same in two states of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use render::compare::{SourceLines, source_lines};
use render::files::{Files, shown};
use render::plan::Renderer;
use render::source::{Cluster, Folders};

/// The lines of the repository that are not the same in both states.
pub(super) struct Changes {
    /// Lines of the old state that are gone.
    pub(super) gone: SourceLines,
    /// Lines of the new state that are new.
    pub(super) fresh: SourceLines,
}

impl Changes {
    pub(super) fn between(
        (old, old_clusters): (&Renderer, &[Cluster]),
        (new, new_clusters): (&Renderer, &[Cluster]),
    ) -> Self {
        let mut paths = BTreeSet::new();
        for (renderer, clusters) in [(old, old_clusters), (new, new_clusters)] {
            sources(renderer, clusters, &mut paths);
        }
        let paths: Vec<PathBuf> = paths.into_iter().collect();
        let differ = |path: &PathBuf| {
            let read = |renderer: &Renderer| renderer.repository().files.read(path).ok();
            let (before, after) = (read(old), read(new));
            if before == after {
                return None;
            }
            let text =
                |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let (before, after) = (text(before), text(after));
            Some(source_lines(&shown(path), before.as_deref(), after.as_deref()))
        };
        let differing: Vec<_> = paths.par_iter().filter_map(differ).collect();
        let mut changes = Self { gone: SourceLines::new(), fresh: SourceLines::new() };
        for (gone, fresh) in differing {
            changes.gone.extend(gone);
            changes.fresh.extend(fresh);
        }
        changes
    }
}

/// The files that the clusters of a state can be made from.
fn sources(renderer: &Renderer, clusters: &[Cluster], found: &mut BTreeSet<PathBuf>) {
    let repository = renderer.repository();
    let Folders { root: _, config, base, types, clusters: _, resources, images, output: _ } =
        &repository.folders;
    let mut add = |path: PathBuf| found.extend([PathBuf::from(shown(&path))]);
    add(config.clone());
    ["base-cluster.yaml", "base-var.yaml"].iter().for_each(|name| add(base.join(name)));
    let of_types = repository.files.list(types).unwrap_or_default();
    of_types.iter().filter(|entry| !entry.is_dir).for_each(|entry| add(types.join(&entry.name)));
    for cluster in clusters {
        ["cluster.yaml", "configuration-var.yaml"].iter().for_each(|name| add(cluster.folder.join(name)));
    }
    for folder in [resources, images] {
        walk(&*repository.files, folder, 0, found);
    }
}

/// All files below a folder.
fn walk(files: &dyn Files, folder: &Path, depth: usize, found: &mut BTreeSet<PathBuf>) {
    for entry in files.list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        match entry.is_dir {
            true if entry.is_link || entry.name.starts_with('.') || depth > 16 => {}
            true => walk(files, &path, depth + 1, found),
            false => drop(found.insert(PathBuf::from(shown(&path)))),
        }
    }
}
