//! `kit.yaml`, the file at the root of a manifests repository: where its parts are.
//!
//! The keys are kit's. Paths are kept as written, relative to the folder of `kit.yaml` (the original resolved them
//! against the working directory, which made a run depend on where it was started); [`KitConfig::rooted`] joins them.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// The name of the file.
pub const FILE_NAME: &str = "kit.yaml";

/// The file that `--conf` means, which may also be its folder.
pub fn file(conf: &Path) -> PathBuf {
    if conf.is_dir() { conf.join(FILE_NAME) } else { conf.to_owned() }
}

/// The folder of the file that `--conf` means: the one that paths in it are relative to.
pub fn folder(conf: &Path) -> &Path {
    if conf.is_dir() {
        return conf;
    }
    conf.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A complete `kit.yaml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KitConfig {
    /// Folder of `base-cluster.yaml` and `base-var.yaml`.
    pub base: PathBuf,
    /// Folder into which one folder for each cluster is written.
    pub output: PathBuf,
    /// Folder of the clusters, one folder each.
    pub clusters: PathBuf,
    /// Folder of the templates.
    pub resources: PathBuf,
    /// Folder of `<type>-var.yaml`.
    pub types: PathBuf,
    /// Folder and key of the image files.
    pub images: ImagesConfig,
    /// Where values from outside come from, if anywhere.
    pub plugin: Option<PluginConfig>,
}

/// The part of `kit.yaml` that `image-deployer` needs: it works in a repository whose other sections are incomplete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagesConfig {
    /// Folder of the image files, as `<org>/<app>/<branch>.yaml`.
    pub path: PathBuf,
    /// Key in an image file whose value is the image reference. `image` unless said otherwise.
    pub property: String,
}

/// `plugin:` of `kit.yaml`: a source of values from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PluginConfig {
    /// Which source: `file-config`, `env-api-client-v3`, `exec`.
    pub path: String,
    /// Its options, as that source defines them.
    pub options: serde_json::Map<String, serde_json::Value>,
}

/// Why a `kit.yaml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not YAML, an unknown key, or a value of the wrong type.
    #[error("{}{}: {message}", path.display(), location.map(|(line, column)| format!(":{line}:{column}")).unwrap_or_default())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line and column, counted from 1, where the parser knows them.
        location: Option<(usize, usize)>,
        /// What is wrong.
        message: String,
    },
    /// A section that this program needs is not there.
    #[error("{}: `{section}` is missing: expected `{section}: {{path: <folder>}}`", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// `base`, `images`, …
        section: &'static str,
    },
    /// `path:` of a section is empty.
    #[error("{}: `{section}.path` is empty: expected a folder", path.display())]
    EmptyPath {
        /// The file.
        path: PathBuf,
        /// `base`, `images`, …
        section: &'static str,
    },
}

impl ConfigError {
    /// A command or an edit that gets the user on.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Some(
                "name the file with `--conf FILE`, or make a repository with `deploymentizer init`"
                    .to_owned(),
            ),
            Self::Missing { section, .. } => {
                Some(format!("add `{section}: {{path: ./{}}}`", default_folder(section)))
            }
            Self::Read { .. } | Self::Invalid { .. } | Self::EmptyPath { .. } => None,
        }
    }
}

