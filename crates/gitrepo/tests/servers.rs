//! The wires against git's own servers on loopback.
#![allow(clippy::unwrap_used)]

mod writing;

use std::time::Duration;

use gitrepo::{Auth, GitError, Outcome, PushEvent, RemoteSpec, RetryPolicy, Secret, UpdateError};
use testkit::git::{Access, BareRepo, Daemon, Fault, HttpServer, PrivateCa, SshServer};
use writing::{at_once, pushed, put, write};

const FILES: &[(&str, &str)] = &[
    ("kit.yaml", "images:\n  path: images\n"),
    ("images/org/app/main.yaml", "image: app:1\n"),
    ("images/org/app/other.yaml", "image: app:0\n"),
    ("images/org/web/main.yaml", "image: web:1\n"),
    ("docs/long.md", "text\n"),
];

/// Reads, lists, changes twice and reads again; the repository must be as git would leave it.
fn works_as_a_whole(repo: &BareRepo, remote: &RemoteSpec) {
    let outcome = gitrepo::update::<GitError>(remote, &at_once(), &mut |_| {}, &mut |tip| {
        assert_eq!(tip.commit(), repo.commit("main"));
        assert_eq!(tip.branch(), "main");
        tip.prefetch(&["kit.yaml", "images/org/app/main.yaml"])?;
        assert_eq!(tip.read("kit.yaml")?.unwrap(), FILES[0].1.as_bytes());
        assert_eq!(tip.read("images/org/app/main.yaml")?.unwrap(), b"image: app:1\n");
        assert_eq!(tip.read("images/org/nothing/main.yaml")?, None);
        let apps = ["images/org/app/main.yaml", "images/org/app/other.yaml", "images/org/web/main.yaml"];
        assert_eq!(tip.list("images")?, apps);
        Ok(write("images/org/app/main.yaml", "image: app:2\n"))
    });
    let first = pushed(outcome.unwrap());
    assert_eq!(first.commit, repo.commit("main"));
    assert_eq!(first.parent, Some(repo.commit("main~1")));
    assert_eq!((first.attempts, first.branch.as_str(), first.created_branch), (1, "main", false));
    let second = pushed(put(remote, "images/new/deep/file.yaml", "image: new:1\n").unwrap());
    assert_eq!(second.parent, Some(first.commit.clone()));
    let again = put(remote, "images/new/deep/file.yaml", "image: new:1\n").unwrap();
    assert!(matches!(again, Outcome::NoChange(same) if same.commit == second.commit));

    let files = repo.files("main");
    assert_eq!(files.len(), FILES.len() + 1);
    assert_eq!(files["images/org/app/main.yaml"], "image: app:2\n");
    assert_eq!(files["images/new/deep/file.yaml"], "image: new:1\n");
    assert_eq!(repo.linear_subjects("main").len(), 3);

    let mut log = Vec::new();
    gitrepo::update::<GitError>(remote, &at_once(), &mut |_| {}, &mut |tip| {
        log = tip.log("images/org/app/main.yaml", 10)?;
        Ok(None)
    })
    .unwrap();
    assert_eq!(log.len(), 2);
    assert_eq!(log[0].id, first.commit);
}

#[test]
fn http_with_filters() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    works_as_a_whole(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn http_takes_one_connection_for_all_requests() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    pushed(put(&RemoteSpec::new(server.url()), "images/org/app/main.yaml", "image: app:2\n").unwrap());
    assert!(server.requests() > 5);
    assert_eq!(server.connections(), 1);
}

