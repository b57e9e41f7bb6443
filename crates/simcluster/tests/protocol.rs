//! What the API answers, request by request.
#![allow(clippy::unwrap_used, reason = "a panic is a failed test")]

mod harness;

use std::time::Duration;

use harness::{MERGE, client, config_map, deployment, start, start_with, try_call};
use serde_json::{Value, json};
use simcluster::{Action, Fault, Options, Ports, Simulation};

fn field(body: &Value, pointer: &str) -> String {
    body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn aggregated_and_old_discovery_offer_the_same_kinds() {
    let one = start().await;
    let aggregated = kube::discovery::Discovery::new(one.client.clone()).run_aggregated().await.unwrap();
    let old = kube::discovery::Discovery::new(one.client.clone()).run().await.unwrap();
    let kinds = |d: &kube::discovery::Discovery| -> std::collections::BTreeSet<String> {
        d.groups()
            .flat_map(|g| g.recommended_resources())
            .map(|(ar, _)| format!("{}/{} {}", ar.group, ar.version, ar.plural))
            .collect()
    };
    assert_eq!(kinds(&aggregated), kinds(&old));
    assert!(
        kinds(&old).contains("apps/v1 deployments")
            && kinds(&old).contains("autoscaling/v2 horizontalpodautoscalers")
    );
}

#[tokio::test]
async fn an_apply_that_changes_nothing_is_not_a_write() {
    let one = start_with(|o| o.controllers = false).await;
    let first = one.apply("kit", &deployment("web", "nginx:1", 2)).await;
    assert_eq!(first.code, 201);
    let again = one.apply("kit", &deployment("web", "nginx:1", 2)).await;
    assert_eq!(again.code, 200);
    assert_eq!(again.body, first.body, "not even the resource version moves");
    assert_eq!(
        first.body["metadata"]["managedFields"][0]["fieldsV1"]["f:spec"]["f:template"]["f:spec"],
        json!({"f:containers": {"k:{\"name\":\"app\"}": {".": {}, "f:image": {}, "f:name": {}}}})
    );
}

#[tokio::test]
async fn a_conflict_names_every_field_and_its_owner() {
    let one = start_with(|o| o.controllers = false).await;
    one.call(
        "POST",
        "/apis/apps/v1/namespaces/ns/deployments?fieldManager=kubectl",
        "application/json",
        &deployment("web", "nginx:1", 2).to_string(),
    )
    .await;
    let refused = one.apply("kit", &deployment("web", "nginx:2", 3)).await;
    assert_eq!(refused.code, 409);
    assert_eq!(
        field(&refused.body, "/message"),
        "Apply failed with 2 conflicts: conflicts with \"kubectl\" using apps/v1:\n- .spec.replicas\n- .spec.template.spec.containers[name=\"app\"].image"
    );
    assert_eq!(
        refused.body["details"]["causes"][0],
        json!({"reason": "FieldManagerConflict", "message": "conflict with \"kubectl\" using apps/v1", "field": ".spec.replicas"})
    );
    let taken = one.apply_with("fieldManager=kit&force=true", &deployment("web", "nginx:2", 3)).await;
    assert_eq!((taken.code, &taken.body["spec"]["replicas"]), (200, &json!(3)));
}

#[tokio::test]
async fn a_field_goes_when_its_only_owner_gives_it_up() {
    let one = start().await;
    let mut map = config_map("c", "1");
    map["data"]["b"] = json!("2");
    one.apply("kit", &map).await;
    one.apply("other", &config_map("c", "1")).await;
    let mut none = config_map("c", "1");
    none.as_object_mut().unwrap().remove("data");
    let left = one.apply("kit", &none).await;
    assert_eq!(left.body["data"], json!({"a": "1"}), "`a` is still the other's, `b` was nobody else's");
}

#[tokio::test]
async fn a_dry_run_persists_nothing() {
    let one = start().await;
    let tried = one.apply_with("fieldManager=kit&dryRun=All", &config_map("c", "1")).await;
    assert_eq!((tried.code, field(&tried.body, "/data/a")), (201, "1".into()));
    assert_eq!(one.get("/api/v1/namespaces/ns/configmaps/c").await.code, 404);
}

#[tokio::test]
async fn unknown_fields_are_refused_warned_about_or_dropped_as_asked() {
    let one = start().await;
    let mut object = deployment("web", "nginx:1", 1);
    object["spec"]["foo"] = json!(1);
    let path = "/apis/apps/v1/namespaces/ns/deployments?dryRun=All&fieldValidation=";
    let post = async |mode: &str| {
        one.call("POST", &format!("{path}{mode}"), "application/json", &object.to_string()).await
    };
    let strict = post("Strict").await;
    assert_eq!(
        (strict.code, field(&strict.body, "/message")),
        (400, "Deployment in version \"v1\" cannot be handled as a Deployment: strict decoding error: unknown field \"spec.foo\"".into())
    );
    let warned = post("Warn").await;
    assert_eq!(warned.headers["warning"].to_str().unwrap(), "299 - \"unknown field \\\"spec.foo\\\"\"");
    let ignored = post("Ignore").await;
    assert!(
        ignored.code == 201
            && !ignored.headers.contains_key("warning")
            && ignored.body["spec"].get("foo").is_none()
    );
}

#[tokio::test]
async fn invalid_objects_are_refused_with_a_cause_per_field() {
    let one = start().await;
    let mut object = deployment("web", "nginx:1", -1);
    object["spec"]["selector"] = json!({"matchLabels": {"app": "other"}});
    object["spec"]["template"]["spec"]["containers"][0]["ports"] = json!([{"containerPort": 70000}]);
    let refused = one.apply("kit", &object).await;
    let causes: Vec<String> = refused.body["details"]["causes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| format!("{}: {}", field(c, "/field"), field(c, "/message")))
        .collect();
    assert_eq!(refused.code, 422);
    assert_eq!(
        causes,
        [
            "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`",
            "spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
        ]
    );
}

#[tokio::test]
async fn immutable_fields_stay() {
    let one = start().await;
    one.apply("kit", &deployment("web", "nginx:1", 1)).await;
    let patch = json!({"spec": {"selector": {"matchLabels": {"x": "y"}}, "template": {"metadata": {"labels": {"x": "y"}}}}});
    let refused =
        one.call("PATCH", "/apis/apps/v1/namespaces/ns/deployments/web", MERGE, &patch.to_string()).await;
    assert_eq!(
        field(&refused.body, "/message"),
        "Deployment.apps \"web\" is invalid: spec.selector: Invalid value: {\"matchLabels\":{\"app\":\"web\",\"x\":\"y\"}}: field is immutable"
    );
}

#[tokio::test]
async fn pages_of_a_list_hold_every_object_once() {
    let one = start().await;
    for i in 0..25 {
        let mut map = config_map(&format!("m{i:02}"), "1");
        map["metadata"]["labels"] = json!({"even": (i % 2 == 0).to_string()});
        one.apply("kit", &map).await;
    }
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let path = format!("/api/v1/namespaces/ns/configmaps?limit=7&labelSelector=even&continue={token}");
        let page = one.get(&path).await.body;
        names.extend(page["items"].as_array().unwrap().iter().map(|i| field(i, "/metadata/name")));
        token = field(&page, "/metadata/continue");
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..25).map(|i| format!("m{i:02}")).collect::<Vec<_>>());
    let chosen = one
        .get("/api/v1/configmaps?labelSelector=even%3Dtrue&fieldSelector=metadata.name%21%3Dm00")
        .await
        .body;
    assert_eq!(chosen["items"].as_array().unwrap().len(), 12);
    assert!(chosen["items"][0].get("kind").is_none(), "items of built-in kinds carry no type");
}

