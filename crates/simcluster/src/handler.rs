//! From an authenticated request to an answer. Everything here is synchronous and under the cluster's lock.

mod pods;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::api::body::{self, Body as Parsed};
use crate::api::delete::{self, DeleteOptions};
use crate::api::read::{self, Listing, View};
use crate::api::write::{FieldValidation, Options, Writing};
use crate::api::{discovery, openapi, patch, reviews, scale, strategic};
use crate::auth::User;
use crate::body::{Body, Stream};
use crate::cluster::{Cluster, State};
use crate::kinds::Kind;
use crate::route::{Query, Route};
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Refusal;

/// A request, read in full.
pub(crate) struct Request {
    pub method: String,
    pub path: String,
    pub query: Query,
    pub accept: String,
    pub content_type: String,
    pub user_agent: String,
    pub body: Bytes,
    pub user: User,
    /// `/clusters/NAME` where clusters share a port.
    pub prefix: String,
}

/// An answer.
pub(crate) struct Answer {
    pub code: u16,
    pub body: Body,
    pub content_type: &'static str,
    pub warnings: Vec<String>,
    pub retry_after: Option<u64>,
}

impl Answer {
    pub(crate) fn json(code: u16, value: &Value) -> Answer {
        Answer::bytes(code, Bytes::from(value.to_string()))
    }

    fn bytes(code: u16, bytes: Bytes) -> Answer {
        Answer {
            code,
            body: Body::Full(Some(bytes)),
            content_type: "application/json",
            warnings: Vec::new(),
            retry_after: None,
        }
    }

    fn text(code: u16, text: String) -> Answer {
        Answer { content_type: "text/plain; charset=utf-8", ..Answer::bytes(code, Bytes::from(text)) }
    }

    pub(crate) fn refusal(refusal: &Refusal) -> Answer {
        Answer { retry_after: refusal.retry_after, ..Answer::json(refusal.code, &refusal.body()) }
    }
}

/// The verb of a request, as RBAC and faults name it (with `apply` and `discovery` told apart).
pub(crate) fn verb(request: &Request, route: Option<&Route>) -> &'static str {
    let Some(route) = route else { return "discovery" };
    match (request.method.as_str(), route.name.is_empty()) {
        ("GET", true) if request.query.flag("watch") => "watch",
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) if request.content_type.starts_with("application/apply-patch") => "apply",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "get",
    }
}

/// Answers a request.
pub(crate) fn answer(cluster: &Arc<Cluster>, request: &Request, route: Option<&Route>) -> Answer {
    let mut state = cluster.lock();
    let result = match route {
        Some(route) => resource(cluster, &mut state, request, route),
        None => Ok(document(&state, request)),
    };
    drop(state);
    cluster.wake();
    result.unwrap_or_else(|r| Answer::refusal(&r))
}

/// Paths that are not resources.
fn document(state: &State, request: &Request) -> Answer {
    let path = request.path.trim_end_matches('/');
    let aggregated = !state.old_discovery
        && request.accept.contains("as=APIGroupDiscoveryList")
        && request.accept.contains("v=v2");
    let found = match path {
        "/api" if aggregated => Some(discovery::aggregated(state, true)),
        "/apis" if aggregated => Some(discovery::aggregated(state, false)),
        "/api" => Some(discovery::core_versions()),
        "/apis" => Some(discovery::group_list(state)),
        "/version" => Some(discovery::version()),
        "/openapi/v2" => Some(openapi::v2(state)),
        "/openapi/v3" => Some(openapi::index(state, &request.prefix)),
        "/healthz" | "/livez" | "/readyz" => return Answer::text(200, "ok".into()),
        _ => {
            let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
            match parts.as_slice() {
                ["openapi", "v3", rest @ ..] => openapi::document(state, &rest.join("/")),
                ["api", version] => discovery::resources(state, "", version),
                ["apis", group] => discovery::group(state, group),
                ["apis", group, version] => discovery::resources(state, group, version),
                _ => None,
            }
        }
    };
    match found {
        Some(value) => {
            let mut answer = Answer::json(200, &value);
            if aggregated {
                answer.content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
            }
            answer
        }
        None => Answer::text(404, "404 page not found\n".into()),
    }
}

