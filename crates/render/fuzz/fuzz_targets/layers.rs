//! Any text as a layer: an error with a place inside the text, or a tree whose values stand where they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::yaml::{self, Node, Schema, Value};

fn places(node: &Node, text: &str) {
    assert!(text.get(node.span.bytes.clone()).is_some(), "{:?}", node.span);
    assert!(node.span.line >= 1 && node.span.column >= 1);
    match &node.value {
        Value::Scalar(_) => {}
        Value::List(list) => list.iter().for_each(|item| places(item, text)),
        Value::Map(map) => map.iter().for_each(|entry| places(&entry.value, text)),
    }
}

fuzz_target!(|text: &str| {
    for schema in [Schema::Kubernetes, Schema::JsYaml3, Schema::Core] {
        match yaml::read(text, "fuzz", schema) {
            Ok(documents) => documents.iter().for_each(|document| places(&document.root, text)),
            Err(error) => {
                assert!(error.line >= 1 && error.column >= 1 && error.offset <= text.len());
                let _ = yaml::excerpt(text, error.line, error.column);
            }
        }
    }
});
