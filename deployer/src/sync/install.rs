//! `deployer sync --install`: the manifests that run a puller in its cluster, with the rights that the rendered manifests
//! need and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cli::{Exit, Failure, Problem};
use manifest::Object;
use serde_json::{Value, json};

use crate::args::SyncArgs;
use crate::{input, parse};

/// The name of everything that is installed.
const NAME: &str = "kit-sync";
/// The Secret that may hold the token for the git server, under `token`.
const SECRET: &str = "kit-git";

/// The manifests, as YAML with a word on each.
///
/// # Errors
/// Flags that are missing, manifests that cannot be read.
pub(crate) fn manifests(args: &SyncArgs) -> Result<String, Failure> {
    let mut problems = Vec::new();
    let mut need = |value: Option<&str>, flag: &str, hint: &str| {
        let value = value.filter(|value| !value.trim().is_empty());
        if value.is_none() {
            problems.push(Problem::new(format!("`--install` needs `{flag}`")).hint(hint));
        }
        value.unwrap_or_default().to_owned()
    };
    let repo = need(args.git.repo.as_deref(), "--repo", "--repo https://git.example.org/acme/manifests");
    let image = need(args.image.as_deref(), "--image", "--image registry.example.org/kit/deployer:0.1.0");
    let cluster = need(args.deploy.reach.in_cluster.as_deref(), "--in-cluster", "--in-cluster eu-1");
    let dir = args.deploy.manifests_dir.clone();
    let dir = need(
        dir.as_ref().and_then(|dir| dir.to_str()),
        "--manifests-dir",
        "the rendered manifests, from which the rights follow: --manifests-dir generated",
    );
    if gitrepo::redact(&repo) != repo {
        problems.push(
            Problem::new("the address of the repository holds a password, which would be in a manifest")
                .hint(format!("put it into a Secret: kubectl -n {} create secret generic {SECRET} --from-literal=token=TOKEN", args.system_namespace)),
        );
    }
    if !problems.is_empty() {
        return Err(Failure::all(Exit::Invalid, problems));
    }
    let folder = std::path::Path::new(&dir).join(&cluster);
    let objects = manifest::load_dir(&folder)
        .map_err(|errors| Failure::all(Exit::Invalid, errors.iter().map(input::problem).collect()))?;
    if objects.is_empty() {
        return Err(Failure::invalid(
            Problem::new(format!("there are no manifests for the cluster: `{}`", folder.display())).hint(
                "deploymentizer writes them; --manifests-dir is the folder that holds a folder per cluster",
            ),
        ));
    }
    let setup = Setup { args, repo, image, cluster };
    documents(&[
        ("", setup.namespace()),
        ("", setup.account()),
        ("What the manifests of this cluster hold, and no other kind. Print this again when they hold new kinds.", setup.role(&objects)),
        ("", setup.binding("ClusterRoleBinding", "ClusterRole")),
        ("What kit keeps of itself: its inventory, its state, its history, its lease.", setup.own_role()),
        ("", setup.binding("RoleBinding", "Role")),
        (
            "The token for the git server: kubectl -n NAMESPACE create secret generic kit-git --from-literal=token=TOKEN",
            setup.workload(),
        ),
    ])
    .map_err(|error| Failure::failed(Problem::from_error(&error)))
}

fn documents(parts: &[(&str, Value)]) -> Result<String, manifest::yaml::EmitError> {
    let mut text = String::new();
    for (comment, value) in parts {
        text.push_str("---\n");
        if !comment.is_empty() {
            let namespace = value["metadata"]["namespace"].as_str().unwrap_or_default();
            text.push_str(&format!("# {}\n", comment.replace("NAMESPACE", namespace)));
        }
        text.push_str(&manifest::yaml::emit(value)?);
    }
    Ok(text)
}

struct Setup<'a> {
    args: &'a SyncArgs,
    repo: String,
    image: String,
    cluster: String,
}

