//! What a git server says when it does not let us in, and what we make of it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
};

use testkit::{Answer, Sandbox, program};

use crate::assert_answer;

/// A server that gives the same answer to every request, until the process ends.
fn server(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                line.clear();
            }
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

fn deploy(scheme: &str, host: &str, variables: &[(&str, &str)], args: &[&str]) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("token", "t0k3n\n");
    let repo = format!("{scheme}://{host}/acme/manifests.git");
    let mut call = program("image-deployer")
        .args(["--repo", &repo, "--branch", "main", "--image", "quay.io/acme/web:2"])
        .args(["--retries", "1", "--retry-increment", "0.01"])
        .args(args);
    for (name, value) in variables {
        call = call.env(name, value);
    }
    let answer: Answer = sandbox.run(call);
    assert_eq!(answer.exit_code, 1, "{answer}");
    let text = answer.to_string();
    assert!(!text.contains("t0k3n"), "{text}");
    text.replace(host, "[HOST]")
}

fn without_times(check: impl FnOnce()) {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"in \d+\.\d s", "in [TIME]");
    settings.bind(check);
}

const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Basic realm=\"git\"\r\n\
    Content-Type: text/plain\r\nContent-Length: 20\r\n\r\nwho are you, please?";

#[test]
fn no_token_is_given() {
    let host = server(UNAUTHORIZED);
    assert_answer!(deploy("http", &host, &[], &[]));
}

#[test]
fn the_token_is_wrong() {
    let host = server(UNAUTHORIZED);
    let from_environment = deploy("http", &host, &[("GITHUB_AUTH_TOKEN", "t0k3n")], &[]);
    let from_file = deploy("http", &host, &[], &["--token-file", "token"]);
    let bearer = deploy("http", &host, &[("KIT_TOKEN", "t0k3n")], &["--auth", "bearer"]);
    assert_eq!(from_environment, from_file);
    assert_eq!(from_environment, bearer);
    assert_answer!(from_environment);
}

#[test]
fn a_token_for_another_host_is_not_sent() {
    let host = server(UNAUTHORIZED);
    let others = [("GITHUB_TOKEN", "t0k3n"), ("GH_TOKEN", "t0k3n"), ("GITLAB_TOKEN", "t0k3n")];
    assert_eq!(deploy("http", &host, &others, &[]), deploy("http", &host, &[], &[]));
}

#[test]
fn access_is_forbidden() {
    let host = server(
        "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 24\r\n\r\n\
         your token has no scope\n",
    );
    assert_answer!(deploy("http", &host, &[("KIT_TOKEN", "t0k3n")], &[]));
}

#[test]
fn there_is_no_such_repository() {
    let host = server(
        "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n\r\n\
         Repository not found.",
    );
    assert_answer!(deploy("http", &host, &[("KIT_TOKEN", "t0k3n")], &[]));
}

#[test]
fn the_server_fails() {
    let host = server("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
    without_times(|| {
        assert_answer!(deploy("http", &host, &[], &[]));
    });
}

#[test]
fn the_server_is_a_web_page() {
    let host = server(
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/html\r\nContent-Length: 15\r\n\r\n<html>hi</html>",
    );
    assert_answer!(deploy("http", &host, &[], &[]));
}

#[test]
fn the_token_needs_to_be_there_when_it_is_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write("empty", "\n");
    let run = |args: &[&str], token: &str| {
        let call = program("image-deployer")
            .args(["--repo", "http://127.0.0.1:9/m.git", "--branch", "main", "--image", "a/b:1"])
            .args(args)
            .env("KIT_TOKEN", token);
        let answer = sandbox.run(call);
        assert_eq!(answer.exit_code, 2);
        answer.to_string()
    };
    let answers =
        [run(&["--auth", "bearer"], ""), run(&["--token-file", "empty"], ""), run(&[], "two words")].concat();
    assert_answer!(answers);
}
