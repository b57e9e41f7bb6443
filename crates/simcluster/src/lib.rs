//! The `simcluster` crate.
