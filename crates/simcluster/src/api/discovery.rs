//! What the cluster serves: `/api`, `/apis`, `/version`, aggregated and not.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::cluster::State;
use crate::kinds::{Kind, Version};

/// The version that a simulated cluster reports.
pub(crate) const GIT_VERSION: &str = "v1.36.2";

/// Virtual resources that are not stored.
const REVIEWS: &[(&str, &str, &str, bool)] = &[
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", false),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", false),
    ("authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", false),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", false),
];

const VERBS: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// `/version`.
pub(crate) fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "gitVersion": GIT_VERSION, "gitCommit": "simulated", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "none", "platform": "linux/amd64",
    })
}

/// Kinds by version.
type Versions = BTreeMap<String, Vec<Arc<Kind>>>;

/// Group to versions to kinds, in discovery order.
fn groups(state: &State) -> Vec<(String, Versions)> {
    let mut out: Vec<(String, Versions)> = Vec::new();
    let mut add = |group: &str, version: Option<(&str, &Arc<Kind>)>| {
        let index = out.iter().position(|(g, _)| g == group).unwrap_or_else(|| {
            out.push((group.to_owned(), BTreeMap::new()));
            out.len() - 1
        });
        if let Some((version, kind)) = version {
            out[index].1.entry(version.to_owned()).or_default().push(kind.clone());
        }
    };
    for kind in state.store.kinds() {
        for version in &kind.versions {
            add(&kind.group, Some((&version.name, kind)));
        }
    }
    for (group, ..) in REVIEWS {
        add(group, None);
    }
    for (group, versions) in &mut out {
        if REVIEWS.iter().any(|r| r.0 == group) {
            versions.entry("v1".into()).or_default();
        }
    }
    out
}

/// Newest first: v2 before v1, stable before beta.
fn sorted(versions: &Versions) -> Vec<&String> {
    let mut names: Vec<&String> = versions.keys().collect();
    names.sort_by_key(|v| {
        let stable = !v.contains("alpha") && !v.contains("beta");
        let beta = v.contains("beta");
        let digits: String = v.chars().skip(1).take_while(char::is_ascii_digit).collect();
        (!stable, !beta, std::cmp::Reverse(digits.parse::<u32>().unwrap_or(0)))
    });
    names
}

/// `/api` or `/apis` in the aggregated form (`apidiscovery.k8s.io/v2`).
pub(crate) fn aggregated(state: &State, core: bool) -> Value {
    let items: Vec<Value> = groups(state)
        .iter()
        .filter(|(g, _)| g.is_empty() == core)
        .map(|(group, versions)| {
            let list: Vec<Value> = sorted(versions)
                .into_iter()
                .map(|version| {
                    json!({
                        "version": version, "freshness": "Current",
                        "resources": versions[version].iter().map(|k| aggregated_resource(k, version))
                            .chain(REVIEWS.iter().filter(|r| r.0 == group).map(|r| json!({
                                "resource": r.1, "singularResource": r.2.to_lowercase(), "scope": "Cluster", "verbs": ["create"],
                                "responseKind": {"group": r.0, "version": "v1", "kind": r.2},
                            }))).collect::<Vec<_>>(),
                    })
                })
                .collect();
            let mut meta = json!({"creationTimestamp": null});
            if !group.is_empty() {
                meta["name"] = json!(group);
            }
            json!({"metadata": meta, "versions": list})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items})
}

fn aggregated_resource(kind: &Kind, version: &str) -> Value {
    let gvk =
        |group: &str, version: &str, kind: &str| json!({"group": group, "version": version, "kind": kind});
    let mut out = json!({
        "resource": kind.plural,
        "responseKind": gvk(&kind.group, version, &kind.kind),
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": VERBS,
    });
    if !kind.short.is_empty() {
        out["shortNames"] = json!(kind.short);
    }
    if !kind.categories.is_empty() {
        out["categories"] = json!(kind.categories);
    }
    let subresources: Vec<Value> = subresources(kind, version)
        .into_iter()
        .map(|(name, group, version, kind, verbs)| {
            json!({"subresource": name, "responseKind": gvk(&group, &version, &kind), "verbs": verbs})
        })
        .collect();
    if !subresources.is_empty() {
        out["subresources"] = json!(subresources);
    }
    out
}

type Subresource = (&'static str, String, String, String, Vec<&'static str>);

fn subresources(kind: &Kind, version: &str) -> Vec<Subresource> {
    let mut out: Vec<Subresource> = Vec::new();
    let Some(Version { status, scale, .. }) = kind.version(version) else { return out };
    if *status {
        out.push((
            "status",
            kind.group.clone(),
            version.to_owned(),
            kind.kind.clone(),
            vec!["get", "patch", "update"],
        ));
    }
    if scale.is_some() {
        out.push((
            "scale",
            "autoscaling".into(),
            "v1".into(),
            "Scale".into(),
            vec!["get", "patch", "update"],
        ));
    }
    if kind.is("pods") {
        out.push(("log", String::new(), "v1".into(), "Pod".into(), vec!["get"]));
        out.push(("binding", String::new(), "v1".into(), "Binding".into(), vec!["create"]));
        out.push(("eviction", "policy".into(), "v1".into(), "Eviction".into(), vec!["create"]));
    }
    out
}

/// `/api/v1` and `/apis/GROUP/VERSION`.
pub(crate) fn resources(state: &State, group: &str, version: &str) -> Option<Value> {
    let groups = groups(state);
    let kinds = groups.iter().find(|(g, _)| g == group)?.1.get(version)?;
    let mut list = Vec::new();
    for kind in kinds {
        let mut out = json!({
            "name": kind.plural, "singularName": kind.singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": VERBS,
        });
        if !kind.short.is_empty() {
            out["shortNames"] = json!(kind.short);
        }
        if !kind.categories.is_empty() {
            out["categories"] = json!(kind.categories);
        }
        list.push(out);
        for (name, sub_group, sub_version, sub_kind, verbs) in subresources(kind, version) {
            let mut out = json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": sub_kind, "verbs": verbs,
            });
            if sub_group != kind.group {
                out["group"] = json!(sub_group);
                out["version"] = json!(sub_version);
            }
            list.push(out);
        }
    }
    for (_, plural, kind, namespaced) in REVIEWS.iter().filter(|r| r.0 == group) {
        list.push(json!({"name": plural, "singularName": kind.to_lowercase(), "namespaced": namespaced, "kind": kind, "verbs": ["create"]}));
    }
    let gv = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    Some(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": gv, "resources": list}))
}

/// `/api` in the old form.
pub(crate) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

/// `/apis` in the old form.
pub(crate) fn group_list(state: &State) -> Value {
    let groups: Vec<Value> =
        groups(state).iter().filter(|(g, _)| !g.is_empty()).map(|(g, v)| group_entry(g, v)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/GROUP`.
pub(crate) fn group(state: &State, name: &str) -> Option<Value> {
    let groups = groups(state);
    let (group, versions) = groups.iter().find(|(g, _)| g == name && !g.is_empty())?;
    let mut out = group_entry(group, versions);
    out["kind"] = json!("APIGroup");
    out["apiVersion"] = json!("v1");
    Some(out)
}

fn group_entry(group: &str, versions: &Versions) -> Value {
    let list: Vec<Value> = sorted(versions)
        .into_iter()
        .map(|v| json!({"groupVersion": format!("{group}/{v}"), "version": v}))
        .collect();
    json!({"name": group, "versions": list, "preferredVersion": list[0]})
}
