//! The part of planning that is about the resource set: whose the objects are, which members go, whether a guard says no.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use manifest::ObjectRef;
use serde_json::Value;

use crate::connect::{CallError, Connection};
use crate::discovery::{Discovery, Resource};
use crate::events::Happening;
use crate::finished_job;
use crate::guard;
use crate::inventory::applyset;
use crate::inventory::{
    self, Inventory, Key, Manifests, Member, Membership, ReadError, SetOptions, key, membership,
};
use crate::live::{self, Live};
use crate::outcome::Trouble;
use crate::plan::{Action, Deletion, Plan, PlannedObject, SetPlan, Wanted};
use crate::planning::PlanError;
use crate::prune::{self, Kept, PruneOptions, Verdict};
use crate::rollout::RolloutOptions;

static NAMESPACE: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("", "v1", "Namespace", "namespaces", false));
/// Requests in flight while reading what may go.
const WIDTH: usize = 8;

impl SetOptions {
    /// Where the inventory is.
    pub(crate) fn namespace_on(&self, connection: &Connection) -> String {
        self.namespace.clone().unwrap_or_else(|| connection.namespace().to_owned())
    }

    /// Whether a deploy without an inventory would not be what was asked for.
    fn needs_inventory(&self) -> bool {
        self.prune.is_some() || self.guard.is_some() || self.rollback_on_failure || self.rollback.is_some()
    }
}

/// The inventory; none where it may not be read and nothing was asked that needs it.
pub(crate) async fn inventory(
    connection: &Connection,
    known: Option<Inventory>,
    options: &RolloutOptions,
) -> Result<Option<Inventory>, PlanError> {
    if known.is_some() {
        return Ok(known);
    }
    let set = &options.set;
    let namespace = set.namespace_on(connection);
    match inventory::read(connection, &set.name, &namespace).await {
        Ok(inventory) => Ok(Some(inventory)),
        Err(ReadError::Damaged { problem }) => Err(PlanError::Manifests(
            Trouble::new(format!("the inventory of resource set `{}` cannot be read", set.name))
                .because(problem)
                .hint(format!("kubectl -n {namespace} get configmap {} -o yaml", set.name.parent()))
                .hint("if it cannot be repaired, delete it: the next deploy writes a new one, and prunes nothing older"),
        )),
        Err(ReadError::Call(error)) if error.is(403) && !set.needs_inventory() => {
            let text = "the inventory may not be read, so that this deploy can be neither pruned nor rolled back: \
                        grant `get`, `create` and `update` on configmaps, or name a namespace with `--inventory-namespace`";
            connection.events().emit(Happening::Warning { object: None, text: text.into() });
            Ok(None)
        }
        Err(ReadError::Call(error)) if error.is(403) => Err(PlanError::Manifests(
            Trouble::new(format!("the inventory of resource set `{}` may not be read", set.name))
                .because(error.to_string())
                .hint(format!("kubectl auth can-i get configmaps -n {namespace}")),
        )),
        Err(ReadError::Call(error)) => Err(PlanError::Call(error)),
    }
}

/// Labels the members of the set among `wanted`, in their order.
pub(crate) fn memberships(
    connection: &Connection,
    wanted: &mut [Wanted],
    live: &Live,
    has_inventory: bool,
    options: &RolloutOptions,
) -> Vec<Membership> {
    let namespace = options.set.namespace_on(connection);
    let force = options.plan.force_conflicts;
    wanted
        .iter_mut()
        .map(|object| match options.marks.raw || !has_inventory {
            true => Membership::Member,
            false => {
                let live = live.get(object);
                membership(object, live, &options.set, &namespace, force)
            }
        })
        .collect()
}

/// Whether what is of the set with the id `theirs` is left alone.
pub(crate) fn is_foreign(connection: &Connection, theirs: &str, options: &RolloutOptions) -> bool {
    let namespace = options.set.namespace_on(connection);
    inventory::is_foreign(theirs, &options.set, &namespace, options.plan.force_conflicts)
}

