//! The external gate of a wave: a program that must exit with 0, or an address that must answer 2xx. Anything else keeps it
//! closed, and the rollout stops.

use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cluster::fleet::{Gate, Wave};
use cluster::plan::Mask;
use cluster::stop::Stop;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

use crate::http;

/// How much of a program's output is kept, from its end.
const TAIL: usize = 4096;
/// How many of its last lines are told.
const LINES: usize = 5;
/// How long the output of a program that has ended is waited for: a child of it may still hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(300);
/// The longest pause between two tries of an address.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Asks the gate. `Ok` when it is open.
///
/// # Errors
/// Why it is closed, in one sentence without secrets.
pub(crate) async fn ask(
    gate: &Gate,
    wave: &Wave,
    commit: Option<&str>,
    mask: &Mask,
    stop: &Stop,
) -> Result<(), String> {
    let asked = async {
        match gate {
            Gate::Exec { command, timeout } => exec(command, *timeout, wave, commit, mask).await,
            Gate::Http { url, token_env, timeout } => {
                http(gate, url, token_env.as_deref(), *timeout, mask).await
            }
        }
    };
    tokio::select! {
        answer = asked => answer,
        () = stop.set() => Err(super::drive::INTERRUPTED.to_owned()),
    }
}

async fn exec(
    command: &[String],
    limit: Duration,
    wave: &Wave,
    commit: Option<&str>,
    mask: &Mask,
) -> Result<(), String> {
    let program = command.first().map_or("", String::as_str);
    let names: Vec<&str> = wave.clusters.iter().map(manifest::ClusterName::as_str).collect();
    let mut child = Command::new(program);
    child.args(command.iter().skip(1)).process_group(0).kill_on_drop(true);
    child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    child.env("KIT_GATE_WAVE", &wave.name).env("KIT_GATE_CLUSTERS", names.join(","));
    child.env("KIT_GATE_COMMIT", commit.unwrap_or_default());
    let mut child =
        child.spawn().map_err(|error| format!("its gate cannot be started, `{program}`: {error}"))?;
    let _group = Group(child.id());
    let said = Arc::new(Mutex::new(Vec::new()));
    let listeners = [
        child.stdout.take().map(|pipe| tokio::spawn(listen(pipe, said.clone()))),
        child.stderr.take().map(|pipe| tokio::spawn(listen(pipe, said.clone()))),
    ];
    let ended = timeout(limit, child.wait()).await;
    let until = Instant::now() + LAST_WORDS;
    for listener in listeners.into_iter().flatten() {
        let _ = tokio::time::timeout_at(until, listener).await;
    }
    let bytes = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let words = last_lines(&String::from_utf8_lossy(&bytes), mask);
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("its gate is closed, `{program}` ended with {status}{words}")),
        Ok(Err(error)) => Err(format!("its gate cannot be asked, `{program}`: {error}")),
        Err(_) => {
            Err(format!("its gate did not answer within {} s, `{program}`{words}", limit.as_secs_f64()))
        }
    }
}

/// Kills what a gate has started, when it is over: its own children too.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let leader = self.0.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(leader) = leader {
            // Nobody may be left, and then there is nothing to do.
            let _ = rustix::process::kill_process_group(leader, rustix::process::Signal::KILL);
        }
    }
}

async fn listen(mut pipe: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<u8>>>) {
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.extend_from_slice(&buffer[..count]);
        let surplus = said.len().saturating_sub(TAIL);
        said.drain(..surplus);
    }
}

fn last_lines(text: &str, mask: &Mask) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let from = lines.len().saturating_sub(LINES);
    let told = lines[from..].join(" | ");
    if told.is_empty() { String::new() } else { format!(": {}", mask.text(&told)) }
}

/// Whether to try again.
enum Answer {
    Open,
    Closed(String),
    Later(String),
}

async fn http(
    gate: &Gate,
    url: &str,
    token_env: Option<&str>,
    limit: Duration,
    mask: &Mask,
) -> Result<(), String> {
    let token = match token_env {
        None => None,
        Some(name) => match std::env::var(name).ok().filter(|value| !value.trim().is_empty()) {
            Some(token) => {
                mask.learn_values([token.trim()]);
                Some(token.trim().to_owned())
            }
            None => return Err(format!("its gate needs a token, and the variable is not set: `{name}`")),
        },
    };
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(500);
    let mut last = "no answer".to_owned();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(format!("{gate} did not open within {} s: {last}", limit.as_secs_f64()));
        }
        let (address, token) = (url.to_owned(), token.clone());
        let answer = tokio::task::spawn_blocking(move || get(&address, token.as_deref(), left)).await;
        match answer {
            Ok(Answer::Open) => return Ok(()),
            Ok(Answer::Closed(why)) => {
                return Err(format!("its gate is closed, {gate}: {}", mask.text(&why)));
            }
            Ok(Answer::Later(why)) => last = mask.text(&why),
            Err(error) => last = error.to_string(),
        }
        sleep(pause.min(deadline.saturating_duration_since(Instant::now()))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// One GET. What the network or an overloaded server does may pass; any other answer than 2xx is a no.
fn get(url: &str, token: Option<&str>, limit: Duration) -> Answer {
    let agent: ureq::Agent = http::config()
        .timeout_global(Some(limit))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .build()
        .into();
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    match request.call() {
        Ok(answer) => match answer.status().as_u16() {
            200..=299 => Answer::Open,
            code @ (429 | 500..=599) => Answer::Later(format!("it answers {code}")),
            code => Answer::Closed(format!("it answers {code}")),
        },
        // The text of these errors may name the address with its query.
        Err(ureq::Error::Timeout(_)) => Answer::Later("it does not answer".to_owned()),
        Err(ureq::Error::HostNotFound) => Answer::Later("its name is not known".to_owned()),
        Err(ureq::Error::Io(error)) => Answer::Later(error.to_string()),
        Err(ureq::Error::ConnectionFailed) => Answer::Later("it cannot be connected to".to_owned()),
        Err(ureq::Error::BadUri(_)) => Answer::Closed("its address is not valid".to_owned()),
        Err(error) => Answer::Later(error.to_string().replace(url, "the address")),
    }
}
