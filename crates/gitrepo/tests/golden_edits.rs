//! Every directory of `testdata/edit`: a file before, what is asked for, and the file after or the error.
//!
//! `args` is one line: `set PATH VALUE [create] [object=KIND/NAME]`, or `each PREFIX VALUE`, which sets every
//! scalar that begins with the prefix. What is left of a hold is checked by `holds_are_reported`.
//! `UPDATE_GOLDEN=1 cargo test -p gitrepo` writes the answers that are missing.

#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

use gitrepo::edit::{Document, Edit, EditError, IfMissing, set, set_each};

fn run(args: &str, file: &str, before: &[u8]) -> Result<Edit, EditError> {
    let words: Vec<&str> = args.split_whitespace().collect();
    match words.as_slice() {
        ["set", path, value, options @ ..] => {
            let if_missing = if options.contains(&"create") { IfMissing::Create } else { IfMissing::Refuse };
            let document = options
                .iter()
                .find_map(|option| option.strip_prefix("object="))
                .and_then(|object| object.split_once('/'))
                .map(|(kind, name)| Document::Object { kind: kind.into(), name: name.into() })
                .unwrap_or_default();
            set(file, before, &document, &path.parse().unwrap(), value, if_missing)
        }
        ["each", prefix, value] => {
            set_each(file, before, &mut |leaf| leaf.value.starts_with(prefix).then(|| (*value).to_owned()))
        }
        _ => panic!("`args` is not understood: {args}"),
    }
}

fn describe(error: &EditError) -> String {
    let hint = error.hint().map(|hint| format!("hint: {hint}\n")).unwrap_or_default();
    format!("{error}\n{hint}")
}

fn check(case: &Path) -> Result<(), String> {
    let args = fs::read_to_string(case.join("args")).map_err(|error| error.to_string())?;
    let extension = if case.join("before.json").exists() { "json" } else { "yaml" };
    let file = format!("before.{extension}");
    let before = fs::read(case.join(&file)).map_err(|error| error.to_string())?;
    let after = case.join(format!("after.{extension}"));
    match (run(&args, &file, &before), fs::read(&after)) {
        (Ok(edit), Ok(after)) => {
            let got = edit.bytes.clone().unwrap_or_else(|| before.clone());
            if got != after {
                return Err(format!("got:\n{}", String::from_utf8_lossy(&got)));
            }
            if edit.bytes.is_some() != (before != after) {
                return Err("a change that changes nothing, or the reverse".into());
            }
            if edit.values.iter().any(|value| value.changed) != edit.bytes.is_some() {
                return Err("the values do not say what the bytes say".into());
            }
            Ok(())
        }
        (Ok(edit), Err(_)) => {
            Err(format!("was not refused, got:\n{}", String::from_utf8_lossy(&edit.bytes.unwrap_or(before))))
        }
        (Err(error), Ok(_)) => Err(format!("was refused: {error}")),
        (Err(error), Err(_)) => {
            let wanted = case.join("error.txt");
            let got = describe(&error);
            if !wanted.exists() && std::env::var_os("UPDATE_GOLDEN").is_some() {
                fs::write(&wanted, &got).map_err(|error| error.to_string())?;
            }
            let wanted = fs::read_to_string(&wanted).unwrap_or_default();
            if got == wanted { Ok(()) } else { Err(format!("got:\n{got}wanted:\n{wanted}")) }
        }
    }
}

#[test]
fn every_case_of_testdata_edit_is_as_written_there() {
    let root = testkit::workspace_root().join("testdata/edit");
    let mut cases: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let name = case.file_name().unwrap().to_string_lossy().into_owned();
            check(case).err().map(|why| format!("=== {name}\n{why}"))
        })
        .collect();
    assert!(failures.is_empty(), "{} of {} fail\n{}", failures.len(), cases.len(), failures.join("\n"));
}

#[test]
fn holds_are_reported() {
    let hold = |text: &str| {
        let path = "image".parse().unwrap();
        let edit = set("x.yaml", text.as_bytes(), &Document::Any, &path, "a:2", IfMissing::Refuse).unwrap();
        edit.values[0].hold.clone()
    };
    assert_eq!(hold("image: a:1 # kit: hold broken since Monday\n").as_deref(), Some("broken since Monday"));
    assert_eq!(hold("image: 'a:1' #kit:hold\r\n").as_deref(), Some(""));
    assert_eq!(hold("image:\n  a:1 # kit: hold: x\n").as_deref(), Some("x"));
    assert_eq!(hold("{image: a:1, b: c} # kit: hold x\n").as_deref(), Some("x"));
    assert_eq!(hold("image: a:2 # kit: hold x\n").as_deref(), Some("x"), "also where nothing changes");
    assert_eq!(hold("image: a:1 # kit: holding pattern\n"), None);
    assert_eq!(hold("# kit: hold x\nimage: a:1\nb: c # kit: hold y\n"), None);
    assert_eq!(hold("{image: a:1, b: \"x # kit: hold y\"}\n"), None);
}

#[test]
fn the_answer_says_where_and_what() {
    let path = "web.image".parse().unwrap();
    let text = "# é\nweb:\n  # c\n  image: \"a:1\" # é\n";
    let edit = set("x.yaml", text.as_bytes(), &Document::Any, &path, "a:2", IfMissing::Refuse).unwrap();
    let value = &edit.values[0];
    assert_eq!((value.position.line, value.position.column), (4, 10));
    assert_eq!((value.old.as_deref(), value.new.as_str(), value.changed), (Some("a:1"), "a:2", true));
}
