//! The values that the API server fills in, per kind.

use serde_json::{Value, json};

/// Sets `at[key]` if it is absent.
fn set(at: &mut Value, key: &str, value: Value) {
    if let Some(map) = at.as_object_mut()
        && !map.contains_key(key)
    {
        map.insert(key.to_owned(), value);
    }
}

/// The items of a list, mutably.
fn items<'a>(at: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> + use<'a> {
    at.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

/// Fills in defaults of a built-in kind.
pub(crate) fn apply(group_resource: &str, object: &mut Value) {
    match group_resource {
        "pods" => {
            pod(object.get_mut("spec"));
            if let Some(spec) = object.get_mut("spec") {
                set(spec, "enableServiceLinks", json!(true));
                for list in ["initContainers", "containers"] {
                    items(spec, list).for_each(requests_from_limits);
                }
            }
        }
        "podtemplates" => pod(object.pointer_mut("/template/spec")),
        "namespaces" => {
            let name = object["metadata"]["name"].clone();
            if name.is_string() {
                set(&mut object["metadata"], "labels", json!({}));
                set(&mut object["metadata"]["labels"], "kubernetes.io/metadata.name", name);
            }
        }
        "services" => service(object),
        "secrets" => set(object, "type", json!("Opaque")),
        "persistentvolumeclaims" => claim(object.get_mut("spec")),
        "persistentvolumes" => {
            if let Some(spec) = object.get_mut("spec") {
                set(spec, "persistentVolumeReclaimPolicy", json!("Retain"));
                set(spec, "volumeMode", json!("Filesystem"));
                if let Some(path) = spec.get_mut("hostPath") {
                    set(path, "type", json!(""));
                }
            }
        }
        "replicationcontrollers" => {
            workload(object, |_| {});
            let labels = object.pointer("/spec/template/metadata/labels").cloned();
            if let (Some(labels), Some(spec)) = (labels, object.get_mut("spec")) {
                set(spec, "selector", labels.clone());
                set(object, "metadata", json!({}));
                set(&mut object["metadata"], "labels", labels);
            }
        }
        "endpoints" => {
            for subset in items(object, "subsets") {
                items(subset, "ports").for_each(|p| set(p, "protocol", json!("TCP")));
            }
        }
        "deployments.apps" => workload(object, deployment),
        "replicasets.apps" => workload(object, |_| {}),
        "statefulsets.apps" => workload(object, stateful_set),
        "daemonsets.apps" => workload(object, daemon_set),
        "jobs.batch" => job(object.get_mut("spec")),
        "cronjobs.batch" => {
            if let Some(spec) = object.get_mut("spec") {
                set(spec, "concurrencyPolicy", json!("Allow"));
                set(spec, "suspend", json!(false));
                set(spec, "successfulJobsHistoryLimit", json!(3));
                set(spec, "failedJobsHistoryLimit", json!(1));
            }
            if let Some(template) = object.pointer_mut("/spec/jobTemplate") {
                set(template, "metadata", json!({}));
                if let Some(pods) = template.pointer_mut("/spec/template") {
                    set(pods, "metadata", json!({}));
                }
                pod(template.pointer_mut("/spec/template/spec"));
            }
        }
        "horizontalpodautoscalers.autoscaling" => {
            if let Some(spec) = object.get_mut("spec") {
                set(spec, "minReplicas", json!(1));
                if spec.get("metrics").is_none() {
                    set(
                        spec,
                        "metrics",
                        json!([{"type": "Resource", "resource": {"name": "cpu",
                            "target": {"type": "Utilization", "averageUtilization": 80}}}]),
                    );
                }
                if spec.get("behavior").is_some() {
                    behavior(&mut spec["behavior"]);
                }
            }
        }
        "ingresses.networking.k8s.io" => {}
        "networkpolicies.networking.k8s.io" => network_policy(object.get_mut("spec")),
        "poddisruptionbudgets.policy" => {}
        "rolebindings.rbac.authorization.k8s.io" | "clusterrolebindings.rbac.authorization.k8s.io" => {
            if let Some(role) = object.get_mut("roleRef")
                && role.get("apiGroup").is_none_or(|g| g == "")
            {
                role["apiGroup"] = json!("rbac.authorization.k8s.io");
            }
            for subject in items(object, "subjects") {
                if matches!(subject["kind"].as_str(), Some("User" | "Group")) {
                    set(subject, "apiGroup", json!("rbac.authorization.k8s.io"));
                }
            }
        }
        "storageclasses.storage.k8s.io" => {
            set(object, "reclaimPolicy", json!("Delete"));
            set(object, "volumeBindingMode", json!("Immediate"));
        }
        "priorityclasses.scheduling.k8s.io" => set(object, "preemptionPolicy", json!("PreemptLowerPriority")),
        "validatingwebhookconfigurations.admissionregistration.k8s.io"
        | "mutatingwebhookconfigurations.admissionregistration.k8s.io" => {
            let mutating = group_resource.starts_with("mutating");
            for hook in items(object, "webhooks") {
                set(hook, "failurePolicy", json!("Fail"));
                set(hook, "matchPolicy", json!("Equivalent"));
                set(hook, "namespaceSelector", json!({}));
                set(hook, "objectSelector", json!({}));
                set(hook, "timeoutSeconds", json!(10));
                if mutating {
                    set(hook, "reinvocationPolicy", json!("Never"));
                }
                if let Some(service) = hook.pointer_mut("/clientConfig/service") {
                    set(service, "port", json!(443));
                }
                items(hook, "rules").for_each(|r| set(r, "scope", json!("*")));
            }
        }
        "customresourcedefinitions.apiextensions.k8s.io" => crd(object),
        "apiservices.apiregistration.k8s.io" => {
            if let Some(service) = object.pointer_mut("/spec/service") {
                set(service, "port", json!(443));
            }
        }
        "endpointslices.discovery.k8s.io" => {
            for port in items(object, "ports") {
                set(port, "name", json!(""));
                set(port, "protocol", json!("TCP"));
            }
        }
        _ => {}
    }
}

fn workload(object: &mut Value, f: impl FnOnce(&mut Value)) {
    if let Some(spec) = object.get_mut("spec") {
        f(spec);
        set(spec, "replicas", json!(1));
        if let Some(template) = spec.get_mut("template") {
            set(template, "metadata", json!({}));
            pod(template.get_mut("spec"));
        }
    }
    if object["kind"] == "DaemonSet"
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("replicas");
    }
}

