//! Small changes, for the tests that push them.
#![allow(dead_code, reason = "not every test needs all of it")]

use std::time::Duration;

use gitrepo::{
    Change, CommitSpec, GitError, Identity, Outcome, Pushed, RemoteSpec, RetryPolicy, UpdateError,
};

pub(crate) type Result = std::result::Result<Outcome, UpdateError<GitError>>;

/// One file, one content, and a commit that names both.
pub(crate) fn write(path: &str, content: &str) -> Option<Change> {
    let me = Identity::now("Tester", "tester@example.org");
    Some(Change {
        files: vec![(path.to_string(), content.as_bytes().to_vec())],
        commit: CommitSpec {
            author: me.clone(),
            committer: me,
            message: format!("{path}: {}", content.trim()),
            signer: None,
        },
    })
}

/// Retries that do not wait long.
pub(crate) fn at_once() -> RetryPolicy {
    RetryPolicy { increment: Duration::from_millis(10), ..RetryPolicy::default() }
}

/// Pushes one file.
pub(crate) fn put(remote: &RemoteSpec, path: &str, content: &str) -> Result {
    gitrepo::update(remote, &at_once(), &mut |_| {}, &mut |_| Ok(write(path, content)))
}

/// What was pushed.
pub(crate) fn pushed(outcome: Outcome) -> Pushed {
    match outcome {
        Outcome::Pushed(pushed) => pushed,
        Outcome::NoChange(same) => panic!("nothing was pushed: {same:?}"),
    }
}
