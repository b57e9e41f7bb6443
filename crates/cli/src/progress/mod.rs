//! What is going on, cluster by cluster: drawn again and again on a terminal, or told line by line elsewhere.
//!
//! [`Board`] is the state and draws itself as lines of text, purely; [`Live`] puts such a drawing on a terminal.

mod live;

use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::report::seconds;

pub use live::Live;

/// How a cluster stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It has failed.
    Failed,
    /// It is being worked on.
    Running,
    /// Its turn has not come.
    Queued,
    /// It is as wanted.
    Done,
}

/// One cluster on the board.
#[derive(Clone, Debug)]
struct Row {
    name: String,
    standing: Standing,
    phase: String,
    done: usize,
    total: usize,
    note: String,
    started: Option<Duration>,
    ended: Option<Duration>,
}

/// All clusters of a run. Times are durations since the run began.
#[derive(Clone, Debug)]
pub struct Board {
    rows: Vec<Row>,
    /// Colours and bold.
    colour: bool,
}

/// Columns and rows of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl Board {
    /// A board of clusters of which none has begun.
    #[must_use]
    pub fn new(names: impl IntoIterator<Item = String>, colour: bool) -> Self {
        let mut rows: Vec<Row> = names
            .into_iter()
            .map(|name| Row {
                name,
                standing: Standing::Queued,
                phase: "queued".to_owned(),
                done: 0,
                total: 0,
                note: String::new(),
                started: None,
                ended: None,
            })
            .collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Self { rows, colour }
    }

    fn row(&mut self, name: &str) -> Option<&mut Row> {
        let index = self.rows.binary_search_by(|row| row.name.as_str().cmp(name)).ok()?;
        self.rows.get_mut(index)
    }

    /// A cluster's turn has come, or its next phase. Returns whether that is news.
    pub fn phase(&mut self, name: &str, phase: &str, now: Duration) -> bool {
        let Some(row) = self.row(name) else { return false };
        row.started.get_or_insert(now);
        row.standing = Standing::Running;
        row.note.clear();
        let news = row.phase != phase;
        phase.clone_into(&mut row.phase);
        news
    }

    /// How many of its objects are through.
    pub fn count(&mut self, name: &str, done: usize, total: usize) {
        if let Some(row) = self.row(name) {
            (row.done, row.total) = (done, total);
        }
    }

    /// One more of its objects is through.
    pub fn advance(&mut self, name: &str) {
        if let Some(row) = self.row(name) {
            row.done = (row.done + 1).min(row.total.max(row.done));
        }
    }

    /// What it is about right now.
    pub fn note(&mut self, name: &str, note: &str) {
        if let Some(row) = self.row(name) {
            note.clone_into(&mut row.note);
        }
    }

    /// A cluster is through.
    pub fn finish(&mut self, name: &str, good: bool, phase: &str, note: &str, now: Duration) {
        if let Some(row) = self.row(name) {
            row.standing = if good { Standing::Done } else { Standing::Failed };
            phase.clone_into(&mut row.phase);
            note.clone_into(&mut row.note);
            row.started.get_or_insert(now);
            row.ended = Some(now);
        }
    }

    /// How many clusters stand so.
    #[must_use]
    pub fn number(&self, standing: Standing) -> usize {
        self.rows.iter().filter(|row| row.standing == standing).count()
    }

    /// One line for a log that must not fall silent: how many are through, and what the others are at.
    #[must_use]
    pub fn keep_alive(&self, now: Duration) -> String {
        const SHOWN: usize = 3;
        let running: Vec<&Row> = self.rows.iter().filter(|row| row.standing == Standing::Running).collect();
        let mut told: Vec<String> = running.iter().take(SHOWN).map(|row| row.sentence()).collect();
        if running.len() > SHOWN {
            told.push(format!("{} more", running.len() - SHOWN));
        }
        format!("still at work: {}; {}: {}", self.summary(), seconds(now.as_secs_f64()), told.join(", "))
    }

    fn summary(&self) -> String {
        let failed = match self.number(Standing::Failed) {
            0 => String::new(),
            n => format!(", {n} failed"),
        };
        format!("{}/{} clusters done{failed}", self.number(Standing::Done), self.rows.len())
    }

    /// The board as lines that fit into `size`: a line per cluster and the total. Where not all fit, those that
    /// failed and those at work come first, and the rest is counted.
    #[must_use]
    pub fn draw(&self, size: Size, now: Duration) -> Vec<String> {
        // One row stays free for the cursor, one column so that no terminal wraps.
        let (width, room) = (size.width.saturating_sub(1).max(20), size.height.saturating_sub(2).max(1));
        let mut shown: Vec<&Row> = self.rows.iter().collect();
        let mut hidden = 0;
        if shown.len() > room {
            shown.sort_by_key(|row| (row.standing, row.started));
            hidden = shown.len() - room.saturating_sub(1);
            shown.truncate(shown.len() - hidden);
            shown.sort_by(|a, b| a.name.cmp(&b.name));
        }
        let widest = shown.iter().map(|row| row.name.width()).max().unwrap_or(0).max("total".len());
        let columns =
            Columns::of(width, widest, shown.iter().map(|row| row.phase.width()).max().unwrap_or(0));
        let mut lines: Vec<String> = shown.iter().map(|row| columns.line(row, now, self.colour)).collect();
        if hidden > 0 {
            lines.push(fit(&format!("… and {hidden} more clusters"), width));
        }
        let (done, total) = self.rows.iter().fold((0, 0), |(d, t), row| (d + row.done, t + row.total));
        let all = Row {
            name: "total".to_owned(),
            standing: Standing::Running,
            phase: self.summary(),
            done,
            total,
            note: String::new(),
            started: Some(Duration::ZERO),
            ended: None,
        };
        lines.push(columns.total(&all, now, self.colour));
        lines
    }
}

