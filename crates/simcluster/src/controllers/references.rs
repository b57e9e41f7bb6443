//! What a pod's volumes and variables refer to.

use serde_json::Value;

use super::Context;
use crate::store::Key;

/// What a pod cannot start without.
pub(super) struct Missing {
    /// Plural: `secrets`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    /// The key that is wanted of it.
    pub(super) field: Option<String>,
    /// The volume that is made of it; otherwise it is a variable.
    pub(super) volume: Option<String>,
}

/// The first required Secret, ConfigMap or bound claim that is absent; volumes come before variables.
pub(super) fn missing(context: &Context<'_>, pod: &Value) -> Option<Missing> {
    let ns = pod["metadata"]["namespace"].as_str().unwrap_or_default();
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let mut wanted: Vec<Missing> = Vec::new();
    for v in pod["spec"]["volumes"].as_array().into_iter().flatten() {
        let volume = Some(text(&v["name"]));
        for (source, field, kind) in [
            ("secret", "secretName", "secrets"),
            ("configMap", "name", "configmaps"),
            ("persistentVolumeClaim", "claimName", "persistentvolumeclaims"),
        ] {
            if let Some(s) = v.get(source)
                && s["optional"] != true
            {
                wanted.push(Missing { kind, name: text(&s[field]), field: None, volume: volume.clone() });
            }
        }
    }
    for list in ["initContainers", "containers"] {
        for c in pod["spec"][list].as_array().into_iter().flatten() {
            for e in c["envFrom"].as_array().into_iter().flatten() {
                for (source, kind) in [("secretRef", "secrets"), ("configMapRef", "configmaps")] {
                    if let Some(r) = e.get(source).filter(|r| r["optional"] != true) {
                        wanted.push(Missing { kind, name: text(&r["name"]), field: None, volume: None });
                    }
                }
            }
            for e in c["env"].as_array().into_iter().flatten() {
                for (source, kind) in [("secretKeyRef", "secrets"), ("configMapKeyRef", "configmaps")] {
                    if let Some(r) = e["valueFrom"].get(source).filter(|r| r["optional"] != true) {
                        wanted.push(Missing {
                            kind,
                            name: text(&r["name"]),
                            field: Some(text(&r["key"])),
                            volume: None,
                        });
                    }
                }
            }
        }
    }
    wanted.into_iter().find(|w| {
        let Some(object) = context.state.store.get(&Key::new(w.kind, ns, &w.name)) else { return true };
        match (&w.field, w.kind) {
            (_, "persistentvolumeclaims") => object["status"]["phase"] != "Bound",
            (Some(field), _) => {
                object["data"].get(field).is_none() && object["binaryData"].get(field).is_none()
            }
            (None, _) => false,
        }
    })
}
