//! Image references, by the grammar of the OCI distribution specification and of `distribution/reference`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A reference to a container image: `[registry[:port]/]repository[:tag][@digest]`.
///
/// What was written is kept as it was written: no registry or tag is added, so that `to_string` gives back the input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef {
    registry: Option<String>,
    repository: String,
    tag: Option<String>,
    digest: Option<String>,
}

/// Why a text is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// Nothing there.
    #[error("an image reference must not be empty")]
    Empty,
    /// White space or a control character, a common accident of shell scripts.
    #[error("an image reference must not contain white space or control characters: `{0}`")]
    Space(String),
    /// A URL scheme in front.
    #[error("an image reference has no URL scheme, leave out `{scheme}`: `{text}`")]
    Scheme {
        /// `https://`.
        scheme: String,
        /// The reference as given.
        text: String,
    },
    /// The registry part.
    #[error("`{registry}` is not a registry host with an optional port: `{text}`")]
    Registry {
        /// The part that is wrong.
        registry: String,
        /// The reference as given.
        text: String,
    },
    /// The repository part.
    #[error(
        "`{component}` is not a repository path component (lower-case letters, digits, and single `.`, `_`, `__` or dashes between them): `{text}`"
    )]
    Repository {
        /// The component that is wrong.
        component: String,
        /// The reference as given.
        text: String,
    },
    /// Registry and repository together exceed 255 characters.
    #[error("an image name has at most 255 characters, this one has {0}")]
    TooLong(usize),
    /// The tag part.
    #[error(
        "`{tag}` is not a tag (a letter, digit or `_`, then at most 127 letters, digits, `_`, `.` or `-`): `{text}`"
    )]
    Tag {
        /// The part that is wrong.
        tag: String,
        /// The reference as given.
        text: String,
    },
    /// The digest part.
    #[error("`{digest}` is not a digest (such as `sha256:` and 64 hexadecimal digits): `{text}`")]
    Digest {
        /// The part that is wrong.
        digest: String,
        /// The reference as given.
        text: String,
    },
}

impl ImageRef {
    /// Puts a reference together from its parts.
    ///
    /// # Errors
    /// When the whole is not a reference.
    pub fn from_parts(registry: Option<&str>, repository: &str, tag: &str) -> Result<Self, ImageRefError> {
        match registry {
            Some(registry) => format!("{}/{repository}:{tag}", registry.trim_end_matches('/')).parse(),
            None => format!("{repository}:{tag}").parse(),
        }
    }

    /// The registry with its port, if one was written.
    pub fn registry(&self) -> Option<&str> {
        self.registry.as_deref()
    }

    /// The repository without the registry: `shop/cart`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if one was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest with its algorithm, if one was written.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// Registry and repository, the part that two versions of one image share.
    pub fn name(&self) -> String {
        match &self.registry {
            Some(registry) => format!("{registry}/{}", self.repository),
            None => self.repository.clone(),
        }
    }

    /// The same image with this digest.
    ///
    /// # Errors
    /// When `digest` is not one.
    pub fn with_digest(&self, digest: &str) -> Result<Self, ImageRefError> {
        let mut pinned = self.clone();
        pinned.digest = None;
        format!("{pinned}@{digest}").parse()
    }
}

/// Whether the first component of a name is a registry: it has a dot or a port, is `localhost`, or has upper case
/// letters (which a repository cannot have). The rule of `distribution/reference`.
fn names_a_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':'])
        || first.starts_with('[')
        || first.chars().any(|c| c.is_ascii_uppercase())
}

fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) => {
                let valid = !address.is_empty() && address.chars().all(|c| c.is_ascii_hexdigit() || c == ':');
                return valid && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
            }
            None => return false,
        },
        None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.split('.').all(label) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port > 0)
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let mut rest = text;
    loop {
        let after = rest.trim_start_matches(alphanumeric);
        if after.len() == rest.len() {
            return false;
        }
        if after.is_empty() {
            return true;
        }
        let next = after.trim_start_matches(['.', '_', '-']);
        let separator = &after[..after.len() - next.len()];
        if !matches!(separator, "." | "_" | "__") && !separator.chars().all(|c| c == '-')
            || separator.is_empty()
        {
            return false;
        }
        rest = next;
    }
}

fn is_tag(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 128
        && chars.next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

fn is_digest(text: &str) -> bool {
    let Some((algorithm, hex)) = text.split_once(':') else { return false };
    let algorithm_part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphabetic()) && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    let length = match algorithm {
        "sha256" => hex.len() == 64,
        "sha384" => hex.len() == 96,
        "sha512" => hex.len() == 128,
        _ => hex.len() >= 32,
    };
    algorithm.split(['+', '.', '-', '_']).all(algorithm_part)
        && length
        && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c))
}

