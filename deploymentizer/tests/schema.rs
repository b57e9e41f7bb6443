//! `schema`: held to the parsers.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use manifest::KitConfig;
use manifest::yaml;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use render::files::{DiskFiles, Overlay};
use render::node::{FileId, Layer, Node};
use render::plan::{Options, Renderer};
use render::source::{Repository, Selection};
use serde_json::{Value, json};
use testkit::{Sandbox, program, workspace_root};

fn schema(of: &str) -> jsonschema::Validator {
    let answer = Sandbox::new().run(program("deploymentizer").args(["schema", of])).success();
    let schema: Value = serde_json::from_str(&answer.stdout).unwrap();
    assert!(jsonschema::meta::is_valid(&schema));
    jsonschema::validator_for(&schema).unwrap()
}

fn json_of(text: &str) -> Value {
    let document = yaml::read_one(text, "a.yaml", yaml::Schema::JsYaml3).unwrap();
    Node::from_yaml(&document.root, FileId::NONE, Layer::Base, false).to_json()
}

/// A value that may stand in for another one.
fn stand_in() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(7),
        json!(1.5),
        json!(""),
        json!("x"),
        json!([]),
        json!([1]),
        json!({}),
        json!({"path": "x"}),
        json!({"path": 1}),
        json!({"path": "x", "other": 1}),
        json!({"name": "x"}),
        json!([{"name": "X", "external": true}]),
        json!([{"external": true}]),
    ])
}