#[tokio::test]
async fn a_watch_tells_what_happened_since_and_410_when_it_is_forgotten() {
    use futures::{StreamExt as _, TryStreamExt as _};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, WatchEvent, WatchParams};
    let one = start().await;
    let rv = field(&one.get("/api/v1/namespaces/ns/configmaps").await.body, "/metadata/resourceVersion");
    one.apply("kit", &config_map("c", "1")).await;
    one.apply("kit", &config_map("c", "2")).await;
    one.call("DELETE", "/api/v1/namespaces/ns/configmaps/c", "", "").await;
    let api: Api<ConfigMap> = Api::namespaced(one.client.clone(), "ns");
    // The namespace's own `kube-root-ca.crt` may come meanwhile.
    let ours = WatchParams::default().fields("metadata.name=c");
    let seen: Vec<String> = api
        .watch(&ours, &rv)
        .await
        .unwrap()
        .take(3)
        .map_ok(|e| match e {
            WatchEvent::Added(_) => "added".to_owned(),
            WatchEvent::Modified(m) => format!("modified {}", m.data.unwrap_or_default()["a"]),
            WatchEvent::Deleted(_) => "deleted".to_owned(),
            WatchEvent::Bookmark(_) => "bookmark".to_owned(),
            WatchEvent::Error(e) => format!("error {}", e.code),
        })
        .try_collect()
        .await
        .unwrap();
    assert_eq!(seen, ["added", "modified 2", "deleted"]);
    one.simulation.compact("one");
    let gone = api.watch(&WatchParams::default(), &rv).await.unwrap().boxed().next().await.unwrap().unwrap();
    assert!(matches!(gone, WatchEvent::Error(e) if e.code == 410));
}

