//! Where a value comes from, what it stands over, and where it goes.

use std::sync::Arc;

use serde::Serialize;

use crate::node::{Layer, Node, Origin, Value};
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::scene::{FileLine, Layers, Leaf, Scene};
use crate::secrets::MASK;
use crate::source::{Cluster, Repository, did_you_mean};

/// A place that gave a value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// `file:line`; none for values that no file has.
    pub place: Option<String>,
    /// `base`, `type`, `cluster`, `provider`, `environment`, `image file`, `flag` or `derived`.
    pub layer: &'static str,
    /// The value, masked if it is secret.
    pub value: String,
}

/// Lines of one rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Written {
    /// The file in the cluster's folder.
    pub file: String,
    /// Its lines, from 1; empty if the whole file depends on the value.
    pub lines: Vec<u32>,
}

/// Everything about one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// How a template names it.
    pub path: String,
    /// The source that won.
    pub winner: Source,
    /// The sources that lost, the nearest first.
    pub over: Vec<Source>,
    /// For an image: what it was looked up by.
    pub looked_up_by: Vec<Source>,
    /// Template lines, `file:line`, that print it or depend on it.
    pub used_at: Vec<String>,
    /// Lines of the rendered files that change with it.
    pub written_to: Vec<Written>,
}

/// One line of a rendered file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The file in the cluster's folder.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// Its text, secrets masked.
    pub text: String,
    /// The template line that made it, `file:line`.
    pub template: Option<String>,
    /// The values in it.
    pub values: Vec<Explanation>,
}

/// What is asked about a resource.
#[derive(Debug, Clone)]
pub enum Question {
    /// Every value that its files depend on.
    Everything,
    /// The values at or below a path.
    Path(String),
    /// One line of a rendered file.
    Line(String, u32),
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// The cluster.
    pub cluster: String,
    /// The resource.
    pub resource: String,
    /// The value that switches it off, if it is.
    pub disabled: Option<Source>,
    /// The files that it renders to.
    pub files: Vec<String>,
    /// The line that was asked about.
    pub line: Option<Line>,
    /// The values that were asked about.
    pub values: Vec<Explanation>,
}

/// Explains a resource of a cluster.
///
/// # Errors
/// Everything that is wrong with the resource, and a question about what is not there.
pub fn explain(
    renderer: &Renderer,
    cluster: &Cluster,
    resource: &str,
    question: &Question,
) -> Result<Answer, Vec<Problem>> {
    let one = |problem: Problem| vec![problem];
    let layers = Layers::of(renderer, cluster).map_err(one)?;
    let Some(definition) = layers.definition(resource) else {
        let names = Renderer::resources(&layers.merged);
        let problem = Problem::new(format!("cluster `{}` has no resource `{resource}`", cluster.name))
            .hint(format!("deploymentizer list resources {}", cluster.name));
        return Err(one(did_you_mean(problem, resource, names.iter().map(|(name, _)| &**name))));
    };
    let name: Arc<str> = resource.into();
    let scene = Scene::open(renderer, &layers.merged, &name, &definition)?;
    let explainer = Explainer { repository: renderer.repository(), layers: &layers, scene: &scene };
    let mut answer = Answer {
        cluster: cluster.name.to_string(),
        resource: resource.to_owned(),
        disabled: layers.disabled(&definition).map(|node| explainer.source(&node)),
        files: scene.targets.iter().map(|target| target.output.clone()).collect(),
        line: None,
        values: Vec::new(),
    };
    match question {
        Question::Everything => {
            let all = scene.leaves().into_iter().map(|leaf| explainer.explain(&leaf));
            answer.values = all.filter(|explanation| !explanation.written_to.is_empty()).collect();
        }
        Question::Path(path) => {
            let leaves = scene.leaves();
            let prefix = format!("{path}.");
            let found: Vec<&Leaf> =
                leaves.iter().filter(|leaf| leaf.path == *path || leaf.path.starts_with(&prefix)).collect();
            if found.is_empty() {
                let problem = Problem::new(format!(
                    "resource `{resource}` of cluster `{}` has no value `{path}`",
                    cluster.name
                ))
                .hint(format!("deploymentizer explain {} {resource}", cluster.name));
                return Err(one(did_you_mean(problem, path, leaves.iter().map(|leaf| leaf.path.as_str()))));
            }
            answer.values = found.into_iter().map(|leaf| explainer.explain(leaf)).collect();
        }
        Question::Line(file, line) => {
            answer.line = Some(explainer.line(file, *line).map_err(one)?);
        }
    }
    Ok(answer)
}

