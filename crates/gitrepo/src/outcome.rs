//! What an update tells meanwhile, and how it ends.

use std::time::Duration;

use crate::commit::Change;
use crate::fault::GitError;
use crate::refusal::RefusalKind;
use crate::session::Traffic;
use crate::tip::TipReader;

/// A caller's decision: given the tip, what to change, if anything.
pub type Decide<'d, E> = dyn FnMut(&mut dyn TipReader) -> Result<Option<Change>, E> + 'd;

/// What happens meanwhile, for narration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PushEvent {
    /// The tip was read.
    Tip {
        /// The branch that will be written.
        branch: String,
        /// Its commit, or that of the branch it starts from; empty if there is none.
        commit: String,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// A commit was made and is being sent.
    Pushing {
        /// The commit.
        commit: String,
        /// 1 for the first attempt.
        attempt: u32,
    },
    /// The branch had moved meanwhile: waiting, then deciding again on the new tip.
    Raced {
        /// Which attempt this was.
        attempt: u32,
        /// The server's words.
        reason: String,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// The network or the server failed: waiting, then starting again.
    Fault {
        /// Which attempt this was.
        attempt: u32,
        /// What failed.
        reason: String,
        /// How long until the next attempt.
        wait: Duration,
    },
    /// Something is done in a slower way because the server cannot do better.
    Note(String),
    /// A line that the server sent while taking the push.
    Server(String),
}

/// How an update ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The branch already is as it should be.
    NoChange(NoChange),
    /// There is a new commit on the branch.
    Pushed(Pushed),
}

/// The branch already is as it should be: nothing was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoChange {
    /// The branch.
    pub branch: String,
    /// Its commit; empty if it has none.
    pub commit: String,
    /// How often the tip was read.
    pub attempts: u32,
    /// Bytes over the wire.
    pub traffic: Traffic,
}

/// A commit that is on the branch now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit.
    pub commit: String,
    /// The commit it was made on; `None` if it is the first of the repository.
    pub parent: Option<String>,
    /// The branch it is on.
    pub branch: String,
    /// Whether the branch was made by this push.
    pub created_branch: bool,
    /// How many attempts it took, 1 if none was in vain.
    pub attempts: u32,
    /// Bytes from the server, in all attempts together (0 for a repository of this machine).
    pub bytes_received: u64,
    /// Bytes to the server.
    pub bytes_sent: u64,
    /// HTTP requests or connections made.
    pub requests: u64,
    /// What the server said while taking the push, line by line (hosts put the URL for opening
    /// a review here).
    pub server_messages: Vec<String>,
}

/// What would be pushed.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The branch that would be written.
    pub branch: String,
    /// The commit it would be made on; `None` if it would be the first.
    pub parent: Option<String>,
    /// Whether the branch would be made.
    pub creates_branch: bool,
    /// The change, `None` if there is nothing to do.
    pub change: Option<Change>,
    /// Bytes over the wire.
    pub traffic: Traffic,
}

/// How an update failed. Nothing was written, but for [`UpdateError::Unknown`] and a
/// commit that [`UpdateError::Interrupted`] names.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError<E> {
    /// The caller's decision was an error.
    #[error(transparent)]
    Decide(E),
    /// The repository cannot be used.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The server refuses the push, and would again.
    #[error("the server refuses the push to `{branch}`: {reason}")]
    Refused {
        /// The branch.
        branch: String,
        /// What kind of rule it was.
        kind: RefusalKind,
        /// The server's word.
        reason: String,
        /// What it said beside it, line by line.
        server_messages: Vec<String>,
    },
    /// All attempts were in vain; nothing was written.
    #[error("gave up after {attempts} attempts in {:.1} s: {last}", elapsed.as_secs_f64())]
    Exhausted {
        /// How many.
        attempts: u32,
        /// How many of them lost a race.
        races: u32,
        /// In which time.
        elapsed: Duration,
        /// What stopped the last one.
        last: String,
    },
    /// [`crate::Stop`] was asked.
    #[error("interrupted before the push was done")]
    Interrupted {
        /// The commit of a push whose answer never came, which may be there.
        sent: Option<String>,
        /// The branch.
        branch: String,
    },
    /// A push was sent, its answer never came, and the branch could not be read again: the commit
    /// may be there.
    #[error("it is not known whether commit {commit} is on `{branch}`: {reason}")]
    Unknown {
        /// The commit that was sent.
        commit: String,
        /// The branch.
        branch: String,
        /// Why it cannot be known.
        reason: String,
    },
}
