//! Deploys through every fault that a network and a server can have, by seed: what is said is what is so, nothing takes longer than
//! it may, and a run without faults afterwards always gets there.
#![allow(clippy::unwrap_used, reason = "a panic here is a failed test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::connect::{ConnectOptions, Contexts, Plugins, RetryPolicy, Target, read_kubeconfigs};
use cluster::events::Events;
use cluster::inventory::Manifests;
use cluster::outcome::{ClusterOutcome, ClusterState, ObjectResult};
use cluster::plan::Mask;
use cluster::rollout::{Extent, RolloutOptions, Run, deploy};
use cluster::stop::Stop;
use manifest::Object;
use simcluster::{Action, Fault, Options, Simulation};

/// What a cluster may take in these tests.
const LIMIT: Duration = Duration::from_secs(60);

fn options() -> RolloutOptions {
    RolloutOptions {
        connect: ConnectOptions {
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_millis(1500),
            retry: RetryPolicy {
                attempts: 8,
                first_contact: 8,
                initial: Duration::from_millis(10),
                longest: Duration::from_millis(200),
            },
            ..ConnectOptions::default()
        },
        log_lines: 0,
        available_timeout: LIMIT,
        dependency_wait: Duration::from_millis(100),
        dependency_timeout: LIMIT,
        timeout: LIMIT,
        ..RolloutOptions::default()
    }
}

fn run_with(mask: Mask) -> Run {
    let (_, stop) = Stop::new();
    Run::new(mask, stop, 64)
}

fn of(objects: &[Object]) -> Manifests {
    Manifests { objects: objects.to_vec(), left_out: Vec::new() }
}

async fn go(target: &Target, objects: &[Object]) -> ClusterOutcome {
    let events = Events::unheard(target.name.clone());
    let plugins = Plugins::new(Duration::from_secs(5));
    deploy(target, of(objects), &options(), &plugins, &run_with(Mask::new()), events).await
}

fn target(dir: &Path, name: &str, kubeconfig: &str) -> Target {
    let file = dir.join(format!("{name}.yaml"));
    std::fs::write(&file, kubeconfig).unwrap();
    read_kubeconfigs(&[file], Contexts::Current).unwrap().remove(0)
}

/// A Deployment, a ConfigMap, a Secret, a Service and a Job in a namespace of their own.
fn objects(namespace: &str, image: &str) -> Vec<Object> {
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: conf, namespace: {namespace}}}\ndata: {{image: '{image}'}}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: s, namespace: {namespace}}}\nstringData: {{k: v}}\n---\n\
         apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         containers: [{{name: web, image: 'registry.example.com/web:{image}'}}]\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: web, namespace: {namespace}}}\nspec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n---\n\
         apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, namespace: {namespace}}}\nspec:\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers: [{{name: m, image: 'registry.example.com/m:{image}'}}]\n"
    );
    manifest::load::parse_objects(&text, "objects.yaml").unwrap()
}

/// Every fault that there is, each now and then.
fn faults(rate: f64) -> Vec<Fault> {
    let status = |code, retry_after| Action::Status { code, retry_after, message: None };
    let actions = [
        Action::Delay { millis: 30 },
        status(429, Some(0)),
        status(500, None),
        status(503, None),
        status(504, None),
        Action::ResetBefore,
        Action::ResetAfter,
        Action::Truncate,
        Action::Hang,
        Action::DropWatch { millis: 20 },
        status(410, None),
    ];
    actions.into_iter().map(|action| Fault { rate: Some(rate), ..Fault::every(action) }).collect()
}

/// Whether every object is as wanted, by a plan made without faults.
async fn differing(target: &Target, objects: &[Object]) -> BTreeSet<String> {
    let events = Events::unheard(target.name.clone());
    let options = RolloutOptions { extent: Extent::Plan, ..options() };
    let plan =
        deploy(target, of(objects), &options, &Plugins::new(LIMIT), &run_with(Mask::new()), events).await;
    assert_eq!(plan.trouble, None);
    plan.objects
        .iter()
        .filter(|object| object.result != ObjectResult::Unchanged)
        .map(|object| object.object.to_string())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_after_faults_is_what_is_so_and_a_clean_run_gets_there() {
    let seeds: u64 = std::env::var("KIT_FAULT_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(12);
    let simulation = Simulation::start(Options::named(["eu"])).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), "eu", &simulation.kubeconfig("eu").unwrap());
    let (mut done, mut failed) = (0, 0);
    for seed in 0..seeds {
        let objects = objects(&format!("seed-{}", seed / 2), &format!("{}", seed % 2));
        simulation.set_faults("eu", faults(0.02 + 0.02 * (seed % 8) as f64), seed);
        let started = Instant::now();
        let outcome = go(&target, &objects).await;
        let took = started.elapsed();
        simulation.set_faults("eu", Vec::new(), 0);
        assert!(took < LIMIT + Duration::from_secs(5), "seed {seed} took {took:?}");
        let differing = differing(&target, &objects).await;
        if outcome.state == ClusterState::Done {
            done += 1;
            assert_eq!(differing, BTreeSet::new(), "seed {seed} said that it was done");
        } else {
            failed += 1;
            // What is not as wanted is named: the object, or the cluster as a whole.
            let named: BTreeSet<String> = outcome
                .objects
                .iter()
                .filter(|object| {
                    matches!(
                        object.result,
                        ObjectResult::Failed { .. }
                            | ObjectResult::Skipped { .. }
                            | ObjectResult::NotReady { .. }
                    )
                })
                .map(|object| object.object.to_string())
                .collect();
            if outcome.trouble.is_none() {
                assert!(differing.is_subset(&named), "seed {seed}: {differing:?} not all among {named:?}");
            }
        }
        let clean = go(&target, &objects).await;
        assert_eq!(clean.state, ClusterState::Done, "seed {seed}: {clean:?}");
    }
    assert!(done > 0, "no run got through: the faults are too many to show anything");
    eprintln!("{seeds} seeds: {done} got through, {failed} said what was missing");
}

