//! The generated tree, as `deploymentizer` writes it: `<output>/<cluster>/<file>`.
//!
//! A cluster's folder is replaced as a whole: the new one is made beside it, with hard links to what stays, and the
//! two change places in one system call. Whoever looks, or is killed, at any instant sees the old folder or the new
//! one. Files that [`Index`] does not name are not ours: they are carried over as they are, never removed, and never
//! overwritten unless the caller adopts them.

mod swap;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::ClusterName;
use crate::index::{FILE_NAME, FileEntry, Index, IndexError, Lines, Placement};

/// How long to wait for another program that writes the same tree.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// What cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The index of a folder cannot be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// Files that we did not write are in the way.
    #[error("{} would overwrite files that deploymentizer did not write: {}", folder.display(), files.join(", "))]
    Foreign {
        /// The cluster's folder.
        folder: PathBuf,
        /// The names of the files.
        files: Vec<String>,
    },
    /// The folder is a link or a file.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// What is there.
        path: PathBuf,
    },
    /// Another program holds the tree.
    #[error("another deploymentizer is writing {}", path.display())]
    Locked {
        /// The output folder.
        path: PathBuf,
    },
}

impl TreeError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> TreeError {
        let path = path.to_owned();
        move |source| TreeError::Io { action, path, source }
    }
}

/// A file to be written.
#[derive(Debug, Clone)]
pub struct NewFile<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Its permission bits; `None` for the usual ones.
    pub mode: Option<u32>,
    /// The resource that it belongs to.
    pub resource: &'a str,
    /// The template or copied file.
    pub source: &'a str,
    /// The lines that hold secrets.
    pub secret_lines: &'a [u32],
    /// What made each line, if that is recorded.
    pub lines: &'a Lines,
    /// The digest of the bytes; computed when it is first needed, for all folders that share it.
    pub digest: &'a OnceLock<String>,
}

/// How to treat what is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Whether files that an earlier run wrote and this one does not are removed.
    pub clean: bool,
    /// Whether files that we did not write may be overwritten, and are ours from then on.
    pub adopt: bool,
}

/// What is to be done in one cluster's folder.
#[derive(Debug)]
pub struct FolderPlan<'a> {
    /// The cluster.
    pub cluster: ClusterName,
    /// New or changed files, by name.
    pub written: Vec<&'a str>,
    /// Files that are there already.
    pub unchanged: Vec<&'a str>,
    /// Files that are removed.
    pub removed: Vec<String>,
    /// Files that should be removed, but were changed by hand since we wrote them. They stay, and are ours no more.
    pub kept: Vec<String>,
    folder: PathBuf,
    files: Vec<NewFile<'a>>,
    index: Index,
    index_changes: bool,
    exists: bool,
    remove_folder: bool,
}

impl FolderPlan<'_> {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty() && !self.index_changes && !self.remove_folder
    }
}

/// The output folder, locked against other programs that write it.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    _lock: File,
}

impl Tree {
    /// Opens the output folder for writing, makes it if need be, and clears away what a killed run left.
    ///
    /// # Errors
    /// When it cannot be made, or another program holds it for half a minute.
    pub fn open(root: &Path) -> Result<Tree, TreeError> {
        fs::create_dir_all(root).map_err(TreeError::io("make the folder", root))?;
        let lock = File::open(root).map_err(TreeError::io("open", root))?;
        let start = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(25));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(TreeError::Locked { path: root.to_owned() });
                }
                // A file system without locks: better unlocked than unusable.
                Err(fs::TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(fs::TryLockError::Error(error)) => return Err(TreeError::io("lock", root)(error)),
            }
        }
        swap::recover(root)?;
        Ok(Tree { root: root.to_owned(), _lock: lock })
    }

    /// Carries a plan out.
    ///
    /// # Errors
    /// When the system refuses; the folder is then as it was.
    pub fn apply(&self, plan: &FolderPlan<'_>) -> Result<(), TreeError> {
        if plan.is_empty() {
            return Ok(());
        }
        if plan.remove_folder {
            return swap::remove(&self.root, &plan.folder, &plan.cluster);
        }
        let staged = swap::staging(&self.root, &plan.cluster);
        let made = stage(plan, &staged).and_then(|()| match plan.exists {
            true => swap::exchange(&self.root, &staged, &plan.folder, &plan.cluster),
            false => fs::rename(&staged, &plan.folder).map_err(TreeError::io("write", &plan.folder)),
        });
        if made.is_err() {
            // The next run clears away what this cannot.
            let _ = fs::remove_dir_all(&staged);
        }
        made
    }
}

