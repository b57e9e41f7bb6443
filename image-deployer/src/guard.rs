//! Order: what must not be overwritten, although it differs from what is asked for.

use cli::{Exit, Failure, Problem};
use gitrepo::history::trailers;
use gitrepo::{Relation, TipReader, relation};
use manifest::ImageRef;

use crate::{
    part::Part,
    plan::{Plan, Value, git_failure},
    request::Guard,
};

/// Commits of a file's history that are searched for the one that wrote the value that is there now.
const SEARCHED: usize = 50;

/// Refuses to write where somebody asked to leave the value as it is.
pub(crate) fn respect_holds(plan: &Plan) -> Result<(), Failure> {
    let problems: Vec<Problem> = plan
        .changes()
        .filter_map(|(file, value)| {
            let reason = value.edited.hold.as_ref()?;
            let reason = if reason.is_empty() { "no reason given" } else { reason };
            let current = value.edited.old.as_deref().unwrap_or_default();
            Some(
                Problem::new(format!(
                    "{file}:{}: `{}` is on hold at `{current}`: {reason}",
                    value.edited.position.line, value.edited.path
                ))
                .hint("remove the comment `# kit: hold` there, or write over it with `--ignore-hold`"),
            )
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(Failure::all(Exit::Refused, problems)) }
}

/// Refuses to replace an image that was built from a newer commit. Gives back what could not be checked.
pub(crate) fn respect_order(
    guard: &Guard,
    plan: &Plan,
    tip: &mut dyn TipReader,
) -> Result<Vec<String>, Failure> {
    let mut notes = Vec::new();
    let mut problems = Vec::new();
    for (file, value) in plan.changes() {
        let Some(current) = &value.edited.old else { continue };
        let Some(recorded) = recorded_commit(file, value, current, tip)? else {
            notes.push(format!(
                "{file}: no commit records the source of `{current}`, so its order is not known"
            ));
            continue;
        };
        let ours = &guard.source_commit;
        let relation = relation(&guard.source_repo, ours, &recorded).map_err(|error| {
            let mut failure = git_failure(&error);
            let hint = "name a clone of the service's source with `--source-repo PATH`";
            failure.problems = failure.problems.into_iter().map(|problem| problem.hint(hint)).collect();
            failure.exit = Exit::Invalid;
            failure
        })?;
        problems.extend(judge(file, value, current, &recorded, guard, &relation));
    }
    if problems.is_empty() { Ok(notes) } else { Err(Failure::all(Exit::Refused, problems)) }
}

fn judge(
    file: &str,
    value: &Value,
    current: &str,
    recorded: &str,
    guard: &Guard,
    relation: &Relation,
) -> Option<Problem> {
    let at = format!("{file}:{}", value.edited.position.line);
    let (recorded, ours) = (short(recorded), short(&guard.source_commit));
    let clone = guard.source_repo.display();
    match relation {
        Relation::Same | Relation::Ancestor | Relation::Diverged => None,
        Relation::Descendant => Some(
            Problem::new(format!("{at}: `{current}` was built from {recorded}, which is newer than {ours}"))
                .hint("nothing is to be done if the newer build is right; without `--guard` it is replaced"),
        ),
        Relation::Unknown { missing, shallow } => {
            let why = match (missing.as_slice(), shallow) {
                ([], _) => "its history is cut off".to_owned(),
                (missing, _) => format!(
                    "it does not hold {}",
                    missing.iter().map(|id| short(id)).collect::<Vec<_>>().join(" and ")
                ),
            };
            let hint = if *shallow {
                format!("get the whole history first: `git -C {clone} fetch --unshallow`")
            } else {
                format!("get the newest commits first: `git -C {clone} fetch`")
            };
            Some(
                Problem::new(format!(
                    "{at}: `{current}` was built from {recorded}, and the clone in `{clone}` cannot tell whether that is newer than {ours}: {why}"
                ))
                .hint(hint),
            )
        }
    }
}

/// The `Source-Commit:` of the commit that wrote the value that is there now.
fn recorded_commit(
    file: &str,
    value: &Value,
    current: &str,
    tip: &mut dyn TipReader,
) -> Result<Option<String>, Failure> {
    let log = tip.log(file, SEARCHED).map_err(|error| git_failure(&error))?;
    Ok(log.iter().find_map(|commit| {
        let trailers = trailers(&commit.message);
        let wrote = trailers.iter().any(|(key, image)| {
            *key == "Image" && image.parse().is_ok_and(|image| holds(&image, value, current))
        });
        let source = trailers.iter().find(|(key, _)| *key == "Source-Commit");
        source.filter(|_| wrote).map(|(_, commit)| (*commit).to_owned())
    }))
}

fn holds(image: &ImageRef, value: &Value, current: &str) -> bool {
    let parts = match value.part {
        Some(part) => vec![part],
        None => vec![Part::Image, Part::Tag, Part::Digest],
    };
    parts.iter().any(|part| part.text(image).is_ok_and(|text| text == current))
}

/// A commit as git abbreviates it.
pub(crate) fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
