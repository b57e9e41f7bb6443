//! The health gate of a wave: for a while everything stays ready and nothing restarts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cluster::bake::{Look, look};
use cluster::connect::Target;
use cluster::fleet::Verdict;
use cluster::outcome::Trouble;
use futures::StreamExt as _;
use futures::stream;
use manifest::{ClusterName, ObjectRef};
use tokio::time::{Instant, sleep};

use crate::fleet::Fleet;

/// How long a look at one cluster may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A cluster that bakes.
pub(crate) struct Loaf {
    pub(crate) target: Target,
    /// What runs pods on it.
    pub(crate) objects: Vec<ObjectRef>,
}

/// A cluster that did not stay well.
pub(crate) struct Burnt {
    pub(crate) cluster: ClusterName,
    pub(crate) verdict: Verdict,
    pub(crate) trouble: Trouble,
}

/// How a bake goes on after a cluster has turned bad.
pub(crate) enum GoOn {
    Yes,
    No,
}

/// What is known of a cluster while it bakes.
struct State {
    /// The first look that succeeded.
    first: Look,
    /// Whether the last look found something unready.
    unready: bool,
}

/// Looks at the clusters for `bake`; `each` hears of every one that does not stay well, as soon as that is known, and says
/// whether to go on. Ends early if the run is stopped.
pub(crate) async fn bake<F>(
    fleet: &Arc<Fleet>,
    loaves: Vec<Loaf>,
    bake: Duration,
    concurrency: usize,
    mut each: F,
) where
    F: AsyncFnMut(Burnt) -> GoOn,
{
    // Ten looks, but none within a second, and a restart is known within half a minute.
    let interval = (bake / 10).clamp(Duration::from_secs(1), Duration::from_secs(30)).min(bake);
    let mut loaves: BTreeMap<ClusterName, Loaf> =
        loaves.into_iter().map(|loaf| (loaf.target.name.clone(), loaf)).collect();
    let mut states: BTreeMap<ClusterName, State> = BTreeMap::new();
    let looks = round(fleet, &loaves, concurrency).await;
    for (cluster, seen) in looks {
        if let Ok(first) = seen {
            let unready = !first.unready().is_empty();
            states.insert(cluster, State { first, unready });
        }
    }
    let end = Instant::now() + bake;
    while !loaves.is_empty() && !fleet.run.stop.is_set() {
        let left = end.saturating_duration_since(Instant::now());
        tokio::select! {
            () = sleep(interval.min(left)) => {}
            () = fleet.run.stop.set() => return,
        }
        let last = Instant::now() >= end;
        for (cluster, seen) in round(fleet, &loaves, concurrency).await {
            let Some(burnt) = judge(&cluster, seen, &mut states, last) else { continue };
            loaves.remove(&cluster);
            if matches!(each(burnt).await, GoOn::No) {
                return;
            }
        }
        if last {
            return;
        }
    }
}

/// What a look at a cluster means. A restart is final. What is not ready may be a pod on its way to another node: it counts
/// when it lasts for two looks, or in the end. A cluster that does not answer counts in the end.
fn judge(
    cluster: &ClusterName,
    seen: Result<Look, String>,
    states: &mut BTreeMap<ClusterName, State>,
    last: bool,
) -> Option<Burnt> {
    let burnt = |verdict, trouble| Some(Burnt { cluster: cluster.clone(), verdict, trouble });
    let look = match seen {
        Ok(look) => look,
        Err(why) if last => {
            let trouble = Trouble::new("the cluster could not be asked how it is at the end of the bake");
            return burnt(Verdict::Unreachable, trouble.because(why));
        }
        Err(_) => return None,
    };
    let unready = look.unready();
    let state =
        states.entry(cluster.clone()).or_insert_with(|| State { first: look.clone(), unready: false });
    let restarted = look.restarted_since(&state.first);
    let lasting = !unready.is_empty() && (state.unready || last);
    state.unready = !unready.is_empty();
    if restarted.is_empty() && !lasting {
        return None;
    }
    let mut trouble = Trouble::new("it did not stay well while its wave was baking");
    for line in restarted.into_iter().chain(unready) {
        trouble = trouble.because(line);
    }
    burnt(Verdict::Failed, trouble.hint("deployer status --cluster NAME shows its pods"))
}

async fn round(
    fleet: &Arc<Fleet>,
    loaves: &BTreeMap<ClusterName, Loaf>,
    concurrency: usize,
) -> Vec<(ClusterName, Result<Look, String>)> {
    let one = |(cluster, loaf): (&ClusterName, &Loaf)| {
        let (fleet, cluster) = (fleet.clone(), cluster.clone());
        let (target, objects) = (loaf.target.clone(), loaf.objects.clone());
        async move {
            let Fleet { options, plugins, run, .. } = &*fleet;
            let seen = look(&target, &objects, &options.connect, plugins, &run.mask, LIMIT).await;
            (cluster, seen)
        }
    };
    let looks: Vec<_> = loaves.iter().map(one).collect();
    let mut seen: Vec<_> = stream::iter(looks).buffer_unordered(concurrency).collect().await;
    seen.sort_by(|(a, _), (b, _)| a.cmp(b));
    seen
}
