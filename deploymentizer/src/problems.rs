//! From the problems of the library to those of the terminal.

use cli::{Exit, Failure, Printer};
use render::problem::{Problem, deduplicate};

/// How many clusters a message names before it counts.
const NAMED: usize = 5;

/// The problem as the terminal shows it.
pub(crate) fn shown(problem: &Problem) -> cli::Problem {
    let mut shown = cli::Problem::new(problem.to_string());
    if let Some(excerpt) = &problem.excerpt {
        shown = shown.excerpt(excerpt.clone());
    }
    shown.causes.extend(problem.causes.iter().cloned());
    shown.causes.extend(clusters(problem));
    shown.hints.extend(problem.hints.iter().cloned());
    shown
}

/// `resource cart in cluster eu`, `resource cart in 37 clusters: a, b, c, d, e, …`.
fn clusters(problem: &Problem) -> Option<String> {
    let clusters = list("cluster", &problem.clusters)?;
    Some(match list("resource", &problem.resources) {
        Some(resources) => format!("{resources} in {clusters}"),
        None => format!("in {clusters}"),
    })
}

fn list(noun: &str, names: &[std::sync::Arc<str>]) -> Option<String> {
    let first: Vec<&str> = names.iter().take(NAMED).map(|name| &**name).collect();
    match names.len() {
        0 => None,
        1 => Some(format!("{noun} {}", first[0])),
        count if count <= NAMED => Some(format!("{noun}s {}", first.join(", "))),
        count => Some(format!("{count} {noun}s: {}, …", first.join(", "))),
    }
}

/// The end of a run.
pub(crate) fn failure(exit: Exit, problems: &[Problem]) -> Failure {
    Failure::all(exit, problems.iter().map(shown).collect())
}

/// A failure before any cluster was looked at.
pub(crate) fn invalid(problems: Vec<Problem>) -> Failure {
    failure(Exit::Invalid, &problems)
}

/// As [`invalid`], of one problem.
pub(crate) fn invalid_one(problem: Problem) -> Failure {
    invalid(vec![problem])
}

/// Says what is wrong with some clusters, where there was an answer for the others.
pub(crate) fn partial(problems: Vec<Problem>, printer: &Printer) -> Exit {
    let problems = deduplicate(problems);
    problems.iter().for_each(|problem| printer.error(&shown(problem)));
    if problems.is_empty() { Exit::Done } else { Exit::Partial }
}
