//! From the problems of the library to those of the terminal.

use render::problem::Problem;

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

/// `in cluster eu`, `in 37 clusters: a, b, c, d, e, …`.
fn clusters(problem: &Problem) -> Option<String> {
    let resource = match &problem.resource {
        Some(resource) => format!("resource {resource}, "),
        None => String::new(),
    };
    let names: Vec<&str> = problem.clusters.iter().take(NAMED).map(|name| &**name).collect();
    match problem.clusters.len() {
        0 => None,
        1 => Some(format!("{resource}cluster {}", names[0])),
        count if count <= NAMED => Some(format!("{resource}clusters {}", names.join(", "))),
        count => Some(format!("{resource}{count} clusters: {}, …", names.join(", "))),
    }
}

/// A failure before any cluster was looked at.
pub(crate) fn invalid(problems: Vec<Problem>) -> cli::Failure {
    cli::Failure::all(cli::Exit::Invalid, problems.iter().map(shown).collect())
}
