//! Label and field selectors, as query parameters and as objects.

use serde_json::Value;

/// One requirement of a label selector.
#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Greater(String, i64),
    Less(String, i64),
}

/// A label selector; the empty one selects everything.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
    nothing: bool,
}

impl LabelSelector {
    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty() && !self.nothing
    }

    /// Reads `a=b,c!=d,e in (f,g),h,!i`.
    ///
    /// # Errors
    /// The API server's words for what it could not parse.
    pub(crate) fn parse(text: &str) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (part, after) = split_requirement(rest);
            requirements.push(parse_requirement(part.trim()).ok_or_else(|| {
                format!("unable to parse requirement: found {part:?}, expected: ',' or 'end of string'")
            })?);
            rest = after.trim_start();
        }
        Ok(LabelSelector { requirements, nothing: false })
    }

    /// Reads `matchLabels` and `matchExpressions`; an absent selector selects nothing.
    pub(crate) fn of(object: Option<&Value>) -> LabelSelector {
        let Some(object) = object else { return LabelSelector { requirements: Vec::new(), nothing: true } };
        let mut requirements = Vec::new();
        if let Some(labels) = object.get("matchLabels").and_then(Value::as_object) {
            for (k, v) in labels {
                requirements.push(Requirement::In(k.clone(), vec![v.as_str().unwrap_or_default().into()]));
            }
        }
        for e in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            let key = e["key"].as_str().unwrap_or_default().to_owned();
            let values =
                e["values"].as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned));
            requirements.push(match e["operator"].as_str().unwrap_or_default() {
                "In" => Requirement::In(key, values.collect()),
                "NotIn" => Requirement::NotIn(key, values.collect()),
                "Exists" => Requirement::Exists(key),
                _ => Requirement::Absent(key),
            });
        }
        LabelSelector { requirements, nothing: false }
    }

    /// Reads a plain map, as Services have; an absent or empty one selects nothing.
    pub(crate) fn of_map(object: Option<&Value>) -> LabelSelector {
        let labels = object.and_then(Value::as_object);
        let requirements: Vec<_> = labels
            .into_iter()
            .flatten()
            .map(|(k, v)| Requirement::In(k.clone(), vec![v.as_str().unwrap_or_default().into()]))
            .collect();
        LabelSelector { nothing: requirements.is_empty(), requirements }
    }

    /// Whether an object's `metadata.labels` fit.
    pub(crate) fn matches(&self, labels: Option<&Value>) -> bool {
        let get = |k: &str| labels.and_then(|l| l.get(k)).and_then(Value::as_str);
        !self.nothing
            && self.requirements.iter().all(|r| match r {
                Requirement::In(k, v) => get(k).is_some_and(|x| v.iter().any(|v| v == x)),
                Requirement::NotIn(k, v) => !get(k).is_some_and(|x| v.iter().any(|v| v == x)),
                Requirement::Exists(k) => get(k).is_some(),
                Requirement::Absent(k) => get(k).is_none(),
                Requirement::Greater(k, n) => {
                    get(k).and_then(|x| x.parse::<i64>().ok()).is_some_and(|x| x > *n)
                }
                Requirement::Less(k, n) => get(k).and_then(|x| x.parse::<i64>().ok()).is_some_and(|x| x < *n),
            })
    }

    /// As the scale subresource and `kubectl` print it.
    pub(crate) fn print(&self) -> String {
        let parts: Vec<String> = self
            .requirements
            .iter()
            .map(|r| match r {
                Requirement::In(k, v) if v.len() == 1 => format!("{k}={}", v[0]),
                Requirement::In(k, v) => format!("{k} in ({})", v.join(",")),
                Requirement::NotIn(k, v) if v.len() == 1 => format!("{k}!={}", v[0]),
                Requirement::NotIn(k, v) => format!("{k} notin ({})", v.join(",")),
                Requirement::Exists(k) => k.clone(),
                Requirement::Absent(k) => format!("!{k}"),
                Requirement::Greater(k, n) => format!("{k}>{n}"),
                Requirement::Less(k, n) => format!("{k}<{n}"),
            })
            .collect();
        parts.join(",")
    }
}

fn split_requirement(text: &str) -> (&str, &str) {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => return (&text[..i], &text[i + 1..]),
            _ => {}
        }
    }
    (text, "")
}

