//! The command line: every flag has an environment variable; those of the original kit keep their names and meaning.

mod deploy;

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use cli::report::ReportFile;

pub(crate) use deploy::{ChangeArgs, DeployArgs, Progress, Strategy};

use crate::parse;
use crate::set_args::{HistoryArgs, RollbackArgs};
use crate::trace::TraceArgs;

/// Pushes a directory of manifests per cluster to the clusters of a folder of kubeconfigs.
///
/// Without a command it deploys: reads `<manifests-dir>/<cluster>/**/*.{yaml,yml,json}`, compares with what each cluster holds,
/// writes what differs (server-side apply, in a sound order), waits until it runs, and says what happened. What is already as
/// wanted is not written again.
///
/// Exit codes: 0 done, also when there was nothing to do; 1 failed; 2 invalid input, nothing was touched; 3 there are changes (with
/// --detailed-exitcode); 4 some clusters succeeded and some failed; 5 refused by a guard; 130, 143 interrupted.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 110)]
pub(crate) struct Args {
    /// What to do instead of deploying.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) deploy: DeployArgs,
    /// A clone of the repository of `--sha`: a commit that is older than the deployed one, or unrelated, is refused (exit code 5)
    /// unless this is a rollback.
    #[arg(long, env = "KIT_REPO", value_name = "DIR", help_heading = "Guards")]
    pub(crate) repo: Option<PathBuf>,
}

/// What to do instead of deploying.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the clusters that the kubeconfigs name, and whether there are manifests for them; connects to none.
    Clusters(ClustersArgs),
    /// List the deploys that each cluster remembers, the newest last.
    History(HistoryArgs),
    /// Bring back what an earlier deploy had deployed: planned, shown and carried out like any deploy.
    Rollback(Box<RollbackArgs>),
    /// Show what kit runs where: image, commit, when, whether it is ready, its pods; with `--manifests-dir` also drift.
    Status(StatusArgs),
    /// From a live field back to the rendered file, the template line, the value's file and line, the commit that set it and its
    /// build.
    Trace(Box<TraceArgs>),
    /// Follow a branch of a git repository and deploy it, again and again; for a pod of a cluster that no CI can reach.
    Sync(Box<SyncArgs>),
    /// Work with the JSON reports of earlier deploys.
    Report(ReportArgs),
}

/// `deployer report`.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportArgs {
    /// What to do with them.
    #[command(subcommand)]
    pub(crate) command: ReportCommand,
}

/// What to do with reports.
#[derive(Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Join the reports of the shards of a fleet into one; the exit code is that of the whole.
    Merge(MergeArgs),
}

/// `deployer report merge`.
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// The reports, as `--report FILE.json` or `--output json` wrote them; of a directory every `.json` in it.
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,
    /// Write a report; the form follows from the name: `.json`, `.xml` (JUnit), `.md`, `.html`. Repeated or separated by commas.
    #[arg(long, env = "KIT_REPORT", value_name = "FILE", value_delimiter = ',')]
    pub(crate) report: Vec<ReportFile>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `deployer clusters`.
#[derive(Debug, clap::Args)]
pub(crate) struct ClustersArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Directory of manifests, one directory per cluster.
    #[arg(short, long, env = "MANIFESTS_DIR", value_name = "DIR")]
    pub(crate) manifests_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `deployer status`.
#[derive(Debug, clap::Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    /// Directory of manifests, one directory per cluster: compare with them. Nothing is written.
    #[arg(short, long, env = "MANIFESTS_DIR", value_name = "DIR")]
    pub(crate) manifests_dir: Option<PathBuf>,
    /// Only workloads with these labels: `app=api,tier in (web, edge),!canary`.
    #[arg(short = 'l', long, env = "SELECTOR", value_name = "SELECTOR")]
    pub(crate) selector: Option<String>,
    /// Where `deployer sync` notes how it goes, for those who may not look into all namespaces.
    #[arg(long, env = "KIT_SYSTEM_NAMESPACE", default_value = "kit-system", value_name = "NAME")]
    pub(crate) system_namespace: String,
    /// Write the answer to a file; the form follows from the name: `.html` or `.json`. Repeated or separated by commas.
    #[arg(long, env = "KIT_REPORT", value_name = "FILE", value_delimiter = ',')]
    pub(crate) report: Vec<ReportFile>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `deployer sync`.
