//! Diagnoses and verdicts, from pods and events as servers write them.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic in a test's helper is a failed test

use std::time::Duration;

use cluster::health::{
    Crowd, Diagnosis, Event, HealthOptions, Judge, Pod, Problem, ReplicaSet, Verdict, Workload,
};
use serde_json::{Value, json};

const SECOND: Duration = Duration::from_secs(1);

fn deployment() -> Workload {
    Workload::read(&json!({
        "kind": "Deployment",
        "metadata": {"name": "web", "uid": "d1", "annotations": {"deployment.kubernetes.io/revision": "2"}},
    }))
}

fn sets() -> Vec<ReplicaSet> {
    let set = |uid: &str, owner: &str, revision: &str| {
        ReplicaSet::read(&json!({"metadata": {
            "uid": uid, "annotations": {"deployment.kubernetes.io/revision": revision},
            "ownerReferences": [{"uid": owner, "kind": "Deployment", "controller": true}],
        }}))
    };
    vec![set("old", "d1", "1"), set("new", "d1", "2"), set("foreign", "d2", "2")]
}

fn pod_value(name: &str, set: &str, status: Value) -> Value {
    json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "creationTimestamp": "2026-11-20T10:00:00Z",
            "ownerReferences": [{"uid": set, "kind": "ReplicaSet", "controller": true}]},
        "spec": {"nodeName": "node-1"},
        "status": status,
    })
}

fn pod(name: &str, set: &str, status: Value) -> Pod {
    Pod::read(&pod_value(name, set, status))
}

fn crashing(restarts: i64) -> Value {
    json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], "containerStatuses": [{
        "name": "app", "ready": false, "restartCount": restarts,
        "state": {"waiting": {"reason": "CrashLoopBackOff",
            "message": "back-off 20s restarting failed container=app pod=web-1_default(uid-web-1)"}},
        "lastState": {"terminated": {"exitCode": 3, "reason": "Error", "finishedAt": "2026-11-20T10:00:30Z"}},
    }]})
}

/// Up again after a crash, its probe not yet passed.
fn between_crashes() -> Value {
    let mut status = crashing(1);
    status["containerStatuses"][0]["state"] = json!({"running": {"startedAt": "2026-11-20T10:00:40Z"}});
    status
}

fn pending(reason: &str, message: &str) -> Value {
    json!({"phase": "Pending", "containerStatuses": [{
        "name": "app", "ready": false, "restartCount": 0, "state": {"waiting": {"reason": reason, "message": message}},
    }]})
}

fn event(about: &str, reason: &str, message: &str) -> Event {
    Event::read(&json!({
        "involvedObject": {"uid": about, "kind": "Pod", "name": about}, "type": "Warning", "reason": reason,
        "message": message, "count": 3, "firstTimestamp": "2026-11-20T10:00:05Z", "lastTimestamp": "2026-11-20T10:00:25Z",
    }))
}

fn told(diagnoses: &[Diagnosis]) -> Vec<String> {
    diagnoses.iter().map(ToString::to_string).collect()
}

#[test]
fn ten_pods_with_the_same_crash_are_told_once() {
    let pods: Vec<Pod> = (0..10).map(|n| pod(&format!("web-{n}"), "new", crashing(n))).collect();
    let all = Crowd::new(&sets(), &pods, &[]).diagnose(&deployment());
    assert_eq!(
        told(&all),
        ["10 pods (web-0, web-1, web-2, web-3, web-4, …), container `app`: keeps crashing \
          (CrashLoopBackOff, exit code 3, 9 restarts)"]
    );
    assert_eq!(all[0].since.map(|t| t.to_string()).as_deref(), Some("2026-11-20T10:00:30Z"));
    // The first pod has not been restarted: its log is that of the run that ended.
    assert_eq!(all[0].ask_log, Some(("web-0".to_owned(), false)));
}

#[test]
fn pods_of_an_older_revision_and_of_others_do_not_count() {
    let pods = [
        pod("web-1", "old", crashing(4)),
        pod("web-2", "foreign", crashing(4)),
        pod("web-3", "nobody", crashing(4)),
    ];
    assert_eq!(Crowd::new(&sets(), &pods, &[]).diagnose(&deployment()), []);
}

