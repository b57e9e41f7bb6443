//! `--push-branch`: a branch for a review.

use crate::remote::{Remote, WEB_FILE};

const IMAGE: [&str; 6] =
    ["--branch", "main", "--image", "quay.io/acme/web:main-2", "--push-branch", "deploy/web"];

#[test]
fn a_branch_is_made_and_the_one_it_is_from_stays() {
    let remote = Remote::new();
    let before = remote.tip("main");
    let json = remote.run(&[&IMAGE[..], &["--output", "json"]].concat()).success().json();
    assert_eq!(json["branch"], "deploy/web");
    assert_eq!(json["createdBranch"], true);
    assert_eq!(json["parent"], before.0);
    assert_eq!(remote.tip("main"), before);
    assert!(remote.file("deploy/web", WEB_FILE).unwrap().contains("main-2"));
    // Again: nothing to change there, and a second commit for a newer image.
    assert_eq!(
        remote.run(&[&IMAGE[..], &["--output", "json"]].concat()).success().json()["outcome"],
        "unchanged"
    );
}

#[test]
fn a_dry_run_makes_no_branch() {
    let remote = Remote::new();
    remote.run(&[&IMAGE[..], &["--dry-run"]].concat()).success();
    assert!(remote.file("deploy/web", WEB_FILE).is_none());
}
