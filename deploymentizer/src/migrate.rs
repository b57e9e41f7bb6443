//! `migrate`: from `.mustache` to minijinja, proven before anything is written.

use std::path::Path;

use cli::{Exit, Failure, Format, Printer};
use render::external::Environment;
use render::files::shown as path_shown;
use render::migrate::{Migration, migrate as migrated};
use render::problem::{Problem, deduplicate};

use crate::args::Args;
use crate::problems::{failure, invalid_one};
use crate::run::{load, options};

/// Answers `migrate [--write]`.
pub(crate) fn migrate(
    args: &Args,
    environment: Environment,
    write: bool,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let options = options(args, environment.clone());
    let (renderer, _) = load(args, environment)?;
    let migration = migrated(&renderer, &options, args.workdir.as_deref())
        .map_err(|problems| failure(Exit::Refused, &deduplicate(problems)))?;
    if write {
        apply(&migration)?;
    }
    match printer.format() {
        Format::Text => printer.result(&text(&migration, write)),
        Format::Json | Format::Ndjson => {
            let (written, removed): (Vec<_>, Vec<_>) =
                migration.changes.iter().partition(|(_, text)| text.is_some());
            let names = |list: Vec<(&std::path::PathBuf, &Option<String>)>| -> Vec<String> {
                list.into_iter().map(|(path, _)| path_shown(path)).collect()
            };
            printer.json(&serde_json::json!({
                "version": 1,
                "saved": write,
                "compared": migration.compared,
                "written": names(written),
                "removed": names(removed),
                "unproven": migration.unproven,
            }));
        }
    }
    for template in &migration.unproven {
        printer.warn(&format!(
            "{template} is used by no cluster: nothing proves that its migration is the same"
        ));
    }
    Ok(Exit::Done)
}

/// New files first, each complete before it has its name, then the old ones go: interrupted, a second run completes it.
fn apply(migration: &Migration) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        invalid_one(Problem::new(format!("cannot write {}", path_shown(path))).cause(error.to_string()))
    };
    for (path, text) in &migration.changes {
        if let Some(text) = text {
            let part = path.with_extension("migrating");
            std::fs::write(&part, text)
                .and_then(|()| std::fs::rename(&part, path))
                .map_err(|error| failed(path, &error))?;
        }
    }
    for (path, _) in migration.changes.iter().filter(|(_, text)| text.is_none()) {
        std::fs::remove_file(path).map_err(|error| failed(path, &error))?;
    }
    Ok(())
}

fn text(migration: &Migration, write: bool) -> String {
    let mut text = String::new();
    for (path, new) in &migration.changes {
        let verb = match (new.is_some(), write) {
            (true, true) => "wrote",
            (true, false) => "would write",
            (false, true) => "removed",
            (false, false) => "would remove",
        };
        text.push_str(&format!("{verb} {}\n", path_shown(path)));
    }
    if migration.changes.is_empty() {
        text.push_str("there is no mustache template left\n");
    } else {
        text.push_str(&format!("{} rendered files compared, every byte the same\n", migration.compared));
        if !write {
            text.push_str("run `deploymentizer migrate --write` to do it\n");
        }
    }
    text
}
