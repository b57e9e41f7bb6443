//! Who takes part when traffic moves, and under which name: pure, from the manifests alone.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{FAST_ROLLBACK, is_deployment, is_service, selects, service_selector, template_labels};
use crate::outcome::Trouble;
use crate::plan::{ID_LABEL, ORIGINAL_NAME, STRATEGY_LABEL, Wanted};

/// The objects of a deploy that take part, by index.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cast {
    /// Deployments.
    pub(crate) mains: BTreeSet<usize>,
    /// Services that lead to them, with those they lead to.
    pub(crate) traffic: BTreeMap<usize, BTreeSet<usize>>,
    /// Autoscalers and disruption budgets of theirs.
    pub(crate) followers: BTreeSet<usize>,
    /// What cannot be part of such a deploy.
    pub(crate) refused: BTreeMap<usize, Trouble>,
}

impl Cast {
    /// Gives every Deployment of a `fast-rollback` deploy its name, and everything that refers to it that name and the id.
    pub(crate) fn with_id(wanted: &mut [Wanted], id: &str) -> Self {
        let mut cast = Self::default();
        let mut names: BTreeMap<(Option<String>, String), String> = BTreeMap::new();
        for (index, deployment) in wanted.iter_mut().enumerate() {
            if !is_deployment(deployment) {
                continue;
            }
            cast.mains.insert(index);
            if let Err(trouble) = foreign_id(deployment, id) {
                cast.refused.insert(index, trouble);
            }
            let old = deployment.object.name.clone();
            let base = base_name(&old, id).to_owned();
            let new = format!("{base}-{id}");
            let namespace = deployment.object.namespace.clone();
            deployment.value["metadata"]["name"] = Value::from(new.clone());
            deployment.value["metadata"]["annotations"][ORIGINAL_NAME] = Value::from(base.clone());
            deployment.object.name.clone_from(&new);
            label(&mut deployment.value, id);
            names.insert((namespace.clone(), old), new.clone());
            names.insert((namespace, base), new);
        }
        cast.twins(wanted);
        for index in 0..wanted.len() {
            cast.service(wanted, index, id);
            cast.follower(wanted, index, id, &names);
        }
        cast
    }

    /// The objects that refer to `mains` as they are.
    pub(crate) fn around(wanted: &[Wanted], mains: BTreeSet<usize>) -> Self {
        let mut cast = Self { mains, ..Self::default() };
        for (index, object) in wanted.iter().enumerate() {
            if let Some(selector) = is_service(object).then(|| service_selector(&object.value)).flatten() {
                let led_to = cast.led_to(wanted, object, selector);
                if !led_to.is_empty() {
                    cast.traffic.insert(index, led_to);
                }
            }
            let named = target(&object.value).is_some_and(|name| {
                cast.mains.iter().any(|main| {
                    wanted[*main].object.name == name
                        && wanted[*main].object.namespace == object.object.namespace
                })
            });
            let guarded = budget_labels(object)
                .is_some_and(|selector| !cast.led_to(wanted, object, &selector).is_empty());
            if named || guarded {
                cast.followers.insert(index);
            }
        }
        cast
    }

    /// The Deployments that `selector`, of an object beside them, selects.
    fn led_to(&self, wanted: &[Wanted], of: &Wanted, selector: &Map<String, Value>) -> BTreeSet<usize> {
        let near = |main: &&usize| wanted[**main].object.namespace == of.object.namespace;
        let hit = |main: &&usize| selects(selector, template_labels(&wanted[**main].value));
        self.mains.iter().filter(near).filter(hit).copied().collect()
    }

    /// Two Deployments that would have one name.
    fn twins(&mut self, wanted: &[Wanted]) {
        let mut seen: BTreeMap<(Option<String>, String), usize> = BTreeMap::new();
        for index in self.mains.clone() {
            let object = &wanted[index].object;
            if let Some(first) = seen.insert((object.namespace.clone(), object.name.clone()), index) {
                let trouble = Trouble::new(format!(
                    "two Deployments would be called `{}`: {} and {}",
                    object.name, wanted[first].place, wanted[index].place
                ));
                self.refused.insert(index, trouble);
            }
        }
    }

    fn service(&mut self, wanted: &mut [Wanted], index: usize, id: &str) {
        let object = &wanted[index];
        let Some(selector) = is_service(object).then(|| service_selector(&object.value)).flatten() else {
            return;
        };
        if let Some(other) = selector.get(ID_LABEL).filter(|found| found.as_str() != Some(id)) {
            self.refused.insert(index, other_id("its selector", other, id));
            return;
        }
        let mut moved = selector.clone();
        moved.insert(ID_LABEL.to_owned(), Value::from(id));
        moved.insert(STRATEGY_LABEL.to_owned(), Value::from(FAST_ROLLBACK));
        let led_to = self.led_to(wanted, object, &moved);
        if led_to.is_empty() {
            return;
        }
        let stays = wanted.iter().find(|other| {
            matches!(other.resource.kind.as_str(), "StatefulSet" | "DaemonSet")
                && other.object.namespace == object.object.namespace
                && selects(selector, template_labels(&other.value))
        });
        if let Some(stays) = stays {
            let trouble = Trouble::new(format!(
                "it selects Deployments, which get an id, and {}, which has none",
                stays.object
            ))
            .hint("give it a selector for one of them, and a second Service for the other");
            self.refused.insert(index, trouble);
            return;
        }
        wanted[index].value["spec"]["selector"] = Value::Object(moved);
        self.traffic.insert(index, led_to);
    }

