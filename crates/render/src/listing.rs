//! What is in a repository: clusters, resources, images, and who runs what.

use std::sync::Arc;

use serde::Serialize;

use crate::node::Node;
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::scene::{Layers, targets};
use crate::source::Cluster;

/// A cluster of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedCluster {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its branch, if it has one.
    pub branch: Option<String>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Its file.
    pub file: String,
    /// Its resources in order.
    pub resources: Vec<ListedResource>,
}

/// A resource as one cluster runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedResource {
    /// Its name.
    pub name: String,
    /// Whether it is switched off here.
    pub disabled: bool,
    /// Its template, or the file that is copied.
    pub source: Option<String>,
    /// The files that it renders to.
    pub files: Vec<String>,
    /// The images of its containers.
    pub images: Vec<ListedImage>,
}

/// The image of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedImage {
    /// The container.
    pub container: String,
    /// The image; none if it cannot be told without the provider or the image file.
    pub image: Option<String>,
    /// The `image_tag` that it is looked up by.
    pub image_tag: Option<String>,
    /// The branch that it is looked up on.
    pub branch: Option<String>,
}

/// Lists one cluster. Providers are not asked and external values are not needed.
///
/// # Errors
/// What is wrong with its layers.
pub fn list(renderer: &Renderer, cluster: &Cluster) -> Result<ListedCluster, Problem> {
    let layers = Layers::of(renderer, cluster)?;
    let metadata =
        |key: &str| layers.merged.definition.get("metadata").and_then(|metadata| metadata.get(key));
    let branch = metadata("branch").filter(|branch| branch.is_truthy());
    let resources = Renderer::resources(&layers.merged);
    let selected = resources.iter().filter(|(name, _)| renderer.selects(name));
    Ok(ListedCluster {
        name: cluster.name.to_string(),
        kind: cluster.kind.to_string(),
        branch: branch.map(|branch| branch.to_text()),
        disabled: metadata("disable").is_some_and(|disable| disable.is_true()),
        file: cluster.file.to_string(),
        resources: selected.map(|(name, definition)| resource(renderer, name, definition, branch)).collect(),
    })
}

fn resource(
    renderer: &Renderer,
    name: &Arc<str>,
    definition: &Arc<Node>,
    branch: Option<&Arc<Node>>,
) -> ListedResource {
    let targets = targets(renderer, definition).unwrap_or_default();
    let branch = definition.get("branch").filter(|branch| branch.is_truthy()).or(branch);
    let containers = containers(name, definition);
    ListedResource {
        name: name.to_string(),
        disabled: definition.get("disable").is_some_and(|disable| disable.is_true()),
        source: targets.first().map(|target| target.source.to_string()),
        files: targets.into_iter().map(|target| target.output).collect(),
        images: containers.iter().filter_map(|(key, node)| image(renderer, key, node, branch)).collect(),
    }
}

fn containers(name: &Arc<str>, definition: &Arc<Node>) -> Vec<(Arc<str>, Arc<Node>)> {
    match definition.get("containers").and_then(|node| node.as_map()) {
        Some(map) => map.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect(),
        None => vec![(name.clone(), definition.clone())],
    }
}

/// The `image_tag` of each container of a resource, and the branch that it is looked up on. `branch` is the cluster's.
pub(crate) fn image_tags(
    name: &Arc<str>,
    definition: &Arc<Node>,
    branch: Option<&Arc<Node>>,
) -> Vec<(String, String)> {
    let truthy = |node: &Node, key: &str| node.get(key).filter(|value| value.is_truthy()).cloned();
    let branch = truthy(definition, "branch").or(branch.cloned());
    let tag = |(_, container): (Arc<str>, Arc<Node>)| {
        let branch = truthy(&container, "branch").or(branch.clone())?;
        Some((truthy(&container, "image_tag")?.to_text(), branch.to_text()))
    };
    containers(name, definition).into_iter().filter_map(tag).collect()
}

fn image(
    renderer: &Renderer,
    container: &Arc<str>,
    node: &Node,
    branch: Option<&Arc<Node>>,
) -> Option<ListedImage> {
    let given = node.get("image").filter(|image| image.is_truthy());
    let tag = node.get("image_tag").filter(|tag| tag.is_truthy());
    let branch =
        node.get("branch").filter(|branch| branch.is_truthy()).or(branch).map(|branch| branch.to_text());
    let image = match (given, tag, &branch) {
        (Some(image), _, _) => Some(image.to_text()),
        (None, Some(tag), Some(branch)) => renderer.image(&tag.to_text(), branch),
        (None, _, _) => None,
    };
    (given.is_some() || tag.is_some()).then(|| ListedImage {
        container: container.to_string(),
        image,
        branch: tag.and(branch),
        image_tag: tag.map(|tag| tag.to_text()),
    })
}
