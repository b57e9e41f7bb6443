//! What a deployer that pulls says of itself inside its cluster: a ConfigMap with its last state, and an Event where
//! that changes.
//!
//! The ConfigMap is the memory of `deployer sync`: a restarted one reads there which commit was deployed last.

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::connect::{Call, CallError, Connection};

/// Of every ConfigMap that a puller keeps; `deployer status` looks for it.
const LABEL: &str = "app.kubernetes.io/component";
const COMPONENT: &str = "kit-sync";
/// Its field manager.
const MANAGER: &str = "kit-sync";

/// How the last look at the repository ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullState {
    /// The cluster is as the commit says.
    Synced,
    /// Something of the commit is not, or the repository could not be read.
    Failed,
    /// A guard refused it.
    Refused,
}

impl PullState {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }

    fn read(text: &str) -> Option<Self> {
        [Self::Synced, Self::Failed, Self::Refused].into_iter().find(|state| state.name() == text)
    }
}

/// One puller of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Its name: that of the ConfigMap.
    pub name: String,
    /// The repository, without credentials.
    pub repo: String,
    /// The branch.
    pub branch: String,
    /// The folder of the repository that holds a folder per cluster.
    pub path: String,
    /// The commit that was looked at last, hexadecimal; empty before the first look.
    pub commit: String,
    /// The commit that was deployed last without a failure; empty before the first.
    pub synced: String,
    /// How that ended.
    pub state: PullState,
    /// Why, on one line; empty if all is well.
    pub message: String,
    /// Since when `commit` and `state` are what they are.
    pub since: Timestamp,
    /// The last sign of life.
    pub checked: Timestamp,
}

impl Pull {
    /// Whether this is news compared with `before`: what is neither is not written.
    pub fn is_news(&self, before: &Self) -> bool {
        let told = |pull: &Self| {
            (pull.commit.clone(), pull.synced.clone(), pull.state, pull.message.clone(), pull.branch.clone())
        };
        told(self) != told(before) || self.repo != before.repo || self.path != before.path
    }

    fn to_data(&self) -> Value {
        json!({
            "repo": self.repo,
            "branch": self.branch,
            "path": self.path,
            "commit": self.commit,
            "synced": self.synced,
            "state": self.state.name(),
            "message": self.message,
            "since": self.since.to_string(),
            "checked": self.checked.to_string(),
        })
    }

    fn from_object(object: &Value) -> Option<Self> {
        let text = |key: &str| object["data"][key].as_str().unwrap_or_default().to_owned();
        Some(Self {
            name: object["metadata"]["name"].as_str()?.to_owned(),
            repo: text("repo"),
            branch: text("branch"),
            path: text("path"),
            commit: text("commit"),
            synced: text("synced"),
            state: PullState::read(&text("state"))?,
            message: text("message"),
            since: text("since").parse().ok()?,
            checked: text("checked").parse().ok()?,
        })
    }
}

