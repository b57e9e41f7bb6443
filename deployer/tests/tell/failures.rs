//! Every failure that a rollout can run into, caused for real, and every recovery from one: found early, on the right pods, with
//! reason and log; and seen when it is over.

use std::cell::RefCell;
use std::io::{BufRead as _, Read as _};
use std::time::Duration;

use serde_json::{Value, json};
use testkit::Answer;

use crate::Stage;
use crate::api::Api;

/// The events of a run, and its report.
struct Told {
    events: Vec<Value>,
    report: Value,
}

impl Told {
    fn of(answer: &Answer) -> Self {
        let mut lines: Vec<Value> =
            answer.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let report = lines.pop().unwrap_or_else(|| panic!("{answer}"));
        Self { events: lines, report }
    }

    /// What was told of an object on its way, as stage and message, and when: seconds since the run began.
    fn stages(&self, kind: &str, name: &str) -> Vec<(&str, &str, f64)> {
        let time = |event: &Value| event["time"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let start = time(&self.events[0]);
        let of = |event: &&Value| {
            event["event"] == "rollout" && event["object"]["kind"] == kind && event["object"]["name"] == name
        };
        let told = self.events.iter().filter(of);
        told.map(|event| {
            let after = time(event).duration_since(start).as_secs_f64();
            (event["stage"].as_str().unwrap(), event["message"].as_str().unwrap(), after)
        })
        .collect()
    }

    fn object(&self, kind: &str, name: &str) -> &Value {
        let objects = self.report["clusters"][0]["objects"].as_array().unwrap();
        // A Job is stored under its name and a digest of what it runs.
        let is =
            |stored: &Value| stored == name || stored.as_str().unwrap().starts_with("job-") && name == "job";
        let found = objects.iter().find(|object| object["kind"] == kind && is(&object["name"]));
        found.unwrap_or_else(|| panic!("{name}: {:#}", self.report))
    }
}

/// A deploy that goes on while the test looks at what it tells.
struct Running {
    child: RefCell<std::process::Child>,
    lines: std::sync::mpsc::Receiver<String>,
    told: RefCell<Vec<String>>,
    stderr: std::thread::JoinHandle<String>,
}

impl Running {
    fn start(stage: &Stage, call: &testkit::Call) -> Self {
        let mut child = stage.sandbox.start(call);
        drop(child.stdin.take());
        let (sender, lines) = std::sync::mpsc::channel();
        let stdout = std::io::BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let mut pipe = child.stderr.take().unwrap();
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            pipe.read_to_string(&mut text).unwrap();
            text
        });
        Self { child: RefCell::new(child), lines, told: RefCell::default(), stderr }
    }

    /// Waits until this has been told of a Deployment.
    #[track_caller]
    fn until(&self, name: &str, stage: &str, said: &str) {
        let is = |line: &String| {
            let event: Value = serde_json::from_str(line).unwrap();
            event["object"]["kind"] == "Deployment"
                && event["object"]["name"] == name
                && event["stage"] == stage
                && event["message"].as_str().is_some_and(|message| message.contains(said))
        };
        while !self.told.borrow().iter().any(is) {
            let Ok(line) = self.lines.recv_timeout(Duration::from_secs(60)) else {
                let _ = self.child.borrow_mut().kill();
                panic!("{name} was never told to be {stage}: {said}\n{}", self.told.borrow().join("\n"));
            };
            self.told.borrow_mut().push(line);
        }
    }

    fn end(self) -> Answer {
        let mut told = self.told.take();
        told.extend(self.lines.iter());
        let exit_code = self.child.into_inner().wait().unwrap().code().unwrap();
        Answer { exit_code, stdout: told.join("\n"), stderr: self.stderr.join().unwrap() }
    }
}

/// A Deployment whose pod template gets `pod` merged into its spec.
fn write(stage: &Stage, name: &str, replicas: u32, image: &str, pod: &str, more: &str) {
    let namespace = &stage.namespace;
    let text = format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  replicas: {replicas}\n{more}  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec:\n{pod}      \
         containers:\n      - name: app\n        image: '{image}'\n"
    );
    stage.sandbox.write(format!("manifests/eu-1/{name}.yaml"), text);
}

/// Adds lines to the only container of a Deployment that [`write`] wrote.
fn container(stage: &Stage, name: &str, lines: &str) {
    let path = format!("manifests/eu-1/{name}.yaml");
    let text = stage.sandbox.read(&path) + lines;
    stage.sandbox.write(path, text);
}

