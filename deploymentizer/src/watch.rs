//! `--watch`: renders what a saved file reaches, each time one is saved.

mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cli::{Exit, Failure, Format, Printer};
use manifest::{KitConfig, config};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use render::external::Environment;
use render::files::{DiskFiles, resolve, shown as path_shown};
use render::plan::Renderer;
use render::problem::{Problem, deduplicate};
use render::source::{Cluster, Folders};

use crate::args::Args;
use crate::counted::counted;
use crate::problems::{invalid_one, shown};
use crate::report::{Report, Status};
use crate::run::{load_from, select, validation};
use crate::validation::Validation;
use crate::write::{may_clean, remove_gone, write};

use known::{Known, Resources};

/// A save is several events; it is over when none came for so long.
const QUIET: Duration = Duration::from_millis(4);
/// But no longer than this after the first one.
const PATIENCE: Duration = Duration::from_millis(100);

/// Renders, and again for each saved file, until it is stopped. What is wrong is said, and the next save looked at.
///
/// Killed at any instant, each cluster's folder is the old one or the new one.
pub(crate) fn watch(args: &Args, environment: Environment, printer: &Printer) -> Result<Exit, Failure> {
    let validation = validation(args)?;
    let here = std::env::current_dir().map_err(|error| {
        invalid_one(Problem::new("cannot tell the current folder").cause(error.to_string()))
    })?;
    let (sender, events) = channel();
    let mut watcher = notify::recommended_watcher(move |event| {
        // Nobody listens any more when the program ends.
        let _ = sender.send(event);
    })
    .map_err(|error| failed("cannot watch files", &error))?;
    let mut watched = BTreeSet::new();
    // Before the first rendering, so that no save falls between.
    let folder = absolute(&here, config::folder(&args.conf));
    watch_folder(&mut watcher, &folder, RecursiveMode::NonRecursive, &mut watched)?;
    let mut known = Known::new();
    let (mut saved, mut start): (Option<BTreeSet<PathBuf>>, Instant) = (None, Instant::now());
    loop {
        match cycle(args, &environment, validation.as_ref(), &here, saved.as_ref(), &mut known) {
            Ok(Some((done, news))) => {
                // A folder that was made anew is another one to the system.
                let folders = folders(&done.renderer.repository().folders, &here);
                let is_new = |(folder, _): &(PathBuf, RecursiveMode)| {
                    saved.iter().flatten().any(|path| folder.starts_with(path))
                };
                if folders.iter().any(is_new) {
                    watched.clear();
                }
                for (folder, mode) in folders {
                    watch_folder(&mut watcher, &folder, mode, &mut watched)?;
                }
                tell(news, &done, start, args, printer);
                // Nobody waits for this.
                known.learn(done, &here);
            }
            Ok(None) => {}
            // The first time it is the command line that may be wrong; later it is a file that somebody is writing.
            Err(failure) if saved.is_none() && !args.conf.exists() => return Err(failure),
            Err(failure) => {
                failure.problems.iter().for_each(|problem| printer.error(problem));
                known.pending.extend(saved.take().unwrap_or_default());
                // The repository may be broken where it is not watched yet.
                for folder in configured(&args.conf) {
                    watch_folder(
                        &mut watcher,
                        &absolute(&here, &folder),
                        RecursiveMode::NonRecursive,
                        &mut watched,
                    )?;
                }
                printer.say("watching");
            }
        }
        let (paths, first) = next(&events, &here)?;
        (saved, start) = (Some(paths), first);
    }
}

/// What one turn did.
struct Done {
    renderer: Renderer,
    /// The clusters that what was saved can reach.
    touched: Vec<Cluster>,
    /// All of them.
    clusters: Vec<Cluster>,
    /// What is known of the clusters that were rendered.
    learned: BTreeMap<String, Resources>,
}

/// What there is to tell of it.
struct News {
    saved: Vec<String>,
    report: Report,
    /// How many resources were rendered, each in each cluster counted.
    resources: usize,
}