/// Who goes on from a bookmark that is ahead of its events never hears of them.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_last_bookmark_of_a_watch_is_about_was_told_before_it() {
    use futures::future::{Either, join_all, select};
    use futures::{StreamExt as _, TryStreamExt as _};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::{Api, WatchEvent, WatchParams};
    let one = start().await;
    let from = field(&one.get("/api/v1/namespaces/ns/configmaps").await.body, "/metadata/resourceVersion");
    let api: Api<ConfigMap> = Api::namespaced(one.client.clone(), "ns");
    let number = |version: Option<String>| version.unwrap().parse::<u64>().unwrap();
    let writing = join_all((0..8).map(|writer| {
        let one = &one;
        async move {
            for n in 0_u32.. {
                one.apply("kit", &config_map(&format!("c{writer}"), &n.to_string())).await;
            }
        }
    }));
    let watching = join_all((0..24).map(|_| async {
        let second = WatchParams::default().timeout(1);
        let events: Vec<_> = api.watch(&second, &from).await.unwrap().try_collect().await.unwrap();
        let told = events.iter().rev().find_map(|event| match event {
            WatchEvent::Added(map) | WatchEvent::Modified(map) => map.metadata.resource_version.clone(),
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) | WatchEvent::Error(_) => None,
        });
        let Some(WatchEvent::Bookmark(bookmark)) = events.last() else { panic!("{events:?}") };
        let marked = number(Some(bookmark.metadata.resource_version.clone()));
        // The first that was not told is later than the bookmark.
        let rest = api.watch(&WatchParams::default(), &told.unwrap()).await.unwrap();
        let next = rest.boxed().next().await.unwrap().unwrap();
        let (WatchEvent::Added(next) | WatchEvent::Modified(next)) = next else { panic!("{next:?}") };
        let next = number(next.metadata.resource_version);
        assert!(next > marked, "{next} was not told before the bookmark of {marked}");
    }));
    let (Either::Left(_) | Either::Right(_)) = select(Box::pin(watching), Box::pin(writing)).await;
}

#[tokio::test]
async fn an_update_of_an_old_version_is_a_conflict() {
    let one = start().await;
    let first = one.apply("kit", &config_map("c", "1")).await.body;
    one.apply("kit", &config_map("c", "2")).await;
    let refused =
        one.call("PUT", "/api/v1/namespaces/ns/configmaps/c", "application/json", &first.to_string()).await;
    assert_eq!(
        (refused.code, field(&refused.body, "/message")),
        (409, "Operation cannot be fulfilled on configmaps \"c\": the object has been modified; please apply your changes to the latest version and try again".into())
    );
}

