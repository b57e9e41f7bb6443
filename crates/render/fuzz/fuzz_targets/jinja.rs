//! Any minijinja template over any variables, through the renderer with its limits.
#![no_main]

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use render::files::{DirEntry, Files};
use render::plan::{Options, Renderer};
use render::source::{Repository, Selection};

struct Memory(BTreeMap<String, Vec<u8>>);

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.0.get(path.to_str().unwrap_or_default()).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let prefix = format!("{}/", directory.display());
        let mut entries: Vec<DirEntry> = self
            .0
            .keys()
            .filter_map(|path| path.strip_prefix(&prefix))
            .map(|rest| {
                let (name, is_dir) = rest.split_once('/').map_or((rest, false), |(name, _)| (name, true));
                DirEntry { name: name.to_owned(), is_dir, is_link: false }
            })
            .collect();
        entries.sort();
        entries.dedup();
        Ok(entries)
    }

    fn is_inside(&self, _: &Path, _: &Path) -> io::Result<bool> {
        Ok(true)
    }

    fn mode(&self, _: &Path) -> io::Result<u32> {
        Ok(0o644)
    }
}

fuzz_target!(|texts: (&str, &str)| {
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let files = Memory(BTreeMap::from([
        file("r/kit.yaml", "base: {path: .}\ntype: {path: t}\ncluster: {path: c}\nresources: {path: r}\nimages: {path: i}\noutput: {path: o}\n"),
        file("r/base-cluster.yaml", "kind: ClusterNamespace\nresources: {a: {file: a.yaml.j2, x: [1, {y: z}]}}\n"),
        file("r/base-var.yaml", &format!("kind: ResourceConfig\n{}", texts.1)),
        file("r/t/p-var.yaml", "kind: ResourceConfig\nmetadata: {type: p}\n"),
        file("r/c/x/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: x, type: p}\n"),
        file("r/r/a.yaml.j2", texts.0),
    ]));
    let Ok(repository) = Repository::open(Arc::new(files), Path::new("r/kit.yaml"), None) else { return };
    let Ok(renderer) = Renderer::new(repository, Options::default()) else { return };
    let (clusters, _) = renderer.repository().clusters(&Selection::default());
    for cluster in &clusters {
        if let Err(problems) = renderer.render(cluster) {
            assert!(problems.iter().all(|problem| !problem.message.is_empty()));
        }
    }
});
