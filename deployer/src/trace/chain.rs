//! The links of a trace, each from the one before; what is missing says what would bring it.

use std::path::{Path, PathBuf};

use cluster::plan::{COMMIT, FIELD_MANAGER, Mask};
use cluster::trace::managers;
use gitrepo::history::{self, Origin};
use manifest::ClusterName;
use manifest::field::{FieldPath, FieldStep};
use manifest::find::InFile;
use manifest::index::{Index, LineOrigin};
use serde::Serialize;
use serde_json::Value;

/// Where a trace looks, beside the cluster.
pub(crate) struct Sources {
    /// The cluster's directory of manifests.
    pub(crate) dir: Option<PathBuf>,
    pub(crate) rendered: Option<InFile>,
    pub(crate) index: Option<Index>,
    /// The checkout that was rendered.
    pub(crate) source: Option<PathBuf>,
}

/// The whole answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) version: u32,
    pub(crate) cluster: String,
    pub(crate) object: String,
    /// The commit that was deployed last, as the deploy was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) deployed_commit: Option<String>,
    pub(crate) fields: Vec<Traced>,
}

/// One field and where it comes from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Traced {
    /// Empty for the object as a whole.
    pub(crate) path: String,
    pub(crate) state: State,
    /// What the cluster has, secrets masked; absent if nothing, or for mappings and lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) live: Option<Value>,
    pub(crate) managers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rendered: Option<RenderedAt>,
    /// `file:line`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) template: Option<String>,
    /// `file:line` of what was put into the line.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) values: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) commit: Option<Commit>,
    /// What could not be found out, and what would help.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) missing: Vec<Missing>,
}

/// How a field stands to the manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// As the manifest says.
    AsRendered,
    /// The manifest says otherwise.
    Drift,
    /// The manifest says nothing about it: somebody else set it, or the server by default.
    NotOurs,
    /// Deployer wrote it, the manifest does not have it: a mark of the deploy.
    Mark,
    /// The cluster does not have it.
    Absent,
    /// There is no manifest to compare with.
    Unknown,
}

/// A place in a rendered file.
#[derive(Debug, Serialize)]
pub(crate) struct RenderedAt {
    pub(crate) file: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<Value>,
}

/// The commit that set a value.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) author: String,
    pub(crate) time: String,
    pub(crate) subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) source_commit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) build_url: Option<String>,
}

/// A link that is not there.
#[derive(Debug, Serialize)]
pub(crate) struct Missing {
    pub(crate) what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) hint: Option<String>,
}

impl Traced {
    pub(crate) fn is_absent(&self) -> bool {
        self.state == State::Absent
    }

    fn miss(&mut self, what: impl Into<String>, hint: Option<String>) {
        self.missing.push(Missing { what: what.into(), hint });
    }
}

/// Traces `path`, or what is most of interest.
pub(crate) fn trace_all(
    cluster: &ClusterName,
    live: &Value,
    path: Option<&FieldPath>,
    sources: &Sources,
    mask: &Mask,
) -> Report {
    let paths = match path {
        Some(path) => vec![path.clone()],
        None => images(live),
    };
    let shown = mask.object(live);
    let deployed = manifest::object::annotation(live, COMMIT).map(|sha| sha.trim_matches('"').to_owned());
    Report {
        version: 1,
        cluster: cluster.to_string(),
        object: manifest::object::reference(live).to_string(),
        deployed_commit: deployed.filter(|sha| !sha.is_empty()),
        fields: paths.iter().map(|path| one(cluster, live, &shown, path, sources, mask)).collect(),
    }
}

/// The images of a workload; of anything else the object.
fn images(live: &Value) -> Vec<FieldPath> {
    let template = match live["kind"].as_str() {
        Some("CronJob") => "spec.jobTemplate.spec.template.spec",
        Some("Pod") => "spec",
        _ => "spec.template.spec",
    };
    let mut paths = Vec::new();
    for list in ["initContainers", "containers"] {
        let Ok(list) = format!("{template}.{list}").parse::<FieldPath>() else { continue };
        for container in list.of_value(live).and_then(Value::as_array).into_iter().flatten() {
            if let Some(name) = container["name"].as_str() {
                paths.push(list.then(FieldStep::Item(name.into())).then(FieldStep::Key("image".into())));
            }
        }
    }
    if paths.is_empty() { vec![FieldPath::default()] } else { paths }
}

