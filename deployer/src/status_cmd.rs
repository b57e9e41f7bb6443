//! `deployer status`: what kit runs where, whether it still is what the manifests say, and how what pulls there goes.

use std::collections::BTreeMap;

use cli::report::{
    ClusterStatus, Difference, DifferenceKind, PodGroup, ReportFormat, ResourceState, ResourceStatus, Status,
    SyncState, SyncStatus, Trouble, page,
};
use cli::{Exit, Failure, Format, Printer, Problem};
use cluster::connect::{ConnectOptions, Connection, Plugins, Target};
use cluster::events::Events;
use cluster::outcome::{ClusterOutcome, ObjectResult};
use cluster::plan::PlanOptions;
use cluster::pull::{self, Pull, PullState};
use cluster::rollout::{Extent, RolloutOptions};
use cluster::status::Readiness;
use cluster::stop::Stop;
use cluster::survey::{Running, survey};
use futures::StreamExt as _;
use futures::stream;
use tokio::time::Instant;

use crate::args::{DeployArgs, StatusArgs};
use crate::configs;
use crate::input::Manifests;
use crate::{fleet, options, parse, report, run, strategy};

/// The plan of each cluster that there are manifests for.
type Plans = BTreeMap<String, ClusterOutcome>;

/// Runs the command; `deploy` has the flags of the deploy whose manifests are compared.
pub(crate) fn status(args: &StatusArgs, deploy: &DeployArgs, printer: &Printer) -> Result<Exit, Failure> {
    for file in &args.report {
        if !matches!(file.format(), ReportFormat::Html | ReportFormat::Json) {
            let text = format!("a status is written as .html or .json: `{}`", file.path().display());
            return Err(Failure::invalid(Problem::new(text)));
        }
    }
    let targets = configs::targets(&args.reach)?;
    let runtime = run::runtime()?;
    let status = runtime.block_on(async {
        let plans = compare(args, deploy, &targets).await?;
        Ok::<_, Failure>(ask(args, options::connect(&args.reach), targets, &plans).await)
    })?;
    runtime.shutdown_background();

    match printer.format() {
        Format::Json | Format::Ndjson => printer.json(&status),
        Format::Text => {
            printer.result(&status.table(printer.width()));
            let syncs = status.syncs(printer.width());
            if !syncs.is_empty() {
                printer.result(&format!("\n{syncs}"));
            }
            let troubles = status.troubles();
            if !troubles.is_empty() {
                printer.result(&format!("\n{troubles}"));
            }
        }
    }
    let mut problems = Vec::new();
    for file in &args.report {
        let text = if file.format() == ReportFormat::Html { page(&status.page()) } else { status.json() };
        problems.extend(file.write_text(&text).err().map(|error| Problem::from_error(&error)));
    }
    if !problems.is_empty() {
        return Err(Failure::all(Exit::Failed, problems));
    }
    let silent = status.clusters.iter().filter(|cluster| cluster.trouble.is_some()).count();
    Ok(match silent {
        0 => Exit::Done,
        all if all == status.clusters.len() => Exit::Failed,
        _ => Exit::Partial,
    })
}

async fn ask(args: &StatusArgs, connect: ConnectOptions, targets: Vec<Target>, plans: &Plans) -> Status {
    let plugins = Plugins::new(args.reach.plugin_timeout);
    let deadline = Instant::now() + args.reach.timeout;
    let answers = stream::iter(targets).map(|target| {
        let (plugins, connect) = (plugins.clone(), connect.clone());
        async move {
            let name = target.name.to_string();
            let found = one(&target, &connect, &plugins, deadline, args).await;
            cluster_status(name, found, plans)
        }
    });
    let mut clusters: Vec<ClusterStatus> =
        answers.buffer_unordered(usize::from(args.reach.concurrency)).collect().await;
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    Status::new(report::seconds_of(jiff::Timestamp::now()), clusters)
}

async fn one(
    target: &Target,
    connect: &ConnectOptions,
    plugins: &Plugins,
    deadline: Instant,
    args: &StatusArgs,
) -> Result<Found, Trouble> {
    let trouble = |message: String, hint: Option<String>| Trouble {
        message,
        causes: Vec::new(),
        hints: hint.into_iter().collect(),
    };
    let events = Events::unheard(target.name.clone());
    let connection = Connection::open(target, connect, plugins, deadline, events)
        .await
        .map_err(|error| trouble(error.to_string(), error.hint()))?;
    let selector = args.selector.as_deref().unwrap_or_default();
    let (running, pulls) =
        tokio::join!(survey(&connection, selector), pull::list(&connection, &args.system_namespace));
    let refused = |error: cluster::connect::CallError| trouble(error.to_string(), None);
    Ok(Found { running: running.map_err(refused)?, pulls: pulls.map_err(refused)? })
}

/// What a cluster has said.
#[derive(Default)]
struct Found {
    running: Vec<Running>,
    /// What pulls there, with the namespaces of its notes.
    pulls: Vec<(String, Pull)>,
}

fn cluster_status(name: String, found: Result<Found, Trouble>, plans: &Plans) -> ClusterStatus {
    let (Found { running, pulls }, trouble) = match found {
        Ok(found) => (found, None),
        Err(trouble) => (Found::default(), Some(trouble)),
    };
    let mut differences = plans.get(&name).map(differences);
    // A comparison that failed as a whole has found nothing in sync.
    let failed = plans.get(&name).and_then(|plan| plan.trouble.as_ref()).map(cluster::outcome::Trouble::line);
    let resources = running
        .into_iter()
        .map(|running| {
            let object = running.object.to_string();
            let difference = differences.as_mut().map(|all| {
                let none = || Difference {
                    object: object.clone(),
                    kind: if failed.is_some() { DifferenceKind::Failed } else { DifferenceKind::Unknown },
                    fields: failed.iter().cloned().collect(),
                };
                all.remove(&object).filter(|_| failed.is_none()).unwrap_or_else(none)
            });
            resource(running, difference)
        })
        .collect();
    let left = differences.unwrap_or_default().into_values();
    let differs = left.filter(|difference| difference.kind != DifferenceKind::InSync).collect();
    let syncs = pulls.into_iter().map(|(namespace, pull)| sync(namespace, pull)).collect();
    ClusterStatus { name, trouble, resources, differs, syncs }
}

