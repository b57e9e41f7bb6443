//! The `manifest` crate.

pub mod yaml;
