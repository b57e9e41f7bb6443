//! The table of readiness: objects as a real server wrote them (`testdata/status/<kind>/<case>.json`, with what kubectl
//! said of the same object at the same `resourceVersion`), and our verdict on each.
#![allow(clippy::unwrap_used, clippy::print_stderr)] // a panic in a test's helper is a failed test

use std::collections::BTreeMap;
use std::fmt::Write as _;

use cluster::status::{Readiness, Surroundings, VolumeBinding, assess_in};
use serde_json::Value;
use testkit::workspace_root;

fn cases() -> BTreeMap<String, Value> {
    let mut cases = BTreeMap::new();
    for kind in std::fs::read_dir(workspace_root().join("testdata/status")).unwrap() {
        let kind = kind.unwrap().path();
        for case in std::fs::read_dir(&kind).unwrap() {
            let case = case.unwrap().path();
            let name =
                format!("{}/{}", kind.file_name().unwrap().display(), case.file_stem().unwrap().display());
            let text = std::fs::read_to_string(&case).unwrap();
            cases.insert(
                name,
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{case:?}: {error}")),
            );
        }
    }
    assert!(cases.len() > 80, "{}", cases.len());
    cases
}

fn verdict(case: &Value) -> Readiness {
    let classes = [("rec-late", VolumeBinding::WaitForFirstConsumer), ("rec-now", VolumeBinding::Immediate)];
    let storage_classes = classes.into_iter().map(|(name, binding)| (name.to_owned(), binding)).collect();
    assess_in(&case["object"], &Surroundings { storage_classes })
}

fn line(readiness: &Readiness) -> String {
    match readiness {
        Readiness::Current { message } => format!("current      {message}"),
        Readiness::InProgress { message } => format!("in progress  {message}"),
        Readiness::Failed { reason, message } => format!("failed       {reason}: {message}"),
        Readiness::Unknown { message } => format!("unknown      {message}"),
    }
}

#[test]
fn every_recorded_object_gets_its_verdict() {
    let mut table = String::new();
    for (name, case) in cases() {
        writeln!(table, "{name}\n    {}", line(&verdict(&case))).unwrap();
        if let Some(said) = case.pointer("/kubectl/rollout status/says").and_then(Value::as_str) {
            writeln!(table, "    kubectl      {said}").unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

/// What `kubectl rollout status --watch=false` says of the object: done, not yet, or never.
#[test]
fn kubectl_rollout_status_agrees() {
    let mut compared = 0;
    for (name, case) in cases() {
        let Some(said) = case.pointer("/kubectl/rollout status/says").and_then(Value::as_str) else {
            continue;
        };
        let ours = verdict(&case);
        let done = said.contains("successfully rolled out") || said.contains("complete");
        if said.contains("only available for RollingUpdate") {
            continue; // OnDelete: kubectl has no opinion
        }
        compared += 1;
        if said.contains("exceeded its progress deadline") {
            assert!(matches!(ours, Readiness::Failed { .. }), "{name}: {ours:?}, kubectl: {said}");
        } else if matches!(&ours, Readiness::Failed { reason, .. } if reason == "Paused") {
            // kubectl waits for ever for a rollout that is paused half way; we say so.
            assert!(!done, "{name}: kubectl: {said}");
        } else if name.contains("min-ready-seconds") && name.starts_with("stateful-set") {
            // kubectl looks at ready, not at available, replicas of a StatefulSet.
            assert!(done && !ours.is_current(), "{name}: {ours:?}");
        } else {
            assert_eq!(ours.is_current(), done, "{name}: {ours:?}, kubectl: {said}");
        }
    }
    assert!(compared > 20, "{compared}");
}

/// What `kubectl wait` says: the condition that stands for readiness of the kind is met.
#[test]
fn kubectl_wait_agrees() {
    let mut compared = 0;
    for (name, case) in cases() {
        let Some(waits) = case["kubectl"].as_object() else { continue };
        let ours = verdict(&case);
        for (wait, result) in waits.iter().filter(|(wait, _)| wait.starts_with("wait ")) {
            let met = result["exit"] == 0;
            compared += 1;
            match wait.trim_start_matches("wait --for=") {
                "condition=failed" => {
                    assert!(!met || matches!(ours, Readiness::Failed { .. }), "{name}: {ours:?}");
                }
                // `Available` counts old pods too: necessary, not sufficient.
                "condition=available" if name.starts_with("deployment") => {
                    assert!(met || !ours.is_current(), "{name}: {ours:?}");
                }
                "condition=ready" if name.starts_with("custom") => {
                    assert!(
                        !ours.is_current() || met || case.pointer("/object/status/conditions").is_none(),
                        "{name}"
                    );
                }
                "condition=ready" if name.starts_with("pod") => {
                    let ended = case["object"]["status"]["phase"] == "Succeeded";
                    assert_eq!(ours.is_current(), met || ended, "{name}: {ours:?}");
                }
                "jsonpath={.status.phase}=Bound" => {
                    assert!(
                        ours.is_current() == met || name.ends_with("waits-for-first-consumer"),
                        "{name}: {ours:?}"
                    );
                }
                "condition=complete" => {
                    assert!(ours.is_current() == met || name.ends_with("suspended"), "{name}: {ours:?}");
                }
                _ => assert_eq!(ours.is_current(), met, "{name}: {wait}: {ours:?}"),
            }
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn a_claim_that_waits_for_its_consumer_is_not_current_when_the_class_is_not_known() {
    let case = &cases()["volume-claim/waits-for-first-consumer"];
    assert!(verdict(case).is_current());
    let unknown = assess_in(&case["object"], &Surroundings::default());
    assert_eq!(
        unknown,
        Readiness::InProgress { message: "waiting for a volume of storage class `rec-late`".to_owned() }
    );
    let mut used = case["object"].clone();
    used["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] = "node-1".into();
    assert!(!verdict(&serde_json::json!({"object": used})).is_current());
}
