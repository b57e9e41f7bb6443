//! Regenerates `src/schema/kubernetes.txt`, the field table of the built-in kinds, from the sources of
//! the `k8s-openapi` crate (Apache-2.0), which are generated from the Kubernetes OpenAPI document.
//!
//! ```sh
//! K8S_OPENAPI_SRC=~/.cargo/registry/src/index.crates.io-*/k8s-openapi-0.29.0/src/v1_36 \
//!     cargo test -p simcluster --test schema_generator -- --ignored
//! ```

#![allow(clippy::unwrap_used, reason = "a generator that is run by hand: a panic is its way to say no")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

/// Where generation starts: every kind that a simulated cluster serves.
const ROOTS: &[&str] = &[
    "api.core.v1.Namespace",
    "api.core.v1.Pod",
    "api.core.v1.PodTemplate",
    "api.core.v1.Service",
    "api.core.v1.ConfigMap",
    "api.core.v1.Secret",
    "api.core.v1.ServiceAccount",
    "api.core.v1.PersistentVolumeClaim",
    "api.core.v1.PersistentVolume",
    "api.core.v1.LimitRange",
    "api.core.v1.ResourceQuota",
    "api.core.v1.Endpoints",
    "api.core.v1.Event",
    "api.core.v1.Node",
    "api.core.v1.ReplicationController",
    "api.core.v1.Binding",
    "api.apps.v1.Deployment",
    "api.apps.v1.ReplicaSet",
    "api.apps.v1.StatefulSet",
    "api.apps.v1.DaemonSet",
    "api.apps.v1.ControllerRevision",
    "api.batch.v1.Job",
    "api.batch.v1.CronJob",
    "api.autoscaling.v1.HorizontalPodAutoscaler",
    "api.autoscaling.v1.Scale",
    "api.autoscaling.v2.HorizontalPodAutoscaler",
    "api.policy.v1.PodDisruptionBudget",
    "api.policy.v1.Eviction",
    "api.networking.v1.Ingress",
    "api.networking.v1.IngressClass",
    "api.networking.v1.NetworkPolicy",
    "api.rbac.v1.Role",
    "api.rbac.v1.RoleBinding",
    "api.rbac.v1.ClusterRole",
    "api.rbac.v1.ClusterRoleBinding",
    "api.storage.v1.StorageClass",
    "api.storage.v1.CSIDriver",
    "api.storage.v1.CSINode",
    "api.storage.v1.VolumeAttachment",
    "api.scheduling.v1.PriorityClass",
    "api.coordination.v1.Lease",
    "api.discovery.v1.EndpointSlice",
    "api.events.v1.Event",
    "api.admissionregistration.v1.ValidatingWebhookConfiguration",
    "api.admissionregistration.v1.MutatingWebhookConfiguration",
    "api.admissionregistration.v1.ValidatingAdmissionPolicy",
    "api.admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    "apiextensions_apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition",
    "kube_aggregator.pkg.apis.apiregistration.v1.APIService",
    "api.authorization.v1.SelfSubjectAccessReview",
    "api.authorization.v1.SelfSubjectRulesReview",
    "api.authorization.v1.SubjectAccessReview",
    "api.authentication.v1.SelfSubjectReview",
    "api.authentication.v1.TokenRequest",
];

/// Types whose OpenAPI definition says `x-kubernetes-map-type: atomic` (one owner for the whole struct);
/// `k8s-openapi` does not carry that.
const ATOMIC: &[&str] = &[
    "MatchResources",
    "NamedRuleWithOperations",
    "ParamKind",
    "ParamRef",
    "Variable",
    "ConfigMapKeySelector",
    "EndpointAddress",
    "EndpointPort",
    "FileKeySelector",
    "LocalObjectReference",
    "NodeSelector",
    "NodeSelectorTerm",
    "ObjectFieldSelector",
    "ObjectReference",
    "ResourceFieldSelector",
    "ScopeSelector",
    "SecretKeySelector",
    "SecretReference",
    "TopologySelectorTerm",
    "TypedLocalObjectReference",
    "ServiceBackendPort",
    "RoleRef",
    "Subject",
    "LabelSelector",
    "OwnerReference",
];

