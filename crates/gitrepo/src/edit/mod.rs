//! Byte-exact change of single values in YAML files.
//!
//! [`set`](set()) changes the scalar at a [`PropertyPath`]; [`set_each`] asks for every scalar of a file. Both replace
//! the bytes of the scalars and nothing else: comments, blank lines, quotes, indentation, line ends, anchors,
//! tags, key order and the other documents of the file stay byte for byte. The new text is then read by a second
//! parser and compared with the old one value by value; unless the wanted change is the only difference, the
//! edit is refused ([`EditError`]) with the place and the reason.
//!
//! What is refused on purpose, because a single line cannot be changed without touching more: a value behind
//! an alias or a merge key, an anchored value that is used twice, a block or continued scalar, a tagged value, a
//! file with a key twice in one mapping, a template that is not YAML.
//!
//! ```
//! use gitrepo::edit::{Document, IfMissing, PropertyPath, set};
//! let old = b"web:\n  image: 'quay.io/org/web:1'  # the shop\n";
//! let path: PropertyPath = "web.image".parse()?;
//! let edit = set("values.yaml", old, &Document::Any, &path, "quay.io/org/web:2", IfMissing::Refuse)?;
//! assert_eq!(edit.bytes.unwrap(), b"web:\n  image: 'quay.io/org/web:2'  # the shop\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod create;
mod find;
mod node;
mod path;
mod proof;
mod quote;
mod refusal;
mod set;

pub use find::Leaf;
pub use path::{PathError, PropertyPath, Step};
pub use refusal::{EditError, Position, Reason};
pub use set::{Document, Edit, Edited, IfMissing, set, set_each};
