//! The `Table` form that `kubectl get` asks for.

use serde_json::{Value, json};

use super::read::partial;
use crate::kinds::Kind;
use crate::selector::LabelSelector;

type Column = (&'static str, &'static str, u8, fn(&Value) -> Value);

fn text(v: &Value) -> Value {
    match v {
        Value::Null => json!("<none>"),
        Value::String(s) if s.is_empty() => json!("<none>"),
        other => other.clone(),
    }
}

fn name(o: &Value) -> Value {
    o["metadata"]["name"].clone()
}

fn age(o: &Value) -> Value {
    since(o["metadata"]["creationTimestamp"].as_str())
}

/// `5s`, `3m20s`, `2h`, `4d`, as kubectl prints ages.
fn since(time: Option<&str>) -> Value {
    let Some(then) = time.and_then(|t| t.parse::<jiff::Timestamp>().ok()) else { return json!("<unknown>") };
    let s = (jiff::Timestamp::now().as_second() - then.as_second()).max(0);
    json!(match s {
        0..120 => format!("{s}s"),
        120..600 if s % 60 != 0 => format!("{}m{}s", s / 60, s % 60),
        120..10800 => format!("{}m", s / 60),
        10800..172_800 => format!("{}h", s / 3600),
        _ => format!("{}d", s / 86400),
    })
}

fn int(v: &Value) -> i64 {
    v.as_i64().unwrap_or(0)
}

fn pod_status(o: &Value) -> Value {
    if o["metadata"].get("deletionTimestamp").is_some() {
        return json!("Terminating");
    }
    let mut status =
        o["status"]["reason"].as_str().or(o["status"]["phase"].as_str()).unwrap_or_default().to_owned();
    for c in o["status"]["containerStatuses"].as_array().into_iter().flatten().rev() {
        for state in ["waiting", "terminated"] {
            if let Some(reason) = c["state"][state]["reason"].as_str() {
                status = reason.to_owned();
            }
        }
    }
    json!(status)
}

fn pod_ready(o: &Value) -> Value {
    let total = o["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = o["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|c| c["ready"] == true)
        .count();
    json!(format!("{ready}/{total}"))
}

fn ports(o: &Value) -> Value {
    let list: Vec<String> = o["spec"]["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|p| {
            let protocol = p["protocol"].as_str().unwrap_or("TCP");
            match p["nodePort"].as_i64() {
                Some(n) => format!("{}:{n}/{protocol}", p["port"]),
                None => format!("{}/{protocol}", p["port"]),
            }
        })
        .collect();
    text(&json!(list.join(",")))
}

fn external(o: &Value) -> Value {
    if o["spec"]["type"] == "LoadBalancer" {
        let first = &o["status"]["loadBalancer"]["ingress"][0];
        return match first["ip"].as_str().or(first["hostname"].as_str()) {
            Some(ip) => json!(ip),
            None => json!("<pending>"),
        };
    }
    text(&o["spec"]["externalName"])
}

fn containers(o: &Value, field: &str) -> Value {
    let spec = o
        .pointer("/spec/template/spec")
        .or(o.pointer("/spec/jobTemplate/spec/template/spec"))
        .unwrap_or(&Value::Null);
    let list: Vec<&str> =
        spec["containers"].as_array().into_iter().flatten().filter_map(|c| c[field].as_str()).collect();
    json!(list.join(","))
}

fn selector(o: &Value) -> Value {
    let s = &o["spec"]["selector"];
    text(&json!(if s.get("matchLabels").is_some() || s.get("matchExpressions").is_some() {
        LabelSelector::of(Some(s)).print()
    } else {
        LabelSelector::of_map(Some(s)).print()
    }))
}

