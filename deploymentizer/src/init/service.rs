//! `init service NAME`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::{Exit, Failure, Printer};
use manifest::ImageRef;
use manifest::names::is_label;
use manifest::yaml;
use render::external::Environment;
use render::files::{Overlay, shown as path_shown};
use render::listing::list;
use render::plan::{Options, Renderer};
use render::problem::{Place, Problem, deduplicate};
use render::source::{Repository, Selection};

use super::{Done, SERVICE, dockerfile, entry};
use crate::args::Args;
use crate::problems::{invalid, invalid_one};
use crate::run::load;

/// What is asked for.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) port: Option<u16>,
    pub(super) image: Option<&'a str>,
    pub(super) dockerfile: Option<&'a Path>,
}

/// Where nothing says otherwise.
const PORT: u16 = 8080;
const BRANCH: &str = "main";

/// Names that a template has for something else.
const TAKEN: [&str; 12] = [
    "base",
    "branch",
    "cluster",
    "container",
    "containers",
    "deployment",
    "env",
    "name",
    "namespace",
    "replicas",
    "resource",
    "values",
];

/// Adds a service, if every cluster renders with it.
pub(super) fn add(
    args: &Args,
    environment: Environment,
    wanted: &Wanted<'_>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    check_name(wanted.name).map_err(invalid_one)?;
    let (renderer, _) = load(args, environment.clone())?;
    let repository = renderer.repository();
    let folders = &repository.folders;
    let base = folders.base.join("base-cluster.yaml");
    let text = match repository.files.read(&base) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| {
            invalid_one(Problem::new("the file is not UTF-8 text").at(Place::of_file(path_shown(&base))))
        })?,
        Err(error) => return Err(invalid_one(Problem::unreadable(&path_shown(&base), &error))),
    };
    if has(&text, repository, wanted.name) {
        let problem = Problem::new(format!("there is a resource of this name: `{}`", wanted.name));
        return Err(invalid_one(problem.at(Place::of_file(path_shown(&base)))));
    }
    let own = own_branch(&text, repository);
    let mut notes = Vec::new();
    let port = port(wanted, &mut notes).map_err(invalid_one)?;
    let image = image(wanted).map_err(invalid_one)?;
    let tag = image.repository();
    let mut fields = vec![format!("file: ./{}.yaml.j2", wanted.name), format!("image_tag: {tag}")];
    if own.is_none() {
        fields.push(format!("branch: {BRANCH}"));
    }
    fields.extend([format!("port: {port}"), "env: []".to_owned()]);
    let new = entry::add(&text, repository.schema, wanted.name, &fields).map_err(|reason| {
        let by_hand: String = fields.iter().map(|field| format!("\n    {field}")).collect();
        let problem = Problem::new(format!("the service cannot be added: {reason}"))
            .at(Place::of_file(path_shown(&base)));
        invalid_one(problem.hint(format!("write it under `resources:`\n  {}:{by_hand}", wanted.name)))
    })?;
    let mut created = vec![(folders.resources.join(format!("{}.yaml.j2", wanted.name)), SERVICE.to_owned())];
    for branch in branches(&renderer, own) {
        let file = manifest::image_file(tag, &branch)
            .map_err(|error| invalid_one(Problem::new(error.to_string())))?;
        let path = folders.images.join(file);
        let there = repository.files.read(&path).ok();
        // Services may share an image; without `--image` the one that is there is as good as a placeholder.
        let is_same = there.as_ref().is_some_and(|text| says(text, repository, &image));
        if there.is_none() || (wanted.image.is_some() && !is_same) {
            created.push((path, format!("{}: {image}\n", repository.config.images.property)));
        }
    }
    let done = Done { created, changed: vec![(base, new)] };
    done.save(false)?;
    try_it(args, environment, repository, &done, wanted.name)?;
    done.save(args.save)?;
    if wanted.image.is_none() {
        notes.push(format!(
            "its image is a placeholder: name one with `--image`, or let image-deployer commit it with `--file images/{tag}/BRANCH.yaml`"
        ));
    }
    notes.push(format!("next: {} diff --resource {}", super::command(&folders.config), wanted.name));
    done.tell(args.save, &notes, printer);
    Ok(Exit::Done)
}

