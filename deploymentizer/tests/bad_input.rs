//! Bad input, one test each, the whole message in a snapshot: no half-written tree, no exit 0.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

mod repository;

use repository::Repository;

/// Runs, expects failure with `exit_code`, and that nothing was written.
#[track_caller]
fn refused(repository: &Repository, args: &[&str], exit_code: i32) -> String {
    let answer = repository.run(args);
    assert_eq!(answer.exit_code, exit_code, "{answer}");
    assert_eq!(repository.files(), Vec::<String>::new());
    answer.to_string()
}

macro_rules! bad {
    ($name:ident, $exit:expr, $args:expr, |$repository:ident| $change:expr) => {
        #[test]
        fn $name() {
            let $repository = Repository::new();
            $change;
            insta::assert_snapshot!(refused(&$repository, &$args, $exit));
        }
    };
}

bad!(no_kit_yaml, 2, [], |r| r.remove("kit.yaml"));
bad!(kit_yaml_is_not_yaml, 2, [], |r| r.write("kit.yaml", "base: {path: .}\noutput: {path: x\n"));
bad!(kit_yaml_has_an_unknown_key, 2, [], |r| r.append("kit.yaml", "clusters: {path: x}\n"));
bad!(kit_yaml_lacks_a_section, 2, [], |r| r.replace("kit.yaml", "images: {path: ./images}\n", ""));
bad!(the_base_folder_has_no_base_cluster, 2, [], |r| r.replace(
    "kit.yaml",
    "base: {path: .}",
    "base: {path: bse}"
));
bad!(base_cluster_is_not_yaml, 2, [], |r| r.append("base-cluster.yaml", "  x: a: b\n"));
bad!(base_var_has_a_duplicate_key, 2, [], |r| r.append("base-var.yaml", "replicas: 3\n"));
bad!(base_cluster_is_of_the_wrong_kind, 2, [], |r| r.replace(
    "base-cluster.yaml",
    "ClusterNamespace",
    "Cluster"
));
bad!(a_type_is_not_yaml, 2, [], |r| r.append("type/prod-var.yaml", "x: [1\n"));
bad!(a_type_without_a_name, 2, [], |r| r.replace("type/prod-var.yaml", "metadata: {type: prod}\n", ""));
bad!(cluster_files_are_not_yaml, 1, [], |r| {
    r.append("clusters/eu/cluster.yaml", "\tx: 1\n");
    r.append("clusters/us/cluster.yaml", "x: \"a\n");
});
bad!(cluster_variables_are_not_yaml, 1, [], |r| {
    r.append("clusters/eu/configuration-var.yaml", "x: *nowhere\n");
    r.append("clusters/us/configuration-var.yaml", "x: {{ y }}\n");
});
bad!(an_image_file_is_not_yaml, 1, [], |r| r.write("images/shop/cart/main.yaml", "image: a\n- b\n"));
bad!(an_image_file_without_an_image, 1, [], |r| r.write("images/shop/cart/main.yaml", "imgae: a\n"));
bad!(no_image_for_the_branch, 1, [], |r| r.replace("base-cluster.yaml", "branch: main", "branch: 1.10"));
bad!(an_unknown_image, 1, [], |r| r.replace("base-cluster.yaml", "shop/cart", "shop/crat"));
bad!(clusters_of_an_unknown_type, 1, [], |r| {
    r.replace("clusters/eu/cluster.yaml", "type: prod", "type: prd");
    r.replace("clusters/us/cluster.yaml", ", type: prod", "");
});
bad!(two_clusters_of_one_name, 1, [], |r| r.replace("clusters/us/cluster.yaml", "name: us", "name: eu"));
bad!(cluster_names_that_leave_the_output, 1, [], |r| {
    r.replace("clusters/eu/cluster.yaml", "name: eu", "name: ../eu");
    r.replace("clusters/us/cluster.yaml", "name: us", "name: .us");
});
bad!(no_clusters_folder, 1, [], |r| r.remove("clusters"));
bad!(a_template_is_missing, 1, [], |r| r.replace(
    "base-cluster.yaml",
    "file: cart.yaml.j2",
    "file: crat.yaml.j2"
));
bad!(a_template_leaves_its_folder, 1, [], |r| r.replace("base-cluster.yaml", "cart.yaml.j2", "../kit.yaml"));
bad!(an_unknown_file_type, 1, [], |r| r.replace("base-cluster.yaml", "cart.yaml.j2", "cart.txt"));
bad!(a_template_with_a_syntax_error, 1, [], |r| r.append("resources/cart.yaml.j2", "{% if x %}\n"));
bad!(a_template_with_an_unknown_filter, 1, [], |r| r.replace("resources/cart.yaml.j2", "| quote", "| qoute"));
bad!(a_template_with_an_undefined_variable, 1, [], |r| r.replace(
    "resources/cart.yaml.j2",
    "container.image",
    "container.imag"
));
bad!(a_template_with_an_undefined_name, 1, [], |r| r.replace(
    "resources/cart.yaml.j2",
    "{{ replicas }}",
    "{{ replica }}"
));
bad!(a_template_that_prints_a_list, 1, [], |r| r.replace(
    "resources/cart.yaml.j2",
    "container.image",
    "container.env"
));
bad!(a_template_that_never_ends, 1, [], |r| {
    r.append(
        "resources/cart.yaml.j2",
        "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}\n",
    );
});
bad!(a_template_that_includes_itself, 1, [], |r| r
    .append("resources/cart.yaml.j2", "{% include 'cart.yaml.j2' %}\n"));
bad!(a_template_that_includes_a_file_outside, 1, [], |r| r
    .append("resources/cart.yaml.j2", "{% include '../kit.yaml' %}\n"));
