//! What a plan holds.

use super::*;
use crate::discovery::Resource;

#[test]
fn nothing_of_a_manifest_is_held_once_everything_is_written() {
    let text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: shop}\ndata: {key: canary}\n";
    let manifest = manifest::load::parse_objects(text, "a.yaml").unwrap().remove(0);
    let resource = Resource::new("", "v1", "ConfigMap", "configmaps", true);
    let marks = Marks { raw: true, ..Marks::default() };
    let object = PlannedObject {
        wanted: Wanted::new(&manifest, resource.into(), "shop", &marks),
        live: Some(Box::new(manifest.value.clone())),
        action: Action::Configure,
        changes: changes(&Value::Null, &manifest.value, &Mask::new()),
        force: false,
        migrate: false,
        needs: BTreeSet::new(),
        after: None,
        member: true,
    };
    let mut plan = Plan {
        objects: vec![object],
        unplanned: Vec::new(),
        deletions: Vec::new(),
        moves: crate::strategy::Moves::default(),
        set: None,
        refused: None,
    };
    assert!(format!("{plan:?}").contains("canary"));
    plan.forget_contents();
    assert!(!format!("{plan:?}").contains("canary"), "{plan:?}");
    assert_eq!(plan.objects[0].wanted.object, manifest.reference(), "who it was is known to the end");
    assert!(plan.changes_objects());
}
