//! One changed line, pushed: the usual script, the careful one, and ours, side by side.
//!
//! `cargo bench -p gitrepo --bench push` (figures: docs/image-deployer-measured.md), with `-- --sizes 100,100000 --ways http --runs 5` to choose.
//!
//! All three read the tip of `main` of a bare repository, replace the image of one file
//! (`images/team-NNN/app-NN/branch-N.yaml`), commit and push, each run on a tip that the run before
//! has moved. Servers are git's own: `git http-backend`, `sshd`. Ours is a process of its own, its
//! start included. Walls are medians; bytes and round trips are counted by a proxy between client
//! and server in a run of its own. The delay is added to every round trip, opening a connection
//! included.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use gitrepo::{Change, CommitSpec, GitError, Identity, RemoteSpec, RetryPolicy};
use testkit::git::{BareRepo, DelayProxy, HttpServer, SshServer};

const FILE: &str = "images/team-000/app-05/branch-3.yaml";
const DELAY: Duration = Duration::from_millis(20);

const USUAL: &str = r#"git clone -q --depth 1 "$URL" "$DIR" && cd "$DIR" \
  && sed -i "s|^image: .*|image: $IMAGE|" "$FILE" && git commit -qam "$IMAGE" && git push -q"#;

const CAREFUL: &str = r#"git clone -q --depth 1 --filter=blob:none --sparse "$URL" "$DIR" && cd "$DIR" \
  && git sparse-checkout set "$(dirname "$FILE")" \
  && sed -i "s|^image: .*|image: $IMAGE|" "$FILE" && git commit -qam "$IMAGE" && git push -q"#;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [word, url, image, command] = &arguments[..]
        && word == "ours"
    {
        return ours(url, image, command);
    }
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let sizes = value("--sizes").unwrap_or_else(|| "100,10000,100000".to_string());
    let ways = value("--ways").unwrap_or_else(|| "file,http,ssh".to_string());
    let runs = value("--runs").and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    let ways: Vec<&str> = ways.split(',').collect();
    println!(
        "{:>4} {:>5} {:>7} | {:>9} {:>9} {:>8} | {:>7} {:>7} | {:>10} {:>10} {:>8} {:>7} {:>4} | {:>8}",
        "way",
        "delay",
        "files",
        "usual ms",
        "careful",
        "ours",
        "usual/",
        "careful/",
        "usual B",
        "careful B",
        "ours B",
        "sent B",
        "req",
        "peak kB"
    );
    let mut rows = Vec::new();
    for size in sizes {
        let repo = BareRepo::of_size(size, 50);
        for way in &ways {
            rows.extend(measure(&repo, way, size, runs));
        }
    }
    if verdicts(&rows) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Ours, in a process of its own. Prints received, sent, requests and the peak of its memory in kB.
fn ours(url: &str, image: &str, ssh_command: &str) -> ExitCode {
    let mut remote = RemoteSpec::new(url);
    remote.ssh_command = Some(ssh_command.to_string()).filter(|command| !command.is_empty());
    let me = Identity::now("Bench", "bench@example.org");
    let outcome = gitrepo::update::<GitError>(&remote, &RetryPolicy::default(), &mut |_| {}, &mut |tip| {
        // As image-deployer reads: its configuration in the repository, and the file.
        tip.prefetch(&["kit.yaml", FILE])?;
        let old = tip.read(FILE)?.unwrap_or_default();
        let old = String::from_utf8_lossy(&old).into_owned();
        let lines: Vec<String> = old
            .lines()
            .map(
                |line| if line.starts_with("image: ") { format!("image: {image}") } else { line.to_string() },
            )
            .collect();
        Ok(Some(Change {
            files: vec![(FILE.to_string(), (lines.join("\n") + "\n").into_bytes())],
            commit: CommitSpec {
                author: me.clone(),
                committer: me.clone(),
                message: image.to_string(),
                signer: None,
            },
        }))
    });
    let gitrepo::Outcome::Pushed(pushed) = outcome.unwrap() else { return ExitCode::FAILURE };
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    let peak = peak.trim().trim_end_matches(" kB");
    println!("{} {} {} {peak}", pushed.bytes_received, pushed.bytes_sent, pushed.requests);
    ExitCode::SUCCESS
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Usual,
    Careful,
    Ours,
}

#[derive(Debug, Default, Clone)]
struct Row {
    way: String,
    delay: bool,
    files: usize,
    /// Usual, careful, ours.
    wall: [Duration; 3],
    received: [u64; 3],
    sent: u64,
    requests: u64,
    peak_kb: u64,
}

