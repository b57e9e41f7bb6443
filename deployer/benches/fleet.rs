//! `cargo bench -p deployer`: what a deploy to a fleet costs, beside kubectl where that is installed.
//!
//! Simulated clusters in a process of their own, the real binary as a child: first deploy, unchanged, one image changed; with and
//! without delay; wall, CPU, peak memory, requests and bytes per cluster; then the bars that this is held to. It fails where one is
//! missed.
//!
//! | variable | default | means |
//! |---|---|---|
//! | `KIT_BENCH_CLUSTERS` | `1,10,20,100,1000` | sizes of the fleet |
//! | `KIT_BENCH_DELAYS` | `0,30` | delay of every answer in milliseconds |
//! | `KIT_BENCH_OBJECTS` | `50` | objects per cluster |
//! | `KUBECTL` | `kubectl` | which kubectl; it is run for up to 20 clusters |
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    missing_docs,
    reason = "a bench talks to whoever runs it"
)]

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::{built_binary, workspace_root};

/// kubectl takes seconds per cluster; more than this many tell nothing new.
const KUBECTL_UP_TO: usize = 20;
/// Deployments, Services, ConfigMaps, Secrets, PodDisruptionBudgets.
const KINDS: f64 = 5.0;
/// How often what changes nothing is run: a run of 20 clusters is short beside what else a machine does. Medians count.
const UNCHANGED_RUNS: usize = 5;
/// Ticks per second of the times in `/proc`: what Linux shows to programs, whatever its own clock is.
const TICKS: f64 = 100.0;

fn main() -> ExitCode {
    // As a test (`cargo test --benches`) it only shows that it runs.
    let quick = !std::env::args().any(|arg| arg == "--bench");
    let numbers = |name: &str, default: &str| -> Vec<usize> {
        let text = std::env::var(name).unwrap_or_else(|_| default.to_owned());
        text.split(',').map(|n| n.trim().parse().unwrap()).collect()
    };
    let objects = numbers("KIT_BENCH_OBJECTS", "50")[0];
    build_simulator();
    println!("{objects} objects per cluster; requests and kB are per cluster");
    println!(
        "{:>8} {:>6}  {:<28} {:>8} {:>8} {:>8} {:>9} {:>8}",
        "clusters", "delay", "what", "wall s", "cpu s", "peak MB", "requests", "kB"
    );
    let mut missed = false;
    for delay in numbers("KIT_BENCH_DELAYS", if quick { "0" } else { "0,30" }) {
        for clusters in numbers("KIT_BENCH_CLUSTERS", if quick { "2" } else { "1,10,20,100,1000" }) {
            for bar in fleet(clusters, delay, objects, !quick) {
                println!("{:>8} {:>6}  {bar}", "", "");
                missed |= !quick && !bar.holds();
            }
        }
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// A figure and what it may be at most.
struct Bar {
    what: String,
    is: f64,
    at_most: f64,
}

impl Bar {
    fn holds(&self) -> bool {
        self.is <= self.at_most
    }
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.holds() { "holds" } else { "MISSED" };
        write!(f, "bar {verdict}: {} is {:.3}, at most {:.3}", self.what, self.is, self.at_most)
    }
}

/// All rows of one size and delay, and the bars that it decides.
fn fleet(clusters: usize, delay: usize, objects: usize, kubectl: bool) -> Vec<Bar> {
    let dir = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(&dir.path().join("configs"), clusters, delay);
    let names = simulator.names();
    let write = |image: &str| {
        for name in &names {
            let folder = dir.path().join("manifests").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("all.yaml"), manifests(image, objects)).unwrap();
        }
    };
    let row = |what: &str, runs: usize, command: &dyn Fn() -> Command| {
        simulator.settle();
        let before = simulator.traffic();
        let cost = median((0..runs).map(|_| measure(command())).collect());
        let after = simulator.traffic();
        let per_cluster = |total: u64| total as f64 / (clusters * runs) as f64;
        let requests = per_cluster(after.0 - before.0);
        println!(
            "{clusters:>8} {:>6}  {what:<28} {:>8.2} {:>8.2} {:>8} {requests:>9.1} {:>8.1}",
            format!("{delay} ms"),
            cost.wall,
            cost.cpu,
            cost.peak.map_or("-".to_owned(), |kb| format!("{:.0}", kb as f64 / 1024.0)),
            per_cluster(after.1 - before.1) / 1000.0,
        );
        (cost, requests)
    };
    write("1");
    let deployer = || deployer(dir.path());
    let (first, _) = row("deployer, first", 1, &deployer);
    let runs = if clusters <= KUBECTL_UP_TO { UNCHANGED_RUNS } else { 1 };
    let (unchanged, requests) = row("deployer, unchanged", runs, &deployer);
    let mut bars =
        vec![Bar { what: "requests per unchanged cluster".into(), is: requests, at_most: KINDS + 3.0 }];
    write("2");
    row("deployer, one image changed", 1, &deployer);
    if clusters >= 1000 {
        let peak = first.peak.max(unchanged.peak).unwrap_or_default() as f64 / 1024.0;
        bars.push(Bar { what: "peak MB".into(), is: peak, at_most: 300.0 });
    }
    let program = std::env::var_os("KUBECTL").unwrap_or_else(|| "kubectl".into());
    let there =
        Command::new(&program).args(["version", "--client"]).output().is_ok_and(|it| it.status.success());
    if kubectl && there && clusters <= KUBECTL_UP_TO {
        // The first one fills kubectl's own cache of the kinds of a cluster, which it keeps between runs.
        measure(kubectls(dir.path(), &program, 8));
        let (by_one, _) = row("kubectl, loop, unchanged", 1, &|| kubectls(dir.path(), &program, 1));
        let (by_many, _) = row("kubectl, xargs -P8, unchanged", 1, &|| kubectls(dir.path(), &program, 8));
        if clusters == 20 && delay == 30 {
            let cpu = by_one.cpu.min(by_many.cpu);
            bars.push(Bar {
                what: "unchanged, CPU beside kubectl's".into(),
                is: unchanged.cpu / cpu,
                at_most: 0.1,
            });
            bars.push(Bar {
                what: "unchanged, wall beside kubectl's loop".into(),
                is: unchanged.wall / by_one.wall,
                at_most: 0.05,
            });
            println!(
                "{:>8} {:>6}  wall beside kubectl with xargs -P8: {:.3}",
                "",
                "",
                unchanged.wall / by_many.wall
            );
        }
    }
    bars
}

