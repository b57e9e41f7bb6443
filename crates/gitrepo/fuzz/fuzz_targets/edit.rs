//! Any bytes as a file, any text as a path and a value: an edit is exact or refused.
//!
//! `cargo +nightly fuzz run edit fuzz/seeds -- -max_total_time=600` in `crates/gitrepo`. `fuzz/seeds.sh` makes the
//! seeds from `testdata/edit`.
//!
//! Input: a mode byte, then `path NEWLINE value NEWLINE content`.

#![no_main]

use libfuzzer_sys::fuzz_target;

// The module alone, not the crate: libgit2 and TLS would be built with it.
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../src/edit/mod.rs"]
mod edit;

use edit::{Document, Edit, IfMissing, set, set_each};

fuzz_target!(|data: &[u8]| {
    let Some((mode, rest)) = data.split_first() else { return };
    let mut parts = rest.splitn(3, |byte| *byte == b'\n');
    let (Some(path), Some(value), Some(content)) = (parts.next(), parts.next(), parts.next()) else { return };
    let Ok(value) = std::str::from_utf8(value) else { return };
    if mode % 4 == 3 {
        // The n-th scalar, whatever its path.
        let wanted = usize::from(mode / 4);
        let mut n = 0;
        let edit = set_each("x.yaml", content, &mut |_| {
            n += 1;
            (n == wanted + 1).then(|| value.to_owned())
        });
        if let Ok(edit) = edit {
            exact(content, &edit, value);
        }
        return;
    }
    let Some(path) = std::str::from_utf8(path).ok().and_then(|path| path.parse().ok()) else { return };
    let create = if mode % 4 == 2 { IfMissing::Create } else { IfMissing::Refuse };
    let file = if mode % 4 == 1 { "x.json" } else { "x.yaml" };
    if let Ok(edit) = set(file, content, &Document::Any, &path, value, create) {
        exact(content, &edit, value);
        let content = edit.bytes.as_deref().unwrap_or(content);
        let again = set(file, content, &Document::Any, &path, value, IfMissing::Refuse);
        let again = again.unwrap_or_else(|error| panic!("what was written is not found again: {error}"));
        assert_eq!(again.bytes, None, "an edit is not idempotent");
    }
});

/// One run of bytes changed, and a third reader sees at most one value of another meaning.
fn exact(old: &[u8], edit: &Edit, value: &str) {
    let Some(new) = &edit.bytes else { return };
    assert_eq!(edit.values.len(), 1);
    let edited = &edit.values[0];
    assert!(edited.changed && edited.new == value);
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        panic!("text became something else");
    };
    assert_eq!(old.matches('\n').count() <= new.matches('\n').count(), true, "a line was lost");
    let (Some(old), Some(new)) = (documents(old), documents(new)) else { return };
    if edited.old.is_some() {
        assert_eq!(old.len(), new.len());
        let differences: usize = old.iter().zip(&new).map(|(old, new)| differences(old, new)).sum();
        assert!(differences <= 1, "{differences} values differ");
    }
}

fn documents(text: &str) -> Option<Vec<oneyaml::Value>> {
    let stream = oneyaml::Stream::parse(text).ok()?;
    stream.documents().map(|document| document.to_value().ok()).collect()
}

fn differences(old: &oneyaml::Value, new: &oneyaml::Value) -> usize {
    use oneyaml::Value::{Mapping, Sequence};
    match (old, new) {
        (Sequence(old), Sequence(new)) if old.len() == new.len() => {
            old.iter().zip(new.iter()).map(|(old, new)| differences(old, new)).sum()
        }
        (Mapping(old), Mapping(new)) if old.len() == new.len() => old
            .iter()
            .zip(new.iter())
            .map(|((k, v), (l, w))| differences(k, l) + differences(v, w))
            .sum(),
        _ => usize::from(old != new),
    }
}