#[test]
fn http_without_filters() {
    let repo = BareRepo::with_files(FILES);
    repo.config("uploadpack.allowFilter", "false");
    let server = HttpServer::serve(repo.root()).start();
    works_as_a_whole(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn http_of_protocol_0_with_tips_only() {
    let repo = BareRepo::with_files(FILES);
    repo.config("uploadpack.allowFilter", "false");
    let server = HttpServer::serve(repo.root()).protocol_v0().start();
    let remote = RemoteSpec::new(server.url());
    works_as_a_whole(&repo, &remote);
    let mut notes = Vec::new();
    let on_event = &mut |event| {
        if let PushEvent::Note(text) = event {
            notes.push(text);
        }
    };
    gitrepo::update::<GitError>(&remote, &at_once(), on_event, &mut |_| Ok(None)).unwrap();
    assert_eq!(notes, ["the server gives out whole tips only: reading all files of the branch"]);
}

#[test]
fn http_of_protocol_0_with_filters_and_any_object() {
    let repo = BareRepo::with_files(FILES);
    repo.config("uploadpack.allowAnySHA1InWant", "true");
    let server = HttpServer::serve(repo.root()).protocol_v0().start();
    works_as_a_whole(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn http_of_a_repository_with_sha256() {
    let repo = BareRepo::with_format("sha256");
    let server = HttpServer::serve(repo.root()).start();
    let mut remote = RemoteSpec::new(server.url());
    remote.create_branch = true;
    for (path, content) in FILES {
        put(&remote, path, content).unwrap();
    }
    assert_eq!(repo.commit("main").len(), 64);
    assert_eq!(repo.linear_subjects("main").len(), FILES.len());
}

#[test]
fn the_git_daemon() {
    let repo = BareRepo::with_files(FILES);
    let daemon = Daemon::serve(repo.root());
    works_as_a_whole(&repo, &RemoteSpec::new(daemon.url()));
}

#[test]
fn ssh_with_and_without_filters() {
    let Some(server) = SshServer::start() else { return };
    for filters in ["true", "false"] {
        let repo = BareRepo::with_files(FILES);
        repo.config("uploadpack.allowFilter", filters);
        let mut remote = RemoteSpec::new(server.url(&repo.path()));
        remote.ssh_command = Some(server.command());
        works_as_a_whole(&repo, &remote);
    }
}

#[test]
fn paths_and_file_urls() {
    for prefix in ["", "file://"] {
        let repo = BareRepo::with_files(FILES);
        works_as_a_whole(&repo, &RemoteSpec::new(format!("{prefix}{}", repo.path().display())));
    }
}

#[test]
fn a_repository_of_this_machine_with_hooks_is_pushed_to_by_git_itself() {
    let repo = BareRepo::with_files(FILES);
    repo.hook("post-receive", "cat >> told");
    let remote = RemoteSpec::new(repo.path().display().to_string());
    works_as_a_whole(&repo, &remote);
    assert_eq!(std::fs::read_to_string(repo.path().join("told")).unwrap().lines().count(), 2);
    repo.hook("pre-receive", "echo no tickets, no push; exit 1");
    let error = put(&remote, "kit.yaml", "x").unwrap_err();
    assert_eq!(error.to_string(), "the server refuses the push to `main`: pre-receive hook declined");
    let UpdateError::Refused { server_messages, .. } = error else { panic!() };
    assert_eq!(server_messages, ["no tickets, no push"]);
}

#[test]
fn a_checked_out_branch_is_not_pushed_to() {
    let dir = tempfile::tempdir().unwrap();
    testkit::git::git(dir.path(), &["init", "-q", "-b", "main"]);
    testkit::git::git(dir.path(), &["commit", "-q", "--allow-empty", "-m", "first"]);
    let remote = RemoteSpec::new(dir.path().display().to_string());
    let error = put(&remote, "a", "x").unwrap_err();
    let expected = "the server refuses the push to `main`: branch is currently checked out";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn https_with_a_private_authority() {
    let ca = PrivateCa::new();
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).tls(&ca).start();
    let mut remote = RemoteSpec::new(server.url());
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Certificate { .. })), "{error:?}");
    remote.ca_file = Some(ca.file());
    works_as_a_whole(&repo, &remote);
    remote.ca_file = Some(repo.path().join("HEAD"));
    let error = put(&remote, "a", "x").unwrap_err().to_string();
    assert!(error.ends_with("HEAD`: it holds no certificate (PEM)"), "{error}");
}

#[test]
fn credentials_are_sent_in_each_way_and_refused_with_a_reason() {
    let repo = BareRepo::with_files(FILES);
    let basic = HttpServer::serve(repo.root()).access(Access::Basic("me".into(), "s3cret".into())).start();
    let mut remote = RemoteSpec::new(basic.url());
    let error = put(&remote, "a", "x").unwrap_err();
    let url = basic.url();
    assert_eq!(
        error.to_string(),
        format!("the server refuses access to `{url}`: HTTP 401 Unauthorized: you may not")
    );
    remote.auth = Auth::Basic { username: "me".into(), password: Secret::new("wrong") };
    let UpdateError::Git(error) = put(&remote, "a", "x").unwrap_err() else { panic!() };
    assert_eq!(error.hint().unwrap(), "check that the token is not expired and covers this repository");
    remote.auth = Auth::Basic { username: "me".into(), password: Secret::new("s3cret") };
    pushed(put(&remote, "a", "1").unwrap());
    remote.auth = Auth::Token { token: Secret::new("s3cret"), username: Some("me".into()) };
    pushed(put(&remote, "a", "2").unwrap());
    let mut in_url = RemoteSpec::new(basic.url().replace("://", "://me:s3cret@"));
    pushed(put(&in_url, "a", "3").unwrap());
    in_url.branch = Some("nope".into());
    let error = format!("{:?}", put(&in_url, "a", "3").unwrap_err());
    assert!(!error.contains("s3cret"), "{error}");

    let bearer = HttpServer::serve(repo.root()).access(Access::Bearer("t0ken".into())).start();
    let mut remote = RemoteSpec::new(bearer.url());
    remote.auth = Auth::Bearer(Secret::new("t0ken"));
    pushed(put(&remote, "a", "4").unwrap());
}

#[test]
fn a_token_that_may_only_read_is_told_so() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).access(Access::ReadOnly).start();
    let mut remote = RemoteSpec::new(server.url());
    remote.auth = Auth::Token { token: Secret::new("t"), username: None };
    let UpdateError::Git(error) = put(&remote, "a", "1").unwrap_err() else { panic!() };
    assert_eq!(
        error.hint().unwrap(),
        "reading is allowed, writing is not: the token or key needs write access"
    );
}

