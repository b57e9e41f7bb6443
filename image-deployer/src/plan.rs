//! What is to be changed on a branch's tip: a decision over what the tip holds, made again on every new tip.

use std::{collections::BTreeMap, path::Path};

use cli::{Exit, Failure, Problem};
use gitrepo::{
    GitError, TipReader,
    edit::{self, Document, Edit, EditError, Edited, IfMissing, PropertyPath},
};
use manifest::{ImageRef, config::ImagesConfig, image_file::not_a_path};

use crate::{
    everywhere::Places,
    part::Part,
    want::{Place, Want},
};

/// What is asked of the tip.
pub(crate) struct Asked<'r> {
    pub(crate) wants: &'r [Want],
    pub(crate) document: &'r Document,
    pub(crate) if_missing: IfMissing,
    pub(crate) conf: &'r str,
}

/// All files that were looked at, by path.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) files: BTreeMap<String, FilePlan>,
}

/// One file, before and after.
#[derive(Debug, Default)]
pub(crate) struct FilePlan {
    /// `None` if the file is not there.
    pub(crate) before: Option<Vec<u8>>,
    /// The new content, if it is another one.
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) values: Vec<Value>,
}

/// One value of a file, and the image it was set for.
#[derive(Debug)]
pub(crate) struct Value {
    pub(crate) image: ImageRef,
    pub(crate) part: Option<Part>,
    pub(crate) edited: Edited,
}

impl Plan {
    /// Values that change, with their files.
    pub(crate) fn changes(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.files.iter().flat_map(|(path, file)| {
            file.values.iter().filter(|value| value.edited.changed).map(move |value| (path.as_str(), value))
        })
    }

    /// The files to write.
    pub(crate) fn contents(&self) -> Vec<(String, Vec<u8>)> {
        self.files.iter().filter_map(|(path, file)| Some((path.clone(), file.after.clone()?))).collect()
    }
}

/// One edit of one file.
struct Job<'r> {
    want: &'r Want,
    kind: JobKind<'r>,
}

enum JobKind<'r> {
    Set { document: &'r Document, path: PropertyPath, value: String, part: Part, if_missing: IfMissing },
    Everywhere,
}

/// Reads what is needed from the tip and makes the edits. Every edit that is refused is reported.
pub(crate) fn plan(asked: &Asked<'_>, tip: &mut dyn TipReader) -> Result<Plan, Failure> {
    let jobs = jobs(asked, tip)?;
    let paths: Vec<&str> = jobs.keys().map(String::as_str).collect();
    tip.prefetch(&paths).map_err(|error| git_failure(&error))?;
    let mut plan = Plan::default();
    let mut problems = Vec::new();
    let mut found = vec![false; asked.wants.len()];
    for (path, jobs) in &jobs {
        let before = tip.read(path).map_err(|error| git_failure(&error))?;
        let mut file = FilePlan { before, after: None, values: Vec::new() };
        for job in jobs {
            if let Err(more) = run(job, path, &mut file) {
                problems.extend(more);
            }
        }
        for value in &file.values {
            for (want, found) in asked.wants.iter().zip(&mut found) {
                *found |= want.image == value.image;
            }
        }
        if !file.values.is_empty() {
            plan.files.insert(path.clone(), file);
        }
    }
    if problems.is_empty() {
        for (want, _) in asked.wants.iter().zip(found).filter(|(_, found)| !found) {
            if let Place::Everywhere { path } = &want.place {
                let at = if path.is_empty() { "in the repository".into() } else { format!("below `{path}`") };
                problems.push(Problem::new(format!(
                    "no YAML file {at} carries an image of this repository: `{}`",
                    want.image.name()
                )));
            }
        }
    }
    problems.extend(contradictions(&plan));
    if problems.is_empty() { Ok(plan) } else { Err(Failure::all(Exit::Invalid, problems)) }
}

