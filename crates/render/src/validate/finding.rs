//! What is wrong with one object, and where.

use std::fmt;

use manifest::yaml::Span;

/// One thing that a server would refuse.
///
/// Displays as `path: message`. Neither ever contains a value of the manifest, which may be a secret; that is what
/// `found` is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where in the object: `spec.template.spec.containers[0].image`; empty for the object itself.
    pub path: String,
    /// Line in the text that was read, from 1: of the value, or of the mapping in which a field is missing.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// The offending value, where it helps and is a scalar. Show it only if it cannot be a secret.
    pub found: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

/// One step from an object to a value in it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step<'n> {
    Field(&'n str),
    Index(usize),
}

/// Findings, and the place that is being looked at.
#[derive(Debug, Default)]
pub(super) struct Findings<'n> {
    pub(super) list: Vec<Finding>,
    pub(super) path: Vec<Step<'n>>,
}

impl<'n> Findings<'n> {
    /// Does `work` one step further down.
    pub(super) fn at<T>(&mut self, step: Step<'n>, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let done = work(self);
        self.path.pop();
        done
    }

    /// Adds a finding about the current place.
    pub(super) fn add(&mut self, span: &Span, message: impl Into<String>) -> &mut Finding {
        let at = self.list.len();
        self.list.push(Finding {
            path: render(&self.path),
            line: span.line,
            column: span.column,
            message: message.into(),
            found: None,
            hint: None,
        });
        &mut self.list[at]
    }
}

impl Finding {
    pub(super) fn hint(&mut self, hint: impl Into<String>) -> &mut Self {
        self.hint = Some(hint.into());
        self
    }

    pub(super) fn found(&mut self, value: impl Into<String>) -> &mut Self {
        self.found = Some(value.into());
        self
    }
}

fn render(path: &[Step<'_>]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Index(index) => text += &format!("[{index}]"),
            Step::Field(name) => {
                let plain = !name.is_empty() && !name.contains(['.', '/', '[', ']', ' ', '"']);
                match (plain, text.is_empty()) {
                    (true, true) => text += name,
                    (true, false) => text += &format!(".{name}"),
                    (false, _) => text += &format!("[{name:?}]"),
                }
            }
        }
    }
    text
}
