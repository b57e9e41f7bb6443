//! What a template sees: kit's view, built for each resource of a cluster.
//!
//! The view is the merged variables plus `name`, `branch`, with `--deploy-id` also `deployment.id` and
//! `deployment.fastRollback`, one key for each container, and `svc`. Minijinja templates see four more names unless a
//! variable already has them: `cluster` (`name`, `type`), `resource` (its definition), `containers` (a list of all of
//! them, each called as its key unless it has a `name`) and `container` (the primary one of them).

use std::sync::Arc;

use manifest::yaml::Schema;

use crate::external::{Environment, externalise};
use crate::images::Images;
use crate::layers::{Rules, merge, merge_envs, name_of};
use crate::memo::{Containers, Known, Prepared};
use crate::node::{Layer, List, Map, Node, Origin, Value};
use crate::problem::Problem;
use crate::provider::{Ask, Provider};
use crate::source::{Merged, Repository};
use crate::template::Engine;

/// What the command line adds to every view.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--deploy-id`.
    pub deploy_id: Option<String>,
    /// `--fast-rollback`.
    pub fast_rollback: bool,
}

/// What views are built from.
pub struct Sources<'a> {
    /// The repository.
    pub repository: &'a Repository,
    /// Its images.
    pub images: &'a Images,
    /// The provider of kit.yaml, if there is one.
    pub provider: Option<&'a dyn Provider>,
    /// The process environment.
    pub environment: &'a Environment,
    /// The flags.
    pub flags: &'a Flags,
    /// Containers made for other clusters.
    pub(crate) prepared: &'a Prepared,
}

/// The data of one resource.
#[derive(Debug, Clone)]
pub struct View {
    /// What kit's templates see.
    pub root: Arc<Node>,
    /// What minijinja templates see: the same and the four names.
    pub extended: Arc<Node>,
    /// Whether it holds a secret. Only containers do: layers are in the repository for all to read.
    pub secret: bool,
    /// Things to tell the user.
    pub warnings: Vec<Problem>,
}

impl View {
    /// What a template of this engine sees. The four names are for minijinja only: in kit `{{#container}}` found nothing,
    /// and its templates must render to what they did.
    pub(crate) fn data(&self, engine: Engine) -> &Arc<Node> {
        match engine {
            Engine::Jinja => &self.extended,
            Engine::Mustache | Engine::Copy => &self.root,
        }
    }
}

const DERIVED: Origin = Origin::of(Layer::Derived);

/// Builds the view of the resource `name`, whose merged definition is `definition`.
///
/// # Errors
/// Everything that is wrong with its containers, images and external values.
pub fn build(
    sources: &Sources<'_>,
    merged: &Merged,
    name: &Arc<str>,
    definition: &Arc<Node>,
) -> Result<View, Vec<Problem>> {
    let repository = sources.repository;
    let mut root = merged.vars.as_map().cloned().unwrap_or_default();
    let branch = merged.branch_of(definition).filter(|branch| !branch.is_null());
    // In kit both keys are there without a value, which stops a lookup just as null does.
    let is_kit = repository.schema == Schema::JsYaml3;
    if let Some(branch) = branch {
        root.set("branch", branch.clone());
    } else if is_kit {
        root.set("branch", Node::new(Value::Null, DERIVED));
    }
    root.set("name", Node::text(name.clone(), DERIVED));
    if let Some(id) = &sources.flags.deploy_id {
        let flag = Origin::of(Layer::Flag);
        let own = root.get("deployment").cloned();
        let mut deployment = own.as_ref().and_then(|own| own.as_map()).cloned().unwrap_or_default();
        deployment.set("id", Node::text(id.as_str(), flag));
        deployment.set("fastRollback", Node::bool(sources.flags.fast_rollback, flag));
        let value = match own.as_ref().map(|own| &own.value) {
            // JavaScript hangs the two keys on a list, which stays one.
            Some(Value::List(list)) => {
                Value::List(List { items: list.items.clone(), named: deployment.entries })
            }
            _ => Value::Map(deployment),
        };
        root.set("deployment", Node::new(value, flag));
    }
    let mut warnings = Vec::new();
    let containers = prepared(sources, merged, name, definition, branch, &mut warnings)?;
    for (key, container) in &containers.named {
        root.set(key.clone(), container.clone());
    }
    if let Some(svc) = definition.truthy("svc") {
        root.set("svc", svc.clone());
    }
    let root = Node::new(Value::Map(root), DERIVED);
    let extended = extended(&root, merged, definition, &containers);
    let secret = containers.secret;
    Ok(View { root, extended, secret, warnings })
}

fn extended(root: &Arc<Node>, merged: &Merged, definition: &Arc<Node>, containers: &Containers) -> Arc<Node> {
    let mut extended = root.as_map().cloned().unwrap_or_default();
    let mut offer = |key: &str, value: Arc<Node>| {
        if extended.get(key).is_none() {
            extended.set(key, value);
        }
    };
    let mut cluster = Map::default();
    cluster.set("name", Node::text(merged.cluster.name.clone(), DERIVED));
    cluster.set("type", Node::text(merged.cluster.kind.clone(), DERIVED));
    offer("cluster", Node::new(Value::Map(cluster), DERIVED));
    offer("resource", definition.clone());
    offer("values", root.clone());
    if let Some(container) = &containers.primary {
        offer("container", container.clone());
    }
    offer("containers", containers.list.clone());
    Node::new(Value::Map(extended), DERIVED)
}

