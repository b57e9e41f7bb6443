//! Names: of clusters, and of objects inside them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a cluster: `metadata.name` of its `cluster.yaml` and of its kubeconfig, and the name of its directory
/// in the generated tree.
///
/// Because it becomes a directory, a name that would leave the tree (`..`, `a/b`), hide in it (`.git`) or be unreadable in
/// a terminal is refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClusterName(String);

/// Why a text is not a cluster name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterNameError {
    /// Nothing there.
    #[error("a cluster name must not be empty")]
    Empty,
    /// Longer than a directory entry may be on every file system (255 bytes).
    #[error("a cluster name has at most 253 characters, this one has {0}")]
    TooLong(usize),
    /// A path separator, a NUL, a control character or white space at an end.
    #[error("a cluster name is one directory name and must not contain {found}: `{name}`")]
    Character {
        /// The name as given, control characters escaped.
        name: String,
        /// What was found in it, in words.
        found: &'static str,
    },
    /// `.`, `..` and hidden names.
    #[error("a cluster name must not start with a dot: `{0}`")]
    LeadingDot(String),
}

impl ClusterName {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = ClusterNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = |found| ClusterNameError::Character { name: text.escape_debug().to_string(), found };
        match text {
            "" => Err(ClusterNameError::Empty),
            _ if text.len() > 253 => Err(ClusterNameError::TooLong(text.len())),
            _ if text.contains('/') => Err(found("`/`")),
            _ if text.contains('\\') => Err(found("`\\`")),
            _ if text.chars().any(char::is_control) => Err(found("control characters")),
            _ if text.trim() != text => Err(found("white space at its ends")),
            _ if text.starts_with('.') => Err(ClusterNameError::LeadingDot(text.to_owned())),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

impl TryFrom<String> for ClusterName {
    type Error = ClusterNameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClusterName> for String {
    fn from(name: ClusterName) -> Self {
        name.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Whether `text` is an RFC 1123 label: 63 characters at most of `a-z0-9-`, starting and ending with `a-z0-9`.
pub fn is_label(text: &str) -> bool {
    text.len() <= 63 && is_label_text(text)
}

fn is_label_text(text: &str) -> bool {
    let edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    bytes.first().is_some_and(edge)
        && bytes.last().is_some_and(edge)
        && bytes.iter().all(|byte| edge(byte) || *byte == b'-')
}

/// Whether `text` is an RFC 1123 subdomain: labels and dots, 253 characters at most. (A label in it may be longer than
/// 63; Kubernetes does not look.)
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label_text)
}

/// Whether `text` can be the name part of a qualified name, or the value of a Kubernetes label that has one: 63 characters
/// at most of `A-Za-z0-9-_.`, starting and ending with `A-Za-z0-9`.
pub fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() <= 63
        && bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

/// Which object: the one place that formats `Kind/namespace/name`.
///
/// The order is that of the fields, so that sorted lists group by API and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// `apps/v1`, or `v1` for the core group.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Absent for objects of the cluster, and for objects whose manifest leaves the namespace to the kubeconfig.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectRef {
    /// The API group: `apps` of `apps/v1`, empty for the core group.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    /// The API version without its group: `v1` of `apps/v1`.
    pub fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(self.api_version.as_str(), |(_, version)| version)
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{}/{}/{}", self.kind, namespace, self.name),
            None => write!(f, "{}/{}", self.kind, self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_name_is_one_visible_directory_name() {
        for good in ["eu-1", "EU_1", "prod.example.com", "büro", "a b"] {
            assert_eq!(good.parse::<ClusterName>().map(String::from), Ok(good.to_owned()));
        }
        for bad in ["", ".", "..", ".git", "a/b", "/a", "../a", "a\\b", "a\0", "a\n", " a", "a "] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad:?}");
        }
        assert_eq!("x".repeat(254).parse::<ClusterName>(), Err(ClusterNameError::TooLong(254)));
    }

    #[test]
    fn a_refused_name_is_shown_without_control_characters() {
        let error = "a\u{1b}[31m".parse::<ClusterName>().unwrap_err();
        assert_eq!(
            error.to_string(),
            r"a cluster name is one directory name and must not contain control characters: `a\u{1b}[31m`"
        );
    }

    #[test]
    fn an_object_is_written_as_kind_namespace_name() {
        let mut object = ObjectRef {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            namespace: Some("shop".into()),
            name: "cart".into(),
        };
        assert_eq!(object.to_string(), "Deployment/shop/cart");
        assert_eq!((object.group(), object.version()), ("apps", "v1"));
        object.namespace = None;
        object.api_version = "v1".into();
        assert_eq!(object.to_string(), "Deployment/cart");
        assert_eq!((object.group(), object.version()), ("", "v1"));
    }
}
