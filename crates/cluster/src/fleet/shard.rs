//! `--shard I/N`: one of N jobs of a CI matrix takes its part of the fleet.

use std::fmt;
use std::str::FromStr;

use manifest::ClusterName;
use sha2::{Digest as _, Sha256};

/// The part `index` of `count`, counted from 1 as people and CI matrices do.
///
/// A cluster's part depends on its name and on `count` alone: a cluster that comes or goes moves no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    index: u32,
    count: u32,
}

/// Why a text is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shard is written `I/N` with 1 <= I <= N, such as `2/4`: `{0}`")]
pub struct ShardError(String);

impl Shard {
    /// Whether this shard deploys `cluster`.
    pub fn takes(self, cluster: &ClusterName) -> bool {
        stable_number(cluster.as_str()) % u64::from(self.count) == u64::from(self.index - 1)
    }
}

/// A number that depends on nothing but the text: the same on every machine and in every version.
pub(crate) fn stable_number(text: &str) -> u64 {
    let digest = Sha256::digest(text.as_bytes());
    let first = digest.first_chunk::<8>().expect("a SHA-256 digest has 32 bytes");
    u64::from_be_bytes(*first)
}

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.trim().parse().ok()?, count.trim().parse().ok()?);
            (1..=count).contains(&index).then_some(Self { index, count })
        });
        parsed.ok_or_else(|| ShardError(text.to_owned()))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_is_in_exactly_one_shard() {
        let shards: Vec<Shard> = (1..=4).map(|index| format!("{index}/4").parse().unwrap()).collect();
        let mut sizes = [0; 4];
        for number in 0..1000 {
            let cluster: ClusterName = format!("cluster-{number}").parse().unwrap();
            let takers: Vec<usize> = (0..4).filter(|&at| shards[at].takes(&cluster)).collect();
            assert_eq!(takers.len(), 1, "{cluster}");
            sizes[takers[0]] += 1;
        }
        assert!(sizes.iter().all(|size| (200..300).contains(size)), "{sizes:?}");
    }

    #[test]
    fn what_is_not_a_shard_is_refused() {
        for bad in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"] {
            assert_eq!(bad.parse::<Shard>(), Err(ShardError(bad.to_owned())));
        }
    }
}
