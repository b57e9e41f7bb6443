//! What goes: objects of the set that the deploy does not have any more. Decided here, over plain data; `planning` reads,
//! `applying` deletes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use manifest::ObjectRef;
use serde::Serialize;
use serde_json::Value;

use crate::inventory::applyset::{PART_OF, part_of};
use crate::inventory::{Member, Scope};
use crate::outcome::Trouble;
use crate::plan::our_fields;

/// Objects with this annotation are never deleted: `kit/keep: "true"`.
pub const KEEP: &str = "kit/keep";

/// How much may be deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneOptions {
    /// At most so much, per cluster.
    pub budget: PruneBudget,
    /// Kinds that are deleted though they hold data or other objects.
    pub kinds: BTreeSet<String>,
}

/// How many objects of a cluster one deploy may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneBudget {
    /// 10 objects or 20 % of the inventory, whichever is more.
    Standard,
    /// So many objects.
    Objects(usize),
    /// So many of a hundred in the inventory.
    Percent(u8),
}

/// A budget that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a budget is a number of objects (`10`) or a share of the inventory (`20%`): `{0}`")]
pub struct PruneBudgetError(String);

impl FromStr for PruneBudget {
    type Err = PruneBudgetError;

    fn from_str(text: &str) -> Result<Self, PruneBudgetError> {
        let wrong = || PruneBudgetError(text.to_owned());
        match text.trim().strip_suffix('%') {
            Some(percent) => match percent.trim().parse() {
                Ok(percent) if percent <= 100 => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            },
            None => text.trim().parse().map(Self::Objects).map_err(|_| wrong()),
        }
    }
}

impl fmt::Display for PruneBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard => f.write_str("10 objects or 20 %"),
            Self::Objects(objects) => write!(f, "{objects} objects"),
            Self::Percent(percent) => write!(f, "{percent} %"),
        }
    }
}

impl PruneBudget {
    /// How many of `members` may go.
    pub fn objects(self, members: usize) -> usize {
        match self {
            Self::Standard => 10.max(members / 5),
            Self::Objects(objects) => objects,
            Self::Percent(percent) => members * usize::from(percent) / 100,
        }
    }
}

/// Whether objects of a kind are only deleted when their kind is named: they hold data, or other people's objects.
pub(crate) fn is_protected(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("", "Namespace" | "PersistentVolumeClaim" | "PersistentVolume")
            | ("apiextensions.k8s.io", "CustomResourceDefinition")
    )
}

/// An object of an earlier deploy that stays, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Kept {
    /// Which.
    #[serde(flatten)]
    pub object: ObjectRef,
    /// Why.
    pub because: String,
}

/// What is done with an object that earlier deploys applied and this one does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It goes.
    Delete,
    /// It has gone: the inventory forgets it.
    Gone,
    /// It is not ours any more: the inventory forgets it, and it stays.
    Lost(String),
    /// It stays, and remains in the inventory.
    Keep(String),
    /// This deploy is not about it.
    OutOfScope,
}

