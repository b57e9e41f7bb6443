//! `deployer clusters`: which clusters the kubeconfigs name.

use cli::{Exit, Failure, Format, Printer};
use serde::Serialize;

use crate::args::ClustersArgs;
use crate::configs;

/// Lists them; with `--manifests-dir` says which of them have manifests.
pub(crate) fn clusters(args: &ClustersArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output.format(), args.output.quiet, true);
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        name: String,
        server: String,
        origin: String,
        namespace: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        manifests: Option<bool>,
    }
    let lines: Vec<Line> = configs::targets(&args.reach)?
        .iter()
        .map(|target| Line {
            name: target.name.to_string(),
            server: target.server().to_owned(),
            origin: target.origin(),
            namespace: target.namespace().to_owned(),
            manifests: args.manifests_dir.as_ref().map(|dir| dir.join(target.name.as_str()).is_dir()),
        })
        .collect();
    if printer.format() == Format::Text {
        let width = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        for line in &lines {
            let missing = if line.manifests == Some(false) { "  (no manifests)" } else { "" };
            printer.result(&format!("{:width$}  {}  {}{missing}\n", line.name, line.server, line.origin));
        }
    } else {
        printer.json(&serde_json::json!({"version": 1, "clusters": lines}));
    }
    Ok(Exit::Done)
}
