//! Every command of the README and of the recipes in `docs/` is run, as written, by `bash`.
//!
//! A fenced block marked `sh` is a script. The blocks of one file run one after the other in one directory that holds
//! what the README says it holds: `manifests/` (a checkout of the sample), `manifests.git` (its remote) and
//! `kubeconfigs/` (three clusters). A block marked `console` or `text` shows output and is not run.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

use testkit::{Clusters, Sandbox, built_binary, copy_tree, workspace_root};

/// What the text of a Markdown file asks to be run.
fn scripts(text: &str) -> Vec<(usize, String)> {
    let mut scripts = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        match &mut block {
            None if line.trim_end() == "```sh" => block = Some((number + 2, String::new())),
            None => {}
            Some(_) if line.trim_end() == "```" => scripts.extend(block.take()),
            Some((_, script)) => {
                script.push_str(line);
                script.push('\n');
            }
        }
    }
    scripts
}

/// Commands of cargo build the workspace that is being tested: the demo has a test of its own in `testkit`, and `cargo
/// test` is what runs this one.
fn runnable(script: &str) -> String {
    script.lines().filter(|line| !line.trim_start().starts_with("cargo ")).collect::<Vec<_>>().join("\n")
}

fn run_every_command(file: &str) {
    let text = std::fs::read_to_string(workspace_root().join(file)).unwrap();
    let scripts = scripts(&text);
    assert!(!scripts.is_empty(), "{file} shows no command");
    let sandbox = Sandbox::new();
    let clusters = Clusters::start(&["dev-1", "eu-1", "us-1"]);
    copy_tree(clusters.configs(), &sandbox.join("kubeconfigs"));
    copy_tree(&workspace_root().join("testdata/manifests"), &sandbox.join("manifests"));
    let git = |args: &[&str]| {
        let status = sandbox.command("git").args(args).status().unwrap();
        assert!(status.success(), "git {args:?}");
    };
    git(&["-C", "manifests", "init", "--quiet", "--initial-branch=main"]);
    git(&["-C", "manifests", "add", "."]);
    git(&["-C", "manifests", "commit", "--quiet", "--message", "sample"]);
    git(&["clone", "--quiet", "--bare", "manifests", "manifests.git"]);
    git(&["-C", "manifests", "remote", "add", "origin", "../manifests.git"]);
    git(&["-C", "manifests", "fetch", "--quiet"]);
    git(&["-C", "manifests", "branch", "--quiet", "--set-upstream-to=origin/main"]);
    // A CI's job runs in a checkout of the manifests repository that holds the kubeconfigs too.
    std::os::unix::fs::symlink("../kubeconfigs", sandbox.join("manifests/kubeconfigs")).unwrap();
    let mut scripts = scripts;
    scripts.extend(ci_commands(&text).into_iter().map(|(line, command)| {
        let commit = "commit=$(git rev-parse HEAD); export GITHUB_SHA=$commit CI_COMMIT_SHA=$commit GIT_COMMIT=$commit KIT_ROLLBACK_TO=1";
        let number = "export GITHUB_RUN_NUMBER=7 CI_PIPELINE_IID=8 BUILD_NUMBER=9";
        (line, format!("cd manifests; {commit}; {number}\n{command}\n"))
    }));
    let binaries = ["image-deployer", "deploymentizer", "deployer", "simcluster"].map(built_binary);
    let bin = binaries[0].parent().unwrap();
    for (line, script) in scripts {
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let output = sandbox
            .command("bash")
            .args(["-euo", "pipefail", "-c", &runnable(&script)])
            .env("PATH", path)
            .env("PAYMENTS_API_KEY", "readme-key")
            .env("PAYMENTS_WEBHOOK_TOKEN", "readme-token")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{file}:{line}: {}\n{script}\n--- stdout\n{}\n--- stderr\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

/// The commands of `deployer` in the blocks for CI systems: a line that is one, behind what the system's form puts before it.
fn ci_commands(text: &str) -> Vec<(usize, String)> {
    let mut commands = Vec::new();
    let mut inside = false;
    // Its line, and what it says so far, of a command that goes on behind a backslash.
    let mut open: Option<(usize, String)> = None;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some((first, mut command)) = open.take() {
            command.push_str(line.trim_end_matches('\\'));
            let ends = !line.ends_with('\\');
            if ends {
                commands.push((first, command))
            } else {
                open = Some((first, command))
            }
            continue;
        }
        if let Some(language) = line.strip_prefix("```") {
            inside = matches!(language, "yaml" | "groovy");
            continue;
        }
        let bare = line.trim_start_matches("- ").trim_start_matches("run: ");
        let command = match bare.strip_prefix("sh '") {
            Some(quoted) => quoted.trim_end_matches('\''),
            None => bare,
        };
        if inside && command.starts_with("deployer ") {
            match command.strip_suffix('\\') {
                Some(start) => open = Some((number + 1, start.to_owned())),
                None => commands.push((number + 1, command.to_owned())),
            }
        }
    }
    commands
}

#[test]
fn every_command_of_the_readme_runs() {
    run_every_command("README.md");
}

#[test]
fn every_command_of_the_page_on_resource_sets_runs() {
    run_every_command("docs/resource-sets.md");
}

#[test]
fn every_command_of_the_page_on_pull_runs() {
    run_every_command("docs/pull.md");
}

#[test]
fn a_ci_command_is_found_behind_what_its_system_puts_before_it() {
    let text = "```yaml\n- run: deployer a\n  - deployer b\n- run: |\n    deployer c \\\n      --c\n```\n```groovy\nsh 'deployer d'\n```\ndeployer e\n";
    let commands: Vec<String> = ci_commands(text).into_iter().map(|(_, command)| command).collect();
    assert_eq!(commands, ["deployer a", "deployer b", "deployer c --c", "deployer d"]);
}

#[test]
fn every_command_of_the_recipes_for_fast_rollback_runs() {
    run_every_command("docs/fast-rollback.md");
}

#[test]
fn every_command_of_the_recipes_for_trace_runs() {
    run_every_command("docs/trace.md");
}

#[test]
fn a_script_is_a_block_marked_sh() {
    let text = "a\n```sh\nls\n```\n```console\n$ no\n```\n```sh\npwd\ntrue\n```\n";
    assert_eq!(scripts(text), [(3, "ls\n".to_owned()), (9, "pwd\ntrue\n".to_owned())]);
}
