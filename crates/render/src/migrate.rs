//! From `.mustache` templates to minijinja, with a proof.
//!
//! Every template is rendered with the data of every cluster that uses it, to learn what its tags find; then it is
//! written in minijinja, values that the two YAML parsers read differently are rewritten, and the whole repository is
//! rendered both ways. Only if every byte of every file is the same is there a migration; otherwise the lines that
//! stand in the way are named.

mod facts;
mod translate;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use facts::Facts;

use crate::files::{Overlay, shown};
use crate::plan::{Options, Renderer};
use crate::problem::{Place, Problem};
use crate::scene::{changed_lines, targets};
use crate::source::{Cluster, Repository, Selection};
use crate::template::Engine;
use crate::view::View;

/// A repository without mustache, proven to render to the same bytes.
#[derive(Debug, Clone)]
pub struct Migration {
    /// New texts by path; `None` for files that go.
    pub changes: BTreeMap<PathBuf, Option<String>>,
    /// Rendered files that were compared.
    pub compared: usize,
    /// Templates that no cluster uses: there is nothing to prove them with.
    pub unproven: Vec<String>,
}

/// Migrates the repository of `renderer`.
///
/// # Errors
/// Everything that cannot be migrated, each with its place, and everything that is wrong already.
pub fn migrate(
    renderer: &Renderer,
    options: &Options,
    workdir: Option<&Path>,
) -> Result<Migration, Vec<Problem>> {
    let repository = renderer.repository();
    let (clusters, problems) = repository.clusters(&Selection::default());
    if !problems.is_empty() {
        return Err(problems);
    }
    let views = used(renderer, &clusters)?;
    let mut problems = Vec::new();
    let (mut changes, mut unproven) = (BTreeMap::new(), Vec::new());
    for file in templates(repository) {
        let template = match renderer.templates().mustache(repository, &file) {
            Ok(template) => template,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let mut facts = Facts::default();
        let own = views.get(&file);
        // A template that nothing uses is translated by what it would see, and said to be unproven.
        let all = views.values().flatten();
        let seen: Vec<&View> = own.map_or_else(|| all.collect(), |views| views.iter().collect());
        seen.iter().for_each(|view| facts.add(&template, &view.root));
        let path = repository.folders.resources.join(&file);
        if own.is_none() {
            unproven.push(shown(&path));
        }
        match translate::translate(&template, &facts) {
            Ok(text) => {
                let stem = file.strip_suffix(".mustache").unwrap_or(&file);
                changes.insert(repository.folders.resources.join(format!("{stem}.yaml.j2")), Some(text));
                changes.insert(path, None);
            }
            // Unused and not translatable: it goes, there is nothing that it could change.
            Err(_) if own.is_none() => drop(changes.insert(path, None)),
            Err(found) => problems.extend(found.into_iter().map(|refused| {
                let place =
                    Place { file: shown(&path).into(), line: refused.at.line, column: refused.at.column };
                Problem::new(format!("this tag {}", refused.reason)).at(place).excerpt_of(template.source())
            })),
        }
    }
    rewrite_layers(repository, &clusters, &mut changes, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    let compared = prove(renderer, options, workdir, &clusters, &changes)?;
    Ok(Migration { changes, compared, unproven })
}

/// All `.mustache` files, relative to the folder of the resources.
fn templates(repository: &Repository) -> Vec<String> {
    fn walk(repository: &Repository, folder: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) {
        for entry in repository.files.list(folder).unwrap_or_default() {
            let name = format!("{prefix}{}", entry.name);
            if entry.is_dir && !entry.is_link && depth < 16 && !entry.name.starts_with('.') {
                walk(repository, &folder.join(&entry.name), &format!("{name}/"), depth + 1, found);
            } else if !entry.is_dir && entry.name.ends_with(".mustache") {
                found.push(name);
            }
        }
    }
    let mut found = Vec::new();
    walk(repository, &repository.folders.resources, "", 0, &mut found);
    found
}

/// The views of every template that is used.
fn used(renderer: &Renderer, clusters: &[Cluster]) -> Result<BTreeMap<String, Vec<View>>, Vec<Problem>> {
    let mut used: BTreeMap<String, Vec<View>> = BTreeMap::new();
    let mut problems = Vec::new();
    for cluster in clusters {
        let merged = match renderer.repository().merged(cluster, &mut ()) {
            Ok(merged) => merged,
            Err(problem) => {
                problems.push(problem);
                continue;
            }
        };
        let off = |node: Option<&Arc<crate::node::Node>>| node.is_some_and(|node| node.is_true());
        if off(merged.metadata("disable")) {
            continue;
        }
        for (name, definition) in Renderer::resources(&merged) {
            if definition.as_map().is_none() || off(definition.get("disable")) {
                continue;
            }
            let found = targets(renderer, &definition).map_err(|problem| vec![problem]);
            match found.and_then(|targets| Ok((targets, renderer.view(&merged, &name, &definition)?))) {
                Ok((targets, view)) => {
                    for target in targets.into_iter().filter(|target| target.engine == Engine::Mustache) {
                        used.entry(target.template).or_default().push(view.clone());
                    }
                }
                Err(found) => problems.extend(found),
            }
        }
    }
    if problems.is_empty() { Ok(used) } else { Err(problems) }
}

fn rewrite_layers(
    repository: &Repository,
    clusters: &[Cluster],
    changes: &mut BTreeMap<PathBuf, Option<String>>,
    problems: &mut Vec<Problem>,
) {
    let folders = &repository.folders;
    let mut files: BTreeSet<(PathBuf, bool)> = BTreeSet::new();
    files.insert((folders.base.join("base-cluster.yaml"), true));
    files.insert((folders.base.join("base-var.yaml"), false));
    for entry in repository.files.list(&folders.types).unwrap_or_default() {
        if entry.name.ends_with("-var.yaml") {
            files.insert((folders.types.join(&entry.name), true));
        }
    }
    for cluster in clusters {
        files.insert((cluster.folder.join("cluster.yaml"), true));
        files.insert((cluster.folder.join("configuration-var.yaml"), false));
    }
    for (path, renames) in files {
        let Ok(bytes) = repository.files.read(&path) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        let name = shown(&path);
        match values::rewrite(&text, &name, renames) {
            Ok(rewritten) if rewritten == text => {}
            Ok(rewritten) => drop(changes.insert(path, Some(rewritten))),
            Err(stuck) => problems.extend(stuck.into_iter().map(|stuck| {
                let place = Place { file: name.as_str().into(), line: stuck.line, column: 0 };
                Problem::new(format!("this value {}", stuck.reason)).at(place).excerpt_of(&text)
            })),
        }
    }
}

/// Renders both ways; the number of files that were compared.
fn prove(
    renderer: &Renderer,
    options: &Options,
    workdir: Option<&Path>,
    clusters: &[Cluster],
    changes: &BTreeMap<PathBuf, Option<String>>,
) -> Result<usize, Vec<Problem>> {
    let old = renderer.repository();
    let files = Arc::new(Overlay::new(old.files.clone(), changes.clone()));
    let new = Repository::open(files, &old.folders.config, workdir)?;
    let new = Renderer::new(new, options.clone()).map_err(|problem| vec![problem])?;
    let (new_clusters, mut problems) = new.repository().clusters(&Selection::default());
    let mut compared = 0;
    for cluster in clusters {
        let Some(other) = new_clusters.iter().find(|other| other.name == cluster.name) else {
            problems.push(Problem::new(format!("cluster `{}` is gone after the migration", cluster.name)));
            continue;
        };
        let (before, after) = match (renderer.render(cluster), new.render(other)) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(found), _) | (_, Err(found)) => {
                problems.extend(found);
                continue;
            }
        };
        for file in &before.files {
            compared += 1;
            let other = after.files.iter().find(|other| other.name == file.name);
            // A minijinja template that renders to nothing makes no file.
            let text = other.map_or("", |other| &*other.text);
            if text == &*file.text {
                continue;
            }
            let line = changed_lines(&file.text, text).first().copied().unwrap_or(1);
            let shown = file.text.lines().nth(line as usize - 1).unwrap_or_default();
            problems.push(
                Problem::new(format!(
                    "{} cannot be proven: line {line} of {} would differ",
                    file.source, file.name
                ))
                .at(template_place(renderer, cluster, file, line))
                .cause(match file.secret_lines.contains(&line) {
                    true => "the line holds a secret".to_owned(),
                    false => format!("kit wrote `{}`", shown.trim()),
                })
                .in_cluster(&cluster.name),
            );
        }
    }
    if problems.is_empty() { Ok(compared) } else { Err(crate::problem::deduplicate(problems)) }
}

/// The template line behind a line of a file.
fn template_place(
    renderer: &Renderer,
    cluster: &Cluster,
    file: &crate::plan::OutputFile,
    line: u32,
) -> Place {
    let whole = Place::of_file(file.source.clone());
    let Ok(merged) = renderer.repository().merged(cluster, &mut ()) else { return whole };
    let resources = Renderer::resources(&merged);
    let Some((name, definition)) = resources.iter().find(|(name, _)| *name == file.resource) else {
        return whole;
    };
    let Ok(scene) = crate::scene::Scene::open(renderer, &merged, name, definition) else { return whole };
    let Some(target) = scene.targets.iter().find(|target| target.output == file.name) else { return whole };
    match scene.template_lines(target).get(line as usize - 1) {
        Some(Some((file, line))) => Place { file: file.clone(), line: *line, column: 0 },
        Some(None) | None => whole,
    }
}
