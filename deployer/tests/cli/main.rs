//! `deployer` as its users run it: the real binary, its whole answer.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

mod bad_input;
mod bad_kubeconfig;
mod credentials;
mod deploy;
mod secrets;
mod server;
mod signals;
