//! As much OpenAPI as `kubectl apply` reads: which operations take `fieldValidation` and `dryRun`.

use serde_json::{Value, json};

use crate::cluster::State;

/// `/openapi/v3`: where the documents are.
pub(crate) fn index(state: &State, prefix: &str) -> Value {
    let mut paths = json!({});
    for kind in state.store.kinds() {
        for version in &kind.versions {
            let path = path(&kind.group, &version.name);
            paths[&path] = json!({"serverRelativeURL": format!("{prefix}/openapi/v3/{path}?hash=0")});
        }
    }
    json!({"paths": paths})
}

fn path(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// `/openapi/v3/apis/GROUP/VERSION`.
pub(crate) fn document(state: &State, which: &str) -> Option<Value> {
    let mut paths = json!({});
    let mut schemas = json!({});
    for kind in state.store.kinds() {
        for version in kind.versions.iter().filter(|v| path(&kind.group, &v.name) == which) {
            let gvk = json!({"group": kind.group, "version": version.name, "kind": kind.kind});
            let scope = if kind.namespaced { "/namespaces/{namespace}" } else { "" };
            let at = format!("/{which}{scope}/{}/{{name}}", kind.plural);
            let query = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
            let parameters = json!([query("dryRun"), query("fieldManager"), query("fieldValidation")]);
            let operation = |action: &str| {
                json!({
                    "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk, "parameters": parameters,
                    "responses": {"200": {"description": "OK"}},
                })
            };
            let mut patch = operation("patch");
            patch["requestBody"] =
                json!({"content": {"application/apply-patch+yaml": {}, "application/merge-patch+json": {}}});
            paths[at] = json!({"patch": patch, "put": operation("put")});
            let name = format!(
                "{}.{}.{}",
                if kind.group.is_empty() { "core" } else { &kind.group },
                version.name,
                kind.kind
            );
            let mut schema = version.schema.as_deref().cloned().unwrap_or_else(|| json!({"type": "object"}));
            schema["x-kubernetes-group-version-kind"] = json!([gvk]);
            schemas[name] = schema;
        }
    }
    (paths.as_object().is_some_and(|p| !p.is_empty())).then(|| {
        json!({
            "openapi": "3.0.0", "info": {"title": "Kubernetes (simulated)", "version": super::discovery::GIT_VERSION},
            "paths": paths, "components": {"schemas": schemas},
        })
    })
}

/// `/openapi/v2`.
pub(crate) fn v2(state: &State) -> Value {
    let mut definitions = json!({});
    let mut paths = json!({});
    for kind in state.store.kinds() {
        for version in &kind.versions {
            let gvk = json!({"group": kind.group, "version": version.name, "kind": kind.kind});
            let name = format!("{}.{}.{}", kind.group, version.name, kind.kind);
            definitions[name] = json!({"type": "object", "x-kubernetes-group-version-kind": [gvk],
                "x-kubernetes-preserve-unknown-fields": true});
            let at = format!("/{}/{}/{{name}}", path(&kind.group, &version.name), kind.plural);
            let query = |name: &str| json!({"name": name, "in": "query", "type": "string"});
            paths[at] = json!({"patch": {"x-kubernetes-group-version-kind": gvk, "x-kubernetes-action": "patch",
                "parameters": [query("dryRun"), query("fieldManager"), query("fieldValidation")],
                "responses": {"200": {"description": "OK"}}}});
        }
    }
    json!({"swagger": "2.0", "info": {"title": "Kubernetes (simulated)", "version": super::discovery::GIT_VERSION},
        "paths": paths, "definitions": definitions})
}
