//! `image-deployer` as its users run it: the real binary against real repositories.
#![allow(clippy::unwrap_used)]

mod access;
mod bad_input;
mod commits;
mod docker_registry;
mod environment;
mod guard;
mod hostile;
mod interrupted;
mod network;
mod places;
mod registry;
mod remote;
mod review;
mod schema;
mod servers;
mod signing;

/// Compares a whole answer with its snapshot; commit ids are the same in no two runs.
macro_rules! assert_answer {
    ($answer:expr) => {
        let mut settings = insta::Settings::clone_current();
        settings.add_filter(r"\b[0-9a-f]{40}\b", "[COMMIT]");
        settings.add_filter(r"\b[0-9a-f]{10}\b", "[SHORT]");
        settings.set_prepend_module_to_snapshot(false);
        settings.set_snapshot_path("../snapshots");
        settings.bind(|| insta::assert_snapshot!($answer.to_string()));
    };
}
pub(crate) use assert_answer;
