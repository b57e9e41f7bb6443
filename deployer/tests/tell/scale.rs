//! What waiting costs in memory: a thousand clusters at once, each with fifty objects that are not ready yet.

use std::fmt::Write as _;
use std::time::Duration;

use testkit::{Clusters, Sandbox, program};

/// Megabytes that `deployer` may need at its peak.
const LIMIT: f64 = 300.0;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// `VmHWM` of a process, in megabytes: the most that it has had in memory.
fn peak(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
}

#[test]
#[ignore = "minutes of CPU; `cargo test --release -p deployer --test tell -- --ignored --nocapture a_thousand`; KIT_SCALE_CLUSTERS and KIT_SCALE_OBJECTS make it smaller, KIT_SCALE_SECONDS is how long the pods take"]
fn a_thousand_clusters_with_fifty_objects_that_are_waited_for_stay_under_the_limit() {
    let (clusters, objects) = (number("KIT_SCALE_CLUSTERS", 1000), number("KIT_SCALE_OBJECTS", 50));
    let seconds = number("KIT_SCALE_SECONDS", 240);
    let names: Vec<String> = (1..=clusters).map(|n| format!("c{n:04}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let simulated = Clusters::start_with(&names, &["--slow", &format!("{seconds}s")]);
    let sandbox = Sandbox::new();
    let mut all = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned();
    for n in 0..objects {
        let _ = write!(
            all,
            "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web-{n}, namespace: shop}}\nspec:\n  replicas: 1\n  \
             selector: {{matchLabels: {{app: web-{n}}}}}\n  template:\n    metadata: {{labels: {{app: web-{n}}}}}\n    \
             spec: {{containers: [{{name: app, image: 'web-slow:1'}}]}}\n"
        );
    }
    for name in &names {
        sandbox.write(format!("manifests/{name}/all.yaml"), &all);
    }
    let call = program("deployer").arg("--configs").arg(simulated.configs());
    let call = call.args(["--manifests-dir", "manifests", "--output", "ndjson", "--available-timeout", "1h"]);
    let call = call.args(["--concurrency", &clusters.to_string(), "--timeout", "2h"]);
    let mut child = sandbox.start(&call);
    drop(child.stdin.take());
    // The report goes through pipes, which somebody has to empty.
    let drain = |mut pipe: Box<dyn std::io::Read + Send>| {
        std::thread::spawn(move || {
            let mut text = String::new();
            let _ = pipe.read_to_string(&mut text);
            text
        })
    };
    let stdout = drain(Box::new(child.stdout.take().unwrap()));
    let stderr = drain(Box::new(child.stderr.take().unwrap()));
    let mut most = 0.0_f64;
    let status = loop {
        most = most.max(peak(child.id()).unwrap_or_default());
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    assert!(status.success(), "{stderr:.4000}");
    // All were waiting at one time: the first that was ready came after the last had begun to wait.
    let mut first_ready: Option<&str> = None;
    let mut last_begun: Option<&str> = None;
    for line in
        stdout.lines().filter(|line| line.contains("\"event\":\"rollout\"") && line.contains("Deployment"))
    {
        let time = line.split("\"time\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        if line.contains("\"stage\":\"ready\"") {
            first_ready = first_ready.into_iter().chain([time]).min();
        }
    }
    for line in stdout.lines().filter(|line| line.contains("\"phase\":\"workloads\"")) {
        let time = line.split("\"time\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
        last_begun = last_begun.into_iter().chain([time]).max();
    }
    println!(
        "{clusters} clusters x {objects} objects: peak {most:.0} MB; last began {last_begun:?}, first ready {first_ready:?}"
    );
    assert!(last_begun < first_ready, "not all at once: make KIT_SCALE_SECONDS longer");
    assert!(most < LIMIT, "{most:.0} MB");
}
