//! The wires: how a repository's URL becomes a conversation.

use crate::address::{Address, redact};
use crate::fault::GitError;
use crate::local::{Local, LocalRepo};
use crate::remote::RemoteSpec;
use crate::session::Session;

/// Prepares to talk to a repository. Nothing is sent yet.
///
/// # Errors
/// [`GitError::Url`] and what can be found out about a repository of this machine.
pub(crate) fn open(remote: &RemoteSpec) -> Result<Box<dyn Session>, GitError> {
    match Address::parse(&remote.url)? {
        Address::Local(path) => match LocalRepo::open(&path)? {
            Local::Direct(repo) => Ok(Box::new(repo)),
            Local::ThroughGit(reason) => {
                Err(GitError::Local { path, action: "opening it", reason: reason.to_string() })
            }
        },
        Address::Http { .. } | Address::Ssh { .. } | Address::Daemon { .. } => {
            Err(GitError::Url { url: redact(&remote.url), reason: "this wire is not there yet".to_string() })
        }
    }
}
