//! `metadata.managedFields`: who owns what, kept through updates and server-side applies.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::set::Set;
use super::typed::{self, Comparison};
use crate::schema::Ty;

/// How many `Update` entries an object keeps before the oldest are folded into `ancient-changes`.
const MAX_UPDATERS: usize = 10;

/// Fields that nobody owns.
static UNOWNED: LazyLock<Set> = LazyLock::new(|| {
    Set::of(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
});

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub manager: String,
    pub applied: bool,
    pub api_version: String,
    pub subresource: String,
    pub time: String,
    pub set: Set,
}

/// The writer of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Writer<'a> {
    pub manager: &'a str,
    pub api_version: &'a str,
    /// `status`, `scale` or empty.
    pub subresource: &'a str,
    /// RFC 3339, seconds.
    pub now: &'a str,
}

/// Which fields a request may own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Everything.
    All,
    /// Everything but `status`: the main endpoint of a kind with a status subresource.
    NotStatus,
    /// Everything but `spec` and labels: the status endpoint of a built-in kind.
    Status,
    /// `status` only: that of a custom resource.
    CustomStatus,
    /// `spec.replicas` only.
    Scale,
}

impl Reach {
    fn filter(self, set: &Set) -> Set {
        match self {
            Reach::All => set.clone(),
            Reach::NotStatus => set.without_trees(&Set::of(&["status"])),
            Reach::Status => set.without_trees(&Set::of(&["spec", "metadata.labels"])),
            Reach::CustomStatus => set.only("status"),
            Reach::Scale => set.intersection(&Set::of(&["spec.replicas"])),
        }
    }
}

/// A conflict of a server-side apply: the other owner's entry and the paths.
#[derive(Debug, Clone)]
pub(crate) struct Conflict {
    pub manager: String,
    pub path: String,
}

/// The entries of an object's `managedFields`.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Managers(pub Vec<Entry>);

impl Managers {
    /// Reads `metadata.managedFields`; `None` if it is malformed.
    pub(crate) fn read(object: &Value) -> Option<Managers> {
        let Some(list) = object.pointer("/metadata/managedFields").and_then(Value::as_array) else {
            return Some(Managers::default());
        };
        list.iter()
            .map(|e| {
                let text = |k: &str| e.get(k).and_then(Value::as_str).unwrap_or_default().to_owned();
                let operation = text("operation");
                if !matches!(operation.as_str(), "Apply" | "Update")
                    || text("apiVersion").is_empty()
                    || text("fieldsType") != "FieldsV1"
                {
                    return None;
                }
                Some(Entry {
                    manager: text("manager"),
                    applied: operation == "Apply",
                    api_version: text("apiVersion"),
                    subresource: text("subresource"),
                    time: text("time"),
                    set: e.get("fieldsV1").map(Set::decode).unwrap_or_default(),
                })
            })
            .collect::<Option<Vec<_>>>()
            .map(Managers)
    }

    /// Writes `metadata.managedFields`.
    pub(crate) fn write(&self, object: &mut Value) {
        let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
        meta.remove("managedFields");
        if self.0.is_empty() {
            return;
        }
        let mut entries = self.0.clone();
        entries.sort_by(|a, b| {
            let key = |e: &Entry| {
                (!e.applied, e.time.clone(), e.manager.clone(), e.api_version.clone(), e.subresource.clone())
            };
            key(a).cmp(&key(b))
        });
        let list: Vec<Value> = entries
            .iter()
            .map(|e| {
                let mut out = json!({
                    "manager": e.manager,
                    "operation": if e.applied { "Apply" } else { "Update" },
                    "apiVersion": e.api_version,
                    "fieldsType": "FieldsV1",
                    "fieldsV1": e.set.encode(),
                });
                if !e.time.is_empty() {
                    out["time"] = json!(e.time);
                }
                if !e.subresource.is_empty() {
                    out["subresource"] = json!(e.subresource);
                }
                out
            })
            .collect();
        meta.insert("managedFields".into(), Value::Array(list));
    }

    fn find(&self, writer: Writer<'_>, applied: bool) -> Option<usize> {
        self.0.iter().position(|e| {
            e.applied == applied
                && e.manager == writer.manager
                && e.subresource == writer.subresource
                && (applied || e.api_version == writer.api_version)
        })
    }

