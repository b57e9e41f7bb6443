//! From mustache tags to minijinja, knowing what the tags find.

use std::collections::BTreeSet;

use super::facts::{Facts, Owner, TagFacts};
use crate::mustache::{Name, Position, Tag, Template, Token};

/// A tag that has no counterpart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Untranslatable {
    /// Where it stands.
    pub(super) at: Position,
    /// Why, as a clause.
    pub(super) reason: String,
}

/// Names that are no variables in an expression.
const RESERVED: &[&str] = &[
    "and",
    "or",
    "not",
    "in",
    "is",
    "if",
    "else",
    "elif",
    "for",
    "true",
    "false",
    "none",
    "True",
    "False",
    "None",
    "loop",
    "self",
    "super",
    "caller",
    "set",
    "with",
    "recursive",
    "filter",
    "import",
    "as",
    "context",
    "values",
    "cluster",
    "resource",
    "containers",
    "container",
];

/// Writes `template` in minijinja.
pub(super) fn translate(template: &Template, facts: &Facts) -> Result<String, Vec<Untranslatable>> {
    let mut names = BTreeSet::new();
    for token in template.tokens() {
        if let Some(tag) = tag_of(token) {
            match &tag.name {
                Name::This => {}
                Name::Key(key) => drop(names.insert(key.to_string())),
                Name::Path(keys) => drop(names.insert(keys[0].to_string())),
            }
        }
    }
    let mut writer = Writer {
        template,
        facts,
        names,
        out: String::with_capacity(template.source().len() * 2),
        scopes: Vec::new(),
        closing: Vec::new(),
        problems: Vec::new(),
        at: 0,
    };
    writer.run();
    if writer.problems.is_empty() { Ok(writer.out) } else { Err(writer.problems) }
}

fn tag_of(token: &Token) -> Option<&Tag> {
    match token {
        Token::Escaped { tag }
        | Token::Raw { tag }
        | Token::Section { tag, .. }
        | Token::Inverted { tag, .. }
        | Token::Partial { tag } => Some(tag),
        Token::Text { .. } | Token::Close { .. } | Token::Comment { .. } | Token::Delimiters { .. } => None,
    }
}

struct Writer<'t> {
    template: &'t Template,
    facts: &'t Facts,
    /// The first parts of all names, which loop variables must not hide.
    names: BTreeSet<String>,
    out: String,
    /// The open sections that give a context: their token and the expression of it.
    scopes: Vec<(usize, Option<String>)>,
    /// What closes each open section.
    closing: Vec<String>,
    problems: Vec<Untranslatable>,
    /// How much of the source is written.
    at: usize,
}

