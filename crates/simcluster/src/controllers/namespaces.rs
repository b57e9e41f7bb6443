//! Namespaces: what each gets, and how one that is deleted empties.

use std::time::Duration;

use serde_json::{Value, json};

use super::Context;
use crate::api::delete::{self, DeleteOptions, Propagation};
use crate::store::Key;

/// The default ServiceAccount and the CA bundle.
pub(crate) fn furnish(context: &mut Context<'_>, ns: &str, manager: &str) {
    context.create("serviceaccounts", json!({"metadata": {"name": "default", "namespace": ns}}), manager);
    context.create(
        "configmaps",
        json!({"metadata": {"name": "kube-root-ca.crt", "namespace": ns}, "data": {"ca.crt": "simulated\n"}}),
        manager,
    );
}

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut object: Value) {
    if object["metadata"].get("deletionTimestamp").is_none() {
        furnish(context, &key.name, "kube-controller-manager");
        return;
    }
    let content: Vec<Key> =
        context.state.store.objects.keys().filter(|k| *k.ns == *key.name).cloned().collect();
    let background = DeleteOptions {
        propagation: Some(Propagation::Background),
        grace: None,
        uid: None,
        rv: None,
        dry_run: false,
    };
    for item in &content {
        if let Some(mut value) = context.state.store.get(item) {
            delete::start(context.state, item, &mut value, &background);
        }
    }
    let left: Vec<&Key> = content.iter().filter(|k| context.state.store.has(k)).collect();
    if left.is_empty() {
        object["spec"]["finalizers"] = json!([]);
        if object["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty) {
            context.state.store.remove(key);
        } else {
            context.state.store.put(key, &mut object);
        }
        return;
    }
    let held = left.iter().filter(|k| &*k.kind != "pods").count();
    if held > 0 {
        let mut waiting = object.clone();
        super::objects::set_condition(
            &mut waiting,
            "NamespaceFinalizersRemaining",
            "True",
            "SomeFinalizersRemain",
            &format!("Some content in the namespace has finalizers remaining: {held} resource instances"),
            false,
        );
        context.save_status(key, &waiting, "kube-controller-manager");
    }
    let key = key.clone();
    context.again(&key, Duration::from_millis(50));
}
