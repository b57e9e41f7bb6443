//! The form of an inventory on the server: a parent object and its members, as Kubernetes specifies for tools that prune.
//!
//! [KEP-3659](https://github.com/kubernetes/enhancements/tree/master/keps/sig-cli/3659-kubectl-apply-prune): the parent carries an
//! id, the tool, the kinds and the namespaces of its members; each member carries the id as its `part-of` label. `kubectl get
//! configmap -A -l applyset.kubernetes.io/id` lists every inventory of a cluster.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use manifest::ObjectRef;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The label of members: the id of their set.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";
/// The label of the parent: its id.
pub const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const GROUP_KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";
/// Name and version of the form, not of the program: kubectl leaves the sets of other tools alone.
const TOOL: &str = "kit/v1";

/// The id of the set whose parent is the ConfigMap `name` in `namespace`.
pub fn id(name: &str, namespace: &str) -> String {
    let digest = Sha256::digest(format!("{name}.{namespace}.ConfigMap."));
    format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(digest))
}

/// Writes labels and annotations of the parent of `members` into its metadata; others stay.
pub(crate) fn mark_parent<'a>(
    metadata: &mut Map<String, Value>,
    name: &str,
    namespace: &str,
    members: impl Iterator<Item = &'a ObjectRef>,
) {
    let (mut kinds, mut namespaces) = (BTreeSet::new(), BTreeSet::new());
    for member in members {
        kinds.insert(match member.group() {
            "" => member.kind.clone(),
            group => format!("{}.{group}", member.kind),
        });
        namespaces.extend(member.namespace.as_deref().filter(|other| *other != namespace));
    }
    let join = |texts: Vec<&str>| Value::from(texts.join(","));
    let mut set = |map: &str, key: &str, value: Value| {
        let entry = metadata.entry(map.to_owned()).or_insert_with(|| Value::Object(Map::new()));
        if let Some(entries) = entry.as_object_mut() {
            entries.insert(key.to_owned(), value);
        }
    };
    set("labels", ID, Value::from(id(name, namespace)));
    set("annotations", TOOLING, Value::from(TOOL));
    set("annotations", GROUP_KINDS, join(kinds.iter().map(String::as_str).collect()));
    set("annotations", NAMESPACES, join(namespaces.into_iter().collect()));
}

/// The set that a live object says it belongs to.
pub(crate) fn part_of(live: &Value) -> Option<&str> {
    live.get("metadata")?.get("labels")?.get(PART_OF)?.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_one_that_kubectl_computes() {
        // `KUBECTL_APPLYSET=true kubectl apply --prune --applyset=configmap/kit-set-shop -n web`, kubectl 1.36.
        assert_eq!(
            id("kit-set-shop", "web"),
            format!("applyset-{}-v1", URL_SAFE_NO_PAD.encode(Sha256::digest("kit-set-shop.web.ConfigMap.")))
        );
        assert!(id("kit-set-shop", "web").len() <= 63, "it has to fit a label");
    }

    #[test]
    fn the_parent_names_kinds_and_further_namespaces_and_keeps_what_others_wrote() {
        let object = |api_version: &str, kind: &str, namespace: Option<&str>| ObjectRef {
            api_version: api_version.into(),
            kind: kind.into(),
            namespace: namespace.map(Into::into),
            name: "a".into(),
        };
        let members = [
            object("v1", "Namespace", None),
            object("apps/v1", "Deployment", Some("web")),
            object("v1", "ConfigMap", Some("db")),
        ];
        let mut metadata = Map::new();
        metadata.insert("labels".into(), serde_json::json!({"team": "shop"}));
        mark_parent(&mut metadata, "kit-set-shop", "web", members.iter());
        assert_eq!(
            Value::Object(metadata),
            serde_json::json!({
                "labels": {"team": "shop", "applyset.kubernetes.io/id": id("kit-set-shop", "web")},
                "annotations": {
                    "applyset.kubernetes.io/tooling": "kit/v1",
                    "applyset.kubernetes.io/contains-group-kinds": "ConfigMap,Deployment.apps,Namespace",
                    "applyset.kubernetes.io/additional-namespaces": "db",
                },
            })
        );
    }
}
