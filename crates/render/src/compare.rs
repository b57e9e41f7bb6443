//! What differs between two renderings of a fleet: one hunk once, with the clusters that have it and the source line
//! that caused it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use serde::Serialize;
use similar::{DiffTag, TextDiff};

use crate::plan::{OutputFile, Renderer};
use crate::scene::{Layers, Scene};
use crate::secrets::MASK;
use crate::source::Cluster;

/// Lines around a change.
const CONTEXT: usize = 2;

/// Comparisons that are remembered.
const COMPARED: usize = 256;

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// In both, not the same.
    Changed,
    /// Only in the new one.
    Added,
    /// Only in the old one.
    Removed,
}

/// A run of lines that differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hunk {
    /// First line in the old file, from 1.
    pub old_start: u32,
    /// First line in the new file, from 1.
    pub new_start: u32,
    /// The lines, each with ` `, `-` or `+` in front; secrets masked.
    pub lines: Vec<String>,
    /// Lines of the old file that are gone.
    #[serde(skip)]
    pub gone: Vec<u32>,
    /// Lines of the new file that are new.
    #[serde(skip)]
    pub fresh: Vec<u32>,
}

/// Where a hunk stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Where {
    /// The cluster.
    pub cluster: String,
    /// The file in its folder.
    pub file: String,
    /// The resource that the file belongs to.
    pub resource: String,
}

/// One change, wherever it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// What happens to the files.
    pub kind: Kind,
    /// The hunk, as in the first place.
    pub hunk: Hunk,
    /// All places, sorted.
    pub places: Vec<Where>,
    /// The source lines that caused it, `file:line`.
    pub causes: Vec<String>,
}

impl Group {
    /// The clusters, each once.
    pub fn clusters(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.places.iter().map(|place| place.cluster.as_str()).collect();
        names.into_iter().collect()
    }

    /// The files, each once.
    pub fn files(&self) -> Vec<&str> {
        let names: BTreeSet<&str> = self.places.iter().map(|place| place.file.as_str()).collect();
        names.into_iter().collect()
    }
}

/// Collects the differences of many clusters.
#[derive(Debug, Default)]
pub struct Groups {
    places: usize,
    /// Texts that many clusters share are compared once.
    compared: Vec<(Arc<str>, Arc<str>, Vec<Hunk>)>,
    groups: BTreeMap<(Kind, Vec<String>), Group>,
}

impl Groups {
    /// Adds what differs between the old and the new files of a cluster; whether anything does.
    pub fn add(&mut self, cluster: &str, old: &[OutputFile], new: &[OutputFile]) -> bool {
        let before = self.places;
        for file in new {
            match old.iter().find(|other| other.name == file.name) {
                Some(other) if other.text == file.text => {}
                Some(other) => {
                    for hunk in self.hunks(other, file) {
                        let changed: Vec<String> =
                            hunk.lines.iter().filter(|line| !line.starts_with(' ')).cloned().collect();
                        self.push(Kind::Changed, changed, cluster, file, hunk);
                    }
                }
                None => self.whole(Kind::Added, cluster, file),
            }
        }
        for file in old.iter().filter(|file| !new.iter().any(|other| other.name == file.name)) {
            self.whole(Kind::Removed, cluster, file);
        }
        self.places > before
    }

    fn hunks(&mut self, old: &OutputFile, new: &OutputFile) -> Vec<Hunk> {
        let same = |before: &Arc<str>, after: &Arc<str>| {
            Arc::ptr_eq(before, &old.text) && Arc::ptr_eq(after, &new.text)
        };
        let known = self.compared.iter().rev().take(COMPARED).find(|(before, after, _)| same(before, after));
        if let Some((_, _, hunks)) = known {
            return hunks.clone();
        }
        let found = hunks(old, new);
        if self.compared.len() == COMPARED {
            self.compared.clear();
        }
        self.compared.push((old.text.clone(), new.text.clone(), found.clone()));
        found
    }

    /// A file that is there on one side only. Its text tells its cluster apart, so it is grouped by its name.
    fn whole(&mut self, kind: Kind, cluster: &str, file: &OutputFile) {
        let sign = if kind == Kind::Added { '+' } else { '-' };
        let count = file.text.lines().count() as u32;
        let hunk = Hunk {
            old_start: u32::from(kind == Kind::Removed),
            new_start: u32::from(kind == Kind::Added),
            lines: (1..)
                .zip(file.text.lines())
                .map(|(at, line)| format!("{sign}{}", masked(file, at, line)))
                .collect(),
            gone: if kind == Kind::Removed { (1..=count).collect() } else { Vec::new() },
            fresh: if kind == Kind::Added { (1..=count).collect() } else { Vec::new() },
        };
        self.push(kind, vec![file.name.clone()], cluster, file, hunk);
    }

    fn push(&mut self, kind: Kind, key: Vec<String>, cluster: &str, file: &OutputFile, hunk: Hunk) {
        let group = self.groups.entry((kind, key)).or_insert_with(|| Group {
            kind,
            hunk,
            places: Vec::new(),
            causes: Vec::new(),
        });
        self.places += 1;
        group.places.push(Where {
            cluster: cluster.to_owned(),
            file: file.name.clone(),
            resource: file.resource.to_string(),
        });
    }

