//! `cargo bench -p deploymentizer`: the bars of the renderer, on a generated repository on tmpfs, best of 5.
//!
//! C clusters × R resources, each a Deployment of two containers with 20 variables each and a Service; every tenth
//! resource is overridden in each cluster, and every file has a value of its cluster. Beside our own times stand the
//! floor (one thread that only writes the same files) and, if `kustomize` or `kubectl` is installed, `kustomize build`
//! of an equal tree. Arguments: `[C] [R]` measures that size only.

// A benchmark prints, and ends where it cannot go on.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "fleet/generate.rs"]
mod generate;
#[path = "fleet/measure.rs"]
mod measure;

use std::path::Path;
use std::process::Command;

use generate::{Dialect, Fleet};
use measure::{Cost, best_of, run};

const RUNS: usize = 5;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = match numbers.as_slice() {
        [clusters, resources, ..] => vec![(*clusters, *resources)],
        [clusters] => vec![(*clusters, 50)],
        [] => vec![(100, 50), (1000, 50)],
    };
    let place = if Path::new("/dev/shm").is_dir() { "/dev/shm".into() } else { std::env::temp_dir() };
    let dir = tempfile::Builder::new().prefix("kit-bench-").tempdir_in(&place).unwrap();
    println!("on {}, {} cores, best of {RUNS}", place.display(), cores());
    for (clusters, resources) in sizes {
        for dialect in [Dialect::Jinja, Dialect::Mustache] {
            measure_fleet(dir.path(), &Fleet { clusters, resources, dialect });
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn measure_fleet(dir: &Path, fleet: &Fleet) {
    let root = dir.join("repository");
    fleet.write(&root);
    let output = root.join("generated");
    let program = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deploymentizer"));
        command.arg("--conf").arg(root.join("kit.yaml")).env_clear();
        command
    };
    println!("\n{}x{}, {}", fleet.clusters, fleet.resources, fleet.dialect.name());
    let first = best_of(RUNS, || {
        let _ = std::fs::remove_dir_all(&output);
        run(&mut program())
    });
    let files = measure::files(&output);
    let bytes: usize = files.iter().map(|(_, content)| content.len()).sum();
    line("first render", &first, &format!("{} files, {:.1} MB", files.len(), bytes as f64 / 1e6));
    line("unchanged", &best_of(RUNS, || run(&mut program())), "");
    let one = format!("c{:04}", fleet.clusters / 2);
    line("one cluster", &best_of(RUNS, || run(program().args(["--cluster-name", &one]))), "");
    let floor = best_of(RUNS, || measure::floor(&files, &dir.join("floor")));
    let _ = std::fs::remove_dir_all(dir.join("floor"));
    line("floor", &floor, &format!("first render is {:.1}x", first.wall / floor.wall));
    if fleet.dialect == Dialect::Jinja && fleet.clusters <= 100 {
        kustomize(dir, fleet);
    }
    std::fs::remove_dir_all(&root).unwrap();
}

fn line(what: &str, cost: &Cost, note: &str) {
    println!("  {what:<14} {:8.3} s wall {:8.2} s CPU {:7.1} MB  {note}", cost.wall, cost.cpu, cost.peak_mb);
}

/// All overlays one after the other, as a CI job would; once, for it takes its time.
fn kustomize(dir: &Path, fleet: &Fleet) {
    let has = |program: &str, argument: &str| {
        Command::new(program).arg(argument).output().is_ok_and(|output| output.status.success())
    };
    let command: &[&str] = if has("kustomize", "version") {
        &["kustomize", "build"]
    } else if has("kubectl", "version=--client") || has("kubectl", "kustomize") || has("kubectl", "--help") {
        &["kubectl", "kustomize"]
    } else {
        println!("  kustomize      not installed");
        return;
    };
    let root = dir.join("kustomize");
    fleet.write_kustomize(&root);
    let mut total = Cost::default();
    for cluster in 0..fleet.clusters {
        let overlay = root.join(format!("overlays/c{cluster:04}"));
        let cost = run(Command::new(command[0]).args(&command[1..]).arg(overlay));
        total.wall += cost.wall;
        total.cpu += cost.cpu;
        total.peak_mb = total.peak_mb.max(cost.peak_mb);
    }
    line(&command.join(" "), &total, "one process for each cluster, once");
    std::fs::remove_dir_all(&root).unwrap();
}
