//! `deployer sync`: a branch of a repository that is followed, deployed, and told about, on simulated and real clusters.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::git::{BareRepo, HttpServer, git};
use testkit::{Answer, Call, Clusters, Sandbox, assert_schema, fresh_name, program};

const STATUS: &str = "crates/cli/schema/status.v1.json";

struct Stage {
    sandbox: Sandbox,
    clusters: Clusters,
    repo: BareRepo,
    server: HttpServer,
    namespace: String,
}

impl Stage {
    fn new() -> Self {
        let namespace = fresh_name("sync");
        let mut clusters = Clusters::start(&["eu-1"]);
        clusters.remove_namespace_at_end("eu-1", &namespace);
        let repo = BareRepo::with_files(&[("README.md", "manifests\n")]);
        let server = HttpServer::serve(repo.root()).start();
        let sandbox = Sandbox::new();
        git(sandbox.path(), &["clone", "--quiet", repo.path().to_str().unwrap(), "clone"]);
        let stage = Self { sandbox, clusters, repo, server, namespace };
        stage.push("1", "generated/eu-1/conf.yaml", &stage.config("1"));
        stage
    }

    fn config(&self, value: &str) -> String {
        let ns = &self.namespace;
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {ns}}}\n---\napiVersion: v1\nkind: ConfigMap\n\
             metadata: {{name: conf, namespace: {ns}}}\ndata: {{value: \"{value}\"}}\n"
        )
    }

    /// Commits a file and pushes it; the commit.
    fn push(&self, message: &str, file: &str, text: &str) -> String {
        self.sandbox.write(format!("clone/{file}"), text);
        let clone = self.sandbox.join("clone");
        git(&clone, &["add", "--all"]);
        git(&clone, &["commit", "--quiet", "--message", message]);
        git(&clone, &["push", "--quiet", "--force", "origin", "HEAD:main"]);
        self.repo.commit("main")
    }

    fn call(&self, flags: &[&str]) -> Call {
        program("deployer")
            .args(["sync", "--repo", &self.server.url(), "--system-namespace", &self.namespace, "--configs"])
            .arg(self.clusters.configs())
            // On real clusters other tests deploy at the same time.
            .args(["--inventory-namespace", &self.namespace])
            .args(flags)
    }

    fn once(&self, flags: &[&str]) -> Answer {
        self.sandbox.run(self.call(&["--once"]).args(flags))
    }

    fn get(&self, path: &str) -> Option<Value> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.clusters.config("eu-1"))
            .args(["get", "--raw", &path.replace("NS", &self.namespace)])
            .output()
            .ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    /// The ConfigMap of the puller.
    fn note(&self) -> Value {
        self.get("/api/v1/namespaces/NS/configmaps/kit-sync")
            .map_or(Value::Null, |object| object["data"].clone())
    }

    fn value(&self) -> Value {
        self.get("/api/v1/namespaces/NS/configmaps/conf")
            .map_or(Value::Null, |object| object["data"]["value"].clone())
    }
}

