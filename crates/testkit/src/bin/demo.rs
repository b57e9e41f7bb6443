//! `cargo demo`: the whole way of one deploy, with the three real programs, as a CI job would run them.
//!
//! A bare git repository is made from `testdata/manifests`, three simulated clusters are started on loopback, and every
//! command is printed before it runs. Needs no network, no cluster and no Docker, and leaves nothing behind.
// A demonstration talks to the terminal, and has nobody to hand an error to.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::exit)]

use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::time::Instant;

use testkit::{Clusters, built_binary, copy_tree, workspace_root};

/// Variables that the sample's Secret is rendered from; in a CI they are the job's secrets.
const SECRETS: [(&str, &str); 2] =
    [("PAYMENTS_API_KEY", "demo-key"), ("PAYMENTS_WEBHOOK_TOKEN", "demo-token")];

fn main() {
    // The test of the README runs the demo when everything is built: cargo inside cargo would build it all once more.
    if std::env::args().nth(1).as_deref() != Some("--built") {
        build(&["image-deployer", "deploymentizer", "deployer", "simcluster"]);
    }
    let started = Instant::now();
    let dir = tempfile::Builder::new().prefix("kit-demo-").tempdir().unwrap();
    let stage = Stage { dir: dir.path().to_owned() };

    stage.say("A git repository of manifests: 3 clusters, 8 services. This is the only state there is.");
    make_repository(&stage.dir.join("manifests.git"), &stage.dir.join("seed"));
    stage.say("Three simulated clusters, one kubeconfig each.");
    let clusters = Clusters::start(&["dev-1", "eu-1", "us-1"]);
    copy_tree(clusters.configs(), &stage.dir.join("kubeconfigs"));

    stage.say("1. CI has built an image: its tag goes into git.");
    stage.commit("registry.larkspur.example/larkspur/cart:main-4f2a91c");
    stage.say("2. The push starts the job of the manifests repository: templates and values become plain manifests.");
    stage.render();
    stage.say("3. What would change? Nothing is written.");
    stage.expect(0, stage.deploy(&["--dry-run"]).last_lines(14));
    stage.say("4. To every cluster at once, until it runs.");
    stage.expect(0, stage.deploy(&[]));
    stage.say("5. Again: there is nothing to do, and it says so.");
    stage.expect(0, stage.deploy(&[]));
    stage.say("6. Somebody merges an image that does not exist. This is what failure looks like.");
    stage.commit("registry.larkspur.example/larkspur/cart:main-bad0bad");
    stage.render();
    stage.expect(4, stage.deploy(&["--available-health-check-grace-period", "1s"]));
    stage.say("dev-1 follows the branch `develop` and was not touched. A revert in git is the rollback.");
    println!("\nThe demo took {:.1} s after the build.", started.elapsed().as_secs_f64());
}

/// Builds the programs; cargo says nothing and is done at once when they are there.
fn build(names: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(workspace_root()).args(["build", "--quiet"]);
    for name in names {
        cargo.args(["--bin", name]);
    }
    if std::env::current_exe()
        .is_ok_and(|demo| demo.parent().is_some_and(|folder| folder.ends_with("release")))
    {
        cargo.arg("--release");
    }
    if !cargo.status().is_ok_and(|status| status.success()) {
        exit(1);
    }
}

/// A bare repository whose branch `main` holds the sample.
fn make_repository(bare: &Path, work: &Path) {
    copy_tree(&workspace_root().join("testdata/manifests"), work);
    let repository =
        git2::Repository::init_opts(work, git2::RepositoryInitOptions::new().initial_head("main")).unwrap();
    let mut index = repository.index().unwrap();
    index.add_all(["."], git2::IndexAddOption::DEFAULT, None).unwrap();
    let tree = repository.find_tree(index.write_tree().unwrap()).unwrap();
    let author = git2::Signature::now("Larkspur", "ops@larkspur.example").unwrap();
    repository
        .commit(Some("refs/heads/main"), &author, &author, "the shop, as of today", &tree, &[])
        .unwrap();
    git2::build::RepoBuilder::new().bare(true).clone(work.to_str().unwrap(), bare).unwrap();
}

/// Where the commands run, and how they are shown.
struct Stage {
    dir: PathBuf,
}

/// A command that is ready to be shown and run.
struct Step {
    words: Vec<String>,
    env: Vec<(&'static str, &'static str)>,
    last_lines: Option<usize>,
}

impl Step {
    /// Shows only the end of what the command prints.
    fn last_lines(mut self, count: usize) -> Self {
        self.last_lines = Some(count);
        self
    }
}

impl Stage {
    fn say(&self, text: &str) {
        println!("\n# {text}");
    }

    fn step(&self, words: &[&str]) -> Step {
        Step {
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            env: Vec::new(),
            last_lines: None,
        }
    }

    /// Prints and runs a command; ends the demo when its exit code is another one.
    fn expect(&self, code: i32, step: Step) {
        let variables: String = step.env.iter().map(|(name, _)| format!("{name}=… ")).collect();
        println!("$ {variables}{}", step.words.join(" "));
        let mut command = Command::new(built_binary(&step.words[0]));
        command.args(&step.words[1..]).envs(step.env.iter().copied()).current_dir(&self.dir);
        // The words of a CI would show up in what the programs say.
        for variable in ["CI", "GITHUB_ACTIONS", "GITLAB_CI"] {
            command.env_remove(variable);
        }
        let status = match step.last_lines {
            None => command.status().unwrap(),
            Some(count) => {
                let output = command.output().unwrap();
                let text = String::from_utf8_lossy(&output.stdout).into_owned();
                let lines: Vec<&str> = text.lines().collect();
                let shown = lines.len().saturating_sub(count);
                if shown > 0 {
                    println!("… {shown} more lines");
                }
                lines[shown..].iter().for_each(|line| println!("{line}"));
                print!("{}", String::from_utf8_lossy(&output.stderr));
                output.status
            }
        };
        if status.code() != Some(code) {
            println!("the command ended with {status}, expected exit code {code}: this is a bug in kit");
            exit(1);
        }
        if code != 0 {
            println!("(exit code {code}: some clusters succeeded and some failed)");
        }
    }

    fn commit(&self, image: &str) {
        self.expect(
            0,
            self.step(&["image-deployer", "--repo", "manifests.git", "--branch", "main", "--image", image]),
        );
    }

    /// Fetches the branch as a CI's checkout does, then renders it.
    fn render(&self) {
        let work = self.dir.join("manifests");
        println!("$ git clone --quiet manifests.git manifests");
        if work.exists() {
            std::fs::remove_dir_all(&work).unwrap();
        }
        git2::Repository::clone(self.dir.join("manifests.git").to_str().unwrap(), &work).unwrap();
        let mut step = self.step(&["deploymentizer", "--conf", "manifests/kit.yaml"]);
        step.env = SECRETS.to_vec();
        self.expect(0, step);
    }

    fn deploy(&self, flags: &[&str]) -> Step {
        let mut words =
            vec!["deployer", "--configs", "kubeconfigs", "--manifests-dir", "manifests/generated"];
        words.extend(["--namespaces-dir", "manifests/namespaces"]);
        words.extend(flags);
        self.step(&words)
    }
}
