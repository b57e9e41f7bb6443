//! Between us and the server: proxies, credential helpers, tokens of jobs and apps.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use base64::Engine as _;
use testkit::{
    Call, Sandbox,
    git::{Access, BareRepo, HttpServer, PrivateCa},
    program,
};

use crate::remote::{KIT_YAML, WEB, WEB_FILE};

fn repository() -> BareRepo {
    BareRepo::with_files(&[("kit.yaml", KIT_YAML), (WEB_FILE, WEB)])
}

fn call(url: &str) -> Call {
    program("image-deployer")
        .args(["--repo", url, "--branch", "main", "--image", "quay.io/acme/web:main-2"])
        .args(["--retries", "1", "--retry-increment", "0.01"])
}

fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// A proxy that lets through whoever has the password, until the process ends; what it was asked.
fn proxy(password: &str) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (log, expected) = (Arc::clone(&asked), format!("basic {}", base64(password)));
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (log, expected) = (Arc::clone(&log), expected.clone());
            std::thread::spawn(move || {
                let mut client = client.unwrap();
                let mut reader = BufReader::new(client.try_clone().unwrap());
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
                let first = head.lines().next().unwrap_or_default().to_owned();
                log.lock().unwrap().push(first.clone());
                let sent = head.lines().find_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    name.eq_ignore_ascii_case("proxy-authorization").then(|| value.trim().to_owned())
                });
                let good = sent.is_some_and(|sent| {
                    let (scheme, value) = sent.split_once(' ').unwrap();
                    format!("{} {value}", scheme.to_ascii_lowercase()) == expected
                });
                if !good {
                    let _ = client.write_all(
                        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
                    );
                    return;
                }
                let target = first.strip_prefix("CONNECT ").unwrap().split(' ').next().unwrap();
                let mut server = TcpStream::connect(target).unwrap();
                client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").unwrap();
                let (mut up, mut from) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || {
                    let _ = std::io::copy(&mut from, &mut up);
                    let _ = up.shutdown(Shutdown::Write);
                });
                let _ = std::io::copy(&mut server, &mut client);
                let _ = client.shutdown(Shutdown::Both);
            });
        }
    });
    (port, asked)
}

#[test]
fn a_proxy_is_gone_through_unless_no_proxy_says_otherwise() {
    let ca = PrivateCa::new();
    let repo = repository();
    let server = HttpServer::serve(repo.root()).tls(&ca).start();
    let (port, asked) = proxy("me:s3cr3t");
    let sandbox = Sandbox::new();
    let through = |user: &str| {
        call(&server.url())
            .arg("--ca-file")
            .arg(ca.file())
            .env("HTTPS_PROXY", format!("http://{user}@127.0.0.1:{port}"))
    };
    sandbox.run(through("me:s3cr3t")).success();
    assert_eq!(repo.linear_subjects("main").len(), 2);
    let expected = format!("CONNECT 127.0.0.1:{} HTTP/1.1", server.port());
    assert!(asked.lock().unwrap().iter().all(|line| *line == expected), "{asked:?}");
    assert!(!asked.lock().unwrap().is_empty());
    // A proxy that does not let us through is named, but not the password.
    let refused = sandbox.run(through("me:wr0ng"));
    assert_eq!(refused.exit_code, 1, "{refused}");
    assert!(!refused.to_string().contains("wr0ng"), "{refused}");
    assert!(refused.stderr.to_lowercase().contains("proxy"), "{refused}");
    asked.lock().unwrap().clear();
    sandbox.run(through("me:s3cr3t").env("NO_PROXY", "example.com,127.0.0.0/8")).success();
    assert!(asked.lock().unwrap().is_empty());
}

#[test]
fn a_credential_helper_of_git_is_asked_when_it_is_wanted() {
    let repo = repository();
    let server = HttpServer::serve(repo.root()).access(Access::Basic("me".into(), "s3cret".into())).start();
    let sandbox = Sandbox::new();
    sandbox.write("git-credentials", format!("http://me:s3cret@127.0.0.1:{}\n", server.port()));
    let store =
        format!("[credential]\n\thelper = store --file {}\n", sandbox.join("git-credentials").display());
    let config = sandbox.write("gitconfig", store);
    let with = |how: &str| call(&server.url()).args(["--auth", how]).env("GIT_CONFIG_GLOBAL", &config);
    sandbox.run(with("helper")).success();
    assert_eq!(repo.linear_subjects("main").len(), 2);
    // None that knows this server.
    std::fs::remove_file(sandbox.join("git-credentials")).unwrap();
    let refused = sandbox.run(with("helper"));
    assert_eq!(refused.exit_code, 1);
    assert!(refused.stderr.contains("HTTP 401"), "{refused}");
}

#[test]
fn tokens_of_jobs_apps_and_people_are_sent_with_the_user_they_need() {
    let sandbox = Sandbox::new();
    for (token, user) in [
        ("ghs_installation", "x-access-token"),
        ("github_pat_fine", "x-access-token"),
        ("glpat-project", "oauth2"),
        ("glcbt-64_job", "gitlab-ci-token"),
    ] {
        let repo = repository();
        let server = HttpServer::serve(repo.root()).access(Access::Basic(user.into(), token.into())).start();
        sandbox.run(call(&server.url()).env("KIT_TOKEN", token)).success();
    }
}

#[test]
fn the_url_to_open_for_a_review_is_what_the_server_says() {
    let repo = repository();
    repo.hook(
        "post-receive",
        "echo 'Create a pull request:'; echo '  https://git.acme.com/acme/m/compare/main...deploy'",
    );
    let server = HttpServer::serve(repo.root()).start();
    let sandbox = Sandbox::new();
    let run = || {
        sandbox
            .run(call(&server.url()).args(["--push-branch", "deploy", "--output", "json"]))
            .success()
            .json()
    };
    assert_eq!(run()["reviewUrl"], "https://git.acme.com/acme/m/compare/main...deploy");
    // Nothing to push the second time: no page to open.
    assert_eq!(run()["outcome"], "unchanged");
}
