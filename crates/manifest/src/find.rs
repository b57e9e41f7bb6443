//! One object in a directory of manifests, with the places of everything in it.

use std::path::{Path, PathBuf};

use crate::load::{LoadError, manifest_files};
use crate::yaml::{self, Node, Schema};

/// An object in its file.
#[derive(Debug, Clone)]
pub struct InFile {
    /// The file.
    pub file: PathBuf,
    /// The object.
    pub root: Node,
}

impl InFile {
    /// A text field of the object's top or of its metadata.
    pub fn text(&self, path: &[&str]) -> Option<String> {
        let node = path.iter().try_fold(&self.root, |at, key| at.get(key))?;
        node.as_scalar().map(|scalar| scalar.to_text().into_owned())
    }
}

/// The objects below `dir` of this kind (in any case) and one of these names. With a namespace, those in another are left out;
/// manifests that name none could be in any.
///
/// # Errors
/// Every file that cannot be read.
pub fn find(
    dir: &Path,
    kind: &str,
    namespace: Option<&str>,
    names: &[&str],
) -> Result<Vec<InFile>, Vec<LoadError>> {
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    for file in manifest_files(dir)? {
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(source) => {
                errors.push(LoadError::Read { path: file, source });
                continue;
            }
        };
        match yaml::read(&text, &file.display().to_string(), Schema::Kubernetes) {
            Ok(documents) => {
                for document in documents {
                    objects(document.root, &file, &mut found);
                }
            }
            Err(error) => errors.push(LoadError::Yaml(error)),
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    found.retain(|object| {
        object.text(&["kind"]).is_some_and(|found| found.eq_ignore_ascii_case(kind))
            && object.text(&["metadata", "name"]).is_some_and(|found| names.contains(&found.as_str()))
            && object
                .text(&["metadata", "namespace"])
                .is_none_or(|found| namespace.is_none_or(|wanted| wanted == found))
    });
    Ok(found)
}

fn objects(root: Node, file: &Path, found: &mut Vec<InFile>) {
    let is_list =
        root.get("kind").and_then(Node::as_scalar).is_some_and(|kind| kind.to_text().ends_with("List"));
    match root.get("items").and_then(Node::as_list).filter(|_| is_list) {
        Some(items) => items.iter().for_each(|item| objects(item.clone(), file, found)),
        None => found.push(InFile { file: file.to_owned(), root }),
    }
}
