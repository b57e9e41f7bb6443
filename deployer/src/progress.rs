//! Narration on stderr while clusters are worked on: a board that is redrawn on a terminal, a line per thing worth knowing
//! and a sign of life elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cli::progress::{Board, Live};
use cli::{Format, Printer};
use cluster::events::{Event, Happening, Stage};
use cluster::outcome::{ClusterState, ObjectResult};
use manifest::ClusterName;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::waves::news::News;

/// How much is said, and how.
#[derive(Clone, Debug)]
pub(crate) struct Narration {
    /// Object by object.
    pub(crate) debug: bool,
    /// A line at least this often while something is waited for.
    pub(crate) keep_alive: Option<Duration>,
    /// Redraw a board in place, in colour or not; or tell line by line.
    pub(crate) live: Option<Colour>,
    /// In a log every change of state is worth a line.
    pub(crate) ci: bool,
    /// All clusters of the run.
    pub(crate) clusters: Vec<String>,
}

/// Whether the board is coloured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    Yes,
    No,
}

/// How often a board's clock moves.
const TICK: Duration = Duration::from_millis(250);

/// Tells events until nobody sends any, and news of waves after the events that came before them.
pub(crate) async fn narrate(
    mut events: UnboundedReceiver<Event>,
    mut news: UnboundedReceiver<(News, oneshot::Sender<()>)>,
    printer: Printer,
    narration: Narration,
) {
    let mut view = View::new(printer, narration);
    let mut last = Instant::now();
    loop {
        let due = if view.live.is_some() { Instant::now() + TICK } else { last + view.silence() };
        let event = tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => event,
                None => return,
            },
            Some((news, told)) = news.recv() => {
                view.tell_news(&news);
                last = Instant::now();
                // Who has told it may have gone.
                let _ = told.send(());
                continue;
            }
            () = tokio::time::sleep_until(due) => {
                last = Instant::now();
                view.tick();
                continue;
            }
        };
        if printer.format() == Format::Ndjson {
            printer.json(&event);
        }
        view.update(&event);
        if view.tell(&event) {
            last = Instant::now();
        }
    }
}

/// An object that is waited for: its `apiVersion`, because two groups may have a kind of one name, and on a second line what it is
/// called.
type Waiting = Box<str>;

/// What has been heard, and where it is shown.
struct View {
    printer: Printer,
    narration: Narration,
    started: Instant,
    board: Board,
    live: Option<Live>,
    /// What is waited for, and what is said of it; kept only where it is shown.
    pending: BTreeMap<ClusterName, BTreeMap<Waiting, Arc<str>>>,
}

impl View {
    fn new(printer: Printer, narration: Narration) -> Self {
        let colour = narration.live == Some(Colour::Yes);
        Self {
            printer,
            started: Instant::now(),
            board: Board::new(narration.clusters.iter().cloned(), colour),
            live: narration.live.map(|_| Live::on_stderr()),
            narration,
            pending: BTreeMap::new(),
        }
    }

    /// Whether anybody sees the board.
    fn is_shown(&self) -> bool {
        self.live.is_some() || self.narration.keep_alive.is_some()
    }

    fn silence(&self) -> Duration {
        self.narration.keep_alive.unwrap_or(Duration::from_secs(3600))
    }

    fn draw(&mut self) {
        if let Some(live) = &mut self.live {
            live.draw(&self.board.draw(Live::size(), self.started.elapsed()));
        }
    }

    fn tick(&mut self) {
        let running = self.board.number(cli::progress::Standing::Running) > 0;
        if self.live.is_some() {
            self.draw();
        } else if running && self.narration.keep_alive.is_some() {
            self.printer.say(&self.board.keep_alive(self.started.elapsed()));
        }
    }

    /// Says what the event is worth; returns whether that was anything.
    fn tell(&mut self, event: &Event) -> bool {
        let line = line(event, self.narration.debug, self.narration.ci);
        match (&mut self.live, line) {
            (Some(live), line) => {
                if let Some(line) = line.filter(|_| is_lasting(event)) {
                    live.above(&line);
                    self.draw();
                } else if live.is_due() || matches!(event.what, Happening::Finished { .. }) {
                    self.draw();
                }
                true
            }
            (None, Some(line)) => {
                self.printer.say(&line);
                true
            }
            (None, None) => false,
        }
    }

