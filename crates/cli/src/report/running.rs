//! What runs where: the answer of `deployer status`, as a table, as JSON and as a page.

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthStr as _;

use super::html::{Block, Cell, Grid, Page, Section, Tone};
use super::pulled::{self, SyncState, SyncStatus};
use super::{Diagnosis, Trouble, VERSION, counted};

/// What kit runs, over the fleet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`VERSION`] of the writer.
    pub version: u32,
    /// RFC 3339, UTC.
    pub time: String,
    /// Each cluster, sorted by name.
    pub clusters: Vec<ClusterStatus>,
}

/// One cluster of a [`Status`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Why nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trouble: Option<Trouble>,
    /// Its workloads, by kind, namespace and name.
    pub resources: Vec<ResourceStatus>,
    /// What differs from the manifests and is not a workload above; only where manifests were given.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub differs: Vec<Difference>,
    /// What pulls there (`deployer sync`), by namespace and name.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub syncs: Vec<SyncStatus>,
}

/// One workload.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceStatus {
    /// `Kind/namespace/name`.
    pub object: String,
    /// `Deployment`.
    pub kind: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Images of its containers.
    pub images: Vec<String>,
    /// The commit that it was deployed from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit: Option<String>,
    /// When it was last written, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub updated: Option<String>,
    /// How it stands.
    pub state: ResourceState,
    /// In words.
    pub message: String,
    /// Its pods by state.
    pub pods: Vec<PodGroup>,
    /// What is wrong with them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub diagnoses: Vec<Diagnosis>,
    /// Whether it is as its manifest says; absent where no manifests were given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub difference: Option<Difference>,
}

/// How a workload stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceState {
    /// It is what it should be.
    Ready,
    /// It is on its way.
    Progressing,
    /// It will not get there without help.
    Failed,
    /// It tells nothing.
    Unknown,
}

/// Pods in the same state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodGroup {
    /// As `kubectl get pods` shows it.
    pub state: String,
    /// How many.
    pub count: usize,
    /// Restarts of all of them.
    pub restarts: i64,
    /// Made from an earlier spec.
    pub old: bool,
}

/// How an object relates to its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `Kind/namespace/name`.
    pub object: String,
    /// How.
    pub kind: DifferenceKind,
    /// Which fields, with who changed them where it is drift.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub fields: Vec<String>,
}

/// How an object relates to its manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DifferenceKind {
    /// As its manifest says.
    InSync,
    /// It has no manifest among those given.
    Unknown,
    /// The manifest says something else by now.
    Outdated,
    /// Somebody changed it since.
    Drift,
    /// It is not there.
    Missing,
    /// The server would not take what the manifest says, or could not be asked.
    Failed,
}

impl DifferenceKind {
    fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Unknown => "no manifest",
            Self::Outdated => "outdated",
            Self::Drift => "drift",
            Self::Missing => "missing",
            Self::Failed => "not comparable",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::InSync => Tone::Good,
            Self::Drift | Self::Missing | Self::Failed => Tone::Bad,
            Self::Unknown | Self::Outdated => Tone::Plain,
        }
    }
}

impl ResourceState {
    fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Progressing => "progressing",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ready => Tone::Good,
            Self::Failed => Tone::Bad,
            Self::Progressing | Self::Unknown => Tone::Plain,
        }
    }
}

const HEAD: [&str; 8] = ["Cluster", "Resource", "Image", "Commit", "Updated", "State", "Pods", "Manifest"];

/// The columns of a page: what a phone shows without scrolling comes first.
const PAGE: [usize; 7] = [1, 5, 6, 2, 7, 3, 4];
/// The column that is there only where manifests were given.
const MANIFEST: usize = 7;

/// How much of a workload a table tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Detail {
    /// All of it.
    Full,
    /// Images without their registry, short commits.
    ShortNames,
    /// And no times.
    NoTimes,
    /// Only the tags of images, no commits, and the pods last.
    Narrow,
}

/// `1 cluster`, `2 clusters`.
/// `web:7` of `registry.example/team/web:7`; of a digest the first characters.
fn last_part(image: &str) -> &str {
    let last = image.rsplit('/').next().unwrap_or(image);
    match last.split_once("@sha256:") {
        Some((before, digest)) => &last[..before.len() + "@sha256:".len() + digest.len().min(7)],
        None => last,
    }
}

impl Status {
    /// A status of clusters.
    #[must_use]
    pub fn new(time: String, clusters: Vec<ClusterStatus>) -> Self {
        Self { version: VERSION, time, clusters }
    }

    /// Cluster × resource. For a terminal of `width` columns images, commits and times are shortened, and then lines are cut,
    /// until it fits; without a width everything is told, for those who search in it.
    #[must_use]
    pub fn table(&self, width: Option<usize>) -> String {
        let Some(width) = width else { return self.lines(Detail::Full) };
        let fits = |text: &String| text.lines().all(|line| line.width() <= width);
        [Detail::Full, Detail::ShortNames, Detail::NoTimes, Detail::Narrow]
            .into_iter()
            .map(|detail| self.lines(detail))
            .find(fits)
            .unwrap_or_else(|| {
                let table = self.lines(Detail::Narrow);
                table.lines().map(|line| crate::progress::fit(line, width) + "\n").collect()
            })
    }

