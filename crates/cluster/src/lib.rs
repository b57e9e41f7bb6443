//! The Kubernetes API.
pub mod connect;
pub mod events;
pub mod fleet;
pub mod health;
pub mod outcome;
pub mod plan;
pub mod status;
pub mod wait;
