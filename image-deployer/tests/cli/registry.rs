//! `--require-pushed` and `--pin-digest`, against a small registry in this process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
};

use base64::Engine as _;
use testkit::Answer;

use crate::{
    assert_answer,
    remote::{Remote, WEB_FILE},
};

/// Who may read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Anonymous,
    Basic,
    Bearer,
    /// As `Bearer`, for an identity token.
    Refresh,
    /// Answers 503 so many times, then as `Anonymous`.
    Failing(usize),
}

const DIGEST: &str = "sha256:ad8d27ed6f0b0f1c5f9d1a0b4b3d5f6f3d3d6c0a2c0f5c1d9b8a7f6e5d4c3b2a";

/// Serves `acme/web:main-2` on loopback until the process ends; gives back its address and what it was asked.
fn registry(access: Access) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let log = Arc::new(Mutex::new(Vec::new()));
    let (host, asked) = (address.clone(), Arc::clone(&log));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            // A TLS greeting is no text: the connection is closed, as a registry without TLS does.
            while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
            if !head.starts_with(['G', 'H', 'P']) {
                continue;
            }
            let line = head.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
            let length = header(&head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            let mut body = vec![0; length];
            std::io::Read::read_exact(&mut reader, &mut body).unwrap();
            let number = asked.lock().unwrap().len();
            asked.lock().unwrap().push(line.clone());
            let answer = answer(access, &host, &line, &head, &String::from_utf8_lossy(&body), number);
            // HEAD has no body.
            let answer = if line.starts_with("HEAD") {
                answer.split_inclusive("\r\n\r\n").next().unwrap().to_owned()
            } else {
                answer
            };
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, log)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn answer(access: Access, host: &str, line: &str, head: &str, body: &str, number: usize) -> String {
    let reply = |status: &str, headers: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    };
    let sent = header(head, "authorization").unwrap_or_default();
    let password = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode("ci:pa:ss"));
    if let Some(query) = line.strip_prefix("GET /token?") {
        let fits = query.contains("service=reg") && query.contains("scope=repository%3Aacme%2F");
        return if sent == password && fits && access == Access::Bearer {
            reply("200 OK", "", r#"{"token": "good"}"#)
        } else {
            reply("401 Unauthorized", "", "")
        };
    }
    if line == "POST /token" {
        let fits = body.contains("grant_type=refresh_token") && body.contains("refresh_token=identity");
        return if fits {
            reply("200 OK", "", r#"{"access_token": "good"}"#)
        } else {
            reply("401 Unauthorized", "", "")
        };
    }
    let (allowed, challenge) = match access {
        Access::Anonymous => (true, String::new()),
        Access::Failing(times) if number < times => return reply("503 Service Unavailable", "", ""),
        Access::Failing(_) => (true, String::new()),
        Access::Basic => (sent == password, "Basic realm=\"r\"".to_owned()),
        Access::Bearer | Access::Refresh => {
            (sent == "Bearer good", format!("Bearer realm=\"http://{host}/token\",service=\"reg\""))
        }
    };
    if !allowed {
        return reply("401 Unauthorized", &format!("WWW-Authenticate: {challenge}\r\n"), "");
    }
    if line.ends_with("/v2/acme/web/manifests/main-2") {
        reply("200 OK", &format!("Docker-Content-Digest: {DIGEST}\r\n"), "{}")
    } else if line.ends_with("/v2/acme/undigested/manifests/main-2") {
        reply("200 OK", "", "{}")
    } else {
        reply("404 Not Found", "", "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\"}]}")
    }
}

fn deploy(remote: &Remote, image: &str, flag: &str) -> Answer {
    let call = remote.call(&["--branch", "main", "--image", image, flag]).env("DOCKER_CONFIG", "docker");
    remote.sandbox.run(call)
}

fn log_in(remote: &Remote, host: &str, entry: &str) {
    remote.sandbox.write("docker/config.json", format!(r#"{{"auths": {{"{host}": {entry}}}}}"#));
}

#[test]
fn an_image_that_is_there_is_written() {
    let (host, _) = registry(Access::Anonymous);
    let remote = Remote::new();
    deploy(&remote, &format!("{host}/acme/web:main-2"), "--require-pushed").success();
    assert!(remote.file("main", WEB_FILE).unwrap().contains("acme/web:main-2'"));
}

#[test]
fn an_image_that_is_not_there_is_not_written() {
    let (host, _) = registry(Access::Anonymous);
    let remote = Remote::new();
    let answer = deploy(&remote, &format!("{host}/acme/web:main-3"), "--require-pushed");
    assert_eq!((answer.exit_code, remote.tip("main").1), (2, 1));
    assert_answer!(answer.to_string().replace(&host, "[HOST]"));
}

#[test]
fn a_digest_is_pinned_whether_the_registry_says_it_or_not() {
    let (host, _) = registry(Access::Anonymous);
    let remote = Remote::new();
    deploy(&remote, &format!("{host}/acme/web:main-2"), "--pin-digest").success();
    assert!(remote.file("main", WEB_FILE).unwrap().contains(&format!("{host}/acme/web:main-2@{DIGEST}'")));
    // sha256 of `{}`
    let of_body = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    deploy(&remote, &format!("{host}/acme/undigested:main-2"), "--pin-digest").success();
    assert_eq!(
        remote.file("main", "images/acme/undigested/main.yaml").unwrap(),
        format!("image: {host}/acme/undigested:main-2@{of_body}\n")
    );
}

#[test]
fn credentials_of_the_docker_config_are_used() {
    let auth = base64::engine::general_purpose::STANDARD.encode("ci:pa:ss");
    for (access, entry) in [
        (Access::Basic, format!(r#"{{"auth": "{auth}"}}"#)),
        (Access::Bearer, r#"{"username": "ci", "password": "pa:ss"}"#.to_owned()),
        (Access::Refresh, r#"{"identitytoken": "identity"}"#.to_owned()),
    ] {
        let (host, _) = registry(access);
        let remote = Remote::new();
        log_in(&remote, &host, &entry);
        deploy(&remote, &format!("{host}/acme/web:main-2"), "--require-pushed").success();
    }
}

#[test]
fn a_refusal_says_whether_credentials_were_sent() {
    let (host, _) = registry(Access::Bearer);
    let remote = Remote::new();
    let image = format!("{host}/acme/web:main-2");
    let none = deploy(&remote, &image, "--require-pushed");
    log_in(&remote, &host, r#"{"username": "ci", "password": "wr0ng"}"#);
    let wrong = deploy(&remote, &image, "--require-pushed");
    assert_eq!((none.exit_code, wrong.exit_code, remote.tip("main").1), (1, 1, 1));
    assert!(!wrong.to_string().contains("wr0ng"));
    assert_answer!(format!("{none}{wrong}").replace(&host, "[HOST]"));
}

#[test]
fn a_registry_that_fails_for_a_moment_is_asked_again() {
    let (host, log) = registry(Access::Failing(2));
    let remote = Remote::new();
    deploy(&remote, &format!("{host}/acme/web:main-2"), "--require-pushed").success();
    assert_eq!(log.lock().unwrap().len(), 3);
}

#[test]
fn a_credential_helper_is_asked() {
    use std::os::unix::fs::PermissionsExt as _;
    let (host, _) = registry(Access::Basic);
    let remote = Remote::new();
    let helper = remote.sandbox.write(
        "bin/docker-credential-test",
        format!("#!/bin/sh\nread -r host\n[ \"$1 $host\" = 'get {host}' ] || exit 1\necho '{{\"Username\": \"ci\", \"Secret\": \"pa:ss\"}}'\n"),
    );
    std::fs::set_permissions(helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    remote.sandbox.write("docker/config.json", format!(r#"{{"credHelpers": {{"{host}": "test"}}}}"#));
    let path = format!("{}:{}", remote.sandbox.join("bin").display(), std::env::var("PATH").unwrap());
    let image = format!("{host}/acme/web:main-2");
    let call = remote
        .call(&["--branch", "main", "--image", &image, "--require-pushed"])
        .env("DOCKER_CONFIG", "docker")
        .env("PATH", path);
    remote.sandbox.run(call).success();
}

#[test]
fn a_docker_config_that_cannot_be_read_is_named() {
    let remote = Remote::new();
    remote.sandbox.write("docker/config.json", "{\"auths\": oops}");
    let answer = deploy(&remote, "127.0.0.1:9/acme/web:main-2", "--require-pushed");
    assert_eq!(answer.exit_code, 2);
    assert_answer!(answer);
}
