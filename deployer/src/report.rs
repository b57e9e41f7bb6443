//! From outcomes to the report that is printed, saved and read by machines.

use std::collections::{BTreeMap, BTreeSet};

use cli::report::{
    ClusterReport, ClusterState, Counts, Diagnosis, EventLine, KeptReport, LogTail, ObjectReport,
    ObjectResult, Report, RolloutReport, SetReport, SharedJson, Trouble, VERSION,
};
use cluster::outcome;
use cluster::outcome::ClusterOutcome;
use cluster::plan::{ObjectChange, PackedChanges};
use jiff::Timestamp;

/// What the outcomes do not say.
pub(crate) struct Facts {
    pub(crate) started: Timestamp,
    pub(crate) seconds: f64,
    pub(crate) dry_run: bool,
    pub(crate) commit: Option<String>,
    pub(crate) exit_code: u8,
    pub(crate) shard: Option<String>,
    /// The waves, and which cluster is in which.
    pub(crate) rollout: Option<RolloutReport>,
}

/// The report of a run.
pub(crate) fn report(outcomes: &[ClusterOutcome], facts: Facts) -> Report {
    let mut shared = Shared::default();
    let mut clusters: Vec<ClusterReport> =
        outcomes.iter().map(|outcome| of_cluster(outcome, &mut shared)).collect();
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    for wave in facts.rollout.iter().flat_map(|rollout| &rollout.waves) {
        for name in &wave.clusters {
            if let Ok(at) = clusters.binary_search_by(|cluster| cluster.name.as_str().cmp(name)) {
                clusters[at].wave = Some(wave.name.clone());
            }
        }
    }
    Report {
        version: VERSION,
        event: "report".to_owned(),
        program: concat!("deployer ", env!("CARGO_PKG_VERSION")).to_owned(),
        started: seconds_of(facts.started),
        seconds: round(facts.seconds),
        dry_run: facts.dry_run,
        commit: facts.commit,
        exit_code: facts.exit_code,
        shard: facts.shard,
        rollout: facts.rollout,
        totals: clusters.iter().fold(Counts::default(), |sum, cluster| sum.plus(cluster.counts)),
        clusters,
    }
}

/// RFC 3339 with whole seconds, as Kubernetes writes times.
pub(crate) fn seconds_of(time: Timestamp) -> String {
    time.round(jiff::Unit::Second).unwrap_or(time).to_string()
}

/// Milliseconds are as much as anybody can use.
fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The changes of a fleet, each kept once: most clusters get the same ones.
#[derive(Default)]
struct Shared<'a> {
    of_clusters: BTreeMap<&'a PackedChanges, Vec<SharedJson>>,
    known: BTreeSet<SharedJson>,
}

impl<'a> Shared<'a> {
    fn changes(&mut self, packed: &'a PackedChanges) -> Vec<SharedJson> {
        let known = &mut self.known;
        let changes = self.of_clusters.entry(packed).or_insert_with(|| {
            let one = |change: &ObjectChange| {
                let json = SharedJson::from(&serde_json::to_value(change).unwrap_or_default());
                if let Some(known) = known.get(&json) {
                    return known.clone();
                }
                known.insert(json.clone());
                json
            };
            packed.unpack().iter().map(one).collect()
        });
        changes.clone()
    }
}

