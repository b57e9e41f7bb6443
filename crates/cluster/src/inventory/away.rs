//! An inventory that nobody looks into for a while.
//!
//! It is written before the first object and again when all is over; in between a deploy may wait for hours, on a thousand clusters
//! at a time, and as a tree an inventory takes thirty times the memory.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Inventory, Member, Revision, key};
use crate::compressed::{compress, decompress};

/// An inventory, put away.
pub(crate) struct PutAway(Box<[u8]>);

#[derive(Serialize, Deserialize)]
struct Form {
    members: Vec<Member>,
    revision: u64,
    commit: Option<String>,
    history: Vec<Revision>,
    live: Option<Value>,
}

impl Inventory {
    pub(crate) fn put_away(self) -> PutAway {
        let Self { members, revision, commit, history, live } = self;
        let form = Form { members: members.into_values().collect(), revision, commit, history, live };
        // Texts and numbers: they can always be written. What is not here does not come back as an empty inventory.
        PutAway(compress(&serde_json::to_vec(&form).unwrap_or_default()).into())
    }
}

impl PutAway {
    /// The inventory again.
    ///
    /// # Errors
    /// None that could be caused from outside. But an empty inventory in its place would be a licence to delete.
    pub(crate) fn take_out(&self) -> Result<Inventory, String> {
        let text = decompress(&self.0).map_err(|error| error.to_string())?;
        let form: Form = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let Form { members, revision, commit, history, live } = form;
        let members = members.into_iter().map(|member| (key(&member.object), member)).collect();
        Ok(Inventory { members, revision, commit, history, live })
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::inventory::RevisionState;

    #[test]
    fn what_is_put_away_comes_back_whole() {
        let object = |kind: &str, namespace: Option<&str>| manifest::ObjectRef {
            api_version: "batch/v1".into(),
            kind: kind.into(),
            namespace: namespace.map(str::to_owned),
            name: "a".into(),
        };
        let finished = Some(Timestamp::from_nanosecond(1_700_000_000_123_456_789).unwrap());
        let members = [
            Member { object: object("Job", Some("web")), resource: Some("cart".into()), finished },
            Member { object: object("ClusterThing", None), resource: None, finished: None },
        ];
        let inventory = Inventory {
            members: members.into_iter().map(|member| (key(&member.object), member)).collect(),
            revision: 7,
            commit: Some("4f2a91c0".into()),
            history: vec![Revision {
                revision: 7,
                id: "20260101-120000-abcdef".into(),
                commit: None,
                started: Timestamp::from_nanosecond(1_700_000_000_000_000_001).unwrap(),
                finished,
                state: RevisionState::RolledBack,
                scope: "resource cart".into(),
                objects: 2,
                parts: 1,
                rollback_to: Some("20251231-120000-fedcba".into()),
                fast_id: Some("abc".into()),
            }],
            live: Some(serde_json::json!({"metadata": {"resourceVersion": "12", "labels": {"a": "b"}}})),
        };
        assert_eq!(inventory.clone().put_away().take_out(), Ok(inventory));
        assert_eq!(Inventory::default().put_away().take_out(), Ok(Inventory::default()));
        assert!(PutAway(Box::default()).take_out().is_err());
    }
}
