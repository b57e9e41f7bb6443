//! Signed commits, checked by the programs that check them elsewhere.

use std::{fs, process::Command};

use crate::{assert_answer, remote::Remote};

const IMAGE: [&str; 4] = ["--branch", "main", "--image", "quay.io/acme/web:main-2"];

fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

#[test]
fn a_commit_signed_with_an_ssh_key_is_verified_by_git() {
    // `ssh-keygen` has no --version; it is there if it can be started at all.
    if Command::new("ssh-keygen").arg("-?").output().is_err() || !is_installed("git") {
        testkit::skipped("needs ssh-keygen and git");
        return;
    }
    let remote = Remote::new();
    let keygen = ["-q", "-t", "ed25519", "-N", "", "-C", "ci", "-f", "key"];
    assert!(remote.sandbox.command("ssh-keygen").args(keygen).status().unwrap().success());
    remote.run(&[&IMAGE[..], &["--signing-key", "key"]].concat()).success();
    let public = remote.sandbox.read("key.pub");
    remote.sandbox.write("allowed", format!("* {public}"));
    let verified = remote
        .sandbox
        .command("git")
        .args(["-C", "manifests.git", "-c", "gpg.format=ssh", "-c"])
        .arg(format!("gpg.ssh.allowedSignersFile={}", remote.sandbox.join("allowed").display()))
        .args(["verify-commit", "main"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.contains("Good \"git\" signature"), "{said}");
}

#[test]
fn a_commit_signed_with_an_openpgp_key_is_verified_by_git() {
    if !is_installed("gpg") || !is_installed("git") {
        testkit::skipped("needs gpg and git");
        return;
    }
    let remote = Remote::new();
    // A short path: the socket of gpg's agent is in it.
    let home = tempfile::Builder::new().prefix("g").tempdir_in("/tmp").unwrap();
    let gpg = |args: &[&str]| {
        let output = remote.sandbox.command("gpg").env("GNUPGHOME", home.path()).args(args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    gpg(&[
        "--batch",
        "--passphrase",
        "",
        "--quick-generate-key",
        "ci@example.com",
        "ed25519",
        "sign",
        "never",
    ]);
    let call = remote
        .call(&[&IMAGE[..], &["--signing-format", "openpgp", "--signing-key", "ci@example.com"]].concat())
        .env("GNUPGHOME", home.path());
    let answer = remote.sandbox.run(call);
    let verified = remote
        .sandbox
        .command("git")
        .env("GNUPGHOME", home.path())
        .args(["-C", "manifests.git", "verify-commit", "main"])
        .output()
        .unwrap();
    // The agent outlives the command; it ends with its home directory.
    let _ = remote.sandbox.command("gpgconf").env("GNUPGHOME", home.path()).args(["--kill", "all"]).status();
    answer.success();
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(verified.status.success() && said.contains("Good signature"), "{said}");
}

#[test]
fn a_key_that_cannot_sign_is_an_error_and_nothing_is_pushed() {
    let remote = Remote::new();
    fs::write(remote.sandbox.join("key"), "not a key\n").unwrap();
    let answer = remote.run(&[&IMAGE[..], &["--signing-key", "key"]].concat());
    assert_eq!((answer.exit_code, remote.tip("main").1), (1, 1));
    assert!(
        answer.stderr.starts_with("error: the commit cannot be signed: `ssh-keygen` failed: "),
        "{answer}"
    );
    let call = remote.call(&[&IMAGE[..], &["--signing-key", "key"]].concat()).env("PATH", "/nonexistent");
    assert_answer!(remote.sandbox.run(call));
}
