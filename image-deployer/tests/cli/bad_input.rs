//! Bad input: the whole message, the exit code, and nothing written.

use testkit::{Answer, program};

use crate::{
    assert_answer,
    remote::{KIT_YAML, Remote, WEB, WEB_FILE},
};

const IMAGE: [&str; 4] = ["--branch", "main", "--image", "quay.io/acme/web:main-2"];

/// The answer, with the proof that the repository is as it was.
fn refused(remote: &Remote, code: i32, args: &[&str]) -> Answer {
    let before = remote.repository().head().ok().and_then(|head| head.target());
    let answer = remote.run(args);
    assert_eq!(answer.exit_code, code, "{answer}");
    assert_eq!(answer.stdout, "");
    assert_eq!(remote.repository().head().ok().and_then(|head| head.target()), before);
    answer
}

#[test]
fn no_kit_yaml() {
    let remote = Remote::with(&[("README.md", "x")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn a_kit_yaml_that_is_not_yaml() {
    let remote = Remote::with(&[("kit.yaml", "images: {path: ./images\nbase: [\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn an_unknown_key_in_kit_yaml() {
    let remote = Remote::with(&[("kit.yaml", "images: {path: ./images, propertie: image}\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn a_kit_yaml_without_images() {
    let remote = Remote::with(&[("kit.yaml", "base: {path: .}\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn an_images_path_that_leaves_the_repository() {
    let remote = Remote::with(&[("kit.yaml", "images: {path: ../images}\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn a_branch_that_leaves_its_folder() {
    let remote = Remote::new();
    assert_answer!(refused(&remote, 2, &["--branch", "../../../kit", "--image", "quay.io/acme/web:1"]));
}

#[test]
fn an_image_file_that_is_not_yaml() {
    let remote = Remote::with(&[("kit.yaml", KIT_YAML), (WEB_FILE, "image: a:1\n  b: [\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn an_image_file_with_its_property_twice() {
    let remote = Remote::with(&[("kit.yaml", KIT_YAML), (WEB_FILE, "image: a:1\nimage: a:2\n")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn an_image_file_that_is_a_directory() {
    let remote = Remote::with(&[("kit.yaml", KIT_YAML), ("images/acme/web/main.yaml/x", "1")]);
    assert_answer!(refused(&remote, 2, &IMAGE));
}

#[test]
fn image_references_that_are_none() {
    let remote = Remote::new();
    let answers: Vec<String> =
        ["quay.io/acme/Web:1", "https://quay.io/acme/web:1", "quay.io/acme/web", "a b", "x:y:z"]
            .iter()
            .map(|image| refused(&remote, 2, &["--branch", "main", "--image", image]).to_string())
            .collect();
    assert_answer!(answers.concat());
}

#[test]
fn everything_that_is_wrong_with_the_arguments_is_said_at_once() {
    let sandbox = testkit::Sandbox::new();
    let call = program("image-deployer")
        .args(["--object", "web", "--guard", "--deadline", "soon"])
        .env("COMMIT", "maybe")
        .env("RETRIES", "many")
        .env("RETRY_INCREMENT", "-1")
        .env("KIT_TOKEN_FILE", "missing");
    let answer = sandbox.run(call);
    assert_eq!(answer.exit_code, 2);
    assert_answer!(answer);
}

#[test]
fn places_that_do_not_fit_the_images() {
    let remote = Remote::new();
    let two = ["--image", "a/b:1", "--image", "a/c:1"];
    let cases: [Vec<&str>; 6] = [
        vec!["--image", "a/b:1", "--file", "x.yaml"],
        vec!["--image", "a/b:1", "--property", "image"],
        vec!["--image", "a/b:1", "--file", "x.yaml", "--property", "a..b"],
        vec!["--image", "a/b:1", "--file", "../x.yaml", "--property", "a"],
        [&two[..], &["--file", "x.yaml", "--property", "image"]].concat(),
        vec!["--image", "a/b:1", "--file", "x.yaml", "--property", "image.digest"],
    ];
    let answers: Vec<String> = cases.iter().map(|args| refused(&remote, 2, args).to_string()).collect();
    assert_answer!(answers.concat());
}

#[test]
fn a_template_that_cannot_be_used() {
    let remote = Remote::new();
    let unknown = refused(&remote, 2, &[&IMAGE[..], &["--message", "{{ nothing }}"]].concat());
    let broken = refused(&remote, 2, &[&IMAGE[..], &["--message", "x\n{{ image"]].concat());
    assert_answer!(format!("{unknown}{broken}"));
}

#[test]
fn a_remote_that_is_not_there() {
    let sandbox = testkit::Sandbox::new();
    let call = program("image-deployer").args(["--repo", "nowhere.git"]).args(IMAGE);
    let answer = sandbox.run(call);
    assert_eq!(answer.exit_code, 1);
    assert_answer!(answer);
}

#[test]
fn a_remote_that_is_a_file() {
    let sandbox = testkit::Sandbox::new();
    sandbox.write("file.git", "x");
    let answer = sandbox.run(program("image-deployer").args(["--repo", "file.git"]).args(IMAGE));
    assert_eq!(answer.exit_code, 1);
    assert_answer!(answer);
}

#[test]
fn a_remote_without_a_commit() {
    assert_answer!(refused(&Remote::empty(), 2, &IMAGE));
}

#[test]
fn a_remote_without_the_branch() {
    let remote = Remote::new();
    assert_answer!(refused(&remote, 2, &[&IMAGE[..], &["--repo-branch", "release"]].concat()));
}

#[test]
fn a_branch_name_that_git_does_not_allow() {
    let remote = Remote::new();
    assert_answer!(refused(&remote, 2, &[&IMAGE[..], &["--repo-branch", "a..b"]].concat()));
}

#[test]
fn a_remote_that_nobody_listens_at() {
    let sandbox = testkit::Sandbox::new();
    let repo = "http://user:secret@127.0.0.1:9/m.git";
    let args = ["--repo", repo, "--retries", "1", "--retry-increment", "0.01"];
    let answer = sandbox.run(program("image-deployer").args(args).args(IMAGE));
    assert_eq!(answer.exit_code, 1);
    assert!(!answer.to_string().contains("secret"));
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in \d+\.\d s", "in [TIME]");
    settings.bind(|| {
        assert_answer!(answer);
    });
}

#[test]
fn a_remote_that_a_hook_protects() {
    use std::os::unix::fs::PermissionsExt as _;
    let remote = Remote::new();
    let hook = remote
        .sandbox
        .write("manifests.git/hooks/pre-receive", "#!/bin/sh\necho 'frozen until Monday' >&2\nexit 1\n");
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_answer!(refused(&remote, 1, &IMAGE));
}

#[test]
fn a_remote_that_cannot_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let remote = Remote::with(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)]);
    let objects = remote.sandbox.join("manifests.git/objects");
    let mode = |mode| std::fs::set_permissions(&objects, std::fs::Permissions::from_mode(mode)).unwrap();
    mode(0o555);
    let writable = std::fs::write(objects.join("probe"), "").is_ok();
    if writable {
        eprintln!("skipped: this user may write everywhere");
        return mode(0o755);
    }
    let answer = remote.run(&[&IMAGE[..], &["--retries", "0"]].concat());
    mode(0o755);
    assert_eq!(answer.exit_code, 1);
    assert_eq!(remote.tip("main").1, 1);
}
