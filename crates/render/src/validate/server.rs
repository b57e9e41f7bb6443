//! What a server refuses about whole objects although their schemas allow it
//! (`pkg/apis/*/validation` and `apimachinery/pkg/api/validation` in Kubernetes).
//!
//! Only rules that hold in every bundled version, and only those that a manifest alone decides.

use manifest::yaml::{Map, Node, Scalar};

use super::check::number;
use super::finding::{Finding, Findings, Step};
use super::{grammar, pod, workload};

/// The most bytes of all annotations, and of all data of a ConfigMap or Secret.
const MOST_ANNOTATIONS: usize = 256 * 1024;
const MOST_DATA: usize = 1024 * 1024;

/// Adds what is wrong with the object beyond its schema.
pub(super) fn rules<'n>(
    minor: u32,
    api_version: &str,
    kind: &str,
    object: &'n Node,
    findings: &mut Findings<'n>,
) {
    metadata(api_version, kind, object, findings);
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => {
            under(object, "spec", findings, |spec, findings| pod::spec(spec, pod::Owner::Pod, &[], findings))
        }
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet") => {
            workload::workload(kind, minor, object, findings)
        }
        ("batch", "Job") => under(object, "spec", findings, workload::job),
        ("batch", "CronJob") => workload::cron_job(object, findings),
        ("", "Service") => under(object, "spec", findings, workload::service),
        ("", "PersistentVolumeClaim") => under(object, "spec", findings, workload::claim),
        ("", "ConfigMap" | "Secret") => data(kind, object, findings),
        ("autoscaling", "HorizontalPodAutoscaler") => under(object, "spec", findings, workload::autoscaler),
        ("policy", "PodDisruptionBudget") => under(object, "spec", findings, workload::budget),
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => workload::binding(object, findings),
        ("networking.k8s.io", "Ingress") => under(object, "spec", findings, workload::ingress),
        _ => {}
    }
}

fn metadata<'n>(api_version: &str, kind: &str, object: &'n Node, findings: &mut Findings<'n>) {
    let metadata = object.get("metadata").filter(|node| !node.is_null());
    let Some(map) = metadata.and_then(Node::as_map) else {
        if metadata.is_none() {
            findings.at(Step::Field("metadata"), |findings| {
                missing(&object.span, "name", findings);
            });
        }
        return;
    };
    findings.path.push(Step::Field("metadata"));
    let span = metadata.map_or(&object.span, |node| &node.span);
    match given(map, "name") {
        None => {
            missing(span, "name", findings);
        }
        Some(node) => {
            if let (Some(name), Some((expected, false))) =
                (node.as_str(), node.as_str().and_then(|name| name_rule(api_version, kind, name)))
            {
                findings.at(Step::Field("name"), |findings| {
                    findings.add(&node.span, format!("expected {expected}")).found(name);
                });
            }
        }
    }
    if let Some(node) = given(map, "namespace")
        && let Some(name) = node.as_str()
        && !grammar::is_label(name)
    {
        findings.at(Step::Field("namespace"), |findings| {
            findings.add(&node.span, format!("expected {LABEL}")).found(name);
        });
    }
    if let Some(entry) =
        map.entry("managedFields").filter(|entry| entry.value.as_list().is_some_and(|list| !list.is_empty()))
    {
        findings.at(Step::Field("managedFields"), |findings| {
            findings
                .add(&entry.key_span, "cannot be applied")
                .hint("only the server writes this field; remove it");
        });
    }
    labels("labels", map, findings);
    annotations(map, findings);
    findings.path.pop();
}

const LABEL: &str = "a name of lower-case letters, digits and `-`, 63 characters at most";
const SUBDOMAIN: &str = "a name of lower-case letters, digits, `-` and `.`, 253 characters at most";

