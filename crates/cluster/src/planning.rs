//! Making the plan of one cluster: discovery, what is there, dry runs where reading does not decide.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use manifest::{Object, ObjectRef, Selector};
use serde_json::Value;

use crate::apply::{self, Mode};
use crate::connect::{CallError, Connection};
use crate::discovery::{Discovery, Lookup, kinds_of_crd};
use crate::events::Happening;
use crate::inventory::{Inventory, Manifests, Membership};
use crate::live::{self, Live};
use crate::order;
use crate::outcome::Trouble;
use crate::plan::{
    Action, After, Change, Conclusion, DEPENDENCY_SELECTOR, Decision, Deletion, Mask, ORIGINAL_NAME, Plan,
    PlannedObject, Unplanned, Wanted, changes, conclude, decide, give_up, predecessors, refused,
};
use crate::resource_set;
use crate::rollout::{RolloutOptions, Run};
use crate::strategy::{self, Cast, Scene};

/// Why there is no plan.
#[derive(Debug)]
pub(crate) enum PlanError {
    /// The cluster could not be asked.
    Call(CallError),
    /// The manifests make no sense together.
    Manifests(Trouble),
}

impl From<CallError> for PlanError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

/// Plans `manifests` for the cluster behind `connection`. An inventory that the caller has read is not read again.
pub(crate) async fn plan(
    connection: &Connection,
    manifests: &Manifests,
    inventory: Option<Inventory>,
    options: &RolloutOptions,
    run: &Run,
) -> Result<Plan, PlanError> {
    let objects = manifests.objects.as_slice();
    for object in objects {
        run.mask.learn(&object.value);
    }
    let kinds: BTreeSet<(String, String)> =
        objects.iter().map(|object| (object.api_version().to_owned(), object.kind().to_owned())).collect();
    let mut discovery = Discovery::of(connection, &kinds).await?;
    connection.events().emit(Happening::Connected);
    let own_kinds = own_kinds(objects, &mut discovery, &kinds);

    let (mut wanted, unplanned) = resolve(objects, &discovery, connection.namespace(), options);
    let mut cast = match strategy::fast_id(&options.marks) {
        Some(id) => Cast::with_id(&mut wanted, id),
        None => Cast::default(),
    };
    let (live, inventory) = tokio::join!(
        live::read(connection, &wanted, &own_kinds.absent, !options.marks.raw),
        resource_set::inventory(connection, inventory, options),
    );
    let (mut live, inventory) = (live?, inventory?);
    let autoscaled = autoscaled(&wanted);
    let memberships = resource_set::memberships(connection, &mut wanted, &live, inventory.is_some(), options);
    for object in &mut wanted {
        if let Some(live) = live.get(object) {
            object.fit(live);
            let target = bare(&object.object);
            give_up(object, live, autoscaled.contains(&target));
        }
    }
    let mut scene = Scene::look(connection, &wanted, &live, &mut cast, &options.marks).await?;
    if inventory.is_some() {
        scene.leave(|theirs| resource_set::is_foreign(connection, theirs, options));
    }
    let (marks, how) = (&options.marks, &options.plan);
    strategy::prepare(&mut wanted, &cast, &|object| live.get(object), marks, how);
    let mut deletions = old_jobs(&wanted, &live, options);
    let mut planned = relate(wanted, &mut live, &own_kinds)?;
    for object in planned.iter_mut().filter(|object| !matches!(object.action, Action::Refuse { .. })) {
        object.action = match decide(&object.wanted, object.live.as_deref(), &options.plan) {
            Decision::Settled(action) => action,
            Decision::Ask => Action::Configure,
        };
    }
    if let Some(inventory) = &inventory {
        resource_set::spare_finished_jobs(connection, &mut planned, inventory, options).await?;
    }
    for (object, membership) in planned.iter_mut().zip(memberships) {
        match membership {
            Membership::Member => object.member = true,
            Membership::Guest => {}
            Membership::Foreign(trouble) => object.action = Action::refuse(trouble),
        }
    }
    let new_namespaces: BTreeSet<&str> = planned
        .iter()
        .filter(|object| object.wanted.resource.kind == "Namespace" && object.live.is_none())
        .map(|object| object.wanted.object.name.as_str())
        .collect();
    let mut questions: Vec<BoxFuture<'_, (usize, Asked)>> = Vec::new();
    for (index, object) in planned.iter().enumerate() {
        let namespace = object.wanted.object.namespace.as_deref();
        let new_scope =
            namespace.is_some_and(|ns| new_namespaces.contains(ns)) || own_kinds.is_absent(&object.wanted);
        if matches!(object.action, Action::Create | Action::Configure) {
            let question = ask(connection, object, new_scope, options, &run.mask);
            questions.push(question.map(move |asked| (index, asked)).boxed());
        }
    }
    let asked: Vec<(usize, Asked)> =
        stream::iter(questions).buffer_unordered(options.cluster_concurrency).collect().await;
    for (index, Asked { action, changes, force }) in asked {
        let object = &mut planned[index];
        (object.action, object.changes, object.force) = (action, changes, force);
    }
    let moves = strategy::moves(&mut planned, &cast, &scene, marks, how);
    for (object, text) in &moves.warnings {
        connection.events().emit(Happening::Warning { object: Some(object.clone()), text: text.clone() });
    }
    let mut plan =
        Plan { objects: planned, unplanned, deletions: Vec::new(), set: None, refused: None, moves };
    if let Some(inventory) = inventory {
        let known = resource_set::Known { connection, discovery, live: &live, manifests };
        resource_set::settle(&mut plan, &mut deletions, inventory, known, options).await?;
    }
    plan.deletions = deletions;
    Ok(plan)
}