impl Writer<'_> {
    fn run(&mut self) {
        for (index, token) in self.template.tokens().iter().enumerate() {
            match token {
                Token::Text { span } => {
                    self.gap(span.start);
                    self.text(span.clone());
                    self.at = span.end;
                }
                Token::Escaped { tag } => self.print(index, tag, true),
                Token::Raw { tag } => self.print(index, tag, false),
                Token::Section { tag, .. } => self.section(index, tag),
                Token::Inverted { tag, .. } => {
                    let facts = self.facts.of(index);
                    let condition = self.condition(&facts, tag);
                    let line = match facts.empty_map && !facts.list && !facts.scalar {
                        // An empty map is true in mustache and false in minijinja.
                        true => format!("{{% if {condition} is not defined or {condition} is none %}}"),
                        false => format!("{{% if not {} %}}", parenthesised(&condition)),
                    };
                    self.block(tag.span.clone(), &line);
                    self.scopes.push((index, None));
                    self.closing.push("{% endif %}".to_owned());
                }
                Token::Close { span } => {
                    self.scopes.pop();
                    let closing = self.closing.pop().unwrap_or_default();
                    self.block(span.clone(), &closing);
                }
                Token::Comment { span } => {
                    let source = self.template.source();
                    let inner = &source[span.clone()];
                    let inner = inner.split_once('!').map_or("", |(_, rest)| rest);
                    // The closing delimiter is as long as it is, two characters unless changed.
                    let inner = inner.trim_end_matches(|c: char| {
                        !c.is_alphanumeric() && !c.is_whitespace() && !".,;:)]!?'\"".contains(c)
                    });
                    let comment = format!("{{#{}#}}", pad(&inner.replace("#}", "# }")));
                    self.block(span.clone(), &comment);
                }
                Token::Delimiters { span } => self.silent(span.clone()),
                Token::Partial { tag } => self.silent(tag.span.clone()),
            }
        }
        let end = self.template.source().len();
        self.gap(end);
    }

    fn refuse(&mut self, tag: &Tag, reason: impl Into<String>) {
        self.problems
            .push(Untranslatable { at: self.template.position(tag.span.start), reason: reason.into() });
    }

    /// White space that mustache dropped. At the front of a line and at its end minijinja drops it too; between two
    /// tags it would not.
    fn gap(&mut self, to: usize) {
        let gap = &self.template.source()[self.at..to];
        let at_line_start = self.at == 0 || self.template.source()[..self.at].ends_with('\n');
        for (index, part) in gap.split_inclusive('\n').enumerate() {
            if part.ends_with('\n') {
                // The newline goes with the block before it; without one there was nothing to see.
                if self.out.ends_with("%}") || self.out.ends_with("#}") {
                    self.out.push_str(if part.ends_with("\r\n") { "\r\n" } else { "\n" });
                }
            } else if (index > 0 || at_line_start) && (self.out.is_empty() || self.out.ends_with('\n')) {
                self.out.push_str(part);
            }
        }
        self.at = to;
    }

    /// Drops a tag without a trace, and with it the line on which it stood alone.
    fn silent(&mut self, span: std::ops::Range<usize>) {
        self.at = span.end;
        if self.next_is_gap(span.end) {
            let source = self.template.source();
            let line_end = source[span.end..].find('\n').map_or(source.len(), |at| span.end + at + 1);
            let next_token = self.next_token_start(span.end);
            self.at = line_end.min(next_token);
        }
    }

    fn next_token_start(&self, offset: usize) -> usize {
        self.template
            .tokens()
            .iter()
            .map(|token| span_of(token).start)
            .find(|start| *start >= offset)
            .unwrap_or(self.template.source().len())
    }

    /// Whether what follows `offset` was dropped by mustache.
    fn next_is_gap(&self, offset: usize) -> bool {
        self.next_token_start(offset) > offset
    }

    /// Writes a block tag where the one with `span` stood, so that the same white space around it stays.
    fn block(&mut self, span: std::ops::Range<usize>, tag: &str) {
        self.gap(span.start);
        let source = self.template.source();
        let before = &source[..span.start];
        let kept_before = self
            .template
            .tokens()
            .iter()
            .any(|token| matches!(token, Token::Text { span: text } if text.end == span.start));
        let blank_before = kept_before && before.ends_with([' ', '\t']);
        let kept_after = source[span.end..].starts_with(['\n', '\r']) && !self.next_is_gap(span.end);
        let mut tag = tag.to_owned();
        if blank_before {
            tag.insert(2, '+');
        }
        if kept_after {
            tag.insert(tag.len() - 2, '+');
        }
        self.guard_brace();
        self.out.push_str(&tag);
        self.at = span.end;
    }

    fn text(&mut self, span: std::ops::Range<usize>) {
        let text = &self.template.source()[span];
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (head, tail) = rest.split_at(at);
            self.out.push_str(head);
            let pair = tail.get(..2).filter(|pair| matches!(*pair, "{{" | "{%" | "{#"));
            match pair {
                Some(pair) => {
                    self.out.push_str(&format!("{{{{ \"{pair}\" }}}}"));
                    rest = &tail[2..];
                }
                None => {
                    self.out.push('{');
                    rest = &tail[1..];
                }
            }
        }
        self.out.push_str(rest);
    }

    /// A brace right before a tag would become part of it.
    fn guard_brace(&mut self) {
        if self.out.ends_with('{') {
            self.out.pop();
            self.out.push_str("{{ \"{\" }}");
        }
    }

    fn print(&mut self, index: usize, tag: &Tag, escaped: bool) {
        self.gap(tag.span.start);
        self.at = tag.span.end;
        let facts = self.facts.of(index);
        if facts.odd {
            return self.refuse(tag, "reads a property that only JavaScript has");
        }
        if facts.map {
            return self.refuse(tag, "prints a map, which reads `[object Object]`");
        }
        if facts.list && facts.scalar {
            return self.refuse(tag, "prints a list in one place and a single value in another");
        }
        let mut expression = match self.expression(&facts, tag) {
            Ok(expression) => expression,
            Err(reason) => return self.refuse(tag, reason),
        };
        if facts.list {
            if facts.null || facts.missing {
                expression = format!("({expression} or [])");
            }
            expression = format!("{expression} | join(\",\")");
        } else if facts.null && facts.false_or_zero {
            let known = if facts.missing { format!("({expression} | default(none))") } else { expression };
            expression = format!("(\"\" if {known} is none else {known})");
        } else if facts.null || (facts.missing && !facts.broken.is_empty()) {
            expression = match facts.false_or_zero {
                true => format!("({expression} | default(\"\"))"),
                false => format!("({expression} or \"\")"),
            };
        } else if facts.missing || (facts.owners.is_empty() && !facts.length) {
            expression = format!("{expression} | default(\"\")");
        }
        if escaped && facts.special {
            expression = format!("{expression} | kit_escape");
        } else if let Some(bare) = expression.strip_prefix('(').and_then(|e| e.strip_suffix(')'))
            && balanced(bare)
        {
            expression = bare.to_owned();
        }
        self.guard_brace();
        self.out.push_str(&format!("{{{{ {expression} }}}}"));
    }

    fn section(&mut self, index: usize, tag: &Tag) {
        let facts = self.facts.of(index);
        if facts.odd {
            self.refuse(tag, "reads a property that only JavaScript has");
        } else if facts.list && (facts.map || facts.scalar) {
            self.refuse(tag, "goes through a list in one place and tests a single value in another");
        } else if facts.map && facts.yes {
            self.refuse(tag, "opens a map in one place and tests a boolean in another");
        }
        let condition = self.condition(&facts, tag);
        if facts.list {
            let item = self.fresh(tag);
            let list = match facts.null || facts.missing || facts.false_or_zero {
                true => format!("({condition} or [])"),
                false => condition,
            };
            self.block(tag.span.clone(), &format!("{{% for {item} in {list} %}}"));
            self.scopes.push((index, Some(item)));
            self.closing.push("{% endfor %}".to_owned());
            return;
        }
        let test = match facts.empty_map {
            true if facts.missing => format!("{condition} is defined and {condition} is not none"),
            true => format!("{condition} is not none"),
            false => condition.clone(),
        };
        self.block(tag.span.clone(), &format!("{{% if {test} %}}"));
        self.scopes.push((index, (facts.map || facts.scalar).then_some(condition)));
        self.closing.push("{% endif %}".to_owned());
    }

    /// An expression for a test or a loop.
    fn condition(&mut self, facts: &TagFacts, tag: &Tag) -> String {
        match self.expression(facts, tag) {
            Ok(expression) => expression,
            Err(reason) => {
                self.refuse(tag, reason);
                String::new()
            }
        }
    }

    /// The value of a tag's name: one place where it was found, or several with the inner ones first.
    fn expression(&self, facts: &TagFacts, tag: &Tag) -> Result<String, String> {
        let keys: Vec<&str> = match &tag.name {
            Name::This => {
                let owner = facts.owners.keys().next().copied().unwrap_or_else(|| self.innermost());
                return match self.scope(owner) {
                    Some(expression) => Ok(expression),
                    None => Err("prints all data, which reads `[object Object]`".to_owned()),
                };
            }
            Name::Key(key) => vec![key],
            Name::Path(keys) => keys.iter().map(|key| &**key).collect(),
        };
        let (keys, length) = match facts.length {
            true => (&keys[..keys.len() - 1], true),
            false => (&keys[..], false),
        };
        let mut places: Vec<Owner> = facts.owners.keys().copied().collect();
        if places.is_empty() {
            places.push(Owner::Root);
        }
        let mut expression = String::new();
        for (at, owner) in places.iter().rev().enumerate() {
            let Some(base) = self.base(*owner) else {
                return Err("finds its value in a section that gives no context".to_owned());
            };
            let access = access(base.as_deref(), keys, facts.broken.contains_key(owner));
            expression = match at {
                0 => access,
                _ => format!("({access} if {access} is defined else {expression})"),
            };
        }
        if length {
            if facts.missing || !facts.broken.is_empty() {
                expression = format!("({expression} or [])");
            }
            expression = format!("{expression} | length");
        }
        Ok(expression)
    }

    fn innermost(&self) -> Owner {
        let scope = self.scopes.iter().rev().find(|(_, expression)| expression.is_some());
        scope.map_or(Owner::Root, |(index, _)| Owner::Section(std::cmp::Reverse(*index)))
    }

    fn scope(&self, owner: Owner) -> Option<String> {
        match owner {
            Owner::Root => None,
            Owner::Section(std::cmp::Reverse(index)) => {
                self.scopes.iter().find(|(scope, _)| *scope == index).and_then(|(_, name)| name.clone())
            }
        }
    }

    /// What names of this owner start with: nothing for the data itself.
    fn base(&self, owner: Owner) -> Option<Option<String>> {
        match owner {
            Owner::Root => Some(None),
            Owner::Section(_) => self.scope(owner).map(Some),
        }
    }

    /// A name for the items of a list that hides nothing that the template uses.
    fn fresh(&mut self, tag: &Tag) -> String {
        let last = match &tag.name {
            Name::This => "",
            Name::Key(key) => key,
            Name::Path(keys) => keys.last().map_or("", |key| key),
        };
        let singular = match last.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => last.strip_suffix('s').unwrap_or("item").to_owned(),
        };
        let wish = if is_identifier(&singular) && singular.len() > 1 { singular } else { "item".to_owned() };
        let name = (1..)
            .map(|number| if number == 1 { wish.clone() } else { format!("{wish}{number}") })
            .find(|name| !self.names.contains(name))
            .unwrap_or(wish);
        self.names.insert(name.clone());
        name
    }
}

