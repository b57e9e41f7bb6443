//! `diff`: renders two states of the repository and shows what changes in which clusters.

mod annotations;
mod changes;
mod pair;
mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::ci::Platform;
use cli::{Exit, Failure, Printer};
use manifest::config;
use rayon::prelude::*;
use render::compare::{Group, Groups, Side, causes};
use render::external::Environment;
use render::files::{DiskFiles, Files};
use render::plan::Renderer;
use render::problem::{Problem, deduplicate};
use render::source::{Cluster, Parsed, Selection};

use crate::args::Args;
use crate::git_files::Revisions;
use crate::problems::{invalid_one, shown};
use crate::run::load_from;

use changes::Changes;
use pair::{Is, Pair};

/// What changed, ready to be shown.
#[derive(Default)]
struct Outcome {
    groups: Vec<Group>,
    /// Clusters that change, and those that do not.
    changed: usize,
    unchanged: usize,
    /// Clusters of which something was rendered; the others cannot have changed.
    rendered: usize,
    /// Resources that were rendered, each in each cluster counted.
    resources: usize,
    added: Vec<String>,
    removed: Vec<String>,
}

/// Answers `diff [REV[..REV]]`.
pub(crate) fn diff(
    args: &Args,
    environment: Environment,
    revisions: &str,
    code_quality: Option<&Path>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let folder = config::folder(&args.conf);
    let asked: Revisions = revisions.parse().map_err(invalid_one)?;
    let (old, new) = asked.open(folder).map_err(invalid_one)?;
    let new: Arc<dyn Files> = match new {
        Some(files) => Arc::new(files),
        None => Arc::new(DiskFiles),
    };
    let git = Arc::new(old);
    let parsed = Arc::new(Parsed::kept());
    let (old, selection) = of_side("old", load_from(args, environment.clone(), git.clone(), parsed.clone()))?;
    let platform = Platform::detect(|name| environment.get(name).cloned());
    let summary = environment.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
    let (new, _) = of_side("new", load_from(args, environment, new, parsed))?;
    let (outcome, problems) = compare(&old, &new, &selection);
    if args.debug {
        let Outcome { changed, unchanged, rendered, resources, .. } = &outcome;
        let skipped = (changed + unchanged).saturating_sub(*rendered);
        printer.say(&format!("{skipped} clusters are made from nothing that changed, and were not rendered"));
        printer.say(&format!("{resources} resources of the other {rendered} clusters were rendered"));
    }
    show::show(&outcome, revisions, args.output, printer);
    let mut problems: Vec<cli::Problem> = deduplicate(problems).iter().map(shown).collect();
    if let Some(path) = code_quality {
        problems.extend(annotations::code_quality(&outcome, &git, path).err());
    }
    if platform == Platform::GitHub {
        annotations::workflow_commands(&outcome, &git, printer);
        if let Some(path) = summary {
            annotations::summary(&outcome, revisions, &path, printer);
        }
    }
    problems.iter().for_each(|problem| printer.error(problem));
    Ok(match (problems.is_empty(), outcome.groups.is_empty()) {
        (false, _) if outcome.changed + outcome.unchanged == 0 => Exit::Failed,
        (false, _) => Exit::Partial,
        (true, false) if args.detailed_exitcode => Exit::Changes,
        (true, _) => Exit::Done,
    })
}

/// Says in which of the two states something is wrong.
fn of_side<T>(side: &str, loaded: Result<T, Failure>) -> Result<T, Failure> {
    loaded.map_err(|mut failure| {
        for problem in &mut failure.problems {
            problem.causes.push(format!("in the {side} state"));
        }
        failure
    })
}

fn compare(old: &Renderer, new: &Renderer, selection: &Selection) -> (Outcome, Vec<Problem>) {
    let ((old_clusters, before), (new_clusters, after)) =
        rayon::join(|| old.repository().clusters(selection), || new.repository().clusters(selection));
    let mut problems = in_state("old", before);
    problems.extend(in_state("new", after));
    // A filter may match on one side only.
    let matches_nothing = old_clusters.is_empty() && new_clusters.is_empty();
    problems.retain(|problem| problem.place.is_some() || matches_nothing);
    let names: BTreeSet<&str> =
        old_clusters.iter().chain(&new_clusters).map(|cluster| &*cluster.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let pairs: Vec<Result<Pair, Vec<Problem>>> = names
        .par_iter()
        .map(|name| Pair::of((old, find(&old_clusters, name)), (new, find(&new_clusters, name))))
        .collect();
    let mut outcome = Outcome::default();
    let mut groups = Groups::default();
    for (name, pair) in names.into_iter().zip(pairs) {
        let pair = match pair {
            Ok(pair) => pair,
            Err(more) => {
                outcome.rendered += 1;
                problems.extend(more);
                continue;
            }
        };
        outcome.rendered += usize::from(pair.resources > 0);
        outcome.resources += pair.resources;
        match pair.is_in {
            Is::New => outcome.added.push(name.to_owned()),
            Is::Gone => outcome.removed.push(name.to_owned()),
            Is::InBoth => {}
        }
        match groups.add(name, &pair.before, &pair.after) {
            true => outcome.changed += 1,
            false => outcome.unchanged += 1,
        }
    }
    outcome.groups = groups.finish();
    if outcome.groups.is_empty() {
        return (outcome, problems);
    }
    let changes = Changes::between((old, &old_clusters), (new, &new_clusters));
    let old_side = Side { renderer: old, clusters: &old_clusters, lines: &changes.gone };
    let new_side = Side { renderer: new, clusters: &new_clusters, lines: &changes.fresh };
    outcome.groups.par_iter_mut().for_each(|group| {
        let place = group.places[0].clone();
        let mut found = causes(&new_side, &place, &group.hunk.fresh);
        if found.is_empty() {
            found = causes(&old_side, &place, &group.hunk.gone);
        }
        group.causes = found;
    });
    (outcome, problems)
}

fn find<'a>(clusters: &'a [Cluster], name: &str) -> Option<&'a Cluster> {
    clusters.binary_search_by(|cluster| (*cluster.name).cmp(name)).ok().map(|at| &clusters[at])
}

fn in_state(side: &str, problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().map(|problem| problem.cause(format!("in the {side} state"))).collect()
}
