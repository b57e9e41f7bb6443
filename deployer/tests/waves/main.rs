//! Rollouts in waves and shards, through the program: in simulated clusters, and where three are enough in the real ones of
//! `KIT_TEST_CONFIGS` too.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic in a test's helper is a failed test

mod fast;
mod fleet;
mod gates;
mod killed;
mod planned;
mod recipes;
mod sets;
mod shards;
mod three;

use std::path::Path;
use std::time::Duration;

use simcluster::{Action, Fault, Options, Ports, Simulation, Timing};
use testkit::{Answer, Call, Sandbox, program};

/// Simulated clusters of one process, whose faults a test scripts.
struct Fleet {
    simulation: Simulation,
    sandbox: Sandbox,
    names: Vec<String>,
}

impl Fleet {
    /// Clusters of these names without manifests.
    fn new(names: &[String]) -> Self {
        let timing = Timing {
            ready_after: Duration::from_millis(20),
            crash: Duration::from_secs(1),
            ..Timing::default()
        };
        let options = Options { ports: Ports::Shared, timing, ..Options::named(names.iter()) };
        let simulation = Simulation::start(options).unwrap();
        let sandbox = Sandbox::new();
        simulation.write_kubeconfigs(&sandbox.join("configs")).unwrap();
        Self { simulation, sandbox, names: names.to_vec() }
    }

    /// `c00`, `c01`, …
    fn numbered(count: usize) -> Self {
        let names: Vec<String> = (0..count).map(|number| format!("c{number:02}")).collect();
        Self::new(&names)
    }

    /// The same manifest for every cluster.
    fn manifest(&self, text: &str) {
        for name in &self.names {
            self.sandbox.write(format!("manifests/{name}/all.yaml"), text);
        }
    }

    fn deployer(&self) -> Call {
        // What fails is to fail at once.
        program("deployer")
            .args(["--configs", "configs", "--manifests-dir", "manifests"])
            .args(["--backoff-fail-after", "1"])
            .env("AVAILABLE_HEALTH_CHECK_GRACE_PERIOD", "1")
            .env("AVAILABLE_TIMEOUT", "20")
    }

    fn run(&self, args: &[&str]) -> Answer {
        self.sandbox.run(self.deployer().args(args))
    }

    /// A cluster takes no writes any more: of none of the resources if there are any, else of nothing.
    fn refuse_writes(&self, name: &str, resources: &[&str]) {
        let refused =
            Action::Status { code: 403, retry_after: None, message: Some("no more of these".into()) };
        let fault = Fault {
            verbs: vec!["apply".into(), "patch".into()],
            resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
            ..Fault::every(refused)
        };
        self.simulation.set_faults(name, vec![fault], 1);
    }

    /// It takes them again.
    fn repair(&self, name: &str) {
        self.simulation.set_faults(name, Vec::new(), 1);
    }

    /// Commits of a new repository `clone`, each after the other.
    fn commits<const N: usize>(&self) -> [String; N] {
        std::fs::create_dir(self.sandbox.join("clone")).unwrap();
        let git = |args: &[&str]| {
            let output = self.sandbox.command("git").args(["-C", "clone"]).args(args).output().unwrap();
            assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "-q", "-b", "main"]);
        std::array::from_fn(|number| {
            git(&["commit", "-q", "--allow-empty", "-m", &number.to_string()]);
            git(&["rev-parse", "HEAD"])
        })
    }

    /// Requests that a cluster has answered.
    fn requests(&self, name: &str) -> u64 {
        self.simulation.metrics(name).unwrap().requests
    }

    fn journal(&self) -> String {
        self.sandbox.read("kit-rollout.journal")
    }
}

fn config_map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf, namespace: default}}\ndata: {{a: '{value}'}}\n"
    )
}

fn deployment(namespace: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}, labels: {{app: web}}}}\nspec:\n  \
         replicas: 1\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    \
         spec: {{containers: [{{name: web, image: '{image}'}}]}}\n"
    )
}

/// Waits until a file says something.
#[track_caller]
fn wait_for(path: &Path, text: &str) {
    let started = std::time::Instant::now();
    while !std::fs::read_to_string(path).is_ok_and(|found| found.contains(text)) {
        assert!(started.elapsed() < Duration::from_secs(30), "{} never said {text}", path.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}
