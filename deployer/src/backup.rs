//! `--backup-url`: what was deployed, as files, in the layout of the original: `<url>/<cluster>/<name>.yaml`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use cli::{Failure, Problem};
use cluster::outcome::{ClusterOutcome, ClusterState};
use manifest::Object;

use crate::input::Manifests;

/// The directory that a URL means.
///
/// # Errors
/// A store that this program cannot write to.
pub(crate) fn directory(url: &str) -> Result<PathBuf, Failure> {
    match url.strip_prefix("file://") {
        Some(path) => Ok(PathBuf::from(path)),
        None if url.contains("://") => Err(Failure::invalid(
            Problem::new(format!("`--backup-url` takes a directory: `{url}`"))
                .hint("back up to a directory, and copy that with the store's own program: aws s3 sync, gsutil rsync, azcopy sync"),
        )),
        None => Ok(PathBuf::from(url)),
    }
}

/// Writes the manifests of every cluster that has them now. What cannot be written is a warning each: the deploy is over.
pub(crate) fn write(dir: &Path, manifests: &Manifests, outcomes: &[ClusterOutcome]) -> Vec<String> {
    let mut warnings = Vec::new();
    for outcome in outcomes.iter().filter(|outcome| outcome.state == ClusterState::Done) {
        let loaded = manifests.load(&outcome.cluster).unwrap_or_default();
        let mut files: BTreeMap<&str, Vec<&Object>> = BTreeMap::new();
        for object in &loaded.objects {
            files.entry(object.name()).or_default().push(object);
        }
        let folder = dir.join(outcome.cluster.as_str());
        for (name, objects) in files {
            // Names of objects may hold `:`, never `/`.
            let path = folder.join(format!("{name}.yaml"));
            if let Err(error) = one(&folder, &path, &objects) {
                warnings.push(format!("the backup was not written: {}: {error}", path.display()));
            }
        }
    }
    warnings
}

/// One file with the objects of one name; only its owner can read it, because manifests hold secrets.
fn one(folder: &Path, path: &Path, objects: &[&Object]) -> std::io::Result<()> {
    let mut text = String::new();
    for object in objects {
        let document = manifest::yaml::emit(&object.value).map_err(std::io::Error::other)?;
        text.push_str("---\n");
        text.push_str(&document);
    }
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
