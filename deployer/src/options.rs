//! From arguments to the options of the engine: plain data, nothing is asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use cli::Failure;
use cluster::connect::{ConnectOptions, ProxyEnvironment, RetryPolicy};
use cluster::health::HealthOptions;
use cluster::plan::{Marks, PlanOptions};
use cluster::rollout::{Extent, RolloutOptions, Waiting};

use crate::args::{DeployArgs, ReachArgs};
use crate::{parse, planfile, resource_set};

/// How a deploy goes.
///
/// # Errors
/// A plan file that cannot be used, a resource set that cannot be.
pub(crate) fn rollout(args: &DeployArgs) -> Result<RolloutOptions, Failure> {
    let (change, wait, mark) = (&args.change, &args.wait, &args.mark);
    let approved = match &change.plan {
        Some(path) => Some(Arc::new(planfile::read(path, &planfile::fingerprint(args))?)),
        None => None,
    };
    let plan_only = crate::run::plan_only(args);
    Ok(RolloutOptions {
        connect: connect(&args.reach),
        plan: PlanOptions {
            create_only: change.create_only,
            force: change.force,
            force_conflicts: change.force_conflicts,
            recreate: change.recreate.iter().cloned().collect::<BTreeSet<_>>(),
            reserves: args.reserve.reserves(),
        },
        marks: Marks {
            raw: change.raw,
            strategy: mark.strategy.name().to_owned(),
            deploy_id: parse::given(&mark.deploy_id),
            resource: parse::given(&args.resource),
            uuid: parse::given(&mark.uuid),
            sha: parse::given(&mark.sha),
            started: jiff::Timestamp::now(),
        },
        extent: if plan_only { Extent::Plan } else { Extent::Deploy },
        ask_before_create: plan_only || approved.is_some(),
        waiting: match (wait.available_enabled, wait.available_all) {
            (false, _) => Waiting::No,
            (true, false) => Waiting::Changed,
            (true, true) => Waiting::All,
        },
        ready_required: wait.available_required,
        health: HealthOptions {
            enabled: wait.available_health_check,
            grace: wait.available_health_check_grace_period,
            threshold: wait.available_health_check_threshold,
            ignored: parse::list(&wait.available_health_check_ignored_errors).into_iter().collect(),
        },
        log_lines: wait.log_lines,
        available_timeout: wait.available_timeout,
        dependency_wait: wait.dependency_wait,
        dependency_timeout: wait.dependency_timeout,
        timeout: args.reach.timeout,
        cluster_concurrency: usize::from(args.reach.cluster_concurrency),
        job_history: change.job_history,
        keep_plan: change.plan_out.is_some(),
        set: resource_set::options(args)?,
        salt: approved.as_ref().map_or_else(planfile::salt, |plan| plan.salt.clone()),
        approved,
    })
}

/// How clusters are reached.
pub(crate) fn connect(reach: &ReachArgs) -> ConnectOptions {
    let variable = |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok());
    let retry = RetryPolicy::default();
    ConnectOptions {
        connect_timeout: reach.connect_timeout,
        request_timeout: reach.request_timeout,
        retry: RetryPolicy {
            attempts: reach.backoff_fail_after,
            first_contact: retry.first_contact.min(reach.backoff_fail_after),
            initial: reach.backoff_initial_delay,
            longest: reach.backoff_max_delay,
        },
        proxy: ProxyEnvironment {
            https_proxy: variable(["HTTPS_PROXY", "https_proxy"]),
            http_proxy: variable(["HTTP_PROXY", "http_proxy"]),
            no_proxy: variable(["NO_PROXY", "no_proxy"]),
        },
    }
}