fn deployer(dir: &Path) -> Command {
    let mut command = Command::new(built_binary("deployer"));
    command.args(["--quiet", "--available-enabled", "false", "--configs"]).arg(dir.join("configs"));
    command.arg("--manifests-dir").arg(dir.join("manifests"));
    command
}

fn kubectls(dir: &Path, program: &std::ffi::OsStr, parallel: usize) -> Command {
    let mut command = Command::new("sh");
    command.current_dir(dir).env("HOME", dir).env("KUBECTL", program).arg("-c").arg(format!(
        "ls manifests | xargs -P{parallel} -I C \"$KUBECTL\" --kubeconfig configs/C.yaml apply --server-side --force-conflicts -f manifests/C"
    ));
    command
}

struct Cost {
    /// Seconds.
    wall: f64,
    /// Seconds of all cores, of the process and its own.
    cpu: f64,
    /// Kilobytes of the process; unknown for a shell, whose programs use them.
    peak: Option<u64>,
}

/// The median of each figure; the peak is the highest.
fn median(costs: Vec<Cost>) -> Cost {
    let middle = |figure: fn(&Cost) -> f64| {
        let mut figures: Vec<f64> = costs.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    let peak = costs.iter().filter_map(|cost| cost.peak).max();
    Cost { wall: middle(|cost| cost.wall), cpu: middle(|cost| cost.cpu), peak }
}

fn measure(mut command: Command) -> Cost {
    let alone = command.get_program() != "sh";
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let (cpu, started) = (cpu_of_children(), Instant::now());
    let mut child = command.spawn().unwrap();
    let pid = child.id();
    let mut peak = None;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if alone {
            peak = peak.max(peak_of(pid));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let wall = started.elapsed().as_secs_f64();
    let cpu = cpu_of_children() - cpu;
    if !status.success() {
        let mut said = String::new();
        let _ = std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said);
        panic!("{command:?} failed: {said}");
    }
    Cost { wall, cpu, peak }
}

/// `VmHWM` of a process, in kilobytes.
fn peak_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Seconds of CPU of all children that have been waited for, and of theirs (proc_pid_stat(5), `cutime` and `cstime`).
fn cpu_of_children() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    [13, 14].map(|at| fields[at].parse::<f64>().unwrap()).iter().sum::<f64>() / TICKS
}

/// The simulated clusters, in a process of their own: what they cost is not ours.
struct Simulator {
    child: Child,
    control: String,
    agent: ureq::Agent,
}

impl Simulator {
    fn start(configs: &Path, clusters: usize, delay: usize) -> Self {
        let mut command = Command::new(built_binary("simcluster"));
        command.arg("--dir").arg(configs).args(["--clusters", &clusters.to_string()]);
        command.args(["--latency", &format!("{delay}ms"), "--until-stdin-closes"]);
        command.args(["--control-port", "0"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let control = lines.find_map(|line| line.strip_prefix("control ").map(str::to_owned)).unwrap();
        Self { child, control, agent: ureq::Agent::new_with_defaults() }
    }

    fn metrics(&self) -> serde_json::Map<String, Value> {
        let text = self
            .agent
            .get(format!("{}/metrics", self.control))
            .call()
            .unwrap()
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.metrics().keys().cloned().collect()
    }

    /// Requests, and bytes in and out, of all clusters.
    fn traffic(&self) -> (u64, u64) {
        let sum = |fields: &[&str]| -> u64 {
            let all = self.metrics();
            let of =
                |cluster: &Value| fields.iter().filter_map(|field| cluster[*field].as_u64()).sum::<u64>();
            all.values().map(of).sum()
        };
        (sum(&["requests"]), sum(&["bytes_in", "bytes_out"]))
    }

    /// Waits until the controllers have nothing left to do.
    fn settle(&self) {
        let size = || -> Vec<Value> {
            self.metrics()
                .into_values()
                .map(|one| serde_json::json!([one["objects"], one["object_bytes"]]))
                .collect()
        };
        let mut before = size();
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(600));
            let now = size();
            if now == before {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds the binaries of this package for its benches, and not those of others.
fn build_simulator() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    let profile = if built_binary("deployer").parent().unwrap().ends_with("debug") { "dev" } else { "bench" };
    cargo.current_dir(workspace_root()).args([
        "build",
        "--quiet",
        "--bin",
        "simcluster",
        "--profile",
        profile,
    ]);
    cargo.arg("--target-dir").arg(built_binary("deployer").ancestors().nth(2).unwrap());
    assert!(cargo.status().unwrap().success(), "`simcluster` could not be built");
}

/// Services of five objects each.
fn manifests(image: &str, objects: usize) -> String {
    let mut text = String::new();
    for n in 0..objects / 5 {
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