fn jobs<'r>(asked: &Asked<'r>, tip: &mut dyn TipReader) -> Result<BTreeMap<String, Vec<Job<'r>>>, Failure> {
    let mut jobs: BTreeMap<String, Vec<Job<'r>>> = BTreeMap::new();
    let mut images = None;
    let mut problems = Vec::new();
    for want in asked.wants {
        match &want.place {
            Place::ImageFile { repository, branch } => {
                if images.is_none() {
                    images = Some(images_config(asked.conf, tip)?);
                }
                let Some((folder, property)) = &images else { continue };
                let kind = JobKind::Set {
                    document: &Document::Any,
                    path: PropertyPath::key(property),
                    value: want.image.to_string(),
                    part: Part::Image,
                    if_missing: IfMissing::Create,
                };
                let slash = if folder.is_empty() { "" } else { "/" };
                match manifest::image_file(repository, branch) {
                    Ok(file) => {
                        jobs.entry(format!("{folder}{slash}{file}")).or_default().push(Job { want, kind })
                    }
                    Err(error) => problems.push(Problem::from_error(&error)),
                }
            }
            Place::Property { file, path, part } => match part.text(&want.image) {
                Ok(value) => {
                    let kind = JobKind::Set {
                        document: asked.document,
                        path: path.clone(),
                        value,
                        part: *part,
                        if_missing: asked.if_missing,
                    };
                    jobs.entry(file.clone()).or_default().push(Job { want, kind });
                }
                Err(missing) => problems.push(
                    Problem::new(format!(
                        "`{path}` takes the image's {missing}, and it has none: `{}`",
                        want.image
                    ))
                    .hint("say what to write with `--part image|tag|digest|name`"),
                ),
            },
            Place::Everywhere { path } => {
                let files = tip.list(path).map_err(|error| git_failure(&error))?;
                let yaml = |file: &String| [".yaml", ".yml", ".json"].iter().any(|end| file.ends_with(end));
                for file in files.into_iter().filter(yaml) {
                    jobs.entry(file).or_default().push(Job { want, kind: JobKind::Everywhere });
                }
            }
        }
    }
    if problems.is_empty() { Ok(jobs) } else { Err(Failure::all(Exit::Invalid, problems)) }
}

/// Folder and property of the image files, from `kit.yaml`.
fn images_config(conf: &str, tip: &mut dyn TipReader) -> Result<(String, String), Failure> {
    let content = tip.read(conf).map_err(|error| git_failure(&error))?.ok_or_else(|| {
        Failure::invalid(Problem::new(format!("branch `{}` has no `{conf}`", tip.branch())).hint(
            "add one with `images: {path: ./images, property: image}`, name another with `--conf`, \
                 or say what to edit with `--file` and `--property`",
        ))
    })?;
    let text = String::from_utf8(content)
        .map_err(|_error| Failure::invalid(Problem::new(format!("{conf}: not UTF-8 text"))))?;
    let config = ImagesConfig::parse(&text, Path::new(conf))
        .map_err(|error| Failure::invalid(Problem::from_error(&error).maybe_hint(error.hint())))?;
    let written = config.path.to_string_lossy();
    // `/images` and `./images` are both the folder `images` of the repository, as in kit.
    let parts: Vec<&str> = written.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    let folder = parts.join("/");
    match not_a_path(&folder).filter(|_| !folder.is_empty()) {
        Some(why) => Err(Failure::invalid(Problem::new(format!(
            "{conf}: `images.path` is not a folder of the repository, {why}: `{written}`"
        )))),
        None => Ok((folder, config.property)),
    }
}

