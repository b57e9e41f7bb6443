//! The whole way: an image tag goes in at one end and runs on several clusters at the other.
//!
//! The three real binaries as child processes, a real git remote, and clusters that are simulated, or real ones when
//! `KIT_TEST_CONFIGS` names a folder of kubeconfigs. Nothing here knows which.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

use std::process::Command;

use testkit::{Answer, Call, Clusters, Sandbox, copy_tree, fresh_name, program, read_tree, workspace_root};

/// The sample's clusters.
const CLUSTERS: [&str; 3] = ["dev-1", "eu-1", "us-1"];

/// The sample repository as a bare remote, a checkout of it, and clusters. Every pipeline has its own namespace, because
/// real clusters are shared.
struct Pipeline {
    sandbox: Sandbox,
    clusters: Clusters,
    namespace: String,
}

impl Pipeline {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let namespace = fresh_name("shop");
        copy_tree(&workspace_root().join("testdata/manifests"), &sandbox.join("seed"));
        let mut files: Vec<String> =
            vec!["base-var.yaml".into(), "resources/platform/network-policy.yaml".into()];
        files.extend(CLUSTERS.map(|cluster| format!("namespaces/{cluster}/shop.yaml")));
        for file in files {
            let path = format!("seed/{file}");
            let text = sandbox.read(&path);
            let text = text.replace("namespace: shop", &format!("namespace: {namespace}"));
            sandbox.write(&path, text.replace("\n  name: shop\n", &format!("\n  name: {namespace}\n")));
        }
        let this = Self { clusters: Clusters::start(&CLUSTERS), sandbox, namespace };
        this.git(&["init", "--quiet", "--initial-branch=main", "seed"]);
        this.git(&["-C", "seed", "add", "."]);
        this.git(&["-C", "seed", "commit", "--quiet", "--message", "sample"]);
        this.git(&["clone", "--quiet", "--bare", "seed", "manifests.git"]);
        let mut this = this;
        for cluster in CLUSTERS {
            this.clusters.remove_namespace_at_end(cluster, &this.namespace.clone());
        }
        this
    }

    fn git(&self, args: &[&str]) -> String {
        let output = self.sandbox.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn push_image(&self, image: &str) -> Answer {
        let call =
            program("image-deployer").args(["--repo", "manifests.git", "--branch", "main", "--image", image]);
        let call = call.env("CI_COMMITTER_NAME", "CI").env("CI_COMMITTER_EMAIL", "ci@example.com");
        self.sandbox.run(call.args(["--output", "json"]))
    }

    fn render(&self) -> Answer {
        if self.sandbox.join("work").exists() {
            self.git(&["-C", "work", "pull", "--quiet"]);
        } else {
            self.git(&["clone", "--quiet", "manifests.git", "work"]);
        }
        let call = program("deploymentizer").args(["--conf", "work/kit.yaml", "--output", "json"]);
        self.sandbox
            .run(call.env("PAYMENTS_API_KEY", "canary-key").env("PAYMENTS_WEBHOOK_TOKEN", "canary-token"))
    }

    fn deployer(&self) -> Call {
        let call = program("deployer").arg("--configs").arg(self.clusters.configs());
        call.args(["--manifests-dir", "work/generated", "--namespaces-dir", "work/namespaces"])
            .deadline(std::time::Duration::from_secs(240))
    }

    fn deploy(&self, flags: &[&str]) -> Answer {
        self.sandbox.run(self.deployer().args(flags).args(["--output", "json"]))
    }

    /// The image of a Deployment's first container, as the cluster itself tells it.
    fn live_image(&self, cluster: &str, deployment: &str) -> Option<String> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.clusters.config(cluster))
            .args(["--namespace", &self.namespace, "get", "deployment", deployment])
            .args(["--output", "jsonpath={.spec.template.spec.containers[0].image}"])
            .output()
            .ok()?;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn an_image_tag_goes_in_at_one_end_and_runs_on_the_clusters_at_the_other() {
    let pipeline = Pipeline::new();
    let image = "registry.larkspur.example/larkspur/cart:main-4f2a91c";

    let pushed = pipeline.push_image(image).success();
    let commit = pipeline.git(&["-C", "manifests.git", "rev-parse", "main"]);
    assert_eq!(pushed.json()["commit"], commit.trim());
    let changed = pipeline.git(&["-C", "manifests.git", "show", "--format=", "--stat=200", "main"]);
    assert!(
        changed.contains("images/larkspur/cart/main.yaml") && changed.contains("1 file changed"),
        "{changed}"
    );

    pipeline.render().success();
    for cluster in CLUSTERS {
        let rendered = read_tree(&pipeline.sandbox.join(format!("work/generated/{cluster}")), false);
        let cart = String::from_utf8_lossy(&rendered["cart-deployment.yaml"]).into_owned();
        assert_eq!(cart.contains(image), cluster != "dev-1", "dev-1 follows the branch develop\n{cart}");
        assert_eq!(rendered.contains_key("search-deployment.yaml"), cluster != "dev-1");
        assert_eq!(rendered.contains_key("reports-deployment.yaml"), cluster == "us-1");
    }

    let planned = pipeline.deploy(&["--dry-run"]).success();
    assert!(!format!("{planned}").contains("canary"), "a secret is in the plan\n{planned}");
    let first = pipeline.deploy(&[]).success();
    assert!(!format!("{first}").contains("canary"), "a secret is in the report\n{first}");
    for cluster in ["eu-1", "us-1"] {
        assert_eq!(pipeline.live_image(cluster, "cart").as_deref().unwrap_or(image), image);
    }

    let again = pipeline.deploy(&[]).success();
    for cluster in again.json()["clusters"].as_array().unwrap() {
        let counts = &cluster["counts"];
        assert_eq!((&counts["created"], &counts["configured"]), (&0.into(), &0.into()), "{again}");
    }
    // Nothing to commit is done, not failed, and makes no commit.
    let same = pipeline.push_image(image).success();
    assert_eq!(same.json()["outcome"], "unchanged", "{same}");
    assert_eq!(pipeline.git(&["-C", "manifests.git", "rev-parse", "main"]), commit);
}

#[test]
fn a_bad_image_fails_where_it_goes_and_nowhere_else() {
    let pipeline = Pipeline::new();
    pipeline.render().success();
    pipeline.deploy(&[]).success();

    pipeline.push_image("registry.larkspur.example/larkspur/cart:main-bad0bad").success();
    pipeline.render().success();
    let answer = pipeline.deploy(&["--available-timeout", "60"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report = answer.json();
    let status = |name: &str| {
        let clusters = report["clusters"].as_array().unwrap();
        clusters.iter().find(|cluster| cluster["name"] == name).unwrap()["state"].clone()
    };
    assert_eq!(
        (status("dev-1"), status("eu-1"), status("us-1")),
        ("done".into(), "failed".into(), "failed".into())
    );
    let said = format!("{answer}");
    assert!(said.contains("ErrImagePull") || said.contains("ImagePullBackOff"), "{said}");
    assert!(said.contains(&format!("Deployment/{}/cart", pipeline.namespace)), "{said}");
}