/// The folders that a repository is read from.
fn folders(folders: &Folders, here: &Path) -> Vec<(PathBuf, RecursiveMode)> {
    let Folders { root: _, config, base, types, clusters, resources, images, output: _ } = folders;
    let flat = [config::folder(config), base, types];
    let flat = flat.into_iter().map(|folder| (folder, RecursiveMode::NonRecursive));
    let deep = [clusters, resources, images].map(|folder| (&**folder, RecursiveMode::Recursive));
    flat.chain(deep).map(|(folder, mode)| (absolute(here, folder), mode)).collect()
}

/// The folders whose files every cluster needs, as far as kit.yaml can be read.
fn configured(conf: &Path) -> Vec<PathBuf> {
    let Ok(read) = KitConfig::read(&config::file(conf)) else { return Vec::new() };
    let config = read.rooted(config::folder(conf));
    vec![config.base, config.types]
}

/// Renders what the saved files reach, everything the first time; `None` if they reach nothing.
fn cycle(
    args: &Args,
    environment: &Environment,
    validation: Option<&Validation>,
    here: &Path,
    saved: Option<&BTreeSet<PathBuf>>,
    known: &mut Known,
) -> Result<Option<(Done, News)>, Failure> {
    // Our own writing is not a save.
    let ours = |path: &PathBuf| known.output.as_ref().is_some_and(|output| path.starts_with(output));
    let saved: Option<BTreeSet<PathBuf>> =
        saved.map(|saved| saved.union(&known.pending).filter(|path| !ours(path)).cloned().collect());
    if saved.as_ref().is_some_and(BTreeSet::is_empty) {
        return Ok(None);
    }
    let (renderer, selection) =
        load_from(args, environment.clone(), Arc::new(DiskFiles), known.parsed.clone())?;
    let (clusters, problems) = select(&renderer, &selection)?;
    let repository = renderer.repository();
    known.output = Some(absolute(here, &repository.folders.output));
    let everything = known.schema != Some(repository.schema) || saved.as_ref().is_none_or(changes_services);
    let touched: Vec<Cluster> = clusters
        .iter()
        .filter(|cluster| everything || known.touched(&cluster.name, saved.as_ref()))
        .cloned()
        .collect();
    let gone = known.clusters.keys().any(|name| !clusters.iter().any(|cluster| *cluster.name == **name));
    if touched.is_empty() && !gone && problems.is_empty() {
        known.pending.clear();
        return Ok(None);
    }
    let learned: Mutex<(usize, BTreeMap<String, Resources>)> = Mutex::default();
    let mut report = write(&renderer, &touched, problems, args, |cluster| {
        let turned = known.render(&renderer, cluster, validation)?;
        let mut learned = learned.lock().unwrap_or_else(PoisonError::into_inner);
        learned.0 += turned.count;
        learned.1.insert(cluster.name.to_string(), turned.resources);
        Ok(turned.part)
    })?;
    report.validation = validation.map(Validation::summary);
    if (gone || everything) && may_clean(&renderer, &selection, &report, args) {
        remove_gone(&renderer, &clusters, args, &mut report)?;
    }
    known.pending.clear();
    let (resources, mut learned) = learned.into_inner().unwrap_or_else(PoisonError::into_inner);
    for cluster in report.clusters.iter().filter(|cluster| cluster.status == Status::Failed) {
        learned.remove(&cluster.name);
    }
    let name = |path: PathBuf| path_shown(path.strip_prefix(here).unwrap_or(&path));
    let saved = saved.into_iter().flatten().map(name).collect();
    Ok(Some((Done { renderer, touched, clusters, learned }, News { saved, report, resources })))
}

/// The template of services is looked for by its name.
fn changes_services(saved: &BTreeSet<PathBuf>) -> bool {
    saved.iter().any(|path| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("base-svc."))
    })
}