    /// Takes what `compare` changed away from everybody else; returns the conflicts that there were.
    fn settle(&mut self, compare: &Comparison, mine: Option<usize>) -> Vec<Conflict> {
        let touched = compare.modified.union(&compare.added);
        let mut conflicts = Vec::new();
        for (i, entry) in self.0.iter_mut().enumerate() {
            if mine == Some(i) {
                continue;
            }
            let lost = entry.set.intersection(&touched);
            if !lost.is_empty() {
                let manager = print_manager(entry);
                conflicts
                    .extend(lost.paths().into_iter().map(|path| Conflict { manager: manager.clone(), path }));
                entry.set = entry.set.difference(&lost);
            }
            entry.set = entry.set.difference(&compare.removed);
        }
        conflicts
    }

    /// Records a create, update or patch that turned `before` into `after`.
    pub(crate) fn update(
        &mut self,
        ty: &Ty,
        before: &Value,
        after: &Value,
        writer: Writer<'_>,
        reach: Reach,
    ) {
        let compare = typed::compare(ty, before, after).filter(|s| reach.filter(s));
        self.settle(&compare, None);
        let own = compare.modified.union(&compare.added).difference(&UNOWNED);
        if !own.is_empty() {
            match self.find(writer, false) {
                Some(i) => {
                    self.0[i].set = self.0[i].set.union(&own);
                    self.0[i].time = writer.now.to_owned();
                }
                None => self.0.push(Entry {
                    manager: writer.manager.to_owned(),
                    applied: false,
                    api_version: writer.api_version.to_owned(),
                    subresource: writer.subresource.to_owned(),
                    time: writer.now.to_owned(),
                    set: own,
                }),
            }
        }
        self.0.retain(|e| !e.set.is_empty());
        self.cap();
    }

    /// Server-side apply of `config` on `live`. Returns the merged object, or `None` if it equals `live`.
    ///
    /// # Errors
    /// The conflicts with other managers, unless `force` is set.
    pub(crate) fn apply(
        &mut self,
        ty: &Ty,
        live: &Value,
        config: &Value,
        writer: Writer<'_>,
        reach: Reach,
        force: bool,
    ) -> Result<Option<Value>, Vec<Conflict>> {
        let mut object = typed::merge(ty, live, config);
        let set = reach.filter(&typed::field_set(ty, config));
        let mine = match self.find(writer, true) {
            Some(i) => i,
            None => {
                self.0.push(Entry {
                    manager: writer.manager.to_owned(),
                    applied: true,
                    api_version: writer.api_version.to_owned(),
                    subresource: writer.subresource.to_owned(),
                    // Only an apply that changes the object is timed.
                    time: String::new(),
                    set: Set::default(),
                });
                self.0.len() - 1
            }
        };
        let last = std::mem::replace(&mut self.0[mine].set, set);
        self.0[mine].api_version = writer.api_version.to_owned();
        if !last.is_empty() {
            object = self.prune(ty, &object, &last);
        }
        let compare = typed::compare(ty, live, &object).filter(|s| reach.filter(s));
        let before = self.clone();
        let conflicts = self.settle(&compare, Some(mine));
        if !force && !conflicts.is_empty() {
            *self = before;
            return Err(conflicts);
        }
        self.0[mine].set = self.0[mine].set.difference(&UNOWNED);
        let changed = object != *live;
        if changed {
            self.0[mine].time = writer.now.to_owned();
        }
        self.0.retain(|e| !e.set.is_empty());
        Ok(changed.then_some(object))
    }

    /// An object without any entry gets one for everything that it has, as when it was made before
    /// server-side apply.
    pub(crate) fn before_first_apply(&mut self, ty: &Ty, live: &Value, api_version: &str) {
        let set = typed::field_set(ty, live).difference(&UNOWNED);
        self.0.push(Entry {
            manager: "before-first-apply".into(),
            applied: false,
            api_version: api_version.into(),
            subresource: String::new(),
            time: crate::cluster::now(),
            set,
        });
    }

    /// Removes what the applier had applied, does not apply any more, and nobody else owns.
    fn prune(&self, ty: &Ty, merged: &Value, last: &Set) -> Value {
        let last = last.with_named_fields(ty);
        let mut pruned = typed::remove(ty, merged, &last);
        let managed = self.0.iter().fold(Set::default(), |all, e| all.union(&e.set)).with_named_fields(ty);
        let merged_set = typed::field_set(ty, merged).with_named_fields(ty);
        let pruned_set = typed::field_set(ty, &pruned).with_named_fields(ty);
        pruned = typed::remove(ty, merged, &merged_set.difference(&pruned_set.union(&managed)));
        let pruned_set = typed::field_set(ty, &pruned).with_named_fields(ty);
        typed::remove(ty, merged, &merged_set.difference(&pruned_set).intersection(&last))
    }

