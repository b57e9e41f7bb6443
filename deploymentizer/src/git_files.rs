//! The files of a revision, read from git's objects: nothing is checked out.

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use render::files::{DirEntry, Files, resolve, shown};
use render::problem::Problem;

/// A revision of the git repository that a folder belongs to.
pub(crate) struct GitFiles {
    repository: Mutex<git2::Repository>,
    /// Files by their path from the root of the git repository.
    blobs: BTreeMap<PathBuf, (git2::Oid, i32)>,
    /// Entries by directory.
    directories: BTreeMap<PathBuf, Vec<DirEntry>>,
    /// Where the current directory lies in the git repository, if it does.
    prefix: Option<PathBuf>,
    /// The folder of kit.yaml as it was named, and where it lies in the git repository.
    folder: PathBuf,
    real: PathBuf,
    /// The working tree, for absolute paths.
    root: PathBuf,
}

const LINK: i32 = 0o120_000;

/// What `diff` compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revisions {
    /// `A`: the working tree against it.
    WorkingTree(String),
    /// `A..B`.
    Two(String, String),
    /// `A...B`: B against where it left A.
    SinceFork(String, String),
}

impl std::str::FromStr for Revisions {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let or_head = |text: &str| if text.is_empty() { "HEAD".to_owned() } else { text.to_owned() };
        if text.starts_with('-') || text.is_empty() {
            return Err(
                Problem::new(format!("not a revision: `{text}`")).hint("`deploymentizer diff main..HEAD`")
            );
        }
        Ok(match (text.split_once("..."), text.split_once("..")) {
            (Some((old, new)), _) => Self::SinceFork(or_head(old), or_head(new)),
            (None, Some((old, new))) => Self::Two(or_head(old), or_head(new)),
            (None, None) => Self::WorkingTree(text.to_owned()),
        })
    }
}

impl Revisions {
    /// The files of both states, those of the working tree left to the caller.
    pub(crate) fn open(&self, folder: &Path) -> Result<(GitFiles, Option<GitFiles>), Problem> {
        let open = |revision: &str| GitFiles::open(folder, revision);
        match self {
            Self::WorkingTree(old) => Ok((open(old)?, None)),
            Self::Two(old, new) => Ok((open(old)?, Some(open(new)?))),
            Self::SinceFork(old, new) => {
                let fork = fork(folder, old, new)?;
                Ok((open(&fork)?, Some(open(new)?)))
            }
        }
    }
}

fn discover(folder: &Path) -> Result<git2::Repository, Problem> {
    git2::Repository::discover(folder).map_err(|error| {
        let problem = Problem::new(format!("cannot open the git repository of `{}`", shown(folder)));
        let problem = problem.cause(words(&error));
        let code = error.code();
        if code == git2::ErrorCode::NotFound {
            return problem.hint("`diff` compares revisions: `git init`, and commit");
        }
        if code == git2::ErrorCode::Owner {
            return problem.hint("`git config --global --add safe.directory DIR`");
        }
        problem
    })
}

/// The commit that both have in common.
fn fork(folder: &Path, old: &str, new: &str) -> Result<String, Problem> {
    let repository = discover(folder)?;
    let commit = |revision: &str| {
        find(&repository, revision)?.peel_to_commit().map_err(|error| unknown(&repository, revision, &error))
    };
    let (old_commit, new_commit) = (commit(old)?, commit(new)?);
    let base = repository.merge_base(old_commit.id(), new_commit.id());
    base.map(|id| id.to_string()).map_err(|error| {
        let problem =
            Problem::new(format!("`{old}` and `{new}` have no commit in common")).cause(words(&error));
        if repository.is_shallow() { problem.hint(DEEPEN) } else { problem }
    })
}

const DEEPEN: &str = "this clone is shallow: `git fetch --unshallow`, or check out with more depth";

fn find<'r>(repository: &'r git2::Repository, revision: &str) -> Result<git2::Object<'r>, Problem> {
    repository.revparse_single(revision).map_err(|error| unknown(repository, revision, &error))
}

fn unknown(repository: &git2::Repository, revision: &str, error: &git2::Error) -> Problem {
    let problem = Problem::new(format!("cannot read revision `{revision}`")).cause(words(error));
    if repository.is_empty().unwrap_or(false) {
        return problem.hint("there is no commit yet: `git commit` first");
    }
    if repository.is_shallow() {
        return problem.hint(DEEPEN);
    }
    problem.hint("`git log --oneline` shows the revisions there are; a branch of the remote is `origin/NAME`")
}

