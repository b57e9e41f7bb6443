//! The checks of the API server that programs depend on, in its words.

mod config;
mod immutable;
mod metadata;
mod network;
mod pod;
mod workload;

use serde_json::Value;

use crate::kinds::{Kind, Version};
use crate::schema::crd;
use crate::status::Cause;

/// Checks a new object.
pub(crate) fn create(kind: &Kind, version: &Version, object: &Value) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata::check(kind, object, &mut causes);
    if kind.custom {
        causes.extend(crd::validate(version, object));
        return causes;
    }
    let at = &mut causes;
    match kind.group_resource().as_str() {
        "pods" => pod::spec(&object["spec"], "spec", at),
        "services" => network::service(object, at),
        "configmaps" => config::config_map(object, at),
        "secrets" => config::secret(object, at),
        "persistentvolumeclaims" => config::claim(object, at),
        "deployments.apps" => workload::deployment(object, at),
        "replicasets.apps" => workload::replica_set(object, at),
        "statefulsets.apps" => workload::stateful_set(object, at),
        "daemonsets.apps" => workload::daemon_set(object, at),
        "jobs.batch" => workload::job(object, at),
        "cronjobs.batch" => workload::cron_job(object, at),
        "ingresses.networking.k8s.io" => network::ingress(object, at),
        "horizontalpodautoscalers.autoscaling" => config::autoscaler(object, at),
        "poddisruptionbudgets.policy" => config::budget(object, at),
        "roles.rbac.authorization.k8s.io" | "clusterroles.rbac.authorization.k8s.io" => {
            config::role(object, at)
        }
        "rolebindings.rbac.authorization.k8s.io" => config::binding(object, false, at),
        "clusterrolebindings.rbac.authorization.k8s.io" => config::binding(object, true, at),
        "customresourcedefinitions.apiextensions.k8s.io" => config::definition(object, at),
        _ => {}
    }
    causes
}

/// Checks a changed object.
pub(crate) fn update(
    kind: &Kind,
    version: &Version,
    old: &Value,
    new: &Value,
    subresource: &str,
) -> Vec<Cause> {
    if subresource == "status" {
        return if kind.custom { crd::validate(version, new) } else { Vec::new() };
    }
    let mut causes = create(kind, version, new);
    if kind.group_resource() == "pods" {
        causes.retain(|c| c.field.starts_with("metadata"));
    }
    if !kind.custom {
        immutable::check(&kind.group_resource(), old, new, &mut causes);
    }
    causes
}
