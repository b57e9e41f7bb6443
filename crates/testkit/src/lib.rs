//! For tests: a hermetic command runner, directories to compare, git remotes, and clusters to test against.
//!
//! Nothing here is linked into a shipped program. A test says what it runs and compares the whole answer:
//!
//! ```no_run
//! use testkit::{Sandbox, program};
//!
//! let sandbox = Sandbox::new();
//! let answer = sandbox.run(program("deploymentizer").arg("--help"));
//! assert_eq!(answer.exit_code, 0);
//! ```
// Test code: a panic here is a failed test, which is what is wanted.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod clusters;
mod fault_proxy;
pub mod git;
mod run;
mod schema;
mod tree;

pub use clusters::{Clusters, REAL_CLUSTERS, fresh_name};
pub use fault_proxy::{FaultProxy, ProxyFault};
pub use run::{Answer, Call, Sandbox, built_binary, kubectl_is_there, program, skipped, workspace_root};
pub use schema::assert_schema;
pub use tree::{copy_tree, read_tree, tree_listing, write_tree};
