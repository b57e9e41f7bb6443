//! Expands templates and layered values into manifests, one directory per cluster.

mod args;
mod ask;
mod command;
mod counted;
mod diff;
mod git_files;
mod init;
mod list;
mod migrate;
mod problems;
mod report;
mod run;
mod schema;
mod validation;
mod watch;
mod write;

use std::process::ExitCode;

use cli::{Format, Printer};

use args::{Args, Output};
use command::Command;

fn main() -> ExitCode {
    let args = Args::read();
    let format = match args.output {
        Output::Text | Output::Markdown => Format::Text,
        Output::Json => Format::Json,
    };
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let printer = Printer::new(format, args.quiet, no_colour);
    // Values that are not UTF-8 cannot be written to a manifest; a template that asks for one is told it is not set.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    cli::run(&printer, |printer| match &args.command {
        None | Some(Command::Check) if args.watch => watch::watch(&args, environment, printer),
        None | Some(Command::Check) => run::run(&args, environment, printer),
        Some(Command::Explain { cluster, name, path, line }) => {
            ask::explain(&args, environment, (cluster, name), path.as_deref(), line.as_deref(), printer)
        }
        Some(Command::Reach { spot }) => ask::reach(&args, environment, spot, printer),
        Some(Command::List { what }) => list::list(&args, environment, *what, printer),
        Some(Command::Diff { revisions, code_quality }) => {
            diff::diff(&args, environment, revisions, code_quality.as_deref(), printer)
        }
        Some(Command::Schema { of }) => Ok(schema::schema(*of, printer)),
        Some(Command::Init { dir, ci, what }) => {
            init::init(&args, environment, (dir.as_deref(), *ci, what.as_ref()), printer)
        }
        Some(Command::Migrate { write }) => migrate::migrate(&args, environment, *write, printer),
    })
}
