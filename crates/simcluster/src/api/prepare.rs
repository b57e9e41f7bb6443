//! What the API server sets by itself when an object is created or replaced.

use std::sync::Arc;

use serde_json::{Value, json};

use super::rules::metadata;
use crate::cluster::{Cluster, State};
use crate::kinds::Kind;
use crate::status::{Cause, Refusal};

/// Prepares a new object.
///
/// # Errors
/// What the allocators refuse (a cluster IP or node port that is taken).
pub(crate) fn create(
    cluster: &Arc<Cluster>,
    state: &mut State,
    kind: &Kind,
    has_status: bool,
    object: &mut Value,
    dry_run: bool,
) -> Result<(), Refusal> {
    if has_status {
        object.as_object_mut().map(|o| o.remove("status"));
    }
    if kind.custom {
        return Ok(());
    }
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let uid = object["metadata"]["uid"].clone();
    match kind.group_resource().as_str() {
        "namespaces" => {
            object["spec"] = json!({"finalizers": ["kubernetes"]});
            object["status"] = json!({"phase": "Active"});
        }
        "pods" => {
            if let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) {
                if spec.get("serviceAccountName").is_none() {
                    spec["serviceAccountName"] = json!("default");
                    spec["serviceAccount"] = json!("default");
                }
                spec["preemptionPolicy"] = json!("PreemptLowerPriority");
                if spec.get("priority").is_none() {
                    spec["priority"] = json!(0);
                }
                let mut tolerations = spec["tolerations"].as_array().cloned().unwrap_or_default();
                for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
                    if !tolerations.iter().any(|t| t["key"] == key) {
                        tolerations.push(json!({
                            "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300,
                        }));
                    }
                }
                spec["tolerations"] = Value::Array(tolerations);
            }
            object["status"] = json!({"phase": "Pending", "qosClass": qos(&object["spec"])});
        }
        "services" => {
            object["status"] = json!({"loadBalancer": {}});
            service_addresses(state, object, None, dry_run)?;
        }
        "secrets" => string_data(object),
        "persistentvolumeclaims" => {
            object["status"] = json!({"phase": "Pending"});
            add_finalizer(object, "kubernetes.io/pvc-protection");
            if object["spec"].get("storageClassName").is_none() {
                let class = state.store.values("storageclasses.storage.k8s.io", "").into_iter().find(|c| {
                    c.pointer("/metadata/annotations/storageclass.kubernetes.io~1is-default-class")
                        .is_some_and(|v| v == "true")
                });
                if let Some(class) = class {
                    object["spec"]["storageClassName"] = class["metadata"]["name"].clone();
                }
            }
        }
        "persistentvolumes" => {
            object["status"] = json!({"phase": "Pending"});
            add_finalizer(object, "kubernetes.io/pv-protection");
        }
        "deployments.apps" | "replicationcontrollers" | "horizontalpodautoscalers.autoscaling" => {
            object["status"] = json!({});
            if kind.plural == "horizontalpodautoscalers" {
                object["status"] = json!({"desiredReplicas": 0, "currentMetrics": null});
            } else if kind.plural == "replicationcontrollers" {
                object["status"] = json!({"replicas": 0});
            }
        }
        "replicasets.apps" => object["status"] = json!({"replicas": 0}),
        "statefulsets.apps" => object["status"] = json!({"replicas": 0, "availableReplicas": 0}),
        "daemonsets.apps" => {
            object["status"] = json!({
                "currentNumberScheduled": 0, "numberMisscheduled": 0, "desiredNumberScheduled": 0, "numberReady": 0,
            });
            annotation(object, "deprecated.daemonset.template.generation", "1");
        }
        "jobs.batch" => {
            object["status"] = json!({});
            job_selector(object, &name, &uid);
        }
        "cronjobs.batch" => object["status"] = json!({}),
        "ingresses.networking.k8s.io" => object["status"] = json!({"loadBalancer": {}}),
        "poddisruptionbudgets.policy" => {
            object["status"] =
                json!({"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0});
        }
        "customresourcedefinitions.apiextensions.k8s.io" => {
            object["status"] = json!({
                "conditions": null, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": null,
            });
        }
        "resourcequotas" => object["status"] = json!({}),
        "endpointslices.discovery.k8s.io" | "nodes" => {}
        "serviceaccounts" => {}
        "priorityclasses.scheduling.k8s.io" => {}
        _ => {}
    }
    let _ = cluster;
    Ok(())
}

