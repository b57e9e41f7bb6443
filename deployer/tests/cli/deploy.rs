//! Deploys to running clusters: simulated ones, or the real ones that `KIT_TEST_CONFIGS` names.

use std::process::Command;

use serde_json::{Value, json};
use testkit::{Answer, Clusters, Sandbox, fresh_name, program};

/// A sandbox with manifests for a cluster `eu-1` in a namespace of its own.
pub(crate) struct Stage {
    sandbox: Sandbox,
    clusters: Clusters,
    pub(crate) namespace: String,
}

impl Stage {
    pub(crate) fn new(prefix: &str) -> Self {
        let namespace = fresh_name(prefix);
        let mut clusters = Clusters::start(&["eu-1"]);
        clusters.remove_namespace_at_end("eu-1", &namespace);
        let stage = Self { sandbox: Sandbox::new(), clusters, namespace };
        let ns = &stage.namespace;
        stage.sandbox.write(
            "namespaces/eu-1/ns.yaml",
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {ns}}}\n"),
        );
        stage
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        self.sandbox.write(format!("manifests/eu-1/{file}"), text.replace("NS", &self.namespace));
    }

    pub(crate) fn deploy(&self, flags: &[&str]) -> Answer {
        self.sandbox.run(
            program("deployer")
                .args(["--namespaces-dir", "namespaces", "--manifests-dir", "manifests", "--configs"])
                .arg(self.clusters.configs())
                // On real clusters other tests deploy at the same time.
                .args(["--inventory-namespace", &self.namespace])
                .args(flags),
        )
    }

    /// The one cluster of the JSON report.
    pub(crate) fn report(&self, flags: &[&str]) -> (i32, Value) {
        let mut all = vec!["--output", "json"];
        all.extend(flags);
        let answer = self.deploy(&all);
        (answer.exit_code, answer.json()["clusters"][0].clone())
    }

    /// kubectl is how somebody else writes to the cluster.
    pub(crate) fn kubectl(&self, args: &[&str], stdin: &str) -> String {
        use std::io::Write as _;
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.clusters.config("eu-1"))
            .args(["-n", &self.namespace])
            .args(args)
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn get(&self, object: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", object, "-o", "json", "--show-managed-fields"], ""))
            .unwrap()
    }
}

/// Whether somebody else can write: without kubectl the test says that it was not run.
pub(crate) const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: NS, labels: {app: web}}\nspec:\n  replicas: 2\n  \
    selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      containers:\n      \
    - name: web\n        image: registry.example.com/web:1\n        ports: [{containerPort: 8080}]\n        \
    resources: {limits: {cpu: 0.5, memory: 1024Mi}}\n        env:\n        \
    - {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}\n";

pub(crate) const SERVICE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: NS}\nspec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}\n";

pub(crate) const CONFIG: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: NS}\ndata: {a: \"1\", b: \"2\"}\n";

#[test]
fn a_second_deploy_writes_nothing_and_asks_at_most_once_per_kind_and_three_times_more() {
    let stage = Stage::new("engine-second");
    stage.write("web.yaml", &format!("{WEB}---\n{SERVICE}---\n{CONFIG}"));
    stage.write(
        "more.yaml",
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: second, namespace: NS}\n\
         - apiVersion: v1\n  kind: Secret\n  metadata: {name: s, namespace: NS}\n  stringData: {k: value}\n",
    );
    let (code, first) = stage.report(&[]);
    assert_eq!((code, &first["state"]), (0, &json!("done")), "{first:#}");
    assert_eq!(first["counts"]["created"], 6, "{first:#}");
    let version = |object: &str| stage.get(object)["metadata"]["resourceVersion"].clone();
    let before = testkit::kubectl_is_there().then(|| (version("configmap/conf"), version("secret/s")));

    // What differs on every deploy is no reason to write.
    let (code, second) = stage.report(&["--sha", "abc", "--uuid", "u", "--deploy-id", "d"]);
    assert_eq!(code, 0);
    assert_eq!(second["counts"]["unchanged"], 6, "{second:#}");
    assert_eq!(second["bytesSent"], 0, "no write and no dry run: {second:#}");
    let kinds = 5;
    assert!(second["requests"].as_u64().unwrap() <= kinds + 3, "{second:#}");
    if let Some(before) = before {
        assert_eq!(before, (version("configmap/conf"), version("secret/s")));
    }
}

