//! `deployer report merge`: the reports of the shards of a fleet become one, in all forms, with the exit code of the whole.

use std::path::PathBuf;

use cli::report::{Report, merge};
use cli::{Exit, Failure, Printer, Problem};

use crate::args::MergeArgs;
use crate::tell;

/// Joins the reports and tells the result.
pub(crate) fn run(args: &MergeArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output.format(), args.output.quiet, true);
    let report = merge(read(&args.files)?).map_err(|errors| {
        let hint = "every job of the matrix leaves one report: `deployer --shard I/N --report shard-I.json`";
        let mut problems: Vec<Problem> = errors.iter().map(|error| Problem::from_error(error)).collect();
        if let Some(last) = problems.last_mut() {
            last.hints.push(hint.to_owned());
        }
        Failure::all(Exit::Invalid, problems)
    })?;
    let exit = Exit::of(report.exit_code).unwrap_or(Exit::Failed);
    tell::report(&report, &printer, "");
    tell::save(&args.report, &report, exit, &printer)
}

/// All reports, or everything that is wrong with any of them.
fn read(files: &[PathBuf]) -> Result<Vec<(String, Report)>, Failure> {
    let mut problems = Vec::new();
    let mut reports = Vec::new();
    for file in expand(files, &mut problems) {
        let name = file.display().to_string();
        let unreadable = |problem: Problem| problem.context(format!("cannot read the report: `{name}`"));
        match std::fs::read_to_string(&file) {
            Err(error) => problems.push(unreadable(Problem::from_error(&error))),
            Ok(text) => match Report::read(&text) {
                Err(error) => problems.push(unreadable(Problem::from_error(&error))),
                Ok(report) => reports.push((name, report)),
            },
        }
    }
    if problems.is_empty() { Ok(reports) } else { Err(Failure::all(Exit::Invalid, problems)) }
}

/// The files that are meant: of a directory its `.json` files.
fn expand(files: &[PathBuf], problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for file in files {
        if !file.is_dir() {
            all.push(file.clone());
            continue;
        }
        let entries = std::fs::read_dir(file).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
        let found: Vec<PathBuf> = match entries {
            Ok(entries) => entries.iter().map(std::fs::DirEntry::path).collect(),
            Err(error) => {
                problems
                    .push(Problem::from_error(&error).context(format!("cannot read: `{}`", file.display())));
                continue;
            }
        };
        let mut found: Vec<PathBuf> =
            found.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "json")).collect();
        if found.is_empty() {
            problems.push(
                Problem::new(format!("there is no report in it: `{}`", file.display()))
                    .hint("each job leaves one there with `--report DIR/shard-I.json`"),
            );
        }
        found.sort();
        all.extend(found);
    }
    all
}