    fn lines(&self, detail: Detail) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        // Cut at the end, a narrow table loses what is told again below it.
        let order: &[usize] = match detail {
            Detail::Full | Detail::ShortNames => &[0, 1, 2, 3, 4, 5, 6, 7],
            Detail::NoTimes => &[0, 1, 2, 3, 5, 6, 7],
            Detail::Narrow => &[0, 1, 2, 5, 7, 6],
        };
        let compared = self.is_compared();
        let shown: Vec<usize> =
            order.iter().copied().filter(|column| *column != MANIFEST || compared).collect();
        let mut add = |row: Vec<String>| {
            table.add_row(
                shown.iter().map(|column| row.get(*column).cloned().unwrap_or_default()).collect::<Vec<_>>(),
            );
        };
        add(HEAD.iter().map(|head| head.to_uppercase()).collect());
        let dashes = |name: &str, state: &str| {
            let mut row = vec![name.to_owned()];
            row.resize(5, "-".to_owned());
            row.push(state.to_owned());
            row
        };
        for cluster in &self.clusters {
            if cluster.trouble.is_some() {
                add(dashes(&cluster.name, "unreachable"));
            } else if cluster.resources.is_empty() {
                add(dashes(&cluster.name, "nothing of kit"));
            }
            for resource in &cluster.resources {
                let mut row = vec![cluster.name.clone()];
                row.extend(resource.told(detail).into_iter().map(|cell| cell.text));
                add(row);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    /// What the syncs of the clusters last did, a line each, cut to `width`; empty where none has one.
    #[must_use]
    pub fn syncs(&self, width: Option<usize>) -> String {
        let fit =
            |line: &str| width.map_or_else(|| line.to_owned(), |width| crate::progress::fit(line, width));
        pulled::lines(&self.clusters).lines().map(|line| fit(line) + "\n").collect()
    }

    /// What needs a look: workloads that are not ready, drift, syncs that failed, clusters without an answer. Empty where
    /// there is nothing.
    #[must_use]
    pub fn troubles(&self) -> String {
        let mut text = String::new();
        for cluster in &self.clusters {
            if let Some(trouble) = &cluster.trouble {
                text += &format!("{}: {}\n", cluster.name, trouble.message);
                trouble.causes.iter().for_each(|cause| text += &format!("  caused by: {cause}\n"));
                trouble.hints.iter().for_each(|hint| text += &format!("  hint: {hint}\n"));
            }
            for resource in cluster.resources.iter().filter(|resource| resource.state != ResourceState::Ready)
            {
                text += &format!(
                    "{}: {} {}: {}\n",
                    cluster.name,
                    resource.object,
                    resource.state.word(),
                    resource.message
                );
                resource.diagnoses.iter().for_each(|diagnosis| text += &format!("  {}\n", diagnosis.summary));
            }
            text += &pulled::troubles(cluster);
            let own = cluster.resources.iter().filter_map(|resource| resource.difference.as_ref());
            let shown = own
                .chain(&cluster.differs)
                .filter(|d| !matches!(d.kind, DifferenceKind::InSync | DifferenceKind::Unknown));
            for difference in shown {
                text += &format!("{}: {} {}\n", cluster.name, difference.object, difference.kind.word());
                difference.fields.iter().for_each(|field| text += &format!("  {field}\n"));
            }
        }
        text
    }

    fn is_compared(&self) -> bool {
        self.clusters
            .iter()
            .flat_map(|cluster| &cluster.resources)
            .any(|resource| resource.difference.is_some())
            || self.clusters.iter().any(|cluster| !cluster.differs.is_empty())
    }

    /// The status as JSON, with a final newline.
    #[must_use]
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("maps with text keys always serialise");
        text.push('\n');
        text
    }

    /// The status as a page.
    #[must_use]
    pub fn page(&self) -> Page {
        let all = self.clusters.iter().flat_map(|cluster| &cluster.resources);
        let ready = all.clone().filter(|resource| resource.state == ResourceState::Ready).count();
        let silent = self.clusters.iter().filter(|cluster| cluster.trouble.is_some()).count();
        let overview = self.clusters.iter().map(|cluster| {
            let ready = cluster.resources.iter().filter(|r| r.state == ResourceState::Ready).count();
            let (text, tone) = cluster.badge();
            vec![
                Cell {
                    text: cluster.name.clone(),
                    tone: Tone::Plain,
                    link: Some(super::html::id_of(&cluster.name)),
                },
                Cell { text, tone, link: None },
                Cell::from(format!("{ready}/{}", cluster.resources.len())),
            ]
        });
        Page {
            title: "What runs where".to_owned(),
            headline: format!(
                "{}{}; {ready} of {} ready",
                counted(self.clusters.len(), "cluster"),
                if silent > 0 { format!(", {silent} without an answer") } else { String::new() },
                counted(all.count(), "resource")
            ),
            facts: vec![("As of".to_owned(), self.time.clone())],
            overview: Some(Grid {
                caption: "Clusters".to_owned(),
                head: ["Cluster", "State", "Ready"].map(str::to_owned).to_vec(),
                rows: overview.collect(),
            }),
            sections: self.clusters.iter().map(ClusterStatus::section).collect(),
        }
    }
}

impl ClusterStatus {
    fn badge(&self) -> (String, Tone) {
        let bad = self.resources.iter().filter(|resource| resource.state != ResourceState::Ready).count();
        let drift =
            self.resources.iter().filter_map(|resource| resource.difference.as_ref()).chain(&self.differs);
        let drift = drift.filter(|difference| difference.kind.tone() == Tone::Bad).count();
        match (&self.trouble, bad, drift) {
            (Some(_), _, _) => ("does not answer".to_owned(), Tone::Bad),
            (None, 0, 0) if self.syncs.iter().any(|sync| sync.state != SyncState::Synced) => {
                ("sync failed".to_owned(), Tone::Bad)
            }
            (None, 0, 0) => ("ready".to_owned(), Tone::Good),
            (None, 0, drift) => (format!("{drift} drifted or missing"), Tone::Bad),
            (None, bad, _) => (format!("{bad} not ready"), Tone::Bad),
        }
    }

