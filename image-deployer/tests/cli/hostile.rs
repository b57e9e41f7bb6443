//! Repositories and environments that nobody planned for.

use std::{fs, os::unix::fs::PermissionsExt as _, process::Stdio};

use testkit::{
    Sandbox,
    git::{BareRepo, HttpServer},
    program,
};

use crate::remote::{KIT_YAML, Remote, WEB, WEB_FILE};

const IMAGE: [&str; 4] = ["--branch", "main", "--image", "quay.io/acme/web:main-2"];

/// A commit made by `git fast-import` on top of a repository with the usual files.
fn import(script: &str) -> BareRepo {
    let repo = BareRepo::with_files(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)]);
    let tip = repo.commit("main");
    let stream = format!(
        "commit refs/heads/main\ncommitter S <s@e> 1700000001 +0000\ndata 1\nx\nfrom {tip}\n{script}\n"
    );
    fast_import(&repo, stream.as_bytes());
    repo
}

fn fast_import(repo: &BareRepo, stream: &[u8]) {
    let file = repo.root().join("stream");
    fs::write(&file, stream).unwrap();
    let status = std::process::Command::new("git")
        .args(["-C", &repo.path().display().to_string(), "fast-import", "--quiet"])
        .stdin(fs::File::open(file).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
}

fn deploy(repo: &BareRepo) -> testkit::Answer {
    let server = HttpServer::serve(repo.root()).start();
    Sandbox::new()
        .run(program("image-deployer").args(["--repo", &server.url()]).args(IMAGE).args(["--retries", "0"]))
}

#[test]
fn the_mode_of_a_file_and_everything_beside_it_stay() {
    let gitlink = "0123456789012345678901234567890123456789";
    let repo = import(&format!(
        "M 100755 inline {WEB_FILE}\ndata {}\n{WEB}\nM 120000 inline images/acme/web/link.yaml\ndata 9\nmain.yaml\n\
         M 160000 {gitlink} images/acme/web/module\nM 100644 inline \"images/acme/web/caf\\351.yaml\"\ndata 1\nx\n",
        WEB.len()
    ));
    let before = repo.git(&["ls-tree", "-r", "main"]);
    deploy(&repo).success();
    let after = repo.git(&["ls-tree", "-r", "main"]);
    let other = |text: &str| {
        text.lines().filter(|line| !line.ends_with(WEB_FILE)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(other(&before), other(&after));
    assert!(after.lines().any(|line| line.starts_with("100755 ") && line.ends_with(WEB_FILE)), "{after}");
    assert_eq!(
        repo.git(&["diff", "--shortstat", "main~1", "main"]).trim(),
        "1 file changed, 1 insertion(+), 1 deletion(-)"
    );
}

#[test]
fn an_image_file_that_is_a_link_or_a_submodule_is_refused() {
    let link = import(&format!("M 120000 inline {WEB_FILE}\ndata 13\n../other.yaml\n"));
    let module = import(&format!("M 160000 0123456789012345678901234567890123456789 {WEB_FILE}"));
    for (repo, what) in [(link, "it is a symbolic link"), (module, "it is a submodule")] {
        let answer = deploy(&repo);
        assert_eq!((answer.exit_code, repo.linear_subjects("main").len()), (2, 2), "{answer}");
        assert!(answer.stderr.contains(what), "{answer}");
    }
}

#[test]
fn an_image_file_that_is_not_utf8_is_refused_and_one_that_is_huge_is_edited() {
    let broken = import(&format!("M 100644 inline {WEB_FILE}\ndata 12\nimage: a\\xb\n"));
    // fast-import takes bytes as they are; this one is none of UTF-8.
    let broken_tip = broken.commit("main");
    let mut bytes = format!("commit refs/heads/main\ncommitter S <s@e> 1700000002 +0000\ndata 1\nx\nfrom {broken_tip}\nM 100644 inline {WEB_FILE}\ndata 10\n").into_bytes();
    bytes.extend_from_slice(b"image: \xff\xfe\n\n");
    fast_import(&broken, &bytes);
    let answer = deploy(&broken);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains(WEB_FILE) && answer.stderr.contains("UTF-8"), "{answer}");

    let lines: String =
        (0..20_000).map(|n| format!("# note {n} on this image, and why it is as it is\n")).collect();
    let huge = BareRepo::with_files(&[("kit.yaml", KIT_YAML), (WEB_FILE, &format!("{lines}{WEB}"))]);
    deploy(&huge).success();
    assert_eq!(huge.file("main", WEB_FILE), format!("{lines}{}", WEB.replace("main-1", "main-2")));
}

#[test]
fn a_directory_that_may_not_be_written_and_a_closed_stdin_do_no_harm() {
    let remote = Remote::new();
    let read_only = remote.sandbox.join("ro");
    fs::create_dir(&read_only).unwrap();
    fs::set_permissions(&read_only, fs::Permissions::from_mode(0o555)).unwrap();
    let mut command = remote.sandbox.command(testkit::built_binary("image-deployer"));
    command.args(["--repo", "../manifests.git"]).args(IMAGE).current_dir(&read_only);
    command.env("TMPDIR", &read_only).env("HOME", &read_only).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(&read_only).unwrap().count(), 0);
    // A list is wanted, and there is none.
    let answer = remote.run(&["--branch", "main", "--image", "-"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("stdin"), "{answer}");
}

#[test]
fn stdout_that_nobody_reads_is_no_panic() {
    let remote = Remote::new();
    let binary = testkit::built_binary("image-deployer");
    let script =
        format!("\"{}\" --repo manifests.git --dry-run {} | true", binary.display(), IMAGE.join(" "));
    let output = remote.sandbox.command("sh").args(["-c", &script]).output().unwrap();
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
}

#[test]
fn urls_that_are_traps_are_refused_or_shown_without_their_secrets() {
    let remote = Remote::new();
    for url in [
        "-oProxyCommand=touch pwned",
        "ssh://-oProxyCommand=touch%20pwned/x",
        "ext::sh -c touch% pwned",
        "--upload-pack=touch pwned",
        "https://user:t0k3n@127.0.0.1:1/m.git?private_token=t0k3n",
        "https://t0k3n@127.0.0.1:1/m.git",
        "ftp://me:t0k3n@127.0.0.1/m",
        "https://me:t0k3n@",
        "http://[::1/m",
        "\u{1b}[2J://x",
    ] {
        let argument = format!("--repo={url}");
        let answer =
            remote.sandbox.run(program("image-deployer").arg(argument).args(IMAGE).args(["--retries", "0"]));
        assert!(answer.exit_code == 1 || answer.exit_code == 2, "{url}: {answer}");
        let text = answer.to_string();
        assert!(!text.contains("t0k3n") && !text.contains('\u{1b}'), "{url}: {text}");
        assert!(!remote.sandbox.join("pwned").exists(), "{url}");
    }
}
