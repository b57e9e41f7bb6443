//! Secrets reach the server and nobody else: canaries go in on every path, and everything that comes out is searched for them.

use testkit::{Clusters, Sandbox, fresh_name, program};

const CANARIES: [&str; 7] = [
    "canary-data-4711",
    "canary-string-data-4711",
    "canary-env-4711",
    "canary-argument-4711",
    "canary-marked-4711",
    "canary-refused-4711!",
    "canary-changed-4711",
];

/// Every form in which a canary could come out.
fn forms(canary: &str) -> Vec<String> {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    vec![canary.to_owned(), STANDARD.encode(canary)]
}

#[test]
fn no_secret_comes_out_anywhere() {
    use base64::Engine as _;
    let namespace = fresh_name("engine-secrets");
    let mut clusters = Clusters::start(&["eu-1"]);
    clusters.remove_namespace_at_end("eu-1", &namespace);
    let sandbox = Sandbox::new();
    let data = base64::engine::general_purpose::STANDARD.encode(CANARIES[0]);
    let refused = CANARIES[5];
    let manifests = |string_data: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
             apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: {namespace}}}\ndata: {{a: {data}}}\n\
             stringData: {{b: {string_data}, c: '{refused}'}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: refused, namespace: {namespace}, labels: {{x: '{refused}'}}}}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: marked, namespace: {namespace}}}\ndata:\n  plain: seen\n  setting: {marked}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  \
             selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      containers:\n      \
             - name: web\n        image: registry.example.com/web:1\n        args: ['--db-password={argument}']\n        \
             env: [{{name: API_TOKEN, value: {env}}}]\n",
            marked = CANARIES[4],
            argument = CANARIES[3],
            env = CANARIES[2],
        )
    };
    let mut written = String::new();
    let mut run = |flags: &[&str], string_data: &str| {
        let text = manifests(string_data);
        let line = text.lines().position(|line| line.contains(CANARIES[4])).unwrap() + 1;
        sandbox.write("manifests/eu-1/all.yaml", &text);
        sandbox.write(
            "manifests/eu-1/.kit-index.json",
            format!(
                r#"{{"version":1,"cluster":"eu-1","files":{{"all.yaml":{{"resource":"r","source":"s","digest":"","secretLines":[{line}]}}}}}}"#
            ),
        );
        let answer = sandbox.run(
            program("deployer").args(["-m", "manifests", "--configs"]).arg(clusters.configs()).args(flags),
        );
        written.push_str(&answer.to_string());
        answer
    };
    let first = CANARIES[1];
    run(&["--dry-run", "--debug"], first);
    run(&["--dry-run", "--output", "json"], first);
    run(&["--debug", "--diff", "--available-enabled", "false"], first);
    let changed = CANARIES[6];
    let dry = run(&["--dry-run"], changed);
    assert!(dry.stdout.contains("data.b: \"<secret "), "that it changes can be seen: {dry}");
    run(&["--plan-out", "plan.json"], changed);
    run(&["--output", "ndjson", "--debug", "--diff", "--available-enabled", "false"], changed);
    if let Ok(plan) = std::fs::read_to_string(sandbox.join("plan.json")) {
        written.push_str(&plan);
    }
    // What is left on disk beside what the test wrote.
    for (path, bytes) in testkit::read_tree(sandbox.home(), true) {
        written.push_str(&format!("{path:?} {}", String::from_utf8_lossy(&bytes)));
    }
    assert!(written.contains("seen"), "what is no secret is shown");
    for canary in CANARIES {
        for form in forms(canary) {
            assert!(!written.contains(&form), "{form} came out:\n{written}");
        }
    }
}