#[test]
fn one_look_deploys_the_branch_and_another_finds_nothing_to_do() {
    let stage = Stage::new();
    let commit = stage.repo.commit("main");
    let first = stage.once(&["--output", "json"]);
    assert_eq!(first.exit_code, 0, "{first}");
    let report = first.json();
    assert_eq!(report["clusters"][0]["counts"]["created"], 2, "{report:#}");
    assert_eq!(report["commit"], commit.as_str());
    let second = stage.once(&["--output", "json"]);
    assert_eq!(second.json()["clusters"][0]["counts"]["unchanged"], 2, "{second}");
    let status = |flags: &[&str]| {
        let call = program("deployer").args(["status", "--configs"]).arg(stage.clusters.configs());
        stage.sandbox.run(call.args(flags))
    };
    // Real clusters may have those of other tests too.
    let mine = |status: &Value| {
        let syncs = status["clusters"][0]["syncs"].as_array().cloned().unwrap_or_default();
        syncs.into_iter().find(|sync| sync["namespace"] == stage.namespace.as_str()).unwrap()
    };
    let told = mine(&status(&["--output", "json", "--report", "s.html"]).success().json());
    assert_eq!(
        (&told["state"], &told["name"], &told["branch"]),
        (&"synced".into(), &"kit-sync".into(), &"main".into())
    );
    assert_eq!((&told["commit"], &told["synced"]), (&commit.as_str().into(), &commit.as_str().into()));
    assert!(
        told["checked"].as_str().is_some_and(|time| time.ends_with('Z')) && told.get("message").is_none()
    );
    assert!(stage.sandbox.read("s.html").contains("What pulls on eu-1"));
    stage.push("broken", "generated/eu-1/conf.yaml", "kind: [\n");
    assert_eq!(stage.once(&[]).exit_code, 2);
    let text = status(&[]).success().stdout;
    let place = format!("{}/kit-sync", stage.namespace);
    let line = text.lines().find(|line| line.starts_with("eu-1") && line.contains(&place)).unwrap();
    assert!(line.contains(&commit[..12]) && line.contains("failed"), "{text}");
    let why = format!("eu-1: sync {place} failed since ");
    let why = text.lines().find(|line| line.starts_with(&why)).unwrap();
    assert!(why.contains("conf.yaml"), "{text}");
    let line = status(&["--output", "ndjson"]).success();
    assert_eq!(line.stdout.lines().count(), 1, "{line}");
    let told = mine(&line.json());
    assert_schema(STATUS, &status(&["--output", "json"]).json());
    assert_eq!((&told["state"], &told["synced"]), (&"failed".into(), &commit.as_str().into()));
    assert!(told["message"].as_str().unwrap().contains("conf.yaml"), "{told}");
    stage.push("repaired", "generated/eu-1/conf.yaml", &stage.config("1"));
    stage.once(&[]).success();
    let commit = stage.repo.commit("main");
    if testkit::kubectl_is_there() {
        let note = stage.note();
        assert_eq!(
            (&note["commit"], &note["synced"]),
            (&Value::from(commit.as_str()), &Value::from(commit.as_str()))
        );
        assert_eq!(
            (&note["state"], &note["branch"], &note["path"]),
            (&"synced".into(), &"main".into(), &"generated".into())
        );
        let events = stage.get("/api/v1/namespaces/NS/events").unwrap();
        let synced = |event: &&Value| event["reason"] == "Synced";
        assert_eq!(
            events["items"].as_array().unwrap().iter().filter(synced).count(),
            2,
            "the second was no news, the repair was"
        );
    }
}

#[test]
fn a_branch_that_was_rewritten_is_not_followed_backwards() {
    let stage = Stage::new();
    let first = stage.repo.commit("main");
    stage.push("2", "generated/eu-1/conf.yaml", &stage.config("2"));
    stage.once(&[]).success();
    git(&stage.sandbox.join("clone"), &["reset", "--quiet", "--hard", &first]);
    stage.push("other", "generated/eu-1/conf.yaml", &stage.config("0"));
    let refused = stage.once(&[]);
    assert_eq!(refused.exit_code, 5, "{refused}");
    assert!(refused.stderr.contains("does not follow from"), "{refused}");
    if testkit::kubectl_is_there() {
        assert_eq!(stage.value(), "2");
        assert_eq!(stage.note()["state"], "refused");
    }
    let meant = stage.once(&["--is-rollback"]);
    assert_eq!(meant.exit_code, 0, "{meant}");
    if testkit::kubectl_is_there() {
        assert_eq!((stage.value(), stage.note()["state"].clone()), ("0".into(), "synced".into()));
    }
}

#[test]
fn what_cannot_be_deployed_is_told_and_nothing_is_touched() {
    let stage = Stage::new();
    stage.once(&[]).success();
    let told = |answer: Answer, code: i32, text: &str| {
        assert_eq!(answer.exit_code, code, "{answer}");
        assert!(answer.stderr.contains(text), "{answer}");
    };
    stage.push("broken", "generated/eu-1/conf.yaml", "apiVersion: v1\nkind: [\n");
    told(stage.once(&[]), 2, "conf.yaml");
    git(&stage.sandbox.join("clone"), &["mv", "generated", "elsewhere"]);
    stage.push("moved", "elsewhere/eu-1/conf.yaml", &stage.config("3"));
    told(stage.once(&[]), 1, "there is no such folder in main at");
    told(stage.once(&["--repo-branch", "nope"]), 1, "nope");
    told(stage.once(&["--path", ".."]), 2, "`--path` is a folder below the root");
    told(stage.once(&["--manifests-dir", "x"]), 2, "`sync` takes the manifests from the repository");
    let nowhere = stage.sandbox.run(program("deployer").args(["sync", "--once"]));
    told(nowhere, 2, "`--repo` is missing");
    if testkit::kubectl_is_there() {
        assert_eq!(stage.value(), "1");
        assert_eq!(stage.note()["state"], "failed");
    }
    stage.once(&["--path", "elsewhere"]).success();
}

