//! From a manifest to what is sent: what kit adds, what the server would drop anyway is dropped, what must fit a live object fits.
//!
//! | kit adds | where | when |
//! |---|---|---|
//! | `id`, `strategy`, `resource`, `app.kubernetes.io/name` | labels of the object | never to selectors of what exists |
//! | `kit-deployer/original-name` | annotation | always |
//! | `deployment.invision/uuid`, `kit-deployer/commit`, `kit-deployer/last-updated` | annotations | only with another change |

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use manifest::{Object, ObjectRef, Place};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::discovery::Resource;
use crate::order::Phase;

/// The manifest's own name, before a suffix was added.
pub const ORIGINAL_NAME: &str = "kit-deployer/original-name";
/// Objects that must be available before this one is written: a label selector.
pub const DEPENDENCY_SELECTOR: &str = "kit-deployer/dependency-selector";
/// Fields that belong to another manager once the object exists: `spec.replicas`, separated by commas.
pub const GIVE_UP: &str = "kit/give-up-fields";
/// The label that everything deployed by kit carries.
pub const STRATEGY_LABEL: &str = "strategy";
/// The label that carries the id of a deploy.
pub const ID_LABEL: &str = "id";
/// Git commit of the deploy that wrote the object last, as a JSON string (kit's form).
pub const COMMIT: &str = "kit-deployer/commit";
const LAST_UPDATED: &str = "kit-deployer/last-updated";
const UUID: &str = "deployment.invision/uuid";
const RELEASE_ID: &str = "deployment.invision/release-id";

/// Labels and annotations that differ on every deploy, and are therefore never a reason to write.
pub(crate) fn is_volatile(key: &str) -> bool {
    matches!(key, ID_LABEL | COMMIT | LAST_UPDATED | UUID | RELEASE_ID)
}

/// What kit writes on objects beside what their manifests say.
#[derive(Clone, Debug)]
pub struct Marks {
    /// `--raw`: only the uuid.
    pub raw: bool,
    /// `--strategy`.
    pub strategy: String,
    /// `--deploy-id`.
    pub deploy_id: Option<String>,
    /// `--resource`.
    pub resource: Option<String>,
    /// `--uuid`.
    pub uuid: Option<String>,
    /// `--sha`.
    pub sha: Option<String>,
    /// When the run started.
    pub started: Timestamp,
}

impl Default for Marks {
    fn default() -> Self {
        Self {
            raw: false,
            strategy: crate::strategy::ROLLING_UPDATE.to_owned(),
            deploy_id: None,
            resource: None,
            uuid: None,
            sha: None,
            started: Timestamp::UNIX_EPOCH,
        }
    }
}

/// An object as we want it on one cluster.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which object; its namespace is filled in.
    pub object: ObjectRef,
    /// Where its manifest is.
    pub place: Place,
    /// How it is addressed.
    pub resource: Arc<Resource>,
    /// When it is written.
    pub phase: Phase,
    /// What is sent.
    pub value: Value,
}