/// The folders below `root` that have an index, with it, sorted by name.
///
/// # Errors
/// When the folder or an index cannot be read.
pub fn indexed(root: &Path) -> Result<Vec<Index>, TreeError> {
    let entries = match fs::read_dir(root) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TreeError::io("read", root)(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(TreeError::io("read", root))?;
        let name = entry.file_name();
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let Some(Ok(cluster)) = name.to_str().filter(|_| is_dir).map(str::parse::<ClusterName>) else {
            continue;
        };
        if let Some(mut index) = Index::read(&entry.path())? {
            // The folder decides whose files these are; a copied folder is no other cluster's.
            index.cluster = cluster;
            found.push(index);
        }
    }
    found.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    Ok(found)
}

/// Decides what is to be done in the folder of `cluster` so that it holds `files`. Of the files that an earlier run
/// wrote, only those of resources that `considered` names may be removed. Reads, but writes nothing.
///
/// # Errors
/// When something is in the way, or cannot be read.
pub fn plan<'a>(
    root: &Path,
    cluster: &ClusterName,
    placement: Placement,
    files: Vec<NewFile<'a>>,
    considered: &dyn Fn(&str) -> bool,
    policy: Policy,
) -> Result<FolderPlan<'a>, TreeError> {
    let folder = root.join(cluster.as_str());
    let exists = match fs::symlink_metadata(&folder) {
        Ok(metadata) if metadata.is_dir() => true,
        Ok(_) => return Err(TreeError::NotAFolder { path: folder }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(TreeError::io("read", &folder)(error)),
    };
    let old = if exists { Index::read(&folder)? } else { None };
    let none = BTreeMap::new();
    let old_files = old.as_ref().map_or(&none, |index| &index.files);
    let mut plan = FolderPlan {
        cluster: cluster.clone(),
        written: Vec::new(),
        unchanged: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
        folder,
        files: Vec::new(),
        index: Index { placement, ..Index::new(cluster.clone()) },
        index_changes: false,
        exists,
        remove_folder: false,
    };
    let mut foreign = Vec::new();
    let mut space = Vec::new();
    for file in &files {
        let path = plan.folder.join(file.name);
        let (is_there, may_be_replaced, same) = match if exists { look(&path)? } else { There::Nothing } {
            There::Nothing => (false, true, false),
            There::File { file: there, metadata } => {
                let same_mode = file.mode.is_none_or(|wanted| wanted == mode_of(&metadata));
                let same = same_mode
                    && holds((there, &metadata), file.bytes, &mut space)
                        .map_err(TreeError::io("read", &path))?;
                (true, true, same)
            }
            There::Other => (true, false, false),
        };
        let ours = old_files.contains_key(file.name);
        let in_the_way = !ours && !same && is_there;
        if !may_be_replaced || (in_the_way && !policy.adopt) {
            foreign.push(file.name.to_owned());
        }
        match same {
            true => plan.unchanged.push(file.name),
            false => plan.written.push(file.name),
        }
        let entry = FileEntry {
            resource: file.resource.to_owned(),
            source: file.source.to_owned(),
            digest: file.digest.get_or_init(|| digest(file.bytes)).clone(),
            secret_lines: file.secret_lines.to_vec(),
            lines: file.lines.clone(),
        };
        plan.index.files.insert(file.name.to_owned(), entry);
    }
    if !foreign.is_empty() {
        return Err(TreeError::Foreign { folder: plan.folder, files: foreign });
    }
    stale(&mut plan, old_files, considered, policy)?;
    plan.index_changes = old.as_ref() != Some(&plan.index);
    plan.files = files;
    Ok(plan)
}

fn stale(
    plan: &mut FolderPlan<'_>,
    old_files: &BTreeMap<String, FileEntry>,
    considered: &dyn Fn(&str) -> bool,
    policy: Policy,
) -> Result<(), TreeError> {
    for (name, entry) in old_files {
        if plan.index.files.contains_key(name) {
            continue;
        }
        if !policy.clean || !considered(&entry.resource) {
            plan.index.files.insert(name.clone(), entry.clone());
            continue;
        }
        let path = plan.folder.join(name);
        match look(&path)? {
            There::Nothing => {}
            There::Other => plan.kept.push(name.clone()),
            There::File { mut file, .. } => {
                let mut bytes = Vec::new();
                file.read_to_end(&mut bytes).map_err(TreeError::io("read", &path))?;
                match digest(&bytes) == entry.digest {
                    true => plan.removed.push(name.clone()),
                    false => plan.kept.push(name.clone()),
                }
            }
        }
    }
    Ok(())
}

