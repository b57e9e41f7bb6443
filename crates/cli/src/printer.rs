//! One printer: results to stdout, narration to stderr.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};

use serde::Serialize;

use crate::{Failure, Problem};

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// One JSON document a line, as things happen.
    Ndjson,
}

/// Where a program's words go.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    format: Format,
    quiet: bool,
    colour: bool,
}

impl Printer {
    /// A printer. Colour is used on a terminal only, and not when `no_colour` (the environment's `NO_COLOR`, or a dumb
    /// terminal) says so.
    pub fn new(format: Format, quiet: bool, no_colour: bool) -> Self {
        Self { format, quiet, colour: !no_colour && io::stderr().is_terminal() }
    }

    /// The format of results.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whether a person is watching stderr, so that it may be redrawn.
    pub fn is_interactive(&self) -> bool {
        !self.quiet && io::stderr().is_terminal()
    }

    /// Columns of the terminal that results are read on; none where they go to a file or a program.
    pub fn width(&self) -> Option<usize> {
        terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
    }

    /// Whether stderr is coloured.
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// A line for a machine that reads the log, such as an annotation: to stderr, even with `--quiet`.
    pub fn command(&self, line: &str) {
        self.stderr(line);
    }

    /// A piece of the result, to stdout, as it is.
    ///
    /// A reader that closed the pipe (`| head`) is not an error: the rest is dropped.
    pub fn result(&self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// A result as JSON: pretty for [`Format::Json`], one line for [`Format::Ndjson`].
    ///
    /// It is written as it is made: the report of a thousand clusters is not held as text beside its values.
    pub fn json(&self, value: &impl Serialize) {
        let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
        let written = match self.format {
            Format::Ndjson => serde_json::to_writer(&mut out, value),
            Format::Json | Format::Text => serde_json::to_writer_pretty(&mut out, value),
        };
        if let Err(error) = &written {
            assert!(error.is_io(), "results are maps with text keys, which always serialise: {error}");
        }
        // A reader that closed the pipe is not an error here either.
        let _ = out.write_all(b"\n").and_then(|()| out.flush());
    }

    /// Narration, to stderr; nothing with `--quiet`.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.stderr(line);
        }
    }

    /// Something the user should know that stops nothing.
    pub fn warn(&self, line: &str) {
        self.stderr(&self.labelled("warning", "33", line));
    }

    /// Something that is wrong, to stderr, even with `--quiet`, by a program that has a result to print all the same.
    pub fn error(&self, problem: &Problem) {
        self.stderr(&self.labelled("error", "31", &problem.to_string()));
    }

    /// Everything that is wrong, to stderr, even with `--quiet`; as JSON on stdout too when that is the format, so
    /// that a script has one document to read whatever happened.
    pub fn failure(&self, failure: &Failure) {
        for problem in &failure.problems {
            self.error(problem);
        }
        if self.format != Format::Text {
            self.json(&serde_json::json!({
                "version": 1,
                "exitCode": failure.exit.code(),
                "errors": failure.problems,
            }));
        }
    }

    fn labelled(&self, label: &str, colour: &str, text: &str) -> String {
        match self.colour {
            true => format!("\u{1b}[1;{colour}m{label}:\u{1b}[0m {text}"),
            false => format!("{label}: {text}"),
        }
    }

    fn stderr(&self, line: &str) {
        // Nobody is left to tell when stderr is closed.
        let _ = writeln!(io::stderr().lock(), "{line}");
    }
}
