//! Whether an object that is to be written may become, or stay, a member of our set.

use serde_json::Value;

use super::applyset::{self, PART_OF};
use super::{SetName, SetOptions};
use crate::outcome::Trouble;
use crate::plan::Wanted;
use crate::prune::is_protected;

/// How an object stands to our set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Membership {
    /// It is ours, or becomes ours.
    Member,
    /// It is another set's and stays there; we may write it all the same.
    Guest,
    /// It is another set's.
    Foreign(Trouble),
}

/// Whether what is of the set with this id is left alone by a deploy of ours that could do without it.
pub(crate) fn is_foreign(theirs: &str, set: &SetOptions, namespace: &str, force: bool) -> bool {
    let id = |name: &SetName| applyset::id(&name.parent(), namespace);
    theirs != id(&set.name) && !(set.named && (force || theirs == id(&SetName::default())))
}

/// Labels `wanted` as a member of the set, unless the live object is another set's.
pub(crate) fn membership(
    wanted: &mut Wanted,
    live: Option<&Value>,
    set: &SetOptions,
    namespace: &str,
    force: bool,
) -> Membership {
    let ours = applyset::id(&set.name.parent(), namespace);
    let default = applyset::id(&SetName::default().parent(), namespace);
    let theirs = live.and_then(applyset::part_of).filter(|id| *id != ours).map(str::to_owned);
    let Some(theirs) = theirs else {
        label(wanted, &ours);
        return Membership::Member;
    };
    // Namespaces and definitions are shared by whoever needs them; a deploy without a set's name claims nothing.
    if is_protected(&wanted.resource.group, &wanted.resource.kind) || !set.named {
        label(wanted, &theirs);
        return Membership::Guest;
    }
    if theirs == default || force {
        label(wanted, &ours);
        return Membership::Member;
    }
    let trouble = Trouble::new("it belongs to another resource set")
        .because(format!(
            "its label `{PART_OF}` is `{theirs}`, the id of resource set `{}` is `{ours}`",
            set.name
        ))
        .hint(format!("kubectl get configmaps -A -l {}={theirs}", applyset::ID))
        .hint("if it moves to this set for good: `--force-conflicts`");
    Membership::Foreign(trouble)
}

fn label(wanted: &mut Wanted, id: &str) {
    let metadata = &mut wanted.value["metadata"];
    if !metadata["labels"].is_object() {
        metadata["labels"] = Value::Object(serde_json::Map::new());
    }
    metadata["labels"][PART_OF] = Value::from(id);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::Resource;
    use crate::order::Phase;
    use manifest::Place;
    use serde_json::json;

    fn wanted(kind: &str) -> Wanted {
        let value = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}});
        let resource = Resource::new("", "v1", kind, "x", true);
        Wanted {
            object: manifest::object::reference(&value),
            place: Place { file: "a".into(), line: 1, column: 1 },
            phase: Phase::of("", kind),
            resource: resource.into(),
            value,
        }
    }

    fn set(name: &str, named: bool) -> SetOptions {
        SetOptions { name: name.parse().unwrap(), named, ..SetOptions::default() }
    }

    fn live(of: &str) -> Value {
        json!({"metadata": {"labels": {PART_OF: applyset::id(&format!("kit-set-{of}"), "web")}}})
    }

    #[test]
    fn a_named_set_adopts_what_has_no_set_and_refuses_what_has_another() {
        let mut object = wanted("ConfigMap");
        assert_eq!(membership(&mut object, None, &set("shop", true), "web", false), Membership::Member);
        assert_eq!(object.value["metadata"]["labels"][PART_OF], applyset::id("kit-set-shop", "web"));
        let unnamed = live("default");
        assert_eq!(
            membership(&mut object, Some(&unnamed), &set("shop", true), "web", false),
            Membership::Member
        );
        let other = live("cart");
        let refused = membership(&mut object, Some(&other), &set("shop", true), "web", false);
        assert!(matches!(refused, Membership::Foreign(_)));
        assert_eq!(
            membership(&mut object, Some(&other), &set("shop", true), "web", true),
            Membership::Member
        );
    }

    #[test]
    fn what_another_set_has_made_is_left_alone_unless_it_has_no_name() {
        let id = |name: &str| applyset::id(&format!("kit-set-{name}"), "web");
        let foreign = |of: &str, set: &SetOptions, force| is_foreign(&id(of), set, "web", force);
        let (shop, unnamed) = (set("shop", true), set("default", false));
        assert!(foreign("cart", &shop, false) && foreign("cart", &unnamed, true));
        assert!(!foreign("shop", &shop, false) && !foreign("default", &unnamed, false));
        assert!(!foreign("default", &shop, false) && !foreign("cart", &shop, true));
    }

    #[test]
    fn a_shared_namespace_and_a_deploy_without_a_name_leave_the_label_as_it_is() {
        let other = live("cart");
        for (kind, set) in [("Namespace", set("shop", true)), ("ConfigMap", set("default", false))] {
            let mut object = wanted(kind);
            assert_eq!(membership(&mut object, Some(&other), &set, "web", true), Membership::Guest);
            assert_eq!(object.value["metadata"]["labels"][PART_OF], other["metadata"]["labels"][PART_OF]);
        }
    }
}
