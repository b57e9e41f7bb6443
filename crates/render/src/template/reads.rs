//! Which names a template can look up in its data, and with which of them it does nothing but print them.
//!
//! Found in the text of the template and of all that it brings in, and always on the safe side: of the names that it
//! may read there are rather too many, of those that it only prints rather too few.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Engine, Templates, join};
use crate::inputs::hasher;
use crate::mustache::{Name, Token};
use crate::source::Repository;

/// What a template does with its data.
#[derive(Debug, Default)]
pub(crate) struct Reads {
    /// Every name that it may look up: more than it does, never less.
    pub(crate) names: HashSet<Box<str>>,
    /// Names whose text is printed as it is, wherever they stand; nothing is decided by them.
    pub(crate) printed: HashMap<Box<str>, Print>,
    /// Stands for the text of the template and of all that it brings in.
    pub(crate) text: u64,
}

/// How a value becomes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    /// As it is.
    Plain,
    /// Escaped for HTML: `{{name}}` of Mustache.
    Html,
}

/// Statements that print where they stand. All others may take what was printed inside them and do something with it.
const PRINT_IN_PLACE: [&str; 12] = [
    "for", "endfor", "if", "elif", "else", "endif", "include", "with", "endwith", "set", "continue", "break",
];

impl Reads {
    /// What `file` reads; `None` if that cannot be told.
    pub(crate) fn of(
        templates: &Templates,
        repository: &Repository,
        engine: Engine,
        file: &str,
    ) -> Option<Reads> {
        match engine {
            Engine::Copy => copied(templates, repository, file),
            Engine::Mustache => mustache(templates, repository, file),
            Engine::Jinja => jinja(templates, file),
        }
    }
}

fn copied(templates: &Templates, repository: &Repository, file: &str) -> Option<Reads> {
    let copied = templates.copied(repository, file).ok()?;
    let mut text = hasher();
    (&*copied.text, copied.mode).hash(&mut text);
    Some(Reads { text: text.finish(), ..Reads::default() })
}

fn mustache(templates: &Templates, repository: &Repository, file: &str) -> Option<Reads> {
    let template = templates.mustache(repository, file).ok()?;
    let mut text = hasher();
    template.source().hash(&mut text);
    let mut reads = Reads { text: text.finish(), ..Reads::default() };
    let mut used: HashSet<&str> = HashSet::new();
    for token in template.tokens() {
        let (tag, print) = match token {
            Token::Escaped { tag } => (tag, Some(Print::Html)),
            Token::Raw { tag } => (tag, Some(Print::Plain)),
            Token::Section { tag, .. } | Token::Inverted { tag, .. } => (tag, None),
            Token::Text { .. }
            | Token::Close { .. }
            | Token::Partial { .. }
            | Token::Comment { .. }
            | Token::Delimiters { .. } => continue,
        };
        let key = match &tag.name {
            // What it stands for was found by the name of a section around it.
            Name::This => continue,
            Name::Key(key) => key,
            Name::Path(path) => path.first()?,
        };
        reads.names.insert(key.clone());
        match print.filter(|_| matches!(tag.name, Name::Key(_))) {
            Some(print) if *reads.printed.entry(key.clone()).or_insert(print) == print => {}
            Some(_) | None => drop(used.insert(key)),
        }
    }
    reads.printed.retain(|name, _| !used.contains(&**name));
    Some(reads)
}

fn jinja(templates: &Templates, file: &str) -> Option<Reads> {
    let mut scan = Scan::default();
    scan.file(templates, file)?;
    // It prints all there is.
    if scan.names.contains("debug") {
        return None;
    }
    let printed = match scan.in_place {
        true => scan.printed.difference(&scan.used).map(|name| (name.clone(), Print::Plain)).collect(),
        false => HashMap::new(),
    };
    Some(Reads { names: scan.names, printed, text: scan.text.finish() })
}

/// Goes through a template and all that it brings in.
struct Scan {
    seen: BTreeSet<String>,
    /// Every word, whether it is a name or text.
    names: HashSet<Box<str>>,
    /// Names that are the whole of a `{{ … }}`.
    printed: HashSet<Box<str>>,
    /// Words in all other tags.
    used: HashSet<Box<str>>,
    /// Whether everything is printed where it stands.
    in_place: bool,
    text: DefaultHasher,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            seen: BTreeSet::new(),
            names: HashSet::new(),
            printed: HashSet::new(),
            used: HashSet::new(),
            in_place: true,
            text: hasher(),
        }
    }
}

impl Scan {
    fn file(&mut self, templates: &Templates, file: &str) -> Option<()> {
        if !self.seen.insert(file.to_owned()) {
            return Some(());
        }
        let template = templates.jinja().environment().get_template(file).ok()?;
        let source = template.source();
        (file, source).hash(&mut self.text);
        self.names.extend(words(source).map(Box::from));
        self.in_place &= self.tags(source).is_some();
        for statement in statements(source) {
            if let Some(other) = brings_in(statement)? {
                self.file(templates, &join(other, file))?;
            }
        }
        Some(())
    }