struct Explainer<'a> {
    repository: &'a Repository,
    layers: &'a Layers,
    scene: &'a Scene<'a>,
}

impl Explainer<'_> {
    fn source(&self, node: &Arc<Node>) -> Source {
        Source { place: self.place(&node.origin), layer: node.origin.layer.name(), value: self.value(node) }
    }

    fn place(&self, origin: &Origin) -> Option<String> {
        self.repository.place(origin).map(|place| match place.line {
            0 => place.file.to_string(),
            line => format!("{}:{line}", place.file),
        })
    }

    fn value(&self, node: &Node) -> String {
        match &node.value {
            _ if node.origin.secret => MASK.to_owned(),
            Value::Text(text) => self.scene.secrets.mask(text),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Date(_)
            | Value::List(_)
            | Value::Map(_) => node.to_text(),
        }
    }

    fn explain(&self, leaf: &Leaf) -> Explanation {
        let scene = self.scene;
        let (mut used, mut written) = (Vec::new(), Vec::new());
        for (at, lines) in scene.reach(&leaf.node) {
            let target = &scene.targets[at];
            let made_by = scene.template_lines(target);
            for line in &lines {
                if let Some(Some(place)) = made_by.get(*line as usize - 1) {
                    push(&mut used, place);
                }
            }
            written.push(Written { file: target.output.clone(), lines });
        }
        Explanation {
            path: leaf.path.clone(),
            winner: self.source(&leaf.node),
            over: self.layers.losers(&leaf.node).iter().map(|node| self.source(node)).collect(),
            looked_up_by: self.looked_up_by(leaf),
            used_at: used,
            written_to: written,
        }
    }

    /// An image file is chosen by the container's `image_tag` and a branch.
    fn looked_up_by(&self, leaf: &Leaf) -> Vec<Source> {
        if leaf.node.origin.layer != Layer::Image {
            return Vec::new();
        }
        let Some(container) = leaf.path.strip_suffix(".image") else { return Vec::new() };
        let container = self.scene.view.root.get(container);
        let own = container.and_then(|container| container.truthy("branch"));
        let branch = own.or_else(|| self.scene.view.root.get("branch"));
        let tag = container.and_then(|container| container.get("image_tag"));
        tag.into_iter().chain(branch).map(|node| self.source(node)).collect()
    }

    fn line(&self, file: &str, number: u32) -> Result<Line, Problem> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let Some((at, target)) =
            self.scene.targets.iter().enumerate().find(|(_, target)| target.output == name)
        else {
            let problem = Problem::new(format!("resource `{}` renders to no file `{file}`", self.scene.name));
            let names: Vec<&str> = self.scene.targets.iter().map(|target| target.output.as_str()).collect();
            return Err(problem.hint(format!("it renders to {}", names.join(", "))));
        };
        let Some(text) = target.text.lines().nth((number as usize).wrapping_sub(1)) else {
            let lines = target.text.lines().count();
            return Err(Problem::new(format!("`{name}` has {lines} lines, there is no line {number}")));
        };
        let template = self.scene.template_lines(target).get(number as usize - 1).cloned().flatten();
        let leaves = self.scene.leaves();
        let values = leaves.iter().filter(|leaf| {
            self.scene.reach(&leaf.node).iter().any(|(of, lines)| *of == at && lines.contains(&number))
        });
        Ok(Line {
            file: name.to_owned(),
            line: number,
            text: self.scene.secrets.mask(text),
            template: template.map(|(file, line)| format!("{file}:{line}")),
            values: values.map(|leaf| self.explain(leaf)).collect(),
        })
    }
}

fn push(list: &mut Vec<String>, (file, line): &FileLine) {
    let place = format!("{file}:{line}");
    if !list.contains(&place) {
        list.push(place);
    }
}