#[test]
fn a_credential_helper_is_asked_when_the_server_asks() {
    use std::os::unix::fs::PermissionsExt as _;
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).access(Access::Basic("me".into(), "s3cret".into())).start();
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("git");
    let script =
        "#!/bin/sh\nfor verb; do :; done\ncat >> \"$0.$verb\"\necho username=me\necho password=s3cret\n";
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut remote = RemoteSpec::new(server.url());
    remote.auth = Auth::CredentialHelper;
    remote.git_program = program;
    pushed(put(&remote, "a", "1").unwrap());
    let asked = std::fs::read_to_string(dir.path().join("git.fill")).unwrap();
    assert_eq!(asked, format!("url={}\n\n", server.url()));
    assert!(dir.path().join("git.approve").exists());
}

#[test]
fn redirects_of_the_first_request_are_followed() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).fault(|_| Fault::Redirect("/moved")).start();
    works_as_a_whole(&repo, &RemoteSpec::new(server.url()));
}

#[test]
fn ssh_failures_have_their_own_words() {
    let Some(server) = SshServer::start() else { return };
    let repo = BareRepo::with_files(FILES);
    let mut remote = RemoteSpec::new(server.url(&repo.path()));
    remote.ssh_command = Some(server.command_of_stranger());
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Auth { .. })), "{error:?}");
    assert!(error.to_string().contains("Permission denied (publickey)"), "{error}");
    remote.ssh_command = Some(server.command_without_host_key());
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Certificate { .. })), "{error:?}");
    remote.ssh_command = Some(server.command());
    remote.url = server.url(&repo.root().join("none.git"));
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::NotFound { .. })), "{error:?}");
    remote.ssh_command = Some("no-such-ssh-program".into());
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Program { .. })), "{error:?}");
}

#[test]
fn what_is_not_there_is_said() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    let mut remote = RemoteSpec::new(format!("{}/none.git", server.base()));
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::NotFound { .. })), "{error:?}");
    remote.url = server.url();
    remote.branch = Some("mian".into());
    let UpdateError::Git(error) = put(&remote, "a", "x").unwrap_err() else { panic!() };
    assert_eq!(error.to_string(), format!("`{}` has no branch `mian`", server.url()));
    assert_eq!(error.hint().unwrap(), "it has: main");
    remote.branch = Some("a..b".into());
    let error = put(&remote, "a", "x").unwrap_err().to_string();
    assert_eq!(error, "not a name git allows for a branch: `a..b`");

    let empty = BareRepo::empty();
    let server = HttpServer::serve(empty.root()).start();
    let mut remote = RemoteSpec::new(server.url());
    let error = put(&remote, "a", "x").unwrap_err();
    assert!(matches!(error, UpdateError::Git(GitError::Empty { .. })), "{error:?}");
    remote.create_branch = true;
    let first = pushed(put(&remote, "a", "x").unwrap());
    assert_eq!((first.parent, first.branch.as_str()), (None, "main"));
}