#[test]
fn a_dry_run_writes_nothing() {
    let stage = Stage::new();
    let dry = stage.once(&["--dry-run"]).success();
    assert!(dry.stdout.contains("create ConfigMap/"), "{dry}");
    if testkit::kubectl_is_there() {
        assert_eq!((stage.value(), stage.note()), (Value::Null, Value::Null));
    }
}

/// A puller that runs, and the lines of its stderr.
struct Running {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Running {
    fn start(stage: &Stage, flags: &[&str]) -> Self {
        let mut child = stage.sandbox.start(&stage.call(&["--interval", "300ms"]).args(flags));
        let (send, lines) = std::sync::mpsc::channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    fn until(&self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(40);
        let mut seen = String::new();
        while let Ok(line) = self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
            if line.contains(text) {
                return line;
            }
            seen.push_str(&line);
            seen.push('\n');
        }
        panic!("`{text}` was never said:\n{seen}");
    }

    fn stop(mut self) -> (Option<i32>, String) {
        assert!(
            Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap().success()
        );
        let code = self.child.wait().unwrap().code();
        let mut stdout = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut stdout).unwrap();
        (code, stdout)
    }
}

fn http(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_puller_follows_the_branch_mends_drift_survives_faults_and_tells_its_metrics() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new();
    let running = Running::start(&stage, &["--listen", "127.0.0.1:0", "--output", "ndjson"]);
    let metrics = running.until("metrics: http://");
    let address = metrics.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
    assert!(http(&address, "/healthz").starts_with("HTTP/1.1 200"));
    running.until("main is at");
    let eventually = |what: &str, holds: &dyn Fn() -> bool| {
        let end = Instant::now() + Duration::from_secs(40);
        while !holds() {
            assert!(Instant::now() < end, "{what}: {} {}", stage.value(), stage.note());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    eventually("the first commit", &|| stage.note()["state"] == "synced");

    // Somebody edits what is ours.
    let patch = ["patch", "configmap", "conf", "--type=merge", "-p", r#"{"data":{"value":"9"}}"#];
    let config = stage.clusters.config("eu-1");
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("--kubeconfig").arg(&config).args(["-n", &stage.namespace]).args(patch);
    assert!(kubectl.output().unwrap().status.success());
    eventually("the drift is mended", &|| stage.value() == "1");

    let second = stage.push("2", "generated/eu-1/conf.yaml", &stage.config("2"));
    eventually("the second commit", &|| stage.value() == "2" && stage.note()["synced"] == second.as_str());
    stage.push("broken", "generated/eu-1/conf.yaml", "kind: [\n");
    running.until("next look in");
    eventually("the failure is noted", &|| stage.note()["state"] == "failed");
    assert_eq!((stage.note()["synced"].clone(), stage.value()), (second.as_str().into(), "2".into()));
    let text = http(&address, "/metrics");
    assert!(
        text.contains("kit_sync_synced{cluster=\"eu-1\"}") && !text.contains("kit_sync_failures 0\n"),
        "{text}"
    );
    let fourth = stage.push("4", "generated/eu-1/conf.yaml", &stage.config("4"));
    eventually("the repair", &|| {
        stage.note()["synced"] == fourth.as_str() && stage.note()["state"] == "synced"
    });
    eventually("the metrics", &|| http(&address, "/metrics").contains("kit_sync_failures 0\n"));

    let (code, stdout) = running.stop();
    assert_eq!(code, Some(143));
    let reports: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told = reports.iter().filter(|line| line["event"] == "report").count();
    assert!((3..=6).contains(&told), "rounds without news are silent: {told}");

    // Another process goes on where this one ended: the cluster remembers.
    let again = Running::start(&stage, &[]);
    again.until("main is at");
    let fifth = stage.push("5", "generated/eu-1/conf.yaml", &stage.config("5"));
    eventually("the fifth commit", &|| stage.note()["synced"] == fifth.as_str());
    assert_eq!(again.stop().0, Some(143));
}

/// The figure of docs/scale.md and docs/pull.md.
#[test]
fn a_look_at_a_branch_that_has_not_moved_is_two_requests_to_git() {
    let stage = Stage::new();
    let running = Running::start(&stage, &["--listen", "127.0.0.1:0"]);
    let metrics = running.until("metrics: http://");
    let address = metrics.split("http://").nth(1).unwrap().trim_end_matches("/metrics").to_owned();
    running.until("main is at");
    let rounds = || {
        let text = http(&address, "/metrics");
        let of = |line: &str| line.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
        text.lines().filter(|line| line.starts_with("kit_sync_rounds_total{")).filter_map(of).sum::<usize>()
    };
    let reach = |wanted: usize| {
        let end = Instant::now() + Duration::from_secs(40);
        while rounds() < wanted {
            assert!(Instant::now() < end, "there were {} rounds", rounds());
            std::thread::sleep(Duration::from_millis(10));
        }
        (rounds(), stage.server.requests())
    };
    let (first, before) = reach(2);
    let (last, after) = reach(first + 6);
    let (looks, requests) = (last - first, after - before);
    assert!((2 * (looks - 1)..=2 * (looks + 1)).contains(&requests), "{requests} requests in {looks} looks");
    assert_eq!(running.stop().0, Some(143));
}

#[test]
fn what_is_installed_has_the_rights_that_the_manifests_need_and_no_more() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "generated/eu-1/all.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {}\n---\n\
         apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: shop}\nspec: {}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: web, namespace: shop}\nrules: []\n",
    );
    let install = |flags: &[&str]| {
        let call = program("deployer")
            .args(["sync", "--install", "--repo", "https://git.example.org/m", "--in-cluster", "eu-1"])
            .args(["--manifests-dir", "generated", "--image", "registry.example.org/kit:1"]);
        sandbox.run(call.args(flags))
    };
    insta::assert_snapshot!("install", install(&[]));
    let job = install(&["--once", "--interval", "5m"]).success().stdout;
    assert!(
        job.contains("kind: CronJob") && job.contains("*/5 * * * *") && !job.contains("livenessProbe"),
        "{job}"
    );
    let nothing =
        sandbox.run(program("deployer").args(["sync", "--install", "--repo", "https://u:secret@x/m"]));
    insta::assert_snapshot!("install_without_what_it_needs", nothing);
    if testkit::kubectl_is_there() {
        let clusters = Clusters::start(&["eu-1"]);
        sandbox.write("install.yaml", install(&["--system-namespace", &fresh_name("install")]).stdout);
        let dry = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(clusters.config("eu-1"))
            .args(["apply", "--dry-run=client", "-o", "name", "-f"])
            .arg(sandbox.join("install.yaml"))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&dry.stdout).lines().count(), 7, "{dry:?}");
    }
}

