//! The JSON is what `schema/result.v1.json` says.

use serde_json::{Value, json};
use testkit::workspace_root;

use crate::remote::{Remote, WEB_FILE};

#[test]
fn every_kind_of_answer_fits_the_schema() {
    let schema =
        std::fs::read_to_string(workspace_root().join("image-deployer/schema/result.v1.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let remote = Remote::new();
    let image = ["--branch", "main", "--image", "quay.io/acme/web:main-2", "--output", "json"];
    let held = "image: quay.io/acme/web:main-1 # kit: hold x\n";
    let run = |more: &[&str]| remote.run(&[&image[..], more].concat()).json();
    let mut answers = vec![run(&["--dry-run"]), run(&["--push-branch", "review"]), run(&[]), run(&[])];
    remote.commit("main", "hold", &[(WEB_FILE, held)]);
    answers.extend([
        run(&[]),
        run(&["--ignore-hold"]),
        run(&["--repo-branch", "nowhere"]),
        run(&["--file", "x"]),
    ]);
    let outcomes: Vec<&str> =
        answers.iter().map(|json| json["outcome"].as_str().unwrap_or("failed")).collect();
    assert_eq!(
        outcomes,
        ["planned", "pushed", "pushed", "unchanged", "failed", "pushed", "failed", "failed"]
    );
    let validator = jsonschema::validator_for(&schema).unwrap();
    for answer in &answers {
        let errors: Vec<String> = validator.iter_errors(answer).map(|error| error.to_string()).collect();
        assert_eq!(errors, [""; 0], "{answer:#}");
    }
    assert!(!validator.is_valid(&json!({"version": 1, "outcome": "pushed"})));
}