/// The kinds that CRDs of the same deploy define.
struct OwnKinds {
    /// By group and kind: the object that defines it.
    defined_by: BTreeMap<(String, String), ObjectRef>,
    /// Those that the cluster does not serve yet.
    absent: BTreeSet<(String, String)>,
}

impl OwnKinds {
    fn is_absent(&self, wanted: &Wanted) -> bool {
        self.absent.contains(&(wanted.resource.group.clone(), wanted.resource.kind.clone()))
    }
}

fn own_kinds(objects: &[Object], discovery: &mut Discovery, kinds: &BTreeSet<(String, String)>) -> OwnKinds {
    let mut own = OwnKinds { defined_by: BTreeMap::new(), absent: BTreeSet::new() };
    for object in objects.iter().filter(|object| object.kind() == "CustomResourceDefinition") {
        for resource in kinds_of_crd(&object.value) {
            let key = (resource.group.clone(), resource.kind.clone());
            own.defined_by.insert(key.clone(), object.reference());
            let used = kinds.contains(&(resource.api_version(), resource.kind.clone()));
            if used && !matches!(discovery.lookup(&resource.api_version(), &resource.kind), Lookup::Served(_))
            {
                own.absent.insert(key);
            }
            discovery.add(resource);
        }
    }
    own
}

