//! How many clusters of a rollout have failed or were out of reach, and when that is too many.

use std::collections::BTreeMap;
use std::fmt;

use manifest::ClusterName;

use super::budget::Budget;
use super::waves::{Rollout, Wave};

/// How one cluster of a wave ended, as far as budgets are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As wanted and healthy.
    Good,
    /// It answered, and is not as wanted or not healthy.
    Failed,
    /// It could not be reached.
    Unreachable,
}

/// Why a rollout stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Breach {
    /// More clusters of a wave failed than it bears.
    Wave {
        /// The wave.
        wave: String,
        /// Failed clusters.
        failed: usize,
        /// What is borne.
        budget: Budget,
        /// Clusters of the wave.
        total: usize,
    },
    /// More clusters of the fleet failed than it bears.
    Fleet {
        /// Failed clusters.
        failed: usize,
        /// What is borne.
        budget: Budget,
        /// Clusters of the fleet.
        total: usize,
    },
    /// So many clusters of a wave could not be reached that it proves nothing.
    Unreachable {
        /// The wave.
        wave: String,
        /// Unreachable clusters.
        count: usize,
        /// What is borne.
        budget: Budget,
        /// Clusters of the wave.
        total: usize,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, count, budget, total) = match self {
            Self::Wave { wave, failed, budget, total } => {
                (format!("of wave `{wave}` failed, its failure budget"), failed, budget, *total)
            }
            Self::Fleet { failed, budget, total } => {
                ("of the fleet failed, the failure budget".to_owned(), failed, budget, *total)
            }
            Self::Unreachable { wave, count, budget, total } => {
                (format!("of wave `{wave}` cannot be reached, the limit"), count, budget, *total)
            }
        };
        write!(f, "{count} of {total} clusters {what} is {}", budget.of(total))
    }
}

/// Counts verdicts. A later verdict about a cluster replaces the earlier one.
#[derive(Clone, Debug)]
pub struct Ledger {
    total: usize,
    budget: Budget,
    unreachable: Budget,
    verdicts: BTreeMap<ClusterName, Verdict>,
}

impl Ledger {
    /// For a rollout of which nothing has been tried yet, or tried again.
    pub fn new(rollout: &Rollout) -> Self {
        let total = rollout.waves.iter().map(|wave| wave.clusters.len()).sum();
        Self { total, budget: rollout.budget, unreachable: rollout.unreachable, verdicts: BTreeMap::new() }
    }

    /// Takes note of a verdict about a cluster of `wave`; says whether the rollout must stop.
    pub fn record(&mut self, wave: &Wave, cluster: &ClusterName, verdict: Verdict) -> Option<Breach> {
        self.verdicts.insert(cluster.clone(), verdict);
        let in_wave = |wanted| {
            wave.clusters.iter().filter(|cluster| self.verdicts.get(*cluster) == Some(&wanted)).count()
        };
        let total = wave.clusters.len();
        let (failed, away) = (in_wave(Verdict::Failed), in_wave(Verdict::Unreachable));
        if let Some(budget) = wave.budget.filter(|budget| failed > budget.allowed(total)) {
            return Some(Breach::Wave { wave: wave.name.clone(), failed, budget, total });
        }
        let everywhere = self.count(Verdict::Failed);
        if everywhere > self.budget.allowed(self.total) {
            return Some(Breach::Fleet { failed: everywhere, budget: self.budget, total: self.total });
        }
        let budget = wave.unreachable.unwrap_or(self.unreachable);
        (away > budget.allowed(total)).then(|| Breach::Unreachable {
            wave: wave.name.clone(),
            count: away,
            budget,
            total,
        })
    }

    /// How many clusters ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.verdicts.values().filter(|known| **known == verdict).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn wave(name: &str, from: usize, count: usize, budget: Option<Budget>) -> Wave {
        Wave {
            name: name.to_owned(),
            clusters: (from..from + count).map(|n| format!("c{n}").parse().unwrap()).collect(),
            concurrency: None,
            bake: Duration::ZERO,
            gate: None,
            budget,
            unreachable: None,
        }
    }

    fn rollout(budget: Budget) -> Rollout {
        let waves = vec![wave("canary", 0, 2, Some(Budget::Count(0))), wave("rest", 2, 98, None)];
        Rollout { waves, budget, unreachable: Budget::Percent(50) }
    }

    fn stops(ledger: &mut Ledger, wave: &Wave, verdict: Verdict) -> Option<(usize, Breach)> {
        wave.clusters
            .iter()
            .enumerate()
            .find_map(|(index, cluster)| Some((index + 1, ledger.record(wave, cluster, verdict)?)))
    }

    #[test]
    fn the_sixth_failure_of_a_hundred_breaks_a_budget_of_5_percent() {
        let rollout = rollout(Budget::Percent(5));
        let mut ledger = Ledger::new(&rollout);
        let (count, breach) = stops(&mut ledger, &rollout.waves[1], Verdict::Failed).unwrap();
        assert_eq!(count, 6);
        assert_eq!(
            breach.to_string(),
            "6 of 100 clusters of the fleet failed, the failure budget is 5 (5 %)"
        );
        assert_eq!(ledger.count(Verdict::Failed), 6);
    }

    #[test]
    fn a_wave_may_bear_less_than_the_fleet() {
        let rollout = rollout(Budget::Percent(5));
        let (count, breach) = stops(&mut Ledger::new(&rollout), &rollout.waves[0], Verdict::Failed).unwrap();
        assert_eq!(
            (count, breach.to_string().as_str()),
            (1, "1 of 2 clusters of wave `canary` failed, its failure budget is 0")
        );
    }

    #[test]
    fn a_wave_of_which_less_than_half_was_reached_proves_nothing() {
        let rollout = rollout(Budget::Count(0));
        let (count, breach) =
            stops(&mut Ledger::new(&rollout), &rollout.waves[0], Verdict::Unreachable).unwrap();
        assert_eq!(
            (count, breach.to_string().as_str()),
            (2, "2 of 2 clusters of wave `canary` cannot be reached, the limit is 1 (50 %)")
        );
    }

    #[test]
    fn a_cluster_that_failed_while_it_baked_is_counted_once() {
        let rollout = rollout(Budget::Count(1));
        let mut ledger = Ledger::new(&rollout);
        let wave = &rollout.waves[1];
        for verdict in [Verdict::Good, Verdict::Failed, Verdict::Failed] {
            assert_eq!(ledger.record(wave, &wave.clusters[0], verdict), None);
        }
        assert_eq!(ledger.count(Verdict::Good), 0);
    }
}
