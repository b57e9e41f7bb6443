//! Rendered objects against the schemas of Kubernetes, before anything is written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cli::junit::{Case, Outcome, Suite};
use manifest::ObjectRef;
use manifest::yaml::{self, Document, Node, Schema};
use render::files::{DiskFiles, Files, shown};
use render::plan::{OutputFile, Rendered, Renderer};
use render::problem::{Place, Problem};
use render::secrets::Secrets;
use render::source::Cluster;
use render::template::{Engine, locate};
use render::trace::Trace;
use render::validate::{Basis, Catalog, Finding, KubernetesVersion};

/// What `--validate` takes besides versions.
const NEWEST: &str = "newest";

/// How many objects were looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// All of them.
    pub(crate) objects: usize,
    /// Those with something wrong.
    pub(crate) invalid: usize,
    /// Those of custom kinds whose definition is not known: only their metadata was looked at.
    pub(crate) without_schema: usize,
}

/// The schemas of a run, and what came out.
pub(crate) struct Validation {
    catalog: Catalog,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    tally: Tally,
    cases: BTreeMap<String, Vec<Case>>,
    /// Kinds without a schema, and the clusters that have them.
    unknown: BTreeMap<String, BTreeSet<Arc<str>>>,
}

impl Validation {
    /// The schemas for `version` (`newest`, `1.36`, …), with the definitions in the files or folders `crds`.
    pub(crate) fn load(version: &str, crds: &[String]) -> Result<Self, Vec<Problem>> {
        let version = match version {
            NEWEST | "true" => KubernetesVersion::newest(),
            text => text.parse().map_err(|error| {
                let known: Vec<String> =
                    KubernetesVersion::bundled().iter().map(ToString::to_string).collect();
                let problem = Problem::new(format!("{error}"));
                vec![problem.hint(format!(
                    "known are {}: `--validate={}`",
                    known.join(", "),
                    KubernetesVersion::newest()
                ))]
            })?,
        };
        let mut catalog = Catalog::bundled(version);
        let mut problems = Vec::new();
        for path in crds {
            definitions(Path::new(path), &mut catalog, &mut problems);
        }
        if problems.is_empty() { Ok(Self { catalog, found: Mutex::default() }) } else { Err(problems) }
    }

    /// Checks every object of a cluster against the schemas, and custom ones against the definitions among them.
    pub(crate) fn check(
        &self,
        renderer: &Renderer,
        cluster: &Cluster,
        rendered: &Rendered,
    ) -> Result<(), Vec<Problem>> {
        let mut problems = Vec::new();
        let mut documents: Vec<(&OutputFile, Vec<Document>)> = Vec::new();
        for file in &rendered.files {
            match yaml::read(&file.text, &file.name, Schema::Kubernetes) {
                Ok(read) => documents.push((file, read)),
                Err(error) => problems.push(Problem::new(error.message()).at(Place {
                    file: file.name.as_str().into(),
                    line: error.line,
                    column: error.column,
                })),
            }
        }
        let objects =
            documents.iter().flat_map(|(_, documents)| documents.iter().map(|document| &document.root));
        let catalog = self.catalog.with_crds(objects);
        let (mut tally, mut cases, mut unknown) = (Tally::default(), Vec::new(), BTreeSet::new());
        for (file, documents) in &documents {
            let mut traced = None;
            for document in documents.iter().filter(|document| !document.root.is_null()) {
                let checked = catalog.validate(&document.root);
                let name = name(&document.root);
                tally.objects += 1;
                let mut case =
                    Case { name: name.clone(), file: Some(file.source.to_string()), ..Case::default() };
                if checked.basis == Basis::Nothing {
                    tally.without_schema += 1;
                    let kind = kind(&document.root);
                    case.outcome = Outcome::Skipped(format!("no schema for {kind}"));
                    unknown.insert(kind);
                }
                if !checked.findings.is_empty() {
                    tally.invalid += 1;
                    let traced = traced.get_or_insert_with(|| Traced::of(renderer, cluster, file));
                    let hide = document.root.get("kind").and_then(Node::as_str) == Some("Secret");
                    let found: Vec<Problem> = checked
                        .findings
                        .iter()
                        .map(|finding| problem(renderer, &name, finding, file, traced, hide))
                        .collect();
                    case.line = found[0].place.as_ref().map(|place| place.line);
                    case.outcome = failed(&found);
                    problems.extend(found);
                }
                cases.push(case);
            }
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.tally.objects += tally.objects;
        found.tally.invalid += tally.invalid;
        found.tally.without_schema += tally.without_schema;
        found.cases.insert(cluster.name.to_string(), cases);
        for kind in unknown {
            found.unknown.entry(kind).or_default().insert(cluster.name.clone());
        }
        drop(found);
        let finish = |mut problem: Problem| {
            problem.clusters = vec![cluster.name.clone()];
            problem
        };
        if problems.is_empty() { Ok(()) } else { Err(problems.into_iter().map(finish).collect()) }
    }

    /// A word for every kind that could not be looked at.
    pub(crate) fn warnings(&self) -> Vec<Problem> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let warning = |(kind, clusters): (&String, &BTreeSet<Arc<str>>)| {
            let mut problem = Problem::new(format!("no schema for {kind}: only its metadata was checked"))
                .hint("render its CustomResourceDefinition with it, or name its file: `--crds FILE`");
            problem.clusters.extend(clusters.iter().cloned());
            problem
        };
        found.unknown.iter().map(warning).collect()
    }

