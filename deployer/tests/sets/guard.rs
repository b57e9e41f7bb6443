//! Older commits, unrelated ones, and the lease that keeps two deployers apart.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::Sandbox;

use crate::stage::{Stage, with_result};

/// A repository `clone` in the sandbox, with commits on `main` and one on a branch of its own.
pub(crate) struct History {
    pub(crate) commits: Vec<String>,
    pub(crate) other: String,
}

pub(crate) fn git(sandbox: &Sandbox, args: &[&str]) -> String {
    let output = sandbox.command("git").args(["-C", "clone"]).args(args).output().unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

pub(crate) fn history(sandbox: &Sandbox, commits: usize) -> History {
    std::fs::create_dir(sandbox.join("clone")).unwrap();
    git(sandbox, &["init", "-q", "-b", "main"]);
    let commit = |message: &str| {
        git(sandbox, &["commit", "-q", "--allow-empty", "-m", message]);
        git(sandbox, &["rev-parse", "HEAD"])
    };
    let first = commit("0");
    git(sandbox, &["checkout", "-q", "-b", "other"]);
    let other = commit("other");
    git(sandbox, &["checkout", "-q", "main"]);
    let mut all = vec![first];
    all.extend((1..commits).map(|number| commit(&number.to_string())));
    History { commits: all, other }
}

#[test]
fn an_older_or_unrelated_commit_is_refused_and_a_rollback_is_not() {
    let stage = Stage::new("guard-older");
    let History { commits, other } = history(&stage.sandbox, 3);
    let deploy = |sha: &str, data: &str, flags: &[&str]| {
        stage.config("a", &format!("x: '{data}'"));
        stage.report(&[&["--sha", sha, "--repo", "clone"], flags].concat())
    };
    let (code, report) = deploy(&commits[1], "1", &[]);
    assert_eq!(code, 0, "{report:#}");
    for flags in [&["--dry-run"][..], &[]] {
        let (code, report) = deploy(&commits[0], "0", flags);
        assert_eq!((code, &report["state"]), (5, &json!("refused")), "{report:#}");
        assert_eq!(report["trouble"]["message"], "the cluster has a newer commit, nothing was written");
        assert_eq!(report["changes"].as_array().unwrap().len(), 1, "what it was about is shown");
    }
    let (code, report) = deploy(&other, "other", &[]);
    assert_eq!(code, 5, "{report:#}");
    assert_eq!(report["trouble"]["message"], "the cluster has a commit of another line, nothing was written");

    // Unchanged manifests of a newer commit move the mark, and nothing else.
    let (code, report) = deploy(&commits[2], "1", &[]);
    assert_eq!((code, with_result(&report, "unchanged").len()), (0, 2), "{report:#}");
    assert_eq!(deploy(&commits[1], "1", &[]).0, 5);
    let (_, again) = deploy(&commits[2], "1", &[]);
    assert_eq!(again["bytesSent"], 0, "the same commit again writes nothing: {again:#}");

    let (code, report) = deploy(&commits[0], "0", &["--is-rollback"]);
    assert_eq!((code, with_result(&report, "configured")), (0, vec!["ConfigMap/a".to_owned()]));
    assert_eq!(deploy(&commits[1], "1", &[]).0, 0, "what follows the commit that was gone back to");
}

#[test]
fn a_clone_that_cannot_tell_is_no_reason_to_guess() {
    let stage = Stage::new("guard-clone");
    stage.config("a", "x: '1'");
    let History { commits, .. } = history(&stage.sandbox, 3);
    stage.deploy(&["--sha", &commits[1], "--repo", "clone"]).success();
    let url = format!("file://{}", stage.sandbox.join("clone").display());
    let shallow =
        stage.sandbox.command("git").args(["clone", "-q", "--depth", "1", &url, "shallow"]).status();
    assert!(shallow.unwrap().success());
    stage.config("a", "x: '2'");
    let (code, report) = stage.report(&["--sha", &commits[2], "--repo", "shallow"]);
    assert_eq!(code, 5, "{report:#}");
    assert!(report["trouble"]["hints"][0].as_str().unwrap().contains("fetch-depth: 0"), "{report:#}");

    let nowhere = "0".repeat(40);
    for (flags, words) in [
        (&["--repo", "clone"][..], "--sha"),
        (&["--repo", "clone", "--sha", &nowhere], "is not in the clone"),
        (&["--repo", "manifests/none", "--sha", &commits[2]], "not a clone"),
    ] {
        let answer = stage.deploy(flags);
        assert_eq!(answer.exit_code, 2, "{answer}");
        assert!(answer.stderr.contains(words), "{answer}");
    }
}

#[test]
fn a_lease_that_somebody_renews_is_waited_for_and_one_that_has_expired_is_taken_over() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("guard-lease");
    stage.config("a", "x: '1'");
    stage.deploy(&[]).success();
    assert_eq!(stage.get(&format!("lease/kit-set-{}", stage.set())), None, "it is given back");
    let lease = |renewed: jiff::Timestamp, seconds: u32| {
        let text = format!(
            "apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {{name: kit-set-{}}}\nspec:\n  holderIdentity: somebody\n  \
             leaseDurationSeconds: {seconds}\n  renewTime: '{}'\n",
            stage.set(),
            renewed.strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        );
        let file = stage.sandbox.write("lease.yaml", text);
        stage.kubectl(&["apply", "-f", file.to_str().unwrap()]).unwrap();
    };
    stage.config("a", "x: '2'");
    lease(jiff::Timestamp::now(), 600);
    let (code, report) = stage.report(&["--dry-run"]);
    assert_eq!(code, 0);
    assert!(report["warnings"][0].as_str().unwrap().contains("`somebody` holds the lease"), "{report:#}");
    let (code, report) = stage.report(&["--lease-wait", "1"]);
    assert_eq!((code, &report["state"]), (5, &json!("refused")), "{report:#}");
    assert_eq!(report["trouble"]["message"], "another deployer is at work here, nothing was written");

    lease(jiff::Timestamp::now(), 4);
    let begun = Instant::now();
    let (code, report) = stage.report(&["--lease-wait", "60"]);
    assert_eq!((code, with_result(&report, "configured").len()), (0, 1), "{report:#}");
    assert!(begun.elapsed() > Duration::from_secs(2), "it did not wait: {:?}", begun.elapsed());

    lease(jiff::Timestamp::UNIX_EPOCH, 4);
    stage.config("a", "x: '3'");
    let begun = Instant::now();
    stage.deploy(&[]).success();
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    assert_eq!(stage.get(&format!("lease/kit-set-{}", stage.set())), None);
}

