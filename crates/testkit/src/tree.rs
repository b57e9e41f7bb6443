//! Directories as values: read, written, copied, listed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every file below `root` by its path relative to it, sorted. Files whose name starts with a dot are left out unless
/// `dot_files`. A directory that is not there has no files.
pub fn read_tree(root: &Path, dot_files: bool) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    visit(root, root, dot_files, &mut files);
    files
}

fn visit(root: &Path, dir: &Path, dot_files: bool, files: &mut BTreeMap<String, Vec<u8>>) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        let hidden = path.file_name().unwrap().to_string_lossy().starts_with('.');
        if hidden && !dot_files {
            continue;
        }
        if path.is_dir() && !path.is_symlink() {
            visit(root, &path, dot_files, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.insert(name, fs::read(&path).unwrap());
        }
    }
}

/// The files of a tree in one text, for a snapshot.
pub fn tree_listing(root: &Path) -> String {
    let file =
        |(name, content): (&String, &Vec<u8>)| format!("=== {name}\n{}", String::from_utf8_lossy(content));
    read_tree(root, false).iter().map(file).collect()
}

/// Writes files, each given as path and content.
pub fn write_tree<'a>(root: &Path, files: impl IntoIterator<Item = (&'a str, &'a str)>) {
    for (name, content) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Copies a directory with everything in it.
pub fn copy_tree(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let from = entry.unwrap().path();
        let to = to.join(from.file_name().unwrap());
        if from.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&from).unwrap(), to).unwrap();
        } else if from.is_dir() {
            copy_tree(&from, &to);
        } else {
            fs::copy(&from, &to).unwrap();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        write_tree(&dir.path().join("a"), [("x/y.yaml", "1"), (".hidden", "2")]);
        copy_tree(&dir.path().join("a"), &dir.path().join("b"));
        assert_eq!(read_tree(&dir.path().join("b"), true).len(), 2);
        assert_eq!(tree_listing(&dir.path().join("b")), "=== x/y.yaml\n1");
    }
}