#[test]
fn a_dry_run_shows_what_a_deploy_then_does_and_writes_nothing() {
    let stage = Stage::new("engine-dry");
    stage.write("conf.yaml", CONFIG);
    stage.deploy(&[]).success();
    stage.write("conf.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf, namespace: NS}\ndata: {a: \"9\", c: |\n  x\n  y\n}\n".replace("{a: \"9\", c: |\n  x\n  y\n}", "{a: \"9\", c: \"3\"}").as_str());
    let dry = stage.deploy(&["--dry-run", "--detailed-exitcode", "--quiet"]);
    let expected = "exit code: 3\n--- stdout\n\
        ~ configure ConfigMap/NS/conf  in eu-1\n    data.a: \"1\" -> \"9\"\n  - data.b: \"2\"\n  + data.c: \"3\"\n";
    assert!(dry.to_string().replace(&stage.namespace, "NS").starts_with(expected), "{dry}");
    let (_, done) = stage.report(&[]);
    assert_eq!(done["counts"]["configured"], 1);
    assert_eq!(stage.deploy(&["--dry-run", "--detailed-exitcode"]).exit_code, 0);
}

#[test]
fn one_refusal_does_not_stop_the_others_and_what_needs_the_refused_is_skipped() {
    let stage = Stage::new("engine-refusal");
    stage.write("conf.yaml", CONFIG);
    stage.write(
        "bad.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: bad, namespace: NS}\ndata: {k: \"not base64!\"}\n",
    );
    stage.write(
        "needs.yaml",
        &WEB.replace("name: web", "name: needs")
            .replace("        env:\n", "        envFrom: [{secretRef: {name: bad}}]\n        env:\n"),
    );
    stage.write(
        "unknown.yaml",
        "apiVersion: acme.example.com/v1\nkind: Frobnicator\nmetadata: {name: w, namespace: NS}\n",
    );
    let (code, report) = stage.report(&[]);
    assert_eq!(code, 1, "{report:#}");
    let result = |name: &str| {
        let objects = report["objects"].as_array().unwrap();
        objects.iter().find(|object| object["name"] == name).unwrap().clone()
    };
    assert_eq!(result("conf")["result"], "created");
    assert_eq!(result("bad")["result"], "failed");
    assert_eq!(
        (&result("needs")["result"], &result("needs")["because"]),
        (&json!("skipped"), &json!(format!("it needs Secret/{}/bad, which failed", stage.namespace)))
    );
    assert_eq!(result("w")["result"], "failed");
    assert_eq!(
        result("w")["trouble"]["message"],
        "the cluster knows no kind `Frobnicator` in `acme.example.com/v1`"
    );
}

#[test]
fn drift_by_a_person_is_shown_with_its_author_and_put_back() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-drift");
    stage.write("web.yaml", WEB);
    stage.deploy(&[]).success();
    stage.kubectl(&["scale", "deployment/web", "--replicas", "1"], "");
    let (_, report) = stage.report(&["--dry-run"]);
    assert_eq!(
        report["changes"][0]["changes"],
        json!([{"path": "spec.replicas", "before": 1, "after": 2, "drift": "kubectl"}])
    );
    stage.deploy(&[]).success();
    assert_eq!(stage.get("deployment/web")["spec"]["replicas"], 2);
}

