//! Secrets reach the server and nobody else: canaries go in on every path, and everything that comes out is searched for them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use simcluster::{Action, Fault, Options, Simulation};
use testkit::{Answer, Clusters, Sandbox, fresh_name, program};

const DATA: &str = "canary-data-4711";
const STRING_DATA: &str = "canary-string-data-4711";
const CHANGED: &str = "canary-changed-4711";
const VARIABLE: &str = "canary-env-4711";
const ARGUMENT: &str = "canary-argument-4711";
const NEXT_ARGUMENT: &str = "canary-next-argument-4711";
const MARKED: &str = "canary-marked-4711";
/// In a Secret, and where a server refuses it and says so: no label may end like this.
const REFUSED: &str = "canary-refused-4711!";
const URL_PASSWORD: &str = "canary-url-4711";
const ALL: [&str; 9] =
    [DATA, STRING_DATA, CHANGED, VARIABLE, ARGUMENT, NEXT_ARGUMENT, MARKED, REFUSED, URL_PASSWORD];

/// Every form in which a canary could come out.
fn forms(canary: &str) -> [String; 3] {
    let hexadecimal = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    [canary.to_owned(), STANDARD.encode(canary), hexadecimal]
}

fn assert_no_canary_in(written: &str) {
    for form in ALL.iter().flat_map(|canary| forms(canary)) {
        if let Some(at) = written.find(&form) {
            let start = written.floor_char_boundary(at.saturating_sub(600));
            panic!("{form} came out, at the end of:\n{}", &written[start..at + form.len()]);
        }
    }
}

/// Manifests with a canary in every place that a secret can have.
fn manifests(namespace: &str, string_data: &str) -> String {
    let (data, refused) = (STANDARD.encode(DATA), REFUSED);
    format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: {namespace}}}\ndata: {{a: {data}}}\n\
         stringData: {{b: {string_data}, c: '{refused}'}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: unfit, namespace: {namespace}}}\ndata: {{b: '{string_data}'}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: refused, namespace: {namespace}, labels: {{x: '{refused}'}}}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: marked, namespace: {namespace}}}\ndata:\n  plain: seen\n  setting: {MARKED}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      \
         - name: web\n        image: registry.example.com/web:1\n        \
         args: ['--db-password={ARGUMENT}', '--api-token', '{NEXT_ARGUMENT}', 'https://user:{URL_PASSWORD}@db.example.com/x']\n        \
         env: [{{name: API_TOKEN, value: {VARIABLE}}}]\n"
    )
}

/// The marks that deploymentizer leaves for values of `external: true`.
fn index(manifests: &str) -> String {
    let line = manifests.lines().position(|line| line.contains(MARKED)).unwrap() + 1;
    let entry = json!({"resource": "r", "source": "s", "digest": "", "secretLines": [line]});
    json!({"version": 1, "cluster": "eu-1", "files": {"all.yaml": entry}}).to_string()
}