fn deployment(spec: &mut Value) {
    set(spec, "strategy", json!({}));
    rolling(&mut spec["strategy"], json!({"maxUnavailable": "25%", "maxSurge": "25%"}));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "progressDeadlineSeconds", json!(600));
}

fn stateful_set(spec: &mut Value) {
    set(spec, "podManagementPolicy", json!("OrderedReady"));
    set(spec, "updateStrategy", json!({}));
    rolling(&mut spec["updateStrategy"], json!({"partition": 0}));
    set(spec, "revisionHistoryLimit", json!(10));
    set(spec, "persistentVolumeClaimRetentionPolicy", json!({}));
    set(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenDeleted", json!("Retain"));
    set(&mut spec["persistentVolumeClaimRetentionPolicy"], "whenScaled", json!("Retain"));
    for template in items(spec, "volumeClaimTemplates") {
        set(template, "apiVersion", json!("v1"));
        set(template, "kind", json!("PersistentVolumeClaim"));
        set(template, "status", json!({}));
        set(&mut template["status"], "phase", json!("Pending"));
        claim(template.get_mut("spec"));
    }
}

fn daemon_set(spec: &mut Value) {
    set(spec, "updateStrategy", json!({}));
    rolling(&mut spec["updateStrategy"], json!({"maxUnavailable": 1, "maxSurge": 0}));
    set(spec, "revisionHistoryLimit", json!(10));
}

fn rolling(strategy: &mut Value, parameters: Value) {
    set(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        set(strategy, "rollingUpdate", json!({}));
        if let Value::Object(parameters) = parameters {
            for (key, value) in parameters {
                set(&mut strategy["rollingUpdate"], &key, value);
            }
        }
    }
}

fn job(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    if spec.get("completions").is_none() && spec.get("parallelism").is_none() {
        spec["completions"] = json!(1);
        spec["parallelism"] = json!(1);
    }
    set(spec, "parallelism", json!(1));
    if spec.get("backoffLimit").is_none() {
        let per_index = spec.get("backoffLimitPerIndex").is_some();
        spec["backoffLimit"] = json!(if per_index { i32::MAX } else { 6 });
    }
    set(spec, "completionMode", json!("NonIndexed"));
    set(spec, "suspend", json!(false));
    if spec.get("podReplacementPolicy").is_none() {
        let policy = if spec.get("podFailurePolicy").is_some() { "Failed" } else { "TerminatingOrFailed" };
        spec["podReplacementPolicy"] = json!(policy);
    }
    set(spec, "manualSelector", json!(false));
    if let Some(template) = spec.get_mut("template") {
        set(template, "metadata", json!({}));
        pod(template.get_mut("spec"));
    }
}

fn behavior(behavior: &mut Value) {
    let policies = |up: bool| {
        if up {
            json!([{"type": "Pods", "value": 4, "periodSeconds": 15}, {"type": "Percent", "value": 100, "periodSeconds": 15}])
        } else {
            json!([{"type": "Percent", "value": 100, "periodSeconds": 15}])
        }
    };
    for (key, up) in [("scaleUp", true), ("scaleDown", false)] {
        set(behavior, key, json!({}));
        let rules = &mut behavior[key];
        if up {
            set(rules, "stabilizationWindowSeconds", json!(0));
        }
        set(rules, "selectPolicy", json!("Max"));
        set(rules, "policies", policies(up));
    }
}

fn network_policy(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    set(spec, "podSelector", json!({}));
    if spec.get("policyTypes").is_none() {
        let mut types = vec!["Ingress"];
        if spec.get("egress").is_some() {
            types.push("Egress");
        }
        spec["policyTypes"] = json!(types);
    }
    for rules in ["ingress", "egress"] {
        for rule in items(spec, rules) {
            items(rule, "ports").for_each(|p| set(p, "protocol", json!("TCP")));
        }
    }
}

fn crd(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    set(spec, "conversion", json!({"strategy": "None"}));
    let kind = spec.pointer("/names/kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(names) = spec.get_mut("names") {
        set(names, "singular", json!(kind.to_lowercase()));
        set(names, "listKind", json!(format!("{kind}List")));
    }
    for version in items(spec, "versions") {
        if let Some(scale) = version.pointer_mut("/subresources/scale") {
            let _ = scale;
        }
    }
}

fn claim(spec: Option<&mut Value>) {
    if let Some(spec) = spec {
        set(spec, "volumeMode", json!("Filesystem"));
        set(spec, "resources", json!({}));
    }
}

fn service(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    set(spec, "sessionAffinity", json!("None"));
    set(spec, "type", json!("ClusterIP"));
    if spec["sessionAffinity"] == "ClientIP" {
        set(spec, "sessionAffinityConfig", json!({}));
        set(&mut spec["sessionAffinityConfig"], "clientIP", json!({}));
        set(&mut spec["sessionAffinityConfig"]["clientIP"], "timeoutSeconds", json!(10800));
    }
    for port in items(spec, "ports") {
        set(port, "protocol", json!("TCP"));
        let same = port["port"].clone();
        set(port, "targetPort", same);
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") {
        set(spec, "externalTrafficPolicy", json!("Cluster"));
    }
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", json!("Cluster"));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", json!(true));
    }
}