impl Wanted {
    /// What `object` becomes on a cluster that serves its kind as `resource` and whose kubeconfig names `namespace`.
    pub fn new(object: &Object, resource: Arc<Resource>, namespace: &str, marks: &Marks) -> Self {
        let mut value = object.value.clone();
        clean(&mut value, &resource);
        let metadata = &mut value["metadata"];
        if resource.namespaced {
            let written = object.namespace().unwrap_or(namespace);
            metadata["namespace"] = Value::from(written);
        } else if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("namespace");
        }
        if !marks.raw && resource.kind == "Job" && resource.group == "batch" {
            name_job(&mut value);
        }
        mark(&mut value, object.name(), marks);
        let phase = Phase::of(&resource.group, &resource.kind);
        Self {
            object: manifest::object::reference(&value),
            place: object.place.clone(),
            resource,
            phase,
            value,
        }
    }

    /// The name in the manifest.
    pub fn original_name(&self) -> &str {
        manifest::object::annotation(&self.value, ORIGINAL_NAME).unwrap_or(&self.object.name)
    }

    /// Makes a workload fit the one that is there: labels that kit once put into its selector, which cannot be changed, are kept.
    pub fn fit(&mut self, live: &Value) {
        let kit_labels = ["strategy", "name", "id", "resource", "app.kubernetes.io/name"];
        let selector = "/spec/selector/matchLabels";
        let (Some(live), Some(wanted)) = (
            live.pointer(selector).and_then(Value::as_object),
            self.value.pointer(selector).and_then(Value::as_object),
        ) else {
            return;
        };
        let contained = wanted.iter().all(|(key, value)| live.get(key) == Some(value));
        let extra: Map<String, Value> = live
            .iter()
            .filter(|(key, _)| !wanted.contains_key(*key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        if !contained || extra.is_empty() || !extra.keys().all(|key| kit_labels.contains(&key.as_str())) {
            return;
        }
        for map in [selector, "/spec/template/metadata/labels"] {
            if let Some(map) = self.value.pointer_mut(map).and_then(Value::as_object_mut) {
                map.extend(extra.clone());
            }
        }
    }

    /// What a dry run is asked with: the labels and annotations that differ on every deploy have the values that are there, so that
    /// they do not look like a change.
    pub fn with_volatile_of(&self, live: &Value) -> Value {
        let mut value = self.value.clone();
        for map in ["labels", "annotations"] {
            let there = live["metadata"][map].as_object();
            if let Some(entries) = value["metadata"].get_mut(map).and_then(Value::as_object_mut) {
                entries
                    .retain(|key, _| !is_volatile(key) || there.is_some_and(|there| there.contains_key(key)));
                for (key, value) in entries.iter_mut().filter(|(key, _)| is_volatile(key)) {
                    if let Some(found) = there.and_then(|there| there.get(key)) {
                        *value = found.clone();
                    }
                }
            }
        }
        value
    }

    /// The fields that the manifest gives up to their other owner.
    pub fn given_up(&self) -> Vec<Vec<String>> {
        manifest::object::annotation(&self.value, GIVE_UP)
            .into_iter()
            .flat_map(|text| text.split(','))
            .map(|path| path.trim().trim_start_matches('.').split('.').map(str::to_owned).collect())
            .filter(|path: &Vec<String>| path.first().is_some_and(|first| first == "spec"))
            .collect()
    }

    /// Removes a field, so that it is left to its other owner.
    pub fn give_up(&mut self, path: &[String]) {
        let Some((last, parents)) = path.split_last() else { return };
        let mut current = &mut self.value;
        for key in parents {
            match current.get_mut(key) {
                Some(below) => current = below,
                None => return,
            }
        }
        if let Some(map) = current.as_object_mut() {
            map.remove(last);
        }
    }
}

/// Drops what only a server writes, and writes what it would rewrite.
fn clean(value: &mut Value, resource: &Resource) {
    let Some(object) = value.as_object_mut() else { return };
    object.remove("status");
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in [
            "managedFields",
            "resourceVersion",
            "uid",
            "generation",
            "creationTimestamp",
            "selfLink",
            "deletionTimestamp",
        ] {
            metadata.remove(key);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| {
                !matches!(
                    key.as_str(),
                    "kubectl.kubernetes.io/last-applied-configuration"
                        | "kit-deployer/last-applied-configuration"
                        | "kit-deployer/last-applied-configuration-sha1"
                )
            });
        }
    }
    // In a custom resource null can mean something; everywhere else it means "not given".
    if is_built_in(&resource.group) {
        drop_nulls(value);
    }
    if resource.group.is_empty() && resource.kind == "Secret" {
        string_data(value);
    }
}

/// Groups whose schemas know no nullable fields.
fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `stringData` is only ever written, never read back: as `data` it can be compared and owned.
fn string_data(value: &mut Value) {
    let Some(Value::Object(texts)) = value.as_object_mut().and_then(|map| map.remove("stringData")) else {
        return;
    };
    if !value["data"].is_object() {
        value["data"] = json!({});
    }
    for (key, text) in texts {
        if let Some(text) = text.as_str() {
            value["data"][key] = Value::from(STANDARD.encode(text));
        }
    }
}

fn mark(value: &mut Value, original_name: &str, marks: &Marks) {
    let metadata = &mut value["metadata"];
    if let Some(uuid) = &marks.uuid {
        set(metadata, "annotations", UUID, uuid);
    }
    if marks.raw {
        return;
    }
    set(metadata, "annotations", ORIGINAL_NAME, original_name);
    if let Some(sha) = &marks.sha {
        set(metadata, "annotations", COMMIT, &Value::from(sha.as_str()).to_string());
    }
    set(metadata, "annotations", LAST_UPDATED, &marks.started.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string());
    set(metadata, "labels", ID_LABEL, marks.deploy_id.as_deref().unwrap_or("unspecified"));
    set(metadata, "labels", STRATEGY_LABEL, &marks.strategy);
    if let Some(resource) = &marks.resource {
        for label in ["resource", "app.kubernetes.io/name"] {
            if metadata["labels"].get(label).is_none() {
                set(metadata, "labels", label, resource);
            }
        }
    }
}