/// The containers, made anew unless another cluster has the very same ones. With a provider each cluster has its own.
fn prepared(
    sources: &Sources<'_>,
    merged: &Merged,
    name: &Arc<str>,
    definition: &Arc<Node>,
    branch: Option<&Arc<Node>>,
    warnings: &mut Vec<Problem>,
) -> Result<Arc<Containers>, Vec<Problem>> {
    if let Some(known) = sources.prepared.get(name, definition, branch) {
        return Ok(known);
    }
    let before = warnings.len();
    let named = containers(sources, merged, name, definition, branch, warnings)?;
    let items: Vec<Arc<Node>> = named.iter().map(|(key, container)| called_by_key(key, container)).collect();
    let primary = items.iter().find(|container| container.get("primary").is_some_and(|p| p.is_true()));
    let primary = primary.or(items.first()).cloned();
    let list = Node::new(Value::List(List { items, named: Vec::new() }), DERIVED);
    let secret = named.iter().any(|(_, container)| container.holds_secret());
    let containers = Arc::new(Containers { named, list, secret, primary });
    if sources.provider.is_none() && warnings.len() == before {
        let (definition, branch) = (definition.clone(), branch.cloned());
        sources.prepared.put(name, Known { definition, branch, containers: containers.clone() });
    }
    Ok(containers)
}

/// kit calls every container after its resource unless it has a `name`; in a list of all that would be ambiguous.
fn called_by_key(key: &Arc<str>, container: &Arc<Node>) -> Arc<Node> {
    let derived = |name: &Arc<Node>| name.origin.layer == Layer::Derived;
    match container.as_map() {
        Some(map)
            if map.get("name").is_some_and(derived)
                && map.get("name").is_none_or(|n| n.as_text() != Some(key)) =>
        {
            let mut map = map.clone();
            map.set("name", Node::text(key.clone(), DERIVED));
            Node::new(Value::Map(map), container.origin)
        }
        _ => container.clone(),
    }
}

pub(crate) type Named = (Arc<str>, Arc<Node>);

/// What a definition says of its containers, by key: those of its map, those of a list by their place, as kit takes them. Without any
/// the resource is the only container.
///
/// # Errors
/// What stands there instead.
pub(crate) fn declared<'a>(name: &Arc<str>, definition: &'a Arc<Node>) -> Result<Vec<Named>, &'a Arc<Node>> {
    let Some(node) = definition.truthy("containers") else {
        return Ok(vec![(name.clone(), definition.clone())]);
    };
    match &node.value {
        Value::Map(map) => {
            Ok(map.entries.iter().map(|entry| (entry.key.clone(), entry.value.clone())).collect())
        }
        Value::List(list) => {
            let items = list.items.iter().enumerate();
            Ok(items.map(|(at, item)| (at.to_string().into(), item.clone())).collect())
        }
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Date(_) => {
            Err(node)
        }
    }
}