fn one(
    cluster: &ClusterName,
    live: &Value,
    shown: &Value,
    path: &FieldPath,
    sources: &Sources,
    mask: &Mask,
) -> Traced {
    let is_scalar = |value: &Value| !value.is_object() && !value.is_array();
    let there = path.of_value(live);
    let mut traced = Traced {
        path: path.to_string(),
        state: State::Unknown,
        live: path.of_value(shown).filter(|value| is_scalar(value)).cloned(),
        managers: managers(live, path),
        rendered: None,
        template: None,
        values: Vec::new(),
        commit: None,
        missing: Vec::new(),
    };
    let Some(rendered) = &sources.rendered else {
        let hint = match &sources.dir {
            Some(dir) => format!("ls {}", dir.display()),
            None => "--manifests-dir DIR".to_owned(),
        };
        traced.miss("there is no manifest of this object", Some(hint));
        traced.state = if there.is_some() { State::Unknown } else { State::Absent };
        return traced;
    };
    let node = path.of_node(&rendered.root);
    let wanted = node.and_then(|node| node.as_scalar()).map(|scalar| scalar.to_text().into_owned());
    traced.state = state(&traced.managers, there, node.is_some(), wanted.as_deref());
    let Some(node) = node else {
        explain_absence(&mut traced, rendered);
        return traced;
    };
    let file = rendered.file.display().to_string();
    let value = wanted.as_ref().map(|text| {
        // The same secret is the same token on both sides.
        let object = serde_json::json!({"kind": live["kind"], "apiVersion": live["apiVersion"]});
        masked(object, path, text, mask)
    });
    let (line, column) = (node.span.line, node.span.column);
    traced.rendered = Some(RenderedAt { file: file.clone(), line, column, value });
    if traced.state == State::Drift && !traced.managers.iter().all(|manager| manager == FIELD_MANAGER) {
        let who = traced.managers.join("`, `");
        traced.miss(
            format!("who set what the cluster has is not in git: `{who}`"),
            Some("a deploy puts it back: `deployer --diff`".into()),
        );
    }
    through_index(&mut traced, cluster, sources, rendered, line);
    if let Some(text) = wanted.filter(|_| there.is_none_or(is_scalar)) {
        let asked = match (traced.state, there.and_then(Value::as_str)) {
            (State::Drift, Some(live)) => live.to_owned(),
            _ => text,
        };
        through_git(&mut traced, sources, &asked);
    }
    traced
}

/// A value as it may be shown: what a Secret holds is a token.
fn masked(mut object: Value, path: &FieldPath, text: &str, mask: &Mask) -> Value {
    let top = path.steps.first().map(|step| match step {
        FieldStep::Key(key) | FieldStep::Item(key) => key.as_str(),
    });
    if object["kind"] == "Secret" && matches!(top, Some("data" | "stringData")) {
        object["data"] = serde_json::json!({"value": text});
        return mask.object(&object)["data"]["value"].clone();
    }
    Value::from(mask.text(text))
}

fn state(managers: &[String], there: Option<&Value>, rendered: bool, wanted: Option<&str>) -> State {
    match (there, rendered, wanted) {
        (None, _, _) => State::Absent,
        (Some(_), false, _) if managers.iter().any(|manager| manager == FIELD_MANAGER) => State::Mark,
        (Some(_), false, _) => State::NotOurs,
        (Some(Value::String(live)), true, Some(wanted)) if live != wanted => State::Drift,
        (Some(Value::Number(_) | Value::Bool(_)), true, Some(wanted))
            if there.map(ToString::to_string).as_deref() != Some(wanted) =>
        {
            State::Drift
        }
        (Some(_), true, _) => State::AsRendered,
    }
}