    /// The version that objects were held against, and how many there were.
    pub(crate) fn summary(&self) -> (KubernetesVersion, Tally) {
        (self.catalog.version(), self.found.lock().unwrap_or_else(PoisonError::into_inner).tally)
    }
}

/// A suite for each cluster, a case for each object. A cluster that could not be rendered has one case, and so has one
/// whose objects were not looked at.
pub(crate) fn suites(validation: Option<&Validation>, clusters: &[&str], problems: &[Problem]) -> Vec<Suite> {
    let found = validation.map(|validation| validation.found.lock().unwrap_or_else(PoisonError::into_inner));
    let suite = |name: &&str| {
        let cases = found.as_ref().and_then(|found| found.cases.get(*name)).cloned().unwrap_or_else(|| {
            let here = |problem: &&Problem| problem.clusters.iter().any(|cluster| **cluster == **name);
            let own: Vec<Problem> = problems.iter().filter(here).cloned().collect();
            let outcome = if own.is_empty() { Outcome::Passed } else { failed(&own) };
            vec![Case { name: "render".to_owned(), outcome, ..Case::default() }]
        });
        Suite { name: (*name).to_owned(), cases }
    };
    clusters.iter().map(suite).collect()
}

/// Adds the definitions in a file, or in the files of a folder.
fn definitions(path: &Path, catalog: &mut Catalog, problems: &mut Vec<Problem>) {
    if let Ok(entries) = DiskFiles.list(path) {
        let yaml = |name: &str| [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        for entry in entries.iter().filter(|entry| entry.is_dir || yaml(&entry.name)) {
            definitions(&path.join(&entry.name), catalog, problems);
        }
        return;
    }
    let file = shown(path);
    let text = match DiskFiles.read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return problems.push(Problem::unreadable(&file, &error)),
    };
    match yaml::read(&text, &file, Schema::Kubernetes) {
        Ok(documents) => *catalog = catalog.with_crds(documents.iter().map(|document| &document.root)),
        Err(error) => problems.push(Problem::yaml(&error, &text)),
    }
}

/// How a file of which there is something to say came to be.
#[derive(Default)]
struct Traced {
    /// Whether it is a copy, line by line what its source is.
    copied: bool,
    trace: Option<Trace>,
    /// What must not be shown.
    secrets: Secrets,
}

