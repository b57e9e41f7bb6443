//! `diff`: renders two states of the repository and shows what changes in which clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::{Exit, Failure, Format, Printer};
use render::compare::{Group, Groups, Kind, Side, SourceLines, causes, source_lines};
use render::external::Environment;
use render::files::{DiskFiles, Files, shown as path_shown};
use render::listing::list;
use render::plan::{Rendered, Renderer};
use render::problem::{Problem, deduplicate};
use render::source::{Cluster, Selection};

use crate::args::{Annotate, Args, DiffFormat};
use crate::git_files::GitFiles;
use crate::problems::{invalid, shown};
use crate::run::load_from;

/// What is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) revisions: &'a str,
    pub(crate) format: DiffFormat,
    pub(crate) annotate: Option<Annotate>,
}

/// GitHub shows no more annotations of a step.
const MOST_ANNOTATIONS: usize = 10;

/// GitHub takes no larger step summary, in bytes.
const MOST_MARKDOWN: usize = 1 << 20;

/// What changed, ready to be shown.
struct Outcome {
    groups: Vec<Group>,
    changed: usize,
    untouched: usize,
    added: Vec<String>,
    removed: Vec<String>,
}

/// Answers `diff [REV[..REV]]`.
pub(crate) fn diff(
    args: &Args,
    environment: Environment,
    asked: &Asked<'_>,
    printer: &Printer,
) -> Result<Exit, Failure> {
    let (old, new) = match asked.revisions.split_once("..") {
        Some((old, new)) => {
            (if old.is_empty() { "HEAD" } else { old }, Some(if new.is_empty() { "HEAD" } else { new }))
        }
        None => (asked.revisions, None),
    };
    let folder = args.conf.parent().unwrap_or(Path::new("")).to_owned();
    let open = |revision: &str| -> Result<Arc<dyn Files>, Failure> {
        let files = GitFiles::open(&folder, revision).map_err(|error| {
            let problem =
                Problem::new(format!("cannot read revision `{revision}`")).cause(error.message().to_owned());
            invalid(vec![problem.hint("git log --oneline shows the revisions there are")])
        })?;
        Ok(Arc::new(files))
    };
    let old_files = open(old)?;
    let new_files: Arc<dyn Files> = match new {
        Some(new) => open(new)?,
        None => Arc::new(DiskFiles),
    };
    let (old, selection) = load_from(args, environment.clone(), old_files)?;
    let (new, _) = load_from(args, environment, new_files)?;
    let (outcome, problems) = compare(&old, &new, &selection);
    show(&outcome, asked, printer);
    let problems = deduplicate(problems);
    problems.iter().for_each(|problem| printer.error(&shown(problem)));
    Ok(match (problems.is_empty(), outcome.groups.is_empty()) {
        (false, _) => Exit::Partial,
        (true, false) if args.detailed_exitcode => Exit::Changes,
        (true, _) => Exit::Done,
    })
}

