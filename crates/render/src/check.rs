//! The check of what was rendered, before anything is written: valid YAML, one `apiVersion`, `kind` and name per
//! document, names that Kubernetes accepts.

mod quick;

use manifest::ObjectRef;
use manifest::names::{is_label, is_subdomain};
use manifest::yaml::{self, Node, Scalar, Schema, Style};

/// What is wrong with rendered text, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Line of the output, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<&'static str>,
}

/// An object and the line that it starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// The object.
    pub name: ObjectRef,
    /// Line of the output, from 1.
    pub line: u32,
}

/// The objects of a rendered text. `schema` decides which keys are the same: to Kubernetes `yes` and `on` are one key,
/// and the second a duplicate; in the core schema, which kit's repositories are held to, they are two.
///
/// # Errors
/// Everything that is wrong with it; of broken YAML the first thing.
pub fn check(text: &str, schema: Schema) -> Result<Vec<Object>, Vec<Finding>> {
    match quick::check(text) {
        Some(objects) => Ok(objects),
        None => parse(text, schema),
    }
}

/// Whether the quick reader takes the text, so that [`is_harmless`] means something.
pub(crate) fn is_ordinary(text: &str) -> bool {
    quick::check(text).is_some()
}

/// Whether a word of `text` stands where any harmless word may stand instead: if one text is ordinary, then so is another
/// one that differs from it in harmless words only, and the objects in it are the same.
pub(crate) fn is_harmless(text: &str, word: &std::ops::Range<usize>) -> bool {
    quick::is_harmless(text, word)
}

/// The check by the full parser, which [`check`] takes only where the quick reader is not sure.
///
/// # Errors
/// As [`check`].
pub fn parse(text: &str, schema: Schema) -> Result<Vec<Object>, Vec<Finding>> {
    let documents = yaml::read(text, "output", schema).map_err(|error| {
        vec![Finding { line: error.line, column: error.column, message: error.message(), hint: error.hint() }]
    })?;
    let (mut objects, mut findings) = (Vec::new(), Vec::new());
    for document in &documents {
        if !document.root.is_null() {
            object(&document.root, &mut objects, &mut findings);
        }
    }
    if findings.is_empty() { Ok(objects) } else { Err(findings) }
}

fn object(node: &Node, objects: &mut Vec<Object>, findings: &mut Vec<Finding>) {
    let mut find = |node: &Node, message: String, hint: Option<&'static str>| {
        findings.push(Finding { line: node.span.line, column: node.span.column, message, hint });
    };
    if node.as_map().is_none() {
        let hint = Some("every document of a manifest is a map with `apiVersion`, `kind` and `metadata`");
        find(node, format!("expected a Kubernetes object, found {}", node.kind()), hint);
        return;
    }
    let mut text = |parent: &Node, path: &str, key: &str| match parent.get(key) {
        Some(value) => match value.as_str() {
            Some("") => {
                find(value, format!("`{path}` is empty"), None);
                None
            }
            Some(text)
                if value.style == Style::Plain
                    && Schema::Kubernetes.resolve(text) != Scalar::Text(text.to_owned()) =>
            {
                find(
                    value,
                    format!("`{path}` is no string to Kubernetes: `{text}`"),
                    Some("put it in quotes"),
                );
                None
            }
            Some(text) => Some(text.to_owned()),
            None => {
                let hint = (!value.is_null()).then_some("put it in quotes");
                find(value, format!("`{path}` must be a string, found {}", value.kind()), hint);
                None
            }
        },
        None => {
            find(parent, format!("`{path}` is missing"), None);
            None
        }
    };
    let (api_version, kind) = (text(node, "apiVersion", "apiVersion"), text(node, "kind", "kind"));
    let (Some(api_version), Some(kind)) = (api_version, kind) else { return };
    if kind == "List" && api_version == "v1" {
        let items = node.get("items").and_then(|items| items.as_list()).unwrap_or_default();
        items.iter().for_each(|item| object(item, objects, findings));
        return;
    }
    let Some(metadata) = node.get("metadata").filter(|metadata| metadata.as_map().is_some()) else {
        find(node, "`metadata` is missing".to_owned(), None);
        return;
    };
    let Some(name) = text(metadata, "metadata.name", "name") else { return };
    let namespace = match metadata.get("namespace") {
        None => None,
        Some(node) if node.is_null() => None,
        Some(_) => text(metadata, "metadata.namespace", "namespace"),
    };
    let mut refuse = |key: &str, why: &str, value: &str| {
        let node = metadata.get(key).unwrap_or(metadata);
        find(node, format!("`metadata.{key}` {why}: `{value}`"), None);
    };
    if let Err(why) = acceptable_name(&api_version, &kind, &name) {
        refuse("name", why, &name);
    }
    if let Some(namespace) = &namespace
        && !is_label(namespace)
    {
        refuse("namespace", NOT_A_LABEL, namespace);
    }
    objects.push(Object { name: ObjectRef { api_version, kind, namespace, name }, line: node.span.line });
}

