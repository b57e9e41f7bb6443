//! Joining the reports of the shards of a fleet into the report of all of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{ClusterState, Counts, Report, VERSION};
use crate::Exit;

/// Why reports do not make one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// Two of them are about one cluster.
    #[error("two reports are about one cluster, {first} and {second}: `{cluster}`")]
    Twice {
        /// The cluster.
        cluster: String,
        /// The first report.
        first: String,
        /// The second.
        second: String,
    },
    /// They are not of one deploy.
    #[error("{second} is not of the same deploy as {first}: {what}")]
    Different {
        /// The first report.
        first: String,
        /// The one that differs.
        second: String,
        /// In what.
        what: String,
    },
    /// Not every shard has reported: a job has not run, or died before it could write its report.
    #[error("a shard is missing: `{shard}`")]
    Missing {
        /// Which.
        shard: String,
    },
    /// A shard is there twice.
    #[error("two reports are of one shard, {first} and {second}: `{shard}`")]
    SameShard {
        /// Which.
        shard: String,
        /// The first report.
        first: String,
        /// The second.
        second: String,
    },
    /// A report of waves is already about the whole fleet.
    #[error("a rollout in waves is never one of several shards: {file}")]
    Waves {
        /// The report.
        file: String,
    },
    /// Its start cannot be read.
    #[error("`started` is not a time in {file}: `{started}`")]
    Time {
        /// The report.
        file: String,
        /// What is there.
        started: String,
    },
}

/// One report of all. Each comes with the name of its file for messages; the order does not matter.
///
/// # Errors
/// Everything that stands against it: a cluster or a shard that is there twice, a shard that is not there, reports of
/// different commits, a dry run among deploys.
pub fn merge(reports: Vec<(String, Report)>) -> Result<Report, Vec<MergeError>> {
    let mut errors = agreement(&reports);
    errors.extend(shards(&reports));
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, report) in &reports {
        for cluster in &report.clusters {
            if let Some(first) = seen.insert(&cluster.name, file) {
                errors.push(MergeError::Twice {
                    cluster: cluster.name.clone(),
                    first: first.to_owned(),
                    second: file.clone(),
                });
            }
        }
    }
    let mut times = Vec::new();
    for (file, report) in &reports {
        match report.started.parse::<Timestamp>() {
            Ok(started) => times.push((started, started.as_duration().as_secs_f64() + report.seconds)),
            Err(_) => {
                errors.push(MergeError::Time { file: file.clone(), started: report.started.clone() });
            }
        }
    }
    let Some((_, first)) = reports.first().filter(|_| errors.is_empty()) else { return Err(errors) };
    let begin = times.iter().map(|(started, _)| *started).min().unwrap_or_default();
    let end = times.iter().map(|(_, ended)| *ended).fold(0.0, f64::max);
    let mut merged = Report {
        version: VERSION,
        event: first.event.clone(),
        program: first.program.clone(),
        started: begin.to_string(),
        seconds: ((end - begin.as_duration().as_secs_f64()) * 1000.0).round() / 1000.0,
        dry_run: first.dry_run,
        commit: first.commit.clone(),
        exit_code: 0,
        shard: None,
        rollout: first.rollout.clone().filter(|_| reports.len() == 1),
        totals: Counts::default(),
        clusters: Vec::new(),
    };
    let codes: Vec<u8> = reports.iter().map(|(_, report)| report.exit_code).collect();
    merged.clusters = reports.into_iter().flat_map(|(_, report)| report.clusters).collect();
    merged.clusters.sort_by(|a, b| a.name.cmp(&b.name));
    merged.totals = merged.clusters.iter().fold(Counts::default(), |sum, cluster| sum.plus(cluster.counts));
    merged.exit_code = code_of(&merged, &codes);
    Ok(merged)
}

fn agreement(reports: &[(String, Report)]) -> Vec<MergeError> {
    let Some((first_file, first)) = reports.first() else { return Vec::new() };
    let commit = |report: &Report| report.commit.clone().unwrap_or_else(|| "no commit".to_owned());
    let mut errors = Vec::new();
    for (file, report) in reports.iter().skip(1) {
        let different =
            |what: String| MergeError::Different { first: first_file.clone(), second: file.clone(), what };
        if report.commit != first.commit {
            errors.push(different(format!("{} and {}", commit(report), commit(first))));
        }
        if report.dry_run != first.dry_run {
            errors.push(different("one is a dry run".to_owned()));
        }
    }
    if reports.len() > 1 {
        let in_waves = reports.iter().filter(|(_, report)| report.rollout.is_some());
        errors.extend(in_waves.map(|(file, _)| MergeError::Waves { file: file.clone() }));
    }
    errors
}

/// Whether every shard is there once.
fn shards(reports: &[(String, Report)]) -> Vec<MergeError> {
    let mut errors = Vec::new();
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    for (file, report) in reports {
        let Some(shard) = &report.shard else { continue };
        if let Some(first) = seen.insert(shard, file) {
            errors.push(MergeError::SameShard {
                shard: shard.clone(),
                first: first.to_owned(),
                second: file.clone(),
            });
        }
    }
    let counts: BTreeSet<u32> =
        seen.keys().filter_map(|shard| shard.split_once('/')?.1.parse().ok()).collect();
    for count in counts {
        let missing = (1..=count)
            .map(|index| format!("{index}/{count}"))
            .filter(|shard| !seen.contains_key(shard.as_str()));
        errors.extend(missing.map(|shard| MergeError::Missing { shard }));
    }
    errors
}

