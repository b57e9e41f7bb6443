//! A value against a schema.

use manifest::yaml::{Entry, Map, Node, Scalar, Span};

use super::bundle::Bundle;
use super::finding::{Finding, Findings, Step};
use super::grammar;
use super::schema::{Keys, Limit, Object, Others, Rules, Schema, Shape};

/// How many names a hint lists.
const MOST_NAMES: usize = 12;

/// A walk through one object.
pub(super) struct Check<'c, 'n> {
    pub(super) bundle: &'c Bundle,
    pub(super) findings: Findings<'n>,
    /// Below `status`, which a server throws away when it creates an object: only what it cannot read is wrong there.
    discarded: bool,
    /// Inside a value of several kinds, where a server reads by hand and does not notice unknown fields.
    forgiving: bool,
}

impl<'c, 'n> Check<'c, 'n> {
    pub(super) fn new(bundle: &'c Bundle) -> Self {
        Self { bundle, findings: Findings::default(), discarded: false, forgiving: false }
    }

    /// Checks the fields of a whole object of one of Kubernetes' own kinds.
    pub(super) fn built_in(&mut self, definition: usize, map: &'n Map, span: &Span) {
        let object = self.bundle.definition(definition);
        let status = map.entry("status").filter(|_| object.field("status").is_some());
        self.object(object, map, span, true, status.map(|entry| entry.key.as_str()));
    }

    /// Checks `metadata` alone.
    pub(super) fn metadata(&mut self, definition: usize, node: &'n Node) {
        self.at(Step::Field("metadata"), |check| match node.as_map() {
            Some(map) => check.object(check.bundle.definition(definition), map, &node.span, true, None),
            None => check.expected(&Shape::Type(definition), node),
        });
    }

    /// Checks a whole custom object.
    pub(super) fn custom(&mut self, schema: &'c Schema, node: &'n Node, has_status: bool) {
        match (&schema.shape, node.as_map()) {
            (Shape::Object(object), Some(map)) => {
                self.object(object, map, &node.span, false, has_status.then_some("status"));
            }
            _ => return self.value(schema, node),
        }
        if let Some(rules) = &schema.rules {
            self.rules(rules, node);
        }
    }

    /// Checks any value.
    pub(super) fn value(&mut self, schema: &'c Schema, node: &'n Node) {
        if node.is_null() {
            if !schema.nullable && !matches!(schema.shape, Shape::Any) {
                self.expected(&schema.shape, node);
            }
            return;
        }
        match &schema.shape {
            Shape::Any => {}
            Shape::Either(choices) => match choices.iter().find(|choice| self.takes(&choice.shape, node)) {
                Some(choice) => self.value(choice, node),
                None => self.expected(&schema.shape, node),
            },
            Shape::Type(definition) => {
                let object = self.bundle.definition(*definition);
                match node.as_map() {
                    Some(map) => self.object(object, map, &node.span, true, None),
                    None => self.expected(&schema.shape, node),
                }
            }
            Shape::Object(object) => match node.as_map() {
                Some(map) => self.object(object, map, &node.span, false, None),
                None => self.expected(&schema.shape, node),
            },
            Shape::Map(values) => match node.as_map() {
                Some(map) => {
                    for entry in map {
                        self.at(Step::Field(&entry.key), |check| check.value(values, &entry.value));
                    }
                }
                None => self.expected(&schema.shape, node),
            },
            Shape::List(items, keys) => match node.as_list() {
                Some(list) => {
                    for (index, item) in list.iter().enumerate() {
                        self.at(Step::Index(index), |check| check.value(items, item));
                    }
                    self.unique(keys, list);
                }
                None => self.expected(&schema.shape, node),
            },
            shape @ (Shape::Text
            | Shape::Base64
            | Shape::Time
            | Shape::Integer(..)
            | Shape::Number
            | Shape::Boolean
            | Shape::IntOrString
            | Shape::Quantity) => self.scalar(shape, node),
        }
        if let Some(rules) = schema.rules.as_deref().filter(|_| !self.discarded) {
            self.rules(rules, node);
        }
    }

    fn at(&mut self, step: Step<'n>, work: impl FnOnce(&mut Self)) {
        self.findings.path.push(step);
        work(self);
        self.findings.path.pop();
    }

