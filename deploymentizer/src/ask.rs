//! `explain` and `reach`: from a value to its lines, and from a line to its values.

use std::path::Path;

use cli::{Exit, Failure, Format, Printer};
use render::explain::{Answer, Explanation, Question, Source, explain as answer};
use render::external::Environment;
use render::files::{resolve, shown as path_shown};
use render::problem::Problem;
use render::reach::{Reached, Spot, reach as reached_by};
use render::source::Selection;

use crate::args::Args;
use crate::counted::counted;
use crate::problems::{failure, invalid_one, partial};
use crate::run::{load, select};

/// Answers `explain CLUSTER RESOURCE [PATH]`.
pub(crate) fn explain(
    args: &Args,
    environment: Environment,
    (cluster, resource): (&str, &str),
    path: Option<&str>,
    line: Option<&str>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (renderer, _) = load(args, environment)?;
    let selection = Selection::new(&[cluster.to_owned()], &[]).map_err(invalid_one)?;
    let (clusters, _) = select(&renderer, &selection)?;
    let exact = clusters.iter().find(|found| *found.name == *cluster);
    let cluster = match (exact, &clusters[..]) {
        (Some(cluster), _) | (None, [cluster]) => cluster,
        (None, []) => return Err(invalid_one(Problem::new(format!("there is no cluster `{cluster}`")))),
        (None, [first, ..]) => {
            let problem = Problem::new(format!("{} clusters match, name one: `{cluster}`", clusters.len()));
            let hint = format!("`deploymentizer explain {} {resource}`", first.name);
            return Err(invalid_one(problem.hint(hint)));
        }
    };
    let question = match (path, line) {
        (Some(path), _) => Question::Path(path.to_owned()),
        (None, Some(line)) => {
            let (file, number) = numbered(line);
            let Some(number) = number else {
                let problem = Problem::new(format!("expected FILE:N, found `{line}`"));
                let hint = "name the line of the rendered file: `--line cart.yaml:27`";
                return Err(invalid_one(problem.hint(hint)));
            };
            Question::Line(file.to_owned(), number)
        }
        (None, None) => Question::Everything,
    };
    let answer = answer(&renderer, cluster, resource, &question)
        .map_err(|problems| failure(Exit::Failed, &problems))?;
    match printer.format() {
        Format::Text => printer.result(&text(&answer)),
        Format::Json | Format::Ndjson => {
            printer.json(&serde_json::json!({ "version": 1, "explain": answer }))
        }
    }
    Ok(Exit::Done)
}

/// Answers `reach FILE[:LINE]`.
pub(crate) fn reach(
    args: &Args,
    environment: Environment,
    spot: &str,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (renderer, selection) = load(args, environment)?;
    let (clusters, mut problems) = select(&renderer, &selection)?;
    let (file, line) = numbered(spot);
    let file = as_named(&renderer.repository().folders.root, Path::new(file));
    let spot = match renderer.repository().files.read(Path::new(&file)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let lines = text.lines().count();
            if line.is_some_and(|line| line == 0 || line as usize > lines) {
                let line = line.unwrap_or_default();
                let problem = Problem::new(format!("{file} has {lines} lines, there is no line {line}"));
                return Err(invalid_one(problem));
            }
            Spot::new(renderer.repository(), file, &text, line)
        }
        Err(error) => return Err(invalid_one(Problem::unreadable(&file, &error))),
    };
    let mut all = Vec::new();
    for outcome in renderer.in_parallel(&clusters, |cluster| reached_by(&renderer, cluster, &spot)) {
        match outcome {
            Ok(reached) => all.extend(reached),
            Err(found) => problems.extend(found),
        }
    }
    match printer.format() {
        Format::Text => printer.result(&reach_text(&all, clusters.len())),
        Format::Json | Format::Ndjson => {
            printer.json(&serde_json::json!({ "version": 1, "clusters": clusters.len(), "reached": all }));
        }
    }
    Ok(partial(problems, printer))
}

/// The file as the repository names it, wherever it was named from.
fn as_named(root: &Path, file: &Path) -> String {
    let inside = || {
        let (file, real) = (file.canonicalize().ok()?, root.canonicalize().ok()?);
        file.strip_prefix(real).ok().map(|rest| resolve(root, rest))
    };
    // A link keeps its name, which is the one that the repository reads it by.
    let is_link = file.is_symlink();
    let named = if is_link { None } else { inside() };
    path_shown(&named.unwrap_or_else(|| resolve(Path::new(""), file)))
}