/// Fills in the defaults of a pod spec.
pub(crate) fn pod(spec: Option<&mut Value>) {
    let Some(spec) = spec else { return };
    if !spec.is_object() {
        return;
    }
    set(spec, "dnsPolicy", json!("ClusterFirst"));
    set(spec, "restartPolicy", json!("Always"));
    set(spec, "terminationGracePeriodSeconds", json!(30));
    set(spec, "securityContext", json!({}));
    set(spec, "schedulerName", json!("default-scheduler"));
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        set(spec, "serviceAccount", account);
    } else if let Some(account) = spec.get("serviceAccount").cloned() {
        set(spec, "serviceAccountName", account);
    }
    for list in ["initContainers", "containers"] {
        items(spec, list).for_each(container);
    }
    for volume in items(spec, "volumes") {
        if volume.as_object().is_some_and(|v| v.len() == 1) {
            set(volume, "emptyDir", json!({}));
        }
        for kind in ["secret", "configMap", "downwardAPI", "projected"] {
            if let Some(source) = volume.get_mut(kind) {
                set(source, "defaultMode", json!(420));
            }
        }
        if let Some(source) = volume.get_mut("hostPath") {
            set(source, "type", json!(""));
        }
        if let Some(projected) = volume.get_mut("projected") {
            for source in items(projected, "sources") {
                if let Some(token) = source.get_mut("serviceAccountToken") {
                    set(token, "expirationSeconds", json!(3600));
                }
            }
        }
        for list in ["/downwardAPI/items", "/projected/sources"] {
            for item in volume.pointer_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                let field = if list.ends_with("items") { item.get_mut("fieldRef") } else { None };
                if let Some(field) = field {
                    set(field, "apiVersion", json!("v1"));
                }
            }
        }
    }
    items(spec, "topologySpreadConstraints").for_each(|_| {});
}

