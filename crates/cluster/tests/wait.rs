//! Waiting, against a cluster: a simulated one, or the real ones of `KIT_TEST_CONFIGS`.
//!
//! What the pods do is chosen by a word in the image, which the simulated and the test control plane's kubelet share:
//! `bad` cannot be pulled, `crash` ends at once, `notready` never gets ready, `flaky` recovers after two crashes.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic in a test's helper is a failed test

use std::future::pending;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cluster::connect::{Call, ConnectOptions, Connection, Contexts, Plugins, read_kubeconfigs};
use cluster::events::Events;
use cluster::health::{HealthOptions, Problem};
use cluster::wait::{WaitEnd, WaitEvent, WaitOptions, WaitOutcome, WaitTarget, until_ready};
use http::Method;
use kube::core::{ApiResource, GroupVersionKind};
use manifest::ObjectRef;
use serde_json::{Value, json};
use testkit::{Clusters, fresh_name};

/// An object, how it is addressed, and what the server has stored.
type Applied = (ObjectRef, ApiResource, Value);

fn targets(applied: &[Applied]) -> Vec<WaitTarget<'_>> {
    applied
        .iter()
        .map(|(object, resource, stored)| WaitTarget::stored(object, resource.clone(), stored))
        .collect()
}

/// One namespace of one cluster.
struct Field {
    clusters: Clusters,
    connection: Connection,
    namespace: String,
}

impl Field {
    async fn new() -> Self {
        let mut clusters = Clusters::start(&["one"]);
        let targets = read_kubeconfigs(&[clusters.config("one")], Contexts::Current).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
        let events = Events::unheard("one".parse().unwrap());
        let connection = Connection::open(
            &targets[0],
            &ConnectOptions::default(),
            &Plugins::new(Duration::from_secs(10)),
            deadline,
            events,
        )
        .await
        .unwrap();
        let namespace = fresh_name("wait");
        clusters.remove_namespace_at_end("one", &namespace);
        let field = Self { clusters, connection, namespace };
        field
            .apply_at(
                "/api/v1/namespaces",
                &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": field.namespace}}),
            )
            .await;
        field
    }

    fn path(&self, object: &Value) -> String {
        let resource = resource(object);
        let root = if resource.group.is_empty() { "/api".to_owned() } else { "/apis".to_owned() };
        format!("{root}/{}/namespaces/{}/{}", resource.api_version, self.namespace, resource.plural)
    }

    async fn apply_at(&self, path: &str, object: &Value) -> Value {
        let name = object["metadata"]["name"].as_str().unwrap();
        let path = format!("{path}/{name}?fieldManager=test&force=true");
        let call = Call::new(format!("apply {name}"), Method::PATCH, path)
            .with_body("application/apply-patch+yaml", object);
        self.connection.call(&call).await.unwrap_or_else(|error| panic!("{name}: {error}")).value
    }

    async fn apply(&self, object: &Value) -> Applied {
        let applied = self.apply_at(&self.path(object), object).await;
        let reference = manifest::object::reference(object);
        let reference = ObjectRef { namespace: Some(self.namespace.clone()), ..reference };
        (reference, resource(object), applied)
    }

    async fn apply_all(&self, objects: &[Value]) -> Vec<Applied> {
        let mut targets = Vec::new();
        for object in objects {
            targets.push(self.apply(object).await);
        }
        targets
    }

    async fn wait(&self, targets: Vec<Applied>, options: WaitOptions) -> (Vec<WaitOutcome>, Vec<WaitEvent>) {
        let events = Mutex::new(Vec::new());
        let outcomes = until_ready(&self.connection, self::targets(&targets), options, pending(), |event| {
            events.lock().unwrap().push(event)
        })
        .await;
        (outcomes, events.into_inner().unwrap())
    }

    async fn get(&self, object: &Value) -> Value {
        let path = format!("{}/{}", self.path(object), object["metadata"]["name"].as_str().unwrap());
        self.connection.call(&Call::get("get", path)).await.unwrap().value
    }
}

fn resource(object: &Value) -> ApiResource {
    let (api_version, kind) = (object["apiVersion"].as_str().unwrap(), object["kind"].as_str().unwrap());
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

fn deployment(name: &str, replicas: u32, image: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": pod_template(name, image)},
    })
}