fn check_name(name: &str) -> Result<(), Problem> {
    if !(is_label(name) && name.starts_with(|c: char| c.is_ascii_lowercase())) {
        let problem = Problem::new(format!("not a name for a service: `{name}`"));
        return Err(problem.hint(
            "at most 63 lower-case letters, digits and `-`, a letter first and a letter or digit last, as in `cart-api`",
        ));
    }
    if TAKEN.contains(&name) {
        let problem = Problem::new(format!("templates already have another value of this name: `{name}`"));
        return Err(problem.hint(format!("call it `{name}-service`")));
    }
    Ok(())
}

/// Whether an image file names this image.
fn says(file: &[u8], repository: &Repository, image: &ImageRef) -> bool {
    let text = String::from_utf8_lossy(file);
    let document = yaml::read_one(&text, "image file", repository.schema).ok();
    let found = document.as_ref().and_then(|document| document.root.get(&repository.config.images.property));
    found.and_then(yaml::Node::as_str) == Some(image.to_string().as_str())
}

/// Whether the base has a resource of this name.
fn has(text: &str, repository: &Repository, name: &str) -> bool {
    let Ok(document) = yaml::read_one(text, "base-cluster.yaml", repository.schema) else { return false };
    document.root.get("resources").and_then(|resources| resources.get(name)).is_some()
}

/// `metadata.branch` of the base.
fn own_branch(text: &str, repository: &Repository) -> Option<String> {
    let document = yaml::read_one(text, "base-cluster.yaml", repository.schema).ok()?;
    let branch = document.root.get("metadata")?.get("branch")?.clone();
    branch.as_str().map(str::to_owned)
}

/// The branches that the clusters run, each of which needs an image.
fn branches(renderer: &Renderer, own: Option<String>) -> BTreeSet<String> {
    let Some(own) = own else { return BTreeSet::from([BRANCH.to_owned()]) };
    let (clusters, _) = renderer.repository().clusters(&Selection::default());
    let found = clusters.iter().filter_map(|cluster| list(renderer, cluster).ok()?.branch);
    found.chain([own]).collect()
}

fn port(wanted: &Wanted<'_>, notes: &mut Vec<String>) -> Result<u16, Problem> {
    if let Some(port) = wanted.port {
        return Ok(port);
    }
    let path = wanted.dockerfile.unwrap_or(Path::new("Dockerfile"));
    match std::fs::read(path) {
        Ok(bytes) => match dockerfile::exposed(&String::from_utf8_lossy(&bytes)) {
            Some(port) => {
                notes.push(format!("port {port}: EXPOSE of {}", path.display()));
                Ok(port)
            }
            None => {
                notes.push(format!("port {PORT}: {} exposes none; `--port` gives another", path.display()));
                Ok(PORT)
            }
        },
        Err(error) if wanted.dockerfile.is_some() => Err(Problem::unreadable(&path_shown(path), &error)),
        Err(_) => {
            notes.push(format!("port {PORT}: there is no Dockerfile; `--port` gives another"));
            Ok(PORT)
        }
    }
}

fn image(wanted: &Wanted<'_>) -> Result<ImageRef, Problem> {
    let text = match wanted.image {
        Some(image) => image.to_owned(),
        None => format!("registry.example.com/{}:latest", wanted.name),
    };
    let image: ImageRef = text
        .parse()
        .map_err(|error| Problem::new(format!("not an image: `{text}`")).cause(format!("{error}")))?;
    if image.tag().is_none() && image.digest().is_none() {
        let problem = Problem::new(format!("the image has neither tag nor digest: `{image}`"));
        return Err(problem.hint(format!("`--image {image}:TAG`")));
    }
    Ok(image)
}

/// Renders the new service in memory, in every cluster.
fn try_it(
    args: &Args,
    environment: Environment,
    repository: &Repository,
    done: &Done,
    name: &str,
) -> Result<(), Failure> {
    let changes: BTreeMap<PathBuf, Option<String>> = done
        .created
        .iter()
        .chain(&done.changed)
        .map(|(path, text)| (path.clone(), Some(text.clone())))
        .collect();
    let files = Arc::new(Overlay::new(repository.files.clone(), changes));
    let new = Repository::open(files, &args.conf, args.workdir.as_deref()).map_err(invalid)?;
    let options = Options { resources: vec![name.to_owned()], environment, ..Options::default() };
    let renderer = Renderer::new(new, options).map_err(invalid_one)?;
    let (clusters, mut problems) = renderer.repository().clusters(&Selection::default());
    for outcome in renderer.in_parallel(&clusters, |cluster| renderer.render(cluster)) {
        problems.extend(outcome.err().into_iter().flatten());
    }
    if problems.is_empty() { Ok(()) } else { Err(invalid(deduplicate(problems))) }
}