fn explain_absence(traced: &mut Traced, rendered: &InFile) {
    let file = rendered.file.display();
    match traced.state {
        State::Mark => {
            traced.miss(
                format!(
                    "it is not in {file}: deployer itself adds it (ids, labels and annotations of the deploy)"
                ),
                None,
            );
        }
        State::NotOurs if traced.managers.is_empty() => {
            traced.miss(format!("it is not in {file}, and nobody set it: it has the server's default"), None);
        }
        State::NotOurs => {
            let who = traced.managers.join("`, `");
            traced.miss(
                format!("it is not in {file}: it belongs to `{who}`"),
                Some(format!("to decide it in git, set `{}` in its template", traced.path)),
            );
        }
        State::Absent | State::Unknown | State::AsRendered | State::Drift => {
            traced.miss(format!("neither the cluster nor {file} has this field"), None);
        }
    }
}

/// From the line of the rendered file to the template and the values, by what deploymentizer wrote down.
fn through_index(
    traced: &mut Traced,
    cluster: &ClusterName,
    sources: &Sources,
    rendered: &InFile,
    line: u32,
) {
    let render = "deploymentizer --conf kit.yaml --provenance";
    let Some(index) = &sources.index else {
        traced.miss("deploymentizer has left no index beside the manifest", Some(render.to_owned()));
        return;
    };
    let name = sources
        .dir
        .as_ref()
        .and_then(|dir| rendered.file.strip_prefix(dir).ok())
        .unwrap_or(&rendered.file)
        .display()
        .to_string();
    let Some(entry) = index.files.get(&name) else {
        traced.miss(format!("deploymentizer did not write `{name}`: it is the source itself"), None);
        return;
    };
    match std::fs::read(&rendered.file) {
        Ok(bytes) if manifest::tree::digest(&bytes) != entry.digest => {
            traced.miss(
                format!("`{name}` was changed by hand after it was rendered: its lines may not be those of the index"),
                Some(render.to_owned()),
            );
        }
        Ok(_) | Err(_) => {}
    }
    match entry.lines.get(&line) {
        Some(LineOrigin { template, values }) => {
            traced.template.clone_from(template);
            traced.values.clone_from(values);
        }
        None if entry.lines.is_empty() => {
            traced.template = Some(entry.source.clone());
            traced.miss(
                "the index does not say which line of the template and which values made it",
                Some(format!(
                    "deploymentizer explain {cluster} {} --line {name}:{line}; or render with `--provenance`",
                    entry.resource
                )),
            );
        }
        None => traced.miss("the index says nothing about this line", Some(render.to_owned())),
    }
}

/// From the value to the commit that set it, and to the build.
fn through_git(traced: &mut Traced, sources: &Sources, text: &str) {
    let Some(source) = &sources.source else {
        traced.miss(
            "where the rendered checkout is was not found",
            Some("--source-dir DIR, the folder of kit.yaml".into()),
        );
        return;
    };
    match find_commit(source, &traced.values, traced.template.as_deref(), text) {
        Ok(Some(origin)) => traced.commit = Some(commit(&origin)),
        Ok(None) => {
            let shallow = history::is_shallow(source).unwrap_or(false);
            let (what, hint) = match shallow {
                true => (
                    "the checkout holds only a part of the history",
                    Some("git fetch --unshallow".to_owned()),
                ),
                false => ("no commit of the checkout set this value", None),
            };
            traced.miss(what, hint);
        }
        Err(error) => {
            traced.miss(error.to_string(), Some("--source-dir DIR, a clone with its history".into()))
        }
    }
}

fn find_commit(
    source: &Path,
    values: &[String],
    template: Option<&str>,
    text: &str,
) -> Result<Option<Origin>, gitrepo::GitError> {
    // What image-deployer wrote says it in so many words.
    if let Some(origin) = history::with_trailer(source, "Image", text)? {
        return Ok(Some(origin));
    }
    if text.is_empty() {
        return Ok(None);
    }
    for place in values.iter().map(String::as_str).chain(template) {
        let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
        if let Some(origin) = history::introduced(source, file, text)? {
            return Ok(Some(origin));
        }
    }
    Ok(None)
}

fn commit(origin: &Origin) -> Commit {
    let trailer = |key: &str| origin.trailers.iter().find(|(k, _)| k == key).map(|(_, value)| value.clone());
    let time = jiff::Timestamp::from_second(origin.time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    Commit {
        id: origin.commit.clone(),
        author: origin.author.clone(),
        time: time.to_string(),
        subject: origin.subject.clone(),
        source_commit: trailer("Source-Commit"),
        build_url: trailer("Build-Url").map(|url| gitrepo::redact(&url)),
    }
}
