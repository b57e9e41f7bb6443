//! The objects of one cluster: stored as compact JSON, with resource versions, a bounded history and watches.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use hyper::body::Bytes;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::kinds::{self, Kind, KindId};
use crate::selector::{FieldSelector, LabelSelector};

/// Names an object. Sorted by kind, namespace, name, as lists are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub kind: KindId,
    pub ns: Box<str>,
    pub name: Box<str>,
}

impl Key {
    pub(crate) fn new(kind: &str, ns: &str, name: &str) -> Key {
        Key { kind: kind.into(), ns: ns.into(), name: name.into() }
    }

    /// The key of another object of the same namespace.
    pub(crate) fn beside(&self, kind: &str, name: &str) -> Key {
        Key::new(kind, &self.ns, name)
    }
}

/// A stored object.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub rv: u64,
    pub body: Bytes,
}

impl Stored {
    pub(crate) fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

impl Change {
    fn name(self) -> &'static str {
        match self {
            Change::Added => "ADDED",
            Change::Modified => "MODIFIED",
            Change::Deleted => "DELETED",
        }
    }
}

#[derive(Debug, Clone)]
struct Logged {
    rv: u64,
    kind: KindId,
    ns: Box<str>,
    change: Change,
    body: Bytes,
    before: Option<Bytes>,
}

/// How a watch wants its objects.
pub(crate) type Render = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

/// A running watch.
pub(crate) struct Watch {
    pub kind: KindId,
    /// Empty: all namespaces.
    pub ns: String,
    pub labels: LabelSelector,
    pub fields: FieldSelector,
    pub render: Option<Render>,
    pub lines: mpsc::UnboundedSender<Bytes>,
}

impl Watch {
    fn wants(&self, kind: &KindId, ns: &str) -> bool {
        self.kind == *kind && (self.ns.is_empty() || self.ns == ns)
    }

    fn line(&self, entry: &Logged) -> Option<Bytes> {
        if self.labels.is_empty() && self.fields.is_empty() && self.render.is_none() {
            return Some(frame(entry.change.name(), &entry.body));
        }
        let now: Value = serde_json::from_slice(&entry.body).unwrap_or(Value::Null);
        let fits = |v: &Value| self.labels.matches(v.pointer("/metadata/labels")) && self.fields.matches(v);
        let (is, was) = (
            fits(&now),
            entry.before.as_ref().is_some_and(|b| serde_json::from_slice::<Value>(b).is_ok_and(|v| fits(&v))),
        );
        let change = match (entry.change, is, was) {
            (Change::Deleted, _, false) if !is => return None,
            (Change::Deleted, ..) => Change::Deleted,
            (_, true, true) => Change::Modified,
            (_, true, false) => Change::Added,
            (_, false, true) => Change::Deleted,
            (_, false, false) => return None,
        };
        Some(match &self.render {
            Some(render) => frame(change.name(), render(&now).to_string().as_bytes()),
            None => frame(change.name(), &entry.body),
        })
    }
}

/// One line of a watch.
pub(crate) fn frame(change: &str, body: &[u8]) -> Bytes {
    let mut line = Vec::with_capacity(body.len() + 40);
    line.extend_from_slice(b"{\"type\":\"");
    line.extend_from_slice(change.as_bytes());
    line.extend_from_slice(b"\",\"object\":");
    line.extend_from_slice(body);
    line.extend_from_slice(b"}\n");
    line.into()
}

/// The objects of a cluster.
pub(crate) struct Store {
    pub objects: BTreeMap<Key, Stored>,
    pub rv: u64,
    history: VecDeque<Logged>,
    history_limit: usize,
    /// Changes up to this version are forgotten.
    forgotten: u64,
    watches: Vec<(u64, Watch)>,
    next_watch: u64,
    custom: BTreeMap<KindId, Arc<Kind>>,
    /// Owner uid to dependents.
    dependents: HashMap<Box<str>, BTreeSet<Key>>,
    /// What changed since the controllers looked.
    pub changed: VecDeque<(Key, Change, Option<Bytes>)>,
    uid: u64,
}

impl Store {
    pub(crate) fn new(history_limit: usize, seed: u64) -> Store {
        Store {
            objects: BTreeMap::new(),
            rv: 1,
            history: VecDeque::new(),
            history_limit,
            forgotten: 1,
            watches: Vec::new(),
            next_watch: 0,
            custom: BTreeMap::new(),
            dependents: HashMap::new(),
            changed: VecDeque::new(),
            uid: seed | 1,
        }
    }