#[tokio::test(flavor = "multi_thread")]
async fn clusters_that_are_dead_hang_or_have_a_wrong_authority_cost_the_others_nothing() {
    let names: Vec<String> = (0..20).map(|n| format!("c{n:02}")).collect();
    let simulation = Simulation::start(Options::named(names.iter())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let dead = |text: String| {
        let server = text.lines().find(|line| line.contains("server:")).unwrap().to_owned();
        text.replace(&server, "    server: https://127.0.0.1:1")
    };
    let mut targets = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let kubeconfig = match index {
            0..3 => dead(simulation.kubeconfig(name).unwrap()),
            5 => simulation.wrong_ca_kubeconfig(name).unwrap(),
            _ => simulation.kubeconfig(name).unwrap(),
        };
        if (3..5).contains(&index) {
            simulation.set_faults(name, vec![Fault::every(Action::Hang)], 1);
        }
        targets.push(target(dir.path(), name, &kubeconfig));
    }
    let time = async |targets: &[Target], namespace: &str| {
        let started = Instant::now();
        let objects = objects(namespace, "1");
        futures::future::join_all(targets.iter().map(async |target| {
            let outcome = go(target, &objects).await;
            (outcome, started.elapsed())
        }))
        .await
    };
    // The same fourteen alone. A machine that has other things to do may need a second look.
    let alone_sim = Simulation::start(Options::named(names[6..].iter())).unwrap();
    let alone_dir = tempfile::tempdir().unwrap();
    let healthy: Vec<Target> = names[6..]
        .iter()
        .map(|name| target(alone_dir.path(), name, &alone_sim.kubeconfig(name).unwrap()))
        .collect();
    let slowest = |outcomes: &[(ClusterOutcome, Duration)]| outcomes.iter().map(|(_, took)| *took).max();
    let mut looks = Vec::new();
    for look in 0..4 {
        let alone = slowest(&time(&healthy, &format!("web-{look}")).await).unwrap();
        let all = time(&targets, &format!("web-{look}")).await;
        for (outcome, _) in &all[..6] {
            assert_eq!(outcome.state, ClusterState::Failed, "{}", outcome.cluster);
            assert!(outcome.trouble.is_some());
        }
        for (outcome, _) in &all[6..] {
            assert_eq!(outcome.state, ClusterState::Done, "{outcome:?}");
        }
        let among_the_sick = slowest(&all[6..]).unwrap();
        looks.push((among_the_sick, alone));
        if among_the_sick < alone.mul_f64(1.3) + Duration::from_millis(100) {
            eprintln!("14 clusters among the sick and alone: {looks:?}");
            return;
        }
    }
    panic!("the sick cost the others time: (among the sick, alone) {looks:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_breaks_things_before_any_cluster_is_told_and_overcome() {
    let mut clusters = testkit::Clusters::start(&["eu-1"]);
    let namespace = testkit::fresh_name("engine-faults");
    clusters.remove_namespace_at_end("eu-1", &namespace);
    let proxy = testkit::FaultProxy::before(&clusters.config("eu-1"));
    let dir = tempfile::tempdir().unwrap();
    let through = target(dir.path(), "proxied", proxy.kubeconfig());
    let direct = read_kubeconfigs(&[clusters.config("eu-1")], Contexts::Current).unwrap().remove(0);
    for seed in 0..6 {
        let objects = objects(&namespace, &format!("{seed}"));
        proxy.set(seed, 150);
        let started = Instant::now();
        let outcome = go(&through, &objects).await;
        assert!(started.elapsed() < LIMIT + Duration::from_secs(5), "seed {seed}");
        proxy.set(0, 0);
        if outcome.state == ClusterState::Done {
            assert_eq!(
                differing(&direct, &objects).await,
                BTreeSet::new(),
                "seed {seed} said that it was done"
            );
        }
        let clean = go(&through, &objects).await;
        assert_eq!(clean.state, ClusterState::Done, "seed {seed}: {clean:?}");
    }
    assert!(!proxy.happened().is_empty(), "faults were met");
    eprintln!("met: {:?}", proxy.happened());
}
