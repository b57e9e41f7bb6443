//! Core events, with counts for repetitions.

use serde_json::{Value, json};

use super::Context;
use crate::cluster::now;
use crate::store::Key;

/// Events that are remembered for counting, per cluster.
const REMEMBERED: usize = 2000;

/// An event to record.
pub(crate) struct Event<'a> {
    pub warning: bool,
    pub reason: &'a str,
    pub message: &'a str,
    pub component: &'a str,
    pub field: Option<String>,
}

impl<'a> Event<'a> {
    pub(crate) fn normal(component: &'a str, reason: &'a str, message: &'a str) -> Event<'a> {
        Event { warning: false, reason, message, component, field: None }
    }

    pub(crate) fn warning(component: &'a str, reason: &'a str, message: &'a str) -> Event<'a> {
        Event { warning: true, reason, message, component, field: None }
    }

    pub(crate) fn at(mut self, field: String) -> Event<'a> {
        self.field = Some(field);
        self
    }
}

impl Context<'_> {
    /// Records an event about an object.
    pub(crate) fn event(&mut self, about: &Value, event: Event<'_>) {
        let meta = &about["metadata"];
        let uid = meta["uid"].as_str().unwrap_or_default().to_owned();
        let ns = meta["namespace"].as_str().unwrap_or("default");
        let id = (uid, event.reason.to_owned(), event.message.to_owned());
        let time = now();
        if let Some((name, count)) = self.state.events.get_mut(&id) {
            *count += 1;
            let (key, count) = (Key::new("events", ns, name), *count);
            if let Some(mut old) = self.state.store.get(&key) {
                old["count"] = json!(count);
                old["lastTimestamp"] = json!(time);
                self.state.store.put(&key, &mut old);
                return;
            }
        }
        let name =
            format!("{}.{:x}", meta["name"].as_str().unwrap_or_default(), self.state.store.random() >> 4);
        let mut involved = json!({
            "kind": about["kind"], "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"],
            "apiVersion": about["apiVersion"], "resourceVersion": meta["resourceVersion"],
        });
        if meta["namespace"].is_null() {
            involved.as_object_mut().map(|o| o.shift_remove("namespace"));
        }
        if let Some(field) = &event.field {
            involved["fieldPath"] = json!(field);
        }
        let mut source = json!({"component": event.component});
        if event.component == "kubelet" {
            source["host"] = about["spec"]["nodeName"].clone();
        }
        let object = json!({
            "metadata": {"name": name, "namespace": ns},
            "involvedObject": involved, "reason": event.reason, "message": event.message, "source": source,
            "firstTimestamp": time, "lastTimestamp": time, "count": 1,
            "type": if event.warning { "Warning" } else { "Normal" },
            "eventTime": null, "reportingComponent": event.component, "reportingInstance": "",
        });
        if self.create("events", object, event.component).is_some() {
            if self.state.events.len() >= REMEMBERED {
                self.state.events.clear();
            }
            self.state.events.insert(id, (name, 1));
        }
    }
}