/// Leaves alone the Jobs that have run and gone by themselves.
///
/// # Errors
/// The cluster did not answer.
pub(crate) async fn spare_finished_jobs(
    connection: &Connection,
    planned: &mut [PlannedObject],
    inventory: &Inventory,
    options: &RolloutOptions,
) -> Result<(), CallError> {
    if options.plan.force || options.marks.raw {
        return Ok(());
    }
    let found: Vec<usize> =
        (0..planned.len()).filter(|index| finished_job::may_have_run(&planned[*index], inventory)).collect();
    for index in found {
        let namespace = planned[index].wanted.object.namespace.clone().unwrap_or_default();
        let ours = planned
            .iter()
            .find(|other| other.wanted.resource.kind == "Namespace" && other.wanted.object.name == namespace);
        let live = match ours {
            Some(ours) => ours.live.as_deref().cloned(),
            None => match live::get(connection, &NAMESPACE, None, &namespace).await {
                Ok((_, mut found)) => found.pop(),
                // Whoever may not see namespaces does not know better.
                Err(error) if error.is(403) => Some(Value::Null),
                Err(error) => return Err(error),
            },
        };
        let Some(live) = live else { continue };
        if let Some(because) = finished_job::why_not(&planned[index].wanted, inventory, &live) {
            planned[index].action = Action::Skip { because };
        }
    }
    Ok(())
}

/// What planning knows by now.
pub(crate) struct Known<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) discovery: Discovery,
    pub(crate) live: &'a Live,
    pub(crate) manifests: &'a Manifests,
}

/// Completes `plan`: what goes, what stays, what the inventory becomes, and whether a guard says no.
pub(crate) async fn settle(
    plan: &mut Plan,
    deletions: &mut Vec<Deletion>,
    inventory: Inventory,
    mut known: Known<'_>,
    options: &RolloutOptions,
) -> Result<(), PlanError> {
    let set = &options.set;
    let namespace = set.namespace_on(known.connection);
    let id = applyset::id(&set.name.parent(), &namespace);
    let mut next = inventory.clone();
    forget_jobs(&mut next, plan, deletions, known.live, options.job_history);
    let mentioned = mentioned(plan, &known);
    let old: Vec<Member> = next
        .members
        .iter()
        .filter(|(key, member)| !mentioned.contains(*key) && !is_run_of_wanted_job(&member.object, plan))
        .filter(|(_, member)| !is_reserve(&member.object, plan, set))
        .map(|(_, member)| member.clone())
        .collect();
    let (mut kept, mut leftover) = (Vec::new(), 0);
    match &set.prune {
        Some(prune) => {
            let found = read(&mut known, &old).await?;
            let mut going = Vec::new();
            for (member, live) in old.iter().zip(found) {
                let verdict =
                    prune::judge(member, live.as_ref().map(|(_, live)| live), &id, &set.scope, prune);
                match (verdict, live) {
                    (Verdict::Delete, Some((resource, live))) => going.push(deletion(member, resource, live)),
                    (Verdict::Delete | Verdict::Gone, _) => {
                        next.members.remove(&key(&member.object));
                    }
                    (Verdict::Lost(because), _) => {
                        next.members.remove(&key(&member.object));
                        kept.push(Kept { object: member.object.clone(), because });
                    }
                    (Verdict::Keep(because), _) => {
                        kept.push(Kept { object: member.object.clone(), because });
                    }
                    (Verdict::OutOfScope, _) => {}
                }
            }
            plan.refused = allow(&going, &inventory, &known, &id, prune).err();
            deletions.extend(going);
        }
        None => leftover = old.len(),
    }
    for object in plan.objects.iter().filter(|object| object.member) {
        let here = object.writes() || object.action == Action::Unchanged;
        if here && !options.marks.raw {
            let key = key(&object.wanted.object);
            let finished = finished_job::mark(object, next.members.get(&key));
            let resource = options.marks.resource.clone();
            next.members.insert(key, Member { object: object.wanted.object.clone(), resource, finished });
        }
    }
    if let Some(commit) = &set.commit {
        next.commit = Some(commit.clone());
    }
    if let Some(guard) = &set.guard {
        let (guard, deployed, back) = (guard.clone(), inventory.commit.clone(), set.is_rollback);
        // Looking up commits reads files.
        let judged =
            tokio::task::spawn_blocking(move || guard::judge(deployed.as_deref(), &guard, back)).await;
        let judged = judged.unwrap_or_else(|error| Err(Trouble::new(error.to_string())));
        if let Err(trouble) = judged {
            plan.refused = Some(trouble);
        }
    }
    plan.set = Some(SetPlan { name: set.name.clone(), namespace, inventory, next, kept, leftover });
    Ok(())
}

/// Everything that the manifests have, also what the selector left out and what this cluster cannot hold.
fn mentioned(plan: &Plan, known: &Known<'_>) -> BTreeSet<Key> {
    let mut keys: BTreeSet<Key> = plan.objects.iter().map(|object| key(&object.wanted.object)).collect();
    let bare = plan.unplanned.iter().map(|object| &object.object).chain(&known.manifests.left_out);
    for object in bare {
        keys.insert(key(object));
        if object.namespace.is_none() {
            let namespace = Some(known.connection.namespace().to_owned());
            keys.insert(key(&ObjectRef { namespace, ..object.clone() }));
        }
    }
    keys
}