    fn object(
        &mut self,
        object: &'c Object,
        map: &'n Map,
        span: &Span,
        built_in: bool,
        status: Option<&str>,
    ) {
        for entry in map {
            let discarded = self.discarded;
            self.discarded |= status == Some(entry.key.as_str());
            match object.field(&entry.key) {
                Some(field) => {
                    let defaulted = field.has_default && entry.value.is_null();
                    if !defaulted {
                        self.at(Step::Field(&entry.key), |check| check.value(&field.schema, &entry.value));
                    }
                }
                None => self.other(object, entry),
            }
            self.discarded = discarded;
        }
        if self.discarded {
            return;
        }
        for field in object.fields.iter().filter(|field| field.required && !field.has_default) {
            let given = map.get(&field.name).is_some_and(|node| !(built_in && node.is_null()));
            if !given {
                self.missing(&field.name, span);
            }
        }
        for name in object.also_required.iter().filter(|name| map.get(name).is_none()) {
            self.missing(name, span);
        }
    }

    fn missing(&mut self, name: &'c str, span: &Span) {
        let finding = self.findings.add(span, "required field is missing");
        finding.path = join(&finding.path, name);
    }

    fn other(&mut self, object: &'c Object, entry: &'n Entry) {
        match &object.others {
            Others::Kept => {}
            Others::Like(schema) => {
                self.at(Step::Field(&entry.key), |check| check.value(schema, &entry.value))
            }
            Others::Refused if self.forgiving => {}
            Others::Refused => {
                if object.embedded && matches!(entry.key.as_str(), "apiVersion" | "kind" | "metadata") {
                    return;
                }
                let hint = unknown_field_hint(object, &entry.key);
                self.findings.path.push(Step::Field(&entry.key));
                self.findings.add(&entry.key_span, "unknown field").hint = hint;
                self.findings.path.pop();
            }
        }
    }

    fn takes(&self, shape: &Shape, node: &Node) -> bool {
        match shape {
            Shape::Any => true,
            Shape::Type(_) | Shape::Object(_) | Shape::Map(_) => node.as_map().is_some(),
            Shape::List(..) => node.as_list().is_some(),
            Shape::Text | Shape::Base64 | Shape::Time => node.as_str().is_some(),
            Shape::Integer(..) | Shape::Number => number(node).is_some(),
            Shape::Boolean => matches!(node.as_scalar(), Some(Scalar::Bool(_))),
            Shape::IntOrString | Shape::Quantity => node.as_str().is_some() || number(node).is_some(),
            Shape::Either(choices) => choices.iter().any(|choice| self.takes(&choice.shape, node)),
        }
    }

    fn scalar(&mut self, shape: &'c Shape, node: &'n Node) {
        let whole = || number(node).is_some_and(|number| number.fract() == 0.0);
        if !self.takes(shape, node) {
            return self.expected(shape, node);
        }
        match (shape, node.as_str()) {
            (Shape::Base64, Some(text)) if !grammar::is_base64(text) => {
                self.findings
                    .add(&node.span, "not valid base64")
                    .hint("for plain text, use `stringData` if this is a Secret");
            }
            (Shape::Time, Some(text)) if !grammar::is_time(text) => {
                self.findings.add(&node.span, "expected a time as in `2026-01-02T15:04:05Z`").found(text);
            }
            (Shape::Quantity, Some(text)) if !grammar::is_quantity(text.trim()) => {
                self.findings
                    .add(&node.span, "expected a quantity")
                    .found(text)
                    .hint("write a number with a unit, as in `500m`, `2`, `128Mi` or `1.5Gi`");
            }
            (Shape::IntOrString, None) if !whole() => self.expected(shape, node),
            (Shape::Integer(least, most), _) => {
                if !whole() {
                    self.expected(shape, node);
                } else if let Some(Scalar::Int(number)) = node.as_scalar()
                    && !(least..=most).contains(&number)
                {
                    self.findings
                        .add(&node.span, format!("out of range: {least} to {most}"))
                        .found(number.to_string());
                }
            }
            _ => {}
        }
    }

