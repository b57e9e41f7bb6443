//! kit.yaml, and what kind of repository it stands in.

use std::io;
use std::path::{Path, PathBuf};

use manifest::KitConfig;

use super::utf8;
use crate::files::{Files, shown};
use crate::problem::{Place, Problem};

pub(super) fn read_config(files: &dyn Files, path: &Path) -> Result<(PathBuf, KitConfig), Problem> {
    let path = manifest::config::file(path);
    let name = shown(&path);
    let bytes = files.read(&path).map_err(|error| {
        let problem = Problem::unreadable(&name, &error);
        if error.kind() == io::ErrorKind::NotFound {
            problem
                .hint("name it with `--conf PATH/kit.yaml`, or make a repository with `deploymentizer init`")
        } else {
            problem
        }
    })?;
    let text = utf8(bytes, &path)?;
    match KitConfig::parse(&text, Path::new(&name)) {
        Ok(config) => Ok((path, config)),
        Err(error) => {
            let mut problem = Problem::new(error.to_string());
            if let manifest::ConfigError::Invalid { location: Some((line, column)), message, .. } = &error {
                let place = Place { file: name.into(), line: *line as u32, column: *column as u32 };
                problem = Problem::new(message.clone()).at(place).excerpt_of(&text);
            }
            problem.hints.extend(error.hint());
            Err(problem)
        }
    }
}

/// Whether a folder holds a `.mustache` file, at any depth.
pub(super) fn has_mustache(files: &dyn Files, folder: &Path) -> bool {
    let Ok(entries) = files.list(folder) else { return false };
    entries.iter().any(|entry| !entry.is_dir && entry.name.ends_with(".mustache"))
        || entries
            .iter()
            .filter(|entry| entry.is_dir && !entry.is_link && !entry.name.starts_with('.'))
            .any(|entry| has_mustache(files, &folder.join(&entry.name)))
}
