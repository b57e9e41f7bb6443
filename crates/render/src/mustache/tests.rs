//! The dialect, held to what mustache.js 2.2.1 itself printed.

use std::ops::Range;

use serde_json::{Value, json};

use super::*;

fn render(template: &str, view: &Value) -> String {
    let mut out = String::new();
    Template::parse(template).expect("a template").render(view, &mut out, &mut ()).expect("renders");
    out
}

/// Compares with a corpus that the original wrote: template, view, and its output or error.
#[test]
fn the_corpus_renders_as_mustache_js_rendered_it() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/mustache");
    let mut seen = 0;
    for entry in std::fs::read_dir(dir).expect("the corpus") {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("readable");
        for case in serde_json::from_str::<Vec<Value>>(&text).expect("a list of cases") {
            let template = case["template"].as_str().expect("a template");
            let outcome = match Template::parse(template) {
                Err(error) => Err(error.original()),
                Ok(template) => {
                    let mut out = String::new();
                    match template.render(&case["view"], &mut out, &mut ()) {
                        Ok(()) => Ok(out),
                        Err(error) => {
                            assert!(matches!(error, RenderError::InsideNull { .. }), "{error}");
                            Err("null".to_owned())
                        }
                    }
                }
            };
            let expected = match case["error"].as_str() {
                Some(error) => Err(error.to_owned()),
                None => Ok(case["output"].as_str().expect("an output").to_owned()),
            };
            assert_eq!(outcome, expected, "template {template:?} with {}", case["view"]);
            seen += 1;
        }
    }
    assert!(seen > 100, "the corpus has only {seen} cases");
}

#[test]
fn double_braces_escape_and_triple_braces_do_not() {
    let view = json!({"x": "a/b=c & <d> \"e\" 'f' `g`"});
    assert_eq!(
        render("{{x}}", &view),
        "a&#x2F;b&#x3D;c &amp; &lt;d&gt; &quot;e&quot; &#39;f&#39; &#x60;g&#x60;"
    );
    assert_eq!(render("{{{x}}}", &view), "a/b=c & <d> \"e\" 'f' `g`");
    assert_eq!(render("{{&x}}{{& x }}", &view), render("{{{x}}}{{{ x }}}", &view));
}

#[test]
fn values_print_as_javascript_prints_them() {
    let view = json!({"n": 1e21, "s": 1e-7, "h": 100.0, "z": -0.0, "t": true, "f": false, "nil": null,
        "list": [1, [2, [null, 3]], null, {"a": 1}], "map": {"a": 1}});
    assert_eq!(render("{{n}} {{s}} {{h}} {{z}}", &view), "1e+21 1e-7 100 0");
    assert_eq!(render("{{t}} {{f}} [{{nil}}] [{{missing}}]", &view), "true false [] []");
    assert_eq!(render("{{list}} {{map}}", &view), "1,2,,3,,[object Object] [object Object]");
}

/// A date is the one kind of value that JSON does not have.
#[derive(Clone, Copy)]
struct Moment;

impl<'a> Data<'a> for Moment {
    fn shape(self) -> Shape<'a> {
        Shape::Date(978_307_200_000)
    }
    fn field(self, _key: &str) -> Option<Self> {
        None
    }
    fn item(self, _index: usize) -> Option<Self> {
        None
    }
}

#[test]
fn a_date_prints_in_utc_and_is_true() {
    let mut out = String::new();
    let template = Template::parse("{{.}}{{#.}}!{{/.}}").expect("a template");
    template.render(Moment, &mut out, &mut ()).expect("renders");
    assert_eq!(out, "Mon Jan 01 2001 00:00:00 GMT+0000 (Coordinated Universal Time)!");
}

#[test]
fn zero_and_empty_are_false_while_empty_maps_and_the_text_false_are_true() {
    let view = json!({"a": false, "b": 0, "c": "", "d": null, "e": [], "g": {}, "h": "0", "i": "false"});
    for (name, truth) in [
        ("a", false),
        ("b", false),
        ("c", false),
        ("d", false),
        ("e", false),
        ("x", false),
        ("g", true),
        ("h", true),
        ("i", true),
    ] {
        let template = format!("{{{{#{name}}}}}y{{{{/{name}}}}}{{{{^{name}}}}}n{{{{/{name}}}}}");
        assert_eq!(render(&template, &view), if truth { "y" } else { "n" }, "{name}");
    }
}

#[test]
fn a_key_with_null_stops_the_search_and_an_absent_key_does_not() {
    let view = json!({"value": "outer", "env": [{"value": "own"}, {}, {"value": null}]});
    assert_eq!(render("{{#env}}[{{value}}]{{/env}}", &view), "[own][outer][]");
}

#[test]
fn a_dotted_name_that_matches_in_part_is_searched_further_out() {
    let view = json!({"a": {"b": "far"}, "inner": {"a": {"c": 1}}, "x.y": "unreachable"});
    assert_eq!(render("{{#inner}}{{a.b}}{{/inner}}[{{x.y}}]", &view), "far[]");
}

#[test]
fn lengths_indices_and_class_names_are_javascript() {
    let view = json!({"l": ["p", "q"], "s": "añ😀", "inner": {"t": "abc"}});
    assert_eq!(render("{{l.length}}{{l.1}} {{s.length}}{{s.1}} {{constructor.name}}", &view), "2q 4ñ Object");
    // Text has no keys of its own: an outer context answers instead, and the outermost has no `t`.
    assert_eq!(render("[{{#inner}}{{t.length}}{{/inner}}]", &view), "[]");
}