#[tokio::test]
async fn a_finalizer_holds_an_object_until_it_is_taken_off() {
    let one = start().await;
    let mut map = config_map("c", "1");
    map["metadata"]["finalizers"] = json!(["a.b/c"]);
    one.apply("kit", &map).await;
    let path = "/api/v1/namespaces/ns/configmaps/c";
    let held = one.call("DELETE", path, "", "").await;
    assert!(held.body["metadata"].get("deletionTimestamp").is_some());
    assert_eq!(one.get(path).await.code, 200);
    one.call("PATCH", path, MERGE, &json!({"metadata": {"finalizers": null}}).to_string()).await;
    assert_eq!(one.get(path).await.code, 404);
}

#[tokio::test]
async fn deleting_an_owner_deletes_what_it_owns_or_orphans_it() {
    let one = start().await;
    for (policy, survives) in [("Background", false), ("Foreground", false), ("Orphan", true)] {
        let name = policy.to_lowercase();
        one.apply("kit", &deployment(&name, "nginx:1", 1)).await;
        let sets = format!("/apis/apps/v1/namespaces/ns/replicasets?labelSelector=app%3D{name}");
        let count = |l: &Value| l["items"].as_array().map_or(0, Vec::len);
        one.until(&sets, "a ReplicaSet", |l| count(l) == 1).await;
        let path = format!("/apis/apps/v1/namespaces/ns/deployments/{name}");
        one.call("DELETE", &path, "application/json", &json!({"propagationPolicy": policy}).to_string())
            .await;
        one.until(&path, "the end of the Deployment", |d| d["code"] == 404).await;
        one.until(&sets, policy, |l| count(l) == usize::from(survives)).await;
    }
}

#[tokio::test]
async fn a_namespace_must_exist_and_empties_before_it_goes() {
    let one = start().await;
    let mut map = config_map("c", "1");
    map["metadata"]["namespace"] = json!("nope");
    let missing = one.post("/api/v1/namespaces/nope/configmaps", &map).await;
    assert_eq!(
        (missing.code, field(&missing.body, "/message")),
        (404, "namespaces \"nope\" not found".into())
    );
    one.apply("kit", &deployment("web", "nginx:1", 2)).await;
    one.until("/apis/apps/v1/namespaces/ns/deployments/web", "readiness", |d| {
        d["status"]["readyReplicas"] == 2
    })
    .await;
    let dying = one.call("DELETE", "/api/v1/namespaces/ns", "", "").await;
    assert_eq!(field(&dying.body, "/status/phase"), "Terminating");
    one.until("/api/v1/namespaces/ns", "the end of the namespace", |n| n["code"] == 404).await;
    assert_eq!(one.get("/api/v1/pods").await.body["items"], json!([]));
}

#[tokio::test]
async fn a_definition_adds_a_kind_with_its_schema() {
    let one = start().await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "foos.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "foos", "kind": "Foo"}, "versions": [{
            "name": "v1", "served": true, "storage": true, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer"}, "color": {"type": "string", "default": "red"}}}}}}}]},
    });
    one.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", &definition).await;
    let early = one.get("/apis/example.com/v1/namespaces/ns/foos").await;
    assert_eq!(early.code, 404, "not before it is established");
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/foos.example.com";
    one.until(path, "Established", |c| harness::condition(c, "Established")["status"] == "True").await;
    let foo = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "f"}, "spec": {"size": 1}});
    let made = one.apply("kit", &foo).await;
    assert_eq!((made.code, &made.body["spec"]), (201, &json!({"size": 1, "color": "red"})));
    let bad = json!({"apiVersion": "example.com/v1", "kind": "Foo", "metadata": {"name": "g"}, "spec": {}});
    assert_eq!(
        field(&one.apply("kit", &bad).await.body, "/message"),
        "Foo.example.com \"g\" is invalid: spec.size: Required value"
    );
    one.call("DELETE", path, "", "").await;
    one.until("/apis/example.com/v1/namespaces/ns/foos", "the end of the kind", |l| l.get("items").is_none())
        .await;
}