fn sync(namespace: String, pull: Pull) -> SyncStatus {
    SyncStatus {
        name: pull.name,
        namespace,
        repo: pull.repo,
        branch: pull.branch,
        path: pull.path,
        state: match pull.state {
            PullState::Synced => SyncState::Synced,
            PullState::Failed => SyncState::Failed,
            PullState::Refused => SyncState::Refused,
        },
        commit: pull.commit,
        synced: pull.synced,
        message: pull.message,
        since: report::seconds_of(pull.since),
        checked: report::seconds_of(pull.checked),
    }
}

/// How each object of the manifests relates to what is there, by `Kind/namespace/name`.
fn differences(outcome: &ClusterOutcome) -> BTreeMap<String, Difference> {
    let found = outcome.objects.iter().map(|object| {
        let name = object.object.to_string();
        let (kind, fields) = match &object.result {
            ObjectResult::Failed { trouble } => (DifferenceKind::Failed, vec![trouble.line()]),
            ObjectResult::Created
            | ObjectResult::Configured
            | ObjectResult::Recreated
            | ObjectResult::Unchanged
            | ObjectResult::Deleted
            // A Job that has run and gone.
            | ObjectResult::Skipped { .. }
            | ObjectResult::NotReady { .. } => (DifferenceKind::InSync, Vec::new()),
        };
        (name.clone(), Difference { object: name, kind, fields })
    });
    let mut all: BTreeMap<String, Difference> = found.collect();
    for change in outcome.changes.unpack() {
        let told: Vec<_> = change.changes.iter().filter(|field| !is_mark(&field.path)).collect();
        if told.is_empty() {
            continue;
        }
        let drifted = told.iter().any(|field| field.drift.is_some());
        let kind = match &*change.action {
            "create" => DifferenceKind::Missing,
            _ if drifted => DifferenceKind::Drift,
            _ => DifferenceKind::Outdated,
        };
        let fields = told.iter().filter(|field| !field.path.is_empty()).map(|field| match &field.drift {
            Some(who) => format!("{}: changed by {who}", field.path),
            None => field.path.clone(),
        });
        let object = change.object.to_string();
        all.insert(object.clone(), Difference { object, kind, fields: fields.collect() });
    }
    all
}

/// What kit itself adds differs with the flags of the deploy that asks; it is not what a manifest says.
fn is_mark(path: &str) -> bool {
    const MARKS: [&str; 5] = ["id", "strategy", "resource", "app.kubernetes.io/name", "kit-deployer/"];
    let inside = path.strip_prefix("metadata.labels").or_else(|| path.strip_prefix("metadata.annotations"));
    let name = inside.map(|name| name.trim_matches(|c| matches!(c, '.' | '[' | ']' | '"')));
    name.is_some_and(|name| {
        MARKS.iter().any(|mark| name == *mark || (mark.ends_with('/') && name.starts_with(mark)))
    })
}

fn resource(running: Running, difference: Option<Difference>) -> ResourceStatus {
    let state = match &running.readiness {
        Readiness::Current { .. } => ResourceState::Ready,
        Readiness::InProgress { .. } => ResourceState::Progressing,
        Readiness::Failed { .. } => ResourceState::Failed,
        Readiness::Unknown { .. } => ResourceState::Unknown,
    };
    let pods = running.pods.into_iter().map(|group| PodGroup {
        state: group.state,
        count: group.count,
        restarts: group.restarts,
        old: group.old,
    });
    ResourceStatus {
        object: running.object.to_string(),
        kind: running.object.kind,
        namespace: running.object.namespace,
        name: running.object.name,
        images: running.images,
        commit: running.commit,
        updated: running.updated,
        state,
        message: running.readiness.message().to_owned(),
        pods: pods.collect(),
        diagnoses: running.diagnoses.iter().map(report::diagnosis).collect(),
        difference,
    }
}

/// What a deploy of `status`'s manifests would do; nothing, where there are none.
async fn compare(status: &StatusArgs, deploy: &DeployArgs, targets: &[Target]) -> Result<Plans, Failure> {
    let Some(dir) = status.manifests_dir.clone() else { return Ok(Plans::new()) };
    let selector = parse::selector(status.selector.as_deref())?;
    let targets: Vec<Target> =
        targets.iter().filter(|target| dir.join(target.name.as_str()).is_dir()).cloned().collect();
    let manifests = Manifests { dir, namespaces: None, selector, resource: None };
    manifests.check(&targets)?;
    strategy::check(deploy)?;
    let options = options::rollout(deploy)?;
    let options = RolloutOptions {
        connect: options::connect(&status.reach),
        timeout: status.reach.timeout,
        extent: Extent::Plan,
        // Nothing is written: what somebody else holds is drift to be told, not a reason to refuse.
        plan: PlanOptions { force_conflicts: true, create_only: false, force: false, ..options.plan },
        ..options
    };
    let (_switch, stop) = Stop::new();
    let fleet = run::fleet(&status.reach, manifests, options, stop);
    let outcomes = fleet::deploy_unheard(fleet, targets).await;
    Ok(outcomes.into_iter().map(|outcome| (outcome.cluster.to_string(), outcome)).collect())
}
