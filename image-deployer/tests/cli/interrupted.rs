//! Signals: an orderly stop, and the truth about what was written.

use std::{
    process::{Child, Command},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use testkit::{
    Call, Sandbox,
    git::{BareRepo, Fault, HttpServer},
    program,
};

use crate::remote::{KIT_YAML, WEB, WEB_FILE};

fn repository() -> BareRepo {
    BareRepo::with_files(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)])
}

fn call(url: &str) -> Call {
    program("image-deployer")
        .args(["--repo", url, "--branch", "main", "--image", "quay.io/acme/web:main-2"])
        .args(["--retry-increment", "600", "--retries", "50"])
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
}

/// Code and stderr of a child that should end soon.
fn ended(child: Child) -> (Option<i32>, String, String) {
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn wait_for(what: &AtomicBool) {
    let started = Instant::now();
    while !what.load(Ordering::SeqCst) {
        assert!(started.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_wait_for_the_next_attempt_ends_at_once_and_says_that_nothing_was_written() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let repo = repository();
        let asked = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&asked);
        let server = HttpServer::serve(repo.root())
            .fault(move |_| {
                seen.store(true, Ordering::SeqCst);
                Fault::Status(503)
            })
            .start();
        let sandbox = Sandbox::new();
        let child = sandbox.start(&call(&server.url()));
        wait_for(&asked);
        std::thread::sleep(Duration::from_millis(100));
        let started = Instant::now();
        signal(&child, name);
        let (status, stdout, stderr) = ended(child);
        assert!(started.elapsed() < Duration::from_secs(9), "it was killed, not stopped");
        assert_eq!((status, stdout.as_str()), (Some(code), ""), "{stderr}");
        assert!(stderr.contains("error: interrupted: nothing was written\n"), "{stderr}");
        assert_eq!(repo.linear_subjects("main").len(), 1);
    }
}

#[test]
fn whoever_waits_for_a_list_on_stdin_is_interrupted_at_once() {
    let sandbox = Sandbox::new();
    // stdin stays open: it belongs to the child that is kept here.
    let child =
        sandbox.start(&program("image-deployer").args(["--repo", "m.git", "--branch", "b", "--image", "-"]));
    std::thread::sleep(Duration::from_millis(300));
    let started = Instant::now();
    signal(&child, "INT");
    let mut child = child;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(started.elapsed() < Duration::from_secs(8));
        std::thread::sleep(Duration::from_millis(10));
    };
    let (_, _, stderr) = ended(child);
    assert_eq!((status.code(), stderr.as_str()), (Some(130), "interrupted: nothing was written\n"));
}

/// The push is on its way when the signal comes; `fault` is done to it a second later.
fn interrupted_while_pushing(answered: bool) -> (BareRepo, (Option<i32>, String, String)) {
    let repo = repository();
    let pushing = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&pushing);
    let server = HttpServer::serve(repo.root())
        .fault(move |incoming| {
            if !incoming.is_push() {
                return Fault::None;
            }
            seen.store(true, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(1));
            if answered { Fault::None } else { Fault::ResetBeforeAnswer }
        })
        .start();
    let sandbox = Sandbox::new();
    let child = sandbox.start(&call(&server.url()));
    wait_for(&pushing);
    signal(&child, "TERM");
    let end = ended(child);
    (repo, end)
}

#[test]
fn a_push_that_is_being_sent_is_finished_and_told() {
    let (repo, (status, stdout, stderr)) = interrupted_while_pushing(true);
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains(&format!("pushed {}", &repo.commit("main")[..10])), "{stdout}");
    assert!(stderr.contains("stopping: "), "{stderr}");
}

#[test]
fn a_push_whose_answer_is_lost_then_is_not_claimed_either_way() {
    let (repo, (status, stdout, stderr)) = interrupted_while_pushing(false);
    assert_eq!((status, stdout.as_str()), (Some(143), ""), "{stderr}");
    let commit = repo.commit("main");
    let expected = format!("error: interrupted: it is not known whether commit {commit} is on `HEAD`");
    assert!(stderr.contains(&expected), "{stderr}");
    assert!(stderr.contains("hint: run it again: it writes nothing if the commit is there"), "{stderr}");
}
