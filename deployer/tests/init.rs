//! What `deploymentizer init` writes deploys, by the commands of its own CI recipe.
#![allow(clippy::unwrap_used)]

use testkit::{Answer, Clusters, Sandbox, built_binary, program};

fn deploymentizer(sandbox: &Sandbox, args: &[&str]) -> Answer {
    sandbox.run(program("deploymentizer").args(args)).success()
}

/// The commands of a recipe below `run:`, those that install left out.
fn commands(recipe: &str) -> String {
    let mut script = String::new();
    let mut block = None;
    for line in recipe.lines() {
        let indent = line.len() - line.trim_start().len();
        if block.is_some_and(|start| indent <= start) {
            block = None;
        }
        match (block, line.trim_start().strip_prefix("run: ")) {
            (Some(_), _) => script.push_str(&format!("{}\n", line.trim_start())),
            (None, Some("|")) => block = Some(indent),
            (None, Some(command)) if !command.starts_with("cargo ") => {
                script.push_str(&format!("{command}\n"))
            }
            (None, _) => {}
        }
    }
    script
}

#[test]
fn a_new_repository_with_one_more_service_deploys_by_its_own_recipe() {
    let sandbox = Sandbox::new();
    let mut clusters = Clusters::start(&["one", "two"]);
    for cluster in ["one", "two"] {
        clusters.remove_namespace_at_end(cluster, "apps");
    }
    let git = |args: &[&str]| {
        let output = sandbox.command("git").args(args).output().unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    deploymentizer(&sandbox, &["init"]);
    git(&["init", "--quiet", "--initial-branch=main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "init"]);
    let image = "docker.io/nginxinc/nginx-unprivileged:1.29-alpine";
    deploymentizer(&sandbox, &["init", "service", "cart", "--image", image, "--port", "8080"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "cart"]);
    let script = commands(&sandbox.read(".github/workflows/deploy.yml"));
    assert!(script.contains("diff HEAD^1..HEAD\n") && script.contains("deployer --configs"), "{script}");
    let bin = built_binary("deployer");
    let path = format!("{}:{}", bin.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let config = |cluster: &str| std::fs::read_to_string(clusters.config(cluster)).unwrap();
    let output = sandbox
        .command("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .env("PATH", path)
        .env("KUBECONFIG_ONE", config("one"))
        .env("KUBECONFIG_TWO", config("two"))
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script}\n{out}\n{err}");
    assert!(out.contains("in 2 clusters: one, two, new file cart.yaml\n"), "{out}");
    // Everything runs: a second run has nothing to do.
    let again = sandbox.run(program("deployer").args([
        "--configs",
        "kubeconfigs",
        "--manifests-dir",
        "generated",
        "--namespaces-dir",
        "namespaces",
        "--dry-run",
        "--detailed-exitcode",
    ]));
    assert_eq!(again.exit_code, 0, "{again}");
}
