//! Which value and which template line made a line of a file.
//!
//! Nothing here is guessed from the text of a template. A value's reach is found by changing it and rendering again:
//! the lines that differ are the lines it makes, whatever filters and conditions lie between. A line's template line
//! comes from tracing the templates.

use std::collections::HashSet;
use std::sync::Arc;

use similar::{DiffTag, TextDiff};

use crate::node::{Entry, List, Map, Node, Value};
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::secrets::Secrets;
use crate::source::{Cluster, Merged};
use crate::template::{Engine, locate};
use crate::view::View;

/// A line of a file of the repository.
pub type FileLine = (Arc<str>, u32);

/// One file that a resource renders to.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its name in the cluster's folder.
    pub output: String,
    /// What renders it.
    pub engine: Engine,
    /// The template, relative to the folder of the resources.
    pub template: String,
    /// The template as the user would type it.
    pub source: Arc<str>,
    /// What it renders to.
    pub text: String,
}

/// A value at the end of a path.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// How a template names it: `cart.env.LOG_LEVEL.value`, `hosts.0`.
    pub path: String,
    /// The value.
    pub node: Arc<Node>,
}

/// One resource of one cluster, rendered, with everything it takes to ask about it.
pub struct Scene<'r> {
    renderer: &'r Renderer,
    /// The cluster, merged.
    pub merged: Merged,
    /// The resource.
    pub name: Arc<str>,
    /// Its merged definition.
    pub definition: Arc<Node>,
    /// Its data.
    pub view: View,
    /// Its files.
    pub targets: Vec<Target>,
    /// What must not be shown.
    pub secrets: Secrets,
}

/// A cluster merged, with what its layers replaced.
pub struct Layers {
    /// The cluster.
    pub merged: Merged,
    /// Loser and winner of every conflict, in the order of the merge.
    pub replaced: Vec<(Arc<Node>, Arc<Node>)>,
}

impl Layers {
    /// Merges a cluster and writes down what replaced what.
    ///
    /// # Errors
    /// When a layer is not valid.
    pub fn of(renderer: &Renderer, cluster: &Cluster) -> Result<Self, Problem> {
        let mut replaced: Vec<(Arc<Node>, Arc<Node>)> = Vec::new();
        let mut note = |loser: &Arc<Node>, winner: &Arc<Node>| replaced.push((loser.clone(), winner.clone()));
        let merged = renderer.repository().merged(cluster, &mut note)?;
        Ok(Self { merged, replaced })
    }

    /// The values that `winner` stands over, the nearest first.
    pub fn losers(&self, winner: &Arc<Node>) -> Vec<Arc<Node>> {
        self.replaced
            .iter()
            .filter(|(_, by)| Arc::ptr_eq(by, winner))
            .map(|(loser, _)| loser.clone())
            .collect()
    }

    /// The merged definition of a resource.
    pub fn definition(&self, resource: &str) -> Option<Arc<Node>> {
        Renderer::resources(&self.merged)
            .into_iter()
            .find(|(name, _)| &**name == resource)
            .map(|(_, definition)| definition)
    }

    /// Whether the cluster or the resource is switched off; the value that says so.
    pub fn disabled(&self, definition: &Node) -> Option<Arc<Node>> {
        let own = definition.get("disable").filter(|disable| disable.is_true());
        let cluster = self.merged.metadata("disable").filter(|disable| disable.is_true());
        cluster.or(own).cloned()
    }
}