    fn cap(&mut self) {
        let mut updaters: Vec<usize> = (0..self.0.len()).filter(|i| !self.0[*i].applied).collect();
        if updaters.len() <= MAX_UPDATERS {
            return;
        }
        updaters.sort_by_key(|i| (self.0[*i].time.clone(), self.0[*i].manager.clone()));
        let excess = updaters.len() - MAX_UPDATERS + 1;
        let old: Vec<usize> = updaters.into_iter().take(excess).collect();
        let mut folded = self.0[old[0]].clone();
        folded.manager = "ancient-changes".into();
        for i in &old[1..] {
            folded.set = folded.set.union(&self.0[*i].set);
            folded.time = folded.time.max(self.0[*i].time.clone());
        }
        let mut index = 0;
        self.0.retain(|_| {
            index += 1;
            !old.contains(&(index - 1))
        });
        self.0.push(folded);
    }

    /// Whether the entries are equal but for their times.
    pub(crate) fn same_but_times(&self, other: &Managers) -> bool {
        let strip = |m: &Managers| {
            let mut entries = m.0.clone();
            entries.iter_mut().for_each(|e| e.time.clear());
            entries.sort_by(|a, b| {
                (&a.manager, a.applied, &a.api_version, &a.subresource).cmp(&(
                    &b.manager,
                    b.applied,
                    &b.api_version,
                    &b.subresource,
                ))
            });
            entries
        };
        strip(self) == strip(other)
    }
}

fn print_manager(entry: &Entry) -> String {
    let mut text = format!("{:?}", entry.manager);
    if !entry.subresource.is_empty() {
        text.push_str(&format!(" with subresource {:?}", entry.subresource));
    }
    if !entry.applied {
        text.push_str(&format!(" using {}", entry.api_version));
    }
    text
}

/// The message of a 409 for these conflicts.
pub(crate) fn conflict_message(conflicts: &[Conflict]) -> String {
    if let [one] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {}: {}", one.manager, one.path);
    }
    let mut managers: Vec<&str> = conflicts.iter().map(|c| c.manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        lines.extend(conflicts.iter().filter(|c| c.manager == manager).map(|c| format!("- {}", c.path)));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::built_in;

    fn writer(manager: &str) -> Writer<'_> {
        Writer { manager, api_version: "apps/v1", subresource: "", now: "2026-01-01T00:00:00Z" }
    }

    #[test]
    fn a_field_that_is_no_longer_applied_goes_unless_another_manager_owns_it() {
        let ty = built_in("apps.v1.Deployment");
        let container = |env: Value| json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i", "env": env}]}}}});
        let first = container(json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));
        let mut managers = Managers::default();
        let live =
            managers.apply(&ty, &json!({}), &first, writer("one"), Reach::NotStatus, false).unwrap().unwrap();
        let shared = container(json!([{"name": "B", "value": "2"}]));
        assert_eq!(
            managers.apply(&ty, &live, &shared, writer("two"), Reach::NotStatus, false).unwrap(),
            None
        );
        let without = json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [{"name": "c", "image": "i"}]}}}});
        let left =
            managers.apply(&ty, &live, &without, writer("one"), Reach::NotStatus, false).unwrap().unwrap();
        assert_eq!(left, shared);
    }

    #[test]
    fn a_changed_field_of_another_manager_is_a_conflict_in_the_servers_words() {
        let ty = built_in("apps.v1.Deployment");
        let live = json!({"metadata": {"name": "a"}, "spec": {"replicas": 1}});
        let mut managers = Managers::default();
        managers.update(&ty, &json!({}), &live, writer("kubectl"), Reach::NotStatus);
        let config = json!({"metadata": {"name": "a"}, "spec": {"replicas": 2}});
        let conflicts =
            managers.clone().apply(&ty, &live, &config, writer("kit"), Reach::NotStatus, false).unwrap_err();
        assert_eq!(
            conflict_message(&conflicts),
            "Apply failed with 1 conflict: conflict with \"kubectl\" using apps/v1: .spec.replicas"
        );
        let merged =
            managers.apply(&ty, &live, &config, writer("kit"), Reach::NotStatus, true).unwrap().unwrap();
        assert_eq!(merged, config);
        let kubectl = managers.0.iter().find(|e| e.manager == "kubectl").map(|e| e.set.paths());
        assert_eq!(
            kubectl,
            Some(vec![".spec".to_owned()]),
            "the field is lost, the struct that it made is not"
        );
    }
}
