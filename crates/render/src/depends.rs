//! Which files of the repository a cluster is made from: what did not change in these cannot have changed the cluster.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::files::{below, shown};
use crate::listing::image_tags;
use crate::plan::Renderer;
use crate::scene::targets;
use crate::source::Cluster;
use crate::template::{Engine, brings_in, join, statements};

/// The files that a cluster is made from, as far as they can be told without rendering it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dependencies {
    /// The files, those that are looked for and not there included.
    pub files: BTreeSet<PathBuf>,
    /// Whether these are all. A template that computes the name of another one may read any of them, and a provider
    /// reads what it likes.
    pub are_all: bool,
}

impl Renderer {
    /// What `cluster` is made from.
    pub fn dependencies(&self, cluster: &Cluster) -> Dependencies {
        let repository = self.repository();
        let folders = &repository.folders;
        let mut found =
            Dependencies { are_all: repository.config.plugin.is_none(), ..Dependencies::default() };
        found.files.insert(plain(&folders.config));
        found.files.insert(plain(&cluster.folder.join("configuration-var.yaml")));
        let Ok(merged) = repository.merged(cluster, &mut ()) else {
            found.are_all = false;
            return found;
        };
        found.files.extend(merged.searched.iter().map(|file| PathBuf::from(&**file)));
        for (name, definition) in Self::resources(&merged) {
            for (tag, branch) in image_tags(&merged, &name, &definition) {
                let file = manifest::image_file(&tag, &branch).ok();
                let path = file.and_then(|file| below(&folders.images, &file));
                found.files.extend(path.map(|(path, _)| plain(&path)));
            }
            match targets(self, &definition) {
                Ok(targets) => {
                    for target in targets {
                        self.included(target.engine, &target.template, &mut found);
                    }
                }
                Err(_) => found.are_all = false,
            }
        }
        found
    }

    /// Adds a template and every template that it brings in.
    fn included(&self, engine: Engine, file: &str, found: &mut Dependencies) {
        let folder = &self.repository().folders.resources;
        let Some((path, _)) = below(folder, file) else { return };
        if !found.files.insert(plain(&path)) || engine != Engine::Jinja {
            return;
        }
        // A file that is not there or not valid makes an error, whatever it would include.
        let Ok(template) = self.templates().jinja().environment().get_template(file) else { return };
        for statement in statements(template.source()) {
            match brings_in(statement) {
                Some(Some(other)) => self.included(Engine::Jinja, &join(other, file), found),
                Some(None) => {}
                None => found.are_all = false,
            }
        }
    }
}

/// The path as messages have it, `./` left out.
fn plain(path: &Path) -> PathBuf {
    PathBuf::from(shown(path))
}