fn resolve(
    objects: &[Object],
    discovery: &Discovery,
    namespace: &str,
    options: &RolloutOptions,
) -> (Vec<Wanted>, Vec<Unplanned>) {
    let (mut wanted, mut unplanned): (Vec<Wanted>, Vec<Unplanned>) = (Vec::new(), Vec::new());
    let mut places: BTreeMap<(String, ObjectRef), usize> = BTreeMap::new();
    for object in objects {
        let trouble = match discovery.lookup(object.api_version(), object.kind()) {
            Lookup::Served(resource) => {
                let new = Wanted::new(object, resource.clone(), namespace, &options.marks);
                match places.entry((resource.group.clone(), bare(&new.object))) {
                    Entry::Vacant(place) => {
                        place.insert(wanted.len());
                        wanted.push(new);
                        continue;
                    }
                    // Only here it is known which namespace a manifest means that names none.
                    Entry::Occupied(place) => Trouble::new("another manifest is of the same object")
                        .because(format!("{} is at {} too", new.object, wanted[*place.get()].place))
                        .hint(format!("the kubeconfig's namespace is `{namespace}`; remove one of the two")),
                }
            }
            Lookup::OtherVersions(versions) => Trouble::new(format!(
                "the cluster does not serve `{}` in `{}`, but in {}",
                object.kind(),
                object.api_version(),
                versions.iter().map(|version| format!("`{version}`")).collect::<Vec<_>>().join(", ")
            ))
            .hint(format!("change `apiVersion` in {}", object.place)),
            Lookup::Unknown => Trouble::new(format!(
                "the cluster knows no kind `{}` in `{}`",
                object.kind(),
                object.api_version()
            ))
            .hint("kubectl api-resources; if a CustomResourceDefinition defines it, deploy that first or with it"),
        };
        unplanned.push(Unplanned { object: object.reference(), place: object.place.clone(), trouble });
    }
    (wanted, unplanned)
}

fn bare(object: &ObjectRef) -> ObjectRef {
    ObjectRef { api_version: String::new(), ..object.clone() }
}

/// The targets of the autoscalers of this deploy: their replicas are not ours once they live.
fn autoscaled(wanted: &[Wanted]) -> BTreeSet<ObjectRef> {
    wanted
        .iter()
        .filter(|object| object.resource.kind == "HorizontalPodAutoscaler")
        .filter_map(|object| {
            let target = &object.value["spec"]["scaleTargetRef"];
            Some(ObjectRef {
                api_version: String::new(),
                kind: target["kind"].as_str()?.to_owned(),
                namespace: object.object.namespace.clone(),
                name: target["name"].as_str()?.to_owned(),
            })
        })
        .collect()
}

/// Fills in which objects need which, and what is there of each.
fn relate(wanted: Vec<Wanted>, live: &mut Live, own: &OwnKinds) -> Result<Vec<PlannedObject>, PlanError> {
    let index: BTreeMap<ObjectRef, usize> =
        wanted.iter().enumerate().map(|(index, object)| (bare(&object.object), index)).collect();
    let mut edges: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    let mut selectors = Vec::with_capacity(wanted.len());
    for (at, object) in wanted.iter().enumerate() {
        let text = manifest::object::annotation(&object.value, DEPENDENCY_SELECTOR);
        let selector = text.map(str::parse::<Selector>).transpose();
        if let Ok(Some(selector)) = &selector {
            let selected = wanted.iter().enumerate().filter(|(_, other)| selects(selector, object, other));
            edges.insert(at, selected.map(|(index, _)| index).collect());
        }
        selectors.push(selector);
    }
    let mut planned = Vec::with_capacity(wanted.len());
    for (at, (object, selector)) in wanted.into_iter().zip(selectors).enumerate() {
        let mut needs: BTreeSet<usize> =
            order::needs(&object.value).iter().filter_map(|need| index.get(need)).copied().collect();
        let kind = (object.resource.group.clone(), object.resource.kind.clone());
        if let Some(crd) = own.defined_by.get(&kind) {
            needs.extend(index.get(&bare(crd)));
        }
        needs.remove(&at);
        let (after, action) = match selector {
            Ok(selector) => {
                let objects = edges.get(&at).cloned().unwrap_or_default();
                (selector.map(|selector| Box::new(After { selector, objects })), Action::Create)
            }
            Err(error) => {
                let trouble = Trouble::new(format!("`{DEPENDENCY_SELECTOR}` cannot be read"))
                    .because(error.to_string());
                (None, Action::refuse(trouble))
            }
        };
        let live = live.take(&object);
        planned.push(PlannedObject {
            migrate: live.as_ref().is_some_and(|live| !predecessors(live).is_empty()),
            live: live.map(Box::new),
            wanted: object,
            action,
            changes: Vec::new(),
            force: false,
            needs,
            after,
            member: false,
        });
    }
    match order::levels(planned.len(), &edges) {
        Ok(_) => Ok(planned),
        Err(cycle) => {
            let mut names: Vec<String> =
                cycle.iter().map(|index| planned[*index].wanted.object.to_string()).collect();
            names.extend(names.first().cloned());
            Err(PlanError::Manifests(
                Trouble::new("objects wait for each other in a circle")
                    .because(names.join(" waits for "))
                    .hint(format!("change the `{DEPENDENCY_SELECTOR}` annotation of one of them")),
            ))
        }
    }
}

