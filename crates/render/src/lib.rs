//! Layers and templates to manifests, every value knowing where it came from.

pub mod aliases;
pub mod check;
pub mod compare;
pub mod depends;
pub mod explain;
pub mod external;
pub mod files;
pub mod images;
pub mod inputs;
pub mod layers;
pub mod listing;
mod memo;
pub mod migrate;
pub mod mustache;
pub mod node;
mod placement;
pub mod plan;
pub mod problem;
mod provenance;
pub mod provider;
pub mod reach;
pub mod scene;
pub mod secrets;
pub mod source;
mod stencil;
pub mod template;
pub mod trace;
pub mod validate;
pub mod view;

pub use manifest::js;