    /// The kinds that CRDs have added, and the built-in ones.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &Arc<Kind>> {
        kinds::BUILT_IN.iter().chain(self.custom.values())
    }

    pub(crate) fn kind(&self, group: &str, resource: &str) -> Option<Arc<Kind>> {
        self.kinds().find(|k| k.group == group && k.plural == resource).cloned()
    }

    pub(crate) fn add_custom(&mut self, kind: Kind) {
        self.custom.insert(kind.group_resource().into(), Arc::new(kind));
    }

    pub(crate) fn drop_custom(&mut self, id: &str) {
        self.custom.remove(id);
        self.watches.retain(|(_, w)| &*w.kind != id);
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Value> {
        self.objects.get(key).map(Stored::value)
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.objects.contains_key(key)
    }

    /// The objects of a kind, of one namespace or (empty) all.
    pub(crate) fn list(&self, kind: &str, ns: &str) -> impl Iterator<Item = (&Key, &Stored)> {
        let from = Key::new(kind, ns, "");
        let (kind, ns) = (kind.to_owned(), ns.to_owned());
        self.objects
            .range(from..)
            .take_while(move |(k, _)| *k.kind == *kind && (ns.is_empty() || *k.ns == *ns))
    }

    /// The objects of a kind, parsed.
    pub(crate) fn values(&self, kind: &str, ns: &str) -> Vec<Value> {
        self.list(kind, ns).map(|(_, s)| s.value()).collect()
    }

    /// A version 4 UUID.
    pub(crate) fn new_uid(&mut self) -> String {
        let (a, b) = (self.random(), self.random());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            a >> 32,
            (a >> 16) & 0xffff,
            a & 0xfff,
            0x8000 | (b >> 48) & 0x3fff,
            b & 0xffff_ffff_ffff
        )
    }

    /// Five characters, as `generateName` appends.
    pub(crate) fn new_suffix(&mut self) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        let mut bits = self.random();
        (0..5)
            .map(|_| {
                let c = ALPHABET[usize::try_from(bits % 27).unwrap_or(0)];
                bits /= 27;
                char::from(c)
            })
            .collect()
    }

    pub(crate) fn random(&mut self) -> u64 {
        self.uid = self.uid.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.uid;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Stores an object under a new resource version, and tells the watches.
    pub(crate) fn put(&mut self, key: &Key, object: &mut Value) {
        self.rv += 1;
        object["metadata"]["resourceVersion"] = Value::String(self.rv.to_string());
        type_first(object);
        let body = Bytes::from(object.to_string());
        let before = self.objects.insert(key.clone(), Stored { rv: self.rv, body: body.clone() });
        self.unlink(key, before.as_ref());
        for owner in owner_uids(object) {
            self.dependents.entry(owner.into()).or_default().insert(key.clone());
        }
        let change = if before.is_some() { Change::Modified } else { Change::Added };
        self.log(key, change, body, before.map(|b| b.body));
    }

    /// Removes an object.
    pub(crate) fn remove(&mut self, key: &Key) -> Option<Value> {
        let before = self.objects.remove(key)?;
        self.unlink(key, Some(&before));
        self.rv += 1;
        let mut object = before.value();
        object["metadata"]["resourceVersion"] = Value::String(self.rv.to_string());
        self.log(key, Change::Deleted, Bytes::from(object.to_string()), Some(before.body));
        Some(object)
    }

    fn unlink(&mut self, key: &Key, before: Option<&Stored>) {
        let Some(before) = before else { return };
        if !contains(&before.body, b"\"ownerReferences\"") {
            return;
        }
        for owner in owner_uids(&before.value()) {
            if let Some(set) = self.dependents.get_mut(owner.as_str()) {
                set.remove(key);
                if set.is_empty() {
                    self.dependents.remove(owner.as_str());
                }
            }
        }
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Key> {
        self.dependents.get(uid).map(|s| s.iter().cloned().collect()).unwrap_or_default()
    }

    fn log(&mut self, key: &Key, change: Change, body: Bytes, before: Option<Bytes>) {
        let entry = Logged {
            rv: self.rv,
            kind: key.kind.clone(),
            ns: key.ns.clone(),
            change,
            body,
            before: before.clone(),
        };
        self.watches.retain(|(_, w)| {
            if !w.wants(&entry.kind, &entry.ns) {
                return !w.lines.is_closed();
            }
            entry_line(w, &entry)
        });
        self.history.push_back(entry);
        while self.history.len() > self.history_limit {
            if let Some(old) = self.history.pop_front() {
                self.forgotten = old.rv;
            }
        }
        self.changed.push_back((key.clone(), change, before));
    }

    /// Starts a watch after `rv`, replaying what happened since.
    ///
    /// # Errors
    /// The oldest version that is still known, if `rv` is older (410 Gone).
    pub(crate) fn watch(&mut self, watch: Watch, after: Option<u64>) -> Result<u64, u64> {
        if let Some(rv) = after {
            if rv < self.forgotten {
                return Err(self.forgotten);
            }
            for entry in self.history.iter().filter(|e| e.rv > rv && watch.wants(&e.kind, &e.ns)) {
                entry_line(&watch, entry);
            }
        }
        self.next_watch += 1;
        self.watches.push((self.next_watch, watch));
        Ok(self.next_watch)
    }

    pub(crate) fn unwatch(&mut self, id: u64) {
        self.watches.retain(|(i, _)| *i != id);
    }

    /// Ends every watch, as a restarting server does.
    pub(crate) fn drop_watches(&mut self) {
        self.watches.clear();
    }

    /// Forgets the history, so that watches from older versions get 410.
    pub(crate) fn compact(&mut self) {
        self.history.clear();
        self.forgotten = self.rv;
    }

    /// Whether a list at exactly this version can still be served.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// `kind` and `apiVersion` come first, so that lists can leave them out by cutting.
fn type_first(object: &mut Value) {
    let Some(map) = object.as_object_mut() else { return };
    let first: Vec<&str> = map.keys().take(2).map(String::as_str).collect();
    if first == ["kind", "apiVersion"] {
        return;
    }
    let mut old = std::mem::take(map);
    for field in ["kind", "apiVersion"] {
        if let Some(value) = old.shift_remove(field) {
            map.insert(field.to_owned(), value);
        }
    }
    map.append(&mut old);
}

fn entry_line(watch: &Watch, entry: &Logged) -> bool {
    match watch.line(entry) {
        Some(line) => watch.lines.send(line).is_ok(),
        None => !watch.lines.is_closed(),
    }
}

fn owner_uids(object: &Value) -> Vec<String> {
    object
        .pointer("/metadata/ownerReferences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|o| o["uid"].as_str().map(str::to_owned))
        .collect()
}

/// Whether `needle` occurs in `haystack`.
pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|w| w == needle)
}
