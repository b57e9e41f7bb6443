//! A secret is in no answer of any command, in any format.
#![allow(clippy::unwrap_used)]

use testkit::{Answer, Sandbox, program};

const KEY: &str = "canary-key-4711";
const TOKEN: &str = "canary-token-0815";
/// `KEY` in base64, as a manifest has it.
const ENCODED: &str = "Y2FuYXJ5LWtleS00NzEx";

fn fleet() -> Sandbox {
    let sandbox = Sandbox::new();
    let file = |path: &str, text: &str| sandbox.write(path, text);
    file(
        "kit.yaml",
        "base: {path: .}\ntype: {path: type}\ncluster: {path: clusters}\nresources: {path: resources}\n\
         images: {path: images}\noutput: {path: generated}\n\
         plugin: {path: file-config, options: {configPath: ./config, secret: true}}\n",
    );
    file(
        "base-cluster.yaml",
        "kind: ClusterNamespace\nresources:\n  keys:\n    file: keys.yaml.j2\n    env:\n    - name: KEY\n      external: true\n\
         \x20     encoding: base64\n    - name: PLAIN\n      external: true\n  old:\n    file: old.mustache\n    env:\n    - {name: PLAIN, external: true}\n",
    );
    file("base-var.yaml", "kind: ResourceConfig\nlevel: info\n");
    file("type/prod-var.yaml", "kind: ResourceConfig\nmetadata: {type: prod}\n");
    file("clusters/eu/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: eu, type: prod}\n");
    file("clusters/us/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: us, type: prod}\n");
    for cluster in ["eu", "us"] {
        for resource in ["keys", "old"] {
            file(&format!("config/{resource}/{cluster}-env.json"), &format!("{{\"token\": \"{TOKEN}\"}}"));
        }
    }
    file(
        "resources/keys.yaml.j2",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: keys}\nstringData:\n  level: \"{{ level }}\"\n  token: {{ keys.token }}\n\
         {% for each in keys.env %}\n  {{ each.name }}: {{ each.value }}\n{% endfor %}\n  both: x-{{ keys.env[1].value }}-{{ level }}\n\
         \x20 block: |\n    {{ keys.token }}\n    {{ level }}\n",
    );
    file(
        "resources/old.mustache",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: old}\nstringData:\n  level: {{level}}\n{{#old.env}}\n  {{name}}: {{value}}-{{level}}\n{{/old.env}}\n",
    );
    sandbox
}

fn ask(sandbox: &Sandbox, args: &[&str]) -> Answer {
    let call = program("deploymentizer").args(args).env("KEY", KEY).env("PLAIN", "canary-plain-99");
    let call = call.env("GITHUB_ACTIONS", "true").env("GITHUB_STEP_SUMMARY", "summary.md");
    let answer = sandbox.run(call);
    for (what, text) in [("stdout", &answer.stdout), ("stderr", &answer.stderr)] {
        for secret in ["canary", ENCODED] {
            assert!(!text.contains(secret), "{secret} in {what} of {args:?}:\n{text}");
        }
    }
    answer
}

#[test]
fn no_command_shows_a_secret() {
    let sandbox = fleet();
    sandbox.git_init();
    ask(&sandbox, &[]).success();
    let lines = |file: &str| sandbox.read(format!("generated/eu/{file}")).lines().count();
    // The lines that hold a secret change, and so do the values in them.
    sandbox.write("base-var.yaml", "kind: ResourceConfig\nlevel: debug\n");
    let template = sandbox.read("resources/keys.yaml.j2");
    sandbox.write("resources/keys.yaml.j2", template.replace("  token: ", "  tokens: "));
    sandbox.write("clusters/ap/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: ap, type: prod}\n");
    for resource in ["keys", "old"] {
        sandbox.write(format!("config/{resource}/ap-env.json"), format!("{{\"token\": \"{TOKEN}\"}}"));
    }
    std::fs::remove_dir_all(sandbox.join("clusters/us")).unwrap();
    for format in ["text", "json"] {
        let with = |args: &[&str]| ask(&sandbox, &[args, &["--output", format, "--debug"]].concat());
        for resource in ["keys", "old"] {
            assert!(with(&["explain", "eu", resource]).success().stdout.contains("***"));
            with(&["explain", "eu", resource, &format!("{resource}.env")]).success();
            for line in 1..=lines(&format!("{resource}.yaml")) {
                with(&["explain", "eu", resource, "--line", &format!("{resource}.yaml:{line}")]).success();
            }
        }
        for list in ["clusters", "resources", "images"] {
            with(&["list", list]).success();
        }
        for spot in
            ["base-var.yaml:2", "base-cluster.yaml", "resources/keys.yaml.j2", "resources/old.mustache:5"]
        {
            with(&["reach", spot]).success();
        }
        assert!(with(&["diff"]).success().stdout.contains("***"));
        with(&["diff", "HEAD", "--code-quality", "quality.json"]).success();
        with(&["check", "--junit", "junit.xml"]).success();
        with(&["migrate"]);
        with(&["init", "service", "cart"]);
        with(&["--save", "false"]).success();
    }
    ask(&sandbox, &["diff", "--output", "markdown"]).success();
    // And where something is wrong with the line that holds it.
    sandbox.write("resources/keys.yaml.j2", template.replace("  token: ", " token: "));
    ask(&sandbox, &["diff"]);
    ask(&sandbox, &["explain", "eu", "keys"]);
    for file in ["summary.md", "quality.json", "junit.xml"] {
        let text = sandbox.read(file);
        assert!(!text.contains("canary") && !text.contains(ENCODED), "{file}: {text}");
    }
}