/// A second namespace in which nothing may run, with a Deployment.
fn write_quota(stage: &mut Stage) -> String {
    let namespace = format!("{}-full", stage.namespace);
    stage.clusters.remove_namespace_at_end("eu-1", &namespace);
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: v1\nkind: ResourceQuota\nmetadata: {{name: none, namespace: {namespace}}}\nspec: {{hard: {{pods: '0'}}}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: quota, namespace: {namespace}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: quota}}}}\n  template:\n    metadata: {{labels: {{app: quota}}}}\n    \
         spec: {{containers: [{{name: app, image: 'web:1'}}]}}\n"
    );
    stage.sandbox.write("manifests/eu-1/quota.yaml", text);
    namespace
}

/// Name, what its trouble is called, the server's word for it, how many pods, part of the sentence, end of the log.
type Row<'a> = (&'a str, &'a str, &'a [&'a str], u64, &'a str, &'a [&'a str]);

const SECRET_VOLUME: &str = "      volumes: [{name: v, secret: {secretName: not-there}}]\n";
const SELECTOR: &str = "      nodeSelector: {kit-test: nowhere}\n";

#[test]
fn every_failure_is_found_early_and_told_with_pods_reason_and_log() {
    let mut stage = Stage::new(&["eu-1"]);
    let namespace = stage.namespace.clone();
    write(&stage, "crash", 3, "crash:1", "", "");
    write(&stage, "memory", 1, "oom:1", "", "");
    write(&stage, "image", 2, "registry.example/bad:1", "", "");
    write(&stage, "node", 2, "web:1", SELECTOR, "");
    write(&stage, "mount", 1, "web:1", SECRET_VOLUME, "");
    write(&stage, "config", 1, "web:1", "", "");
    container(&stage, "config", "        envFrom: [{configMapRef: {name: not-there}}]\n");
    write(&stage, "key", 1, "web:1", "", "");
    container(
        &stage,
        "key",
        "        env: [{name: A, valueFrom: {secretKeyRef: {name: half, key: not-there}}}]\n",
    );
    let secret = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: half, namespace: {namespace}}}\nstringData: {{other: x}}\n"
    );
    stage.sandbox.write("manifests/eu-1/half.yaml", secret);
    write(&stage, "deadline", 1, "notready:1", "", "  progressDeadlineSeconds: 4\n");
    let job = format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: job, namespace: {namespace}}}\nspec:\n  backoffLimit: 0\n  template:\n    \
         spec: {{restartPolicy: Never, containers: [{{name: app, image: 'fail:1'}}]}}\n"
    );
    stage.sandbox.write("manifests/eu-1/job.yaml", job);
    write(&stage, "fine", 1, "web:1", "", "");
    write_quota(&mut stage);

    let flags =
        ["--available-timeout", "120", "--available-health-check-grace-period", "1", "--output", "ndjson"];
    let answer = stage.run(stage.deployer().args(flags));
    assert_eq!(answer.exit_code, 1, "{answer}");
    let told = Told::of(&answer);
    let log = &["panic: something went wrong", "exit status 1"][..];
    let rows: [Row<'_>; 9] = [
        ("crash", "crashLoop", &["CrashLoopBackOff"], 3, "keeps crashing", log),
        ("memory", "outOfMemory", &["OOMKilled"], 1, "exit code 137", log),
        ("image", "imagePull", &["ErrImagePull", "ImagePullBackOff"], 2, "registry.example/bad:1", &[]),
        ("node", "unschedulable", &["Unschedulable"], 2, "nodes are available", &[]),
        ("mount", "mount", &["FailedMount"], 1, "secret \"not-there\" not found", &[]),
        (
            "config",
            "containerConfig",
            &["CreateContainerConfigError"],
            1,
            "configmap \"not-there\" not found",
            &[],
        ),
        ("key", "containerConfig", &["CreateContainerConfigError"], 1, "couldn't find key not-there", &[]),
        ("quota", "podCreation", &["FailedCreate"], 0, "exceeded quota: none, requested: pods=1", &[]),
        ("deadline", "notReady", &["Unhealthy"], 1, "runs and is not ready", &["waiting for database"]),
    ];
    for (name, problem, reasons, pods, sentence, log) in rows {
        let object = told.object("Deployment", name);
        assert_eq!(object["result"], "not-ready", "{object:#}");
        let all = object["diagnoses"].as_array().unwrap_or_else(|| panic!("{object:#}"));
        // The gravest first; pods that have not come to it yet may follow.
        let found = &all[0];
        assert_eq!(found["problem"], problem, "{object:#}");
        let counted = found["podCount"].as_u64().unwrap();
        assert!(counted <= pods && (counted > 0) == (pods > 0), "{found:#}");
        assert!(reasons.iter().any(|reason| found["reason"] == *reason), "{found:#}");
        assert!(found["summary"].as_str().unwrap().contains(sentence), "{found:#}");
        let names = found["pods"].as_array().unwrap();
        assert!(names.iter().all(|pod| pod.as_str().unwrap().starts_with(&format!("{name}-"))), "{found:#}");
        assert_eq!(names.len() as u64, counted, "{found:#}");
        let container = (pods > 0 && !matches!(name, "node" | "mount")).then_some("app");
        assert_eq!(found["container"].as_str(), container, "{found:#}");
        assert!(found["since"].is_string(), "{found:#}");
        let lines = found["log"]["lines"].as_array().cloned().unwrap_or_default();
        assert_eq!(
            lines[lines.len() - log.len()..],
            log.iter().map(|l| json!(l)).collect::<Vec<_>>(),
            "{found:#}"
        );
        // Nothing is said twice: no event repeats the sentence.
        for event in found["events"].as_array().into_iter().flatten() {
            assert!(!sentence.contains(event["message"].as_str().unwrap()), "{found:#}");
        }
        let failed = told.stages("Deployment", name).into_iter().find(|(stage, ..)| *stage == "failed");
        assert!(failed.is_some_and(|(_, _, after)| after < 45.0), "{name}: {failed:?}");
    }
    let deadline = told.object("Deployment", "deadline");
    assert!(
        deadline["trouble"]["message"].as_str().unwrap().contains("has timed out progressing"),
        "{deadline:#}"
    );
    let job = told.object("Job", "job");
    assert_eq!(
        (&job["result"], &job["diagnoses"][0]["exitCode"]),
        (&json!("not-ready"), &json!(1)),
        "{job:#}"
    );
    let lines = job["diagnoses"][0]["log"]["lines"].as_array().unwrap_or_else(|| panic!("{job:#}"));
    assert!(lines.contains(&json!("panic: something went wrong")), "{job:#}");
    assert_eq!(told.object("Deployment", "fine")["result"], "created");
    assert_eq!(told.report["totals"]["notReady"], 10);
}

