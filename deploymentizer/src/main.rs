//! Expands templates and layered values into manifests, one directory per cluster.

mod args;
mod problems;
mod report;
mod run;
mod validation;

use std::process::ExitCode;

use cli::{Format, Printer};

use args::{Args, Output};

fn main() -> ExitCode {
    let args = Args::read();
    let format = match args.output {
        Output::Text => Format::Text,
        Output::Json => Format::Json,
    };
    let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    let printer = Printer::new(format, args.quiet, no_colour);
    // Values that are not UTF-8 cannot be written to a manifest; a template that asks for one is told it is not set.
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    cli::run(&printer, |printer| run::run(&args, environment, printer))
}
