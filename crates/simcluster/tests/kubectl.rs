//! kubectl against a simulated cluster. Skipped, visibly, where kubectl is not installed.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a panic is a failed test; a skipped one says so"
)]

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use simcluster::{Options, Simulation, Timing};

struct Kubectl {
    _simulation: Simulation,
    folder: tempfile::TempDir,
}

impl Kubectl {
    fn new() -> Option<Kubectl> {
        if Command::new("kubectl")
            .args(["version", "--client"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_err()
        {
            eprintln!("skipped: no kubectl");
            return None;
        }
        let mut options = Options::named(["one"]);
        options.timing = Timing { ready_after: Duration::from_millis(50), ..Timing::default() };
        let simulation = Simulation::start(options).unwrap();
        let folder = tempfile::tempdir().unwrap();
        simulation.write_kubeconfigs(folder.path()).unwrap();
        Some(Kubectl { _simulation: simulation, folder })
    }

    /// Runs kubectl with a manifest on standard input; returns whether it succeeded and all that it wrote.
    fn run(&self, args: &str, input: &str) -> (bool, String) {
        let mut child = Command::new("kubectl")
            .args(args.split_whitespace())
            .env("KUBECONFIG", self.folder.path().join("one.yaml"))
            .env("HOME", self.folder.path())
            .env_remove("HTTPS_PROXY")
            .env_remove("https_proxy")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let out = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        (out.status.success(), text)
    }

    fn ok(&self, args: &str, input: &str) -> String {
        let (ok, text) = self.run(args, input);
        assert!(ok, "kubectl {args}: {text}");
        text
    }
}

fn manifest(image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec: {{containers: [{{name: c, image: \"{image}\"}}]}}\n"
    )
}

#[test]
fn kubectl_applies_waits_reads_changes_and_deletes() {
    let Some(k) = Kubectl::new() else { return };
    assert_eq!(
        k.ok("apply --server-side -f -", &manifest("nginx:1")),
        "deployment.apps/web serverside-applied\n"
    );
    assert!(k.ok("rollout status deployment/web --timeout=90s", "").contains("successfully rolled out"));
    k.ok("wait --for=condition=Available deployment/web --timeout=90s", "");
    let table = k.ok("get deployment web", "");
    assert!(table.contains("READY") && table.contains("2/2"), "{table}");
    assert!(k.ok("get pods -l app=web -o wide", "").contains("Running"));
    assert!(k.ok("logs deployment/web", "").contains("listening on :8080"));
    let (same, _) = k.run("diff --server-side -f -", &manifest("nginx:1"));
    assert!(same, "no difference");
    let (_, diff) = k.run("diff --server-side -f -", &manifest("nginx:2"));
    assert!(diff.contains("+      - image: nginx:2") || diff.contains("+        image: nginx:2"), "{diff}");
    assert_eq!(k.ok("scale deployment/web --replicas=3", ""), "deployment.apps/web scaled\n");
    k.ok("label deployment/web team=a", "");
    k.ok("annotate deployment/web note=b", "");
    k.ok("patch deployment/web -p {\"spec\":{\"minReadySeconds\":0,\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"nginx:3\"}]}}}}", "");
    assert!(k.ok("rollout status deployment/web --timeout=90s", "").contains("successfully rolled out"));
    let json = k.ok("get deployment web -o json", "");
    assert!(json.contains("nginx:3") && json.contains("\"team\": \"a\"") && json.contains("\"note\": \"b\""));
    assert!(k.ok("rollout history deployment/web", "").contains('2'));
    assert!(k.ok("get events", "").contains("ScalingReplicaSet"));
    assert!(k.ok("api-resources", "").contains("deployments"));
    assert_eq!(k.ok("delete deployment web --timeout=90s", "").trim(), "deployment.apps \"web\" deleted");
}

#[test]
fn kubectl_applies_on_the_client_side_too() {
    let Some(k) = Kubectl::new() else { return };
    assert_eq!(k.ok("apply -f -", &manifest("nginx:1")), "deployment.apps/web created\n");
    assert_eq!(k.ok("apply -f -", &manifest("nginx:1")), "deployment.apps/web unchanged\n");
    assert_eq!(k.ok("apply -f -", &manifest("nginx:2")), "deployment.apps/web configured\n");
    assert_eq!(
        k.ok("create -f -", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: b}\n"),
        "configmap/c created\n"
    );
    let (ok, text) = k.run("apply -f -", &manifest("nginx:1").replace("replicas", "replicsa"));
    assert!(!ok && text.contains("unknown field \"spec.replicsa\""), "{text}");
}
