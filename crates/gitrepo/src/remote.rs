//! Which repository, how to reach it, as whom.

use std::path::PathBuf;
use std::time::Duration;

use crate::auth::Auth;
use crate::stop::Stop;

/// A remote repository and everything that is needed to talk to it.
///
/// Plain data: nothing here is read from the environment or from git's configuration; the caller
/// passes in what it wants honoured (`GIT_SSH_COMMAND`, `HTTPS_PROXY`, `GIT_SSL_CAINFO`, …).
#[derive(Debug, Clone)]
pub struct RemoteSpec {
    /// Any URL or path that git takes: `https`, `http`, `ssh`, `user@host:path`, `git`, `file`.
    pub url: String,
    /// The branch to read and to push to, without `refs/heads/`. Default: the remote's `HEAD`.
    pub branch: Option<String>,
    /// Who we are, over http(s).
    pub auth: Auth,
    /// Create the branch (from the remote's `HEAD`), or the first commit of an empty repository,
    /// if it does not exist. Otherwise that is an error.
    pub create_branch: bool,
    /// Certificate authorities to trust instead of the system's (a PEM file).
    pub ca_file: Option<PathBuf>,
    /// The proxies to go through for http(s).
    pub proxy: Proxy,
    /// The command to run for ssh, read by `sh` as `GIT_SSH_COMMAND` is. Default: `ssh`.
    pub ssh_command: Option<String>,
    /// The `git` program: only used for [`Auth::CredentialHelper`] and for repositories on this
    /// machine that libgit2 must not write to itself (with hooks, with a work tree, SHA-256).
    pub git_program: PathBuf,
    /// How long to wait.
    pub timeouts: Timeouts,
    /// What we call ourselves to the server, `name/version`.
    pub agent: String,
    /// To end early: what a handler of signals asks.
    pub stop: Stop,
}

impl RemoteSpec {
    /// A repository by URL or path, with defaults for everything else.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            branch: None,
            auth: Auth::None,
            create_branch: false,
            ca_file: None,
            proxy: Proxy::default(),
            ssh_command: None,
            git_program: PathBuf::from("git"),
            timeouts: Timeouts::default(),
            agent: concat!("kit/", env!("CARGO_PKG_VERSION")).to_string(),
            stop: Stop::default(),
        }
    }
}

/// Proxies, as curl and git read them from the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxy {
    /// For `http://` (`http_proxy`).
    pub http: Option<String>,
    /// For `https://` (`HTTPS_PROXY`).
    pub https: Option<String>,
    /// For both, where the one above is not set (`ALL_PROXY`).
    pub all: Option<String>,
    /// Hosts that are reached directly (`NO_PROXY`): names, `.suffixes`, addresses, CIDR blocks,
    /// each with an optional port, between commas; `*` for all.
    pub no_proxy: Option<String>,
}

/// Limits on one request. The limit on the whole is [`crate::RetryPolicy::deadline`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To reach the server, TLS included.
    pub connect: Duration,
    /// Without a byte from it.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(20), idle: Duration::from_secs(60) }
    }
}
