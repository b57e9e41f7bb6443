//! What is committed, and what is told about it.

use crate::{
    assert_answer,
    remote::{KIT_YAML, Remote, WEB, WEB_FILE},
};

const IMAGE: [&str; 4] = ["--branch", "main", "--image", "quay.io/acme/web:main-2"];

#[test]
fn an_image_is_committed_and_no_other_byte_changes() {
    let remote = Remote::new();
    let answer = remote.run(&IMAGE);
    assert_eq!(remote.file("main", WEB_FILE).unwrap(), WEB.replace("main-1", "main-2"));
    assert_eq!(remote.file("main", "kit.yaml").unwrap(), KIT_YAML);
    assert_eq!(remote.tip("main").1, 2);
    assert_answer!(answer);
}

#[test]
fn the_same_image_again_makes_no_commit() {
    let remote = Remote::new();
    remote.run(&IMAGE).success();
    let before = remote.tip("main");
    let answer = remote.run(&IMAGE);
    assert_eq!(remote.tip("main"), before);
    assert_answer!(answer);
}

#[test]
fn a_dry_run_prints_the_diff_and_writes_nothing() {
    let remote = Remote::new();
    let before = remote.tip("main");
    let answer = remote.run(&[&IMAGE[..], &["--dry-run"]].concat());
    let as_kit = remote.sandbox.run(remote.call(&IMAGE).env("COMMIT", "false"));
    assert_eq!(answer, as_kit);
    assert_eq!(remote.tip("main"), before);
    assert_answer!(answer);
}

#[test]
fn the_json_of_a_push_says_what_was_written_where() {
    let remote = Remote::new();
    let answer = remote.run(&[&IMAGE[..], &["--output", "json"]].concat()).success();
    let json = answer.json();
    let (commit, _, message) = remote.tip("main");
    assert_eq!(json["outcome"], "pushed");
    assert_eq!(json["commit"], commit);
    assert_eq!(json["message"], message);
    assert_answer!(answer);
}

#[test]
fn the_json_of_a_dry_run_holds_the_diff() {
    let remote = Remote::new();
    let answer = remote.run(&[&IMAGE[..], &["--output", "json", "--dry-run"]].concat());
    assert_answer!(answer);
}

#[test]
fn the_json_of_a_failure_is_on_stdout_too() {
    let remote = Remote::new();
    let answer = remote.run(&["--branch", "main", "--image", "quay.io/Acme", "--output", "json"]);
    assert_eq!(answer.exit_code, 2);
    assert_answer!(answer);
}

#[test]
fn a_detailed_exit_code_tells_a_change_from_none() {
    let remote = Remote::new();
    let args = [&IMAGE[..], &["--detailed-exitcode"]].concat();
    assert_eq!(remote.run(&[&args[..], &["--dry-run"]].concat()).exit_code, 3);
    assert_eq!(remote.run(&args).exit_code, 3);
    assert_eq!(remote.run(&args).exit_code, 0);
}

#[test]
fn a_missing_image_file_is_created_as_kit_does() {
    let remote = Remote::new();
    let answer = remote.run(&["--branch", "feature/x", "--image", "quay.io/acme/api:1.10"]);
    assert_eq!(
        remote.file("main", "images/acme/api/feature/x.yaml").unwrap(),
        "image: quay.io/acme/api:1.10\n"
    );
    assert_answer!(answer);
}

#[test]
fn several_images_are_one_commit() {
    let remote = Remote::new();
    let answer = remote.run(&[
        "--branch",
        "main",
        "--image",
        "quay.io/acme/web:main-2",
        "--image",
        "quay.io/acme/api:main-2",
    ]);
    assert_eq!(remote.tip("main").1, 2);
    assert!(remote.file("main", "images/acme/api/main.yaml").is_some());
    assert_answer!(format!("{answer}--- message\n{}", remote.tip("main").2));
}

#[test]
fn a_list_on_stdin_may_name_places() {
    let remote = Remote::with(&[
        ("kit.yaml", KIT_YAML),
        (WEB_FILE, WEB),
        ("charts/api/values.yaml", "image:\n  repository: quay.io/acme/api\n  tag: '1'\n"),
    ]);
    let list =
        "# two of them\nquay.io/acme/web:main-2\n\nquay.io/acme/api:2  charts/api/values.yaml  image.tag\n";
    let answer = remote.sandbox.run(remote.call(&["--branch", "main", "--image", "-"]).stdin(list)).success();
    assert_eq!(
        remote.file("main", "charts/api/values.yaml").unwrap(),
        "image:\n  repository: quay.io/acme/api\n  tag: '2'\n"
    );
    assert_answer!(answer);
}

#[test]
fn the_message_is_a_template_with_trailers_below_it() {
    let remote = Remote::new();
    remote
        .run(&[
            &IMAGE[..],
            &[
                "--message",
                "deploy {{ repository }} {{ old_tag }} -> {{ tag }} ({{ branch }})\n\n{% for c in changes %}* {{ c.image }}\n{% endfor %}{{ build_url }}",
                "--build-url",
                "https://ci.example.com/7",
                "--source-commit",
                "0123abc",
            ],
        ]
        .concat())
        .success();
    assert_eq!(
        remote.tip("main").2,
        "deploy quay.io/acme/web main-1 -> main-2 (main)\n\n* quay.io/acme/web:main-2\nhttps://ci.example.com/7\n\n\
         Image: quay.io/acme/web:main-2\nPrevious-Image: quay.io/acme/web:main-1\nSource-Commit: 0123abc\n\
         Build-Url: https://ci.example.com/7\n"
    );
}

#[test]
fn kits_message_is_taken_to_the_letter() {
    let remote = Remote::new();
    remote.sandbox.run(remote.call(&IMAGE).env("CI_COMMIT_MESSAGE", "fix {{ braces")).success();
    assert!(remote.tip("main").2.starts_with("fix {{ braces\n\nImage: "));
}

#[test]
fn author_and_committer_are_as_asked_for() {
    let remote = Remote::new();
    let call = remote
        .call(&IMAGE)
        .args(["--author-name", "Zoë", "--author-email", "zoe@example.com"])
        .env("CI_COMMITTER_NAME", "CI")
        .env("CI_COMMITTER_EMAIL", "ci@example.com");
    remote.sandbox.run(call).success();
    let repository = remote.repository();
    let tip = repository.head().unwrap().peel_to_commit().unwrap();
    assert_eq!(tip.author().to_string(), "Zoë <zoe@example.com>");
    assert_eq!(tip.committer().to_string(), "CI <ci@example.com>");
}

#[test]
fn a_repository_that_wants_its_branch_made_gets_it() {
    let remote = Remote::empty();
    let args = ["--file", "web.yaml", "--property", "image", "--create", "--create-branch"];
    let args = [&["--image", "acme/web:1"], &args[..], &["--repo-branch", "main"]].concat();
    remote.run(&args).success();
    assert_eq!(remote.file("main", "web.yaml").unwrap(), "image: acme/web:1\n");
    remote.run(&[&args[..args.len() - 1], &["other"]].concat()).success();
}
