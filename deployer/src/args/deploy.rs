//! The flags of a deploy, and of what goes like one.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, ValueEnum};
use cli::report::ReportFile;

use super::{OutputArgs, ReachArgs};
use crate::parse;
use crate::set_args::{GuardArgs, SetArgs};
use crate::strategy::ReserveArgs;
use crate::waves::args::WaveArgs;

/// `deployer`.
#[derive(Debug, clap::Args)]
pub(crate) struct DeployArgs {
    /// Directory of manifests, one directory per cluster.
    #[arg(short, long, env = "MANIFESTS_DIR", value_name = "DIR", help_heading = "Manifests")]
    pub(crate) manifests_dir: Option<PathBuf>,
    /// Directory of Namespace manifests, one directory per cluster; written before everything else.
    #[arg(short, long, env = "NAMESPACES_DIR", value_name = "DIR", help_heading = "Manifests")]
    pub(crate) namespaces_dir: Option<PathBuf>,
    /// Only manifests with these labels: `app=api,tier in (web, edge),!canary`.
    #[arg(short = 'l', long, env = "SELECTOR", value_name = "SELECTOR", help_heading = "Manifests")]
    pub(crate) selector: Option<String>,
    /// Only this resource of the layers, by what deploymentizer has recorded of each file or by the label `resource`; what has
    /// neither counts as this one. Becomes the labels `resource` and `app.kubernetes.io/name` where they are not set.
    #[arg(long, env = "RESOURCE", value_name = "NAME", help_heading = "Manifests")]
    pub(crate) resource: Option<String>,
    /// Go on where a kubeconfig has no manifests, or manifests have no kubeconfig.
    #[arg(long, env = "KIT_ALLOW_MISSING", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL", help_heading = "Manifests")]
    pub(crate) allow_missing: bool,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) waves: WaveArgs,
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
    #[command(flatten)]
    pub(crate) set: SetArgs,
    #[command(flatten)]
    pub(crate) wait: WaitArgs,
    #[command(flatten)]
    pub(crate) tell: TellArgs,
    #[command(flatten)]
    pub(crate) mark: MarkArgs,
    #[command(flatten)]
    pub(crate) reserve: ReserveArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) retired: RetiredArgs,
}

/// What is changed, and what is not.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Changes")]
pub(crate) struct ChangeArgs {
    /// Show what would change, and change nothing.
    #[arg(short, long, env = "DRY_RUN", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) dry_run: bool,
    /// Write the plan of the whole fleet to this file, for review, and change nothing.
    #[arg(long, env = "KIT_PLAN_OUT", value_name = "FILE", conflicts_with = "plan")]
    pub(crate) plan_out: Option<PathBuf>,
    /// Carry out exactly the plan in this file; a cluster that has moved since is refused (exit code 5).
    #[arg(long, env = "KIT_PLAN", value_name = "FILE")]
    pub(crate) plan: Option<PathBuf>,
    /// Show what changes in a real deploy too.
    #[arg(long, env = "DIFF", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) diff: bool,
    /// Exit with 3 instead of 0 if there are, or in a deploy were, changes.
    #[arg(long, env = "KIT_DETAILED_EXITCODE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) detailed_exitcode: bool,
    /// Create what is not there, and leave what is as it is.
    #[arg(long, env = "CREATE_ONLY", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) create_only: bool,
    /// Write also what is unchanged.
    #[arg(long, env = "FORCE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) force: bool,
    /// Take fields that other managers own.
    #[arg(long, env = "KIT_FORCE_CONFLICTS", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) force_conflicts: bool,
    /// Delete objects of this kind and create them again where a field that cannot be changed differs; repeated or separated by
    /// commas.
    #[arg(long, env = "KIT_RECREATE", value_name = "KIND", value_delimiter = ',')]
    pub(crate) recreate: Vec<String>,
    /// Earlier runs of a Job that are kept.
    #[arg(long, env = "KIT_JOB_HISTORY", default_value_t = 3, value_name = "N")]
    pub(crate) job_history: usize,
    /// Send manifests as they are, without kit's labels and annotations.
    #[arg(long, env = "RAW", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) raw: bool,
}

