//! Killed between any two requests that write, and run again: the end is the same, and traffic never led to nobody.

use std::collections::BTreeMap;
use std::path::Path;
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
use simcluster::{Action, Fault, Options, Simulation, Timing};
use tokio::sync::Semaphore;

use crate::stage::{SHOP, connect, watch};

/// More writes than any of these deploys makes.
const WRITES: u64 = 18;

fn options(namespace: &str, id: Option<&str>) -> RolloutOptions {
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
        set: SetOptions { name: namespace.parse().unwrap(), ..SetOptions::default() },
        ..RolloutOptions::default()
    }
}

async fn go(target: &Target, namespace: &str, image: &str, id: Option<&str>) -> ClusterOutcome {
    let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: NS}}\n---\n{SHOP}");
    let text = text.replace("NS", namespace).replace("IMAGE", image);
    let objects: Vec<Object> = manifest::load::parse_objects(&text, "shop.yaml").unwrap();
    let (_, stop) = Stop::new();
    let run = Run { mask: Mask::new(), stop, writes: Arc::new(Semaphore::new(64)) };
    let events = Events::unheard(target.name.clone());
    let objects = Manifests { objects, left_out: Vec::new() };
    deploy(target, &objects, &options(namespace, id), &Plugins::new(Duration::from_secs(5)), &run, events)
        .await
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
    let timing = Timing {
        ready_after: Duration::from_millis(100),
        delete: Duration::from_millis(30),
        ..Timing::default()
    };
    let simulation = Simulation::start(Options { timing, threads: 2, ..Options::named(["eu"]) }).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), &simulation.kubeconfig("eu").unwrap());
    let namespaces: Vec<String> = (0..WRITES).map(|n| format!("killed-{n}")).collect();

    for (number, id) in before.iter().enumerate() {
        let image = number.to_string();
        let all = join_all(namespaces.iter().map(|ns| go(&target, ns, &image, *id))).await;
        assert!(all.iter().all(|one| one.state == ClusterState::Done), "{:#?}", all[0]);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let watcher = tokio::spawn(watch(connect(&target).await, None, stop.clone()));

    // In namespace n no write gets through from the n-th on, as if the process were gone; in the last all do.
    let verbs = ["apply", "create", "patch", "update", "delete"].map(str::to_owned).to_vec();
    let fault = |(after, namespace): (u64, &String)| Fault {
        verbs: verbs.clone(),
        namespace: Some(namespace.clone()),
        after,
        ..Fault::every(Action::ResetBefore)
    };
    simulation.set_faults("eu", (0..WRITES - 1).zip(&namespaces).map(fault).collect(), 1);
    let ends = join_all(namespaces.iter().map(|ns| go(&target, ns, "last", last))).await;
    simulation.set_faults("eu", Vec::new(), 1);
    let through = ends.iter().filter(|end| end.state == ClusterState::Done).count();
    assert!(through >= 1 && namespaces.len() - through >= 5, "{through} went through");

    let again = join_all(namespaces.iter().map(|ns| go(&target, ns, "last", last))).await;
    for outcome in &again {
        assert_eq!(outcome.state, ClusterState::Done, "{outcome:#?}");
    }
    let expected = state(&target, &namespaces[namespaces.len() - 1]).await;
    for namespace in &namespaces {
        assert_eq!(state(&target, namespace).await, expected, "{namespace}");
    }
    stop.store(true, Ordering::SeqCst);
    let wrong = watcher.await.unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn target(dir: &Path, kubeconfig: &str) -> Target {
    let file = dir.join("eu.yaml");
    std::fs::write(&file, kubeconfig).unwrap();
    read_kubeconfigs(&[file], Contexts::Current).unwrap().remove(0)
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