#[test]
fn a_field_of_another_controller_is_a_conflict_until_it_is_taken_or_given_up() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-conflict");
    stage.write("web.yaml", WEB);
    stage.deploy(&[]).success();
    let other = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 5}\n";
    let args = ["apply", "--server-side", "--force-conflicts", "--field-manager", "autoscaler", "-f", "-"];
    stage.kubectl(&args, other);
    let (code, report) = stage.report(&[]);
    assert_eq!(code, 1);
    let web =
        report["objects"].as_array().unwrap().iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(web["trouble"]["message"], "other managers own fields that the manifest sets", "{web:#}");
    assert_eq!(web["trouble"]["causes"], json!(["`autoscaler` owns `.spec.replicas`"]));

    let giving_up = WEB.replace(
        "labels: {app: web}}\nspec:\n  replicas",
        "labels: {app: web}, annotations: {kit/give-up-fields: spec.replicas}}\nspec:\n  replicas",
    );
    stage.write("web.yaml", &giving_up);
    stage.deploy(&["--available-enabled", "false"]).success();
    assert_eq!(stage.get("deployment/web")["spec"]["replicas"], 5);
    let (_, again) = stage.report(&["--available-enabled", "false"]);
    assert_eq!(again["counts"]["unchanged"], 2, "{again:#}");

    stage.write("web.yaml", WEB);
    stage.deploy(&["--force-conflicts"]).success();
    assert_eq!(stage.get("deployment/web")["spec"]["replicas"], 2);
}

#[test]
fn what_kubectl_applied_before_becomes_ours_so_that_removed_fields_go() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-migrate");
    stage.write("none.yaml", "# nothing yet\n");
    stage.deploy(&[]).success();
    for args in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"]] {
        let name = if args.len() == 3 { "client" } else { "server" };
        let conf = CONFIG.replace("NS", &stage.namespace).replace("name: conf", &format!("name: {name}"));
        stage.kubectl(args, &conf);
        stage.write(
            &format!("{name}.yaml"),
            &CONFIG.replace("name: conf", &format!("name: {name}")).replace(", b: \"2\"", ""),
        );
    }
    let (_, dry) = stage.report(&["--dry-run"]);
    for change in dry["changes"].as_array().unwrap() {
        let paths: Vec<_> = change["changes"].as_array().unwrap().iter().map(|c| c["path"].clone()).collect();
        assert!(paths.contains(&json!("data.b")), "the dry run shows that `b` goes: {change:#}");
    }
    stage.deploy(&[]).success();
    for name in ["client", "server"] {
        let live = stage.get(&format!("configmap/{name}"));
        assert_eq!(live["data"], json!({"a": "1"}), "{live:#}");
        let managers: Vec<_> = live["metadata"]["managedFields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| &entry["manager"])
            .collect();
        assert_eq!(managers, ["kit"], "{live:#}");
        assert!(
            live["metadata"]["annotations"].get("kubectl.kubernetes.io/last-applied-configuration").is_none()
        );
    }
    let (_, again) = stage.report(&[]);
    assert_eq!(again["counts"]["unchanged"], 3, "{again:#}");
}

#[test]
fn custom_resources_are_deployed_with_their_definition() {
    let stage = Stage::new("engine-crd");
    let group = format!("{}.example.com", stage.namespace);
    stage.write(
        "crd.yaml",
        &format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: widgets.{group}}}\nspec:\n  \
             group: {group}\n  scope: Namespaced\n  names: {{kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}}\n  \
             versions:\n  - name: v1\n    served: true\n    storage: true\n    schema: {{openAPIV3Schema: {{type: object, \
             properties: {{spec: {{type: object, properties: {{size: {{type: integer}}}}}}}}}}}}\n"
        ),
    );
    stage.write(
        "a-widget.yaml",
        &format!(
            "apiVersion: {group}/v1\nkind: Widget\nmetadata: {{name: w, namespace: NS}}\nspec: {{size: 3}}\n"
        ),
    );
    let (code, dry) = stage.report(&["--dry-run"]);
    assert_eq!((code, &dry["counts"]["created"]), (0, &json!(3)), "{dry:#}");
    let (code, done) = stage.report(&[]);
    assert_eq!((code, &done["counts"]["created"]), (0, &json!(3)), "{done:#}");
    let (_, again) = stage.report(&[]);
    assert_eq!(again["counts"]["unchanged"], 3, "{again:#}");
    if stage.clusters.are_real() {
        stage.kubectl(&["delete", "crd", &format!("widgets.{group}"), "--wait=false"], "");
    }
}

