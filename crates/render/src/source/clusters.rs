//! Finding the clusters.

use std::path::Path;

use manifest::ClusterName;
use rayon::prelude::*;

use super::{Cluster, Repository, Selection, did_you_mean};
use crate::files::shown;
use crate::node::Layer;
use crate::problem::{Place, Problem};

impl Repository {
    /// Finds the clusters that `selection` selects, sorted by name. Reads the `cluster.yaml` of others only as far as
    /// it takes to know that they are others.
    ///
    /// # Errors
    /// Everything that is wrong with these files, and a selection that matches nothing.
    pub fn clusters(&self, selection: &Selection) -> (Vec<Cluster>, Vec<Problem>) {
        let entries = match self.files.list(&self.folders.clusters) {
            Ok(entries) => entries,
            Err(error) => {
                let problem = Problem::unreadable(&shown(&self.folders.clusters), &error)
                    .hint("set `cluster: {path: …}` in kit.yaml to the folder of the clusters");
                return (Vec::new(), vec![problem]);
            }
        };
        let folders: Vec<_> =
            entries.iter().filter(|entry| entry.is_dir && !entry.name.starts_with('.')).collect();
        let read: Vec<Result<Option<Cluster>, Problem>> = folders
            .par_iter()
            .map(|entry| self.cluster(&self.folders.clusters.join(&entry.name), entry.is_link, selection))
            .collect();
        let (mut clusters, mut problems) = (Vec::new(), Vec::new());
        for result in read {
            match result {
                Ok(Some(cluster)) => clusters.push(cluster),
                Ok(None) => {}
                Err(problem) => problems.push(problem),
            }
        }
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        let mut unique: Vec<Cluster> = Vec::with_capacity(clusters.len());
        for group in clusters.chunk_by(|a, b| a.name == b.name) {
            match group {
                [cluster] => unique.push(cluster.clone()),
                [first, others @ ..] => problems.extend(others.iter().map(|other| {
                    Problem::new(format!(
                        "two clusters are named `{}`: the other one is {}",
                        other.name, first.file
                    ))
                    .at(Place::of_file(other.file.clone()))
                    .hint("give each cluster its own `metadata.name`")
                    .in_cluster(&other.name)
                })),
                [] => {}
            }
        }
        if problems.is_empty() {
            problems.extend(self.unmatched(selection, &unique));
        }
        (unique, problems)
    }

    fn unmatched(&self, selection: &Selection, found: &[Cluster]) -> Vec<Problem> {
        let names = selection.names.iter().filter(|(_, glob)| !found.iter().any(|c| glob.is_match(&*c.name)));
        let types = selection.types.iter().filter(|(_, glob)| !found.iter().any(|c| glob.is_match(&*c.kind)));
        let mut problems = Vec::new();
        let known = || {
            let (all, _) = self.clusters(&Selection::default());
            all
        };
        for (pattern, _) in names {
            let all = known();
            let problem = Problem::new(format!("no cluster matches `--cluster-name {pattern}`"));
            problems.push(did_you_mean(problem, pattern, all.iter().map(|cluster| &*cluster.name)));
        }
        for (pattern, _) in types {
            let problem = Problem::new(format!("no cluster matches `--cluster-type {pattern}`"));
            problems.push(did_you_mean(problem, pattern, self.types.keys().map(String::as_str)));
        }
        problems
    }

    fn cluster(
        &self,
        folder: &Path,
        is_link: bool,
        selection: &Selection,
    ) -> Result<Option<Cluster>, Problem> {
        let path = folder.join("cluster.yaml");
        let file = shown(&path);
        if is_link && !self.files.is_inside(&self.folders.root, folder).unwrap_or(false) {
            return Err(
                Problem::new("a symbolic link leaves the repository").at(Place::of_file(shown(folder)))
            );
        }
        let Some(text) = self.layer_text(&path)? else { return Ok(None) };
        if !selection.may_match(&text) {
            return Ok(None);
        }
        let node = self.parse(&text, &file, Layer::Cluster)?;
        let at_file = || Place::of_file(file.as_str());
        if node.as_map().is_none() {
            let problem = Problem::new(format!("expected a map with `metadata`, found {}", node.kind()));
            return Err(problem.at(at_file()));
        }
        let metadata = |key: &str| node.get("metadata").and_then(|metadata| metadata.get(key));
        let Some(name) = metadata("name").filter(|name| !name.is_null()) else {
            return Err(Problem::new("`metadata.name` is missing").at(at_file()));
        };
        if name.as_map().is_some() || name.as_list().is_some() {
            let problem = Problem::new(format!("`metadata.name` must be text, found {}", name.kind()));
            return Err(problem.at(self.place(&name.origin).unwrap_or_else(at_file)).excerpt_of(&text));
        }
        let text_name = name.to_text();
        if !selection.has_name(&text_name) {
            return Ok(None);
        }
        text_name.parse::<ClusterName>().map_err(|error| {
            Problem::new(error.to_string())
                .at(self.place(&name.origin).unwrap_or_else(at_file))
                .excerpt_of(&text)
                .hint("the name of a cluster is the name of its folder in the generated tree")
        })?;
        match node.get("kind").and_then(|kind| kind.as_text()) {
            Some(kind) if &**kind == "ClusterNamespace" => {}
            _ => return Err(Problem::new("`kind` must be `ClusterNamespace`").at(at_file())),
        }
        let Some(kind) = metadata("type").filter(|kind| !kind.is_null()) else {
            return Err(Problem::new(format!("`metadata.type` of cluster `{text_name}` is missing"))
                .at(at_file())
                .hint(format!("add `type: NAME`, one of: {}", self.known_types())));
        };
        let kind_text = kind.to_text();
        if !selection.has_type(&kind_text) {
            return Ok(None);
        }
        if !self.types.contains_key(&kind_text) {
            let problem =
                Problem::new(format!("cluster `{text_name}` has a type that no file defines: `{kind_text}`"))
                    .at(self.place(&kind.origin).unwrap_or_else(at_file))
                    .excerpt_of(&text)
                    .cause(format!(
                        "types are the `metadata.type` of {}/*-var.yaml: {}",
                        shown(&self.folders.types),
                        self.known_types()
                    ));
            return Err(did_you_mean(problem, &kind_text, self.types.keys().map(String::as_str)));
        }
        Ok(Some(Cluster {
            name: text_name.into(),
            kind: kind_text.into(),
            folder: folder.to_owned(),
            file: file.into(),
            definition: node,
        }))
    }

    fn known_types(&self) -> String {
        if self.types.is_empty() {
            return "none".to_owned();
        }
        self.types.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
    }
}
