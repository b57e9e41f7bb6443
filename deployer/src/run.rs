//! `deployer`, from its arguments to its exit code: load, plan, act, tell.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::ci::Platform;
use cli::report::{Report, ReportFile, SUMMARY_LIMIT};
use cli::{Exit, Failure, Format, Printer, Problem};
use cluster::connect::{ConnectOptions, Plugins, ProxyEnvironment, RetryPolicy, Target};
use cluster::health::HealthOptions;
use cluster::inventory::RollbackTo;
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::plan::{Marks, Mask, PlanOptions};
use cluster::rollout::{Extent, RolloutOptions, Run, Waiting};
use cluster::stop::Stop;
use manifest::Selector;
use serde::Serialize;
use tokio::sync::Semaphore;

use crate::args::{
    Args, ChangeArgs, ClustersArgs, Command, DeployArgs, Progress, ReachArgs, ReportArgs, ReportCommand,
    StatusArgs,
};
use crate::backup;
use crate::configs::{self, ClusterFilter};
use crate::fleet::{self, Fleet};
use crate::guard;
use crate::history_cmd;
use crate::input::{self, Manifests};
use crate::merge_cmd;
use crate::parse;
use crate::planfile;
use crate::progress::{self, Colour, Narration};
use crate::report::{self, Facts};
use crate::resource_set;
use crate::signals::Interrupted;
use crate::status_cmd::{self, Plans};
use crate::strategy;
use crate::sync;
use crate::tell;
use crate::trace;
use crate::waves::{self, Acted};
use crate::webhook::Webhooks;

/// Writes in flight over all clusters: what one process, its sockets and its memory can bear.
const WRITES: usize = 256;

pub(crate) fn run(args: Args, printer: &Printer) -> Result<Exit, Failure> {
    match args.command {
        Some(Command::Clusters(args)) => clusters(&args),
        Some(Command::Status(status)) => {
            let printer = &Printer::new(status.output.format(), status.output.quiet, true);
            let connect = connect_options(&status.reach);
            status_cmd::status(&status, connect, printer, async |targets| {
                compare(&status, &args.deploy, targets).await
            })
        }
        Some(Command::Trace(args)) => {
            let printer = &Printer::new(args.output.format(), args.output.quiet, true);
            trace::trace(&args, connect_options(&args.reach), printer)
        }
        Some(Command::Sync(args)) => sync::sync(*args),
        Some(Command::History(args)) => history_cmd::history(&args, connect_options(&args.reach)),
        Some(Command::Rollback(args)) => {
            let printer = &Printer::new(args.deploy.output.format(), args.deploy.output.quiet, true);
            let to = args.to.clone().filter(|to| !to.is_empty()).map_or(RollbackTo::Previous, RollbackTo::Id);
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
    let mut options = waves::options(rollout_options(args)?, waves.as_ref())?;
    match source {
        Source::Manifests { repo: None } => {}
        Source::Manifests { repo: Some(repo) } => {
            let guard = guard::guard(&repo, args.mark.sha.as_deref())?;
            options.set.commit = Some(guard.commit.clone());
            options.set.guard = Some(guard);
        }
        Source::History(to) => options.set.rollback = Some(to),
    }
    let backup = args.set.backup_url.as_deref().filter(|url| !url.is_empty());
    let backup = backup.map(backup::open).transpose()?;
    let copy = manifests.clone();
    let salt = options.salt.clone();
    let webhooks = webhooks(args, &targets, &manifests)?;

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(Problem::from_error(&error).context("cannot start")))?;
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
            commit: args.mark.sha.clone().filter(|sha| !sha.is_empty()),
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
    tell(args, printer, &acted.outcomes, &report);
    if let Some(backup) = backup.filter(|_| !plan_only(args)) {
        let warnings = runtime.block_on(backup.write(&copy, &acted.outcomes));
        warnings.iter().for_each(|line| printer.warn(line));
    }
    let silent = runtime.block_on(webhooks.ended(&report));
    // Whatever still hangs in a resolver or a pipe is not waited for.
    runtime.shutdown_background();
    silent.iter().for_each(|line| printer.warn(line));
    save(&args.tell.report, &report, exit, printer)
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
    let uuid = mark.uuid.clone().filter(|id| !id.is_empty());
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

/// Writes the reports. One that cannot be written is a failure of its own, after everything else has been told.
pub(crate) fn save(
    files: &[ReportFile],
    report: &Report,
    exit: Exit,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let mut problems = Vec::new();
    for file in files {
        if let Err(error) = file.write(report) {
            problems
                .push(Problem::from_error(&error).hint("the deploy itself is over: see its result above"));
        }
    }
    if let Some(summary) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|_| platform() == Platform::GitHub)
        && let Err(error) = append_summary(Path::new(&summary), report)
    {
        printer.warn(&format!("the step summary was not written: {error}"));
    }
    if problems.is_empty() {
        return Ok(exit);
    }
    let exit = if exit == Exit::Done || exit == Exit::Changes { Exit::Failed } else { exit };
    Err(Failure::all(exit, problems))
}

/// Adds to a step summary as much as the platform still takes: beyond its limit it drops all of it.
fn append_summary(path: &Path, report: &Report) -> std::io::Result<()> {
    let used = std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
    let room = SUMMARY_LIMIT.saturating_sub(used);
    let text = cli::report::markdown(report, room);
    if text.len() > room {
        return Err(std::io::Error::other("it is full"));
    }
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path)?;
    file.write_all(text.as_bytes())
}

