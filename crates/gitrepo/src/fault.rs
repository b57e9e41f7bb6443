//! What can go wrong between us and a repository.

use std::path::PathBuf;

/// An error of the repository, the server or the way to it.
///
/// The text never holds a password or a token: URLs are shown without their user part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The URL cannot be used.
    #[error("the repository's URL cannot be used, {reason}: `{url}`")]
    Url {
        /// The URL, redacted.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// 401, 403, or ssh's "Permission denied".
    #[error("the server refuses access to `{url}`: {server}")]
    Auth {
        /// The URL, redacted.
        url: String,
        /// Status and the server's own words.
        server: String,
        /// Whether credentials were sent at all.
        sent_credentials: bool,
        /// Whether this was met when pushing (reading was allowed).
        pushing: bool,
    },
    /// There is no repository at this place, or not for us.
    #[error("no repository at `{url}`: {server}")]
    NotFound {
        /// The URL, redacted.
        url: String,
        /// The server's own words.
        server: String,
    },
    /// The branch does not exist.
    #[error("`{url}` has no branch `{branch}`")]
    NoBranch {
        /// The URL, redacted.
        url: String,
        /// The branch that was asked for.
        branch: String,
        /// Branches that exist and look alike, or all if there are few.
        others: Vec<String>,
    },
    /// The remote's `HEAD` names no branch.
    #[error("the `HEAD` of `{url}` names no branch, so a branch must be given")]
    NoHead {
        /// The URL, redacted.
        url: String,
    },
    /// A branch's name that git does not allow.
    #[error("not a name git allows for a branch: `{branch}`")]
    BranchName {
        /// The URL, redacted.
        url: String,
        /// The name.
        branch: String,
    },
    /// The repository has no commit yet.
    #[error("`{url}` is empty, it has no commit yet")]
    Empty {
        /// The URL, redacted.
        url: String,
    },
    /// The network, or the process that stands for it, failed. Worth another try.
    #[error("no answer from `{url}` while {action}: {reason}")]
    Network {
        /// The URL, redacted.
        url: String,
        /// What was being done ("reading the branch").
        action: &'static str,
        /// What the transport said.
        reason: String,
    },
    /// The server answered that it cannot now (5xx, 429). Worth another try.
    #[error("the server of `{url}` failed while {action}: {server}")]
    Server {
        /// The URL, redacted.
        url: String,
        /// What was being done.
        action: &'static str,
        /// Status and the server's own words.
        server: String,
        /// What its `Retry-After` asks for, in seconds.
        retry_after: Option<u64>,
    },
    /// The server's certificate (or host key, for ssh) is not trusted.
    #[error("the identity of the server of `{url}` cannot be verified: {reason}")]
    Certificate {
        /// The URL, redacted.
        url: String,
        /// What rustls or ssh said.
        reason: String,
    },
    /// The server refused a request for good (any other 4xx, an `ERR` line).
    #[error("the server of `{url}` refused while {action}: {server}")]
    Refused {
        /// The URL, redacted.
        url: String,
        /// What was being done.
        action: &'static str,
        /// The server's own words.
        server: String,
    },
    /// The server speaks something that is not git's protocol.
    #[error("`{url}` does not answer as a git server while {action}: {detail}")]
    Protocol {
        /// The URL, redacted.
        url: String,
        /// What was being done.
        action: &'static str,
        /// What was expected and what came.
        detail: String,
    },
    /// A program that is needed could not be run.
    #[error("cannot run `{program}`: {reason}")]
    Program {
        /// The program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// A repository of this machine cannot be read or written.
    #[error("cannot use the repository `{}` while {action}: {reason}", path.display())]
    Local {
        /// Its directory.
        path: PathBuf,
        /// What was being done.
        action: &'static str,
        /// What libgit2 or the system said.
        reason: String,
    },
    /// A file that we were given (CA bundle, key) cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A path that cannot be read or written in a repository.
    #[error("`{path}` cannot be used in the repository, {reason}")]
    Path {
        /// The path, as asked for.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The commit could not be signed.
    #[error("the commit cannot be signed: {reason}")]
    Sign {
        /// What the signer said.
        reason: String,
    },
}

impl GitError {
    /// Whether the same thing may succeed a moment later: network faults, 5xx, 429.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Network { .. } | Self::Server { .. })
    }

    /// How long the server asks us to wait, in seconds.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        if let Self::Server { retry_after, .. } = self { *retry_after } else { None }
    }

    /// What the user can do about it, as a sentence with a command where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Auth { sent_credentials: false, url, .. } if url.starts_with("http") => {
                Some("no credentials were sent: give a token in the environment".to_string())
            }
            Self::Auth { pushing: true, .. } => {
                Some("reading is allowed, writing is not: the token or key needs write access".to_string())
            }
            Self::Auth { url, .. } if url.starts_with("http") => {
                Some("check that the token is not expired and covers this repository".to_string())
            }
            Self::Auth { .. } => Some("try it by hand: ssh -T <user@host>".to_string()),
            Self::NotFound { url, .. } => Some(format!("try it by hand: git ls-remote {url}")),
            Self::NoBranch { others, .. } if !others.is_empty() => {
                Some(format!("it has: {}", others.join(", ")))
            }
            Self::Certificate { url, .. } if !url.starts_with("http") => Some(
                "add its host key, after checking it: ssh-keyscan <host> >> ~/.ssh/known_hosts".to_string(),
            ),
            Self::Certificate { .. } => {
                Some("give the certificate of its authority as a CA file (PEM)".to_string())
            }
            Self::Url { .. }
            | Self::NoBranch { .. }
            | Self::NoHead { .. }
            | Self::BranchName { .. }
            | Self::Empty { .. }
            | Self::Network { .. }
            | Self::Server { .. }
            | Self::Refused { .. }
            | Self::Protocol { .. }
            | Self::Program { .. }
            | Self::Local { .. }
            | Self::File { .. }
            | Self::Path { .. }
            | Self::Sign { .. } => None,
        }
    }
}
