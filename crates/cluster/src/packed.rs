//! Values in a third of their room: as text, until somebody asks. Pods by the ten thousand, and a lease on each of a thousand
//! clusters, may be kept for hours.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A value as JSON.
pub(crate) struct Packed<T> {
    json: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// The value that was packed; there always is one.
    pub(crate) fn unpack(&self) -> Option<T> {
        serde_json::from_slice(&self.json).ok()
    }
}

impl<T: Serialize + DeserializeOwned> From<T> for Packed<T> {
    fn from(value: T) -> Self {
        // What may not be writable are maps with keys that are not text.
        let json = serde_json::to_vec(&value).unwrap_or_default();
        let packed = Self { json: json.into(), of: PhantomData };
        debug_assert!(packed.unpack().is_some(), "what is packed can be unpacked");
        packed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::health::{Pod, ReplicaSet};

    #[test]
    fn what_is_packed_comes_back_whole() {
        let exit = json!({"exitCode": 137, "signal": 9, "reason": "OOMKilled", "message": "a\n\u{1f980}",
            "finishedAt": "2026-11-20T10:00:30Z"});
        let container = |name: &str, state: Value, last: Value| {
            let ready = name == "a";
            json!({"name": name, "ready": ready, "restartCount": 3, "state": state, "lastState": last})
        };
        let owner = json!([{"uid": "set", "kind": "ReplicaSet", "controller": true}]);
        let full = json!({
            "metadata": {"name": "web-1", "uid": "u", "ownerReferences": owner, "deletionTimestamp": "2026-11-20T10:00:00Z",
                "creationTimestamp": "2026-11-20T10:00:00Z",
                "labels": {"pod-template-hash": "h", "pod-template-generation": "4"}},
            "spec": {"nodeName": "node-1", "restartPolicy": "Never"},
            "status": {"phase": "Failed", "reason": "Evicted", "message": "low on memory", "podIP": "10.0.0.7",
                "conditions": [
                    {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-20T10:00:00.5Z"},
                    {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes",
                        "lastTransitionTime": "2026-11-20T10:00:00Z"}],
                "initContainerStatuses": [container("init", json!({"terminated": exit}), json!(null))],
                "containerStatuses": [
                    container("a", json!({"running": {"startedAt": "2026-11-20T10:00:00Z"}}), json!({"terminated": exit})),
                    container("b", json!({"running": {}}), json!({})),
                    container("c", json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}), json!({}))]},
        });
        for value in [full, json!({}), json!({"metadata": {"name": "bare", "uid": "u"}})] {
            let pod = Pod::read(&value);
            assert_eq!(Packed::from(pod.clone()).unpack(), Some(pod));
        }
        let annotated = json!({"metadata": {"uid": "u", "ownerReferences": owner,
            "annotations": {"deployment.kubernetes.io/revision": "2"}}});
        for value in [annotated, json!({})] {
            let set = ReplicaSet::read(&value);
            assert_eq!(Packed::from(set.clone()).unpack(), Some(set));
        }
    }
}
