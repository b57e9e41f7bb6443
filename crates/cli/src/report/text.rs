//! The table and the failures, for a terminal or a log.

use comfy_table::{CellAlignment, Table, presets};

use super::{Diagnosis, ObjectReport, Report, Trouble, What, alike, seconds};

/// One line per cluster: name, created, configured, unchanged, failed, skipped, time; and the sum of more than one.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let rare = |count: fn(&super::Counts) -> usize| count(&report.totals) > 0;
    let (recreated, deleted, not_ready) = (rare(|c| c.recreated), rare(|c| c.deleted), rare(|c| c.not_ready));
    let waves = report.has_waves();
    let row = |name: &str, wave: &str, c: &super::Counts, state: &str, time: f64| {
        let mut row = vec![name.to_owned()];
        row.extend(waves.then(|| wave.to_owned()));
        row.extend([c.created.to_string(), c.configured.to_string()]);
        row.extend(recreated.then(|| c.recreated.to_string()));
        row.extend(deleted.then(|| c.deleted.to_string()));
        row.push(c.unchanged.to_string());
        row.push(c.failed.to_string());
        row.extend(not_ready.then(|| c.not_ready.to_string()));
        row.extend([c.skipped.to_string(), seconds(time), state.to_owned()]);
        row
    };
    let word = |done, planned| if report.dry_run { planned } else { done };
    let mut header = vec!["CLUSTER"];
    header.extend(waves.then_some("WAVE"));
    header.extend([word("CREATED", "CREATE"), word("CONFIGURED", "CONFIGURE")]);
    header.extend(recreated.then_some(word("RECREATED", "RECREATE")));
    header.extend(deleted.then_some(word("DELETED", "DELETE")));
    header.extend(["UNCHANGED", "FAILED"]);
    header.extend(not_ready.then_some("NOT READY"));
    header.extend(["SKIPPED", "TIME", "STATE"]);
    let columns = header.len();
    table.set_header(header);
    for cluster in &report.clusters {
        table.add_row(row(
            &cluster.name,
            cluster.wave.as_deref().unwrap_or_default(),
            &cluster.counts,
            cluster.word(report.dry_run),
            cluster.seconds,
        ));
    }
    if report.clusters.len() > 1 {
        table.add_row(row("total", "", &report.totals, "", report.seconds));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if (1 + usize::from(waves)..columns - 1).contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: Vec<String> = table.to_string().lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// Everything that is not well, a paragraph per object; empty where all is.
///
/// Clusters that failed alike are told once, with the pods and the log of the first.
#[must_use]
pub fn failures(report: &Report) -> String {
    let paragraphs: Vec<String> = alike(report, true)
        .iter()
        .map(|failure| {
            let text = match failure.what {
                What::Cluster(trouble) => paragraph("", trouble, &[]),
                What::Object(object) => of_object(object),
            };
            let proviso = failure.proviso().map(|words| format!("    {words}\n")).unwrap_or_default();
            format!("{}: {text}{proviso}", failure.who())
        })
        .collect();
    paragraphs.join("\n")
}

fn of_object(object: &ObjectReport) -> String {
    let what = format!("{} {}", object.object, object.result.word());
    let place = object.place.as_ref().map(|place| format!(" ({place})")).unwrap_or_default();
    match (&object.trouble, &object.because) {
        (Some(trouble), _) => paragraph(&format!("{what}{place}: "), trouble, &object.diagnoses),
        (None, Some(because)) => format!("{what}: {because}\n"),
        (None, None) => format!("{what}{place}\n"),
    }
}

fn paragraph(before: &str, trouble: &Trouble, diagnoses: &[Diagnosis]) -> String {
    let mut text = format!("{before}{}\n", trouble.message);
    for cause in &trouble.causes {
        text += &format!("  caused by: {cause}\n");
    }
    for diagnosis in diagnoses {
        text += &of_diagnosis(diagnosis, trouble.message == diagnosis.summary);
    }
    for hint in &trouble.hints {
        text += &format!("  hint: {hint}\n");
    }
    text
}

/// The same facts in every form of the report: the summary unless it was said, since when, events, log.
fn of_diagnosis(diagnosis: &Diagnosis, said: bool) -> String {
    let mut text = String::new();
    if !said {
        text += &format!("  {}\n", diagnosis.summary);
    }
    if let Some(since) = &diagnosis.since {
        text += &format!("    since {since}\n");
    }
    for event in &diagnosis.events {
        text += &format!("    event: {}\n", event_line(event));
    }
    if let Some(log) = &diagnosis.log {
        let run = if log.previous { " (previous run)" } else { "" };
        text += &format!("    last lines of the log of {}{run}:\n", log.pod);
        for line in &log.lines {
            text += &format!("      | {}\n", printable(line));
        }
    }
    text
}

pub(super) fn event_line(event: &super::EventLine) -> String {
    let times = if event.count > 1 { format!(" ({} times)", event.count) } else { String::new() };
    format!("{}{times}: {}", event.reason, event.message)
}

/// A program's own output must not move the cursor or colour our report.
pub(super) fn printable(line: &str) -> String {
    line.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