/// Lists whose key has more than one field, which `k8s-openapi` does not carry either.
const KEYS: &[(&str, &str, &str)] = &[
    ("Container", "ports", "containerPort,protocol"),
    ("EphemeralContainer", "ports", "containerPort,protocol"),
    ("ServiceSpec", "ports", "port,protocol"),
    ("PodSpec", "topologySpreadConstraints", "topologyKey,whenUnsatisfiable"),
    ("JobStatus", "conditions", "-"),
    ("PodStatus", "hostIPs", "-"),
    ("StatefulSetSpec", "volumeClaimTemplates", "-"),
];

struct Table {
    types: BTreeMap<String, String>,
    pending: BTreeSet<String>,
}

impl Table {
    /// The table's code of a Rust type, and a note to visit the types that it names.
    fn code(&mut self, rust: &str) -> String {
        let rust = rust.trim();
        if let Some(inner) = rust.strip_prefix("std::vec::Vec<").and_then(|r| r.strip_suffix('>')) {
            return format!("[{}", self.code(inner));
        }
        if let Some(inner) = rust
            .strip_prefix("std::collections::BTreeMap<std::string::String, ")
            .and_then(|r| r.strip_suffix('>'))
        {
            return format!("{{{}", self.code(inner));
        }
        if let Some(inner) = rust.strip_prefix("std::boxed::Box<").and_then(|r| r.strip_suffix('>')) {
            return self.code(inner);
        }
        match rust {
            "std::string::String" => "s".into(),
            "i32" => "i".into(),
            "i64" => "l".into(),
            "f64" | "f32" => "f".into(),
            "bool" => "b".into(),
            "crate::ByteString" => "y".into(),
            _ => {
                let path = rust.strip_prefix("crate::").unwrap_or(rust).replace("::", ".");
                match path.rsplit('.').next().unwrap_or_default() {
                    "Time" => "t".into(),
                    "MicroTime" => "u".into(),
                    "Quantity" => "q".into(),
                    "IntOrString" => "x".into(),
                    "RawExtension"
                    | "JSON"
                    | "FieldsV1"
                    | "JSONSchemaProps"
                    | "Value"
                    | "CustomResourceSubresourceStatus" => "*".into(),
                    _ => {
                        if !self.types.contains_key(&path) {
                            self.pending.insert(path.clone());
                        }
                        format!("@{}", short(&path))
                    }
                }
            }
        }
    }

    fn visit(&mut self, root: &Path, path: &str) {
        let mut parts: Vec<&str> = path.split('.').collect();
        let name = parts.pop().expect("a type has a name");
        let file =
            parts.iter().fold(root.to_path_buf(), |p, part| p.join(part)).join(format!("{}.rs", snake(name)));
        let source = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        let body = source
            .split(&format!("pub struct {name} {{"))
            .nth(1)
            .unwrap_or_else(|| panic!("{path} is not a struct"))
            .split("\n}\n")
            .next()
            .unwrap();
        let fields: Vec<(&str, &str)> = body
            .lines()
            .filter_map(|l| l.trim().strip_prefix("pub ")?.strip_suffix(',')?.split_once(": "))
            .collect();
        let mut names: Vec<&str> = source.split("&[\n").nth(1).map_or(Vec::new(), |s| {
            s.split(']')
                .next()
                .unwrap()
                .lines()
                .filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix("\","))
                .collect()
        });
        if !source.contains("deserialize_struct") {
            names.clear();
        } else {
            let list = source.split("deserializer.deserialize_struct(").nth(1).unwrap();
            let list = list.split("&[").nth(1).unwrap().split(']').next().unwrap();
            names = list.lines().filter_map(|l| l.trim().strip_prefix('"')?.strip_suffix("\",")).collect();
        }
        if source.contains("impl crate::Resource for") {
            names.retain(|n| *n != "apiVersion" && *n != "kind");
        }
        assert_eq!(names.len(), fields.len(), "{path}: {names:?} {fields:?}");
        let mut out = String::new();
        writeln!(out, "{}{}", short(path), if ATOMIC.contains(&name) { " !" } else { "" }).unwrap();
        if source.contains("impl crate::Resource for") {
            out.push_str(" apiVersion s\n kind s\n");
        }
        for ((field, rust), json) in fields.iter().zip(names) {
            let (rust, optional) = match rust.strip_prefix("Option<").and_then(|r| r.strip_suffix('>')) {
                Some(inner) => (inner, true),
                None => (*rust, false),
            };
            let mut code = self.code(rust);
            if let Some(inner) = code.strip_prefix('[') {
                let given = KEYS.iter().find(|k| k.0 == name && k.1 == json).map(|k| k.2.to_owned());
                let mark = given.unwrap_or_else(|| list_mark(&source, field));
                code = if mark == "-" { format!("[{inner}") } else { format!("[{mark};{inner}") };
            } else if let Some(inner) = code.strip_prefix('{')
                && source.contains(&format!("map::atomic(&mut self.{field},"))
            {
                code = format!("{{!{inner}");
            }
            let required = !optional && !matches!(rust, r if r.ends_with("ObjectMeta"));
            writeln!(out, " {json}{} {code}", if required { "+" } else { "" }).unwrap();
        }
        self.types.insert(path.to_owned(), out);
    }
}

