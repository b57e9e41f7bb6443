//! The Mustache dialect of mustache.js 2.2.1, which is what kit rendered `.mustache` files with.
//!
//! Not the Mustache specification: where the two differ, repositories rely on what mustache.js
//! did. Most of it is its own invention (HTML escaping of `/` and `=`, dotted names that fall
//! through to outer contexts, JavaScript's idea of truth and of printing), some of it its bugs
//! (the last line of a file without a newline keeps its indentation).
//!
//! A [`Template`] is parsed once and rendered many times over anything that implements [`Data`];
//! an [`Observer`] sees every literal, every value and every section with where it went, which is
//! what `explain` and `--strict` are made of.
//!
//! ```
//! use render::mustache::Template;
//!
//! let template = Template::parse("{{#who}}hello {{.}}{{/who}}")?;
//! let view = serde_json::json!({"who": ["a", "b"]});
//! let mut out = String::new();
//! template.render(&view, &mut out, &mut ())?;
//! assert_eq!(out, "hello ahello b");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod data;
mod json;
mod lookup;
mod parse;
mod template;

pub use data::{Data, Shape};
pub(crate) use lookup::text;
pub use lookup::{Found, Name};
pub use parse::{ParseError, Position};
pub(crate) use template::escape_from;
pub use template::{Observer, RenderError, Tag, Template, Token};

#[cfg(test)]
mod tests;
