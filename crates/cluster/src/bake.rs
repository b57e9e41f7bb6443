//! Whether what was deployed stays well: a look at the workloads of a cluster and the restarts of their pods, to be compared
//! with an earlier look.
//!
//! A look is a handful of lists over a connection of its own, not a watch: a wave of a thousand clusters bakes without a
//! thousand open connections, and no restart is missed, because the server counts them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use manifest::ObjectRef;
use tokio::time::Instant;

use crate::connect::{ConnectOptions, Connection, Plugins, Target};
use crate::events::Events;
use crate::health::{Crowd, Pod, ReplicaSet, Workload};
use crate::plan::Mask;
use crate::status::assess;
use crate::survey::{lasting, list};

/// What a look has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// What is not ready, and why.
    unready: BTreeMap<ObjectRef, String>,
    /// Restarts of each pod by its uid, with its workload and name.
    restarts: BTreeMap<String, (ObjectRef, String, i64)>,
}

impl Look {
    /// What is not ready now, a line each.
    pub fn unready(&self) -> Vec<String> {
        self.unready.iter().map(|(object, why)| format!("{object} is not ready: {why}")).collect()
    }

    /// Pods that have restarted since `before`, a line for each workload. Of a pod that was not there before, every
    /// restart counts.
    pub fn restarted_since(&self, before: &Look) -> Vec<String> {
        let mut by_workload: BTreeMap<&ObjectRef, (BTreeSet<&str>, i64)> = BTreeMap::new();
        for (uid, (object, pod, count)) in &self.restarts {
            let earlier = before.restarts.get(uid).map_or(0, |(_, _, count)| *count);
            if *count > earlier {
                let (pods, sum) = by_workload.entry(object).or_default();
                pods.insert(pod);
                *sum += count - earlier;
            }
        }
        let line = |(object, (pods, count)): (&ObjectRef, (BTreeSet<&str>, i64))| {
            let first = pods.first().copied().unwrap_or_default();
            let more = if pods.len() > 1 { format!(" and {} more", pods.len() - 1) } else { String::new() };
            let times = if count == 1 { "once".to_owned() } else { format!("{count} times") };
            format!("{object} restarted {times}: pod {first}{more}")
        };
        by_workload.into_iter().map(line).collect()
    }
}

/// Whether an object runs pods that can bake.
pub fn bakes(object: &ObjectRef) -> bool {
    lasting(object).is_some()
}

/// Looks at those of `objects` that run pods.
///
/// # Errors
/// Why the cluster cannot be asked, in one line without secrets.
pub async fn look(
    target: &Target,
    objects: &[ObjectRef],
    options: &ConnectOptions,
    plugins: &Plugins,
    mask: &Mask,
    limit: Duration,
) -> Result<Look, String> {
    let mut wanted: BTreeMap<(&str, &str), Vec<&ObjectRef>> = BTreeMap::new();
    for object in objects {
        if let Some(plural) = lasting(object) {
            let namespace = object.namespace.as_deref().unwrap_or(target.namespace());
            wanted.entry((namespace, plural)).or_default().push(object);
        }
    }
    if wanted.is_empty() {
        return Ok(Look::default());
    }
    let events = Events::unheard(target.name.clone());
    let connection = Connection::open(target, options, plugins, Instant::now() + limit, events)
        .await
        .map_err(|error| mask.said(&error))?;
    see(&connection, &wanted).await.map_err(|error| mask.said(&error))
}

async fn see(
    connection: &Connection,
    wanted: &BTreeMap<(&str, &str), Vec<&ObjectRef>>,
) -> Result<Look, crate::connect::CallError> {
    let mut look = Look::default();
    let mut workloads: BTreeMap<&str, Vec<(&ObjectRef, Workload)>> = BTreeMap::new();
    for ((namespace, plural), objects) in wanted {
        let mut missing: BTreeMap<&str, &ObjectRef> =
            objects.iter().map(|object| (object.name.as_str(), *object)).collect();
        let all = workloads.entry(namespace).or_default();
        list(connection, "apps/v1", Some(namespace), plural, "", |mut live| {
            let name = live["metadata"]["name"].as_str().unwrap_or_default();
            let Some(object) = missing.remove(name) else { return };
            // Items of a list do not say what they are.
            live["apiVersion"] = "apps/v1".into();
            live["kind"] = object.kind.as_str().into();
            let readiness = assess(&live);
            if !readiness.is_current() {
                look.unready.insert(object.clone(), readiness.message().to_owned());
            }
            all.push((object, Workload::read(&live)));
        })
        .await?;
        for object in missing.into_values() {
            look.unready.insert(object.clone(), "it has been deleted".to_owned());
        }
    }
    for (namespace, workloads) in workloads.into_iter().filter(|(_, workloads)| !workloads.is_empty()) {
        let (mut pods, mut sets): (Vec<Pod>, Vec<ReplicaSet>) = (Vec::new(), Vec::new());
        let here = Some(namespace);
        list(connection, "v1", here, "pods", "", |pod| pods.push(Pod::read(&pod))).await?;
        if workloads.iter().any(|(object, _)| object.kind == "Deployment") {
            list(connection, "apps/v1", here, "replicasets", "", |set| sets.push(ReplicaSet::read(&set)))
                .await?;
        }
        let crowd = Crowd::new(&sets, &pods, []);
        for (object, workload) in workloads {
            for pod in crowd.current_pods_of(&workload) {
                let seen = (object.clone(), pod.name.clone(), pod.restarts());
                look.restarts.insert(pod.uid.clone(), seen);
            }
        }
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str) -> ObjectRef {
        ObjectRef {
            api_version: "apps/v1".into(),
            kind: kind.into(),
            namespace: Some("shop".into()),
            name: "web".into(),
        }
    }

    fn look(restarts: &[(&str, i64)]) -> Look {
        let restarts = restarts
            .iter()
            .map(|(uid, count)| ((*uid).to_owned(), (object("Deployment"), format!("web-{uid}"), *count)))
            .collect();
        Look { restarts, ..Look::default() }
    }

    #[test]
    fn only_restarts_since_the_first_look_count() {
        let before = look(&[("a", 3), ("b", 0)]);
        assert!(look(&[("a", 3)]).restarted_since(&before).is_empty());
        assert_eq!(
            look(&[("a", 4), ("b", 0)]).restarted_since(&before),
            ["Deployment/shop/web restarted once: pod web-a"]
        );
        assert_eq!(
            look(&[("a", 5), ("b", 0), ("new", 1)]).restarted_since(&before),
            ["Deployment/shop/web restarted 3 times: pod web-a and 1 more"]
        );
    }

    #[test]
    fn what_runs_pods_for_good_bakes() {
        assert!(bakes(&object("StatefulSet")));
        assert!(!bakes(&object("ReplicaSet")));
        let job = ObjectRef { api_version: "batch/v1".into(), ..object("Job") };
        assert!(!bakes(&job));
    }
}
