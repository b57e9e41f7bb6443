//! Which node a pod goes to.

use serde_json::Value;

use super::Context;
use crate::schema::quantity;

const NODE_CPU_NANO: i128 = 64 * 1_000_000_000;
const NODE_MEMORY_NANO: i128 = (256_i128 << 30) * 1_000_000_000;

/// The nodes that fit, or why there are none.
pub(crate) fn candidates(context: &Context<'_>, pod: &Value) -> Result<Vec<String>, String> {
    let nodes: Vec<Value> = context.state.store.values("nodes", "");
    let total = nodes.len();
    let spec = &pod["spec"];
    let request = |resource: &str| -> i128 {
        spec["containers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|c| quantity::parse(c["resources"]["requests"][resource].as_str()?))
            .map(|q| q.nano)
            .sum()
    };
    if request("cpu") > NODE_CPU_NANO {
        return Err(format!("0/{total} nodes are available: {total} Insufficient cpu."));
    }
    if request("memory") > NODE_MEMORY_NANO {
        return Err(format!("0/{total} nodes are available: {total} Insufficient memory."));
    }
    let terms = spec
        .pointer("/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms")
        .and_then(Value::as_array);
    let tolerates = spec["tolerations"].as_array().into_iter().flatten().any(|t| {
        t["operator"] == "Exists" && t.get("key").is_none() || t["key"] == "node.kubernetes.io/unschedulable"
    });
    let found: Vec<String> = nodes
        .iter()
        .filter(|n| {
            let labels = &n["metadata"]["labels"];
            let selected =
                spec["nodeSelector"].as_object().into_iter().flatten().all(|(k, v)| labels.get(k) == Some(v));
            let affine = terms.is_none_or(|t| t.iter().any(|term| term_matches(n, term)));
            selected && affine && (tolerates || n["spec"]["unschedulable"] != true)
        })
        .filter_map(|n| n["metadata"]["name"].as_str().map(str::to_owned))
        .collect();
    if found.is_empty() {
        return Err(format!(
            "0/{total} nodes are available: {total} node(s) didn't match Pod's node affinity/selector."
        ));
    }
    Ok(found)
}

fn term_matches(node: &Value, term: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let expressions = term["matchExpressions"].as_array().into_iter().flatten().all(|e| {
        let value = e["key"].as_str().and_then(|k| labels.get(k));
        let listed = || e["values"].as_array().is_some_and(|v| value.is_some_and(|x| v.contains(x)));
        match e["operator"].as_str() {
            Some("In") => listed(),
            Some("NotIn") => !listed(),
            Some("Exists") => value.is_some(),
            Some("DoesNotExist") => value.is_none(),
            _ => true,
        }
    });
    let fields = term["matchFields"].as_array().into_iter().flatten().all(|e| {
        e["key"] != "metadata.name"
            || e["values"].as_array().is_some_and(|v| v.contains(&node["metadata"]["name"]))
                == (e["operator"] == "In")
    });
    expressions && fields
}