/// Whether a dependency selector of `object` means `other`: by its labels, in the same namespace.
fn selects(selector: &Selector, object: &Wanted, other: &Wanted) -> bool {
    object.object.namespace == other.object.namespace
        && selector.matches(other.value["metadata"]["labels"].as_object())
}

/// What has come of asking.
struct Asked {
    action: Action,
    changes: Vec<Change>,
    force: bool,
}

/// Asks the server what the write would do, where that is not known yet.
async fn ask(
    connection: &Connection,
    object: &PlannedObject,
    new_scope: bool,
    options: &RolloutOptions,
    mask: &Mask,
) -> Asked {
    let wanted = &object.wanted;
    let Some(live) = &object.live else {
        let mut action = Action::Create;
        // A real deploy finds out by writing; a dry run, and a plan for review, ask.
        if options.ask_before_create && !new_scope {
            let answer = apply::apply(connection, wanted, &wanted.value, false, Mode::DryRun).await;
            if let Err(error) = answer {
                action = Action::refuse(refused(wanted, &error, mask));
            }
        }
        return Asked { action, changes: changes(&Value::Null, &wanted.value, mask), force: false };
    };
    let asked = wanted.with_volatile_of(live);
    let mut force = false;
    loop {
        let answer = apply::apply(connection, wanted, &asked, force, Mode::DryRun).await;
        let answer = answer.map(|reply| reply.value);
        match conclude(wanted, live, &answer, force, &options.plan, mask) {
            Conclusion::Settled { action, changes, force } => return Asked { action, changes, force },
            // Only an answer without force asks for it.
            Conclusion::AskWithForce => force = true,
        }
    }
}

/// Earlier runs of the wanted Jobs, but for the latest few.
fn old_jobs(wanted: &[Wanted], live: &Live, options: &RolloutOptions) -> Vec<Deletion> {
    if options.marks.raw {
        return Vec::new();
    }
    let mut deletions = Vec::new();
    for job in
        wanted.iter().filter(|object| object.resource.kind == "Job" && object.resource.group == "batch")
    {
        let mut earlier: Vec<&Value> = live
            .of(&job.resource)
            .filter(|other| {
                let metadata = &other["metadata"];
                metadata["name"] != job.value["metadata"]["name"]
                    && metadata["namespace"] == job.value["metadata"]["namespace"]
                    && manifest::object::annotation(other, ORIGINAL_NAME) == Some(job.original_name())
                    && metadata.get("deletionTimestamp").is_none()
                    && other["status"]["active"].as_i64().unwrap_or(0) == 0
            })
            .collect();
        earlier.sort_by_key(|other| {
            std::cmp::Reverse(other["metadata"]["creationTimestamp"].as_str().unwrap_or_default().to_owned())
        });
        deletions.extend(earlier.into_iter().skip(options.job_history).map(|other| Deletion {
            object: manifest::object::reference(other),
            resource: (*job.resource).clone(),
            uid: other["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
            because: format!("an earlier run of Job `{}`", job.original_name()),
            pruned: false,
            live: other.clone(),
        }));
    }
    deletions
}
