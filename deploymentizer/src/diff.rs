//! `diff`: renders two states of the repository and shows what changes in which clusters.

mod annotations;
mod changes;
mod show;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::ci::Platform;
use cli::{Exit, Failure, Printer};
use render::compare::{Group, Groups, Side, causes};
use render::external::Environment;
use render::files::{DiskFiles, Files};
use render::plan::{Rendered, Renderer};
use render::problem::{Problem, deduplicate};
use render::source::{Cluster, Selection};

use crate::args::Args;
use crate::git_files::Revisions;
use crate::problems::{invalid, shown};
use crate::run::load_from;

use changes::Changes;

/// What changed, ready to be shown.
struct Outcome {
    groups: Vec<Group>,
    /// Clusters that change, and those that do not.
    changed: usize,
    unchanged: usize,
    /// Clusters that were rendered; the others cannot have changed.
    rendered: usize,
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
    let folder = folder(&args.conf);
    let asked: Revisions = revisions.parse().map_err(|problem| invalid(vec![problem]))?;
    let (old, new) = asked.open(&folder).map_err(|problem| invalid(vec![problem]))?;
    let new: Arc<dyn Files> = match new {
        Some(files) => Arc::new(files),
        None => Arc::new(DiskFiles),
    };
    let git = Arc::new(old);
    let (old, selection) = of_side("old", load_from(args, environment.clone(), git.clone()))?;
    let platform = Platform::detect(|name| environment.get(name).cloned());
    let summary = environment.get("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from);
    let (new, _) = of_side("new", load_from(args, environment, new))?;
    let (outcome, problems) = compare(&old, &new, &selection);
    let skipped =
        outcome.changed + outcome.unchanged - outcome.rendered.min(outcome.changed + outcome.unchanged);
    if args.debug && skipped > 0 {
        printer.say(&format!("{skipped} clusters are made from nothing that changed, and were not rendered"));
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

/// The folder of kit.yaml.
fn folder(conf: &Path) -> PathBuf {
    let folder = if conf.is_dir() { conf } else { conf.parent().unwrap_or(Path::new("")) };
    if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder.to_owned() }
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
    let changes = Changes::between((old, &old_clusters), (new, &new_clusters));
    let names: BTreeSet<&str> =
        old_clusters.iter().chain(&new_clusters).map(|cluster| &*cluster.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let touched: Vec<&str> = names.iter().copied().filter(|name| changes.touch(name)).collect();
    let mut outcome = Outcome {
        groups: Vec::new(),
        changed: 0,
        unchanged: names.len() - touched.len(),
        rendered: touched.len(),
        added: Vec::new(),
        removed: Vec::new(),
    };
    let pairs = {
        use rayon::prelude::*;
        let one = |name: &&str| (render(old, &old_clusters, name), render(new, &new_clusters, name));
        touched.par_iter().map(one).collect::<Vec<_>>()
    };
    let mut groups = Groups::default();
    let none = || Rendered {
        cluster: "".into(),
        placement: manifest::index::Placement::default(),
        files: Vec::new(),
        warnings: Vec::new(),
        failed: BTreeSet::new(),
    };
    for (name, pair) in touched.into_iter().zip(pairs) {
        match pair {
            (Ok(before), Ok(after)) => {
                match (&before, &after) {
                    (None, Some(_)) => outcome.added.push(name.to_owned()),
                    (Some(_), None) => outcome.removed.push(name.to_owned()),
                    (Some(_), Some(_)) | (None, None) => {}
                }
                let (before, after) = (before.unwrap_or_else(none), after.unwrap_or_else(none));
                match groups.add(name, &before.files, &after.files) {
                    true => outcome.changed += 1,
                    false => outcome.unchanged += 1,
                }
            }
            (before, after) => {
                problems.extend(in_state("old", before.err().unwrap_or_default()));
                problems.extend(in_state("new", after.err().unwrap_or_default()));
            }
        }
    }
    outcome.groups = groups.finish();
    let old_side = Side { renderer: old, clusters: &old_clusters, lines: &changes.gone };
    let new_side = Side { renderer: new, clusters: &new_clusters, lines: &changes.fresh };
    {
        use rayon::prelude::*;
        outcome.groups.par_iter_mut().for_each(|group| {
            let place = group.places[0].clone();
            let mut found = causes(&new_side, &place, &group.hunk.fresh);
            if found.is_empty() {
                found = causes(&old_side, &place, &group.hunk.gone);
            }
            group.causes = found;
        });
    }
    (outcome, problems)
}

/// A cluster's files; none if this state does not have it.
fn render(renderer: &Renderer, clusters: &[Cluster], name: &str) -> Result<Option<Rendered>, Vec<Problem>> {
    match clusters.binary_search_by(|cluster| (*cluster.name).cmp(name)) {
        Ok(at) => renderer.render(&clusters[at]).map(Some),
        Err(_) => Ok(None),
    }
}

fn in_state(side: &str, problems: Vec<Problem>) -> Vec<Problem> {
    problems.into_iter().map(|problem| problem.cause(format!("in the {side} state"))).collect()
}
