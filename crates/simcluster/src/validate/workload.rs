//! Deployments, ReplicaSets, StatefulSets, DaemonSets, Jobs and CronJobs.

use serde_json::{Value, json};

use super::metadata;
use super::pod::{self, not_negative, one_of};
use crate::controllers::objects::canonical;
use crate::selector::LabelSelector;
use crate::status::Cause;

const MISMATCH: &str = "`selector` does not match template `labels`";
const PERCENT: &str = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";

fn shown(value: &Value) -> String {
    if value.is_null() { "null".into() } else { canonical(value) }
}

/// The selector must be there and select the template.
fn selector(kind: &str, spec: &Value, empty: &str, causes: &mut Vec<Cause>) {
    let given = spec.get("selector");
    match given {
        None => causes.push(Cause::required("spec.selector", "")),
        Some(s) if s.as_object().is_some_and(serde_json::Map::is_empty) => {
            let detail = format!("empty selector is invalid for {kind}");
            causes.push(Cause::invalid_text("spec.selector", empty, &detail));
            return;
        }
        Some(s) => metadata::labels(&s["matchLabels"], "spec.selector.matchLabels", causes),
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let parsed = LabelSelector::of(given);
    if given.is_none() || !parsed.matches(Some(labels)) {
        causes.push(Cause::invalid_text("spec.template.metadata.labels", &shown(labels), MISMATCH));
    }
}

fn template(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    let labels = &spec["template"]["metadata"]["labels"];
    metadata::labels(labels, &format!("{path}.template.labels"), causes);
    pod::spec(&spec["template"]["spec"], &format!("{path}.template.spec"), causes);
}

/// Pods of these workloads are always restarted.
fn always(spec: &Value, causes: &mut Vec<Cause>) {
    let policy = spec["template"]["spec"]["restartPolicy"].as_str().unwrap_or("Always");
    if policy != "Always" {
        causes.push(Cause::unsupported("spec.template.spec.restartPolicy", policy, &["Always"]));
    }
}

/// A number or a percentage.
pub(super) fn int_or_percent(at: &Value, key: &str, path: &str, causes: &mut Vec<Cause>) {
    match &at[key] {
        Value::String(s) => {
            let digits = s.strip_suffix('%').unwrap_or_default();
            if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
                causes.push(Cause::invalid(format!("{path}.{key}"), &at[key], PERCENT));
            } else if key != "maxSurge" && digits.parse::<u32>().unwrap_or(u32::MAX) > 100 {
                causes.push(Cause::invalid(
                    format!("{path}.{key}"),
                    &at[key],
                    "must not be greater than 100%",
                ));
            }
        }
        Value::Number(_) => not_negative(at, key, path, causes),
        _ => {}
    }
}

fn zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || value.as_str() == Some("0%")
}

pub(super) fn deployment(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    not_negative(spec, "replicas", "spec", causes);
    selector("deployment", spec, "{}", causes);
    template(spec, "spec", causes);
    always(spec, causes);
    let strategy = &spec["strategy"];
    match strategy["type"].as_str() {
        Some("Recreate") if strategy.get("rollingUpdate").is_some() => {
            let detail = "may not be specified when strategy `type` is 'Recreate'";
            causes.push(Cause::forbidden("spec.strategy.rollingUpdate", detail));
        }
        Some("RollingUpdate") => {
            let rolling = &strategy["rollingUpdate"];
            let path = "spec.strategy.rollingUpdate";
            int_or_percent(rolling, "maxUnavailable", path, causes);
            int_or_percent(rolling, "maxSurge", path, causes);
            if zero(&rolling["maxUnavailable"]) && zero(&rolling["maxSurge"]) {
                let detail = "may not be 0 when `maxSurge` is 0";
                causes.push(Cause::invalid(
                    format!("{path}.maxUnavailable"),
                    &rolling["maxUnavailable"],
                    detail,
                ));
            }
        }
        Some("Recreate") | None => {}
        Some(other) => {
            let value = json!({"Type": other, "RollingUpdate": null});
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                message: format!(
                    "Unsupported value: {value}: supported values: \"Recreate\", \"RollingUpdate\""
                ),
                field: "spec.strategy".into(),
            });
        }
    }
    not_negative(spec, "minReadySeconds", "spec", causes);
    not_negative(spec, "revisionHistoryLimit", "spec", causes);
    not_negative(spec, "progressDeadlineSeconds", "spec", causes);
    if spec["progressDeadlineSeconds"].as_i64().unwrap_or(600)
        <= spec["minReadySeconds"].as_i64().unwrap_or(0)
    {
        let detail = "must be greater than minReadySeconds";
        causes.push(Cause::invalid("spec.progressDeadlineSeconds", &spec["progressDeadlineSeconds"], detail));
    }
}

pub(super) fn replica_set(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    not_negative(spec, "replicas", "spec", causes);
    not_negative(spec, "minReadySeconds", "spec", causes);
    selector("replicaset", spec, "{}", causes);
    template(spec, "spec", causes);
    always(spec, causes);
}