/// Prepares the replacement of an object.
pub(crate) fn update(
    cluster: &Arc<Cluster>,
    state: &mut State,
    kind: &Kind,
    old: &Value,
    object: &mut Value,
    dry_run: bool,
) {
    let _ = cluster;
    if kind.custom {
        return;
    }
    match kind.group_resource().as_str() {
        "secrets" => string_data(object),
        "namespaces" => {
            let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            label(object, "kubernetes.io/metadata.name", &name);
            object["spec"] = old["spec"].clone();
        }
        "services" => {
            keep_addresses(old, object);
            let _ = service_addresses(state, object, Some(old), dry_run);
        }
        "pods" => {
            if let Some(node) = old["spec"].get("nodeName") {
                object["spec"]["nodeName"] = node.clone();
            }
        }
        "persistentvolumeclaims" => {
            if let Some(volume) = old["spec"].get("volumeName")
                && object["spec"].get("volumeName").is_none()
            {
                object["spec"]["volumeName"] = volume.clone();
            }
            if let Some(class) = old["spec"].get("storageClassName")
                && object["spec"].get("storageClassName").is_none()
            {
                object["spec"]["storageClassName"] = class.clone();
            }
        }
        "jobs.batch" => {
            for path in ["/spec/selector", "/spec/template/metadata/labels"] {
                if object.pointer(path).is_none()
                    && let Some(value) = old.pointer(path)
                {
                    put(object, path, value.clone());
                }
            }
        }
        "daemonsets.apps" if old["spec"]["template"] != object["spec"]["template"] => {
            let at = "deprecated.daemonset.template.generation";
            let generation = old
                .pointer("/metadata/annotations/deprecated.daemonset.template.generation")
                .and_then(Value::as_str)
                .and_then(|s| s.parse::<i64>().ok())
                .unwrap_or(1);
            annotation(object, at, &(generation + 1).to_string());
        }
        _ => {}
    }
}

/// Sets the value at a pointer whose parents are objects, making them.
pub(crate) fn put(object: &mut Value, path: &str, value: Value) {
    let mut at = object;
    let steps: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    for step in &steps[..steps.len() - 1] {
        at = &mut at[*step];
    }
    at[steps[steps.len() - 1]] = value;
}

fn label(object: &mut Value, key: &str, value: &str) {
    let meta = metadata(object);
    if !meta.get("labels").is_some_and(Value::is_object) {
        meta.insert("labels".into(), json!({}));
    }
    meta["labels"][key] = json!(value);
}

fn annotation(object: &mut Value, key: &str, value: &str) {
    let meta = metadata(object);
    if !meta.get("annotations").is_some_and(Value::is_object) {
        meta.insert("annotations".into(), json!({}));
    }
    meta["annotations"][key] = json!(value);
}

fn add_finalizer(object: &mut Value, name: &str) {
    let meta = metadata(object);
    let mut list = meta.get("finalizers").and_then(Value::as_array).cloned().unwrap_or_default();
    if !list.iter().any(|f| f == name) {
        list.push(json!(name));
    }
    meta.insert("finalizers".into(), Value::Array(list));
}

fn string_data(secret: &mut Value) {
    use base64::Engine as _;
    let Some(plain) = secret.as_object_mut().and_then(|o| o.remove("stringData")) else { return };
    for (key, value) in plain.as_object().into_iter().flatten() {
        let text = value.as_str().unwrap_or_default();
        if !secret["data"].is_object() {
            secret["data"] = json!({});
        }
        secret["data"][key] = json!(base64::engine::general_purpose::STANDARD.encode(text));
    }
}

