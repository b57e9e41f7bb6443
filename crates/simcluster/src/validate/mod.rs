//! The checks of the API server that programs depend on, in its words.

mod metadata;

use serde_json::Value;

use crate::cluster::State;
use crate::kinds::Kind;
use crate::schema::crd;
use crate::status::Cause;

/// Checks a new object.
pub(crate) fn create(kind: &Kind, object: &Value, state: &State) -> Vec<Cause> {
    let mut causes = Vec::new();
    metadata::check(kind, object, &mut causes);
    if kind.custom {
        causes.extend(crd::validate(kind.stored(), object));
    }
    let _ = state;
    causes
}

/// Checks a changed object.
pub(crate) fn update(kind: &Kind, old: &Value, new: &Value, subresource: &str, state: &State) -> Vec<Cause> {
    let mut causes = create(kind, new, state);
    if subresource.is_empty() {
        let _ = old;
    }
    causes.dedup_by(|a, b| a.field == b.field && a.message == b.message);
    causes
}
