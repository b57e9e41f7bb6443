//! What a server refuses about the kinds that services are made of.

use std::collections::BTreeMap;

use manifest::yaml::{Map, Node};

use super::check::number;
use super::finding::{Findings, Step};
use super::pod::{self, Owner};
use super::server::{each, given, labels, missing, port, range, share, under};

/// Deployments, ReplicaSets, DaemonSets, StatefulSets.
pub(super) fn workload<'n>(kind: &str, minor: u32, object: &'n Node, findings: &mut Findings<'n>) {
    under(object, "spec", findings, |spec, findings| {
        range(spec, "replicas", 0.0, f64::MAX, findings);
        range(spec, "minReadySeconds", 0.0, f64::MAX, findings);
        range(spec, "revisionHistoryLimit", 0.0, f64::MAX, findings);
        selector(spec, findings);
        if kind == "DaemonSet" {
            under(spec, "updateStrategy", findings, |strategy, findings| {
                under(strategy, "rollingUpdate", findings, |update, findings| {
                    share(update, "maxSurge", findings);
                    share(update, "maxUnavailable", findings);
                });
            });
        }
        if kind == "Deployment" {
            under(spec, "strategy", findings, |strategy, findings| {
                recreate(strategy, findings);
                under(strategy, "rollingUpdate", findings, |update, findings| {
                    share(update, "maxSurge", findings);
                    share(update, "maxUnavailable", findings);
                });
            });
        }
        under(spec, "template", findings, |template, findings| {
            under(template, "metadata", findings, |metadata, findings| {
                if let Some(map) = metadata.as_map() {
                    labels("labels", map, findings);
                }
            });
            under(template, "spec", findings, |pod, findings| match (kind, pod.as_map()) {
                // Before, a server looked at next to nothing in the template of a StatefulSet.
                ("StatefulSet", Some(map)) if minor < 36 => {
                    pod::restart_policy(map, Owner::Service, pod, findings)
                }
                ("StatefulSet", _) => pod::spec(pod, Owner::Service, &claims(spec), findings),
                _ => pod::spec(pod, Owner::Service, &[], findings),
            });
        });
    });
}

/// The volumes that a StatefulSet makes for each pod.
fn claims(spec: &Node) -> Vec<&str> {
    let templates = spec.get("volumeClaimTemplates").and_then(Node::as_list).unwrap_or_default();
    templates.iter().filter_map(|template| template.get("metadata")?.get("name")?.as_str()).collect()
}

fn selector<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    let Some(selector) = spec.get("selector").filter(|node| node.as_map().is_some()) else { return };
    let filled = |key: &str| match selector.get(key) {
        Some(node) => {
            node.as_map().is_some_and(|map| !map.is_empty())
                || node.as_list().is_some_and(|list| !list.is_empty())
        }
        None => false,
    };
    if !filled("matchLabels") && !filled("matchExpressions") {
        if selector.as_map().is_some_and(|map| map.iter().all(|entry| entry.key.starts_with("match"))) {
            findings.at(Step::Field("selector"), |findings| {
                findings
                    .add(&selector.span, "must select something")
                    .hint("repeat labels of `spec.template.metadata.labels` under `matchLabels`");
            });
        }
        return;
    }
    let template = spec
        .get("template")
        .and_then(|template| template.get("metadata"))
        .and_then(|metadata| metadata.get("labels"));
    for entry in selector.get("matchLabels").and_then(Node::as_map).into_iter().flatten() {
        let wanted = match entry.value.is_null() {
            true => Some(""),
            false => entry.value.as_str(),
        };
        let Some(wanted) = wanted else { continue };
        let label = template.and_then(|labels| labels.get(&entry.key));
        if label.is_some_and(|label| label.as_str().is_none_or(|text| text == wanted)) {
            continue;
        }
        findings.at(Step::Field("selector"), |findings| {
            findings.at(Step::Field("matchLabels"), |findings| {
                findings.at(Step::Field(&entry.key), |findings| {
                    let message = match label {
                        Some(label) => format!(
                            "differs from the label in `spec.template.metadata.labels`, line {}",
                            label.span.line
                        ),
                        None => "no such label in `spec.template.metadata.labels`".to_owned(),
                    };
                    findings.add(&entry.value.span, message).found(wanted);
                });
            });
        });
    }
}

fn recreate<'n>(strategy: &'n Node, findings: &mut Findings<'n>) {
    if strategy.get("type").and_then(Node::as_str) == Some("Recreate")
        && let Some(entry) = strategy.as_map().and_then(|map| map.entry("rollingUpdate"))
        && !entry.value.is_null()
    {
        findings.at(Step::Field("rollingUpdate"), |findings| {
            findings.add(&entry.key_span, "cannot be used with `type: Recreate`");
        });
    }
}

/// A Job's `spec`.
pub(super) fn job<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    for key in
        ["parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"]
    {
        range(spec, key, 0.0, f64::MAX, findings);
    }
    under(spec, "template", findings, |template, findings| {
        under(template, "metadata", findings, |metadata, findings| {
            if let Some(map) = metadata.as_map() {
                labels("labels", map, findings);
            }
        });
        under(template, "spec", findings, |spec, findings| pod::spec(spec, Owner::Job, &[], findings));
    });
}