fn tell(news: News, done: &Done, start: Instant, args: &Args, printer: &Printer) {
    let News { saved: names, report, resources } = news;
    let Done { renderer, touched, clusters, learned: _ } = done;
    let millis = start.elapsed().as_millis();
    if printer.format() == Format::Text {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let what = if names.is_empty() {
            "rendered".to_owned()
        } else {
            format!("saved {}", counted(&names, "file"))
        };
        report.print(printer, Exit::Done, &renderer.repository().lints(), args.debug);
        let (touched, clusters) = (touched.len(), clusters.len());
        printer.say(&format!(
            "{what}: reaches {resources} resources in {touched} of {clusters} clusters, {millis} ms; watching"
        ));
        return;
    }
    let problems: Vec<cli::Problem> = deduplicate(report.problems).iter().map(shown).collect();
    let warnings: Vec<cli::Problem> = deduplicate(report.warnings).iter().map(shown).collect();
    problems.iter().for_each(|problem| printer.error(problem));
    let line = serde_json::json!({
        "version": 1,
        "saved": names,
        "rendered": touched.len(),
        "resources": resources,
        "milliseconds": u64::try_from(millis).unwrap_or(u64::MAX),
        "clusters": report.clusters,
        "errors": problems,
        "warnings": warnings,
    });
    printer.result(&format!("{line}\n"));
}

/// Waits for the next save, and for its end.
fn next(
    events: &Receiver<notify::Result<Event>>,
    here: &Path,
) -> Result<(BTreeSet<PathBuf>, Instant), Failure> {
    let ended = || Failure::failed(cli::Problem::new("the system does not tell of saved files any more"));
    let mut saved = BTreeSet::new();
    let mut first: Option<Instant> = None;
    loop {
        let event = match first {
            None => events.recv().map_err(|_| ended())?,
            Some(first) if first.elapsed() > PATIENCE => return Ok((saved, first)),
            Some(first) => match events.recv_timeout(QUIET) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => return Ok((saved, first)),
                Err(RecvTimeoutError::Disconnected) => return Err(ended()),
            },
        };
        match event {
            Ok(event) if matters(event.kind) => {
                saved.extend(event.paths.iter().map(|path| absolute(here, path)))
            }
            Ok(event) if event.need_rescan() => drop(saved.insert(here.to_owned())),
            Ok(_) => {}
            Err(error) => saved.extend(error.paths.iter().map(|path| absolute(here, path))),
        }
        if !saved.is_empty() {
            first.get_or_insert_with(Instant::now);
        }
    }
}

/// Reading is no save.
fn matters(kind: EventKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        EventKind::Any
        | EventKind::Create(_)
        | EventKind::Modify(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

fn absolute(here: &Path, path: &Path) -> PathBuf {
    resolve(here, path)
}

/// Watches a folder, if it is there and is not watched yet.
fn watch_folder(
    watcher: &mut RecommendedWatcher,
    folder: &Path,
    mode: RecursiveMode,
    watched: &mut BTreeSet<(PathBuf, bool)>,
) -> Result<(), Failure> {
    if !folder.is_dir() || !watched.insert((folder.to_owned(), mode == RecursiveMode::Recursive)) {
        return Ok(());
    }
    watcher
        .watch(folder, mode)
        .map_err(|error| failed(&format!("cannot watch `{}`", path_shown(folder)), &error))
}

fn failed(what: &str, error: &notify::Error) -> Failure {
    let problem = cli::Problem::new(what.to_owned());
    let problem = match error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            problem.hint("raise the limit: `sysctl fs.inotify.max_user_watches=524288`")
        }
        notify::ErrorKind::Generic(_)
        | notify::ErrorKind::Io(_)
        | notify::ErrorKind::PathNotFound
        | notify::ErrorKind::WatchNotFound
        | notify::ErrorKind::InvalidConfig(_) => problem,
    };
    Failure::failed(cli::Problem { causes: vec![error.to_string()], ..problem })
}