#[test]
fn every_recovery_is_seen() {
    let mut stage = Stage::new(&["eu-1"]);
    let namespace = stage.namespace.clone();
    write(&stage, "flaky", 1, "flaky:1", "", "");
    write(&stage, "image", 1, "bad:1", "", "");
    let word = testkit::fresh_name("somewhere");
    write(&stage, "node", 1, "web:1", &format!("      nodeSelector: {{kit-test: {word}}}\n"), "");
    write(&stage, "mount", 1, "web:1", SECRET_VOLUME, "");
    write(&stage, "config", 1, "web:1", "", "");
    container(&stage, "config", "        envFrom: [{configMapRef: {name: not-there}}]\n");
    write(&stage, "deadline", 1, "slow:1", "", "  progressDeadlineSeconds: 2\n");
    let full = write_quota(&mut stage);
    let api = Api::of(&stage, "eu-1");
    let troubles = [
        ("flaky", "keeps crashing"),
        ("image", "the image cannot be pulled"),
        ("node", "no node takes the pod"),
        ("mount", "a volume cannot be mounted"),
        ("config", "its configuration is not there"),
        ("quota", "its pods cannot be created"),
    ];
    let flags = ["--available-health-check-grace-period", "90", "--output", "ndjson"];
    let run = Running::start(&stage, &stage.deployer().args(flags));
    for (name, trouble) in troubles {
        run.until(name, "troubled", trouble);
    }
    run.until("deadline", "failed", "timed out progressing");
    let named =
        |kind: &str, name: &str| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}});
    let here = format!("/api/v1/namespaces/{namespace}");
    api.apply(&format!("{here}/configmaps/not-there"), &named("ConfigMap", "not-there"));
    api.apply(&format!("{here}/secrets/not-there"), &named("Secret", "not-there"));
    let node = api.get("/api/v1/nodes")["items"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let mut labelled = named("Node", &node);
    labelled["metadata"]["labels"] = json!({"kit-test": word});
    api.apply(&format!("/api/v1/nodes/{node}"), &labelled);
    let image = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "image"},
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}}});
    api.apply(&format!("/apis/apps/v1/namespaces/{namespace}/deployments/image"), &image);
    // The last one, so that the wait goes on until a rollout that was over its deadline is there after all.
    run.until("deadline", "ready", "recovered");
    let mut quota = named("ResourceQuota", "none");
    quota["spec"] = json!({"hard": {"pods": "9"}});
    api.apply(&format!("/api/v1/namespaces/{full}/resourcequotas/none"), &quota);
    let answer = run.end();
    assert_eq!(answer.exit_code, 0, "{answer}");
    let told = Told::of(&answer);
    for (name, trouble) in troubles {
        let stages = told.stages("Deployment", name);
        let troubled =
            stages.iter().position(|(stage, said, _)| *stage == "troubled" && said.contains(trouble));
        let ready = stages.iter().rposition(|(stage, ..)| *stage == "ready");
        assert!(troubled.is_some() && ready > troubled, "{name}: {stages:#?}");
        assert_eq!(ready, Some(stages.len() - 1), "{name}: {stages:#?}");
    }
    let stages = told.stages("Deployment", "deadline");
    let failed = stages
        .iter()
        .position(|(stage, said, _)| *stage == "failed" && said.contains("timed out progressing"));
    let recovered = stages.iter().position(|(stage, said, _)| *stage == "ready" && *said == "recovered");
    assert!(failed.is_some() && recovered > failed, "{stages:#?}");
    assert_eq!(told.report["totals"]["notReady"], 0);
}

