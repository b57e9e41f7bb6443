//! `cargo bench -p deployer`: what a deploy to a fleet costs, beside kubectl where that is installed.
//!
//! Simulated clusters in this process, the real binary as a child: first deploy, unchanged, one image changed; with and without
//! delay; wall, CPU, peak memory, requests and bytes per cluster. `KIT_BENCH_CLUSTERS=1,10` chooses other sizes (default
//! `1,10,100,1000`), `KIT_BENCH_DELAYS=0` other delays in milliseconds (default `0,30`).
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench talks to whoever runs it"
)]

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use simcluster::{Options, Ports, Simulation};
use testkit::built_binary;

const OBJECTS: usize = 50;
/// kubectl takes a second or so per cluster; more than this many tell nothing new.
const KUBECTL_UP_TO: usize = 20;

fn main() {
    let numbers = |name: &str, default: &str| -> Vec<usize> {
        let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
        text.split(',').map(|n| n.trim().parse().unwrap()).collect()
    };
    println!("{OBJECTS} objects per cluster; requests and kB are per cluster");
    println!(
        "{:>8} {:>6} {:<30} {:>8} {:>8} {:>9} {:>9} {:>8}",
        "clusters", "delay", "what", "wall s", "cpu s", "peak MB", "requests", "kB"
    );
    for delay in numbers("KIT_BENCH_DELAYS", "0,30") {
        for clusters in numbers("KIT_BENCH_CLUSTERS", "1,10,20,100,1000") {
            fleet(clusters, Duration::from_millis(delay as u64));
        }
    }
}

fn fleet(clusters: usize, delay: Duration) {
    let names: Vec<String> = (0..clusters).map(|n| format!("c{n:04}")).collect();
    let ports = if clusters > 100 { Ports::Shared } else { Ports::Each };
    let simulation = Simulation::start(Options { ports, ..Options::named(names.iter()) }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let configs = dir.path().join("configs");
    std::fs::create_dir_all(&configs).unwrap();
    simulation.write_kubeconfigs(&configs).unwrap();
    let write = |image: &str| {
        for name in &names {
            let folder = dir.path().join("manifests").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("all.yaml"), manifests(image)).unwrap();
        }
    };
    for name in &names {
        simulation.set_latency(name, delay);
    }
    let row = |what: &str, command: Command| {
        let before: Vec<_> = names.iter().map(|name| simulation.metrics(name).unwrap()).collect();
        let cost = measure(command);
        let (mut requests, mut bytes) = (0, 0);
        for (name, before) in names.iter().zip(before) {
            let after = simulation.metrics(name).unwrap();
            requests += after.requests - before.requests;
            bytes += after.bytes_in + after.bytes_out - before.bytes_in - before.bytes_out;
        }
        println!(
            "{clusters:>8} {:>6} {what:<30} {:>8.2} {:>8.2} {:>9} {:>9.1} {:>8.1}",
            format!("{} ms", delay.as_millis()),
            cost.wall,
            cost.cpu,
            cost.peak.map_or("-".to_owned(), |kb| format!("{:.0}", kb as f64 / 1024.0)),
            requests as f64 / clusters as f64,
            bytes as f64 / 1000.0 / clusters as f64,
        );
    };
    write("1");
    row("deployer, first", deployer(dir.path()));
    row("deployer, unchanged", deployer(dir.path()));
    write("2");
    row("deployer, one image changed", deployer(dir.path()));
    let kubectl = Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if kubectl && clusters <= KUBECTL_UP_TO {
        row("kubectl in a loop, unchanged", kubectls(dir.path(), 1));
        row("kubectl, xargs -P8, unchanged", kubectls(dir.path(), 8));
    }
}

fn deployer(dir: &Path) -> Command {
    let mut command = Command::new(built_binary("deployer"));
    command.args(["--quiet", "--available-enabled", "false", "--configs"]).arg(dir.join("configs"));
    command.arg("--manifests-dir").arg(dir.join("manifests"));
    command
}

fn kubectls(dir: &Path, parallel: usize) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(dir).arg("-c").arg(format!(
        "ls manifests | xargs -P{parallel} -I C kubectl --kubeconfig configs/C.yaml apply --server-side --force-conflicts -f manifests/C"
    ));
    command
}

struct Cost {
    wall: f64,
    cpu: f64,
    /// Kilobytes; unknown for several processes.
    peak: Option<u64>,
}

fn measure(command: Command) -> Cost {
    // bash's `time` knows the CPU of all children.
    let mut timed = Command::new("bash");
    timed.arg("-c").arg("TIMEFORMAT='%U %S'; time \"$@\" >/dev/null 2>/dev/null").arg("bash");
    timed.arg(command.get_program()).args(command.get_args());
    if let Some(dir) = command.get_current_dir() {
        timed.current_dir(dir);
    }
    let started = Instant::now();
    let mut child = timed.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut peak = None;
    let single = command.get_program() != "sh";
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if single {
            peak = peak.max(peak_of_child(child.id()));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let wall = started.elapsed().as_secs_f64();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(status.success(), "{command:?} failed: {text}");
    let cpu = text.split_whitespace().filter_map(|n| n.parse::<f64>().ok()).sum();
    Cost { wall, cpu, peak }
}

/// `VmHWM` of the only child of a process.
fn peak_of_child(parent: u32) -> Option<u64> {
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let child = children.split_whitespace().next()?.to_owned();
    let status = std::fs::read_to_string(format!("/proc/{child}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Ten services of five objects each.
fn manifests(image: &str) -> String {
    let mut text = String::new();
    for n in 0..OBJECTS / 5 {
        let image = if n == 0 { image } else { "1" };
        text.push_str(&format!(
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: app-{n}, namespace: default, labels: {{app: app-{n}}}}}\nspec:\n  \
             replicas: 2\n  selector: {{matchLabels: {{app: app-{n}}}}}\n  template:\n    metadata: {{labels: {{app: app-{n}}}}}\n    spec:\n      \
             containers:\n      - name: app\n        image: registry.example.com/app-{n}:{image}\n        ports: [{{containerPort: 8080}}]\n        \
             resources: {{limits: {{cpu: 500m, memory: 256Mi}}, requests: {{cpu: 100m, memory: 128Mi}}}}\n        \
             env:\n        - {{name: MODE, value: production}}\n        - {{name: POD, valueFrom: {{fieldRef: {{fieldPath: metadata.name}}}}}}\n\
             ---\napiVersion: v1\nkind: Service\nmetadata: {{name: app-{n}, namespace: default}}\nspec: {{selector: {{app: app-{n}}}, ports: [{{port: 80, targetPort: 8080}}]}}\n\
             ---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: app-{n}, namespace: default}}\ndata: {{a: \"1\", b: \"2\", settings.yaml: \"x: 1\\ny: 2\\n\"}}\n\
             ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: app-{n}, namespace: default}}\nstringData: {{password: hunter2}}\n\
             ---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: app-{n}, namespace: default}}\nspec: {{maxUnavailable: 1, selector: {{matchLabels: {{app: app-{n}}}}}}}\n"
        ));
    }
    text
}
