//! What requests do: reading, writing, discovery, tables.

mod apply;
pub(crate) mod body;
pub(crate) mod delete;
pub(crate) mod discovery;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod prepare;
pub(crate) mod read;
pub(crate) mod reviews;
pub(crate) mod rules;
pub(crate) mod scale;
pub(crate) mod strategic;
pub(crate) mod table;
pub(crate) mod write;
