//! A change is rendered where it reaches and nowhere else, and what is not rendered is not different.
#![allow(clippy::unwrap_used)]

mod repository;

use std::collections::{BTreeMap, BTreeSet};

use repository::Repository;
use serde_json::Value;
use testkit::read_tree;

/// Two clusters with `cart`, `search` and `notes`, committed to git.
fn committed() -> Repository {
    let repository = Repository::new();
    let more =
        "  search:\n    file: search.yaml.j2\n    image_tag: shop/cart\n  notes:\n    file: notes.yaml\n";
    repository.append("base-cluster.yaml", more);
    let search = "{% include \"head.j2\" %}\ndata:\n  level: {{ level }}\n";
    repository.write("resources/search.yaml.j2", search);
    repository.write("resources/head.j2", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ name }}}\n");
    let notes = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: notes}\ndata: {a: b}\n";
    repository.write("resources/notes.yaml", notes);
    repository.write(".gitignore", "generated/\n");
    repository.sandbox.git_init();
    repository
}

fn diff(repository: &Repository) -> Value {
    serde_json::from_str(&repository.run(&["diff", "--output", "json"]).success().stdout).unwrap()
}

/// `cluster/file` of everything that a diff shows.
fn shown(diff: &Value) -> BTreeSet<String> {
    let groups = diff["groups"].as_array().unwrap().iter();
    let places = groups.flat_map(|group| group["places"].as_array().unwrap());
    let name =
        |place: &Value| format!("{}/{}", place["cluster"].as_str().unwrap(), place["file"].as_str().unwrap());
    places.map(name).collect()
}

fn tree(repository: &Repository) -> BTreeMap<String, Vec<u8>> {
    repository.run(&["--quiet"]).success();
    read_tree(&repository.sandbox.join("generated"), false)
}

#[test]
fn diff_renders_only_the_resources_that_a_change_reaches() {
    let repository = committed();
    let before = tree(&repository);
    // The file, a text in it and what takes its place; how many clusters and resources in them are rendered.
    for (file, from, to, clusters, resources) in [
        ("base-cluster.yaml", "kind:", "# a word\nkind:", 0, 0),
        ("base-var.yaml", "replicas: 2", "replicas: 2\nunused: 1", 0, 0),
        ("base-cluster.yaml", "value: info", "value: debug", 2, 2),
        ("base-var.yaml", "replicas: 2", "replicas: 3", 1, 1),
        ("type/prod-var.yaml", "level: warn", "level: error", 2, 2),
        ("type/prod-var.yaml", "level: warn", "level: 'warn'", 0, 0),
        ("clusters/eu/configuration-var.yaml", "eu-west", "eu-north", 1, 1),
        ("resources/search.yaml.j2", "data:", "data: # all", 2, 2),
        ("resources/head.j2", "v1\n", "v1\n\n", 2, 2),
        ("resources/notes.yaml", "a: b", "a: c", 2, 2),
        ("resources/base-svc.yaml.j2", "port: 80", "port: 81", 2, 2),
        ("images/shop/cart/main.yaml", "main-1", "main-2", 2, 2),
        ("clusters/us/cluster.yaml", "}", "}\nresources: {notes: {disable: true}}", 1, 1),
    ] {
        let text = repository.sandbox.read(file);
        repository.replace(file, from, to);
        let diff = diff(&repository);
        let told = (diff["clusters"]["rendered"].clone(), diff["resources"]["rendered"].clone());
        assert_eq!(told, (clusters.into(), resources.into()), "{file}: {to}");
        let after = tree(&repository);
        let names = before.keys().chain(after.keys());
        let differ: BTreeSet<String> =
            names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect();
        assert_eq!(shown(&diff), differ, "{file}: {to}");
        repository.write(file, &text);
    }
}

#[test]
fn a_template_that_computes_a_name_is_rendered_whatever_template_changes() {
    let repository = committed();
    let template = "{% set part = 'head.j2' %}{% include part %}\n";
    repository.write("resources/search.yaml.j2", template);
    repository.sandbox.git(&["commit", "-qam", "second"]);
    assert_eq!(diff(&repository)["resources"]["rendered"], 0);
    repository.append("resources/head.j2", "# more\n");
    assert_eq!(shown(&diff(&repository)), BTreeSet::from(["eu/search.yaml".into(), "us/search.yaml".into()]));
}

#[test]
fn the_image_files_of_containers_in_a_list_and_of_a_branch_called_zero_are_known() {
    let repository = committed();
    let pair = "  pair:\n    file: pair.yaml.j2\n    containers:\n    - image_tag: shop/pair\n      primary: true\n    - image: fixed:1\n";
    repository.append("base-cluster.yaml", pair);
    repository.write(
        "resources/pair.yaml.j2",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ name }}}\ndata: {image: \"{{ container.image }}\"}\n",
    );
    repository.replace("clusters/us/cluster.yaml", "name: us", "name: us, branch: 0");
    for file in ["pair/main", "pair/0", "cart/0"] {
        repository.write(&format!("images/shop/{file}.yaml"), "image: some:1\n");
    }
    repository.sandbox.git(&["add", "--all"]);
    repository.sandbox.git(&["commit", "-qm", "second"]);
    let listed = repository.run(&["list", "--output", "json"]).success().stdout;
    assert!(listed.contains("shop/pair") && listed.contains("fixed:1"), "{listed}");
    for (branch, cluster) in [("main", "eu"), ("0", "us")] {
        let image = format!("images/shop/pair/{branch}.yaml");
        repository.replace(&image, "some:1", "some:2");
        assert_eq!(shown(&diff(&repository)), BTreeSet::from([format!("{cluster}/pair.yaml")]), "{image}");
        repository.replace(&image, "some:2", "some:1");
    }
}

#[test]
fn what_a_change_brings_in_the_way_of_others_is_found() {
    let repository = committed();
    repository.replace("resources/search.yaml.j2", "{% include", "{% set name = 'notes' %}{% include");
    let answer = repository.run(&["diff"]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(answer.stderr.contains("ConfigMap/notes is defined twice"), "{answer}");
    assert!(answer.stderr.contains("in the new state"), "{answer}");
}

#[test]
fn a_cluster_that_is_broken_in_both_states_is_none_of_a_diff() {
    let repository = committed();
    repository.replace("clusters/us/cluster.yaml", "}", "}\nresources: {cart: {branch: nowhere}}");
    repository.sandbox.git(&["commit", "-qam", "second"]);
    repository.replace("clusters/eu/configuration-var.yaml", "eu-west", "eu-north");
    assert_eq!(shown(&diff(&repository)), BTreeSet::from(["eu/cart.yaml".into()]));
}
