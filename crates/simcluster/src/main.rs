//! Serves simulated Kubernetes clusters on loopback until it is told to stop.

use std::io::{Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use simcluster::{Options, Ports, Simulation, Timing};

/// Serve simulated Kubernetes clusters on loopback.
///
/// This is a simulator: it answers the Kubernetes API over TLS and its controllers make workloads ready or fail, but
/// nothing runs and nothing is kept. It writes one kubeconfig per cluster, prints `ready FOLDER`, and serves until
/// SIGTERM, SIGINT, or (with --until-stdin-closes) the end of its standard input.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 120)]
struct Args {
    /// Folder that gets NAME.yaml for every cluster.
    #[arg(long, env = "SIMCLUSTER_DIR", value_name = "FOLDER")]
    dir: PathBuf,
    /// Name of a cluster; may be repeated.
    #[arg(
        long,
        env = "SIMCLUSTER_NAME",
        value_name = "NAME",
        value_delimiter = ',',
        conflicts_with = "clusters"
    )]
    name: Vec<String>,
    /// Number of clusters, named c1, c2 and so on (c0001 with 1000 or more).
    #[arg(long, env = "SIMCLUSTER_CLUSTERS", value_name = "N", default_value_t = 1)]
    clusters: usize,
    /// How long a pod, a load balancer or a CRD takes to become ready.
    #[arg(long, env = "SIMCLUSTER_READY_AFTER", value_name = "TIME", default_value = "300ms", value_parser = duration)]
    ready_after: Duration,
    /// How long a pod that behaves `slow` takes to become ready.
    #[arg(long, env = "SIMCLUSTER_SLOW", value_name = "TIME", default_value = "8s", value_parser = duration)]
    slow: Duration,
    /// How long the pod of a Job runs.
    #[arg(long, env = "SIMCLUSTER_JOB", value_name = "TIME", default_value = "500ms", value_parser = duration)]
    job: Duration,
    /// Unit of crash loops and image pull retries.
    #[arg(long, env = "SIMCLUSTER_CRASH", value_name = "TIME", default_value = "2s", value_parser = duration)]
    crash: Duration,
    /// Delay every answer.
    #[arg(long, env = "SIMCLUSTER_LATENCY", value_name = "TIME", default_value = "0ms", value_parser = duration)]
    latency: Duration,
    /// Nodes per cluster.
    #[arg(long, env = "SIMCLUSTER_NODES", value_name = "N", default_value_t = 2)]
    nodes: usize,
    /// Port of the first cluster, the next one for the second and so on; 0 takes free ones.
    #[arg(long, env = "SIMCLUSTER_PORT", value_name = "PORT", default_value_t = 0)]
    port: u16,
    /// Serve all clusters on one port, as https://127.0.0.1:PORT/clusters/NAME.
    #[arg(long, env = "SIMCLUSTER_SHARED_PORT")]
    shared_port: bool,
    /// Changes that a cluster remembers; watches from before get 410 Gone.
    #[arg(long, env = "SIMCLUSTER_HISTORY", value_name = "N", default_value_t = 1000)]
    history: usize,
    /// Do not run controllers: objects stay as they are written.
    #[arg(long, env = "SIMCLUSTER_NO_CONTROLLERS")]
    no_controllers: bool,
    /// Serve plain HTTP for scripts on this loopback port: GET /metrics, POST /clusters/NAME/faults and others (see /).
    #[arg(long, env = "SIMCLUSTER_CONTROL_PORT", value_name = "PORT")]
    control_port: Option<u16>,
    /// Seed of names, uids and random faults.
    #[arg(long, env = "SIMCLUSTER_SEED", value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Threads of the event loop.
    #[arg(long, env = "SIMCLUSTER_THREADS", value_name = "N", default_value_t = 2)]
    threads: usize,
    /// Stop when standard input ends, so that a test that dies takes the clusters with it.
    #[arg(long, env = "SIMCLUSTER_UNTIL_STDIN_CLOSES")]
    until_stdin_closes: bool,
}

/// `300ms`, `2s`, `1m`.
fn duration(text: &str) -> Result<Duration, String> {
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let number: f64 =
        number.parse().map_err(|_unparsed| format!("expected a time such as 300ms or 2s: {text}"))?;
    let seconds = match unit {
        "ms" => number / 1000.0,
        "s" => number,
        "m" => number * 60.0,
        _ => return Err(format!("expected a unit of ms, s or m: {text}")),
    };
    Duration::try_from_secs_f64(seconds).map_err(|e| e.to_string())
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            let mut line = format!("error: {e}");
            let mut cause = e.source();
            while let Some(c) = cause {
                line.push_str(&format!("\n  caused by: {c}"));
                cause = c.source();
            }
            let _ = writeln!(std::io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let names = if args.name.is_empty() {
        let width = if args.clusters >= 1000 { 4 } else { 0 };
        (1..=args.clusters).map(|i| format!("c{i:0width$}")).collect()
    } else {
        args.name
    };
    let timing = Timing {
        ready_after: args.ready_after,
        slow: args.slow,
        job: args.job,
        crash: args.crash,
        ..Timing::default()
    };
    let simulation = Simulation::start(Options {
        timing,
        nodes: args.nodes,
        ports: if args.shared_port { Ports::Shared } else { Ports::Each },
        port: args.port,
        history: args.history,
        controllers: !args.no_controllers,
        seed: args.seed,
        threads: args.threads,
        control_port: args.control_port,
        ..Options::named(names)
    })?;
    if !args.latency.is_zero() {
        let names: Vec<String> = simulation.names().map(str::to_owned).collect();
        for name in names {
            simulation.set_latency(&name, args.latency);
        }
    }
    let stopped = stop_signals(args.until_stdin_closes)?;
    simulation
        .write_kubeconfigs(&args.dir)
        .map_err(|e| format!("cannot write {}: {e}", args.dir.display()))?;
    let mut out = std::io::stdout();
    writeln!(out, "ready {}", args.dir.display())?;
    if let Some(address) = simulation.control_address() {
        writeln!(out, "control http://{address}")?;
    }
    out.flush()?;
    let _ = stopped.recv();
    Ok(())
}

/// Sends once on SIGTERM, SIGINT or, if asked for, the end of standard input.
fn stop_signals(stdin: bool) -> std::io::Result<std::sync::mpsc::Receiver<()>> {
    let (send, receive) = std::sync::mpsc::channel();
    if stdin {
        let send = send.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 256];
            while std::io::stdin().read(&mut buffer).is_ok_and(|n| n > 0) {}
            let _ = send.send(());
        });
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut term), Ok(mut int)) =
                (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
            else {
                return std::future::pending().await;
            };
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        });
        let _ = send.send(());
    });
    Ok(receive)
}
