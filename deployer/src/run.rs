//! `deployer`, from its arguments to its exit code: load, plan, act, tell.

use std::path::PathBuf;

use cli::{Exit, Failure, Printer, Problem};
use cluster::busy::Busy;
use cluster::connect::{Plugins, Target};
use cluster::inventory::RollbackTo;
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::plan::Mask;
use cluster::rollout::{RolloutOptions, Run};
use cluster::stop::Stop;
use tokio::runtime::{Builder, Runtime};

use crate::args::{Args, ChangeArgs, Command, DeployArgs, ReachArgs, ReportArgs, ReportCommand};
use crate::configs::{self, ClusterFilter};
use crate::fleet::{self, Fleet};
use crate::input::{self, Manifests};
use crate::report::{self, Facts};
use crate::signals::Interrupted;
use crate::waves::{self, Acted};
use crate::webhook::Webhooks;
use crate::{
    backup, clusters_cmd, guard, history_cmd, merge_cmd, options, parse, planfile, progress, status_cmd,
    strategy, sync, tell, trace,
};

/// Writes in flight over all clusters: what one process, its sockets and its memory can bear.
const WRITES: usize = 256;
/// Clusters that are planned or written to at a time, however many are waited for: each holds its manifests and what is live.
/// Enough to keep a few cores busy over a slow network; the default of `--concurrency` is below it.
const BUSY: usize = 64;

pub(crate) fn run(args: Args, printer: &Printer) -> Result<Exit, Failure> {
    match args.command {
        Some(Command::Clusters(args)) => clusters_cmd::clusters(&args),
        Some(Command::Status(status)) => {
            let printer = &Printer::new(status.output.format(), status.output.quiet, true);
            status_cmd::status(&status, &args.deploy, printer)
        }
        Some(Command::Trace(args)) => {
            let printer = &Printer::new(args.output.format(), args.output.quiet, true);
            trace::trace(&args, options::connect(&args.reach), printer)
        }
        Some(Command::Sync(args)) => sync::sync(*args),
        Some(Command::History(args)) => history_cmd::history(&args),
        Some(Command::Rollback(args)) => {
            let printer = &Printer::new(args.deploy.output.format(), args.deploy.output.quiet, true);
            let to = parse::given(&args.to).map_or(RollbackTo::Previous, RollbackTo::Id);
            deploy(&args.deploy, Source::History(to), printer)
        }
        Some(Command::Report(ReportArgs { command: ReportCommand::Merge(args) })) => merge_cmd::run(&args),
        None => deploy(&args.deploy, Source::Manifests { repo: args.repo }, printer),
    }
}

/// What is deployed.
enum Source {
    /// The manifests of a directory, with a clone in which their commit can be compared with others.
    Manifests { repo: Option<PathBuf> },
    /// What an earlier deploy had.
    History(RollbackTo),
}

