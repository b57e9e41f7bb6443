//! The small part of git's protocol that one commit needs, and the lines it goes over.
//!
//! * `pktline`, `pack`: the bytes. `advert`, `requests`, `report`: what is said with them.
//! * `repository`: the conversation, on any [`line::Line`].
//! * `http` (ureq, rustls), `stream` (`ssh`, `git`, `git://`): the lines.
//! * `spool`: the last resort, for servers that give out whole tips only.

mod advert;
mod counting;
mod credential;
mod http;
mod line;
mod pack;
mod pktline;
mod proxies;
mod report;
mod repository;
mod requests;
mod spool;
mod ssh;
mod stream;
mod words;

use crate::address::{Address, redact};
use crate::fault::GitError;
use crate::local::{Local, LocalRepo};
use crate::remote::RemoteSpec;
use crate::session::Session;
use repository::Repository;
use stream::{Dial, Stream};

/// Prepares to talk to a repository. Nothing is sent yet.
///
/// # Errors
/// [`GitError::Url`], [`GitError::File`], and what can be found out about a repository of this
/// machine.
pub(crate) fn open(remote: &RemoteSpec) -> Result<Box<dyn Session>, GitError> {
    let url = redact(&remote.url);
    let mut note = None;
    let dial = match Address::parse(&remote.url)? {
        Address::Http { url: base, host, user } => {
            let line = http::Http::new(remote, base, host, user)?;
            return Ok(Box::new(Repository::new(line, url, remote, None)));
        }
        Address::Local(path) => match LocalRepo::open(&path)? {
            Local::Direct(repo) => return Ok(Box::new(repo)),
            Local::ThroughGit(reason) => {
                note = Some(format!("through `git` itself: {reason}"));
                ssh::git(&remote.git_program, &path)
            }
        },
        Address::Ssh { destination, port, path } => {
            ssh::ssh(remote.ssh_command.as_deref(), &destination, port, &path)
        }
        Address::Daemon { host, port, path } => Dial::Daemon { host, port, path },
    };
    let line = Stream::new(dial, url.clone(), remote.timeouts);
    Ok(Box::new(Repository::new(line, url, remote, note)))
}
