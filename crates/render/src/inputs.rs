//! Which resources a change reaches: those that are made from something else than before.
//!
//! The files of a resource are made from its templates and the values that these can look up. Both stand here as one
//! number, so that two states of a repository, or two moments of one, can be compared without rendering either.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use crate::files::Files;
use crate::node::{FileId, Node, Value};
use crate::plan::Renderer;
use crate::problem::Problem;
use crate::scene::{Target, targets};
use crate::source::Merged;
use crate::view::View;

/// Stands for everything that the files of a resource are made from. Means something only in this process.
#[derive(Debug, Clone, Copy)]
pub struct Inputs(Option<u64>);

/// The inputs of all resources of a cluster that are not switched off.
pub type ByResource = BTreeMap<Arc<str>, Inputs>;

impl Inputs {
    /// Whether the files are the same as well. Never, if a provider has a word in it.
    pub fn same_as(self, other: Self) -> bool {
        self.0.is_some() && self.0 == other.0
    }
}

/// The resources that are not made from the same in both, or are in one of them only.
pub fn reached(before: &ByResource, now: &ByResource) -> BTreeSet<Arc<str>> {
    let differs = |name: &&Arc<str>| match (before.get(*name), now.get(*name)) {
        (Some(before), Some(now)) => !before.same_as(*now),
        (Some(_), None) | (None, Some(_)) => true,
        (None, None) => false,
    };
    before.keys().chain(now.keys()).filter(differs).cloned().collect()
}

/// A hasher with a key of this process: nobody can write two inputs that look the same.
pub(crate) fn hasher() -> DefaultHasher {
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEY.build_hasher()
}

/// What was hashed already.
#[derive(Default)]
pub(crate) struct Hashed {
    /// Maps and lists that stand in a file, by their address; kept, so that nothing else gets it. Clusters share most of
    /// them.
    nodes: Mutex<HashMap<usize, (Arc<Node>, u64)>>,
    /// Every file that a template could bring in.
    templates: OnceLock<u64>,
}

impl Renderer {
    /// What each resource of a cluster is made from. Nothing is rendered; a resource that cannot be rendered is made from
    /// what is wrong with it.
    ///
    /// # Errors
    /// What is wrong with the cluster as a whole.
    pub fn inputs(&self, merged: &Merged) -> Result<ByResource, Vec<Problem>> {
        let mut warnings = Vec::new();
        self.placement(merged, &mut warnings)?;
        let resources = self.enabled(merged, &mut warnings)?;
        let inputs = resources.into_iter().map(|(name, definition)| {
            let inputs = self.inputs_of(merged, &name, &definition);
            (name, inputs)
        });
        Ok(inputs.collect())
    }

    fn inputs_of(&self, merged: &Merged, name: &Arc<str>, definition: &Arc<Node>) -> Inputs {
        // A provider's answer is its own affair.
        if self.repository().config.plugin.is_some() {
            return Inputs(None);
        }
        let mut hasher = hasher();
        let view = self.view(merged, name, definition);
        match (targets(self, definition), view) {
            (Ok(targets), Ok(view)) => {
                targets.iter().for_each(|target| self.hash_target(target, &view, &mut hasher));
                // Secrets that a template does not read may still be in what it prints.
                if view.secret {
                    self.hash_node(&view.root, &mut hasher);
                }
            }
            (targets, view) => {
                let problems = targets.err().into_iter().chain(view.err().into_iter().flatten());
                problems.for_each(|problem| problem.message.hash(&mut hasher));
            }
        }
        // What is wrong with these is not known yet.
        for key in ["file", "svc"] {
            definition.get(key).map(|node| node.is_truthy()).hash(&mut hasher);
        }
        definition.kind().hash(&mut hasher);
        Inputs(Some(hasher.finish()))
    }

    fn hash_target(&self, target: &Target, view: &View, hasher: &mut DefaultHasher) {
        let Target { output, engine, template, source: _, text: _ } = target;
        (output, engine, template).hash(hasher);
        let root = view.data(*engine);
        match (self.reads(*engine, template), root.as_map()) {
            (Some(reads), Some(map)) => {
                reads.text.hash(hasher);
                for entry in map.entries.iter().filter(|entry| reads.names.contains(&*entry.key)) {
                    entry.key.hash(hasher);
                    self.hash_node(&entry.value, hasher);
                }
            }
            // It may read any value, and any template.
            (_, _) => {
                self.hashed().templates.get_or_init(|| self.all_templates()).hash(hasher);
                self.hash_node(root, hasher);
            }
        }
    }

    fn all_templates(&self) -> u64 {
        let mut hasher = hasher();
        let repository = self.repository();
        hash_folder(&*repository.files, &repository.folders.resources, 0, &mut hasher);
        hasher.finish()
    }

    fn hash_node(&self, node: &Arc<Node>, hasher: &mut DefaultHasher) {
        std::mem::discriminant(&node.value).hash(hasher);
        match &node.value {
            Value::Null => {}
            Value::Bool(flag) => flag.hash(hasher),
            Value::Int(number) | Value::Date(number) => number.hash(hasher),
            Value::Float(number) => number.to_bits().hash(hasher),
            Value::Text(text) => text.hash(hasher),
            Value::List(_) | Value::Map(_) => return self.hash_of(node).hash(hasher),
        }
        node.origin.secret.hash(hasher);
        // With provenance the index says where a value stands.
        if self.records_provenance()
            && let Some(place) = self.repository().place(&node.origin)
        {
            (place.file, place.line).hash(hasher);
        }
    }

    /// The hash of a list or map, worked out once for all clusters that share it.
    fn hash_of(&self, node: &Arc<Node>) -> u64 {
        let address = Arc::as_ptr(node) as usize;
        let known = || self.hashed().nodes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = known().get(&address) {
            return *hash;
        }
        let mut hasher = hasher();
        let (items, entries) = match &node.value {
            Value::List(list) => (list.items.as_slice(), list.named.as_slice()),
            Value::Map(map) => (&[][..], map.entries.as_slice()),
            Value::Null
            | Value::Bool(_)
            | Value::Int(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Date(_) => (&[][..], &[][..]),
        };
        (items.len(), entries.len()).hash(&mut hasher);
        items.iter().for_each(|item| self.hash_node(item, &mut hasher));
        for entry in entries {
            entry.key.hash(&mut hasher);
            self.hash_node(&entry.value, &mut hasher);
        }
        let hash = hasher.finish();
        // What no file holds is made anew for each cluster.
        if node.origin.file != FileId::NONE {
            known().insert(address, (node.clone(), hash));
        }
        hash
    }
}

/// The names and contents of all files below a folder.
fn hash_folder(files: &dyn Files, folder: &Path, depth: usize, hasher: &mut DefaultHasher) {
    for entry in files.list(folder).unwrap_or_default() {
        let path = folder.join(&entry.name);
        (&entry.name, entry.is_dir, entry.is_link).hash(hasher);
        match entry.is_dir {
            true if entry.is_link || depth > 16 => {}
            true => hash_folder(files, &path, depth + 1, hasher),
            false => files.read(&path).ok().hash(hasher),
        }
    }
    hasher.write_u8(0xff);
}