fn job_status(o: &Value) -> Value {
    let condition = |t: &str| {
        o["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == t && c["status"] == "True")
    };
    json!(if condition("Complete") {
        "Complete"
    } else if condition("Failed") {
        "Failed"
    } else if o["spec"]["suspend"] == true {
        "Suspended"
    } else {
        "Running"
    })
}

const AGE: Column = ("Age", "string", 0, age);

/// Columns after `Name`; the third entry is the priority (1: only with `-o wide`).
fn columns(kind: &Kind) -> Vec<Column> {
    match kind.group_resource().as_str() {
        "pods" => vec![
            ("Ready", "string", 0, pod_ready),
            ("Status", "string", 0, pod_status),
            ("Restarts", "string", 0, |o| {
                json!(int(&o["status"]["containerStatuses"][0]["restartCount"]).to_string())
            }),
            AGE,
            ("IP", "string", 1, |o| text(&o["status"]["podIP"])),
            ("Node", "string", 1, |o| text(&o["spec"]["nodeName"])),
            ("Nominated Node", "string", 1, |o| text(&o["status"]["nominatedNodeName"])),
            ("Readiness Gates", "string", 1, |_| json!("<none>")),
        ],
        "deployments.apps" => vec![
            ("Ready", "string", 0, |o| {
                json!(format!("{}/{}", int(&o["status"]["readyReplicas"]), int(&o["spec"]["replicas"])))
            }),
            ("Up-to-date", "integer", 0, |o| json!(int(&o["status"]["updatedReplicas"]))),
            ("Available", "integer", 0, |o| json!(int(&o["status"]["availableReplicas"]))),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
            ("Selector", "string", 1, selector),
        ],
        "replicasets.apps" | "replicationcontrollers" => vec![
            ("Desired", "integer", 0, |o| json!(int(&o["spec"]["replicas"]))),
            ("Current", "integer", 0, |o| json!(int(&o["status"]["replicas"]))),
            ("Ready", "integer", 0, |o| json!(int(&o["status"]["readyReplicas"]))),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
            ("Selector", "string", 1, selector),
        ],
        "statefulsets.apps" => vec![
            ("Ready", "string", 0, |o| {
                json!(format!("{}/{}", int(&o["status"]["readyReplicas"]), int(&o["spec"]["replicas"])))
            }),
            AGE,
            ("Containers", "string", 1, |o| containers(o, "name")),
            ("Images", "string", 1, |o| containers(o, "image")),
        ],
        "daemonsets.apps" => vec![
            ("Desired", "integer", 0, |o| json!(int(&o["status"]["desiredNumberScheduled"]))),
            ("Current", "integer", 0, |o| json!(int(&o["status"]["currentNumberScheduled"]))),
            ("Ready", "integer", 0, |o| json!(int(&o["status"]["numberReady"]))),
            ("Up-to-date", "integer", 0, |o| json!(int(&o["status"]["updatedNumberScheduled"]))),
            ("Available", "integer", 0, |o| json!(int(&o["status"]["numberAvailable"]))),
            AGE,
        ],
        "jobs.batch" => vec![
            ("Status", "string", 0, job_status),
            ("Completions", "string", 0, |o| {
                json!(format!(
                    "{}/{}",
                    int(&o["status"]["succeeded"]),
                    o["spec"]["completions"].as_i64().unwrap_or(1)
                ))
            }),
            ("Duration", "string", 0, |o| match o["status"]["startTime"].as_str() {
                Some(start) => since(Some(start)),
                None => json!(""),
            }),
            AGE,
        ],
        "cronjobs.batch" => vec![
            ("Schedule", "string", 0, |o| o["spec"]["schedule"].clone()),
            ("Timezone", "string", 0, |o| text(&o["spec"]["timeZone"])),
            ("Suspend", "boolean", 0, |o| json!(if o["spec"]["suspend"] == true { "True" } else { "False" })),
            ("Active", "integer", 0, |o| json!(o["status"]["active"].as_array().map_or(0, Vec::len))),
            ("Last Schedule", "string", 0, |o| match o["status"]["lastScheduleTime"].as_str() {
                Some(t) => since(Some(t)),
                None => json!("<none>"),
            }),
            AGE,
        ],
        "services" => vec![
            ("Type", "string", 0, |o| o["spec"]["type"].clone()),
            ("Cluster-IP", "string", 0, |o| text(&o["spec"]["clusterIP"])),
            ("External-IP", "string", 0, external),
            ("Port(s)", "string", 0, ports),
            AGE,
            ("Selector", "string", 1, selector),
        ],
        "namespaces" => vec![("Status", "string", 0, |o| o["status"]["phase"].clone()), AGE],
        "nodes" => vec![
            ("Status", "string", 0, |_| json!("Ready")),
            ("Roles", "string", 0, |_| json!("worker")),
            AGE,
            ("Version", "string", 0, |o| o["status"]["nodeInfo"]["kubeletVersion"].clone()),
        ],
        "configmaps" => vec![
            ("Data", "integer", 0, |o| {
                json!(
                    o["data"].as_object().map_or(0, serde_json::Map::len)
                        + o["binaryData"].as_object().map_or(0, serde_json::Map::len)
                )
            }),
            AGE,
        ],
        "secrets" => vec![
            ("Type", "string", 0, |o| o["type"].clone()),
            ("Data", "integer", 0, |o| json!(o["data"].as_object().map_or(0, serde_json::Map::len))),
            AGE,
        ],
        "serviceaccounts" => {
            vec![("Secrets", "integer", 0, |o| json!(o["secrets"].as_array().map_or(0, Vec::len))), AGE]
        }
        "persistentvolumeclaims" => vec![
            ("Status", "string", 0, |o| o["status"]["phase"].clone()),
            ("Volume", "string", 0, |o| json!(o["spec"]["volumeName"].as_str().unwrap_or_default())),
            ("Capacity", "string", 0, |o| {
                json!(o["status"]["capacity"]["storage"].as_str().unwrap_or_default())
            }),
            ("Access Modes", "string", 0, |o| {
                json!(o["status"]["accessModes"][0].as_str().unwrap_or_default())
            }),
            ("StorageClass", "string", 0, |o| {
                json!(o["spec"]["storageClassName"].as_str().unwrap_or_default())
            }),
            AGE,
        ],
        "ingresses.networking.k8s.io" => vec![
            ("Class", "string", 0, |o| text(&o["spec"]["ingressClassName"])),
            ("Hosts", "string", 0, |o| {
                let hosts: Vec<&str> = o["spec"]["rules"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|r| r["host"].as_str())
                    .collect();
                json!(if hosts.is_empty() { "*".into() } else { hosts.join(",") })
            }),
            ("Address", "string", 0, |o| {
                json!(o["status"]["loadBalancer"]["ingress"][0]["ip"].as_str().unwrap_or_default())
            }),
            ("Ports", "string", 0, |o| json!(if o["spec"].get("tls").is_some() { "80, 443" } else { "80" })),
            AGE,
        ],
        "horizontalpodautoscalers.autoscaling" => vec![
            ("Reference", "string", 0, |o| {
                let r = &o["spec"]["scaleTargetRef"];
                json!(format!(
                    "{}/{}",
                    r["kind"].as_str().unwrap_or_default(),
                    r["name"].as_str().unwrap_or_default()
                ))
            }),
            ("Targets", "string", 0, |_| json!("cpu: <unknown>/80%")),
            ("MinPods", "string", 0, |o| json!(int(&o["spec"]["minReplicas"]).to_string())),
            ("MaxPods", "string", 0, |o| json!(int(&o["spec"]["maxReplicas"]).to_string())),
            ("Replicas", "string", 0, |o| json!(int(&o["status"]["currentReplicas"]).to_string())),
            AGE,
        ],
        "poddisruptionbudgets.policy" => vec![
            ("Min Available", "string", 0, |o| {
                json!(o["spec"].get("minAvailable").map_or("N/A".into(), Value::to_string))
            }),
            ("Max Unavailable", "string", 0, |o| {
                json!(o["spec"].get("maxUnavailable").map_or("N/A".into(), Value::to_string))
            }),
            ("Allowed Disruptions", "integer", 0, |o| json!(int(&o["status"]["disruptionsAllowed"]))),
            AGE,
        ],
        "customresourcedefinitions.apiextensions.k8s.io" => {
            vec![("Created At", "date", 0, |o| o["metadata"]["creationTimestamp"].clone())]
        }
        _ => vec![AGE],
    }
}

/// The `Table` of some objects.
pub(crate) fn of(
    kind: &Kind,
    version: &str,
    objects: &[Value],
    rv: &str,
    token: Option<&str>,
    include_object: bool,
) -> Value {
    let event = kind.kind == "Event";
    let mut definitions = Vec::new();
    let define = |name: &str, ty: &str, priority: u8, format: &str| json!({"name": name, "type": ty, "format": format, "description": "", "priority": priority});
    let custom = kind.version(version).map(|v| v.columns.clone()).unwrap_or_default();
    let columns = columns(kind);
    if event {
        for name in ["Last Seen", "Type", "Reason", "Object", "Message"] {
            definitions.push(define(name, "string", 0, ""));
        }
    } else {
        definitions.push(define("Name", "string", 0, "name"));
        if kind.custom && !custom.is_empty() {
            for c in &custom {
                let text = |k: &str| c[k].as_str().unwrap_or_default();
                let priority = u8::from(c["priority"].as_i64().unwrap_or(0) > 0);
                definitions.push(define(text("name"), text("type"), priority, ""));
            }
        } else {
            definitions.extend(columns.iter().map(|(name, ty, priority, _)| define(name, ty, *priority, "")));
        }
    }
    let rows: Vec<Value> = objects
        .iter()
        .map(|o| {
            let cells: Vec<Value> = if event {
                event_cells(o)
            } else {
                let mut cells = vec![name(o)];
                if kind.custom && !custom.is_empty() {
                    cells.extend(custom.iter().map(|c| custom_cell(o, c)));
                } else {
                    cells.extend(columns.iter().map(|(_, _, _, f)| f(o)));
                }
                cells
            };
            let object = if include_object { o.clone() } else { partial(o) };
            json!({"cells": cells, "object": object})
        })
        .collect();
    let mut meta = json!({"resourceVersion": rv});
    if let Some(token) = token {
        meta["continue"] = json!(token);
    }
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "columnDefinitions": definitions, "rows": rows})
}

