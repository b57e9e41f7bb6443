//! The variables that kit's users have in their CI.

use testkit::program;

use crate::{
    assert_answer,
    remote::{Remote, WEB_FILE},
};

#[test]
fn kits_variables_are_enough() {
    let remote = Remote::new();
    let call = program("image-deployer")
        .env("KIT_REPO", "manifests.git")
        .env("DOCKER_REGISTRY", "quay.io")
        .env("DOCKER_REPO", "acme/web")
        .env("CI_BRANCH", "main")
        .env("CI_COMMIT_ID", "4f2a91c")
        .env("CI_COMMITTER_NAME", "CI")
        .env("CI_COMMITTER_EMAIL", "ci@example.com")
        .env("CI_COMMIT_MESSAGE", "")
        .env("COMMIT", "true")
        .env("RETRIES", "")
        .env("RETRY_INCREMENT", "0.5");
    let answer = remote.sandbox.run(call);
    assert!(remote.file("main", WEB_FILE).unwrap().contains("'quay.io/acme/web:main-4f2a91c'"));
    assert!(remote.tip("main").2.ends_with("Source-Commit: 4f2a91c\n"));
    assert_answer!(answer);
}

#[test]
fn an_image_wins_over_a_commit_id_as_in_kit() {
    let remote = Remote::new();
    let call = remote
        .call(&[])
        .env("DOCKER_REGISTRY", "quay.io")
        .env("DOCKER_REPO", "acme/web")
        .env("CI_BRANCH", "main")
        .env("CI_COMMIT_ID", "4f2a91c")
        .env("IMAGE", "quay.io/acme/web:other");
    remote.sandbox.run(call).success();
    assert!(remote.file("main", WEB_FILE).unwrap().contains("'quay.io/acme/web:other'"));
}

#[test]
fn the_branch_and_the_build_are_known_from_the_ci() {
    let remote = Remote::new();
    let call = remote
        .call(&["--image", "quay.io/acme/web:main-2"])
        .env("GITHUB_ACTIONS", "true")
        .env("GITHUB_SERVER_URL", "https://github.com")
        .env("GITHUB_REPOSITORY", "acme/web")
        .env("GITHUB_RUN_ID", "7")
        .env("GITHUB_SHA", "0123456789")
        .env("GITHUB_REF_NAME", "main");
    remote.sandbox.run(call).success();
    assert!(
        remote
            .tip("main")
            .2
            .ends_with("Source-Commit: 0123456789\nBuild-Url: https://github.com/acme/web/actions/runs/7\n")
    );
}

#[test]
fn a_branch_with_slashes_gives_a_tag_that_registries_take() {
    let remote = Remote::new();
    let args = ["--docker-repo", "acme/web", "--branch", "feature/x", "--commit-id", "abc"];
    remote.run(&args).success();
    assert_eq!(
        remote.file("main", "images/acme/web/feature/x.yaml").unwrap(),
        "image: acme/web:feature-x-abc\n"
    );
}

#[test]
fn a_url_with_a_password_is_not_printed() {
    let remote = Remote::new();
    let call = program("image-deployer")
        .args(["--image", "a/b:1", "--branch", "main", "--retries", "0"])
        .env("KIT_REPO", "http://me:s3cr3t@127.0.0.1:9/m.git")
        .env("KIT_TOKEN", "t0k3n");
    let answer = remote.sandbox.run(call);
    assert_eq!(answer.exit_code, 1);
    let text = answer.to_string();
    assert!(!text.contains("s3cr3t") && !text.contains("t0k3n"), "{text}");
    let help =
        remote.sandbox.run(program("image-deployer").arg("--help").env("KIT_REPO", "http://me:s3cr3t@h/m"));
    assert!(!help.success().stdout.contains("s3cr3t"));
}

#[test]
fn completions_are_printed_for_each_shell() {
    let remote = Remote::new();
    for shell in ["bash", "zsh", "fish"] {
        let answer = remote.sandbox.run(program("image-deployer").args(["--completions", shell])).success();
        assert!(answer.stdout.contains("everywhere"), "{shell}");
    }
}

#[test]
fn help_starts_in_no_time() {
    let remote = Remote::new();
    remote.sandbox.run(program("image-deployer").arg("--help")).success();
    let binary = testkit::built_binary("image-deployer");
    // The bar is 10 ms for a release build. The fastest of many runs, because other tests run meanwhile.
    let bar = if cfg!(debug_assertions) { 50 } else { 10 };
    let fastest = (0..100).map(|_| {
        let started = std::time::Instant::now();
        let output = remote.sandbox.command(&binary).arg("--help").output().unwrap();
        assert!(output.status.success());
        started.elapsed().as_millis()
    });
    assert!({ fastest }.any(|milliseconds| milliseconds < bar), "`--help` took more than {bar} ms 100 times");
}

#[test]
fn variables_that_are_set_to_nothing_are_not_set_and_flags_take_the_usual_words() {
    let remote = Remote::new();
    let mut call = remote.call(&["--branch", "main", "--image", "quay.io/acme/web:main-2"]);
    for name in [
        "KIT_TOKEN_FILE",
        "KIT_OUTPUT",
        "KIT_GUARD",
        "KIT_CA_FILE",
        "KIT_PART",
        "COMMIT",
        "IMAGE",
        "KIT_FILE",
    ] {
        call = call.env(name, "");
    }
    let planned = remote.sandbox.run(call.clone().env("KIT_DRY_RUN", "1")).success();
    assert!(planned.stdout.starts_with("--- a/"), "{planned}");
    let pushed = remote.sandbox.run(call.env("KIT_DRY_RUN", "0")).success();
    assert!(pushed.stdout.contains("pushed"), "{pushed}");
}