/// A CronJob.
pub(super) fn cron_job<'n>(object: &'n Node, findings: &mut Findings<'n>) {
    under(object, "spec", findings, |spec, findings| {
        if let Some(node) = spec.get("schedule")
            && let Some(schedule) = node.as_str()
            && !is_schedule(schedule)
        {
            findings.at(Step::Field("schedule"), |findings| {
                findings
                    .add(
                        &node.span,
                        "expected a schedule of five fields: minute, hour, day, month, day of the week",
                    )
                    .found(schedule);
            });
        }
        for key in ["startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
            range(spec, key, 0.0, f64::MAX, findings);
        }
        under(spec, "jobTemplate", findings, |template, findings| under(template, "spec", findings, job));
    });
}

/// Whether this is a schedule of cron (`robfig/cron`, `ParseStandard`).
fn is_schedule(text: &str) -> bool {
    const MONTHS: &[&str] =
        &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    if let Some(name) = text.strip_prefix('@') {
        return name.starts_with("every ")
            || matches!(
                name,
                "yearly" | "annually" | "monthly" | "weekly" | "daily" | "midnight" | "hourly"
            );
    }
    // A time zone here is another rule.
    let text = text.trim();
    if text.starts_with("TZ=") || text.starts_with("CRON_TZ=") {
        return true;
    }
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, week] = fields.as_slice() else { return false };
    let field = |text: &str, least: u32, most: u32, names: &[&str], first: u32| {
        let number = |text: &str| -> Option<u32> {
            let lower = text.to_lowercase();
            match names.iter().position(|name| *name == lower) {
                Some(at) => Some(at as u32 + first),
                None => text.parse().ok().filter(|_| !text.starts_with('+')),
            }
        };
        text.split(',').filter(|part| !part.is_empty()).all(|part| {
            let (range, step) = match part.split_once('/') {
                Some((range, step)) => (range, Some(step)),
                None => (part, None),
            };
            let range_fits = match range {
                "*" | "?" => true,
                _ => match range.split_once('-') {
                    Some((from, to)) => match (number(from), number(to)) {
                        (Some(from), Some(to)) => least <= from && from <= to && to <= most,
                        _ => false,
                    },
                    None => number(range).is_some_and(|number| (least..=most).contains(&number)),
                },
            };
            range_fits && step.is_none_or(|step| step.parse::<u32>().is_ok_and(|step| step > 0))
        }) && !text.is_empty()
    };
    field(minute, 0, 59, &[], 0)
        && field(hour, 0, 23, &[], 0)
        && field(day, 1, 31, &[], 0)
        && field(month, 1, 12, MONTHS, 1)
        && field(week, 0, 6, DAYS, 0)
}

/// A Service's `spec`.
pub(super) fn service<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    let Some(map) = spec.as_map() else { return };
    let text = |key: &str| given(map, key).and_then(Node::as_str).unwrap_or_default();
    let list = given(map, "ports");
    let count = list.and_then(Node::as_list).map_or(0, <[Node]>::len);
    if text("type") == "ExternalName" {
        if text("externalName").is_empty() {
            missing(&spec.span, "externalName", findings)
                .hint("a Service of type `ExternalName` names a host there");
        }
    } else if count == 0 && text("clusterIP") != "None" && list.is_none_or(|list| list.as_list().is_some()) {
        missing(&spec.span, "ports", findings)
            .hint("only a headless Service (`clusterIP: None`) has no ports");
    }
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    each(spec, "ports", findings, |entry, findings| {
        range(entry, "port", 1.0, 65535.0, findings);
        range(entry, "nodePort", 0.0, 65535.0, findings);
        if text("type") != "ExternalName" {
            port(entry, "targetPort", findings);
        }
        let name = entry.get("name").filter(|node| !node.is_null());
        match (name, name.and_then(Node::as_str)) {
            (None, _) | (Some(_), Some("")) if count > 1 => {
                missing(&entry.span, "name", findings).hint("with several ports, each has a name");
            }
            (Some(node), Some(name)) if !name.is_empty() => {
                let line = names.insert(name, node.span.line);
                findings.at(Step::Field("name"), |findings| {
                    if let Some(line) = line {
                        findings.add(&node.span, format!("the same name as the port in line {line}")).found(name);
                    } else if !super::grammar::is_label(name) {
                        findings.add(&node.span, "expected a name of lower-case letters, digits and `-`, 63 characters at most").found(name);
                    }
                });
            }
            _ => {}
        }
    });
}

