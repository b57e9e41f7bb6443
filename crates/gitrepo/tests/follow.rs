//! A branch that is looked at again and again.
#![allow(clippy::unwrap_used)]

mod writing;

use std::time::Duration;

use gitrepo::{Follower, GitError, Look, RemoteSpec, Snapshot};
use testkit::git::{BareRepo, HttpServer};
use writing::{pushed, put};

const MINUTE: Duration = Duration::from_secs(60);
const FILES: &[(&str, &str)] = &[
    ("generated/eu-1/web.yaml", "web: 1\n"),
    ("generated/eu-1/deep/er/api.yaml", "api: 1\n"),
    ("generated/us-1/web.yaml", "web: us\n"),
    ("images/web/main.yaml", "image: web:1\n"),
    ("docs/long.md", "text\n"),
];

fn moved(look: Look) -> Snapshot {
    match look {
        Look::Moved(snapshot) => snapshot,
        Look::Same => panic!("the branch is said not to have moved"),
    }
}

/// Looks, looks again, and follows a change here, one elsewhere, and one that takes a folder away.
fn follows(repo: &BareRepo, remote: &RemoteSpec) {
    let mut follower = Follower::new(remote.clone());
    let paths = ["generated/eu-1", "namespaces/eu-1"];
    let first = moved(follower.look(&paths, None, MINUTE).unwrap());
    assert_eq!((first.commit.as_str(), first.branch.as_str()), (repo.commit("main").as_str(), "main"));
    let names: Vec<&str> = first.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["generated/eu-1/deep/er/api.yaml", "generated/eu-1/web.yaml"]);
    assert_eq!(first.files["generated/eu-1/web.yaml"], b"web: 1\n");
    assert_eq!(first.missing, ["namespaces/eu-1"]);
    assert_eq!(follower.look(&paths, Some(&first.commit), MINUTE).unwrap(), Look::Same);

    pushed(put(remote, "generated/eu-1/web.yaml", "web: 2\n").unwrap());
    let second = moved(follower.look(&paths, Some(&first.commit), MINUTE).unwrap());
    assert_eq!(second.files["generated/eu-1/web.yaml"], b"web: 2\n");
    assert_eq!(second.files["generated/eu-1/deep/er/api.yaml"], b"api: 1\n");
    assert!(follower.descends(&second.commit, &first.commit, MINUTE).unwrap());
    assert!(!follower.descends(&first.commit, &second.commit, MINUTE).unwrap());

    pushed(put(remote, "docs/long.md", "other\n").unwrap());
    let third = moved(follower.look(&paths, Some(&second.commit), MINUTE).unwrap());
    assert_eq!(third.files, second.files);
    let nothing = moved(follower.look(&["generated/gone"], Some(&second.commit), MINUTE).unwrap());
    assert_eq!((nothing.files.len(), nothing.missing), (0, vec!["generated/gone".to_owned()]));
}

#[test]
fn a_branch_over_http_is_followed() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    follows(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn a_branch_of_a_server_with_whole_tips_only_is_followed() {
    let repo = BareRepo::with_files(FILES);
    repo.config("uploadpack.allowFilter", "false");
    let server = HttpServer::serve(repo.root()).protocol_v0().start();
    follows(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn a_branch_on_this_machine_is_followed() {
    let repo = BareRepo::with_files(FILES);
    follows(&repo, &RemoteSpec::new(repo.path().to_string_lossy()));
}

#[test]
fn only_what_changed_is_fetched() {
    let repo = BareRepo::of_size(3000, 1);
    let server = HttpServer::serve(repo.root()).start();
    let remote = RemoteSpec::new(server.url());
    for n in 0..40 {
        let big = format!("# {}\n", format!("{n}-").repeat(2000));
        pushed(put(&remote, &format!("generated/eu-1/f{n}.yaml"), &big).unwrap());
    }
    let mut follower = Follower::new(remote.clone());
    let first = moved(follower.look(&["generated/eu-1"], None, MINUTE).unwrap());
    assert_eq!(first.files.len(), 40);
    let before = follower.traffic();
    follower.look(&["generated/eu-1"], Some(&first.commit), MINUTE).unwrap();
    let same = follower.traffic();
    assert!(same.requests - before.requests <= 2, "{same:?} after {before:?}");
    assert!(same.received - before.received < 2_000, "{same:?} after {before:?}");
    pushed(put(&remote, "generated/eu-1/f7.yaml", "small: 1\n").unwrap());
    let second = moved(follower.look(&["generated/eu-1"], Some(&first.commit), MINUTE).unwrap());
    let after = follower.traffic();
    assert_eq!(second.files["generated/eu-1/f7.yaml"], b"small: 1\n");
    assert!(after.received - same.received < 8_000, "{after:?} after {same:?}");
}

#[test]
fn what_cannot_be_followed_is_refused() {
    let repo = BareRepo::with_files(FILES);
    let look = |branch: &str, path: &str| {
        let mut remote = RemoteSpec::new(repo.path().to_string_lossy());
        remote.branch = Some(branch.to_owned());
        Follower::new(remote).look(&[path], None, MINUTE).unwrap_err()
    };
    assert!(matches!(look("nope", "generated"), GitError::NoBranch { .. }));
    assert!(matches!(look("main", "../x"), GitError::Path { .. }));
    assert!(matches!(look("main", ""), GitError::Path { .. }));
    let empty = BareRepo::empty();
    let nothing = Follower::new(RemoteSpec::new(empty.path().to_string_lossy())).look(&["x"], None, MINUTE);
    assert!(nothing.is_err());
}
