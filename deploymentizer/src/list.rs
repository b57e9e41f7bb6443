//! `list`: clusters, resources, images, who runs what.

use std::collections::BTreeMap;

use cli::{Exit, Failure, Format, Printer};
use render::external::Environment;
use render::listing::{ListedCluster, list as listed};

use crate::args::Args;
use crate::command::Listed;
use crate::counted::counted;
use crate::problems::partial;
use crate::run::{load, select};

/// Answers `list [clusters|resources|images]`.
pub(crate) fn list(
    args: &Args,
    environment: Environment,
    what: Listed,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (renderer, selection) = load(args, environment)?;
    let (clusters, mut problems) = select(&renderer, &selection)?;
    let mut all = Vec::new();
    for outcome in renderer.in_parallel(&clusters, |cluster| listed(&renderer, cluster)) {
        match outcome {
            Ok(cluster) => all.push(cluster),
            Err(problem) => problems.push(problem),
        }
    }
    match printer.format() {
        Format::Json | Format::Ndjson => printer.json(&serde_json::json!({ "version": 1, "clusters": all })),
        Format::Text => printer.result(&table(&match what {
            Listed::Clusters => by_cluster(&all),
            Listed::Resources => by_resource(&all),
            Listed::Images => by_image(&all),
        })),
    }
    Ok(partial(problems, printer))
}

fn row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn by_cluster(all: &[ListedCluster]) -> Vec<Vec<String>> {
    let mut rows = vec![row(&["CLUSTER", "TYPE", "BRANCH", "RESOURCES", "STATE"])];
    for cluster in all {
        let off = cluster.resources.iter().filter(|resource| resource.disabled).count();
        let count = match off {
            0 => cluster.resources.len().to_string(),
            off => format!("{} ({off} off)", cluster.resources.len()),
        };
        let state = if cluster.disabled { "off" } else { "on" };
        let branch = cluster.branch.as_deref().unwrap_or("-");
        rows.push(row(&[&cluster.name, &cluster.kind, branch, &count, state]));
    }
    rows
}

/// Running resources: a cluster or resource that is off runs nothing.
fn by_resource(all: &[ListedCluster]) -> Vec<Vec<String>> {
    let mut resources: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for cluster in all.iter().filter(|cluster| !cluster.disabled) {
        for resource in cluster.resources.iter().filter(|resource| !resource.disabled) {
            let key = (resource.name.as_str(), resource.source.as_deref().unwrap_or("-"));
            resources.entry(key).or_default().push(&cluster.name);
        }
    }
    let mut rows = vec![row(&["RESOURCE", "TEMPLATE", "RUNS IN"])];
    rows.extend(
        resources
            .iter()
            .map(|((name, source), clusters)| row(&[name, source, &counted(clusters, "cluster")])),
    );
    rows
}

fn by_image(all: &[ListedCluster]) -> Vec<Vec<String>> {
    let mut images: BTreeMap<(String, &str), Vec<&str>> = BTreeMap::new();
    for cluster in all.iter().filter(|cluster| !cluster.disabled) {
        for resource in cluster.resources.iter().filter(|resource| !resource.disabled) {
            for image in &resource.images {
                let name = match (&image.image, &image.image_tag, &image.branch) {
                    (Some(name), _, _) => name.clone(),
                    (None, Some(tag), Some(branch)) => format!("{tag} on {branch}: no image"),
                    (None, tag, _) => format!("{}: no branch", tag.as_deref().unwrap_or("-")),
                };
                let clusters = images.entry((name, &resource.name)).or_default();
                if clusters.last() != Some(&cluster.name.as_str()) {
                    clusters.push(&cluster.name);
                }
            }
        }
    }
    let mut rows = vec![row(&["IMAGE", "RESOURCE", "RUNS IN"])];
    rows.extend(
        images
            .iter()
            .map(|((name, resource), clusters)| row(&[name, resource, &counted(clusters, "cluster")])),
    );
    rows
}

/// Columns as wide as their widest cell, the last one open.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            text.push_str(cell);
            if at + 1 < columns {
                text.push_str(&" ".repeat(widths[at] - cell.chars().count() + 2));
            }
        }
        text.push('\n');
    }
    text
}
