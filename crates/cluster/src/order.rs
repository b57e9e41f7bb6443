//! In which order objects are written, and which of them needs which.

use std::collections::{BTreeMap, BTreeSet};

use manifest::ObjectRef;
use serde_json::Value;

/// The phases of an apply, in order. Within one, objects are written concurrently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Namespaces.
    Namespaces,
    /// Custom resource definitions; the phase ends when they are established.
    Definitions,
    /// Accounts, roles, configuration, quotas, classes.
    Configuration,
    /// Volumes and claims.
    Storage,
    /// Everything that runs, and custom resources.
    Workloads,
    /// Services and what leads to them.
    Network,
    /// Autoscalers and disruption budgets.
    Scaling,
    /// Webhooks and aggregated APIs: from here on they judge every write.
    Webhooks,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 8] = [
        Self::Namespaces,
        Self::Definitions,
        Self::Configuration,
        Self::Storage,
        Self::Workloads,
        Self::Network,
        Self::Scaling,
        Self::Webhooks,
    ];

    /// For narration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Definitions => "custom resource definitions",
            Self::Configuration => "configuration",
            Self::Storage => "storage",
            Self::Workloads => "workloads",
            Self::Network => "services and ingresses",
            Self::Scaling => "autoscalers and disruption budgets",
            Self::Webhooks => "webhooks",
        }
    }

    /// The phase of a kind.
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Namespace") => Self::Namespaces,
            ("apiextensions.k8s.io", "CustomResourceDefinition") => Self::Definitions,
            ("", "ServiceAccount" | "Secret" | "ConfigMap" | "LimitRange" | "ResourceQuota") => {
                Self::Configuration
            }
            ("rbac.authorization.k8s.io", _) => Self::Configuration,
            ("scheduling.k8s.io", "PriorityClass") | ("node.k8s.io", "RuntimeClass") => Self::Configuration,
            ("networking.k8s.io", "NetworkPolicy" | "IngressClass") => Self::Configuration,
            ("", "PersistentVolume" | "PersistentVolumeClaim") | ("storage.k8s.io", _) => Self::Storage,
            ("", "Service" | "Endpoints") => Self::Network,
            ("networking.k8s.io" | "extensions", "Ingress") => Self::Network,
            ("discovery.k8s.io", _) | ("gateway.networking.k8s.io", _) => Self::Network,
            ("autoscaling", _) | ("policy", "PodDisruptionBudget") => Self::Scaling,
            (
                "admissionregistration.k8s.io",
                "ValidatingWebhookConfiguration"
                | "MutatingWebhookConfiguration"
                | "ValidatingAdmissionPolicyBinding"
                | "MutatingAdmissionPolicyBinding",
            )
            | ("apiregistration.k8s.io", "APIService") => Self::Webhooks,
            ("admissionregistration.k8s.io", _) => Self::Configuration,
            _ => Self::Workloads,
        }
    }
}

/// The objects that `value` names and cannot do without: namespace, CRD (by kind), service account, config, claims, the target of
/// an autoscaler, the role of a binding, the service of an ingress or webhook.
///
/// Only kind, namespace and name are filled in: a reference does not say which version it means.
pub fn needs(value: &Value) -> BTreeSet<ObjectRef> {
    let mut needs = BTreeSet::new();
    let namespace = value["metadata"]["namespace"].as_str();
    let kind = value["kind"].as_str().unwrap_or_default();
    if let Some(namespace) = namespace {
        needs.insert(bare("Namespace", None, namespace));
    }
    if let Some(pod) = pod_spec(value) {
        pod_needs(pod, namespace, &mut needs);
    }
    let mut add = |kind: &Value, name: &Value| {
        if let (Some(kind), Some(name)) = (kind.as_str(), name.as_str()) {
            let scoped = namespace.filter(|_| kind != "ClusterRole");
            needs.insert(bare(kind, scoped, name));
        }
    };
    match kind {
        "HorizontalPodAutoscaler" => {
            let target = &value["spec"]["scaleTargetRef"];
            add(&target["kind"], &target["name"]);
        }
        "RoleBinding" | "ClusterRoleBinding" => {
            add(&value["roleRef"]["kind"], &value["roleRef"]["name"]);
        }
        "Ingress" => {
            let service = Value::from("Service");
            for rule in list(&value["spec"]["rules"]) {
                for path in list(&rule["http"]["paths"]) {
                    add(&service, &path["backend"]["service"]["name"]);
                }
            }
            add(&service, &value["spec"]["defaultBackend"]["service"]["name"]);
        }
        "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration" => {
            for hook in list(&value["webhooks"]) {
                let service = &hook["clientConfig"]["service"];
                if let (Some(namespace), Some(name)) =
                    (service["namespace"].as_str(), service["name"].as_str())
                {
                    needs.insert(bare("Service", Some(namespace), name));
                }
            }
        }
        _ => {}
    }
    needs
}

/// The pod spec inside a workload, whatever its kind.
pub fn pod_spec(value: &Value) -> Option<&Value> {
    let spec = value.get("spec")?;
    let pod = match value["kind"].as_str()? {
        "Pod" => spec,
        "CronJob" => spec.get("jobTemplate")?.get("spec")?.get("template")?.get("spec")?,
        _ => spec.get("template")?.get("spec")?,
    };
    pod.get("containers").map(|_| pod)
}

