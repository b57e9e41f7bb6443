//! `explain` and `reach` on a generated fleet, held to what a full render shows.
//!
//! A random value is asked about, the line that the answer names is changed, and everything is rendered again: exactly
//! the predicted lines may differ. `KIT_CASES=500` tries more values.
#![allow(clippy::unwrap_used)]

#[path = "../benches/fleet/generate.rs"]
#[allow(dead_code)]
mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use generate::{Dialect, Fleet};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use render::explain::{Explanation, Question, explain};
use render::files::{DiskFiles, Overlay};
use render::plan::{Options, Renderer};
use render::reach::{Spot, reach};
use render::source::{Repository, Selection};
use testkit::Sandbox;

/// Text by cluster and file.
type Output = BTreeMap<(String, String), Arc<str>>;
/// Cluster, file and line.
type Lines = BTreeSet<(String, String, u32)>;

const CLUSTERS: usize = 3;
const RESOURCES: usize = 4;

fn cases() -> u32 {
    std::env::var("KIT_CASES").ok().and_then(|count| count.parse().ok()).unwrap_or(6)
}

/// A fleet with one value in each line, so that a line is a value.
fn fleet(dialect: Dialect) -> Sandbox {
    let sandbox = Sandbox::new();
    Fleet { clusters: CLUSTERS, resources: RESOURCES, dialect }.write(sandbox.path());
    let mut files = vec!["base-cluster.yaml".to_owned()];
    files.extend((0..CLUSTERS).map(|cluster| format!("clusters/c{cluster:04}/cluster.yaml")));
    for file in files {
        let mut text = String::new();
        for line in sandbox.read(&file).lines() {
            let indent = " ".repeat(line.len() - line.trim_start().len());
            let pair = line.trim_start().strip_prefix("- {name: ").and_then(|rest| rest.strip_suffix('}'));
            let service =
                line.trim_start().strip_prefix("svc: {name: ").and_then(|rest| rest.strip_suffix('}'));
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once(", value: ")) {
                text.push_str(&format!("{indent}- name: {name}\n{indent}  value: {value}\n"));
            } else if let Some((name, port)) = service.and_then(|pair| pair.split_once(", port: ")) {
                text.push_str(&format!("{indent}svc:\n{indent}  name: {name}\n{indent}  port: {port}\n"));
            } else {
                text.push_str(&format!("{line}\n"));
            }
        }
        sandbox.write(&file, text);
    }
    sandbox
}

fn open(root: &Path, changes: BTreeMap<PathBuf, Option<String>>) -> Renderer {
    let files = Arc::new(Overlay::new(Arc::new(DiskFiles), changes));
    let repository = Repository::open(files, &root.join("kit.yaml"), None).unwrap();
    Renderer::new(repository, Options::default()).unwrap()
}

fn rendered(renderer: &Renderer) -> Output {
    let (clusters, problems) = renderer.repository().clusters(&Selection::default());
    assert!(problems.is_empty(), "{problems:?}");
    let mut output = Output::new();
    for outcome in renderer.in_parallel(&clusters, |cluster| renderer.render(cluster).unwrap()) {
        for file in outcome.files {
            output.insert((outcome.cluster.to_string(), file.name), file.text);
        }
    }
    output
}

/// The lines that are not the same; all files have as many lines in both.
fn differences(before: &Output, after: &Output) -> Lines {
    assert_eq!(before.len(), after.len());
    let mut found = Lines::new();
    for (((cluster, file), old), new) in before.iter().zip(after.values()) {
        assert_eq!(old.lines().count(), new.lines().count());
        let lines = (1..).zip(old.lines().zip(new.lines())).filter(|(_, (old, new))| old != new);
        found.extend(lines.map(|(line, _)| (cluster.clone(), file.clone(), line)));
    }
    found
}

/// Names decide where values meet, and these decide which files are read.
fn is_structure(path: &str) -> bool {
    let last = path.rsplit('.').next().unwrap_or(path);
    matches!(last, "name" | "branch" | "file" | "image_tag" | "primary" | "resourceName" | "kind" | "type")
}

/// The file with the value of a line replaced by another one of its kind.
fn changed(text: &str, line: usize, value: &str) -> Option<String> {
    let new = match value.parse::<u32>() {
        Ok(number) => (number + 1).to_string(),
        Err(_) => format!("{value} or not"),
    };
    let lines = text.split_inclusive('\n').enumerate().map(|(at, old)| {
        let at_end = old.trim_end().trim_end_matches(['"', '}']);
        match at + 1 == line && at_end.ends_with(value) {
            true => format!("{}{new}{}", &at_end[..at_end.len() - value.len()], &old[at_end.len()..]),
            false => old.to_owned(),
        }
    });
    let changed: String = lines.collect();
    (changed != text).then_some(changed)
}

