//! A repository with some files changed, in memory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirEntry, Files};

/// Files over other files.
pub struct Overlay {
    below: Arc<dyn Files>,
    changes: BTreeMap<PathBuf, Option<String>>,
}

impl Overlay {
    /// `below` with new texts; `None` for files that are gone.
    pub fn new(below: Arc<dyn Files>, changes: BTreeMap<PathBuf, Option<String>>) -> Self {
        Self { below, changes }
    }
}

impl Files for Overlay {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.changes.get(path) {
            Some(Some(text)) => Ok(text.clone().into_bytes()),
            Some(None) => Err(io::ErrorKind::NotFound.into()),
            None => self.below.read(path),
        }
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = self.below.list(directory)?;
        for (path, text) in &self.changes {
            let parent =
                path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
            let Some(name) = path.file_name().and_then(|name| name.to_str()).filter(|_| parent == here)
            else {
                continue;
            };
            entries.retain(|entry| entry.name != name);
            if text.is_some() {
                entries.push(DirEntry { name: name.to_owned(), is_dir: false, is_link: false });
            }
        }
        entries.sort();
        Ok(entries)
    }

    fn is_inside(&self, root: &Path, path: &Path) -> io::Result<bool> {
        match self.changes.get(path) {
            Some(_) => Ok(path.starts_with(root) || root == Path::new(".")),
            None => self.below.is_inside(root, path),
        }
    }

    fn is_link(&self, path: &Path) -> bool {
        !self.changes.contains_key(path) && self.below.is_link(path)
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        match self.changes.get(path) {
            Some(_) => Ok(0o644),
            None => self.below.mode(path),
        }
    }
}