fn span_of(token: &Token) -> &std::ops::Range<usize> {
    match token {
        Token::Text { span }
        | Token::Close { span }
        | Token::Comment { span }
        | Token::Delimiters { span } => span,
        Token::Escaped { tag }
        | Token::Raw { tag }
        | Token::Section { tag, .. }
        | Token::Inverted { tag, .. }
        | Token::Partial { tag } => &tag.span,
    }
}

fn pad(text: &str) -> String {
    let front = if text.starts_with(char::is_whitespace) || text.is_empty() { "" } else { " " };
    let back = if text.ends_with(char::is_whitespace) || text.is_empty() { "" } else { " " };
    format!("{front}{text}{back}")
}

fn parenthesised(expression: &str) -> String {
    if expression.contains(" if ") && !expression.starts_with('(') {
        format!("({expression})")
    } else {
        expression.to_owned()
    }
}

/// Whether no parenthesis in `text` closes one before it.
fn balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    text.chars().all(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth >= 0
    }) && depth == 0
}

fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !RESERVED.contains(&text)
}

/// `base.a["b-c"][0]`; with `guarded` every part before the last may be absent.
fn access(base: Option<&str>, keys: &[&str], guarded: bool) -> String {
    let mut expression = base.unwrap_or_default().to_owned();
    for (at, key) in keys.iter().enumerate() {
        if at > 0 && guarded {
            expression = format!("({expression} or {{}})");
        }
        let is_index = key.parse::<u32>().is_ok_and(|number| number.to_string() == **key);
        if expression.is_empty() {
            expression = if is_identifier(key) { (*key).to_owned() } else { format!("values[{key:?}]") };
        } else if is_index {
            expression = format!("{expression}[{key}]");
        } else if is_identifier_after_dot(key) {
            expression = format!("{expression}.{key}");
        } else {
            expression = format!("{expression}[{key:?}]");
        }
    }
    expression
}

fn is_identifier_after_dot(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
