//! The exit codes, one table for all three programs.

use std::process::ExitCode;

use crate::{Failure, Printer, bug};

/// What a program tells the shell. The numbers are a contract (`docs/exit-codes.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done, including nothing to do.
    Done,
    /// 1: failed.
    Failed,
    /// 2: usage or invalid input, found before anything was touched.
    Invalid,
    /// 3: there are changes; only with `--detailed-exitcode`.
    Changes,
    /// 4: some clusters succeeded and some failed.
    Partial,
    /// 5: refused by a guard: older commit, hold, prune budget, plan no longer valid.
    Refused,
    /// 130: interrupted (SIGINT), after an orderly stop.
    Interrupted,
    /// 143: terminated (SIGTERM), after an orderly stop.
    Terminated,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::Changes => 3,
            Self::Partial => 4,
            Self::Refused => 5,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }

    /// What a number means, if it is one of ours.
    pub fn of(code: u8) -> Option<Self> {
        let all = [
            Self::Done,
            Self::Failed,
            Self::Invalid,
            Self::Changes,
            Self::Partial,
            Self::Refused,
            Self::Interrupted,
            Self::Terminated,
        ];
        all.into_iter().find(|exit| exit.code() == code)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Runs a program: tells its failure, if there is one, and turns the outcome into the exit code. A panic is a failure too.
pub fn run(printer: &Printer, program: impl FnOnce(&Printer) -> Result<Exit, Failure>) -> ExitCode {
    match bug::guard(printer, program) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}
