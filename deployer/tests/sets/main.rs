//! Resource sets through the real binary: what is pruned, guarded, kept apart and brought back, on simulated clusters or on the real
//! ones that `KIT_TEST_CONFIGS` names.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a panic here is a failed test; a skipped test says so"
)]

mod backup;
mod bucket;
mod guard;
mod jobs;
mod kill;
mod prune;
mod race;
mod rollback;
mod stage;
