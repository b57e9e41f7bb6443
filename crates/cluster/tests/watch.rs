//! What waiting costs, and that it survives what networks and servers do to watches. Needs faults on demand, so these tests are
//! for simulated clusters only.
#![allow(clippy::unwrap_used)] // a panic in a test's helper is a failed test

use std::future::pending;
use std::time::Duration;

use cluster::connect::{Call, ConnectOptions, Connection, Contexts, Plugins, read_kubeconfigs};
use cluster::events::Events;
use cluster::wait::{WaitOptions, WaitOutcome, WaitTarget, until_ready};
use http::Method;
use kube::core::{ApiResource, GroupVersionKind};
use manifest::ObjectRef;
use serde_json::{Value, json};
use simcluster::{Action, Fault};
use simcluster::{Options, Simulation, Timing};

/// An object, and what the server has stored.
type Applied = (ObjectRef, Value);

fn deployments(applied: &[Applied]) -> Vec<WaitTarget<'_>> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
    applied.iter().map(|(object, stored)| WaitTarget::stored(object, resource.clone(), stored)).collect()
}

struct Field {
    simulation: Simulation,
    connection: Connection,
}

impl Field {
    async fn new(slow: Duration) -> Self {
        let timing = Timing { slow, ..Timing::default() };
        let simulation = Simulation::start(Options { timing, ..Options::named(["one"]) }).unwrap();
        let dir = tempfile::tempdir().unwrap();
        simulation.write_kubeconfigs(dir.path()).unwrap();
        let targets = read_kubeconfigs(&[dir.path().join("one.yaml")], Contexts::Current).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        let plugins = Plugins::new(Duration::from_secs(10));
        let events = Events::unheard("one".parse().unwrap());
        let connection =
            Connection::open(&targets[0], &ConnectOptions::default(), &plugins, deadline, events)
                .await
                .unwrap();
        Self { simulation, connection }
    }

    async fn apply(&self, collection: &str, object: &Value) -> Value {
        let path = format!(
            "{collection}/{}?fieldManager=test&force=true",
            object["metadata"]["name"].as_str().unwrap()
        );
        let call = Call::new("apply", Method::PATCH, path).with_body("application/apply-patch+yaml", object);
        self.connection.call(&call).await.unwrap().value
    }

    /// `count` Deployments in each of `namespaces`, as targets.
    async fn deployments(&self, namespaces: &[&str], count: usize, image: &str) -> Vec<Applied> {
        let mut targets = Vec::new();
        for namespace in namespaces {
            let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            self.apply("/api/v1/namespaces", &object).await;
            for number in 0..count {
                let name = format!("web-{number}");
                let object = json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
                    "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, "template": {
                        "metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}}},
                });
                let applied =
                    self.apply(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &object).await;
                let reference = manifest::object::reference(&object);
                let reference = ObjectRef { namespace: Some((*namespace).into()), ..reference };
                targets.push((reference, applied));
            }
        }
        targets
    }

    async fn wait(&self, targets: &[Applied]) -> Vec<WaitOutcome> {
        // A server that resets every other request breaks a watch at each of its own tries and of its neighbours' on the same connection:
        // a dozen tries may come to nothing, at up to 5 s each.
        let options = WaitOptions::until(tokio::time::Instant::now() + Duration::from_secs(180));
        until_ready(&self.connection, deployments(targets), options, pending(), |_| {}).await
    }

    fn count(&self, verb: &str) -> u64 {
        self.simulation.metrics("one").unwrap().by_verb.get(verb).copied().unwrap_or(0)
    }
}

