//! Order: holds, and images of older builds.

use testkit::Sandbox;

use crate::{
    assert_answer,
    remote::{KIT_YAML, Remote, WEB_FILE, commit},
};

/// The service's source: three commits, one after the other, and one beside them.
fn source(sandbox: &Sandbox) -> Vec<String> {
    let repository = git2::Repository::init_bare(sandbox.join("source.git")).unwrap();
    let mut ids: Vec<String> =
        ["1", "2", "3"].iter().map(|n| commit(&repository, "main", n, &[("n", n)])).collect();
    let first = repository.find_commit(ids[0].parse().unwrap()).unwrap();
    repository.branch("side", &first, false).unwrap();
    ids.push(commit(&repository, "side", "4", &[("n", "4")]));
    ids
}

fn deploy(remote: &Remote, tag: &str, source_commit: &str) -> testkit::Answer {
    let image = format!("quay.io/acme/web:{tag}");
    let args = ["--branch", "main", "--image", &image, "--guard", "--source-repo", "source.git"];
    remote.run(&[&args[..], &["--source-commit", source_commit]].concat())
}

#[test]
fn a_newer_build_is_not_overwritten_by_an_older_one() {
    let remote = Remote::new();
    let ids = source(&remote.sandbox);
    // Nothing is recorded about the first image.
    assert!(deploy(&remote, "b", &ids[1]).success().stderr.contains("its order is not known"));
    let refused = deploy(&remote, "a", &ids[0]);
    assert_eq!(refused.exit_code, 5);
    assert!(remote.file("main", WEB_FILE).unwrap().contains("web:b"));
    deploy(&remote, "c", &ids[2]).success();
    // The same commit built again, and a line of its own.
    deploy(&remote, "c2", &ids[2]).success();
    deploy(&remote, "d", &ids[3]).success();
    assert_answer!(refused);
}

#[test]
fn the_record_is_found_below_commits_that_did_not_write_the_image() {
    let remote = Remote::new();
    let ids = source(&remote.sandbox);
    deploy(&remote, "c", &ids[2]).success();
    let edited = remote.file("main", WEB_FILE).unwrap().replace("# the shop", "# our shop");
    remote.commit("main", "a comment", &[(WEB_FILE, &edited)]);
    assert_eq!(deploy(&remote, "a", &ids[0]).exit_code, 5);
}

#[test]
fn a_commit_that_the_clone_does_not_hold_may_be_newer() {
    let remote = Remote::new();
    source(&remote.sandbox);
    deploy(&remote, "x", &"ab".repeat(20)).success();
    let answer = deploy(&remote, "y", &"cd".repeat(20));
    assert_eq!(answer.exit_code, 5);
    assert_answer!(answer);
}

#[test]
fn a_guard_without_a_clone_or_a_commit_is_a_usage_error() {
    let remote = Remote::new();
    let ids = source(&remote.sandbox);
    deploy(&remote, "b", &ids[1]).success();
    let args = ["--branch", "main", "--image", "quay.io/acme/web:c", "--guard"];
    let no_commit = remote.run(&args);
    let no_clone =
        remote.run(&[&args[..], &["--source-commit", &ids[2], "--source-repo", "nowhere"]].concat());
    assert_eq!((no_commit.exit_code, no_clone.exit_code), (2, 2));
    assert_answer!(format!("{no_commit}{no_clone}"));
}

#[test]
fn a_hold_stays_until_it_is_removed() {
    let held = "image: quay.io/acme/web:old # kit: hold the new one loses orders, Zoë\n";
    let remote = Remote::with(&[("kit.yaml", KIT_YAML), (WEB_FILE, held)]);
    let args = ["--branch", "main", "--image", "quay.io/acme/web:new"];
    let refused = remote.run(&args);
    assert_eq!(refused.exit_code, 5);
    assert_eq!(remote.file("main", WEB_FILE).unwrap(), held);
    // What is held is what is asked for: nothing to refuse.
    remote.run(&["--branch", "main", "--image", "quay.io/acme/web:old"]).success();
    remote.run(&[&args[..], &["--ignore-hold"]].concat()).success();
    assert_eq!(remote.file("main", WEB_FILE).unwrap(), held.replace("web:old", "web:new"));
    assert_answer!(refused);
}
