//! Deleting what a plan says goes: last of all, in the reverse order of applying, and only after everything else is well.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::Value;
use tokio::time::Instant;

use crate::apply;
use crate::applying::{Applying, emit};
use crate::connect::Connection;
use crate::discovery::Resource;
use crate::events::Happening;
use crate::inventory::applyset::part_of;
use crate::order::Phase;
use crate::outcome::{ObjectResult, Trouble};
use crate::plan::{Deletion, our_fields};

/// Kinds that are looked through before a namespace goes: what people put there by hand.
const INSIDE: &[(&str, &str, &str)] = &[
    ("", "Pod", "pods"),
    ("", "Service", "services"),
    ("", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "ConfigMap", "configmaps"),
    ("", "Secret", "secrets"),
    ("apps", "Deployment", "deployments"),
    ("apps", "StatefulSet", "statefulsets"),
];

impl Applying<'_> {
    /// Deletes; each deletion has a result afterwards.
    pub(crate) async fn delete_all(&mut self) {
        let plan = self.plan;
        self.deleted = vec![None; plan.deletions.len()];
        let because = match self.unwell() {
            Some(because) => Some(because),
            None if self.run.stop.is_set() => Some("the run was stopped".to_owned()),
            None => None,
        };
        let mut stuck = false;
        for phase in Phase::ALL.into_iter().rev() {
            let now: Vec<usize> = (0..plan.deletions.len())
                .filter(|index| {
                    let resource = &plan.deletions[*index].resource;
                    Phase::of(&resource.group, &resource.kind) == phase
                })
                .collect();
            let holds_others = matches!(phase, Phase::Definitions | Phase::Namespaces);
            let because = match (&because, stuck && holds_others, self.run.stop.is_set()) {
                (Some(because), _, _) => Some(because.clone()),
                (None, true, _) => Some("objects that may be in it are still being deleted".to_owned()),
                (None, false, true) => Some("the run was stopped".to_owned()),
                (None, false, false) => None,
            };
            if let Some(because) = because {
                for index in now {
                    self.deleted[index] = Some(ObjectResult::Skipped { because: because.clone() });
                }
                continue;
            }
            if !now.is_empty() {
                let phase = "deletions";
                self.connection.events().emit(Happening::Phase { phase, objects: now.len() });
            }
            let until = (Instant::now() + self.options.available_timeout).min(self.connection.deadline());
            let (connection, run) = (self.connection, self.run);
            let mut jobs: Vec<BoxFuture<'_, (usize, ObjectResult)>> = Vec::new();
            for index in now {
                let deletion = &plan.deletions[index];
                jobs.push(
                    async move {
                        let _permit = run.writes.acquire().await;
                        (index, one(connection, deletion, until, &run.mask).await)
                    }
                    .boxed(),
                );
            }
            let mut ends = stream::iter(jobs).buffer_unordered(self.options.cluster_concurrency);
            while let Some((index, result)) = ends.next().await {
                let deletion = &plan.deletions[index];
                stuck |= matches!(result, ObjectResult::Failed { .. });
                emit(connection, &deletion.object, &result);
                self.deleted[index] = Some(result);
            }
        }
    }

    /// Why nothing is deleted: what is to take the place of what goes is not there, or not well.
    fn unwell(&self) -> Option<String> {
        let bad = |result: &Option<ObjectResult>| {
            matches!(result, Some(ObjectResult::Failed { .. } | ObjectResult::NotReady { .. }))
        };
        let failed = self.results.iter().position(bad).map(|index| &self.plan.objects[index].wanted.object);
        let failed = failed.or(self.plan.unplanned.first().map(|object| &object.object));
        failed.map(|object| format!("nothing is deleted while {object} is not as wanted"))
    }
}

