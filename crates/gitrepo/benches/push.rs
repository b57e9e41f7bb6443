//! One changed line, pushed: the usual script, the careful one, and ours, side by side.
//!
//! `cargo bench -p gitrepo --bench push` (figures: docs/image-deployer-measured.md), with `-- --sizes 100,100000 --ways http --runs 5` to choose;
//! `-- --growth` leaves out the scripts and only compares ours with itself, in the smallest and the largest repository by turns.
//!
//! All three read the tip of `main` of a bare repository, replace the image of one file
//! (`images/team-NNN/app-NN/branch-N.yaml`), commit and push, each run on a tip that the run before
//! has moved. Servers are git's own: `git http-backend`, `sshd`. Ours is a process of its own, its
//! start included. Walls are medians; bytes and round trips are counted by a proxy between client
//! and server in a run of its own. The delay is added to every round trip, opening a connection
//! included.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr, missing_docs)]

use std::path::{Path, PathBuf};
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
    let only_growth = arguments.iter().any(|argument| argument == "--growth");
    let mut sizes: Vec<usize> = sizes.split(',').map(|size| size.parse().unwrap()).collect();
    sizes.sort_unstable();
    let ways: Vec<&str> = ways.split(',').collect();
    if only_growth {
        sizes = vec![sizes[0], sizes[sizes.len() - 1]];
    } else {
        heading();
    }
    let mut rows = Vec::new();
    let mut smallest: Option<BareRepo> = None;
    let mut growths = Vec::new();
    for size in sizes {
        let repo = BareRepo::of_size(size, 50);
        for way in &ways {
            for delay in if *way == "file" { vec![false] } else { vec![false, true] } {
                if !only_growth {
                    rows.extend(measure(&repo, way, delay, size, runs));
                }
                if let Some(small) = smallest.as_ref().filter(|_| size == 100_000) {
                    growths.extend(growth(small, &repo, way, delay, runs * 2));
                }
            }
        }
        smallest.get_or_insert(repo);
    }
    if verdicts(&rows, &growths) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn heading() {
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

/// A repository behind a server of git's own.
struct Served {
    http: Option<HttpServer>,
    ssh: Option<SshServer>,
    repo: PathBuf,
    delayed: Option<DelayProxy>,
}

impl Served {
    /// `None` where the server is not installed.
    fn start(repo: &BareRepo, way: &str, delay: bool) -> Option<Self> {
        let (http, ssh) = match way {
            "http" => (Some(HttpServer::serve(repo.root()).start()), None),
            "ssh" => (None, Some(SshServer::start()?)),
            _ => (None, None),
        };
        let mut served = Self { http, ssh, repo: repo.path(), delayed: None };
        served.delayed = served.port().filter(|_| delay).map(|port| DelayProxy::start(port, DELAY));
        Some(served)
    }

    fn port(&self) -> Option<u16> {
        self.http.as_ref().map(HttpServer::port).or(self.ssh.as_ref().map(SshServer::port))
    }

    fn url_at(&self, port: u16) -> String {
        match (&self.http, &self.ssh) {
            (Some(_), _) => format!("http://127.0.0.1:{port}/repo.git"),
            (_, Some(ssh)) => ssh.url_at(port, &self.repo),
            _ => format!("file://{}", self.repo.display()),
        }
    }

    /// With the delay, if there is one.
    fn url(&self) -> String {
        self.url_at(self.delayed.as_ref().map(DelayProxy::port).or(self.port()).unwrap_or(0))
    }

    fn command(&self) -> String {
        self.ssh.as_ref().map(SshServer::command).unwrap_or_default()
    }
}

fn measure(repo: &BareRepo, way: &str, delay: bool, files: usize, runs: usize) -> Option<Row> {
    let mut row = Row { way: way.to_string(), delay, files, ..Row::default() };
    let served = Served::start(repo, way, delay)?;
    let counting = served.port().map(|port| DelayProxy::start(port, Duration::ZERO));
    for (at, who) in [Who::Usual, Who::Careful, Who::Ours].into_iter().enumerate() {
        let runs = if who == Who::Ours { runs * 2 } else { runs };
        let walls = (0..runs).map(|_| run(who, &served.url(), &served.command(), &mut row));
        row.wall[at] = median(walls.collect());
        if let Some(counting) = &counting {
            run(who, &served.url_at(counting.port()), &served.command(), &mut row);
            // What is on its way when the client leaves is counted too.
            std::thread::sleep(Duration::from_millis(100));
            row.received[at] = counting.take_counts().0;
        }
    }
    print(&row);
    Some(row)
}

/// How many times as long something takes in a large repository as in a small one.
struct Growth {
    way: String,
    /// Ours, from its start to its end.
    whole: f64,
    /// The same without what the server does on its own when it is pushed to.
    without_check: f64,
}

/// By turns, so that whatever else the machine does meets both repositories.
fn growth(small: &BareRepo, large: &BareRepo, way: &str, delay: bool, runs: usize) -> Option<Growth> {
    let served = [Served::start(small, way, delay)?, Served::start(large, way, delay)?];
    let mut row = Row::default();
    let (mut walls, mut checks) = ([const { Vec::new() }; 2], [const { Vec::new() }; 2]);
    for _ in 0..runs {
        for (at, (served, repo)) in served.iter().zip([small, large]).enumerate() {
            walls[at].push(run(Who::Ours, &served.url(), &served.command(), &mut row));
            // Ours writes a file's remote itself: no server checks anything.
            checks[at].push(if way == "file" { Duration::ZERO } else { connectivity_check(repo) });
        }
    }
    let [small, large] = walls.map(|walls| median(walls).as_secs_f64());
    let [check_small, check_large] = checks.map(|checks| median(checks).as_secs_f64());
    let way = format!("{way}{}", if delay { ", 20 ms" } else { "" });
    println!(
        "{way}: {:.0} ms and {:.0} ms, of which the server's check {:.0} ms and {:.0} ms",
        small * 1e3,
        large * 1e3,
        check_small * 1e3,
        check_large * 1e3
    );
    let without_check = (large - check_large) / (small - check_small);
    Some(Growth { way, whole: large / small, without_check })
}

/// What `receive-pack` runs before it moves a branch, about the commit that was pushed last: whether everything that the commit needs is
/// there, and for that it marks every tree of the commit before as known.
fn connectivity_check(repo: &BareRepo) -> Duration {
    let started = Instant::now();
    repo.git(&["rev-list", "--objects", "--quiet", "main", "--not", "main~1"]);
    started.elapsed()
}

fn median(mut walls: Vec<Duration>) -> Duration {
    walls.sort_unstable();
    walls[walls.len() / 2]
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
fn verdicts(rows: &[Row], growths: &[Growth]) -> bool {
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
    for Growth { way, whole, without_check } in growths {
        bar(
            format!(
                "{way}: {whole:.2} times the wall of the smallest repository (bar: 1.5), {without_check:.2} without the server's check"
            ),
            *whole <= 1.5,
        );
    }
    all
}