fn deploy(args: &DeployArgs, source: Source, printer: &Printer) -> Result<Exit, Failure> {
    for line in args.retired.explanations() {
        printer.warn(&line);
    }
    // A rollback goes the way that the deploy went.
    if matches!(source, Source::Manifests { .. }) {
        strategy::check(args)?;
    }
    let started = (jiff::Timestamp::now(), std::time::Instant::now());
    let (fleet, manifests) = match &source {
        Source::Manifests { .. } => load(args)?,
        Source::History(_) => (chosen(args)?, Manifests::none()),
    };
    let shard = waves::plan::shard(&args.waves)?;
    let in_shard = |target: &&Target| shard.is_none_or(|shard| shard.takes(&target.name));
    let targets: Vec<Target> = fleet.iter().filter(in_shard).cloned().collect();
    if targets.is_empty() {
        printer.say("no cluster is in this shard, there is nothing to do");
    }
    manifests.check(&targets)?;
    let waves = match &source {
        Source::Manifests { .. } => waves::plan::plan(args, &fleet, &manifests)?,
        Source::History(_) => waves::plan::refuse(&args.waves, "rollback").map(|()| None)?,
    };
    let mut options = waves::options(options::rollout(args)?, waves.as_ref())?;
    match source {
        Source::Manifests { repo: None } => {}
        Source::Manifests { repo: Some(repo) } => {
            let guard = guard::guard(&repo, args.mark.sha.as_deref())?;
            options.set.commit = Some(guard.commit.clone());
            options.set.guard = Some(guard);
        }
        Source::History(to) => options.set.rollback = Some(to),
    }
    let backup = backup::of(&args.set)?;
    let copy = manifests.clone();
    let salt = options.salt.clone();
    let webhooks = webhooks(args, &targets, &manifests)?;

    let runtime = runtime()?;
    let interrupted = Interrupted::default();
    let acted = runtime.block_on(async {
        let (switch, stop) = Stop::new();
        let speaker = *printer;
        interrupted.listen(switch, move |line| speaker.say(line)).map_err(|error| {
            Failure::failed(Problem::from_error(&error).context("cannot listen for signals"))
        })?;
        match &waves {
            None => {
                Ok(Acted::at_once(act(args, targets, manifests, options, stop, &webhooks, printer).await))
            }
            Some(planned) => {
                waves::act(args, planned, targets, manifests, options, stop, &webhooks, printer).await
            }
        }
    })?;
    let exit = acted.exit(exit_code(&acted.outcomes, &args.change, &interrupted));
    let mut report = report::report(
        &acted.outcomes,
        Facts {
            started: started.0,
            seconds: started.1.elapsed().as_secs_f64(),
            dry_run: plan_only(args),
            commit: parse::given(&args.mark.sha),
            exit_code: exit.code(),
            shard: shard.map(|shard| shard.to_string()),
            rollout: acted.rollout.clone(),
        },
    );
    acted.mark(&mut report);
    if let Some(path) = &args.change.plan_out {
        let rollout = waves.as_ref().map(|planned| (&planned.rollout).into());
        planfile::write(path, salt, planfile::fingerprint(args), rollout, &acted.outcomes)?;
        printer.say(&format!("plan written: {}", path.display()));
    }
    tell::deploy(args, printer, &acted.outcomes, &report);
    if let Some(backup) = backup.filter(|_| !plan_only(args)) {
        let warnings = runtime.block_on(backup.write(&copy, &acted.outcomes));
        warnings.iter().for_each(|line| printer.warn(line));
    }
    let silent = runtime.block_on(webhooks.ended(&report));
    // Whatever still hangs in a resolver or a pipe is not waited for.
    runtime.shutdown_background();
    silent.iter().for_each(|line| printer.warn(line));
    tell::save(&args.tell.report, &report, exit, printer)
}

/// What everything that asks clusters runs on.
pub(crate) fn runtime() -> Result<Runtime, Failure> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(Problem::from_error(&error).context("cannot start")))
}

/// Nothing is written: a dry run, or a plan for later.
pub(crate) fn plan_only(args: &DeployArgs) -> bool {
    args.change.dry_run || args.change.plan_out.is_some()
}

/// Who is told that the deploy starts and ends: nobody in a dry run.
pub(crate) fn webhooks(
    args: &DeployArgs,
    targets: &[Target],
    manifests: &Manifests,
) -> Result<Webhooks, Failure> {
    let (tell, mark) = (&args.tell, &args.mark);
    let uuid = parse::given(&mark.uuid);
    let kit = parse::list(&tell.available_webhook);
    let mut webhooks = Webhooks::new(kit, parse::list(&tell.slack_webhook), uuid, mark.is_rollback)?;
    if plan_only(args) {
        return Ok(Webhooks::default());
    }
    if !webhooks.is_empty() {
        for target in targets {
            // What cannot be read has been reported by the check before.
            webhooks.learn(target.name.as_str(), &manifests.load(&target.name).unwrap_or_default().objects);
        }
    }
    Ok(webhooks)
}