/// What is waited for.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Waiting")]
pub(crate) struct WaitArgs {
    /// Wait until what was written runs.
    #[arg(long, env = "AVAILABLE_ENABLED", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "true", action = ArgAction::Set, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) available_enabled: bool,
    /// Wait also for what was not written.
    #[arg(long, env = "AVAILABLE_ALL", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) available_all: bool,
    /// Fail if something does not run in the end.
    #[arg(long, env = "AVAILABLE_REQUIRED", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "true", action = ArgAction::Set, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) available_required: bool,
    /// How long to wait for it.
    #[arg(long, env = "AVAILABLE_TIMEOUT", default_value = "600", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) available_timeout: Duration,
    /// Look for crashes, images that cannot be pulled and the like, and fail early.
    #[arg(long, env = "AVAILABLE_HEALTH_CHECK", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "true", action = ArgAction::Set, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) available_health_check: bool,
    /// How long such a problem may last.
    #[arg(long, env = "AVAILABLE_HEALTH_CHECK_GRACE_PERIOD", default_value = "10", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) available_health_check_grace_period: Duration,
    /// How often such a problem may happen.
    #[arg(long, env = "AVAILABLE_HEALTH_CHECK_THRESHOLD", default_value_t = 0, value_name = "N")]
    pub(crate) available_health_check_threshold: i64,
    /// Reasons that never fail a deploy: `Unhealthy,FailedScheduling`, or a JSON array.
    #[arg(
        long,
        env = "AVAILABLE_HEALTH_CHECK_IGNORED_ERRORS",
        default_value = "",
        hide_default_value = true,
        value_name = "REASONS"
    )]
    pub(crate) available_health_check_ignored_errors: String,
    /// Say regularly on stderr what is waited for, so that a CI system does not take silence for death.
    #[arg(long, env = "AVAILABLE_KEEP_ALIVE", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "true", action = ArgAction::Set, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) available_keep_alive: bool,
    /// How often.
    #[arg(long, env = "AVAILABLE_KEEP_ALIVE_INTERVAL", default_value = "30", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) available_keep_alive_interval: Duration,
    /// Pause between looks at dependencies that are not part of the deploy.
    #[arg(long, env = "DEPENDENCY_WAIT", default_value = "3", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) dependency_wait: Duration,
    /// How long to wait for the objects that a `kit-deployer/dependency-selector` selects.
    #[arg(long, env = "DEPENDENCY_TIMEOUT", default_value = "600", value_name = "TIME", value_parser = parse::duration)]
    pub(crate) dependency_timeout: Duration,
    /// Lines of a failed container's log to show.
    #[arg(long, env = "KIT_LOG_LINES", default_value_t = 10, value_name = "N")]
    pub(crate) log_lines: u32,
}

/// Who is told what.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reports")]
pub(crate) struct TellArgs {
    /// Write a report when done; the form follows from the name: `.json`, `.xml` (JUnit), `.md`, `.html`. Repeated or separated by
    /// commas.
    #[arg(long, env = "KIT_REPORT", value_name = "FILE", value_delimiter = ',')]
    pub(crate) report: Vec<ReportFile>,
    /// How to show what is going on: `live` redraws a board on a terminal, `lines` suits a log.
    #[arg(long, env = "KIT_PROGRESS", value_enum, default_value = "auto", value_name = "FORM")]
    pub(crate) progress: Progress,
    /// Tell these addresses when the deploy starts and ends, `POST URL/NAME` for each manifest name as the original does. Separated
    /// by commas, or a JSON array.
    #[arg(
        long,
        env = "AVAILABLE_WEBHOOK",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) available_webhook: String,
    /// Tell these Slack (or compatible) incoming webhooks when the deploy starts and ends. Separated by commas, or a JSON array.
    #[arg(
        long,
        env = "KIT_SLACK_WEBHOOK",
        default_value = "",
        hide_default_value = true,
        hide_env_values = true,
        value_name = "URL"
    )]
    pub(crate) slack_webhook: String,
}

/// How to show what is going on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Progress {
    /// `live` on a terminal outside CI, else `lines`.
    Auto,
    /// A board, redrawn in place.
    Live,
    /// A line per change.
    Lines,
}

