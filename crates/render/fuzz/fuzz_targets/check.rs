//! The quick check never accepts what the parser refuses, nor finds other objects.
#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::yaml::Schema;
use render::check::{check, parse};

fuzz_target!(|text: &str| {
    for schema in [Schema::Kubernetes, Schema::Core] {
        assert_eq!(check(text, schema), parse(text, schema));
    }
});