fn compare(old: &Renderer, new: &Renderer, selection: &Selection) -> (Outcome, Vec<Problem>) {
    let ((old_clusters, mut problems), (new_clusters, more)) =
        rayon::join(|| old.repository().clusters(selection), || new.repository().clusters(selection));
    problems.extend(more);
    // A filter may match on one side only.
    problems.retain(|problem| problem.place.is_some());
    let changes = Changes::between(old, new);
    let names: BTreeSet<&str> =
        old_clusters.iter().chain(&new_clusters).map(|cluster| &*cluster.name).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let find =
        |clusters: &'_ [Cluster], name: &str| clusters.iter().position(|cluster| &*cluster.name == name);
    let pairs = {
        use rayon::prelude::*;
        let render = |renderer: &Renderer, clusters: &[Cluster], name: &str| match find(clusters, name) {
            Some(at) => renderer.render(&clusters[at]).map(Some),
            None => Ok(None),
        };
        let one = |name: &&str| {
            let touched = match (find(&old_clusters, name), find(&new_clusters, name)) {
                (Some(before), Some(after)) => {
                    changes.touch(new, &new_clusters[after]) || changes.touch(old, &old_clusters[before])
                }
                _ => true,
            };
            touched.then(|| (render(old, &old_clusters, name), render(new, &new_clusters, name)))
        };
        names.par_iter().map(one).collect::<Vec<_>>()
    };
    let mut groups = Groups::default();
    let (mut changed, mut untouched) = (0, 0);
    let (mut added, mut removed) = (Vec::new(), Vec::new());
    let none =
        || Rendered { cluster: "".into(), files: Vec::new(), warnings: Vec::new(), failed: BTreeSet::new() };
    for (name, pair) in names.iter().zip(pairs) {
        match pair {
            None => untouched += 1,
            Some((Ok(before), Ok(after))) => {
                match (&before, &after) {
                    (None, Some(_)) => added.push((*name).to_owned()),
                    (Some(_), None) => removed.push((*name).to_owned()),
                    (Some(_), Some(_)) | (None, None) => {}
                }
                let (before, after) = (before.unwrap_or_else(none), after.unwrap_or_else(none));
                let same = before.files.len() == after.files.len()
                    && before
                        .files
                        .iter()
                        .zip(&after.files)
                        .all(|(a, b)| a.name == b.name && a.text == b.text);
                if same {
                    untouched += 1;
                } else {
                    changed += 1;
                    groups.add(name, &before.files, &after.files);
                }
            }
            Some((before, after)) => {
                let say = |side: &str, found: Vec<Problem>| {
                    let side = side.to_owned();
                    found.into_iter().map(move |problem| problem.cause(format!("in the {side} state")))
                };
                problems.extend(before.err().into_iter().flat_map(|found| say("old", found)));
                problems.extend(after.err().into_iter().flat_map(|found| say("new", found)));
            }
        }
    }
    let mut groups = groups.finish();
    let old_side = Side { renderer: old, clusters: &old_clusters, lines: &changes.gone };
    let new_side = Side { renderer: new, clusters: &new_clusters, lines: &changes.fresh };
    for group in &mut groups {
        let place = group.places[0].clone();
        let mut found = causes(&new_side, &place, &group.hunk.fresh);
        if found.is_empty() {
            found = causes(&old_side, &place, &group.hunk.gone);
        }
        group.causes = found;
    }
    (Outcome { groups, changed, untouched, added, removed }, problems)
}

/// The files of the repository that are not the same in both states.
struct Changes {
    files: BTreeSet<PathBuf>,
    gone: SourceLines,
    fresh: SourceLines,
}

impl Changes {
    fn between(old: &Renderer, new: &Renderer) -> Self {
        let mut paths = BTreeMap::new();
        for (renderer, side) in [(old, 0), (new, 1)] {
            let folders = &renderer.repository().folders;
            let mut roots = vec![folders.root.clone(), folders.base.clone(), folders.types.clone()];
            roots.extend([folders.clusters.clone(), folders.resources.clone(), folders.images.clone()]);
            roots.sort();
            // A folder that lies in another one of them is walked with it.
            let outer: Vec<&PathBuf> = roots
                .iter()
                .enumerate()
                .filter(|(at, root)| !roots[..*at].iter().any(|other| inside(root, other)))
                .map(|(_, root)| root)
                .collect();
            for root in outer {
                walk(&*renderer.repository().files, root, &folders.output, 0, &mut |path| {
                    paths.entry(path).or_insert([false; 2])[side] = true;
                });
            }
        }
        let mut changes =
            Self { files: BTreeSet::new(), gone: SourceLines::new(), fresh: SourceLines::new() };
        for (path, [in_old, in_new]) in paths {
            let read = |renderer: &Renderer, there: bool| {
                if there { renderer.repository().files.read(&path).ok() } else { None }
            };
            let (before, after) = (read(old, in_old), read(new, in_new));
            if before == after {
                continue;
            }
            let text = |bytes: &Option<Vec<u8>>| {
                bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            };
            let (gone, fresh) =
                source_lines(&path_shown(&path), text(&before).as_deref(), text(&after).as_deref());
            changes.gone.extend(gone);
            changes.fresh.extend(fresh);
            changes.files.insert(path);
        }
        changes
    }

