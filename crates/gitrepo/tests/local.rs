//! Repositories of this machine, through libgit2.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use gitrepo::{Change, CommitSpec, GitError, Identity, Outcome, RemoteSpec, RetryPolicy, UpdateError};

fn commit(message: &str) -> CommitSpec {
    let me = Identity::now("Tester", "t@example.org");
    CommitSpec { author: me.clone(), committer: me, message: message.to_string(), signer: None }
}

fn write(path: &str, content: &str) -> Option<Change> {
    Some(Change {
        files: vec![(path.to_string(), content.as_bytes().to_vec())],
        commit: commit(&format!("{path}: {content}")),
    })
}

fn policy() -> RetryPolicy {
    RetryPolicy { increment: Duration::from_millis(10), retries: 100, ..RetryPolicy::default() }
}

fn empty() -> (tempfile::TempDir, RemoteSpec) {
    let dir = tempfile::tempdir().unwrap();
    git2::Repository::init_bare(dir.path()).unwrap();
    let mut remote = RemoteSpec::new(dir.path().to_string_lossy());
    remote.branch = Some("main".to_string());
    remote.create_branch = true;
    (dir, remote)
}

fn put(remote: &RemoteSpec, path: &str, content: &str) -> Outcome {
    gitrepo::update::<GitError>(remote, &policy(), &mut |_| {}, &mut |_| Ok(write(path, content))).unwrap()
}

#[test]
fn an_empty_repository_is_an_error_unless_the_branch_is_to_be_created() {
    let (_dir, mut remote) = empty();
    remote.create_branch = false;
    let error = gitrepo::update::<GitError>(&remote, &policy(), &mut |_| {}, &mut |_| Ok(None)).unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Empty { .. })));
    remote.create_branch = true;
    let Outcome::Pushed(pushed) = put(&remote, "a/b.yaml", "x") else { panic!() };
    assert_eq!((pushed.parent, pushed.created_branch), (None, true));
}

#[test]
fn the_same_content_again_is_no_change() {
    let (_dir, remote) = empty();
    assert!(matches!(put(&remote, "a/b", "x"), Outcome::Pushed(_)));
    assert!(matches!(put(&remote, "a/b", "x"), Outcome::NoChange(_)));
    assert!(matches!(put(&remote, "a/b", "y"), Outcome::Pushed(_)));
}

#[test]
fn files_are_listed_and_their_history_is_told() {
    let (_dir, remote) = empty();
    for (path, content) in [("b/z", "1"), ("b/y/x", "1"), ("a", "1"), ("b/z", "2"), ("b0", "1")] {
        put(&remote, path, content);
    }
    gitrepo::update::<GitError>(&remote, &policy(), &mut |_| {}, &mut |tip| {
        assert_eq!(tip.list("")?, ["a", "b/y/x", "b/z", "b0"]);
        assert_eq!(tip.list("b")?, ["b/y/x", "b/z"]);
        assert_eq!(tip.list("a")?, ["a"]);
        assert!(tip.list("c")?.is_empty());
        let messages = |log: Vec<gitrepo::CommitInfo>| -> Vec<String> {
            log.into_iter().map(|c| c.message.trim().to_string()).collect()
        };
        assert_eq!(messages(tip.log("b/z", 10)?), ["b/z: 2", "b/z: 1"]);
        assert_eq!(messages(tip.log("b/z", 1)?), ["b/z: 2"]);
        assert_eq!(messages(tip.log("b", 10)?), ["b/z: 2", "b/y/x: 1", "b/z: 1"]);
        assert!(tip.read("b").is_err());
        assert!(tip.read("../b").is_err());
        assert_eq!(tip.read("b/none/x")?, None);
        Ok(None)
    })
    .unwrap();
}

#[test]
fn a_hundred_writers_lose_nothing() {
    let (dir, remote) = empty();
    put(&remote, "start", "x");
    std::thread::scope(|scope| {
        for n in 0..100 {
            let remote = &remote;
            scope.spawn(move || put(remote, &format!("images/{n}.yaml"), "x"));
        }
    });
    let repo = git2::Repository::open(dir.path()).unwrap();
    let mut commit = repo.find_reference("refs/heads/main").unwrap().peel_to_commit().unwrap();
    let tree = commit.tree().unwrap();
    let images = tree.get_name("images").unwrap().to_object(&repo).unwrap();
    assert_eq!(images.as_tree().unwrap().len(), 100);
    let mut count = 1;
    while commit.parent_count() > 0 {
        assert_eq!(commit.parent_count(), 1);
        commit = commit.parent(0).unwrap();
        count += 1;
    }
    assert_eq!(count, 101);
}
