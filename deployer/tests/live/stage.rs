//! A cluster, a namespace, manifests, and somebody who watches the traffic.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cluster::connect::{Call, ConnectOptions, Connection, Contexts, Plugins, Target, read_kubeconfigs};
use cluster::events::Events;
use serde_json::{Value, json};
use testkit::{Answer, Clusters, Sandbox, fresh_name, program};
use tokio::time::Instant;

/// A Deployment `web`, two Services that lead to it, an autoscaler and a disruption budget.
pub(crate) const SHOP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: NS}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: web, image: 'registry.example.com/web:IMAGE', ports: [{containerPort: 8080}]}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: NS}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: web-admin, namespace: NS}
spec: {selector: {app: web}, ports: [{port: 81, targetPort: 8080}]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: web, namespace: NS}
spec: {minAvailable: 1, selector: {matchLabels: {app: web}}}
";

/// Reads and writes as somebody who is not the deployer.
pub(crate) struct Api {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl Api {
    pub(crate) fn of(kubeconfig: &Path) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let target = read_kubeconfigs(&[kubeconfig.to_owned()], Contexts::Current).unwrap().remove(0);
        let connection = runtime.block_on(connect(&target));
        Self { runtime, connection }
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.runtime.block_on(async {
            match self.connection.call(&Call::get("look", path)).await {
                Ok(reply) => Some(reply.value),
                Err(error) if error.is(404) => None,
                Err(error) => panic!("{path}: {error}"),
            }
        })
    }

    pub(crate) fn patch(&self, path: &str, patch: &Value) {
        let method = "PATCH".parse().unwrap();
        let call = Call::new("patch", method, path).with_body("application/merge-patch+json", patch);
        self.runtime.block_on(self.connection.call(&call)).unwrap();
    }

    pub(crate) fn items(&self, path: &str) -> Vec<Value> {
        self.get(path).unwrap()["items"].as_array().unwrap().clone()
    }
}

pub(crate) async fn connect(target: &Target) -> Connection {
    let (options, plugins) = (ConnectOptions::default(), Plugins::new(Duration::from_secs(5)));
    let deadline = Instant::now() + Duration::from_secs(600);
    Connection::open(target, &options, &plugins, deadline, Events::unheard(target.name.clone()))
        .await
        .unwrap()
}

fn carries(labels: &Value, selector: &Value) -> bool {
    selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
}

