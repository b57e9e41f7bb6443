//! What must be there only once in a cluster.

use std::collections::{BTreeSet, HashMap};
use std::hash::{Hash as _, Hasher as _};

use manifest::ObjectRef;

use super::OutputFile;
use crate::inputs::hasher;
use crate::problem::Problem;

/// Group, kind, namespace and name.
type Identity<'o> = (&'o str, &'o str, Option<&'o str>, &'o str);

fn identity(object: &ObjectRef) -> Identity<'_> {
    (object.group(), object.kind.as_str(), object.namespace.as_deref(), object.name.as_str())
}

/// What no other file of a cluster may have: the names of these files and the objects in them, each as a number that
/// means something only in this process. As long as a resource claims nothing new, it cannot get into another one's way.
pub fn claims<'f>(files: impl IntoIterator<Item = &'f OutputFile>) -> BTreeSet<u64> {
    let mut claims = BTreeSet::new();
    for file in files {
        let mut name = hasher();
        file.name.to_lowercase().hash(&mut name);
        claims.insert(name.finish());
        claims.extend(file.objects.iter().map(|object| {
            let mut hasher = hasher();
            identity(object).hash(&mut hasher);
            hasher.finish()
        }));
    }
    claims
}

/// Two files of one name, or one object in two files.
pub(super) fn collisions(files: &[OutputFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names: HashMap<String, &OutputFile> = HashMap::with_capacity(files.len());
    let mut objects: HashMap<Identity<'_>, &OutputFile> = HashMap::new();
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
            if let Some(other) = objects.insert(identity(object), file) {
                problems.push(Problem::new(format!("{object} is defined twice")).cause(format!(
                    "in `{}` ({}) and `{}` ({})",
                    other.name, other.source, file.name, file.source
                )));
            }
        }
    }
    problems
}