fn pod_template(name: &str, image: &str) -> Value {
    json!({"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}})
}

fn within(seconds: u64) -> WaitOptions {
    let health = HealthOptions { grace: Duration::from_secs(2), ..HealthOptions::default() };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds);
    WaitOptions { health, ..WaitOptions::until(deadline) }
}

/// The problems that are told of pods do not fail a rollout within this test.
fn patiently(seconds: u64) -> WaitOptions {
    let health = HealthOptions { grace: Duration::from_secs(600), ..HealthOptions::default() };
    WaitOptions { health, ..within(seconds) }
}

fn problems(end: &WaitEnd) -> Vec<Problem> {
    end.diagnoses().iter().map(|diagnosis| diagnosis.problem).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_stopped_says_what_was_so_at_that_moment() {
    let field = Field::new().await;
    let targets = field.apply_all(&[deployment("good", 1, "web:1"), deployment("pull", 1, "bad:1")]).await;
    let (stop, began) = (tokio::sync::Notify::new(), Instant::now());
    let (mut ready, mut troubled) = (false, false);
    let outcomes =
        until_ready(&field.connection, self::targets(&targets), patiently(60), stop.notified(), |event| {
            ready |= matches!(event, WaitEvent::Ready { .. });
            troubled |= matches!(event, WaitEvent::Troubled { .. });
            if ready && troubled {
                stop.notify_one();
            }
        })
        .await;
    assert!(began.elapsed() < Duration::from_secs(50), "{:?}", began.elapsed());
    assert!(matches!(&outcomes[0].end, WaitEnd::Ready { .. }), "{outcomes:?}");
    let WaitEnd::Stopped { message, .. } = &outcomes[1].end else { panic!("{outcomes:?}") };
    assert!(message.starts_with("waiting for 0/1"), "{message}");
    assert_eq!(problems(&outcomes[1].end), [Problem::ImagePull]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_wrong_before_the_pods_went_is_not_forgotten() {
    let field = Field::new().await;
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "late"},
        "spec": {"activeDeadlineSeconds": 8, "template": {"spec": {
            "restartPolicy": "OnFailure", "containers": [{"name": "app", "image": "bad:1"}]}}},
    });
    let targets = field.apply_all(&[job]).await;
    // Its controller deletes the pods, and then says that it has failed.
    let (outcomes, _) = field.wait(targets, patiently(60)).await;
    let WaitEnd::Failed { reason, .. } = &outcomes[0].end else { panic!("{outcomes:?}") };
    assert_eq!(reason, "DeadlineExceeded");
    assert_eq!(problems(&outcomes[0].end), [Problem::ImagePull], "{outcomes:?}");
}

fn failure(outcome: &WaitOutcome) -> (&str, &[cluster::health::Diagnosis]) {
    match &outcome.end {
        WaitEnd::Failed { reason, diagnoses, .. } => (reason, diagnoses),
        other @ (WaitEnd::Ready { .. }
        | WaitEnd::Unjudged { .. }
        | WaitEnd::Stopped { .. }
        | WaitEnd::Late { .. }) => {
            panic!("{}: {other:?}", outcome.object)
        }
    }
}

#[tokio::test]
async fn a_rollout_is_ready_when_its_own_pods_are_and_not_before() {
    let field = Field::new().await;
    let first = deployment("web", 3, "web:1");
    let targets = field.apply_all(&[first]).await;
    let (outcomes, _) = field.wait(targets, within(60)).await;
    assert_eq!(outcomes[0].end, WaitEnd::Ready { message: "3/3 replicas are available".to_owned() });

    // Three old pods are available all the while; the new ones take 8 s each.
    let second = deployment("web", 3, "web-slow:2");
    let targets = field.apply_all(std::slice::from_ref(&second)).await;
    let (outcomes, _) = field.wait(targets, within(120)).await;
    let seen_at = Instant::now();
    assert!(outcomes[0].end.is_good(), "{outcomes:?}");
    let live = field.get(&second).await;
    assert_eq!(live["status"]["updatedReplicas"], 3, "{}", live["status"]);
    assert_eq!(live["status"]["availableReplicas"], 3);
    assert_eq!(live["status"]["replicas"], 3);
    assert!(seen_at.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn replicas_zero_and_kinds_without_readiness_are_ready_at_once() {
    let field = Field::new().await;
    let config =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "b"}});
    let targets = field.apply_all(&[deployment("none", 0, "web:1"), config]).await;
    let (outcomes, _) = field.wait(targets, within(30)).await;
    assert!(outcomes.iter().all(|outcome| outcome.end.is_good()), "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| outcome.after < Duration::from_secs(5)), "{outcomes:?}");
}

#[tokio::test]
async fn each_failure_is_found_early_with_its_pod_reason_and_log() {
    let field = Field::new().await;
    let mut missing_key = deployment("config", 1, "web:1");
    missing_key["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{"secretRef": {"name": "nowhere"}}]);
    let mut mount = deployment("mount", 1, "web:1");
    mount["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "v", "secret": {"secretName": "nowhere"}}]);
    mount["spec"]["template"]["spec"]["containers"][0]["volumeMounts"] =
        json!([{"name": "v", "mountPath": "/v"}]);
    let mut nowhere = deployment("nowhere", 2, "web:1");
    nowhere["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "of-diamonds"});
    let job = json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "job"},
        "spec": {"backoffLimit": 0, "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "app", "image": "fail:1"}]}}},
    });
    let objects = [
        deployment("pull", 2, "bad:1"),
        deployment("crash", 3, "crash:1"),
        deployment("oom", 1, "oom:1"),
        missing_key,
        mount,
        nowhere,
        job,
        deployment("fine", 1, "web:1"),
    ];
    let started = Instant::now();
    let targets = field.apply_all(&objects).await;
    let (outcomes, events) = field.wait(targets, within(90)).await;
    let summary: Vec<_> =
        outcomes.iter().map(|o| format!("{} {:?} {:?}", o.object, o.after, o.end)).collect();
    let summary = summary.join("\n");
    assert!(started.elapsed() < Duration::from_secs(60), "found too late:\n{summary}");

    let problem = |index: usize| failure(&outcomes[index]).1.first().map(|d| (d.problem, d.pod_count));
    assert_eq!(problem(0), Some((Problem::ImagePull, 2)), "{summary}");
    assert_eq!(problem(1), Some((Problem::CrashLoop, 3)), "{summary}");
    assert_eq!(problem(2), Some((Problem::OutOfMemory, 1)), "{summary}");
    assert_eq!(problem(3), Some((Problem::ContainerConfig, 1)), "{summary}");
    assert_eq!(problem(4), Some((Problem::Mount, 1)), "{summary}");
    assert_eq!(problem(5), Some((Problem::Unschedulable, 2)), "{summary}");
    assert_eq!(failure(&outcomes[6]).0, "BackoffLimitExceeded", "{summary}");
    assert_eq!(problem(6), Some((Problem::PodFailed, 1)), "{summary}");
    assert!(outcomes[7].end.is_good(), "{summary}");

    let crash = &failure(&outcomes[1]).1[0];
    assert!(crash.exit.as_ref().is_some_and(|exit| exit.code != 0), "{crash:?}");
    assert!(crash.log.as_ref().is_some_and(|log| !log.lines.is_empty()), "no log: {crash:?}");
    assert!(crash.pods.iter().all(|pod| pod.starts_with("crash-")), "{crash:?}");
    let told = events.iter().filter(|event| matches!(event, WaitEvent::Failed { .. })).count();
    assert_eq!(told, 7, "{events:?}");
}

#[tokio::test]
async fn a_pod_that_recovers_within_the_grace_period_does_not_fail() {
    let field = Field::new().await;
    let targets = field.apply_all(&[deployment("flaky", 1, "flaky:1")]).await;
    let mut options = within(120);
    options.health.grace = Duration::from_secs(60);
    let (outcomes, events) = field.wait(targets, options).await;
    assert!(outcomes[0].end.is_good(), "{outcomes:?}\n{events:#?}");
    assert!(events.iter().any(|event| matches!(event, WaitEvent::Troubled { .. })), "{events:#?}");
}

#[tokio::test]
async fn a_missing_secret_heals_when_it_is_created() {
    let field = Field::new().await;
    let mut object = deployment("heals", 1, "web:1");
    object["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "late"}}]);
    let targets = field.apply_all(&[object]).await;
    let mut options = within(90);
    options.health.grace = Duration::from_secs(30);
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"a": "b"}});
    let create = async {
        tokio::time::sleep(Duration::from_secs(4)).await;
        field.apply(&secret).await;
    };
    let ((outcomes, events), ()) = tokio::join!(field.wait(targets, options), create);
    assert!(outcomes[0].end.is_good(), "{outcomes:?}\n{events:#?}");
}

