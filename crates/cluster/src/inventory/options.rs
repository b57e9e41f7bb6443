//! What a caller says about resource sets; the same for all clusters of a run.

use std::time::Duration;

use manifest::{Object, Selector};

use super::SetName;
use crate::guard::Guard;
use crate::prune::PruneOptions;

/// The resource set of a deploy, and what guards it.
#[derive(Clone, Debug)]
pub struct SetOptions {
    /// Its name.
    pub name: SetName,
    /// Whether somebody chose the name: only such sets prune, and take objects from others.
    pub named: bool,
    /// Where its inventory is; the namespace of the kubeconfig if not said.
    pub namespace: Option<String>,
    /// Which part of the set the deploy is about.
    pub scope: Scope,
    /// Deletes what earlier deploys of the set applied and this one does not have.
    pub prune: Option<PruneOptions>,
    /// Refuses older commits.
    pub guard: Option<Guard>,
    /// Goes back on purpose: older commits are welcome.
    pub is_rollback: bool,
    /// The commit that a cluster has afterwards, where the guard or a rollback knows it.
    pub commit: Option<String>,
    /// The deploy that this one brings back, once it is known which.
    pub brings_back: Option<String>,
    /// A rollback hands what it brought back to its caller ([`ClusterOutcome::restored`](crate::outcome::ClusterOutcome::restored)).
    pub hand_back: bool,
    /// The id of the run.
    pub id: String,
    /// Who we are, for whoever finds our lease.
    pub holder: String,
    /// How long a lease lasts that nobody renews.
    pub lease_duration: Duration,
    /// How long to wait for another deployer's.
    pub lease_wait: Duration,
    /// Deploys that are remembered with their manifests.
    pub history: usize,
    /// Goes back to the last deploy that succeeded if this one fails.
    pub rollback_on_failure: bool,
    /// Deploys what was deployed then, instead of manifests that the caller has.
    pub rollback: Option<RollbackTo>,
}

/// Where a rollback goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RollbackTo {
    /// To the last deploy that succeeded before the present one.
    Previous,
    /// To this one.
    Id(String),
}

impl Default for SetOptions {
    fn default() -> Self {
        Self {
            name: SetName::default(),
            named: false,
            namespace: None,
            scope: Scope::default(),
            prune: None,
            guard: None,
            is_rollback: false,
            commit: None,
            brings_back: None,
            hand_back: false,
            id: String::new(),
            holder: "deployer".into(),
            lease_duration: Duration::from_secs(30),
            lease_wait: Duration::from_secs(600),
            history: 10,
            rollback_on_failure: false,
            rollback: None,
        }
    }
}

/// Which part of a set a deploy is about: what it did not consider it does not delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// `--resource`.
    pub resource: Option<String>,
    /// `--selector`.
    pub selector: Selector,
    /// Only objects that an earlier step of the same run made: going back removes these.
    pub only: Option<Vec<manifest::ObjectRef>>,
}

impl Scope {
    /// As it is stored with a deploy; empty for everything.
    pub fn text(&self) -> String {
        let resource = self.resource.iter().map(|name| format!("--resource {name}"));
        let selector = Some(&self.selector).filter(|it| !it.is_empty()).map(|it| format!("--selector {it}"));
        resource.chain(selector).collect::<Vec<_>>().join(" ")
    }
}

/// What is to be deployed to one cluster.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The objects.
    pub objects: Vec<Object>,
    /// Objects beside them that the selector left out: they are there, so that they are not deleted.
    pub left_out: Vec<manifest::ObjectRef>,
}