impl<'r> Scene<'r> {
    /// Renders a resource.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn open(
        renderer: &'r Renderer,
        merged: &Merged,
        name: &Arc<str>,
        definition: &Arc<Node>,
    ) -> Result<Self, Vec<Problem>> {
        let view = renderer.view(merged, name, definition)?;
        let mut secrets = Secrets::default();
        secrets.add_tree(&view.root);
        let mut scene = Self {
            renderer,
            merged: merged.clone(),
            name: name.clone(),
            definition: definition.clone(),
            view,
            targets: targets(renderer, definition).map_err(|problem| vec![problem])?,
            secrets,
        };
        for at in 0..scene.targets.len() {
            scene.targets[at].text = scene.text(&scene.targets[at], &scene.view)?;
        }
        // A minijinja template that renders to nothing makes no file.
        scene.targets.retain(|target| target.engine != Engine::Jinja || !target.text.trim().is_empty());
        Ok(scene)
    }

    fn text(&self, target: &Target, view: &View) -> Result<String, Vec<Problem>> {
        let mut text = String::new();
        self.renderer.templates().render(
            self.renderer.repository(),
            target.engine,
            &target.template,
            view,
            &self.merged.searched,
            &mut text,
        )?;
        Ok(text)
    }

    /// Every value that its templates can name, each under its first name.
    pub fn leaves(&self) -> Vec<Leaf> {
        let mut leaves = Vec::new();
        let mut seen = HashSet::new();
        collect(&self.view.root, "", &mut seen, &mut leaves);
        // Beside kit's view, minijinja templates see a few names more.
        collect(&self.view.extended, "", &mut seen, &mut leaves);
        leaves
    }

    /// The lines, from 1, that change in each file when this value changes; a file in which nothing does is left out.
    pub fn reach(&self, leaf: &Arc<Node>) -> Vec<(usize, Vec<u32>)> {
        let new = other(leaf);
        let root = substitute(&self.view.root, leaf, &new);
        let extended = substitute(&self.view.extended, leaf, &new);
        if root.is_none() && extended.is_none() {
            return Vec::new();
        }
        let view = View {
            root: root.unwrap_or_else(|| self.view.root.clone()),
            extended: extended.unwrap_or_else(|| self.view.extended.clone()),
            secret: self.view.secret,
            warnings: Vec::new(),
        };
        let changed = |(at, target): (usize, &Target)| {
            if target.engine == Engine::Copy {
                return None;
            }
            let lines = match self.text(target, &view) {
                Ok(text) => changed_lines(&target.text, &text),
                // A template that cannot do with another value certainly uses it, where it fails.
                Err(_) => Vec::new(),
            };
            let failed = lines.is_empty() && self.text(target, &view).is_err();
            (failed || !lines.is_empty()).then_some((at, lines))
        };
        self.targets.iter().enumerate().filter_map(changed).collect()
    }

    /// The template line that made each line of a file; `None` where it cannot be told.
    pub fn template_lines(&self, target: &Target) -> Vec<Option<FileLine>> {
        let count = target.text.split_inclusive('\n').count();
        if target.engine == Engine::Copy {
            return (1..=count as u32).map(|line| Some((target.source.clone(), line))).collect();
        }
        let Some(trace) = self.renderer.trace(target.engine, &target.template, &self.view, &target.text)
        else {
            return vec![None; count];
        };
        let mut start = 0;
        let mut lines = Vec::with_capacity(count);
        let mut pieces = trace.pieces.iter().peekable();
        for line in target.text.split_inclusive('\n') {
            let end = start + line.len();
            // Indentation may still be a part of what came before.
            let visible = start + (line.len() - line.trim_start().len()).min(line.len() - 1);
            while pieces.next_if(|piece| piece.out.end <= visible).is_some() {}
            let first = pieces.peek().filter(|piece| piece.out.start < end);
            lines.push(first.map(|piece| (piece.template.file.clone(), piece.template.line)));
            start = end;
        }
        lines
    }
}