#[test]
fn a_branch_for_review_starts_from_the_main_one_and_grows() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    let remote = RemoteSpec::new(server.url());
    let propose = |content: &str| {
        gitrepo::push_branch::<GitError>(&remote, "kit/app", &at_once(), &mut |_| {}, &mut |_| {
            Ok(write("kit.yaml", content))
        })
        .unwrap()
    };
    let first = pushed(propose("1"));
    assert_eq!((first.parent, first.created_branch), (Some(repo.commit("main")), true));
    let second = pushed(propose("2"));
    assert_eq!((second.parent, second.created_branch), (Some(first.commit), false));
    assert!(matches!(propose("2"), Outcome::NoChange(_)));
    assert_eq!(repo.linear_subjects("main").len(), 1);
}

#[test]
fn a_dry_run_writes_nothing() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).start();
    let remote = RemoteSpec::new(server.url());
    let before = repo.commit("main");
    let planned = gitrepo::dry_run::<GitError>(&remote, None, &at_once(), &mut |_| {}, &mut |_| {
        Ok(write("kit.yaml", "x"))
    })
    .unwrap();
    assert_eq!((planned.parent, planned.creates_branch), (Some(before.clone()), false));
    assert!(planned.change.is_some() && planned.traffic.received > 0);
    assert_eq!(repo.commit("main"), before);
}

#[test]
fn a_protected_branch_is_refused_at_once_with_the_servers_words() {
    let repo = BareRepo::with_files(FILES);
    repo.hook(
        "pre-receive",
        "echo 'GitLab: You are not allowed to push code to protected branches.'; exit 1",
    );
    let server = HttpServer::serve(repo.root()).start();
    let error = put(&RemoteSpec::new(server.url()), "a", "x").unwrap_err();
    let UpdateError::Refused { kind, server_messages, .. } = error else { panic!("{error:?}") };
    assert_eq!(kind, gitrepo::RefusalKind::ProtectedBranch);
    assert_eq!(server_messages, ["GitLab: You are not allowed to push code to protected branches."]);
}

#[test]
fn a_silent_server_ends_in_time() {
    let repo = BareRepo::with_files(FILES);
    let server = HttpServer::serve(repo.root()).fault(|_| Fault::Slow(Duration::from_secs(20))).start();
    let mut remote = RemoteSpec::new(server.url());
    remote.timeouts.idle = Duration::from_millis(200);
    let policy = RetryPolicy { retries: 1, ..at_once() };
    let started = std::time::Instant::now();
    let error = gitrepo::update::<GitError>(&remote, &policy, &mut |_| {}, &mut |_| Ok(None)).unwrap_err();
    assert!(matches!(error, UpdateError::Exhausted { attempts: 2, .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn a_silent_ssh_ends_in_time() {
    let mut remote = RemoteSpec::new("ssh://git@host/repo");
    remote.ssh_command = Some("sleep 20; :".into());
    remote.timeouts.idle = Duration::from_millis(200);
    let policy = RetryPolicy { retries: 0, ..at_once() };
    let started = std::time::Instant::now();
    let error = gitrepo::update::<GitError>(&remote, &policy, &mut |_| {}, &mut |_| Ok(None)).unwrap_err();
    assert!(matches!(error, UpdateError::Exhausted { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn what_is_transferred_does_not_grow_with_the_repository() {
    let mut received = Vec::new();
    for (files, commits) in [(200, 1), (5000, 200)] {
        let repo = BareRepo::of_size(files, commits);
        let server = HttpServer::serve(repo.root()).start();
        let outcome =
            put(&RemoteSpec::new(server.url()), "images/team-000/app-01/branch-3.yaml", "image: x:1\n");
        received.push(pushed(outcome.unwrap()).bytes_received);
    }
    assert!(received[1] < received[0] + 1000, "{received:?}");
}
