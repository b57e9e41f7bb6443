//! A Kubernetes Event (core/v1), reduced.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::pod::time;
use crate::status::Object;

/// What somebody in the cluster said about an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `uid` of the object that it is about.
    #[serde(skip)]
    pub about: String,
    /// Kind and name of that object, for example `Pod/web-7d9-x2x`.
    pub object: String,
    /// The container of a pod that it is about, where it is about one.
    #[serde(skip)]
    pub container: Option<String>,
    /// For example `FailedMount`.
    pub reason: String,
    /// The words.
    pub message: String,
    /// Type is `Warning`.
    pub warning: bool,
    /// How often it was said.
    pub count: i64,
    /// First time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub first: Option<Timestamp>,
    /// Last time.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<Timestamp>,
}

impl Event {
    /// Reads an Event as the server sent it, with the counters of the old and of the new API.
    #[must_use]
    pub fn read(event: &Value) -> Self {
        let o = Object(event);
        let count = o.int("/series/count").or_else(|| o.int("/count")).unwrap_or(1).max(1);
        let first = time(o, "/firstTimestamp").or_else(|| time(o, "/eventTime"));
        let last = time(o, "/series/lastObservedTime").or_else(|| time(o, "/lastTimestamp")).or(first);
        let kind = o.text("/involvedObject/kind").unwrap_or_default();
        Self {
            about: o.text("/involvedObject/uid").unwrap_or_default().to_owned(),
            object: format!("{kind}/{}", o.text("/involvedObject/name").unwrap_or_default()),
            container: o.text("/involvedObject/fieldPath").and_then(container).map(str::to_owned),
            reason: o.text("/reason").unwrap_or_default().to_owned(),
            message: o.text("/message").unwrap_or_default().trim().to_owned(),
            warning: o.text("/type") == Some("Warning"),
            count,
            first,
            last,
        }
    }
}

/// `app` of `spec.containers{app}`, as a kubelet writes it.
fn container(field: &str) -> Option<&str> {
    field.split_once("ontainers{")?.1.strip_suffix('}')
}
