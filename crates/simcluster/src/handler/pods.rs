//! What can be asked of a pod beside reading and writing it.

use serde_json::{Value, json};

use super::{Answer, Request, options};
use crate::api::delete::{self, DeleteOptions};
use crate::cluster::State;
use crate::controllers::kubelet;
use crate::kinds::Kind;
use crate::route::Route;
use crate::status::{Refusal, success};
use crate::store::Key;

/// `pods/log`.
pub(super) fn log(state: &State, request: &Request, route: &Route, kind: &Kind) -> Result<Answer, Refusal> {
    let key = Key::new("pods", &route.ns, &route.name);
    let pod =
        state.store.get(&key).ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, &route.name))?;
    let names: Vec<&str> = ["containers", "initContainers"]
        .iter()
        .flat_map(|l| pod["spec"][*l].as_array().into_iter().flatten())
        .filter_map(|c| c["name"].as_str())
        .collect();
    let regular = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let container = match request.query.get("container").filter(|c| !c.is_empty()) {
        Some(c) if names.contains(&c) => c.to_owned(),
        Some(c) => {
            return Err(Refusal::bad_request(format!("container {c} is not valid for pod {}", route.name)));
        }
        None if regular == 1 => names[0].to_owned(),
        None => {
            let list = names[..regular].join(" ");
            return Err(Refusal::bad_request(format!(
                "a container name must be specified for pod {}, choose one of: [{list}]",
                route.name
            )));
        }
    };
    let status = pod["status"]["containerStatuses"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|c| c["name"] == container.as_str());
    let waiting = status.and_then(|s| s["state"]["waiting"]["reason"].as_str());
    let previous = request.query.flag("previous");
    let restarted = status.is_some_and(|s| s["restartCount"].as_i64().unwrap_or(0) > 0);
    if previous && !restarted {
        return Err(Refusal::bad_request(format!(
            "previous terminated container {container:?} in pod {:?} not found",
            route.name
        )));
    }
    if let Some(reason) = waiting
        && !restarted
    {
        let text = match reason {
            "ErrImagePull" | "ImagePullBackOff" => "trying and failing to pull image".to_owned(),
            other => format!("waiting to start: {other}"),
        };
        return Err(Refusal::bad_request(format!(
            "container {container:?} in pod {:?} is {text}",
            route.name
        )));
    }
    if status.is_none() && pod["spec"].get("nodeName").is_none() {
        return Ok(Answer::text(200, String::new()));
    }
    let mut lines = kubelet::log_lines(&pod, &container);
    if let Some(tail) = request.query.get("tailLines").and_then(|t| t.parse::<usize>().ok()) {
        let from = lines.len().saturating_sub(tail);
        lines.drain(..from);
    }
    let mut text = lines.join("\n");
    if !lines.is_empty() {
        text.push('\n');
    }
    Ok(Answer::text(200, text))
}

/// `pods/binding`: the pod gets its node.
pub(super) fn bind(state: &mut State, route: &Route, binding: &Value) -> Result<Answer, Refusal> {
    let key = Key::new("pods", &route.ns, &route.name);
    let Some(mut pod) = state.store.get(&key) else {
        return Err(Refusal::not_found("", "pods", &route.name));
    };
    if pod["spec"].get("nodeName").is_some() {
        return Err(Refusal::conflict("", "pods/binding", &route.name, "pod is already assigned to a node"));
    }
    pod["spec"]["nodeName"] = binding["target"]["name"].clone();
    state.store.put(&key, &mut pod);
    Ok(Answer::json(
        201,
        &success("", "pods", &route.name, pod["metadata"]["uid"].as_str().unwrap_or_default()),
    ))
}

/// `pods/eviction`.
pub(super) fn evict(
    state: &mut State,
    request: &Request,
    route: &Route,
    kind: &Kind,
) -> Result<Answer, Refusal> {
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_else(|_| json!({}));
    let none = |_: &str| None;
    let deletion = DeleteOptions::read(&body["deleteOptions"], &none, &options(request)?);
    delete::delete(state, kind, &route.ns, &route.name, &deletion)?;
    Ok(Answer::json(201, &success("", "pods", &route.name, "")))
}