/// Judges one member of set `id` whose live form is `live`.
pub(crate) fn judge(
    member: &Member,
    live: Option<&Value>,
    id: &str,
    scope: &Scope,
    options: &PruneOptions,
) -> Verdict {
    let object = &member.object;
    if scope.resource.is_some() && member.resource != scope.resource {
        return Verdict::OutOfScope;
    }
    if scope.only.as_ref().is_some_and(|only| !only.contains(object)) {
        return Verdict::OutOfScope;
    }
    let Some(live) = live else { return Verdict::Gone };
    let metadata = &live["metadata"];
    if !scope.selector.matches(metadata["labels"].as_object()) {
        return Verdict::OutOfScope;
    }
    match part_of(live) {
        Some(theirs) if theirs != id => {
            return Verdict::Lost("it belongs to another resource set now".into());
        }
        Some(_) => {}
        None => return Verdict::Lost(format!("its label `{PART_OF}` is gone, so that it may not be ours")),
    }
    if our_fields(live).is_none() {
        return Verdict::Lost("none of its fields is ours any more".into());
    }
    let controlled = |owner: &&Value| owner["controller"] == true;
    if let Some(owner) = metadata["ownerReferences"].as_array().into_iter().flatten().find(controlled) {
        let text = |key: &str| owner[key].as_str().unwrap_or_default().to_owned();
        return Verdict::Lost(format!("{} `{}` owns it", text("kind"), text("name")));
    }
    if metadata.get("deletionTimestamp").is_some() {
        return Verdict::Keep("it is being deleted already".into());
    }
    if manifest::object::annotation(live, KEEP).is_some_and(|value| value != "false") {
        return Verdict::Keep(format!("its annotation `{KEEP}` says so"));
    }
    if is_protected(object.group(), &object.kind) && !options.kinds.contains(&object.kind) {
        return Verdict::Keep(format!("objects of its kind only go with `--prune-kinds {}`", object.kind));
    }
    Verdict::Delete
}

/// Whether deleting so much is in order.
///
/// # Errors
/// Why nothing is deployed to this cluster.
pub(crate) fn allow(
    deletions: &[&ObjectRef],
    members: usize,
    wanted: usize,
    id: &str,
    options: &PruneOptions,
) -> Result<(), Trouble> {
    if deletions.is_empty() {
        return Ok(());
    }
    if wanted == 0 {
        return Err(Trouble::new(
            "there are no manifests at all, and everything that was deployed would be deleted",
        )
        .because(format!("{} of {members} objects would go", deletions.len()))
        .hint("look for what emptied the manifests: a failed render, a wrong directory, a wrong branch")
        .hint(format!(
            "to remove it all for good: kubectl delete all,configmaps,secrets -A -l {PART_OF}={id}"
        )));
    }
    let budget = options.budget.objects(members);
    if deletions.len() <= budget {
        return Ok(());
    }
    let mut trouble = Trouble::new(format!(
        "{} of {members} objects would be deleted, and the prune budget is {}",
        deletions.len(),
        options.budget
    ));
    const SHOWN: usize = 10;
    let mut names: Vec<String> = deletions.iter().take(SHOWN).map(ToString::to_string).collect();
    if deletions.len() > SHOWN {
        names.push(format!("and {} more", deletions.len() - SHOWN));
    }
    trouble = trouble.because(names.join(", "));
    Err(trouble.hint(format!("if that is meant: `--prune-budget {}`", deletions.len())))
}

