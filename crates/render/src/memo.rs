//! What was rendered for one cluster and is the same for the next.
//!
//! Most resources are equal in most clusters, and trees are shared, so that equality is a comparison of pointers. A
//! rendering is known by the values of every name that its template could possibly read; if all of them are the same
//! as before, so is the output, and neither rendering, check nor digest is done again. If they differ in nothing but
//! words that the template only prints, such as the cluster's zone, the words are put into a [`Stencil`] of the file.
//! Only the last few renderings of each resource are kept, so that memory does not grow with the fleet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use manifest::ObjectRef;
use manifest::index::Lines;

use crate::node::Node;
use crate::source::Repository;
use crate::stencil::{self, Stencil};
use crate::template::{Engine, Reads, Templates};

/// Renderings kept for each resource and template: one for each type of cluster, as a rule.
const KEPT: usize = 4;

/// After so many clusters of which none is as another, a resource is taken to depend on its cluster...
const PATIENCE: u32 = 12;

/// ...and only each so many-th cluster is still compared, should the others be alike.
const STRIDE: u32 = 8;

/// A rendering that passed the check.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) text: Arc<str>,
    pub(crate) mode: Option<u32>,
    pub(crate) objects: Arc<[ObjectRef]>,
    pub(crate) secret_lines: Arc<[u32]>,
    pub(crate) lines: Arc<Lines>,
    pub(crate) digest: Arc<OnceLock<String>>,
}

/// Values of the data, by name.
pub(crate) type Values = Vec<(Arc<str>, Arc<Node>)>;

/// The values that a rendering depends on: those of the data whose names the template could mean.
#[derive(Debug)]
pub(crate) struct Signature {
    /// What the template reads.
    pub(crate) reads: Arc<Reads>,
    /// Those that may decide something.
    fixed: Values,
    /// Words that are only printed.
    pub(crate) printed: Values,
}

/// A rendering of another cluster.
pub(crate) struct Entry {
    pub(crate) signature: Signature,
    /// The file; `None` is a rendering that makes none.
    pub(crate) made: Option<Made>,
    /// What is the same in all clusters in which only printed words differ, if that can be told.
    pub(crate) stencil: OnceLock<Option<Stencil>>,
}

/// What is known of a rendering before it is done.
pub(crate) enum Recalled {
    /// It is this one.
    Same(Option<Made>),
    /// It is this one but for printed words.
    Alike(Arc<Entry>),
}

type ByFile = HashMap<String, Recent>;

/// The last renderings of one resource by one template.
#[derive(Default)]
struct Recent {
    entries: Vec<Arc<Entry>>,
    /// Clusters since one was as another.
    misses: u32,
}

#[derive(Default)]
pub(crate) struct Memo {
    reads: Mutex<HashMap<String, Option<Arc<Reads>>>>,
    entries: Mutex<HashMap<Arc<str>, ByFile>>,
}

impl Memo {
    /// What the output of `file` over `root` depends on; `None` if that cannot be told, or is not worth it.
    pub(crate) fn signature(
        &self,
        templates: &Templates,
        repository: &Repository,
        resource: &str,
        (engine, file): (Engine, &str),
        root: &Node,
    ) -> Option<Signature> {
        if self.is_hopeless(resource, file) {
            return None;
        }
        let reads = self.reads(templates, repository, (engine, file))?;
        let (mut fixed, mut printed) = (Values::new(), Values::new());
        for entry in root.as_map()?.entries.iter().filter(|entry| reads.names.contains(&*entry.key)) {
            let is_printed = reads.printed.contains_key(&*entry.key) && stencil::is_word(&entry.value);
            let values = if is_printed { &mut printed } else { &mut fixed };
            values.push((entry.key.clone(), entry.value.clone()));
        }
        Some(Signature { reads, fixed, printed })
    }

    /// What a template reads, found out once.
    pub(crate) fn reads(
        &self,
        templates: &Templates,
        repository: &Repository,
        (engine, file): (Engine, &str),
    ) -> Option<Arc<Reads>> {
        let known = self.reads.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        if let Some(known) = known {
            return known;
        }
        let reads = Reads::of(templates, repository, engine, file).map(Arc::new);
        let mut all = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(file.to_owned()).or_insert(reads).clone()
    }

