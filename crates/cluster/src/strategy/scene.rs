//! What is on the cluster beside the objects of the deploy: Deployments of earlier deploys, the Services of their namespaces, and
//! the pods that a Service must be kept to.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{ObjectRef, Selector};
use serde_json::{Map, Value};

use super::{
    Cast, FAST_ROLLBACK, FULL_REPLICAS, ROLLING_UPDATE, fast_id, is_deployment, selects, service_selector,
    template_labels, text,
};
use crate::connect::{CallError, Connection};
use crate::discovery::Resource;
use crate::inventory::applyset::part_of;
use crate::live::{self, Live};
use crate::plan::{ID_LABEL, Marks, ORIGINAL_NAME, STRATEGY_LABEL, Wanted};
use crate::status;

/// A Deployment made from the same manifest by another deploy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sibling {
    pub(crate) object: ObjectRef,
    pub(crate) uid: String,
    /// `None` if kit has not made it.
    pub(crate) strategy: Option<String>,
    pub(crate) id: Option<String>,
    /// As the server writes it; sorts by time.
    pub(crate) created: String,
    pub(crate) replicas: i64,
    /// The replicas from before it was scaled down as a reserve.
    pub(crate) full: Option<i64>,
    /// The labels of its pods.
    pub(crate) labels: Map<String, Value>,
    pub(crate) ready: bool,
    /// The resource set that it is of, as its label says.
    pub(crate) set: Option<String>,
    /// Whether that is one from which this deploy takes nothing.
    pub(crate) foreign: bool,
}

