//! What must be there only once in a cluster.

use std::collections::HashMap;

use super::OutputFile;
use crate::problem::Problem;

/// Two files of one name, or one object in two files.
pub(super) fn collisions(files: &[OutputFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: HashMap<String, &OutputFile> = HashMap::with_capacity(files.len());
    let mut objects: HashMap<(&str, &str, Option<&str>, &str), &OutputFile> = HashMap::new();
    for file in files {
        // Some file systems do not tell upper from lower case; the same tree must come out there.
        if let Some(other) = names.insert(file.name.to_lowercase(), file) {
            problems.push(
                Problem::new(format!(
                    "resources `{}` and `{}` both write `{}`",
                    other.resource, file.resource, file.name
                ))
                .cause(format!("from {} and {}", other.source, file.source))
                .hint(match file.source.ends_with(".mustache") {
                    true => "the file is named after the template: give each resource its own",
                    false => "give one of them `output: NAME.yaml`, or its own template",
                }),
            );
        }
        for object in file.objects.iter() {
            let key =
                (object.group(), object.kind.as_str(), object.namespace.as_deref(), object.name.as_str());
            if let Some(other) = objects.insert(key, file) {
                problems.push(Problem::new(format!("{object} is defined twice")).cause(format!(
                    "in `{}` ({}) and `{}` ({})",
                    other.name, other.source, file.name, file.source
                )));
            }
        }
    }
    problems
}
