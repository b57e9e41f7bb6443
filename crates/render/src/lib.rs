//! The `render` crate.

pub use manifest::js;
pub mod mustache;
pub mod validate;