fn container(c: &mut Value) {
    set(c, "resources", json!({}));
    set(c, "terminationMessagePath", json!("/dev/termination-log"));
    set(c, "terminationMessagePolicy", json!("File"));
    let image = c["image"].as_str().unwrap_or_default();
    let latest = image_tag(image).is_none_or(|t| t == "latest") && !image.contains('@');
    set(c, "imagePullPolicy", json!(if latest { "Always" } else { "IfNotPresent" }));
    items(c, "ports").for_each(|p| set(p, "protocol", json!("TCP")));
    for env in items(c, "env") {
        if let Some(field) = env.pointer_mut("/valueFrom/fieldRef") {
            set(field, "apiVersion", json!("v1"));
        }
        if let Some(field) = env.pointer_mut("/valueFrom/resourceFieldRef") {
            set(field, "divisor", json!("0"));
        }
    }
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = c.get_mut(probe) {
            set(probe, "timeoutSeconds", json!(1));
            set(probe, "periodSeconds", json!(10));
            set(probe, "successThreshold", json!(1));
            set(probe, "failureThreshold", json!(3));
            if let Some(get) = probe.get_mut("httpGet") {
                set(get, "path", json!("/"));
                set(get, "scheme", json!("HTTP"));
            }
            if let Some(grpc) = probe.get_mut("grpc") {
                set(grpc, "service", json!(""));
            }
        }
    }
    for hook in ["/lifecycle/postStart/httpGet", "/lifecycle/preStop/httpGet"] {
        if let Some(get) = c.pointer_mut(hook) {
            set(get, "path", json!("/"));
            set(get, "scheme", json!("HTTP"));
        }
    }
}

/// What a pod (not a template) does not request, it requests as much as it is limited to.
fn requests_from_limits(c: &mut Value) {
    if let Some(limits) = c.pointer("/resources/limits").and_then(Value::as_object).cloned() {
        set(&mut c["resources"], "requests", json!({}));
        for (name, value) in limits {
            set(&mut c["resources"]["requests"], &name, value);
        }
    }
}

/// The tag of an image reference.
fn image_tag(image: &str) -> Option<&str> {
    let last = image.split('@').next()?.rsplit('/').next()?;
    last.split_once(':').map(|(_, tag)| tag)
}
