//! What runs where: the answer of `deployer status`, as a table, as JSON and as a page.

use comfy_table::{Table, presets};
use serde::{Deserialize, Serialize};

use super::html::{Block, Cell, Grid, Page, Section, Tone};
use super::{Diagnosis, Trouble, VERSION};

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
}

impl DifferenceKind {
    fn word(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Unknown => "no manifest",
            Self::Outdated => "outdated",
            Self::Drift => "drift",
            Self::Missing => "missing",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::InSync => Tone::Good,
            Self::Drift | Self::Missing => Tone::Bad,
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

impl Status {
    /// A status of clusters.
    #[must_use]
    pub fn new(time: String, clusters: Vec<ClusterStatus>) -> Self {
        Self { version: VERSION, time, clusters }
    }

    /// Cluster × resource.
    #[must_use]
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::NOTHING);
        let compared = self.is_compared();
        let columns = if compared { 8 } else { 7 };
        table.set_header(HEAD[..columns].iter().map(|head| head.to_uppercase()));
        for cluster in &self.clusters {
            if let Some(trouble) = &cluster.trouble {
                table.add_row([
                    cluster.name.as_str(),
                    "-",
                    "-",
                    "-",
                    "-",
                    "unreachable",
                    trouble.message.as_str(),
                ]);
            } else if cluster.resources.is_empty() {
                table.add_row([cluster.name.as_str(), "-", "-", "-", "-", "nothing of kit"]);
            }
            for resource in &cluster.resources {
                let mut row = vec![cluster.name.clone()];
                row.extend(resource.cells().into_iter().map(|cell| cell.text));
                row.truncate(columns);
                table.add_row(row);
            }
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
        lines.join("\n") + "\n"
    }

    /// What needs a look: workloads that are not ready, drift, clusters without an answer. Empty where there is nothing.
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
                "{} clusters{}; {ready} of {} resources are ready",
                self.clusters.len(),
                if silent > 0 { format!(", {silent} do not answer") } else { String::new() },
                all.count()
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
                head: HEAD[1..].iter().map(|head| (*head).to_owned()).collect(),
                rows: self.resources.iter().map(ResourceStatus::cells).collect(),
            }));
        }
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
    /// Everything but the cluster, in the order of the heads.
    fn cells(&self) -> Vec<Cell> {
        let dash = |text: Option<String>| {
            Cell::from(text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned()))
        };
        let pods: Vec<String> = self.pods.iter().map(PodGroup::sentence).collect();
        let mut cells = vec![
            Cell::from(self.object.as_str()),
            dash(Some(self.images.join(", "))),
            dash(self.commit.as_ref().map(|sha| sha.chars().take(12).collect())),
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