#[test]
fn only_pods_that_belong_to_the_rollout_count() {
    let stage = Stage::new(&["eu-1"]);
    // Names that begin alike, labels that a selector of another could take for its own.
    stage.deployment("eu-1", "web", 1, "crash:1");
    let flags = ["--available-enabled", "false"];
    stage.run(stage.deployer().args(flags)).success();
    stage.deployment("eu-1", "web-api", 2, "crash:1");
    stage.run(stage.deployer().args(flags)).success();
    std::fs::remove_file(stage.sandbox.join("manifests/eu-1/web-api.yaml")).unwrap();
    // The old pods of this one crash as well, those of its neighbour go on crashing, and neither is its failure.
    stage.deployment("eu-1", "web", 2, "slow:2");
    let answer = stage.run(stage.deployer().args(["--available-health-check-grace-period", "1"])).success();
    assert!(!answer.stderr.contains("crashing"), "{answer}");
}

#[test]
fn a_hundred_replicas_are_reported_neither_early_nor_late() {
    let stage = Stage::new(&["eu-1"]);
    stage.deployment("eu-1", "web", 100, "web:1");
    stage.run(stage.deployer()).success();
    let api = Api::of(&stage, "eu-1");
    let path = format!("/apis/apps/v1/namespaces/{}/deployments/web", stage.namespace);
    let mut tries = Vec::new();
    // A busy machine delays the messenger: the best of three tries tells what the program does.
    for version in 2..5 {
        stage.deployment("eu-1", "web", 100, &format!("web:{version}"));
        let (answer, incomplete, complete) = std::thread::scope(|scope| {
            let run = scope.spawn(|| stage.run(stage.deployer().args(["--output", "ndjson"])));
            let mut incomplete = jiff::Timestamp::now();
            let complete = loop {
                let asked = jiff::Timestamp::now();
                let web = api.get(&path);
                let new =
                    web["spec"]["template"]["spec"]["containers"][0]["image"] == format!("web:{version}");
                let status = &web["status"];
                // As `kubectl rollout status` judges.
                let done = new
                    && status["observedGeneration"] == web["metadata"]["generation"]
                    && ["updatedReplicas", "replicas", "availableReplicas"].iter().all(|f| status[f] == 100);
                if done {
                    break jiff::Timestamp::now();
                }
                incomplete = asked;
                std::thread::sleep(Duration::from_millis(20));
            };
            (run.join().unwrap(), incomplete, complete)
        });
        let answer = answer.success();
        let told = Told::of(&answer);
        let ready = told.events.iter().find(|e| {
            e["event"] == "rollout" && e["stage"] == "ready" && e["object"]["kind"] == "Deployment"
        });
        let ready = ready.unwrap_or_else(|| panic!("{answer}"));
        assert_eq!(ready["message"], "100/100 replicas are available");
        let said: jiff::Timestamp = ready["time"].as_str().unwrap().parse().unwrap();
        assert!(said >= incomplete, "early: {said}, not there yet at {incomplete}");
        tries.push(said.duration_since(complete).as_secs_f64());
        if tries.last().is_some_and(|late| *late < 1.0) {
            break;
        }
    }
    assert!(tries.last().is_some_and(|late| *late < 1.0), "late, in seconds: {tries:?}");
    let status = stage.run(
        testkit::program("deployer")
            .arg("status")
            .arg("--configs")
            .arg(stage.clusters.configs())
            .args(["--output", "json"]),
    );
    let status = status.json();
    let resources = status["clusters"][0]["resources"].as_array().unwrap();
    let web = resources.iter().find(|r| r["namespace"] == stage.namespace.as_str()).unwrap();
    // Old pods may still be on their way out; kubectl does not wait for those either.
    let staying: Vec<_> =
        web["pods"].as_array().unwrap().iter().filter(|pods| pods["state"] != "Terminating").collect();
    assert_eq!(staying, [&json!({"state": "Running", "count": 100, "restarts": 0, "old": false})]);
}
