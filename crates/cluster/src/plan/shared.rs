//! Changes of a fleet, each kept once: most clusters get the same ones, and a report holds those of all clusters to its end.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Serialize, Serializer};

use super::ObjectChange;

/// A change that several outcomes hold.
#[derive(Clone, Debug, PartialEq)]
pub struct SharedChange(Arc<ObjectChange>);

impl SharedChange {
    /// Of one outcome alone, until it is [shared](SharedChanges::share).
    pub(crate) fn new(change: ObjectChange) -> Self {
        Self(Arc::new(change))
    }

    /// The same number for two that share, and only for them.
    pub fn identity(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }
}

impl Deref for SharedChange {
    type Target = ObjectChange;

    fn deref(&self) -> &ObjectChange {
        &self.0
    }
}

impl Serialize for SharedChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// The changes of a fleet so far.
#[derive(Debug, Default)]
pub struct SharedChanges {
    hasher: RandomState,
    known: Mutex<HashMap<u64, Vec<SharedChange>>>,
}

impl SharedChanges {
    /// Replaces each change by an equal one that is known.
    pub fn share(&self, changes: &mut [SharedChange]) {
        for change in changes {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let alike = known.entry(self.hasher.hash_one(&**change)).or_default();
            match alike.iter().find(|other| *other == change) {
                Some(other) => *change = other.clone(),
                None => alike.push(change.clone()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_equal_is_kept_once() {
        let change = |name: &str| {
            let value = serde_json::json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}});
            let object = manifest::object::reference(&value);
            SharedChange::new(ObjectChange { object, action: "create", because: None, changes: Vec::new() })
        };
        let shared = SharedChanges::default();
        let (mut one, mut two) = ([change("a"), change("b")], [change("b"), change("c")]);
        shared.share(&mut one);
        shared.share(&mut two);
        assert_eq!(one[1].identity(), two[0].identity());
        assert_ne!(one[0].identity(), two[1].identity());
    }
}