    /// Whether a cluster can look different because of them.
    fn touch(&self, renderer: &Renderer, cluster: &Cluster) -> bool {
        let folders = &renderer.repository().folders;
        let mut direct: Option<BTreeSet<PathBuf>> = None;
        self.files.iter().any(|file| {
            if inside(file, &cluster.folder) {
                return true;
            }
            if inside(file, &folders.clusters) && folders.clusters != Path::new(".") {
                return false;
            }
            let is_image = inside(file, &folders.images) && folders.images != Path::new(".");
            let is_template = inside(file, &folders.resources) && folders.resources != Path::new(".");
            if !is_image && !is_template {
                return true;
            }
            // A template that some resource names reaches only those; any other file may be included by one.
            let direct = direct.get_or_insert_with(|| sources(renderer, cluster));
            direct.contains(file) || (is_template && may_be_included(file))
        })
    }
}

/// Whether a template may be part of others: minijinja's may be included, and one is that of all services.
fn may_be_included(file: &Path) -> bool {
    let name = file.to_string_lossy();
    !name.ends_with(".mustache") || name.ends_with("base-svc.mustache")
}

/// The templates, copied files and image files of a cluster.
fn sources(renderer: &Renderer, cluster: &Cluster) -> BTreeSet<PathBuf> {
    let mut sources = BTreeSet::new();
    let Ok(listed) = list(renderer, cluster) else { return sources };
    let folders = &renderer.repository().folders;
    for resource in listed.resources {
        sources.extend(resource.source.map(PathBuf::from));
        for image in resource.images {
            if let (Some(tag), Some(branch)) = (image.image_tag, image.branch) {
                let path = folders.images.join(format!("{tag}/{branch}.yaml"));
                sources.insert(PathBuf::from(path_shown(&path)));
                sources.insert(path);
            }
        }
    }
    sources
}

fn inside(path: &Path, folder: &Path) -> bool {
    folder == Path::new(".") || path.starts_with(folder)
}

fn walk(files: &dyn Files, folder: &Path, output: &Path, depth: usize, found: &mut impl FnMut(PathBuf)) {
    if folder == output || depth > 32 {
        return;
    }
    for entry in files.list(folder).unwrap_or_default() {
        if entry.name.starts_with('.') || matches!(entry.name.as_str(), "node_modules" | "target") {
            continue;
        }
        let path =
            if folder == Path::new(".") { PathBuf::from(&entry.name) } else { folder.join(&entry.name) };
        match entry.is_dir {
            true if entry.is_link => {}
            true => walk(files, &path, output, depth + 1, found),
            false => found(path),
        }
    }
}

fn show(outcome: &Outcome, asked: &Asked<'_>, printer: &Printer) {
    if asked.annotate == Some(Annotate::Gitlab) {
        let report: Vec<serde_json::Value> = annotations(outcome).iter().map(code_quality).collect();
        return printer.json(&report);
    }
    let format = match printer.format() {
        Format::Json | Format::Ndjson => DiffFormat::Json,
        Format::Text => asked.format,
    };
    match format {
        DiffFormat::Text => printer.result(&text(outcome)),
        DiffFormat::Markdown => printer.result(&markdown(outcome, asked.revisions)),
        DiffFormat::Json => {
            let clusters = serde_json::json!({
                "changed": outcome.changed,
                "untouched": outcome.untouched,
                "added": outcome.added,
                "removed": outcome.removed,
            });
            let document =
                serde_json::json!({ "version": 1, "clusters": clusters, "groups": outcome.groups });
            printer.result(&format!("{document:#}\n"));
        }
    }
    if asked.annotate == Some(Annotate::Github) {
        for (file, line, message) in annotations(outcome) {
            printer.result(&format!("::notice file={file},line={line},title=deploymentizer::{message}\n"));
        }
    }
}

type Annotation = (String, String, String);

