//! Markdown, for step summaries and comments, within a size.

use super::alike::Failure;
use super::text::{event_line, printable};
use super::{ClusterReport, Diagnosis, ObjectReport, Report, RolloutReport, What, alike, seconds};

/// GitHub drops a step summary of more than 1 MiB as a whole.
pub const SUMMARY_LIMIT: usize = 1024 * 1024;

/// What the last line needs when not everything fits.
const RESERVE: usize = 200;

/// The report as GitHub-flavoured Markdown of at most `limit` bytes: headline, failures, table. What does not fit is left
/// out by section, failures last, and counted in the last line.
#[must_use]
pub fn markdown(report: &Report, limit: usize) -> String {
    let mut text = format!("## {}\n\n{}\n\n", mark(report), escape(&report.headline()));
    let room = limit.saturating_sub(RESERVE);
    let mut left_out = Vec::new();

    if let Some(rollout) = &report.rollout {
        text.push_str(&waves(rollout));
    }
    let bad: Vec<String> = alike(report, false).iter().map(of_failure).collect();
    if !bad.is_empty() {
        text.push_str("### Failures\n\n");
        let fitting = append(&mut text, &bad, room);
        if fitting < bad.len() {
            left_out.push(format!("{} of {} failures", bad.len() - fitting, bad.len()));
        }
    }

    let with_waves = report.has_waves();
    let head = if with_waves {
        "### Clusters\n\n| cluster | wave | state | objects | time |\n| --- | --- | --- | --- | ---: |\n"
    } else {
        "### Clusters\n\n| cluster | state | objects | time |\n| --- | --- | --- | ---: |\n"
    };
    if text.len() + head.len() < room {
        text.push_str(head);
        let rows: Vec<String> = report.clusters.iter().map(|cluster| row(cluster, with_waves)).collect();
        let fitting = append(&mut text, &rows, room);
        if fitting < rows.len() {
            left_out.push(format!("{} of {} clusters", rows.len() - fitting, rows.len()));
        }
    } else {
        left_out.push(format!("the table of {} clusters", report.clusters.len()));
    }
    if !left_out.is_empty() {
        text.push_str(&format!("\n_Left out to stay within the size limit: {}._\n", left_out.join(", ")));
    }
    text
}

fn mark(report: &Report) -> &'static str {
    match (report.good_and_bad(), report.dry_run) {
        ((_, 0), true) => "Deploy (dry run): ok",
        ((_, 0), false) if report.is_stopped() => "Deploy: stopped",
        ((_, 0), false) => "Deploy: ok",
        ((0, _), _) => "Deploy: failed",
        _ => "Deploy: failed on some clusters",
    }
}

/// Appends as many of `parts` as fit into `room` bytes in all.
fn append(text: &mut String, parts: &[String], room: usize) -> usize {
    for (index, part) in parts.iter().enumerate() {
        if text.len() + part.len() > room {
            return index;
        }
        text.push_str(part);
    }
    text.push('\n');
    parts.len()
}

/// The waves, in a few lines whatever the size of the fleet.
fn waves(rollout: &RolloutReport) -> String {
    let mut text = "### Waves\n\n".to_owned();
    for line in rollout.lines() {
        text += &format!("- {}\n", escape(&line));
    }
    for hint in &rollout.next {
        text += &format!("- hint: {}\n", escape(hint));
    }
    text += "\n| wave | state | clusters | rules |\n| --- | --- | --- | --- |\n";
    for wave in &rollout.waves {
        text += &format!(
            "| {} | {} | {} | {} |\n",
            cell(&wave.name),
            wave.state.word(),
            cell(&wave.sentence()),
            cell(&wave.rules())
        );
    }
    text + "\n"
}

fn row(cluster: &ClusterReport, with_waves: bool) -> String {
    let word = cluster.state_word();
    let state = if cluster.state.is_good() { word.to_owned() } else { format!("**{word}**") };
    let wave = if with_waves {
        format!(" {} |", cell(cluster.wave.as_deref().unwrap_or_default()))
    } else {
        String::new()
    };
    format!(
        "| {} |{wave} {state} | {} | {} |\n",
        cell(&cluster.name),
        cluster.counts.sentence(),
        seconds(cluster.seconds)
    )
}

fn of_failure(failure: &Failure<'_>) -> String {
    let who = escape(&failure.who());
    let mut text = match failure.what {
        What::Cluster(trouble) => {
            let mut text = format!("- **{who}**: {}\n", escape(&trouble.message));
            for cause in &trouble.causes {
                text += &format!("  - caused by: {}\n", escape(cause));
            }
            for hint in &trouble.hints {
                text += &format!("  - hint: {}\n", escape(hint));
            }
            text
        }
        What::Object(object) => of_object(&who, object),
    };
    text.extend(failure.proviso().map(|words| format!("  - {}\n", escape(&words))));
    text
}

fn of_object(cluster: &str, object: &ObjectReport) -> String {
    let mut text = format!("- **{cluster}**: `{}` {}", tick(&object.object), object.result.word());
    if let Some(trouble) = &object.trouble {
        text += &format!(": {}\n", escape(&trouble.message));
        for cause in &trouble.causes {
            text += &format!("  - caused by: {}\n", escape(cause));
        }
        for diagnosis in &object.diagnoses {
            text += &of_diagnosis(diagnosis, diagnosis.summary == trouble.message);
        }
        for hint in &trouble.hints {
            text += &format!("  - hint: {}\n", escape(hint));
        }
    } else {
        text.push('\n');
    }
    text
}

fn of_diagnosis(diagnosis: &Diagnosis, said: bool) -> String {
    let mut text = String::new();
    if !said {
        text += &format!("  - {}\n", escape(&diagnosis.summary));
    }
    text.extend(diagnosis.since.iter().map(|since| format!("  - since {}\n", escape(since))));
    for event in &diagnosis.events {
        text += &format!("  - event {}\n", escape(&event_line(event)));
    }
    if let Some(log) = &diagnosis.log {
        // A fence that is longer than any run of backticks in the log.
        let longest = log.lines.iter().map(|line| longest_run(line)).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        text += &format!("\n  {fence}text\n");
        for line in &log.lines {
            text += &format!("  {}\n", printable(line));
        }
        text += &format!("  {fence}\n\n");
    }
    text
}

fn longest_run(line: &str) -> usize {
    line.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of others in a paragraph: no markup, no HTML, one line.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' => safe.push(' '),
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '*' | '_' | '[' | ']' | '|' | '\\' | '#' => {
                safe.push('\\');
                safe.push(c);
            }
            c if c.is_control() => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

fn cell(text: &str) -> String {
    escape(text)
}

/// Text inside backticks.
fn tick(text: &str) -> String {
    text.replace('`', "'")
}
