//! Deployments: a ReplicaSet per template, moved over as the strategy says.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::events::Event;
use super::objects::{canonical, hash, number, owner, scaled, text};
use super::{Context, deployment_status};
use crate::api::delete::{self, DeleteOptions, Propagation};
use crate::api::rules::metadata;
use crate::selector::LabelSelector;
use crate::store::Key;

pub(crate) const MANAGER: &str = "kube-controller-manager";
pub(crate) const REVISION: &str = "deployment.kubernetes.io/revision";
const COMPONENT: &str = "deployment-controller";

/// A ReplicaSet of the Deployment.
pub(crate) struct Owned {
    pub key: Key,
    pub set: Value,
}

impl Owned {
    pub(crate) fn wanted(&self) -> i64 {
        number(&self.set, "/spec/replicas")
    }

    pub(crate) fn status(&self, field: &str) -> i64 {
        self.set["status"][field].as_i64().unwrap_or(0)
    }
}

pub(crate) fn reconcile(context: &mut Context<'_>, key: &Key, mut deployment: Value) {
    if deployment["metadata"].get("deletionTimestamp").is_some() {
        deployment["status"]["observedGeneration"] = deployment["metadata"]["generation"].clone();
        context.save_status(key, &deployment, MANAGER);
        return;
    }
    adopt(context, key, &deployment);
    let uid = text(&deployment, "/metadata/uid").to_owned();
    let sets: Vec<Owned> =
        context.owned(&uid, "replicasets.apps").into_iter().map(|(key, set)| Owned { key, set }).collect();
    let template = template_text(&deployment["spec"]["template"]);
    let (mut new, mut old): (Vec<Owned>, Vec<Owned>) =
        sets.into_iter().partition(|s| template_text(&s.set["spec"]["template"]) == template);
    while new.len() > 1 {
        old.extend(new.pop());
    }
    let mut new = new.pop();
    let paused = deployment["spec"]["paused"] == true;
    deployment_status::note_pause(&mut deployment, paused);
    if paused {
        scale_proportionally(context, &deployment, new.as_mut(), &mut old);
        deployment_status::write(context, key, deployment, new.as_ref(), &old);
        return;
    }
    let recreate = deployment["spec"]["strategy"]["type"] == "Recreate";
    if recreate {
        for set in &mut old {
            scale(context, &deployment, set, 0);
        }
        if old.iter().any(|s| still_running(context, s)) {
            deployment_status::write(context, key, deployment, new.as_ref(), &old);
            return;
        }
    }
    let revision = old.iter().map(|s| revision_of(&s.set)).max().unwrap_or(0) + 1;
    match &mut new {
        Some(found) => keep_revision(context, &mut deployment, found, revision),
        None => new = create(context, key, &mut deployment, &old, revision),
    }
    let Some(mut current) = new else {
        deployment_status::write(context, key, deployment, None, &old);
        return;
    };
    if recreate {
        let wanted = number(&deployment, "/spec/replicas");
        scale(context, &deployment, &mut current, wanted);
    } else {
        roll(context, &deployment, &mut current, &mut old);
    }
    clean_up(context, &deployment, &mut old);
    deployment_status::write(context, key, deployment, Some(&current), &old);
}

/// The template without the hash label that the controller adds.
fn template_text(template: &Value) -> String {
    let mut template = template.clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove("pod-template-hash");
    }
    canonical(&template)
}

fn revision_of(set: &Value) -> i64 {
    set["metadata"]["annotations"][REVISION].as_str().and_then(|s| s.parse().ok()).unwrap_or(0)
}

/// Takes over ReplicaSets that match and have no controller.
fn adopt(context: &mut Context<'_>, key: &Key, deployment: &Value) {
    let selector = LabelSelector::of(deployment.pointer("/spec/selector"));
    let orphans: Vec<(Key, Value)> = context
        .state
        .store
        .list("replicasets.apps", &key.ns)
        .filter(|(_, s)| !crate::store::contains(&s.body, b"\"controller\":true"))
        .map(|(k, s)| (k.clone(), s.value()))
        .filter(|(_, s)| selector.matches(s.pointer("/metadata/labels")))
        .collect();
    for (set_key, mut set) in orphans {
        set["metadata"]["ownerReferences"] = json!([owner(deployment)]);
        context.save(&set_key, &set, MANAGER);
    }
}

/// Whether pods of this ReplicaSet are still there.
fn still_running(context: &Context<'_>, set: &Owned) -> bool {
    let uid = text(&set.set, "/metadata/uid");
    context
        .owned(uid, "pods")
        .iter()
        .any(|(_, p)| !matches!(p["status"]["phase"].as_str(), Some("Failed" | "Succeeded")))
}

