//! From what is live back to the build, over the three real binaries and a real git history.

use serde_json::{Value, json};
use testkit::{Answer, Clusters, Sandbox, fresh_name, program};

use crate::stage::Api;

const IMAGE: &str = "registry.example.com/shop/web:main-2";

/// A manifests repository with a history, rendered and deployed.
struct Pipeline {
    sandbox: Sandbox,
    clusters: Clusters,
    namespace: String,
}

impl Pipeline {
    fn new(render: &[&str]) -> Self {
        let namespace = fresh_name("trace");
        let mut clusters = Clusters::start(&["eu-1"]);
        clusters.remove_namespace_at_end("eu-1", &namespace);
        let this = Self { sandbox: Sandbox::new(), clusters, namespace };
        let repo = |file: &str, text: &str| {
            this.sandbox.write(format!("work/{file}"), text.replace("NS", &this.namespace));
        };
        repo("kit.yaml", KIT);
        repo("base-cluster.yaml", BASE);
        repo("base-var.yaml", "kind: ResourceConfig\nlevel: info\n");
        repo("clusters/eu-1/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: eu-1, type: prod}\n");
        repo("clusters/eu-1/configuration-var.yaml", "kind: ResourceConfig\nlevel: debug\n");
        repo("type/prod-var.yaml", "kind: ResourceConfig\nmetadata: {type: prod}\nzone: eu\n");
        repo("images/shop/web/main.yaml", "image: registry.example.com/shop/web:main-1\n");
        repo("resources/web.yaml.j2", TEMPLATE);
        this.git(&["init", "--quiet", "--initial-branch=main", "work"]);
        this.git(&["-C", "work", "add", "."]);
        this.git(&["-C", "work", "commit", "--quiet", "--message", "all of it"]);
        this.git(&["clone", "--quiet", "--bare", "work", "manifests.git"]);
        this.git(&["-C", "work", "remote", "add", "origin", "../manifests.git"]);
        let push = program("image-deployer")
            .args([
                "--repo",
                "manifests.git",
                "--branch",
                "main",
                "--image",
                IMAGE,
                "--source-commit",
                "4f2a91c",
            ])
            .args(["--build-url", "https://robot:hidden@ci.example.com/builds/417"])
            .env("CI_COMMITTER_NAME", "CI")
            .env("CI_COMMITTER_EMAIL", "ci@example.com");
        this.sandbox.run(push).success();
        this.git(&["-C", "work", "pull", "--quiet", "origin", "main"]);
        let call = program("deploymentizer").args(["--conf", "work/kit.yaml"]);
        let call = match render {
            ["PROVENANCE"] => call.env("PROVENANCE", "true"),
            flags => call.args(flags),
        };
        this.sandbox.run(call.env("API_KEY", "hunter2hunter2")).success();
        this.sandbox.run(this.call("deployer").args(["--sha", "abc"])).success();
        this
    }