fn platform() -> Platform {
    Platform::detect(|name| std::env::var(name).ok())
}

/// Whether what is going on is drawn on a terminal or told line by line.
fn live(args: &DeployArgs, printer: &Printer) -> Option<Colour> {
    let wanted = match args.tell.progress {
        Progress::Lines => false,
        Progress::Live => !args.output.quiet,
        Progress::Auto => printer.is_interactive() && !args.output.debug && !platform().is_ci(),
    };
    wanted.then(|| if printer.has_colour() { Colour::Yes } else { Colour::No })
}

/// Everything that can be known before the first connection.
pub(crate) fn load(args: &DeployArgs) -> Result<(Vec<Target>, Manifests), Failure> {
    let Some(dir) = args.manifests_dir.clone() else {
        return Err(Failure::invalid(
            Problem::new("there is nothing to deploy: `--manifests-dir` is missing")
                .hint("--manifests-dir DIR, with a directory per cluster (or set `MANIFESTS_DIR`)"),
        ));
    };
    let selector: Selector =
        args.selector.as_deref().unwrap_or_default().parse().map_err(|error: manifest::SelectorError| {
            Failure::invalid(Problem::from_error(&error).context("`--selector` cannot be read"))
        })?;
    let targets = configs::targets(&args.reach)?;
    let filter = ClusterFilter::new(&args.reach.cluster)?;
    let listed = args.reach.clusters_from.as_deref().map(input::clusters_from).transpose()?;
    let wanted = |name: &manifest::ClusterName| {
        filter.takes(name) && listed.as_ref().is_none_or(|listed| listed.contains(name))
    };
    let targets: Vec<Target> = targets.into_iter().filter(|target| wanted(&target.name)).collect();
    let targets = input::pair(targets, &dir, wanted, args.allow_missing)?;
    let resource = args.resource.clone().filter(|name| !name.is_empty());
    Ok((targets, Manifests { dir, namespaces: args.namespaces_dir.clone(), selector, resource }))
}

/// The clusters that a command without manifests is about.
fn chosen(args: &DeployArgs) -> Result<Vec<Target>, Failure> {
    let filter = ClusterFilter::new(&args.reach.cluster)?;
    let listed = args.reach.clusters_from.as_deref().map(input::clusters_from).transpose()?;
    let mut targets = configs::targets(&args.reach)?;
    targets.retain(|target| {
        filter.takes(&target.name) && listed.as_ref().is_none_or(|listed| listed.contains(&target.name))
    });
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
        tokio::spawn(progress::narrate(heard, no_news, *printer, narration(args, printer, &targets)));
    let fleet = fleet(args, manifests, options, stop);
    // The deploy does not wait for who wants to hear of it; who hears of its end has heard of its start.
    let (outcomes, silent) = tokio::join!(fleet::deploy(fleet, targets, events), webhooks.started());
    // The narrator ends with the last sender; a bug in it is not the deploy's.
    let _ = narrator.await;
    silent.iter().for_each(|line| printer.warn(line));
    outcomes
}

/// How a run is narrated.
pub(crate) fn narration(args: &DeployArgs, printer: &Printer, targets: &[Target]) -> Narration {
    Narration {
        debug: args.output.debug,
        keep_alive: args.wait.available_keep_alive.then_some(args.wait.available_keep_alive_interval),
        live: live(args, printer),
        ci: platform().is_ci(),
        clusters: targets.iter().map(|target| target.name.to_string()).collect(),
    }
}

/// What all clusters of a run have in common.
pub(crate) fn fleet(args: &DeployArgs, manifests: Manifests, options: RolloutOptions, stop: Stop) -> Fleet {
    Fleet {
        manifests,
        options,
        plugins: Plugins::new(args.reach.plugin_timeout),
        run: Run { mask: Mask::new(), stop, writes: Arc::new(Semaphore::new(WRITES)) },
        concurrency: usize::from(args.reach.concurrency),
    }
}

