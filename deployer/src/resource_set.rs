//! From flags to what the engine is told about the resource set.

use cli::{Failure, Problem};
use cluster::inventory::{Scope, SetOptions};
use cluster::prune::{PruneBudget, PruneOptions};

use crate::args::DeployArgs;
use crate::parse;

/// What `args` say about the resource set.
pub(crate) fn options(args: &DeployArgs) -> Result<SetOptions, Failure> {
    let (set, guard, mark) = (&args.set, &args.guard, &args.mark);
    let named = set.resource_set.is_some();
    if guard.prune {
        refuse_pruning(args)?;
    }
    let prune = guard.prune.then(|| PruneOptions {
        budget: guard.prune_budget.unwrap_or(PruneBudget::Standard),
        kinds: guard.prune_kinds.iter().cloned().collect(),
    });
    let started = jiff::Timestamp::now();
    // The end of a token is random; its beginning is a word.
    let random: String = crate::planfile::salt().chars().rev().take(6).collect();
    let id = parse::given(&mark.deploy_id);
    let id = id.unwrap_or_else(|| format!("{}-{random}", started.strftime("%Y%m%d-%H%M%S")));
    Ok(SetOptions {
        name: set.resource_set.clone().unwrap_or_default(),
        named,
        namespace: parse::given(&set.inventory_namespace),
        scope: Scope {
            resource: parse::given(&args.resource),
            selector: parse::selector(args.selector.as_deref())?,
            only: None,
        },
        prune,
        guard: None,
        is_rollback: mark.is_rollback,
        commit: None,
        brings_back: None,
        hand_back: parse::given(&set.backup_url).is_some(),
        holder: format!("deployer {} {random}", holder()),
        id,
        lease_duration: set.lease_duration,
        lease_wait: set.lease_wait,
        history: set.history,
        rollback_on_failure: guard.rollback_on_failure,
        rollback: None,
    })
}

/// Who we are, for whoever waits for us: the CI job, or this process.
fn holder() -> String {
    let job = ["CI_JOB_URL", "BUILD_URL"].iter().find_map(|name| std::env::var(name).ok());
    let github = || {
        let variable = |name: &str| std::env::var(name).ok();
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    };
    job.or_else(github).unwrap_or_else(|| format!("process {}", std::process::id()))
}

/// Combinations under which nobody could say what is left over.
fn refuse_pruning(args: &DeployArgs) -> Result<(), Failure> {
    if args.set.resource_set.is_none() {
        return Err(Failure::invalid(
            Problem::new("`--prune` deletes what earlier deploys of a resource set applied, and the set has no name")
                .hint("--resource-set NAME, the same in every deploy of these manifests, and another for those of other repositories"),
        ));
    }
    for (given, flag, why) in [
        (args.change.raw, "--raw", "raw manifests carry no label by which they are known to be ours"),
        (args.change.create_only, "--create-only", "which leaves everything that is there as it is"),
    ] {
        if given {
            return Err(Failure::invalid(Problem::new(format!(
                "`--prune` does not go with `{flag}`: {why}"
            ))));
        }
    }
    Ok(())
}
