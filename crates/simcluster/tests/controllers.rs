//! What becomes of objects: readiness, failures, and how they show.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod harness;

use harness::{condition, deployment, start};
use serde_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/ns/deployments";
const PODS: &str = "/api/v1/namespaces/ns/pods";
const EVENTS: &str = "/api/v1/namespaces/ns/events";

fn waiting(pods: &Value) -> String {
    pods["items"][0]["status"]["containerStatuses"][0]["state"]["waiting"]["reason"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn has_event(events: &Value, reason: &str, message: &str) -> bool {
    events["items"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|e| e["reason"] == reason && e["message"].as_str().is_some_and(|m| m.contains(message)))
}

#[tokio::test]
async fn a_deployment_becomes_available_with_the_conditions_of_a_real_one() {
    let one = start().await;
    one.apply("kit", &deployment("web", "nginx:1", 3)).await;
    let done = one
        .until(&format!("{DEPLOYMENTS}/web"), "readiness", |d| {
            condition(d, "Progressing")["reason"] == "NewReplicaSetAvailable"
        })
        .await;
    assert_eq!(condition(&done, "Available")["reason"], "MinimumReplicasAvailable");
    assert_eq!(done["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    for field in ["replicas", "updatedReplicas", "readyReplicas", "availableReplicas"] {
        assert_eq!(done["status"][field], 3, "{field}");
    }
    assert_eq!(done["status"]["observedGeneration"], done["metadata"]["generation"]);
}

#[tokio::test]
async fn a_rolling_update_never_has_fewer_than_it_must() {
    let one = start().await;
    one.apply("kit", &deployment("web", "nginx:1", 4)).await;
    let path = format!("{DEPLOYMENTS}/web");
    one.until(&path, "readiness", |d| d["status"]["availableReplicas"] == 4).await;
    one.apply("kit", &deployment("web", "nginx:2", 4)).await;
    one.until(&path, "the new revision", |d| {
        assert!(d["status"]["availableReplicas"].as_i64().unwrap_or(0) >= 3, "maxUnavailable is 25 %: {d:#}");
        assert!(d["status"]["replicas"].as_i64().unwrap_or(0) <= 5, "maxSurge is 25 %: {d:#}");
        d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
            && condition(d, "Progressing")["reason"] == "NewReplicaSetAvailable"
            && d["status"]["updatedReplicas"] == 4
    })
    .await;
    let pods = one.until(PODS, "four pods", |l| l["items"].as_array().unwrap().len() == 4).await;
    assert!(
        pods["items"].as_array().unwrap().iter().all(|p| p["spec"]["containers"][0]["image"] == "nginx:2")
    );
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_fails_as_on_a_real_node() {
    let one = start().await;
    let mut bad = deployment("web", "reg/bad:1", 1);
    bad["spec"]["progressDeadlineSeconds"] = json!(1);
    one.apply("kit", &bad).await;
    one.until(PODS, "ErrImagePull or its back-off", |l| waiting(l) == "ImagePullBackOff").await;
    let events = one.get(EVENTS).await.body;
    assert!(
        has_event(&events, "Failed", "Error: ErrImagePull")
            && has_event(&events, "BackOff", "Back-off pulling image")
    );
    one.until(&format!("{DEPLOYMENTS}/web"), "the deadline", |d| {
        let c = condition(d, "Progressing");
        c["status"] == "False" && c["reason"] == "ProgressDeadlineExceeded"
    })
    .await;
}

#[tokio::test]
async fn a_crashing_container_backs_off_and_a_flaky_one_recovers() {
    let one = start().await;
    one.apply("kit", &deployment("web", "reg/crash:1", 1)).await;
    let pods = one
        .until(PODS, "CrashLoopBackOff", |l| {
            waiting(l) == "CrashLoopBackOff"
                && l["items"][0]["status"]["containerStatuses"][0]["restartCount"].as_i64().unwrap_or(0) >= 2
        })
        .await;
    let status = &pods["items"][0]["status"]["containerStatuses"][0];
    assert_eq!(
        (&status["lastState"]["terminated"]["exitCode"], &status["ready"]),
        (&json!(1), &json!(false))
    );
    let name = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    let log = one.get(&format!("{PODS}/{name}/log?tailLines=1")).await;
    assert_eq!(log.body, "exit status 1\n");
    one.apply("kit", &deployment("flaky", "reg/flaky:1", 1)).await;
    one.until(&format!("{DEPLOYMENTS}/flaky"), "recovery", |d| d["status"]["availableReplicas"] == 1).await;
}

#[tokio::test]
async fn a_pod_waits_for_a_secret_and_runs_when_it_appears() {
    let one = start().await;
    let mut web = deployment("web", "nginx:1", 1);
    web["spec"]["template"]["spec"]["containers"][0]["envFrom"] = json!([{"secretRef": {"name": "s"}}]);
    one.apply("kit", &web).await;
    one.until(PODS, "the missing secret", |l| waiting(l) == "CreateContainerConfigError").await;
    assert!(has_event(&one.get(EVENTS).await.body, "Failed", "Error: secret \"s\" not found"));
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}});
    let made = one.apply("kit", &secret).await;
    assert_eq!((&made.body["data"]["a"], made.body.get("stringData")), (&json!("Yg=="), None));
    one.until(&format!("{DEPLOYMENTS}/web"), "readiness", |d| d["status"]["availableReplicas"] == 1).await;
}

#[tokio::test]
async fn a_pod_that_fits_no_node_stays_pending_and_says_why() {
    let one = start().await;
    let mut web = deployment("web", "nginx:1", 1);
    web["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "gold"});
    one.apply("kit", &web).await;
    let pods = one
        .until(PODS, "Unschedulable", |l| {
            condition(&l["items"][0], "PodScheduled")["reason"] == "Unschedulable"
        })
        .await;
    assert_eq!(
        condition(&pods["items"][0], "PodScheduled")["message"],
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."
    );
    assert!(has_event(&one.get(EVENTS).await.body, "FailedScheduling", "0/2 nodes are available"));
}

#[tokio::test]
async fn jobs_complete_or_fail() {
    let one = start().await;
    let job = |name: &str, image: &str| {
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": {"backoffLimit": 0,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": image}]}}}})
    };
    one.apply("kit", &job("good", "busybox:1")).await;
    one.apply("kit", &job("lost", "busybox:fail")).await;
    let good = one
        .until("/apis/batch/v1/namespaces/ns/jobs/good", "completion", |j| {
            condition(j, "Complete")["status"] == "True"
        })
        .await;
    assert_eq!(good["status"]["succeeded"], 1);
    let lost = one
        .until("/apis/batch/v1/namespaces/ns/jobs/lost", "failure", |j| {
            condition(j, "Failed")["status"] == "True"
        })
        .await;
    assert_eq!(condition(&lost, "Failed")["reason"], "BackoffLimitExceeded");
}