#[tokio::test]
async fn tokens_and_certificates_let_in_and_wrong_ones_do_not() {
    let one = start().await;
    let s = &one.simulation;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).to_string();
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let certificate = client(&s.certificate_kubeconfig("one").unwrap()).await;
    let who = harness::call(&certificate, "POST", path, "application/json", &review).await;
    assert_eq!(field(&who.body, "/status/userInfo/username"), "admin");
    let limited = client(&s.limited_kubeconfig("one").unwrap()).await;
    let who = harness::call(&limited, "POST", path, "application/json", &review).await;
    assert_eq!(field(&who.body, "/status/userInfo/username"), "deployer");
    let stranger = client(&s.wrong_token_kubeconfig("one").unwrap()).await;
    let refused = harness::call(&stranger, "GET", "/api/v1/namespaces", "", "").await;
    assert_eq!((refused.code, field(&refused.body, "/message")), (401, "Unauthorized".into()));
    let untrusting = client(&s.wrong_ca_kubeconfig("one").unwrap()).await;
    assert!(try_call(&untrusting, "GET", "/version", "", "").await.is_err());
}

#[tokio::test]
async fn the_limited_user_is_forbidden_what_a_fault_says() {
    let one = start().await;
    let mut fault = Fault::every(Action::Status { code: 403, retry_after: None, message: None });
    fault.limited_user = true;
    fault.verbs = vec!["apply".into()];
    fault.resources = vec!["configmaps".into()];
    one.simulation.set_faults("one", vec![fault], 1);
    let limited = client(&one.simulation.limited_kubeconfig("one").unwrap()).await;
    let path = "/api/v1/namespaces/ns/configmaps/c?fieldManager=kit";
    let body = config_map("c", "1").to_string();
    let refused = harness::call(&limited, "PATCH", path, harness::APPLY, &body).await;
    assert_eq!(
        (refused.code, field(&refused.body, "/message")),
        (403, "configmaps \"c\" is forbidden: User \"deployer\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"ns\"".into())
    );
    assert_eq!(one.apply("kit", &config_map("c", "1")).await.code, 201, "the administrator may");
}

#[tokio::test]
async fn faults_happen_as_scripted_and_as_often() {
    let one = start().await;
    let script = |action: Action| {
        let mut fault = Fault::every(action);
        fault.times = Some(1);
        one.simulation.set_faults("one", vec![fault], 1);
    };
    script(Action::Status { code: 429, retry_after: Some(7), message: None });
    let busy = one.get("/version").await;
    assert_eq!((busy.code, busy.headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!(one.get("/version").await.code, 200, "only once");
    script(Action::ResetAfter);
    let path = "/api/v1/namespaces/ns/configmaps/c?fieldManager=kit";
    let lost = try_call(&one.client, "PATCH", path, harness::APPLY, &config_map("c", "1").to_string()).await;
    assert!(lost.is_err());
    assert_eq!(one.get("/api/v1/namespaces/ns/configmaps/c").await.code, 200, "the server had acted");
    script(Action::Truncate);
    assert!(try_call(&one.client, "GET", "/api/v1/namespaces/ns/configmaps", "", "").await.is_err());
    script(Action::Hang);
    let hung = tokio::time::timeout(Duration::from_millis(200), one.get("/version")).await;
    assert!(hung.is_err());
    assert_eq!(one.simulation.metrics("one").unwrap().faults, 4);
}

#[tokio::test]
async fn clusters_can_share_a_port_and_do_not_share_objects() {
    let simulation =
        Simulation::start(Options { ports: Ports::Shared, ..Options::named(["a", "b"]) }).unwrap();
    let a = client(&simulation.kubeconfig("a").unwrap()).await;
    let b = client(&simulation.kubeconfig("b").unwrap()).await;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x"}}).to_string();
    harness::call(&a, "POST", "/api/v1/namespaces", "application/json", &namespace).await;
    assert_eq!(harness::call(&a, "GET", "/api/v1/namespaces/x", "", "").await.code, 200);
    assert_eq!(harness::call(&b, "GET", "/api/v1/namespaces/x", "", "").await.code, 404);
    assert!(simulation.metrics("a").unwrap().requests > simulation.metrics("b").unwrap().requests);
}
