//! Questions that are answered and not stored: who am I, may I.

use serde_json::{Value, json};

use crate::auth::User;
use crate::cluster::State;
use crate::faults::{Action, Seen};

/// Answers a review; `None` if the resource is none.
pub(crate) fn answer(
    state: &mut State,
    group: &str,
    resource: &str,
    user: &User,
    mut body: Value,
) -> Option<Value> {
    match (group, resource) {
        ("authorization.k8s.io", "selfsubjectaccessreviews" | "subjectaccessreviews") => {
            let attributes = body["spec"]["resourceAttributes"].clone();
            let text = |k: &str| attributes[k].as_str().unwrap_or_default().to_owned();
            let seen = Seen {
                verb: &text("verb"),
                resource: &text("resource"),
                namespace: &text("namespace"),
                name: &text("name"),
                limited: user.limited,
            };
            let denied = matches!(state.faults.next(&seen), Some(Action::Status { code: 403, .. }));
            body["status"] = json!({"allowed": !denied, "reason": if denied { "" } else { "the simulator allows everything" }});
            Some(body)
        }
        ("authorization.k8s.io", "selfsubjectrulesreviews") => {
            body["status"] = json!({
                "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}], "incomplete": false,
            });
            Some(body)
        }
        ("authentication.k8s.io", "selfsubjectreviews") => {
            body["status"] = json!({"userInfo": {"username": user.name, "groups": user.groups}});
            Some(body)
        }
        _ => None,
    }
}
