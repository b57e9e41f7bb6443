//! What was rendered for one cluster and is the same for the next.
//!
//! Most resources are equal in most clusters, and trees are shared, so that equality is a comparison of pointers. A
//! rendering is known by the values of every name that its template could possibly read; if all of them are the same
//! as before, so is the output, and neither rendering, check nor digest is done again. Only the last few renderings of
//! each resource are kept, so that memory does not grow with the fleet.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use manifest::ObjectRef;
use manifest::index::Lines;

use crate::mustache::{Name, Token};
use crate::node::Node;
use crate::source::Repository;
use crate::template::{Engine, Templates};

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

/// The values that a rendering depends on: those of the data whose names the template could mean.
pub(crate) type Signature = Vec<(Arc<str>, Arc<Node>)>;

type ByFile = HashMap<String, Recent>;

type Names = Option<Arc<HashSet<Box<str>>>>;

/// `None` as a result is a rendering that makes no file.
struct Entry {
    signature: Signature,
    made: Option<Made>,
}

/// The last renderings of one resource by one template.
#[derive(Default)]
struct Recent {
    entries: Vec<Entry>,
    /// Clusters since one was as another.
    misses: u32,
}

#[derive(Default)]
pub(crate) struct Memo {
    names: Mutex<HashMap<String, Names>>,
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
        let known = self.names.lock().unwrap_or_else(PoisonError::into_inner).get(file).cloned();
        let names = match known {
            Some(names) => names,
            None => {
                let names = names(templates, repository, engine, file).map(Arc::new);
                let mut all = self.names.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(file.to_owned()).or_insert(names).clone()
            }
        };
        let names = names?;
        let entries = root.as_map()?.entries.iter().filter(|entry| names.contains(&*entry.key));
        Some(entries.map(|entry| (entry.key.clone(), entry.value.clone())).collect())
    }

    /// Whether comparing costs more than it brings: a resource that prints the name of its cluster, say.
    fn is_hopeless(&self, resource: &str, file: &str) -> bool {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(recent) = entries.get_mut(resource).and_then(|files| files.get_mut(file)) else {
            return false;
        };
        recent.misses = recent.misses.saturating_add(1);
        recent.misses > PATIENCE && !recent.misses.is_multiple_of(STRIDE)
    }

    pub(crate) fn get(&self, resource: &str, file: &str, signature: &Signature) -> Option<Option<Made>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = entries.get_mut(resource)?.get_mut(file)?;
        let known = recent.entries.iter().rev().find(|entry| same(&entry.signature, signature))?;
        recent.misses = 0;
        Some(known.made.clone())
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
            entries.push(Entry { signature, made });
        }
    }
}

fn same(before: &Signature, now: &Signature) -> bool {
    let pairs = || before.iter().zip(now);
    before.len() == now.len()
        && pairs().all(|(a, b)| same_node(&a.1, &b.1))
        && pairs().all(|(a, b)| a.0 == b.0)
}

/// Whether both are the same tree, or the same scalar with the same secrecy.
pub(crate) fn same_node(before: &Arc<Node>, now: &Arc<Node>) -> bool {
    Arc::ptr_eq(before, now) || (before.origin.secret == now.origin.secret && before.same_scalar(now))
}

/// Every name that a template may look up in its data: more than it does, never less.
fn names(
    templates: &Templates,
    repository: &Repository,
    engine: Engine,
    file: &str,
) -> Option<HashSet<Box<str>>> {
    let mut found = HashSet::new();
    match engine {
        Engine::Copy => {}
        Engine::Mustache => {
            let template = templates.mustache(repository, file).ok()?;
            for token in template.tokens() {
                let (Token::Escaped { tag, .. }
                | Token::Raw { tag, .. }
                | Token::Section { tag, .. }
                | Token::Inverted { tag, .. }) = token
                else {
                    continue;
                };
                match &tag.name {
                    // What it stands for was found by the name of a section around it.
                    Name::This => {}
                    Name::Key(key) => drop(found.insert(key.clone())),
                    Name::Path(path) => drop(found.insert(path.first()?.clone())),
                }
            }
        }
        Engine::Jinja => {
            let mut seen = BTreeSet::new();
            jinja_names(templates, file, &mut seen, &mut found)?;
        }
    }
    Some(found)
}

fn jinja_names(
    templates: &Templates,
    file: &str,
    seen: &mut BTreeSet<String>,
    found: &mut HashSet<Box<str>>,
) -> Option<()> {
    if !seen.insert(file.to_owned()) {
        return Some(());
    }
    let template = templates.jinja().environment().get_template(file).ok()?;
    // Every word of the file, whether it is a name or text.
    let words = template.source().split(|c: char| !c.is_alphanumeric() && c != '_');
    found.extend(words.filter(|word| !word.is_empty()).map(Box::from));
    for statement in template.source().split("{%").skip(1) {
        if let Some(other) = others(statement.split("%}").next().unwrap_or_default())? {
            jinja_names(templates, &super::template::join(other, file), seen, found)?;
        }
    }
    // It prints all there is.
    (!found.contains("debug")).then_some(())
}

/// The template that a statement brings in. `None` if its name is not written out.
pub(crate) fn others(statement: &str) -> Option<Option<&str>> {
    let statement = statement.trim_start_matches(['-', '+']).trim();
    let rest = ["include", "extends", "import", "from"].iter().find_map(|word| {
        statement.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\n', '"', '\'']))
    });
    let Some(rest) = rest else { return Some(None) };
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, after) = rest[1..].split_once(quote)?;
    let after = after.trim().trim_end_matches(['-', '+']).trim();
    let plain = after.is_empty()
        || ["import", "as", "ignore", "with", "without"].iter().any(|w| after.starts_with(w));
    (plain && !name.contains('\\')).then_some(Some(name))
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
