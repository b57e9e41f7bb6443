//! `.kit-index.json`: which files of a cluster's folder `deploymentizer` wrote, and what made them.
//!
//! It lies in each folder of the generated tree. `deploymentizer` removes only what it names; `deployer` learns from it
//! which lines hold secrets and which template an object came from. Its name starts with a dot, so that it is no
//! manifest.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ClusterName;

/// The name of the file.
pub const FILE_NAME: &str = ".kit-index.json";

/// The version that this program writes, and the newest that it reads.
pub const VERSION: u32 = 1;

/// The index of one cluster's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// [`VERSION`].
    pub version: u32,
    /// The cluster.
    pub cluster: ClusterName,
    /// Where it stands among the clusters.
    #[serde(default, skip_serializing_if = "Placement::is_empty")]
    pub placement: Placement,
    /// The files by name.
    pub files: BTreeMap<String, FileEntry>,
}

/// Where a cluster stands among the others: from this `deployer` makes its waves.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Placement {
    /// `metadata.type` of the cluster.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// `metadata.wave` of the cluster, else of its type, else of the base: lower ones are deployed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// `metadata.labels` of the base, the type and the cluster; later ones win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Placement {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A file that `deploymentizer` wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FileEntry {
    /// The resource in the layers.
    pub resource: String,
    /// The template or copied file.
    pub source: String,
    /// SipHash-2-4 of its bytes with key 0, in hexadecimal. It tells whether somebody changed the file by hand; it is
    /// no proof against somebody who wants to deceive.
    pub digest: String,
    /// Lines, from 1, that hold a value marked secret. Nothing that shows the file may show them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret_lines: Vec<u32>,
    /// What made each line; only with `--provenance`.
    #[serde(default, skip_serializing_if = "Lines::is_empty")]
    pub lines: Lines,
}

/// What made the lines of a file, by their number, from 1.
pub type Lines = BTreeMap<u32, LineOrigin>;

/// What made a line. Places are `file:line`, relative to the folder of kit.yaml; no value is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LineOrigin {
    /// The line of the template, or of the copied file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Where the values in it are written, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// An index that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is not an index.
    #[error("{} is not an index of deploymentizer", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer program wrote it.
    #[error("{} was written by a newer deploymentizer (version {found} of the index)", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
}

impl Index {
    /// An index without files.
    pub fn new(cluster: ClusterName) -> Self {
        Self { version: VERSION, cluster, placement: Placement::default(), files: BTreeMap::new() }
    }

    /// Reads the index of a cluster's folder; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read or used.
    pub fn read(folder: &Path) -> Result<Option<Index>, IndexError> {
        let path = folder.join(FILE_NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(source) => return Err(IndexError::Read { path, source }),
        };
        match serde_json::from_slice::<Index>(&bytes) {
            Ok(index) if index.version <= VERSION => Ok(Some(index)),
            Ok(Index { version: found, .. }) => Err(IndexError::Newer { path, found }),
            // A newer one may not look like ours at all.
            Err(source) => Err(match serde_json::from_slice(&bytes) {
                Ok(Versioned { version: found }) if found > VERSION => IndexError::Newer { path, found },
                Ok(_) | Err(_) => IndexError::Parse { path, source },
            }),
        }
    }

    /// The bytes of the file: the same for the same content.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("an index has only text keys");
        bytes.push(b'\n');
        bytes
    }
}

/// What every version of the index has.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}
