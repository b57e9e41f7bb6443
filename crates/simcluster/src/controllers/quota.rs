//! ResourceQuota: what a namespace may hold, judged when something is created there. Without scopes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::cluster::State;
use crate::schema::quantity::{self, Quantity};
use crate::store::Key;

/// Amounts by resource name, in nano units.
type Amounts = BTreeMap<String, i128>;

const ONE: i128 = 1_000_000_000;

/// Judges the creation of `object` under every quota of its namespace, and charges it unless it is a dry run.
///
/// # Errors
/// Why it may not be created, in the server's words.
pub(crate) fn charge(
    state: &mut State,
    kind: &str,
    ns: &str,
    object: &Value,
    dry_run: bool,
) -> Result<(), String> {
    let quotas: Vec<(Key, Value)> =
        state.store.list("resourcequotas", ns).map(|(key, stored)| (key.clone(), stored.value())).collect();
    for (key, mut quota) in quotas {
        let hard: BTreeMap<String, Quantity> = quota["spec"]["hard"]
            .as_object()
            .into_iter()
            .flatten()
            .filter_map(|(name, value)| Some((name.clone(), quantity::parse(value.as_str()?)?)))
            .collect();
        let asked = usage(kind, object);
        let unsaid: Vec<String> = hard
            .keys()
            .filter(|name| kind == "pods" && is_compute(name))
            .filter_map(|name| without(object, name))
            .collect();
        if !unsaid.is_empty() {
            return Err(format!("failed quota: {}: must specify {}", key.name, unsaid.join("; ")));
        }
        let mut used = in_use(state, ns, &hard);
        let of = |amounts: &Amounts, name: &str| amounts.get(name).copied().unwrap_or(0);
        let over: Vec<(&String, Quantity)> = hard
            .iter()
            .filter(|(name, hard)| of(&asked, name) > 0 && of(&used, name) + of(&asked, name) > hard.nano)
            .map(|(name, hard)| (name, *hard))
            .collect();
        if !over.is_empty() {
            let list = |amount: &dyn Fn(&str, Quantity) -> i128| {
                let told = over
                    .iter()
                    .map(|(name, hard)| format!("{name}={}", hard.with(amount(name, *hard)).canonical()));
                told.collect::<Vec<_>>().join(",")
            };
            return Err(format!(
                "exceeded quota: {}, requested: {}, used: {}, limited: {}",
                key.name,
                list(&|name, _| of(&asked, name)),
                list(&|name, _| of(&used, name)),
                list(&|_, hard| hard.nano),
            ));
        }
        if !dry_run && hard.keys().any(|name| asked.contains_key(name)) {
            asked.into_iter().for_each(|(name, nano)| *used.entry(name).or_default() += nano);
            let told: Map<String, Value> = hard
                .iter()
                .map(|(name, hard)| {
                    let nano = of(&used, name);
                    (name.clone(), Value::from(hard.with(nano).canonical()))
                })
                .collect();
            quota["status"] = json!({"hard": quota["spec"]["hard"], "used": told});
            state.store.put(&key, &mut quota);
        }
    }
    Ok(())
}

/// Whether a quota on this demands that every container says how much it wants of it.
fn is_compute(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("requests.") || name.starts_with("limits.")
}

/// `requests.cpu for: app,side`: the containers that do not say.
fn without(pod: &Value, name: &str) -> Option<String> {
    let (part, resource) = name.split_once('.').unwrap_or(("requests", name));
    let silent: Vec<&str> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|container| container["resources"][part][resource].is_null())
        .filter_map(|container| container["name"].as_str())
        .collect();
    (!silent.is_empty()).then(|| format!("{name} for: {}", silent.join(",")))
}

/// What one object takes.
fn usage(kind: &str, object: &Value) -> Amounts {
    let mut amounts = Amounts::from([(format!("count/{kind}"), ONE)]);
    if !kind.contains('.') {
        amounts.insert(kind.to_owned(), ONE);
    }
    let containers = object["spec"]["containers"].as_array().filter(|_| kind == "pods");
    for container in containers.into_iter().flatten() {
        for part in ["requests", "limits"] {
            for (resource, value) in container["resources"][part].as_object().into_iter().flatten() {
                let Some(value) = value.as_str().and_then(quantity::parse) else { continue };
                *amounts.entry(format!("{part}.{resource}")).or_default() += value.nano;
                if part == "requests" {
                    *amounts.entry(resource.clone()).or_default() += value.nano;
                }
            }
        }
    }
    amounts
}

/// What the namespace holds already of what `hard` limits. A pod that has ended takes nothing.
fn in_use(state: &State, ns: &str, hard: &BTreeMap<String, Quantity>) -> Amounts {
    let kind_of = |name: &str| match name.strip_prefix("count/") {
        Some(kind) => kind.to_owned(),
        None if is_compute(name) => "pods".to_owned(),
        None => name.to_owned(),
    };
    let mut kinds: Vec<String> = hard.keys().map(|name| kind_of(name)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut sum = Amounts::new();
    for kind in kinds {
        for (_, stored) in state.store.list(&kind, ns) {
            let object = stored.value();
            let ended = matches!(object["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
            if kind == "pods" && ended {
                continue;
            }
            for (name, nano) in usage(&kind, &object) {
                *sum.entry(name).or_default() += nano;
            }
        }
    }
    sum
}
