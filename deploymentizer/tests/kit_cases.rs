//! Repositories written for kit render to the bytes that kit wrote.

use std::collections::BTreeMap;
use std::path::Path;

use testkit::{Sandbox, copy_tree, program, read_tree, workspace_root};

/// `--clusterName` as `--cluster-name`.
fn kebab(flag: &str) -> String {
    flag.chars()
        .flat_map(|c| c.is_ascii_uppercase().then_some('-').into_iter().chain([c.to_ascii_lowercase()]))
        .collect()
}

fn lines(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// What differs, as text; empty if nothing does.
fn compare(case: &Path, translate: fn(&str) -> String) -> String {
    let sandbox = Sandbox::new();
    copy_tree(&case.join("repo"), sandbox.path());
    let mut call = program("deploymentizer").arg("--conf").arg("kit.yaml");
    for line in lines(&case.join("args")) {
        let (flag, value) = line.split_once(' ').expect("a flag and its value");
        call = call.arg(translate(flag)).arg(value);
    }
    for line in lines(&case.join("env")) {
        let (name, value) = line.split_once('=').expect("NAME=VALUE");
        call = call.env(name, value);
    }
    let answer = sandbox.run(call);
    if answer.exit_code != 0 {
        return format!("{}: {answer}\n", case.display());
    }
    let expected = read_tree(&case.join("expected"), false);
    let written = read_tree(&sandbox.join("generated"), false);
    differences(case, &expected, &written)
}

fn differences(
    case: &Path,
    expected: &BTreeMap<String, Vec<u8>>,
    written: &BTreeMap<String, Vec<u8>>,
) -> String {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(written.keys()).collect();
    let show = |content: Option<&Vec<u8>>| content.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    names
        .into_iter()
        .filter(|name| expected.get(*name) != written.get(*name))
        .map(|name| {
            let (kit, ours) = (show(expected.get(name)), show(written.get(name)));
            format!("{} {name}\n   kit {kit:?}\n  ours {ours:?}\n", case.display())
        })
        .collect()
}

fn cases() -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(workspace_root().join("testdata/kit-cases")).expect("the cases");
    let mut cases: Vec<_> =
        entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(cases.len() >= 36, "there are only {} cases", cases.len());
    cases
}

#[test]
fn every_case_renders_to_the_bytes_that_kit_wrote() {
    let different: String = cases().iter().map(|case| compare(case, kebab)).collect();
    assert_eq!(different, "");
}

#[test]
fn the_flags_of_kit_are_accepted_in_their_old_spelling() {
    let with_flags = cases().into_iter().filter(|case| !lines(&case.join("args")).is_empty());
    let different: String = with_flags.map(|case| compare(&case, str::to_owned)).collect();
    assert_eq!(different, "");
}