impl Sibling {
    pub(crate) fn of(live: &Value) -> Self {
        let mut live = live.clone();
        live["apiVersion"] = Value::from("apps/v1");
        live["kind"] = Value::from("Deployment");
        let owned = |pointer: &str| text(&live, pointer).map(str::to_owned);
        let kits = manifest::object::annotation(&live, ORIGINAL_NAME).is_some();
        let strategy = owned("/metadata/labels/strategy").filter(|_| kits);
        Self {
            object: manifest::object::reference(&live),
            uid: owned("/metadata/uid").unwrap_or_default(),
            id: owned("/spec/template/metadata/labels/id")
                .filter(|_| strategy.as_deref() == Some(FAST_ROLLBACK)),
            strategy,
            created: owned("/metadata/creationTimestamp").unwrap_or_default(),
            replicas: live.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1),
            full: manifest::object::annotation(&live, FULL_REPLICAS).and_then(|text| text.parse().ok()),
            labels: template_labels(&live).cloned().unwrap_or_default(),
            ready: status::assess(&live).is_current(),
            set: part_of(&live).map(str::to_owned),
            foreign: false,
        }
    }

    /// Whether a deploy could go back to it.
    pub(crate) fn is_fast(&self) -> bool {
        self.strategy.as_deref() == Some(FAST_ROLLBACK)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scene {
    /// The siblings of each main, by index.
    pub(crate) siblings: BTreeMap<usize, Vec<Sibling>>,
    /// The live Services of the namespaces in which traffic moves.
    pub(crate) services: Vec<Value>,
    /// The pods of a Service whose selector would take the new ones too, by index.
    pub(crate) pods: BTreeMap<usize, Vec<Value>>,
    /// What could not be seen.
    pub(crate) warnings: Vec<(ObjectRef, String)>,
}

/// The kind Service.
pub(crate) fn services() -> Resource {
    Resource::new("", "v1", "Service", "services", true)
}

/// The kind Deployment.
pub(super) fn deployments() -> Resource {
    Resource::new("apps", "v1", "Deployment", "deployments", true)
}

/// The kind Pod.
pub(crate) fn pods() -> Resource {
    Resource::new("", "v1", "Pod", "pods", true)
}

impl Scene {
    /// Looks around; with `rolling-update` also finds out who takes part: Deployments with leftovers of `fast-rollback`.
    ///
    /// Nothing is asked where nothing takes part.
    ///
    /// # Errors
    /// The first refusal, or no answer.
    pub(crate) async fn look(
        connection: &Connection,
        wanted: &[Wanted],
        live: &Live,
        cast: &mut Cast,
        marks: &Marks,
    ) -> Result<Self, CallError> {
        let mut scene = Self::default();
        if marks.raw {
            return Ok(scene);
        }
        for (index, object) in wanted.iter().enumerate().filter(|(_, object)| is_deployment(object)) {
            let siblings = siblings(object, live.of(&object.resource));
            if marks.strategy == ROLLING_UPDATE && siblings.iter().any(Sibling::is_fast) {
                cast.mains.insert(index);
            }
            scene.siblings.insert(index, siblings);
        }
        scene.siblings.retain(|index, _| cast.mains.contains(index));
        if cast.mains.is_empty() {
            return Ok(scene);
        }
        if marks.strategy == ROLLING_UPDATE {
            *cast = Cast::around(wanted, std::mem::take(&mut cast.mains));
        } else {
            scene.strangers(connection, wanted, live, cast).await?;
        }
        scene.list_services(connection, wanted, live, cast).await?;
        if let Some(id) = fast_id(marks) {
            scene.list_pods(connection, wanted, live, cast, id).await?;
        }
        Ok(scene)
    }

    /// Marks the siblings of those resource sets from which this deploy takes nothing.
    pub(crate) fn leave(&mut self, theirs: impl Fn(&str) -> bool) {
        for sibling in self.siblings.values_mut().flatten() {
            sibling.foreign = sibling.set.as_deref().is_some_and(&theirs);
        }
    }

    /// Deployments of the manifest's own name that kit has not made: what ran before kit came.
    async fn strangers(
        &mut self,
        connection: &Connection,
        wanted: &[Wanted],
        live: &Live,
        cast: &Cast,
    ) -> Result<(), CallError> {
        for index in &cast.mains {
            let main = &wanted[*index];
            let known = self.siblings.get(index).is_some_and(|siblings| !siblings.is_empty());
            if known || live.get(main).is_some() {
                continue;
            }
            let (namespace, name) = (main.object.namespace.as_deref(), main.original_name());
            let (_, found) = live::get(connection, &main.resource, namespace, name).await?;
            self.siblings.entry(*index).or_default().extend(found.iter().map(Sibling::of));
        }
        Ok(())
    }

    async fn list_services(
        &mut self,
        connection: &Connection,
        wanted: &[Wanted],
        live: &Live,
        cast: &Cast,
    ) -> Result<(), CallError> {
        let namespaces: BTreeSet<Option<&str>> =
            cast.mains.iter().map(|main| wanted[*main].object.namespace.as_deref()).collect();
        for namespace in namespaces {
            match live::list(connection, &services(), namespace, None).await {
                Ok((_, found)) => self.services.extend(found),
                Err(error) if error.is(403) => {
                    let known = cast.traffic.keys().filter_map(|index| live.get(&wanted[*index])).cloned();
                    self.services.extend(known);
                    for main in &cast.mains {
                        let text = "we may not list Services: whether one that is not part of this deploy leads to an \
                                    earlier Deployment of it is not known";
                        self.warnings.push((wanted[*main].object.clone(), text.to_owned()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The pods of the Services that select without an id: they would take the new pods one by one.
    async fn list_pods(
        &mut self,
        connection: &Connection,
        wanted: &[Wanted],
        live: &Live,
        cast: &Cast,
        id: &str,
    ) -> Result<(), CallError> {
        for (index, mains) in &cast.traffic {
            let service = &wanted[*index];
            let Some(selector) = live.get(service).and_then(service_selector) else { continue };
            let would_mix = mains.iter().any(|main| selects(selector, template_labels(&wanted[*main].value)));
            if would_mix && selector.get(ID_LABEL).and_then(Value::as_str) != Some(id) {
                let labels = Selector::of_pairs(selector).to_string();
                let namespace = service.object.namespace.as_deref();
                let (_, found) = live::list(connection, &pods(), namespace, Some(&labels)).await?;
                self.pods.insert(*index, found);
            }
        }
        Ok(())
    }
}

/// The Deployments among `live` that were made from the manifest of `main` by other deploys.
fn siblings<'a>(main: &Wanted, live: impl Iterator<Item = &'a Value>) -> Vec<Sibling> {
    live.filter(|other| {
        let metadata = &other["metadata"];
        metadata["name"] != main.object.name.as_str()
            && metadata["namespace"].as_str() == main.object.namespace.as_deref()
            && metadata.get("deletionTimestamp").is_none()
            && manifest::object::annotation(other, ORIGINAL_NAME) == Some(main.original_name())
            && matches!(metadata["labels"][STRATEGY_LABEL].as_str(), Some(FAST_ROLLBACK | ROLLING_UPDATE))
    })
    .map(Sibling::of)
    .collect()
}