#[test]
fn lines_with_silent_tags_only_disappear() {
    let view = json!({"on": true, "l": [1, 2]});
    assert_eq!(render("a:\n  {{#on}}\n  k: v\n  {{/on}}\nb\n", &view), "a:\n  k: v\nb\n");
    assert_eq!(render("a\r\n {{! c }}\r\nb\r\n", &view), "a\r\nb\r\n");
    assert_eq!(render("{{#on}} {{#l}}\n-\n{{/l}}{{/on}}\nz\n", &view), "-\n-\nz\n");
    assert_eq!(render("  {{=<% %>=}}\n<%={{ }}=%>\n  {{>p}}\nx", &view), "x");
}

#[test]
fn the_last_line_without_a_newline_keeps_its_indentation() {
    assert_eq!(render("a:\n  {{#x}}\n  k: v\n  {{/x}}", &json!({"x": true})), "a:\n  k: v\n  ");
}

#[test]
fn a_name_inside_a_null_item_is_an_error_at_its_line_and_a_path_is_not() {
    let view = json!({"l": [null], "a": {"b": 1}});
    assert_eq!(render("{{#l}}{{.}}{{a.b}}{{/l}}", &view), "1");
    let template = Template::parse("x\n{{#l}}\n  {{a}}\n{{/l}}\n").expect("a template");
    let error = template.render(&view, &mut String::new(), &mut ()).expect_err("null has no names");
    assert_eq!(
        (error.to_string().as_str(), error.position().to_string().as_str()),
        ("cannot look up a name inside a list item that is null: `a`", "3:3")
    );
}

#[test]
fn what_does_not_match_up_is_an_error_with_our_place_and_the_original_message() {
    for (template, place, message, original) in [
        ("é\n {{a", "2:2", "the tag that starts here is never closed: missing `}}`", "Unclosed tag at 6"),
        ("{{{a}}", "1:1", "the tag that starts here is never closed: missing `}}`", "Unclosed tag at 6"),
        (
            "a\n{{#b}}",
            "2:1",
            "the section that starts here is never closed: missing `/b`",
            "Unclosed section \"b\" at 8",
        ),
        (
            "{{#a}}\n{{/b}}",
            "2:1",
            "the section `a` of line 1 is closed by another name: `/b`",
            "Unclosed section \"a\" at 7",
        ),
        (
            "😀{{/b}}",
            "1:2",
            "this closes a section that was never opened: `/b`",
            "Unopened section \"b\" at 2",
        ),
        (
            "{{=a=}}",
            "1:1",
            "delimiters are changed by two words with a space between them, as in `<% %>`; found: `a`",
            "Invalid tags: a",
        ),
    ] {
        let error = Template::parse(template).expect_err(template);
        assert_eq!(
            (error.position().to_string().as_str(), error.to_string().as_str(), error.original().as_str()),
            (place, message, original)
        );
    }
}

#[test]
fn a_template_that_multiplies_without_end_is_stopped_with_its_place() {
    let view = json!({"l": vec![1; 100]});
    let deep = format!("{}x{}", "{{#l}}".repeat(6), "{{/l}}".repeat(6));
    let template = Template::parse(&deep).expect("a template");
    let error = template.render(&view, &mut String::new(), &mut ()).expect_err("10^12 steps");
    assert_eq!(error.position().line, 1);
    assert!(error.to_string().starts_with("the template does too much"), "{error}");
    let error = Template::parse(&"{{#l}}".repeat(100_000)).expect_err("too deep");
    assert_eq!(error.position().column, 200 * 6 + 1);
}

/// Writes down what it sees.
#[derive(Default)]
struct Log(Vec<String>);

impl Observer<&Value> for Log {
    fn text(&mut self, template: &Range<usize>, out: Range<usize>) {
        self.0.push(format!("text {template:?} -> {out:?}"));
    }
    fn value(&mut self, tag: &Tag, found: Found<&Value>, out: Range<usize>) {
        self.0.push(format!("{} = {} -> {out:?}", tag.text, show(found)));
    }
    fn section(&mut self, tag: &Tag, found: Found<&Value>, times: usize) {
        self.0.push(format!("{} = {} x{times}", tag.text, show(found)));
    }
}

fn show(found: Found<&Value>) -> String {
    match found {
        Found::Value(value) => value.to_string(),
        Found::Derived(derived) => format!("{derived:?}"),
        Found::Missing => "missing".into(),
    }
}

#[test]
fn an_observer_sees_every_text_value_and_section_with_its_place_in_the_output() {
    let view = json!({"l": [{"n": "a/"}, {}]});
    let mut log = Log::default();
    let mut out = String::from("before ");
    let template = Template::parse("x{{#l}}{{n}}{{/l}}{{^l}}-{{/l}}{{l.length}}").expect("a template");
    template.render(&view, &mut out, &mut log).expect("renders");
    assert_eq!(out, "before xa&#x2F;2");
    assert_eq!(
        log.0,
        [
            "text 0..1 -> 7..8",
            "l = [{\"n\":\"a/\"},{}] x2",
            "n = \"a/\" -> 8..15",
            "n = missing -> 15..15",
            "l = [{\"n\":\"a/\"},{}] x0",
            "l.length = Number(2.0) -> 15..16",
        ]
    );
}

#[test]
fn a_template_that_multiplies_without_end_is_stopped() {
    let view = serde_json::json!({"l": vec![1; 200]});
    let long = format!("{{{{#l}}}}{}{{{{/l}}}}", "x".repeat(1 << 20));
    let nested = format!("a\n{}{}", "{{#l}}".repeat(4), "{{/l}}".repeat(4));
    for (source, line) in [(long, 1), (nested, 2)] {
        let mut out = String::new();
        let error = Template::parse(&source).unwrap().render(&view, &mut out, &mut ()).unwrap_err();
        assert!(error.to_string().contains("does too much"), "{error}");
        assert_eq!(error.position().line, line);
        assert!(out.len() < 70 << 20);
    }
}
