//! Endpoints and EndpointSlices of Services; addresses of load balancers and ingresses.

use serde_json::{Value, json};

use super::objects::{hash, is_ready, owner};
use super::{Context, Task};
use crate::selector::LabelSelector;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";

/// Brings the endpoints of all Services of a namespace up to date.
pub(crate) fn reconcile(context: &mut Context<'_>, ns: &str) {
    let services = context.state.store.values("services", ns);
    if services.is_empty() {
        return;
    }
    let pods: Vec<Value> = context
        .state
        .store
        .values("pods", ns)
        .into_iter()
        .filter(|p| {
            p["status"].get("podIP").is_some()
                && !matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded"))
        })
        .collect();
    for service in services {
        if !service["spec"]["selector"].is_object() || service["metadata"].get("deletionTimestamp").is_some()
        {
            continue;
        }
        let selector = LabelSelector::of_map(service.pointer("/spec/selector"));
        let chosen: Vec<&Value> =
            pods.iter().filter(|p| selector.matches(p.pointer("/metadata/labels"))).collect();
        endpoints(context, ns, &service, &chosen);
        slice(context, ns, &service, &chosen);
    }
}

/// The number behind a Service's `targetPort`.
fn target(service_port: &Value, pod: Option<&&Value>) -> Value {
    match &service_port["targetPort"] {
        Value::String(name) => pod
            .and_then(|p| {
                p["spec"]["containers"]
                    .as_array()?
                    .iter()
                    .flat_map(|c| c["ports"].as_array().into_iter().flatten())
                    .find(|p| p["name"] == name.as_str())
                    .map(|p| p["containerPort"].clone())
            })
            .unwrap_or(Value::Null),
        Value::Null => service_port["port"].clone(),
        number => number.clone(),
    }
}

fn reference(pod: &Value) -> Value {
    json!({"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]})
}

fn serves(pod: &Value) -> bool {
    is_ready(pod) && pod["metadata"].get("deletionTimestamp").is_none()
}

fn endpoints(context: &mut Context<'_>, ns: &str, service: &Value, pods: &[&Value]) {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let list = |ready: bool| -> Vec<Value> {
        pods.iter()
            .filter(|p| p["metadata"].get("deletionTimestamp").is_none() && serves(p) == ready)
            .map(|p| {
                let mut out =
                    json!({"ip": p["status"]["podIP"], "nodeName": p["spec"]["nodeName"], "targetRef": reference(p)});
                if let Some(hostname) = p["spec"].get("hostname") {
                    out["hostname"] = hostname.clone();
                }
                out
            })
            .collect()
    };
    let (ready, not_ready) = (list(true), list(false));
    let ports: Vec<Value> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            let mut out = json!({"port": target(p, pods.first()), "protocol": p["protocol"]});
            if let Some(name) = p.get("name") {
                out["name"] = name.clone();
            }
            out
        })
        .collect();
    let mut object = json!({"metadata": {"name": name, "namespace": ns,
        "labels": {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}}});
    if service["spec"]["clusterIP"] == "None" {
        object["metadata"]["labels"]["service.kubernetes.io/headless"] = json!("");
    }
    let resolved = ports.iter().all(|p| !p["port"].is_null());
    if resolved && (!ready.is_empty() || !not_ready.is_empty()) {
        let mut subset = json!({});
        if !ready.is_empty() {
            subset["addresses"] = Value::Array(ready);
        }
        if !not_ready.is_empty() {
            subset["notReadyAddresses"] = Value::Array(not_ready);
        }
        subset["ports"] = Value::Array(ports);
        object["subsets"] = json!([subset]);
    }
    store(context, &Key::new("endpoints", ns, name), object, &["subsets"]);
}

fn slice(context: &mut Context<'_>, ns: &str, service: &Value, pods: &[&Value]) {
    let name = service["metadata"]["name"].as_str().unwrap_or_default();
    let list: Vec<Value> = pods
        .iter()
        .map(|p| {
            let dying = p["metadata"].get("deletionTimestamp").is_some();
            json!({
                "addresses": [p["status"]["podIP"]], "nodeName": p["spec"]["nodeName"], "targetRef": reference(p),
                "conditions": {"ready": serves(p), "serving": is_ready(p), "terminating": dying},
            })
        })
        .collect();
    let ports: Vec<Value> = service["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            json!({"name": p.get("name").cloned().unwrap_or_else(|| json!("")), "port": target(p, pods.first()), "protocol": p["protocol"]})
        })
        .collect();
    let slice_name = format!("{name}-{}", hash(service["metadata"]["uid"].as_str().unwrap_or_default(), 5));
    let object = json!({
        "metadata": {"name": slice_name, "generateName": format!("{name}-"), "namespace": ns, "ownerReferences": [owner(service)], "labels": {
            "kubernetes.io/service-name": name, "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}},
        "addressType": "IPv4", "endpoints": list, "ports": ports,
    });
    store(
        context,
        &Key::new("endpointslices.discovery.k8s.io", ns, &slice_name),
        object,
        &["endpoints", "ports"],
    );
}

fn store(context: &mut Context<'_>, key: &Key, object: Value, fields: &[&str]) {
    match context.state.store.get(key) {
        None => {
            context.create(&key.kind.clone(), object, MANAGER);
        }
        Some(mut old) => {
            for field in fields {
                match object.get(*field) {
                    Some(value) => old[*field] = value.clone(),
                    None => {
                        old.as_object_mut().map(|o| o.shift_remove(*field));
                    }
                }
            }
            context.save(key, &old, MANAGER);
        }
    }
}

/// Gives a LoadBalancer Service or an Ingress its address.
pub(crate) fn address(context: &mut Context<'_>, key: &Key, mut object: Value) {
    let service = &*key.kind == "services";
    if object["metadata"].get("deletionTimestamp").is_some()
        || object.pointer("/status/loadBalancer/ingress").is_some()
        || service && object["spec"]["type"] != "LoadBalancer"
    {
        return;
    }
    let created =
        object["metadata"]["creationTimestamp"].as_str().and_then(|t| t.parse::<jiff::Timestamp>().ok());
    let waited = format!("address {} {}/{}", key.kind, key.ns, key.name);
    let _ = created;
    if context.state.pending.remove(&waited).is_none() {
        context.note(waited);
        let delay = context.cluster.timing.ready_after;
        context.after(delay, Task::Reconcile(key.clone()));
        return;
    }
    let n = context.state.next_load_balancer;
    context.state.next_load_balancer += 1;
    let ip = format!("10.255.{}.{}", context.cluster.index % 250, n % 250 + 1);
    let mut ingress = json!({"ip": ip});
    if service {
        ingress["ipMode"] = json!("VIP");
    }
    object["status"]["loadBalancer"]["ingress"] = json!([ingress]);
    context.save_status(key, &object, "cloud-controller-manager");
}