fn event_cells(o: &Value) -> Vec<Value> {
    let about = o.get("involvedObject").or(o.get("regarding")).unwrap_or(&Value::Null);
    let last = ["lastTimestamp", "deprecatedLastTimestamp", "eventTime"].iter().find_map(|k| o[*k].as_str());
    let kind = about["kind"].as_str().unwrap_or_default().to_lowercase();
    vec![
        since(last),
        o["type"].clone(),
        o["reason"].clone(),
        json!(format!("{kind}/{}", about["name"].as_str().unwrap_or_default())),
        o.get("message").or(o.get("note")).cloned().unwrap_or_default(),
    ]
}

fn custom_cell(o: &Value, column: &Value) -> Value {
    let path = column["jsonPath"].as_str().unwrap_or_default();
    let mut at = o.clone();
    for step in path.split('.').filter(|s| !s.is_empty()) {
        let (field, rest) = step.split_once('[').unwrap_or((step, ""));
        at = at[field].clone();
        if let Some(condition) = rest.strip_prefix("?(@") {
            // `conditions[?(@.type=="Ready")]`, whose dot ends the step: not taken apart here.
            let _ = condition;
        } else if let Some(index) = rest.strip_suffix(']').and_then(|i| i.parse::<usize>().ok()) {
            at = at[index].clone();
        }
    }
    if let Some((list, rest)) = path.split_once("[?(@.") {
        at = filtered(o, list, rest);
    }
    if column["type"] == "date" {
        return at.as_str().map_or(Value::Null, |t| since(Some(t)));
    }
    at
}

/// `.status.conditions[?(@.type=="Ready")].status`.
fn filtered(o: &Value, list: &str, rest: &str) -> Value {
    let mut at = o.clone();
    for step in list.split('.').filter(|s| !s.is_empty()) {
        at = at[step].clone();
    }
    let Some((condition, tail)) = rest.split_once(")]") else { return Value::Null };
    let Some((field, wanted)) = condition.split_once("==") else { return Value::Null };
    let wanted = wanted.trim().trim_matches(['"', '\'']);
    let mut found =
        at.as_array().into_iter().flatten().find(|i| i[field.trim()] == wanted).cloned().unwrap_or_default();
    for step in tail.split('.').filter(|s| !s.is_empty()) {
        found = found[step].clone();
    }
    found
}
