//! The program: its flags, its output, its end.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a panic is a failed test")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

#[test]
fn help_says_that_it_is_a_simulator_and_names_every_variable() {
    let out = Command::new(env!("CARGO_BIN_EXE_simcluster")).arg("--help").output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(text.contains("This is a simulator"));
    let flags = text.lines().filter(|l| l.trim_start().starts_with("--") && !l.contains("[env:")).count();
    let variables = text.matches("[env: SIMCLUSTER_").count();
    assert!(variables >= 16 && flags >= 1, "{text}");
}

#[test]
fn it_writes_kubeconfigs_says_ready_and_ends_with_its_input() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_simcluster"))
        .args(["--name", "eu", "--name", "us", "--until-stdin-closes", "--dir"])
        .arg(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, format!("ready {}\n", folder.path().display()));
    for name in ["eu", "us"] {
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.yaml"))).unwrap();
        assert!(
            text.starts_with(&format!("apiVersion: v1\nkind: Config\nmetadata:\n  name: {name}\n")),
            "{text}"
        );
    }
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn bad_names_are_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_simcluster"))
        .args(["--name", "EU_1", "--dir"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    assert_eq!(
        String::from_utf8(out.stderr).unwrap(),
        "error: invalid cluster names: `EU_1` is not a lower-case DNS name\n"
    );
}