/// What the shell is told about the whole.
fn code_of(report: &Report, codes: &[u8]) -> u8 {
    let is = |exit: Exit| codes.contains(&exit.code());
    if is(Exit::Terminated) {
        return Exit::Terminated.code();
    }
    if is(Exit::Interrupted) {
        return Exit::Interrupted.code();
    }
    let (good, bad) = report.good_and_bad();
    let refused = report.clusters.iter().filter(|cluster| cluster.state == ClusterState::Refused).count();
    let exit = match (good, bad) {
        (_, 0) if is(Exit::Failed) || is(Exit::Partial) => Exit::Failed,
        (_, 0) if is(Exit::Changes) => Exit::Changes,
        (_, 0) => Exit::Done,
        (0, bad) if bad == refused => Exit::Refused,
        (0, _) => Exit::Failed,
        _ => Exit::Partial,
    };
    exit.code()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ClusterReport;

    fn cluster(name: &str, state: ClusterState) -> ClusterReport {
        ClusterReport {
            seconds: 1.0,
            counts: Counts { created: 2, ..Counts::default() },
            requests: 1,
            bytes_sent: 1,
            bytes_received: 1,
            ..ClusterReport::new(name, state)
        }
    }

    fn shard(shard: &str, minute: u32, code: u8, clusters: Vec<ClusterReport>) -> (String, Report) {
        let report = Report {
            version: VERSION,
            event: "report".to_owned(),
            program: "deployer 0.1.0".to_owned(),
            started: format!("2026-11-20T10:0{minute}:00Z"),
            seconds: 30.0,
            dry_run: false,
            commit: Some("abc".to_owned()),
            exit_code: code,
            shard: Some(shard.to_owned()),
            rollout: None,
            totals: clusters.iter().fold(Counts::default(), |sum, cluster| sum.plus(cluster.counts)),
            clusters,
        };
        (format!("{}.json", shard.replace('/', "-")), report)
    }

    #[test]
    fn shards_become_one_report_with_the_code_of_the_whole() {
        let reports = vec![
            shard("2/2", 1, 1, vec![cluster("b", ClusterState::Failed)]),
            shard("1/2", 0, 0, vec![cluster("c", ClusterState::Done), cluster("a", ClusterState::Done)]),
        ];
        let merged = merge(reports).unwrap();
        let names: Vec<&str> = merged.clusters.iter().map(|cluster| cluster.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!((merged.started.as_str(), merged.seconds), ("2026-11-20T10:00:00Z", 90.0));
        assert_eq!((merged.totals.created, merged.exit_code, merged.shard), (6, 4, None));
    }

    #[test]
    fn the_code_of_the_whole_is_no_better_than_its_worst_part() {
        let code = |a: (u8, ClusterState), b: (u8, ClusterState)| {
            let reports = vec![
                shard("1/2", 0, a.0, vec![cluster("a", a.1)]),
                shard("2/2", 0, b.0, vec![cluster("b", b.1)]),
            ];
            merge(reports).unwrap().exit_code
        };
        use ClusterState::{Done, Failed, NotStarted, Refused};
        assert_eq!(code((0, Done), (0, Done)), 0);
        assert_eq!(code((0, Done), (3, Done)), 3);
        assert_eq!(code((5, Refused), (5, Refused)), 5);
        assert_eq!(code((5, Refused), (1, Failed)), 1);
        assert_eq!(code((0, Done), (5, Refused)), 4);
        assert_eq!(code((143, NotStarted), (0, Done)), 143);
        // A report that could not be written, or the like: every cluster is well and the job is not.
        assert_eq!(code((1, Done), (0, Done)), 1);
    }

    #[test]
    fn what_does_not_belong_together_is_refused_and_everything_is_said() {
        let mut other = shard("3/4", 0, 0, vec![cluster("a", ClusterState::Done)]);
        other.1.commit = None;
        let reports = vec![shard("1/4", 0, 0, vec![cluster("a", ClusterState::Done)]), other];
        let said: Vec<String> = merge(reports).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "3-4.json is not of the same deploy as 1-4.json: no commit and abc",
                "a shard is missing: `2/4`",
                "a shard is missing: `4/4`",
                "two reports are about one cluster, 1-4.json and 3-4.json: `a`",
            ]
        );
        let twice = || shard("1/1", 0, 0, Vec::new());
        assert_eq!(
            merge(vec![twice(), twice()]).unwrap_err()[0].to_string(),
            "two reports are of one shard, 1-1.json and 1-1.json: `1/1`"
        );
    }

    #[test]
    fn a_shard_without_clusters_is_part_of_the_whole() {
        let reports =
            vec![shard("1/2", 0, 0, Vec::new()), shard("2/2", 0, 0, vec![cluster("a", ClusterState::Done)])];
        assert_eq!(merge(reports).unwrap().exit_code, 0);
    }
}
