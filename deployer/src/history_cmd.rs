//! `deployer history`: the deploys that each cluster remembers.

use std::fmt::Write as _;

use cli::{Exit, Failure, Format, Printer};
use cluster::connect::{ConnectOptions, Connection, Plugins, Target};
use cluster::events::Events;
use cluster::inventory::{self, Inventory, Revision, SetName};
use futures::StreamExt as _;
use futures::stream;
use serde::Serialize;
use tokio::time::Instant;

use crate::set_args::HistoryArgs;
use crate::{configs, options, run};

/// What one cluster remembers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Remembered {
    name: String,
    /// The ConfigMap that says so.
    inventory: String,
    /// Objects of the set.
    #[serde(skip_serializing_if = "Option::is_none")]
    objects: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<String>,
    deploys: Vec<Revision>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// Runs the command.
pub(crate) fn history(args: &HistoryArgs) -> Result<Exit, Failure> {
    let printer = Printer::new(args.output.format(), args.output.quiet, true);
    let targets = configs::targets(&args.reach)?;
    let set = args.set.resource_set.clone().unwrap_or_default();
    let runtime = run::runtime()?;
    let clusters = runtime.block_on(ask(args, &set, options::connect(&args.reach), targets));
    runtime.shutdown_background();
    match printer.format() {
        Format::Json | Format::Ndjson => {
            printer.json(&serde_json::json!({"version": 1, "set": set.as_str(), "clusters": clusters}));
        }
        Format::Text => printer.result(&table(&clusters)),
    }
    let silent = clusters.iter().filter(|cluster| cluster.trouble.is_some()).count();
    Ok(match silent {
        0 => Exit::Done,
        all if all == clusters.len() => Exit::Failed,
        _ => Exit::Partial,
    })
}

async fn ask(
    args: &HistoryArgs,
    set: &SetName,
    connect: ConnectOptions,
    targets: Vec<Target>,
) -> Vec<Remembered> {
    let plugins = Plugins::new(args.reach.plugin_timeout);
    let deadline = Instant::now() + args.reach.timeout;
    let answers = stream::iter(targets).map(|target| {
        let (plugins, connect) = (plugins.clone(), connect.clone());
        async move {
            let namespace = args.set.inventory_namespace.clone();
            let namespace = namespace.unwrap_or_else(|| target.namespace().to_owned());
            let found = one(&target, set, &namespace, &connect, &plugins, deadline).await;
            let (inventory, trouble) = match found {
                Ok(inventory) => (Some(inventory), None),
                Err(trouble) => (None, Some(trouble)),
            };
            Remembered {
                name: target.name.to_string(),
                inventory: format!("ConfigMap/{namespace}/{}", set.parent()),
                objects: inventory.as_ref().map(Inventory::len),
                commit: inventory.as_ref().and_then(|inventory| inventory.commit.clone()),
                deploys: inventory.map(|inventory| inventory.history).unwrap_or_default(),
                trouble,
            }
        }
    });
    let mut clusters: Vec<Remembered> =
        answers.buffer_unordered(usize::from(args.reach.concurrency)).collect().await;
    clusters.sort_by(|a, b| a.name.cmp(&b.name));
    clusters
}

async fn one(
    target: &Target,
    set: &SetName,
    namespace: &str,
    connect: &ConnectOptions,
    plugins: &Plugins,
    deadline: Instant,
) -> Result<Inventory, String> {
    let events = Events::unheard(target.name.clone());
    let connection = Connection::open(target, connect, plugins, deadline, events)
        .await
        .map_err(|error| error.to_string())?;
    inventory::read(&connection, set, namespace).await.map_err(|error| error.to_string())
}

fn table(clusters: &[Remembered]) -> String {
    let width = clusters.iter().map(|cluster| cluster.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for cluster in clusters {
        let name = &cluster.name;
        if let Some(trouble) = &cluster.trouble {
            let _ = writeln!(text, "{name:width$}  {trouble}");
        } else if cluster.deploys.is_empty() {
            let _ = writeln!(text, "{name:width$}  nothing is remembered");
        }
        for deploy in &cluster.deploys {
            let commit = deploy.commit.as_deref().map_or("-", |commit| commit.get(..12).unwrap_or(commit));
            let _ = write!(
                text,
                "{name:width$}  {:>3}  {:24}  {commit:12}  {}  {:11}  {} objects",
                deploy.revision,
                deploy.id,
                deploy.started.strftime("%Y-%m-%d %H:%M:%S"),
                deploy.state.word(),
                deploy.objects,
            );
            let notes = [
                deploy.rollback_to.as_ref().map(|id| format!("brought back {id}")),
                Some(deploy.scope.clone()).filter(|scope| !scope.is_empty()),
                (deploy.parts == 0).then(|| "manifests not kept".to_owned()),
            ];
            let notes: Vec<String> = notes.into_iter().flatten().collect();
            let _ = match notes.is_empty() {
                true => writeln!(text),
                false => writeln!(text, "  ({})", notes.join(", ")),
            };
        }
    }
    text
}