    fn section(&self) -> Section {
        let mut blocks = Vec::new();
        if let Some(trouble) = &self.trouble {
            blocks.push(Block::Text(trouble.message.clone()));
            blocks.extend(trouble.causes.iter().map(|cause| Block::Text(format!("caused by: {cause}"))));
            blocks.extend(trouble.hints.iter().map(|hint| Block::Text(format!("hint: {hint}"))));
        } else if self.resources.is_empty() {
            blocks.push(Block::Text("nothing that kit deployed".to_owned()));
        } else {
            blocks.push(Block::Table(Grid {
                caption: format!("Resources of {}", self.name),
                head: PAGE.iter().map(|column| HEAD[*column].to_owned()).collect(),
                rows: self.resources.iter().map(ResourceStatus::page_row).collect(),
            }));
        }
        blocks.extend(pulled::blocks(self));
        for resource in self.resources.iter().filter(|resource| !resource.diagnoses.is_empty()) {
            let found = resource.diagnoses.iter().map(|diagnosis| diagnosis.summary.clone()).collect();
            blocks.push(Block::Item(
                format!("{}: {}", resource.object, resource.message),
                vec![Block::List(found)],
            ));
        }
        let own = self.resources.iter().filter_map(|resource| resource.difference.as_ref());
        for difference in own.chain(&self.differs).filter(|difference| difference.kind.tone() == Tone::Bad) {
            let heading = format!("{}: {}", difference.object, difference.kind.word());
            blocks.push(Block::Item(heading, vec![Block::List(difference.fields.clone())]));
        }
        Section {
            id: super::html::id_of(&self.name),
            heading: self.name.clone(),
            badge: self.badge(),
            open: self.badge().1 == Tone::Bad,
            blocks,
        }
    }
}

impl ResourceStatus {
    /// The cells of [`PAGE`].
    fn page_row(&self) -> Vec<Cell> {
        let cells = self.told(Detail::Full);
        PAGE.iter().filter_map(|column| cells.get(column - 1)).cloned().collect()
    }

    /// Everything but the cluster, in the order of the heads.
    fn told(&self, detail: Detail) -> Vec<Cell> {
        let short = detail != Detail::Full;
        let name = |image: &'_ String| -> String {
            match detail {
                Detail::Full => image.clone(),
                Detail::ShortNames | Detail::NoTimes => last_part(image).to_owned(),
                Detail::Narrow => {
                    let last = last_part(image);
                    last.split_once([':', '@']).map_or(last, |(_, tag)| tag).to_owned()
                }
            }
        };
        let images: Vec<String> = self.images.iter().map(name).collect();
        let commit = if short { 7 } else { 12 };
        let dash = |text: Option<String>| {
            Cell::from(text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()))
        };
        let pods: Vec<String> = self.pods.iter().map(PodGroup::sentence).collect();
        let mut cells = vec![
            Cell::from(self.object.as_str()),
            dash(Some(images.join(", "))),
            dash(self.commit.as_ref().map(|sha| sha.chars().take(commit).collect())),
            dash(self.updated.clone()),
            Cell { text: self.state.word().to_owned(), tone: self.state.tone(), link: None },
            dash(Some(pods.join(", "))),
        ];
        cells.push(match &self.difference {
            Some(d) => Cell { text: d.kind.word().to_owned(), tone: d.kind.tone(), link: None },
            None => Cell::from("-"),
        });
        cells
    }
}

impl PodGroup {
    fn sentence(&self) -> String {
        let mut facts = Vec::new();
        if self.old {
            facts.push("old".to_owned());
        }
        match self.restarts {
            0 => {}
            1 => facts.push("1 restart".to_owned()),
            n => facts.push(format!("{n} restarts")),
        }
        let facts = if facts.is_empty() { String::new() } else { format!(" ({})", facts.join(", ")) };
        format!("{} {}{facts}", self.count, self.state)
    }
}
