//! `git credential`: the helpers that the user has configured (gitcredentials).

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::auth::Secret;
use crate::fault::GitError;

/// What a helper gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) username: String,
    pub(crate) password: Secret,
}

/// Asks the helpers for a user and password for `url`. `None` if none of them knows any.
///
/// Nobody is asked at a terminal: prompts are switched off.
///
/// # Errors
/// [`GitError::Program`] if `git` cannot be run.
pub(crate) fn fill(git: &Path, url: &str) -> Result<Option<Credential>, GitError> {
    let answer = run(git, "fill", &format!("url={url}\n\n"))?;
    let value = |key: &str| {
        answer.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('=')).map(str::to_string)
    };
    Ok(value("username")
        .zip(value("password"))
        .map(|(username, password)| Credential { username, password: Secret::new(password) }))
}

/// Tells the helpers whether what they gave was good, so that they keep or forget it.
pub(crate) fn judge(git: &Path, url: &str, credential: &Credential, good: bool) {
    let Credential { username, password } = credential;
    let input = format!("url={url}\nusername={username}\npassword={}\n\n", password.expose());
    // A helper that cannot store is no reason to fail.
    let _ = run(git, if good { "approve" } else { "reject" }, &input);
}

fn run(git: &Path, verb: &str, input: &str) -> Result<String, GitError> {
    let not_run = |error: std::io::Error| GitError::Program {
        program: format!("{} credential {verb}", git.display()),
        reason: error.to_string(),
    };
    let mut child = Command::new(git)
        .args(["-c", "core.askPass=", "credential", verb])
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "")
        .env_remove("SSH_ASKPASS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(not_run)?;
    if let Some(mut stdin) = child.stdin.take() {
        // It may have answered without reading all.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(not_run)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
