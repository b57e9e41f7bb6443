//! The Kubernetes API: one cluster from its kubeconfig to its outcome.
//!
//! This crate promises that a deploy says what it did: every object of every cluster ends as a value of
//! [`outcome::ObjectResult`], a cluster that cannot be reached is a value too, and nothing is written that the plan did not say.
//! Secrets reach the server and nobody else ([`plan::Mask`]). It is asynchronous (tokio), reads neither the environment nor the
//! command line, and prints nothing: what happens is emitted as [`events::Event`]s.
//!
//! ```text
//! connect ─ discovery ─ live ─ plan ─ order ─ apply ─ wait ─ outcome
//! ```
//!
//! [`rollout::deploy`] reads in that order.

mod apply;
mod applying;
pub mod bake;
pub mod busy;
mod compressed;
pub mod connect;
pub mod discovery;
pub mod events;
mod finished_job;
pub mod fleet;
pub mod guard;
pub mod health;
mod history;
pub mod inventory;
mod lease;
mod live;
pub mod order;
pub mod outcome;
mod packed;
pub mod plan;
mod planning;
pub mod prune;
mod pruning;
pub mod pull;
mod reporting;
mod resource_set;
mod rollback;
pub mod rollout;
pub mod status;
pub mod stop;
pub mod strategy;
pub mod survey;
mod switching;
pub mod trace;
mod turn;
pub mod wait;
mod waiting;
mod writing;
