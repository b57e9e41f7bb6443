//! How a rollout stands, for the report: its waves, where it stopped, what runs where, and how to go on.

use std::collections::BTreeMap;
use std::time::Duration;

use cli::report::{Report, RolloutReport, Stopped, VersionGroup, WaveReport, WaveState};
use cluster::connect::Target;
use cluster::fleet::{Journal, Standing, Wave};
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::survey;
use futures::StreamExt as _;
use futures::stream;
use manifest::ClusterName;

use crate::fleet::Fleet;

use super::drive::{Driven, INTERRUPTED};
use super::plan::Planned;

/// How long all clusters together may take to say what they run.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long one of them may.
const LIMIT: Duration = Duration::from_secs(10);

/// A rollout that was only planned; `journal` is that of the one which it would go on with.
pub(crate) fn planned(planned: &Planned, concurrency: usize, journal: Option<&Journal>) -> RolloutReport {
    let waves = planned.rollout.waves.iter().map(|wave| {
        let passed = journal.is_some_and(|journal| journal.has_passed(&wave.name));
        let state = if passed { WaveState::Passed } else { WaveState::Planned };
        of_wave(wave, state, concurrency, journal)
    });
    RolloutReport {
        waves: waves.collect(),
        budget: planned.rollout.budget.to_string(),
        journal: None,
        stopped: None,
        versions: Vec::new(),
        next: Vec::new(),
    }
}

/// A rollout as it stands when a run has ended.
pub(crate) fn ended(
    planned: &Planned,
    concurrency: usize,
    journal: &Journal,
    driven: &Driven,
    versions: Vec<VersionGroup>,
) -> RolloutReport {
    let stopped = driven
        .stopped
        .as_ref()
        .map(|(wave, because)| Stopped { wave: wave.clone(), because: because.clone() });
    let waves = planned.rollout.waves.iter().map(|wave| {
        let state = match (&stopped, journal.has_passed(&wave.name)) {
            (Some(stopped), _) if stopped.wave == wave.name => WaveState::Stopped,
            (_, true) => WaveState::Passed,
            (_, false) => WaveState::NotStarted,
        };
        of_wave(wave, state, concurrency, Some(journal))
    });
    let waves: Vec<WaveReport> = waves.collect();
    let next = next(planned, journal, driven, &waves);
    RolloutReport {
        waves,
        budget: planned.rollout.budget.to_string(),
        journal: Some(planned.journal.display().to_string()),
        stopped,
        versions,
        next,
    }
}

fn of_wave(wave: &Wave, state: WaveState, concurrency: usize, journal: Option<&Journal>) -> WaveReport {
    let count = |wanted: fn(&Standing) -> bool| {
        let standing = |cluster| journal.and_then(|journal| journal.standing(cluster));
        wave.clusters.iter().filter(|cluster| standing(*cluster).is_some_and(wanted)).count()
    };
    WaveReport {
        name: wave.name.clone(),
        state,
        clusters: wave.clusters.iter().map(ToString::to_string).collect(),
        done: count(|standing| *standing == Standing::Done),
        failed: count(|standing| matches!(standing, Standing::Failed(_))),
        quarantined: count(|standing| matches!(standing, Standing::Quarantined(_))),
        concurrency: wave.concurrency.unwrap_or(concurrency),
        bake_seconds: wave.bake.as_secs_f64(),
        budget: wave.budget.map(|budget| budget.to_string()),
        gate: wave.gate.as_ref().map(ToString::to_string),
    }
}

/// How to go on.
fn next(planned: &Planned, journal: &Journal, driven: &Driven, waves: &[WaveReport]) -> Vec<String> {
    let resume = format!("`--resume --journal {}` and the same flags", planned.journal.display());
    let sum = |of: fn(&WaveReport) -> usize| waves.iter().map(of).sum::<usize>();
    let (failed, away) = (sum(|wave| wave.failed), sum(|wave| wave.quarantined));
    match &driven.stopped {
        Some((_, because)) if because == INTERRUPTED => vec![format!("go on where it stopped: {resume}")],
        Some(_) => vec![
            format!("repair what failed, then go on where it stopped: {resume}"),
            "or take it back: revert the commit and deploy that, in the same waves and without `--resume`"
                .to_owned(),
        ],
        None if failed + away > 0 => {
            vec![format!("{failed} failed and {away} unreachable clusters are taken up again with {resume}")]
        }
        None if !journal.complete => vec![format!("the next wave begins with {resume}")],
        None => Vec::new(),
    }
}

/// The outcomes of all clusters that this run is about: those that it worked on, those that an earlier run has done, and
/// those whose turn did not come.
pub(crate) fn outcomes(planned: &Planned, journal: &Journal, driven: &Driven) -> Vec<ClusterOutcome> {
    let concerned = planned.rollout.waves[..planned.extent].iter().flat_map(|wave| &wave.clusters);
    let mut outcomes: Vec<ClusterOutcome> = concerned
        .map(|cluster| match driven.outcomes.get(cluster) {
            Some(outcome) => outcome.clone(),
            None if journal.standing(cluster) == Some(&Standing::Done) => {
                ClusterOutcome::new(cluster.clone(), ClusterState::Done)
            }
            None => ClusterOutcome::new(cluster.clone(), ClusterState::NotStarted),
        })
        .collect();
    outcomes.sort_by(|a, b| a.cluster.cmp(&b.cluster));
    outcomes
}