impl FromStr for ImageRef {
    type Err = ImageRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ImageRefError::Empty);
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(ImageRefError::Space(text.escape_debug().to_string()));
        }
        if let Some((scheme, _)) = text.split_once("://") {
            return Err(ImageRefError::Scheme { scheme: format!("{scheme}://"), text: text.to_owned() });
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) if is_digest(digest) => (rest, Some(digest.to_owned())),
            Some((_, digest)) => {
                return Err(ImageRefError::Digest { digest: digest.to_owned(), text: text.to_owned() });
            }
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to the registry's port.
        let last = rest.rfind('/').map_or(0, |at| at + 1);
        let (name, tag) = match rest[last..].find(':') {
            Some(at) => (&rest[..last + at], Some(&rest[last + at + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            return Err(ImageRefError::Tag { tag: tag.to_owned(), text: text.to_owned() });
        }
        let (registry, repository) = match name.split_once('/') {
            Some((first, repository)) if names_a_registry(first) => (Some(first), repository),
            _ => (None, name),
        };
        if let Some(registry) = registry.filter(|registry| !is_registry(registry)) {
            return Err(ImageRefError::Registry { registry: registry.to_owned(), text: text.to_owned() });
        }
        if let Some(component) = repository.split('/').find(|component| !is_component(component)) {
            return Err(ImageRefError::Repository { component: component.to_owned(), text: text.to_owned() });
        }
        if name.len() > 255 {
            return Err(ImageRefError::TooLong(name.len()));
        }
        Ok(Self {
            registry: registry.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ImageRef> for String {
    fn from(image: ImageRef) -> Self {
        image.to_string()
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(registry) = &self.registry {
            write!(f, "{registry}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Makes a branch name safe for use in a tag: every run of characters that a tag cannot hold becomes one `-`, and the
/// result does not start with `.` or `-` nor exceed `max` characters.
///
/// kit put the branch into the tag as it was, so that `feature/x` gave an image that no registry accepts.
pub fn tag_safe(branch: &str, max: usize) -> String {
    let mut safe = String::with_capacity(branch.len());
    for c in branch.chars() {
        let allowed = c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        match allowed {
            true => safe.push(c),
            false if safe.ends_with('-') => {}
            false => safe.push('-'),
        }
    }
    let trimmed = safe.trim_start_matches(['.', '-']);
    trimmed.chars().take(max).collect::<String>().trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parts(text: &str) -> (Option<String>, String, Option<String>, Option<String>) {
        let image: ImageRef = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(image.to_string(), text);
        (image.registry, image.repository, image.tag, image.digest)
    }

    #[test]
    fn every_part_of_a_reference_is_found() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parts("nginx"), (None, "nginx".into(), None, None));
        assert_eq!(parts("library/nginx:1.27"), (None, "library/nginx".into(), some("1.27"), None));
        assert_eq!(parts("localhost/a"), (some("localhost"), "a".into(), None, None));
        assert_eq!(parts("localhost:5000/a:b"), (some("localhost:5000"), "a".into(), some("b"), None));
        assert_eq!(parts("[::1]:5000/a"), (some("[::1]:5000"), "a".into(), None, None));
        assert_eq!(parts("Host/a"), (some("Host"), "a".into(), None, None));
        assert_eq!(
            parts(&format!("r.io:443/o/a__b.c--d:T_1@{DIGEST}")),
            (some("r.io:443"), "o/a__b.c--d".into(), some("T_1"), some(DIGEST))
        );
    }

    #[test]
    fn what_is_not_a_reference_is_refused() {
        for bad in [
            "",
            ":tag",
            "a:",
            "a:-b",
            "A",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a_-b",
            "a___b",
            "-a",
            "a.",
            "r.io:/a",
            "r.io:0/a",
            "r.io:70000/a",
            "r..io/a",
            "-r.io/a",
            "a b",
            "a\n",
            "https://r.io/a:b",
            "a@sha256:12",
            "a@sha256",
            "a:x/y",
            "a:b:c",
        ] {
            assert!(bad.parse::<ImageRef>().is_err(), "{bad:?}");
        }
        assert!(format!("a:{}", "t".repeat(129)).parse::<ImageRef>().is_err());
        assert!("a/".repeat(150).trim_end_matches('/').parse::<ImageRef>().is_err());
    }

    #[test]
    fn a_branch_becomes_safe_for_a_tag() {
        assert_eq!(tag_safe("main", 128), "main");
        assert_eq!(tag_safe("feature/new//thing", 128), "feature-new-thing");
        assert_eq!(tag_safe("../../kit", 128), "kit");
        assert_eq!(tag_safe("größe#1", 128), "gr-e-1");
        assert_eq!(tag_safe("abc-def", 4), "abc");
    }

    #[test]
    fn a_digest_pins_and_replaces() {
        let image: ImageRef = format!("r.io/a:b@{DIGEST}").parse().unwrap();
        let other = DIGEST.replace('e', "f");
        assert_eq!(image.with_digest(&other).unwrap().to_string(), format!("r.io/a:b@{other}"));
        assert!(image.with_digest("nope").is_err());
    }
}
