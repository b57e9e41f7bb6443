//! Runs a program as a child with nothing of the machine around it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::git::output_of;

/// The root of the workspace, where `testdata/` is.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// The path of one of our binaries, as the cargo invocation that runs this test built it.
///
/// Test executables are in `target/<profile>/deps`, binaries one above. A binary that is missing (`cargo test -p` of
/// another package) is built; the file is not rebuilt when it is there, because cargo has just done so.
pub fn built_binary(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().unwrap();
    let folder = if folder.ends_with("deps") { folder.parent().unwrap() } else { folder };
    let binary = folder.join(name);
    if !binary.exists() {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(workspace_root()).args(["build", "--quiet", "--bin", name]);
        if folder.ends_with("release") {
            cargo.arg("--release");
        }
        cargo.arg("--target-dir").arg(folder.parent().unwrap());
        assert!(cargo.status().unwrap().success(), "`{name}` could not be built");
    }
    binary
}

/// A call of one of our binaries, to be completed and given to [`Sandbox::run`].
pub fn program(name: &str) -> Call {
    Call {
        program: built_binary(name).into_os_string(),
        args: Vec::new(),
        env: BTreeMap::new(),
        stdin: Vec::new(),
        deadline: Duration::from_secs(60),
    }
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Call {
    program: OsString,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    stdin: Vec<u8>,
    deadline: Duration,
}

impl Call {
    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<T: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = T>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets a variable; the child has no others but `PATH`, `HOME`, `TMPDIR` and `LANG`.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.insert(name.as_ref().to_owned(), value.as_ref().to_owned());
        self
    }

    /// What the child reads from its standard input; nothing unless said.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.stdin = text.into();
        self
    }

    /// After this time the child is killed and the test fails. One minute unless said.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }
}

/// What a program answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The exit code; -1 when the child was ended by a signal.
    pub exit_code: i32,
    /// All of stdout; the sandbox's path is replaced by `[DIR]`.
    pub stdout: String,
    /// All of stderr, likewise.
    pub stderr: String,
}

impl Answer {
    /// stdout as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("stdout is not JSON: {error}\n{self}"))
    }

    /// Fails the test unless the exit code is 0.
    #[track_caller]
    pub fn success(self) -> Self {
        assert_eq!(self.exit_code, 0, "{self}");
        self
    }
}

impl fmt::Display for Answer {
    /// The whole answer, as snapshots hold it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code: {}\n--- stdout\n{}--- stderr\n{}", self.exit_code, self.stdout, self.stderr)
    }
}

/// A temporary directory to run programs in. It goes when the value does.
#[derive(Debug)]
pub struct Sandbox {
    dir: tempfile::TempDir,
    home: tempfile::TempDir,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self::new()
    }
}

impl Sandbox {
    /// An empty directory, with another one as the home of its programs.
    pub fn new() -> Self {
        let make = || tempfile::Builder::new().prefix("kit-test-").tempdir().unwrap();
        Self { dir: make(), home: make() }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The home directory that the programs see.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// A path in the directory.
    pub fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path().join(path)
    }

    /// Writes a file, making its folders.
    pub fn write(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Reads a file.
    #[track_caller]
    pub fn read(&self, path: impl AsRef<Path>) -> String {
        let path = self.join(path);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// A command that sees nothing of this machine but `PATH`: for programs that are not ours, such as `git`.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.path()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.home()).env("TMPDIR", self.home()).env("LANG", "C.UTF-8").env("TZ", "UTC");
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command
                .env(format!("GIT_{role}_NAME"), "Test")
                .env(format!("GIT_{role}_EMAIL"), "test@example.com");
        }
        command
    }

    /// Runs `git` in the directory; gives its standard output.
    ///
    /// # Panics
    /// If it fails.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        output_of(self.command("git").args(args))
    }

    /// Makes the directory a git repository whose only commit has all that is in it.
    pub fn git_init(&self) {
        self.git(&["init", "-q"]);
        self.git(&["add", "."]);
        self.git(&["commit", "-qm", "first"]);
    }

    /// Starts a call and leaves it running.
    pub fn start(&self, call: &Call) -> Child {
        let mut command = self.command(&call.program);
        for role in ["AUTHOR", "COMMITTER"] {
            command.env_remove(format!("GIT_{role}_NAME")).env_remove(format!("GIT_{role}_EMAIL"));
        }
        command.args(&call.args).envs(&call.env);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap_or_else(|error| panic!("{}: {error}", call.program.display()))
    }

    /// Runs a call to its end.
    #[track_caller]
    pub fn run(&self, call: Call) -> Answer {
        let mut child = self.start(&call);
        let mut stdin = child.stdin.take().unwrap();
        let input = call.stdin.clone();
        // A child that does not read its input closes the pipe; that is its right.
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = drain(child.stdout.take().unwrap());
        let stderr = drain(child.stderr.take().unwrap());
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if started.elapsed() > call.deadline {
                child.kill().unwrap();
                child.wait().unwrap();
                let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
                panic!("{:?} did not end within {:?}\n{stdout}\n{stderr}", call.args, call.deadline);
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        writer.join().unwrap();
        Answer {
            exit_code: status.code().unwrap_or(-1),
            stdout: self.anonymous(&stdout.join().unwrap()),
            stderr: self.anonymous(&stderr.join().unwrap()),
        }
    }

    /// The text with the paths of this sandbox replaced, so that it is the same in every run.
    pub fn anonymous(&self, text: &str) -> String {
        let dir = self.path().to_str().unwrap();
        text.replace(dir, "[DIR]").replace(self.home().to_str().unwrap(), "[HOME]")
    }
}

fn drain(mut pipe: impl std::io::Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Whether `kubectl` is installed; where it is not, says that what needs it is skipped.
pub fn kubectl_is_there() -> bool {
    let there = std::process::Command::new("kubectl").args(["version", "--client"]).output().is_ok();
    if !there {
        skipped("needs kubectl");
    }
    there
}

/// Says on stderr that a test is skipped, and why. The test runner holds back what `eprintln!` prints
/// in a test that passes; this is seen.
pub fn skipped(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
}
