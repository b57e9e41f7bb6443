//! Any `.mustache` template over any data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::yaml::{self, Schema};
use render::mustache::Template;
use render::node::{FileId, Layer, Node};

fuzz_target!(|texts: (&str, &str)| {
    let Ok(template) = Template::parse(texts.0) else { return };
    let Ok(document) = yaml::read_one(texts.1, "fuzz", Schema::JsYaml3) else { return };
    let node = Node::from_yaml(&document.root, FileId(0), Layer::Base, false);
    let mut out = String::new();
    let _ = template.render(&*node, &mut out, &mut ());
});
