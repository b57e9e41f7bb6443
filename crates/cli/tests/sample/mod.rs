//! A report with everything that a deploy can run into.

use cli::report::{
    ClusterReport, ClusterState, ClusterStatus, Counts, Diagnosis, Difference, DifferenceKind, EventLine,
    KeptReport, LogTail, ObjectReport, ObjectResult, PodGroup, Report, ResourceState, ResourceStatus,
    RolloutReport, SetReport, Status, Stopped, SyncState, SyncStatus, Trouble, VERSION, VersionGroup,
    WaveReport, WaveState,
};

fn trouble(message: &str) -> Trouble {
    Trouble { message: message.to_owned(), causes: Vec::new(), hints: Vec::new() }
}

fn object(name: &str, result: ObjectResult) -> ObjectReport {
    {
        let (kind, rest) = name.split_once('/').expect("Kind/namespace/name");
        let (namespace, last) = rest.split_once('/').expect("Kind/namespace/name");
        ObjectReport {
            object: name.to_owned(),
            api_version: "v1".to_owned(),
            kind: kind.to_owned(),
            namespace: Some(namespace.to_owned()),
            name: last.to_owned(),
            result,
            place: None,
            because: None,
            trouble: None,
            diagnoses: Vec::new(),
        }
    }
}

fn crashing() -> ObjectReport {
    let summary = "10 pods (web-1, web-2, web-3, web-4, web-5, …), container `app`: keeps crashing (CrashLoopBackOff, exit code 3, 4 restarts)";
    ObjectReport {
        place: Some("eu-1/web.yaml:1:1".to_owned()),
        trouble: Some(trouble(summary)),
        diagnoses: vec![Diagnosis {
            summary: summary.to_owned(),
            problem: "crashLoop".to_owned(),
            reason: "CrashLoopBackOff".to_owned(),
            message: String::new(),
            pod_count: 10,
            pods: (1..=5).map(|n| format!("web-{n}")).collect(),
            container: Some("app".to_owned()),
            exit_code: Some(3),
            restarts: 4,
            since: Some("2026-11-20T10:00:30Z".to_owned()),
            events: vec![EventLine {
                reason: "Unhealthy".to_owned(),
                message: "Liveness probe failed: HTTP probe failed with statuscode: 503".to_owned(),
                count: 14,
                last: Some("2026-11-20T10:02:00Z".to_owned()),
            }],
            log: Some(LogTail {
                pod: "web-1".to_owned(),
                previous: true,
                lines: vec![
                    "connecting to <db> & \"cache\"".to_owned(),
                    "fatal: ```\u{1b}[31mno database".to_owned(),
                ],
            }),
        }],
        ..object("Deployment/shop/web", ObjectResult::NotReady)
    }
}

#[allow(dead_code, reason = "each test file has its own copy of this module")]
pub(crate) fn report() -> Report {
    let refused = ObjectReport {
        trouble: Some(Trouble {
            message: "the server refused it".to_owned(),
            causes: vec!["Service \"web\" is invalid: spec.ports[0].port: must be 1-65535".to_owned()],
            hints: vec!["correct the port in `eu-1/svc.yaml`".to_owned()],
        }),
        ..object("Service/shop/web", ObjectResult::Failed)
    };
    let skipped = ObjectReport {
        because: Some("it depends on Deployment/shop/web, which is not ready".to_owned()),
        ..object("Ingress/shop/web", ObjectResult::Skipped)
    };
    let cluster = |name: &str, state| ClusterReport {
        requests: 12,
        bytes_sent: 3400,
        bytes_received: 56000,
        ..ClusterReport::new(name, state)
    };
    let eu = ClusterReport {
        seconds: 61.24,
        counts: Counts {
            created: 1,
            unchanged: 40,
            skipped: 1,
            failed: 1,
            not_ready: 1,
            ..Counts::default()
        },
        objects: vec![object("ConfigMap/shop/web", ObjectResult::Created), crashing(), refused, skipped],
        warnings: vec!["policy/v1beta1 PodDisruptionBudget is deprecated".to_owned()],
        ..cluster("eu-1", ClusterState::Failed)
    };
    let down = |name: &str| ClusterReport {
        seconds: 10.0,
        trouble: Some(trouble("the server does not answer: https://10.0.0.1:6443")),
        ..cluster(name, ClusterState::Failed)
    };
    let us = ClusterReport {
        seconds: 4.0,
        counts: Counts { configured: 2, unchanged: 42, ..Counts::default() },
        objects: vec![
            object("Deployment/shop/web", ObjectResult::Configured),
            object("ConfigMap/shop/<b>&\"x\"", ObjectResult::Configured),
        ],
        set: Some(SetReport {
            name: "shop".to_owned(),
            namespace: "default".to_owned(),
            lease: Some("kit-set-shop".to_owned()),
            revision: 7,
            commit: Some("4f2a91c0".to_owned()),
            kept: vec![KeptReport {
                object: "PersistentVolumeClaim/shop/data".to_owned(),
                because: "objects of its kind only go with `--prune-kinds PersistentVolumeClaim`".to_owned(),
            }],
            leftover: 0,
            rollback_to: None,
        }),
        ..cluster("us-1", ClusterState::Done)
    };
    let clusters = vec![down("ap-1"), down("ap-2"), eu, us];
    Report {
        version: VERSION,
        event: "report".to_owned(),
        program: "deployer 0.1.0".to_owned(),
        started: "2026-11-20T10:00:00Z".to_owned(),
        seconds: 131.5,
        dry_run: false,
        commit: Some("c6350f4c2709708b8f784408a440030e704b2b9a".to_owned()),
        exit_code: 4,
        shard: None,
        rollout: None,
        totals: clusters.iter().fold(Counts::default(), |sum, cluster| sum.plus(cluster.counts)),
        clusters,
    }
}

