//! Claims are bound to volumes that are made for them.

use serde_json::{Value, json};

use super::events::Event;
use super::objects::text;
use super::{Context, Task};
use crate::api::delete;
use crate::store::{Key, contains};

const MANAGER: &str = "kube-controller-manager";
const COMPONENT: &str = "persistentvolume-controller";

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut object: Value) {
    let dying = object["metadata"].get("deletionTimestamp").is_some();
    if &*key.kind == "persistentvolumes" {
        if dying {
            delete::drop_finalizer(context.state, key, &mut object, "kubernetes.io/pv-protection");
        } else if object["status"]["phase"] == "Pending" && object["spec"].get("claimRef").is_none() {
            object["status"]["phase"] = json!("Available");
            context.save_status(key, &object, MANAGER);
        }
        return;
    }
    if dying {
        if !in_use(context, key) {
            delete::drop_finalizer(context.state, key, &mut object, "kubernetes.io/pvc-protection");
        } else {
            context.again(key, std::time::Duration::from_millis(200));
        }
        return;
    }
    if object["status"]["phase"] == "Bound" {
        return;
    }
    let class_name = text(&object, "/spec/storageClassName").to_owned();
    if class_name.is_empty() {
        bind_existing(context, key, object);
        return;
    }
    let class = context.state.store.get(&Key::new("storageclasses.storage.k8s.io", "", &class_name));
    let Some(class) = class else {
        let message = format!("storageclass.storage.k8s.io \"{class_name}\" not found");
        context.event(&object, Event::warning(COMPONENT, "ProvisioningFailed", &message));
        context.again(key, std::time::Duration::from_secs(2));
        return;
    };
    if class["volumeBindingMode"] == "WaitForFirstConsumer" && !in_use(context, key) {
        let message = "waiting for first consumer to be created before binding";
        if context.note(format!("consumer {}/{}", key.ns, key.name)) {
            context.event(&object, Event::normal(COMPONENT, "WaitForFirstConsumer", message));
        }
        context.again(key, std::time::Duration::from_millis(200));
        return;
    }
    let waited = format!("claim {}/{}", key.ns, key.name);
    if context.state.pending.remove(&waited).is_none() {
        context.note(waited);
        let delay = context.cluster.timing.ready_after.min(std::time::Duration::from_millis(100));
        context.after(delay, Task::Reconcile(key.clone()));
        return;
    }
    let volume = format!("pvc-{}", text(&object, "/metadata/uid"));
    let size = object["spec"]["resources"]["requests"]["storage"].clone();
    context.create(
        "persistentvolumes",
        json!({
            "metadata": {"name": volume, "annotations": {"pv.kubernetes.io/provisioned-by": class["provisioner"]}},
            "spec": {
                "capacity": {"storage": size}, "accessModes": object["spec"]["accessModes"], "storageClassName": class_name,
                "persistentVolumeReclaimPolicy": class["reclaimPolicy"], "volumeMode": object["spec"]["volumeMode"],
                "hostPath": {"path": format!("/nonexistent/{volume}")},
                "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": key.ns, "name": key.name,
                    "uid": object["metadata"]["uid"]},
            },
        }),
        MANAGER,
    );
    bind(context, key, object, &volume, size, class["provisioner"].as_str());
}

fn bind(
    context: &mut Context<'_>,
    key: &Key,
    mut claim: Value,
    volume: &str,
    size: Value,
    provisioner: Option<&str>,
) {
    claim["spec"]["volumeName"] = json!(volume);
    super::deployment::annotate(&mut claim, "pv.kubernetes.io/bind-completed", "yes");
    super::deployment::annotate(&mut claim, "pv.kubernetes.io/bound-by-controller", "yes");
    if let Some(provisioner) = provisioner {
        super::deployment::annotate(&mut claim, "volume.beta.kubernetes.io/storage-provisioner", provisioner);
        super::deployment::annotate(&mut claim, "volume.kubernetes.io/storage-provisioner", provisioner);
    }
    context.save(key, &claim, MANAGER);
    let Some(mut claim) = context.state.store.get(key) else { return };
    claim["status"] = json!({
        "phase": "Bound", "accessModes": claim["spec"]["accessModes"], "capacity": {"storage": size},
    });
    context.save_status(key, &claim, MANAGER);
    let volume_key = Key::new("persistentvolumes", "", volume);
    if let Some(mut pv) = context.state.store.get(&volume_key) {
        pv["status"]["phase"] = json!("Bound");
        context.save_status(&volume_key, &pv, MANAGER);
    }
}

/// A claim without a class takes a volume that is there.
fn bind_existing(context: &mut Context<'_>, key: &Key, claim: Value) {
    let wanted = text(&claim, "/spec/volumeName").to_owned();
    let found = context.state.store.values("persistentvolumes", "").into_iter().find(|v| {
        v["status"]["phase"] == "Available"
            && v["spec"]["storageClassName"].as_str().unwrap_or_default().is_empty()
            && (wanted.is_empty() || v["metadata"]["name"] == wanted.as_str())
            && v["spec"]["accessModes"] == claim["spec"]["accessModes"]
    });
    let Some(volume) = found else {
        context.event(
            &claim,
            Event::normal(
                COMPONENT,
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            ),
        );
        return;
    };
    let (name, size) =
        (text(&volume, "/metadata/name").to_owned(), volume["spec"]["capacity"]["storage"].clone());
    bind(context, key, claim, &name, size, None);
}

fn in_use(context: &Context<'_>, key: &Key) -> bool {
    let needle = format!("\"claimName\":\"{}\"", key.name);
    context.state.store.list("pods", &key.ns).any(|(_, s)| contains(&s.body, needle.as_bytes()))
}

/// The volume of a claim that is gone goes too.
pub(crate) fn deleted(context: &mut Context<'_>, key: &Key, object: &Value) {
    if &*key.kind != "persistentvolumeclaims" {
        return;
    }
    let volume = Key::new("persistentvolumes", "", text(object, "/spec/volumeName"));
    let Some(mut pv) = context.state.store.get(&volume) else { return };
    if pv["spec"]["persistentVolumeReclaimPolicy"] == "Retain" {
        pv["status"]["phase"] = json!("Released");
        context.save_status(&volume, &pv, MANAGER);
    } else {
        context.state.store.remove(&volume);
    }
}
