//! A backup in a directory.

use std::io::Write as _;
use std::path::Path;

use super::File;

/// Writes the files below `dir`. Returns what could not be written.
pub(super) fn write(dir: &Path, files: impl Iterator<Item = Result<File, String>>) -> Vec<String> {
    let write = |file: File| {
        let folder = dir.join(&file.cluster);
        let path = folder.join(format!("{}.yaml", file.name));
        one(&folder, &path, &file.text)
            .map_err(|error| format!("the backup was not written: {}: {error}", path.display()))
    };
    files.filter_map(|file| file.and_then(write).err()).collect()
}

/// Only its owner can read the file, because manifests hold secrets.
fn one(folder: &Path, path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
