//! Where the files of a repository are read from: a directory, or a revision in git.

mod overlay;

use std::io;
use std::path::{Component, Path, PathBuf};

pub use overlay::Overlay;

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// Its name; entries whose name is not UTF-8 are not listed.
    pub name: String,
    /// Whether it is a directory (or a link to one).
    pub is_dir: bool,
    /// Whether it is a symbolic link.
    pub is_link: bool,
}

/// Read access to the files of one state of a repository.
pub trait Files: Send + Sync {
    /// The bytes of a file.
    ///
    /// # Errors
    /// As the system says; [`io::ErrorKind::NotFound`] if there is none.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// The entries of a directory, sorted bytewise.
    ///
    /// # Errors
    /// As [`Files::read`].
    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>>;

    /// Whether `path`, all symbolic links followed, lies below `root`.
    ///
    /// # Errors
    /// As [`Files::read`].
    fn is_inside(&self, root: &Path, path: &Path) -> io::Result<bool>;

    /// Whether the last component of `path` is a symbolic link.
    fn is_link(&self, _path: &Path) -> bool {
        false
    }

    /// The permission bits of a file, as a copy should have them.
    ///
    /// # Errors
    /// As [`Files::read`].
    fn mode(&self, path: &Path) -> io::Result<u32>;
}

/// The files of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let kind = entry.file_type()?;
            let is_link = kind.is_symlink();
            let is_dir = kind.is_dir() || (is_link && entry.path().is_dir());
            entries.push(DirEntry { name, is_dir, is_link });
        }
        entries.sort();
        Ok(entries)
    }

    fn is_inside(&self, root: &Path, path: &Path) -> io::Result<bool> {
        Ok(path.canonicalize()?.starts_with(root.canonicalize()?))
    }

    fn is_link(&self, path: &Path) -> bool {
        path.is_symlink()
    }

    fn mode(&self, path: &Path) -> io::Result<u32> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            Ok(std::fs::metadata(path)?.permissions().mode() & 0o777)
        }
        #[cfg(not(unix))]
        {
            std::fs::metadata(path).map(|_| 0o644)
        }
    }
}

/// `path` as seen from `base`, without `.` and without `x/..`. An absolute `path` stays itself.
pub fn resolve(base: &Path, path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in base.join(path).components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match resolved.components().next_back() {
                Some(Component::Normal(_)) => {
                    resolved.pop();
                }
                Some(Component::RootDir | Component::Prefix(_)) => {}
                Some(Component::ParentDir | Component::CurDir) | None => resolved.push(".."),
            },
            Component::Normal(_) | Component::RootDir | Component::Prefix(_) => resolved.push(component),
        }
    }
    if resolved.as_os_str().is_empty() { PathBuf::from(".") } else { resolved }
}

/// `path`, taken below `root` even if it starts with `/`; `None` if it leaves it.
pub fn below(root: &Path, path: &str) -> Option<(PathBuf, String)> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part if part.contains(['\0', '\\']) => return None,
            part => parts.push(part),
        }
    }
    if parts.is_empty() {
        return None;
    }
    let relative = parts.join("/");
    Some((if root == Path::new(".") { PathBuf::from(&relative) } else { root.join(&relative) }, relative))
}

/// A path for people: `./` at its front left out.
pub fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_resolved_lexically() {
        let at = |base: &str, path: &str| resolve(Path::new(base), Path::new(path)).display().to_string();
        assert_eq!(at("", "./a/../b"), "b");
        assert_eq!(at("r", "."), "r");
        assert_eq!(at("r", "../x"), "x");
        assert_eq!(at("", "../x"), "../x");
        assert_eq!(at("r", "/x/../../y"), "/y");
        assert_eq!(at("", "."), ".");
    }

    #[test]
    fn a_path_below_a_root_cannot_leave_it() {
        let at = |path: &str| below(Path::new("r"), path).map(|(path, _)| path.display().to_string());
        assert_eq!(at("./a/b"), Some("r/a/b".to_owned()));
        assert_eq!(at("/a"), Some("r/a".to_owned()));
        assert_eq!(at("a/../b"), Some("r/b".to_owned()));
        assert_eq!(at("../a"), None);
        assert_eq!(at("a/../../b"), None);
        assert_eq!(at(""), None);
    }
}
