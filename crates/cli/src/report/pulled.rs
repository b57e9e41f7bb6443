//! What a deployer that pulls (`deployer sync`) last did on a cluster, as its note there says.

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use super::html::{Block, Cell, Grid, Tone};
use super::running::ClusterStatus;

/// One `deployer sync` of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncStatus {
    /// The ConfigMap in which it notes how it goes.
    pub name: String,
    /// Where that is.
    pub namespace: String,
    /// The repository, without credentials.
    pub repo: String,
    /// The branch that it follows.
    pub branch: String,
    /// The folder of the repository that holds a folder per cluster.
    pub path: String,
    /// How its last look ended.
    pub state: SyncState,
    /// The commit that it deployed last, or tried to; empty before the first.
    pub commit: String,
    /// The commit that it deployed last without a failure; empty before the first.
    pub synced: String,
    /// Its last error, on one line; empty if all is well.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
    /// Since when state and commit are what they are, RFC 3339.
    pub since: String,
    /// Its last sign of life, RFC 3339.
    pub checked: String,
}

/// How the last look of a sync ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SyncState {
    /// The cluster is as the commit says.
    Synced,
    /// Something of the commit is not, or the repository could not be read.
    Failed,
    /// A guard refused the commit.
    Refused,
}

impl SyncState {
    /// As it is written in tables.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Synced => Tone::Good,
            Self::Failed | Self::Refused => Tone::Bad,
        }
    }
}

const HEAD: [&str; 7] = ["Sync", "Branch", "Commit", "Deployed", "State", "Since", "Last sign of life"];

impl SyncStatus {
    fn title(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn told(&self) -> Vec<Cell> {
        let commit = |sha: &str| match sha.get(..12).unwrap_or(sha) {
            "" => "-".to_owned(),
            short => short.to_owned(),
        };
        vec![
            Cell::from(self.title()),
            Cell::from(if self.branch.is_empty() { "-" } else { self.branch.as_str() }),
            Cell::from(commit(&self.commit)),
            Cell::from(commit(&self.synced)),
            Cell { text: self.state.word().to_owned(), tone: self.state.tone(), link: None },
            Cell::from(self.since.as_str()),
            Cell::from(self.checked.as_str()),
        ]
    }

    /// Its last error, where there is one.
    fn error(&self) -> Option<&str> {
        Some(self.message.as_str()).filter(|message| !message.is_empty())
    }
}

/// A line per sync of each cluster; empty where no cluster has one.
pub(super) fn lines(clusters: &[ClusterStatus]) -> String {
    if clusters.iter().all(|cluster| cluster.syncs.is_empty()) {
        return String::new();
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let head = std::iter::once("Cluster").chain(HEAD);
    table.add_row(head.map(str::to_uppercase).collect::<Vec<_>>());
    for cluster in clusters {
        for sync in &cluster.syncs {
            let cells = sync.told().into_iter().map(|cell| cell.text);
            table.add_row(std::iter::once(cluster.name.clone()).chain(cells).collect::<Vec<_>>());
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// What syncs of a cluster could not do, a line each.
pub(super) fn troubles(cluster: &ClusterStatus) -> String {
    let mut text = String::new();
    for sync in cluster.syncs.iter().filter(|sync| sync.state != SyncState::Synced) {
        let why = sync.error().map(|error| format!(": {error}")).unwrap_or_default();
        text += &format!(
            "{}: sync {} {} since {}{why}\n",
            cluster.name,
            sync.title(),
            sync.state.word(),
            sync.since
        );
    }
    text
}

/// The same on a page.
pub(super) fn blocks(cluster: &ClusterStatus) -> Vec<Block> {
    if cluster.syncs.is_empty() {
        return Vec::new();
    }
    let mut blocks = vec![Block::Table(Grid {
        caption: format!("What pulls on {}", cluster.name),
        head: HEAD.map(str::to_owned).to_vec(),
        rows: cluster.syncs.iter().map(SyncStatus::told).collect(),
    })];
    for sync in &cluster.syncs {
        if let Some(error) = sync.error() {
            let heading = format!("sync {}: {}", sync.title(), sync.state.word());
            blocks.push(Block::Item(heading, vec![Block::List(vec![error.to_owned()])]));
        }
    }
    blocks
}
