//! A no of a server, as it says it.

use std::fmt;

use serde::Deserialize;

/// What a server says when it refuses (`metav1.Status`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// HTTP status.
    #[serde(default)]
    pub code: u16,
    /// `Forbidden`, `Invalid`, `Conflict`, ...
    #[serde(default)]
    pub reason: String,
    /// The server's words.
    #[serde(default)]
    pub message: String,
    /// Fields, managers, retry time.
    #[serde(default)]
    pub details: Option<RefusalDetails>,
}

/// The structured part of a [`Refusal`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusalDetails {
    /// One per field.
    #[serde(default)]
    pub causes: Vec<Cause>,
    /// Pause that the server asks for, in seconds.
    #[serde(default)]
    pub retry_after_seconds: u64,
}

/// One field that a server objects to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldManagerConflict`, ...
    #[serde(default)]
    pub reason: String,
    /// The server's words.
    #[serde(default)]
    pub message: String,
    /// The field's path.
    #[serde(default)]
    pub field: String,
}

impl Refusal {
    /// Reads the body of an answer with this status.
    pub(crate) fn read(code: u16, body: &[u8]) -> Self {
        let mut refusal: Self = serde_json::from_slice(body).unwrap_or_default();
        if refusal.message.is_empty() {
            refusal.message = plain_text(code, body);
        }
        refusal.code = code;
        refusal
    }

    /// The causes, or none.
    pub fn causes(&self) -> &[Cause] {
        self.details.as_ref().map_or(&[], |details| &details.causes)
    }

    /// Whether server-side apply could not read the object: the server says 500, but it will never say anything else.
    pub fn is_typed_patch_error(&self) -> bool {
        self.code >= 400
            && [
                "failed to create typed patch object",
                "failed to create typed new object",
                "field not declared in schema",
            ]
            .iter()
            .any(|words| self.message.contains(words))
    }

    /// Whether this is a server-side apply that met fields of other managers.
    pub fn is_field_conflict(&self) -> bool {
        self.code == 409 && self.causes().iter().any(|cause| cause.reason == "FieldManagerConflict")
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.message.is_empty() {
            true => write!(f, "HTTP status {}", self.code),
            false => f.write_str(&self.message),
        }
    }
}

/// The body of a refusal that is not a `Status`: a proxy's page, a line of text.
fn plain_text(code: u16, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('<'));
    match line {
        Some(line) => format!("HTTP status {code}: {}", line.chars().take(200).collect::<String>()),
        None => format!("HTTP status {code}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxys_page_does_not_become_the_message() {
        assert_eq!(plain_text(502, b"<html>\n<body>Bad</body>"), "HTTP status 502");
        assert_eq!(plain_text(502, b"upstream gone\n"), "HTTP status 502: upstream gone");
    }
}