fn job_selector(job: &mut Value, name: &str, uid: &Value) {
    if job.pointer("/spec/manualSelector").is_some_and(|v| v == true) || !job["spec"].is_object() {
        return;
    }
    if !job["spec"]["template"]["metadata"]["labels"].is_object() {
        put(job, "/spec/template/metadata/labels", json!({}));
    }
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    for (key, value) in [
        ("controller-uid", uid.clone()),
        ("job-name", json!(name)),
        ("batch.kubernetes.io/controller-uid", uid.clone()),
        ("batch.kubernetes.io/job-name", json!(name)),
    ] {
        labels[key] = value;
    }
    if job["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty) {
        let labels = job["spec"]["template"]["metadata"]["labels"].clone();
        metadata(job).insert("labels".into(), labels);
    }
    if job["spec"].get("selector").is_none() {
        job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
fn qos(spec: &Value) -> &'static str {
    let mut any = false;
    let mut guaranteed = true;
    for c in spec["containers"].as_array().into_iter().flatten() {
        for resource in ["cpu", "memory"] {
            let (request, limit) =
                (&c["resources"]["requests"][resource], &c["resources"]["limits"][resource]);
            any |= !request.is_null() || !limit.is_null();
            guaranteed &= !limit.is_null() && (request.is_null() || request == limit);
        }
    }
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// An update that leaves the addresses out keeps them.
fn keep_addresses(old: &Value, service: &mut Value) {
    let (old, new) = (&old["spec"], &mut service["spec"]);
    let external = |s: &Value| s["type"] == "ExternalName";
    if external(old) || external(new) {
        return;
    }
    for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
        if new.get(field).is_none_or(|v| v.is_null() || v == "")
            && let Some(value) = old.get(field)
        {
            new[field] = value.clone();
        }
    }
    let wants_ports = matches!(new["type"].as_str(), Some("NodePort" | "LoadBalancer"));
    let before = old["ports"].as_array().cloned().unwrap_or_default();
    for port in new["ports"].as_array_mut().into_iter().flatten() {
        if wants_ports && port.get("nodePort").is_none() {
            let same = before.iter().find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"]);
            if let Some(number) = same.and_then(|p| p.get("nodePort")) {
                port["nodePort"] = number.clone();
            }
        }
    }
}

fn service_addresses(
    state: &mut State,
    service: &mut Value,
    old: Option<&Value>,
    dry_run: bool,
) -> Result<(), Refusal> {
    let name = service["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let Some(spec) = service.get_mut("spec").filter(|s| s.is_object()) else { return Ok(()) };
    let kind = spec["type"].as_str().unwrap_or("ClusterIP").to_owned();
    if kind == "ExternalName" {
        if let (Some(_), Some(map)) = (old, spec.as_object_mut()) {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"]
            {
                map.remove(field);
            }
        }
        return Ok(());
    }
    if spec.get("clusterIP").is_none_or(|v| v == "") {
        let ip = spec.pointer("/clusterIPs/0").cloned().unwrap_or_else(|| {
            if !dry_run {
                state.next_cluster_ip += 1;
            }
            let n = state.next_cluster_ip;
            json!(format!("10.96.{}.{}", n / 254 % 256, n % 254 + 1))
        });
        spec["clusterIP"] = ip;
    } else if old.is_none()
        && let Some(ip) = spec["clusterIP"].as_str().filter(|ip| *ip != "None")
    {
        if ip.parse::<std::net::Ipv4Addr>().is_ok() && !ip.starts_with("10.96.") {
            let why = format!(
                "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of valid IPs is 10.96.0.0/16"
            );
            let cause = Cause::invalid("spec.clusterIPs", &json!([ip]), &why);
            return Err(Refusal::invalid("", "Service", &name, &[cause]));
        }
        let taken = state.store.values("services", "").iter().any(|s| s["spec"]["clusterIP"] == ip);
        if taken {
            let cause = Cause::invalid(
                "spec.clusterIPs",
                &json!([ip]),
                &format!("failed to allocate IP {ip}: provided IP is already allocated"),
            );
            return Err(Refusal::invalid("", "Service", &name, &[cause]));
        }
    }
    if spec.get("clusterIPs").is_none() {
        spec["clusterIPs"] = json!([spec["clusterIP"]]);
    }
    if spec.get("ipFamilies").is_none() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    if spec.get("ipFamilyPolicy").is_none() {
        spec["ipFamilyPolicy"] = json!("SingleStack");
    }
    let wants_ports =
        kind == "NodePort" || kind == "LoadBalancer" && spec["allocateLoadBalancerNodePorts"] != false;
    for port in spec["ports"].as_array_mut().into_iter().flatten() {
        if wants_ports && port.get("nodePort").is_none_or(|p| p == 0) {
            if !dry_run {
                state.next_node_port = 30000 + (state.next_node_port - 30000 + 1) % 2768;
            }
            port["nodePort"] = json!(state.next_node_port);
        } else if kind == "ClusterIP"
            && old.is_some_and(|o| o["spec"]["type"] != "ClusterIP")
            && let Some(map) = port.as_object_mut()
        {
            map.remove("nodePort");
        }
    }
    Ok(())
}