pub(crate) fn rollout_options(args: &DeployArgs) -> Result<RolloutOptions, Failure> {
    let (change, wait, mark) = (&args.change, &args.wait, &args.mark);
    let approved = match &change.plan {
        Some(path) => Some(Arc::new(planfile::read(path, &planfile::fingerprint(args))?)),
        None => None,
    };
    let plan_only = change.dry_run || change.plan_out.is_some();
    Ok(RolloutOptions {
        connect: connect_options(&args.reach),
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
            deploy_id: mark.deploy_id.clone().filter(|id| !id.is_empty()),
            resource: args.resource.clone().filter(|name| !name.is_empty()),
            uuid: mark.uuid.clone().filter(|id| !id.is_empty()),
            release_id: None,
            sha: mark.sha.clone().filter(|sha| !sha.is_empty()),
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

pub(crate) fn connect_options(reach: &ReachArgs) -> ConnectOptions {
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

/// Prints what a deploy did.
pub(crate) fn tell(args: &DeployArgs, printer: &Printer, outcomes: &[ClusterOutcome], report: &Report) {
    let told = plan_only(args) || args.change.diff;
    tell_report(report, printer, &if told { tell::changes(outcomes) } else { String::new() });
}

/// Prints a report; `changes` are what differs, for people.
pub(crate) fn tell_report(report: &Report, printer: &Printer, changes: &str) {
    match printer.format() {
        Format::Json => printer.result(&report.json()),
        Format::Ndjson => printer.result(&report.json_line()),
        Format::Text => {
            let waves = cli::report::waves(report);
            if report.dry_run {
                printer.result(&waves);
            }
            printer.result(changes);
            printer.result(&cli::report::table(report));
            let failures = platform().failures(report, jiff::Timestamp::now().as_second());
            if !failures.is_empty() {
                printer.result(&format!("\n{failures}"));
            }
            // Last: where it stands, and how to go on.
            if !report.dry_run && !waves.is_empty() {
                printer.result(&format!("\n{waves}"));
            }
        }
    }
    // The platform reads these wherever they are; stdout is for the result.
    platform().annotations(report).iter().for_each(|line| printer.command(line));
}

/// What a deploy of `status`'s manifests would do; nothing, where there are none.
async fn compare(status: &StatusArgs, deploy: &DeployArgs, targets: &[Target]) -> Result<Plans, Failure> {
    let Some(dir) = status.manifests_dir.clone() else { return Ok(Plans::new()) };
    let selector: Selector = status.selector.as_deref().unwrap_or_default().parse().map_err(
        |error: manifest::SelectorError| {
            Failure::invalid(Problem::from_error(&error).context("`--selector` cannot be read"))
        },
    )?;
    let targets: Vec<Target> =
        targets.iter().filter(|target| dir.join(target.name.as_str()).is_dir()).cloned().collect();
    let manifests = Manifests { dir, namespaces: None, selector, resource: None };
    manifests.check(&targets)?;
    strategy::check(deploy)?;
    let options = rollout_options(deploy)?;
    let options = RolloutOptions {
        connect: connect_options(&status.reach),
        timeout: status.reach.timeout,
        extent: Extent::Plan,
        // Nothing is written: what somebody else holds is drift to be told, not a reason to refuse.
        plan: PlanOptions { force_conflicts: true, create_only: false, force: false, ..options.plan },
        ..options
    };
    let (_switch, stop) = Stop::new();
    let fleet = Fleet {
        manifests,
        options,
        plugins: Plugins::new(status.reach.plugin_timeout),
        run: Run { mask: Mask::new(), stop, writes: Arc::new(Semaphore::new(WRITES)) },
        concurrency: usize::from(status.reach.concurrency),
    };
    let (events, _unheard) = tokio::sync::mpsc::unbounded_channel();
    let outcomes = fleet::deploy(fleet, targets, events).await;
    Ok(outcomes.into_iter().map(|outcome| (outcome.cluster.to_string(), outcome)).collect())
}

/// `deployer clusters`.
fn clusters(args: &ClustersArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output.format(), args.output.quiet, true);
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Line {
        name: String,
        server: String,
        origin: String,
        namespace: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        manifests: Option<bool>,
    }
    let lines: Vec<Line> = configs::targets(&args.reach)?
        .iter()
        .map(|target| Line {
            name: target.name.to_string(),
            server: target.server().to_owned(),
            origin: target.origin(),
            namespace: target.namespace().to_owned(),
            manifests: args.manifests_dir.as_ref().map(|dir| dir.join(target.name.as_str()).is_dir()),
        })
        .collect();
    if printer.format() == Format::Text {
        let width = lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
        for line in &lines {
            let missing = if line.manifests == Some(false) { "  (no manifests)" } else { "" };
            printer.result(&format!("{:width$}  {}  {}{missing}\n", line.name, line.server, line.origin));
        }
    } else {
        printer.json(&serde_json::json!({"version": 1, "clusters": lines}));
    }
    Ok(Exit::Done)
}