fn default_folder(section: &str) -> &str {
    match section {
        "base" => ".",
        "cluster" => "clusters",
        "output" => "generated",
        section => section,
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    base: Option<RawSection>,
    output: Option<RawSection>,
    cluster: Option<RawSection>,
    resources: Option<RawSection>,
    #[serde(rename = "type")]
    types: Option<RawSection>,
    images: Option<RawImages>,
    plugin: Option<RawPlugin>,
    // kit's own repositories carry it; no version of kit ever read it.
    #[serde(rename = "version")]
    _version: Option<serde_yaml::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `path`")]
struct RawSection {
    #[serde(deserialize_with = "text")]
    path: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `path` and `property`")]
struct RawImages {
    #[serde(deserialize_with = "text")]
    path: String,
    property: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a map with `path` and `options`")]
struct RawPlugin {
    #[serde(deserialize_with = "text")]
    path: String,
    options: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Text that is there: the library reads a key without a value as the text `null`.
fn text<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let found = Option::<String>::deserialize(deserializer)?;
    found.ok_or_else(|| serde::de::Error::custom("expected text, found nothing"))
}

impl RawConfig {
    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        // An empty file is a map without keys; the sections that are missing then get named.
        let parsed: Result<Option<Self>, _> =
            serde_yaml::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        match parsed {
            Ok(raw) => Ok(raw.unwrap_or(Self {
                base: None,
                output: None,
                cluster: None,
                resources: None,
                types: None,
                images: None,
                plugin: None,
                _version: None,
            })),
            Err(error) => {
                let message = error.to_string();
                Err(ConfigError::Invalid {
                    path: path.to_owned(),
                    location: error.location().map(|at| (at.line(), at.column())),
                    // The position leads the message; the library says it once more at the end.
                    message: match message.rfind(" at line ") {
                        Some(at) => message[..at].to_owned(),
                        None => message,
                    },
                })
            }
        }
    }
}

fn required(path: &Path, section: &'static str, found: Option<String>) -> Result<PathBuf, ConfigError> {
    match found {
        None => Err(ConfigError::Missing { path: path.to_owned(), section }),
        Some(folder) if folder.is_empty() => Err(ConfigError::EmptyPath { path: path.to_owned(), section }),
        Some(folder) => Ok(PathBuf::from(folder)),
    }
}

impl ImagesConfig {
    /// Reads the `images` section out of the text of a `kit.yaml`; `path` is its name in messages.
    ///
    /// # Errors
    /// When the file is not valid, or has no such section.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        Self::validate(RawConfig::parse(text, path)?.images, path)
    }

    fn validate(raw: Option<RawImages>, path: &Path) -> Result<Self, ConfigError> {
        let (folder, property) = raw.map_or((None, None), |raw| (Some(raw.path), raw.property));
        Ok(Self {
            path: required(path, "images", folder)?,
            property: property.filter(|key| !key.is_empty()).unwrap_or_else(|| "image".to_owned()),
        })
    }
}

impl KitConfig {
    /// Reads and validates a `kit.yaml`.
    ///
    /// # Errors
    /// When the file cannot be read or is not valid.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Validates the text of a `kit.yaml`; `path` is its name in messages.
    ///
    /// # Errors
    /// When the text is not YAML, or a section is missing, unknown or of the wrong type.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw = RawConfig::parse(text, path)?;
        let section = |name, raw: Option<RawSection>| required(path, name, raw.map(|raw| raw.path));
        Ok(Self {
            base: section("base", raw.base)?,
            output: section("output", raw.output)?,
            clusters: section("cluster", raw.cluster)?,
            resources: section("resources", raw.resources)?,
            types: section("type", raw.types)?,
            images: ImagesConfig::validate(raw.images, path)?,
            plugin: raw
                .plugin
                .map(|raw| PluginConfig { path: raw.path, options: raw.options.unwrap_or_default() }),
        })
    }

    /// The same configuration with every folder below `root`; a folder that was written absolute stays what it is.
    #[must_use]
    pub fn rooted(&self, root: &Path) -> Self {
        let under = |folder: &Path| {
            // `root/./base` and `root/.` read badly in messages.
            root.join(folder.components().filter(|part| part.as_os_str() != ".").collect::<PathBuf>())
        };
        Self {
            base: under(&self.base),
            output: under(&self.output),
            clusters: under(&self.clusters),
            resources: under(&self.resources),
            types: under(&self.types),
            images: ImagesConfig { path: under(&self.images.path), property: self.images.property.clone() },
            plugin: self.plugin.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPLETE: &str = "\
version: 1
base: {path: .}
output: {path: ./generated}
cluster: {path: ./clusters}
resources: {path: ./resources}
type: {path: ./type}
images: {path: ./images, property: image}
plugin: {path: file-config, options: {configPath: ./config}}
";

    fn error(text: &str) -> String {
        KitConfig::parse(text, Path::new("kit.yaml")).unwrap_err().to_string()
    }

    #[test]
    fn paths_are_below_the_folder_of_the_file() {
        let config = KitConfig::parse(COMPLETE, Path::new("kit.yaml")).unwrap().rooted(Path::new("repo"));
        assert_eq!(config.base, Path::new("repo"));
        assert_eq!(config.output, Path::new("repo/generated"));
        assert_eq!(config.images.path, Path::new("repo/images"));
        assert_eq!(config.plugin.unwrap().options["configPath"], "./config");
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        assert_eq!(
            error(&format!("{COMPLETE}imagse: {{path: x}}\n")),
            "kit.yaml:9:1: unknown field `imagse`, expected one of `base`, `output`, `cluster`, `resources`, `type`, `images`, `plugin`, `version`"
        );
        assert_eq!(
            error("images: {path: x, propert: y}"),
            "kit.yaml:1:19: images: unknown field `propert`, expected `path` or `property`"
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(error(""), "kit.yaml: `base` is missing: expected `base: {path: <folder>}`");
        // The library says where the key is or where its value should be, as its features are.
        let nothing = error("base:\n  path:\n");
        assert!(
            nothing.starts_with("kit.yaml:2:") && nothing.ends_with("expected text, found nothing"),
            "{nothing}"
        );
        assert_eq!(error("base: {path: ''}"), "kit.yaml: `base.path` is empty: expected a folder");
    }

    #[test]
    fn broken_yaml_is_an_error_with_a_position() {
        let message = error("base: {path: .}\noutput: {path: x\ncluster: y\n");
        assert!(message.starts_with("kit.yaml:3:"), "{message}");
        assert_eq!(
            error("base: {path: .}\noutput: [x]\n"),
            "kit.yaml:2:9: output: invalid type: sequence, expected a map with `path`"
        );
    }

    #[test]
    fn images_alone_serve_image_deployer() {
        let images = ImagesConfig::parse("images: {path: img}", Path::new("kit.yaml")).unwrap();
        assert_eq!((images.path.as_path(), images.property.as_str()), (Path::new("img"), "image"));
    }
}
