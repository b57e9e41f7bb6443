//! Two layers merged: nothing crashes, merging with nothing is identity, and no key of the base is lost.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use manifest::yaml::{self, Schema};
use render::layers::{Rules, merge};
use render::node::{FileId, Layer, Node, Value};

fn tree(text: &str, layer: Layer) -> Option<Arc<Node>> {
    let document = yaml::read_one(text, "fuzz", Schema::JsYaml3).ok()?;
    Some(Node::from_yaml(&document.root, FileId(0), layer, false))
}

fuzz_target!(|texts: (&str, &str)| {
    let (Some(base), Some(over)) = (tree(texts.0, Layer::Base), tree(texts.1, Layer::Cluster)) else { return };
    for integer_keys_first in [false, true] {
        let rules = Rules { integer_keys_first };
        let nothing = Node::empty_map(base.origin);
        if matches!(base.value, Value::Map(_)) {
            assert!(Arc::ptr_eq(&merge(&base, &nothing, rules, &mut ()), &base));
        }
        let merged = merge(&base, &over, rules, &mut ());
        if let (Value::Map(base), Value::Map(_), Value::Map(merged)) = (&base.value, &over.value, &merged.value) {
            assert!(base.keys().all(|key| merged.get(key).is_some()));
        }
    }
});
