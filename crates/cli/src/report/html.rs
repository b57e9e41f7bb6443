//! One self-contained HTML page: no script, no request, readable on a phone and by a screen reader.

use std::fmt::Write as _;

use super::text::{event_line, printable};
use super::{ClusterReport, Diagnosis, ObjectReport, Report, Trouble, seconds};

const STYLE: &str = include_str!("page.css");

/// A page of sections. What it says is the caller's; how it looks, and that it is accessible, is decided here.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The document's title and first heading.
    pub title: String,
    /// The sentence below it.
    pub headline: String,
    /// Label and value.
    pub facts: Vec<(String, String)>,
    /// The table that sums up.
    pub overview: Option<Grid>,
    /// The details.
    pub sections: Vec<Section>,
}

/// A part of a page that can be opened and closed.
#[derive(Clone, Debug)]
pub struct Section {
    /// What links point at; letters, digits, dashes.
    pub id: String,
    /// Its heading.
    pub heading: String,
    /// A word on how it stands, and whether that is good.
    pub badge: (String, Tone),
    /// Whether it starts open.
    pub open: bool,
    /// What it holds.
    pub blocks: Vec<Block>,
}

/// What a section holds.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// A heading with blocks below it.
    Item(String, Vec<Block>),
    /// A list of short texts.
    List(Vec<String>),
    /// Lines as a program wrote them, with a title.
    Log(String, Vec<String>),
    /// A table.
    Table(Grid),
}

/// A table; the first column names the row.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Says what the table shows.
    pub caption: String,
    /// Heads of the columns.
    pub head: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A cell of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Its text.
    pub text: String,
    /// Whether it is good or bad news.
    pub tone: Tone,
    /// `id` of the section that tells more.
    pub link: Option<String>,
}

/// Whether something is as it should be. Never told by colour alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Neither.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
}

impl Tone {
    fn class(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self { text: text.to_owned(), ..Self::default() }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, ..Self::default() }
    }
}

/// The page as a document.
#[must_use]
pub fn page(page: &Page) -> String {
    let mut html = String::with_capacity(16 * 1024);
    let title = escape(&page.title);
    let _ = write!(
        html,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header>\n<h1>{title}</h1>\n<p>{}</p>\n",
        escape(&page.headline)
    );
    if !page.facts.is_empty() {
        html.push_str("<dl>\n");
        for (label, value) in &page.facts {
            let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(label), escape(value));
        }
        html.push_str("</dl>\n");
    }
    html.push_str("</header>\n<main>\n");
    if let Some(grid) = &page.overview {
        table(&mut html, grid);
    }
    for part in &page.sections {
        section(&mut html, part);
    }
    html.push_str("</main>\n</body>\n</html>\n");
    html
}

fn section(html: &mut String, section: &Section) {
    let open = if section.open { " open" } else { "" };
    let _ = writeln!(
        html,
        "<details id=\"{}\"{open}>\n<summary><h2>{}</h2> <span class=\"badge {}\">{}</span></summary>",
        escape(&section.id),
        escape(&section.heading),
        section.badge.1.class(),
        escape(&section.badge.0)
    );
    blocks(html, &section.blocks, 3);
    html.push_str("</details>\n");
}

fn blocks(html: &mut String, all: &[Block], level: u8) {
    for block in all {
        match block {
            Block::Text(text) => {
                let _ = writeln!(html, "<p>{}</p>", prose(text));
            }
            Block::Item(heading, inner) => {
                let _ = writeln!(html, "<h{level}>{}</h{level}>\n<div class=\"item\">", escape(heading));
                blocks(html, inner, (level + 1).min(6));
                html.push_str("</div>\n");
            }
            Block::List(items) => {
                html.push_str("<ul>\n");
                for item in items {
                    let _ = writeln!(html, "<li>{}</li>", prose(item));
                }
                html.push_str("</ul>\n");
            }
            Block::Log(title, lines) => {
                let _ = write!(
                    html,
                    "<figure>\n<figcaption>{}</figcaption>\n<pre tabindex=\"0\">",
                    escape(title)
                );
                for line in lines {
                    let _ = writeln!(html, "{}", escape(line));
                }
                html.push_str("</pre>\n</figure>\n");
            }
            Block::Table(grid) => table(html, grid),
        }
    }
}

