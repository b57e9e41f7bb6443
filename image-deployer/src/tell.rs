//! The result, for people and for programs.

use cli::{Format, Printer};
use gitrepo::{NoChange, Planned, PushEvent, Pushed, redact};
use serde::Serialize;
use similar::TextDiff;

use crate::{
    guard::short,
    plan::{FilePlan, Plan},
    request::Request,
    review,
};

/// How it ended.
pub(crate) enum Ending {
    /// A commit is on the branch.
    Pushed(Pushed),
    /// The branch was as it should be.
    Unchanged(NoChange),
    /// A dry run.
    Planned(Planned),
}

/// Everything there is to tell.
pub(crate) struct Report<'r> {
    pub(crate) request: &'r Request,
    pub(crate) plan: &'r Plan,
    pub(crate) ending: &'r Ending,
    pub(crate) message: Option<&'r str>,
}

/// The line for something that happens on the way, if it is worth one.
pub(crate) fn event(event: &PushEvent) -> Option<String> {
    match event {
        PushEvent::Raced { attempt, reason, wait } => Some(format!(
            "attempt {attempt}: the branch has moved ({reason}), again in {:.1} s",
            wait.as_secs_f64()
        )),
        PushEvent::Fault { attempt, reason, wait } => {
            Some(format!("attempt {attempt}: {reason}, again in {:.1} s", wait.as_secs_f64()))
        }
        PushEvent::Note(note) => Some(format!("note: {note}")),
        PushEvent::Server(line) => Some(format!("remote: {line}")),
        PushEvent::Tip { .. } | PushEvent::Pushing { .. } | _ => None,
    }
}

/// Prints the result. What a dry run prints on stdout is a diff and nothing else, so that `git apply` takes it.
pub(crate) fn tell(report: &Report<'_>, printer: &Printer) {
    match printer.format() {
        Format::Json | Format::Ndjson => printer.json(&json(report)),
        Format::Text if matches!(report.ending, Ending::Planned(_)) => {
            for (path, file) in &report.plan.files {
                printer.result(&diff(path, file));
            }
            lines(report).iter().for_each(|line| printer.say(line));
        }
        Format::Text => printer.result(&format!("{}\n", lines(report).join("\n"))),
    }
}

/// A line for each value, then one for the whole.
fn lines(report: &Report<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for (path, file) in &report.plan.files {
        for value in &file.values {
            let edited = &value.edited;
            let at = format!("{path}:{}: {}", edited.position.line, edited.path);
            lines.push(match (&edited.old, edited.changed) {
                (_, false) => format!("{at} is already {}", edited.new),
                (Some(old), true) => format!("{at} {old} -> {}", edited.new),
                (None, true) => format!("{at} -> {} (new)", edited.new),
            });
        }
    }
    let repository = redact(&report.request.remote.url);
    lines.push(match report.ending {
        Ending::Pushed(pushed) => {
            let plural = if pushed.attempts == 1 { "" } else { "s" };
            let new = if pushed.created_branch { " (new)" } else { "" };
            let traffic = match pushed.bytes_received {
                // A repository of this machine is written without a wire.
                0 => String::new(),
                received => format!(", {} received, {} sent", bytes(received), bytes(pushed.bytes_sent)),
            };
            format!(
                "pushed {} to {}{new} of {repository}, {} attempt{plural}{traffic}",
                short(&pushed.commit),
                pushed.branch,
                pushed.attempts,
            )
        }
        Ending::Unchanged(unchanged) => format!("nothing to change on {} of {repository}", unchanged.branch),
        Ending::Planned(planned) if planned.change.is_some() => {
            format!("dry run, nothing was written to {} of {repository}", planned.branch)
        }
        Ending::Planned(planned) => format!("nothing to change on {} of {repository}", planned.branch),
    });
    lines.extend(review_url(report).map(|url| format!("review: {url}")));
    lines
}

fn review_url(report: &Report<'_>) -> Option<String> {
    let branch = report.request.push_branch.as_deref()?;
    let Ending::Pushed(pushed) = report.ending else { return None };
    let remote = &report.request.remote;
    review::url(&remote.url, branch, remote.branch.as_deref(), &pushed.server_messages)
}