fn no_resource() -> Refusal {
    let mut r = Refusal::new(404, "NotFound", "the server could not find the requested resource");
    r.details = Some(Box::new(json!({})));
    r
}

fn options(request: &Request) -> Result<Options, Refusal> {
    let manager = request.query.get("fieldManager").filter(|m| !m.is_empty());
    let agent: String = request.user_agent.split('/').next().unwrap_or_default().chars().take(128).collect();
    let validation = match request.query.get("fieldValidation") {
        None | Some("" | "Warn") => FieldValidation::Warn,
        Some("Strict") => FieldValidation::Strict,
        Some("Ignore") => FieldValidation::Ignore,
        Some(other) => {
            let cause =
                crate::status::Cause::unsupported("fieldValidation", other, &["Ignore", "Strict", "Warn"]);
            return Err(Refusal::invalid("meta.k8s.io", "CreateOptions", "", &[cause]));
        }
    };
    Ok(Options {
        dry_run: request.query.get("dryRun").is_some_and(|d| d == "All"),
        manager: manager
            .map_or_else(|| if agent.is_empty() { "unknown".into() } else { agent }, str::to_owned),
        manager_given: manager.is_some(),
        force: request.query.flag("force"),
        validation,
    })
}

fn resource(
    cluster: &Arc<Cluster>,
    state: &mut State,
    request: &Request,
    route: &Route,
) -> Result<Answer, Refusal> {
    if request.method == "POST"
        && let Ok(parsed) = serde_json::from_slice::<Value>(&request.body)
        && let Some(answer) = reviews::answer(state, &route.group, &route.resource, &request.user, parsed)
    {
        return Ok(Answer::json(201, &answer));
    }
    let Some(kind) = state.store.kind(&route.group, &route.resource) else {
        let known =
            state.store.kinds().any(|k| k.group == route.group && k.version(&route.version).is_some());
        return if known { Err(no_resource()) } else { Ok(Answer::text(404, "404 page not found\n".into())) };
    };
    if kind.version(&route.version).is_none() || (!kind.namespaced && !route.ns.is_empty()) {
        return Err(no_resource());
    }
    let view = view(&request.accept, &request.query);
    match (request.method.as_str(), route.name.is_empty(), route.subresource.as_str()) {
        ("GET" | "HEAD", true, _) => collection(cluster, state, request, route, kind, view),
        ("GET" | "HEAD", false, "") => read::get(state, &kind, &route.version, &route.ns, &route.name, view)
            .map(|b| Answer::bytes(200, b)),
        ("DELETE", _, "") => remove(cluster, state, request, route, &kind, view),
        ("GET", false, "log") if kind.is("pods") => pods::log(state, request, route, &kind),
        ("POST", false, "eviction") if kind.is("pods") => pods::evict(state, request, route, &kind),
        ("POST", false, "token") if kind.is("serviceaccounts") => {
            let mut value: Value = serde_json::from_slice(&request.body).unwrap_or_else(|_| json!({}));
            value["status"] = json!({"token": "simulated", "expirationTimestamp": "2099-01-01T00:00:00Z"});
            Ok(Answer::json(201, &value))
        }
        ("POST" | "PUT" | "PATCH" | "GET", ..) => write(cluster, state, request, route, kind),
        _ => Err(not_allowed()),
    }
}

fn not_allowed() -> Refusal {
    let mut r = Refusal::new(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
    );
    r.details = Some(Box::new(json!({})));
    r
}