impl Setup<'_> {
    fn metadata(&self, namespaced: bool) -> Value {
        let mut metadata = json!({
            "name": NAME,
            "labels": {"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "kit"},
        });
        if namespaced {
            metadata["namespace"] = self.args.system_namespace.clone().into();
        }
        metadata
    }

    fn namespace(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.args.system_namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }})
    }

    fn account(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": self.metadata(true)})
    }

    fn role(&self, objects: &[Object]) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": self.metadata(false),
            "rules": rules(objects),
        })
    }

    fn own_role(&self) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": self.metadata(true),
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["configmaps", "secrets"],
                    "verbs": ["get", "list", "create", "update", "patch", "delete"],
                },
                {
                    "apiGroups": ["coordination.k8s.io"],
                    "resources": ["leases"],
                    "verbs": ["get", "create", "update", "patch", "delete"],
                },
                {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]},
            ],
        })
    }

    fn binding(&self, kind: &str, role: &str) -> Value {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": kind,
            "metadata": self.metadata(kind == "RoleBinding"),
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role, "name": NAME},
            "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": self.args.system_namespace}],
        })
    }

    /// A Deployment, or with `--once` a CronJob.
    fn workload(&self) -> Value {
        let template = json!({
            "metadata": {"labels": {"app.kubernetes.io/name": NAME}},
            "spec": self.pod(),
        });
        if self.args.once {
            return json!({
                "apiVersion": "batch/v1",
                "kind": "CronJob",
                "metadata": self.metadata(true),
                "spec": {
                    "schedule": schedule(self.args.interval),
                    // Two at once would only wait for each other.
                    "concurrencyPolicy": "Forbid",
                    "successfulJobsHistoryLimit": 1,
                    "failedJobsHistoryLimit": 3,
                    "jobTemplate": {"spec": {"backoffLimit": 0, "template": template}},
                },
            });
        }
        json!({
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": self.metadata(true),
            "spec": {
                "replicas": 1,
                "strategy": {"type": "Recreate"},
                "selector": {"matchLabels": {"app.kubernetes.io/name": NAME}},
                "template": template,
            },
        })
    }

    fn pod(&self) -> Value {
        let args = &self.args;
        let mut flags = vec!["sync".to_owned()];
        let mut flag = |name: &str, value: &str| flags.push(format!("--{name}={value}"));
        flag("repo", &self.repo);
        if let Some(branch) = parse::given(&args.git.repo_branch) {
            flag("repo-branch", &branch);
        }
        flag("path", &args.git.path);
        if let Some(path) = &args.git.namespaces_path {
            flag("namespaces-path", path);
        }
        flag("in-cluster", &self.cluster);
        flag("system-namespace", &args.system_namespace);
        flag("sync-name", &args.sync_name);
        if args.once {
            flag("once", "true");
        } else {
            flag("interval", &format!("{}s", args.interval.as_secs().max(1)));
            flag("listen", "0.0.0.0:8080");
        }
        let mut container = json!({
            "name": "deployer",
            "image": self.image,
            "args": flags,
            "env": [{
                "name": "KIT_TOKEN",
                "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "token", "optional": true}},
            }],
            "resources": {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "256Mi"}},
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": {"drop": ["ALL"]},
            },
            // The manifests of a commit, while they are deployed.
            "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
        });
        if !args.once {
            container["ports"] = json!([{"name": "http", "containerPort": 8080}]);
            container["livenessProbe"] =
                json!({"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 30});
        }
        let mut pod = json!({
            "serviceAccountName": NAME,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        });
        if args.once {
            pod["restartPolicy"] = "Never".into();
        }
        pod
    }
}

/// A schedule that comes nearest to an interval: cron knows minutes.
fn schedule(interval: Duration) -> String {
    match interval.as_secs().div_ceil(60) {
        0 | 1 => "* * * * *".to_owned(),
        minutes @ 2..=59 => format!("*/{minutes} * * * *"),
        minutes => format!("0 */{} * * *", (minutes / 60).min(23)),
    }
}

/// The rights that applying these objects, and seeing whether they run, needs.
fn rules(objects: &[Object]) -> Vec<Value> {
    let mut plurals = BTreeMap::new();
    for definition in objects.iter().filter(|object| object.kind() == "CustomResourceDefinition") {
        let spec = &definition.value["spec"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        plurals.insert((text(&spec["group"]), text(&spec["names"]["kind"])), text(&spec["names"]["plural"]));
    }
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for object in objects {
        let group = object.api_version().split_once('/').map_or("", |(group, _)| group).to_owned();
        let known = plurals.get(&(group.clone(), object.kind().to_owned()));
        let plural = known.cloned().unwrap_or_else(|| plural(object.kind()));
        kinds.entry(group).or_default().insert(plural);
    }
    let mut rules: Vec<Value> = kinds
        .iter()
        .map(|(group, resources)| {
            json!({
                "apiGroups": [group],
                "resources": resources,
                "verbs": ["get", "list", "watch", "create", "patch", "delete"],
            })
        })
        .collect();
    let rbac = kinds.get("rbac.authorization.k8s.io");
    let roles: Vec<&str> = ["clusterroles", "roles"]
        .into_iter()
        .filter(|kind| rbac.is_some_and(|has| has.contains(*kind)))
        .collect();
    let bindings = rbac.is_some_and(|has| has.iter().any(|kind| kind.ends_with("rolebindings")));
    // Kubernetes lets nobody grant rights that they do not have, but for these verbs
    // (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping).
    if !roles.is_empty() || bindings {
        let mut verbs = Vec::new();
        verbs.extend((!roles.is_empty()).then_some("escalate"));
        verbs.extend(bindings.then_some("bind"));
        let resources = if bindings { vec!["clusterroles", "roles"] } else { roles };
        rules.push(json!({
            "apiGroups": ["rbac.authorization.k8s.io"],
            "resources": resources,
            "verbs": verbs,
        }));
    }
    // To see whether workloads run, and why they do not.
    rules
        .push(json!({"apiGroups": [""], "resources": ["events", "pods"], "verbs": ["get", "list", "watch"]}));
    rules.push(json!({"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}));
    rules.push(
        json!({"apiGroups": ["apps"], "resources": ["replicasets"], "verbs": ["get", "list", "watch"]}),
    );
    rules
}

/// As Kubernetes guesses a resource from its kind (`meta.UnsafeGuessKindToResource` of apimachinery); right for all
/// built-in kinds.
fn plural(kind: &str) -> String {
    let kind = kind.to_ascii_lowercase();
    match kind.as_str() {
        "endpoints" => kind,
        _ if kind.ends_with('s') => format!("{kind}es"),
        _ if kind.ends_with('y') => format!("{}ies", &kind[..kind.len() - 1]),
        _ => format!("{kind}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_plurals() {
        let pairs = [
            ("Deployment", "deployments"),
            ("Ingress", "ingresses"),
            ("NetworkPolicy", "networkpolicies"),
            ("Endpoints", "endpoints"),
            ("StorageClass", "storageclasses"),
        ];
        for (kind, expected) in pairs {
            assert_eq!(plural(kind), expected);
        }
    }

    #[test]
    fn an_interval_becomes_a_schedule() {
        let schedule = |seconds| schedule(Duration::from_secs(seconds));
        assert_eq!(schedule(10), "* * * * *");
        assert_eq!(schedule(300), "*/5 * * * *");
        assert_eq!(schedule(7200), "0 */2 * * *");
    }
}
