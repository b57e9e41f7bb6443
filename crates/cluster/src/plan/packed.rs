//! The changes of a cluster as they are kept to the end of a run: compressed. A thousand clusters may wait for hours before anybody
//! looks at them, and those of one are much alike, so that they take a twentieth of their room.

use std::borrow::Cow;

use manifest::ObjectRef;
use serde::{Deserialize, Serialize, Serializer};

use super::{Change, ObjectChange, Shown};
use crate::compressed::{compress, decompress};

/// What differs on one cluster; equal where the same differs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackedChanges(Box<[u8]>);

#[derive(Serialize, Deserialize)]
struct Object {
    object: ObjectRef,
    action: Cow<'static, str>,
    because: Option<String>,
    fields: Vec<Field>,
}

#[derive(Serialize, Deserialize)]
struct Field {
    path: String,
    /// The text: a value may be null.
    before: Option<Box<str>>,
    after: Option<Box<str>>,
    drift: Option<String>,
}

impl PackedChanges {
    /// Keeps `changes`.
    pub(crate) fn pack(changes: Vec<ObjectChange>) -> Self {
        if changes.is_empty() {
            return Self::default();
        }
        let text = |shown: Option<Shown>| shown.map(|Shown(text)| text);
        let field = |Change { path, before, after, drift }| Field {
            path,
            before: text(before),
            after: text(after),
            drift,
        };
        let object = |ObjectChange { object, action, because, changes }| {
            let fields = changes.into_iter().map(field).collect();
            Object { object, action, because, fields }
        };
        let form: Vec<Object> = changes.into_iter().map(object).collect();
        // Texts: they can always be written.
        Self(compress(&serde_json::to_vec(&form).unwrap_or_default()).into())
    }

    /// All of them, in the order of the plan.
    pub fn unpack(&self) -> Vec<ObjectChange> {
        if self.is_empty() {
            return Vec::new();
        }
        // It was written by `pack`.
        let text = decompress(&self.0).unwrap_or_default();
        let form: Vec<Object> = serde_json::from_slice(&text).unwrap_or_default();
        let field = |Field { path, before, after, drift }| Change {
            path,
            before: before.map(Shown),
            after: after.map(Shown),
            drift,
        };
        let object = |Object { object, action, because, fields }| {
            let changes = fields.into_iter().map(field).collect();
            ObjectChange { object, action, because, changes }
        };
        form.into_iter().map(object).collect()
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for PackedChanges {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.unpack().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_comes_back_whole() {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "web"},
            "data": {"b": "\"\u{1f980}\\\n", "a": 1e300}});
        let field = Change {
            path: "data.\"x.y\"".into(),
            before: Some(Shown::from(&json!(null))),
            after: None,
            drift: Some("kubectl-edit".into()),
        };
        let whole =
            Change { path: String::new(), before: None, after: Some(Shown::from(&object)), drift: None };
        let of = |action: &'static str, because: Option<&str>, changes| ObjectChange {
            object: manifest::object::reference(&object),
            action: action.into(),
            because: because.map(str::to_owned),
            changes,
        };
        let changes = vec![
            of("create", None, vec![whole]),
            of("configure", None, vec![field.clone(), Change { before: None, ..field }]),
            of("delete", Some("an earlier run"), Vec::new()),
        ];
        let packed = PackedChanges::pack(changes.clone());
        assert_eq!(packed.unpack(), changes);
        assert_eq!(json!(packed), json!(changes));
        assert!(PackedChanges::pack(Vec::new()).is_empty());
        assert!(PackedChanges::default().unpack().is_empty());
    }
}
