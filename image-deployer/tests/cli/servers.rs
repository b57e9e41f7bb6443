//! Against git's own servers: http with and without credentials and TLS, ssh, and many writers at once.

use std::{collections::BTreeSet, process::Stdio, time::Instant};

use testkit::{
    Answer, Call, Sandbox,
    git::{Access, BareRepo, Fault, HttpServer, PrivateCa, SshServer},
    program,
};

use crate::{
    assert_answer,
    remote::{KIT_YAML, WEB, WEB_FILE},
};

fn repository() -> BareRepo {
    BareRepo::with_files(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)])
}

fn call(url: &str) -> Call {
    program("image-deployer")
        .args(["--repo", url, "--branch", "main", "--image", "quay.io/acme/web:main-2"])
        .args(["--retries", "2", "--retry-increment", "0.01", "--output", "json"])
}

/// Without what differs from run to run.
fn anonymous(answer: &Answer, server: &HttpServer) -> String {
    answer.to_string().replace(&format!("127.0.0.1:{}", server.port()), "[HOST]")
}

#[test]
fn tokens_passwords_and_bearer_tokens_are_sent_as_asked() {
    let sandbox = Sandbox::new();
    let basic = |user: &str| Access::Basic(user.into(), "t0k3n".into());
    for (access, args) in [
        (basic("x-access-token"), vec![]),
        (basic("oauth2"), vec!["--token-user", "oauth2"]),
        (Access::Bearer("t0k3n".into()), vec!["--auth", "bearer"]),
    ] {
        let repo = repository();
        let server = HttpServer::serve(repo.root()).access(access).start();
        let answer = sandbox.run(call(&server.url()).args(&args).env("GITHUB_AUTH_TOKEN", "t0k3n"));
        let json = answer.success().json();
        assert_eq!(json["commit"], repo.commit("main"));
        assert!(json["bytesReceived"].as_u64().unwrap() > 0);
        assert!(repo.file("main", WEB_FILE).contains("'quay.io/acme/web:main-2'  # by CI"));
    }
}

#[test]
fn a_server_that_lets_us_read_but_not_write_is_a_failure() {
    let repo = repository();
    let server = HttpServer::serve(repo.root()).access(Access::ReadOnly).start();
    let answer = Sandbox::new().run(call(&server.url()).env("KIT_TOKEN", "t0k3n"));
    assert_eq!((answer.exit_code, repo.linear_subjects("main").len()), (1, 1));
    assert_answer!(anonymous(&answer, &server));
}

#[test]
fn a_private_authority_is_trusted_when_it_is_named() {
    let sandbox = Sandbox::new();
    let ca = PrivateCa::new();
    let repo = repository();
    let server = HttpServer::serve(repo.root()).tls(&ca).start();
    let refused = sandbox.run(call(&server.url()));
    assert_eq!(refused.exit_code, 1);
    sandbox.run(call(&server.url()).arg("--ca-file").arg(ca.file())).success();
    let unusable = sandbox.run(call(&server.url()).args(["--ca-file", "nowhere.pem"]));
    assert_eq!(unusable.exit_code, 2);
    assert_answer!(format!("{}{}", anonymous(&refused, &server), anonymous(&unusable, &server)));
}

#[test]
fn a_fault_is_told_and_tried_again() {
    let repo = repository();
    let fault = |request: &testkit::git::Incoming| match request.number {
        0 => Fault::Status(503),
        _ => Fault::None,
    };
    let server = HttpServer::serve(repo.root()).fault(fault).start();
    let answer = Sandbox::new().run(call(&server.url())).success();
    assert_eq!(answer.json()["attempts"], 2);
    assert!(answer.stderr.contains("attempt 1: "), "{answer}");
}

#[test]
fn a_push_whose_answer_is_lost_is_not_made_twice() {
    let repo = repository();
    let lost = std::sync::atomic::AtomicBool::new(false);
    let fault = move |request: &testkit::git::Incoming| {
        let first = request.is_push() && !lost.swap(true, std::sync::atomic::Ordering::SeqCst);
        if first { Fault::ResetBeforeAnswer } else { Fault::None }
    };
    let server = HttpServer::serve(repo.root()).fault(fault).start();
    let json = Sandbox::new().run(call(&server.url())).success().json();
    assert_eq!((json["outcome"].as_str(), repo.linear_subjects("main").len()), (Some("pushed"), 2));
}

#[test]
fn ssh_is_the_users_own() {
    let Some(server) = SshServer::start() else { return };
    let repo = repository();
    let sandbox = Sandbox::new();
    let url = server.url(&repo.path());
    let json = sandbox.run(call(&url).env("GIT_SSH_COMMAND", server.command())).success().json();
    assert_eq!(json["commit"], repo.commit("main"));
    // A key that the server does not know.
    let stranger = server.command().replace("/user", "/stranger");
    let refused = sandbox.run(call(&url).env("GIT_SSH_COMMAND", stranger));
    assert_eq!(refused.exit_code, 1);
    assert!(refused.stderr.contains("Permission denied"), "{refused}");
}

/// Processes, each with a service of its own, and as many that want the same file. (The library has a test with a
/// hundred.)
#[test]
fn many_writers_lose_nothing() {
    const WRITERS: usize = 5;
    let repo = repository();
    let server = HttpServer::serve(repo.root()).start();
    let sandbox = Sandbox::new();
    let started = Instant::now();
    let children: Vec<_> = (0..2 * WRITERS)
        .map(|n| {
            let service = if n < WRITERS { format!("service-{n}") } else { "web".to_owned() };
            let mut command = sandbox.command(testkit::built_binary("image-deployer"));
            command
                .args(["--repo", &server.url(), "--branch", "main", "--output", "json", "--quiet"])
                .args(["--image", &format!("quay.io/acme/{service}:build-{n}")])
                .args(["--retries", "100", "--retry-increment", "0.05"])
                .stdout(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let mut attempts = 0;
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["outcome"], "pushed");
        attempts += json["attempts"].as_u64().unwrap();
    }
    eprintln!("{} writers: {attempts} attempts in {:.1} s", 2 * WRITERS, started.elapsed().as_secs_f64());
    // One commit for each, in one line, none of them empty.
    assert_eq!(repo.linear_subjects("main").len(), 1 + 2 * WRITERS);
    let files = repo.files("main");
    for n in 0..WRITERS {
        assert_eq!(
            files[&format!("images/acme/service-{n}/main.yaml")],
            format!("image: quay.io/acme/service-{n}:build-{n}\n")
        );
    }
    let asked: BTreeSet<String> =
        (WRITERS..2 * WRITERS).map(|n| WEB.replace("main-1", &format!("build-{n}"))).collect();
    assert!(asked.contains(&files[WEB_FILE]), "{}", files[WEB_FILE]);
}
