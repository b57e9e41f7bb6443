//! The only room that names a YAML library.
//!
//! [`read`](read()) turns text into [`Document`]s whose every node and key knows the bytes, line and column
//! it came from. Order is kept, `<<` merge keys and aliases are resolved (under a budget, so that a
//! "billion laughs" file is refused), a duplicate key is an error that names both places, and a key
//! that is not a scalar is an error that asks whether a template was left unquoted.
//!
//! What an unquoted scalar *means* is the caller's choice, because readers disagree:
//!
//! | text | [`Schema::Kubernetes`] | [`Schema::JsYaml3`] | [`Schema::Core`] |
//! |---|---|---|---|
//! | `yes`, `on`, `n` | bool | text | text |
//! | `010` | 8 | 8 | 10 |
//! | `1:30` | text | 90 | text |
//! | `1e3` | 1000 | text | 1000 |
//! | `2020-01-01` | text | date | text |
//!
//! [`emit`](emit()) writes a value so that YAML 1.1 and 1.2 readers both get the same value back.
//!
//! ```
//! use manifest::yaml::{self, Schema};
//!
//! let documents = yaml::read("a: 1\nb: [x, yes]\n", "values.yaml", Schema::Kubernetes).unwrap();
//! let root = documents[0].root.as_map().unwrap();
//! assert_eq!(root.get("b").unwrap().span.line, 2);
//!
//! let error = yaml::read("a: 1\na: 2\n", "values.yaml", Schema::Kubernetes).unwrap_err();
//! assert_eq!(error.to_string(), "values.yaml:2:1: duplicate key `a`, first given in line 1");
//! ```

mod emit;
mod error;
mod js_block;
mod js_list;
mod js_quoted;
mod js_scalar;
mod mend;
mod node;
mod read;
mod scalar;
#[cfg(test)]
mod tests;

pub use emit::{EmitError, emit};
pub use error::{Problem, YamlError, excerpt, position};
pub use node::{Document, Entry, JsonError, Map, Node, Span, Style, Value};
pub use read::{MAX_DEPTH, MAX_NODES_FROM_ALIASES, read, read_one};
pub use scalar::{Scalar, Schema};
