//! What a server refuses in the pods that a manifest asks for.

use std::collections::BTreeMap;

use manifest::yaml::{Map, Node, Scalar};

use super::check::number;
use super::finding::{Findings, Step};
use super::grammar;
use super::server::{each, given, is_true, labels, missing, port, range, under};

/// Whose pods they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Pod,
    /// Deployments, ReplicaSets, DaemonSets: run for ever.
    Service,
    /// Jobs: run to their end.
    Job,
}

/// The pod's `spec`, which is the current place; `claims` are volumes that it has besides its own.
pub(super) fn spec<'n>(spec: &'n Node, owner: Owner, claims: &[&'n str], findings: &mut Findings<'n>) {
    let Some(map) = spec.as_map() else { return };
    if given(map, "containers").and_then(Node::as_list).is_some_and(<[Node]>::is_empty) {
        findings.at(Step::Field("containers"), |findings| {
            let span = map.get("containers").map_or(&spec.span, |node| &node.span);
            findings.add(span, "must have at least 1 element");
        });
    }
    restart_policy(map, owner, spec, findings);
    labels("nodeSelector", map, findings);
    let mut volumes = volumes(spec, findings);
    volumes.extend(claims);
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    for list in ["initContainers", "containers"] {
        each(spec, list, findings, |container, findings| {
            if let Some(node) = container.get("name")
                && let Some(name) = node.as_str()
                && let Some(line) = names.insert(name, node.span.line)
                && list == "containers"
                && is_name_in(spec, "initContainers", name)
            {
                findings.at(Step::Field("name"), |findings| {
                    findings
                        .add(&node.span, format!("the same name as the init container in line {line}"))
                        .found(name);
                });
            }
            container_rules(container, list, is_true(spec, "hostNetwork"), &volumes, findings);
        });
    }
}

fn is_name_in(spec: &Node, list: &str, name: &str) -> bool {
    let list = spec.get(list).and_then(Node::as_list).unwrap_or_default();
    list.iter().any(|container| container.get("name").and_then(Node::as_str) == Some(name))
}

/// Whether the pods run for ever or to their end.
pub(super) fn restart_policy<'n>(map: &'n Map, owner: Owner, spec: &'n Node, findings: &mut Findings<'n>) {
    let node = given(map, "restartPolicy");
    let policy = node.and_then(Node::as_str).filter(|policy| !policy.is_empty());
    let span = node.map_or(&spec.span, |node| &node.span);
    let message = match (owner, policy) {
        (Owner::Service, Some("Never" | "OnFailure")) => "only `Always` can be used here",
        (Owner::Job, Some("Always")) => "expected one of Never, OnFailure",
        (Owner::Job, None) if node.is_none_or(|node| node.as_str().is_some()) => {
            missing(span, "restartPolicy", findings)
                .hint("in a Job, write `restartPolicy: Never` or `OnFailure`");
            return;
        }
        _ => return,
    };
    findings.at(Step::Field("restartPolicy"), |findings| {
        findings.add(span, message);
    });
}

/// The names of the volumes; nothing if they cannot be told.
fn volumes<'n>(spec: &'n Node, findings: &mut Findings<'n>) -> Vec<&'n str> {
    let mut names = Vec::new();
    each(spec, "volumes", findings, |volume, findings| {
        let Some(map) = volume.as_map() else { return };
        if let Some(node) = map.get("name")
            && let Some(name) = node.as_str()
        {
            names.push(name);
            label(node, name, "name", findings);
        }
        let mut sources = map.iter().filter(|entry| entry.key != "name" && entry.value.as_map().is_some());
        if let (Some(first), Some(second)) = (sources.next(), sources.next()) {
            findings.at(Step::Field(&second.key), |findings| {
                findings.add(
                    &second.key_span,
                    format!("a volume has one source, and `{}` is given already", first.key),
                );
            });
        }
    });
    names
}

fn label<'n>(node: &'n Node, text: &'n str, key: &'static str, findings: &mut Findings<'n>) {
    if !grammar::is_label(text) {
        findings.at(Step::Field(key), |findings| {
            findings
                .add(
                    &node.span,
                    "expected a name of lower-case letters, digits and `-`, 63 characters at most",
                )
                .found(text);
        });
    }
}