#[test]
fn pods_of_the_spec_before_do_not_count_while_the_controller_has_not_seen_the_new_one() {
    let with = |generation: i64, observed: i64| {
        Workload::read(&json!({
            "kind": "Deployment", "metadata": {"uid": "d1", "generation": generation,
                "annotations": {"deployment.kubernetes.io/revision": "2"}},
            "status": {"observedGeneration": observed},
        }))
    };
    let pods = [pod("web-1", "new", crashing(4))];
    assert_eq!(Crowd::new(&sets(), &pods, &[]).diagnose(&with(3, 2)), []);
    assert_eq!(Crowd::new(&sets(), &pods, &[]).diagnose(&with(3, 3)).len(), 1);
}

#[test]
fn a_pull_error_has_the_registrys_words_and_its_events() {
    let pods = [
        pod("web-1", "new", pending("ImagePullBackOff", "Back-off pulling image \"r.io/web:9\"")),
        pod("web-2", "new", pending("ErrImagePull", "r.io/web:9: not found")),
    ];
    let words = "Failed to pull image \"r.io/web:9\": r.io/web:9: not found";
    let events = [
        event("uid-web-1", "Failed", words),
        event("uid-web-2", "Failed", words),
        event("uid-web-9", "Failed", "x"),
    ];
    let all = Crowd::new(&sets(), &pods, &events).diagnose(&deployment());
    assert_eq!(
        told(&all),
        ["2 pods (web-1, web-2), container `app`: the image cannot be pulled (ImagePullBackOff): \
          Failed to pull image \"r.io/web:9\": r.io/web:9: not found"]
    );
    // The event says the same in the same words: it is counted and not told again.
    assert_eq!(all[0].events, []);
    assert_eq!(all[0].repeated, 6);
}