/// One for each source line that causes something, the widest first.
fn annotations(outcome: &Outcome) -> Vec<Annotation> {
    let mut by_place: Vec<(&str, BTreeSet<&str>, BTreeSet<&str>)> = Vec::new();
    for group in &outcome.groups {
        for cause in &group.causes {
            let at = by_place.iter().position(|(place, ..)| place == cause).unwrap_or_else(|| {
                by_place.push((cause, BTreeSet::new(), BTreeSet::new()));
                by_place.len() - 1
            });
            by_place[at].1.extend(group.clusters());
            by_place[at].2.extend(group.files());
        }
    }
    by_place.sort_by_key(|(_, clusters, _)| std::cmp::Reverse(clusters.len()));
    let all = by_place.into_iter().take(MOST_ANNOTATIONS).filter_map(|(place, clusters, files)| {
        let (file, line) = place.rsplit_once(':')?;
        let clusters: Vec<&str> = clusters.into_iter().collect();
        let files: Vec<&str> = files.into_iter().collect();
        let message = format!("changes {} in {}", counted(&files, "file"), counted(&clusters, "cluster"));
        Some((file.to_owned(), line.to_owned(), message))
    });
    all.collect()
}

fn code_quality((file, line, message): &Annotation) -> serde_json::Value {
    serde_json::json!({
        "description": message,
        "check_name": "deploymentizer-diff",
        "fingerprint": format!("{file}:{line}:{message}"),
        "severity": "info",
        "location": { "path": file, "lines": { "begin": line.parse::<u32>().unwrap_or(1) } },
    })
}

/// `cluster eu-1`, `37 clusters: a, b, c, …`.
pub(crate) fn counted(names: &[&str], noun: &str) -> String {
    match names {
        [one] => format!("{noun} {one}"),
        _ if names.len() <= 4 => format!("{} {noun}s: {}", names.len(), names.join(", ")),
        _ => format!("{} {noun}s: {}, …", names.len(), names[..4].join(", ")),
    }
}

fn named(clusters: &[String]) -> String {
    let names: Vec<&str> = clusters.iter().map(String::as_str).collect();
    counted(&names, "cluster")
}

fn summary(outcome: &Outcome) -> String {
    let mut text = match outcome.groups.len() {
        0 => "no changes".to_owned(),
        1 => format!("1 change in {} clusters", outcome.changed),
        count => format!("{count} changes in {} clusters", outcome.changed),
    };
    text.push_str(&format!(", {} unchanged", outcome.untouched));
    if !outcome.added.is_empty() {
        text.push_str(&format!(", new: {}", named(&outcome.added)));
    }
    if !outcome.removed.is_empty() {
        text.push_str(&format!(", gone: {}", named(&outcome.removed)));
    }
    text
}

fn heading(group: &Group) -> String {
    let verb = match group.kind {
        Kind::Changed => "",
        Kind::Added => "new ",
        Kind::Removed => "removed ",
    };
    format!("in {}, {verb}{}", counted(&group.clusters(), "cluster"), counted(&group.files(), "file"))
}

fn body(group: &Group) -> String {
    let mut body = String::new();
    if group.kind == Kind::Changed {
        body.push_str(&format!("@@ {}:{} @@\n", group.places[0].file, group.hunk.new_start));
    }
    for line in &group.hunk.lines {
        body.push_str(line);
        body.push('\n');
    }
    body
}

fn text(outcome: &Outcome) -> String {
    let mut text = String::new();
    for group in &outcome.groups {
        text.push_str(&format!("{}\n", heading(group)));
        if !group.causes.is_empty() {
            text.push_str(&format!("caused by {}\n", group.causes.join(", ")));
        }
        text.push_str(&body(group));
        text.push('\n');
    }
    text.push_str(&summary(outcome));
    text.push('\n');
    text
}

fn markdown(outcome: &Outcome, revisions: &str) -> String {
    let mut text = format!("## deploymentizer diff `{revisions}`\n\n{}\n", summary(outcome));
    for (at, group) in outcome.groups.iter().enumerate() {
        let mut part = format!("\n### {}\n\n", heading(group));
        if !group.causes.is_empty() {
            let causes: Vec<String> = group.causes.iter().map(|cause| format!("`{cause}`")).collect();
            part.push_str(&format!("caused by {}\n\n", causes.join(", ")));
        }
        part.push_str(&format!("```diff\n{}```\n", body(group)));
        let rest = outcome.groups.len() - at;
        let note = format!("\n{rest} more changes do not fit into 1 MiB\n");
        if text.len() + part.len() + note.len() > MOST_MARKDOWN {
            text.push_str(&note);
            break;
        }
        text.push_str(&part);
    }
    text
}
