//! All clusters, a bounded number at a time. A cluster that fails, or a bug that hits one, is a value among the others.

use std::sync::Arc;
use std::time::Duration;

use cli::bug;
use cluster::connect::{Plugins, Target};
use cluster::events::{Event, Events};
use cluster::outcome::{ClusterOutcome, ClusterState, Trouble};
use cluster::rollout::{self, RolloutOptions, Run};
use futures::StreamExt as _;
use futures::stream;
use tokio::sync::mpsc::UnboundedSender;

use crate::input::Manifests;

/// How long a cluster may keep others from their turn.
const PATIENCE: Duration = Duration::from_secs(15);

/// What all clusters of a run have in common.
pub(crate) struct Fleet {
    pub(crate) manifests: Manifests,
    pub(crate) options: RolloutOptions,
    pub(crate) plugins: Plugins,
    pub(crate) run: Run,
    pub(crate) concurrency: usize,
}

/// Deploys to all `targets`; the outcomes are in their order.
pub(crate) async fn deploy(
    fleet: Fleet,
    targets: Vec<Target>,
    events: UnboundedSender<Event>,
) -> Vec<ClusterOutcome> {
    let concurrency = fleet.concurrency;
    let fleet = Arc::new(fleet);
    let mut outcomes: Vec<(usize, ClusterOutcome)> = stream::iter(targets.into_iter().enumerate())
        .map(|(index, target)| {
            let (fleet, events) = (fleet.clone(), events.clone());
            async move { (index, one_of(&fleet, target, events).await) }
        })
        .buffer_unordered(concurrency)
        .collect()
        .await;
    outcomes.sort_by_key(|(index, _)| *index);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

/// As [`deploy`], where nobody listens to how it goes.
pub(crate) async fn deploy_unheard(fleet: Fleet, targets: Vec<Target>) -> Vec<ClusterOutcome> {
    let (events, _unheard) = tokio::sync::mpsc::unbounded_channel();
    deploy(fleet, targets, events).await
}

/// Deploys to one cluster in a task of its own: clusters run on all cores, and a panic stays inside.
pub(crate) async fn one_of(
    fleet: &Arc<Fleet>,
    target: Target,
    events: UnboundedSender<Event>,
) -> ClusterOutcome {
    let (fleet, name) = (fleet.clone(), target.name.clone());
    let task = tokio::spawn(async move { one(&fleet, &target, events).await });
    task.await.unwrap_or_else(|error| {
        let said = error.try_into_panic().map_or("cancelled", |payload| bug::message(payload.as_ref()));
        let trouble = Trouble::new("this is a bug in deployer")
            .because(said)
            .hint("please report it with the output of `--debug`");
        failed(name, trouble)
    })
}

async fn one(fleet: &Arc<Fleet>, target: &Target, events: UnboundedSender<Event>) -> ClusterOutcome {
    let events = Events::new(target.name.clone(), events);
    let (reader, name) = (fleet.clone(), target.name.clone());
    let run = fleet.run.of_cluster();
    run.busy.begin().await;
    let mask = run.mask.clone();
    let manifests = tokio::task::spawn_blocking(move || {
        let secrets = reader.manifests.secrets(&name).unwrap_or_default();
        mask.learn_values(secrets.iter().map(String::as_str));
        reader.manifests.load(&name)
    })
    .await;
    let manifests = match manifests {
        Ok(Ok(manifests)) => manifests,
        // They were right when they were checked.
        Ok(Err(errors)) => {
            let mut trouble = Trouble::new("the manifests have changed meanwhile");
            for error in errors {
                trouble = trouble.because(error.to_string());
            }
            return failed(target.name.clone(), trouble);
        }
        Err(error) => {
            let said = error.try_into_panic().map_or("cancelled", |payload| bug::message(payload.as_ref()));
            return failed(target.name.clone(), Trouble::new("this is a bug in deployer").because(said));
        }
    };
    let deploy = rollout::deploy(target, manifests, &fleet.options, &fleet.plugins, &run, events);
    tokio::pin!(deploy);
    tokio::select! {
        outcome = &mut deploy => return outcome,
        // A cluster that is dead, slow or somebody else's for the moment is in nobody's way.
        () = tokio::time::sleep(PATIENCE) => run.busy.rest(),
    }
    deploy.await
}

pub(crate) fn failed(cluster: manifest::ClusterName, trouble: Trouble) -> ClusterOutcome {
    ClusterOutcome { trouble: Some(trouble), ..ClusterOutcome::new(cluster, ClusterState::Failed) }
}