async fn one(
    connection: &Connection,
    deletion: &Deletion,
    until: Instant,
    mask: &crate::plan::Mask,
) -> ObjectResult {
    let object = &deletion.object;
    let namespace = object.namespace.as_deref();
    let failed =
        |text: String| ObjectResult::failed(Trouble::new("it cannot be deleted").because(mask.text(&text)));
    match strangers(connection, deletion).await {
        Ok(None) => {}
        Ok(Some(stranger)) => {
            let because = format!("it holds what is not ours: {stranger}");
            return ObjectResult::Skipped { because };
        }
        Err(error) => return failed(error),
    }
    // What depends on a pruned object goes before it does: the next phase must not take away what still runs.
    let propagation = if deletion.pruned { "Foreground" } else { "Background" };
    let uid = Some(deletion.uid.as_str());
    let answer =
        apply::delete(connection, &deletion.resource, namespace, &object.name, uid, propagation).await;
    match answer {
        Ok(()) if deletion.pruned => gone(connection, deletion, until).await,
        Ok(()) => ObjectResult::Deleted,
        // Old runs of a Job are in nobody's way.
        Err(error) if !deletion.pruned => ObjectResult::Skipped {
            because: mask.text(&format!("{} cannot be deleted: {error}", deletion.because)),
        },
        Err(error) => failed(error.to_string()),
    }
}

/// Waits until an object has gone.
async fn gone(connection: &Connection, deletion: &Deletion, until: Instant) -> ObjectResult {
    let object = &deletion.object;
    let mut pause = Duration::from_millis(50);
    loop {
        let found =
            crate::live::get(connection, &deletion.resource, object.namespace.as_deref(), &object.name).await;
        let found = match found {
            Ok((_, found)) => found,
            Err(error) => {
                let trouble = Trouble::new("it is not known whether it has gone").because(error.to_string());
                return ObjectResult::failed(trouble);
            }
        };
        let still = found.first().filter(|found| found["metadata"]["uid"] == deletion.uid.as_str());
        let Some(still) = still else { return ObjectResult::Deleted };
        if Instant::now() + pause >= until {
            return ObjectResult::failed(held(deletion, still));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}

fn held(deletion: &Deletion, live: &Value) -> Trouble {
    let finalizers: Vec<&str> =
        live["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let mut trouble = Trouble::new("it is still being deleted");
    if !finalizers.is_empty() {
        trouble = trouble.because(format!("finalizers hold it: {}", finalizers.join(", ")));
    }
    let object = &deletion.object;
    let namespace = object.namespace.as_ref().map_or(String::new(), |name| format!(" -n {name}"));
    trouble.hint(format!("kubectl describe {} {}{namespace}", deletion.resource.plural, object.name))
}

/// An object that would go along with a namespace or a definition, and is not ours.
async fn strangers(connection: &Connection, deletion: &Deletion) -> Result<Option<String>, String> {
    let live = &deletion.live;
    let mut places: Vec<(Resource, Option<&str>)> = Vec::new();
    if deletion.resource.kind == "Namespace" && deletion.resource.group.is_empty() {
        places.extend(INSIDE.iter().map(|(group, kind, plural)| {
            let resource = Resource::new(group, "v1", kind, plural, true);
            (resource, Some(deletion.object.name.as_str()))
        }));
    } else if deletion.resource.kind == "CustomResourceDefinition" {
        places.extend(crate::discovery::kinds_of_crd(live).into_iter().take(1).map(|kind| (kind, None)));
    }
    let ours = part_of(live);
    for (resource, namespace) in places {
        let found = crate::live::list(connection, &resource, namespace, None).await;
        let (_, found) = found.map_err(|error| error.to_string())?;
        let stranger = found.iter().find(|object| {
            let metadata = &object["metadata"];
            let made = metadata["ownerReferences"].as_array().is_some_and(|owners| !owners.is_empty());
            let given = is_given(&resource, object);
            let mine = part_of(object) == ours && ours.is_some() && our_fields(object).is_some();
            !made && !given && !mine && metadata.get("deletionTimestamp").is_none()
        });
        if let Some(stranger) = stranger {
            let name = stranger["metadata"]["name"].as_str().unwrap_or_default();
            return Ok(Some(format!("{} {name}", resource.kind)));
        }
    }
    Ok(None)
}

/// What Kubernetes puts into every namespace.
fn is_given(resource: &Resource, object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    match resource.kind.as_str() {
        "ConfigMap" => name == "kube-root-ca.crt",
        "Secret" => object["type"] == "kubernetes.io/service-account-token",
        _ => false,
    }
}