fn table(html: &mut String, grid: &Grid) {
    let caption = escape(&grid.caption);
    // Wide tables scroll in their own frame, which the keyboard can reach; the page never scrolls sideways.
    let _ = write!(
        html,
        "<div class=\"scroll\" role=\"region\" aria-label=\"{caption}\" tabindex=\"0\">\n<table>\n<caption>{caption}</caption>\n<thead><tr>"
    );
    for head in &grid.head {
        let _ = write!(html, "<th scope=\"col\">{}</th>", escape(head));
    }
    html.push_str("</tr></thead>\n<tbody>\n");
    for row in &grid.rows {
        html.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let text = match &cell.link {
                Some(id) => format!("<a href=\"#{}\">{}</a>", escape(id), escape(&cell.text)),
                None => escape(&cell.text),
            };
            let class = match cell.tone {
                Tone::Plain => String::new(),
                Tone::Good | Tone::Bad => format!(" class=\"{}\"", cell.tone.class()),
            };
            let _ = match column {
                0 => write!(html, "<th scope=\"row\"{class}>{text}</th>"),
                _ => write!(html, "<td{class}>{text}</td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody>\n</table>\n</div>\n");
}

/// The page of a deploy: what failed is open, what went well is there to be opened.
pub(super) fn deploy(report: &Report) -> Page {
    let mut facts =
        vec![("Started".to_owned(), report.started.clone()), ("Took".to_owned(), seconds(report.seconds))];
    facts.extend(report.commit.iter().map(|commit| ("Commit".to_owned(), commit.clone())));
    facts.push(("Exit code".to_owned(), report.exit_code.to_string()));
    facts.push(("Program".to_owned(), report.program.clone()));
    let (_, bad) = report.good_and_bad();
    let verdict = match (bad, report.is_stopped()) {
        (0, false) => "ok",
        (0, true) => "stopped",
        _ => "failed",
    };
    let waves = report.has_waves();
    let mut head = ["Cluster", "State", "Objects", "Time"].map(str::to_owned).to_vec();
    if waves {
        head.insert(1, "Wave".to_owned());
    }
    let overview = Grid {
        caption: "Clusters".to_owned(),
        head,
        rows: report.clusters.iter().map(|cluster| overview_row(cluster, waves)).collect(),
    };
    Page {
        title: format!("Deploy: {verdict}"),
        headline: report.headline(),
        facts,
        overview: Some(overview),
        sections: report
            .rollout
            .iter()
            .map(super::rollout::section)
            .chain(report.clusters.iter().map(cluster_section))
            .collect(),
    }
}

fn tone(cluster: &ClusterReport) -> Tone {
    if cluster.state.is_good() { Tone::Good } else { Tone::Bad }
}

/// Cluster names may hold anything that a directory name may; an `id` may not.
pub(super) fn id_of(name: &str) -> String {
    let letters = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => (byte as char).to_string(),
        other => format!("_{other:02x}"),
    });
    format!("c-{}", letters.collect::<String>())
}

fn overview_row(cluster: &ClusterReport, waves: bool) -> Vec<Cell> {
    let mut row =
        vec![Cell { text: cluster.name.clone(), tone: Tone::Plain, link: Some(id_of(&cluster.name)) }];
    if waves {
        row.push(Cell::from(cluster.wave.clone().unwrap_or_default()));
    }
    let word = cluster.state_word();
    row.extend([
        Cell { text: word.to_owned(), tone: tone(cluster), link: None },
        Cell::from(cluster.counts.sentence()),
        Cell::from(seconds(cluster.seconds)),
    ]);
    row
}

fn cluster_section(cluster: &ClusterReport) -> Section {
    let mut blocks = Vec::new();
    if let Some(trouble) = &cluster.trouble {
        blocks.push(Block::Item("The cluster as a whole".to_owned(), trouble_blocks(trouble, &[])));
    }
    let bad = cluster.objects.iter().filter(|object| object.result.is_bad());
    blocks.extend(bad.map(object_block));
    let told = cluster.objects.iter().filter(|object| object.result != super::ObjectResult::Unchanged);
    let rows: Vec<Vec<Cell>> = told.map(object_row).collect();
    if !rows.is_empty() {
        let head = ["Object", "Result", "Manifest"].map(str::to_owned).to_vec();
        blocks.push(Block::Table(Grid { caption: format!("Objects of {}", cluster.name), head, rows }));
    }
    if cluster.counts.unchanged > 0 {
        blocks.push(Block::Text(format!("{} unchanged", cluster.counts.unchanged)));
    }
    if !cluster.warnings.is_empty() {
        blocks.push(Block::Item(
            "Warnings of the server".to_owned(),
            vec![Block::List(cluster.warnings.clone())],
        ));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text("no objects".to_owned()));
    }
    Section {
        id: id_of(&cluster.name),
        heading: cluster.name.clone(),
        badge: (cluster.state.word().to_owned(), tone(cluster)),
        open: !cluster.state.is_good(),
        blocks,
    }
}

fn object_row(object: &ObjectReport) -> Vec<Cell> {
    let tone = if object.result.is_bad() { Tone::Bad } else { Tone::Plain };
    let because = object.because.as_ref().map(|because| format!(": {because}")).unwrap_or_default();
    let result = format!("{}{because}", object.result.word());
    vec![
        Cell::from(object.object.as_str()),
        Cell { text: result, tone, link: None },
        Cell::from(object.place.clone().unwrap_or_default()),
    ]
}

fn object_block(object: &ObjectReport) -> Block {
    let heading = format!("{}: {}", object.object, object.result.word());
    let inner = object.trouble.as_ref().map(|trouble| trouble_blocks(trouble, &object.diagnoses));
    Block::Item(heading, inner.unwrap_or_default())
}

fn trouble_blocks(trouble: &Trouble, diagnoses: &[Diagnosis]) -> Vec<Block> {
    let mut blocks = vec![Block::Text(trouble.message.clone())];
    blocks.extend(trouble.causes.iter().map(|cause| Block::Text(format!("caused by: {cause}"))));
    for diagnosis in diagnoses {
        if diagnosis.summary != trouble.message {
            blocks.push(Block::Text(diagnosis.summary.clone()));
        }
        blocks.extend(diagnosis.since.iter().map(|since| Block::Text(format!("since {since}"))));
        if !diagnosis.events.is_empty() {
            blocks.push(Block::List(diagnosis.events.iter().map(event_line).collect()));
        }
        if let Some(log) = &diagnosis.log {
            let run = if log.previous { ", previous run" } else { "" };
            blocks.push(Block::Log(format!("Last lines of the log of {}{run}", log.pod), log.lines.clone()));
        }
    }
    blocks.extend(trouble.hints.iter().map(|hint| Block::Text(format!("hint: {hint}"))));
    blocks
}

/// A sentence, what stands in backticks set as code.
fn prose(text: &str) -> String {
    let safe = escape(text);
    let parts: Vec<&str> = safe.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return safe;
    }
    let mut html = String::with_capacity(safe.len() + 16);
    for (index, part) in parts.iter().enumerate() {
        let _ = if index % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            c => safe.push(c),
        }
    }
    safe
}
