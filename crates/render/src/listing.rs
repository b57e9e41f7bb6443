//! What is in a repository: clusters, resources, images, and who runs what.

use std::sync::Arc;

use serde::Serialize;

use crate::node::Node;
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::scene::{Layers, targets};
use crate::source::{Cluster, Merged};
use crate::view::declared;

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
    let merged = &layers.merged;
    let resources = Renderer::resources(merged);
    let selected = resources.iter().filter(|(name, _)| renderer.selects(name));
    Ok(ListedCluster {
        name: cluster.name.to_string(),
        kind: cluster.kind.to_string(),
        branch: merged.metadata("branch").filter(|branch| branch.is_truthy()).map(|branch| branch.to_text()),
        disabled: merged.metadata("disable").is_some_and(|disable| disable.is_true()),
        file: cluster.file.to_string(),
        resources: selected.map(|(name, definition)| resource(renderer, merged, name, definition)).collect(),
    })
}

fn resource(renderer: &Renderer, merged: &Merged, name: &Arc<str>, definition: &Arc<Node>) -> ListedResource {
    let targets = targets(renderer, definition).unwrap_or_default();
    let containers = containers(merged, name, definition).into_iter();
    ListedResource {
        name: name.to_string(),
        disabled: definition.get("disable").is_some_and(|disable| disable.is_true()),
        source: targets.first().map(|target| target.source.to_string()),
        files: targets.into_iter().map(|target| target.output).collect(),
        images: containers.filter_map(|container| image(renderer, container)).collect(),
    }
}

/// A container of a resource, and what its image is looked up by.
struct Container {
    name: Arc<str>,
    image: Option<String>,
    image_tag: Option<String>,
    /// The container's branch, or that of its resource.
    branch: Option<String>,
}

fn containers(merged: &Merged, name: &Arc<str>, definition: &Arc<Node>) -> Vec<Container> {
    let text = |node: Option<&Arc<Node>>| node.map(|node| node.to_text());
    let branch = merged.branch_of(definition).filter(|branch| !branch.is_null());
    // What is no map or list is an error once it is rendered.
    let declared = declared(name, definition).unwrap_or_default().into_iter();
    declared
        .map(|(name, node)| Container {
            name,
            image: text(node.truthy("image")),
            image_tag: text(node.truthy("image_tag")),
            branch: text(node.truthy("branch").or(branch)),
        })
        .collect()
}

/// The `image_tag` of each container of a resource, and the branch that it is looked up on.
pub(crate) fn image_tags(
    merged: &Merged,
    name: &Arc<str>,
    definition: &Arc<Node>,
) -> impl Iterator<Item = (String, String)> {
    containers(merged, name, definition).into_iter().filter_map(|found| found.image_tag.zip(found.branch))
}

fn image(renderer: &Renderer, container: Container) -> Option<ListedImage> {
    let Container { name, image, image_tag, branch } = container;
    if image.is_none() && image_tag.is_none() {
        return None;
    }
    let looked_up = || renderer.image(image_tag.as_ref()?, branch.as_ref()?);
    Some(ListedImage {
        container: name.to_string(),
        image: image.or_else(looked_up),
        branch: branch.filter(|_| image_tag.is_some()),
        image_tag,
    })
}