impl Row {
    fn seconds(&self, now: Duration) -> f64 {
        let end = self.ended.unwrap_or(now);
        self.started.map_or(0.0, |started| end.saturating_sub(started).as_secs_f64())
    }

    fn sentence(&self) -> String {
        match self.note.as_str() {
            "" => format!("{} {}", self.name, self.phase),
            note => format!("{} {} ({note})", self.name, self.phase),
        }
    }

    fn counted(&self) -> String {
        if self.total == 0 { String::new() } else { format!("{}/{}", self.done, self.total) }
    }
}

/// How the width is shared out.
struct Columns {
    name: usize,
    phase: usize,
    bar: usize,
    width: usize,
}

const COUNT: usize = 9;
const TIME: usize = 7;

impl Columns {
    fn of(width: usize, name: usize, phase: usize) -> Self {
        let bar = match width {
            0..60 => 0,
            60..120 => 10,
            _ => 24,
        };
        Self { name: name.min(width / 4), phase: phase.clamp(8, 14), bar, width }
    }

    fn bar(&self, row: &Row) -> String {
        if self.bar == 0 {
            return String::new();
        }
        let full = match row.total {
            0 => 0,
            total => self.bar * row.done / total,
        };
        format!("[{}{}] ", "#".repeat(full), ".".repeat(self.bar - full))
    }

    fn line(&self, row: &Row, now: Duration, colour: bool) -> String {
        let time = match row.standing {
            Standing::Queued => String::new(),
            Standing::Failed | Standing::Running | Standing::Done => clock(row.seconds(now)),
        };
        let text = format!(
            "{} {} {}{:>COUNT$} {:>TIME$}  {}",
            pad(&row.name, self.name),
            pad(&row.phase, self.phase),
            self.bar(row),
            row.counted(),
            time,
            row.note
        );
        paint(&fit(&text, self.width), row.standing, colour)
    }