fn view(accept: &str, query: &Query) -> View {
    let first =
        accept.split(',').find(|a| a.contains("application/json") || a.contains("*/*")).unwrap_or_default();
    if first.contains("as=Table") {
        View::Table { include_object: query.get("includeObject") == Some("Object") }
    } else if first.contains("as=PartialObjectMetadata") {
        View::Metadata
    } else {
        View::Plain
    }
}

fn listing(request: &Request, route: &Route, kind: Arc<Kind>, view: View) -> Result<Listing, Refusal> {
    let query = &request.query;
    let labels =
        LabelSelector::parse(query.get("labelSelector").unwrap_or_default()).map_err(Refusal::bad_request)?;
    let selectable = kind.version(&route.version).map(|v| v.selectable.clone()).unwrap_or_default();
    let fields =
        FieldSelector::parse(query.get("fieldSelector").unwrap_or_default(), &kind.kind, &selectable)
            .map_err(Refusal::bad_request)?;
    Ok(Listing {
        version: route.version.clone(),
        ns: route.ns.clone(),
        labels,
        fields,
        rv: query.get("resourceVersion").map(str::to_owned),
        rv_match: query.get("resourceVersionMatch").map(str::to_owned),
        limit: query.get("limit").and_then(|l| l.parse().ok()).unwrap_or(0),
        token: query.get("continue").filter(|c| !c.is_empty()).map(str::to_owned),
        bookmarks: query.flag("allowWatchBookmarks"),
        initial: query.flag("sendInitialEvents"),
        view,
        kind,
    })
}

fn collection(
    cluster: &Arc<Cluster>,
    state: &mut State,
    request: &Request,
    route: &Route,
    kind: Arc<Kind>,
    view: View,
) -> Result<Answer, Refusal> {
    let listing = listing(request, route, kind, view)?;
    if !request.query.flag("watch") {
        return read::list(state, &listing).map(|b| Answer::bytes(200, b));
    }
    let (watch, lines) = read::watch(state, &listing)?;
    cluster.counters.watches.fetch_add(1, Ordering::Relaxed);
    let seconds = request.query.get("timeoutSeconds").and_then(|t| t.parse().ok()).unwrap_or(1800);
    let bookmarks = listing.bookmarks;
    let stream = Stream {
        lines,
        deadline: Stream::until(Duration::from_secs(seconds)),
        last: bookmarks.then(|| {
            let make: Box<dyn Fn(u64) -> Bytes + Send + Sync> =
                Box::new(move |rv| read::bookmark(&listing, rv, false));
            make
        }),
        cluster: cluster.clone(),
        watch,
        break_off: false,
        done: false,
    };
    Ok(Answer {
        code: 200,
        body: Body::Stream(Box::new(stream)),
        content_type: "application/json",
        warnings: Vec::new(),
        retry_after: None,
    })
}