/// Decides what is to be done in the folder of a cluster that the repository has no more: our files go, and the folder
/// with them if nothing else is in it.
///
/// # Errors
/// When something cannot be read.
pub fn plan_removal(root: &Path, cluster: &ClusterName) -> Result<FolderPlan<'static>, TreeError> {
    let policy = Policy { clean: true, adopt: false };
    let mut plan = plan(root, cluster, Placement::default(), Vec::new(), &|_| true, policy)?;
    if plan.exists {
        let ours: BTreeSet<&str> = plan.removed.iter().map(String::as_str).chain([FILE_NAME]).collect();
        let entries = fs::read_dir(&plan.folder).map_err(TreeError::io("read", &plan.folder))?;
        let foreign =
            entries.flatten().any(|entry| entry.file_name().to_str().is_none_or(|name| !ours.contains(name)));
        plan.remove_folder = !foreign;
    }
    Ok(plan)
}

/// What is in the place of a file.
enum There {
    Nothing,
    File {
        file: File,
        metadata: fs::Metadata,
    },
    /// A link, a folder, or the like.
    Other,
}

fn look(path: &Path) -> Result<There, TreeError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(There::Nothing),
        Err(error) => {
            // A link, which is not followed; or what cannot be opened.
            return match fs::symlink_metadata(path) {
                Ok(metadata) if !metadata.is_file() => Ok(There::Other),
                Ok(_) | Err(_) => Err(TreeError::io("read", path)(error)),
            };
        }
    };
    let metadata = file.metadata().map_err(TreeError::io("read", path))?;
    Ok(if metadata.is_file() { There::File { file, metadata } } else { There::Other })
}

/// Opens a file to read, but not what a link leads to, and without waiting at a pipe.
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    fs::OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    if fs::symlink_metadata(path)?.is_symlink() {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    File::open(path)
}

/// Whether the file holds exactly these bytes. `space` is for reading, kept from file to file.
fn holds((mut file, metadata): (File, &fs::Metadata), bytes: &[u8], space: &mut Vec<u8>) -> io::Result<bool> {
    if metadata.len() != bytes.len() as u64 {
        return Ok(false);
    }
    space.resize(bytes.len(), 0);
    match file.read_exact(space) {
        Ok(()) => Ok(space == bytes),
        // Somebody made it shorter just now.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0o644
}

/// What [`FileEntry::digest`] says of these bytes.
///
/// The index is made for every file of the fleet on every run, so this has to be cheap.
#[allow(deprecated, reason = "the successor in std may change its algorithm; this one is named by its type")]
pub fn digest(bytes: &[u8]) -> String {
    use std::hash::{Hasher as _, SipHasher};
    let mut hasher = SipHasher::new();
    hasher.write(bytes);
    format!("{:016x}", hasher.finish())
}

/// Makes the new folder beside the old one.
fn stage(plan: &FolderPlan<'_>, staged: &Path) -> Result<(), TreeError> {
    let _ = fs::remove_dir_all(staged);
    fs::create_dir(staged).map_err(TreeError::io("make the folder", staged))?;
    if plan.exists {
        let metadata = fs::metadata(&plan.folder).map_err(TreeError::io("read", &plan.folder))?;
        fs::set_permissions(staged, metadata.permissions()).map_err(TreeError::io("write", staged))?;
        let written: BTreeSet<&str> = plan.written.iter().copied().collect();
        let removed: BTreeSet<&str> = plan.removed.iter().map(String::as_str).collect();
        let stays = |name: &str| name != FILE_NAME && !written.contains(name) && !removed.contains(name);
        swap::carry_over(&plan.folder, staged, &stays)?;
        for file in plan.files.iter().filter(|file| written.contains(file.name)) {
            write(staged, file.name, file.bytes, file.mode)?;
        }
    } else {
        for file in &plan.files {
            write(staged, file.name, file.bytes, file.mode)?;
        }
    }
    write(staged, FILE_NAME, &plan.index.to_bytes(), None)
}

fn write(folder: &Path, name: &str, bytes: &[u8], mode: Option<u32>) -> Result<(), TreeError> {
    let path = folder.join(name);
    fs::write(&path, bytes).map_err(TreeError::io("write", &path))?;
    #[cfg(unix)]
    if let Some(mode) = mode {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))
            .map_err(TreeError::io("write", &path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
