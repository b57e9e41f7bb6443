//! The flags of a rollout in waves and of shards.

use std::path::PathBuf;

use clap::ArgAction;

use crate::parse;

/// In which order clusters are deployed, and when to stop.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Waves")]
pub(crate) struct WaveArgs {
    /// Deploy in the waves of this file. Without it they follow from `metadata.wave` of clusters and types, where the rendered
    /// clusters have any.
    #[arg(long, env = "KIT_WAVES", value_name = "FILE")]
    pub(crate) waves: Option<PathBuf>,
    /// Deploy to all clusters at once, whatever the rendered clusters say.
    #[arg(long, env = "KIT_NO_WAVES", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) no_waves: bool,
    /// How long a wave must stay healthy before the next begins, where the file does not say.
    #[arg(long, env = "KIT_BAKE", value_name = "TIME")]
    pub(crate) bake: Option<String>,
    /// Failed clusters of the fleet that are borne before the rollout stops, where the file does not say: `3` or `5%` (0 unless
    /// said).
    #[arg(long, env = "KIT_FAILURE_BUDGET", value_name = "N|N%")]
    pub(crate) failure_budget: Option<String>,
    /// Where the rollout writes down how far it is (`kit-rollout.journal` unless said).
    #[arg(long, env = "KIT_JOURNAL", value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
    /// Go on with the rollout of the journal exactly where it stopped, and take up again what failed or was out of reach.
    #[arg(long, env = "KIT_RESUME", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) resume: bool,
    /// End after this wave; `--resume` goes on with the next. For an approval between two jobs.
    #[arg(long, env = "KIT_UNTIL_WAVE", value_name = "WAVE")]
    pub(crate) until_wave: Option<String>,
    /// Only the I-th of N parts of the clusters, for N jobs side by side; `deployer report merge` joins their reports.
    #[arg(long, env = "KIT_SHARD", value_name = "I/N")]
    pub(crate) shard: Option<String>,
}
