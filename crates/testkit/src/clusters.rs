//! Clusters to test against: simulated ones, or the real ones that `KIT_TEST_CONFIGS` names.
//!
//! A test asks for clusters by the names that it wants and gets a folder of kubeconfigs. It never learns which kind it
//! got, so that the same suite runs against both. Because real clusters are shared, a test makes its own namespaces with
//! [`fresh_name`] and removes them through [`Clusters::remove_namespace_at_end`].

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::run::built_binary;

/// The variable that names a folder of kubeconfigs of real clusters.
pub const REAL_CLUSTERS: &str = "KIT_TEST_CONFIGS";

/// Running clusters and the folder of their kubeconfigs. Simulated ones end with the value.
#[derive(Debug)]
pub struct Clusters {
    dir: tempfile::TempDir,
    simulator: Option<Child>,
    namespaces: Vec<(String, String)>,
}

impl Clusters {
    /// Clusters with these names.
    pub fn start(names: &[&str]) -> Self {
        Self::start_with(names, &[])
    }

    /// Clusters with these names; `flags` are further flags of `simcluster` and mean nothing to real clusters.
    pub fn start_with(names: &[&str], flags: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("kit-test-clusters-").tempdir().unwrap();
        let simulator = match std::env::var_os(REAL_CLUSTERS) {
            Some(folder) => {
                borrow_real(Path::new(&folder), dir.path(), names);
                None
            }
            None => Some(simulate(dir.path(), names, flags)),
        };
        Self { dir, simulator, namespaces: Vec::new() }
    }

    /// Whether these are real clusters: for a wait that is longer there, never for another expectation.
    pub fn are_real(&self) -> bool {
        self.simulator.is_none()
    }

    /// The folder of the kubeconfigs, `<name>.yaml` each.
    pub fn configs(&self) -> &Path {
        self.dir.path()
    }

    /// The kubeconfig of one cluster.
    pub fn config(&self, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}.yaml"))
    }

    /// Asks for a namespace to be deleted when the test is over; real clusters are shared.
    pub fn remove_namespace_at_end(&mut self, cluster: &str, namespace: &str) {
        self.namespaces.push((cluster.to_owned(), namespace.to_owned()));
    }
}

impl Drop for Clusters {
    fn drop(&mut self) {
        if let Some(simulator) = &mut self.simulator {
            let _ = simulator.kill();
            let _ = simulator.wait();
            return;
        }
        for (cluster, namespace) in &self.namespaces {
            let config = self.config(cluster);
            let kubectl = Command::new("kubectl")
                .arg("--kubeconfig")
                .arg(config)
                .args(["delete", "namespace", namespace, "--wait=false", "--ignore-not-found"])
                .stdout(Stdio::null())
                .status();
            if !kubectl.is_ok_and(|status| status.success()) {
                eprintln!("namespace `{namespace}` of cluster `{cluster}` was not removed");
            }
        }
    }
}

/// A name that no other test of this or another process uses.
pub fn fresh_name(prefix: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    format!("{prefix}-{:x}-{:x}-{count}", clock & 0xffff_ffff, std::process::id())
}

fn simulate(dir: &Path, names: &[&str], flags: &[&str]) -> Child {
    let mut command = Command::new(built_binary("simcluster"));
    command.arg("--dir").arg(dir).args(flags).arg("--until-stdin-closes");
    for name in names {
        command.args(["--name", name]);
    }
    // The pipe closes when this process ends, however it ends: no simulator is left behind.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("ready"), "simcluster did not start: {line:?}");
    child
}

/// Copies kubeconfigs of real clusters, in the order of their file names, under the names that the test wants.
fn borrow_real(folder: &Path, dir: &Path, names: &[&str]) {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{REAL_CLUSTERS}={}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(
        files.len() >= names.len(),
        "{REAL_CLUSTERS} has {} clusters, the test needs {}",
        files.len(),
        names.len()
    );
    for (file, name) in files.iter().zip(names) {
        let text = std::fs::read_to_string(file).unwrap();
        // kit's kubeconfigs carry their cluster's name in a top-level `metadata.name`; the test gives its own.
        let mut lines: Vec<String> = Vec::new();
        let mut skipping = false;
        for line in text.lines() {
            skipping = line.starts_with("metadata:") || skipping && line.starts_with([' ', '\t']);
            if !skipping {
                lines.push(line.to_owned());
            }
        }
        lines.push(format!("metadata:\n  name: {name}\n"));
        std::fs::write(dir.join(format!("{name}.yaml")), lines.join("\n")).unwrap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_borrowed_kubeconfig_carries_the_name_that_the_test_wants() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        std::fs::create_dir_all(&from).unwrap();
        std::fs::create_dir_all(&to).unwrap();
        std::fs::write(from.join("c1.yaml"), "kind: Config\nmetadata:\n  name: c1\nclusters: []\n").unwrap();
        borrow_real(&from, &to, &["eu-1"]);
        let text = std::fs::read_to_string(to.join("eu-1.yaml")).unwrap();
        assert_eq!(text, "kind: Config\nclusters: []\nmetadata:\n  name: eu-1\n");
    }
}
