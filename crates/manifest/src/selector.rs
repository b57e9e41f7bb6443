//! Label selectors, in Kubernetes' own grammar: `app=api,tier in (web, edge),!canary`.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value};

use crate::names::is_name_part;

/// A parsed label selector. The empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Requirement {
    In(String, Vec<String>),
    /// True also where the label is absent, as in Kubernetes.
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

/// Why a text is not a label selector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a label selector, {problem}: `{text}`")]
pub struct SelectorError {
    text: String,
    problem: String,
}

impl Selector {
    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        let value = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => value(key).is_some_and(|found| values.iter().any(|v| v == found)),
            Requirement::NotIn(key, values) => {
                value(key).is_none_or(|found| values.iter().all(|v| v != found))
            }
            Requirement::Exists(key) => value(key).is_some(),
            Requirement::Absent(key) => value(key).is_none(),
        })
    }

    /// Whether it selects everything.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Every label of `pairs` with exactly its value: how a Service selects pods.
    pub fn of_pairs(pairs: &Map<String, Value>) -> Self {
        let pair = |(key, value): (&String, &Value)| {
            Requirement::In(key.clone(), vec![value.as_str().unwrap_or_default().to_owned()])
        };
        Self { requirements: pairs.iter().map(pair).collect() }
    }
}

impl fmt::Display for Selector {
    /// The form that the API takes as `labelSelector`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match requirement {
                Requirement::In(key, values) => match values.as_slice() {
                    [only] => write!(f, "{key}={only}")?,
                    _ => write!(f, "{key} in ({})", values.join(","))?,
                },
                Requirement::NotIn(key, values) => match values.as_slice() {
                    [only] => write!(f, "{key}!={only}")?,
                    _ => write!(f, "{key} notin ({})", values.join(","))?,
                },
                Requirement::Exists(key) => f.write_str(key)?,
                Requirement::Absent(key) => write!(f, "!{key}")?,
            }
        }
        Ok(())
    }
}

impl FromStr for Selector {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        let failed = |problem: String| SelectorError { text: text.to_owned(), problem };
        let mut requirements = Vec::new();
        let parts = split(text).map_err(|problem| failed(problem.to_owned()))?;
        let single_empty = parts.len() == 1 && parts[0].trim().is_empty();
        for part in parts.into_iter().filter(|_| !single_empty) {
            requirements.push(requirement(part.trim()).map_err(&failed)?);
        }
        Ok(Self { requirements })
    }
}

/// Splits at the commas that are not inside parentheses.
fn split(text: &str) -> Result<Vec<&str>, &'static str> {
    let (mut parts, mut start, mut inside) = (Vec::new(), 0, false);
    for (at, c) in text.char_indices() {
        match c {
            '(' if inside => return Err("parentheses do not nest"),
            '(' => inside = true,
            ')' if !inside => return Err("`)` without `(`"),
            ')' => inside = false,
            ',' if !inside => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    if inside {
        return Err("`(` without `)`");
    }
    parts.push(&text[start..]);
    Ok(parts)
}

fn requirement(part: &str) -> Result<Requirement, String> {
    if part.is_empty() {
        return Err("nothing between two commas".into());
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..]
            .strip_suffix(')')
            .ok_or("text after `)`")?
            .split(',')
            .map(|value| label_value(value.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        let mut words = part[..open].split_whitespace();
        return match (words.next(), words.next(), words.next()) {
            (Some(key), Some("in"), None) => Ok(Requirement::In(label_key(key)?, values)),
            (Some(key), Some("notin"), None) => Ok(Requirement::NotIn(label_key(key)?, values)),
            _ => Err("expected `key in (a, b)` or `key notin (a, b)`".into()),
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Ok(Requirement::NotIn(label_key(key.trim())?, vec![label_value(value.trim())?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Ok(Requirement::In(label_key(key.trim())?, vec![label_value(value.trim())?]));
    }
    match part.strip_prefix('!') {
        Some(key) => Ok(Requirement::Absent(label_key(key.trim())?)),
        None => Ok(Requirement::Exists(label_key(part)?)),
    }
}

fn label_key(key: &str) -> Result<String, String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let prefix_fits = prefix.is_none_or(|prefix| {
        !prefix.is_empty()
            && prefix.len() <= 253
            && prefix.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
    });
    if prefix_fits && is_name_part(name) {
        Ok(key.to_owned())
    } else {
        Err(format!("`{key}` is not a label key"))
    }
}

fn label_value(value: &str) -> Result<String, String> {
    if value.is_empty() || is_name_part(value) {
        Ok(value.to_owned())
    } else {
        Err(format!("`{value}` is not a label value"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(selector: &str, labels: &Value) -> bool {
        selector.parse::<Selector>().unwrap().matches(labels.as_object())
    }

    #[test]
    fn every_operator_of_kubernetes_is_understood_with_and_without_spaces() {
        let labels = serde_json::json!({"app": "api", "tier": "web", "app.kubernetes.io/name": "x-1.2_y"});
        for yes in [
            "",
            "app=api",
            "app = api",
            "app==api,tier!=db",
            "tier in (web,edge)",
            "tier in ( edge , web ),app",
            "tier notin (db)",
            "missing notin (a)",
            "missing!=a",
            "!missing",
            "app.kubernetes.io/name=x-1.2_y",
        ] {
            assert!(selects(yes, &labels), "{yes}");
        }
        for no in ["app=ap", "tier in (we)", "!app", "missing", "app!=api", "missing=", "tier notin (web)"] {
            assert!(!selects(no, &labels), "{no}");
        }
    }

    #[test]
    fn what_is_not_a_selector_says_what_is_wrong() {
        let message = |text: &str| text.parse::<Selector>().unwrap_err().to_string();
        assert_eq!(message("---"), "not a label selector, `---` is not a label key: `---`");
        assert_eq!(message("a in (b"), "not a label selector, `(` without `)`: `a in (b`");
        assert_eq!(
            message("a of (b)"),
            "not a label selector, expected `key in (a, b)` or `key notin (a, b)`: `a of (b)`"
        );
        assert_eq!(message("a=b,,c"), "not a label selector, nothing between two commas: `a=b,,c`");
    }

    #[test]
    fn a_selector_is_written_as_the_api_takes_it() {
        let text = |text: &str| text.parse::<Selector>().unwrap().to_string();
        assert_eq!(text("a == b , c notin ( d , e ), !f, g"), "a=b,c notin (d,e),!f,g");
    }
}
