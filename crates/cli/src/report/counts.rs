//! How many objects came to which end.

use serde::{Deserialize, Serialize};

/// Objects by result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs, reason = "the names are those of ObjectResult")]
pub struct Counts {
    pub created: usize,
    pub configured: usize,
    pub recreated: usize,
    pub unchanged: usize,
    pub deleted: usize,
    pub skipped: usize,
    pub failed: usize,
    pub not_ready: usize,
}

impl Counts {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            created: self.created + other.created,
            configured: self.configured + other.configured,
            recreated: self.recreated + other.recreated,
            unchanged: self.unchanged + other.unchanged,
            deleted: self.deleted + other.deleted,
            skipped: self.skipped + other.skipped,
            failed: self.failed + other.failed,
            not_ready: self.not_ready + other.not_ready,
        }
    }

    /// Objects that are, or would be, written.
    #[must_use]
    pub fn changes(self) -> usize {
        self.created + self.configured + self.recreated + self.deleted
    }

    /// Word and number of those that there are, in a fixed order.
    #[must_use]
    pub fn words(self) -> Vec<(&'static str, usize)> {
        let all = [
            ("created", self.created),
            ("configured", self.configured),
            ("recreated", self.recreated),
            ("deleted", self.deleted),
            ("unchanged", self.unchanged),
            ("skipped", self.skipped),
            ("not ready", self.not_ready),
            ("failed", self.failed),
        ];
        all.into_iter().filter(|(_, count)| *count > 0).collect()
    }

    /// `3 created, 1 failed`, or `no objects`.
    #[must_use]
    pub fn sentence(self) -> String {
        let words: Vec<String> = self.words().iter().map(|(word, count)| format!("{count} {word}")).collect();
        if words.is_empty() { "no objects".to_owned() } else { words.join(", ") }
    }
}
