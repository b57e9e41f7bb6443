//! Two deployers at once, one with an older and one with a newer commit, on the same clusters: it never ends on the older one, and
//! never on a mixture.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::{Call, Clusters, Sandbox, fresh_name, program};

use crate::guard::{History, history};

/// How many runs; 200 take some minutes.
const RUNS: &str = "KIT_RACE_RUNS";
const CLUSTERS: [&str; 2] = ["eu-1", "us-1"];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

/// The manifests of a commit: objects that all commits have, and one that only this one has.
fn manifests(sandbox: &Sandbox, namespace: &str, commit: usize, objects: u64) {
    for cluster in CLUSTERS {
        let names = (0..objects).map(|number| format!("c{number}")).chain([format!("only-{commit}")]);
        let text: String = names
            .map(|name| {
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata: {{commit: '{commit}'}}\n---\n")
            })
            .collect();
        sandbox.write(format!("{namespace}/{commit}/{cluster}/all.yaml"), text);
        sandbox.write(
            format!("{namespace}/ns/{cluster}/ns.yaml"),
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"),
        );
    }
}

fn deploy(clusters: &Clusters, namespace: &str, commit: usize, sha: &str) -> Call {
    program("deployer")
        .arg("--configs")
        .arg(clusters.configs())
        .args(["-n", &format!("{namespace}/ns"), "-m", &format!("{namespace}/{commit}")])
        .args(["--resource-set", "race", "--inventory-namespace", namespace])
        .args(["--sha", sha, "--repo", "clone", "--prune", "--prune-budget", "100%", "--lease-wait", "60"])
}

/// Name and commit of each object of the namespace.
fn found(clusters: &Clusters, cluster: &str, namespace: &str) -> Vec<(String, String)> {
    let output = Command::new("kubectl")
        .arg("--kubeconfig")
        .arg(clusters.config(cluster))
        .args(["-n", namespace, "get", "configmaps", "-o", "json"])
        .output()
        .unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let pairs = list["items"].as_array().unwrap().iter();
    pairs
        .map(|object| (text(&object["metadata"]["name"]), text(&object["data"]["commit"])))
        .filter(|(name, _)| name.starts_with('c') || name.starts_with("only-"))
        .collect()
}

#[test]
fn of_two_deployers_at_once_the_newer_commit_stays_and_stays_whole() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let runs: u64 = std::env::var(RUNS).ok().and_then(|runs| runs.parse().ok()).unwrap_or(4);
    let mut clusters = Clusters::start(&CLUSTERS);
    let sandbox = Sandbox::new();
    let History { commits, .. } = history(&sandbox, 3);
    let (mut refused, mut both) = (0, 0);
    for seed in 1..=runs {
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let namespace = fresh_name("race");
        for cluster in CLUSTERS {
            clusters.remove_namespace_at_end(cluster, &namespace);
        }
        let objects = 1 + random.below(8);
        (0..3).for_each(|commit| manifests(&sandbox, &namespace, commit, objects));
        // Half of the time something older than both is there already.
        if random.below(2) == 0 {
            sandbox.run(deploy(&clusters, &namespace, 0, &commits[0])).success();
        }
        let mut order = [1, 2];
        if random.below(2) == 0 {
            order.reverse();
        }
        let first = sandbox.start(&deploy(&clusters, &namespace, order[0], &commits[order[0]]));
        std::thread::sleep(Duration::from_millis(random.below(250)));
        let second = sandbox.start(&deploy(&clusters, &namespace, order[1], &commits[order[1]]));
        for (commit, child) in order.into_iter().zip([first, second]) {
            let output = child.wait_with_output().unwrap();
            let code = output.status.code().unwrap();
            let good = if commit == 2 { code == 0 } else { matches!(code, 0 | 4 | 5) };
            assert!(
                good,
                "seed {seed}, commit {commit}: {code}\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            refused += u32::from(commit == 1 && code != 0);
            both += u32::from(commit == 1 && code == 0);
        }
        let names = (0..objects).map(|number| format!("c{number}")).chain(["only-2".to_owned()]);
        let expected: Vec<(String, String)> = names.map(|name| (name, "2".to_owned())).collect();
        for cluster in CLUSTERS {
            assert_eq!(found(&clusters, cluster, &namespace), expected, "seed {seed}, cluster {cluster}");
        }
    }
    eprintln!("{runs} runs: the older commit was refused in {refused} and came first in {both}");
}
