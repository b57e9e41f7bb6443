//! Where images can be written: properties, kustomizations, everywhere.

use crate::{assert_answer, remote::Remote};

const VALUES: &str = "# chart\nimage:\n  repository: quay.io/acme/web\n  tag: \"1.9\"  # float\n";
const KUSTOMIZATION: &str =
    "resources: [../base]\nimages:\n- name: web\n  newName: quay.io/acme/web\n  newTag: v1\n";
const MANIFESTS: &str = "kind: Deployment\nmetadata: {name: web}\nspec:\n  template:\n    spec:\n      containers:\n      \
    - name: web\n        image: quay.io/acme/web:v1 # ours\n      - name: proxy\n        image: envoy:1\n---\n\
    kind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n    spec:\n      containers:\n      \
    - name: web\n        image: quay.io/acme/web:v0\n";

fn remote() -> Remote {
    Remote::with(&[
        ("charts/web/values.yaml", VALUES),
        ("charts/web/templates/web.yaml", "image: {{ .Values.image.repository }}:{{ .Values.image.tag }}\n"),
        ("overlays/eu/kustomization.yaml", KUSTOMIZATION),
        ("raw/web.yaml", MANIFESTS),
        ("raw/web.txt", "image: quay.io/acme/web:v1\n"),
        ("raw/broken.yaml", "not: [yaml\n"),
    ])
}

#[test]
fn a_helm_value_gets_the_tag_alone() {
    let remote = remote();
    let answer = remote.run(&[
        "--image",
        "quay.io/acme/web:1.10",
        "--file",
        "charts/web/values.yaml",
        "--property",
        "image.tag",
    ]);
    assert_eq!(remote.file("main", "charts/web/values.yaml").unwrap(), VALUES.replace("1.9", "1.10"));
    assert_answer!(answer);
}

#[test]
fn a_kustomization_entry_is_found_by_its_name() {
    let remote = remote();
    remote
        .run(&[
            "--image",
            "quay.io/acme/web:v2",
            "--file",
            "./overlays/eu/kustomization.yaml",
            "--property",
            "images[name=web].newTag",
        ])
        .success();
    assert_eq!(
        remote.file("main", "overlays/eu/kustomization.yaml").unwrap(),
        KUSTOMIZATION.replace("v1", "v2")
    );
}

#[test]
fn a_container_of_one_of_several_objects_is_set() {
    let remote = remote();
    let args = [
        "--image",
        "quay.io/acme/web:v2",
        "--file",
        "raw/web.yaml",
        "--property",
        "spec.template.spec.containers[name=web].image",
    ];
    let ambiguous = remote.run(&args);
    assert_answer!(ambiguous);
    remote.run(&[&args[..], &["--object", "Deployment/web"]].concat()).success();
    assert_eq!(remote.file("main", "raw/web.yaml").unwrap(), MANIFESTS.replace("web:v1", "web:v2"));
}

#[test]
fn everywhere_sets_every_place_of_the_repository_and_skips_what_it_is_not_in() {
    let remote = remote();
    let answer =
        remote.run(&["--image", "quay.io/acme/web:v2", "--everywhere", "raw", "--everywhere", "overlays/"]);
    assert_eq!(
        remote.file("main", "raw/web.yaml").unwrap(),
        MANIFESTS.replace("web:v1", "web:v2").replace("web:v0", "web:v2")
    );
    assert_eq!(remote.file("main", "raw/web.txt").unwrap(), "image: quay.io/acme/web:v1\n");
    assert_answer!(answer);
}

#[test]
fn everywhere_that_finds_nothing_is_an_error() {
    let remote = remote();
    let answer = remote.run(&["--image", "quay.io/acme/other:v2", "--everywhere", "."]);
    assert_eq!(answer.exit_code, 2);
    assert_answer!(answer);
}

#[test]
fn the_same_property_of_several_files_is_set_in_one_commit() {
    let remote = Remote::with(&[("eu.yaml", "image: a/web:1\n"), ("us.yaml", "image: a/web:1\n")]);
    remote
        .run(&["--image", "a/web:2", "--file", "eu.yaml", "--file", "us.yaml", "--property", "image"])
        .success();
    assert_eq!(remote.file("main", "eu.yaml"), remote.file("main", "us.yaml"));
    assert_eq!(remote.tip("main").1, 2);
}

#[test]
fn a_missing_property_is_created_only_when_asked() {
    let remote = remote();
    let args = ["--image", "acme/db:2", "--file", "charts/web/values.yaml", "--property", "db.image"];
    let refused = remote.run(&args);
    assert_eq!(refused.exit_code, 2);
    assert_answer!(refused);
    remote.run(&[&args[..], &["--create"]].concat()).success();
    assert_eq!(
        remote.file("main", "charts/web/values.yaml").unwrap(),
        format!("{VALUES}db:\n  image: acme/db:2\n")
    );
}

#[test]
fn two_images_for_one_property_are_refused() {
    let remote = Remote::with(&[("a.yaml", "image: a/web:1\n")]);
    let list = "a/web:2 a.yaml image\na/web:3 a.yaml image\n";
    let answer = remote.sandbox.run(remote.call(&["--image", "-"]).stdin(list));
    assert_eq!(remote.tip("main").1, 1);
    assert_answer!(answer);
}

#[test]
fn every_edit_that_is_refused_is_reported() {
    let remote = Remote::with(&[
        ("a.yaml", "image: &a a/web:1\ncopy: *a\n"),
        ("b.yaml", "image: >-\n  a/web:1\n"),
        ("c.yaml", "image: a/web:1\n"),
    ]);
    let files = ["--file", "a.yaml", "--file", "b.yaml", "--file", "c.yaml", "--file", "d.yaml"];
    let answer = remote.run(&[&["--image", "a/web:2", "--property", "image"], &files[..]].concat());
    assert_eq!(answer.exit_code, 2);
    assert_eq!(remote.tip("main").1, 1);
    assert_answer!(answer);
}