    /// Whether comparing costs more than it brings: a resource whose variables are its cluster's own, say.
    fn is_hopeless(&self, resource: &str, file: &str) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recent) = entries.get_mut(resource).and_then(|files| files.get_mut(file)) else {
            return false;
        };
        recent.misses = recent.misses.saturating_add(1);
        recent.misses > PATIENCE && !recent.misses.is_multiple_of(STRIDE)
    }

    pub(crate) fn recall(&self, resource: &str, file: &str, signature: &Signature) -> Option<Recalled> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = entries.get_mut(resource)?.get_mut(file)?;
        let alike = |entry: &&Arc<Entry>| same(&entry.signature.fixed, &signature.fixed);
        if let Some(known) =
            recent.entries.iter().rev().filter(alike).find(|e| same(&e.signature.printed, &signature.printed))
        {
            recent.misses = 0;
            return Some(Recalled::Same(known.made.clone()));
        }
        let names = |entry: &Entry| {
            let (before, now) = (&entry.signature.printed, &signature.printed);
            before.len() == now.len() && before.iter().zip(now).all(|(a, b)| a.0 == b.0)
        };
        let usable = |entry: &&Arc<Entry>| entry.stencil.get().is_none_or(Option::is_some);
        let known = recent.entries.iter().rev().filter(alike).filter(usable).find(|entry| names(entry))?;
        recent.misses = 0;
        Some(Recalled::Alike(known.clone()))
    }

    pub(crate) fn put(&self, resource: &Arc<str>, file: &str, signature: Signature, made: Option<Made>) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let files = entries.entry(resource.clone()).or_default();
        if !files.contains_key(file) {
            files.insert(file.to_owned(), Recent::default());
        }
        if let Some(Recent { entries, .. }) = files.get_mut(file) {
            if entries.len() == KEPT {
                entries.remove(0);
            }
            let stencil = OnceLock::new();
            if made.is_none() {
                // A file that is left out has no holes.
                drop(stencil.set(None));
            }
            entries.push(Arc::new(Entry { signature, made, stencil }));
        }
    }
}

fn same(before: &Values, now: &Values) -> bool {
    let pairs = || before.iter().zip(now);
    before.len() == now.len()
        && pairs().all(|(a, b)| same_node(&a.1, &b.1))
        && pairs().all(|(a, b)| a.0 == b.0)
}

/// Whether both are the same tree, or the same scalar with the same secrecy.
pub(crate) fn same_node(before: &Arc<Node>, now: &Arc<Node>) -> bool {
    Arc::ptr_eq(before, now) || (before.origin.secret == now.origin.secret && before.same_scalar(now))
}

/// The containers of a resource, made once for all clusters that have the same definition of it.
#[derive(Default)]
pub(crate) struct Prepared {
    recent: Mutex<HashMap<Arc<str>, Vec<Known>>>,
}

/// What containers are made from, and the containers.
pub(crate) struct Known {
    pub(crate) definition: Arc<Node>,
    pub(crate) branch: Option<Arc<Node>>,
    pub(crate) containers: Arc<Containers>,
}

/// The containers of a resource.
#[derive(Debug)]
pub(crate) struct Containers {
    /// By key.
    pub(crate) named: Vec<(Arc<str>, Arc<Node>)>,
    /// As a list.
    pub(crate) list: Arc<Node>,
    /// Whether one of them holds a secret.
    pub(crate) secret: bool,
    /// The main one, as in the list.
    pub(crate) primary: Option<Arc<Node>>,
}

impl Prepared {
    pub(crate) fn get(
        &self,
        resource: &str,
        definition: &Arc<Node>,
        branch: Option<&Arc<Node>>,
    ) -> Option<Arc<Containers>> {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let same_branch = |known: &Known| match (&known.branch, branch) {
            (None, None) => true,
            (Some(before), Some(now)) => same_node(before, now),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let known = recent.get(resource)?.iter().rev();
        let mut known =
            known.filter(|known| Arc::ptr_eq(&known.definition, definition) && same_branch(known));
        known.next().map(|known| known.containers.clone())
    }

    pub(crate) fn put(&self, resource: &Arc<str>, known: Known) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = recent.entry(resource.clone()).or_default();
        if recent.len() == KEPT {
            recent.remove(0);
        }
        recent.push(known);
    }
}