#[test]
fn no_secret_comes_out_of_any_deploy() {
    let namespace = fresh_name("engine-secrets");
    let mut clusters = Clusters::start(&["eu-1"]);
    clusters.remove_namespace_at_end("eu-1", &namespace);
    let sandbox = Sandbox::new();
    let kubeconfig = std::fs::read_to_string(clusters.config("eu-1")).unwrap();
    let mut written = String::new();
    let mut run = |flags: &[&str], string_data: &str| -> Answer {
        let text = manifests(&namespace, string_data);
        sandbox.write("manifests/eu-1/.kit-index.json", index(&text));
        sandbox.write("manifests/eu-1/all.yaml", text);
        let call = program("deployer").args(["-m", "manifests", "--configs"]).arg(clusters.configs());
        let call = call.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full").env("GITHUB_ACTIONS", "true");
        // On real clusters other tests deploy at the same time.
        let call = call.args(["--inventory-namespace", &namespace]);
        let call = call.env("GITHUB_STEP_SUMMARY", sandbox.home().join("summary.md"));
        let answer = sandbox.run(call.args(flags));
        written.push_str(&answer.to_string());
        answer
    };
    run(&["--dry-run", "--debug"], STRING_DATA);
    run(&["--dry-run", "--output", "json"], STRING_DATA);
    let reports = "--report=out/r.json,out/r.xml,out/r.md,out/r.html";
    sandbox.write("out/README", "");
    run(&["--debug", "--diff", "--available-timeout", "60", reports], STRING_DATA);
    let dry = run(&["--dry-run"], CHANGED);
    assert!(dry.stdout.contains("data.b: \"<secret "), "that it changes can be seen: {dry}");
    run(&["--plan-out", "out/plan.json"], CHANGED);
    run(&["--output", "ndjson", "--debug", "--diff", "--available-enabled", "false"], CHANGED);
    run(&["--output", "json", "--recreate", "Deployment,Secret"], CHANGED);
    written.push_str(
        &sandbox
            .run(
                program("deployer")
                    .args(["status", "-m", "manifests", "--output", "json", "-c"])
                    .arg(clusters.configs()),
            )
            .to_string(),
    );
    // What is left on disk beside what the test wrote.
    for dir in [sandbox.home().to_owned(), sandbox.join("out")] {
        for (path, bytes) in testkit::read_tree(&dir, true) {
            written.push_str(&format!("\n{path:?} {}", String::from_utf8_lossy(&bytes)));
        }
    }
    for file in ["plan.json", "r.json", "r.xml", "r.md", "r.html", "summary.md"] {
        assert!(written.contains(file), "{file} was written, and is searched");
    }
    assert!(written.contains("seen"), "what is no secret is shown");
    assert_no_canary_in(&written);
    let credentials = ["token:", "client-key-data:", "password:"];
    for line in kubeconfig.lines().map(str::trim) {
        if let Some(value) = credentials.iter().find_map(|key| line.strip_prefix(key)).map(str::trim) {
            assert!(!written.contains(value), "a credential of the kubeconfig came out");
        }
    }
}

#[test]
fn a_server_that_repeats_what_it_was_sent_is_not_repeated() {
    let simulation = Simulation::start(Options::named(["eu-1"])).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("configs/eu-1.yaml", simulation.kubeconfig("eu-1").unwrap());
    let text = manifests("web", STRING_DATA);
    sandbox.write("manifests/eu-1/.kit-index.json", index(&text));
    sandbox.write("manifests/eu-1/all.yaml", text);
    // As admission webhooks do: at once, and while the request is tried again.
    let words = ALL.map(|canary| match canary {
        // Not part of these manifests: nobody could know that it is one.
        CHANGED => String::new(),
        DATA | STRING_DATA | REFUSED => forms(canary)[..2].join(" "),
        _ => canary.to_owned(),
    });
    let words = words.join(" and ");
    for (code, verb) in [(500, "apply"), (429, "apply"), (403, "apply"), (422, "apply"), (500, "list")] {
        let said = format!("admission webhook \"w.example.com\" denied the request: {words}");
        let action = Action::Status { code, retry_after: Some(0), message: Some(said) };
        let fault = Fault { verbs: vec![verb.into()], ..Fault::every(action) };
        simulation.set_faults("eu-1", vec![fault], 1);
        let call = program("deployer").args(["-m", "manifests", "--configs", "configs", "--debug", "--diff"]);
        let call =
            call.env("BACKOFF_INITIAL_DELAY", "1").env("BACKOFF_FAIL_AFTER", "3").env("RUST_LOG", "trace");
        for form in ["text", "json", "ndjson"] {
            let answer = sandbox.run(call.clone().args(["--output", form]));
            assert_ne!(answer.exit_code, 0, "{code}: {answer}");
            assert!(answer.to_string().contains("denied the request: "), "{code}: {answer}");
            assert_no_canary_in(&answer.to_string());
        }
    }
}