/// What is written on objects.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Marks")]
pub(crate) struct MarkArgs {
    /// Commit that is deployed: becomes the annotation `kit-deployer/commit`.
    #[arg(short, long, env = "CI_COMMIT_ID", value_name = "SHA")]
    pub(crate) sha: Option<String>,
    /// Id of the run: becomes the annotation `deployment.invision/uuid`.
    #[arg(long, env = "UUID", value_name = "ID")]
    pub(crate) uuid: Option<String>,
    /// Id of the deploy: becomes the label `id`, and with `fast-rollback` the end of the Deployments' names.
    #[arg(long, alias = "deployId", env = "DEPLOY_ID", value_name = "ID")]
    pub(crate) deploy_id: Option<String>,
    /// How workloads are replaced.
    #[arg(long, env = "STRATEGY", value_enum, default_value = "rolling-update", value_name = "NAME")]
    pub(crate) strategy: Strategy,
    /// Say that this is a rollback.
    #[arg(long, env = "IS_ROLLBACK", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) is_rollback: bool,
}

/// How workloads are replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// In place, as Kubernetes does it; existing Services follow when the new pods run.
    RollingUpdate,
    /// A Deployment per `--deploy-id`, beside what runs; Services move to it when all of it is available, and can go back.
    FastRollback,
}

impl Strategy {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RollingUpdate => cluster::strategy::ROLLING_UPDATE,
            Self::FastRollback => cluster::strategy::FAST_ROLLBACK,
        }
    }
}

/// Flags of the original kit that have no effect here: accepted, and answered with what took their place.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct RetiredArgs {
    #[arg(long, env = "API_VERSION", hide = true)]
    api_version: Option<String>,
    #[arg(long, env = "AVAILABLE_POLLING_INTERVAL", hide = true)]
    available_polling_interval: Option<String>,
    #[arg(long, env = "GITHUB_ENABLED", hide = true)]
    github_enabled: Option<String>,
    #[arg(long, env = "GITHUB_AUTH_TOKEN", hide = true, hide_env_values = true)]
    github_token: Option<String>,
    #[arg(long, env = "GITHUB_USER", hide = true)]
    github_user: Option<String>,
    #[arg(long, env = "GITHUB_REPO", hide = true)]
    github_repo: Option<String>,
    #[arg(long, env = "BACKUP_ENABLED", hide = true)]
    backup_enabled: Option<String>,
    #[arg(long, alias = "save-foramt", env = "SAVE_FORMAT", hide = true)]
    save_format: Option<String>,
    #[arg(long, env = "AWS_BUCKET", hide = true)]
    aws_bucket: Option<String>,
    #[arg(long, env = "ELROY_ENABLED", hide = true)]
    elroy_enabled: Option<String>,
    #[arg(long, env = "ELROY_URL", hide = true)]
    elroy_url: Option<String>,
    #[arg(long, env = "ELROY_SECRET", hide = true, hide_env_values = true)]
    elroy_secret: Option<String>,
    #[arg(long, env = "WATCHER_UPDATE_BLACKLIST", hide = true)]
    watcher_update_blacklist: Option<String>,
}

impl RetiredArgs {
    /// What to say about those that were given and asked for something.
    pub(crate) fn explanations(&self) -> Vec<String> {
        let asked = |value: &Option<String>| {
            value.as_deref().is_some_and(|value| !value.is_empty() && parse::boolean(value) != Ok(false))
        };
        let mut lines = Vec::new();
        let mut say = |value: &Option<String>, flag: &str, instead: &str| {
            if asked(value) {
                lines.push(format!("`--{flag}` has no effect: {instead}"));
            }
        };
        say(&self.api_version, "api-version", "each manifest names its own `apiVersion`");
        say(
            &self.available_polling_interval,
            "available-polling-interval",
            "objects are watched, so that a change is seen at once",
        );
        say(
            &self.github_enabled,
            "github-enabled",
            "older commits are told from newer ones by git itself, without GitHub",
        );
        say(&self.backup_enabled, "backup-enabled", "the manifests repository is the backup");
        say(
            &self.elroy_enabled,
            "elroy-enabled",
            "Elroy was a service of the original's owner; use `--output ndjson`",
        );
        say(&self.watcher_update_blacklist, "watcher-update-blacklist", "it belonged to Elroy");
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_of_the_original_that_asks_for_nothing_is_not_mentioned() {
        let retired = RetiredArgs {
            github_enabled: Some("false".into()),
            api_version: Some("v1".into()),
            ..RetiredArgs::default()
        };
        assert_eq!(
            retired.explanations(),
            ["`--api-version` has no effect: each manifest names its own `apiVersion`"]
        );
    }
}
