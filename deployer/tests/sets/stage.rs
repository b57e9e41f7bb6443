//! A cluster, a namespace of its own, a resource set of its own, and manifests for it.

use std::process::{Command, Stdio};

use serde_json::Value;
use testkit::{Answer, Call, Clusters, Sandbox, fresh_name, program};

pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) clusters: Clusters,
    pub(crate) namespace: String,
}

/// Inventories are in `default`, where other tests may have theirs: each test names its set after its namespace.
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

    /// The resource set of the test.
    pub(crate) fn set(&self) -> String {
        self.namespace.chars().take(40).collect::<String>().trim_end_matches('-').to_owned()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        self.sandbox.write(format!("manifests/eu-1/{file}"), text.replace("NS", &self.namespace));
    }

    pub(crate) fn remove(&self, file: &str) {
        std::fs::remove_file(self.sandbox.join(format!("manifests/eu-1/{file}"))).unwrap();
    }

    /// A ConfigMap in a file of its own.
    pub(crate) fn config(&self, name: &str, data: &str) {
        self.write(
            &format!("{name}.yaml"),
            &format!(
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: NS}}\ndata: {{{data}}}\n"
            ),
        );
    }

    pub(crate) fn call(&self, flags: &[&str]) -> Call {
        // The inventory lies in the test's own namespace, so that it goes with it.
        program("deployer")
            .args(["--namespaces-dir", "namespaces", "--manifests-dir", "manifests", "--configs"])
            .arg(self.clusters.configs())
            .args(["--resource-set", &self.set(), "--inventory-namespace", &self.namespace])
            .args(flags)
    }

    pub(crate) fn deploy(&self, flags: &[&str]) -> Answer {
        self.sandbox.run(self.call(flags))
    }

    /// The one cluster of the JSON report, and the exit code.
    pub(crate) fn report(&self, flags: &[&str]) -> (i32, Value) {
        let mut all = vec!["--output", "json"];
        all.extend(flags);
        let answer = self.deploy(&all);
        (answer.exit_code, answer.json()["clusters"][0].clone())
    }

    /// kubectl is how somebody else looks at, and writes to, the cluster.
    pub(crate) fn kubectl(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(self.clusters.config("eu-1"))
            .args(["-n", &self.namespace])
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn get(&self, object: &str) -> Option<Value> {
        Some(serde_json::from_str(&self.kubectl(&["get", object, "-o", "json"])?).unwrap())
    }

    /// The members of the inventory, without the namespace.
    pub(crate) fn members(&self) -> Vec<String> {
        let inventory = self.get(&format!("configmap/kit-set-{}", self.set())).unwrap();
        let objects: Value =
            serde_json::from_str(inventory["data"]["objects.json"].as_str().unwrap()).unwrap();
        let name = |object: &Value| {
            format!("{}/{}", object["kind"].as_str().unwrap(), object["name"].as_str().unwrap())
        };
        let mut names: Vec<String> = objects.as_array().unwrap().iter().map(name).collect();
        names.retain(|name| *name != format!("Namespace/{}", self.namespace));
        names
    }
}

/// Whether somebody else can look: without kubectl the test says that it was not run.
/// The objects of a report with this result, without the namespace, sorted.
pub(crate) fn with_result(report: &Value, result: &str) -> Vec<String> {
    let mut names: Vec<String> = report["objects"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["result"] == result)
        .map(|object| format!("{}/{}", object["kind"].as_str().unwrap(), object["name"].as_str().unwrap()))
        .collect();
    names.sort();
    names
}