#[tokio::test]
async fn who_is_late_is_told_with_its_state() {
    let field = Field::new().await;
    let targets =
        field.apply_all(&[deployment("never", 2, "notready:1"), deployment("fine", 1, "web:1")]).await;
    let (outcomes, _) = field.wait(targets, within(8)).await;
    let WaitEnd::Late { message, diagnoses } = &outcomes[0].end else { panic!("{outcomes:?}") };
    assert_eq!(message, "waiting for 0/2 updated replicas to be available");
    assert_eq!(
        diagnoses.first().map(|d| (d.problem, d.pod_count)),
        Some((Problem::NotReady, 2)),
        "{diagnoses:?}"
    );
    assert!(outcomes[1].end.is_good());
}

#[tokio::test]
async fn an_object_that_is_deleted_meanwhile_has_failed() {
    let field = Field::new().await;
    let object = deployment("gone", 1, "notready:1");
    let targets = field.apply_all(std::slice::from_ref(&object)).await;
    let path = format!("{}/gone", field.path(&object));
    let delete = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        field.connection.call(&Call::new("delete", Method::DELETE, path)).await.unwrap();
    };
    let ((outcomes, _), ()) = tokio::join!(field.wait(targets, within(60)), delete);
    let (reason, _) = failure(&outcomes[0]);
    assert!(matches!(reason, "Deleted" | "Terminating"), "{outcomes:?}");
}

#[tokio::test]
async fn a_kind_that_may_not_be_watched_is_told_and_not_waited_for() {
    let field = Field::new().await;
    let object = ObjectRef {
        api_version: "nobody.example.com/v1".into(),
        kind: "Nothing".into(),
        namespace: Some(field.namespace.clone()),
        name: "n".into(),
    };
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("nobody.example.com", "v1", "Nothing"));
    let target = (object, resource, Value::Null);
    let (outcomes, _) = field.wait(vec![target], within(60)).await;
    assert_eq!(failure(&outcomes[0]).0, "CannotWatch");
    assert!(outcomes[0].after < Duration::from_secs(20), "{outcomes:?}");
    assert!(!field.clusters.configs().as_os_str().is_empty());
}
