//! Rendered objects against the schemas of Kubernetes, without a cluster.
//!
//! A [`Catalog`] holds the schemas of one Kubernetes version, which come with the program, and those of the custom
//! kinds whose definitions are in the same render. [`Catalog::validate`] says everything that a server would refuse:
//! fields that do not exist, values of the wrong kind, missing fields, values that are not among those allowed, kinds
//! that this version no longer has, elements that server-side apply cannot tell apart, and some rules that no schema
//! states (names, ports, selectors). Nothing is reported that a server would take.
//!
//! Not looked at: rules in CEL (`x-kubernetes-validations`), defaults, what admission plugins and quotas say, and
//! whether other objects exist.
//!
//! ```
//! use manifest::yaml::{self, Schema};
//! use render::validate::{Catalog, KubernetesVersion};
//!
//! let text = "apiVersion: v1\nkind: Service\nmetadata: {name: cart}\nspec:\n  port: 80\n";
//! let object = &yaml::read(text, "cart.yaml", Schema::Kubernetes)?[0].root;
//! let checked = Catalog::bundled(KubernetesVersion::newest()).validate(object);
//!
//! let finding = checked.findings.iter().find(|finding| finding.hint.is_some()).unwrap();
//! assert_eq!(finding.to_string(), "spec.port: unknown field");
//! assert_eq!(finding.hint.as_deref(), Some("did you mean `ports`?"));
//! assert_eq!((finding.line, finding.column), (5, 3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bundle;
mod catalog;
mod check;
mod crd;
mod finding;
mod gone;
mod grammar;
mod pod;
mod schema;
mod server;
#[cfg(test)]
mod tests;
mod workload;

pub use catalog::{Basis, Catalog, Checked, KubernetesVersion, UnknownVersion};
pub use finding::Finding;
