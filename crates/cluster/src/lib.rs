//! The Kubernetes API.
pub mod connect;
pub mod discovery;
pub mod events;
pub mod fleet;
pub mod health;
pub mod order;
pub mod outcome;
pub mod plan;
pub mod status;
pub mod wait;