/// An existing ReplicaSet becomes the current one: a rollback gets a new revision.
fn keep_revision(context: &mut Context<'_>, deployment: &mut Value, set: &mut Owned, revision: i64) {
    let mine = revision_of(&set.set);
    let minimum = number(deployment, "/spec/minReadySeconds");
    let mut changed = false;
    if mine < revision {
        let annotations = set.set["metadata"]["annotations"].clone();
        if mine > 0 {
            let history =
                annotations["deployment.kubernetes.io/revision-history"].as_str().unwrap_or_default();
            let history = if history.is_empty() { mine.to_string() } else { format!("{history},{mine}") };
            annotate(&mut set.set, "deployment.kubernetes.io/revision-history", &history);
        }
        annotate(&mut set.set, REVISION, &revision.to_string());
        changed = true;
    }
    if number(&set.set, "/spec/minReadySeconds") != minimum {
        set.set["spec"]["minReadySeconds"] = json!(minimum);
        changed = true;
    }
    if changed {
        context.save(&set.key, &set.set, MANAGER);
        refresh(context, set);
    }
    publish_revision(deployment, revision_of(&set.set));
    deployment_status::found(deployment, &set.key.name);
}

/// The revision is written together with the status.
fn publish_revision(deployment: &mut Value, revision: i64) {
    let text = revision.to_string();
    if deployment["metadata"]["annotations"][REVISION] != text.as_str() {
        annotate(deployment, REVISION, &text);
    }
}

pub(crate) fn annotate(object: &mut Value, key: &str, value: &str) {
    let meta = metadata(object);
    if !meta.get("annotations").is_some_and(Value::is_object) {
        meta.insert("annotations".into(), json!({}));
    }
    meta["annotations"][key] = json!(value);
}

fn refresh(context: &Context<'_>, set: &mut Owned) {
    if let Some(stored) = context.state.store.get(&set.key) {
        set.set = stored;
    }
}

fn create(
    context: &mut Context<'_>,
    key: &Key,
    deployment: &mut Value,
    old: &[Owned],
    revision: i64,
) -> Option<Owned> {
    let template = &deployment["spec"]["template"];
    let mut seed = template_text(template);
    let mut name;
    let mut digest;
    loop {
        digest = hash(&seed, 10);
        name = format!("{}-{digest}", key.name);
        if !context.state.store.has(&key.beside("replicasets.apps", &name)) {
            break;
        }
        seed.push('+');
    }
    let mut template = template.clone();
    if !template["metadata"]["labels"].is_object() {
        template["metadata"]["labels"] = json!({});
    }
    template["metadata"]["labels"]["pod-template-hash"] = json!(digest);
    let mut selector = deployment["spec"]["selector"].clone();
    if !selector["matchLabels"].is_object() {
        selector["matchLabels"] = json!({});
    }
    selector["matchLabels"]["pod-template-hash"] = json!(digest);
    let wanted = number(deployment, "/spec/replicas");
    let (surge, _) = limits(deployment);
    let running: i64 = old.iter().map(Owned::wanted).sum();
    let replicas = if deployment["spec"]["strategy"]["type"] == "Recreate" {
        wanted
    } else {
        wanted.min((wanted + surge - running).max(0))
    };
    let mut annotations: BTreeMap<String, Value> = deployment["metadata"]["annotations"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(k, _)| {
            k.as_str() != "kubectl.kubernetes.io/last-applied-configuration"
                && !k.starts_with("deployment.kubernetes.io/")
        })
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect();
    annotations.insert("deployment.kubernetes.io/desired-replicas".into(), json!(wanted.to_string()));
    annotations.insert("deployment.kubernetes.io/max-replicas".into(), json!((wanted + surge).to_string()));
    annotations.insert(REVISION.into(), json!(revision.to_string()));
    let mut set = json!({
        "metadata": {
            "name": name, "namespace": key.ns, "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [owner(deployment)],
        },
        "spec": {"replicas": replicas, "selector": selector, "template": template},
    });
    if let Some(seconds) = deployment["spec"].get("minReadySeconds") {
        set["spec"]["minReadySeconds"] = seconds.clone();
    }
    let created = context.create("replicasets.apps", set, MANAGER)?;
    let set = context.state.store.get(&created)?;
    if replicas > 0 {
        let message = format!("Scaled up replica set {name} from 0 to {replicas}");
        context.event(deployment, Event::normal(COMPONENT, "ScalingReplicaSet", &message));
    }
    deployment_status::created(deployment, &name);
    publish_revision(deployment, revision);
    Some(Owned { key: created, set })
}

/// `maxSurge` and `maxUnavailable` in pods.
pub(crate) fn limits(deployment: &Value) -> (i64, i64) {
    let wanted = number(deployment, "/spec/replicas");
    let rolling = &deployment["spec"]["strategy"]["rollingUpdate"];
    if deployment["spec"]["strategy"]["type"] == "Recreate" {
        return (0, wanted);
    }
    let surge = scaled(rolling.get("maxSurge"), wanted, true);
    let mut unavailable = scaled(rolling.get("maxUnavailable"), wanted, false);
    if surge == 0 && unavailable == 0 {
        unavailable = 1;
    }
    (surge, unavailable.min(wanted))
}