fn remove(
    cluster: &Arc<Cluster>,
    state: &mut State,
    request: &Request,
    route: &Route,
    kind: &Arc<Kind>,
    view: View,
) -> Result<Answer, Refusal> {
    let body: Value = if request.body.is_empty() {
        json!({})
    } else {
        body::parse(&request.body, &request.content_type)?.value
    };
    let query = |name: &str| request.query.get(name).map(str::to_owned);
    let deletion = DeleteOptions::read(&body, &query, &options(request)?);
    if !route.name.is_empty() {
        let gone = delete::delete(state, kind, &route.ns, &route.name, &deletion)?;
        return Ok(Answer::json(200, &gone));
    }
    let _ = cluster;
    let mut listing = listing(request, route, kind.clone(), View::Plain)?;
    let _ = view;
    listing.limit = 0;
    let listed: Value = serde_json::from_slice(&read::list(state, &listing)?).unwrap_or_default();
    for item in listed["items"].as_array().into_iter().flatten() {
        let ns = item["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let _ = delete::delete(state, kind, &ns, &name, &deletion);
    }
    Ok(Answer::json(200, &listed))
}

fn write(
    cluster: &Arc<Cluster>,
    state: &mut State,
    request: &Request,
    route: &Route,
    kind: Arc<Kind>,
) -> Result<Answer, Refusal> {
    let options = options(request)?;
    let Some(version) = kind.version(&route.version).cloned() else { return Err(no_resource()) };
    match route.subresource.as_str() {
        "" => {}
        "status" if version.status => {}
        "scale" if version.scale.is_some() => {}
        "binding" if kind.is("pods") => {}
        "finalize" if kind.is("namespaces") => {}
        _ => return Err(no_resource()),
    }
    let subresource = if route.subresource == "finalize" { "" } else { route.subresource.as_str() };
    let mut writing = Writing {
        cluster,
        state,
        kind: kind.clone(),
        version: route.version.clone(),
        ns: &route.ns,
        subresource,
        options: &options,
    };
    let name = route.name.as_str();
    if request.method == "GET" {
        let live = writing.live(name)?;
        let value = match (&version.scale, subresource) {
            (Some(scale), "scale") => scale::view(scale, &live),
            _ => live,
        };
        return Ok(Answer::json(200, &value));
    }
    let parsed = body::parse(&request.body, &request.content_type)?;
    let written = match (request.method.as_str(), subresource) {
        ("POST", "") if name.is_empty() => writing.create(parsed)?,
        ("POST", "binding") => return pods::bind(writing.state, route, &parsed.value),
        ("PUT", "scale") => match &version.scale {
            Some(scale) => scale::update(&mut writing, scale, name, parsed)?,
            None => return Err(no_resource()),
        },
        ("PUT", _) if !name.is_empty() => writing.update(name, parsed, false)?,
        ("PATCH", _) if !name.is_empty() => patched(&mut writing, request, name, parsed)?,
        _ => return Err(not_allowed()),
    };
    let code = if written.created { 201 } else { 200 };
    let body = match view(&request.accept, &request.query) {
        View::Metadata => read::partial(&written.object),
        View::Plain | View::Table { .. } => written.object,
    };
    let mut answer = Answer::json(code, &body);
    answer.warnings = written.warnings;
    Ok(answer)
}

fn patched(
    writing: &mut Writing<'_>,
    request: &Request,
    name: &str,
    parsed: Parsed,
) -> Result<crate::api::write::Written, Refusal> {
    let mime = request.content_type.split(';').next().unwrap_or_default().trim();
    if mime == "application/apply-patch+yaml" {
        return writing.apply(name, parsed);
    }
    if request.query.get("force").is_some() {
        let cause = crate::status::Cause::forbidden("force", "may not be specified for non-apply patch");
        return Err(Refusal::invalid("meta.k8s.io", "PatchOptions", "", &[cause]));
    }
    let live = writing.live(name)?;
    let version = writing.kind.version(&writing.version).cloned();
    let scale = version.as_ref().and_then(|v| v.scale.clone()).filter(|_| writing.subresource == "scale");
    let mut target = match &scale {
        Some(scale) => scale::view(scale, &live),
        None => live,
    };
    match mime {
        "application/merge-patch+json" => patch::merge(&mut target, &parsed.value),
        "application/json-patch+json" => patch::json(&mut target, &parsed.value).map_err(|_why| {
            // The real server keeps the reason to itself.
            let mut refusal = Refusal::new(
                422,
                "Invalid",
                "the server rejected our request due to an error in our request",
            );
            refusal.details = Some(Box::new(json!({})));
            refusal
        })?,
        "application/strategic-merge-patch+json" if !writing.kind.custom => {
            if let Some(version) = &version {
                strategic::merge(&version.ty, &mut target, &parsed.value);
            }
        }
        _ => {
            return Err(Refusal::new(
                415,
                "UnsupportedMediaType",
                "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            ));
        }
    }
    let body = Parsed { value: target, duplicates: parsed.duplicates };
    match &scale {
        Some(scale) => scale::update(writing, scale, name, body),
        None => writing.update(name, body, true),
    }
}
