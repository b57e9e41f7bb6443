//! `--watch`: what is saved is rendered, what is broken is said, and the next save looked at.
#![allow(clippy::unwrap_used)]

mod repository;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use repository::Repository;
use serde_json::Value;
use testkit::built_binary;

/// Longer than any turn takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

struct Watching {
    child: Child,
    turns: Receiver<Value>,
    words: Receiver<String>,
}

impl Watching {
    fn start(repository: &Repository, args: &[&str]) -> Self {
        let mut child = repository
            .sandbox
            .command(built_binary("deploymentizer"))
            .args(["--watch", "--output", "json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, turns) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(serde_json::from_str(&line).unwrap());
            }
        });
        let (sender, words) = channel();
        let err = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || {
            err.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)))
        });
        Self { child, turns, words }
    }

    fn turn(&self) -> Value {
        self.turns.recv_timeout(PATIENCE).expect("a turn")
    }

    /// Waits for a line on stderr.
    fn says(&self, part: &str) {
        let until = Instant::now() + PATIENCE;
        let mut heard = String::new();
        while let Ok(line) = self.words.recv_timeout(until.saturating_duration_since(Instant::now())) {
            if line.contains(part) {
                return;
            }
            heard.push_str(&line);
        }
        panic!("{part:?} is not in {heard:?}");
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn clusters(turn: &Value) -> Vec<&str> {
    turn["clusters"].as_array().unwrap().iter().map(|cluster| cluster["name"].as_str().unwrap()).collect()
}

#[test]
fn a_saved_file_is_rendered_where_it_reaches() {
    let repository = Repository::new();
    let watching = Watching::start(&repository, &[]);
    assert_eq!(clusters(&watching.turn()), ["eu", "us"]);
    repository.replace("clusters/eu/configuration-var.yaml", "eu-west", "eu-north");
    let turn = watching.turn();
    assert_eq!(clusters(&turn), ["eu"]);
    assert_eq!(turn["saved"], serde_json::json!(["clusters/eu/configuration-var.yaml"]));
    assert!(repository.generated("eu/cart.yaml").contains("eu-north"));
    repository.replace("base-var.yaml", "replicas: 2", "replicas: 3");
    assert_eq!(clusters(&watching.turn()), ["eu", "us"]);
    assert!(repository.generated("eu/cart.yaml").contains("replicas: 3"));
    // Nothing is made from these.
    repository.write("README.md", "x");
    repository.write("resources/unused.yaml.j2", "x");
    repository.replace("images/shop/cart/main.yaml", "main-1", "main-2");
    let turn = watching.turn();
    assert!(turn["saved"].as_array().unwrap().contains(&"images/shop/cart/main.yaml".into()), "{turn}");
    assert!(repository.generated("us/cart.yaml").contains("main-2"));
}

#[test]
fn what_is_broken_for_a_while_is_said_and_mended() {
    let repository = Repository::new();
    let watching = Watching::start(&repository, &[]);
    watching.turn();
    let before = repository.generated("eu/cart.yaml");
    let base = repository.sandbox.read("base-cluster.yaml");
    repository.write("base-cluster.yaml", "resources: [\n");
    watching.says("base-cluster.yaml:");
    let template = repository.sandbox.read("resources/cart.yaml.j2");
    repository.write("resources/cart.yaml.j2", "{% if");
    repository.write("base-cluster.yaml", &base);
    let turn = watching.turn();
    assert_eq!(turn["clusters"][0]["status"], "failed", "{turn}");
    assert_eq!(repository.generated("eu/cart.yaml"), before);
    repository.write("resources/cart.yaml.j2", &format!("# mended\n{template}"));
    let turn = watching.turn();
    assert_eq!(clusters(&turn), ["eu", "us"]);
    assert!(repository.generated("eu/cart.yaml").starts_with("# mended\n"));
}

#[test]
fn clusters_come_and_go() {
    let repository = Repository::new();
    let watching = Watching::start(&repository, &[]);
    watching.turn();
    let new = "kind: ClusterNamespace\nmetadata: {name: ap, type: prod}\n";
    // Made aside and put in place at once, as editors and git do.
    repository.write("ap/configuration-var.yaml", "kind: ResourceConfig\nregion: ap-south\n");
    repository.write("ap/cluster.yaml", new);
    std::fs::rename(repository.sandbox.join("ap"), repository.sandbox.join("clusters/ap")).unwrap();
    let turn = watching.turn();
    assert_eq!(clusters(&turn), ["ap"], "{turn}");
    repository.remove("clusters/us");
    let mut turn = watching.turn();
    while !repository.sandbox.join("generated/ap").exists()
        || repository.sandbox.join("generated/us").exists()
    {
        turn = watching.turn();
    }
    assert!(turn["errors"].as_array().unwrap().is_empty(), "{turn}");
    repository.replace("clusters/ap/configuration-var.yaml", "ap-south", "ap-east");
    let turn = watching.turn();
    assert_eq!(clusters(&turn), ["ap"], "{turn}");
}

#[test]
fn a_save_renders_only_the_resources_that_it_reaches() {
    let repository = Repository::new();
    let notes = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ name }}}\ndata: {level: {{ level }}}\n";
    repository.write("resources/notes.yaml.j2", notes);
    repository.append("base-cluster.yaml", "  notes: {file: notes.yaml.j2}\n");
    let watching = Watching::start(&repository, &[]);
    assert_eq!(watching.turn()["resources"], 4);
    let told = |turn: &Value| (turn["rendered"].clone(), turn["resources"].clone());
    for (file, from, to, clusters, resources) in [
        ("resources/notes.yaml.j2", "\ndata:", "\n# all\ndata:", 2, 2),
        ("base-cluster.yaml", "value: info", "value: debug", 2, 2),
        ("clusters/eu/configuration-var.yaml", "eu-west", "eu-north", 1, 1),
        // Shared by all, read by one.
        ("base-var.yaml", "replicas: 2", "replicas: 3", 2, 1),
        ("base-var.yaml", "kind:", "# a word\nkind:", 2, 0),
        ("type/prod-var.yaml", "warn", "error", 2, 2),
    ] {
        repository.replace(file, from, to);
        let turn = watching.turn();
        assert_eq!(told(&turn), (clusters.into(), resources.into()), "{file}: {to} {turn}");
    }
    // Together they made what a fresh run makes, and nothing was lost.
    let fresh = repository.run(&["--output", "json", "--detailed-exitcode"]);
    assert_eq!(fresh.exit_code, 0, "{fresh}");
    // What it prints now is in the way of what was not rendered.
    repository.replace(
        "resources/notes.yaml.j2",
        "apiVersion: v1\nkind: ConfigMap",
        "apiVersion: v1\nkind: Service",
    );
    repository.replace("resources/notes.yaml.j2", "{{ name }}", "cart-svc");
    let mut turn = watching.turn();
    while turn["errors"].as_array().unwrap().is_empty() {
        turn = watching.turn();
    }
    assert!(turn["errors"][0]["message"].as_str().unwrap().contains("is defined twice"), "{turn}");
    repository.replace("resources/notes.yaml.j2", "cart-svc", "notes-svc");
    assert_eq!(clusters(&watching.turn()), ["eu", "us"]);
    assert!(repository.generated("eu/notes.yaml").contains("notes-svc"));
}

#[test]
fn check_writes_nothing_while_it_watches() {
    let repository = Repository::new();
    let watching = Watching::start(&repository, &["check"]);
    watching.turn();
    repository.replace("base-var.yaml", "replicas: 2", "replicas: two");
    let turn = watching.turn();
    let errors = turn["errors"].as_array().unwrap();
    let message = |error: &Value| error["message"].as_str().unwrap().to_owned();
    assert!(errors.iter().any(|error| message(error).contains("spec.replicas")), "{turn}");
    assert!(!repository.sandbox.join("generated").exists());
}

#[test]
fn watching_needs_something_to_watch() {
    let repository = Repository::new();
    for args in
        [&["--watch", "list"][..], &["--watch", "--stdout"], &["--watch", "--conf", "nowhere/kit.yaml"]]
    {
        let answer = repository.run(args);
        assert_eq!(answer.exit_code, 2, "{args:?} {answer}");
    }
}