fn parse_requirement(part: &str) -> Option<Requirement> {
    let key = |k: &str| {
        let k = k.trim();
        (!k.is_empty() && k.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c)))
            .then(|| k.to_owned())
    };
    let values = |text: &str| -> Option<Vec<String>> {
        let inner = text.trim().strip_prefix('(')?.strip_suffix(')')?;
        Some(inner.split(',').map(|v| v.trim().to_owned()).collect())
    };
    if let Some((k, v)) = part.split_once(" notin ") {
        return Some(Requirement::NotIn(key(k)?, values(v)?));
    }
    if let Some((k, v)) = part.split_once(" in ") {
        return Some(Requirement::In(key(k)?, values(v)?));
    }
    if let Some((k, v)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key(k)?, vec![v.trim().to_owned()]));
    }
    if let Some((k, v)) = part.split_once('>') {
        return Some(Requirement::Greater(key(k)?, v.trim().parse().ok()?));
    }
    if let Some((k, v)) = part.split_once('<') {
        return Some(Requirement::Less(key(k)?, v.trim().parse().ok()?));
    }
    if let Some(k) = part.strip_prefix('!') {
        return Some(Requirement::Absent(key(k)?));
    }
    Some(Requirement::Exists(key(part)?))
}

/// A field selector.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSelector(Vec<(String, bool, String)>);

impl FieldSelector {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads `a.b=c,d!=e` and refuses fields that the kind does not offer.
    ///
    /// # Errors
    /// The API server's words.
    pub(crate) fn parse(text: &str, kind: &str, selectable: &[String]) -> Result<FieldSelector, String> {
        let mut out = Vec::new();
        for part in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (field, equal, value) = if let Some((f, v)) = part.split_once("!=") {
                (f, false, v)
            } else if let Some((f, v)) = part.split_once("==").or_else(|| part.split_once('=')) {
                (f, true, v)
            } else {
                return Err(format!("invalid field selector: {text:?}; can't understand {part:?}"));
            };
            if !(OFFERED.iter().any(|(k, f)| (*k == "*" || *k == kind) && *f == field)
                || selectable.iter().any(|s| s.trim_start_matches('.') == field))
            {
                let mut known: Vec<String> = OFFERED
                    .iter()
                    .filter(|(k, _)| *k == "*" || *k == kind)
                    .map(|(_, f)| format!("{f:?}"))
                    .collect();
                known.extend(selectable.iter().map(|s| format!("{:?}", s.trim_start_matches('.'))));
                return Err(format!("{field:?} is not a known field selector: only {}", known.join(", ")));
            }
            out.push((field.to_owned(), equal, value.to_owned()));
        }
        Ok(FieldSelector(out))
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.0.iter().all(|(field, equal, value)| {
            let mut at = object;
            for step in field.split('.') {
                at = &at[step];
            }
            let text = match at {
                Value::Null if field == "spec.unschedulable" => "false".into(),
                Value::Null => String::new(),
                Value::String(s) => s.clone(),
                other => other.to_string(),
            };
            (text == *value) == *equal
        })
    }

    /// The name that is asked for, if any.
    pub(crate) fn name(&self) -> Option<&str> {
        self.0.iter().find(|(f, equal, _)| f == "metadata.name" && *equal).map(|(_, _, v)| v.as_str())
    }
}

/// Which fields a kind can be selected by; `*` is every kind.
const OFFERED: &[(&str, &str)] = &[
    ("*", "metadata.name"),
    ("*", "metadata.namespace"),
    ("Pod", "spec.nodeName"),
    ("Pod", "spec.restartPolicy"),
    ("Pod", "spec.schedulerName"),
    ("Pod", "spec.serviceAccountName"),
    ("Pod", "spec.hostNetwork"),
    ("Pod", "status.phase"),
    ("Pod", "status.podIP"),
    ("Pod", "status.nominatedNodeName"),
    ("Event", "involvedObject.kind"),
    ("Event", "involvedObject.namespace"),
    ("Event", "involvedObject.name"),
    ("Event", "involvedObject.uid"),
    ("Event", "involvedObject.apiVersion"),
    ("Event", "involvedObject.resourceVersion"),
    ("Event", "involvedObject.fieldPath"),
    ("Event", "regarding.kind"),
    ("Event", "regarding.namespace"),
    ("Event", "regarding.name"),
    ("Event", "regarding.uid"),
    ("Event", "reason"),
    ("Event", "reportingComponent"),
    ("Event", "source"),
    ("Event", "type"),
    ("Namespace", "status.phase"),
    ("Secret", "type"),
    ("Node", "spec.unschedulable"),
    ("Service", "spec.clusterIP"),
    ("Service", "spec.type"),
    ("ReplicaSet", "status.replicas"),
    ("ReplicationController", "status.replicas"),
    ("Job", "status.successful"),
    ("CustomResourceDefinition", "metadata.name"),
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_label_selector_is_read_as_kubectl_writes_it() {
        let labels = json!({"app": "web", "tier": "front", "n": "3"});
        for (text, expected) in [
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app in (api, web),!gone", true),
            ("tier notin (front)", false),
            ("n>2", true),
            ("missing", false),
            ("", true),
        ] {
            assert_eq!(LabelSelector::parse(text).unwrap().matches(Some(&labels)), expected, "{text}");
        }
        assert!(LabelSelector::parse("a b").is_err());
    }
}