pub(super) fn stateful_set(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    match spec["podManagementPolicy"].as_str() {
        Some("OrderedReady" | "Parallel") | None => {}
        Some(other) => causes.push(Cause::invalid(
            "spec.podManagementPolicy",
            &json!(other),
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    match spec["updateStrategy"]["type"].as_str() {
        Some("RollingUpdate") => {
            not_negative(
                &spec["updateStrategy"]["rollingUpdate"],
                "partition",
                "spec.updateStrategy.rollingUpdate",
                causes,
            );
        }
        Some("OnDelete") | None => {}
        Some(other) => {
            let value = json!({"Type": other, "RollingUpdate": null});
            let detail = "must be 'RollingUpdate' or 'OnDelete'";
            causes.push(Cause::invalid("spec.updateStrategy", &value, detail));
        }
    }
    not_negative(spec, "replicas", "spec", causes);
    not_negative(spec, "minReadySeconds", "spec", causes);
    selector("statefulset", spec, "{}", causes);
    let mut with_claims = spec.clone();
    if let Some(volumes) = with_claims["template"]["spec"].as_object_mut() {
        let list = volumes.entry("volumes").or_insert_with(|| json!([]));
        for claim in spec["volumeClaimTemplates"].as_array().into_iter().flatten() {
            let name = &claim["metadata"]["name"];
            if let Some(list) = list.as_array_mut()
                && !list.iter().any(|v| v["name"] == *name)
            {
                list.push(json!({"name": name, "emptyDir": {}}));
            }
        }
    }
    template(&with_claims, "spec", causes);
    always(spec, causes);
}

pub(super) fn daemon_set(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    selector("daemonset", spec, "{}", causes);
    template(spec, "spec", causes);
    always(spec, causes);
    not_negative(spec, "minReadySeconds", "spec", causes);
    match spec["updateStrategy"]["type"].as_str() {
        Some("RollingUpdate") => {
            let path = "spec.updateStrategy.rollingUpdate";
            int_or_percent(&spec["updateStrategy"]["rollingUpdate"], "maxUnavailable", path, causes);
            int_or_percent(&spec["updateStrategy"]["rollingUpdate"], "maxSurge", path, causes);
        }
        Some("OnDelete") | None => {}
        Some(other) => {
            let value = json!({"Type": other, "RollingUpdate": null});
            causes.push(Cause {
                reason: "FieldValueNotSupported",
                message: format!(
                    "Unsupported value: {value}: supported values: \"RollingUpdate\", \"OnDelete\""
                ),
                field: "spec.updateStrategy".into(),
            });
        }
    }
}

pub(super) fn job(object: &Value, causes: &mut Vec<Cause>) {
    job_spec(&object["spec"], "spec", causes);
    let spec = &object["spec"];
    if spec["manualSelector"] != true
        && let Some(selector) = spec.get("selector")
    {
        let uid = &object["metadata"]["uid"];
        let auto = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": uid}});
        let old = json!({"matchLabels": {"controller-uid": uid}});
        if *selector != auto && *selector != old {
            causes.push(Cause::invalid_text(
                "spec.selector",
                &shown(selector),
                "`selector` not auto-generated",
            ));
        }
        let labels = &spec["template"]["metadata"]["labels"];
        if !LabelSelector::of(Some(selector)).matches(Some(labels)) {
            causes.push(Cause::invalid_text("spec.template.metadata.labels", &shown(labels), MISMATCH));
        }
    }
}

fn job_spec(spec: &Value, path: &str, causes: &mut Vec<Cause>) {
    for field in
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"]
    {
        not_negative(spec, field, path, causes);
    }
    one_of(spec, "completionMode", &["NonIndexed", "Indexed"], path, causes);
    if spec["completionMode"] == "Indexed" && spec.get("completions").is_none() {
        causes.push(Cause::required(format!("{path}.completions"), "when completion mode is Indexed"));
    }
    template(spec, path, causes);
    if !matches!(spec["template"]["spec"]["restartPolicy"].as_str(), Some("OnFailure" | "Never")) {
        let at = format!("{path}.template.spec.restartPolicy");
        causes.push(Cause::required(at, "valid values: \"OnFailure\", \"Never\""));
    }
}

pub(super) fn cron_job(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    if name.len() > 52 {
        causes.push(Cause::invalid("metadata.name", &json!(name), "must be no more than 52 characters"));
    }
    match spec["schedule"].as_str().unwrap_or_default() {
        "" => causes.push(Cause::required("spec.schedule", "")),
        s if s.starts_with('@') => {}
        s => {
            let fields: Vec<&str> = s.split_whitespace().collect();
            if fields.len() != 5 {
                let detail =
                    format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
                causes.push(Cause::invalid("spec.schedule", &spec["schedule"], &detail));
            }
        }
    }
    one_of(spec, "concurrencyPolicy", &["Allow", "Forbid", "Replace"], "spec", causes);
    if let Some(zone) = spec["timeZone"].as_str()
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        causes.push(Cause::invalid("spec.timeZone", &spec["timeZone"], &format!("unknown time zone {zone}")));
    }
    for field in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(spec, field, "spec", causes);
    }
    job_spec(&spec["jobTemplate"]["spec"], "spec.jobTemplate.spec", causes);
}
