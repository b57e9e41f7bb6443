//! `deployer`: pushes a directory of manifests per cluster to the clusters of a folder of kubeconfigs.

mod args;
mod backup;
mod changes;
mod clusters_cmd;
mod configs;
mod fleet;
mod guard;
mod history_cmd;
mod http;
mod input;
mod merge_cmd;
mod options;
mod parse;
mod planfile;
mod progress;
mod report;
mod resource_set;
mod run;
mod set_args;
mod signals;
mod status_cmd;
mod strategy;
mod sync;
mod tell;
mod trace;
mod waves;
mod webhook;

use std::process::ExitCode;

use clap::Parser as _;
use cli::Printer;

fn main() -> ExitCode {
    let args = args::Args::parse();
    let output = &args.deploy.output;
    let dumb = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var("TERM").is_ok_and(|term| term == "dumb");
    let printer = Printer::new(output.format(), output.quiet, dumb);
    cli::run(&printer, |printer| run::run(args, printer))
}
