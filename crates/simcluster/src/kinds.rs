//! The kinds that a cluster serves: built-in ones, and those that CRDs add.

use std::sync::{Arc, LazyLock};

use serde_json::Value;

use crate::schema::{self, Ty};

/// Where `kubectl scale` and an HPA find the replicas of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Scale {
    pub spec_path: String,
    pub status_path: String,
    pub selector_path: Option<String>,
}

/// A served version of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub name: String,
    pub ty: Arc<Ty>,
    /// JSON Schema of a custom resource version.
    pub schema: Option<Arc<Value>>,
    /// Extra columns of `kubectl get`.
    pub columns: Vec<Value>,
    pub status: bool,
    pub scale: Option<Scale>,
    pub selectable: Vec<String>,
}

/// A kind.
#[derive(Debug)]
pub(crate) struct Kind {
    pub group: String,
    /// The first one is the preferred and stored one.
    pub versions: Vec<Version>,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub short: Vec<String>,
    pub categories: Vec<String>,
    pub namespaced: bool,
    /// Whether `metadata.generation` counts changes of the spec.
    pub generation: bool,
    pub custom: bool,
}

/// Names a kind in the store: `deployments.apps`, `pods`.
pub(crate) type KindId = Arc<str>;

impl Kind {
    /// `deployments.apps`, or `pods` in the core group.
    pub(crate) fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub(crate) fn version(&self, name: &str) -> Option<&Version> {
        self.versions.iter().find(|v| v.name == name)
    }

    /// The stored version.
    pub(crate) fn stored(&self) -> &Version {
        &self.versions[0]
    }

    /// `apps/v1`, `v1`.
    pub(crate) fn api_version(&self, version: &str) -> String {
        if self.group.is_empty() { version.to_owned() } else { format!("{}/{version}", self.group) }
    }

    pub(crate) fn is(&self, group_resource: &str) -> bool {
        match group_resource.split_once('.') {
            Some((plural, group)) => self.plural == plural && self.group == group,
            None => self.group.is_empty() && self.plural == group_resource,
        }
    }
}

/// `group version kind plural short,names categories flags`; flags: n namespaced, s status, g generation,
/// c scale. `-` stands for nothing.
const TABLE: &str = "\
- v1 Namespace namespaces ns - s
- v1 Pod pods po all nsg
- v1 PodTemplate podtemplates - - n
- v1 Service services svc all ns
- v1 ConfigMap configmaps cm - n
- v1 Secret secrets - - n
- v1 ServiceAccount serviceaccounts sa - n
- v1 PersistentVolumeClaim persistentvolumeclaims pvc - ns
- v1 PersistentVolume persistentvolumes pv - s
- v1 LimitRange limitranges limits - n
- v1 ResourceQuota resourcequotas quota - ns
- v1 Endpoints endpoints ep - n
- v1 Event events ev - n
- v1 Node nodes no - s
- v1 ReplicationController replicationcontrollers rc all nsgc
apps v1 Deployment deployments deploy all nsgc
apps v1 ReplicaSet replicasets rs all nsgc
apps v1 StatefulSet statefulsets sts all nsgc
apps v1 DaemonSet daemonsets ds all nsg
apps v1 ControllerRevision controllerrevisions - - n
batch v1 Job jobs - all nsg
batch v1 CronJob cronjobs cj all nsg
autoscaling v2 HorizontalPodAutoscaler horizontalpodautoscalers hpa all ns
policy v1 PodDisruptionBudget poddisruptionbudgets pdb - nsg
networking.k8s.io v1 Ingress ingresses ing - nsg
networking.k8s.io v1 IngressClass ingressclasses - - g
networking.k8s.io v1 NetworkPolicy networkpolicies netpol - ng
rbac.authorization.k8s.io v1 Role roles - - n
rbac.authorization.k8s.io v1 RoleBinding rolebindings - - n
rbac.authorization.k8s.io v1 ClusterRole clusterroles - - -
rbac.authorization.k8s.io v1 ClusterRoleBinding clusterrolebindings - - -
storage.k8s.io v1 StorageClass storageclasses sc - -
storage.k8s.io v1 CSIDriver csidrivers - - -
storage.k8s.io v1 CSINode csinodes - - -
storage.k8s.io v1 VolumeAttachment volumeattachments - - s
scheduling.k8s.io v1 PriorityClass priorityclasses pc - -
coordination.k8s.io v1 Lease leases - - n
discovery.k8s.io v1 EndpointSlice endpointslices - - n
events.k8s.io v1 Event events ev - n
admissionregistration.k8s.io v1 ValidatingWebhookConfiguration validatingwebhookconfigurations - api-extensions g
admissionregistration.k8s.io v1 MutatingWebhookConfiguration mutatingwebhookconfigurations - api-extensions g
admissionregistration.k8s.io v1 ValidatingAdmissionPolicy validatingadmissionpolicies - api-extensions sg
admissionregistration.k8s.io v1 ValidatingAdmissionPolicyBinding validatingadmissionpolicybindings - api-extensions g
apiextensions.k8s.io v1 CustomResourceDefinition customresourcedefinitions crd,crds api-extensions sg
apiregistration.k8s.io v1 APIService apiservices - api-extensions s
";

/// The group as the field table names it: `rbac.v1` for `rbac.authorization.k8s.io/v1`.
fn table_group(group: &str) -> &str {
    if group == "-" { "core" } else { group.split('.').next().unwrap_or(group) }
}

/// The built-in kinds, in the order in which discovery lists them.
pub(crate) static BUILT_IN: LazyLock<Vec<Arc<Kind>>> = LazyLock::new(|| {
    let list = |text: &str| -> Vec<String> {
        if text == "-" { Vec::new() } else { text.split(',').map(str::to_owned).collect() }
    };
    TABLE
        .lines()
        .filter_map(|line| {
            let [group, version, kind, plural, short, categories, flags] =
                line.split(' ').collect::<Vec<_>>().try_into().ok()?;
            let make = |version: &str| Version {
                name: version.to_owned(),
                ty: schema::built_in(&format!("{}.{version}.{kind}", table_group(group))),
                schema: None,
                columns: Vec::new(),
                status: flags.contains('s'),
                scale: flags.contains('c').then(|| Scale {
                    spec_path: "/spec/replicas".into(),
                    status_path: "/status/replicas".into(),
                    selector_path: None,
                }),
                selectable: Vec::new(),
            };
            let mut versions = vec![make(version)];
            if group == "autoscaling" {
                versions.push(make("v1"));
            }
            Some(Arc::new(Kind {
                group: if group == "-" { String::new() } else { group.to_owned() },
                versions,
                kind: kind.to_owned(),
                plural: plural.to_owned(),
                singular: kind.to_lowercase(),
                short: list(short),
                categories: list(categories),
                namespaced: flags.contains('n'),
                generation: flags.contains('g'),
                custom: false,
            }))
        })
        .collect()
});

/// The built-in kind of a group resource such as `deployments.apps`.
pub(crate) fn built_in(group_resource: &str) -> Option<&'static Arc<Kind>> {
    BUILT_IN.iter().find(|k| k.is(group_resource))
}
