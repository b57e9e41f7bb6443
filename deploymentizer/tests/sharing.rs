//! Clusters share what is rendered for them. Nobody may notice: a cluster among others is as it is alone.
#![allow(clippy::unwrap_used)]

mod repository;

use repository::Repository;

/// What `zone` is in each cluster: words, and what YAML takes for something else or for nothing at all.
const ZONES: [&str; 13] = [
    "eu-1",
    "eu-2",
    "'yes'",
    "yes",
    "7",
    "'7'",
    "1.50",
    "''",
    "'a b # c'",
    "\"it's\"",
    "'&x'",
    "{a: b}",
    "'k: v'",
];

const JINJA: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ name }}
  labels:
    zone: {{ zone | default('none', true) | quote }}
data:
  plain: {{ region }}
  quoted: \"{{ region }}.example.com\"
  nested: {in: [\"{{ region }}\"]}
  text: |
    {{ region }}
  level: {{ level }}
{% for entry in container.env %}
  {{ entry.name }}: {{ entry.value | quote }}
{% endfor %}
";

/// In it a name is printed, escaped and not, and shadowed in a section.
const MUSTACHE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{name}}
data:
  escaped: \"{{region}}\"
  plain: {{{level}}}
  {{#cart.env}}
  {{name}}: \"{{value}} {{region}} {{level}}\"
  {{/cart.env}}
";

fn clusters(repository: &Repository) {
    repository.remove("clusters/eu");
    repository.remove("clusters/us");
    for (at, zone) in ZONES.iter().enumerate() {
        let vars = format!("kind: ResourceConfig\nregion: {zone}\nzone: z{at}\nlevel: {}\n", at % 2);
        repository.write(&format!("clusters/c{at}/configuration-var.yaml"), &vars);
        let cluster = format!("kind: ClusterNamespace\nmetadata: {{name: c{at}, type: prod}}\n");
        repository.write(&format!("clusters/c{at}/cluster.yaml"), &cluster);
    }
}

/// The stream of each cluster, or what is wrong with it, alone and among all; the two must be the same.
fn same_alone_and_together(repository: &Repository) -> (usize, usize) {
    let together = repository.run(&["--stdout", "--jobs", "1"]);
    let (mut right, mut wrong) = (0, 0);
    for at in 0..ZONES.len() {
        let alone = repository.run(&["--stdout", "--cluster-name", &format!("c{at}")]);
        if alone.stdout.is_empty() {
            wrong += 1;
            // The place in the template or the value that made it broken, in both.
            let told = alone.stderr.lines().filter(|line| line.contains("renders to"));
            for line in told {
                let what = line.split("renders to").nth(1).unwrap();
                assert!(together.stderr.contains(what), "c{at}: {what}\n{together}");
            }
            assert!(!together.stdout.contains(&format!("# c{at}/")), "c{at}");
        } else {
            right += 1;
            assert!(together.stdout.contains(&alone.stdout), "c{at}\n{alone}\n{together}");
        }
    }
    (right, wrong)
}

#[test]
fn a_cluster_among_others_is_as_it_is_alone() {
    let repository = Repository::new();
    clusters(&repository);
    repository.write("resources/cart.yaml.j2", JINJA);
    // A map is never printed by accident, and `plain: k: v` is no YAML.
    assert_eq!(same_alone_and_together(&repository), (11, 2));
}

#[test]
fn a_cluster_among_others_is_as_it_is_alone_in_mustache_too() {
    let repository = Repository::new();
    clusters(&repository);
    repository.remove("resources/cart.yaml.j2");
    repository.remove("resources/base-svc.yaml.j2");
    repository.write("resources/cart.mustache", MUSTACHE);
    let service =
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: {{svc.name}}\n  labels:\n    zone: {{zone}}\n";
    repository.write("resources/base-svc.mustache", service);
    repository.replace("base-cluster.yaml", "cart.yaml.j2", "cart.mustache");
    repository.replace(
        "base-cluster.yaml",
        "value: info}",
        "value: info}\n      - {name: OWN, value: x, level: own}",
    );
    assert_eq!(same_alone_and_together(&repository), (13, 0));
}

#[test]
fn a_word_that_names_an_object_is_looked_at_in_each_cluster() {
    let repository = Repository::new();
    clusters(&repository);
    let template =
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: cart\n  namespace: {{ zone }}\ndata: {a: b}\n";
    repository.write("resources/cart.yaml.j2", template);
    for cluster in ["c3", "c7"] {
        repository.replace(&format!("clusters/{cluster}/configuration-var.yaml"), "zone: z", "zone: Upper-");
    }
    let answer = repository.run(&["--output", "json"]);
    assert_eq!(answer.exit_code, 4, "{answer}");
    let report: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let failed =
        report["clusters"].as_array().unwrap().iter().filter(|cluster| cluster["status"] == "failed");
    let failed: Vec<&str> = failed.map(|cluster| cluster["name"].as_str().unwrap()).collect();
    assert_eq!(failed, ["c3", "c7"]);
}
