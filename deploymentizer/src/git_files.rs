//! The files of a revision, read from git's objects: nothing is checked out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use render::files::{DirEntry, Files, resolve};

/// A revision of the git repository that a folder belongs to.
pub(crate) struct GitFiles {
    repository: Mutex<git2::Repository>,
    /// Files by their path from the root of the git repository.
    blobs: BTreeMap<PathBuf, (git2::Oid, i32)>,
    /// Entries by directory.
    directories: BTreeMap<PathBuf, Vec<DirEntry>>,
    /// Where the current directory lies in the git repository.
    prefix: PathBuf,
    /// Its work tree, for absolute paths.
    root: PathBuf,
}

const LINK: i32 = 0o120_000;

impl GitFiles {
    /// Opens `revision` of the git repository that `folder` lies in.
    pub(crate) fn open(folder: &Path, revision: &str) -> Result<Self, git2::Error> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let repository = git2::Repository::discover(folder)?;
        let bare = || git2::Error::from_str("a bare git repository has no work tree");
        let root = repository.workdir().ok_or_else(bare)?;
        let canonical =
            |path: &Path| path.canonicalize().map_err(|error| git2::Error::from_str(&error.to_string()));
        let root = canonical(root)?;
        let current = canonical(Path::new("."))?;
        let prefix = current.strip_prefix(&root).map_or_else(|_| PathBuf::new(), Path::to_path_buf);
        let (mut blobs, mut directories) = (BTreeMap::new(), BTreeMap::<PathBuf, Vec<DirEntry>>::new());
        directories.insert(PathBuf::new(), Vec::new());
        {
            let tree = repository.revparse_single(revision)?.peel_to_tree()?;
            tree.walk(git2::TreeWalkMode::PreOrder, |parent, entry| {
                let Ok(name) = entry.name() else { return git2::TreeWalkResult::Ok };
                let directory = PathBuf::from(parent.trim_end_matches('/'));
                let path = directory.join(name);
                let is_dir = entry.kind() == Some(git2::ObjectType::Tree);
                if is_dir {
                    directories.entry(path.clone()).or_default();
                } else if entry.kind() == Some(git2::ObjectType::Blob) {
                    blobs.insert(path, (entry.id(), entry.filemode()));
                }
                let is_link = entry.filemode() == LINK;
                directories.entry(directory).or_default().push(DirEntry {
                    name: name.to_owned(),
                    is_dir,
                    is_link,
                });
                git2::TreeWalkResult::Ok
            })?;
        }
        directories.values_mut().for_each(|entries| entries.sort());
        Ok(Self { repository: Mutex::new(repository), blobs, directories, prefix, root })
    }

    /// The path in the git repository, links followed.
    fn locate(&self, path: &Path) -> PathBuf {
        let mut path = match path.strip_prefix(&self.root) {
            Ok(inside) => inside.to_owned(),
            Err(_) => resolve(&self.prefix, path),
        };
        for _ in 0..16 {
            let link =
                path.ancestors().find(|part| self.blobs.get(*part).is_some_and(|(_, mode)| *mode == LINK));
            let Some(link) = link.map(Path::to_owned) else { break };
            let Ok(target) = self.blob(&link) else { break };
            let target = String::from_utf8_lossy(&target).into_owned();
            let rest = path.strip_prefix(&link).map_or_else(|_| PathBuf::new(), Path::to_path_buf);
            let parent = link.parent().unwrap_or(Path::new(""));
            path = resolve(parent, Path::new(&target));
            if !rest.as_os_str().is_empty() {
                path.push(rest);
            }
        }
        path.components().filter(|part| *part != Component::CurDir).collect()
    }

    fn blob(&self, path: &Path) -> io::Result<Vec<u8>> {
        let Some((id, _)) = self.blobs.get(path) else { return Err(io::ErrorKind::NotFound.into()) };
        let repository = self.repository.lock().unwrap_or_else(PoisonError::into_inner);
        let blob = repository.find_blob(*id).map_err(io::Error::other)?;
        Ok(blob.content().to_vec())
    }
}

impl Files for GitFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.blob(&self.locate(path))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        self.directories.get(&self.locate(directory)).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn is_inside(&self, root: &Path, path: &Path) -> io::Result<bool> {
        Ok(self.locate(path).starts_with(self.locate(root)))
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        match self.blobs.get(&self.locate(path)) {
            Some((_, mode)) => Ok(*mode as u32 & 0o777),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