#[test]
fn an_event_is_told_once_under_its_container_and_only_where_it_says_more() {
    let at = |container: &str, reason: &str, message: &str| {
        Event::read(&json!({
            "involvedObject": {"uid": "uid-web-1", "kind": "Pod", "name": "web-1", "fieldPath": format!("spec.containers{{{container}}}")},
            "type": "Warning", "reason": reason, "message": message, "count": 3, "lastTimestamp": "2026-11-20T10:00:25Z",
        }))
    };
    let mut status = crashing(2);
    let mut side = status["containerStatuses"][0].clone();
    side["name"] = json!("side");
    status["containerStatuses"].as_array_mut().unwrap().push(side);
    let events = [
        at("app", "BackOff", "Back-off restarting failed container app in pod web-1_default(uid-web-1)"),
        at("app", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 503"),
        at("side", "Unhealthy", "Startup probe failed: no such file"),
        event("uid-web-1", "NodeNotReady", "Node is not ready"),
    ];
    let all = Crowd::new(&sets(), &[pod("web-1", "new", status)], &events).diagnose(&deployment());
    let told: Vec<Vec<&str>> =
        all.iter().map(|d| d.events.iter().map(|event| event.message.as_str()).collect()).collect();
    assert_eq!(
        told,
        [
            vec!["Liveness probe failed: HTTP probe failed with statuscode: 503", "Node is not ready"],
            vec!["Startup probe failed: no such file"]
        ]
    );
    for (state, said) in [
        (pending("ImagePullBackOff", "Back-off pulling image \"x\""), "Error: ErrImagePull"),
        (pending("CreateContainerConfigError", "secret \"db\" not found"), "Error: secret \"db\" not found"),
    ] {
        let all = Crowd::new(&sets(), &[pod("web-1", "new", state)], &[at("app", "Failed", said)])
            .diagnose(&deployment());
        assert_eq!(all[0].events, [], "{said}");
    }
}

#[test]
fn each_cause_has_its_problem() {
    let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient cpu."}]});
    let mut oom = crashing(2);
    oom["containerStatuses"][0]["lastState"]["terminated"]["reason"] = json!("OOMKilled");
    let not_ready = json!({"phase": "Running", "podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "False"}],
        "containerStatuses": [{"name": "app", "ready": false, "restartCount": 0, "state": {"running": {}}}]});
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."});
    let rows = [
        (unscheduled, vec![], Problem::Unschedulable),
        (oom, vec![], Problem::OutOfMemory),
        (pending("CreateContainerConfigError", "secret \"db\" not found"), vec![], Problem::ContainerConfig),
        (pending("RunContainerError", "exec: \"nope\": not found"), vec![], Problem::ContainerStart),
        (
            pending("ContainerCreating", ""),
            vec![event(
                "uid-web-1",
                "FailedMount",
                "MountVolume.SetUp failed for volume \"v\": secret \"s\" not found",
            )],
            Problem::Mount,
        ),
        (
            pending("ContainerCreating", ""),
            vec![event("uid-web-1", "FailedCreatePodSandBox", "cni")],
            Problem::Sandbox,
        ),
        (
            not_ready,
            vec![event(
                "uid-web-1",
                "Unhealthy",
                "Readiness probe failed: Get \"http://10.0.0.7:80/\": refused",
            )],
            Problem::NotReady,
        ),
        (evicted, vec![], Problem::PodFailed),
    ];
    for (status, events, problem) in rows {
        let all =
            Crowd::new(&sets(), &[pod("web-1", "new", status.clone())], &events).diagnose(&deployment());
        assert_eq!(all.iter().map(|d| d.problem).collect::<Vec<_>>(), [problem], "{status}");
    }
}

#[test]
fn pods_that_start_are_not_a_problem() {
    for reason in ["", "ContainerCreating", "PodInitializing"] {
        let all =
            Crowd::new(&sets(), &[pod("web-1", "new", pending(reason, ""))], &[]).diagnose(&deployment());
        assert_eq!(all, [], "{reason}");
    }
}

#[test]
fn a_quota_is_found_on_the_controller() {
    let mut workload = deployment();
    let refused = Workload::read(&json!({"kind": "Deployment", "status": {"conditions": [{
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "pods \"web-5f-x7k2p\" is forbidden: exceeded quota: q"}]}}));
    workload.replica_failure = refused.replica_failure;
    let said = [event("new", "FailedCreate", "Error creating"), event("old", "FailedCreate", "o")];
    let all = Crowd::new(&sets(), &[], &said).diagnose(&workload);
    assert_eq!(
        told(&all),
        ["its pods cannot be created (FailedCreate): pods \"<pod>\" is forbidden: exceeded quota: q"]
    );
    assert_eq!(all[0].events.len(), 1);
}

#[test]
fn the_current_pods_of_a_daemon_set_are_those_of_its_template_generation() {
    let workload = Workload::read(&json!({"kind": "DaemonSet", "metadata": {"uid": "ds", "annotations": {
        "deprecated.daemonset.template.generation": "4"}}}));
    let with_generation = |name: &str, generation: &str| {
        let mut value = pod_value(name, "ds", crashing(3));
        value["metadata"]["labels"] = json!({"pod-template-generation": generation});
        Pod::read(&value)
    };
    let all =
        Crowd::new(&[], &[with_generation("a", "3"), with_generation("b", "4")], &[]).diagnose(&workload);
    assert_eq!(all.iter().flat_map(|d| d.pods.clone()).collect::<Vec<_>>(), ["b"]);
}

#[test]
fn pods_belong_by_owner_and_revision() {
    let labelled = |name: &str, owner: &str, hash: &str| {
        let mut value = pod_value(name, owner, json!({"phase": "Pending"}));
        value["metadata"]["labels"] = json!({"controller-revision-hash": hash});
        Pod::read(&value)
    };
    let pods = [
        labelled("a", "db", "old"),
        labelled("b", "db", "new"),
        labelled("c", "migrate", ""),
        labelled("d", "", ""),
        pod("web-1", "old", json!({})),
        pod("web-2", "new", json!({})),
        pod("web-3", "foreign", json!({})),
    ];
    let sets = sets();
    let crowd = Crowd::new(&sets, &pods, &[]);
    let of = |workload: Value| -> Vec<String> {
        let of = crowd.pods_of(&Workload::read(&workload));
        of.iter().map(|(pod, belonging)| format!("{} {belonging:?}", pod.name)).collect()
    };
    let set = json!({"kind": "StatefulSet", "metadata": {"uid": "db", "generation": 2},
        "status": {"observedGeneration": 2, "updateRevision": "new"}});
    assert_eq!(of(set), ["a Old", "b Current"]);
    assert_eq!(
        of(json!({"kind": "StatefulSet", "metadata": {"uid": "db"}})),
        ["a Old", "b Old"],
        "not known yet"
    );
    assert_eq!(of(json!({"kind": "Job", "metadata": {"uid": "migrate"}})), ["c Current"]);
    assert_eq!(of(json!({"kind": "Pod", "metadata": {"uid": "uid-d"}})), ["d Current"]);
    assert_eq!(of(json!({"kind": "Service", "metadata": {"uid": "db"}})), [""; 0]);
    let deployment = json!({"kind": "Deployment", "metadata": {"uid": "d1",
        "annotations": {"deployment.kubernetes.io/revision": "2"}}});
    assert_eq!(of(deployment), ["web-1 Old", "web-2 Current"]);
}

fn observe(judge: &mut Judge, options: &HealthOptions, second: u32, status: Value) -> Verdict {
    let all = Crowd::new(&sets(), &[pod("web-1", "new", status)], &[]).diagnose(&deployment());
    judge.observe(options, SECOND * second, &all, "0/1")
}

#[test]
fn a_crash_loop_fails_after_the_grace_period() {
    let (mut judge, options) = (Judge::default(), HealthOptions::default());
    assert_eq!(observe(&mut judge, &options, 0, crashing(1)), Verdict::Suspicious(SECOND * 10));
    assert_eq!(observe(&mut judge, &options, 9, crashing(2)), Verdict::Suspicious(SECOND * 10));
    // Up for a moment: not now, and not forgotten.
    assert_eq!(observe(&mut judge, &options, 11, between_crashes()), Verdict::Fine);
    assert_eq!(observe(&mut judge, &options, 12, crashing(2)), Verdict::Failed(0));
}

#[test]
fn a_pod_that_recovers_starts_with_a_clean_record() {
    let (mut judge, options) = (Judge::default(), HealthOptions::default());
    let healthy = json!({"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]});
    observe(&mut judge, &options, 0, crashing(1));
    assert_eq!(observe(&mut judge, &options, 5, healthy.clone()), Verdict::Fine);
    observe(&mut judge, &options, 30, healthy);
    assert_eq!(observe(&mut judge, &options, 31, crashing(2)), Verdict::Suspicious(SECOND * 41));
}

#[test]
fn ignored_reasons_and_rare_ones_do_not_fail() {
    let ignoring =
        |reason: &str| HealthOptions { ignored: [reason.to_owned()].into(), ..HealthOptions::default() };
    for options in [
        ignoring("CrashLoopBackOff"),
        ignoring("BackOff"),
        HealthOptions { threshold: 5, ..HealthOptions::default() },
        HealthOptions { enabled: false, ..HealthOptions::default() },
    ] {
        let mut judge = Judge::default();
        observe(&mut judge, &options, 0, crashing(5));
        assert_ne!(observe(&mut judge, &options, 100, crashing(5)), Verdict::Failed(0), "{options:?}");
    }
    let options = HealthOptions { threshold: 5, ..HealthOptions::default() };
    let mut judge = Judge::default();
    observe(&mut judge, &options, 0, crashing(5));
    assert_eq!(observe(&mut judge, &options, 100, crashing(6)), Verdict::Failed(0));
}

#[test]
fn a_full_cluster_gets_more_time_while_the_rollout_moves() {
    let unscheduled = json!({"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False",
        "reason": "Unschedulable", "message": "0/3 nodes are available"}]});
    let all = Crowd::new(&sets(), &[pod("web-1", "new", unscheduled)], &[]).diagnose(&deployment());
    let (mut judge, options) = (Judge::default(), HealthOptions::default());
    assert_eq!(judge.observe(&options, SECOND, &all, "1/3"), Verdict::Suspicious(SECOND * 61));
    assert_eq!(judge.observe(&options, SECOND * 50, &all, "2/3"), Verdict::Suspicious(SECOND * 110));
    assert_eq!(judge.observe(&options, SECOND * 110, &all, "2/3"), Verdict::Failed(0));
}