/// The files that a definition asks for, not rendered yet.
///
/// # Errors
/// A `file` that cannot be one.
pub fn targets(renderer: &Renderer, definition: &Arc<Node>) -> Result<Vec<Target>, Problem> {
    let repository = renderer.repository();
    let mut targets = Vec::new();
    let mut of_file = None;
    if let Some(file) = definition.truthy("file") {
        let (template, engine, output) = locate(repository, file)?;
        let output = renderer.output_name(engine, &output, definition)?;
        of_file = Some(engine);
        let source = repository.template_name(&template);
        targets.push(Target { output, engine, source, template, text: String::new() });
    }
    if let Some(svc) = definition.truthy("svc")
        && let Some(name) = svc.truthy("name")
        && let Some((template, engine)) = renderer.templates().service(of_file)
    {
        let output = format!("{}.yaml", name.to_text());
        let (source, template) = (repository.template_name(template), template.to_owned());
        targets.push(Target { output, engine, source, template, text: String::new() });
    }
    Ok(targets)
}

fn collect(node: &Arc<Node>, path: &str, seen: &mut HashSet<*const Node>, leaves: &mut Vec<Leaf>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match &node.value {
        Value::Map(map) => {
            for entry in &map.entries {
                // `values` holds everything a second time.
                if path.is_empty() && &*entry.key == "values" && seen.contains(&Arc::as_ptr(&entry.value)) {
                    continue;
                }
                collect(&entry.value, &below(&entry.key), seen, leaves);
            }
            seen.insert(Arc::as_ptr(node));
        }
        Value::List(list) => {
            for (at, item) in list.items.iter().enumerate() {
                // Entries of an env list are called by their name.
                let name =
                    item.get("name").and_then(|name| name.as_text()).filter(|name| !name.contains('.'));
                let key = name.map_or_else(|| at.to_string(), |name| name.to_string());
                collect(item, &below(&key), seen, leaves);
            }
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            if seen.insert(Arc::as_ptr(node)) {
                leaves.push(Leaf { path: path.to_owned(), node: node.clone() });
            }
        }
    }
}

/// Another value of the same kind.
fn other(node: &Node) -> Arc<Node> {
    let value = match &node.value {
        Value::Null => Value::Text("\u{e00f}".into()),
        Value::Bool(flag) => Value::Bool(!flag),
        Value::Int(number) => Value::Int(number.wrapping_add(1)),
        Value::Float(number) => Value::Float(number + 1.0),
        Value::Text(text) => Value::Text(format!("{text}\u{e00f}").into()),
        Value::Date(millis) => Value::Date(millis + 86_400_000),
        Value::List(_) | Value::Map(_) => Value::Null,
    };
    Node::new(value, node.origin)
}

/// `tree` with `new` wherever `old` (the very same node) is; `None` if it is nowhere.
fn substitute(tree: &Arc<Node>, old: &Arc<Node>, new: &Arc<Node>) -> Option<Arc<Node>> {
    if Arc::ptr_eq(tree, old) {
        return Some(new.clone());
    }
    let value = match &tree.value {
        Value::Map(map) => {
            let mut entries: Option<Vec<Entry>> = None;
            for (at, entry) in map.entries.iter().enumerate() {
                if let Some(value) = substitute(&entry.value, old, new) {
                    entries.get_or_insert_with(|| map.entries.clone())[at].value = value;
                }
            }
            Value::Map(Map { entries: entries? })
        }
        Value::List(list) => {
            let mut items: Option<Vec<Arc<Node>>> = None;
            for (at, item) in list.items.iter().enumerate() {
                if let Some(value) = substitute(item, old, new) {
                    items.get_or_insert_with(|| list.items.clone())[at] = value;
                }
            }
            Value::List(List { items: items?, named: list.named.clone() })
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            return None;
        }
    };
    Some(Node::new(value, tree.origin))
}

/// The lines of `old`, from 1, that are not in `new`; where lines were only added, the one before them.
pub(crate) fn changed_lines(old: &str, new: &str) -> Vec<u32> {
    if old == new {
        return Vec::new();
    }
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for op in diff.ops() {
        let (tag, before, _) = op.as_tag_tuple();
        match tag {
            DiffTag::Equal => {}
            DiffTag::Insert => lines.push(before.start.max(1) as u32),
            DiffTag::Delete | DiffTag::Replace => lines.extend(before.map(|at| at as u32 + 1)),
        }
    }
    lines.dedup();
    lines
}
