//! What servers and programs say when they refuse, made into errors of ours.

use std::io;

use super::pktline::ServerWords;
use crate::address::clean;
use crate::fault::GitError;

/// The error for what a server, `ssh` or `git` said. `None` if the words say nothing definite.
pub(crate) fn read(url: &str, action: &'static str, text: &str) -> Option<GitError> {
    let lower = text.to_ascii_lowercase();
    let any = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let (url, server) = (url.to_string(), tell(text));
    if any(TRANSIENT) {
        return Some(GitError::Network { url, action, reason: server });
    }
    if any(HOST_KEY) {
        return Some(GitError::Certificate { url, reason: server });
    }
    if any(ABSENT) {
        return Some(GitError::NotFound { url, server });
    }
    if any(DENIED) {
        return Some(GitError::Auth { url, server, sent_credentials: true, pushing: false });
    }
    None
}

/// The error for a stream that broke or ended.
pub(crate) fn of_stream(url: &str, action: &'static str, error: &io::Error) -> GitError {
    let url = url.to_string();
    let words = error.get_ref().and_then(|inner| inner.downcast_ref::<ServerWords>());
    if let Some(ServerWords(words)) = words {
        return read(&url, action, words).unwrap_or(GitError::Refused { url, action, server: clean(words) });
    }
    let reason = clean(&error.to_string());
    if error.kind() == io::ErrorKind::InvalidData {
        return GitError::Protocol { url, action, detail: reason };
    }
    let early = error.kind() == io::ErrorKind::UnexpectedEof;
    GitError::Network {
        url,
        action,
        reason: if early { "the answer ended too early".to_string() } else { reason },
    }
}

/// The lines that tell why, on one line.
fn tell(text: &str) -> String {
    let lines: Vec<String> = text
        .lines()
        .map(|line| clean(line.trim_start_matches("remote:").trim()))
        .filter(|line| !line.is_empty() && !NOISE.iter().any(|noise| line.starts_with(noise)))
        .take(6)
        .collect();
    if lines.is_empty() { clean(text.lines().next().unwrap_or_default()) } else { lines.join("; ") }
}

/// Lines of `ssh` that are there whatever happens.
const NOISE: [&str; 6] = [
    "Warning: Permanently added",
    "fatal: Could not read from remote repository",
    "Please make sure you have the correct access rights",
    "and the repository exists",
    "@@@",
    "===",
];

const TRANSIENT: &[&str] = &[
    "connection refused",
    "connection timed out",
    "connection reset",
    "connection closed",
    "closed by remote host",
    "kex_exchange_identification",
    "banner exchange",
    "broken pipe",
    "network is unreachable",
    "no route to host",
    "temporary failure in name resolution",
    "operation timed out",
    "try again later",
    "temporarily",
    "internal server error",
    "service unavailable",
    "exceeded maxstartups",
];

const HOST_KEY: &[&str] = &["host key verification failed", "remote host identification has changed"];

const ABSENT: &[&str] = &[
    "does not appear to be a git repository",
    "not a git repository",
    "repository not found",
    "repository not exported",
    "could not be found",
    "does not exist",
    "no such repository",
    "name or service not known",
    "could not resolve hostname",
    "nodename nor servname",
    "no such file or directory",
];

const DENIED: &[&str] = &[
    "permission denied",
    "access denied",
    "denied",
    "unauthorized",
    "not authorized",
    "not authorised",
    "authentication failed",
    "insufficient permission",
    "forbidden",
    "too many authentication failures",
    "don't have permission",
    "not enabled",
    "dubious ownership",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        let error = read("ssh://h/r", "reading", text).map(|error| format!("{error:?}"));
        error.map_or("none".into(), |text| text.split(' ').next().unwrap_or_default().to_string())
    }

    #[test]
    fn what_ssh_and_the_hosts_say_is_understood() {
        for (text, expected) in [
            ("git@h: Permission denied (publickey).", "Auth"),
            ("ERROR: Permission to o/r.git denied to deploy-key.", "Auth"),
            ("FATAL: W any r u DENIED by fallthru", "Auth"),
            ("ERROR: Repository not found.", "NotFound"),
            (
                "remote: ERROR: The project you were looking for could not be found or you don't have permission to view it.",
                "NotFound",
            ),
            ("fatal: '/r' does not appear to be a git repository", "NotFound"),
            ("access denied or repository not exported: /r", "NotFound"),
            ("ssh: Could not resolve hostname nope: Name or service not known", "NotFound"),
            ("ssh: Could not resolve hostname h: Temporary failure in name resolution", "Network"),
            ("kex_exchange_identification: Connection closed by remote host", "Network"),
            ("ssh: connect to host h port 22: Connection refused", "Network"),
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.",
                "Certificate",
            ),
            ("fatal: the moon is wrong", "none"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }
}
