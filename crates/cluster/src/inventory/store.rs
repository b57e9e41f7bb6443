//! Reading and writing the ConfigMap of an inventory.

use std::sync::LazyLock;

use http::Method;
use serde_json::{Value, json};

use super::{Inventory, SetName};
use crate::connect::{Call, CallError, Connection};
use crate::discovery::Resource;
use crate::plan::FIELD_MANAGER;

/// How ConfigMaps are addressed.
pub(crate) static CONFIG_MAP: LazyLock<Resource> =
    LazyLock::new(|| Resource::new("", "v1", "ConfigMap", "configmaps", true));

/// Why an inventory cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The cluster could not be asked, or refused.
    #[error(transparent)]
    Call(#[from] CallError),
    /// It is not one.
    #[error("the inventory is damaged: {problem}")]
    Damaged {
        /// How.
        problem: String,
    },
}

/// Reads the inventory of `set`; an empty one before the first deploy. One request.
///
/// # Errors
/// [`ReadError`].
pub async fn read(connection: &Connection, set: &SetName, namespace: &str) -> Result<Inventory, ReadError> {
    let path = CONFIG_MAP.path(Some(namespace), &set.parent());
    match connection.call(&Call::get(format!("read the inventory of resource set `{set}`"), path)).await {
        Ok(reply) => Inventory::parse(reply.value).map_err(|problem| ReadError::Damaged { problem }),
        Err(error) if error.is(404) => Ok(Inventory::default()),
        Err(error) => Err(error.into()),
    }
}

/// Why an inventory was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// Somebody else has written it since it was read.
    Moved,
    /// The cluster could not be asked, or refused.
    Call(CallError),
}

/// Stores `inventory` if nobody has written it since it was read; afterwards it counts as read again.
///
/// # Errors
/// [`WriteError`].
pub(crate) async fn write(
    connection: &Connection,
    inventory: &mut Inventory,
    set: &SetName,
    namespace: &str,
) -> Result<(), WriteError> {
    let wanted = inventory.render(set, namespace);
    let what = format!("write the inventory of resource set `{set}`");
    let manager = format!("?fieldManager={FIELD_MANAGER}");
    let call = match &inventory.live {
        Some(_) => {
            let path = CONFIG_MAP.path(Some(namespace), &set.parent());
            Call::new(what, Method::PUT, path + &manager)
        }
        None => Call::new(what, Method::POST, CONFIG_MAP.collection(Some(namespace)) + &manager),
    };
    match connection.call(&call.with_body("application/json", &wanted)).await {
        Ok(reply) => {
            inventory.live = Some(metadata_of(reply.value));
            Ok(())
        }
        Err(error) if error.is(409) => {
            // Our own first try may have got through before its connection broke.
            let found = read(connection, set, namespace).await;
            match found {
                Ok(found) if found.live.as_ref().is_some_and(|live| same_data(live, &wanted)) => {
                    inventory.live = found.live.map(metadata_of);
                    Ok(())
                }
                Ok(_) | Err(ReadError::Damaged { .. }) => Err(WriteError::Moved),
                Err(ReadError::Call(error)) => Err(WriteError::Call(error)),
            }
        }
        Err(error) => Err(WriteError::Call(error)),
    }
}

/// What the next write needs; the data are what was just rendered, and may be large.
fn metadata_of(mut live: Value) -> Value {
    let mut metadata = live["metadata"].take();
    if let Some(metadata) = metadata.as_object_mut() {
        metadata.remove("managedFields");
    }
    json!({"metadata": metadata})
}

fn same_data(live: &Value, wanted: &Value) -> bool {
    live["data"] == wanted["data"]
}