fn container_rules<'n>(
    container: &'n Node,
    list: &str,
    host_network: bool,
    volumes: &[&str],
    findings: &mut Findings<'n>,
) {
    let Some(map) = container.as_map() else { return };
    if let Some(node) = map.get("name")
        && let Some(name) = node.as_str()
    {
        label(node, name, "name", findings);
    }
    match given(map, "image") {
        None => {
            missing(&container.span, "image", findings);
        }
        Some(node) => {
            if node.as_str() == Some("") {
                findings.at(Step::Field("image"), |findings| {
                    findings.add(&node.span, "must not be empty");
                });
            } else if let Some(image) = node.as_str().filter(|image| image.trim() != *image) {
                findings.at(Step::Field("image"), |findings| {
                    findings.add(&node.span, "must not start or end with white space").found(image);
                });
            }
        }
    }
    ports(container, host_network, findings);
    each(container, "env", findings, |variable, findings| {
        let value = variable.get("value").and_then(Node::as_str).is_some_and(|text| !text.is_empty());
        if let Some(entry) = variable
            .as_map()
            .and_then(|map| map.entry("valueFrom"))
            .filter(|entry| value && entry.value.as_map().is_some())
        {
            findings.at(Step::Field("valueFrom"), |findings| {
                findings.add(&entry.key_span, "cannot stand beside `value`");
            });
        }
        under(variable, "valueFrom", findings, |source, findings| {
            one_of(
                source,
                &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"],
                "source",
                findings,
            );
        });
    });
    each(container, "volumeMounts", findings, |mount, findings| {
        if let Some(node) = mount.get("name")
            && let Some(name) = node.as_str()
            && !name.is_empty()
            && !volumes.contains(&name)
        {
            let hint =
                grammar::nearest(name, volumes.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            findings.at(Step::Field("name"), |findings| {
                findings.add(&node.span, "the pod has no volume of this name").found(name).hint = hint;
            });
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        // Init containers that are no sidecars have none, which is a rule of its own.
        under(container, probe, findings, |probe, findings| {
            if list == "containers" {
                one_of(probe, HANDLERS, "handler", findings);
            }
            handler(probe, findings);
            for (key, least) in [
                ("initialDelaySeconds", 0.0),
                ("timeoutSeconds", 0.0),
                ("periodSeconds", 0.0),
                ("successThreshold", 0.0),
                ("failureThreshold", 0.0),
            ] {
                range(probe, key, least, f64::MAX, findings);
            }
        });
    }
    under(container, "resources", findings, resources);
}

const HANDLERS: &[&str] = &["exec", "httpGet", "tcpSocket", "grpc"];

fn handler<'n>(probe: &'n Node, findings: &mut Findings<'n>) {
    for key in ["httpGet", "tcpSocket"] {
        under(probe, key, findings, |action, findings| port(action, "port", findings));
    }
}

/// Exactly one of these fields.
pub(super) fn one_of<'n>(node: &'n Node, keys: &[&str], what: &str, findings: &mut Findings<'n>) {
    let Some(map) = node.as_map() else { return };
    let mut known =
        map.iter().filter(|entry| keys.contains(&entry.key.as_str()) && entry.value.as_map().is_some());
    match (known.next(), known.next()) {
        (None, _) => {
            // A field that is there but is no mapping, or that is misspelt, was reported already.
            if map.iter().all(|entry| entry.value.as_map().is_none()) {
                findings.add(&node.span, format!("needs a {what}: one of {}", keys.join(", ")));
            }
        }
        (Some(_), None) => {}
        (Some(first), Some(second)) => findings.at(Step::Field(&second.key), |findings| {
            findings.add(
                &second.key_span,
                format!("only one {what} is possible, and `{}` is given already", first.key),
            );
        }),
    }
}

fn ports<'n>(container: &'n Node, host_network: bool, findings: &mut Findings<'n>) {
    let mut names: BTreeMap<&str, u32> = BTreeMap::new();
    each(container, "ports", findings, |entry, findings| {
        range(entry, "containerPort", 1.0, 65535.0, findings);
        range(entry, "hostPort", 0.0, 65535.0, findings);
        if let Some(node) = entry.get("name")
            && let Some(name) = node.as_str().filter(|name| !name.is_empty())
        {
            port(entry, "name", findings);
            if let Some(line) = names.insert(name, node.span.line) {
                findings.at(Step::Field("name"), |findings| {
                    findings.add(&node.span, format!("the same name as the port in line {line}")).found(name);
                });
            }
        }
        let (host, own) =
            (entry.get("hostPort").and_then(number), entry.get("containerPort").and_then(number));
        if let (true, Some(host), Some(own), Some(node)) = (host_network, host, own, entry.get("hostPort"))
            && host != 0.0
            && host != own
        {
            findings.at(Step::Field("hostPort"), |findings| {
                findings.add(&node.span, "must be the same as `containerPort`, because of `hostNetwork`");
            });
        }
    });
}

/// Quantities are not negative, and what is requested is not more than the limit.
fn resources<'n>(resources: &'n Node, findings: &mut Findings<'n>) {
    let amount = |node: &Node| match node.as_scalar() {
        Some(Scalar::Text(text)) => grammar::quantity_value(text.trim()),
        _ => number(node),
    };
    let limits = resources.get("limits");
    for list in ["limits", "requests"] {
        under(resources, list, findings, |quantities, findings| {
            for entry in quantities.as_map().into_iter().flatten() {
                if !is_resource(&entry.key) {
                    let near = grammar::nearest(&entry.key, RESOURCES.iter().copied());
                    findings.at(Step::Field(&entry.key), |findings| {
                        let finding = findings.add(&entry.key_span, "no such resource");
                        finding.hint = near.map(|near| format!("did you mean `{near}`?"));
                    });
                }
                let Some(value) = amount(&entry.value) else { continue };
                let limit = limits.and_then(|limits| limits.get(&entry.key)).and_then(amount);
                findings.path.push(Step::Field(&entry.key));
                if value < 0.0 {
                    findings.add(&entry.value.span, "must be at least 0");
                } else if list == "requests"
                    && let Some(limit) = limit
                    && value > limit * (1.0 + 1e-12)
                {
                    findings.add(&entry.value.span, "the request is more than the limit");
                }
                findings.path.pop();
            }
        });
    }
}

const RESOURCES: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Whether a container can ask for it: one of Kubernetes' own, or one of a device plugin, with a domain.
fn is_resource(name: &str) -> bool {
    RESOURCES.contains(&name) || name.starts_with("hugepages-") || name.contains('/')
}
