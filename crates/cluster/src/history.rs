//! The manifests of earlier deploys, kept on the cluster: compressed, in Secrets, because manifests hold secrets.
//!
//! An object of the API holds about a mebibyte, so that a large deploy takes several. How many is written in the inventory, which is
//! also the list of what there is: nothing is listed or searched.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use manifest::{Object, Place};
use serde_json::{Value, json};

use crate::compressed::{compress, decompress};
use crate::connect::{Call, CallError, Connection};
use crate::discovery::Resource;
use crate::inventory::{Inventory, Revision, RevisionState, RollbackTo, SetName};
use crate::outcome::Trouble;
use crate::plan::FIELD_MANAGER;

/// Bytes per Secret: the server takes 1 MiB of data, and etcd 1.5 MiB of request, in which data is base64.
const PART: usize = 700 * 1024;
const KEY: &str = "manifests.json.gz";
/// The type of the Secrets.
const TYPE: &str = "kit/history.v1";

static SECRET: LazyLock<Resource> = LazyLock::new(|| Resource::new("", "v1", "Secret", "secrets", true));

fn name(set: &SetName, revision: u64, part: usize) -> String {
    format!("{}.{revision}.{part}", set.parent())
}

/// The compressed form of manifests, in parts.
pub(crate) fn pack(objects: &[Object]) -> Vec<Vec<u8>> {
    let list: Vec<Value> = objects
        .iter()
        .map(|object| {
            let Place { file, line, column } = &object.place;
            json!({"file": &**file, "line": line, "column": column, "object": object.value})
        })
        .collect();
    compress(json!(list).to_string().as_bytes()).chunks(PART).map(<[u8]>::to_vec).collect()
}

/// The reverse of [`pack`].
pub(crate) fn unpack(bytes: &[u8]) -> Result<Vec<Object>, String> {
    let text = decompress(bytes).map_err(|error| error.to_string())?;
    let list: Vec<Value> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(1);
    Ok(list
        .into_iter()
        .map(|mut entry| Object {
            place: Place {
                file: entry["file"].as_str().unwrap_or_default().into(),
                line: number(&entry["line"]),
                column: number(&entry["column"]),
            },
            value: entry["object"].take(),
        })
        .collect())
}

/// Keeps the manifests of a revision.
///
/// # Errors
/// The server's refusal, or no answer.
pub(crate) async fn keep(
    connection: &Connection,
    set: &SetName,
    namespace: &str,
    revision: u64,
    parts: &[Vec<u8>],
) -> Result<(), CallError> {
    for (index, part) in parts.iter().enumerate() {
        let name = name(set, revision, index);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {"name": name, "namespace": namespace, "labels": {"kit/resource-set": set.as_str()}},
            "data": {KEY: STANDARD.encode(part)},
        });
        // Applied, so that trying again is harmless.
        let path = SECRET.path(Some(namespace), &name) + &format!("?fieldManager={FIELD_MANAGER}&force=true");
        let call = Call::new("keep the manifests of this deploy", Method::PATCH, path);
        connection.call(&call.with_body("application/apply-patch+yaml", &secret)).await?;
    }
    Ok(())
}

/// Forgets the manifests of a revision; what has gone already is fine.
pub(crate) async fn forget(connection: &Connection, set: &SetName, namespace: &str, revision: &Revision) {
    for index in 0..revision.parts {
        let name = name(set, revision.revision, index);
        // Whatever stays is a few kilobytes of no consequence.
        let _ = crate::apply::delete(connection, &SECRET, Some(namespace), &name, None, "Background").await;
    }
}

