//! Get, list and watch.

use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::table;
use super::write::storage_id;
use crate::cluster::State;
use crate::convert;
use crate::kinds::Kind;
use crate::selector::{FieldSelector, LabelSelector};
use crate::status::Refusal;
use crate::store::{Key, Render, Watch, frame};

/// How the client wants objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    Plain,
    Table {
        include_object: bool,
    },
    /// `PartialObjectMetadata`.
    Metadata,
}

/// A list or watch.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    pub kind: Arc<Kind>,
    pub version: String,
    pub ns: String,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub rv: Option<String>,
    pub rv_match: Option<String>,
    pub limit: usize,
    pub token: Option<String>,
    pub bookmarks: bool,
    pub initial: bool,
    pub view: View,
}

impl Listing {
    fn render(&self) -> Option<Render> {
        let (kind, version, view) = (self.kind.clone(), self.version.clone(), self.view);
        let convert = convert::needed(&kind, &version);
        match view {
            View::Plain if !convert => None,
            View::Plain => Some(Arc::new(move |v: &Value| convert::from_stored(&kind, &version, v.clone()))),
            View::Table { include_object } => Some(Arc::new(move |v: &Value| {
                let object = convert::from_stored(&kind, &version, v.clone());
                let rv = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
                table::of(&kind, &version, std::slice::from_ref(&object), &rv, None, include_object)
            })),
            View::Metadata => Some(Arc::new(|v: &Value| partial(v))),
        }
    }
}

/// The `PartialObjectMetadata` of an object.
pub(crate) fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// GET of one object.
///
/// # Errors
/// 404.
pub(crate) fn get(
    state: &State,
    kind: &Kind,
    version: &str,
    ns: &str,
    name: &str,
    view: View,
) -> Result<Bytes, Refusal> {
    let key = Key { kind: storage_id(kind), ns: ns.into(), name: name.into() };
    let stored =
        state.store.objects.get(&key).ok_or_else(|| Refusal::not_found(&kind.group, &kind.plural, name))?;
    if view == View::Plain && !convert::needed(kind, version) {
        return Ok(stored.body.clone());
    }
    let object = convert::from_stored(kind, version, stored.value());
    let rv = stored.rv.to_string();
    Ok(Bytes::from(match view {
        View::Plain => object.to_string(),
        View::Table { include_object } => {
            table::of(kind, version, std::slice::from_ref(&object), &rv, None, include_object).to_string()
        }
        View::Metadata => partial(&object).to_string(),
    }))
}

/// GET of a collection.
///
/// # Errors
/// 400 for a bad continue token, 410 if it is too old, 504 for a version from the future.
pub(crate) fn list(state: &State, listing: &Listing) -> Result<Bytes, Refusal> {
    let kind = &listing.kind;
    let id = storage_id(kind);
    let mut rv = state.store.rv;
    if let Some(given) = listing.rv.as_deref().filter(|r| !r.is_empty()) {
        let given: u64 = given.parse().map_err(|_unparsed| {
            Refusal::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {given:?}: strconv.ParseUint: parsing {given:?}: invalid syntax"
            ))
        })?;
        if given > rv {
            let mut r =
                Refusal::new(504, "Timeout", format!("Too large resource version: {given}, current: {rv}"));
            r.details = Some(Box::new(json!({"retryAfterSeconds": 1,
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]})));
            return Err(r);
        }
        if listing.rv_match.as_deref() == Some("Exact") && given < state.store.forgotten() {
            return Err(expired(given, state.store.forgotten()));
        }
    }
    let mut from = Key { kind: id.clone(), ns: listing.ns.as_str().into(), name: "".into() };
    if let Some(token) = &listing.token {
        let (at, start) = read_token(token)
            .ok_or_else(|| Refusal::bad_request("invalid continue token: continue key is not valid"))?;
        if at < state.store.forgotten() {
            return Err(Refusal::new(
                410,
                "Expired",
                "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.",
            ));
        }
        rv = at;
        let (ns, name) = start.split_once('/').unwrap_or_default();
        from.ns = ns.into();
        from.name = format!("{name}\0").into();
    }
    let mut items: Vec<Bytes> = Vec::new();
    let mut parsed: Vec<Value> = Vec::new();
    let mut next = None;
    let mut remaining = 0_usize;
    let plain = listing.view == View::Plain && !convert::needed(kind, &listing.version);
    let filtered = !listing.labels.is_empty() || !listing.fields.is_empty();
    let mut last: Option<Key> = None;
    for (key, stored) in state.store.objects.range(from..) {
        if key.kind != id || (!listing.ns.is_empty() && *key.ns != *listing.ns) {
            break;
        }
        if listing.fields.name().is_some_and(|n| n != &*key.name) {
            continue;
        }
        let full = listing.limit > 0 && items.len() + parsed.len() >= listing.limit;
        if full && next.is_some() {
            remaining += 1;
            if filtered {
                break;
            }
            continue;
        }
        let mut value = None;
        if filtered || !plain {
            let object = convert::from_stored(kind, &listing.version, stored.value());
            if !listing.labels.matches(object.pointer("/metadata/labels")) && !listing.labels.is_empty()
                || !listing.fields.matches(&object)
            {
                continue;
            }
            value = Some(object);
        }
        if full {
            next = last.clone();
            remaining += 1;
            continue;
        }
        last = Some(key.clone());
        match value {
            Some(object) if !plain => parsed.push(object),
            _ => items.push(stored.body.clone()),
        }
    }
    let token = next.map(|k| write_token(rv, &k));
    let mut meta = json!({"resourceVersion": rv.to_string()});
    if let Some(token) = &token {
        meta["continue"] = json!(token);
        if !filtered {
            meta["remainingItemCount"] = json!(remaining);
        }
    }
    if let View::Table { include_object } = listing.view {
        let table =
            table::of(kind, &listing.version, &parsed, &rv.to_string(), token.as_deref(), include_object);
        return Ok(Bytes::from(table.to_string()));
    }
    if listing.view == View::Metadata {
        let items: Vec<Value> = parsed.iter().map(partial).collect();
        let list = json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta, "items": items});
        return Ok(Bytes::from(list.to_string()));
    }
    items.extend(parsed.iter().map(|v| Bytes::from(v.to_string())));
    let mut out = Vec::with_capacity(items.iter().map(|i| i.len() + 1).sum::<usize>() + 200);
    out.extend_from_slice(
        format!(
            "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{meta},\"items\":[",
            kind.kind,
            kind.api_version(&listing.version)
        )
        .as_bytes(),
    );
    // Items of built-in kinds carry no type in a list; those of custom resources do.
    let typed =
        format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version(&listing.version));
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        match item.strip_prefix(typed.as_bytes()) {
            Some(rest) if !kind.custom => {
                out.push(b'{');
                out.extend_from_slice(rest);
            }
            _ => out.extend_from_slice(item),
        }
    }
    out.extend_from_slice(b"]}");
    Ok(out.into())
}

