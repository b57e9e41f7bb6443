//! `image-deployer`: the arguments, the environment and the exit code; everything else is in `run`.

mod args;
mod ci;
mod everywhere;
mod guard;
mod message;
mod part;
mod plan;
mod registry;
mod request;
mod review;
mod run;
mod signals;
mod tell;
mod want;

use std::{io::Read as _, process::ExitCode};

use clap::{CommandFactory as _, FromArgMatches as _};
use cli::{Exit, Format, Printer};

use crate::args::{Args, OutputArg};

fn main() -> ExitCode {
    // A variable that a CI system sets to nothing is one that is not set.
    let mut command = Args::command().mut_args(|argument| {
        let value = argument.get_env().and_then(std::env::var_os);
        if value.is_some_and(|value| value.is_empty()) { argument.env(None::<&str>) } else { argument }
    });
    let args = match Args::from_arg_matches(&command.get_matches_mut()) {
        Ok(args) => args,
        Err(error) => error.format(&mut command).exit(),
    };
    // Variables that are not text are nobody's settings.
    let environment: ci::Environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let format = match args.output {
        Some(OutputArg::Json) => Format::Json,
        Some(OutputArg::Text) | None => Format::Text,
    };
    let plain = ci::variable(&environment, "NO_COLOR").is_some()
        || ci::variable(&environment, "TERM").is_some_and(|terminal| terminal == "dumb");
    let printer = Printer::new(format, args.quiet, plain);
    let interrupted = signals::Interrupted::default();
    let quiet = args.quiet;
    // Where signals cannot be had, they do what they do by themselves.
    let _ = interrupted.listen(move |line| Printer::new(format, quiet, true).say(line));
    let mut stdin = || {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    };
    cli::run(&printer, |printer| {
        if let Some(shell) = args.completions {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "image-deployer", &mut script);
            printer.result(&String::from_utf8_lossy(&script));
            return Ok(Exit::Done);
        }
        let request = request::request(&args, &environment, &mut stdin)?;
        run::run(&request, &interrupted, printer)
    })
}