    fn follower(
        &mut self,
        wanted: &mut [Wanted],
        index: usize,
        id: &str,
        names: &BTreeMap<(Option<String>, String), String>,
    ) {
        let object = &wanted[index];
        let key = target(&object.value).map(|name| (object.object.namespace.clone(), name.to_owned()));
        if let Some(new) = key.and_then(|key| names.get(&key)) {
            for field in TARGETS {
                if let Some(name) = wanted[index].value.pointer_mut(&format!("{field}/name")) {
                    *name = Value::from(new.clone());
                }
            }
            self.followers.insert(index);
        } else if let Some(mut selector) = budget_labels(object) {
            selector.insert(ID_LABEL.to_owned(), Value::from(id));
            selector.insert(STRATEGY_LABEL.to_owned(), Value::from(FAST_ROLLBACK));
            if !self.led_to(wanted, object, &selector).is_empty() {
                wanted[index].value["spec"]["selector"]["matchLabels"] = Value::Object(selector);
                self.followers.insert(index);
            }
        }
    }
}

/// Where an autoscaler (of Kubernetes, of KEDA, vertical) names what it scales.
const TARGETS: [&str; 2] = ["/spec/scaleTargetRef", "/spec/targetRef"];

/// The name of the Deployment that an object scales.
fn target(value: &Value) -> Option<&str> {
    TARGETS.iter().find_map(|field| {
        let target = value.pointer(field)?;
        // KEDA's `kind` has this default.
        let kind = target.get("kind").and_then(Value::as_str).unwrap_or("Deployment");
        (kind == "Deployment").then(|| target.get("name")?.as_str()).flatten()
    })
}

/// The labels by which a disruption budget selects.
fn budget_labels(object: &Wanted) -> Option<Map<String, Value>> {
    let budget = object.resource.group == "policy" && object.resource.kind == "PodDisruptionBudget";
    let labels = object.value.pointer("/spec/selector/matchLabels").filter(|_| budget)?;
    labels.as_object().filter(|labels| !labels.is_empty()).cloned()
}

/// The manifest's name without an id that its template has put there already.
fn base_name<'a>(name: &'a str, id: &str) -> &'a str {
    let base = name.strip_suffix(id).and_then(|rest| rest.strip_suffix('-'));
    base.filter(|base| !base.is_empty()).unwrap_or(name)
}

/// Selector and template carry id and strategy; a selector that is left out selects what the template says, as in the original.
fn label(value: &mut Value, id: &str) {
    let spec = &mut value["spec"];
    let labels = spec["template"]["metadata"]["labels"].as_object().cloned().unwrap_or_default();
    let selector = &spec["selector"];
    let says_nothing = selector["matchLabels"].as_object().is_none_or(Map::is_empty)
        && selector["matchExpressions"].as_array().is_none_or(Vec::is_empty);
    if !spec["selector"].is_object() {
        spec["selector"] = json!({});
    }
    if says_nothing {
        spec["selector"]["matchLabels"] = Value::Object(labels);
    }
    for map in ["/selector/matchLabels", "/template/metadata/labels"] {
        set(spec, map, ID_LABEL, id);
        set(spec, map, STRATEGY_LABEL, FAST_ROLLBACK);
    }
}

/// Sets a key of the map at `pointer`, which is made if it is not there.
pub(super) fn set(value: &mut Value, pointer: &str, key: &str, text: &str) {
    let mut at = value;
    for part in pointer.split('/').skip(1) {
        if !at.is_object() {
            *at = json!({});
        }
        at = &mut at[part];
    }
    if !at.is_object() {
        *at = json!({});
    }
    at[key] = Value::from(text);
}

fn foreign_id(wanted: &Wanted, id: &str) -> Result<(), Trouble> {
    let places =
        [("/spec/selector/matchLabels", "its selector"), ("/spec/template/metadata/labels", "its template")];
    for (pointer, what) in places {
        let found = wanted.value.pointer(pointer).and_then(|labels| labels.get(ID_LABEL));
        if let Some(other) = found.filter(|found| found.as_str() != Some(id)) {
            return Err(other_id(what, other, id));
        }
    }
    Ok(())
}

fn other_id(what: &str, found: &Value, id: &str) -> Trouble {
    Trouble::new(format!("{what} has the label `id` with another value than `--deploy-id {id}`: {found}"))
        .hint("leave the label to deployer, or render with the same id: `deploymentizer --deploy-id ID`")
}
