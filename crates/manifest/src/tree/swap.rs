//! Folders that change places, and what a killed run leaves behind.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::TreeError;
use crate::ClusterName;

/// A folder that is being made. Dots hide it from readers of the tree.
const STAGING: &str = ".kit-new-";
/// An old folder, out of its place while the new one is put there (file systems without an exchange only).
const OLD: &str = ".kit-old-";

pub(super) fn staging(root: &Path, cluster: &ClusterName) -> PathBuf {
    root.join(format!("{STAGING}{cluster}"))
}

fn old(root: &Path, cluster: &ClusterName) -> PathBuf {
    root.join(format!("{OLD}{cluster}"))
}

/// Clears away what a killed run left. The caller holds the lock, so nobody else is using it.
pub(super) fn recover(root: &Path) -> Result<(), TreeError> {
    let entries = fs::read_dir(root).map_err(TreeError::io("read", root))?;
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        if let Some(cluster) = name.strip_prefix(OLD) {
            let place = root.join(cluster);
            if fs::symlink_metadata(&place).is_err() {
                fs::rename(entry.path(), &place).map_err(TreeError::io("restore", &place))?;
                continue;
            }
        } else if !name.starts_with(STAGING) {
            continue;
        }
        fs::remove_dir_all(entry.path()).map_err(TreeError::io("remove", &entry.path()))?;
    }
    Ok(())
}

/// Puts `staged` in the place of `folder` at one instant, then removes the old one.
pub(super) fn exchange(
    root: &Path,
    staged: &Path,
    folder: &Path,
    cluster: &ClusterName,
) -> Result<(), TreeError> {
    match exchange_at_once(staged, folder) {
        Ok(()) => remove_tree(staged),
        Err(error) if is_unsupported(&error) => {
            // Two renames; a run killed between them is completed by `recover`.
            let aside = old(root, cluster);
            fs::rename(folder, &aside).map_err(TreeError::io("replace", folder))?;
            if let Err(error) = fs::rename(staged, folder) {
                fs::rename(&aside, folder).map_err(TreeError::io("restore", folder))?;
                return Err(TreeError::io("replace", folder)(error));
            }
            remove_tree(&aside)
        }
        Err(error) => Err(TreeError::io("replace", folder)(error)),
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn exchange_at_once(staged: &Path, folder: &Path) -> io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    renameat_with(CWD, staged, CWD, folder, RenameFlags::EXCHANGE).map_err(io::Error::from)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn exchange_at_once(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

fn is_unsupported(error: &io::Error) -> bool {
    // EINVAL is what file systems without the flag answer.
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

fn remove_tree(path: &Path) -> Result<(), TreeError> {
    fs::remove_dir_all(path).map_err(TreeError::io("remove", path))
}

/// Removes a whole folder: out of sight at one instant, then for good.
pub(super) fn remove(root: &Path, folder: &Path, cluster: &ClusterName) -> Result<(), TreeError> {
    let aside = staging(root, cluster);
    let _ = fs::remove_dir_all(&aside);
    fs::rename(folder, &aside).map_err(TreeError::io("remove", folder))?;
    remove_tree(&aside)
}

/// Gives everything in `from` for which `stays` holds a second name in `to`; nothing is copied where the file system
/// has hard links.
pub(super) fn carry_over(from: &Path, to: &Path, stays: &dyn Fn(&str) -> bool) -> Result<(), TreeError> {
    let entries = fs::read_dir(from).map_err(TreeError::io("read", from))?;
    for entry in entries {
        let entry = entry.map_err(TreeError::io("read", from))?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| !stays(name)) {
            continue;
        }
        let (old, new) = (entry.path(), to.join(&name));
        let kind = entry.file_type().map_err(TreeError::io("read", &old))?;
        if kind.is_dir() {
            fs::create_dir(&new).map_err(TreeError::io("make the folder", &new))?;
            carry_over(&old, &new, &|_| true)?;
            let metadata = fs::metadata(&old).map_err(TreeError::io("read", &old))?;
            fs::set_permissions(&new, metadata.permissions()).map_err(TreeError::io("write", &new))?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&old).map_err(TreeError::io("read", &old))?;
            symlink(&target, &new).map_err(TreeError::io("write", &new))?;
        } else if fs::hard_link(&old, &new).is_err() {
            fs::copy(&old, &new).map_err(TreeError::io("copy", &old))?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}