    fn git(&self, args: &[&str]) {
        let output = self.sandbox.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn call(&self, name: &str) -> testkit::Call {
        program(name).env("CONFIGS", self.clusters.configs()).env("MANIFESTS_DIR", "work/generated")
    }

    fn ask(&self, args: &[&str]) -> Answer {
        let object = args[0].replace("NS", &self.namespace);
        self.sandbox.run(self.call("deployer").args(["trace", "eu-1", &object]).args(&args[1..]))
    }

    fn field(&self, object: &str, path: &str) -> Value {
        let answer = self.ask(&[object, path, "--output", "json"]);
        let json = answer.json();
        testkit::assert_schema("deployer/schema/trace.v1.json", &json);
        assert!(!format!("{answer}").contains("hunter2"), "{answer}");
        json["fields"][0].clone()
    }
}

const KIT: &str = "\
version: 1
base: {path: .}
type: {path: type}
cluster: {path: clusters}
resources: {path: resources}
images: {path: images, property: image}
output: {path: generated}
";

const BASE: &str = "\
kind: ClusterNamespace
metadata: {name: base, branch: main}
resources:
  web:
    file: web.yaml.j2
    image_tag: shop/web
    env:
    - {name: API_KEY, external: true, encoding: base64}
";

const TEMPLATE: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: NS}
---
apiVersion: v1
kind: Secret
metadata: {name: web, namespace: NS}
data:
  key: {{ containers[0].env[0].value }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: NS
  labels: {app: web}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: {{ containers[0].image }}
        env:
        - {name: LEVEL, value: \"{{ level }}\"}
";

#[test]
fn an_image_leads_to_its_line_its_commit_and_its_build() {
    let pipeline = Pipeline::new(&["--provenance"]);
    let answer = pipeline.ask(&["Deployment/NS/web"]).success();
    assert!(answer.stdout.contains("build     https://"), "{answer}");
    assert!(!answer.stdout.contains("hidden"), "{answer}");
    let image = pipeline.field("deployment/NS/web", "spec.template.spec.containers[web].image");
    assert_eq!(image["state"], "as-rendered", "{image:#}");
    assert_eq!((&image["live"], &image["managers"]), (&json!(IMAGE), &json!(["kit"])));
    assert_eq!(image["rendered"]["line"], 25, "{image:#}");
    assert_eq!(image["template"], "resources/web.yaml.j2:25");
    assert!(image["values"].as_array().unwrap().contains(&json!("images/shop/web/main.yaml:1")), "{image:#}");
    assert_eq!(image["commit"]["sourceCommit"], "4f2a91c");
    assert!(
        image["commit"]["buildUrl"].as_str().unwrap().ends_with("ci.example.com/builds/417"),
        "{image:#}"
    );
    assert_eq!(image.get("missing"), None, "{image:#}");
}

#[test]
fn other_fields_lead_to_their_values_and_what_is_not_ours_says_whose_it_is() {
    let pipeline = Pipeline::new(&["PROVENANCE"]);
    let level = pipeline.field("Deployment/NS/web", "spec.template.spec.containers[web].env[LEVEL].value");
    assert_eq!(level["live"], "debug");
    assert_eq!(level["values"], json!(["clusters/eu-1/configuration-var.yaml:2"]), "{level:#}");
    assert_eq!(level["commit"]["subject"], "all of it");

    let key = pipeline.field("Secret/NS/web", "data.key");
    assert!(key["live"].as_str().is_some_and(|shown| shown != "aHVudGVyMmh1bnRlcjI="), "{key:#}");

    let api = Api::of(&pipeline.clusters.config("eu-1"));
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web?fieldManager=scaler", pipeline.namespace);
    api.patch(&path, &json!({"spec": {"replicas": 3, "paused": true}}));
    let replicas = pipeline.field("Deployment/NS/web", "spec.replicas");
    assert_eq!((&replicas["state"], &replicas["live"]), (&json!("drift"), &json!(3)), "{replicas:#}");
    assert_eq!(replicas["rendered"]["value"], "1");
    assert_eq!(replicas["missing"][0]["what"], "who set what the cluster has is not in git: `scaler`");
    let paused = pipeline.field("Deployment/NS/web", "spec.paused");
    assert_eq!(
        (&paused["state"], &paused["managers"]),
        (&json!("not-ours"), &json!(["scaler"])),
        "{paused:#}"
    );
    let limit = pipeline.field("Deployment/NS/web", "spec.revisionHistoryLimit");
    assert!(
        limit["missing"][0]["what"].as_str().unwrap().ends_with("it has the server's default"),
        "{limit:#}"
    );
    let mark = pipeline.field("Deployment/NS/web", "metadata.labels.strategy");
    assert_eq!(mark["state"], "mark", "{mark:#}");
    let none = pipeline.ask(&["Deployment/NS/web", "spec.nothing"]);
    assert_eq!(none.exit_code, 1, "{none}");
}

#[test]
fn without_provenance_it_names_the_command_and_still_finds_the_commit() {
    let pipeline = Pipeline::new(&[]);
    let image = pipeline.field("Deployment/NS/web", "spec.template.spec.containers[web].image");
    assert_eq!(image["template"], "resources/web.yaml.j2", "{image:#}");
    assert_eq!(
        image["missing"][0]["hint"],
        "deploymentizer explain eu-1 web --line web.yaml:25; or render with `--provenance`"
    );
    assert_eq!(image["commit"]["sourceCommit"], "4f2a91c", "{image:#}");

    std::fs::remove_file(pipeline.sandbox.join("work/generated/eu-1/.kit-index.json")).unwrap();
    let image = pipeline.field("Deployment/NS/web", "spec.template.spec.containers[web].image");
    assert_eq!(image["missing"][0]["hint"], "deploymentizer --conf kit.yaml --provenance", "{image:#}");
}

#[test]
fn what_cannot_be_asked_says_how_to_ask() {
    let pipeline = Pipeline::new(&[]);
    let said = |args: &[&str]| {
        let answer = pipeline.ask(args);
        (
            answer.exit_code,
            answer.stderr.lines().next().unwrap_or_default().replace(&pipeline.namespace, "NS"),
        )
    };
    assert_eq!(
        said(&["web"]),
        (2, "error: not an object, expected KIND/NAME or KIND/NAMESPACE/NAME: `web`".into())
    );
    assert_eq!(
        said(&["Widget/NS/web"]),
        (2, "error: no manifest says which API has this kind: `Widget`".into())
    );
    assert_eq!(
        said(&["Deployment/NS/wbe"]),
        (1, "error: cluster `eu-1` has no Deployment `wbe` in namespace `NS`".into())
    );
    assert_eq!(
        said(&["Deployment/NS/web", "spec..x"]),
        (2, "error: not a path to a field, a name is missing between two dots: `spec..x`".into())
    );
    let call = pipeline.call("deployer").args(["trace", "nowhere", "Deployment/web"]);
    assert_eq!(pipeline.sandbox.run(call).exit_code, 2);
}