/// Paths to every value of a document.
fn paths(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            paths(value, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| paths(value, &format!("{at}/{index}"), found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `document` with one value replaced, taken away, or put where none was.
fn mutated(document: &Value, choice: usize, kind: u8, key: &str, new: Value) -> Value {
    let mut all = Vec::new();
    paths(document, "", &mut all);
    let path = &all[choice % all.len()];
    let mut changed = document.clone();
    match (kind, path.rsplit_once('/')) {
        (0, Some((parent, last))) => match changed.pointer_mut(parent) {
            Some(Value::Object(map)) => drop(map.shift_remove(&last.replace("~1", "/").replace("~0", "~"))),
            Some(Value::Array(items)) => drop(items.remove(last.parse().unwrap())),
            _ => {}
        },
        (1, _) => {
            if let Some(Value::Object(map)) = changed.pointer_mut(path) {
                map.insert(key.to_owned(), new);
            }
        }
        _ => *changed.pointer_mut(path).unwrap() = new,
    }
    changed
}

/// Runs `check` with many documents made from `document`.
fn for_each_mutation(
    document: &Value,
    keys: &[&'static str],
    cases: u32,
    check: impl Fn(&Value) -> Result<(), TestCaseError>,
) {
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let strategy = (any::<usize>(), 0u8..3, prop::sample::select(keys.to_vec()), stand_in());
    runner
        .run(&strategy, |(choice, kind, key, new)| check(&mutated(document, choice, kind, key, new)))
        .unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_schema_of_kit_yaml_accepts_what_the_parser_accepts_and_nothing_else() {
    let schema = schema("kit");
    let document = json!({
        "version": 1,
        "base": {"path": "."},
        "output": {"path": "./generated"},
        "cluster": {"path": "./clusters"},
        "resources": {"path": "./resources"},
        "type": {"path": "./type"},
        "images": {"path": "./images", "property": "image"},
        "plugin": {"path": "file-config", "options": {"configPath": "./config"}},
    });
    assert!(schema.is_valid(&document));
    let keys = ["version", "path", "property", "options", "plugin", "clusters", "x"];
    for_each_mutation(&document, &keys, 1500, |changed| {
        let parsed = KitConfig::parse(&changed.to_string(), Path::new("kit.yaml"));
        prop_assert_eq!(schema.is_valid(changed), parsed.is_ok(), "{} {:?}", changed, parsed);
        Ok(())
    });
}

/// The sample repository with one file replaced; what is wrong with it, warnings included.
fn problems(path: &str, text: &str) -> Vec<String> {
    let root = workspace_root().join("testdata/manifests");
    let mut changes: BTreeMap<PathBuf, Option<String>> =
        BTreeMap::from([(root.join(path), Some(text.to_owned()))]);
    if path == "base-cluster.yaml" {
        // What a layer above replaces is nobody's mistake.
        for name in ["dev-1", "eu-1", "us-1"] {
            let text = format!("kind: ClusterNamespace\nmetadata: {{name: {name}, type: production}}\n");
            changes.insert(root.join(format!("clusters/{name}/cluster.yaml")), Some(text));
        }
    }
    let files = Arc::new(Overlay::new(Arc::new(DiskFiles), changes));
    let options = Options {
        environment: ["PAYMENTS_API_KEY", "PAYMENTS_WEBHOOK_TOKEN", "X"]
            .map(|name| (name.to_owned(), "v".to_owned()))
            .into(),
        ..Options::default()
    };
    let say = |problems: Vec<render::problem::Problem>| problems.iter().map(ToString::to_string).collect();
    let repository = match Repository::open(files, &root.join("kit.yaml"), None) {
        Ok(repository) => repository,
        Err(problems) => return say(problems),
    };
    let renderer = Renderer::new(repository, options).unwrap();
    let (clusters, mut found) = renderer.repository().clusters(&Selection::default());
    for outcome in renderer.in_parallel(&clusters, |cluster| renderer.render(cluster)) {
        match outcome {
            Ok(rendered) => found.extend(rendered.warnings),
            Err(problems) => found.extend(problems),
        }
    }
    say(found)
}

/// What the schema refuses, the program refuses or warns of.
fn no_false_alarm(of: &str, path: &str, keys: &[&'static str], cases: u32) {
    let schema = schema(of);
    let text = std::fs::read_to_string(workspace_root().join("testdata/manifests").join(path)).unwrap();
    let document = json_of(&text);
    assert!(schema.is_valid(&document), "{path}");
    for_each_mutation(&document, keys, cases, |changed| {
        if let Err(error) = schema.validate(changed) {
            let found = problems(path, &changed.to_string());
            prop_assert!(!found.is_empty(), "{} at {}: {}", error, error.instance_path(), changed);
        }
        Ok(())
    });
}

#[test]
fn the_schema_of_clusters_refuses_nothing_that_renders_without_a_word() {
    let keys = [
        "disable",
        "svc",
        "env",
        "containers",
        "branch",
        "primary",
        "image",
        "metadata",
        "allowFailure",
        "file",
    ];
    no_false_alarm("cluster", "clusters/us-1/cluster.yaml", &keys, 150);
    no_false_alarm("base", "base-cluster.yaml", &keys, 100);
}

#[test]
fn what_is_of_a_container_says_nothing_of_a_resource_that_names_its_containers() {
    let schema = schema("base");
    let resource = |text: &str| json!({"kind": "ClusterNamespace", "resources": {"web": json_of(text)}});
    let named = resource("{file: web.j2, primary: 0, containers: {web: {primary: true}}}");
    assert!(schema.is_valid(&named), "{named} {:?}", schema.validate(&named));
    assert!(!schema.is_valid(&resource("{file: web.j2, primary: 0}")));
    // A branch is of an image file.
    assert!(schema.is_valid(&resource("{file: web.yaml, branch: []}")));
    assert!(!schema.is_valid(&resource("{file: web.j2, image_tag: web, branch: []}")));
    assert!(!schema.is_valid(&resource("{file: web.j2, containers: {web: {image_tag: web}}, branch: []}")));
    assert!(!schema.is_valid(&resource("{file: web.j2, containers: {web: {image_tag: web, branch: []}}}")));
    assert!(!schema.is_valid(&resource("{file: web.j2, containers: {web: {primary: 0}}}")));
}

#[test]
fn the_schema_of_variables_refuses_nothing_that_renders_without_a_word() {
    no_false_alarm("var", "base-var.yaml", &["kind", "metadata", "env", "deployment"], 60);
    no_false_alarm("var", "type/production-var.yaml", &["kind", "metadata", "env", "deployment"], 60);
}

#[test]
fn schema_and_program_refuse_the_same_mistakes() {
    let cluster = "kind: ClusterNamespace\nmetadata: {name: us-1, type: production}\n";
    let (clusters, variables) = (schema("cluster"), schema("var"));
    assert!(
        clusters.is_valid(&json_of(cluster)) && problems("clusters/us-1/cluster.yaml", cluster).is_empty()
    );
    for wrong in [
        "metadata: {name: us-1, type: production}\n".to_owned(),
        cluster.replace("ClusterNamespace", "Cluster"),
        cluster.replace("name: us-1, ", ""),
        cluster.replace("us-1", ".us"),
        cluster.replace("us-1", "u/s"),
        cluster.replace(", type: production", ""),
        cluster.replace("production", "production, disable: \"true\""),
        format!("{cluster}resources: [cart]\n"),
        format!("{cluster}resources: {{cart: yes please}}\n"),
        format!("{cluster}resources: {{cart: {{disable: 1}}}}\n"),
        format!("{cluster}resources: {{cart: {{primary: \"true\"}}}}\n"),
        format!("{cluster}resources: {{cart: {{containers: {{cart: x}}}}}}\n"),
        format!("{cluster}resources: {{cart: {{env: [{{external: true}}]}}}}\n"),
        format!("{cluster}resources: {{cart: {{env: [{{name: X, external: true, encoding: utf16}}]}}}}\n"),
    ] {
        assert!(!clusters.is_valid(&json_of(&wrong)), "the schema takes {wrong}");
        assert!(!problems("clusters/us-1/cluster.yaml", &wrong).is_empty(), "the program takes {wrong}");
    }
    for wrong in ["a: 1\n", "kind: Config\n", "[a]\n", "kind: ClusterNamespace\n"] {
        assert!(!variables.is_valid(&json_of(wrong)), "the schema takes {wrong}");
        assert!(!problems("base-var.yaml", wrong).is_empty(), "the program takes {wrong}");
    }
}

#[test]
fn the_schemas_accept_every_repository_that_comes_with_kit() {
    let (kit, base, cluster, var) = (schema("kit"), schema("base"), schema("cluster"), schema("var"));
    let mut seen = 0;
    let mut folders =
        vec![workspace_root().join("testdata"), workspace_root().join("deploymentizer/src/init")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.file_name().unwrap().to_str().unwrap();
            let schema = match name {
                "kit.yaml" => &kit,
                "base-cluster.yaml" => &base,
                "cluster.yaml" => &cluster,
                _ if name.ends_with("-var.yaml") => &var,
                _ => continue,
            };
            let value = json_of(&std::fs::read_to_string(&path).unwrap());
            let is_definition = value.get("kind") == Some(&json!("ClusterNamespace"));
            let schema = if is_definition && name.ends_with("-var.yaml") { &base } else { schema };
            if value.get("metadata").is_none_or(|metadata| metadata.get("name").is_none())
                && name == "cluster.yaml"
            {
                continue;
            }
            assert!(schema.is_valid(&value), "{}: {:?}", path.display(), schema.validate(&value).err());
            seen += 1;
        }
    }
    assert!(seen > 100, "{seen}");
}
