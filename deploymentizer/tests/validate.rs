//! `check` and `--validate`, through the binary.

use testkit::{Answer, Call, Sandbox, program, workspace_root};

/// Not base64, though it stands where base64 must.
const TOKEN: &str = "s3cret s3cret";

/// A copy of the repository in which every resource has something wrong with it.
fn wrong(sandbox: &Sandbox) -> Call {
    testkit::copy_tree(&workspace_root().join("testdata/validate/wrong"), &sandbox.join("wrong"));
    program("deploymentizer").args(["--conf", "wrong/kit.yaml"]).env("API_TOKEN", TOKEN)
}

fn no_secret(answer: &Answer) {
    assert!(!answer.stdout.contains("s3cret") && !answer.stderr.contains("s3cret"), "{answer:?}");
}

#[test]
fn check_names_every_wrong_line_of_every_template_at_once_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let answer = sandbox.run(wrong(&sandbox).args(["check", "--validate=1.36"]));
    assert_eq!(answer.exit_code, 1);
    no_secret(&answer);
    insta::assert_snapshot!(answer.stderr);
    insta::assert_snapshot!(answer.stdout, @r"
    eu-1: failed, left as it was
    us-1: failed, left as it was
    2 clusters: 0 to write, 0 unchanged, 0 to remove (nothing saved), 2 failed
    16 objects checked against Kubernetes 1.36: 12 invalid, 2 without a schema
    ");
    assert!(!sandbox.join("wrong/generated").exists());
}

#[test]
fn a_cluster_with_an_invalid_object_is_not_written_when_validation_is_asked_for() {
    let sandbox = Sandbox::new();
    let answer = sandbox.run(wrong(&sandbox).arg("--validate"));
    assert_eq!(answer.exit_code, 1);
    assert!(!sandbox.join("wrong/generated/eu-1").exists());
    let answer = sandbox.run(wrong(&sandbox)).success();
    assert!(answer.stderr.is_empty(), "{}", answer.stderr);
    assert!(sandbox.join("wrong/generated/eu-1/cart.yaml").exists());
}

#[test]
fn junit_has_a_suite_for_each_cluster_and_a_case_for_each_object() {
    let sandbox = Sandbox::new();
    let answer =
        sandbox.run(wrong(&sandbox).args(["check", "--cluster-name", "eu-1", "--junit", "report.xml"]));
    assert_eq!(answer.exit_code, 1);
    let xml = sandbox.read("report.xml");
    assert!(!xml.contains("s3cret"));
    insta::assert_snapshot!(xml);
}

#[test]
fn definitions_from_elsewhere_are_known_by_their_file_or_folder() {
    let sandbox = Sandbox::new();
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nspec:\n  group: monitoring.example.com\n  \
               names: {kind: Monitor}\n  versions:\n  - name: v1\n    served: true\n    schema: {openAPIV3Schema: {type: object}}\n";
    sandbox.write("crds/operators/monitor.yaml", crd);
    for path in ["crds", "crds/operators/monitor.yaml"] {
        let call = wrong(&sandbox).args([
            "check",
            "--resource",
            "monitor",
            "--cluster-name",
            "eu-1",
            "--crds",
            path,
        ]);
        let answer = sandbox.run(call);
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer.stderr, @r"
            error: wrong/resources/monitor.yaml:4:1: Monitor/monitor: spec: unknown field
              |
            4 | spec: {anything: goes}
              | ^
              caused by: resource monitor in cluster eu-1
              hint: known fields: apiVersion, kind, metadata
            ");
        }
    }
    let answer = sandbox.run(wrong(&sandbox).args(["check", "--crds", "nowhere"]));
    assert_eq!(answer.exit_code, 2);
    insta::assert_snapshot!(answer.stderr, @r"
    error: nowhere: cannot read the file
      caused by: No such file or directory (os error 2)
    ");
}

#[test]
fn a_version_without_schemas_is_refused_with_those_there_are() {
    let sandbox = Sandbox::new();
    let answer = sandbox.run(wrong(&sandbox).args(["check", "--validate=1.12"]));
    assert_eq!(answer.exit_code, 2);
    insta::assert_snapshot!(answer.stderr, @r"
    error: no schemas for this version of Kubernetes: `1.12`
      hint: known are 1.33, 1.34, 1.35, 1.36, 1.37: `--validate=1.37`
    ");
}

#[test]
fn json_says_what_was_checked_and_the_environment_can_ask_for_it() {
    let sandbox = Sandbox::new();
    let call = wrong(&sandbox).args(["--save", "false", "--resource", "crd", "--output", "json"]);
    let answer = sandbox.run(call.clone().env("VALIDATE", "v1.35.2")).success();
    let expected = serde_json::json!({"kubernetes": "1.35", "objects": 2, "invalid": 0, "withoutSchema": 0});
    assert_eq!(answer.json()["validation"], expected);
    for off in ["off", "false", ""] {
        assert!(sandbox.run(call.clone().env("VALIDATE", off)).success().json()["validation"].is_null());
    }
}

#[test]
fn the_sample_repository_is_valid_in_every_bundled_version() {
    for version in ["1.33", "1.34", "1.35", "1.36", "1.37", "newest"] {
        let sandbox = Sandbox::new();
        let conf = workspace_root().join("testdata/manifests/kit.yaml");
        let call = program("deploymentizer")
            .arg("check")
            .arg(format!("--validate={version}"))
            .arg("--conf")
            .arg(conf);
        let call = call.env("PAYMENTS_API_KEY", "key-key-key").env("PAYMENTS_WEBHOOK_TOKEN", "token-token");
        let answer = sandbox.run(call).success();
        assert!(answer.stdout.ends_with(": 0 invalid\n"), "{}", answer.stdout);
    }
}
