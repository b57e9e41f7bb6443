//! The `cluster` crate.
