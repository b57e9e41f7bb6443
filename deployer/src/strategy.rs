//! `--strategy fast-rollback`: what it is told, and what must hold before anything is touched.

use clap::ArgAction;
use cli::{Failure, Problem};
use cluster::strategy::Reserves;

use crate::args::{DeployArgs, Strategy};
use crate::parse;

/// What becomes of Deployments that traffic has left.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Fast rollback")]
pub(crate) struct ReserveArgs {
    /// With `fast-rollback`: earlier Deployments that are kept to go back to.
    #[arg(long, env = "KIT_RESERVES", default_value_t = 3, value_name = "N")]
    pub(crate) reserves: usize,
    /// Scale them down to so many replicas; not given, they are left as they are.
    #[arg(long, env = "KIT_RESERVE_REPLICAS", value_name = "N")]
    pub(crate) reserve_replicas: Option<u32>,
    /// When going back to an id, delete the Deployments that are newer than it.
    #[arg(long, env = "KIT_DELETE_NEWER", value_parser = parse::boolean, num_args = 0..=1, default_missing_value = "true", default_value = "false", action = ArgAction::Set, hide_default_value = true, hide_possible_values = true, value_name = "BOOL")]
    pub(crate) delete_newer: bool,
}

impl ReserveArgs {
    pub(crate) fn reserves(&self) -> Reserves {
        Reserves { keep: self.reserves, replicas: self.reserve_replicas, delete_newer: self.delete_newer }
    }

    /// What decides about writes, for the fingerprint of a plan.
    pub(crate) fn fingerprint(&self) -> String {
        let replicas = self.reserve_replicas.map_or("all".to_owned(), |replicas| replicas.to_string());
        format!("reserves={},{replicas},{}", self.reserves, self.delete_newer)
    }
}

/// Whether the flags make sense together.
pub(crate) fn check(args: &DeployArgs) -> Result<(), Failure> {
    if args.mark.strategy != Strategy::FastRollback {
        return Ok(());
    }
    let invalid = |message: &str, hint: &str| Err(Failure::invalid(Problem::new(message).hint(hint)));
    let Some(id) = parse::given(&args.mark.deploy_id) else {
        return invalid(
            "`--strategy fast-rollback` needs the id of the deploy",
            "--deploy-id \"$CI_PIPELINE_ID\", or anything else that is another one for every deploy",
        );
    };
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = id.len() <= 40
        && id.chars().all(inner)
        && id.starts_with(|c: char| c != '-')
        && id.ends_with(|c: char| c != '-');
    if !fits {
        return invalid(
            &format!("`--deploy-id` becomes part of names and labels, and cannot be: `{id}`"),
            "at most 40 of a-z, 0-9 and `-`, neither first nor last a `-`",
        );
    }
    if args.change.raw {
        return invalid(
            "`--raw` sends manifests as they are, and `--strategy fast-rollback` renames them",
            "leave out one of the two",
        );
    }
    if args.change.create_only {
        return invalid(
            "`--create-only` leaves Services as they are, and `--strategy fast-rollback` moves them",
            "leave out one of the two",
        );
    }
    Ok(())
}