/// The manifests of a revision.
///
/// # Errors
/// Why they cannot be had.
pub(crate) async fn load(
    connection: &Connection,
    set: &SetName,
    namespace: &str,
    revision: &Revision,
) -> Result<Vec<Object>, Trouble> {
    let failed = |because: String| {
        Trouble::new(format!("the manifests of deploy `{}` cannot be read", revision.id)).because(because)
    };
    if revision.parts == 0 {
        return Err(failed("they were not kept: their Secret could not be written".into()));
    }
    let mut bytes = Vec::new();
    for index in 0..revision.parts {
        let name = name(set, revision.revision, index);
        let path = SECRET.path(Some(namespace), &name);
        let call = Call::get(format!("read the manifests of deploy `{}`", revision.id), path);
        let reply = connection.call(&call).await.map_err(|error| failed(error.to_string()))?;
        let data = reply.value["data"][KEY].as_str().unwrap_or_default();
        bytes.extend(STANDARD.decode(data).map_err(|error| failed(format!("Secret {name}: {error}")))?);
    }
    unpack(&bytes).map_err(failed)
}

/// Which deploy a rollback brings back.
///
/// # Errors
/// There is none, or more than one.
pub(crate) fn target<'a>(
    inventory: &'a Inventory,
    to: &RollbackTo,
    set: &SetName,
) -> Result<&'a Revision, Trouble> {
    let list = format!("deployer history --resource-set {set}");
    match to {
        RollbackTo::Previous => {
            let Some(current) = inventory.history.last() else {
                return Err(Trouble::new(format!("nothing has been deployed yet as resource set `{set}`"))
                    .hint("was it deployed with another `--resource-set` or `--inventory-namespace`?"));
            };
            // A deploy that brought an earlier one back stands where that one stood.
            let standing = current.rollback_to.as_ref().and_then(|id| {
                inventory
                    .history
                    .iter()
                    .position(|revision| revision.id == *id && revision.revision < current.revision)
            });
            let before = standing.unwrap_or(inventory.history.len() - 1);
            inventory.history[..before]
                .iter()
                .rev()
                .find(|revision| {
                    revision.state == RevisionState::Succeeded
                        && revision.scope == current.scope
                        && revision.rollback_to.is_none()
                })
                .ok_or_else(|| {
                    Trouble::new("there is no earlier deploy that succeeded and is still remembered")
                        .hint(list)
                        .hint("to go back to what never succeeded: `--to ID`")
                })
        }
        RollbackTo::Id(id) => match inventory.find(id).as_slice() {
            [] => Err(Trouble::new(format!("no deploy is remembered that is called `{id}`")).hint(list)),
            // A commit may have been deployed often: the last time counts.
            found => found.iter().copied().next_back().ok_or_else(|| Trouble::new("there is none")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn manifests_come_back_as_they_were() {
        let text = "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\nstringData: {k: v}\n";
        let objects = manifest::load::parse_objects(text, "a.yaml").unwrap();
        let parts = pack(&objects);
        assert_eq!(parts.len(), 1);
        assert_eq!(unpack(&parts.concat()).unwrap(), objects);
        assert!(unpack(b"no gzip").is_err());
    }

    fn revision(revision: u64, state: RevisionState, rollback_to: Option<u64>) -> Revision {
        Revision {
            revision,
            id: format!("d{revision}"),
            commit: None,
            started: Timestamp::UNIX_EPOCH,
            finished: None,
            state,
            scope: String::new(),
            objects: 1,
            parts: 1,
            rollback_to: rollback_to.map(|revision| format!("d{revision}")),
            fast_id: None,
        }
    }

    fn previous(history: Vec<Revision>) -> Option<u64> {
        let inventory = Inventory { history, ..Inventory::default() };
        target(&inventory, &RollbackTo::Previous, &SetName::default()).ok().map(|found| found.revision)
    }

    #[test]
    fn a_rollback_goes_to_the_last_deploy_that_succeeded_and_the_next_one_further_back() {
        use RevisionState::{Failed, Succeeded};
        let (one, two) = (revision(1, Succeeded, None), revision(2, Succeeded, None));
        let failed = revision(3, Failed, None);
        assert_eq!(previous(vec![one.clone(), two.clone()]), Some(1));
        assert_eq!(previous(vec![one.clone(), two.clone(), failed.clone()]), Some(2));
        let back = revision(4, Succeeded, Some(2));
        assert_eq!(
            previous(vec![one.clone(), two.clone(), failed, back]),
            Some(1),
            "again means further back"
        );
        assert_eq!(previous(vec![one]), None);
        assert_eq!(previous(Vec::new()), None);
    }
}