    /// Waves are worth a line everywhere.
    fn tell_news(&mut self, news: &News) {
        if self.printer.format() == Format::Ndjson {
            self.printer.json(news);
        }
        match &mut self.live {
            Some(live) => {
                live.above(&news.line());
                self.draw();
            }
            None => self.printer.say(&news.line()),
        }
    }

    fn update(&mut self, event: &Event) {
        let (cluster, now, shown) = (event.cluster.as_str(), self.started.elapsed(), self.is_shown());
        let board = &mut self.board;
        match &event.what {
            Happening::Started => {
                board.phase(cluster, "connecting", now);
            }
            Happening::Connected => {
                board.phase(cluster, "planning", now);
            }
            Happening::Planned { counts } => {
                let total = counts.changes() + counts.unchanged + counts.skipped + counts.failed;
                board.phase(cluster, "applying", now);
                board.count(cluster, counts.unchanged, total);
            }
            Happening::Phase { phase, .. } => {
                board.phase(cluster, "applying", now);
                board.note(cluster, phase);
            }
            Happening::Object { result, .. } => {
                if *result != ObjectResult::Unchanged {
                    board.advance(cluster);
                }
            }
            Happening::Rollout { .. } if !shown => {
                board.phase(cluster, "waiting", now);
            }
            Happening::Rollout { object, stage, message, .. } => {
                let pending = self.pending.entry(event.cluster.clone()).or_default();
                let waiting = format!("{}\n{object}", object.api_version);
                match stage {
                    Stage::Ready => pending.remove(waiting.as_str()),
                    Stage::Progressing | Stage::Troubled | Stage::Failed => {
                        // Mostly all wait for the same.
                        let message = first_line(message);
                        let said = pending.values().find(|said| ***said == *message).cloned();
                        pending.insert(waiting.into(), said.unwrap_or_else(|| message.into()))
                    }
                };
                board.phase(cluster, "waiting", now);
                let more = match pending.len() {
                    0 | 1 => String::new(),
                    n => format!(" (and {} more)", n - 1),
                };
                if let Some((waiting, message)) = pending.iter().next() {
                    let object = waiting.lines().last().unwrap_or_default();
                    board.note(cluster, &format!("{object}: {message}{more}"));
                }
            }
            Happening::Finished { state, .. } => {
                self.pending.remove(&event.cluster);
                let good = *state == ClusterState::Done;
                board.finish(cluster, good, word(*state), "", now);
            }
            Happening::Retrying { what, because, .. } => board.note(cluster, &format!("{what}: {because}")),
            Happening::Warning { .. } => {}
        }
    }
}

/// Worth staying on the screen above the board.
fn is_lasting(event: &Event) -> bool {
    match &event.what {
        Happening::Warning { .. } | Happening::Object { .. } => true,
        Happening::Rollout { stage, .. } => matches!(stage, Stage::Failed),
        Happening::Started
        | Happening::Connected
        | Happening::Planned { .. }
        | Happening::Retrying { .. }
        | Happening::Phase { .. }
        | Happening::Finished { .. } => false,
    }
}

fn word(state: ClusterState) -> &'static str {
    match state {
        ClusterState::Done => "done",
        ClusterState::Failed => "failed",
        ClusterState::Refused => "refused",
        ClusterState::Interrupted => "interrupted",
        ClusterState::NotStarted => "not started",
    }
}

/// What is worth a line: in a log (`ci`) every change of state, with `debug` the rest.
fn line(event: &Event, debug: bool, ci: bool) -> Option<String> {
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
        Happening::Rollout { object, stage, message, brief } => match stage {
            Stage::Troubled => Some(format!("{object}: {message}")),
            Stage::Failed => {
                let why = brief.as_ref().unwrap_or(message);
                Some(format!("{object} will not get ready: {why}"))
            }
            Stage::Ready => (debug || ci).then(|| format!("{object} is ready")),
            Stage::Progressing => debug.then(|| format!("{object}: {message}")),
        },
        Happening::Phase { phase, objects } => debug.then(|| format!("writing {phase} ({objects})")),
        Happening::Started => debug.then(|| "started".to_owned()),
        Happening::Connected => debug.then(|| "connected".to_owned()),
        Happening::Planned { counts } => {
            (debug || ci).then(|| format!("{} to write, {} unchanged", counts.changes(), counts.unchanged))
        }
        Happening::Finished { state, seconds } => Some(format!("{} after {seconds:.1} s", word(*state))),
    };
    text.map(|text| format!("{cluster}: {}", first_line(&text)))
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
