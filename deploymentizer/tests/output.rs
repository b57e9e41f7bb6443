//! What is written, what is left alone, what is removed.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

mod repository;

use repository::Repository;

const ALL: [&str; 4] = ["eu/cart-svc.yaml", "eu/cart.yaml", "us/cart-svc.yaml", "us/cart.yaml"];

#[test]
fn every_cluster_gets_its_files_and_a_second_run_changes_nothing() {
    let repository = Repository::new();
    let first = repository.run(&[]).success();
    insta::assert_snapshot!(first.stdout, @r"
    eu: 2 written, 0 unchanged, 0 removed
    us: 2 written, 0 unchanged, 0 removed
    2 clusters: 4 written, 0 unchanged, 0 removed
    ");
    assert_eq!(repository.files(), ALL);
    insta::assert_snapshot!(repository.generated("us/cart.yaml"), @r#"
    apiVersion: apps/v1
    kind: Deployment
    metadata:
      name: cart
      labels: {region: us-east}
    spec:
      replicas: 4
      template:
        spec:
          containers:
            - name: cart
              image: registry.example.com/shop/cart:main-1
              env:
                - name: LEVEL
                  value: "info"
    "#);
    let modified = |path: &str| std::fs::metadata(repository.sandbox.join(path)).unwrap().modified().unwrap();
    let before = (modified("generated/eu"), modified("generated/eu/cart.yaml"));
    let second = repository.run(&["--detailed-exitcode"]).success();
    assert_eq!(second.stdout, "2 clusters: 0 written, 4 unchanged, 0 removed\n");
    assert_eq!((modified("generated/eu"), modified("generated/eu/cart.yaml")), before);
}

#[test]
fn only_what_an_earlier_run_wrote_is_removed() {
    let repository = Repository::new();
    repository.run(&[]).success();
    repository.write("generated/eu/README.md", "mine");
    repository.write("generated/mine/x.yaml", "mine");
    repository.replace(
        "clusters/us/cluster.yaml",
        "type: prod}",
        "type: prod}\nresources: {cart: {disable: true}}",
    );
    let answer = repository.run(&["--clean"]).success();
    assert_eq!(
        answer.stdout,
        "us: 0 written, 0 unchanged, 2 removed\n2 clusters: 0 written, 2 unchanged, 2 removed\n"
    );
    assert_eq!(repository.files(), ["eu/README.md", "eu/cart-svc.yaml", "eu/cart.yaml", "mine/x.yaml"]);
}

#[test]
fn a_cluster_that_left_the_repository_is_removed_unless_clean_is_off() {
    let repository = Repository::new();
    repository.run(&[]).success();
    repository.remove("clusters/us");
    repository.run(&["--clean", "false"]).success();
    assert_eq!(repository.files(), ALL);
    let answer = repository.run(&[]).success();
    assert!(
        answer.stdout.contains("us: no longer in the repository, 0 written, 0 unchanged, 2 removed"),
        "{answer}"
    );
    assert_eq!(repository.files(), &ALL[..2]);
    assert!(!repository.sandbox.join("generated/us").exists());
}

#[test]
fn filters_select_by_name_pattern_and_type_and_never_remove_what_they_left_out() {
    let repository = Repository::new();
    repository.run(&[]).success();
    repository.remove("clusters/us");
    repository.replace("base-cluster.yaml", "    svc: {name: cart-svc}\n", "");
    repository
        .write("clusters/ap/cluster.yaml", "kind: ClusterNamespace\nmetadata: {name: ap, type: prod}\n");
    repository.write("clusters/ap/configuration-var.yaml", "kind: ResourceConfig\nregion: ap\n");
    repository.run(&["--cluster-name", "a*"]).success();
    assert_eq!(repository.files(), [&["ap/cart.yaml"], &ALL[..]].concat());
    repository.run(&["--cluster-name", "eu", "--cluster-name", "ap"]).success();
    assert_eq!(repository.files(), ["ap/cart.yaml", "eu/cart.yaml", "us/cart-svc.yaml", "us/cart.yaml"]);
    repository.run(&["--cluster-type", "prod"]).success();
    assert!(repository.sandbox.join("generated/us/cart.yaml").exists());
}

#[test]
fn a_resource_filter_touches_only_that_resource() {
    let repository = Repository::new();
    repository.append("base-cluster.yaml", "  settings: {file: settings.yaml}\n");
    repository
        .write("resources/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n");
    repository.run(&[]).success();
    repository.replace("base-cluster.yaml", "  settings: {", "  settings: {disable: true, ");
    repository.replace("base-var.yaml", "replicas: 2", "replicas: 3");
    let answer = repository.run(&["--resource", "cart"]).success();
    assert!(answer.stdout.starts_with("eu: 1 written, 1 unchanged, 0 removed\n"), "{answer}");
    assert!(repository.files().contains(&"eu/settings.yaml".to_owned()));
    repository.run(&["--resource", "settings"]).success();
    assert!(!repository.files().contains(&"eu/settings.yaml".to_owned()));
}

#[test]
fn a_failed_cluster_keeps_its_old_folder_and_the_others_are_written() {
    let repository = Repository::new();
    repository.run(&[]).success();
    repository.replace("base-var.yaml", "replicas: 2", "replicas: 3");
    repository.append("clusters/us/cluster.yaml", "resources: {cart: {image_tag: shop/crat}}\n");
    let answer = repository.run(&[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    insta::assert_snapshot!(answer.to_string());
    assert!(repository.generated("eu/cart.yaml").contains("replicas: 3"));
    assert!(repository.generated("us/cart.yaml").contains("replicas: 4"));
    repository.append("clusters/eu/cluster.yaml", "resources: {cart: {image_tag: shop/crat}}\n");
    assert_eq!(repository.run(&[]).exit_code, 1);
}

#[test]
fn save_false_says_what_would_change_and_writes_nothing() {
    let repository = Repository::new();
    let answer = repository.run(&["--save", "false", "--detailed-exitcode"]);
    assert_eq!(answer.exit_code, 3, "{answer}");
    assert!(answer.stdout.contains("eu: 2 to write, 0 unchanged, 0 to remove (nothing saved)"), "{answer}");
    assert!(!repository.sandbox.join("generated").exists());
}

#[test]
fn stdout_prints_the_stream_and_writes_nothing() {
    let repository = Repository::new();
    let answer = repository.run(&["--stdout", "--cluster-name", "eu"]).success();
    assert!(answer.stdout.starts_with("---\n# eu/cart.yaml\napiVersion: apps/v1\n"), "{answer}");
    assert!(answer.stdout.contains("\n---\n# eu/cart-svc.yaml\napiVersion: v1\n"), "{answer}");
    assert!(!repository.sandbox.join("generated").exists());
}

#[test]
fn json_says_what_happened_to_each_cluster() {
    let repository = Repository::new();
    repository.append("clusters/us/cluster.yaml", "resources: {cart: {branch: next}}\n");
    let answer = repository.run(&["--output", "json"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let json = answer.json();
    assert_eq!(json["version"], 1);
    assert_eq!(json["exitCode"], 4);
    assert_eq!(json["clusters"][0]["name"], "eu");
    assert_eq!(json["clusters"][0]["status"], "changed");
    assert_eq!(json["clusters"][0]["written"], serde_json::json!(["cart.yaml", "cart-svc.yaml"]));
    assert_eq!(json["clusters"][1]["status"], "failed");
    assert_eq!(json["errors"].as_array().unwrap().len(), 1);
}

#[test]
fn a_file_that_deploymentizer_did_not_write_is_not_overwritten_unless_adopted() {
    let repository = Repository::new();
    repository.write("generated/eu/cart.yaml", "theirs\n");
    let answer = repository.run(&[]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    insta::assert_snapshot!(answer.stderr);
    assert_eq!(repository.generated("eu/cart.yaml"), "theirs\n");
    repository.run(&["--adopt"]).success();
    assert!(repository.generated("eu/cart.yaml").starts_with("apiVersion"));
}

#[test]
fn every_flag_has_its_variable() {
    let repository = Repository::new();
    let call = testkit::program("deploymentizer")
        .env("SAVE", "false")
        .env("CLUSTER_NAME", "eu")
        .env("CLUSTER_TYPE", "");
    let answer = repository.sandbox.run(call).success();
    assert!(answer.stdout.contains("1 cluster: 2 to write"), "{answer}");
    let call = testkit::program("deploymentizer")
        .env("RESOURCE", "cart")
        .env("DEPLOY_ID", "d1")
        .env("FAST_ROLLBACK", "true");
    repository.append("resources/cart.yaml.j2", "# {{ deployment.id }} {{ deployment.fastRollback }}\n");
    repository.sandbox.run(call).success();
    assert!(repository.generated("eu/cart.yaml").ends_with("# d1 true\n"));
}

#[test]
fn paths_are_relative_to_kit_yaml_or_to_workdir() {
    let repository = Repository::new();
    let folder = repository.sandbox.join("elsewhere");
    std::fs::create_dir(&folder).unwrap();
    std::fs::rename(repository.sandbox.join("kit.yaml"), folder.join("kit.yaml")).unwrap();
    repository.run(&["--conf", "elsewhere/kit.yaml", "--workdir", "."]).success();
    assert_eq!(repository.files(), ALL);
    std::fs::rename(folder.join("kit.yaml"), repository.sandbox.join("kit.yaml")).unwrap();
    let conf = repository.sandbox.join("kit.yaml");
    let other = testkit::Sandbox::new();
    let call = testkit::program("deploymentizer").arg("--conf").arg(&conf);
    let answer = other.run(call).success();
    assert_eq!(answer.stdout, "2 clusters: 0 written, 4 unchanged, 0 removed\n");
}

#[test]
fn a_cluster_renders_the_same_alone_and_among_others() {
    let repository = Repository::new();
    repository.append("base-cluster.yaml", "  twin: {file: twin.mustache, env: [{name: A, value: \"1\"}]}\n");
    repository.write(
        "resources/twin.mustache",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{name}}}\ndata:\n  zone: \"{{zone}}\"\n{{#twin.env}}\n  {{name}}: \"{{value}}\"\n{{/twin.env}}\n",
    );
    repository.append("resources/cart.yaml.j2", "{% include \"lib/tail.j2\" %}\n");
    repository.write(
        "resources/lib/tail.j2",
        "# {{ zone | default('none') }} {{ cluster.name if tell is defined }}\n",
    );
    let changes = [
        "",
        "zone: a\n",
        "zone: a\n",
        "tell: true\n",
        "region: x\n",
        "zone: [1]\n",
        "level: x\n",
        "zone: \"1\"\n",
        "zone: 1\n",
    ];
    for (at, change) in changes.iter().enumerate() {
        let resources = match at % 3 {
            0 => "",
            1 => "resources: {twin: {env: [{name: A, value: \"2\"}]}}\n",
            _ => "resources: {cart: {env: [{name: LEVEL, value: debug}]}}\n",
        };
        let cluster = format!("kind: ClusterNamespace\nmetadata: {{name: c{at}, type: prod}}\n{resources}");
        repository.write(&format!("clusters/c{at}/cluster.yaml"), &cluster);
        let region = if change.starts_with("region") { "" } else { "region: r\n" };
        repository.write(
            &format!("clusters/c{at}/configuration-var.yaml"),
            &format!("kind: ResourceConfig\n{region}{change}"),
        );
    }
    let together = repository.run(&["--stdout", "--jobs", "1", "--cluster-name", "c*"]);
    let alone: String = (0..changes.len())
        .map(|at| repository.run(&["--stdout", "--cluster-name", &format!("c{at}")]).stdout)
        .collect();
    assert_eq!(together.stdout, alone);
    assert!(alone.contains("# none c3"), "{alone}");
}

#[test]
fn a_resource_that_may_fail_is_left_out_and_what_it_had_before_stays() {
    let repository = Repository::new();
    repository.append("base-cluster.yaml", "  settings: {file: settings.yaml}\n");
    repository
        .write("resources/settings.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\n");
    repository.run(&["--cluster-name", "eu"]).success();
    repository.replace("base-cluster.yaml", "  branch: main", "  branch: main\n  allowFailure: true");
    repository.replace("base-cluster.yaml", "shop/cart", "shop/crat");
    repository.append("resources/settings.yaml", "data: {a: b}\n");
    let answer = repository.run(&[]).success();
    insta::assert_snapshot!(answer.to_string());
    assert_eq!(
        repository.files(),
        ["eu/cart-svc.yaml", "eu/cart.yaml", "eu/settings.yaml", "us/settings.yaml"]
    );
    assert!(repository.generated("eu/settings.yaml").ends_with("data: {a: b}\n"));
    repository.replace("base-cluster.yaml", "  cart:\n", "  cart:\n    disable: true\n");
    repository.run(&[]).success();
    assert_eq!(repository.files(), ["eu/settings.yaml", "us/settings.yaml"]);
}
