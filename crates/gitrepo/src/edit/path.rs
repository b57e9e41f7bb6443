//! Where in a YAML document a value is: `spec.containers[name=web].image`.

use std::{fmt, str::FromStr};

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The value of a mapping's key.
    Key(String),
    /// The item of a list, counted from 0.
    Index(usize),
    /// The item of a list that is a mapping in which `key` is `value`.
    Item {
        /// The key that identifies the item, for example `name`.
        key: String,
        /// What that key must hold.
        value: String,
    },
}

/// The path of a value below the root of a document; empty for the root itself.
///
/// Written as keys joined by dots, `[0]` for a list item by position (from 0) and `[name=web]` for the list
/// item whose `name` is `web`. A key that holds a dot or a bracket is quoted: `metadata.annotations."a.b/c"`.
///
/// ```
/// use gitrepo::edit::{PropertyPath, Step};
/// let path: PropertyPath = "containers[name=web].image".parse()?;
/// assert_eq!(path.steps()[0], Step::Key("containers".into()));
/// assert_eq!(path.to_string(), "containers[name=web].image");
/// # Ok::<(), gitrepo::edit::PathError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PropertyPath(Vec<Step>);

/// Why a text is not a property path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a property path, {why} at character {at}: {text}")]
pub struct PathError {
    /// The text as given.
    pub text: String,
    /// What is wrong.
    pub why: &'static str,
    /// Where, in characters from 1.
    pub at: usize,
}

impl PropertyPath {
    /// The path of these steps.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> PropertyPath {
        PropertyPath(steps.into_iter().collect())
    }

    /// The path of one key of the root mapping, taken to the letter (kit's `images.property`).
    pub fn key(key: impl Into<String>) -> PropertyPath {
        PropertyPath(vec![Step::Key(key.into())])
    }

    /// The steps from the root.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The key that holds the value: the last step that is a key.
    pub fn last_key(&self) -> Option<&str> {
        self.0.iter().rev().find_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Index(_) | Step::Item { .. } => None,
        })
    }

    /// This path without its last step, and that step.
    pub fn split_last(&self) -> Option<(PropertyPath, &Step)> {
        self.0.split_last().map(|(last, rest)| (PropertyPath(rest.to_vec()), last))
    }

    /// This path and one step more.
    pub fn join(&self, step: Step) -> PropertyPath {
        let mut steps = self.0.clone();
        steps.push(step);
        PropertyPath(steps)
    }
}

impl fmt::Display for PropertyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        for (n, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    if n > 0 {
                        f.write_str(".")?;
                    }
                    if key.is_empty() || key.contains(['.', '[', ']', '"', '\\']) {
                        write!(f, "\"{}\"", key.replace('\\', "\\\\").replace('"', "\\\""))?;
                    } else {
                        f.write_str(key)?;
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Item { key, value } if value.contains([']', '"']) => {
                    write!(f, "[{key}=\"{}\"]", value.replace('\\', "\\\\").replace('"', "\\\""))?;
                }
                Step::Item { key, value } => write!(f, "[{key}={value}]")?,
            }
        }
        Ok(())
    }
}

impl FromStr for PropertyPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<PropertyPath, PathError> {
        let mut reader = Reader { text, chars: text.chars().collect(), at: 0 };
        let mut steps = Vec::new();
        // A leading dot is accepted: jq and yq users type it.
        if reader.peek() == Some('.') {
            reader.at += 1;
        }
        loop {
            match reader.peek() {
                Some('[') => steps.push(reader.bracket()?),
                _ => steps.push(Step::Key(reader.key()?)),
            }
            while reader.peek() == Some('[') {
                steps.push(reader.bracket()?);
            }
            match reader.peek() {
                None => return Ok(PropertyPath(steps)),
                Some('.') => reader.at += 1,
                Some(_) => return Err(reader.error("expected `.` or `[`")),
            }
        }
    }
}

struct Reader<'t> {
    text: &'t str,
    chars: Vec<char>,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn error(&self, why: &'static str) -> PathError {
        PathError { text: self.text.to_owned(), why, at: self.at + 1 }
    }

    fn quoted(&mut self) -> Result<String, PathError> {
        let start = self.at;
        self.at += 1;
        let mut out = String::new();
        loop {
            match self.peek() {
                Some('"') => {
                    self.at += 1;
                    return Ok(out);
                }
                Some('\\') => {
                    self.at += 1;
                    out.push(self.peek().ok_or_else(|| self.error("a quote that is not closed"))?);
                }
                Some(other) => out.push(other),
                None => {
                    self.at = start;
                    return Err(self.error("a quote that is not closed"));
                }
            }
            self.at += 1;
        }
    }

    fn until(&mut self, stop: &[char]) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| !stop.contains(&c)) {
            self.at += 1;
        }
        self.chars[start..self.at].iter().collect()
    }

    fn key(&mut self) -> Result<String, PathError> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let key = self.until(&['.', '[', ']', '"']);
        if key.is_empty() { Err(self.error("a key is missing")) } else { Ok(key) }
    }

    fn bracket(&mut self) -> Result<Step, PathError> {
        self.at += 1;
        let start = self.at;
        let step = if self.peek() == Some('"') {
            Step::Key(self.quoted()?)
        } else {
            let head = self.until(&['=', ']', '[', '"']);
            if self.peek() == Some('=') && !head.is_empty() {
                self.at += 1;
                let value = if self.peek() == Some('"') { self.quoted()? } else { self.until(&[']']) };
                Step::Item { key: head, value }
            } else if let Ok(index) = head.parse() {
                Step::Index(index)
            } else {
                self.at = start;
                return Err(self.error("expected a position or `key=value` in the brackets"));
            }
        };
        if self.peek() != Some(']') {
            return Err(self.error("a bracket that is not closed"));
        }
        self.at += 1;
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_back_as_it_was_written() {
        for text in [
            "image",
            "image.tag",
            "a.b[0].c",
            "images[name=quay.io/org/app].newTag",
            "spec.template.spec.containers[name=web].image",
            "metadata.annotations.\"kit.io/image\"",
            "[0].image",
            "a[0][1]",
            "\"\".x",
            "a[name=\"x]y\"].b",
        ] {
            assert_eq!(text.parse::<PropertyPath>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_leading_dot_and_a_key_in_brackets_are_accepted() {
        assert_eq!(".a.b".parse::<PropertyPath>().unwrap().to_string(), "a.b");
        assert_eq!("a[\"x.y\"]".parse::<PropertyPath>().unwrap().to_string(), "a.\"x.y\"");
    }

    #[test]
    fn a_malformed_path_says_what_and_where() {
        let errors: Vec<String> = ["", "a..b", "a[", "a[x]", "a[0", "a]b", "\"a", "a[=x]", "a."]
            .iter()
            .map(|text| text.parse::<PropertyPath>().unwrap_err().to_string())
            .collect();
        assert_eq!(
            errors,
            [
                "not a property path, a key is missing at character 1: ",
                "not a property path, a key is missing at character 3: a..b",
                "not a property path, expected a position or `key=value` in the brackets at character 3: a[",
                "not a property path, expected a position or `key=value` in the brackets at character 3: a[x]",
                "not a property path, a bracket that is not closed at character 4: a[0",
                "not a property path, expected `.` or `[` at character 2: a]b",
                "not a property path, a quote that is not closed at character 1: \"a",
                "not a property path, expected a position or `key=value` in the brackets at character 3: a[=x]",
                "not a property path, a key is missing at character 3: a.",
            ]
        );
    }
}
