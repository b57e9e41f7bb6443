//! Which clusters, resources and files a line of the repository reaches.

use std::collections::BTreeSet;
use std::sync::Arc;

use manifest::yaml;

use serde::Serialize;

use crate::node::{Node, Value};
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::scene::{Layers, Scene};
use crate::source::{Cluster, Merged, Repository};

/// A file of the repository, or one line of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// The file as messages name it.
    pub file: String,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The lines on which the values begin that the line is a part of.
    values: Option<BTreeSet<u32>>,
}

/// What a spot reaches in one resource of one cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reached {
    /// The cluster.
    pub cluster: String,
    /// The resource.
    pub resource: String,
    /// The file in the cluster's folder.
    pub file: String,
    /// Its lines, from 1; empty if it is the file as a whole that depends on the spot.
    pub lines: Vec<u32>,
}

impl Spot {
    /// A file with this text, or one line of it. The line of a key stands for everything below it, and a line in the
    /// middle of a text for the text.
    pub fn new(repository: &Repository, file: String, text: &str, line: Option<u32>) -> Self {
        let values = line.map(|line| {
            let mut values = BTreeSet::from([line]);
            if let Ok(document) = yaml::read_one(text, &file, repository.schema) {
                beginnings(&document.root, text, line, false, &mut values);
            }
            values
        });
        Self { file, line, values }
    }

    fn is(&self, repository: &Repository, node: &Node) -> bool {
        let Some(place) = repository.place(&node.origin) else { return false };
        *place.file == *self.file && self.values.as_ref().is_none_or(|values| values.contains(&place.line))
    }
}

/// Adds the lines on which scalars begin that `line` is a part of; all scalars of `node` if it is `wanted`.
fn beginnings(node: &yaml::Node, text: &str, line: u32, wanted: bool, found: &mut BTreeSet<u32>) {
    match &node.value {
        yaml::Value::Scalar(_) => {
            let written = node.span.text(text).trim_end();
            let last = node.span.line + written.matches('\n').count() as u32;
            if wanted || (node.span.line..=last).contains(&line) {
                found.insert(node.span.line);
            }
        }
        yaml::Value::List(items) => {
            items.iter().for_each(|item| beginnings(item, text, line, wanted, found));
        }
        yaml::Value::Map(map) => {
            for entry in map.iter() {
                let wanted = wanted || entry.key_span.line == line;
                beginnings(&entry.value, text, line, wanted, found);
            }
        }
    }
}

/// Keys of a resource that decide about its files as a whole.
const WHOLE: [&str; 5] = ["file", "output", "disable", "svc", "containers"];

/// What `spot` reaches in `cluster`.
///
/// # Errors
/// Everything that is wrong with the cluster's layers and resources.
pub fn reach(renderer: &Renderer, cluster: &Cluster, spot: &Spot) -> Result<Vec<Reached>, Vec<Problem>> {
    let layers = Layers::of(renderer, cluster).map_err(|problem| vec![problem])?;
    let repository = renderer.repository();
    let merged = &layers.merged;
    if merged.metadata("disable").is_some_and(|switch| switch.is_true() && !spot.is(repository, switch)) {
        return Ok(Vec::new());
    }
    let (mut reached, mut problems) = (Vec::new(), Vec::new());
    for (name, definition) in Renderer::resources(merged) {
        if !renderer.selects(&name) || definition.as_map().is_none() {
            continue;
        }
        let off = definition.get("disable").is_some_and(|disable| disable.is_true());
        if off && !definition.get("disable").is_some_and(|disable| spot.is(repository, disable)) {
            continue;
        }
        match resource(renderer, merged, &name, &definition, spot) {
            Ok(found) => reached.extend(found),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(reached) } else { Err(problems) }
}

fn resource(
    renderer: &Renderer,
    merged: &Merged,
    name: &Arc<str>,
    definition: &Arc<Node>,
    spot: &Spot,
) -> Result<Vec<Reached>, Vec<Problem>> {
    let repository = renderer.repository();
    let scene = Scene::open(renderer, merged, name, definition)?;
    let make = |file: &str, lines: Vec<u32>| Reached {
        cluster: merged.cluster.name.to_string(),
        resource: name.to_string(),
        file: file.to_owned(),
        lines,
    };
    // Everything is found through kit.yaml.
    if *spot.file == crate::files::shown(&repository.folders.config) {
        return Ok(scene.targets.iter().map(|target| make(&target.output, Vec::new())).collect());
    }
    // A template, or a file that one includes.
    let in_resources = {
        let folder = crate::files::shown(&repository.folders.resources);
        folder == "." || spot.file.starts_with(&format!("{folder}/"))
    };
    if in_resources {
        let mut reached = Vec::new();
        for target in &scene.targets {
            let made_by = scene.template_lines(target);
            let lines: Vec<u32> = (1..)
                .zip(&made_by)
                .filter(|(_, place)| {
                    place.as_ref().is_some_and(|(file, line)| {
                        **file == *spot.file && spot.line.is_none_or(|wanted| wanted == *line)
                    })
                })
                .map(|(line, _)| line)
                .collect();
            let is_template = *target.source == *spot.file
                || (made_by.iter().flatten().any(|(file, _)| **file == *spot.file));
            if !lines.is_empty() {
                reached.push(make(&target.output, lines));
            } else if is_template {
                // A line that prints nothing of its own, such as a condition.
                reached.push(make(&target.output, Vec::new()));
            }
        }
        return Ok(reached);
    }
    let whole = WHOLE.iter().filter_map(|key| definition.get(key)).any(|node| match &node.value {
        Value::Map(_) | Value::List(_) => false,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            spot.is(repository, node)
        }
    });
    let service_name = definition.get("svc").and_then(|svc| svc.get("name"));
    if whole || service_name.is_some_and(|name| spot.is(repository, name)) {
        return Ok(scene.targets.iter().map(|target| make(&target.output, Vec::new())).collect());
    }
    let mut lines_of: Vec<Option<Vec<u32>>> = vec![None; scene.targets.len()];
    for leaf in scene.leaves().iter().filter(|leaf| spot.is(repository, &leaf.node)) {
        for (at, lines) in scene.reach(&leaf.node) {
            lines_of[at].get_or_insert_default().extend(lines);
        }
        // What an image is looked up by reaches the lines of the image.
        if leaf.path == "branch" || leaf.path.ends_with(".branch") || leaf.path.ends_with(".image_tag") {
            for image in scene.leaves().iter().filter(|other| other.path.ends_with(".image")) {
                for (at, lines) in scene.reach(&image.node) {
                    lines_of[at].get_or_insert_default().extend(lines);
                }
            }
        }
    }
    let reached = lines_of.into_iter().enumerate().filter_map(|(at, lines)| {
        let mut lines = lines?;
        lines.sort_unstable();
        lines.dedup();
        Some(make(&scene.targets[at].output, lines))
    });
    Ok(reached.collect())
}