    /// A value of the wrong kind.
    fn expected(&mut self, shape: &Shape, node: &Node) {
        let found = match number(node) {
            Some(number) if number.fract() != 0.0 => "a number with a fraction",
            _ => node.kind(),
        };
        let finding = self.findings.add(&node.span, format!("expected {}, found {found}", noun(shape)));
        match (shape, node.as_scalar()) {
            (Shape::Text, Some(Scalar::Bool(_))) => {
                finding.hint("quote it: unquoted true, yes, on, false, no and off are booleans here");
            }
            (Shape::Text, Some(Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_))) => {
                finding.hint("quote it, so that it is text and not a number");
            }
            (Shape::Integer(..) | Shape::Number, Some(Scalar::Text(text))) if text.parse::<f64>().is_ok() => {
                finding.hint("write it without quotes");
            }
            (Shape::Boolean, Some(Scalar::Text(text))) if matches!(text.as_str(), "true" | "false") => {
                finding.hint("write it without quotes");
            }
            (Shape::List(..), None) if node.as_map().is_some() => {
                finding.hint("start each element with `- `");
            }
            _ => {}
        }
    }

    /// Elements of a list that the server cannot tell apart.
    fn unique(&mut self, keys: &'c Keys, list: &'n [Node]) {
        if self.discarded {
            return;
        }
        match keys {
            Keys::None => {}
            Keys::Element => {
                for (index, item) in list.iter().enumerate() {
                    if let Some(first) = list[..index].iter().find(|other| other.value == item.value) {
                        let message = format!("the same element as in line {}", first.span.line);
                        self.findings.path.push(Step::Index(index));
                        self.findings.add(&item.span, message);
                        self.findings.path.pop();
                    }
                }
            }
            Keys::Fields(keys) => {
                for (index, item) in list.iter().enumerate() {
                    if item.is_null() {
                        self.findings.at(Step::Index(index), |findings| {
                            findings.add(&item.span, "an element of this list cannot be empty");
                        });
                    }
                    let Some(map) = item.as_map() else { continue };
                    let same = |other: &&Node| {
                        keys.iter().all(|(key, default)| {
                            let mine = key_value(map, key, default.as_deref());
                            mine.is_some()
                                && other.as_map().and_then(|map| key_value(map, key, default.as_deref()))
                                    == mine
                        })
                    };
                    if let Some(first) = list[..index].iter().find(same) {
                        let names: Vec<String> = keys.iter().map(|(key, _)| format!("`{key}`")).collect();
                        let message = format!(
                            "the same {} as the element in line {}",
                            names.join(" and "),
                            first.span.line
                        );
                        let place = map.entry(&keys[0].0).map_or(&item.span, |entry| &entry.value.span);
                        self.findings.path.push(Step::Index(index));
                        self.findings.add(place, message);
                        self.findings.path.pop();
                    }
                }
            }
        }
    }

    fn rules(&mut self, rules: &'c Rules, node: &'n Node) {
        if !rules.values.is_empty() && !is_one_of(&rules.values, node) {
            let names: Vec<String> = rules.values.iter().filter(|value| *value != "").map(plain).collect();
            let written = node.as_scalar().map(|scalar| scalar.to_text().into_owned());
            let near =
                written.as_deref().and_then(|text| grammar::nearest(text, names.iter().map(String::as_str)));
            let hint = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("expected one of {}", names.join(", "));
            let finding = self.findings.add(&node.span, message);
            finding.found = written;
            finding.hint = hint;
        }
        if let Some(number) = number(node) {
            self.number(rules, number, node);
        }
        if let Some(text) = node.as_str() {
            self.length(rules.length, text.chars().count(), "characters", &node.span);
            if let Some(pattern) = rules.pattern.as_ref().filter(|pattern| !pattern.matches(text)) {
                self.findings
                    .add(&node.span, format!("does not match the pattern `{}`", pattern.text))
                    .found(text);
            }
            if let Some(format) = rules.format.as_deref().filter(|format| !follows(format, text)) {
                self.findings.add(&node.span, format!("not of the format `{format}`")).found(text);
            }
        }
        if let Some(list) = node.as_list() {
            self.length(rules.items, list.len(), "elements", &node.span);
        }
        if let Some(map) = node.as_map() {
            self.length(rules.properties, map.len(), "fields", &node.span);
        }
        for schema in &rules.all_of {
            self.value(schema, node);
        }
        let choose = |check: &Self, schemas: &'c [Schema]| -> Vec<Vec<Finding>> {
            schemas.iter().map(|schema| check.aside(|inner| inner.value(schema, node))).collect()
        };
        self.choices(&choose(self, &rules.any_of), false, &node.span);
        self.choices(&choose(self, &rules.one_of), true, &node.span);
        if let Some(schema) = &rules.not
            && self.aside(|inner| inner.value(schema, node)).is_empty()
        {
            self.findings.add(&node.span, "is what the schema's `not` rules out");
        }
    }

    /// What `work` would find here.
    fn aside(&self, work: impl FnOnce(&mut Check<'c, 'n>)) -> Vec<Finding> {
        let mut inner = Check::new(self.bundle);
        inner.findings.path.clone_from(&self.findings.path);
        work(&mut inner);
        inner.findings.list
    }

    /// `anyOf` and, if `exactly`, `oneOf`.
    fn choices(&mut self, outcomes: &[Vec<Finding>], exactly: bool, span: &Span) {
        if outcomes.is_empty() {
            return;
        }
        match outcomes.iter().filter(|findings| findings.is_empty()).count() {
            1 => {}
            0 => {
                let reasons: Vec<String> = outcomes.iter().map(|findings| findings[0].to_string()).collect();
                let message = format!("fits none of {} alternatives", outcomes.len());
                self.findings
                    .add(span, message)
                    .hint(format!("one of these must be solved: {}", reasons.join("; ")));
            }
            fitting if exactly => {
                let message =
                    format!("fits {fitting} of {} alternatives that exclude each other", outcomes.len());
                self.findings.add(span, message);
            }
            _ => {}
        }
    }

    fn number(&mut self, rules: &Rules, number: f64, node: &Node) {
        let mut wrong = |message: String| {
            self.findings.add(&node.span, message).found(number.to_string());
        };
        let below =
            |limit: &Limit| if limit.exclusive { number <= limit.value } else { number < limit.value };
        let above =
            |limit: &Limit| if limit.exclusive { number >= limit.value } else { number > limit.value };
        if let Some(limit) = rules.minimum.as_ref().filter(|limit| below(limit)) {
            wrong(format!(
                "must be {} {}",
                if limit.exclusive { "greater than" } else { "at least" },
                limit.value
            ));
        }
        if let Some(limit) = rules.maximum.as_ref().filter(|limit| above(limit)) {
            wrong(format!(
                "must be {} {}",
                if limit.exclusive { "less than" } else { "at most" },
                limit.value
            ));
        }
        if let Some(unit) = rules.multiple_of.filter(|unit| (number / unit).fract().abs() > 1e-9) {
            wrong(format!("must be a multiple of {unit}"));
        }
    }

    fn length(&mut self, (least, most): (Option<u64>, Option<u64>), count: usize, what: &str, span: &Span) {
        let count = count as u64;
        if let Some(least) = least.filter(|least| count < *least) {
            self.findings.add(span, format!("must have at least {least} {what}, has {count}"));
        }
        if let Some(most) = most.filter(|most| count > *most) {
            self.findings.add(span, format!("must have at most {most} {what}, has {count}"));
        }
    }
}

