//! `plugin: {path: exec, options: {command: [PROGRAM, ARG…]}}`: a program that reads a JSON request on stdin and writes
//! a JSON object to stdout.
//!
//! The request is `{"version": 1, "cluster": {"name", "type", "metadata"}, "resource": NAME, "container": {…}}`; the
//! answer is laid over the container. One call is made for each distinct request, at most `concurrency` at a time.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Ask, Options, Provider};
use crate::external::Environment;
use crate::files::resolve;
use crate::node::{Layer, Node, Origin};
use crate::problem::Problem;
use crate::source::Repository;

type Answer = Result<Option<Arc<Node>>, Problem>;

/// Runs a program for each distinct request.
pub struct ExecProvider {
    command: Vec<String>,
    directory: PathBuf,
    timeout: Duration,
    secret: bool,
    environment: Environment,
    slots: Slots,
    answers: Mutex<HashMap<String, Arc<Mutex<Option<Answer>>>>>,
}

/// The most that a program may answer.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

impl ExecProvider {
    /// Reads the options: `command` (a program and its arguments; a path with a slash is relative to kit.yaml),
    /// `timeoutSeconds` (default 15), `concurrency` (default 4), `secret` (default true).
    ///
    /// # Errors
    /// Options that it does not have.
    pub fn new(
        repository: &Repository,
        options: &serde_json::Map<String, serde_json::Value>,
        environment: &Environment,
    ) -> Result<Self, Problem> {
        let mut options = Options::new(options, "exec");
        let command = options.texts("command")?;
        let mut command = options.required("command", command.filter(|command| !command.is_empty()))?;
        let timeout = Duration::from_secs(options.count("timeoutSeconds", 15)?);
        let concurrency = options.count("concurrency", 4)? as usize;
        let secret = options.flag("secret", true)?;
        options.done(&["command", "timeoutSeconds", "concurrency", "secret"])?;
        let directory = repository.folders.root.clone();
        if command[0].contains('/') {
            let program = resolve(&directory, command[0].as_ref());
            let program = program.canonicalize().unwrap_or(program);
            command[0] = program.display().to_string();
        }
        let slots = Slots { free: Mutex::new(concurrency), freed: Condvar::new() };
        let answers = Mutex::default();
        Ok(Self { command, directory, timeout, secret, environment: environment.clone(), slots, answers })
    }

    fn call(&self, request: &str) -> Answer {
        self.slots.take();
        let answer = self.run(request);
        self.slots.give();
        let program = &self.command[0];
        let json: serde_json::Value = serde_json::from_slice(&answer?).map_err(|error| {
            Problem::new(format!("`{program}` did not answer JSON")).cause(format!(
                "{} in line {}, column {}",
                category(&error),
                error.line(),
                error.column()
            ))
        })?;
        if json.is_null() {
            return Ok(None);
        }
        if !json.is_object() {
            return Err(Problem::new(format!("`{program}` must answer a JSON object, or null")));
        }
        let origin = Origin { secret: self.secret, ..Origin::of(Layer::Provider) };
        Ok(Some(Node::from_json(&json, origin)))
    }

    fn run(&self, request: &str) -> Result<Vec<u8>, Problem> {
        let program = &self.command[0];
        let failed = |what: &str, error: std::io::Error| {
            Problem::new(format!("cannot {what} `{program}`")).cause(error.to_string())
        };
        let mut command = Command::new(program);
        command
            .args(&self.command[1..])
            .current_dir(&self.directory)
            .env_clear()
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed("start", error))?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let request = request.to_owned();
        std::thread::spawn(move || {
            // A program that does not read its request closes the pipe; its answer still counts.
            let _ = stdin.map(|mut stdin| stdin.write_all(request.as_bytes()));
        });
        let output = std::thread::spawn(move || read_all(stdout));
        let messages = std::thread::spawn(move || read_all(stderr));
        let status = wait(&mut child, self.timeout).map_err(|error| failed("wait for", error))?;
        let Some(status) = status else {
            let seconds = self.timeout.as_secs();
            return Err(Problem::new(format!("`{program}` did not answer within {seconds} s"))
                .hint("raise `timeoutSeconds` in the options of the plugin"));
        };
        let output = output.join().unwrap_or_default();
        if status.success() {
            return Ok(output);
        }
        let messages = messages.join().unwrap_or_default();
        let messages = String::from_utf8_lossy(&messages);
        let tail: Vec<&str> = messages.trim().lines().rev().take(10).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        let problem = Problem::new(format!("`{program}` failed with {status}"));
        Err(if tail.is_empty() { problem } else { problem.cause(tail.join("\n")) })
    }
}

/// Without the text of the answer, which may be secret.
fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Eof => "the answer ends too early",
        serde_json::error::Category::Io => "the answer cannot be read",
        serde_json::error::Category::Syntax | serde_json::error::Category::Data => "not JSON",
    }
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        // What was read before an error is all there is to show.
        let _ = pipe.take(MAX_ANSWER).read_to_end(&mut bytes);
    }
    bytes
}

/// `None` when the time is over and the child was killed.
fn wait(child: &mut Child, timeout: Duration) -> std::io::Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + timeout;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

struct Slots {
    free: Mutex<usize>,
    freed: Condvar,
}

impl Slots {
    fn take(&self) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        while *free == 0 {
            free = self.freed.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= 1;
    }

    fn give(&self) {
        *self.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.freed.notify_one();
    }
}

impl Provider for ExecProvider {
    fn fetch(&self, ask: &Ask<'_>) -> Answer {
        let cluster = &ask.merged.cluster;
        let metadata = ask.merged.definition.get("metadata").map(|metadata| metadata.to_json());
        let request = serde_json::json!({
            "version": 1,
            "cluster": {"name": &*cluster.name, "type": &*cluster.kind, "metadata": metadata},
            "resource": ask.resource,
            "container": ask.container.to_json(),
        })
        .to_string();
        let slot = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(request.clone()).or_default().clone()
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| self.call(&request)).clone()
    }
}