/// What the puller `name` has written last; nothing, if there is none yet or it cannot be understood.
///
/// # Errors
/// What the server says, but for 404.
pub async fn read(connection: &Connection, namespace: &str, name: &str) -> Result<Option<Pull>, CallError> {
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}");
    match connection.call(&Call::get(format!("read ConfigMap/{namespace}/{name}"), path)).await {
        Ok(reply) => Ok(Pull::from_object(&reply.value)),
        Err(error) if error.is(404) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All pullers of a cluster with their namespaces, sorted by both. Who may not look everywhere sees those in `namespace`, and who
/// may not look there either sees none.
///
/// # Errors
/// What the server says, but for 403.
pub async fn list(connection: &Connection, namespace: &str) -> Result<Vec<(String, Pull)>, CallError> {
    let mut found = Vec::new();
    for within in [String::new(), format!("/namespaces/{namespace}")] {
        let path = format!("/api/v1{within}/configmaps?labelSelector={LABEL}%3D{COMPONENT}");
        match connection.call(&Call::get("list ConfigMaps of `deployer sync`", path)).await {
            Ok(reply) => {
                let place =
                    |item: &Value| item["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
                let items = reply.value["items"].as_array().into_iter().flatten();
                found.extend(items.filter_map(|item| Some((place(item), Pull::from_object(item)?))));
                break;
            }
            Err(error) if error.is(403) => {}
            Err(error) => return Err(error),
        }
    }
    found.sort_by(|(a, one), (b, other)| (a, &one.name).cmp(&(b, &other.name)));
    Ok(found)
}

/// Writes the ConfigMap; makes its namespace if that is missing.
///
/// # Errors
/// What the server says.
pub async fn write(connection: &Connection, namespace: &str, pull: &Pull) -> Result<(), CallError> {
    let name = &pull.name;
    let object = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {LABEL: COMPONENT, "app.kubernetes.io/managed-by": "kit"},
        },
        "data": pull.to_data(),
    });
    let path = format!("/api/v1/namespaces/{namespace}/configmaps/{name}?fieldManager={MANAGER}&force=true");
    let call = Call::new(format!("apply ConfigMap/{namespace}/{name}"), Method::PATCH, path)
        .with_body("application/apply-patch+yaml", &object);
    match connection.call(&call).await {
        Ok(_) => Ok(()),
        Err(error) if error.is(404) => {
            let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            let create =
                Call::new(format!("create Namespace/{namespace}"), Method::POST, "/api/v1/namespaces")
                    .with_body("application/json", &body);
            match connection.call(&create).await {
                Err(error) if !error.is(409) => return Err(error),
                Ok(_) | Err(_) => {}
            }
            connection.call(&call).await.map(|_| ())
        }
        Err(error) => Err(error),
    }
}

/// Says in an Event what has changed.
///
/// # Errors
/// What the server says.
pub async fn announce(connection: &Connection, namespace: &str, pull: &Pull) -> Result<(), CallError> {
    let (kind, reason) = match pull.state {
        PullState::Synced => ("Normal", "Synced"),
        PullState::Failed => ("Warning", "SyncFailed"),
        PullState::Refused => ("Warning", "SyncRefused"),
    };
    let commit = pull.commit.get(..12).unwrap_or(&pull.commit);
    let message = match pull.state {
        PullState::Synced => format!("deployed {commit} of {}", pull.branch),
        PullState::Failed | PullState::Refused => pull.message.clone(),
    };
    // As client-go names them: unique by the time, in hexadecimal.
    let event_name = format!("{}.{:x}", pull.name, Timestamp::now().as_nanosecond());
    let when = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default().to_string();
    let event = json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": event_name, "namespace": namespace},
        "involvedObject": {"apiVersion": "v1", "kind": "ConfigMap", "namespace": namespace, "name": pull.name},
        "type": kind,
        "reason": reason,
        // The server takes 1024 bytes.
        "message": message.chars().take(1000).filter(char::is_ascii).collect::<String>(),
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    });
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let call = Call::new(format!("create an Event in {namespace}"), Method::POST, path)
        .with_body("application/json", &event);
    connection.call(&call).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pull() -> Pull {
        let at: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        Pull {
            name: "kit-sync".into(),
            repo: "https://example.org/manifests".into(),
            branch: "main".into(),
            path: "generated".into(),
            commit: "abc".into(),
            synced: "abc".into(),
            state: PullState::Synced,
            message: String::new(),
            since: at,
            checked: at,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let object = json!({"metadata": {"name": "kit-sync"}, "data": pull().to_data()});
        assert_eq!(Pull::from_object(&object), Some(pull()));
        assert_eq!(Pull::from_object(&json!({"metadata": {"name": "x"}, "data": {"state": "?"}})), None);
    }

    #[test]
    fn a_sign_of_life_is_no_news() {
        let later = Pull { checked: "2026-01-02T04:00:00Z".parse().unwrap(), ..pull() };
        assert!(!later.is_news(&pull()));
        assert!(Pull { state: PullState::Failed, ..pull() }.is_news(&pull()));
    }
}
