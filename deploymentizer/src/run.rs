//! Load the layers, plan each cluster, write what changed, tell.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cli::{Exit, Failure, Printer};
use manifest::ClusterName;
use manifest::tree::{self, FolderPlan, NewFile, Policy, Tree};
use render::external::Environment;
use render::files::{DiskFiles, Files};
use render::plan::{Options, Rendered, Renderer};
use render::problem::Problem;
use render::source::{Cluster, Repository, Selection};
use render::view::Flags;

use crate::args::Args;
use crate::problems::invalid;
use crate::report::{ClusterReport, Report, Status};
use crate::validation::Validation;

/// Renders what the command line asks for.
pub(crate) fn run(args: &Args, environment: Environment, printer: &Printer) -> Result<Exit, Failure> {
    let (renderer, selection) = load(args, environment)?;
    let validation = validation(args)?;
    let validation = validation.as_ref();
    let (clusters, problems) = select(&renderer, &selection)?;
    let mut report = if args.stdout {
        print_stream(&renderer, &clusters, problems, validation, printer)
    } else {
        let mut report = write(&renderer, &clusters, problems, validation, args)?;
        // Which clusters are gone is only known when all were looked at and every file told its cluster's name.
        if may_clean(&renderer, &selection, &report, args) {
            remove_gone(&renderer, &clusters, args, &mut report)?;
        }
        report
    };
    report.validation = validation.map(Validation::summary);
    report.warnings.extend(validation.map(Validation::warnings).into_iter().flatten());
    if let Some(path) = &args.junit {
        write_junit(path, &report, validation)?;
    }
    let lints = renderer.repository().lints();
    if args.debug {
        debug(&renderer, &clusters, printer);
    }
    let exit = report.exit(args.detailed_exitcode);
    match args.stdout {
        true => report.print_problems(printer, &lints, args.debug),
        false => report.print(printer, exit, &lints, args.debug),
    }
    Ok(exit)
}

/// What objects are held against, if that is asked for.
pub(crate) fn validation(args: &Args) -> Result<Option<Validation>, Failure> {
    let load = |version| Validation::load(version, &Args::given(&args.crds)).map_err(invalid);
    args.version().map(load).transpose()
}

pub(crate) fn load(args: &Args, environment: Environment) -> Result<(Renderer, Selection), Failure> {
    load_from(args, environment, Arc::new(DiskFiles))
}

/// As [`load`], from any state of the repository's files.
pub(crate) fn load_from(
    args: &Args,
    environment: Environment,
    files: Arc<dyn Files>,
) -> Result<(Renderer, Selection), Failure> {
    if args.elroy_only.is_some() || args.elroy_url.is_some() || args.elroy_secret.is_some() {
        return Err(invalid(vec![
            Problem::new("Elroy, an in-house service of kit's authors, is not supported")
                .hint("leave out `--elroy-only`, `--elroy-url` and `--elroy-secret`"),
        ]));
    }
    if let Some(jobs) = args.jobs {
        render::plan::use_threads(jobs);
    }
    let one = |problem| invalid(vec![problem]);
    let selection =
        Selection::new(&Args::given(&args.cluster_name), &Args::given(&args.cluster_type)).map_err(one)?;
    let repository = Repository::open(files, &args.conf, args.workdir.as_deref()).map_err(invalid)?;
    let options = options(args, environment);
    Ok((Renderer::new(repository, options).map_err(one)?, selection))
}

/// What a run renders, and how, as the command line says.
pub(crate) fn options(args: &Args, environment: Environment) -> Options {
    Options {
        resources: Args::given(&args.resource),
        flags: Flags {
            deploy_id: args.deploy_id.clone().filter(|id| !id.is_empty()),
            fast_rollback: args.fast_rollback,
        },
        strict: args.strict,
        provenance: args.provenance,
        environment,
    }
}

/// The clusters of the run, and what is wrong with the files of others. A filter that matches nothing ends the run.
pub(crate) fn select(
    renderer: &Renderer,
    selection: &Selection,
) -> Result<(Vec<Cluster>, Vec<Problem>), Failure> {
    let (clusters, problems) = renderer.repository().clusters(selection);
    if clusters.is_empty() && !problems.is_empty() {
        let exit = if selection.is_all() { Exit::Failed } else { Exit::Invalid };
        return Err(Failure::all(exit, problems.iter().map(crate::problems::shown).collect()));
    }
    if problems.iter().any(|problem| problem.place.is_none() && problem.clusters.is_empty()) {
        return Err(invalid(problems));
    }
    if renderer.is_filtered() {
        let mut names = BTreeSet::new();
        for cluster in &clusters {
            if let Ok(merged) = renderer.repository().merged(cluster, &mut ()) {
                names.extend(Renderer::resources(&merged).into_iter().map(|(name, _)| name));
            }
        }
        let unmatched = renderer.unmatched(names.iter().map(|name| &**name));
        if !unmatched.is_empty() {
            return Err(invalid(unmatched));
        }
    }
    Ok((clusters, problems))
}

