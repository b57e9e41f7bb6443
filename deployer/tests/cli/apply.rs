//! What is written, in which order, what is tried again and what is not: as the manifests, the flags and the server say.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simcluster::{Action, Fault, Options, Simulation};
use testkit::{Sandbox, program};

use crate::deploy::{CONFIG, SERVICE, Stage, WEB};

const UUID: &str = "deployment.invision/uuid";

#[test]
fn raw_manifests_are_sent_as_they_are_but_for_the_uuid() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-raw");
    let job = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: once, namespace: NS}\nspec:\n  template:\n    spec:\n      \
               restartPolicy: Never\n      containers: [{name: m, image: 'registry.example.com/m:1'}]\n";
    stage.write("all.yaml", &format!("{CONFIG}---\n{job}"));
    let flags = ["--raw", "--uuid", "u-1", "--sha", "abc", "--deploy-id", "d", "--resource", "r"];
    let (code, first) = stage.report(&flags);
    assert_eq!((code, &first["counts"]["created"]), (0, &json!(3)), "{first:#}");
    let live = stage.get("configmap/conf");
    assert_eq!(live["metadata"]["annotations"], json!({UUID: "u-1"}));
    assert_eq!(live["metadata"].get("labels"), None, "{live:#}");
    assert_eq!(stage.get("job/once")["metadata"]["name"], "once");
    let (_, again) = stage.report(&["--raw", "--uuid", "u-2"]);
    assert_eq!(again["counts"]["unchanged"], 3, "{again:#}");
}

#[test]
fn kits_marks_are_written_with_a_change_and_touch_neither_selectors_nor_pods() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-marks");
    stage.write("web.yaml", &format!("{WEB}---\n{SERVICE}"));
    stage.deploy(&["--sha", "one", "--uuid", "u-1", "--deploy-id", "d-1", "--resource", "shop"]).success();
    let live = stage.get("deployment/web");
    let (labels, annotations) = (&live["metadata"]["labels"], &live["metadata"]["annotations"]);
    for (key, value) in [
        ("id", "d-1"),
        ("strategy", "rolling-update"),
        ("resource", "shop"),
        ("app.kubernetes.io/name", "shop"),
        ("app", "web"),
    ] {
        assert_eq!(labels[key], value, "{labels:#}");
    }
    for (key, value) in
        [(UUID, "u-1"), ("kit-deployer/original-name", "web"), ("kit-deployer/commit", "\"one\"")]
    {
        assert_eq!(annotations[key], value, "{annotations:#}");
    }
    let updated: jiff::Timestamp =
        annotations["kit-deployer/last-updated"].as_str().unwrap().parse().unwrap();
    assert!(updated <= jiff::Timestamp::now());
    assert_eq!(live["spec"]["selector"], json!({"matchLabels": {"app": "web"}}));
    assert_eq!(live["spec"]["template"]["metadata"]["labels"], json!({"app": "web"}));
    assert_eq!(stage.get("service/web")["spec"]["selector"], json!({"app": "web"}));

    // Another commit is no reason to write; with another label it is written along, and no pod is restarted.
    let next = ["--sha", "two", "--uuid", "u-2", "--deploy-id", "d-2", "--resource", "shop"];
    let (_, same) = stage.report(&next);
    assert_eq!((&same["counts"]["unchanged"], &same["bytesSent"]), (&json!(3), &json!(0)), "{same:#}");
    stage.write(
        "web.yaml",
        &format!(
            "{}---\n{SERVICE}",
            WEB.replacen("labels: {app: web}", "labels: {app: web, more: label}", 1)
        ),
    );
    let (_, changed) = stage.report(&next);
    assert_eq!(changed["counts"]["configured"], 1, "{changed:#}");
    let after = stage.get("deployment/web");
    assert_eq!(after["metadata"]["annotations"]["kit-deployer/commit"], "\"two\"");
    assert_eq!(after["metadata"]["labels"]["id"], "d-2");
    assert_eq!(after["spec"], live["spec"]);
    let revision = "deployment.kubernetes.io/revision";
    assert_eq!(after["metadata"]["annotations"][revision], "1", "no pod is made anew: {after:#}");
}

#[test]
fn what_is_waited_for_may_come_from_elsewhere_and_none_is_not_yet_available() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-elsewhere");
    stage.write(
        "conf.yaml",
        &CONFIG.replace(
            "namespace: NS}",
            "namespace: NS, annotations: {kit-deployer/dependency-selector: app=outside}}",
        ),
    );
    let short = ["--dependency-timeout", "1s", "--dependency-wait", "200ms"];
    let (code, report) = stage.report(&short);
    assert_eq!((code, &report["counts"]["skipped"]), (1, &json!(1)), "{report:#}");
    let because = report["objects"].to_string();
    assert!(
        because.contains("it waits for `app=outside`, which is not available: there is no such object"),
        "{because}"
    );

    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: outside, labels: {app: outside}}\n";
    stage.kubectl(&["create", "-f", "-"], secret);
    let (code, report) = stage.report(&short);
    assert_eq!((code, &report["counts"]["created"]), (0, &json!(1)), "{report:#}");
}

#[test]
fn a_dependency_selector_that_is_none_is_refused() {
    let stage = Stage::new("engine-bad-selector");
    stage.write(
        "conf.yaml",
        &CONFIG.replace(
            "namespace: NS}",
            "namespace: NS, annotations: {kit-deployer/dependency-selector: 'a in (b'}}",
        ),
    );
    let (code, report) = stage.report(&[]);
    assert_eq!((code, &report["counts"]["failed"]), (1, &json!(1)), "{report:#}");
    assert!(
        report["objects"].to_string().contains("`kit-deployer/dependency-selector` cannot be read"),
        "{report:#}"
    );
}