/// The name of a Job without the digest of its content; `None` for other kinds and other names.
pub(crate) fn job_base(object: &ObjectRef) -> Option<&str> {
    let (base, digest) = object.name.rsplit_once('-')?;
    let is_digest = digest.len() == 10 && digest.chars().all(|c| c.is_ascii_hexdigit());
    (object.kind == "Job" && object.group() == "batch" && is_digest).then_some(base)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn member(kind: &str, resource: Option<&str>) -> Member {
        let object = ObjectRef {
            api_version: "v1".into(),
            kind: kind.into(),
            namespace: Some("web".into()),
            name: "a".into(),
        };
        Member { object, resource: resource.map(Into::into), finished: None }
    }

    fn options(kinds: &[&str]) -> PruneOptions {
        PruneOptions { budget: PruneBudget::Standard, kinds: kinds.iter().map(ToString::to_string).collect() }
    }

    fn live() -> Value {
        json!({"metadata": {
            "labels": {PART_OF: "us", "app": "a"},
            "managedFields": [{"manager": "kit", "operation": "Apply", "fieldsV1": {}}],
        }})
    }

    fn verdict(kind: &str, live: &Value) -> Verdict {
        judge(&member(kind, None), Some(live), "us", &Scope::default(), &options(&[]))
    }

    #[test]
    fn what_we_applied_and_do_not_have_any_more_goes() {
        assert_eq!(verdict("ConfigMap", &live()), Verdict::Delete);
        let gone = judge(&member("ConfigMap", None), None, "us", &Scope::default(), &options(&[]));
        assert_eq!(gone, Verdict::Gone);
    }

    #[test]
    fn what_is_not_ours_any_more_stays() {
        let changed = |change: fn(&mut Value)| {
            let mut live = live();
            change(&mut live);
            verdict("ConfigMap", &live)
        };
        let lost = [
            changed(|live| live["metadata"]["labels"] = json!({PART_OF: "them"})),
            changed(|live| live["metadata"]["labels"] = json!({})),
            changed(|live| live["metadata"]["managedFields"][0]["manager"] = json!("helm")),
            changed(|live| {
                live["metadata"]["ownerReferences"] =
                    json!([{"kind": "App", "name": "x", "controller": true}]);
            }),
        ];
        for verdict in lost {
            assert!(matches!(verdict, Verdict::Lost(_)), "{verdict:?}");
        }
        let kept = changed(|live| live["metadata"]["annotations"] = json!({KEEP: "true"}));
        assert!(matches!(kept, Verdict::Keep(_)));
        let not_kept = changed(|live| live["metadata"]["annotations"] = json!({KEEP: "false"}));
        assert_eq!(not_kept, Verdict::Delete);
    }

    #[test]
    fn what_holds_data_goes_only_when_its_kind_is_named() {
        for kind in ["Namespace", "PersistentVolumeClaim", "PersistentVolume"] {
            assert!(matches!(verdict(kind, &live()), Verdict::Keep(_)), "{kind}");
            let named = judge(&member(kind, None), Some(&live()), "us", &Scope::default(), &options(&[kind]));
            assert_eq!(named, Verdict::Delete);
        }
    }

    #[test]
    fn what_a_filter_left_out_is_not_considered() {
        let scope = Scope { resource: Some("cart".into()), ..Scope::default() };
        let judged =
            |resource| judge(&member("ConfigMap", resource), Some(&live()), "us", &scope, &options(&[]));
        assert_eq!((judged(Some("cart")), judged(None)), (Verdict::Delete, Verdict::OutOfScope));
        let scope = Scope { selector: "app=b".parse().unwrap(), ..Scope::default() };
        let judged = judge(&member("ConfigMap", None), Some(&live()), "us", &scope, &options(&[]));
        assert_eq!(judged, Verdict::OutOfScope);
    }

    #[test]
    fn a_budget_is_a_number_or_a_share_and_ten_or_a_fifth_unless_said() {
        assert_eq!(PruneBudget::Standard.objects(12), 10);
        assert_eq!(PruneBudget::Standard.objects(100), 20);
        assert_eq!("3".parse::<PruneBudget>().unwrap().objects(100), 3);
        assert_eq!("50%".parse::<PruneBudget>().unwrap().objects(9), 4);
        for bad in ["", "x", "-1", "101%", "%"] {
            assert!(bad.parse::<PruneBudget>().is_err(), "{bad}");
        }
        let object = member("ConfigMap", None).object;
        let eleven = vec![&object; 11];
        assert!(allow(&eleven[..10], 12, 1, "us", &options(&[])).is_ok());
        let trouble = allow(&eleven, 12, 1, "us", &options(&[])).unwrap_err();
        assert_eq!(
            trouble.message,
            "11 of 12 objects would be deleted, and the prune budget is 10 objects or 20 %"
        );
        assert!(allow(&eleven, 60, 1, "us", &options(&[])).is_ok());
    }

    #[test]
    fn nothing_goes_when_there_are_no_manifests_whatever_the_budget() {
        let object = member("ConfigMap", None).object;
        let all = PruneOptions { budget: PruneBudget::Percent(100), ..options(&[]) };
        assert!(allow(&[&object], 1, 0, "us", &all).is_err());
        assert!(allow(&[&object], 1, 1, "us", &all).is_ok());
    }
}