    /// All groups, those with the most places first.
    pub fn finish(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        for group in &mut groups {
            // The hunk is that of the first place that was added.
            group.places[1..].sort();
        }
        groups.sort_by(|a, b| b.places.len().cmp(&a.places.len()).then_with(|| a.places.cmp(&b.places)));
        groups
    }
}

fn masked(file: &OutputFile, line: u32, text: &str) -> String {
    if !file.secret_lines.contains(&line) {
        return text.to_owned();
    }
    let indent = text.len() - text.trim_start().len();
    match text.split_once(": ") {
        Some((key, _)) => format!("{key}: {MASK}"),
        None => format!("{}{MASK}", &text[..indent]),
    }
}

fn hunks(old: &OutputFile, new: &OutputFile) -> Vec<Hunk> {
    let diff = TextDiff::from_lines(&*old.text, &*new.text);
    let (before, after): (Vec<&str>, Vec<&str>) = (old.text.lines().collect(), new.text.lines().collect());
    let mut hunks = Vec::new();
    for ops in diff.grouped_ops(CONTEXT) {
        let mut hunk =
            Hunk { old_start: 0, new_start: 0, lines: Vec::new(), gone: Vec::new(), fresh: Vec::new() };
        if let Some(first) = ops.first() {
            hunk.old_start = first.old_range().start as u32 + 1;
            hunk.new_start = first.new_range().start as u32 + 1;
        }
        for op in ops {
            let (tag, old_range, new_range) = op.as_tag_tuple();
            if tag == DiffTag::Equal {
                for at in new_range {
                    let line = after.get(at).copied().unwrap_or_default();
                    hunk.lines.push(format!(" {}", masked(new, at as u32 + 1, line)));
                }
                continue;
            }
            for at in old_range {
                let line = before.get(at).copied().unwrap_or_default();
                hunk.lines.push(format!("-{}", masked(old, at as u32 + 1, line)));
                hunk.gone.push(at as u32 + 1);
            }
            for at in new_range {
                let line = after.get(at).copied().unwrap_or_default();
                hunk.lines.push(format!("+{}", masked(new, at as u32 + 1, line)));
                hunk.fresh.push(at as u32 + 1);
            }
        }
        hunks.push(hunk);
    }
    hunks
}

/// Lines of the sources that are not the same on both sides, as `(file, line)`.
pub type SourceLines = HashSet<(String, u32)>;

/// The lines of `old` and of `new` that differ.
pub fn source_lines(file: &str, old: Option<&str>, new: Option<&str>) -> (SourceLines, SourceLines) {
    let (old, new) = (old.unwrap_or_default(), new.unwrap_or_default());
    let (mut gone, mut fresh) = (SourceLines::new(), SourceLines::new());
    let diff = TextDiff::from_lines(old, new);
    for op in diff.ops() {
        let (tag, before, after) = op.as_tag_tuple();
        if tag != DiffTag::Equal {
            gone.extend(before.map(|at| (file.to_owned(), at as u32 + 1)));
            fresh.extend(after.map(|at| (file.to_owned(), at as u32 + 1)));
        }
    }
    (gone, fresh)
}

/// One side of a comparison.
pub struct Side<'a> {
    /// What renders it.
    pub renderer: &'a Renderer,
    /// Its clusters.
    pub clusters: &'a [Cluster],
    /// Its source lines that the other side does not have.
    pub lines: &'a SourceLines,
}

/// The changed source lines that make these lines of a file.
pub fn causes(side: &Side<'_>, place: &Where, lines: &[u32]) -> Vec<String> {
    let Some(cluster) = side.clusters.iter().find(|cluster| *cluster.name == *place.cluster) else {
        return Vec::new();
    };
    let Ok(layers) = Layers::of(side.renderer, cluster) else { return Vec::new() };
    let Some(definition) = layers.definition(&place.resource) else { return Vec::new() };
    let name = place.resource.as_str().into();
    let Ok(scene) = Scene::open(side.renderer, &layers.merged, &name, &definition) else { return Vec::new() };
    let Some(at) = scene.targets.iter().position(|target| target.output == place.file) else {
        return Vec::new();
    };
    let mut causes = BTreeSet::new();
    for leaf in scene.leaves() {
        let Some(origin) = side.renderer.repository().place(&leaf.node.origin) else { continue };
        let source = (origin.file.to_string(), origin.line);
        if side.lines.contains(&source) {
            let reached = scene.reach(&leaf.node);
            if reached
                .iter()
                .any(|(of, of_lines)| *of == at && lines.iter().any(|line| of_lines.contains(line)))
            {
                causes.insert(source);
            }
        }
    }
    let made_by = scene.template_lines(&scene.targets[at]);
    for line in lines {
        if let Some(Some((file, line))) = made_by.get(*line as usize - 1) {
            let source = (file.to_string(), *line);
            if side.lines.contains(&source) {
                causes.insert(source);
            }
        }
    }
    causes.into_iter().map(|(file, line)| format!("{file}:{line}")).collect()
}
