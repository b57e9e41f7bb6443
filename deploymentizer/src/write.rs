//! Writing what was rendered: only what changed, and nothing that is not ours.

use std::collections::BTreeSet;
use std::sync::Arc;

use cli::Failure;
use manifest::ClusterName;
use manifest::tree::{self, FolderPlan, NewFile, Policy, Tree};
use render::plan::{Rendered, Renderer};
use render::problem::Problem;
use render::source::{Cluster, Selection};

use crate::args::Args;
use crate::report::{ClusterReport, Report, Status};

/// What is to be written of a cluster.
pub(crate) struct Part {
    pub(crate) rendered: Rendered,
    /// Resources that were not rendered because their files are what they should be.
    pub(crate) stays: BTreeSet<Arc<str>>,
}

impl Part {
    /// The whole cluster.
    pub(crate) fn all(rendered: Rendered) -> Self {
        Self { rendered, stays: BTreeSet::new() }
    }
}

/// Renders and writes each cluster on its own, several at a time; what is rendered is dropped once it is written, so that
/// memory grows with what is in flight.
pub(crate) fn write(
    renderer: &Renderer,
    clusters: &[Cluster],
    problems: Vec<Problem>,
    args: &Args,
    render: impl Fn(&Cluster) -> Result<Part, Vec<Problem>> + Sync + Send,
) -> Result<Report, Failure> {
    let tree = opened(renderer, args)?;
    let policy = Policy { clean: args.clean, adopt: args.adopt };
    let outcomes = renderer.in_parallel(clusters, |cluster| {
        let part = render(cluster)?;
        let plan =
            plan(renderer, &part, policy).map_err(|problem| vec![problem.in_cluster(&cluster.name)])?;
        if let Some(tree) = &tree {
            tree.apply(&plan).map_err(|error| vec![tree_problem(&error).in_cluster(&cluster.name)])?;
        }
        let status = if plan.is_empty() { Status::Unchanged } else { Status::Changed };
        let report = report(&plan, status);
        drop(plan);
        Ok::<_, Vec<Problem>>((report, part.rendered.warnings))
    });
    let mut report = Report::new(args.save, problems);
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

fn plan<'a>(renderer: &Renderer, part: &'a Part, policy: Policy) -> Result<FolderPlan<'a>, Problem> {
    let Part { rendered, stays } = part;
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
    let considered = |resource: &str| {
        renderer.selects(resource) && !rendered.failed.contains(resource) && !stays.contains(resource)
    };
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

pub(crate) fn failed_report(name: &str) -> ClusterReport {
    ClusterReport {
        name: name.to_owned(),
        status: Status::Failed,
        written: Vec::new(),
        unchanged: Vec::new(),
        removed: Vec::new(),
        kept: Vec::new(),
    }
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