/// Whether a member is a run of a Job that the manifests have: how many of those stay is `--job-history`'s business.
fn is_run_of_wanted_job(member: &ObjectRef, plan: &Plan) -> bool {
    let Some(base) = prune::job_base(member) else { return false };
    plan.objects.iter().any(|object| {
        let wanted = &object.wanted.object;
        prune::job_base(wanted) == Some(base) && wanted.namespace == member.namespace
    })
}

/// Whether a member is a Deployment that another deploy has made from a manifest of this one: how many of those stay is
/// `--reserves`' business. Going back after a failure removes what the failed deploy had made all the same.
fn is_reserve(member: &ObjectRef, plan: &Plan, set: &SetOptions) -> bool {
    let made_just_now = set.scope.only.as_ref().is_some_and(|only| only.contains(member));
    plan.moves.siblings.contains(member) && (!made_just_now || plan.moves.deletes(member))
}

/// Runs of Jobs that have gone, or go now, are not members any more; but for those that have completed and gone by themselves, as
/// many as would be kept on the cluster.
fn forget_jobs(next: &mut Inventory, plan: &Plan, deletions: &[Deletion], live: &Live, job_history: usize) {
    let remembered = finished_job::remembered(next, plan, job_history);
    let going: BTreeSet<&ObjectRef> = deletions.iter().map(|deletion| &deletion.object).collect();
    let jobs: BTreeMap<Option<&str>, &Resource> = plan
        .objects
        .iter()
        .filter(|object| prune::job_base(&object.wanted.object).is_some())
        .map(|object| (object.wanted.object.namespace.as_deref(), &*object.wanted.resource))
        .collect();
    next.members.retain(|_, member| {
        let object = &member.object;
        if !is_run_of_wanted_job(object, plan) {
            return true;
        }
        let Some(resource) = jobs.get(&object.namespace.as_deref()) else { return true };
        let there = live.find(resource, object.namespace.as_deref(), &object.name).is_some();
        if there { !going.contains(object) } else { remembered.contains(object) }
    });
}

/// The live forms of `members`, in their order; what was not read along with the rest is asked for.
async fn read(
    known: &mut Known<'_>,
    members: &[Member],
) -> Result<Vec<Option<(Resource, Value)>>, CallError> {
    let unknown: BTreeSet<(String, String)> = members
        .iter()
        .map(|member| &member.object)
        .filter(|object| known.discovery.preferred(object.group(), &object.kind).is_none())
        .map(|object| (object.api_version.clone(), object.kind.clone()))
        .collect();
    if !unknown.is_empty() {
        let more = Discovery::of(known.connection, &unknown).await?;
        known.discovery.extend(more);
    }
    let mut reads: Vec<BoxFuture<'_, Found>> = Vec::new();
    for member in members {
        reads.push(read_one(known, &member.object).boxed());
    }
    stream::iter(reads).buffered(WIDTH).try_collect().await
}

type Found = Result<Option<(Resource, Value)>, CallError>;

async fn read_one(known: &Known<'_>, object: &ObjectRef) -> Found {
    // A kind that is not served any more has no objects.
    let Some(resource) = known.discovery.preferred(object.group(), &object.kind) else { return Ok(None) };
    let namespace = object.namespace.as_deref();
    if let Some(found) = known.live.find(resource, namespace, &object.name) {
        return Ok(Some((resource.clone(), found.clone())));
    }
    let (resource, mut found) = live::get(known.connection, resource, namespace, &object.name).await?;
    Ok(found.pop().map(|found| (resource, found)))
}

fn deletion(member: &Member, resource: Resource, live: Value) -> Deletion {
    Deletion {
        object: member.object.clone(),
        resource,
        uid: live["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        because: "the manifests do not have it any more".into(),
        pruned: true,
        live,
    }
}

fn allow(
    going: &[Deletion],
    inventory: &Inventory,
    known: &Known<'_>,
    id: &str,
    options: &PruneOptions,
) -> Result<(), Trouble> {
    let names: Vec<&ObjectRef> = going.iter().map(|deletion| &deletion.object).collect();
    let wanted = known.manifests.objects.len() + known.manifests.left_out.len();
    prune::allow(&names, inventory.len(), wanted, id, options)
}
