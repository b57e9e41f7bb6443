//! The `manifest` crate.
