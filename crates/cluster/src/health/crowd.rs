//! The pods, `ReplicaSet`s and Events of a namespace at one moment, by what they belong to: with a thousand Deployments in one
//! namespace, nobody looks through all pods for each of them.

use std::collections::HashMap;

use super::workload::Revision;
use super::{Event, Pod, ReplicaSet, Workload};

/// How a pod of a workload relates to its rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belonging {
    /// Made from the present spec.
    Current,
    /// Made from an earlier one.
    Old,
}

/// What explains the objects of a namespace.
pub struct Crowd<'a> {
    /// By the uid of their Deployment.
    sets: HashMap<&'a str, Vec<&'a ReplicaSet>>,
    /// By the uid of what controls them.
    pods: HashMap<&'a str, Vec<&'a Pod>>,
    /// By their own uid.
    by_uid: HashMap<&'a str, &'a Pod>,
    /// By the uid of what they are about.
    events: HashMap<&'a str, Vec<&'a Event>>,
}

impl<'a> Crowd<'a> {
    /// Sorts what there is.
    pub fn new(
        sets: impl IntoIterator<Item = &'a ReplicaSet>,
        pods: impl IntoIterator<Item = &'a Pod>,
        events: impl IntoIterator<Item = &'a Event>,
    ) -> Self {
        let mut crowd = Self {
            sets: HashMap::new(),
            pods: HashMap::new(),
            by_uid: HashMap::new(),
            events: HashMap::new(),
        };
        for set in sets {
            if let Some(owner) = &set.controller {
                crowd.sets.entry(owner).or_default().push(set);
            }
        }
        for pod in pods {
            crowd.by_uid.insert(&pod.uid, pod);
            if let Some(owner) = &pod.controller {
                crowd.pods.entry(owner).or_default().push(pod);
            }
        }
        for event in events {
            crowd.events.entry(&event.about).or_default().push(event);
        }
        crowd
    }

    /// The pods of `workload`: found by owner reference and revision, never by a name that looks alike.
    #[must_use]
    pub fn pods_of(&self, workload: &Workload) -> Vec<(&'a Pod, Belonging)> {
        let is = |present: bool| if present { Belonging::Current } else { Belonging::Old };
        let direct = |is_present: &dyn Fn(&Pod) -> bool| {
            under(&self.pods, &workload.uid).iter().map(|pod| (*pod, is(is_present(pod)))).collect()
        };
        match &workload.revision {
            Revision::Itself => {
                let itself = self.by_uid.get(workload.uid.as_str());
                itself.map(|pod| (*pod, Belonging::Current)).into_iter().collect()
            }
            Revision::ReplicaSet(_) => {
                let of_set = |set: &&ReplicaSet| {
                    let belonging = is(is_present(set, workload));
                    under(&self.pods, &set.uid).iter().map(move |pod| (*pod, belonging))
                };
                under(&self.sets, &workload.uid).iter().flat_map(of_set).collect()
            }
            Revision::Hash(wanted) => direct(&|pod| wanted.is_some() && pod.revision == *wanted),
            Revision::TemplateGeneration(wanted) => {
                direct(&|pod| wanted.is_some() && pod.template_generation == *wanted)
            }
            Revision::Any => direct(&|_| true),
            Revision::NoPods => Vec::new(),
        }
    }

    /// Those of [`Crowd::pods_of`] that are made from the present spec.
    pub(crate) fn current_pods_of(&self, workload: &Workload) -> impl Iterator<Item = &'a Pod> + use<'a> {
        let pods = self.pods_of(workload).into_iter();
        pods.filter(|(_, belonging)| *belonging == Belonging::Current).map(|(pod, _)| pod)
    }

    /// What was said about the object of this uid.
    pub(super) fn said_of(&self, uid: &str) -> &[&'a Event] {
        under(&self.events, uid)
    }

    /// What was said about a workload itself and about its present `ReplicaSet`.
    pub(super) fn said_of_controller<'b>(
        &'b self,
        workload: &'b Workload,
    ) -> impl Iterator<Item = &'a Event> + Clone + use<'a, 'b> {
        let sets = under(&self.sets, &workload.uid).iter().filter(|set| is_present(set, workload));
        let uids = std::iter::once(workload.uid.as_str()).chain(sets.map(|set| set.uid.as_str()));
        uids.flat_map(|uid| self.said_of(uid)).copied()
    }
}

fn under<'a, 'b, T>(by_owner: &'b HashMap<&'a str, Vec<&'a T>>, uid: &str) -> &'b [&'a T] {
    by_owner.get(uid).map(Vec::as_slice).unwrap_or_default()
}

/// Whether the pods of `set`, which is of `workload`, are made from its present spec.
fn is_present(set: &ReplicaSet, workload: &Workload) -> bool {
    matches!(&workload.revision, Revision::ReplicaSet(wanted) if wanted.is_some() && set.revision == *wanted)
}