/// What the name of such an object must be, and whether this one is; nothing where the rule is not known.
fn name_rule(api_version: &str, kind: &str, name: &str) -> Option<(&'static str, bool)> {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    Some(match (group, kind) {
        ("", "Namespace") => (LABEL, grammar::is_label(name)),
        // Letters first until the newest versions; what is refused by all of them is refused here.
        ("", "Service") => (LABEL, grammar::is_label(name)),
        ("rbac.authorization.k8s.io", _) => ("a name without `/` and `%`", grammar::is_path_segment(name)),
        ("batch", "CronJob") => (
            "a name of lower-case letters, digits, `-` and `.`, 52 characters at most",
            grammar::is_subdomain(name) && name.len() <= 52,
        ),
        ("apps", "Deployment" | "ReplicaSet" | "DaemonSet" | "StatefulSet")
        | ("batch", "Job")
        | ("networking.k8s.io", "Ingress" | "NetworkPolicy" | "IngressClass")
        | ("autoscaling", "HorizontalPodAutoscaler")
        | ("scheduling.k8s.io", "PriorityClass")
        | ("storage.k8s.io", "StorageClass")
        | (
            "",
            "Pod"
            | "ConfigMap"
            | "Secret"
            | "ServiceAccount"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "ReplicationController"
            | "ResourceQuota"
            | "LimitRange"
            | "PodTemplate"
            | "Endpoints",
        ) => (SUBDOMAIN, grammar::is_subdomain(name)),
        _ => return None,
    })
}

/// The labels under `key`: metadata's, or a selector of nodes.
pub(super) fn labels<'n>(key: &'n str, map: &'n Map, findings: &mut Findings<'n>) {
    let Some(labels) = map.get(key).and_then(Node::as_map) else { return };
    findings.path.push(Step::Field(key));
    for entry in labels {
        findings.path.push(Step::Field(&entry.key));
        if !grammar::is_qualified_name(&entry.key) {
            findings.add(&entry.key_span, KEY);
        }
        if let Some(text) = entry.value.as_str().filter(|text| !grammar::is_label_value(text)) {
            let message = "expected a label's value: 63 characters at most of letters, digits, `-`, `_` and `.`, starting and ending with a letter or digit";
            findings.add(&entry.value.span, message).found(text);
        }
        findings.path.pop();
    }
    findings.path.pop();
}

const KEY: &str = "expected a key such as `name` or `example.com/name`";

fn annotations<'n>(map: &'n Map, findings: &mut Findings<'n>) {
    let Some(node) = map.get("annotations") else { return };
    let Some(annotations) = node.as_map() else { return };
    findings.path.push(Step::Field("annotations"));
    let mut bytes = 0;
    for entry in annotations {
        if !grammar::is_qualified_name(&entry.key.to_lowercase()) {
            findings.at(Step::Field(&entry.key), |findings| {
                findings.add(&entry.key_span, KEY);
            });
        }
        bytes += entry.key.len() + entry.value.as_str().map_or(0, str::len);
    }
    if bytes > MOST_ANNOTATIONS {
        findings.add(&node.span, format!("must have at most {MOST_ANNOTATIONS} bytes, has {bytes}"));
    }
    findings.path.pop();
}

/// ConfigMaps and Secrets.
fn data<'n>(kind: &str, object: &'n Node, findings: &mut Findings<'n>) {
    let Some(map) = object.as_map() else { return };
    let mut bytes = 0;
    for field in ["data", "binaryData", "stringData"] {
        let Some(node) = given(map, field).filter(|_| (kind == "ConfigMap") != (field == "stringData"))
        else {
            continue;
        };
        for entry in node.as_map().into_iter().flatten() {
            if !grammar::is_data_key(&entry.key) {
                findings.at(Step::Field(field), |findings| {
                    findings.at(Step::Field(&entry.key), |findings| {
                        findings.add(
                            &entry.key_span,
                            "expected a key of letters, digits, `-`, `_` and `.`, 253 characters at most",
                        );
                    });
                });
            }
            let length = entry.value.as_str().map_or(0, str::len);
            bytes += if kind == "ConfigMap" && field == "data" || field == "stringData" {
                length
            } else {
                length / 4 * 3
            };
        }
    }
    if let (Some(text), Some(binary)) =
        (map.get("data").and_then(Node::as_map), map.get("binaryData").and_then(Node::as_map))
        && kind == "ConfigMap"
    {
        for entry in binary.iter().filter(|entry| text.get(&entry.key).is_some()) {
            findings.at(Step::Field("binaryData"), |findings| {
                findings.at(Step::Field(&entry.key), |findings| {
                    findings.add(&entry.key_span, "this key is in `data` too");
                });
            });
        }
    }
    // Padding may hide two bytes a value; nobody sits that close to the limit.
    if bytes > MOST_DATA + 1024 {
        findings
            .add(&object.span, format!("the data must have at most {MOST_DATA} bytes, has about {bytes}"));
    }
    if kind == "Secret" && map.get("type").and_then(Node::as_str) == Some("kubernetes.io/tls") {
        for key in ["tls.crt", "tls.key"] {
            let has = |field: &str| map.get(field).is_some_and(|node| node.get(key).is_some());
            if !has("data") && !has("stringData") {
                findings.at(Step::Field("data"), |findings| {
                    missing(&object.span, key, findings)
                        .hint("a Secret of type `kubernetes.io/tls` has both");
                });
            }
        }
    }
}

