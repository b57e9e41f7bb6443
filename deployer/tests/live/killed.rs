//! Killed between any two requests that write, and run again: the end is the same, and traffic never led to nobody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::connect::{Call, ConnectOptions, Contexts, Plugins, RetryPolicy, Target, read_kubeconfigs};
use cluster::events::Events;
use cluster::inventory::{Manifests, SetOptions};
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::plan::{Marks, Mask, PlanOptions};
use cluster::rollout::{RolloutOptions, Run, deploy};
use cluster::stop::Stop;
use cluster::strategy::Reserves;
use futures::future::join_all;
use manifest::Object;
use serde_json::json;
use testkit::{Clusters, FaultProxy, fresh_name};

use crate::stage::{SHOP, connect, watch};

/// More writes than any of these deploys makes.
const WRITES: u64 = 18;

fn options(sets: &str, namespace: &str, id: Option<&str>) -> RolloutOptions {
    let limit = Duration::from_secs(60);
    RolloutOptions {
        connect: ConnectOptions {
            retry: RetryPolicy { attempts: 1, ..RetryPolicy::default() },
            ..ConnectOptions::default()
        },
        plan: PlanOptions {
            reserves: Reserves { keep: 1, replicas: Some(1), delete_newer: false },
            ..PlanOptions::default()
        },
        marks: Marks {
            strategy: if id.is_some() { "fast-rollback" } else { "rolling-update" }.into(),
            deploy_id: id.map(str::to_owned),
            ..Marks::default()
        },
        log_lines: 0,
        available_timeout: limit,
        dependency_wait: Duration::from_millis(100),
        dependency_timeout: limit,
        timeout: limit,
        // A set of its own: deploys of one set to one cluster wait for each other.
        set: SetOptions {
            name: namespace.parse().unwrap(),
            namespace: Some(sets.to_owned()),
            ..SetOptions::default()
        },
        ..RolloutOptions::default()
    }
}

/// A cluster with a proxy before it, and namespaces in it that are gone through side by side.
struct Place {
    clusters: Clusters,
    proxy: FaultProxy,
    dir: tempfile::TempDir,
    /// Where the inventories are.
    sets: String,
    namespaces: Vec<String>,
}

impl Place {
    async fn new() -> Self {
        let mut clusters = Clusters::start_with(&["eu-1"], &["--ready-after", "100ms"]);
        let sets = fresh_name("killed");
        let namespaces: Vec<String> = (0..WRITES).map(|n| format!("{sets}-{n}")).collect();
        for namespace in namespaces.iter().chain([&sets]) {
            clusters.remove_namespace_at_end("eu-1", namespace);
        }
        let proxy = FaultProxy::before(&clusters.config("eu-1"));
        let place = Self { clusters, proxy, dir: tempfile::tempdir().unwrap(), sets, namespaces };
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place.sets}});
        let create = Call::new("create", "POST".parse().unwrap(), "/api/v1/namespaces");
        let direct = connect(&place.direct()).await;
        direct.call(&create.with_body("application/json", &namespace)).await.unwrap();
        place
    }

    fn direct(&self) -> Target {
        read_kubeconfigs(&[self.clusters.config("eu-1")], Contexts::Current).unwrap().remove(0)
    }

    /// Through the proxy.
    fn target(&self) -> Target {
        let file = self.dir.path().join("eu.yaml");
        std::fs::write(&file, self.proxy.kubeconfig()).unwrap();
        read_kubeconfigs(&[file], Contexts::Current).unwrap().remove(0)
    }

    /// Deploys to every namespace.
    async fn go(&self, image: &str, id: Option<&str>) -> Vec<ClusterOutcome> {
        let target = self.target();
        join_all(self.namespaces.iter().map(|namespace| go(&target, &self.sets, namespace, image, id))).await
    }
}

async fn go(target: &Target, sets: &str, namespace: &str, image: &str, id: Option<&str>) -> ClusterOutcome {
    let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: NS}}\n---\n{SHOP}");
    let text = text.replace("NS", namespace).replace("IMAGE", image);
    let objects: Vec<Object> = manifest::load::parse_objects(&text, "shop.yaml").unwrap();
    let (_, stop) = Stop::new();
    let run = Run::new(Mask::new(), stop, 64);
    let events = Events::unheard(target.name.clone());
    let objects = Manifests { objects, left_out: Vec::new() };
    let plugins = Plugins::new(Duration::from_secs(5));
    deploy(target, objects, &options(sets, namespace, id), &plugins, &run, events).await
}

/// What a namespace holds, without what is another one in every run.
async fn state(target: &Target, namespace: &str) -> BTreeMap<String, String> {
    let connection = connect(target).await;
    let mut state = BTreeMap::new();
    for (group, plural) in
        [("apis/apps/v1", "deployments"), ("api/v1", "services"), ("apis/policy/v1", "poddisruptionbudgets")]
    {
        let path = format!("/{group}/namespaces/{namespace}/{plural}");
        // What is being deleted is waited for.
        for _ in 0..100 {
            let reply = connection.call(&Call::get("look", path.clone())).await.unwrap().value;
            let items = reply["items"].as_array().unwrap();
            if items.iter().any(|item| item["metadata"].get("deletionTimestamp").is_some()) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            for item in items {
                let name = item["metadata"]["name"].as_str().unwrap();
                let spec = &item["spec"];
                let image = &spec["template"]["spec"]["containers"][0]["image"];
                let text = format!("{} {} {image}", spec["selector"], spec["replicas"]);
                state.insert(format!("{plural}/{name}"), text);
            }
            break;
        }
    }
    state
}

/// From the deploys `before`, the last of `deploys` is killed at each of its writes and run again.
async fn killed_everywhere(before: &[Option<&str>], last: Option<&str>) {
    let place = Place::new().await;
    for (number, id) in before.iter().enumerate() {
        let all = place.go(&number.to_string(), *id).await;
        assert!(all.iter().all(|one| one.state == ClusterState::Done), "{:#?}", all[0]);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(connect(&place.direct()).await, None, stop.clone()));

    // In namespace n no write gets through from the n-th on, as if the process were gone; in the last all do.
    for (writes, namespace) in (0..WRITES - 1).zip(&place.namespaces) {
        place.proxy.let_through(namespace, writes);
    }
    let ends = place.go("last", last).await;
    place.proxy.let_all_through();
    let through = ends.iter().filter(|end| end.state == ClusterState::Done).count();
    assert!(through >= 1 && ends.len() - through >= 5, "{through} went through");

    for outcome in &place.go("last", last).await {
        assert_eq!(outcome.state, ClusterState::Done, "{outcome:#?}");
    }
    let direct = place.direct();
    let expected = state(&direct, &place.namespaces[place.namespaces.len() - 1]).await;
    for namespace in &place.namespaces {
        assert_eq!(state(&direct, namespace).await, expected, "{namespace}");
    }
    stop.store(true, Ordering::SeqCst);
    // Real clusters have Services of others, too.
    let mut wrong = watcher.await.unwrap();
    wrong.retain(|line| line.contains(&place.sets));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_on_with_reserves() {
    killed_everywhere(&[Some("d1"), Some("d2")], Some("d3")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as the others together; cargo test -p deployer --test live killed -- --ignored"]
async fn going_back_to_a_reserve_that_was_scaled_down() {
    killed_everywhere(&[Some("d1"), Some("d2")], Some("d1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_rolling_update() {
    killed_everywhere(&[None], Some("d1")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "as long as the others together; cargo test -p deployer --test live killed -- --ignored"]
async fn to_rolling_update() {
    killed_everywhere(&[Some("d1"), Some("d2")], None).await;
}
