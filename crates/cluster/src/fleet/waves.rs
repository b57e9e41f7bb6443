//! Waves: the order in which the clusters of a fleet are deployed, and when to stop.

use std::collections::BTreeMap;
use std::time::Duration;

use manifest::ClusterName;
use serde_json::{Map, Value};

use super::budget::Budget;
use super::gate::Gate;

/// What is known of a cluster when waves are made.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its name.
    pub name: ClusterName,
    /// Its labels: those of its kubeconfig's `metadata.labels`, with `name` and, where rendered, `type`.
    pub labels: Map<String, Value>,
}

/// A rollout: waves in their order, and what is borne over all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollout {
    /// The waves, none of them empty.
    pub waves: Vec<Wave>,
    /// Failed clusters of the whole fleet that are borne.
    pub budget: Budget,
    /// Unreachable clusters of a wave that are borne, where the wave does not say.
    pub unreachable: Budget,
}

/// What holds where a waves file does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Defaults {
    /// How long a wave bakes.
    pub bake: Duration,
    /// Failed clusters of the fleet that are borne.
    pub budget: Budget,
    /// Unreachable clusters of a wave that are borne.
    pub unreachable: Budget,
}

impl Default for Defaults {
    /// No failure is borne, nothing bakes, and at least half of a wave must be within reach.
    fn default() -> Self {
        Self { bake: Duration::ZERO, budget: Budget::Count(0), unreachable: Budget::Percent(50) }
    }
}

/// One wave of a rollout: clusters that are deployed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave {
    /// Its name in the file.
    pub name: String,
    /// Its clusters, sorted.
    pub clusters: Vec<ClusterName>,
    /// How many at once; the run's own limit where absent.
    pub concurrency: Option<usize>,
    /// How long all of it must stay healthy before the next wave begins.
    pub bake: Duration,
    /// Who else must agree before the next wave begins.
    pub gate: Option<Gate>,
    /// Failed clusters of this wave that are borne; the fleet's budget applies besides.
    pub budget: Option<Budget>,
    /// Unreachable clusters of this wave that are borne.
    pub unreachable: Option<Budget>,
}

/// Waves without a file: one for each number, in order, and last of all the clusters that have none.
pub fn by_number(members: &[(ClusterName, Option<u32>)], defaults: Defaults) -> Rollout {
    let mut waves: BTreeMap<(bool, u32), Vec<ClusterName>> = BTreeMap::new();
    for (cluster, number) in members {
        let key = number.map_or((true, 0), |number| (false, number));
        waves.entry(key).or_default().push(cluster.clone());
    }
    let numbered = waves.len() > 1 || waves.keys().any(|(rest, _)| !rest);
    let name = |rest: bool, number: u32| match (rest, numbered) {
        (false, _) => number.to_string(),
        (true, true) => "rest".to_owned(),
        (true, false) => "all".to_owned(),
    };
    let wave = |((rest, number), mut clusters): ((bool, u32), Vec<ClusterName>)| {
        clusters.sort();
        Wave {
            name: name(rest, number),
            clusters,
            concurrency: None,
            bake: defaults.bake,
            gate: None,
            budget: None,
            unreachable: None,
        }
    };
    let waves = waves.into_iter().map(wave).collect();
    Rollout { waves, budget: defaults.budget, unreachable: defaults.unreachable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_file_numbers_make_the_waves_and_who_has_none_comes_last() {
        let of = |members: &[(&str, Option<u32>)]| -> Vec<(String, usize)> {
            let members: Vec<_> =
                members.iter().map(|(name, number)| (name.parse().unwrap(), *number)).collect();
            let rollout = by_number(&members, Defaults::default());
            rollout.waves.into_iter().map(|wave| (wave.name, wave.clusters.len())).collect()
        };
        assert_eq!(
            of(&[("a", Some(10)), ("b", None), ("c", Some(2)), ("d", Some(10))]),
            [("2".to_owned(), 1), ("10".to_owned(), 2), ("rest".to_owned(), 1)]
        );
        assert_eq!(of(&[("a", None), ("b", None)]), [("all".to_owned(), 2)]);
    }
}
