//! `deployer trace`: from a live field back to the rendered file, the template line, the value's file and line, the commit that set
//! it and the build that made the image.

mod chain;
mod tell;

use std::path::{Path, PathBuf};

use cli::{Exit, Failure, Format, Printer, Problem};
use cluster::connect::{ConnectOptions, Connection, Plugins, Target};
use cluster::events::Events;
use cluster::plan::{Mask, ORIGINAL_NAME};
use cluster::trace::{Found, find};
use manifest::field::FieldPath;
use manifest::find::InFile;
use serde_json::Value;
use tokio::time::Instant;

use crate::args::{OutputArgs, ReachArgs};
use crate::configs;
use chain::{Sources, trace_all};

/// `deployer trace`.
#[derive(Debug, clap::Args)]
pub(crate) struct TraceArgs {
    /// The cluster.
    #[arg(value_name = "CLUSTER")]
    pub(crate) name: String,
    /// The object: `Deployment/web`, or with its namespace `Deployment/shop/web`.
    #[arg(value_name = "KIND/NAME")]
    pub(crate) object: String,
    /// The field: `spec.template.spec.containers[web].image`. Not given, the images of a workload, else the whole object.
    #[arg(value_name = "PATH")]
    pub(crate) path: Option<String>,
    /// Directory of manifests, one directory per cluster, as deploymentizer wrote it.
    #[arg(short, long, env = "MANIFESTS_DIR", value_name = "DIR")]
    pub(crate) manifests_dir: Option<PathBuf>,
    /// The checkout that was rendered, with its git history: the folder of kit.yaml. Not given, the nearest one above
    /// `--manifests-dir`.
    #[arg(long, env = "KIT_SOURCE_DIR", value_name = "DIR")]
    pub(crate) source_dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reach: ReachArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What is asked about.
struct Asked {
    kind: String,
    namespace: Option<String>,
    name: String,
}

/// Runs the command.
pub(crate) fn trace(args: &TraceArgs, connect: ConnectOptions, printer: &Printer) -> Result<Exit, Failure> {
    let asked = asked(&args.object)?;
    let path: Option<FieldPath> = args.path.as_deref().map(str::parse).transpose().map_err(
        |error: manifest::field::FieldPathError| {
            Failure::invalid(
                Problem::from_error(&error).hint("for example `spec.template.spec.containers[web].image`"),
            )
        },
    )?;
    let target = target(args)?;
    let dir = args.manifests_dir.as_ref().map(|dir| dir.join(target.name.as_str()));
    let rendered = match &dir {
        Some(dir) if dir.is_dir() => {
            manifest::find::find(dir, &asked.kind, asked.namespace.as_deref(), &[&asked.name]).map_err(
                |errors| Failure::all(Exit::Invalid, errors.iter().map(crate::input::problem).collect()),
            )?
        }
        Some(_) | None => Vec::new(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(Problem::from_error(&error).context("cannot start")))?;
    let live = runtime.block_on(read(args, connect, &target, &asked, rendered.first()))?;
    runtime.shutdown_background();

    let mask = Mask::new();
    mask.learn(&live);
    if let Some(dir) = &dir {
        let secrets = manifest::load::secret_values(dir)
            .map_err(|error| Failure::invalid(Problem::from_error(&error)))?;
        mask.learn_values(secrets.iter().map(String::as_str));
    }
    let sources = sources(args, dir, &live)?;
    let report = trace_all(&target.name, &live, path.as_ref(), &sources, &mask);
    match printer.format() {
        Format::Text => printer.result(&tell::text(&report)),
        Format::Json | Format::Ndjson => {
            printer.json(&serde_json::to_value(&report).unwrap_or_default());
        }
    }
    // A field that is not there is an answer, but not the one that was asked for.
    Ok(if report.fields.iter().all(|field| field.is_absent()) { Exit::Failed } else { Exit::Done })
}

fn asked(text: &str) -> Result<Asked, Failure> {
    let parts: Vec<&str> = text.split('/').collect();
    let (kind, namespace, name) = match parts.as_slice() {
        [kind, name] => (*kind, None, *name),
        [kind, namespace, name] => (*kind, Some((*namespace).to_owned()), *name),
        _ => ("", None, ""),
    };
    if kind.is_empty() || name.is_empty() || namespace.as_deref() == Some("") {
        let problem =
            Problem::new(format!("not an object, expected KIND/NAME or KIND/NAMESPACE/NAME: `{text}`"));
        return Err(Failure::invalid(problem.hint("for example `Deployment/web`, `Deployment/shop/web`")));
    }
    Ok(Asked { kind: kind.to_owned(), namespace, name: name.to_owned() })
}

fn target(args: &TraceArgs) -> Result<Target, Failure> {
    let mut targets = configs::targets(&args.reach)?;
    let names: Vec<String> = targets.iter().map(|target| target.name.to_string()).collect();
    match names.iter().position(|name| *name == args.name) {
        Some(index) => Ok(targets.swap_remove(index)),
        None => Err(Failure::invalid(
            Problem::new(format!("no kubeconfig names this cluster: `{}`", args.name))
                .hint(format!("there are {}", names.join(", "))),
        )),
    }
}

/// The kinds that can be asked about without a manifest, in the form of the API.
const KINDS: [(&str, &str); 14] = [
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
    ("batch/v1", "Job"),
    ("batch/v1", "CronJob"),
    ("v1", "Service"),
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "Pod"),
    ("v1", "Namespace"),
    ("v1", "ServiceAccount"),
    ("networking.k8s.io/v1", "Ingress"),
    ("autoscaling/v2", "HorizontalPodAutoscaler"),
    ("policy/v1", "PodDisruptionBudget"),
];

async fn read(
    args: &TraceArgs,
    connect: ConnectOptions,
    target: &Target,
    asked: &Asked,
    rendered: Option<&InFile>,
) -> Result<Value, Failure> {
    let from_file =
        rendered.and_then(|object| Some((object.text(&["apiVersion"])?, object.text(&["kind"])?)));
    let known = KINDS.iter().find(|(_, kind)| kind.eq_ignore_ascii_case(&asked.kind));
    let Some((api_version, kind)) =
        from_file.or_else(|| known.map(|(version, kind)| ((*version).to_owned(), (*kind).to_owned())))
    else {
        let problem = Problem::new(format!("no manifest says which API has this kind: `{}`", asked.kind));
        return Err(Failure::invalid(
            problem.hint("name the directory of its manifest: `--manifests-dir DIR`"),
        ));
    };
    let namespace = asked.namespace.clone().or_else(|| rendered?.text(&["metadata", "namespace"]));
    let failed = |what: String, error: &(dyn std::error::Error + 'static)| {
        Failure::failed(Problem::from_error(error).context(what))
    };
    let deadline = Instant::now() + args.reach.timeout;
    let plugins = Plugins::new(args.reach.plugin_timeout);
    let events = Events::unheard(target.name.clone());
    let connection = Connection::open(target, &connect, &plugins, deadline, events)
        .await
        .map_err(|error| failed(format!("cannot connect to `{}`", target.name), &error))?;
    let found = find(&connection, (&api_version, &kind), namespace.as_deref(), &asked.name)
        .await
        .map_err(|error| failed(format!("cannot ask `{}`", target.name), &error))?;
    let place = namespace.unwrap_or_else(|| connection.namespace().to_owned());
    match found {
        Found::One(object) => Ok(*object),
        Found::NoKind => Err(Failure::failed(Problem::new(format!(
            "cluster `{}` serves no `{kind}` of `{api_version}`",
            target.name
        )))),
        Found::Descendants(names) => {
            let problem = Problem::new(format!(
                "cluster `{}` has no {kind} `{}` in namespace `{place}`",
                target.name, asked.name
            ));
            Err(Failure::failed(match names.is_empty() {
                true => problem.hint(format!("kubectl get {} -n {place}", kind.to_lowercase())),
                false => problem.hint(format!("made from a manifest of this name are {}", names.join(", "))),
            }))
        }
    }
}

fn sources(args: &TraceArgs, dir: Option<PathBuf>, live: &Value) -> Result<Sources, Failure> {
    let metadata = &live["metadata"];
    let name = metadata["name"].as_str().unwrap_or_default();
    let original = manifest::object::annotation(live, ORIGINAL_NAME).unwrap_or(name);
    let kind = live["kind"].as_str().unwrap_or_default();
    let (mut rendered, mut index) = (None, None);
    if let Some(dir) = dir.as_ref().filter(|dir| dir.is_dir()) {
        let found = manifest::find::find(dir, kind, metadata["namespace"].as_str(), &[name, original])
            .map_err(|errors| {
                Failure::all(Exit::Invalid, errors.iter().map(crate::input::problem).collect())
            })?;
        rendered = found.into_iter().next();
        index = manifest::index::Index::read(dir)
            .map_err(|error| Failure::invalid(Problem::from_error(&error)))?;
    }
    let source = args.source_dir.clone().or_else(|| above(dir.as_deref()?));
    Ok(Sources { dir, rendered, index, source })
}

/// The nearest folder above with a kit.yaml.
fn above(dir: &Path) -> Option<PathBuf> {
    let full = dir.canonicalize().ok()?;
    full.ancestors().find(|folder| folder.join(manifest::config::FILE_NAME).is_file()).map(Path::to_owned)
}
