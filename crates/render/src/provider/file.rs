//! `plugin: {path: file-config, options: {configPath: DIR}}`: `<DIR>/<container name>/<cluster>-env.json`.

use std::path::PathBuf;
use std::sync::Arc;

use manifest::yaml::{self, Schema};

use super::{Ask, Options, Provider};
use crate::files::{below, resolve, shown};
use crate::node::{Layer, Node, Origin};
use crate::problem::{Place, Problem};
use crate::source::Repository;

/// Reads a JSON file for each container and cluster.
pub struct FileProvider {
    folder: PathBuf,
    optional: bool,
    secret: bool,
}

impl FileProvider {
    /// Reads the options: `configPath`, relative to kit.yaml; `optional` (default false: a missing file is an error,
    /// as in kit); `secret` (default false: the files are in the repository for all to read).
    ///
    /// # Errors
    /// Options that it does not have.
    pub fn new(
        repository: &Repository,
        options: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, Problem> {
        let mut options = Options::new(options, "file-config");
        let path = options.text("configPath")?;
        let path = options.required("configPath", path)?;
        let (optional, secret) = (options.flag("optional", false)?, options.flag("secret", false)?);
        options.done(&["configPath", "optional", "secret"])?;
        let folder = resolve(&repository.folders.root, path.as_ref());
        Ok(Self { folder, optional, secret })
    }
}

impl Provider for FileProvider {
    fn fetch(&self, ask: &Ask<'_>) -> Result<Option<Arc<Node>>, Problem> {
        let container = ask.container.get("name").map(|name| name.to_text()).unwrap_or_default();
        let cluster = &ask.merged.cluster.name;
        let relative = format!("{container}/{cluster}-env.json");
        let Some((path, _)) = below(&self.folder, &relative) else {
            return Err(Problem::new(format!(
                "the name of a container leaves {}: `{container}`",
                shown(&self.folder)
            )));
        };
        let name = shown(&path);
        let Some(text) = ask.repository.text(&path)? else {
            if self.optional {
                return Ok(None);
            }
            return Err(Problem::new(format!("container `{container}` has no values: there is no {name}"))
                .hint(format!(
                    "write `{{}}` into {name}, or set `optional: true` in the options of the plugin"
                )));
        };
        if !ask.repository.files.is_inside(&self.folder, &path).unwrap_or(false) {
            return Err(
                Problem::new("a symbolic link leaves the folder of the plugin").at(Place::of_file(name))
            );
        }
        let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
            let place = Place {
                file: name.as_str().into(),
                line: error.line() as u32,
                column: error.column() as u32,
            };
            // The library ends its message with the position.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            Problem::new(format!("not JSON: {message}")).at(place)
        })?;
        if !json.is_object() {
            return Err(Problem::new("expected a JSON object").at(Place::of_file(name)));
        }
        let file = ask.repository.parsed.table.add(&name);
        // JSON is YAML, so the spanned reader knows the lines. Where the two differ (duplicate keys), JSON decides.
        let node = match yaml::read_one(&text, &name, Schema::Core) {
            Ok(document) if document.root.to_json().is_ok_and(|read| read == json) => {
                Node::from_yaml(&document.root, file, Layer::Provider, self.secret)
            }
            _ => {
                let origin = Origin { file, line: 0, column: 0, layer: Layer::Provider, secret: self.secret };
                Node::from_json(&json, origin)
            }
        };
        Ok(Some(node))
    }
}
