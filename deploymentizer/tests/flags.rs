//! Every flag and its variable.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::wildcard_enum_match_arm)]

mod repository;

use repository::Repository;
use testkit::{Answer, program};

/// The answer and what is in the output folder.
fn outcome(change: fn(&Repository), args: &[&str], variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let repository = Repository::new();
    change(&repository);
    let mut call = program("deploymentizer").args(args);
    for (name, value) in variables {
        call = call.env(*name, *value);
    }
    let answer: Answer = repository.sandbox.run(call);
    (answer.to_string(), repository.files())
}

fn stale(repository: &Repository) {
    repository.run(&[]).success();
    repository.remove("clusters/us");
}

fn theirs(repository: &Repository) {
    repository.write("generated/eu/cart.yaml", "theirs\n");
}

fn mustache(repository: &Repository) {
    repository.replace("base-cluster.yaml", "cart.yaml.j2", "cart.mustache");
    repository.write(
        "resources/cart.mustache",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{name}}}\ndata: {a: \"{{nowhere}}\", id: \"{{deployment.id}}{{deployment.fastRollback}}\"}\n",
    );
}

fn elsewhere(repository: &Repository) {
    let text = repository.sandbox.read("kit.yaml");
    repository.write("conf/other.yaml", &text);
    repository.remove("kit.yaml");
}

#[test]
fn a_variable_does_what_its_flag_does_and_the_flag_wins() {
    type Case = (fn(&Repository), &'static [&'static str], &'static [(&'static str, &'static str)]);
    let none: fn(&Repository) = |_| {};
    let cases: &[Case] = &[
        (
            elsewhere,
            &["--conf", "conf/other.yaml", "--workdir", "."],
            &[("CONF", "conf/other.yaml"), ("WORKDIR", ".")],
        ),
        (none, &["--save", "false"], &[("SAVE", "false")]),
        (stale, &["--clean", "false"], &[("CLEAN", "false")]),
        (theirs, &["--adopt"], &[("ADOPT", "true")]),
        (none, &["--cluster-name", "e*"], &[("CLUSTER_NAME", "e*")]),
        (none, &["--cluster-type", "prd"], &[("CLUSTER_TYPE", "prd")]),
        (none, &["--resource", "crat"], &[("RESOURCE", "crat")]),
        (
            mustache,
            &["--resource", "cart", "--deploy-id", "d7", "--fast-rollback", "true", "--stdout"],
            &[("RESOURCE", "cart"), ("DEPLOY_ID", "d7"), ("FAST_ROLLBACK", "true"), ("STDOUT", "true")],
        ),
        (mustache, &["--strict"], &[("STRICT", "true")]),
        (none, &["--stdout"], &[("STDOUT", "true")]),
        (none, &["--output", "json"], &[("OUTPUT", "json")]),
        (none, &["--detailed-exitcode"], &[("DETAILED_EXITCODE", "true")]),
        (none, &["--debug"], &[("DEBUG", "true")]),
        (mustache, &["--strict", "--quiet"], &[("STRICT", "true"), ("QUIET", "true")]),
        (none, &["--jobs", "0"], &[("JOBS", "0")]),
    ];
    for (change, args, variables) in cases {
        let by_flag = outcome(*change, args, &[]);
        let by_variable = outcome(*change, &[], variables);
        if variables[0].0 == "JOBS" {
            assert!(by_flag.0.contains("exit code: 2") && by_variable.0.contains("exit code: 2"));
            continue;
        }
        assert_eq!(by_flag, by_variable, "{args:?}");
        assert_ne!(by_flag, outcome(*change, &[], &[]), "{args:?} changes nothing");
    }
    let flag_wins = outcome(|_| {}, &["--output", "text"], &[("OUTPUT", "json")]);
    assert_eq!(flag_wins, outcome(|_| {}, &[], &[]));
    assert_eq!(outcome(|_| {}, &["--jobs", "1"], &[]), outcome(|_| {}, &[], &[("JOBS", "2")]));
}

#[test]
fn the_help_names_a_variable_for_every_flag() {
    let repository = Repository::new();
    let help = repository.run(&["--help"]).success().stdout;
    let mut missing = Vec::new();
    for option in
        help.split("\n  ").map(str::trim).filter(|part| part.starts_with('-') && part.contains("--"))
    {
        let name = option.split("--").nth(1).and_then(|rest| rest.split([' ', '[', '\n', '=']).next());
        let Some(name) = name.filter(|name| !matches!(*name, "help" | "version")) else { continue };
        let variable = format!("[env: {}=", name.to_uppercase().replace('-', "_"));
        if !help.contains(&variable) {
            missing.push(name.to_owned());
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "{help}");
}