    fn total(&self, row: &Row, now: Duration, colour: bool) -> String {
        let head = format!("{} {}", pad(&row.name, self.name), row.phase);
        let text = format!("{head}  {}{}  {}", self.bar(row), row.counted(), clock(row.seconds(now)));
        let text = fit(&text, self.width);
        if colour { format!("\u{1b}[1m{text}\u{1b}[0m") } else { text }
    }
}

fn paint(text: &str, standing: Standing, colour: bool) -> String {
    let code = match standing {
        _ if !colour => return text.to_owned(),
        Standing::Failed => "31",
        Standing::Done => "32",
        Standing::Queued => "2",
        Standing::Running => return text.to_owned(),
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// `0:07`, `12:05`, `1:02:05`.
fn clock(seconds: f64) -> String {
    let whole = Duration::from_secs_f64(seconds).as_secs();
    let (hours, minutes, seconds) = (whole / 3600, whole / 60 % 60, whole % 60);
    if hours > 0 { format!("{hours}:{minutes:02}:{seconds:02}") } else { format!("{minutes}:{seconds:02}") }
}

/// `text` in exactly `width` columns.
fn pad(text: &str, width: usize) -> String {
    let text = cut(text, width);
    let missing = width.saturating_sub(text.width());
    text + &" ".repeat(missing)
}

/// `text` in at most `width` columns, without control characters and spaces at its end.
pub(crate) fn fit(text: &str, width: usize) -> String {
    cut(text, width).trim_end().to_owned()
}

fn cut(text: &str, width: usize) -> String {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if clean.width() <= width {
        return clean;
    }
    let mut kept = String::new();
    let mut used = 0;
    for c in clean.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide + 1 > width {
            break;
        }
        used += wide;
        kept.push(c);
    }
    kept.push('…');
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn board() -> Board {
        let names = ["eu-west-1-production", "us-1", "ap-1", "ap-2", "東京"].map(str::to_owned);
        let mut board = Board::new(names, false);
        board.phase("us-1", "applying", at(1));
        board.count("us-1", 12, 48);
        board.note("us-1", "config");
        board.phase("eu-west-1-production", "waiting", at(2));
        board.count("eu-west-1-production", 47, 50);
        board.note("eu-west-1-production", "Deployment/shop/web: waiting for 2/3 replicas to be updated");
        board.phase("ap-1", "planning", at(1));
        board.finish("ap-1", false, "failed", "the server does not answer: https://10.0.0.1:6443", at(11));
        board.phase("東京", "planning", at(1));
        board.count("東京", 50, 50);
        board.finish("東京", true, "done", "2 configured, 48 unchanged", at(5));
        board
    }

    fn drawn(width: usize, height: usize) -> String {
        board().draw(Size { width, height }, at(65)).join("\n")
    }

    #[test]
    fn a_screen_of_80_columns() {
        insta::assert_snapshot!(drawn(80, 24));
    }

    #[test]
    fn a_screen_of_200_columns() {
        insta::assert_snapshot!(drawn(200, 50));
    }

    #[test]
    fn a_small_screen_shows_what_failed_and_what_runs_and_counts_the_rest() {
        insta::assert_snapshot!(drawn(50, 6));
    }

    #[test]
    fn no_line_is_wider_and_no_screen_higher_than_the_terminal() {
        for (width, height) in [(30, 4), (80, 5), (81, 24), (120, 3), (400, 60)] {
            let lines = board().draw(Size { width, height }, at(65));
            assert!(lines.len() < height.max(4), "{lines:?}");
            assert!(lines.iter().all(|line| line.width() < width), "{lines:#?}");
        }
    }

    #[test]
    fn a_keep_alive_line_says_how_far_it_is_and_what_is_missing() {
        assert_eq!(
            board().keep_alive(at(125)),
            "still at work: 1/5 clusters done, 1 failed; 2 min 5 s: eu-west-1-production waiting \
             (Deployment/shop/web: waiting for 2/3 replicas to be updated), us-1 applying (config)"
        );
    }
}
