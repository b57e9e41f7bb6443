use serde_json::json;

use super::*;

fn json(text: &str, schema: Schema) -> serde_json::Value {
    match read_one(text, "test.yaml", schema) {
        Ok(document) => document.root.to_json().unwrap(),
        Err(error) => panic!("{error}\n{text}"),
    }
}

fn fails(text: &str) -> String {
    match read(text, "test.yaml", Schema::Kubernetes) {
        Ok(documents) => panic!("accepted: {documents:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn unquoted_scalars_mean_what_js_yaml_3_5_2_said() {
    let table = include_str!("../../testdata/yaml/unquoted-in-js-yaml-3.5.2.tsv");
    for line in table.lines() {
        let (text, expected) = line.split_once('\t').unwrap();
        let found = match read_one(&format!("v: {text}"), "x", Schema::JsYaml3) {
            Err(_) => "error".to_owned(),
            Ok(document) => match document.root.get("v").unwrap().as_scalar().unwrap() {
                Scalar::Null => "null".to_owned(),
                Scalar::Bool(flag) => format!("bool {flag}"),
                Scalar::Text(text) => format!("text {text}"),
                Scalar::Date(millis) => format!("date {millis}"),
                number @ (Scalar::Int(_) | Scalar::UInt(_) | Scalar::Float(_)) => {
                    let expected: f64 = expected.strip_prefix("number ").unwrap_or("NaN").parse().unwrap();
                    let found: f64 = match number {
                        Scalar::Int(number) => *number as f64,
                        Scalar::Float(number) => *number,
                        Scalar::Null
                        | Scalar::Bool(_)
                        | Scalar::UInt(_)
                        | Scalar::Text(_)
                        | Scalar::Date(_) => {
                            panic!("{text}: {number:?}")
                        }
                    };
                    let same = found == expected && found.is_sign_negative() == expected.is_sign_negative();
                    assert!(
                        same || (found.is_nan() && expected.is_nan()),
                        "{text}: {found} is not {expected}"
                    );
                    continue;
                }
            },
        };
        assert_eq!(found, expected, "{text}");
    }
}

#[test]
fn unquoted_scalars_mean_what_the_parser_of_kubernetes_says() {
    let table = include_str!("../../testdata/yaml/unquoted-in-sigs-k8s-io-yaml-1.6.0.tsv");
    for line in table.lines() {
        let (text, expected) = line.split_once('\t').unwrap();
        let found = read_one(&format!("v: {text}"), "x", Schema::Kubernetes)
            .ok()
            .and_then(|document| document.root.get("v").unwrap().to_json().ok());
        match (found, expected) {
            (found, "error") => assert_eq!(found, None, "{text}"),
            (Some(found), expected) => {
                let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
                let same = found == expected || (found.is_number() && found.as_f64() == expected.as_f64());
                assert!(same, "{text}: {found} is not {expected}");
            }
            (None, expected) => panic!("{text}: an error is not {expected}"),
        }
    }
}

#[test]
fn every_value_and_key_knows_its_place() {
    let text = "a: 1\nb:\n  - x\n  - {k: \"v\"}\n";
    let document = read_one(text, "x", Schema::Kubernetes).unwrap();
    let b = document.root.as_map().unwrap().entry("b").unwrap();
    assert_eq!((b.key_span.line, b.key_span.column, b.key_span.text(text)), (2, 1, "b"));
    let list = b.value.as_list().unwrap();
    assert_eq!((list[0].span.line, list[0].span.column, list[0].span.text(text)), (3, 5, "x"));
    let v = list[1].get("k").unwrap();
    assert_eq!((v.span.line, v.span.column, v.span.text(text), v.style), (4, 9, "\"v\"", Style::Quoted));
    assert_eq!(list[1].span.text(text), "{k: \"v\"}");
}

#[test]
fn order_is_kept_but_javascript_lists_integer_keys_first() {
    let text = "b: 1\n10: 2\na: 3\n9: 4\n";
    let keys = |schema| {
        let document = read_one(text, "x", schema).unwrap();
        document.root.as_map().unwrap().iter().map(|entry| entry.key.clone()).collect::<Vec<_>>()
    };
    assert_eq!(keys(Schema::Kubernetes), ["b", "10", "a", "9"]);
    assert_eq!(keys(Schema::JsYaml3), ["9", "10", "b", "a"]);
}

#[test]
fn merge_keys_and_aliases_are_resolved_and_explicit_keys_win_wherever_they_stand() {
    let text =
        "base: &b {x: 1, y: 2}\nmore: &m {y: 9, z: 3}\none: {x: 0, <<: *b}\ntwo: {<<: [*b, *m], z: 5}\n";
    assert_eq!(
        json(text, Schema::JsYaml3),
        json!({
            "base": {"x": 1, "y": 2}, "more": {"y": 9, "z": 3},
            "one": {"x": 0, "y": 2}, "two": {"x": 1, "y": 2, "z": 5}
        })
    );
    let document = read_one(text, "x", Schema::JsYaml3).unwrap();
    assert_eq!(document.root.get("two").unwrap().get("y").unwrap().span.line, 1);
    assert_eq!(json("{\"<<\": 1}", Schema::Kubernetes), json!({"<<": 1}));
    assert_eq!(fails("<<: 1"), "test.yaml:1:5: `<<` takes a mapping or a list of mappings, not a number");
}

#[test]
fn duplicate_keys_name_both_places() {
    assert_eq!(
        fails("a:\n  b: 1\n  c: 2\n  b: 3\n"),
        "test.yaml:4:3: duplicate key `b`, first given in line 2"
    );
    let many: String = (0..100).map(|at| format!("k{at}: 1\n")).collect();
    assert_eq!(
        fails(&format!("{many}k7: 1\n")),
        "test.yaml:101:1: duplicate key `k7`, first given in line 8"
    );
    assert_eq!(fails("1: a\n0x1: b\n"), "test.yaml:2:1: duplicate key `1`, first given in line 1");
}

#[test]
fn an_unquoted_template_is_named_as_such() {
    let error = read("image: {{ x }}\n", "test.yaml", Schema::Core).unwrap_err();
    assert_eq!(error.problem, Problem::KeyNotScalar { template: true });
    assert_eq!(error.hint(), Some("an unquoted template? write it as `key: \"{{ … }}\"`"));
    let error = read("? [a]\n: b\n", "test.yaml", Schema::Core).unwrap_err();
    assert_eq!(error.problem, Problem::KeyNotScalar { template: false });
}

#[test]
fn bombs_depth_and_recursion_are_refused() {
    let mut bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let below = vec![format!("*a{}", level - 1); 10].join(",");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    assert!(fails(&bomb).contains("looks like a YAML bomb"), "{}", fails(&bomb));
    assert!(fails(&"[".repeat(20_000)).contains("nested deeper than 128 levels"));
    let block: String = (0..300).map(|at| format!("{}a:\n", " ".repeat(at))).collect();
    assert!(fails(&block).contains("nested deeper than 128 levels"));
    let mut ladder = "l0: &l0 [x]\n".to_owned();
    for level in 1..200 {
        ladder.push_str(&format!("l{level}: &l{level} [*l{}]\n", level - 1));
    }
    assert!(fails(&ladder).contains("nested deeper than 128 levels"));
    assert_eq!(fails("a: &a [*a]"), "test.yaml:1:8: an alias stands inside the value that it names");
}

#[test]
fn documents_are_counted_and_empty_ones_kept() {
    let documents = read("# first\n---\na: 1\n---\n---\nb: 2\n", "x", Schema::Kubernetes).unwrap();
    let empty: Vec<bool> = documents.iter().map(Document::is_empty).collect();
    assert_eq!(empty, [false, true, false]);
    assert!(read("", "x", Schema::Kubernetes).unwrap().is_empty());
    assert!(read_one("# only a comment\n", "x", Schema::Kubernetes).unwrap().is_empty());
    let error = read_one("a: 1\n---\nb: 2\n", "x", Schema::Kubernetes).unwrap_err();
    assert_eq!((error.line, error.problem), (3, Problem::SecondDocument));
}

#[test]
fn tags_are_obeyed() {
    let value = json("{a: !!str 1, b: !!int \"1\", c: !!binary aGk=, d: ! 1, e: !!float 1}", Schema::JsYaml3);
    assert_eq!(value, json!({"a": "1", "b": 1, "c": "hi", "d": "1", "e": 1}));
    let error = read("a: !vault x", "test.yaml", Schema::JsYaml3).unwrap_err();
    assert_eq!(error.to_string(), "test.yaml:1:4: unknown tag `!vault`");
    assert_eq!(fails("a: !!int x"), "test.yaml:1:4: the value is not what its tag `!!int` says");
    let value = json("{a: !!seq [1], b: !!map {c: 1}, d: !!omap [e: 1], f: ! [1]}", Schema::JsYaml3);
    assert_eq!(value, json!({"a": [1], "b": {"c": 1}, "d": [{"e": 1}], "f": [1]}));
    for (text, tag) in [("a: !!pairs [b: 1]", "!!pairs"), ("a: !x\n  b: 1", "!x"), ("a: !!map [1]", "!!map")]
    {
        let error = read(text, "test.yaml", Schema::JsYaml3).unwrap_err();
        assert_eq!(error.to_string(), format!("test.yaml:1:4: unknown tag `{tag}`"), "{text}");
    }
}

#[test]
fn syntax_errors_have_a_place_and_an_excerpt() {
    let text = "a: 1\nb: c: d\n";
    let error = read(text, "test.yaml", Schema::Kubernetes).unwrap_err();
    assert_eq!((error.line, error.column), (2, 5), "{error}");
    let shown = excerpt(text, error.line, error.column);
    assert_eq!(shown.as_deref(), Some("  |\n2 | b: c: d\n  |     ^"));
    for broken in
        ["a: [1\n", "a: \"x\n", "\tb: 1\n", "a: *x\n", "a: b\n c\n- d\n", "%\n", "a: \u{1}\n", "a:\n\tb: 1\n"]
    {
        let error = read(broken, "test.yaml", Schema::Kubernetes).unwrap_err();
        assert!(error.line >= 1 && error.column >= 1 && !error.message().is_empty(), "{broken:?} {error}");
    }
}

#[test]
fn not_a_number_has_no_json() {
    let error = read_one("a:\n  b: .nan\n", "x", Schema::Kubernetes).unwrap().root.to_json().unwrap_err();
    assert_eq!(error.to_string(), "2:6: JSON has no number for NaN");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[ -~\\n\\té&*<:?{}\\[\\]|>'\"#-]{0,80}") {
        for schema in [Schema::Kubernetes, Schema::JsYaml3, Schema::Core] {
            let _ = read(&text, "x", schema);
        }
    }
}
