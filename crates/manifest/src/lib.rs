//! What is deployed: the nouns that the three programs share, and the files in which they hand them over.
//!
//! This crate promises that a value of one of its types is valid: a [`ClusterName`] cannot leave its directory, an
//! [`ImageRef`] follows the OCI grammar, a [`KitConfig`] has every path it needs. It is synchronous, knows neither
//! templates, git nor the Kubernetes API, and imports none of the other crates.
//!
//! ```
//! use manifest::{ClusterName, ImageRef};
//!
//! let cluster: ClusterName = "eu-1".parse()?;
//! let image: ImageRef = "registry.example.com:5000/shop/cart:main-4f2a91c".parse()?;
//! assert_eq!(cluster.as_str(), "eu-1");
//! assert_eq!(image.repository(), "shop/cart");
//! assert_eq!(image.tag(), Some("main-4f2a91c"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod config;
pub mod field;
pub mod find;
pub mod image;
pub mod image_file;
pub mod index;
pub mod js;
pub mod load;
pub mod names;
pub mod object;
pub mod selector;
pub mod tree;
pub mod yaml;

pub use config::{ConfigError, KitConfig, PluginConfig};
pub use image::{ImageRef, ImageRefError, tag_safe};
pub use image_file::{ImageFileError, image_file};
pub use load::{LoadError, load_dir};
pub use names::{ClusterName, ClusterNameError, ObjectRef};
pub use object::{Object, Place};
pub use selector::{Selector, SelectorError};