impl Traced {
    fn of(renderer: &Renderer, cluster: &Cluster, file: &OutputFile) -> Self {
        let mut traced = Self::default();
        let repository = renderer.repository();
        let Ok(merged) = repository.merged(cluster, &mut ()) else { return traced };
        let resources = Renderer::resources(&merged);
        let Some((name, definition)) = resources.iter().find(|(name, _)| *name == file.resource) else {
            return traced;
        };
        let Ok(view) = renderer.view(&merged, name, definition) else { return traced };
        traced.secrets.add_tree(&view.root);
        let template = definition.truthy("file");
        let located = template.and_then(|file| locate(repository, file).ok());
        let own = located.as_ref().map(|(relative, engine, _)| (&**relative, *engine));
        let service = renderer.templates().service(own.map(|(_, engine)| engine));
        let made_it = |relative: &str| repository.template_name(relative) == file.source;
        if let Some((relative, engine)) =
            own.into_iter().chain(service).find(|(relative, _)| made_it(relative))
        {
            traced.copied = engine == Engine::Copy;
            traced.trace = renderer.trace(engine, relative, &view, &file.text);
        }
        traced
    }
}

/// A finding where the user can do something about it: in the template, and with the value that was printed there; or
/// else in the rendered file.
fn problem(
    renderer: &Renderer,
    object: &str,
    finding: &Finding,
    file: &OutputFile,
    traced: &Traced,
    hide: bool,
) -> Problem {
    let hide = hide || file.secret_lines.contains(&finding.line);
    let value = match finding.found.as_deref().filter(|_| !hide) {
        Some(found) => format!(": `{found}`"),
        None => String::new(),
    };
    let name = if traced.copied { file.source.clone() } else { file.name.as_str().into() };
    let place = Place { file: name, line: finding.line, column: finding.column };
    let mut problem = Problem::new(format!("{object}: {finding}{value}")).at(place);
    if !hide {
        problem = problem.excerpt_of(&file.text);
    }
    if let Some((template, reads)) =
        traced.trace.as_ref().and_then(|trace| trace.at(finding.line, finding.column))
    {
        problem.place = Some(template.clone());
        problem.causes.push(format!("line {} of `{}` as rendered", finding.line, file.name));
        for read in reads {
            if let Some(at) = renderer.repository().place(&read.origin) {
                problem.causes.push(format!("`{}` is set at {at} ({})", read.path, read.origin.layer.name()));
            }
        }
    }
    problem.resources.push(file.resource.clone());
    problem.hints.extend(finding.hint.clone());
    traced.secrets.mask_problem(&mut problem);
    problem
}

fn failed(problems: &[Problem]) -> Outcome {
    let line = |problem: &Problem| {
        let causes: String = problem.causes.iter().map(|cause| format!("\n  caused by: {cause}")).collect();
        let hints: String = problem.hints.iter().map(|hint| format!("\n  hint: {hint}")).collect();
        format!("{problem}{causes}{hints}")
    };
    Outcome::Failed {
        message: problems.first().map(|problem| problem.message.clone()).unwrap_or_default(),
        details: problems.iter().map(line).collect::<Vec<_>>().join("\n"),
    }
}

fn text<'n>(node: &'n Node, key: &str) -> &'n str {
    node.get(key).and_then(Node::as_str).unwrap_or_default()
}

/// `apps/v1 Deployment`.
fn kind(node: &Node) -> String {
    format!("{} {}", text(node, "apiVersion"), text(node, "kind"))
}

/// `Deployment/shop/cart`, or what is there of it.
fn name(node: &Node) -> String {
    let metadata =
        |key: &str| node.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Node::as_str);
    let object = ObjectRef {
        api_version: text(node, "apiVersion").to_owned(),
        kind: text(node, "kind").to_owned(),
        namespace: metadata("namespace").map(str::to_owned),
        name: metadata("name").unwrap_or_default().to_owned(),
    };
    match object.name.as_str() {
        "" => object.kind,
        _ => object.to_string(),
    }
}
