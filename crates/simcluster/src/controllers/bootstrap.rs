//! What a new cluster has: namespaces, nodes, a storage class, the `kubernetes` service.

use std::sync::Arc;

use serde_json::json;

use super::Context;
use crate::api::discovery::GIT_VERSION;
use crate::cluster::{Cluster, now, now_micro};

/// Ownership of these objects is not recorded: a thousand clusters start in seconds.
const UNTRACKED: &str = "";

/// Creates the objects of a new cluster.
pub(crate) fn create(cluster: &Arc<Cluster>) {
    let mut state = cluster.lock();
    let mut context = Context { cluster, state: &mut state };
    for ns in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        context.create("namespaces", json!({"metadata": {"name": ns}}), UNTRACKED);
        super::namespaces::furnish(&mut context, ns, UNTRACKED);
    }
    for i in 0..cluster.nodes {
        let name = format!("{}-node-{}", cluster.name, i + 1);
        node(&mut context, &name, i);
    }
    context.create(
        "storageclasses.storage.k8s.io",
        json!({
            "metadata": {"name": "fake", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "fake.local/hostpath", "allowVolumeExpansion": true,
        }),
        UNTRACKED,
    );
    context.create(
        "services",
        json!({
            "metadata": {"name": "kubernetes", "namespace": "default", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": "10.96.0.1", "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": 6443}]},
        }),
        UNTRACKED,
    );
    for (name, value) in [("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)]
    {
        context.create(
            "priorityclasses.scheduling.k8s.io",
            json!({"metadata": {"name": name}, "value": value}),
            UNTRACKED,
        );
    }
    for name in ["cluster-admin", "admin", "edit", "view"] {
        context.create(
            "clusterroles.rbac.authorization.k8s.io",
            json!({"metadata": {"name": name}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}),
            UNTRACKED,
        );
    }
    context.state.store.changed.clear();
}

fn node(context: &mut Context<'_>, name: &str, index: usize) {
    let time = now();
    let zone = format!("fake-{}", ["a", "b", "c"][index % 3]);
    let condition = |kind: &str, status: &str, reason: &str| json!({"type": kind, "status": status, "reason": reason, "message": reason, "lastHeartbeatTime": time, "lastTransitionTime": time});
    let capacity = json!({"cpu": "64", "memory": "256Gi", "pods": "5k", "ephemeral-storage": "500Gi"});
    let key = context.create(
        "nodes",
        json!({
            "metadata": {"name": name, "labels": {
                "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux", "topology.kubernetes.io/region": "fake",
                "topology.kubernetes.io/zone": zone, "node-role.kubernetes.io/worker": "",
            }},
            "spec": {"podCIDR": format!("10.{}.{index}.0/24", 100 + context.cluster.index % 100), "providerID": format!("fake://{name}")},
        }),
        UNTRACKED,
    );
    let Some(key) = key else { return };
    if let Some(mut node) = context.state.store.get(&key) {
        node["status"] = json!({
            "capacity": capacity, "allocatable": capacity, "phase": "Running",
            "conditions": [
                condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                condition("Ready", "True", "KubeletReady"),
            ],
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": name}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
            "nodeInfo": {
                "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "6.1.0-fake", "osImage": "Fake Linux",
                "containerRuntimeVersion": "fake://1.0", "kubeletVersion": format!("{GIT_VERSION}-fake"),
                "kubeProxyVersion": "", "operatingSystem": "linux", "architecture": "amd64",
            },
        });
        context.save_status(&key, &node, UNTRACKED);
    }
    context.create(
        "leases.coordination.k8s.io",
        json!({"metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": now_micro()}}),
        UNTRACKED,
    );
}
