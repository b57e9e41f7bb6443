//! What may not change once an object exists.

use serde_json::{Map, Value};

use crate::controllers::objects::canonical;
use crate::schema::quantity;
use crate::status::Cause;

const IMMUTABLE: &str = "field is immutable";

fn changed(old: &Value, new: &Value, pointer: &str, causes: &mut Vec<Cause>) {
    let (a, b) = (old.pointer(pointer), new.pointer(pointer));
    if a != b {
        let field = pointer.trim_start_matches('/').replace('/', ".");
        let shown = b.map_or_else(|| "null".to_owned(), canonical);
        causes.push(Cause::invalid_text(field, &shown, IMMUTABLE));
    }
}

fn without(value: &Value, fields: &[&str]) -> Value {
    let mut out = value.as_object().cloned().unwrap_or_default();
    for field in fields {
        out.remove(*field);
    }
    Value::Object(out)
}

/// Checks a change of a built-in kind.
pub(super) fn check(group_resource: &str, old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    match group_resource {
        "deployments.apps" | "replicasets.apps" | "daemonsets.apps" => {
            changed(old, new, "/spec/selector", causes)
        }
        "statefulsets.apps" => {
            let free = [
                "replicas",
                "ordinals",
                "template",
                "updateStrategy",
                "revisionHistoryLimit",
                "persistentVolumeClaimRetentionPolicy",
                "minReadySeconds",
            ];
            if without(&old["spec"], &free) != without(&new["spec"], &free) {
                causes.push(Cause::forbidden(
                    "spec",
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
                ));
            }
        }
        "jobs.batch" => job(old, new, causes),
        "services" => service(old, new, causes),
        "configmaps" | "secrets" => {
            if group_resource == "secrets" {
                changed(old, new, "/type", causes);
            }
            if old["immutable"] == true {
                let detail = "field is immutable when `immutable` is set";
                if new["immutable"] != true {
                    causes.push(Cause::forbidden("immutable", detail));
                }
                for field in ["data", "binaryData"] {
                    if old.get(field) != new.get(field) {
                        causes.push(Cause::forbidden(field, detail));
                    }
                }
            }
        }
        "persistentvolumeclaims" => claim(old, new, causes),
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io"
            if old["roleRef"] != new["roleRef"] =>
        {
            let role = &new["roleRef"];
            let shown =
                serde_json::json!({"APIGroup": role["apiGroup"], "Kind": role["kind"], "Name": role["name"]});
            causes.push(Cause::invalid("roleRef", &shown, "cannot change roleRef"));
        }
        "storageclasses.storage.k8s.io" => {
            for field in ["parameters", "provisioner", "reclaimPolicy", "volumeBindingMode"] {
                if old.get(field) != new.get(field) {
                    let detail = format!("updates to {field} are forbidden.");
                    causes.push(Cause::forbidden(field, &detail));
                }
            }
        }
        "priorityclasses.scheduling.k8s.io" if old["value"] != new["value"] => {
            causes.push(Cause::invalid("value", &new["value"], "field is immutable"));
        }
        "pods" => pod(old, new, causes),
        "customresourcedefinitions.apiextensions.k8s.io" => {
            for pointer in ["/spec/group", "/spec/scope", "/spec/names/kind", "/spec/names/plural"] {
                changed(old, new, pointer, causes);
            }
        }
        "ingressclasses.networking.k8s.io" => changed(old, new, "/spec/controller", causes),
        "poddisruptionbudgets.policy" | "cronjobs.batch" => {}
        _ => {}
    }
}

fn job(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let suspended = old["spec"]["suspend"] == true && old["status"].get("startTime").is_none();
    let strip = |job: &Value| {
        let mut template = job["spec"]["template"].clone();
        if suspended {
            for part in ["nodeSelector", "affinity", "tolerations", "schedulingGates"] {
                template["spec"].as_object_mut().map(|s| s.remove(part));
            }
            template["metadata"].as_object_mut().map(Map::clear);
        }
        template
    };
    changed(old, new, "/spec/selector", causes);
    let (a, b) = (strip(old), strip(new));
    if a["spec"] != b["spec"] {
        causes.push(Cause::invalid_text("spec.template.spec", &canonical(&b["spec"]), IMMUTABLE));
    } else if a != b {
        causes.push(Cause::invalid_text("spec.template", &canonical(&b), IMMUTABLE));
    }
    let elastic = old["spec"]["completionMode"] == "Indexed"
        && new["spec"]["completions"] == new["spec"]["parallelism"]
        && old["spec"]["completions"] == old["spec"]["parallelism"];
    if !elastic {
        changed(old, new, "/spec/completions", causes);
    }
    changed(old, new, "/spec/completionMode", causes);
}

fn service(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let external = |s: &Value| s["spec"]["type"] == "ExternalName";
    if external(old) || external(new) {
        return;
    }
    let first = |s: &Value| s["spec"]["clusterIP"].as_str().unwrap_or_default().to_owned();
    if first(old) != first(new) && !first(old).is_empty() {
        let shown = serde_json::json!([first(new)]);
        causes.push(Cause::invalid("spec.clusterIPs[0]", &shown, "may not change once set"));
    }
}

fn claim(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let strip = |claim: &Value| {
        let mut spec = without(&claim["spec"], &["volumeAttributesClassName", "volumeName"]);
        if claim["status"]["phase"] == "Bound" {
            spec["resources"].as_object_mut().map(|r| r.remove("requests"));
        }
        spec
    };
    let bound = old["status"]["phase"] == "Bound";
    let mut before = strip(old);
    let mut after = strip(new);
    if bound {
        for spec in [&mut before, &mut after] {
            spec["resources"].as_object_mut().map(|r| r.remove("requests"));
        }
    }
    let renamed =
        !old["spec"]["volumeName"].is_null() && old["spec"]["volumeName"] != new["spec"]["volumeName"];
    if before != after || renamed {
        let detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        causes.push(Cause::forbidden("spec", detail));
        return;
    }
    let size = |c: &Value| c["spec"]["resources"]["requests"]["storage"].as_str().and_then(quantity::parse);
    if let (Some(a), Some(b)) = (size(old), size(new))
        && b.nano < a.nano
    {
        causes.push(Cause::forbidden(
            "spec.resources.requests.storage",
            "field can not be less than status.capacity",
        ));
    }
}

/// Of a running pod only images, tolerations (added) and the deadline change.
fn pod(old: &Value, new: &Value, causes: &mut Vec<Cause>) {
    let strip = |pod: &Value| {
        let mut spec = without(
            &pod["spec"],
            &[
                "activeDeadlineSeconds",
                "tolerations",
                "terminationGracePeriodSeconds",
                "nodeName",
                "schedulingGates",
            ],
        );
        for list in ["containers", "initContainers"] {
            for c in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                c.as_object_mut().map(|c| c.remove("image"));
            }
        }
        spec
    };
    if strip(old) != strip(new) {
        causes.push(Cause::forbidden(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
        ));
    }
}