/// `-` for an atomic list, `set`, or the key fields.
fn list_mark(source: &str, field: &str) -> String {
    if source.contains(&format!("list::set(&mut self.{field},")) {
        return "set".into();
    }
    for part in source.split("merge_strategies::list::map(").skip(1) {
        let part = part.split("],").next().unwrap();
        if part.contains(&format!("&mut self.{field},")) {
            let keys: Vec<String> =
                part.split("lhs.").skip(1).map(|k| camel(k.split(' ').next().unwrap())).collect();
            return keys.join(",");
        }
    }
    "-".into()
}

fn camel(snake: &str) -> String {
    let snake = snake.strip_prefix("r#").unwrap_or(snake).trim_end_matches('_');
    let mut out = String::new();
    for (i, part) in snake.split('_').enumerate() {
        let (head, tail) = part.split_at(1.min(part.len()));
        out.push_str(&if i == 0 { head.to_owned() } else { head.to_uppercase() });
        out.push_str(tail);
    }
    if out == "ip" || out == "uid" { out } else { out.replace("Id", "ID") }
}

fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, c) in chars.iter().enumerate() {
        if c.is_uppercase() {
            let after_lower = i > 0 && !chars[i - 1].is_uppercase();
            let before_lower = i > 0 && chars.get(i + 1).is_some_and(|n| n.is_lowercase());
            if after_lower || before_lower {
                out.push('_');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(*c);
        }
    }
    out
}

/// `apps.v1.Deployment` for `api.apps.v1.Deployment`; the last three parts for the others.
fn short(path: &str) -> String {
    let parts: Vec<&str> = path.split('.').collect();
    parts[parts.len() - 3..].join(".")
}

#[test]
#[ignore = "rewrites a source file; run by hand when k8s-openapi is updated"]
fn the_field_table_is_written() {
    let root = std::env::var("K8S_OPENAPI_SRC").expect("K8S_OPENAPI_SRC names k8s-openapi's src/v1_NN");
    let root = Path::new(&root);
    let mut table =
        Table { types: BTreeMap::new(), pending: ROOTS.iter().map(|r| (*r).to_owned()).collect() };
    while let Some(path) = table.pending.pop_first() {
        table.visit(root, &path);
    }
    let mut out = String::from(
        "# Generated by tests/schema_generator.rs from k8s-openapi (Apache-2.0); do not edit.\n\
         # TYPE [!]: `!` has one owner as a whole. Then ` field[+] code`: `+` is always present.\n\
         # s string, i int32, l int64, f number, b boolean, y base64, t time, u micro time, q quantity,\n\
         # x int or string, * anything, @T type, [c atomic list, [set;c set, [k,k;c list by key, {c map, {!c atomic map.\n",
    );
    table.types.values().for_each(|t| out.push_str(t));
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/schema/kubernetes.txt");
    std::fs::create_dir_all(target.parent().unwrap()).unwrap();
    std::fs::write(target, out).unwrap();
}
