//! Wall time, CPU time and peak memory of a child process.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What a run took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Seconds from start to end.
    pub(crate) wall: f64,
    /// Seconds of all threads, in user and system mode.
    pub(crate) cpu: f64,
    /// Peak resident memory.
    pub(crate) peak_mb: f64,
}

/// The run with the least wall time; CPU and memory are the least of any run.
pub(crate) fn best_of(runs: usize, mut measure: impl FnMut() -> Cost) -> Cost {
    let costs: Vec<Cost> = (0..runs).map(|_| measure()).collect();
    let least = |part: fn(&Cost) -> f64| costs.iter().map(part).fold(f64::INFINITY, f64::min);
    Cost { wall: least(|cost| cost.wall), cpu: least(|cost| cost.cpu), peak_mb: least(|cost| cost.peak_mb) }
}

/// Runs a command to its end. CPU time comes from the kernel's count for children that ended; memory is its high-water
/// mark, read while it runs.
pub(crate) fn run(command: &mut Command) -> Cost {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let before = children_cpu();
    let start = Instant::now();
    let mut child = command.spawn().unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.id()));
    let peak = std::sync::atomic::AtomicU64::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let mut wall = 0.0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                if let Some(kilobytes) = high_water(&status) {
                    peak.fetch_max(kilobytes, std::sync::atomic::Ordering::Relaxed);
                }
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        });
        let exit = child.wait().unwrap();
        wall = start.elapsed().as_secs_f64();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        if !exit.success() {
            let mut message = String::new();
            std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut message).unwrap();
            panic!("{command:?} failed\n{message}");
        }
    });
    let peak_mb = peak.into_inner() as f64 / 1024.0;
    Cost { wall, cpu: children_cpu() - before, peak_mb }
}

fn high_water(status: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(status).ok()?;
    let line = text.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Fields 16 and 17 of /proc/self/stat: user and system time of children that were waited for, in hundredths.
fn children_cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(13) + ticks(14)) / 100.0
}

/// All manifests below a folder, with their paths relative to it.
pub(crate) fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for cluster in std::fs::read_dir(root).unwrap() {
        let cluster = cluster.unwrap();
        for file in std::fs::read_dir(cluster.path()).unwrap() {
            let file = file.unwrap();
            if !file.file_name().to_string_lossy().starts_with('.') {
                let path = Path::new(&cluster.file_name()).join(file.file_name());
                found.push((path, std::fs::read(file.path()).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// One thread that does nothing but write the files.
pub(crate) fn floor(files: &[(PathBuf, Vec<u8>)], root: &Path) -> Cost {
    let _ = std::fs::remove_dir_all(root);
    let start = Instant::now();
    let mut folder = PathBuf::new();
    for (path, content) in files {
        let parent = root.join(path.parent().unwrap());
        if parent != folder {
            std::fs::create_dir_all(&parent).unwrap();
            folder = parent;
        }
        std::fs::write(root.join(path), content).unwrap();
    }
    let wall = start.elapsed().as_secs_f64();
    Cost { wall, cpu: wall, peak_mb: 0.0 }
}