fn pod_needs(pod: &Value, namespace: Option<&str>, needs: &mut BTreeSet<ObjectRef>) {
    let mut add = |kind: &str, source: &Value, key: &str| {
        if source["optional"] != true
            && let Some(name) = source[key].as_str()
        {
            needs.insert(bare(kind, namespace, name));
        }
    };
    add("ServiceAccount", pod, "serviceAccountName");
    for secret in list(&pod["imagePullSecrets"]) {
        add("Secret", secret, "name");
    }
    for volume in list(&pod["volumes"]) {
        add("ConfigMap", &volume["configMap"], "name");
        add("Secret", &volume["secret"], "secretName");
        add("PersistentVolumeClaim", &volume["persistentVolumeClaim"], "claimName");
        for source in list(&volume["projected"]["sources"]) {
            add("ConfigMap", &source["configMap"], "name");
            add("Secret", &source["secret"], "name");
        }
    }
    for container in list(&pod["initContainers"]).chain(list(&pod["containers"])) {
        for source in list(&container["envFrom"]) {
            add("ConfigMap", &source["configMapRef"], "name");
            add("Secret", &source["secretRef"], "name");
        }
        for variable in list(&container["env"]) {
            add("ConfigMap", &variable["valueFrom"]["configMapKeyRef"], "name");
            add("Secret", &variable["valueFrom"]["secretKeyRef"], "name");
        }
    }
}

fn bare(kind: &str, namespace: Option<&str>, name: &str) -> ObjectRef {
    ObjectRef {
        api_version: String::new(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Sorts `count` nodes so that each comes after those that `after(node)` gives; as levels that can run together.
///
/// # Errors
/// The nodes of one cycle, in order.
pub fn levels(count: usize, after: &BTreeMap<usize, BTreeSet<usize>>) -> Result<Vec<Vec<usize>>, Vec<usize>> {
    let empty = BTreeSet::new();
    let mut level_of: Vec<Option<usize>> = vec![None; count];
    let mut levels: Vec<Vec<usize>> = Vec::new();
    let mut left: BTreeSet<usize> = (0..count).collect();
    while !left.is_empty() {
        let ready: Vec<usize> = left
            .iter()
            .copied()
            .filter(|node| after.get(node).unwrap_or(&empty).iter().all(|need| level_of[*need].is_some()))
            .collect();
        if ready.is_empty() {
            return Err(cycle(&left, after));
        }
        for node in &ready {
            left.remove(node);
            level_of[*node] = Some(levels.len());
        }
        levels.push(ready);
    }
    Ok(levels)
}

/// Follows needs inside `left`, in which every node has one, until a node comes again.
fn cycle(left: &BTreeSet<usize>, after: &BTreeMap<usize, BTreeSet<usize>>) -> Vec<usize> {
    let mut path: Vec<usize> = Vec::new();
    let mut node = left.iter().next().copied().unwrap_or_default();
    loop {
        if let Some(start) = path.iter().position(|seen| *seen == node) {
            return path.split_off(start);
        }
        path.push(node);
        let next = after.get(&node).and_then(|needs| needs.iter().find(|need| left.contains(need)));
        match next {
            Some(next) => node = *next,
            None => return path,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_come_first_and_webhooks_last() {
        let kinds = [
            ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
            ("autoscaling", "HorizontalPodAutoscaler"),
            ("", "Service"),
            ("apps", "Deployment"),
            ("", "PersistentVolumeClaim"),
            ("", "ConfigMap"),
            ("apiextensions.k8s.io", "CustomResourceDefinition"),
            ("", "Namespace"),
        ];
        let mut phases: Vec<_> = kinds.iter().map(|(group, kind)| Phase::of(group, kind)).collect();
        phases.reverse();
        assert_eq!(phases, Phase::ALL);
        assert_eq!(Phase::of("example.com", "Widget"), Phase::Workloads);
    }

    #[test]
    fn a_workload_needs_what_its_pods_name_unless_it_is_optional() {
        let needs: Vec<String> = needs(&serde_json::json!({
            "kind": "Deployment", "metadata": {"name": "a", "namespace": "web"},
            "spec": {"template": {"spec": {"serviceAccountName": "robot", "containers": [{
                "env": [{"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                        {"valueFrom": {"configMapKeyRef": {"name": "no", "optional": true}}}],
                "envFrom": [{"configMapRef": {"name": "c"}}],
            }], "volumes": [{"persistentVolumeClaim": {"claimName": "p"}}]}}},
        }))
        .iter()
        .map(ToString::to_string)
        .collect();
        assert_eq!(
            needs,
            [
                "ConfigMap/web/c",
                "Namespace/web",
                "PersistentVolumeClaim/web/p",
                "Secret/web/s",
                "ServiceAccount/web/robot"
            ]
        );
    }

    #[test]
    fn chains_become_levels_and_cycles_are_named_in_order() {
        let edges = |pairs: &[(usize, usize)]| {
            let mut after: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
            for (node, need) in pairs {
                after.entry(*node).or_default().insert(*need);
            }
            after
        };
        assert_eq!(levels(4, &edges(&[(0, 1), (1, 2)])), Ok(vec![vec![2, 3], vec![1], vec![0]]));
        assert_eq!(levels(4, &edges(&[(0, 1), (1, 2), (2, 1), (3, 0)])), Err(vec![1, 2]));
        assert_eq!(levels(1, &edges(&[(0, 0)])), Err(vec![0]));
    }
}
