//! The terminal: how the three programs answer.
//!
//! stdout is the result (text, or JSON by flag), stderr is narration, and the exit code is one of [`Exit`]. This crate
//! is the only library that prints; it knows nothing of manifests, git or Kubernetes.
//!
//! A program's `main` is one line, [`run`]; everything that can go wrong reaches it as a [`Failure`], a list of
//! [`Problem`]s that one place renders as message, causes and hints:
//!
//! ```text
//! error: cannot read the manifests repository
//!   caused by: no such remote: `/tmp/x`
//!   hint: check the path, or create it with `git init --bare /tmp/x`
//! ```

pub mod bug;
pub mod ci;
mod exit;
pub mod junit;
mod printer;
mod problem;
pub mod progress;
pub mod report;

pub use exit::{Exit, run};
pub use printer::{Format, Printer};
pub use problem::{Failure, Problem};