#[test]
fn an_unchanged_job_is_not_run_again_and_a_changed_one_gets_an_object_of_its_own() {
    let stage = Stage::new("engine-job");
    let job = |image: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: migrate, namespace: NS}}\nspec:\n  template:\n    spec:\n      \
             restartPolicy: Never\n      containers: [{{name: m, image: 'registry.example.com/migrate:{image}'}}]\n"
        )
    };
    stage.write("job.yaml", &job("1"));
    let (code, first) = stage.report(&[]);
    assert_eq!((code, &first["counts"]["created"]), (0, &json!(2)), "{first:#}");
    let (_, again) = stage.report(&[]);
    assert_eq!(again["counts"]["unchanged"], 2, "{again:#}");
    for image in ["2", "3"] {
        stage.write("job.yaml", &job(image));
        let (code, changed) = stage.report(&["--job-history", "1"]);
        assert_eq!((code, &changed["counts"]["created"]), (0, &json!(1)), "{changed:#}");
    }
    if testkit::kubectl_is_there() {
        let names = stage.kubectl(&["get", "jobs", "-o", "name"], "");
        assert_eq!(names.lines().count(), 2, "the live one and one of history: {names}");
    }
}

#[test]
fn a_job_that_has_failed_is_not_forgotten_by_the_next_deploy() {
    let stage = Stage::new("engine-job-failed");
    stage.write(
        "job.yaml",
        "apiVersion: batch/v1\nkind: Job\nmetadata: {name: migrate, namespace: NS}\nspec:\n  backoffLimit: 0\n  template:\n    spec:\n      \
         restartPolicy: Never\n      containers: [{name: m, image: 'registry.example.com/fail:1'}]\n",
    );
    for _ in 0..2 {
        let (code, report) = stage.report(&[]);
        assert_eq!((code, &report["counts"]["notReady"]), (1, &json!(1)), "{report:#}");
    }
    let (_, report) = stage.report(&["--recreate", "Job", "--available-enabled", "false"]);
    assert_eq!(report["counts"]["recreated"], 1, "{report:#}");
}

#[test]
fn an_immutable_field_is_explained_and_recreated_on_request() {
    let stage = Stage::new("engine-immutable");
    stage.write("web.yaml", WEB);
    stage.deploy(&[]).success();
    stage.write("web.yaml", &WEB.replace("app: web", "app: other"));
    let (code, report) = stage.report(&[]);
    assert_eq!(code, 1);
    let web =
        report["objects"].as_array().unwrap().iter().find(|object| object["kind"] == "Deployment").unwrap();
    assert_eq!(web["trouble"]["message"], "a field that cannot be changed differs", "{web:#}");
    let (code, report) = stage.report(&["--recreate", "Deployment"]);
    assert_eq!((code, &report["counts"]["recreated"]), (0, &json!(1)), "{report:#}");
}

#[test]
fn dependants_come_after_what_they_select_and_circles_are_found_in_the_plan() {
    let stage = Stage::new("engine-depends");
    let after = |name: &str, label: &str, selector: &str| {
        WEB.replace("name: web", &format!("name: {name}")).replace(
            "labels: {app: web}}\nspec:",
            &format!("labels: {{app: {label}}}, annotations: {{kit-deployer/dependency-selector: '{selector}'}}}}\nspec:"),
        )
    };
    stage.write(
        "db.yaml",
        &WEB.replace("name: web", "name: db")
            .replace("labels: {app: web}}\nspec:", "labels: {app: db}}\nspec:"),
    );
    stage.write("mid.yaml", &after("mid", "mid", "app=db"));
    stage.write("top.yaml", &after("top", "top", "app = mid"));
    let answer = stage.deploy(&["--debug"]).success();
    let at = |text: &str| {
        let text = text.replace("NS", &stage.namespace);
        answer.stderr.find(&text).unwrap_or_else(|| panic!("{text}\n{answer}"))
    };
    assert!(at("Deployment/NS/db is ready") < at("Deployment/NS/mid created"));
    assert!(at("Deployment/NS/mid is ready") < at("Deployment/NS/top created"));

    stage.write("db.yaml", &after("db", "db", "app=top"));
    let (code, report) = stage.report(&[]);
    assert_eq!(code, 1);
    assert_eq!(report["trouble"]["message"], "objects wait for each other in a circle", "{report:#}");
}