/// Renders, checks and writes each cluster on its own, several at a time; what is rendered is dropped once it is
/// written, so that memory grows with what is in flight.
pub(crate) fn write(
    renderer: &Renderer,
    clusters: &[Cluster],
    problems: Vec<Problem>,
    validation: Option<&Validation>,
    args: &Args,
) -> Result<Report, Failure> {
    let unreadable = problems.len();
    let tree = opened(renderer, args)?;
    let policy = Policy { clean: args.clean, adopt: args.adopt };
    let outcomes = renderer.in_parallel(clusters, |cluster| {
        let rendered = render(renderer, cluster, validation)?;
        let plan =
            plan(renderer, &rendered, policy).map_err(|problem| vec![problem.in_cluster(&cluster.name)])?;
        if let Some(tree) = &tree {
            tree.apply(&plan).map_err(|error| vec![tree_problem(&error).in_cluster(&cluster.name)])?;
        }
        let status = if plan.is_empty() { Status::Unchanged } else { Status::Changed };
        let report = report(&plan, status);
        drop(plan);
        Ok::<_, Vec<Problem>>((report, rendered.warnings))
    });
    let mut report = Report {
        saved: args.save,
        clusters: Vec::new(),
        problems,
        warnings: Vec::new(),
        unnamed_failures: unreadable,
        validation: None,
    };
    for (cluster, outcome) in clusters.iter().zip(outcomes) {
        match outcome {
            Ok((outcome, warnings)) => {
                report.clusters.push(outcome);
                report.warnings.extend(warnings);
            }
            Err(problems) => {
                report.clusters.push(failed_report(&cluster.name));
                report.problems.extend(problems);
            }
        }
    }
    Ok(report)
}

/// A cluster's files, and with `validation` only if every object in them is valid.
fn render(
    renderer: &Renderer,
    cluster: &Cluster,
    validation: Option<&Validation>,
) -> Result<Rendered, Vec<Problem>> {
    let rendered = renderer.render(cluster)?;
    if let Some(validation) = validation {
        validation.check(renderer, cluster, &rendered)?;
    }
    Ok(rendered)
}

/// Writes what came of each object for a CI server to show.
fn write_junit(path: &Path, report: &Report, validation: Option<&Validation>) -> Result<(), Failure> {
    let clusters: Vec<&str> = report.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let suites = crate::validation::suites(validation, &clusters, &report.problems);
    std::fs::write(path, cli::junit::junit("deploymentizer", &suites)).map_err(|error| {
        let problem = cli::Problem::new(format!("cannot write the JUnit report: `{}`", path.display()));
        Failure::failed(cli::Problem { causes: vec![error.to_string()], ..problem })
    })
}

fn plan<'a>(renderer: &Renderer, rendered: &'a Rendered, policy: Policy) -> Result<FolderPlan<'a>, Problem> {
    let files = rendered.files.iter().map(|file| NewFile {
        name: &file.name,
        bytes: file.text.as_bytes(),
        mode: file.mode,
        resource: &file.resource,
        source: &file.rooted_source,
        secret_lines: &file.secret_lines,
        lines: &file.lines,
        digest: &file.digest,
    });
    let cluster: ClusterName =
        rendered.cluster.parse().expect("a cluster is only loaded with a name that is one");
    let considered = |resource: &str| renderer.selects(resource) && !rendered.failed.contains(resource);
    let placement = rendered.placement.clone();
    tree::plan(
        &renderer.repository().folders.output,
        &cluster,
        placement,
        files.collect(),
        &considered,
        policy,
    )
    .map_err(|error| tree_problem(&error))
}

fn tree_problem(error: &tree::TreeError) -> Problem {
    let mut problem = Problem::new(error.to_string());
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        problem = problem.cause(source.to_string());
        next = source.source();
    }
    match error {
        tree::TreeError::Foreign { .. } => problem
            .hint("if they came from kit or from hand, and may be replaced, run once with `--adopt`; else move them away"),
        tree::TreeError::Index(_) => problem.hint("restore the file, or remove it and run once with `--adopt`"),
        tree::TreeError::Io { .. } | tree::TreeError::NotAFolder { .. } | tree::TreeError::Locked { .. } => problem,
    }
}

