//! Narration on stderr while clusters are worked on: a line per thing worth knowing, and a sign of life.

use std::collections::BTreeMap;
use std::time::Duration;

use cli::{Format, Printer};
use cluster::events::{Event, Happening, Stage};
use cluster::outcome::ObjectResult;
use manifest::{ClusterName, ObjectRef};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

/// How much is said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Narration {
    /// Object by object.
    pub(crate) debug: bool,
    /// A line at least this often while something is waited for.
    pub(crate) keep_alive: Option<Duration>,
}

/// Tells events until nobody sends any.
pub(crate) async fn narrate(mut events: UnboundedReceiver<Event>, printer: Printer, narration: Narration) {
    let mut pending: BTreeMap<(ClusterName, ObjectRef), String> = BTreeMap::new();
    let mut running = 0_usize;
    let mut last = Instant::now();
    loop {
        let silence = narration.keep_alive.map_or(Duration::from_secs(3600), |every| every);
        let event = match tokio::time::timeout_at(last + silence, events.recv()).await {
            Ok(Some(event)) => event,
            Ok(None) => return,
            Err(_) => {
                last = Instant::now();
                if narration.keep_alive.is_some() && running > 0 {
                    printer.say(&still(running, &pending));
                }
                continue;
            }
        };
        if printer.format() == Format::Ndjson {
            printer.json(&event);
        }
        match &event.what {
            Happening::Started => running += 1,
            Happening::Finished { .. } => {
                running = running.saturating_sub(1);
                pending.retain(|(cluster, _), _| *cluster != event.cluster);
            }
            Happening::Rollout { object, stage, message } => {
                let key = (event.cluster.clone(), object.clone());
                match stage {
                    Stage::Ready => pending.remove(&key),
                    Stage::Progressing | Stage::Troubled | Stage::Failed => {
                        pending.insert(key, message.clone())
                    }
                };
            }
            Happening::Connected
            | Happening::Planned { .. }
            | Happening::Retrying { .. }
            | Happening::Warning { .. }
            | Happening::Phase { .. }
            | Happening::Object { .. } => {}
        }
        if let Some(line) = line(&event, narration.debug) {
            printer.say(&line);
            last = Instant::now();
        }
    }
}

fn still(running: usize, pending: &BTreeMap<(ClusterName, ObjectRef), String>) -> String {
    let clusters = if running == 1 { "1 cluster".to_owned() } else { format!("{running} clusters") };
    match pending.iter().next() {
        Some(((cluster, object), message)) => {
            let more = match pending.len() - 1 {
                0 => String::new(),
                more => format!(" (and {more} more)"),
            };
            format!("still working on {clusters}; {cluster}: waiting for {object}: {message}{more}")
        }
        None => format!("still working on {clusters}"),
    }
}

/// What is worth a line, and with `debug` the rest.
fn line(event: &Event, debug: bool) -> Option<String> {
    let cluster = &event.cluster;
    let text = match &event.what {
        Happening::Retrying { what, attempt, because, pause_ms } => {
            // The first retry of a request is everyday life.
            (debug || *attempt > 1)
                .then(|| format!("{what}: {because}; again in {pause_ms} ms (try {attempt})"))
        }
        Happening::Warning { object: Some(object), text } => Some(format!("warning: {object}: {text}")),
        Happening::Warning { object: None, text } => Some(format!("warning: {text}")),
        Happening::Object { object, result } => match result {
            ObjectResult::Failed { trouble } => Some(format!("{object} failed: {}", trouble.line())),
            ObjectResult::NotReady { trouble, .. } => {
                Some(format!("{object} is not ready: {}", trouble.line()))
            }
            ObjectResult::Skipped { because } => Some(format!("{object} skipped: {because}")),
            ObjectResult::Created => debug.then(|| format!("{object} created")),
            ObjectResult::Configured => debug.then(|| format!("{object} changed")),
            ObjectResult::Recreated => debug.then(|| format!("{object} recreated")),
            ObjectResult::Deleted => debug.then(|| format!("{object} deleted")),
            ObjectResult::Unchanged => None,
        },
        Happening::Rollout { object, stage, message } => match stage {
            Stage::Troubled => Some(format!("{object}: {message}")),
            Stage::Failed => Some(format!("{object} will not get ready: {message}")),
            Stage::Ready => debug.then(|| format!("{object} is ready")),
            Stage::Progressing => debug.then(|| format!("{object}: {message}")),
        },
        Happening::Phase { phase, objects } => debug.then(|| format!("writing {phase} ({objects})")),
        Happening::Started => debug.then(|| "started".to_owned()),
        Happening::Connected => debug.then(|| "connected".to_owned()),
        Happening::Planned { counts } => {
            debug.then(|| format!("{} to write, {} unchanged", counts.changes(), counts.unchanged))
        }
        Happening::Finished { state, seconds } => {
            Some(format!("{} after {seconds:.1} s", format!("{state:?}").to_lowercase()))
        }
    };
    text.map(|text| format!("{cluster}: {}", text.lines().next().unwrap_or_default()))
}
