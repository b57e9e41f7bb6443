//! What is done before and after traffic moves: pure, from what is wanted and what was found.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::prepare::is_scaled;
use super::scene::{Sibling, deployments, services};
use super::{
    Cast, Moves, POD_TEMPLATE_HASH, PREVIOUS_ID, ROLLING_UPDATE, Reserves, Scene, Step, What, fast_id,
    is_ready_pod, is_service, is_usable, selects, service_selector, template_labels, text,
};
use crate::outcome::Trouble;
use crate::plan::{Action, ID_LABEL, Marks, PlanOptions, PlannedObject};

/// Settles what the cast does, and everything around it.
pub(crate) fn moves(
    planned: &mut [PlannedObject],
    cast: &Cast,
    scene: &Scene,
    marks: &Marks,
    options: &PlanOptions,
) -> Moves {
    let mut moves = Moves { warnings: scene.warnings.clone(), ..Moves::default() };
    if marks.raw {
        return moves;
    }
    for (index, trouble) in &cast.refused {
        planned[*index].action = Action::refuse(trouble.clone());
    }
    if marks.strategy == ROLLING_UPDATE {
        release(planned, cast, scene, &mut moves);
    }
    if cast.mains.is_empty() {
        return moves;
    }
    if let Some(id) = fast_id(marks) {
        keep(planned, cast, id, options.force);
        pin(planned, scene, id, &mut moves);
    }
    lost(planned, cast, scene);
    moves.siblings = scene.siblings.values().flatten().map(|sibling| sibling.object.clone()).collect();
    moves.mains = cast.mains.iter().copied().collect();
    let moving =
        |index: &usize| planned[*index].live.is_some() && planned[*index].action != Action::Unchanged;
    moves.services = cast.traffic.keys().copied().filter(moving).collect();
    moves.traffic = cast.traffic.keys().copied().collect();
    moves.followers =
        cast.followers.iter().copied().filter(|index| planned[*index].action != Action::Unchanged).collect();
    let fast = fast_id(marks).is_some();
    for main in &cast.mains {
        let Some(siblings) = scene.siblings.get(main) else { continue };
        let around = Around { planned, cast, scene, main: *main, siblings, fast };
        moves.grow.extend(around.growth());
        around.leftovers(&options.reserves, &mut moves);
    }
    moves
}

/// A Deployment that is there under the id is used as it is, unless it never worked.
fn keep(planned: &mut [PlannedObject], cast: &Cast, id: &str, force: bool) {
    for index in cast.mains.iter().filter(|index| !force && !cast.refused.contains_key(index)) {
        let object = &mut planned[*index];
        let Some(live) =
            object.live.as_deref().filter(|live| live["metadata"].get("deletionTimestamp").is_none())
        else {
            continue;
        };
        if is_usable(live) && object.action != Action::Unchanged {
            object.action = match (&object.action, object.changes.is_empty()) {
                (Action::Configure, true) => Action::Unchanged,
                _ => Action::Skip {
                    because: format!(
                        "it differs from the manifest: what was deployed as `{id}` is used as it is (`--force` applies the manifest)"
                    ),
                },
            };
            object.changes.clear();
        }
    }
}

/// Before the first pods with an id appear, a Service that selects without one is kept to the pods that it has.
fn pin(planned: &mut [PlannedObject], scene: &Scene, id: &str, moves: &mut Moves) {
    for (index, pods) in &scene.pods {
        let serving = pods
            .iter()
            .filter(|pod| is_ready_pod(pod) && pod["metadata"]["labels"][ID_LABEL].as_str() != Some(id));
        let hashes: BTreeSet<Option<&str>> =
            serving.map(|pod| pod["metadata"]["labels"][POD_TEMPLATE_HASH].as_str()).collect();
        let hashes: Vec<Option<&str>> = hashes.into_iter().collect();
        let object = &mut planned[*index];
        match hashes.as_slice() {
            // Nobody serves: nothing to lose.
            [] => {}
            [Some(hash)] => {
                let Some(from) = live_selector(object).cloned() else { continue };
                let mut to = from.clone();
                to.insert(POD_TEMPLATE_HASH.to_owned(), Value::from(*hash));
                moves.before.push(select(
                    object,
                    from,
                    to,
                    "it would take the new pods one by one: it is kept to those that it leads to now",
                ));
            }
            _ => {
                let trouble = Trouble::new(
                    "it leads to pods of more than one kind, so that it cannot be kept from the new ones until all are ready",
                )
                .hint("finish or undo the rollout that is going on: kubectl rollout status deployment")
                .hint("or, if it is to lead to several Deployments: set the label `strategy: rolling-update` in their templates and in its selector, and deploy that with `--strategy rolling-update` first");
                object.action = Action::refuse(trouble);
            }
        }
    }
}

