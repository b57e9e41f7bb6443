//! Decisions over many clusters, as plain functions over plain data: in which order they are deployed, when to stop, where
//! to go on, and which of several jobs does which.

pub mod journal;
pub mod ledger;
pub mod shard;
pub mod waves;

pub use journal::{Entry, Journal, JournalError, Standing};
pub use ledger::{Breach, Ledger, Verdict};
pub use shard::{Shard, ShardError};
pub use waves::{Budget, Gate, Member, Rollout, Wave, WavesError, WavesFile, by_number};
