//! Decisions over many clusters, as plain functions over plain data: in which order they are deployed, when to stop, where
//! to go on, and which of several jobs does which.

mod budget;
mod gate;
pub mod journal;
pub mod ledger;
pub mod shard;
pub mod waves;
mod waves_file;

pub use budget::Budget;
pub use gate::Gate;
pub use journal::{Entry, Journal, JournalError, Standing};
pub use ledger::{Breach, Ledger, Verdict};
pub use shard::{Shard, ShardError};
pub use waves::{Member, Rollout, Wave, by_number};
pub use waves_file::{WavesError, WavesFile};