/// One step of a rolling update.
fn roll(context: &mut Context<'_>, deployment: &Value, new: &mut Owned, old: &mut [Owned]) {
    let wanted = number(deployment, "/spec/replicas");
    let (surge, unavailable) = limits(deployment);
    let total: i64 = new.wanted() + old.iter().map(Owned::wanted).sum::<i64>();
    if new.wanted() > wanted {
        scale(context, deployment, new, wanted);
    } else if new.wanted() < wanted {
        let room = wanted + surge - total;
        if room > 0 {
            let to = wanted.min(new.wanted() + room);
            scale(context, deployment, new, to);
        }
    }
    annotate_scale(context, deployment, new);
    let mut running: i64 = old.iter().map(Owned::wanted).sum();
    if running == 0 {
        return;
    }
    let minimum = wanted - unavailable;
    let new_unavailable = new.wanted() - new.status("availableReplicas");
    let mut allowance = new.wanted() + running - minimum - new_unavailable;
    if allowance <= 0 {
        return;
    }
    for set in old.iter_mut() {
        let unhealthy = (set.wanted() - set.status("availableReplicas")).max(0).min(allowance);
        if unhealthy > 0 {
            let to = set.wanted() - unhealthy;
            scale(context, deployment, set, to);
            allowance -= unhealthy;
        }
    }
    running = old.iter().map(Owned::wanted).sum();
    let available: i64 = new.status("availableReplicas")
        + old.iter().map(|s| s.status("availableReplicas").min(s.wanted())).sum::<i64>();
    let mut spare = (available - minimum).min(running);
    for set in old.iter_mut() {
        if spare <= 0 {
            break;
        }
        let less = set.wanted().min(spare);
        if less > 0 {
            let to = set.wanted() - less;
            scale(context, deployment, set, to);
            spare -= less;
        }
    }
}

/// A paused Deployment is still scaled: all of it goes to the current, or the only, ReplicaSet.
fn scale_proportionally(
    context: &mut Context<'_>,
    deployment: &Value,
    new: Option<&mut Owned>,
    old: &mut [Owned],
) {
    let wanted = number(deployment, "/spec/replicas");
    let mut active: Vec<&mut Owned> = old.iter_mut().filter(|s| s.wanted() > 0).collect();
    match (new, active.as_mut_slice()) {
        (Some(new), []) => scale(context, deployment, new, wanted),
        (None, [only]) => scale(context, deployment, only, wanted),
        (Some(new), [only]) if new.wanted() == 0 => scale(context, deployment, only, wanted),
        _ => {}
    }
}

fn annotate_scale(context: &mut Context<'_>, deployment: &Value, set: &mut Owned) {
    let wanted = number(deployment, "/spec/replicas");
    let (surge, _) = limits(deployment);
    let annotations = &set.set["metadata"]["annotations"];
    let (desired, maximum) = (wanted.to_string(), (wanted + surge).to_string());
    if annotations["deployment.kubernetes.io/desired-replicas"] != desired.as_str()
        || annotations["deployment.kubernetes.io/max-replicas"] != maximum.as_str()
    {
        annotate(&mut set.set, "deployment.kubernetes.io/desired-replicas", &desired);
        annotate(&mut set.set, "deployment.kubernetes.io/max-replicas", &maximum);
        context.save(&set.key, &set.set, MANAGER);
        refresh(context, set);
    }
}

fn scale(context: &mut Context<'_>, deployment: &Value, set: &mut Owned, to: i64) {
    let from = set.wanted();
    if from == to {
        return;
    }
    set.set["spec"]["replicas"] = json!(to);
    context.save(&set.key, &set.set, MANAGER);
    refresh(context, set);
    let direction = if to > from { "up" } else { "down" };
    let message = format!("Scaled {direction} replica set {} from {from} to {to}", set.key.name);
    context.event(deployment, Event::normal(COMPONENT, "ScalingReplicaSet", &message));
}

/// Removes the oldest ReplicaSets beyond the history limit.
fn clean_up(context: &mut Context<'_>, deployment: &Value, old: &mut Vec<Owned>) {
    let limit = usize::try_from(number(deployment, "/spec/revisionHistoryLimit")).unwrap_or(0);
    let mut idle: Vec<usize> =
        (0..old.len()).filter(|i| old[*i].wanted() == 0 && old[*i].status("replicas") == 0).collect();
    if idle.len() <= limit {
        return;
    }
    idle.sort_by_key(|i| revision_of(&old[*i].set));
    let options = DeleteOptions {
        propagation: Some(Propagation::Background),
        grace: None,
        uid: None,
        rv: None,
        dry_run: false,
    };
    let gone: Vec<usize> = idle.iter().take(idle.len() - limit).copied().collect();
    for i in &gone {
        let mut set = old[*i].set.clone();
        delete::start(context.state, &old[*i].key, &mut set, &options);
    }
    let mut index = 0;
    old.retain(|_| {
        index += 1;
        !gone.contains(&(index - 1))
    });
}
