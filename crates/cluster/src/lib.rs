//! The Kubernetes API.
pub mod connect;
pub mod events;
pub mod outcome;
pub mod plan;
