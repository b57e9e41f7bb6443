//! Clusters that cannot be reached: told apart, in a sentence, with what to do; code 1, and the others are served.

use std::time::{Duration, Instant};

use testkit::{Sandbox, program};

use crate::server::{Certificate, Server};

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: web}\n";

fn kubeconfig(url: &str, ca: &str, user: &str) -> String {
    format!(
        "kind: Config\napiVersion: v1\nmetadata: {{name: eu-1}}\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: '{url}', certificate-authority-data: {ca}}}}}]\n\
         users: [{{name: u, user: {user}}}]\n"
    )
}

/// The answer for a cluster at `url`, with what differs from run to run replaced.
fn answer(url: &str, ca: &str, user: &str) -> String {
    let sandbox = Sandbox::new();
    sandbox.write("configs/eu-1.yaml", kubeconfig(url, ca, user));
    sandbox.write("manifests/eu-1/a.yaml", CONFIG_MAP);
    let started = Instant::now();
    let answer =
        sandbox.run(program("deployer").args(["--configs", "configs", "-m", "manifests", "--quiet"]));
    assert!(started.elapsed() < Duration::from_secs(20));
    let host = url.trim_start_matches("https://");
    let text = answer.to_string().replace(host, "HOST");
    assert!(!text.contains("secret-token"), "{text}");
    text
}

#[test]
fn a_dead_endpoint() {
    // Bound and closed again: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let ca = Server::start(Certificate::Good, "200 OK", "{}").ca;
    crate::assert_answer!(answer(&format!("https://127.0.0.1:{port}"), &ca, "{token: secret-token}"));
}

#[test]
fn a_certificate_of_another_authority() {
    let server = Server::start(Certificate::Good, "200 OK", "{}");
    let other = Server::start(Certificate::Good, "200 OK", "{}");
    crate::assert_answer!(answer(&server.url, &other.ca, "{token: secret-token}"));
}

#[test]
fn a_certificate_for_another_name() {
    let server = Server::start(Certificate::ForAnotherName, "200 OK", "{}");
    crate::assert_answer!(answer(&server.url, &server.ca, "{token: secret-token}"));
}

#[test]
fn a_certificate_that_has_expired() {
    let server = Server::start(Certificate::Expired, "200 OK", "{}");
    crate::assert_answer!(answer(&server.url, &server.ca, "{token: secret-token}"));
}

#[test]
fn a_wrong_token() {
    let body =
        r#"{"kind":"Status","status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401}"#;
    let server = Server::start(Certificate::Good, "401 Unauthorized", body);
    crate::assert_answer!(answer(&server.url, &server.ca, "{token: secret-token}"));
}

#[test]
fn a_user_without_rights() {
    let body = r#"{"kind":"Status","status":"Failure","reason":"Forbidden","code":403,
        "message":"configmaps \"a\" is forbidden: User \"ci\" cannot get resource \"configmaps\" in API group \"\" in the namespace \"web\""}"#;
    let server = Server::start(Certificate::Good, "403 Forbidden", body);
    crate::assert_answer!(answer(&server.url, &server.ca, "{token: secret-token}"));
}

#[test]
fn something_that_is_no_kubernetes() {
    let server = Server::start(Certificate::Good, "404 Not Found", "<html>nginx</html>");
    crate::assert_answer!(answer(&server.url, &server.ca, "{token: secret-token}"));
}

#[test]
fn a_certificate_authority_that_is_none() {
    crate::assert_answer!(answer("https://127.0.0.1:1", "bm90IGEgUEVN", "{token: secret-token}"));
}

#[test]
fn a_credential_plugin_that_is_missing_fails_or_hangs() {
    let ca = Server::start(Certificate::Good, "200 OK", "{}").ca;
    let exec = |rest: &str| {
        format!("{{exec: {{apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, {rest}}}}}")
    };
    crate::assert_answer!(answer(
        "https://127.0.0.1:1",
        &ca,
        &exec("command: no-such-plugin, installHint: 'get it from the shop'")
    ));
    crate::assert_answer!(answer(
        "https://127.0.0.1:1",
        &ca,
        &exec("command: sh, args: ['-c', 'echo no luck >&2; exit 3']")
    ));
    crate::assert_answer!(answer(
        "https://127.0.0.1:1",
        &ca,
        &exec("command: sh, args: ['-c', 'echo secret-token']")
    ));
}