#[test]
fn the_rights_of_the_installation_suffice() {
    let stage = Stage::new();
    if !stage.clusters.are_real() {
        eprintln!("SKIPPED: simulated clusters enforce no rights; set KIT_TEST_CONFIGS");
        return;
    }
    let ns = &stage.namespace;
    let role = format!(
        "{}---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {{name: r, namespace: {ns}}}\n\
         rules: [{{apiGroups: [\"\"], resources: [secrets], verbs: [get]}}]\n",
        stage.config("1")
    );
    stage.push("role", "generated/eu-1/conf.yaml", &role);
    let install = program("deployer")
        .args(["sync", "--install", "--repo", "https://git.example.org/m", "--in-cluster", "eu-1"])
        .args(["--manifests-dir", "clone/generated", "--image", "x:1", "--system-namespace", ns]);
    stage.sandbox.write("install.yaml", stage.sandbox.run(install).success().stdout);
    let kubectl = |args: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        let output =
            kubectl.arg("--kubeconfig").arg(stage.clusters.config("eu-1")).args(args).output().unwrap();
        assert!(output.status.success(), "{args:?}: {output:?}");
        output.stdout
    };
    let file = stage.sandbox.join("install.yaml");
    let file = file.to_str().unwrap();
    kubectl(&["apply", "-f", file]);
    let mut config: Value =
        serde_json::from_slice(&kubectl(&["config", "view", "--raw", "-o", "json"])).unwrap();
    config["metadata"] = serde_json::json!({"name": "eu-1"});
    config["users"][0]["user"]["as"] = format!("system:serviceaccount:{ns}:kit-sync").into();
    // As in a pod, whose credentials name its namespace.
    config["contexts"][0]["context"]["namespace"] = ns.clone().into();
    stage.sandbox.write("limited/eu-1.yaml", config.to_string());
    let call = program("deployer").args([
        "sync",
        "--once",
        "--repo",
        &stage.server.url(),
        "--system-namespace",
        ns,
        "--configs",
        "limited",
    ]);
    let answer = stage.sandbox.run(call);
    kubectl(&["delete", "clusterrole,clusterrolebinding", "kit-sync"]);
    assert_eq!(answer.exit_code, 0, "{answer}");
    assert_eq!(stage.note()["state"], "synced");
}