bad!(a_template_that_includes_what_is_not_there, 1, [], |r| r
    .append("resources/cart.yaml.j2", "{% include 'x.j2' %}\n"));
bad!(a_required_value_is_missing, 1, [], |r| {
    r.append("resources/cart.yaml.j2", "# {{ owner | required('set `owner` in base-var.yaml') }}\n");
});
bad!(a_mustache_template_with_a_syntax_error, 1, [], |r| {
    r.replace("base-cluster.yaml", "cart.yaml.j2", "cart.mustache");
    r.write("resources/cart.mustache", "a: 1\n{{#b}}\n");
});
bad!(strict_names_what_a_mustache_template_does_not_find, 1, ["--strict"], |r| {
    r.replace("base-cluster.yaml", "cart.yaml.j2", "cart.mustache");
    r.write(
        "resources/cart.mustache",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{name}}}\ndata: {a: \"{{replica}}\", b: \"{{x}}{{^x}}y{{/x}}\"}\n",
    );
});
bad!(the_output_is_not_yaml, 1, [], |r| {
    r.replace("clusters/eu/configuration-var.yaml", "eu-west", "\"eu}: west\"");
    r.replace("clusters/us/configuration-var.yaml", "us-east", "\"us}: east\"");
});
bad!(the_output_of_a_mustache_template_is_not_yaml, 1, [], |r| {
    r.replace("base-cluster.yaml", "cart.yaml.j2", "cart.mustache");
    r.write(
        "resources/cart.mustache",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{name}}\n  a: {{{level}}}: x\n",
    );
});
bad!(the_output_has_no_kind, 1, [], |r| r.replace("resources/cart.yaml.j2", "kind: Deployment\n", ""));
bad!(the_output_has_a_bad_name, 1, [], |r| r.replace("base-cluster.yaml", "  cart:\n", "  Cart_1:\n"));
bad!(a_copied_file_is_not_yaml, 1, [], |r| {
    r.append("base-cluster.yaml", "  extra: {file: extra.yaml}\n");
    r.write("resources/extra.yaml", "a: b: c\n");
});
bad!(two_resources_make_the_same_file, 1, [], |r| r
    .append("base-cluster.yaml", "  copy: {file: cart.yaml.j2, image_tag: shop/cart, env: []}\n"));
bad!(two_files_define_the_same_object, 1, [], |r| {
    r.append("base-cluster.yaml", "  twin: {file: twin.yaml}\n");
    r.write("resources/twin.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: cart}\n");
});
bad!(a_service_without_a_name, 1, [], |r| r.replace("base-cluster.yaml", "{name: cart-svc}", "{port: 80}"));
bad!(a_service_name_that_leaves_the_output, 1, [], |r| r.replace(
    "base-cluster.yaml",
    "cart-svc",
    "../../evil"
));
bad!(no_template_for_services, 1, [], |r| r.remove("resources/base-svc.yaml.j2"));
bad!(containers_without_a_main_one, 1, [], |r| {
    r.replace(
        "base-cluster.yaml",
        "    image_tag: shop/cart\n",
        "    containers: {a: {image: x}, b: {image: y}}\n",
    );
});
bad!(an_external_value_is_not_set, 1, [], |r| {
    r.replace("base-cluster.yaml", "{name: LEVEL, value: info}", "{name: TOKEN, external: true}");
});
bad!(an_unknown_cluster_name, 2, ["--cluster-name", "ue"], |_r| {});
bad!(an_unknown_cluster_type, 2, ["--cluster-type", "prd"], |_r| {});
bad!(an_unknown_resource, 2, ["--resource", "crat"], |_r| {});
bad!(a_deploy_id_without_a_resource, 2, ["--deploy-id", "x"], |_r| {});
bad!(fast_rollback_without_a_deploy_id, 2, ["--fast-rollback", "true"], |_r| {});
bad!(a_pattern_that_is_none, 2, ["--cluster-name", "a["], |_r| {});
bad!(an_unknown_plugin, 2, [], |r| r.append("kit.yaml", "plugin: {path: ../vault, options: {}}\n"));
bad!(an_unknown_option_of_a_plugin, 2, [], |r| r
    .append("kit.yaml", "plugin: {path: file-config, options: {configPath: x, pth: y}}\n"));
bad!(values_of_the_file_plugin_are_missing, 1, [], |r| r
    .append("kit.yaml", "plugin: {path: file-config, options: {configPath: config}}\n"));

#[test]
fn a_boolean_that_is_none_is_a_usage_error() {
    let repository = Repository::new();
    let answer = repository.run(&["--save", "maybe"]);
    assert_eq!(answer.exit_code, 2, "{answer}");
}

#[test]
fn symbolic_links_out_of_the_repository_are_refused() {
    let repository = Repository::new();
    let outside = testkit::Sandbox::new();
    let template = outside.write("cart.yaml.j2", "a: 1\n");
    repository.remove("resources/cart.yaml.j2");
    std::os::unix::fs::symlink(template, repository.sandbox.join("resources/cart.yaml.j2")).unwrap();
    let answer = repository.run(&[]);
    assert_eq!(answer.exit_code, 1, "{answer}");
    assert!(answer.stderr.contains("is a symbolic link out of the folder of the resources"), "{answer}");
    assert!(repository.files().is_empty());
}

#[test]
fn a_yaml_bomb_is_refused() {
    let repository = Repository::new();
    let mut bomb = "kind: ResourceConfig\na0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(",")));
    }
    repository.write("base-var.yaml", &bomb);
    let answer = repository.run(&[]);
    assert_eq!(answer.exit_code, 2, "{answer}");
    assert!(answer.stderr.contains("YAML bomb"), "{answer}");
}