fn resource(name: &str, state: ResourceState, pods: Vec<PodGroup>) -> ResourceStatus {
    ResourceStatus {
        object: format!("Deployment/shop/{name}"),
        kind: "Deployment".to_owned(),
        namespace: Some("shop".to_owned()),
        name: name.to_owned(),
        images: vec![format!("registry.larkspur.example/larkspur/{name}:main-4f2a91c")],
        commit: Some("c6350f4c2709708b8f784408a440030e704b2b9a".to_owned()),
        updated: Some("2026-11-20T10:00:00Z".to_owned()),
        state,
        message: "3/3 replicas are available".to_owned(),
        pods,
        diagnoses: Vec::new(),
        difference: None,
    }
}

/// What runs where: well, crashing and drifted, nothing of kit, no answer.
#[allow(dead_code, reason = "each test file has its own copy of this module")]
pub(crate) fn status() -> Status {
    let pods = |state: &str, count, restarts, old| PodGroup { state: state.to_owned(), count, restarts, old };
    let difference = |object: &str, kind, fields: &[&str]| Difference {
        object: object.to_owned(),
        kind,
        fields: fields.iter().map(|field| (*field).to_owned()).collect(),
    };
    let well = ResourceStatus {
        difference: Some(difference("Deployment/shop/web", DifferenceKind::InSync, &[])),
        ..resource("web", ResourceState::Ready, vec![pods("Running", 3, 0, false)])
    };
    let drifted = ResourceStatus {
        message: "waiting for 1/2 replicas to be updated".to_owned(),
        diagnoses: crashing().diagnoses,
        difference: Some(difference(
            "Deployment/shop/cart",
            DifferenceKind::Drift,
            &["spec.replicas: changed by kubectl-scale"],
        )),
        ..resource(
            "cart",
            ResourceState::Progressing,
            vec![pods("CrashLoopBackOff", 1, 4, false), pods("Running", 1, 0, true)],
        )
    };
    let cluster = |name: &str, resources| ClusterStatus {
        name: name.to_owned(),
        trouble: None,
        resources,
        differs: Vec::new(),
        syncs: Vec::new(),
    };
    let silent = ClusterStatus {
        trouble: Some(trouble("the server does not answer: https://10.0.0.1:6443")),
        ..cluster("ap-1", Vec::new())
    };
    let mut eu = cluster("eu-1", vec![drifted, well]);
    eu.differs = vec![difference("ConfigMap/shop/flags", DifferenceKind::Missing, &[])];
    let sync = |name: &str, state, commit: &str, message: &str| SyncStatus {
        name: name.to_owned(),
        namespace: "kit-system".to_owned(),
        repo: "https://git.larkspur.example/manifests".to_owned(),
        branch: "main".to_owned(),
        path: "generated".to_owned(),
        state,
        commit: commit.to_owned(),
        synced: "c6350f4c2709708b8f784408a440030e704b2b9a".to_owned(),
        message: message.to_owned(),
        since: "2026-11-20T10:00:00Z".to_owned(),
        checked: "2026-11-20T10:04:30Z".to_owned(),
    };
    let mut us = cluster("us-1", Vec::new());
    us.syncs = vec![
        sync("kit-sync", SyncState::Synced, "c6350f4c2709708b8f784408a440030e704b2b9a", ""),
        sync(
            "kit-sync-tools",
            SyncState::Failed,
            "41aa7e0c2709708b8f784408a440030e704b2b9a",
            "cannot read the repository: no such branch: main",
        ),
    ];
    Status::new("2026-11-20T10:05:00Z".to_owned(), vec![silent, eu, us])
}

/// The same as a rollout in waves that stopped.
#[allow(dead_code, reason = "not every test that shares this file asks for it")]
pub(crate) fn in_waves() -> Report {
    let mut report = report();
    for (cluster, wave) in report.clusters.iter_mut().zip(["asia", "asia", "europe", "canary"]) {
        cluster.wave = Some(wave.to_owned());
        cluster.quarantined = wave == "asia";
    }
    report.clusters[3].done_before = true;
    let wave = |name: &str, state, clusters: &[&str], counts: (usize, usize, usize)| WaveReport {
        name: name.to_owned(),
        state,
        clusters: clusters.iter().map(|name| (*name).to_owned()).collect(),
        done: counts.0,
        failed: counts.1,
        quarantined: counts.2,
        concurrency: 32,
        bake_seconds: 600.0,
        budget: (name == "canary").then(|| "0".to_owned()),
        gate: (name == "canary").then(|| "exec ./error-rate.sh".to_owned()),
    };
    let versions = [("on c6350f4", "us-1"), ("partly on c6350f4", "eu-1"), ("on 41aa7e0", "ap-1")];
    report.rollout = Some(RolloutReport {
        waves: vec![
            wave("canary", WaveState::Passed, &["us-1"], (1, 0, 0)),
            wave("asia", WaveState::Passed, &["ap-1", "ap-2"], (0, 0, 2)),
            wave("europe", WaveState::Stopped, &["eu-1"], (0, 1, 0)),
            wave("rest", WaveState::NotStarted, &["za-1", "za-2"], (0, 0, 0)),
        ],
        budget: "5%".to_owned(),
        journal: Some("kit-rollout.journal".to_owned()),
        stopped: Some(Stopped {
            wave: "europe".to_owned(),
            because: "1 of 6 clusters of the fleet failed, the failure budget is 0 (5 %)".to_owned(),
        }),
        versions: versions
            .map(|(version, cluster)| VersionGroup {
                version: version.to_owned(),
                clusters: vec![cluster.to_owned()],
            })
            .to_vec(),
        next: vec!["repair what failed, then `deployer --resume`".to_owned()],
    });
    report
}