fn of_cluster<'a>(outcome: &'a ClusterOutcome, shared: &mut Shared<'a>) -> ClusterReport {
    let c = outcome.counts;
    let state = match outcome.state {
        outcome::ClusterState::Done => ClusterState::Done,
        outcome::ClusterState::Failed => ClusterState::Failed,
        outcome::ClusterState::Refused => ClusterState::Refused,
        outcome::ClusterState::Interrupted => ClusterState::Interrupted,
        outcome::ClusterState::NotStarted => ClusterState::NotStarted,
    };
    ClusterReport {
        seconds: round(outcome.seconds),
        counts: Counts {
            created: c.created,
            configured: c.configured,
            recreated: c.recreated,
            unchanged: c.unchanged,
            deleted: c.deleted,
            skipped: c.skipped,
            failed: c.failed,
            not_ready: c.not_ready,
        },
        trouble: outcome.trouble.as_ref().map(trouble),
        objects: outcome.objects.iter().map(of_object).collect(),
        set: outcome.set.as_ref().map(of_set),
        changes: shared.changes(&outcome.changes),
        warnings: outcome.warnings.clone(),
        requests: outcome.requests,
        bytes_sent: outcome.bytes_sent,
        bytes_received: outcome.bytes_received,
        ..ClusterReport::new(outcome.cluster.as_str(), state)
    }
}

fn of_set(set: &outcome::SetOutcome) -> SetReport {
    let kept = |kept: &cluster::prune::Kept| KeptReport {
        object: kept.object.to_string(),
        because: kept.because.clone(),
    };
    SetReport {
        name: set.name.clone(),
        namespace: set.namespace.clone(),
        lease: set.lease.clone(),
        revision: set.revision,
        commit: set.commit.clone(),
        kept: set.kept.iter().map(kept).collect(),
        leftover: set.leftover,
        rollback_to: set.rollback_to.clone(),
    }
}

fn trouble(trouble: &outcome::Trouble) -> Trouble {
    Trouble { message: trouble.message.clone(), causes: trouble.causes.clone(), hints: trouble.hints.clone() }
}

fn of_object(outcome: &outcome::ObjectOutcome) -> ObjectReport {
    let (result, because, failed, diagnoses) = match &outcome.result {
        outcome::ObjectResult::Created => (ObjectResult::Created, None, None, None),
        outcome::ObjectResult::Configured => (ObjectResult::Configured, None, None, None),
        outcome::ObjectResult::Recreated => (ObjectResult::Recreated, None, None, None),
        outcome::ObjectResult::Unchanged => (ObjectResult::Unchanged, None, None, None),
        outcome::ObjectResult::Deleted => (ObjectResult::Deleted, None, None, None),
        outcome::ObjectResult::Skipped { because } => {
            (ObjectResult::Skipped, Some(because.clone()), None, None)
        }
        outcome::ObjectResult::Failed { trouble: t } => (ObjectResult::Failed, None, Some(trouble(t)), None),
        outcome::ObjectResult::NotReady { trouble: t, diagnoses } => {
            (ObjectResult::NotReady, None, Some(trouble(t)), Some(diagnoses))
        }
    };
    let object = &outcome.object;
    ObjectReport {
        object: object.to_string(),
        api_version: object.api_version.clone(),
        kind: object.kind.clone(),
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        result,
        place: outcome.place.clone(),
        because,
        trouble: failed,
        diagnoses: diagnoses.map(|all| all.iter().map(diagnosis).collect()).unwrap_or_default(),
    }
}

/// A diagnosis as the reports tell it.
pub(crate) fn diagnosis(found: &cluster::health::Diagnosis) -> Diagnosis {
    let event = |event: &cluster::health::Event| EventLine {
        reason: event.reason.clone(),
        message: event.message.clone(),
        count: event.count,
        last: event.last.map(|time| time.to_string()),
    };
    Diagnosis {
        summary: found.to_string(),
        problem: found.problem.name().to_owned(),
        message: found.message.clone(),
        reason: found.reason.clone(),
        pod_count: found.pod_count,
        pods: found.pods.clone(),
        container: found.container.clone(),
        exit_code: found.exit.as_ref().map(|exit| exit.code),
        restarts: found.restarts,
        since: found.since.map(|time| time.to_string()),
        events: found.events.iter().map(event).collect(),
        log: found.log.as_ref().map(|log| LogTail {
            pod: log.pod.clone(),
            previous: log.previous,
            lines: log.lines.clone(),
        }),
    }
}
