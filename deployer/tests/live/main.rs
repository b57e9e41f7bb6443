//! What is so on the cluster while and after the real binary runs: simulated clusters, or the real ones that `KIT_TEST_CONFIGS`
//! names.
//!
//! `--strategy fast-rollback`, and back to `rolling-update`, while somebody looks all the time whether a Service has lost its pods;
//! `deployer trace`, from what is live to where it comes from.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod failures;
mod killed;
mod sets;
mod stage;
mod switching;
mod together;
mod trace;
mod usage;