fn measure(repo: &BareRepo, way: &str, files: usize, runs: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    let delays: &[bool] = if way == "file" { &[false] } else { &[false, true] };
    for &delay in delays {
        let mut row = Row { way: way.to_string(), delay, files, ..Row::default() };
        let (http, ssh) = match way {
            "http" => (Some(HttpServer::serve(repo.root()).start()), None),
            "ssh" => match SshServer::start() {
                Some(server) => (None, Some(server)),
                None => return rows,
            },
            _ => (None, None),
        };
        let port = http.as_ref().map(HttpServer::port).or(ssh.as_ref().map(SshServer::port));
        let url_at = |port: u16| match (&http, &ssh) {
            (Some(_), _) => format!("http://127.0.0.1:{port}/repo.git"),
            (_, Some(ssh)) => ssh.url_at(port, &repo.path()),
            _ => format!("file://{}", repo.path().display()),
        };
        let command = ssh.as_ref().map(SshServer::command).unwrap_or_default();
        let counting = port.map(|port| DelayProxy::start(port, Duration::ZERO));
        let delayed = port.filter(|_| delay).map(|port| DelayProxy::start(port, DELAY));
        let direct = delayed.as_ref().map(DelayProxy::port).or(port).unwrap_or(0);
        for (at, who) in [Who::Usual, Who::Careful, Who::Ours].into_iter().enumerate() {
            let mut walls = Vec::new();
            let runs = if who == Who::Ours { runs * 2 } else { runs };
            for _ in 0..runs {
                walls.push(run(who, &url_at(direct), &command, &mut row));
            }
            walls.sort_unstable();
            row.wall[at] = walls[walls.len() / 2];
            if let Some(counting) = &counting {
                run(who, &url_at(counting.port()), &command, &mut row);
                // What is on its way when the client leaves is counted too.
                std::thread::sleep(Duration::from_millis(100));
                row.received[at] = counting.take_counts().0;
            }
        }
        print(&row);
        rows.push(row);
    }
    rows
}

fn run(who: Who, url: &str, ssh_command: &str, row: &mut Row) -> Duration {
    let dir = tempfile::tempdir().unwrap();
    let image = format!(
        "registry.example.org/a/b:{}",
        std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 1)
    );
    let started = Instant::now();
    let output = match who {
        Who::Ours => Command::new(std::env::current_exe().unwrap())
            .args(["ours", url, &image, ssh_command])
            .stderr(Stdio::inherit())
            .output(),
        Who::Usual | Who::Careful => script(who, url, &image, ssh_command, dir.path()).output(),
    }
    .unwrap();
    let wall = started.elapsed();
    assert!(output.status.success(), "{who:?}: {}", String::from_utf8_lossy(&output.stderr));
    if who == Who::Ours {
        let text = String::from_utf8(output.stdout).unwrap();
        let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>().unwrap());
        let mut next = || numbers.next().unwrap();
        (_, row.sent, row.requests) = (next(), next(), next());
        row.peak_kb = row.peak_kb.max(next());
    }
    wall
}

fn script(who: Who, url: &str, image: &str, ssh_command: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-ec", if who == Who::Usual { USUAL } else { CAREFUL }])
        .env("URL", url)
        .env("DIR", dir.join("clone"))
        .env("FILE", FILE)
        .env("IMAGE", image)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    for (name, value) in [("NAME", "Bench"), ("EMAIL", "bench@example.org")] {
        command.env(format!("GIT_AUTHOR_{name}"), value).env(format!("GIT_COMMITTER_{name}"), value);
    }
    if !ssh_command.is_empty() {
        command.env("GIT_SSH_COMMAND", ssh_command);
    }
    command
}

fn print(row: &Row) {
    let ms = |at: usize| row.wall[at].as_secs_f64() * 1000.0;
    println!(
        "{:>4} {:>5} {:>7} | {:>9.0} {:>9.0} {:>8.1} | {:>6.1}x {:>7.1}x | {:>10} {:>10} {:>8} {:>7} {:>4} | {:>8}",
        row.way,
        if row.delay { "20ms" } else { "-" },
        row.files,
        ms(0),
        ms(1),
        ms(2),
        ms(0) / ms(2),
        ms(1) / ms(2),
        row.received[0],
        row.received[1],
        row.received[2],
        row.sent,
        row.requests,
        row.peak_kb
    );
}

/// The bars, of which each row that there is must hold its own.
fn verdicts(rows: &[Row]) -> bool {
    println!();
    let mut all = true;
    let mut bar = |text: String, holds: bool| {
        println!("{} {text}", if holds { "ok  " } else { "FAIL" });
        all &= holds;
    };
    let largest = rows.iter().filter(|row| row.files == 100_000 && row.way == "http");
    for row in largest {
        let seconds = |at: usize| row.wall[at].as_secs_f64();
        let way = format!("100,000 files over http{}", if row.delay { ", 20 ms" } else { "" });
        let (usual, careful) = (seconds(0) / seconds(2), seconds(1) / seconds(2));
        bar(format!("{way}: the usual script takes {usual:.1} times as long (bar: 10)"), usual >= 10.0);
        bar(format!("{way}: the careful one takes {careful:.1} times as long (bar: 2)"), careful >= 2.0);
        bar(format!("{way}: {} kB of memory (bar: 20,000)", row.peak_kb), row.peak_kb < 20_000);
        bar(
            format!("{way}: {} bytes received (bar: 100,000 + trees)", row.received[2]),
            row.received[2] < 130_000,
        );
    }
    for row in rows.iter().filter(|row| row.files == 100_000) {
        let small =
            rows.iter().find(|other| other.files == 100 && other.way == row.way && other.delay == row.delay);
        if let Some(small) = small {
            let ratio = row.wall[2].as_secs_f64() / small.wall[2].as_secs_f64();
            let delay = if row.delay { ", 20 ms" } else { "" };
            bar(
                format!("{}{delay}: {ratio:.2} times the wall of 100 files (bar: 1.5)", row.way),
                ratio <= 1.5,
            );
        }
    }
    all
}
