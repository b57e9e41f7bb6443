//! CustomResourceDefinitions become kinds; APIServices become available.

use serde_json::Value;

use super::objects::{condition, set_condition};
use super::{Context, Task};
use crate::api::delete::{self, DeleteOptions, Propagation};
use crate::schema::crd;
use crate::store::Key;

const MANAGER: &str = "kube-apiserver";
const CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut object: Value) {
    if &*key.kind == "apiservices.apiregistration.k8s.io" {
        if object["spec"].get("service").is_none() {
            set_condition(
                &mut object,
                "Available",
                "True",
                "Local",
                "Local APIServices are always available",
                false,
            );
        } else {
            set_condition(
                &mut object,
                "Available",
                "False",
                "ServiceNotFound",
                "service for the API is not present in a simulated cluster",
                false,
            );
        }
        context.save_status(key, &object, MANAGER);
        return;
    }
    if object["metadata"].get("deletionTimestamp").is_some() {
        remove_instances(context, key, &mut object);
        return;
    }
    let established = condition(&object, "Established").is_some_and(|c| c["status"] == "True");
    if established {
        if let Some(kind) = crd::kind(&object) {
            context.state.store.add_custom(kind);
        }
        return;
    }
    if condition(&object, "NamesAccepted").is_none() {
        set_condition(&mut object, "NamesAccepted", "True", "NoConflicts", "no conflicts found", false);
        set_condition(
            &mut object,
            "Established",
            "False",
            "Installing",
            "the initial names have been accepted",
            false,
        );
        object["status"]["acceptedNames"] = object["spec"]["names"].clone();
        object["status"]["storedVersions"] = object["spec"]["versions"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|v| v["storage"] == true)
            .map(|v| v["name"].clone())
            .collect();
        context.save_status(key, &object, MANAGER);
        if let Some(mut stored) = context.state.store.get(key) {
            stored["metadata"]["finalizers"] = serde_json::json!([CLEANUP]);
            context.state.store.put(key, &mut stored);
        }
        let delay = context.cluster.timing.ready_after;
        context.after(delay, Task::Reconcile(key.clone()));
        context.note(format!("establish {}", key.name));
        return;
    }
    // The second look is the timer's; the first is the one that our own write causes.
    if context.state.pending.remove(&format!("establish {}", key.name)).is_some() {
        return;
    }
    set_condition(
        &mut object,
        "Established",
        "True",
        "InitialNamesAccepted",
        "the initial names have been accepted",
        false,
    );
    context.save_status(key, &object, MANAGER);
    if let Some(kind) = crd::kind(&object) {
        context.state.store.add_custom(kind);
    }
}

fn remove_instances(context: &mut Context<'_>, key: &Key, object: &mut Value) {
    let instances: Vec<Key> = context.state.store.list(&key.name, "").map(|(k, _)| k.clone()).collect();
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        grace: None,
        uid: None,
        rv: None,
        dry_run: false,
    };
    for instance in &instances {
        if let Some(mut value) = context.state.store.get(instance) {
            delete::start(context.state, instance, &mut value, &options);
        }
    }
    if context.state.store.list(&key.name, "").next().is_some() {
        context.again(key, std::time::Duration::from_millis(50));
        return;
    }
    delete::drop_finalizer(context.state, key, object, CLEANUP);
}

/// A kind whose definition is gone is not served any more.
pub(crate) fn deleted(context: &mut Context<'_>, key: &Key) {
    if &*key.kind != "customresourcedefinitions.apiextensions.k8s.io" {
        return;
    }
    let instances: Vec<Key> = context.state.store.list(&key.name, "").map(|(k, _)| k.clone()).collect();
    for instance in instances {
        context.state.store.remove(&instance);
    }
    context.state.store.drop_custom(&key.name);
}
