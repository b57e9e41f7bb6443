//! The few things one commit needs from a repository, whatever the wire.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::commit::NewObject;
use crate::fault::GitError;
use crate::object::{Kind, Object, ObjectFormat, Oid};

/// Bytes over the wire, TLS and HTTP headers included where we make them ourselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the server.
    pub received: u64,
    /// To the server.
    pub sent: u64,
    /// Requests over http; connections made otherwise.
    pub requests: u64,
}

/// The refs of a remote that were asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refs {
    /// The hash function of the repository.
    pub(crate) format: ObjectFormat,
    /// The branch that `HEAD` names (`refs/heads/…`), even if it has no commit yet.
    pub(crate) head: Option<String>,
    /// The commit `HEAD` stands for.
    pub(crate) head_commit: Option<Oid>,
    /// Full names to commits.
    pub(crate) refs: BTreeMap<String, Oid>,
}

/// What to get. Everything that comes is checked against its id and put in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Want<'a> {
    /// A commit, without history, and its root tree.
    Tip(Oid),
    /// A commit with everything in which it differs from one whose trees, as far as they were
    /// wanted, are in the store.
    Since { tip: Oid, known: Oid },
    /// These trees and blobs.
    Objects(&'a [Oid]),
    /// This tree with all trees below it.
    TreesBelow(Oid),
    /// So many generations of commits, without their trees.
    History { tip: Oid, depth: u32 },
}

/// Objects that came, by id. Kept between attempts: what did not change is not fetched again.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) format: ObjectFormat,
    pub(crate) objects: HashMap<Oid, Object>,
    /// The tip that was fetched last.
    pub(crate) tip: Option<Oid>,
    /// What came last.
    pub(crate) newest: Option<Kind>,
}

impl Store {
    pub(crate) fn has(&self, id: &Oid) -> bool {
        self.objects.contains_key(id)
    }
}

/// One update of one ref.
#[derive(Debug)]
pub(crate) struct PushRequest<'a> {
    /// `refs/heads/…`
    pub(crate) name: &'a str,
    /// What the ref must be for the push to happen; `None`: it must not exist.
    pub(crate) old: Option<Oid>,
    /// What it shall be.
    pub(crate) new: Oid,
    pub(crate) objects: &'a [NewObject],
}

/// The server's answer to a push.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PushReply {
    /// `Err` with the server's word for why it could not take the objects or move the ref.
    pub(crate) result: Option<String>,
    /// What it said meanwhile, line by line.
    pub(crate) messages: Vec<String>,
}

/// A push that got no answer.
#[derive(Debug)]
pub(crate) enum PushFault {
    /// It failed before the server had all of it: nothing has happened.
    NotSent(GitError),
    /// The server had it all, but no answer came: the commit may be there or not.
    Unknown(GitError),
}

/// A repository that is being talked to.
pub(crate) trait Session {
    /// When everything must be over.
    fn set_deadline(&mut self, deadline: Option<Instant>);
    /// Says that a push will follow, so that its connection is made meanwhile.
    fn expect_push(&mut self) {}
    /// Reads `HEAD` and the refs that start with one of `prefixes`, anew.
    fn refs(&mut self, prefixes: &[String]) -> Result<Refs, GitError>;
    /// Gets objects.
    fn fetch(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError>;
    /// Sends objects and moves one ref, if it is still what we think it is.
    fn push(&mut self, request: &PushRequest<'_>) -> Result<PushReply, PushFault>;
    /// Bytes so far.
    fn traffic(&self) -> Traffic;
    /// What was done in another way than hoped for since the last call, for the user to know.
    fn notes(&mut self) -> Vec<String> {
        Vec::new()
    }
}