/// `file:12` as file and line.
fn numbered(text: &str) -> (&str, Option<u32>) {
    match text.rsplit_once(':') {
        Some((file, number)) => match number.parse() {
            Ok(number) => (file, Some(number)),
            Err(_) => (text, None),
        },
        None => (text, None),
    }
}

fn text(answer: &Answer) -> String {
    let mut text = String::new();
    if let Some(source) = &answer.disabled {
        text.push_str(&format!(
            "{} is switched off in {} by {}\n\n",
            answer.resource,
            answer.cluster,
            place(source)
        ));
    }
    if let Some(line) = &answer.line {
        text.push_str(&format!("{}:{}  {}\n", line.file, line.line, line.text.trim_end()));
        if let Some(template) = &line.template {
            text.push_str(&format!("  made by  {template}\n"));
        }
        if line.values.is_empty() {
            text.push_str("  no value is in it: the template alone makes it\n");
        }
        for value in &line.values {
            text.push('\n');
            text.push_str(&explanation(value, false));
        }
        return text;
    }
    if answer.values.is_empty() {
        text.push_str("no value changes its files\n");
    }
    let parts: Vec<String> = answer.values.iter().map(|value| explanation(value, true)).collect();
    text.push_str(&parts.join("\n"));
    text
}

fn explanation(value: &Explanation, with_lines: bool) -> String {
    let mut text = format!("{} = {}\n", value.path, one_line(&value.winner.value));
    text.push_str(&format!("  set by   {}\n", place(&value.winner)));
    for source in &value.looked_up_by {
        text.push_str(&format!("  chosen by {} = {}\n", place(source), one_line(&source.value)));
    }
    for source in &value.over {
        text.push_str(&format!("  over     {}: {}\n", place(source), one_line(&source.value)));
    }
    if !with_lines {
        return text;
    }
    if !value.used_at.is_empty() {
        text.push_str(&format!("  used at  {}\n", value.used_at.join(", ")));
    }
    for written in &value.written_to {
        text.push_str(&format!("  written  {}\n", lines_of(&written.file, &written.lines)));
    }
    if value.written_to.is_empty() {
        text.push_str("  written  nowhere: no template uses it\n");
    }
    text
}

fn place(source: &Source) -> String {
    match &source.place {
        Some(place) => format!("{place} ({})", source.layer),
        None => source.layer.to_owned(),
    }
}

/// `cart.yaml:6,9`, or the file alone if it is the file as a whole.
fn lines_of(file: &str, lines: &[u32]) -> String {
    let lines: Vec<String> = lines.iter().map(u32::to_string).collect();
    if lines.is_empty() { file.to_owned() } else { format!("{file}:{}", lines.join(",")) }
}

/// The first line of a value.
fn one_line(value: &str) -> String {
    match value.split_once('\n') {
        Some((first, _)) => format!("{first} …"),
        None => value.to_owned(),
    }
}

/// Resource, file and lines.
type Lines<'a> = (&'a str, &'a str, &'a [u32]);

fn reach_text(reached: &[Reached], clusters: usize) -> String {
    if reached.is_empty() {
        return format!("reaches nothing in {clusters} clusters\n");
    }
    // The same lines of the same file in many clusters are said once.
    let mut groups: Vec<(Lines<'_>, Vec<&str>)> = Vec::new();
    for entry in reached {
        let key = (entry.resource.as_str(), entry.file.as_str(), entry.lines.as_slice());
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, names)) => names.push(&entry.cluster),
            None => groups.push((key, vec![&entry.cluster])),
        }
    }
    let names: std::collections::BTreeSet<&str> =
        reached.iter().map(|entry| entry.cluster.as_str()).collect();
    let mut text = format!("reaches {} of {clusters} clusters\n", names.len());
    for ((resource, file, lines), clusters) in groups {
        let place = lines_of(file, lines);
        text.push_str(&format!("  {resource}  {place}  in {}\n", counted(&clusters, "cluster")));
    }
    text
}
