//! The `gitrepo` crate.