fn words(error: &git2::Error) -> String {
    error.message().trim_end_matches('.').to_owned()
}

impl GitFiles {
    /// Opens `revision` of the git repository that `folder` lies in.
    pub(crate) fn open(folder: &Path, revision: &str) -> Result<Self, Problem> {
        let repository = discover(folder)?;
        let failed = |error: &dyn std::fmt::Display| {
            Problem::new(format!("cannot read the git repository of `{}`", shown(folder)))
                .cause(error.to_string())
        };
        let Some(root) = repository.workdir() else {
            let problem =
                Problem::new(format!("a bare git repository has no working tree: `{}`", shown(folder)));
            return Err(problem.hint("clone it, and name kit.yaml in the clone with `--conf`"));
        };
        let root = root.canonicalize().map_err(|error| failed(&error))?;
        let current =
            std::env::current_dir().and_then(|path| path.canonicalize()).map_err(|error| failed(&error))?;
        let real = folder.canonicalize().map_err(|error| failed(&error))?;
        let inside = |path: &Path| path.strip_prefix(&root).ok().map(Path::to_path_buf);
        let (mut blobs, mut directories) = (BTreeMap::new(), BTreeMap::<PathBuf, Vec<DirEntry>>::new());
        directories.insert(PathBuf::new(), Vec::new());
        {
            let object = find(&repository, revision)?;
            let tree = object.peel_to_tree().map_err(|error| unknown(&repository, revision, &error))?;
            let walked = tree.walk(git2::TreeWalkMode::PreOrder, |parent, entry| {
                // As on disk, names that are not UTF-8 are not there.
                let Ok(name) = entry.name() else { return git2::TreeWalkResult::Skip };
                let directory = PathBuf::from(parent.trim_end_matches('/'));
                let path = directory.join(name);
                let is_dir = entry.kind() == Some(git2::ObjectType::Tree);
                if is_dir {
                    directories.entry(path.clone()).or_default();
                } else if entry.kind() == Some(git2::ObjectType::Blob) {
                    blobs.insert(path, (entry.id(), entry.filemode()));
                } else {
                    // A submodule is another repository.
                    return git2::TreeWalkResult::Ok;
                }
                let is_link = entry.filemode() == LINK;
                directories.entry(directory).or_default().push(DirEntry {
                    name: name.to_owned(),
                    is_dir,
                    is_link,
                });
                git2::TreeWalkResult::Ok
            });
            walked.map_err(|error| unknown(&repository, revision, &error))?;
        }
        directories.values_mut().for_each(|entries| entries.sort());
        let mut files = Self {
            repository: Mutex::new(repository),
            blobs,
            directories,
            prefix: inside(&current),
            folder: resolve(Path::new(""), folder),
            real: inside(&real).unwrap_or_default(),
            root,
        };
        files.follow_directories();
        Ok(files)
    }

    /// A link to a directory is listed as one.
    fn follow_directories(&mut self) {
        let links: Vec<(PathBuf, String)> = self
            .directories
            .iter()
            .flat_map(|(directory, entries)| {
                entries
                    .iter()
                    .filter(|entry| entry.is_link)
                    .map(|entry| (directory.clone(), entry.name.clone()))
            })
            .collect();
        for (directory, name) in links {
            let target = self.followed(directory.join(&name));
            if self.directories.contains_key(&target)
                && let Some(entries) = self.directories.get_mut(&directory)
            {
                entries.iter_mut().filter(|entry| entry.name == name).for_each(|entry| entry.is_dir = true);
            }
        }
    }

    /// The path from the root of the git repository.
    pub(crate) fn path_in_repository(&self, path: &str) -> String {
        shown(&self.lexical(Path::new(path)))
    }

    fn lexical(&self, path: &Path) -> PathBuf {
        if let Ok(inside) = path.strip_prefix(&self.root) {
            return inside.to_owned();
        }
        // kit.yaml may be named from outside of the repository, or through a link.
        let path = resolve(Path::new(""), path);
        let rest = match self.folder == Path::new(".") {
            true if !path.starts_with("..") && path.is_relative() => Some(path.as_path()),
            true => None,
            false => path.strip_prefix(&self.folder).ok(),
        };
        match (rest, &self.prefix) {
            (Some(rest), _) => resolve(&self.real, rest),
            (None, Some(prefix)) => resolve(prefix, &path),
            (None, None) => path,
        }
    }

    /// The path in the git repository, links followed.
    fn locate(&self, path: &Path) -> PathBuf {
        self.followed(self.lexical(path))
    }

    fn followed(&self, mut path: PathBuf) -> PathBuf {
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