/// With `rolling-update`, a Service that was kept to certain pods takes all again, before those go. What it was kept from goes first.
fn release(planned: &[PlannedObject], cast: &Cast, scene: &Scene, moves: &mut Moves) {
    for (index, object) in planned.iter().enumerate().filter(|(_, object)| is_service(&object.wanted)) {
        let Some(from) = live_selector(object) else { continue };
        let asked =
            service_selector(&object.wanted.value).is_some_and(|to| to.contains_key(POD_TEMPLATE_HASH));
        if !from.contains_key(POD_TEMPLATE_HASH) || asked || !object.writes() {
            continue;
        }
        let mut to = from.clone();
        to.remove(POD_TEMPLATE_HASH);
        for sibling in cast
            .traffic
            .get(&index)
            .into_iter()
            .flatten()
            .filter_map(|main| scene.siblings.get(main))
            .flatten()
        {
            let used = scene.services.iter().filter_map(service_selector);
            if sibling.is_fast()
                && selects(&to, Some(&sibling.labels))
                && !used.into_iter().any(|selector| selects(selector, Some(&sibling.labels)))
            {
                let because = "no Service leads to it, and one is about to select more widely";
                moves.before.push(step(sibling, What::Delete, because));
            }
        }
        moves.before.push(select(object, from.clone(), to, "it was kept to pods that are about to go"));
    }
}

/// A Service that leads to a Deployment of ours now, and whose manifest leads nowhere.
fn lost(planned: &mut [PlannedObject], cast: &Cast, scene: &Scene) {
    let mut ours: Vec<Sibling> = scene.siblings.values().flatten().cloned().collect();
    ours.extend(cast.mains.iter().filter_map(|main| planned[*main].live.as_deref()).map(Sibling::of));
    let templates: Vec<(Option<String>, Map<String, Value>)> = planned
        .iter()
        .filter_map(|object| {
            let labels = template_labels(&object.wanted.value)?.clone();
            Some((object.wanted.object.namespace.clone(), labels))
        })
        .collect();
    for (index, object) in planned.iter_mut().enumerate() {
        if !is_service(&object.wanted) || cast.traffic.contains_key(&index) || !object.writes() {
            continue;
        }
        let namespace = &object.wanted.object.namespace;
        let (Some(now), Some(then)) = (live_selector(object), service_selector(&object.wanted.value)) else {
            continue;
        };
        let led =
            ours.iter().any(|one| one.object.namespace == *namespace && selects(now, Some(&one.labels)));
        let leads = templates.iter().any(|(near, labels)| near == namespace && selects(then, Some(labels)));
        if led && !leads {
            let pairs = manifest::Selector::of_pairs(then).to_string();
            let trouble = Trouble::new(format!(
                "its selector matches no pods of this deploy, traffic would go nowhere: `{pairs}`"
            ))
            .hint(format!(
                "compare `spec.selector` in {} with the labels of the pod templates",
                object.wanted.place
            ));
            object.action = Action::refuse(trouble);
        }
    }
}

/// One Deployment and what is around it.
struct Around<'a> {
    planned: &'a [PlannedObject],
    cast: &'a Cast,
    scene: &'a Scene,
    main: usize,
    siblings: &'a [Sibling],
    /// Whether the strategy is `fast-rollback`.
    fast: bool,
}

