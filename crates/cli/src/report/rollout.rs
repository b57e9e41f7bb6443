//! The part of a [`Report`] that a rollout in waves adds: which waves there are, how they stand, and where it stopped.

use serde::{Deserialize, Serialize};

use super::html::{Block, Cell, Grid, Section, Tone};
use super::{Report, counted};

/// How a rollout in waves stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RolloutReport {
    /// The waves in their order.
    pub waves: Vec<WaveReport>,
    /// Failed clusters of the fleet that are borne: a count, or a share such as `5%`.
    pub budget: String,
    /// The file from which it can be resumed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub journal: Option<String>,
    /// Where and why it stopped, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stopped: Option<Stopped>,
    /// What the clusters run, where not all run the same.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub versions: Vec<VersionGroup>,
    /// How to go on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub next: Vec<String>,
}

/// One wave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WaveReport {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: WaveState,
    /// Its clusters, sorted.
    pub clusters: Vec<String>,
    /// Clusters that are as wanted.
    pub done: usize,
    /// Clusters that answered, and are not as wanted or did not stay well.
    pub failed: usize,
    /// Clusters that could not be reached: set aside, taken up again by a resume.
    pub quarantined: usize,
    /// Clusters at a time.
    pub concurrency: usize,
    /// How long it has to stay well before the next wave begins.
    pub bake_seconds: f64,
    /// Failed clusters of the wave that are borne, where it has a budget of its own.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub budget: Option<String>,
    /// Who else has to agree, without what may be secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gate: Option<String>,
}

/// How a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaveState {
    /// This is a dry run.
    Planned,
    /// Its turn has not come.
    NotStarted,
    /// The rollout stopped in it.
    Stopped,
    /// It has been deployed, has baked, and its gate has opened.
    Passed,
}

/// Where and why a rollout stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// In which wave.
    pub wave: String,
    /// Why.
    pub because: String,
}

/// Clusters that run the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VersionGroup {
    /// `on 4f2a91c`, `partly on 4f2a91c`, `on an earlier version`, …
    pub version: String,
    /// The clusters, sorted.
    pub clusters: Vec<String>,
}

impl WaveState {
    /// The word in tables and pages.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::NotStarted => "not started",
            Self::Stopped => "stopped",
            Self::Passed => "passed",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Planned | Self::NotStarted => Tone::Plain,
            Self::Stopped => Tone::Bad,
            Self::Passed => Tone::Good,
        }
    }
}

impl WaveReport {
    /// `20 clusters: 13 done, 6 failed`, with names where it is only planned.
    #[must_use]
    pub fn sentence(&self) -> String {
        let all = counted(self.clusters.len(), "cluster");
        let parts = [(self.done, "done"), (self.failed, "failed"), (self.quarantined, "quarantined")];
        let parts: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, word)| format!("{n} {word}")).collect();
        match (self.state, parts.is_empty()) {
            (WaveState::Planned, _) | (_, true) => format!("{all}: {}", some(&self.clusters)),
            (_, false) => format!("{all}: {}", parts.join(", ")),
        }
    }

    /// What it asks for before the next wave begins.
    #[must_use]
    pub fn rules(&self) -> String {
        let mut rules = vec![format!("{} at a time", self.concurrency)];
        if self.bake_seconds > 0.0 {
            rules.push(format!("bakes {}", super::seconds(self.bake_seconds)));
        }
        rules.extend(self.gate.iter().map(|gate| format!("gate {gate}")));
        rules.extend(self.budget.iter().map(|budget| format!("budget {budget}")));
        rules.join(", ")
    }
}

/// The first few of many names.
fn some(names: &[String]) -> String {
    match names.len() {
        0..=6 => names.join(", "),
        n => format!("{} and {} more", names[..5].join(", "), n - 5),
    }
}

impl VersionGroup {
    /// `on 4f2a91c: 3 clusters: a, b, c`.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("{}: {}: {}", self.version, counted(self.clusters.len(), "cluster"), some(&self.clusters))
    }
}

impl RolloutReport {
    /// What it says beyond the waves, a line each.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let stopped = self
            .stopped
            .iter()
            .map(|stopped| format!("stopped in wave `{}`: {}", stopped.wave, stopped.because));
        stopped.chain(self.versions.iter().map(VersionGroup::sentence)).collect()
    }
}

/// The waves as text; empty for a deploy without any.
#[must_use]
pub fn waves(report: &Report) -> String {
    let Some(rollout) = &report.rollout else { return String::new() };
    let width = |of: fn(&WaveReport) -> usize| rollout.waves.iter().map(of).max().unwrap_or(0);
    let name = width(|wave| wave.name.chars().count());
    let state = width(|wave| wave.state.word().len());
    let mut text = String::new();
    for (index, wave) in rollout.waves.iter().enumerate() {
        let rules = if wave.state == WaveState::Planned || wave.state == WaveState::NotStarted {
            format!(" ({})", wave.rules())
        } else {
            String::new()
        };
        text += &format!(
            "wave {}/{} {:name$}  {:state$}  {}{rules}\n",
            index + 1,
            rollout.waves.len(),
            wave.name,
            wave.state.word(),
            wave.sentence()
        );
    }
    text += &format!("failure budget of the fleet: {}\n", rollout.budget);
    for line in rollout.lines() {
        text += &format!("{line}\n");
    }
    for hint in &rollout.next {
        text += &format!("  hint: {hint}\n");
    }
    text
}

/// The waves as a section of a page.
pub(super) fn section(rollout: &RolloutReport) -> Section {
    let row = |wave: &WaveReport| {
        let state = Cell { text: wave.state.word().to_owned(), tone: wave.state.tone(), link: None };
        vec![Cell::from(wave.name.as_str()), state, Cell::from(wave.sentence()), Cell::from(wave.rules())]
    };
    let mut blocks: Vec<Block> = rollout.lines().into_iter().map(Block::Text).collect();
    blocks.push(Block::Text(format!("Failure budget of the fleet: {}", rollout.budget)));
    blocks.push(Block::Table(Grid {
        caption: "Waves".to_owned(),
        head: ["Wave", "State", "Clusters", "Rules"].map(str::to_owned).to_vec(),
        rows: rollout.waves.iter().map(row).collect(),
    }));
    blocks.extend(rollout.next.iter().map(|hint| Block::Text(format!("hint: {hint}"))));
    let badge = match &rollout.stopped {
        Some(_) => ("stopped".to_owned(), Tone::Bad),
        None => (counted(rollout.waves.len(), "wave"), Tone::Plain),
    };
    Section { id: "waves".to_owned(), heading: "Waves".to_owned(), badge, open: true, blocks }
}