#[test]
fn an_existing_service_is_switched_only_when_its_new_pods_run() {
    let stage = Stage::new("engine-switch");
    stage.write("web.yaml", &format!("{WEB}---\n{SERVICE}"));
    stage.deploy(&[]).success();
    let next = WEB.replace("name: web, namespace", "name: next, namespace").replace("app: web", "app: next");
    stage.write("next.yaml", &next);
    stage.write("web.yaml", &format!("{WEB}---\n{}", SERVICE.replace("app: web", "app: next")));
    let answer = stage.deploy(&["--debug", "--available-enabled", "false"]).success();
    let at = |text: &str| {
        let text = text.replace("NS", &stage.namespace);
        answer.stderr.find(&text).unwrap_or_else(|| panic!("{text}\n{answer}"))
    };
    assert!(at("Deployment/NS/next is ready") < at("Service/NS/web changed"));
}

#[test]
fn a_plan_is_carried_out_exactly_or_refused_where_a_cluster_has_moved() {
    if !testkit::kubectl_is_there() {
        return;
    }
    let stage = Stage::new("engine-plan");
    stage.write("conf.yaml", CONFIG);
    stage.write(
        "secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: NS}\nstringData: {k: canary-in-plan}\n",
    );
    stage.deploy(&[]).success();
    stage.write("conf.yaml", &CONFIG.replace("\"1\"", "\"9\""));
    stage.deploy(&["--plan-out", "plan.json"]).success();
    let file = stage.sandbox.read("plan.json");
    assert!(!file.contains("canary-in-plan"), "{file}");
    assert_eq!(stage.get("configmap/conf")["data"]["a"], "1", "nothing is written by making a plan");

    stage.kubectl(&["patch", "configmap", "conf", "-p", r#"{"data":{"b":"moved"}}"#], "");
    let refused = stage.deploy(&["--plan", "plan.json"]);
    assert_eq!(refused.exit_code, 5, "{refused}");
    assert!(refused.stdout.contains("has been changed (resource version"), "{refused}");
    assert_eq!(stage.get("configmap/conf")["data"]["a"], "1");

    stage.deploy(&["--plan-out", "plan.json"]).success();
    let done = stage.deploy(&["--plan", "plan.json", "--output", "json"]).success().json();
    assert_eq!(done["clusters"][0]["counts"]["configured"], 1, "{done:#}");
    let other = stage.deploy(&["--plan", "plan.json", "--force"]);
    assert_eq!(other.exit_code, 5, "{other}");
}

#[test]
fn create_only_leaves_what_is_there_and_force_writes_what_is_unchanged() {
    let stage = Stage::new("engine-modes");
    stage.write("conf.yaml", CONFIG);
    stage.deploy(&[]).success();
    stage.write(
        "conf.yaml",
        &format!("{}---\n{}", CONFIG.replace("\"1\"", "\"9\""), CONFIG.replace("name: conf", "name: new")),
    );
    let (code, report) = stage.report(&["--create-only"]);
    assert_eq!(code, 0, "{report:#}");
    assert_eq!((&report["counts"]["created"], &report["counts"]["skipped"]), (&json!(1), &json!(2)));
    let (_, forced) = stage.report(&["--force", "--uuid", "u2"]);
    assert_eq!(forced["counts"]["configured"], 3, "{forced:#}");
}