#[test]
fn an_interrupted_deploy_gives_its_lease_back() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("guard-signal");
    stage.write(
        "web.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: NS}\nspec:\n  selector: {matchLabels: {app: web}}\n  \
         template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: 'registry.example.com/bad:1'}]}\n",
    );
    let child =
        stage.sandbox.start(&stage.call(&["--available-health-check", "false", "--lease-duration", "3"]));
    let name = format!("lease/kit-set-{}", stage.set());
    let begun = Instant::now();
    let held = loop {
        if let Some(lease) = stage.get(&name) {
            break lease;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "no lease was taken");
    };
    // Longer than it lasts: it is renewed while the deploy waits.
    std::thread::sleep(Duration::from_secs(5));
    let later = stage.get(&name).expect("it is still held");
    assert_ne!(held["spec"]["renewTime"], later["spec"]["renewTime"]);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(143));
    assert_eq!(stage.get(&name), None);
}

#[test]
fn kubectl_reads_the_inventory_as_an_apply_set_and_leaves_it_alone() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("guard-kubectl");
    stage.config("a", "x: '1'");
    stage.config("b", "x: '1'");
    stage.deploy(&[]).success();
    let parent = format!("--applyset=configmap/kit-set-{}", stage.set());
    let prune = || {
        let output = Command::new("kubectl")
            .env("KUBECTL_APPLYSET", "true")
            .arg("--kubeconfig")
            .arg(stage.clusters.config("eu-1"))
            .args(["-n", &stage.namespace, "apply", "--prune", &parent, "--dry-run=client", "-f"])
            .arg(stage.sandbox.join("manifests/eu-1/a.yaml"))
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.success(), text(&output.stdout) + &text(&output.stderr))
    };
    let (done, said) = prune();
    assert!(!done && said.contains("is managed by tooling \"kit\" instead of \"kubectl\""), "{said}");
    // Were it kubectl's own, kubectl would find the members that we have written.
    let name = format!("configmap/kit-set-{}", stage.set());
    let tooling = "applyset.kubernetes.io/tooling=kubectl/v1.36.2";
    stage.kubectl(&["annotate", "--overwrite", &name, tooling]).unwrap();
    let (done, said) = prune();
    assert!(done && said.contains("configmap/b pruned (dry run)"), "{said}");
}