fn report(plan: &FolderPlan<'_>, status: Status) -> ClusterReport {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    ClusterReport {
        name: plan.cluster.to_string(),
        status,
        written: owned(&plan.written),
        unchanged: owned(&plan.unchanged),
        removed: plan.removed.clone(),
        kept: plan.kept.clone(),
    }
}

fn failed_report(name: &str) -> ClusterReport {
    let none = Vec::new;
    let (written, unchanged, removed, kept) = (none(), none(), none(), none());
    ClusterReport { name: name.to_owned(), status: Status::Failed, written, unchanged, removed, kept }
}

/// The output folder, if anything is to be saved.
fn opened(renderer: &Renderer, args: &Args) -> Result<Option<Tree>, Failure> {
    let open = || Tree::open(&renderer.repository().folders.output);
    let failed = |error: tree::TreeError| Failure::failed(cli::Problem::from_error(&error));
    args.save.then(open).transpose().map_err(failed)
}

/// Whether folders of clusters that the repository has no more may go.
pub(crate) fn may_clean(renderer: &Renderer, selection: &Selection, report: &Report, args: &Args) -> bool {
    args.clean && selection.is_all() && !renderer.is_filtered() && report.unnamed_failures == 0
}

/// Removes what earlier runs wrote for clusters that the repository has no more.
pub(crate) fn remove_gone(
    renderer: &Renderer,
    clusters: &[Cluster],
    args: &Args,
    report: &mut Report,
) -> Result<(), Failure> {
    let root = &renderer.repository().folders.output;
    let indexed = match tree::indexed(root) {
        Ok(indexed) => indexed,
        Err(error) => {
            report.problems.push(tree_problem(&error));
            return Ok(());
        }
    };
    let known: BTreeSet<&str> = clusters.iter().map(|cluster| &*cluster.name).collect();
    if indexed.iter().all(|index| known.contains(index.cluster.as_str())) {
        return Ok(());
    }
    let tree = opened(renderer, args)?;
    for index in indexed.iter().filter(|index| !known.contains(index.cluster.as_str())) {
        let done = tree::plan_removal(root, &index.cluster).and_then(|plan| {
            if let Some(tree) = &tree {
                tree.apply(&plan)?;
            }
            Ok(plan)
        });
        match done {
            Ok(plan) if plan.is_empty() => {}
            Ok(plan) => report.clusters.push(self::report(&plan, Status::Removed)),
            Err(error) => {
                let name: Arc<str> = index.cluster.as_str().into();
                report.problems.push(tree_problem(&error).in_cluster(&name));
                report.clusters.push(failed_report(&name));
            }
        }
    }
    report.clusters.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(())
}

/// How many clusters `--stdout` renders ahead of what it prints.
const AHEAD: usize = 32;

/// Prints all documents of all clusters, each file under a comment with its name.
fn print_stream(
    renderer: &Renderer,
    clusters: &[Cluster],
    problems: Vec<Problem>,
    validation: Option<&Validation>,
    printer: &Printer,
) -> Report {
    let unnamed_failures = problems.len();
    let mut report = Report {
        saved: false,
        clusters: Vec::new(),
        problems,
        warnings: Vec::new(),
        unnamed_failures,
        validation: None,
    };
    for chunk in clusters.chunks(AHEAD) {
        let outcomes = renderer.in_parallel(chunk, |cluster| render(renderer, cluster, validation));
        for (cluster, outcome) in chunk.iter().zip(outcomes) {
            let mut entry = failed_report(&cluster.name);
            match outcome {
                Ok(rendered) => {
                    entry.status = Status::Unchanged;
                    printer.result(&stream(&rendered));
                    report.warnings.extend(rendered.warnings);
                }
                Err(problems) => report.problems.extend(problems),
            }
            report.clusters.push(entry);
        }
    }
    report
}

fn stream(rendered: &Rendered) -> String {
    let mut text = String::new();
    for file in &rendered.files {
        text.push_str(&format!("---\n# {}/{}\n{}", rendered.cluster, file.name, file.text));
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

fn debug(renderer: &Renderer, clusters: &[Cluster], printer: &Printer) {
    let folders = &renderer.repository().folders;
    printer.say(&format!("read {}, values as {:?}", folders.config.display(), renderer.repository().schema));
    for cluster in clusters {
        if let Ok(merged) = renderer.repository().merged(cluster, &mut ()) {
            printer.say(&format!(
                "{}: type {}, layers {}",
                cluster.name,
                cluster.kind,
                merged.searched.join(", ")
            ));
        }
    }
}
