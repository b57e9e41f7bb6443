//! The flags about resource sets: what belongs together on a cluster, what goes, what is refused.

use std::time::Duration;

use clap::ArgAction;
use cluster::inventory::SetName;
use cluster::prune::PruneBudget;

use crate::args::{DeployArgs, OutputArgs, ReachArgs};
use crate::parse;

/// What belongs together on a cluster.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Resource set")]
pub(crate) struct SetArgs {
    /// The name of what is deployed, the same in every deploy of these manifests: a cluster remembers by it what came from them.
    /// `default` if not given.
    #[arg(long, env = "KIT_RESOURCE_SET", value_name = "NAME")]
    pub(crate) resource_set: Option<SetName>,
    /// The namespace of the inventory and its lease; that of the kubeconfig if not given.
    #[arg(long, env = "KIT_INVENTORY_NAMESPACE", value_name = "NAME")]
    pub(crate) inventory_namespace: Option<String>,
    /// Deploys whose manifests are kept on the cluster, to go back to; 0 keeps none.
    #[arg(long, env = "KIT_HISTORY", default_value_t = 10, value_name = "N")]
    pub(crate) history: usize,
    /// Write what was deployed there too, as `<cluster>/<name>.yaml`: a directory, `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX`,
    /// `az://CONTAINER/PREFIX` or `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX`; credentials come from the environment.
    #[arg(long, env = "KIT_BACKUP_URL", value_name = "URL")]
    pub(crate) backup_url: Option<String>,
    /// How long a lease lasts that nobody renews, so that a killed deploy holds nobody up for longer.
    #[arg(long, env = "KIT_LEASE_DURATION", default_value = "30s", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) lease_duration: Duration,
    /// How long to wait for another deployer of the set.
    #[arg(long, env = "KIT_LEASE_WAIT", default_value = "10m", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) lease_wait: Duration,
}

/// What goes, and what is refused.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Guards")]
pub(crate) struct GuardArgs {
    /// Delete what earlier deploys of the resource set applied and the manifests do not have any more.
    #[arg(long, env = "KIT_PRUNE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) prune: bool,
    /// The most that one deploy may delete per cluster: objects (`25`) or a share of the inventory (`30%`). More is refused (exit
    /// code 5). 10 objects or 20 %, whichever is more, if not given.
    #[arg(long, env = "KIT_PRUNE_BUDGET", value_name = "N|N%")]
    pub(crate) prune_budget: Option<PruneBudget>,
    /// Go back to the last deploy that succeeded where this one fails, cluster by cluster.
    #[arg(long, env = "KIT_ROLLBACK_ON_FAILURE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) rollback_on_failure: bool,
    /// Delete also Namespaces, CustomResourceDefinitions, PersistentVolumeClaims or PersistentVolumes, each if named; repeated or
    /// separated by commas.
    #[arg(long, env = "KIT_PRUNE_KINDS", value_name = "KIND", value_delimiter = ',')]
    pub(crate) prune_kinds: Vec<String>,
}

/// `deployer history`.
#[derive(Debug, clap::Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) set: SetArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `deployer rollback`.
#[derive(Debug, clap::Args)]
pub(crate) struct RollbackArgs {
    /// The deploy to bring back: its id, a commit, or its number on a cluster, as `deployer history` lists them. The last one that
    /// succeeded before the present one if not given.
    #[arg(long, env = "KIT_ROLLBACK_TO", value_name = "ID")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) deploy: DeployArgs,
}
