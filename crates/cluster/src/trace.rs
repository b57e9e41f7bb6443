//! One live object, and who set which of its fields.

use manifest::field::{FieldPath, FieldStep, position};
use serde_json::{Map, Value};

use crate::connect::{CallError, Connection};
use crate::discovery::{Discovery, Lookup};
use crate::plan::{ORIGINAL_NAME, STRATEGY_LABEL, managed_fields};

/// What a cluster says about an object.
#[derive(Debug, Clone)]
pub enum Found {
    /// It is there.
    One(Box<Value>),
    /// It is not; these were made from manifests of its name.
    Descendants(Vec<String>),
    /// The cluster serves no such kind.
    NoKind,
}

/// The object of this kind and name; if there is none, the only one that was made from a manifest of the name.
///
/// # Errors
/// A refusal, or no answer.
pub async fn find(
    connection: &Connection,
    (api_version, kind): (&str, &str),
    namespace: Option<&str>,
    name: &str,
) -> Result<Found, CallError> {
    let kinds = [(api_version.to_owned(), kind.to_owned())].into();
    let discovery = Discovery::of(connection, &kinds).await?;
    let Lookup::Served(resource) = discovery.lookup(api_version, kind) else { return Ok(Found::NoKind) };
    let namespace = namespace.or_else(|| resource.namespaced.then(|| connection.namespace()));
    let complete = |mut object: Value| {
        object["apiVersion"] = Value::from(resource.api_version());
        object["kind"] = Value::from(kind);
        Found::One(Box::new(object))
    };
    let (_, mut found) = crate::live::get(connection, resource, namespace, name).await?;
    if let Some(object) = found.pop() {
        return Ok(complete(object));
    }
    let (_, mut all) = crate::live::list(connection, resource, namespace, Some(STRATEGY_LABEL)).await?;
    all.retain(|object| manifest::object::annotation(object, ORIGINAL_NAME) == Some(name));
    if all.len() == 1 {
        return Ok(all.pop().map_or(Found::NoKind, complete));
    }
    let mut names: Vec<String> =
        all.iter().filter_map(|object| object["metadata"]["name"].as_str()).map(str::to_owned).collect();
    names.sort();
    Ok(Found::Descendants(names))
}

/// The managers that own a field of a live object, sorted; of a mapping or list, those that own something in it.
pub fn managers(live: &Value, path: &FieldPath) -> Vec<String> {
    let mut found: Vec<String> = managed_fields(live)
        .filter(|entry| entry["fieldsV1"].as_object().is_some_and(|fields| owns(fields, live, &path.steps)))
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn owns(fields: &Map<String, Value>, live: &Value, steps: &[FieldStep]) -> bool {
    let Some((step, rest)) = steps.split_first() else { return true };
    // What is replaced as a whole is owned as a whole.
    if fields.keys().all(|key| key == ".") {
        return true;
    }
    let (key, below) = match step {
        FieldStep::Key(key) => (Some(format!("f:{key}")), live.get(key)),
        FieldStep::Item(item) => {
            let element = live.as_array().and_then(|items| items.get(position(items, item)?));
            let is_it = |key: &&String| match element {
                Some(element) => names(key, element),
                None => false,
            };
            (fields.keys().find(is_it).cloned(), element)
        }
    };
    let (Some(key), Some(below)) = (key, below) else { return false };
    fields.get(&key).and_then(Value::as_object).is_some_and(|fields| owns(fields, below, rest))
}

/// Whether a key of managed fields means this element of a list.
fn names(key: &str, element: &Value) -> bool {
    if let Some(value) = key.strip_prefix("v:") {
        return serde_json::from_str::<Value>(value).is_ok_and(|value| value == *element);
    }
    let fields = key.strip_prefix("k:").and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok());
    fields.is_some_and(|fields| fields.iter().all(|(field, value)| element.get(field) == Some(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_owners_of_a_field_are_found_through_lists_and_atoms() {
        let live = json!({
            "metadata": {"managedFields": [
                {"manager": "kit", "fieldsV1": {"f:spec": {"f:selector": {}, "f:template": {"f:spec": {"f:containers": {
                    "k:{\"name\":\"web\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}},
                {"manager": "hpa", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
            ]},
            "spec": {"replicas": 3, "selector": {"app": "web"}, "template": {"spec": {"containers": [{"name": "web", "image": "a"}]}}},
        });
        let of = |path: &str| managers(&live, &path.parse().unwrap());
        assert_eq!(of("spec.template.spec.containers[web].image"), ["kit"]);
        assert_eq!(of("spec.template.spec.containers[0].image"), ["kit"]);
        assert_eq!(of("spec.selector.app"), ["kit"]);
        assert_eq!(of("spec.replicas"), ["hpa"]);
        assert_eq!(of("spec"), ["hpa", "kit"]);
        assert_eq!(of("spec.template.spec.containers[web].ports"), [""; 0]);
    }
}