/// A HorizontalPodAutoscaler's `spec`.
pub(super) fn autoscaler<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    range(spec, "maxReplicas", 1.0, f64::MAX, findings);
    range(spec, "minReplicas", 0.0, f64::MAX, findings);
    let (least, most) = (spec.get("minReplicas"), spec.get("maxReplicas"));
    each(spec, "metrics", findings, |metric, findings| {
        let source = match metric.get("type").and_then(Node::as_str) {
            Some("Resource") => "resource",
            Some("ContainerResource") => "containerResource",
            Some("Pods") => "pods",
            Some("Object") => "object",
            Some("External") => "external",
            _ => return,
        };
        if metric.get(source).is_none_or(Node::is_null) {
            missing(&metric.span, source, findings);
        }
    });
    if let (Some(least), Some(most), Some(node)) = (least.and_then(number), most.and_then(number), most)
        && most < least
        && most >= 1.0
    {
        findings.at(Step::Field("maxReplicas"), |findings| {
            findings.add(&node.span, "must not be less than `minReplicas`");
        });
    }
}

/// A PodDisruptionBudget's `spec`.
pub(super) fn budget<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    share(spec, "minAvailable", findings);
    share(spec, "maxUnavailable", findings);
    let map: Option<&Map> = spec.as_map();
    let field = |key: &str| map.and_then(|map| map.entry(key)).filter(|entry| !entry.value.is_null());
    if let (Some(_), Some(second)) = (field("minAvailable"), field("maxUnavailable")) {
        findings.at(Step::Field("maxUnavailable"), |findings| {
            findings.add(&second.key_span, "cannot stand beside `minAvailable`");
        });
    }
}

/// An Ingress' `spec`.
pub(super) fn ingress<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    let filled = |key: &str| match spec.get(key) {
        Some(node) => node.as_list().is_none_or(|list| !list.is_empty()) && !node.is_null(),
        None => false,
    };
    if !filled("defaultBackend")
        && !filled("rules")
        && spec.as_map().is_some_and(|map| map.iter().all(|entry| entry.key != "backend"))
    {
        findings.add(&spec.span, "needs `rules` or a `defaultBackend`");
    }
    each(spec, "rules", findings, |rule, findings| {
        under(rule, "http", findings, |http, findings| {
            if let Some(paths) =
                http.get("paths").filter(|node| node.as_list().is_some_and(<[Node]>::is_empty))
            {
                findings.at(Step::Field("paths"), |findings| {
                    findings.add(&paths.span, "must have at least 1 element");
                });
            }
            each(http, "paths", findings, |path, findings| {
                let kind = path.get("pathType").and_then(Node::as_str);
                let given = path.get("path").filter(|node| !node.is_null());
                let absolute = match given {
                    Some(node) => node.as_str().is_none_or(|text| text.starts_with('/')),
                    None => {
                        if matches!(kind, Some("Exact" | "Prefix")) {
                            missing(&path.span, "path", findings);
                        }
                        true
                    }
                };
                if let (Some("Exact" | "Prefix"), false, Some(node)) = (kind, absolute, given) {
                    findings.at(Step::Field("path"), |findings| {
                        findings.add(&node.span, "must start with `/`");
                    });
                }
                under(path, "backend", findings, |backend, findings| {
                    pod::one_of(backend, &["service", "resource"], "backend", findings);
                    under(backend, "service", findings, |service, findings| {
                        under(service, "port", findings, |target, findings| {
                            range(target, "number", 1.0, 65535.0, findings);
                            if let (Some(_), Some(name)) = (target.get("number"), target.get("name")) {
                                findings.at(Step::Field("name"), |findings| {
                                    findings.add(&name.span, "cannot stand beside `number`");
                                });
                            }
                        });
                    });
                });
            });
        });
    });
}

/// A PersistentVolumeClaim's `spec`.
pub(super) fn claim<'n>(spec: &'n Node, findings: &mut Findings<'n>) {
    let requests = spec.get("resources").and_then(|resources| resources.get("requests"));
    let requests = requests.filter(|requests| !requests.is_null());
    if let Some(resources) = spec.get("resources").filter(|node| node.as_map().is_some())
        && requests.and_then(Node::as_map).and_then(|map| given(map, "storage")).is_none()
        && requests.is_none_or(|requests| requests.as_map().is_some())
    {
        findings.at(Step::Field("resources"), |findings| {
            findings.at(Step::Field("requests"), |findings| {
                missing(&requests.unwrap_or(resources).span, "storage", findings)
                    .hint("write how much, as in `storage: 1Gi`");
            });
        });
    }
    if let Some(modes) = spec.get("accessModes").filter(|node| node.as_list().is_some_and(<[Node]>::is_empty))
    {
        findings.at(Step::Field("accessModes"), |findings| {
            findings.add(&modes.span, "must have at least 1 element");
        });
    }
}

/// A ClusterRoleBinding. (A RoleBinding fills in its own namespace.)
pub(super) fn binding<'n>(object: &'n Node, findings: &mut Findings<'n>) {
    each(object, "subjects", findings, |subject, findings| {
        let text = |key: &str| subject.get(key).and_then(Node::as_str).unwrap_or_default();
        if text("kind") == "ServiceAccount" && text("namespace").is_empty() && subject.as_map().is_some() {
            missing(&subject.span, "namespace", findings).hint("a ServiceAccount lives in a namespace");
        }
    });
}
