//! A simulated Kubernetes cluster: the API over TLS on loopback, simple controllers, scriptable faults.
//!
//! It is a **simulator**, for demos, tests and benchmarks of programs that talk to clusters. It answers what
//! real clients ask, in the words of the real server, and its controllers make workloads live and become
//! ready (or fail on request) in a fraction of a second. It runs nothing, stores nothing on disk, and no
//! cluster outlives its process.
//!
//! ```no_run
//! let clusters = simcluster::Simulation::start(simcluster::Options::named(["eu", "us"]))?;
//! std::fs::write("eu.yaml", clusters.kubeconfig("eu").expect("it was started"))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What it imitates
//!
//! - **Protocol.** Discovery (aggregated and old), get, list (selectors, `limit`/`continue`), watch (bookmarks,
//!   410 Gone, initial events), create, update, delete (propagation, preconditions, finalizers, grace), merge, strategic merge and
//!   JSON patch, server-side apply with real `managedFields`, dry run, field validation, `status`, `scale`, logs,
//!   tables, `Status` errors. HTTP/1.1 and HTTP/2; tokens and client certificates.
//! - **Kinds.** The built-in ones that companies deploy (see `kinds.rs`), with the field table of the real OpenAPI document,
//!   defaults and the validation that programs depend on; CRDs with structural schemas.
//! - **Controllers.** Deployment, ReplicaSet, StatefulSet, DaemonSet, Job, CronJob, endpoints, load balancers,
//!   claims, namespaces, quotas, budgets, autoscaler status, garbage collection; a scheduler and a fake kubelet whose behaviour
//!   a word in the image or the annotation `fake/behavior` chooses: `bad`, `crash`, `oom`, `notready`, `flaky`, `slow`, `fail`.
//! - **Faults.** Per request, by script or by seed: [`Fault`].
//!
//! # What it does not
//!
//! No admission webhooks or policies, no RBAC (rules are stored, not enforced; the `limited` user is refused by
//! [`Fault`]s), no scopes of quotas, no CEL, no conversion webhooks, no protobuf, no exec or port-forward, no probes, no networking, no
//! metrics: an autoscaler clamps replicas to its bounds and scales no further.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "most matches are over JSON values and schema types, whose other forms are treated alike"
)]

mod api;
mod auth;
mod body;
mod cluster;
mod control;
mod controllers;
mod convert;
mod defaults;
mod faults;
mod fields;
mod handler;
mod kinds;
mod kubeconfig;
mod route;
mod schema;
mod selector;
mod server;
mod simulation;
mod status;
mod store;
mod tls;
mod validate;

pub use cluster::Timing;
pub use faults::{Action, Fault};
pub use simulation::{Error, Inner, Metrics, Options, Ports, Simulation};