#[derive(Debug, clap::Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    pub(crate) git: GitArgs,
    /// How often to look. A tenth more or less, so that a fleet does not ask in step; doubled with each failure, up to 15 minutes.
    #[arg(long, env = "KIT_SYNC_INTERVAL", default_value = "60s", value_name = "TIME", value_parser = parse::duration, help_heading = "Sync")]
    pub(crate) interval: Duration,
    /// Look once and end, for a CronJob; the exit codes are those of a deploy.
    #[arg(long, env = "KIT_SYNC_ONCE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Sync")]
    pub(crate) once: bool,
    /// The ConfigMap that says how it goes; each sync of a cluster has another name.
    #[arg(
        long,
        env = "KIT_SYNC_NAME",
        default_value = "kit-sync",
        value_name = "NAME",
        help_heading = "Sync"
    )]
    pub(crate) sync_name: String,
    /// The namespace of that ConfigMap.
    #[arg(
        long,
        env = "KIT_SYSTEM_NAMESPACE",
        default_value = "kit-system",
        value_name = "NAME",
        help_heading = "Sync"
    )]
    pub(crate) system_namespace: String,
    /// Serve `/metrics` (Prometheus) and `/healthz` there: `0.0.0.0:8080`.
    #[arg(long, env = "KIT_SYNC_LISTEN", value_name = "ADDRESS", help_heading = "Sync")]
    pub(crate) listen: Option<std::net::SocketAddr>,
    /// Print the manifests that run this in a cluster (a CronJob with `--once`), with no more rights than what `--manifests-dir` holds
    /// for `--in-cluster` needs.
    #[arg(long, env = "KIT_SYNC_INSTALL", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Sync")]
    pub(crate) install: bool,
    /// The image that holds `deployer`, for `--install`.
    #[arg(long, env = "KIT_SYNC_IMAGE", value_name = "IMAGE", help_heading = "Sync")]
    pub(crate) image: Option<String>,
    #[command(flatten)]
    pub(crate) deploy: DeployArgs,
}

/// Which repository, and how it is reached. The token is in KIT_TOKEN, or in GITHUB_TOKEN and the like for their hosts.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Repository")]
pub(crate) struct GitArgs {
    /// The repository that holds the rendered manifests: any URL that git takes, or a path.
    #[arg(long, env = "KIT_REPO", hide_env_values = true, value_name = "URL")]
    pub(crate) repo: Option<String>,
    /// Its branch; default: the remote's HEAD.
    #[arg(long, env = "KIT_REPO_BRANCH", value_name = "BRANCH")]
    pub(crate) repo_branch: Option<String>,
    /// The folder of the repository that holds a folder per cluster.
    #[arg(long, env = "KIT_SYNC_PATH", default_value = "generated", value_name = "PATH")]
    pub(crate) path: String,
    /// The folder of the repository that holds a folder of Namespaces per cluster.
    #[arg(long, env = "KIT_SYNC_NAMESPACES_PATH", value_name = "PATH")]
    pub(crate) namespaces_path: Option<String>,
    /// A file that holds the token for the git server, such as a mounted Secret; read at the start.
    #[arg(long, env = "KIT_TOKEN_FILE", value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Certificate authorities to trust for git instead of the system's (PEM).
    #[arg(long, env = "KIT_CA_FILE", value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// The command to run for ssh, as git reads it.
    #[arg(long, env = "GIT_SSH_COMMAND", value_name = "COMMAND")]
    pub(crate) ssh_command: Option<String>,
}