/// Everything that can be known before the first connection.
pub(crate) fn load(args: &DeployArgs) -> Result<(Vec<Target>, Manifests), Failure> {
    let Some(dir) = args.manifests_dir.clone() else {
        return Err(Failure::invalid(
            Problem::new("there is nothing to deploy: `--manifests-dir` is missing")
                .hint("--manifests-dir DIR, with a directory per cluster (or set `MANIFESTS_DIR`)"),
        ));
    };
    let selector = parse::selector(args.selector.as_deref())?;
    let targets = configs::targets(&args.reach)?;
    let filter = ClusterFilter::new(&args.reach.cluster)?;
    let listed = args.reach.clusters_from.as_deref().map(input::clusters_from).transpose()?;
    let wanted = |name: &manifest::ClusterName| {
        filter.takes(name) && listed.as_ref().is_none_or(|listed| listed.contains(name))
    };
    let targets: Vec<Target> = targets.into_iter().filter(|target| wanted(&target.name)).collect();
    let targets = input::pair(targets, &dir, wanted, args.allow_missing)?;
    let resource = parse::given(&args.resource);
    Ok((targets, Manifests { dir, namespaces: args.namespaces_dir.clone(), selector, resource }))
}

/// The clusters that a command without manifests is about.
fn chosen(args: &DeployArgs) -> Result<Vec<Target>, Failure> {
    let listed = args.reach.clusters_from.as_deref().map(input::clusters_from).transpose()?;
    let mut targets = configs::targets(&args.reach)?;
    targets.retain(|target| listed.as_ref().is_none_or(|listed| listed.contains(&target.name)));
    if targets.is_empty() {
        let problem = Problem::new("no kubeconfig names such a cluster").hint("deployer clusters");
        return Err(Failure::invalid(problem));
    }
    Ok(targets)
}

pub(crate) async fn act(
    args: &DeployArgs,
    targets: Vec<Target>,
    manifests: Manifests,
    options: RolloutOptions,
    stop: Stop,
    webhooks: &Webhooks,
    printer: &Printer,
) -> Vec<ClusterOutcome> {
    let (events, heard) = tokio::sync::mpsc::unbounded_channel();
    let (_without, no_news) = tokio::sync::mpsc::unbounded_channel();
    let narrator =
        tokio::spawn(progress::narrate(heard, no_news, *printer, tell::narration(args, printer, &targets)));
    let fleet = fleet(&args.reach, manifests, options, stop);
    // The deploy does not wait for who wants to hear of it; who hears of its end has heard of its start.
    let (outcomes, silent) = tokio::join!(fleet::deploy(fleet, targets, events), webhooks.started());
    // The narrator ends with the last sender; a bug in it is not the deploy's.
    let _ = narrator.await;
    silent.iter().for_each(|line| printer.warn(line));
    outcomes
}

/// What all clusters of a run have in common.
pub(crate) fn fleet(reach: &ReachArgs, manifests: Manifests, options: RolloutOptions, stop: Stop) -> Fleet {
    Fleet {
        manifests,
        options,
        plugins: Plugins::new(reach.plugin_timeout),
        run: Run { busy: Busy::at_most(BUSY), ..Run::new(Mask::new(), stop, WRITES) },
        concurrency: usize::from(reach.concurrency),
    }
}

pub(crate) fn exit_code(outcomes: &[ClusterOutcome], change: &ChangeArgs, interrupted: &Interrupted) -> Exit {
    if let Some(exit) = interrupted.exit() {
        return exit;
    }
    let count = |state| outcomes.iter().filter(|outcome| outcome.state == state).count();
    let (done, refused) = (count(ClusterState::Done), count(ClusterState::Refused));
    if done == outcomes.len() {
        let changed = outcomes.iter().any(|outcome| outcome.counts.changes() > 0);
        return if change.detailed_exitcode && changed { Exit::Changes } else { Exit::Done };
    }
    if done > 0 {
        Exit::Partial
    } else if refused == outcomes.len() {
        Exit::Refused
    } else {
        Exit::Failed
    }
}