const NOT_A_LABEL: &str =
    "must be at most 63 lower-case letters, digits and `-`, with a letter or digit at both ends";
const NOT_A_SUBDOMAIN: &str = "must be at most 253 lower-case letters, digits, `-` and `.`, with a letter or digit at both ends of each part";

/// Whether Kubernetes takes `name` for an object of this kind (`k8s.io/apimachinery/pkg/api/validation`).
///
/// # Errors
/// What the name must be.
pub fn acceptable_name(api_version: &str, kind: &str, name: &str) -> Result<(), &'static str> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Namespace" | "Service") => {
            if is_label(name) {
                Ok(())
            } else {
                Err(NOT_A_LABEL)
            }
        }
        ("rbac.authorization.k8s.io", _) => {
            let bad = name == "." || name == ".." || name.contains(['/', '%']);
            if bad { Err("must not be `.` or `..`, nor contain `/` or `%`") } else { Ok(()) }
        }
        _ if is_subdomain(name) => Ok(()),
        _ => Err(NOT_A_SUBDOMAIN),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: cart # the cart
  labels: {app: cart, tier: \"web\"}
spec:
  replicas: 2

  template:
    spec:
      containers:
      - name: cart
        image: registry.example.com:5000/org/cart:main-1
        args: [\"-m\", '5''12', --x=1]
        env:
        - name: A
          value: \"x: \\\"y\\\" # no comment\"
        -   name: B
            value: http://x/y?z=1
          # comment
        command:
          - sh
          - -c
          - |
            echo a: b

              - c
        -
          name: C
      - name: side
        env: []
---
# a config map
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: shop}
data:
  a.yaml: |-
    x: [
    # not a comment
  b: >
   folded
  key-with.dots/and-slash: v
";

    #[test]
    fn ordinary_manifests_take_the_quick_way() {
        let text = DEPLOYMENT.replace("        -\n          name: C\n", "");
        let objects = quick::check(&text).expect("quick");
        assert_eq!(Ok(&objects), parse(&text, Schema::Kubernetes).as_ref());
        let names: Vec<String> = objects.iter().map(|object| object.name.to_string()).collect();
        assert_eq!(names, ["Deployment/cart", "ConfigMap/shop/settings"]);
    }

    #[test]
    fn what_is_wrong_is_found_with_its_place() {
        let found = |text: &str| {
            let findings = check(text, Schema::Kubernetes).unwrap_err();
            findings.iter().map(|f| format!("{}:{}: {}", f.line, f.column, f.message)).collect::<Vec<_>>()
        };
        assert_eq!(found("a: b: c"), ["1:5: mapping values are not allowed in this context"]);
        assert_eq!(found("- a\n"), ["1:1: expected a Kubernetes object, found a list"]);
        assert_eq!(found("kind: A\n"), ["1:1: `apiVersion` is missing"]);
        assert_eq!(found("apiVersion: v1\nkind: A\n"), ["1:1: `metadata` is missing"]);
        assert_eq!(
            found("apiVersion: v1\nkind: A\nmetadata: {x: 1}\n"),
            ["3:11: `metadata.name` is missing"]
        );
        assert_eq!(
            found("apiVersion: v1\nkind: A\nmetadata:\n  name: 1\n"),
            ["4:9: `metadata.name` must be a string, found a number"]
        );
        assert_eq!(
            found("apiVersion: v1\nkind: A\nmetadata:\n  name: A_b\n"),
            [format!("4:9: `metadata.name` {NOT_A_SUBDOMAIN}: `A_b`")]
        );
        assert_eq!(
            found("apiVersion: v1\nkind: A\nmetadata: {name: a}\ndata:\n  a: 1\n  a: 2\n"),
            ["6:3: duplicate key `a`, first given in line 5"]
        );
    }

    #[test]
    fn lists_of_objects_count_each() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: A, metadata: {name: a}}\n";
        assert_eq!(check(text, Schema::Kubernetes).unwrap()[0].name.to_string(), "A/a");
    }

    #[test]
    fn names_follow_the_rules_of_their_kind() {
        assert!(acceptable_name("rbac.authorization.k8s.io/v1", "ClusterRole", "system:x").is_ok());
        assert!(acceptable_name("v1", "ConfigMap", "a.b-c").is_ok());
        assert!(acceptable_name("v1", "Service", "a.b").is_err());
        assert!(acceptable_name("apps/v1", "Deployment", "-a").is_err());
    }

    /// Whatever the quick reader accepts, the parser accepts too, with the same objects.
    fn agree(text: &str) -> Result<(), TestCaseError> {
        if let Some(objects) = quick::check(text) {
            for schema in [Schema::Kubernetes, Schema::Core] {
                let parsed = parse(text, schema);
                prop_assert_eq!(Ok(&objects), parsed.as_ref(), "{}", text);
            }
        }
        Ok(())
    }

    fn lines() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a: b",
            "a:",
            "b: 1",
            "- a",
            "-",
            "- a: b",
            "- - c",
            "name: x",
            "metadata:",
            "kind: K",
            "---",
            "# c",
            "",
            "a: |",
            "a: \"x\"",
            "'a': b",
            "a: 'it''s'",
            "a: [1, 2]",
            "a: {b: c}",
            "{a: b}",
            "a: b: c",
            "a : b",
            "text",
            "yes: 1",
            "a: &x b",
            "a: *x",
            "a: b # c",
            "a: #c",
            "a: {b: {c: [d]}, e: f}",
            "a: [",
            "- |",
            "- name: x",
            "b: - c",
            "c: >-",
            "name: 1",
            "a: \"x",
            "  ",
            "a:\tb",
            "- # c",
            "a: [b,, c]",
            "a: [b, ]",
            "a: {b}",
            "...",
        ]);
        let line = (0usize..5, pieces).prop_map(|(indent, piece)| format!("{}{piece}\n", " ".repeat(indent)));
        prop::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
    }

    /// Lines with a hole, `@`.
    fn lines_with_holes() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a: @",
            "a: x@",
            "a: @x",
            "a: \"@\"",
            "a: '@'",
            "a: [@, b]",
            "a: {b: @}",
            "a: {@: b}",
            "@: a",
            "- @",
            "- a: @",
            "- - a: @",
            "# @",
            "@",
            "a: b # @",
            "a: @ # c",
            "name: @",
            "a@: b",
            "a: \"\\@\"",
            "a: @@",
            "b: c",
            "a: |",
            "a: >-",
            "a:",
            "- b: c",
            "",
            "---",
        ]);
        let line = (0usize..5, pieces).prop_map(|(indent, piece)| format!("{}{piece}\n", " ".repeat(indent)));
        prop::collection::vec(line, 1..6).prop_map(|lines| lines.concat())
    }

    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "x", "eu-1", "1", "yes", "", " ", "a b", "'", "\"", "#", " #", "|", ">", ": ", ":", "- ", "-",
            "b: c", "é", "\u{2028}", "{", "}", "[", ",", "&a", "*a", "!a", "~", "\\", "\n", "a\n  b", "---",
            "%",
        ])
    }

    /// `text` with `word` in every hole, and where it stands.
    fn filled(text: &str, word: &str) -> (String, Vec<std::ops::Range<usize>>) {
        let (mut out, mut words) = (String::new(), Vec::new());
        for (at, part) in text.split('@').enumerate() {
            if at > 0 {
                words.push(out.len()..out.len() + word.len());
                out.push_str(word);
            }
            out.push_str(part);
        }
        (out, words)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8000))]

        #[test]
        fn harmless_words_change_neither_the_verdict_nor_the_objects(
            body in lines_with_holes(), one in word(), other in word(),
        ) {
            let text = format!("apiVersion: v1\nkind: K\nmetadata:\n  name: x\ndata:\n{body}");
            let ((before, words), (after, others)) = (filled(&text, one), filled(&text, other));
            let harmless = |text: &str, words: &[std::ops::Range<usize>]| {
                words.iter().all(|word| is_harmless(text, word))
            };
            if is_ordinary(&before) && harmless(&before, &words) && harmless(&after, &others) {
                let objects = quick::check(&before);
                for schema in [Schema::Kubernetes, Schema::Core] {
                    let parsed = parse(&after, schema).ok();
                    prop_assert_eq!(&objects, &parsed, "{}\n{}", before, after);
                }
            }
        }
    }

    #[test]
    fn ordinary_values_are_harmless() {
        let text =
            "data:\n  zone: eu-1\n  hosts: [a.eu-1.example.com]\n  url: \"http://eu-1/x\"\n  name: eu-1\n";
        let verdicts: Vec<bool> =
            text.match_indices("eu-1").map(|(at, _)| is_harmless(text, &(at..at + 4))).collect();
        assert_eq!(verdicts, [true, true, true, false]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn the_quick_reader_never_accepts_what_the_parser_refuses(body in lines()) {
            agree(&body)?;
            agree(&format!("apiVersion: v1\nkind: K\nmetadata:\n  name: x\ndata:\n{body}"))?;
            agree(&format!("apiVersion: v1\nkind: K\nmetadata: {{name: x}}\n{body}"))?;
        }

        #[test]
        fn nor_after_a_byte_of_a_manifest_was_changed(at in 0usize..900, byte in "[ -~\\n]") {
            let mut text = DEPLOYMENT.to_owned();
            if at < text.len() {
                text.replace_range(at..at + 1, &byte);
                agree(&text)?;
                text.remove(at);
                agree(&text)?;
                text.insert_str(at, &byte.repeat(2));
                agree(&text)?;
            }
        }
    }
}
