//! A simulated cluster and a client for it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "shared by several test programs; a panic is a failed test"
)]

use std::time::{Duration, Instant};

use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use simcluster::{Options, Simulation, Timing};

pub(crate) const APPLY: &str = "application/apply-patch+yaml";
pub(crate) const MERGE: &str = "application/merge-patch+json";

/// One cluster named `one`, with a client.
pub(crate) struct One {
    pub simulation: Simulation,
    pub client: kube::Client,
}

/// Starts a cluster in which everything happens at once.
pub(crate) async fn start() -> One {
    start_with(|_| {}).await
}

pub(crate) async fn start_with(change: impl FnOnce(&mut Options)) -> One {
    let mut options = Options::named(["one"]);
    options.timing = Timing {
        ready_after: Duration::from_millis(40),
        job: Duration::from_millis(40),
        crash: Duration::from_millis(60),
        ..Timing::default()
    };
    change(&mut options);
    let simulation = Simulation::start(options).unwrap();
    let client = client(&simulation.kubeconfig("one").unwrap()).await;
    let one = One { simulation, client };
    one.post(
        "/api/v1/namespaces",
        &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}}),
    )
    .await;
    one
}

pub(crate) async fn client(kubeconfig: &str) -> kube::Client {
    let kubeconfig = Kubeconfig::from_yaml(kubeconfig).unwrap();
    let mut config =
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.default_retry = false;
    config.proxy_url = None;
    kube::Client::try_from(config).unwrap()
}

/// An answer: code, headers, body.
pub(crate) struct Answer {
    pub code: u16,
    pub headers: http::HeaderMap,
    pub body: Value,
}

impl One {
    pub(crate) async fn call(&self, method: &str, path: &str, content_type: &str, body: &str) -> Answer {
        call(&self.client, method, path, content_type, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, "", "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, "application/json", &body.to_string()).await
    }

    /// Server-side apply of an object in namespace `ns`.
    pub(crate) async fn apply(&self, manager: &str, object: &Value) -> Answer {
        self.apply_with(&format!("fieldManager={manager}"), object).await
    }

    pub(crate) async fn apply_with(&self, query: &str, object: &Value) -> Answer {
        let path = format!("{}?{query}", path_of(object));
        self.call("PATCH", &path, APPLY, &object.to_string()).await
    }

    /// Looks at an object until it is as wanted; fails after a minute, which a busy machine may need.
    pub(crate) async fn until(&self, path: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let body = self.get(path).await.body;
            if wanted(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{what} did not happen: {body:#}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

pub(crate) async fn call(
    client: &kube::Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> Answer {
    try_call(client, method, path, content_type, body).await.unwrap()
}

pub(crate) async fn try_call(
    client: &kube::Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> Result<Answer, Box<dyn std::error::Error>> {
    use http_body_util::BodyExt as _;
    let mut request = http::Request::builder().method(method).uri(path);
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    let request = request.body(kube::client::Body::from(body.as_bytes().to_vec()))?;
    let response = client.send(request).await?;
    let (code, headers) = (response.status().as_u16(), response.headers().clone());
    let bytes = response.into_body().collect().await?.to_bytes();
    let body = serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8_lossy(&bytes)));
    Ok(Answer { code, headers, body })
}

/// Where an object lives.
pub(crate) fn path_of(object: &Value) -> String {
    let version = object["apiVersion"].as_str().unwrap();
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let kind = object["kind"].as_str().unwrap().to_lowercase();
    let plural = if kind.ends_with("ss") { format!("{kind}es") } else { format!("{kind}s") };
    format!("{root}/namespaces/ns/{plural}/{}", object["metadata"]["name"].as_str().unwrap())
}

/// A Deployment of one container.
pub(crate) fn deployment(name: &str, image: &str, replicas: i64) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "ns"},
        "spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "app", "image": image}]}},
        },
    })
}

pub(crate) fn config_map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "ns"}, "data": {"a": value}})
}

pub(crate) fn condition(object: &Value, name: &str) -> Value {
    object["status"]["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["type"] == name)
        .cloned()
        .unwrap_or_default()
}
