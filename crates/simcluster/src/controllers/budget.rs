//! The status of PodDisruptionBudgets and HorizontalPodAutoscalers.

use serde_json::{Value, json};

use super::Context;
use super::objects::{is_active, is_ready, number, scaled, set_condition};
use crate::selector::LabelSelector;
use crate::store::Key;

const MANAGER: &str = "kube-controller-manager";

/// Brings the budgets and autoscalers of a namespace up to date.
pub(crate) fn reconcile(context: &mut Context<'_>, ns: &str) {
    let budgets: Vec<Key> =
        context.state.store.list("poddisruptionbudgets.policy", ns).map(|(k, _)| k.clone()).collect();
    if !budgets.is_empty() {
        let pods = context.state.store.values("pods", ns);
        for key in budgets {
            budget(context, &key, &pods);
        }
    }
    let scalers: Vec<Key> = context
        .state
        .store
        .list("horizontalpodautoscalers.autoscaling", ns)
        .map(|(k, _)| k.clone())
        .collect();
    for key in scalers {
        autoscaler(context, &key);
    }
}

fn budget(context: &mut Context<'_>, key: &Key, pods: &[Value]) {
    let Some(mut budget) = context.state.store.get(key) else { return };
    let selector = LabelSelector::of(budget.pointer("/spec/selector"));
    let chosen: Vec<&Value> =
        pods.iter().filter(|p| is_active(p) && selector.matches(p.pointer("/metadata/labels"))).collect();
    let expected = i64::try_from(chosen.len()).unwrap_or(0);
    let healthy = i64::try_from(chosen.iter().filter(|p| is_ready(p)).count()).unwrap_or(0);
    let spec = &budget["spec"];
    let desired = match (spec.get("minAvailable"), spec.get("maxUnavailable")) {
        (Some(minimum), _) => scaled(Some(minimum), expected, true),
        (_, maximum) => (expected - scaled(maximum, expected, true)).max(0),
    };
    let allowed = (healthy - desired).max(0);
    let allowed = if expected == 0 { 0 } else { allowed };
    budget["status"]["observedGeneration"] = budget["metadata"]["generation"].clone();
    for (field, value) in [
        ("disruptionsAllowed", allowed),
        ("currentHealthy", healthy),
        ("desiredHealthy", desired),
        ("expectedPods", expected),
    ] {
        budget["status"][field] = json!(value);
    }
    let (status, reason) =
        if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
    set_condition(&mut budget, "DisruptionAllowed", status, reason, "", false);
    let generation = budget["metadata"]["generation"].clone();
    if let Some(c) = budget.pointer_mut("/status/conditions/0") {
        c["observedGeneration"] = generation;
        c["message"] = json!("");
    }
    context.save_status(key, &budget, MANAGER);
}

fn autoscaler(context: &mut Context<'_>, key: &Key) {
    let Some(mut hpa) = context.state.store.get(key) else { return };
    let target = hpa["spec"]["scaleTargetRef"].clone();
    let kind = match target["kind"].as_str() {
        Some("Deployment") => "deployments.apps",
        Some("StatefulSet") => "statefulsets.apps",
        Some("ReplicaSet") => "replicasets.apps",
        _ => return,
    };
    let name = target["name"].as_str().unwrap_or_default();
    let Some(mut workload) = context.state.store.get(&key.beside(kind, name)) else {
        let lower = kind.split('.').next().unwrap_or(kind);
        let message = format!(
            "the HPA controller was unable to get the target's current scale: {lower}.apps \"{name}\" not found"
        );
        set_condition(&mut hpa, "AbleToScale", "False", "FailedGetScale", &message, false);
        context.save_status(key, &hpa, MANAGER);
        return;
    };
    let wanted = number(&workload, "/spec/replicas");
    let (low, high) = (hpa["spec"]["minReplicas"].as_i64().unwrap_or(1), number(&hpa, "/spec/maxReplicas"));
    let desired = if wanted == 0 { 0 } else { wanted.clamp(low, high.max(low)) };
    hpa["status"]["currentReplicas"] = json!(number(&workload, "/status/replicas"));
    if desired != wanted {
        hpa["status"]["desiredReplicas"] = json!(desired);
    }
    hpa["status"]["currentMetrics"] = json!([{"type": ""}]);
    if wanted == 0 {
        set_condition(
            &mut hpa,
            "ScalingActive",
            "False",
            "ScalingDisabled",
            "scaling is disabled since the replica count of the target is zero",
            false,
        );
    } else {
        let message = "the HPA controller was able to get the target's current scale";
        set_condition(&mut hpa, "AbleToScale", "True", "SucceededGetScale", message, false);
        set_condition(
            &mut hpa,
            "ScalingActive",
            "False",
            "FailedGetResourceMetric",
            "the HPA was unable to compute the replica count: failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)",
            false,
        );
    }
    context.save_status(key, &hpa, MANAGER);
    if desired != wanted {
        workload["spec"]["replicas"] = json!(desired);
        context.save(&key.beside(kind, name), &workload, MANAGER);
    }
}