    /// Sorts the words of all tags; `None` if what is printed may go through something else, or where tags end is not
    /// certain.
    fn tags(&mut self, source: &str) -> Option<()> {
        let mut rest = source;
        loop {
            let start = rest.match_indices('{').map(|(at, _)| at);
            let mut start = start.filter(|at| rest[at + 1..].starts_with(['{', '%', '#']));
            let start = start.next().unwrap_or(rest.len());
            let (text, tag) = rest.split_at(start);
            if ["}}", "%}", "#}"].iter().any(|end| text.contains(end)) {
                return None;
            }
            if tag.is_empty() {
                return Some(());
            }
            let length = tag_length(tag);
            let inside = tag.get(2..length.checked_sub(2)?)?;
            let inside = inside.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
            match tag.as_bytes()[1] {
                b'{' if is_name(inside) => drop(self.printed.insert(inside.into())),
                b'#' => {}
                byte => {
                    let mut words = words(inside);
                    self.used.extend(words.clone().map(Box::from));
                    let is_loop_of_itself = inside.contains("recursive");
                    let in_place = |word: &str| PRINT_IN_PLACE.contains(&word);
                    if byte == b'%' && (is_loop_of_itself || !words.next().is_some_and(in_place)) {
                        return None;
                    }
                }
            }
            rest = &tag[length..];
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> + Clone {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

fn is_name(text: &str) -> bool {
    let mut words = words(text);
    words.next() == Some(text) && !text.starts_with(|c: char| c.is_numeric())
}

/// The text between `{%` and `%}`, wherever these are.
pub(crate) fn statements(source: &str) -> impl Iterator<Item = &str> {
    source.split("{%").skip(1).map(|rest| rest.split("%}").next().unwrap_or_default())
}

/// The template that a statement brings in. `None` if its name is not written out.
pub(crate) fn brings_in(statement: &str) -> Option<Option<&str>> {
    let statement = statement.trim_start_matches(['-', '+']).trim();
    let rest = ["include", "extends", "import", "from"].iter().find_map(|word| {
        statement.strip_prefix(word).filter(|rest| rest.starts_with([' ', '\n', '"', '\'']))
    });
    let Some(rest) = rest else { return Some(None) };
    let rest = rest.trim_start();
    let quote = rest.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    let (name, after) = rest[1..].split_once(quote)?;
    let after = after.trim().trim_end_matches(['-', '+']).trim();
    let plain = after.is_empty()
        || ["import", "as", "ignore", "with", "without"].iter().any(|w| after.starts_with(w));
    (plain && !name.contains('\\')).then_some(Some(name))
}

/// The length of the tag that `text` begins with, text in quotes inside it passed over; all of it if it never ends.
pub(crate) fn tag_length(text: &str) -> usize {
    let end: &[u8] = match text.as_bytes().get(1) {
        Some(b'#') => return text.find("#}").map_or(text.len(), |at| at + 2),
        Some(b'%') => b"%}",
        _ => b"}}",
    };
    let bytes = text.as_bytes();
    let mut at = 2;
    let mut quote = None;
    while at < bytes.len() {
        match (quote, bytes[at]) {
            (None, b'"' | b'\'') => quote = Some(bytes[at]),
            (Some(_), b'\\') => at += 1,
            (Some(open), byte) if open == byte => quote = None,
            (None, _) if bytes[at..].starts_with(end) => return at + end.len(),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only_printed(source: &str) -> Vec<String> {
        let mut scan = Scan::default();
        if scan.tags(source).is_none() {
            return vec!["?".to_owned()];
        }
        let mut names: Vec<String> =
            scan.printed.difference(&scan.used).map(|name| name.to_string()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_name_is_only_printed_if_nothing_else_is_done_with_it() {
        for (source, expected) in [
            ("zone: {{ zone }} {{-region-}} zone", &["region", "zone"][..]),
            ("{{ a }}{% for e in env %}{{ e.a }}{% endfor %}", &[]),
            ("{{ a }}{{ b | upper }}{# a #}", &["a"]),
            ("{{ a }}{% if a %}x{% endif %}", &[]),
            ("{{ a }}{% set a = 1 %}", &[]),
            ("{{ a }}{{ values[\"a\"] }}", &[]),
            ("{{ a }}{{ \"}}\" ~ a }}", &[]),
            // Where a tag ends is not certain.
            ("{{ a }}{{ {\"x\": {\"y\": 1}}[a] }}", &["?"]),
            ("{{ a }}: {\"b\": {}}", &["?"]),
            // What is printed goes through something else.
            ("{% set x %}{{ a }}{% endset %}{{ x | upper }}", &["?"]),
            ("{% filter upper %}{{ a }}{% endfilter %}", &["?"]),
            ("{% macro m() %}{{ a }}{% endmacro %}{{ m() | upper }}", &["?"]),
            ("{% block m %}{{ a }}{% endblock %}{{ self.m() | upper }}", &["?"]),
            ("{% for x in l recursive %}{{ a }}{{ loop(x) | upper }}{% endfor %}", &["?"]),
            ("{% raw %}{{ a }}{% endraw %}", &["?"]),
        ] {
            assert_eq!(only_printed(source), expected, "{source}");
        }
    }
}