fn run(job: &Job<'_>, path: &str, file: &mut FilePlan) -> Result<(), Vec<Problem>> {
    let image = &job.want.image;
    let refused = |error: EditError| vec![edit_problem(&error)];
    let content = file.after.as_deref().or(file.before.as_deref());
    let (edit, part) = match &job.kind {
        JobKind::Set { document, path: property, value, part, if_missing } => {
            if content.is_none() && *if_missing == IfMissing::Refuse {
                return Err(vec![
                    Problem::new(format!("the repository has no file `{path}`"))
                        .hint("check the path, or add `--create` to have it written"),
                ]);
            }
            let content = content.unwrap_or_default();
            let edit = edit::set(path, content, document, property, value, *if_missing).map_err(refused)?;
            (edit, Some(*part))
        }
        JobKind::Everywhere => {
            let mut places = Places::of(image);
            let Some(content) = content.filter(|content| places.may_be_in(content)) else { return Ok(()) };
            let edit = edit::set_each(path, content, &mut |leaf| places.choose(leaf)).map_err(refused)?;
            if !places.refused.is_empty() {
                let problem =
                    |(at, why): &(String, String)| Problem::new(format!("{path}: cannot set `{at}`: {why}"));
                return Err(places.refused.iter().map(problem).collect());
            }
            (edit, None)
        }
    };
    let Edit { bytes, values } = edit;
    if let Some(bytes) = bytes {
        file.after = Some(bytes);
    }
    file.values.extend(values.into_iter().map(|edited| Value { image: image.clone(), part, edited }));
    Ok(())
}

/// Two images for one value: the second would silently win.
fn contradictions(plan: &Plan) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, file) in &plan.files {
        let mut seen: BTreeMap<String, &Value> = BTreeMap::new();
        for value in &file.values {
            let property = value.edited.path.to_string();
            match seen.get(&property) {
                Some(first) if first.edited.new != value.edited.new && first.part.is_some() => {
                    problems.push(Problem::new(format!(
                        "{path}: two images are asked for `{property}`: `{}` and `{}`",
                        first.image, value.image
                    )));
                }
                _ => {
                    seen.insert(property, value);
                }
            }
        }
    }
    problems
}

fn edit_problem(error: &EditError) -> Problem {
    Problem::from_error(error).maybe_hint(error.hint().map(str::to_owned))
}

/// A [`GitError`] with its exit code: what the user named wrongly is invalid input, the rest is a failure.
pub(crate) fn git_failure(error: &GitError) -> Failure {
    let mut problem = Problem::from_error(error);
    let is_http = |url: &str| url.starts_with("http");
    let has_a_flag = matches!(error, GitError::Auth { sent_credentials: false, url, .. } if is_http(url))
        || matches!(error, GitError::Certificate { .. });
    if !has_a_flag {
        problem = problem.maybe_hint(error.hint());
    }
    let exit = match error {
        GitError::NoBranch { .. } => {
            problem = problem.hint("add `--create-branch` to have it made");
            Exit::Invalid
        }
        GitError::Empty { .. } => {
            problem = problem.hint("add `--create-branch` to have the first commit made");
            Exit::Invalid
        }
        GitError::NoHead { .. } => {
            problem = problem.hint("name the branch with `--repo-branch`");
            Exit::Invalid
        }
        GitError::Url { .. }
        | GitError::BranchName { .. }
        | GitError::Path { .. }
        | GitError::File { .. } => Exit::Invalid,
        GitError::Auth { sent_credentials: false, url, .. } if is_http(url) => {
            problem = problem
                .hint("no credentials were sent: put the token into the environment as KIT_TOKEN, or name a file with `--token-file`");
            Exit::Failed
        }
        GitError::Certificate { .. } => {
            problem = problem.hint("name the certificate of its authority with `--ca-file FILE` (PEM)");
            Exit::Failed
        }
        GitError::Auth { .. }
        | GitError::NotFound { .. }
        | GitError::Network { .. }
        | GitError::Server { .. }
        | GitError::Refused { .. }
        | GitError::Protocol { .. }
        | GitError::Program { .. }
        | GitError::Local { .. }
        | GitError::Sign { .. }
        | _ => Exit::Failed,
    };
    Failure::new(exit, problem)
}