/// Which clusters, and how they are reached.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Clusters")]
pub(crate) struct ReachArgs {
    /// Kubeconfigs: a directory, a file or a glob (`configs/**/kubeconfig`). A cluster is called by the top-level `metadata.name` of
    /// its kubeconfig, else by the cluster of the current context, else by the file.
    #[arg(short, long, env = "CONFIGS", value_name = "DIR|GLOB")]
    pub(crate) configs: Option<String>,
    /// Take every context of a kubeconfig for a cluster, not only the current one.
    #[arg(long, env = "KIT_ALL_CONTEXTS", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) all_contexts: bool,
    /// The cluster that this process runs in, under this name, by the pod's service account.
    #[arg(long, env = "KIT_IN_CLUSTER", value_name = "NAME")]
    pub(crate) in_cluster: Option<String>,
    /// Directory of that service account, where it is mounted elsewhere.
    #[arg(
        long,
        env = "KIT_SERVICE_ACCOUNT_DIR",
        default_value = "/var/run/secrets/kubernetes.io/serviceaccount",
        value_name = "DIR"
    )]
    pub(crate) service_account_dir: PathBuf,
    /// Only these clusters: names or globs, repeated or separated by commas.
    #[arg(long, env = "KIT_CLUSTER", value_name = "NAME")]
    pub(crate) cluster: Vec<String>,
    /// Only the clusters that a JSON document lists, as `deploymentizer --output json` prints it; `-` is stdin.
    #[arg(long, env = "KIT_CLUSTERS_FROM", value_name = "FILE")]
    pub(crate) clusters_from: Option<PathBuf>,
    /// Clusters in flight at a time, from their first request until they are ready. At most 64 of them are planned or written to; the
    /// others wait for their pods, or for one of the 64.
    #[arg(long, env = "KIT_CONCURRENCY", default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) concurrency: u16,
    /// Requests at a time per cluster.
    #[arg(long, env = "KIT_CLUSTER_CONCURRENCY", default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) cluster_concurrency: u16,
    /// How long a cluster may take in all.
    #[arg(long, env = "KIT_TIMEOUT", default_value = "30m", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) timeout: Duration,
    /// How long a TCP connection may take.
    #[arg(long, env = "KIT_CONNECT_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) connect_timeout: Duration,
    /// How long one answer may take.
    #[arg(long, env = "KIT_REQUEST_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) request_timeout: Duration,
    /// How long a credential plugin may take.
    #[arg(long, env = "KIT_PLUGIN_TIMEOUT", default_value = "60s", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) plugin_timeout: Duration,
    /// Tries of a request that the server or the network fails.
    #[arg(long, env = "BACKOFF_FAIL_AFTER", default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) backoff_fail_after: u32,
    /// Pause after the first failed try (milliseconds, or with a unit); doubles.
    #[arg(long, env = "BACKOFF_INITIAL_DELAY", default_value = "200", value_name = "MS", value_parser = parse::milliseconds)]
    pub(crate) backoff_initial_delay: Duration,
    /// Longest pause between tries (milliseconds, or with a unit).
    #[arg(long, env = "BACKOFF_MAX_DELAY", default_value = "10000", value_name = "MS", value_parser = parse::milliseconds)]
    pub(crate) backoff_max_delay: Duration,
}

/// How results are printed.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// Form of the result on stdout.
    #[arg(short, long, env = "KIT_OUTPUT", value_enum, default_value = "text", value_name = "FORM")]
    output: Output,
    /// Nothing on stderr but warnings and errors.
    #[arg(short, long, env = "KIT_QUIET", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) quiet: bool,
    /// Everything that happens on stderr, object by object.
    #[arg(long, env = "DEBUG", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) debug: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// One JSON document at the end.
    Json,
    /// One JSON document per event, as it happens.
    Ndjson,
}

impl OutputArgs {
    pub(crate) fn format(&self) -> cli::Format {
        match self.output {
            Output::Text => cli::Format::Text,
            Output::Json => cli::Format::Json,
            Output::Ndjson => cli::Format::Ndjson,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_flag_has_an_environment_variable() {
        let command = Args::command();
        let without: Vec<_> = command
            .get_arguments()
            .filter(|arg| arg.get_env().is_none() && !["help", "version"].contains(&arg.get_id().as_str()))
            .map(|arg| arg.get_id().to_string())
            .collect();
        assert_eq!(without, Vec::<String>::new());
    }
}