fn set(metadata: &mut Value, map: &str, key: &str, value: &str) {
    if !metadata[map].is_object() {
        metadata[map] = json!({});
    }
    metadata[map][key] = Value::from(value);
}

/// A Job cannot be changed, so each content gets an object of its own: an unchanged Job has the name that it had.
fn name_job(value: &mut Value) {
    let spec = serde_json::to_vec(&json!([
        value["spec"],
        value["metadata"]["labels"],
        value["metadata"]["namespace"]
    ]))
    .unwrap_or_default();
    let digest = Sha256::digest(&spec);
    let suffix: String = digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect();
    let name = value["metadata"]["name"].as_str().unwrap_or_default();
    // Pods get the Job's name as a label, which has at most 63 characters.
    let short: String = name.chars().take(52).collect();
    value["metadata"]["name"] = Value::from(format!("{}-{suffix}", short.trim_end_matches(['-', '.'])));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marks() -> Marks {
        Marks {
            resource: Some("cart".into()),
            uuid: Some("u".into()),
            sha: Some("abc".into()),
            ..Marks::default()
        }
    }

    fn wanted(text: &str, group: &str, marks: &Marks) -> Wanted {
        let object = manifest::load::parse_objects(text, "a.yaml").unwrap().remove(0);
        let resource = Resource::new(group, "v1", object.kind(), "x", true);
        Wanted::new(&object, resource.into(), "default", marks)
    }

    #[test]
    fn kits_labels_and_annotations_are_set_where_the_manifest_does_not_say_otherwise() {
        let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {resource: mine}, creationTimestamp: null}\nstatus: {}\n";
        assert_eq!(
            wanted(text, "", &marks()).value,
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
                "name": "a", "namespace": "default",
                "labels": {"resource": "mine", "id": "unspecified", "strategy": "rolling-update", "app.kubernetes.io/name": "cart"},
                "annotations": {
                    "deployment.invision/uuid": "u", "kit-deployer/original-name": "a", "kit-deployer/commit": "\"abc\"",
                    "kit-deployer/last-updated": "1970-01-01T00:00:00.000Z"},
            }})
        );
    }

    #[test]
    fn raw_manifests_are_sent_as_they_are_but_for_the_uuid() {
        let text = "apiVersion: batch/v1\nkind: Job\nmetadata: {name: a}\n";
        assert_eq!(
            wanted(text, "batch", &Marks { raw: true, ..marks() }).value["metadata"],
            json!({"name": "a", "namespace": "default", "annotations": {"deployment.invision/uuid": "u"}})
        );
    }

    #[test]
    fn a_job_is_named_after_its_content() {
        let job = |image: &str| {
            let text = format!(
                "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate}}\nspec: {{image: {image}}}\n"
            );
            wanted(&text, "batch", &marks())
        };
        let (one, two) = (job("a:1"), job("a:2"));
        assert_eq!(one.object.name, job("a:1").object.name);
        assert_ne!(one.object.name, two.object.name);
        assert!(one.object.name.starts_with("migrate-"), "{}", one.object.name);
        assert_eq!(one.original_name(), "migrate");
    }

    #[test]
    fn the_selector_of_a_workload_that_the_original_kit_made_is_kept() {
        let text = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector: {matchLabels: {app: a}}\n  template: {metadata: {labels: {app: a}}}\n";
        let mut wanted = wanted(text, "apps", &marks());
        wanted
            .fit(&json!({"spec": {"selector": {"matchLabels": {"app": "a", "strategy": "rolling-update"}}}}));
        let labels = json!({"app": "a", "strategy": "rolling-update"});
        assert_eq!(wanted.value["spec"]["selector"]["matchLabels"], labels);
        assert_eq!(wanted.value["spec"]["template"]["metadata"]["labels"], labels);
        let before = wanted.value.clone();
        wanted.fit(&json!({"spec": {"selector": {"matchLabels": {"app": "a", "owner": "x"}}}}));
        assert_eq!(wanted.value, before, "a label that is not kit's is not invented");
    }

    #[test]
    fn string_data_becomes_data_and_nulls_go() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, labels: null}\nstringData: {a: b}\ndata: {c: ZA==, x: null}\n";
        assert_eq!(wanted(text, "", &marks()).value["data"], json!({"c": "ZA==", "a": "Yg=="}));
    }
}
