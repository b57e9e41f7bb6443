//! Why does it not start? Pure: workload, pods and events in, diagnoses out.
//!
//! Only pods that belong to the rollout count ([`Crowd::pods_of`]). [`Crowd::diagnose`] turns what they and their events say into a few
//! [`Diagnosis`] values, the same one once for ten identical pods. [`Judge`] adds time: a problem
//! fails the rollout only when it has lasted ([`HealthOptions::grace`]), and is forgotten when the pod recovers.
//!
//! Talking to the server (lists, watches, logs) is [`crate::wait`]'s business.

mod crowd;
mod diagnosis;
mod event;
mod finding;
mod judge;
mod pod;
mod workload;

pub use crowd::{Belonging, Crowd};
pub use diagnosis::{Diagnosis, LogTail};
pub use event::Event;
pub use finding::Problem;
pub use judge::{HealthOptions, Judge, Verdict};
pub use pod::{Container, ContainerState, Exit, Pod};
pub use workload::{ReplicaSet, Revision, Workload};