fn bytes(count: u64) -> String {
    match count {
        0..1_000 => format!("{count} B"),
        1_000..1_000_000 => format!("{:.1} kB", count as f64 / 1e3),
        _ => format!("{:.1} MB", count as f64 / 1e6),
    }
}

/// A unified diff of one file, with three lines of context.
fn diff(path: &str, file: &FilePlan) -> String {
    let Some(after) = &file.after else { return String::new() };
    let before = file.before.as_deref().unwrap_or_default();
    let (old, new) = (String::from_utf8_lossy(before), String::from_utf8_lossy(after));
    let from = if file.before.is_some() { format!("a/{path}") } else { "/dev/null".to_owned() };
    TextDiff::from_lines(old.as_ref(), new.as_ref())
        .unified_diff()
        .context_radius(3)
        .header(&from, &format!("b/{path}"))
        .to_string()
}

/// The JSON that `schema/result.v1.json` describes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Json<'r> {
    version: u32,
    outcome: &'static str,
    repository: String,
    branch: &'r str,
    commit: Option<&'r str>,
    parent: Option<&'r str>,
    created_branch: bool,
    files: Vec<JsonFile<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'r str>,
    attempts: u32,
    bytes_received: u64,
    bytes_sent: u64,
    requests: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    review_url: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    server_messages: &'r [String],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonFile<'r> {
    path: &'r str,
    created: bool,
    changed: bool,
    values: Vec<JsonValue<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    diff: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonValue<'r> {
    property: String,
    line: usize,
    column: usize,
    image: String,
    old: Option<&'r str>,
    new: &'r str,
    changed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<&'r str>,
}

fn json<'r>(report: &'r Report<'_>) -> Json<'r> {
    let planned = matches!(report.ending, Ending::Planned(_));
    let files = report
        .plan
        .files
        .iter()
        .map(|(path, file)| JsonFile {
            path,
            created: file.before.is_none(),
            changed: file.after.is_some(),
            values: file
                .values
                .iter()
                .map(|value| JsonValue {
                    property: value.edited.path.to_string(),
                    line: value.edited.position.line,
                    column: value.edited.position.column,
                    image: value.image.to_string(),
                    old: value.edited.old.as_deref(),
                    new: &value.edited.new,
                    changed: value.edited.changed,
                    hold: value.edited.hold.as_deref(),
                })
                .collect(),
            diff: planned.then(|| diff(path, file)).filter(|diff| !diff.is_empty()),
        })
        .collect();
    let mut json = Json {
        version: 1,
        outcome: "unchanged",
        repository: redact(&report.request.remote.url),
        branch: "",
        commit: None,
        parent: None,
        created_branch: false,
        files,
        message: report.message,
        attempts: 1,
        bytes_received: 0,
        bytes_sent: 0,
        requests: 0,
        review_url: review_url(report),
        server_messages: &[],
    };
    match report.ending {
        Ending::Pushed(pushed) => {
            json.outcome = "pushed";
            json.branch = &pushed.branch;
            json.commit = Some(&pushed.commit);
            json.parent = pushed.parent.as_deref();
            json.created_branch = pushed.created_branch;
            json.attempts = pushed.attempts;
            json.bytes_received = pushed.bytes_received;
            json.bytes_sent = pushed.bytes_sent;
            json.requests = pushed.requests;
            json.server_messages = &pushed.server_messages;
        }
        Ending::Unchanged(unchanged) => {
            json.branch = &unchanged.branch;
            json.parent = Some(unchanged.commit.as_str()).filter(|commit| !commit.is_empty());
            json.attempts = unchanged.attempts;
            json.bytes_received = unchanged.traffic.received;
            json.bytes_sent = unchanged.traffic.sent;
            json.requests = unchanged.traffic.requests;
        }
        Ending::Planned(plan) => {
            json.outcome = if plan.change.is_some() { "planned" } else { "unchanged" };
            json.branch = &plan.branch;
            json.parent = plan.parent.as_deref();
            json.created_branch = plan.creates_branch && plan.change.is_some();
            json.bytes_received = plan.traffic.received;
            json.bytes_sent = plan.traffic.sent;
            json.requests = plan.traffic.requests;
        }
    }
    json
}
