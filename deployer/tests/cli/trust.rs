//! Whom `deployer` trusts beside clusters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use testkit::{Clusters, Sandbox, fresh_name, program};

use crate::server::{Certificate, Server};

#[test]
fn gates_and_webhooks_trust_the_authorities_that_this_machine_trusts() {
    let names = ["trust-1", "trust-2"];
    let mut clusters = Clusters::start(&names);
    let server = Server::start(Certificate::Good, "200 OK", "{}");
    let sandbox = Sandbox::new();
    let authority = STANDARD.decode(&server.ca).unwrap();
    let authority = sandbox.write("authority.pem", String::from_utf8(authority).unwrap());
    let namespace = fresh_name("trust");
    for name in names {
        clusters.remove_namespace_at_end(name, &namespace);
        let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
        sandbox.write(format!("manifests/{name}/namespace.yaml"), text);
    }
    let gate = format!("{{http: '{}/gate', timeout: 20s}}", server.url);
    let waves =
        format!("waves: [{{name: one, clusters: [trust-1], gate: {gate}}}, {{name: two, rest: true}}]\n");
    sandbox.write("waves.yaml", waves);
    let call = program("deployer").arg("--configs").arg(clusters.configs());
    let call = call.args(["--manifests-dir", "manifests", "--waves", "waves.yaml", "--sha", "abc"]);
    let call =
        call.args(["--inventory-namespace", &namespace, "--slack-webhook", &format!("{}/hook", server.url)]);
    let answer = sandbox.run(call.env("SSL_CERT_FILE", authority));
    assert_eq!(answer.exit_code, 0, "{answer}");
    let requests = server.requests();
    let asked = |line: &str| requests.iter().any(|request| request.starts_with(line));
    assert!(asked("GET /gate ") && asked("POST /hook "), "{requests:?} {answer}");
}
