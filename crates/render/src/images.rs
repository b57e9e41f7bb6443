//! The image table: `images/<image_tag>/<branch>.yaml`, read when asked for.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::files::{below, shown};
use crate::node::{Layer, Node};
use crate::problem::{Place, Problem};
use crate::source::{Repository, nearest};

type Found = Result<Arc<Node>, Problem>;

/// Looks images up; every file is read once.
#[derive(Default)]
pub struct Images {
    found: Mutex<HashMap<(String, String), Found>>,
}

impl Images {
    /// The image of `tag` (kit's `image_tag`, such as `org/app`) on `branch`.
    ///
    /// # Errors
    /// No such file, or one without an image.
    pub fn get(&self, repository: &Repository, tag: &str, branch: &str) -> Result<Arc<Node>, Problem> {
        let key = (tag.to_owned(), branch.to_owned());
        if let Some(found) = self.found.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return found.clone();
        }
        let found = look_up(repository, tag, branch);
        self.found.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        found
    }
}

fn look_up(repository: &Repository, tag: &str, branch: &str) -> Result<Arc<Node>, Problem> {
    let folder = &repository.folders.images;
    let file = manifest::image_file(tag, branch).ok();
    let Some((path, _)) = file.and_then(|file| below(folder, &file)) else {
        return Err(Problem::new(format!(
            "image `{tag}` on branch `{branch}` would be looked up outside of {}",
            shown(folder)
        )));
    };
    let name = shown(&path);
    let Some(text) = repository.text(&path)? else { return Err(missing(repository, tag, branch, &name)) };
    let inside = repository.files.is_inside(folder, &path).unwrap_or(false);
    if !inside {
        return Err(Problem::new("a symbolic link leaves the image folder").at(Place::of_file(name)));
    }
    let node = repository.parse(&text, &name, Layer::Image)?;
    let property = &repository.config.images.property;
    // Kit ignored `images.property`, so that repositories with it may still say `image`.
    let image = node.get(property).or_else(|| node.get("image")).filter(|image| !image.is_null());
    match image {
        Some(image) if image.as_map().is_none() && image.as_list().is_none() => Ok(image.clone()),
        Some(image) => {
            let problem =
                Problem::new(format!("`{property}` must be an image reference, found {}", image.kind()));
            Err(problem.at(repository.place(&image.origin).unwrap_or_else(|| Place::of_file(name))))
        }
        None => {
            let problem = Problem::new(format!("the image file has no `{property}`"));
            let hint = format!("write `{property}: REGISTRY/{tag}:TAG`, or let `image-deployer` do it");
            Err(problem.at(Place::of_file(name)).hint(hint))
        }
    }
}

fn missing(repository: &Repository, tag: &str, branch: &str, file: &str) -> Problem {
    let folder = repository.folders.images.join(tag);
    let problem = Problem::new(format!("no image for `{tag}` on branch `{branch}`: there is no {file}"));
    let branches = branches(repository, &folder);
    if branches.is_empty() {
        let mut tags = Vec::new();
        all_tags(repository, &repository.folders.images, "", 0, &mut tags);
        return match nearest(tag, tags.iter().map(String::as_str)) {
            Some(near) => problem.hint(format!("did you mean `image_tag: {near}`?")),
            None => problem.hint(format!("commit one with `image-deployer --image … --branch {branch}`")),
        };
    }
    let list: Vec<String> = branches.iter().take(10).map(|branch| format!("`{branch}`")).collect();
    problem.hint(format!("`{tag}` has images for the branches {}", list.join(", ")))
}

fn branches(repository: &Repository, folder: &Path) -> Vec<String> {
    let entries = repository.files.list(folder).unwrap_or_default();
    let stem = |name: &str| name.strip_suffix(".yaml").map(str::to_owned);
    entries.iter().filter(|entry| !entry.is_dir).filter_map(|entry| stem(&entry.name)).collect()
}

fn all_tags(repository: &Repository, folder: &Path, prefix: &str, depth: usize, tags: &mut Vec<String>) {
    for entry in repository.files.list(folder).unwrap_or_default() {
        if entry.is_dir && !entry.is_link && depth < 6 && tags.len() < 5000 {
            let name = format!("{prefix}{}", entry.name);
            let inner = folder.join(&entry.name);
            all_tags(repository, &inner, &format!("{name}/"), depth + 1, tags);
            if !branches(repository, &inner).is_empty() {
                tags.push(name);
            }
        }
    }
}