fn predicted(cluster: &str, explanation: &Explanation) -> Lines {
    let files = explanation.written_to.iter();
    files
        .flat_map(|written| {
            written.lines.iter().map(|line| (cluster.to_owned(), written.file.clone(), *line))
        })
        .collect()
}

fn a_fleet_is_as_predicted(dialect: Dialect) {
    let sandbox = fleet(dialect);
    let root = sandbox.path();
    let renderer = open(root, BTreeMap::new());
    let before = rendered(&renderer);
    let (clusters, _) = renderer.repository().clusters(&Selection::default());
    let mut runner =
        TestRunner::new(Config { cases: cases(), failure_persistence: None, ..Config::default() });
    let tried = std::cell::Cell::new(0);
    let strategy = (0..CLUSTERS, 0..RESOURCES, any::<prop::sample::Index>());
    runner
        .run(&strategy, |(cluster, resource, value)| {
            let cluster = &clusters[cluster];
            let resource = format!("svc-{resource:03}");
            let all = explain(&renderer, cluster, &resource, &Question::Everything).unwrap().values;
            let all: Vec<&Explanation> = all.iter().filter(|value| !is_structure(&value.path)).collect();
            let asked = all[value.index(all.len())];
            let Some(place) = &asked.winner.place else { return Ok(()) };
            let (file, line) = place.rsplit_once(':').unwrap();
            let text = std::fs::read_to_string(file).unwrap();
            let line: u32 = line.parse().unwrap();
            let Some(new) = changed(&text, line as usize, &asked.winner.value) else { return Ok(()) };
            let changes = BTreeMap::from([(PathBuf::from(file), Some(new))]);
            let differing = differences(&before, &rendered(&open(root, changes)));
            // This resource of this cluster changes as `explain` says, byte for byte elsewhere as it was.
            let own_files: Vec<&str> = asked.written_to.iter().map(|written| written.file.as_str()).collect();
            let own = differing
                .iter()
                .filter(|(of, file, _)| *of == *cluster.name && own_files.contains(&file.as_str()))
                .cloned()
                .collect::<Lines>();
            prop_assert_eq!(own, predicted(&cluster.name, asked), "{:?}", asked);
            // And the whole fleet as `reach` says.
            let spot = Spot::new(renderer.repository(), file.to_owned(), &text, Some(line));
            let mut reached = Lines::new();
            for other in &clusters {
                for found in reach(&renderer, other, &spot).unwrap() {
                    reached.extend(
                        found.lines.iter().map(|line| (found.cluster.clone(), found.file.clone(), *line)),
                    );
                }
            }
            prop_assert_eq!(&differing, &reached, "{}", place);
            tried.set(tried.get() + 1);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(tried.get() * 2 > cases(), "only {} of {} values could be changed", tried.get(), cases());
}

#[test]
fn changing_a_value_of_a_generated_fleet_changes_what_explain_and_reach_predict() {
    a_fleet_is_as_predicted(Dialect::Jinja);
}

#[test]
fn and_so_it_does_with_mustache_templates() {
    a_fleet_is_as_predicted(Dialect::Mustache);
}

#[test]
fn changing_a_template_line_changes_what_reach_predicts() {
    for dialect in [Dialect::Jinja, Dialect::Mustache] {
        let sandbox = fleet(dialect);
        let renderer = open(sandbox.path(), BTreeMap::new());
        let before = rendered(&renderer);
        let (clusters, _) = renderer.repository().clusters(&Selection::default());
        for name in ["svc-000", "base-svc"] {
            let found = renderer.repository().files.list(&renderer.repository().folders.resources).unwrap();
            let entry = found.iter().find(|entry| entry.name.starts_with(name)).unwrap();
            let path = renderer.repository().folders.resources.join(&entry.name);
            let text = std::fs::read_to_string(&path).unwrap();
            for line in (1..=text.lines().count()).step_by(4) {
                // A comment behind a line changes it and what it means does not matter.
                let old = text.lines().nth(line - 1).unwrap();
                if old.trim_start().starts_with("{%")
                    || old.trim_start().starts_with("{{#")
                    || old.trim_start().starts_with("{{/")
                {
                    continue;
                }
                let new: String = (1..)
                    .zip(text.split_inclusive('\n'))
                    .map(
                        |(at, old)| {
                            if at == line { format!("{} # x\n", old.trim_end()) } else { old.to_owned() }
                        },
                    )
                    .collect();
                let after = rendered(&open(sandbox.path(), BTreeMap::from([(path.clone(), Some(new))])));
                let file = render::files::shown(&path);
                let spot = Spot::new(renderer.repository(), file, &text, Some(line as u32));
                let mut reached = Lines::new();
                for cluster in &clusters {
                    for found in reach(&renderer, cluster, &spot).unwrap() {
                        reached.extend(
                            found.lines.iter().map(|line| (found.cluster.clone(), found.file.clone(), *line)),
                        );
                    }
                }
                assert_eq!(differences(&before, &after), reached, "{name}:{line} {old}");
            }
        }
    }
}
