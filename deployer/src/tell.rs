//! What people and programs get to read: the result on stdout, reports in files, the step summary of a CI, and how it is narrated.

use std::path::Path;

use cli::ci::{Platform, append_summary};
use cli::report::{Report, ReportFile};
use cli::{Exit, Failure, Format, Printer, Problem};
use cluster::connect::Target;
use cluster::outcome::ClusterOutcome;

use crate::args::{DeployArgs, Progress};
use crate::changes;
use crate::progress::{Colour, Narration};
use crate::run;

/// Prints what a deploy did.
pub(crate) fn deploy(args: &DeployArgs, printer: &Printer, outcomes: &[ClusterOutcome], report: &Report) {
    let told = run::plan_only(args) || args.change.diff;
    self::report(report, printer, &if told { changes::changes(outcomes) } else { String::new() });
}

/// Prints a report; `changes` are what differs, for people.
pub(crate) fn report(report: &Report, printer: &Printer, changes: &str) {
    match printer.format() {
        Format::Json | Format::Ndjson => printer.json(report),
        Format::Text => {
            let waves = cli::report::waves(report);
            if report.dry_run {
                printer.result(&waves);
            }
            printer.result(changes);
            printer.result(&cli::report::table(report));
            let failures = platform().failures(report, jiff::Timestamp::now().as_second());
            if !failures.is_empty() {
                printer.result(&format!("\n{failures}"));
            }
            // Last: where it stands, and how to go on.
            if !report.dry_run && !waves.is_empty() {
                printer.result(&format!("\n{waves}"));
            }
        }
    }
    // The platform reads these wherever they are; stdout is for the result.
    platform().annotations(report).iter().for_each(|line| printer.command(line));
}

/// Writes the reports. One that cannot be written is a failure of its own, after everything else has been told.
pub(crate) fn save(
    files: &[ReportFile],
    report: &Report,
    exit: Exit,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut problems = Vec::new();
    for file in files {
        if let Err(error) = file.write(report) {
            problems
                .push(Problem::from_error(&error).hint("the deploy itself is over: see its result above"));
        }
    }
    if let Some(summary) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|_| platform() == Platform::GitHub)
        && let Err(why) = append_summary(Path::new(&summary), |room| cli::report::markdown(report, room))
    {
        printer.warn(&why);
    }
    if problems.is_empty() {
        return Ok(exit);
    }
    let exit = if exit == Exit::Done || exit == Exit::Changes { Exit::Failed } else { exit };
    Err(Failure::all(exit, problems))
}

fn platform() -> Platform {
    Platform::detect(|name| std::env::var(name).ok())
}

/// Whether what is going on is drawn on a terminal or told line by line.
fn live(args: &DeployArgs, printer: &Printer) -> Option<Colour> {
    let wanted = match args.tell.progress {
        Progress::Lines => false,
        Progress::Live => !args.output.quiet,
        Progress::Auto => printer.is_interactive() && !args.output.debug && !platform().is_ci(),
    };
    wanted.then(|| if printer.has_colour() { Colour::Yes } else { Colour::No })
}

/// How a run is narrated.
pub(crate) fn narration(args: &DeployArgs, printer: &Printer, targets: &[Target]) -> Narration {
    Narration {
        debug: args.output.debug,
        keep_alive: args.wait.available_keep_alive.then_some(args.wait.available_keep_alive_interval),
        live: live(args, printer),
        ci: platform().is_ci(),
        clusters: targets.iter().map(|target| target.name.to_string()).collect(),
    }
}