#[test]
fn two_manifests_that_turn_out_to_be_one_object_are_refused() {
    let stage = Stage::new("engine-twice");
    // The kubeconfig names no namespace, so that it is `default`.
    let map = |namespace: &str| {
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {}{namespace}}}\n", stage.namespace)
    };
    stage.write("one.yaml", &map(", namespace: default"));
    stage.write("two.yaml", &map(""));
    let (code, report) = stage.report(&["--dry-run"]);
    assert_eq!((code, &report["counts"]["failed"]), (1, &json!(1)), "{report:#}");
    assert!(report["objects"].to_string().contains("another manifest is of the same object"), "{report:#}");
}

#[test]
fn objects_are_written_in_a_sound_order_whatever_the_order_of_their_files() {
    let stage = Stage::new("engine-order");
    let in_namespace =
        |text: &str| text.replace("NAME", "x").replace("META", "metadata: {name: x, namespace: NS}");
    let all = [
        "apiVersion: policy/v1\nkind: PodDisruptionBudget\nMETA\nspec: {maxUnavailable: 1, selector: {matchLabels: {app: web}}}\n",
        SERVICE,
        WEB,
        "apiVersion: v1\nkind: PersistentVolumeClaim\nMETA\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n",
        CONFIG,
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nMETA\nrules: []\n",
    ];
    for (index, text) in all.iter().enumerate() {
        stage.write(&format!("{index}.yaml"), &in_namespace(text));
    }
    let answer = stage.deploy(&["--debug", "--available-enabled", "false"]).success();
    let at = |phase: &str| {
        answer.stderr.find(&format!("writing {phase} (")).unwrap_or_else(|| panic!("{phase}\n{answer}"))
    };
    let order = [
        "namespaces",
        "configuration",
        "storage",
        "workloads",
        "services and ingresses",
        "autoscalers and disruption budgets",
    ];
    assert!(order.map(at).is_sorted(), "{answer}");
}

/// Applies one ConfigMap to a simulated cluster with `faults`: the exit code, the report of the cluster, and how many applies it took.
fn under(faults: Vec<Fault>, flags: &[&str]) -> (i32, Value, u64) {
    let simulation = Simulation::start(Options::named(["a"])).unwrap();
    let sandbox = Sandbox::new();
    sandbox.write("configs/a.yaml", simulation.kubeconfig("a").unwrap());
    sandbox.write("manifests/a/a.yaml", CONFIG.replace("NS", "default"));
    simulation.set_faults("a", faults, 1);
    let call = program("deployer").args(["-c", "configs", "-m", "manifests", "--output", "json"]);
    let call = call.env("BACKOFF_INITIAL_DELAY", "1").env("KIT_REQUEST_TIMEOUT", "1s").args(flags);
    let answer = sandbox.run(call);
    // Those that the faults hit, and the one that then passed. kit's own objects are applied too: they are not counted.
    let applies = simulation.metrics("a").unwrap().faults + u64::from(answer.exit_code == 0);
    (answer.exit_code, answer.json()["clusters"][0].clone(), applies)
}

fn on_apply(action: Action, times: Option<u64>) -> Vec<Fault> {
    vec![Fault { verbs: vec!["apply".into()], name: Some("conf".into()), times, ..Fault::every(action) }]
}

fn status(code: u16) -> Action {
    Action::Status { code, retry_after: None, message: None }
}

#[test]
fn what_can_pass_is_tried_again() {
    for action in [
        status(409),
        status(500),
        status(502),
        status(503),
        status(504),
        Action::Status { code: 429, retry_after: Some(0), message: None },
        Action::ResetBefore,
        Action::ResetAfter,
        Action::Truncate,
        Action::Hang,
    ] {
        let (code, cluster, applies) = under(on_apply(action.clone(), Some(2)), &[]);
        assert_eq!((code, applies), (0, 3), "{action:?}: {cluster:#}");
        assert_eq!(cluster["counts"]["created"], 1, "{action:?}: {cluster:#}");
    }
}

#[test]
fn a_server_that_says_when_to_come_back_is_obeyed() {
    let started = Instant::now();
    let busy = Action::Status { code: 429, retry_after: Some(1), message: None };
    let (code, cluster, applies) = under(on_apply(busy, Some(1)), &[]);
    assert_eq!((code, applies), (0, 2), "{cluster:#}");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn what_cannot_pass_is_told_at_once_in_the_words_of_the_server() {
    for (code, message) in [(403, "we may not write it"), (422, "the cluster finds it invalid")] {
        let said = Action::Status { code, retry_after: None, message: Some("policy `p` says no".into()) };
        let (exit, cluster, applies) = under(on_apply(said, None), &[]);
        assert_eq!((exit, applies), (1, 1), "{cluster:#}");
        let trouble = &cluster["objects"][0]["trouble"];
        assert_eq!(
            (&trouble["message"], &trouble["causes"]),
            (&json!(message), &json!(["policy `p` says no"]))
        );
    }
    // It gives up after as many tries as it was told, within its time.
    let (exit, cluster, applies) = under(on_apply(status(503), None), &["--backoff-fail-after", "4"]);
    assert_eq!((exit, applies), (1, 4), "{cluster:#}");
    let started = Instant::now();
    let (exit, cluster, _) =
        under(on_apply(status(503), None), &["--timeout", "2s", "--backoff-fail-after", "1000"]);
    assert_eq!(exit, 1, "{cluster:#}");
    assert!(started.elapsed() < Duration::from_secs(10), "{cluster:#}");
}
