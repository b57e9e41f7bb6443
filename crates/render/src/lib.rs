//! The `render` crate.

pub mod js;
pub mod mustache;
