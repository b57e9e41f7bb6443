//! What is not the same in two states of the repository's files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use render::compare::{SourceLines, source_lines};
use render::depends::Dependencies;
use render::files::{Files, shown};
use render::plan::Renderer;
use render::source::Cluster;

/// The files of the repository that are not the same in both states.
pub(super) struct Changes {
    files: BTreeSet<PathBuf>,
    /// What each cluster is made from; in one state or the other.
    clusters: BTreeMap<String, Dependencies>,
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
        let sides = [(old, old_clusters), (new, new_clusters)];
        let mut clusters: BTreeMap<String, Dependencies> = BTreeMap::new();
        let mut paths = BTreeSet::new();
        let mut walked = false;
        for (renderer, side) in sides {
            let found: Vec<Dependencies> =
                side.par_iter().map(|cluster| renderer.dependencies(cluster)).collect();
            for (cluster, found) in side.iter().zip(found) {
                walked |= !found.are_all;
                paths.extend(found.files.iter().cloned());
                let all = clusters
                    .entry(cluster.name.to_string())
                    .or_insert_with(|| Dependencies { are_all: true, ..Dependencies::default() });
                all.are_all &= found.are_all;
                all.files.extend(found.files);
            }
        }
        if walked {
            // Only to name causes: clusters that may read anything are rendered in any case.
            for (renderer, _) in sides {
                walk(&*renderer.repository().files, &renderer.repository().folders.resources, 0, &mut paths);
            }
        }
        // Another dialect of YAML gives every value another meaning.
        if old.repository().schema != new.repository().schema {
            clusters.values_mut().for_each(|dependencies| dependencies.are_all = false);
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
            Some((path.clone(), source_lines(&shown(path), before.as_deref(), after.as_deref())))
        };
        let differing: Vec<_> = paths.par_iter().filter_map(differ).collect();
        let mut changes =
            Self { files: BTreeSet::new(), clusters, gone: SourceLines::new(), fresh: SourceLines::new() };
        for (path, (gone, fresh)) in differing {
            changes.files.insert(path);
            changes.gone.extend(gone);
            changes.fresh.extend(fresh);
        }
        changes
    }

    /// Whether a cluster can look different because of them.
    pub(super) fn touch(&self, cluster: &str) -> bool {
        let Some(dependencies) = self.clusters.get(cluster) else { return true };
        !dependencies.are_all || self.files.iter().any(|file| dependencies.files.contains(file))
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