/// 410 for a version that is no longer known.
pub(crate) fn expired(given: u64, oldest: u64) -> Refusal {
    Refusal::new(410, "Expired", format!("too old resource version: {given} ({oldest})"))
}

/// The continue token: version and the last key, in hexadecimal.
fn write_token(rv: u64, key: &Key) -> String {
    format!("{rv}:{}/{}", key.ns, key.name).bytes().map(|b| format!("{b:02x}")).collect()
}

fn read_token(token: &str) -> Option<(u64, String)> {
    let bytes: Option<Vec<u8>> =
        (0..token.len() / 2).map(|i| u8::from_str_radix(token.get(i * 2..i * 2 + 2)?, 16).ok()).collect();
    let text = String::from_utf8(bytes?).ok()?;
    let (rv, key) = text.split_once(':')?;
    Some((rv.parse().ok()?, key.to_owned()))
}

/// Starts a watch.
///
/// # Errors
/// 400 for a bad version. A version that is too old is an `ERROR` event in the stream, as the server does.
pub(crate) fn watch(
    state: &mut State,
    listing: &Listing,
) -> Result<(Option<u64>, mpsc::UnboundedReceiver<Bytes>), Refusal> {
    let (tx, rx) = mpsc::unbounded_channel();
    let id = storage_id(&listing.kind);
    let after = match listing.rv.as_deref() {
        None | Some("" | "0") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_unparsed| {
            Refusal::bad_request(format!(
                "invalid resource version: resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?),
    };
    let render = listing.render();
    let watch = Watch {
        kind: id.clone(),
        ns: listing.ns.clone(),
        labels: listing.labels.clone(),
        fields: listing.fields.clone(),
        render: render.clone(),
        lines: tx.clone(),
    };
    if after.is_none() || listing.initial {
        for (_, stored) in state.store.list(&id, &listing.ns) {
            let object = stored.value();
            if !listing.labels.is_empty() && !listing.labels.matches(object.pointer("/metadata/labels"))
                || !listing.fields.matches(&object)
            {
                continue;
            }
            let line = match &render {
                Some(render) => frame("ADDED", render(&object).to_string().as_bytes()),
                None => frame("ADDED", &stored.body),
            };
            let _ = tx.send(line);
        }
        if listing.initial {
            let _ = tx.send(bookmark(listing, state.store.rv, true));
        }
        let watching = state.store.watch(watch, None).ok();
        return Ok((watching, rx));
    }
    match state.store.watch(watch, after) {
        Ok(watching) => Ok((Some(watching), rx)),
        Err(oldest) => {
            let refusal = expired(after.unwrap_or_default(), oldest);
            let _ = tx.send(frame("ERROR", refusal.body().to_string().as_bytes()));
            Ok((None, rx))
        }
    }
}

/// A bookmark line.
pub(crate) fn bookmark(listing: &Listing, rv: u64, initial_end: bool) -> Bytes {
    let mut object = json!({
        "kind": listing.kind.kind,
        "apiVersion": listing.kind.api_version(&listing.version),
        "metadata": {"resourceVersion": rv.to_string(), "creationTimestamp": null},
    });
    if initial_end {
        object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
    }
    frame("BOOKMARK", object.to_string().as_bytes())
}
