//! The command line. Flags and variables are kit's, in kebab-case (the camelCase spelling is accepted too).

use std::path::PathBuf;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser, ValueEnum};

use crate::command::Command;

/// Expands templates and layered values into manifests, one directory per cluster.
#[derive(Debug, Parser)]
#[command(name = "deploymentizer", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// kit.yaml, or the folder that has it
    #[arg(long, global = true, env = "CONF", value_name = "FILE", default_value = "kit.yaml")]
    pub(crate) conf: PathBuf,

    /// Folder that the paths in kit.yaml are relative to [default: the folder of kit.yaml]
    #[arg(long, global = true, env = "WORKDIR", value_name = "DIR")]
    pub(crate) workdir: Option<PathBuf>,

    /// Write the files; `false` only says what would change
    #[arg(long, env = "SAVE", value_name = "BOOL", default_value = "true", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) save: bool,

    /// Remove files that an earlier run wrote and this one does not; files that deploymentizer did not write are never
    /// removed
    #[arg(long, env = "CLEAN", value_name = "BOOL", default_value = "true", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) clean: bool,

    /// Overwrite files that deploymentizer did not write, and own them from then on
    #[arg(long, env = "ADOPT", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) adopt: bool,

    /// Only clusters with this name; may be repeated, and be a pattern (`eu-*`)
    #[arg(
        long,
        global = true,
        env = "CLUSTER_NAME",
        value_name = "NAME",
        alias = "clusterName",
        help_heading = "Filters"
    )]
    pub(crate) cluster_name: Vec<String>,

    /// Only clusters of this type; may be repeated, and be a pattern
    #[arg(
        long,
        global = true,
        env = "CLUSTER_TYPE",
        value_name = "TYPE",
        alias = "clusterType",
        help_heading = "Filters"
    )]
    pub(crate) cluster_type: Vec<String>,

    /// Only this resource; may be repeated, and be a pattern
    #[arg(long, global = true, env = "RESOURCE", value_name = "NAME", help_heading = "Filters")]
    pub(crate) resource: Vec<String>,

    /// The id of this deployment, `deployment.id` in templates; needs `--resource`
    #[arg(long, env = "DEPLOY_ID", value_name = "ID", alias = "deployId")]
    pub(crate) deploy_id: Option<String>,

    /// `deployment.fastRollback` in templates; needs `--deploy-id`
    #[arg(long, env = "FAST_ROLLBACK", value_name = "BOOL", alias = "fastRollback", default_value = "false",
          num_args = 0..=1, default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) fast_rollback: bool,

    /// Record in the index which template line and which values made each line, for `deployer trace`; takes about twice as long
    #[arg(long, env = "PROVENANCE", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) provenance: bool,

    /// Make an error of every name that a `.mustache` template finds nowhere (minijinja templates always do)
    #[arg(long, env = "STRICT", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) strict: bool,

    /// Print the manifests to stdout instead of writing them
    #[arg(long, env = "STDOUT", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set, conflicts_with = "output")]
    pub(crate) stdout: bool,

    /// Stay, and render what a saved file reaches each time one is saved; with `check`, check it
    #[arg(long, env = "WATCH", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set,
          conflicts_with_all = ["stdout", "junit", "deploy_id"])]
    pub(crate) watch: bool,

    /// Check every object against the schemas of a Kubernetes version, and custom ones against the definitions in the
    /// same cluster; a cluster with an invalid object is not written [values: newest, off, or a version like 1.36;
    /// without a value: newest]
    #[arg(long, env = "VALIDATE", value_name = "VERSION", num_args = 0..=1, require_equals = true,
          default_missing_value = "newest", help_heading = "Validation")]
    pub(crate) validate: Option<String>,

    /// Also know the CustomResourceDefinitions in this file or folder; may be repeated
    #[arg(long, env = "CRDS", value_name = "PATH", help_heading = "Validation")]
    pub(crate) crds: Vec<String>,

    /// Also write the result as JUnit XML: a suite for each cluster, a case for each object
    #[arg(long, env = "JUNIT", value_name = "FILE", help_heading = "Validation")]
    pub(crate) junit: Option<PathBuf>,

    /// How the result is printed
    #[arg(long, global = true, env = "OUTPUT", value_enum, default_value_t = Output::Text)]
    pub(crate) output: Output,

    /// Exit with 3 when files changed (or would, with `--save false`)
    #[arg(long, global = true, env = "DETAILED_EXITCODE", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) detailed_exitcode: bool,

    /// Clusters rendered at a time [default: the number of cores]
    #[arg(long, global = true, env = "JOBS", value_name = "N")]
    pub(crate) jobs: Option<std::num::NonZeroUsize>,

    /// Say what was read and decided, on stderr
    #[arg(long, global = true, env = "DEBUG", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) debug: bool,

    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true, env = "QUIET", value_name = "BOOL", default_value = "false", num_args = 0..=1,
          default_missing_value = "true", value_parser = boolean, action = ArgAction::Set)]
    pub(crate) quiet: bool,

    #[arg(long, hide = true, alias = "elroyOnly", value_name = "BOOL", num_args = 0..=1)]
    pub(crate) elroy_only: Option<String>,

    #[arg(long, hide = true, alias = "elroyUrl", value_name = "URL")]
    pub(crate) elroy_url: Option<String>,

    #[arg(long, hide = true, alias = "elroySecret", value_name = "SECRET")]
    pub(crate) elroy_secret: Option<String>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON document
    Json,
    /// For a pull request or a step summary (`diff` only)
    Markdown,
}

/// kit took exactly `true` for true and everything else for false; a misspelt one is an error here.
fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" | "" => Ok(false),
        _ => Err("expected `true` or `false`".to_owned()),
    }
}

impl Args {
    /// The command line as it is meant: `check` writes nothing and validates. Flags stand before or behind a command.
    pub(crate) fn read() -> Self {
        let matches = Self::command().mut_args(|arg| arg.global(true)).get_matches();
        let mut args = Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        if matches!(args.command, Some(Command::Check)) {
            args.save = false;
            args.validate.get_or_insert_with(|| "newest".to_owned());
        }
        if args.watch && !matches!(args.command, None | Some(Command::Check)) {
            let message = "`--watch` renders; with a command only `deploymentizer check --watch`\n";
            Self::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
        }
        if args.output == Output::Markdown && !matches!(args.command, Some(Command::Diff { .. })) {
            let message = "`--output markdown` is for `deploymentizer diff`; others print `text` or `json`\n";
            Self::command().error(clap::error::ErrorKind::ArgumentConflict, message).exit();
        }
        args
    }

    /// The version to validate for, if that is asked for.
    pub(crate) fn version(&self) -> Option<&str> {
        self.validate.as_deref().filter(|version| !matches!(*version, "" | "off" | "false"))
    }

    /// A variable that is set but empty is no filter.
    pub(crate) fn given(list: &[String]) -> Vec<String> {
        list.iter().filter(|text| !text.is_empty()).cloned().collect()
    }
}