/// Says of each cluster of `report` what the rollout knows of it.
pub(crate) fn mark(report: &mut Report, journal: &Journal, driven: &Driven) {
    for cluster in &mut report.clusters {
        let Ok(name) = cluster.name.parse::<ClusterName>() else { continue };
        cluster.quarantined = matches!(journal.standing(&name), Some(Standing::Quarantined(_)));
        cluster.done_before =
            !driven.outcomes.contains_key(&name) && journal.standing(&name) == Some(&Standing::Done);
    }
}

/// What the clusters of a rollout that stopped run. Those that are not done are asked.
pub(crate) async fn versions(
    planned: &Planned,
    journal: &Journal,
    fleet: &Fleet,
    targets: &[Target],
) -> Vec<VersionGroup> {
    let ours = planned.commit.as_deref();
    let new = ours.map_or_else(|| "this deploy".to_owned(), short);
    let mut groups: BTreeMap<(u8, String), Vec<String>> = BTreeMap::new();
    let (done, others): (Vec<&Target>, Vec<&Target>) =
        targets.iter().partition(|target| journal.standing(&target.name) == Some(&Standing::Done));
    for target in done {
        groups.entry((0, format!("on {new}"))).or_default().push(target.name.to_string());
    }
    let asks: Vec<_> = others
        .into_iter()
        .map(|target| async move {
            let Fleet { options, plugins, .. } = fleet;
            (target, survey::commits(target, &options.connect, plugins, LIMIT).await)
        })
        .collect();
    let mut answers = stream::iter(asks).buffer_unordered(fleet.concurrency);
    let until = tokio::time::Instant::now() + PATIENCE;
    let mut asked = std::collections::BTreeSet::new();
    while let Ok(Some((target, commits))) = tokio::time::timeout_at(until, answers.next()).await {
        asked.insert(target.name.clone());
        let group = match commits {
            Some(commits) => version(journal.standing(&target.name), ours, &new, &commits),
            None => silent(),
        };
        groups.entry(group).or_default().push(target.name.to_string());
    }
    let unasked = targets.iter().filter(|target| {
        !asked.contains(&target.name) && journal.standing(&target.name) != Some(&Standing::Done)
    });
    for target in unasked {
        groups.entry(silent()).or_default().push(target.name.to_string());
    }
    groups
        .into_iter()
        .map(|((_, version), mut clusters)| {
            clusters.sort();
            VersionGroup { version, clusters }
        })
        .collect()
}

/// Those that do not say what they run come last.
fn silent() -> (u8, String) {
    (4, "not known, they do not answer".to_owned())
}

/// What a cluster runs that is not done, and where that stands in the order of telling.
fn version(
    standing: Option<&Standing>,
    ours: Option<&str>,
    new: &str,
    commits: &std::collections::BTreeSet<String>,
) -> (u8, String) {
    let touched = matches!(standing, Some(Standing::Failed(_) | Standing::Unknown));
    let earlier: Vec<String> =
        commits.iter().filter(|commit| Some(commit.as_str()) != ours).map(|commit| short(commit)).collect();
    let has_new = ours.map_or(touched, |ours| commits.contains(ours));
    match (has_new, earlier.is_empty()) {
        (true, true) => (1, format!("on {new}, not as wanted")),
        (true, false) => (2, format!("partly on {new}, partly on {}", earlier.join(", "))),
        (false, false) => (3, format!("on {}", earlier.join(", "))),
        (false, true) => (3, "on what they had before".to_owned()),
    }
}

fn short(commit: &str) -> String {
    let is_hash = commit.len() > 12 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { commit[..7].to_owned() } else { commit.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_runs_is_told_by_its_commits() {
        let commits = |all: &[&str]| all.iter().map(|commit| (*commit).to_owned()).collect();
        let failed = Standing::Failed("x".to_owned());
        let told = |standing, ours, all: &[&str]| version(standing, ours, "new", &commits(all)).1;
        assert_eq!(told(Some(&failed), Some("b"), &["b"]), "on new, not as wanted");
        assert_eq!(told(Some(&failed), Some("b"), &["a", "b"]), "partly on new, partly on a");
        assert_eq!(told(Some(&failed), Some("b"), &["a"]), "on a");
        assert_eq!(told(None, Some("b"), &["a"]), "on a");
        assert_eq!(told(None, Some("b"), &[]), "on what they had before");
        assert_eq!(told(None, None, &[]), "on what they had before");
        assert_eq!(told(Some(&failed), None, &[]), "on new, not as wanted");
        assert_eq!(short("c6350f4c2709708b8f784408a440030e704b2b9a"), "c6350f4");
    }
}