fn containers(
    sources: &Sources<'_>,
    merged: &Merged,
    name: &Arc<str>,
    definition: &Arc<Node>,
    branch: Option<&Arc<Node>>,
    warnings: &mut Vec<Problem>,
) -> Result<Vec<Named>, Vec<Problem>> {
    let repository = sources.repository;
    let own = definition.truthy("containers");
    let is_hpa = name.ends_with("-hpa");
    let listed = match declared(name, definition) {
        Ok(listed) => listed,
        Err(node) => {
            let problem = Problem::new(format!("`containers` must be a map, found {}", node.kind()));
            return Err(vec![repository.at(problem, &node.origin)]);
        }
    };
    let mut problems = Vec::new();
    for (key, container) in &listed {
        if container.as_map().is_none() {
            let problem =
                Problem::new(format!("container `{key}` must be a map, found {}", container.kind()));
            problems.push(repository.at(problem, &container.origin));
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let primaries = if is_hpa { vec![None; listed.len()] } else { primaries(&listed, own.is_some()) };
    if listed.len() > 1 && !is_hpa {
        let marked = primaries.iter().filter(|primary| primary.as_ref().is_some_and(|p| p.is_true())).count();
        if marked != 1 {
            let problem = match marked {
                0 => Problem::new(format!("no main container for `{name}`")),
                _ => Problem::new(format!("more than one main container for `{name}`")),
            };
            let problem = problem
                .cause("a container without `primary` is the main one if it has an `image_tag`")
                .hint("set `primary: true` on one container, and `primary: false` on the others with an `image_tag`");
            return Err(vec![repository.at(problem, &own.unwrap_or(definition).origin)]);
        }
    }
    let mut built = Vec::with_capacity(listed.len());
    for ((key, container), primary) in listed.iter().zip(primaries) {
        match one(sources, merged, name, key, container, branch, primary) {
            Ok(node) => built.push((key.clone(), node)),
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    for (_, container) in &listed {
        if let Some(primary) = container.get("primary")
            && !matches!(primary.value, Value::Bool(_) | Value::Null)
        {
            let problem =
                Problem::new(format!("`primary` counts only as `true`, this is {}", primary.kind()));
            warnings.push(repository.at(problem, &primary.origin));
        }
    }
    Ok(built)
}

fn primaries(listed: &[Named], has_map: bool) -> Vec<Option<Arc<Node>>> {
    let primary = |container: &Arc<Node>| match container.get("primary") {
        Some(primary) => Some(primary.clone()),
        None if has_map => Some(Node::bool(container.get("image_tag").is_some(), DERIVED)),
        None => None,
    };
    listed.iter().map(|(_, container)| primary(container)).collect()
}

/// One container of a view.
fn one(
    sources: &Sources<'_>,
    merged: &Merged,
    resource: &Arc<str>,
    key: &Arc<str>,
    definition: &Arc<Node>,
    branch: Option<&Arc<Node>>,
    primary: Option<Arc<Node>>,
) -> Result<Arc<Node>, Vec<Problem>> {
    let repository = sources.repository;
    let mut map = definition.as_map().cloned().unwrap_or_default();
    if map.truthy("name").is_none() {
        map.set("name", Node::text(resource.clone(), DERIVED));
    }
    map.set("resourceName", Node::text(resource.clone(), DERIVED));
    if repository.schema == Schema::JsYaml3 {
        map.set("gitRef", Node::new(Value::Null, DERIVED));
    }
    if let Some(primary) = primary {
        map.set("primary", primary);
    }
    let mut container = Node::new(Value::Map(map), definition.origin);
    if let Some(provider) = sources.provider {
        let ask = Ask { repository, merged, resource, container: &container };
        if let Some(answer) = provider.fetch(&ask).map_err(|problem| vec![problem])? {
            container = overlay(&container, &answer, repository.rules);
        }
    }
    let mut map = container.as_map().cloned().unwrap_or_default();
    if let Some(own) = definition.truthy("env") {
        let given = own;
        let own = externalise(own, sources.environment, repository)?;
        let current = map.get("env").cloned().unwrap_or_else(|| own.clone());
        // Without a provider that changed it, laying the definition over itself gives the definition.
        let untouched = Arc::ptr_eq(&current, given)
            && own.as_list().is_some_and(|items| !items.iter().any(|i| i.is_null()));
        map.set("env", if untouched { own } else { definition_wins(&current, &own) });
    }
    let has_image = map.truthy("image").is_some();
    if let Some(tag) = definition.truthy("image_tag").filter(|_| !has_image) {
        let branch = map.truthy("branch").or(branch);
        let image = image(sources, tag, branch, key).map_err(|problem| vec![problem])?;
        map.set("image", image);
    }
    Ok(Node::new(Value::Map(map), definition.origin))
}

fn image(
    sources: &Sources<'_>,
    tag: &Arc<Node>,
    branch: Option<&Arc<Node>>,
    container: &str,
) -> Result<Arc<Node>, Problem> {
    let repository = sources.repository;
    let place = |problem: Problem| match problem.place {
        Some(_) => problem,
        None => repository.at(problem, &tag.origin),
    };
    let Some(branch) = branch else {
        let problem = Problem::new(format!("container `{container}` has an `image_tag` but no branch"));
        return Err(place(problem.hint("set `branch` on the resource, or `metadata.branch` of the cluster")));
    };
    let image = sources.images.get(repository, &tag.to_text(), &branch.to_text());
    image.map_err(|problem| {
        let problem = place(problem);
        match (&branch.value, repository.place(&branch.origin)) {
            (Value::Int(_) | Value::Float(_) | Value::Bool(_), Some(at)) => problem
                .cause(format!(
                    "the branch at {at} is {} in YAML and reads as `{}`",
                    branch.kind(),
                    branch.to_text()
                ))
                .hint("put the branch in quotes"),
            (_, Some(at)) => problem.cause(format!("the branch `{}` is set at {at}", branch.to_text())),
            (_, None) => problem,
        }
    })
}

/// Lays a provider's answer over a container.
fn overlay(container: &Arc<Node>, answer: &Arc<Node>, rules: Rules) -> Arc<Node> {
    merge(container, answer, rules, &mut ())
}

/// Kit lays the definition's own env over what the provider made of it, so that for equal names the definition wins
/// and names that only the provider has stay behind it. Entries without a name are left as they are (kit had them
/// twice), and an env that is no list becomes a list of one.
fn definition_wins(current: &Arc<Node>, own: &Arc<Node>) -> Arc<Node> {
    let Value::List(own_list) = &own.value else {
        return Node::new(Value::List(List { items: vec![own.clone()], named: Vec::new() }), own.origin);
    };
    let Value::List(current_list) = &current.value else { return own.clone() };
    let named: Vec<Arc<Node>> =
        own_list.items.iter().filter(|entry| name_of(entry).is_some()).cloned().collect();
    let items = merge_envs(&current_list.items, &named, &mut ());
    Node::new(Value::List(List { items, named: current_list.named.clone() }), own.origin)
}