impl Around<'_> {
    fn services(&self) -> impl Iterator<Item = &PlannedObject> {
        let leads = |mains: &BTreeSet<usize>| mains.contains(&self.main);
        self.cast
            .traffic
            .iter()
            .filter(move |(_, mains)| leads(mains))
            .map(|(index, _)| &self.planned[*index])
    }

    /// Whether a live Service of this deploy leads to pods with these labels.
    fn is_led_to(&self, labels: &Map<String, Value>) -> bool {
        self.services().filter_map(live_selector).any(|selector| selects(selector, Some(labels)))
    }

    /// The Deployment that traffic goes to now, if it is another one.
    fn incumbent(&self) -> Option<&Sibling> {
        let live = self.planned[self.main].live.as_deref().map(Sibling::of);
        if live.is_some_and(|live| self.is_led_to(&live.labels)) {
            return None;
        }
        let pinned = |sibling: &Sibling| {
            self.services().filter_map(live_selector).any(|selector| {
                let mut selector = selector.clone();
                selector.remove(POD_TEMPLATE_HASH);
                !sibling.is_fast() && selects(&selector, Some(&sibling.labels))
            })
        };
        self.siblings.iter().find(|sibling| self.is_led_to(&sibling.labels) || pinned(sibling))
    }

    /// More replicas before traffic comes: as many as served it so far, or as the reserve had.
    fn growth(&self) -> Option<Step> {
        let object = &self.planned[self.main];
        let wanted = &object.wanted;
        let serving = self.incumbent().map(|incumbent| incumbent.replicas);
        let asked = wanted.value["spec"]["replicas"].as_i64();
        let scaled = is_scaled(|index| &self.planned[index].wanted, self.cast, self.main);
        let live = object.live.as_deref().map(Sibling::of);
        let (from, to) = match &live {
            Some(_) if !self.fast && !scaled => return None,
            Some(live) => {
                let mut to = live.replicas.max(live.full.unwrap_or(0));
                if scaled || asked.is_none() {
                    to = to.max(serving.unwrap_or(0));
                }
                if to == 0 {
                    to = serving.or(asked).unwrap_or(1);
                }
                (Some(live.replicas), to)
            }
            None if asked.is_none() => (None, serving?),
            None => return None,
        };
        let grows = from.unwrap_or(1) < to && !matches!(object.action, Action::Refuse { .. });
        grows.then(|| Step {
            object: wanted.object.clone(),
            resource: (*wanted.resource).clone(),
            uid: live.map(|live| live.uid),
            what: What::Scale { from, to, full: None },
            because: match self.incumbent() {
                Some(incumbent) => format!("traffic comes to it, from {}", incumbent.object),
                None => "traffic comes to it".to_owned(),
            },
        })
    }

    /// What becomes of the others when traffic has left them.
    fn leftovers(&self, reserves: &Reserves, moves: &mut Moves) {
        let main = &self.planned[self.main];
        let created = main.live.as_deref().map(|live| Sibling::of(live).created);
        let is_newer = |sibling: &Sibling| created.as_ref().is_some_and(|created| sibling.created > *created);
        let previous = self.previous();
        let mut older: Vec<&Sibling> = Vec::new();
        let mut kept: Vec<&Sibling> = Vec::new();
        for sibling in self.siblings {
            if sibling.foreign {
                moves.warnings.push((
                    sibling.object.clone(),
                    "it belongs to another resource set, so it stays as it is".to_owned(),
                ));
                continue;
            }
            match (&sibling.strategy, self.fast) {
                (None, _) => moves.warnings.push((
                    sibling.object.clone(),
                    format!(
                        "kit has not made it, so it stays when traffic has left it: kubectl delete deployment {}{}",
                        sibling.object.name,
                        sibling.object.namespace.as_ref().map_or(String::new(), |ns| format!(" -n {ns}"))
                    ),
                )),
                (Some(strategy), fast) if fast != sibling.is_fast() => {
                    self.delete(sibling, format!("it is of strategy `{strategy}`, and traffic has left it"), moves);
                }
                (Some(_), true) if is_newer(sibling) && reserves.delete_newer => {
                    self.delete(sibling, "it is newer than what traffic goes to (`--delete-newer`)".into(), moves);
                }
                (Some(_), true) if is_newer(sibling) => kept.push(sibling),
                (Some(_), true) => older.push(sibling),
                (Some(_), false) => {}
            }
        }
        // First what served until now, then what would serve at once, the latest first.
        older.sort_by_key(|sibling| {
            let usable = sibling.ready || sibling.full.is_some();
            let last = (sibling.id == previous, usable, sibling.created.clone(), sibling.object.name.clone());
            std::cmp::Reverse(last)
        });
        for sibling in older.split_off(reserves.keep.min(older.len())) {
            self.delete(sibling, format!("{} other reserves are kept", reserves.keep), moves);
        }
        kept.extend(older);
        kept.sort_by(|a, b| a.object.cmp(&b.object));
        if self.services().next().is_none()
            && let Some(one) = kept.iter().find(|one| one.replicas > 0 && reserves.replicas.is_none())
        {
            let text = "no Service of the deploy leads to it, so its pods go on working beside the new ones (`--reserve-replicas 0` stops them)";
            moves.warnings.push((one.object.clone(), text.to_owned()));
        }
        for sibling in kept {
            if let Some(to) = reserves.replicas.map(i64::from).filter(|to| *to < sibling.replicas)
                && !self.is_used(sibling)
            {
                let full = Some(sibling.full.unwrap_or(0).max(sibling.replicas));
                let scale = What::Scale { from: Some(sibling.replicas), to, full };
                moves.after.push(step(sibling, scale, "it is a reserve"));
            }
        }
    }

    /// The id that traffic goes to now, or went to before it came here.
    fn previous(&self) -> Option<String> {
        match self.incumbent() {
            Some(incumbent) => incumbent.id.clone(),
            None => self
                .services()
                .filter_map(|service| service.live.as_deref())
                .find_map(|live| manifest::object::annotation(live, PREVIOUS_ID).map(str::to_owned)),
        }
    }

    fn delete(&self, sibling: &Sibling, because: String, moves: &mut Moves) {
        // It may go before everything else already.
        if moves.before.iter().any(|step| step.object == sibling.object) {
            return;
        }
        if let Some(user) = self.user(sibling) {
            let name = text(user, "/metadata/name").unwrap_or_default();
            let text =
                format!("it is not deleted: Service `{name}`, which is not part of this deploy, leads to it");
            moves.warnings.push((sibling.object.clone(), text));
            return;
        }
        moves.after.push(step(sibling, What::Delete, because));
    }

    fn is_used(&self, sibling: &Sibling) -> bool {
        self.user(sibling).is_some()
    }

    /// A Service outside this deploy that leads to a sibling and not to the Deployment that takes its place.
    fn user(&self, sibling: &Sibling) -> Option<&Value> {
        let ours = |service: &Value| {
            self.cast.traffic.keys().any(|index| {
                let object = &self.planned[*index].wanted.object;
                text(service, "/metadata/name") == Some(object.name.as_str())
                    && text(service, "/metadata/namespace") == object.namespace.as_deref()
            })
        };
        self.scene.services.iter().find(|service| {
            text(service, "/metadata/namespace") == sibling.object.namespace.as_deref()
                && !ours(service)
                && service_selector(service).is_some_and(|selector| {
                    selects(selector, Some(&sibling.labels))
                        && !selects(selector, template_labels(&self.planned[self.main].wanted.value))
                })
        })
    }
}

/// The selector of a Service as it is on the cluster.
fn live_selector(service: &PlannedObject) -> Option<&Map<String, Value>> {
    service.live.as_deref().and_then(service_selector)
}

/// A step on an earlier Deployment.
fn step(sibling: &Sibling, what: What, because: impl Into<String>) -> Step {
    Step {
        object: sibling.object.clone(),
        resource: deployments(),
        uid: Some(sibling.uid.clone()),
        what,
        because: because.into(),
    }
}

fn select(object: &PlannedObject, from: Map<String, Value>, to: Map<String, Value>, because: &str) -> Step {
    Step {
        object: object.wanted.object.clone(),
        resource: services(),
        uid: object.live.as_deref().and_then(|live| text(live, "/metadata/uid")).map(str::to_owned),
        what: What::Select { from, to },
        because: because.to_owned(),
    }
}
