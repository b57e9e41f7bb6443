//! `deployer status` in its forms, from one sample.

use cli::report::Status;
use unicode_width::UnicodeWidthStr as _;

mod sample;

#[test]
fn the_table_tells_everything_to_a_file_and_what_fits_to_a_terminal() {
    let status = sample::status();
    let narrow = status.table(Some(80));
    assert!(narrow.lines().all(|line| line.width() <= 80), "{narrow}");
    assert!(status.syncs(Some(80)).lines().all(|line| line.width() <= 80));
    assert!(status.table(Some(40)).lines().all(|line| line.width() <= 40));
    let all = format!(
        "to a file\n{}\nat 200 columns\n{}\nat 120 columns\n{}\nat 80 columns\n{narrow}\nwhat pulls\n{}\n{}",
        status.table(None),
        status.table(Some(200)),
        status.table(Some(120)),
        status.syncs(None),
        status.troubles()
    );
    insta::assert_snapshot!(all);
}

#[test]
fn json_holds_to_its_schema() {
    let status = sample::status();
    let mut value: serde_json::Value = serde_json::from_str(&status.json()).unwrap();
    assert_eq!(serde_json::from_value::<Status>(value.clone()).unwrap(), status);
    let schema = include_str!("../schema/status.v1.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
    assert_eq!(errors, Vec::<String>::new());
    // The schema says something: a wrong word and a missing field are seen.
    value["clusters"][1]["resources"][0]["state"] = "fine".into();
    value["clusters"][1]["resources"][1].as_object_mut().unwrap().remove("images");
    assert_eq!(schema.iter_errors(&value).count(), 2);
}
