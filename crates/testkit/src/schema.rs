//! The schemas that we publish, and what has to hold to them.

use crate::workspace_root;

/// Fails the test unless `value` is what the published schema says; `schema` is its path from the top of the workspace.
#[track_caller]
pub fn assert_schema(schema: &str, value: &serde_json::Value) {
    let text = std::fs::read_to_string(workspace_root().join(schema)).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&text).unwrap()).unwrap();
    let errors: Vec<String> = schema.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{value:#}");
}
