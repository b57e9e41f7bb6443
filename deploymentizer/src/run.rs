//! Load the layers, plan each cluster, write what changed, tell.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use cli::{Exit, Failure, Printer};
use render::external::Environment;
use render::files::{DiskFiles, Files};
use render::plan::{Options, Rendered, Renderer};
use render::problem::Problem;
use render::source::{Cluster, Parsed, Repository, Selection};
use render::view::Flags;

use crate::args::Args;
use crate::problems::{failure, invalid, invalid_one};
use crate::report::{Report, Status};
use crate::validation::Validation;
use crate::write::{Part, failed_report, may_clean, remove_gone, write};

/// Renders what the command line asks for.
pub(crate) fn run(args: &Args, environment: Environment, printer: &Printer) -> Result<Exit, Failure> {
    let (renderer, selection) = load(args, environment)?;
    let validation = validation(args)?;
    let validation = validation.as_ref();
    let (clusters, problems) = select(&renderer, &selection)?;
    let mut report = if args.stdout {
        print_stream(&renderer, &clusters, problems, validation, printer)
    } else {
        let all = |cluster: &Cluster| render(&renderer, cluster, validation).map(Part::all);
        let mut report = write(&renderer, &clusters, problems, args, all)?;
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
    load_from(args, environment, Arc::new(DiskFiles), Arc::new(Parsed::once()))
}

/// As [`load`], from any state of the repository's files, with what is known of other states.
pub(crate) fn load_from(
    args: &Args,
    environment: Environment,
    files: Arc<dyn Files>,
    parsed: Arc<Parsed>,
) -> Result<(Renderer, Selection), Failure> {
    if args.elroy_only.is_some() || args.elroy_url.is_some() || args.elroy_secret.is_some() {
        let problem = Problem::new("Elroy, an in-house service of kit's authors, is not supported");
        return Err(invalid_one(
            problem.hint("leave out `--elroy-only`, `--elroy-url` and `--elroy-secret`"),
        ));
    }
    if let Some(jobs) = args.jobs {
        render::plan::use_threads(jobs);
    }
    let selection = Selection::new(&Args::given(&args.cluster_name), &Args::given(&args.cluster_type))
        .map_err(invalid_one)?;
    let repository = Repository::open_with(parsed, files, &args.conf, args.workdir.as_deref());
    let repository = repository.map_err(invalid)?;
    let options = options(args, environment);
    Ok((Renderer::new(repository, options).map_err(invalid_one)?, selection))
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
        return Err(failure(exit, &problems));
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

/// A cluster's files, and with `validation` only if every object in them is valid.
fn render(
    renderer: &Renderer,
    cluster: &Cluster,
    validation: Option<&Validation>,
) -> Result<Rendered, Vec<Problem>> {
    checked(renderer, cluster, renderer.render(cluster)?, validation)
}

/// The files, if every object in them is valid or nobody asks.
pub(crate) fn checked(
    renderer: &Renderer,
    cluster: &Cluster,
    rendered: Rendered,
    validation: Option<&Validation>,
) -> Result<Rendered, Vec<Problem>> {
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
    let mut report = Report::new(false, problems);
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