/// Goes down into a field that holds a mapping.
pub(super) fn under<'n>(
    node: &'n Node,
    key: &'static str,
    findings: &mut Findings<'n>,
    work: impl FnOnce(&'n Node, &mut Findings<'n>),
) {
    if let Some(inner) = node.get(key).filter(|inner| inner.as_map().is_some()) {
        findings.at(Step::Field(key), |findings| work(inner, findings));
    }
}

/// Goes through the elements of a list.
pub(super) fn each<'n>(
    node: &'n Node,
    key: &'static str,
    findings: &mut Findings<'n>,
    mut work: impl FnMut(&'n Node, &mut Findings<'n>),
) {
    for (index, item) in node.get(key).and_then(Node::as_list).unwrap_or_default().iter().enumerate() {
        findings.at(Step::Field(key), |findings| {
            findings.at(Step::Index(index), |findings| work(item, findings))
        });
    }
}

/// The value of a field, if there is one.
pub(super) fn given<'n>(map: &'n Map, key: &str) -> Option<&'n Node> {
    map.get(key).filter(|node| !node.is_null())
}

/// A field that must be there.
pub(super) fn missing<'f>(
    span: &manifest::yaml::Span,
    key: &str,
    findings: &'f mut Findings<'_>,
) -> &'f mut Finding {
    let finding = findings.add(span, "required field is missing");
    if key.contains('.') {
        finding.path += &format!("[{key:?}]");
    } else {
        finding.path += &format!("{}{key}", if finding.path.is_empty() { "" } else { "." });
    }
    finding
}

/// A whole number that must lie between two.
pub(super) fn range<'n>(
    node: &'n Node,
    key: &'static str,
    least: f64,
    most: f64,
    findings: &mut Findings<'n>,
) {
    if let Some(value) = node.get(key)
        && let Some(found) = number(value)
        && !(least..=most).contains(&found)
    {
        let message = match most == f64::MAX {
            true => format!("must be at least {least}"),
            false => format!("must be between {least} and {most}"),
        };
        findings.at(Step::Field(key), |findings| {
            findings.add(&value.span, message).found(found.to_string());
        });
    }
}

/// A port by number or by name.
pub(super) fn port<'n>(node: &'n Node, key: &'static str, findings: &mut Findings<'n>) {
    range(node, key, 1.0, 65535.0, findings);
    if let Some(value) = node.get(key)
        && let Some(name) = value.as_str()
        && !name.is_empty()
        && !grammar::is_port_name(name)
    {
        findings.at(Step::Field(key), |findings| {
            let finding = findings.add(
                &value.span,
                "expected a port's name: 15 characters at most of `a-z`, `0-9` and `-`, one letter at least",
            );
            finding.found(name);
            if name.parse::<u16>().is_ok() {
                finding.hint("write the number without quotes");
            }
        });
    }
}

/// Whether a field is true.
pub(super) fn is_true(node: &Node, key: &str) -> bool {
    matches!(node.get(key).and_then(Node::as_scalar), Some(Scalar::Bool(true)))
}

/// A share such as `25%` where text stands for a number.
pub(super) fn share<'n>(node: &'n Node, key: &'static str, findings: &mut Findings<'n>) {
    range(node, key, 0.0, f64::MAX, findings);
    if let Some(value) = node.get(key)
        && let Some(text) = value.as_str()
        && !text
            .strip_suffix('%')
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    {
        findings.at(Step::Field(key), |findings| {
            findings.add(&value.span, "expected a number or a share such as `25%`").found(text);
        });
    }
}
