//! Killed at any instant, each cluster's folder is the old one or the new one.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

mod repository;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use repository::Repository;
use testkit::program;

const CLUSTERS: usize = 6;
const RESOURCES: usize = 30;
const KILLS: u64 = 200;

fn fleet() -> Repository {
    let repository = Repository::new();
    repository.remove("clusters/eu");
    repository.remove("clusters/us");
    let mut base = "kind: ClusterNamespace\nmetadata: {name: base, branch: main}\nresources:\n".to_owned();
    for resource in 0..RESOURCES {
        base.push_str(&format!("  r{resource}: {{file: r{resource}.yaml.j2}}\n"));
        let template = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: r{resource}}}\ndata: {{generation: {{{{ generation | quote }}}}}}\n"
        );
        repository.write(&format!("resources/r{resource}.yaml.j2"), &template);
    }
    repository.write("base-cluster.yaml", &base);
    for cluster in 0..CLUSTERS {
        let text = format!("kind: ClusterNamespace\nmetadata: {{name: c{cluster}, type: prod}}\n");
        repository.write(&format!("clusters/c{cluster}/cluster.yaml"), &text);
        repository.write(&format!("generated/c{cluster}/mine.txt"), "mine");
    }
    repository
}

/// The generation that each cluster's folder is of; fails on a mixed one.
fn generations(root: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for cluster in 0..CLUSTERS {
        let folder = root.join(format!("c{cluster}"));
        let mut files: Vec<_> =
            std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(folder.join("mine.txt").exists(), "a foreign file is gone from c{cluster}");
        let manifests: Vec<String> = files
            .iter()
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| std::fs::read_to_string(path).unwrap().split('"').nth(1).unwrap_or("torn").to_owned())
            .collect();
        assert!(
            manifests.len() == RESOURCES || manifests.is_empty(),
            "c{cluster} has {} files",
            manifests.len()
        );
        let first = manifests.first().cloned().unwrap_or_default();
        assert!(
            manifests.iter().all(|generation| *generation == first),
            "c{cluster} is mixed: {manifests:?}"
        );
        found.insert(format!("c{cluster}"), first);
    }
    found
}

#[test]
fn no_folder_is_ever_mixed_however_often_the_program_is_killed() {
    let repository = fleet();
    let generated = repository.sandbox.join("generated");
    // One full run tells how long a run takes here, so that the kills fall all over it.
    repository.write("base-var.yaml", "kind: ResourceConfig\ngeneration: \"0\"\n");
    let start = std::time::Instant::now();
    repository.run(&[]).success();
    let whole = start.elapsed().as_micros() as u64;
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let (mut cut_short, mut done) = (0, 0);
    for kill in 1..=KILLS {
        repository.write("base-var.yaml", &format!("kind: ResourceConfig\ngeneration: \"{kill}\"\n"));
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let mut child = repository.sandbox.start(&program("deploymentizer"));
        std::thread::sleep(Duration::from_micros(seed % (whole + whole / 4)));
        // SIGKILL on Unix.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.success() {
            done += 1
        } else {
            cut_short += 1
        }
        generations(&generated);
    }
    assert!(cut_short > 20, "only {cut_short} of {KILLS} runs were cut short, {done} ended");
    repository.run(&[]).success();
    assert!(generations(&generated).values().all(|generation| *generation == KILLS.to_string()));
    let left: Vec<_> = std::fs::read_dir(&generated)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with('.'))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
