//! Reading fields of an object as the server wrote it, where absent, null and zero mean the same.

use jiff::Timestamp;
use serde_json::Value;

/// An object of any kind.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a>(pub(crate) &'a Value);

/// One entry of `status.conditions`.
#[derive(Clone, Copy)]
pub(crate) struct Condition<'a>(Object<'a>);

impl<'a> Object<'a> {
    pub(crate) fn text(self, pointer: &str) -> Option<&'a str> {
        self.0.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    pub(crate) fn int(self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer).and_then(Value::as_i64)
    }

    /// The number at `pointer`; the API omits counters that are zero.
    pub(crate) fn count(self, pointer: &str) -> i64 {
        self.int(pointer).unwrap_or(0)
    }

    pub(crate) fn flag(self, pointer: &str) -> bool {
        self.0.pointer(pointer).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(crate) fn list(self, pointer: &str) -> &'a [Value] {
        self.0.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn strings(self, pointer: &str) -> Vec<&'a str> {
        self.list(pointer).iter().filter_map(Value::as_str).collect()
    }

    pub(crate) fn has(self, pointer: &str) -> bool {
        self.0.pointer(pointer).is_some_and(|value| !value.is_null())
    }

    /// The API group, empty for the core group.
    pub(crate) fn group(self) -> &'a str {
        self.text("/apiVersion").unwrap_or_default().rsplit_once('/').map_or("", |(group, _)| group)
    }

    pub(crate) fn conditions(self) -> impl Iterator<Item = Condition<'a>> {
        self.list("/status/conditions").iter().map(|condition| Condition(Object(condition)))
    }

    pub(crate) fn condition(self, kind: &str) -> Option<Condition<'a>> {
        self.conditions().find(|condition| condition.kind() == kind)
    }
}

impl<'a> Condition<'a> {
    pub(crate) fn kind(self) -> &'a str {
        self.0.text("/type").unwrap_or_default()
    }

    pub(crate) fn is_true(self) -> bool {
        self.0.text("/status") == Some("True")
    }

    pub(crate) fn is_false(self) -> bool {
        self.0.text("/status") == Some("False")
    }

    pub(crate) fn reason(self) -> &'a str {
        self.0.text("/reason").unwrap_or_default()
    }

    /// `lastTransitionTime`.
    pub(crate) fn changed(self) -> Option<Timestamp> {
        self.0.text("/lastTransitionTime")?.parse().ok()
    }

    /// The condition is about the object's present spec, as far as it says.
    pub(crate) fn is_about(self, generation: Option<i64>) -> bool {
        match (self.0.int("/observedGeneration"), generation) {
            (Some(observed), Some(generation)) => observed >= generation,
            (None, _) | (_, None) => true,
        }
    }

    /// `Reason: message`, or whichever of the two there is, or `type is status`.
    pub(crate) fn says(self) -> String {
        let message = self.0.text("/message").unwrap_or_default().trim();
        match (self.reason(), message) {
            ("", "") => format!("{} is {}", self.kind(), self.0.text("/status").unwrap_or("not set")),
            (reason, "") => reason.to_owned(),
            ("", message) => message.to_owned(),
            (reason, message) => format!("{reason}: {message}"),
        }
    }

    /// The message, or the reason where there is none.
    pub(crate) fn explains(self) -> String {
        self.0.text("/message").map_or_else(|| self.says(), |message| message.trim().to_owned())
    }
}
