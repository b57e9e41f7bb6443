//! `deployer` as its users run it: the real binary, its whole answer.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic here is a failed test; a skipped test says so"
)]

/// Compares a whole answer with its snapshot; how long things take is the same in no two runs.
macro_rules! assert_answer {
    ($answer:expr) => {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r" +[0-9]+\.[0-9]+ s", " [TIME]");
        settings.bind(|| insta::assert_snapshot!($answer));
    };
}
pub(crate) use assert_answer;

mod apply;
mod bad_input;
mod bad_kubeconfig;
mod credentials;
mod deploy;
mod proxy;
mod reach;
mod secrets;
mod server;
mod signals;
mod sync;
mod trust;