fn serves(pod: &Value, selector: &Value) -> bool {
    let ready = pod["status"]["conditions"].as_array().into_iter().flatten();
    pod["metadata"].get("deletionTimestamp").is_none()
        && carries(&pod["metadata"]["labels"], selector)
        && ready.clone().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Looks until it is told to stop, in one namespace or in all: a Service that has had a ready pod never has none, and it never has
/// pods of two ids. Gives what it saw wrong.
pub(crate) async fn watch(
    connection: Connection,
    namespace: Option<String>,
    stop: Arc<AtomicBool>,
) -> Vec<String> {
    let within = namespace.map(|namespace| format!("/namespaces/{namespace}")).unwrap_or_default();
    let list = async |plural: &str| match connection
        .call(&Call::get("look", format!("/api/v1{within}/{plural}")))
        .await
    {
        Ok(reply) => reply.value["items"].as_array().cloned().unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    let (mut served, mut wrong) = (BTreeMap::<String, bool>::new(), Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let began = Instant::now();
        let before = list("pods").await;
        let services = list("services").await;
        let after = list("pods").await;
        for service in services.iter().filter(|service| service["spec"]["selector"].is_object()) {
            let (metadata, selector) = (&service["metadata"], &service["spec"]["selector"]);
            let name = format!("{}/{}", metadata["namespace"], metadata["name"]);
            let ids = |pods: &[Value]| -> Vec<Value> {
                let near = pods.iter().filter(|pod| pod["metadata"]["namespace"] == metadata["namespace"]);
                let mut ids: Vec<Value> = near
                    .filter(|pod| serves(pod, selector))
                    .map(|pod| pod["metadata"]["labels"]["id"].clone())
                    .collect();
                ids.dedup();
                ids
            };
            let (then, now) = (ids(&before), ids(&after));
            if then.is_empty() && now.is_empty() && served.get(&name) == Some(&true) {
                wrong.push(format!("{name} leads to nobody: {selector}"));
            }
            for seen in [&then, &now].iter().filter(|ids| ids.len() > 1) {
                wrong.push(format!("{name} leads to several deploys: {seen:?} by {selector}"));
            }
            if !then.is_empty() && !now.is_empty() {
                served.insert(name, true);
            }
        }
        // Who looks all the time is not to take the machine from those who work.
        tokio::time::sleep(Duration::from_millis(20).max(began.elapsed() * 2)).await;
    }
    wrong
}

/// A cluster `eu-1` and a directory of manifests for a namespace of its own.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    clusters: Clusters,
    pub(crate) namespace: String,
    pub(crate) api: Api,
    watcher: Option<(Arc<AtomicBool>, tokio::task::JoinHandle<Vec<String>>)>,
}

impl Stage {
    pub(crate) fn new(prefix: &str) -> Self {
        let namespace = fresh_name(prefix);
        let mut clusters = Clusters::start(&["eu-1"]);
        clusters.remove_namespace_at_end("eu-1", &namespace);
        let api = Api::of(&clusters.config("eu-1"));
        let stage = Self { sandbox: Sandbox::new(), clusters, namespace, api, watcher: None };
        let ns = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {}}}\n", stage.namespace);
        stage.sandbox.write("namespaces/eu-1/ns.yaml", ns);
        stage
    }

    /// The manifests, with an image.
    pub(crate) fn write(&self, text: &str, image: &str) {
        let text = text.replace("NS", &self.namespace).replace("IMAGE", image);
        self.sandbox.write("manifests/eu-1/shop.yaml", text);
    }

    /// The manifests, so that their pods never run: no node takes them, or in a simulated cluster their image is bad.
    pub(crate) fn write_bad(&self, text: &str) {
        let grace = "terminationGracePeriodSeconds: 1";
        let nowhere = format!("{grace}\n      nodeSelector: {{kit.example.com/nowhere: 'true'}}");
        match self.clusters.are_real() {
            true => self.write(&text.replace(grace, &nowhere), "bad"),
            false => self.write(text, "bad"),
        }
    }

    /// From now on the traffic is watched.
    pub(crate) fn watch(&mut self) {
        let target = read_kubeconfigs(&[self.clusters.config("eu-1")], Contexts::Current).unwrap().remove(0);
        let (stop, namespace) = (Arc::new(AtomicBool::new(false)), self.namespace.clone());
        let told = stop.clone();
        let task =
            self.api.runtime.spawn(async move { watch(connect(&target).await, Some(namespace), told).await });
        self.watcher = Some((stop, task));
    }

    /// Nothing went wrong with the traffic since [`Stage::watch`].
    pub(crate) fn all_was_well(&mut self) {
        let (stop, task) = self.watcher.take().unwrap();
        stop.store(true, Ordering::SeqCst);
        let wrong = self.api.runtime.block_on(task).unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    pub(crate) fn deploy(&self, flags: &[&str]) -> Answer {
        self.sandbox.run(
            program("deployer")
                .args(["--namespaces-dir", "namespaces", "--manifests-dir", "manifests", "--configs"])
                .arg(self.clusters.configs())
                .args(["--inventory-namespace", &self.namespace])
                .args(flags)
                .deadline(Duration::from_secs(150)),
        )
    }

    /// `deployer rollback` of a resource set; what it had before is all it knows.
    pub(crate) fn rollback(&self, set: &str, flags: &[&str]) -> (i32, Value) {
        let call = program("deployer")
            .args(["rollback", "--output", "json", "--resource-set", set, "--configs"])
            .arg(self.clusters.configs())
            .args(["--inventory-namespace", &self.namespace])
            .args(flags);
        let answer = self.sandbox.run(call);
        assert!(!answer.stdout.is_empty(), "{answer}");
        (answer.exit_code, answer.json()["clusters"][0].clone())
    }

    /// The members of a resource set that are of a kind.
    pub(crate) fn members(&self, set: &str, kind: &str) -> Vec<String> {
        let path = self.path("api/v1", &format!("configmaps/kit-set-{set}"));
        let inventory = self.api.get(&path).unwrap();
        let objects: Value =
            serde_json::from_str(inventory["data"]["objects.json"].as_str().unwrap()).unwrap();
        let all = objects.as_array().unwrap().iter().filter(|object| object["kind"] == kind);
        all.map(|object| object["name"].as_str().unwrap().to_owned()).collect()
    }

    /// The names of the pods, sorted.
    pub(crate) fn pods(&self) -> Vec<String> {
        let items = self.api.items(&self.path("api/v1", "pods"));
        let mut names: Vec<String> =
            items.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn fast(&self, id: &str, flags: &[&str]) -> (i32, Value) {
        let mut all = vec!["--output", "json", "--strategy", "fast-rollback", "--deploy-id", id];
        all.extend(flags);
        self.report(&all)
    }

    pub(crate) fn rolling(&self, flags: &[&str]) -> (i32, Value) {
        let mut all = vec!["--output", "json"];
        all.extend(flags);
        self.report(&all)
    }

    fn report(&self, flags: &[&str]) -> (i32, Value) {
        let answer = self.deploy(flags);
        assert!(!answer.stdout.is_empty(), "{answer}");
        (answer.exit_code, answer.json()["clusters"][0].clone())
    }

    pub(crate) fn path(&self, group: &str, plural: &str) -> String {
        format!("/{group}/namespaces/{}/{plural}", self.namespace)
    }

    pub(crate) fn service(&self, name: &str) -> Value {
        self.api.get(&self.path("api/v1", &format!("services/{name}"))).unwrap()
    }

    /// The id that each Service leads to.
    pub(crate) fn ids(&self) -> Vec<String> {
        ["web", "web-admin"]
            .iter()
            .map(|name| self.service(name)["spec"]["selector"]["id"].as_str().unwrap_or("none").to_owned())
            .collect()
    }

    /// The Deployments with their replicas, once what is being deleted is gone.
    pub(crate) fn deployments(&self) -> Vec<String> {
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        loop {
            let items = self.api.items(&self.path("apis/apps/v1", "deployments"));
            let dying = items.iter().any(|item| item["metadata"].get("deletionTimestamp").is_some());
            if !dying || std::time::Instant::now() > deadline {
                let mut all: Vec<String> = items
                    .iter()
                    .map(|item| {
                        format!("{} {}", item["metadata"]["name"].as_str().unwrap(), item["spec"]["replicas"])
                    })
                    .collect();
                all.sort();
                return all;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// The result of an object of a report, by kind and name, and why.
pub(crate) fn result(report: &Value, kind: &str, name: &str) -> (String, String) {
    let objects = report["objects"].as_array().unwrap();
    let object = objects
        .iter()
        .find(|object| object["kind"] == kind && object["name"] == name)
        .unwrap_or_else(|| panic!("no {kind} {name}: {report:#}"));
    let why = object["because"].as_str().or(object["trouble"]["message"].as_str()).unwrap_or_default();
    (object["result"].as_str().unwrap().to_owned(), why.to_owned())
}

/// Changes of a report as `action name`.
pub(crate) fn changes(report: &Value) -> Vec<String> {
    let all = report["changes"].as_array().cloned().unwrap_or_default();
    all.iter()
        .map(|change| format!("{} {}", change["action"].as_str().unwrap(), change["name"].as_str().unwrap()))
        .collect()
}

pub(crate) fn counts(report: &Value) -> Value {
    let mut counts = report["counts"].clone();
    counts.as_object_mut().unwrap().retain(|_, count| *count != json!(0));
    counts
}
