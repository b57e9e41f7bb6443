//! The text of the commit: what a template says, then trailers that programs read.

use std::collections::BTreeSet;

use cli::{Failure, Problem};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, context};

use crate::{ci::Build, plan::Plan, request::Message};

/// One image that a commit writes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Written {
    image: String,
    name: String,
    tag: String,
    old: Option<String>,
    old_tag: Option<String>,
}

/// The message of the commit that a plan leads to.
pub(crate) fn message(
    message: &Message,
    plan: &Plan,
    build: &Build,
    branch: &str,
) -> Result<String, Failure> {
    let written = written(plan);
    let body = match message {
        Message::Default => default_subject(&written),
        Message::Literal(text) => text.trim_end().to_owned(),
        Message::Template(template) => render(template, &written, plan, build, branch)?,
    };
    let mut lines = Vec::new();
    for Written { image, old, .. } in &written {
        lines.push(format!("Image: {image}"));
        lines.extend(old.iter().map(|old| format!("Previous-Image: {old}")));
    }
    lines.extend(build.commit.iter().map(|commit| format!("Source-Commit: {}", one_line(commit))));
    lines.extend(build.url.iter().map(|url| format!("Build-Url: {}", one_line(&gitrepo::redact(url)))));
    Ok(format!("{}\n\n{}\n", body.trim_end(), lines.join("\n")))
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn default_subject(written: &[Written]) -> String {
    match written {
        [one] => format!("{}: {}", one.name.rsplit('/').next().unwrap_or_default(), one.tag),
        several => {
            let mut text = format!("{} images\n", several.len());
            for image in several {
                text.push_str(&format!("\n- {}", image.image));
            }
            text
        }
    }
}

/// Each image once, with what it replaces, whatever the number of places.
fn written(plan: &Plan) -> Vec<Written> {
    let mut images = BTreeSet::new();
    for (_, value) in plan.changes() {
        let image = &value.image;
        let previous = value.edited.old.as_deref().map(|old| match old.contains('/') || old.contains(':') {
            true => old.to_owned(),
            // Only a part of the reference was there.
            false => format!("{}:{old}", image.name()),
        });
        let tag = |image: &manifest::ImageRef| image.tag().or(image.digest()).unwrap_or_default().to_owned();
        let old_tag =
            previous.as_ref().and_then(|old| old.parse().ok()).map(|old: manifest::ImageRef| tag(&old));
        images.insert(Written {
            image: image.to_string(),
            name: image.name(),
            tag: tag(image),
            old: previous.map(|old| one_line(&old)),
            old_tag,
        });
    }
    images.into_iter().collect()
}

fn render(
    template: &str,
    written: &[Written],
    plan: &Plan,
    build: &Build,
    branch: &str,
) -> Result<String, Failure> {
    let mut environment = Environment::empty();
    minijinja_defaults(&mut environment);
    let names: Vec<&str> = written.iter().map(|image| image.image.as_str()).collect();
    let first = written.first();
    let rows: Vec<_> = written
        .iter()
        .map(|image| {
            context! {
                image => image.image.as_str(), repository => image.name.as_str(), tag => image.tag.as_str(),
                old => image.old.as_deref().unwrap_or_default(),
                old_tag => image.old_tag.as_deref().unwrap_or_default(),
            }
        })
        .collect();
    let values = context! {
        images => names.join(", "),
        changes => rows,
        image => first.map(|image| image.image.as_str()).unwrap_or_default(),
        repository => first.map(|image| image.name.as_str()).unwrap_or_default(),
        tag => first.map(|image| image.tag.as_str()).unwrap_or_default(),
        old => first.and_then(|image| image.old.as_deref()).unwrap_or_default(),
        old_tag => first.and_then(|image| image.old_tag.as_deref()).unwrap_or_default(),
        files => plan.contents().into_iter().map(|(path, _)| path).collect::<Vec<_>>(),
        branch => build.branch.as_deref().unwrap_or_default(),
        repo_branch => branch,
        source_commit => build.commit.as_deref().unwrap_or_default(),
        build_url => build.url.as_deref().unwrap_or_default(),
    };
    let rendered = environment.render_named_str("--message", template, values).map_err(|error| {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
        Failure::invalid(
            Problem::new(format!("the template of `--message` cannot be used{line}: {}{detail}", error.kind()))
                .hint("it knows images, image, old, tag, old_tag, repository, changes, files, branch, source_commit, build_url"),
        )
    })?;
    if rendered.trim().is_empty() {
        return Err(Failure::invalid(Problem::new("the template of `--message` gives an empty message")));
    }
    Ok(rendered.trim().to_owned())
}

fn minijinja_defaults(environment: &mut Environment<'_>) {
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
}