fn all_ready(outcomes: &[WaitOutcome], expected: usize) {
    assert_eq!(outcomes.len(), expected);
    assert!(outcomes.iter().all(|outcome| outcome.end.is_good()), "{outcomes:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_costs_one_watch_per_kind_and_namespace_and_no_request_per_object() {
    let field = Field::new(Duration::from_secs(4)).await;
    let targets = field.deployments(&["a", "b"], 25, "web-slow:1").await;
    let (lists, watches, gets) = (field.count("list"), field.count("watch"), field.count("get"));
    all_ready(&field.wait(&targets).await, 50);
    // Two namespaces: Deployments, and after a second of waiting pods, ReplicaSets and Events.
    assert_eq!(field.count("watch") - watches, 8);
    assert_eq!(field.count("list") - lists, 8);
    assert_eq!(field.count("get") - gets, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_ready_soon_is_watched_by_one_watch_only() {
    let field = Field::new(Duration::from_secs(4)).await;
    let targets = field.deployments(&["a"], 10, "web:1").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let watches = field.count("watch");
    all_ready(&field.wait(&targets).await, 10);
    assert!(field.count("watch") - watches <= 1, "{}", field.count("watch") - watches);
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_watches_and_versions_that_are_gone_are_survived() {
    let field = Field::new(Duration::from_secs(6)).await;
    let targets = field.deployments(&["a"], 5, "web-slow:1").await;
    let disturb = async {
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(400)).await;
            // The version that a watch would go on from is too old: 410, then a new list.
            field.simulation.compact("one");
            field.simulation.drop_watches("one");
        }
    };
    let (outcomes, ()) = tokio::join!(field.wait(&targets), disturb);
    all_ready(&outcomes, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_fails_every_other_list_and_watch_is_waited_out() {
    for (seed, action) in [
        Action::Status { code: 500, retry_after: None, message: None },
        Action::Status { code: 429, retry_after: Some(1), message: None },
        // To a list: the page that it continues is too old.
        Action::Status { code: 410, retry_after: None, message: None },
        Action::ResetBefore,
        Action::Truncate,
        Action::DropWatch { millis: 300 },
    ]
    .into_iter()
    .enumerate()
    {
        let field = Field::new(Duration::from_secs(3)).await;
        let targets = field.deployments(&["a"], 5, "web-slow:1").await;
        let said = format!("{action:?}");
        let fault =
            Fault { verbs: vec!["list".into(), "watch".into()], rate: Some(0.5), ..Fault::every(action) };
        field.simulation.set_faults("one", vec![fault], seed as u64);
        let outcomes = field.wait(&targets).await;
        assert!(outcomes.iter().all(|outcome| outcome.end.is_good()), "{said}: {outcomes:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_several_pages_is_read_to_its_end_and_from_its_beginning_where_a_page_has_expired() {
    let field = Field::new(Duration::from_secs(1)).await;
    let targets = field.deployments(&["a"], 230, "web:1").await;
    all_ready(&field.wait(&targets).await, 230);
    // All is ready by now: nothing but the Deployments is looked at.
    let lists = field.count("list");
    all_ready(&field.wait(&targets).await, 230);
    assert_eq!(field.count("list") - lists, 3, "pages of 100");

    let lists = field.count("list");
    let gone = Action::Status { code: 410, retry_after: None, message: None };
    let second = Fault { verbs: vec!["list".into()], after: 1, times: Some(1), ..Fault::every(gone) };
    field.simulation.set_faults("one", vec![second], 1);
    all_ready(&field.wait(&targets).await, 230);
    assert_eq!(field.count("list") - lists, 5, "one page, one that has expired, three pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_look_at_pods_still_learns_that_it_is_late() {
    let field = Field::new(Duration::from_secs(60)).await;
    let targets = field.deployments(&["a"], 1, "notready:1").await;
    let forbidden = Action::Status { code: 403, retry_after: None, message: None };
    let resources = ["pods", "events", "replicasets"].map(str::to_owned).to_vec();
    field.simulation.set_faults("one", vec![Fault { resources, ..Fault::every(forbidden) }], 1);
    let options = WaitOptions::until(tokio::time::Instant::now() + Duration::from_secs(4));
    let outcomes = until_ready(&field.connection, deployments(&targets), options, pending(), |_| {}).await;
    assert!(matches!(&outcomes[0].end, cluster::wait::WaitEnd::Late { .. }), "{outcomes:?}");
    assert!(outcomes[0].after < Duration::from_secs(8), "{outcomes:?}");
}
