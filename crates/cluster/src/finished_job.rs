//! Jobs that have finished and that their `ttlSecondsAfterFinished` has removed: what they were to do is done, though nothing of
//! them is there any more.
//!
//! A Job is stored under a name that its content decides, so that a member of the inventory with that name *is* this content. That it
//! completed is written there when a deploy has seen it; a Job that failed, or that nobody saw finish, leaves no such mark and
//! runs again.

use std::collections::BTreeSet;

use jiff::Timestamp;
use manifest::ObjectRef;
use serde_json::Value;

use crate::inventory::{Inventory, Member, key};
use crate::plan::{Action, Plan, PlannedObject, Wanted};
use crate::prune::job_base;
use crate::status::{self, Readiness};

/// Whether a Job goes by itself once it has finished.
pub(crate) fn has_ttl(wanted: &Wanted) -> bool {
    job_base(&wanted.object).is_some() && wanted.value["spec"]["ttlSecondsAfterFinished"].is_number()
}

/// Whether a Job that goes by itself is there and has not finished: its end is yet to be noted.
pub(crate) fn is_on_its_way(object: &PlannedObject) -> bool {
    let waits =
        |live| matches!(status::assess(live), Readiness::InProgress { .. }) && completed(live).is_none();
    object.member
        && object.action == Action::Unchanged
        && has_ttl(&object.wanted)
        && object.live.as_deref().is_some_and(waits)
}

/// Whether a Job that is there has completed and goes, or is going, by itself.
pub(crate) fn is_done(wanted: &Wanted, live: &Value) -> bool {
    has_ttl(wanted) && completed(live).is_some()
}

/// When a live Job completed, by the server's clock; `None` while it has not, and where it failed or is suspended.
pub(crate) fn completed(job: &Value) -> Option<Timestamp> {
    let conditions = job["status"]["conditions"].as_array()?;
    let complete = conditions.iter().find(|one| one["type"] == "Complete" && one["status"] == "True")?;
    let times = [&job["status"]["completionTime"], &complete["lastTransitionTime"]];
    times.into_iter().find_map(|time| time.as_str()?.parse().ok())
}

/// The mark of a Job that is planned: what the inventory had, or what its live form says.
pub(crate) fn mark(object: &PlannedObject, known: Option<&Member>) -> Option<Timestamp> {
    if object.action != Action::Unchanged || !has_ttl(&object.wanted) {
        return None;
    }
    known.and_then(|member| member.finished).or_else(|| completed(object.live.as_deref()?))
}

/// Whether a Job that is to be created may be one that has run and gone by itself.
pub(crate) fn may_have_run(object: &PlannedObject, inventory: &Inventory) -> bool {
    object.live.is_none() && object.action == Action::Create && ran(&object.wanted, inventory).is_some()
}

fn ran(wanted: &Wanted, inventory: &Inventory) -> Option<Timestamp> {
    has_ttl(wanted).then(|| inventory.members.get(&key(&wanted.object))?.finished).flatten()
}

/// Why a Job that is not there is not created. A live `namespace` that is newer than the Job has never had it; null if it is
/// not known.
pub(crate) fn why_not(wanted: &Wanted, inventory: &Inventory, namespace: &Value) -> Option<String> {
    let finished = ran(wanted, inventory)?;
    let made = namespace["metadata"]["creationTimestamp"].as_str();
    let made = made.and_then(|time| time.parse::<Timestamp>().ok());
    if made.is_some_and(|made| made > finished) {
        return None;
    }
    let ttl = &wanted.value["spec"]["ttlSecondsAfterFinished"];
    Some(format!(
        "it completed by {} and its `ttlSecondsAfterFinished: {ttl}` removed it; `--force` runs it again",
        finished.strftime("%Y-%m-%dT%H:%M:%SZ")
    ))
}

/// Runs of the wanted Jobs that are remembered though they are gone: the wanted one, and of the earlier ones the latest few.
pub(crate) fn remembered(inventory: &Inventory, plan: &Plan, job_history: usize) -> BTreeSet<ObjectRef> {
    let mut remembered = BTreeSet::new();
    for object in plan.objects.iter().filter(|object| has_ttl(&object.wanted)) {
        let wanted = &object.wanted.object;
        let same =
            |other: &ObjectRef| job_base(other) == job_base(wanted) && other.namespace == wanted.namespace;
        let mut runs: Vec<&Member> = inventory.members.values().collect();
        runs.retain(|member| member.finished.is_some() && same(&member.object));
        runs.sort_by_key(|member| (member.object != *wanted, std::cmp::Reverse(member.finished)));
        let present = usize::from(runs.first().is_some_and(|run| run.object == *wanted));
        remembered.extend(runs.into_iter().take(present + job_history).map(|run| run.object.clone()));
    }
    remembered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Resource;
    use crate::plan::Marks;
    use serde_json::json;

    fn wanted(spec: &str) -> Wanted {
        let text =
            format!("apiVersion: batch/v1\nkind: Job\nmetadata: {{name: a, namespace: web}}\nspec: {spec}\n");
        let object = manifest::load::parse_objects(&text, "a.yaml").unwrap().remove(0);
        let resource = Resource::new("batch", "v1", "Job", "jobs", true);
        Wanted::new(&object, resource.into(), "web", &Marks::default())
    }

    fn inventory(wanted: &Wanted, finished: Option<&str>) -> Inventory {
        let finished = finished.map(|time| time.parse().unwrap());
        let member = Member { object: wanted.object.clone(), resource: None, finished };
        Inventory { members: [(key(&member.object), member)].into(), ..Inventory::default() }
    }

    #[test]
    fn only_a_job_that_was_seen_to_complete_and_had_a_ttl_is_not_created_again() {
        let job = wanted("{ttlSecondsAfterFinished: 60}");
        let seen = inventory(&job, Some("2026-01-01T00:00:00Z"));
        assert_eq!(
            why_not(&job, &seen, &Value::Null).unwrap(),
            "it completed by 2026-01-01T00:00:00Z and its `ttlSecondsAfterFinished: 60` removed it; `--force` runs it again"
        );
        assert_eq!(why_not(&job, &inventory(&job, None), &Value::Null), None, "nobody has seen it finish");
        let changed = wanted("{ttlSecondsAfterFinished: 60, backoffLimit: 1}");
        assert_eq!(why_not(&changed, &seen, &Value::Null), None, "another content is another Job");
        let lasting = wanted("{}");
        let seen = inventory(&lasting, Some("2026-01-01T00:00:00Z"));
        assert_eq!(why_not(&lasting, &seen, &Value::Null), None, "somebody has deleted it");
    }

    #[test]
    fn a_namespace_that_was_made_after_the_job_has_never_had_it() {
        let job = wanted("{ttlSecondsAfterFinished: 60}");
        let seen = inventory(&job, Some("2026-01-01T00:00:00Z"));
        let namespace = |time: &str| json!({"metadata": {"creationTimestamp": time}});
        assert!(why_not(&job, &seen, &namespace("2025-12-31T23:59:59Z")).is_some());
        assert!(why_not(&job, &seen, &namespace("2026-01-01T00:00:01Z")).is_none());
    }

    #[test]
    fn a_job_that_failed_or_waits_has_not_completed() {
        let job = |kind: &str| json!({"status": {"completionTime": "2026-01-01T00:00:00Z", "conditions": [{"type": kind, "status": "True"}]}});
        assert_eq!(completed(&job("Complete")), Some("2026-01-01T00:00:00Z".parse().unwrap()));
        for other in ["Failed", "Suspended", "SuccessCriteriaMet"] {
            assert_eq!(completed(&job(other)), None);
        }
    }
}
