//! Why does it not start? Pure: workload, pods and events in, diagnoses out.
//!
//! Only pods that belong to the rollout count: found by owner reference and revision ([`Workload::owns`]),
//! never by a name that looks alike. [`diagnose`] turns what they and their events say into a few
//! [`Diagnosis`] values, the same one once for ten identical pods. [`Judge`] adds time: a problem
//! fails the rollout only when it has lasted ([`HealthOptions::grace`]), and is forgotten when the pod recovers.
//!
//! Talking to the server (lists, watches, logs) is [`crate::wait`]'s business.

mod diagnosis;
mod event;
mod finding;
mod judge;
mod pod;
mod workload;

pub use diagnosis::{Diagnosis, LogTail, diagnose};
pub use event::Event;
pub use finding::Problem;
pub use judge::{HealthOptions, Judge, Verdict};
pub use pod::{Container, ContainerState, Exit, Pod};
pub use workload::{Belonging, ReplicaSet, Revision, Workload};