/// The number of a node, if it is one.
pub(super) fn number(node: &Node) -> Option<f64> {
    match node.as_scalar() {
        Some(Scalar::Int(number)) => Some(*number as f64),
        Some(Scalar::UInt(number)) => Some(*number as f64),
        Some(Scalar::Float(number)) => Some(*number),
        Some(Scalar::Null | Scalar::Bool(_) | Scalar::Text(_) | Scalar::Date(_)) | None => None,
    }
}

fn key_value<'n>(map: &'n Map, key: &str, default: Option<&'n str>) -> Option<std::borrow::Cow<'n, str>> {
    match map.get(key).filter(|node| !node.is_null()) {
        Some(node) => node.as_scalar().map(Scalar::to_text),
        None => default.map(Into::into),
    }
}

fn is_one_of(values: &[serde_json::Value], node: &Node) -> bool {
    match node.as_str() {
        Some(text) => values.iter().any(|value| value == text),
        None => node.to_json().is_ok_and(|json| values.iter().any(|value| same(value, &json))),
    }
}

fn same(a: &serde_json::Value, b: &serde_json::Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn plain(value: &serde_json::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The formats that a server checks in custom objects, as far as they are plain; every other one is fine.
fn follows(format: &str, text: &str) -> bool {
    match format {
        "ipv4" => text.parse::<std::net::Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<std::net::Ipv6Addr>().is_ok() || text.contains('%'),
        "byte" => grammar::is_base64(text),
        _ => true,
    }
}

fn noun(shape: &Shape) -> &'static str {
    match shape {
        Shape::Any => "a value",
        Shape::Object(_) | Shape::Type(_) | Shape::Map(_) => "a mapping",
        Shape::List(..) => "a list",
        Shape::Text => "a string",
        Shape::Base64 => "a string in base64",
        Shape::Time => "a time as a string",
        Shape::Integer(..) => "an integer",
        Shape::Number => "a number",
        Shape::Boolean => "a boolean",
        Shape::IntOrString => "an integer or a string",
        Shape::Quantity => "a quantity",
        Shape::Either(choices) => match choices.first().map(|choice| &choice.shape) {
            Some(Shape::List(..)) => "a list or a mapping",
            _ => "one of several kinds of value",
        },
    }
}

fn unknown_field_hint(object: &Object, name: &str) -> Option<String> {
    let names = || object.fields.iter().map(|field| &*field.name);
    if let Some(near) = grammar::nearest(name, names()) {
        return Some(format!("did you mean `{near}`?"));
    }
    match object.fields.len() {
        0 => Some("this mapping has no fields".to_owned()),
        1..=MOST_NAMES => Some(format!("known fields: {}", names().collect::<Vec<_>>().join(", "))),
        _ => None,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