#[tokio::test]
async fn a_stateful_set_starts_in_order_with_its_claims_bound() {
    let one = start().await;
    let set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "db"},
        "spec": {"serviceName": "db", "replicas": 2, "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [{"name": "c", "image": "db:1"}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]},
    });
    one.apply("kit", &set).await;
    let path = "/apis/apps/v1/namespaces/ns/statefulsets/db";
    let done = one.until(path, "readiness", |s| s["status"]["readyReplicas"] == 2).await;
    assert_eq!(done["status"]["currentRevision"], done["status"]["updateRevision"]);
    let claim = one.get("/api/v1/namespaces/ns/persistentvolumeclaims/data-db-1").await.body;
    assert_eq!(claim["status"]["phase"], "Bound");
    let mut changed = set.clone();
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = json!("db:2");
    changed["spec"]["updateStrategy"] = json!({"rollingUpdate": {"partition": 1}});
    one.apply("kit", &changed).await;
    one.until(path, "the update of the second pod", |s| {
        s["status"]["updatedReplicas"] == 1 && s["status"]["readyReplicas"] == 2
    })
    .await;
    let image = |p: &Value| p["spec"]["containers"][0]["image"].clone();
    assert_eq!(image(&one.get(&format!("{PODS}/db-0")).await.body), "db:1", "below the partition");
    assert_eq!(image(&one.get(&format!("{PODS}/db-1")).await.body), "db:2");
}

#[tokio::test]
async fn services_get_addresses_and_endpoints() {
    let one = start().await;
    one.apply("kit", &deployment("web", "nginx:1", 2)).await;
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}});
    let made = one.apply("kit", &service).await.body;
    assert!(made["spec"]["clusterIP"].as_str().unwrap().starts_with("10.96."));
    assert!(made["spec"]["ports"][0]["nodePort"].as_i64().unwrap() >= 30000);
    one.until("/api/v1/namespaces/ns/services/web", "an address", |s| {
        s.pointer("/status/loadBalancer/ingress/0/ip").is_some()
    })
    .await;
    let endpoints = one
        .until("/api/v1/namespaces/ns/endpoints/web", "two addresses", |e| {
            e["subsets"][0]["addresses"].as_array().is_some_and(|a| a.len() == 2)
        })
        .await;
    assert_eq!(endpoints["subsets"][0]["ports"][0]["port"], 8080);
}

#[tokio::test]
async fn a_daemon_set_has_a_pod_per_node() {
    let one = start().await;
    let set = json!({"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent"}, "spec": {
        "selector": {"matchLabels": {"app": "agent"}},
        "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": [{"name": "c", "image": "agent:1"}]}}}});
    one.apply("kit", &set).await;
    one.until("/apis/apps/v1/namespaces/ns/daemonsets/agent", "readiness", |d| {
        d["status"]["desiredNumberScheduled"] == 2 && d["status"]["numberAvailable"] == 2
    })
    .await;
}
