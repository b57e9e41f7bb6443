//! What deployer tells: progress, tables, reports, annotations, webhooks, status. Against clusters: simulated ones, or the real
//! ones of `KIT_TEST_CONFIGS`.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::print_stdout)] // a panic in a test's helper is a failed test

mod api;
mod failures;
mod hook;
mod live;
mod outcomes;
mod reports;
mod scale;
mod status;
mod webhooks;

use testkit::{Answer, Call, Clusters, Sandbox, fresh_name, program};

/// Clusters with manifests for each in a sandbox.
struct Stage {
    clusters: Clusters,
    sandbox: Sandbox,
    namespace: String,
    names: Vec<String>,
}

impl Stage {
    /// Clusters of these names, each with a namespace and nothing in it yet.
    fn new(names: &[&str]) -> Self {
        let mut clusters = Clusters::start(names);
        let namespace = fresh_name("tell");
        let sandbox = Sandbox::new();
        for name in names {
            clusters.remove_namespace_at_end(name, &namespace);
            let text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n");
            sandbox.write(format!("manifests/{name}/namespace.yaml"), text);
        }
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { clusters, sandbox, namespace, names }
    }

    /// A Deployment for one cluster; a word in `image` says how its pods behave.
    fn deployment(&self, cluster: &str, name: &str, replicas: u32, image: &str) {
        let namespace = &self.namespace;
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {namespace}, labels: {{name: {name}}}}}\n\
             spec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
             spec: {{containers: [{{name: app, image: '{image}'}}]}}\n"
        );
        self.sandbox.write(format!("manifests/{cluster}/{name}.yaml"), text);
    }

    /// A kubeconfig of a cluster that nobody serves, with manifests.
    fn dead(&mut self, name: &str) {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let text = format!(
            "apiVersion: v1\nkind: Config\nmetadata: {{name: {name}}}\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:{port}'}}}}]\nusers: [{{name: u, user: {{token: t}}}}]\n"
        );
        std::fs::write(self.clusters.config(name), text).unwrap();
        self.sandbox.write(
            format!("manifests/{name}/a.yaml"),
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
        );
        self.names.push(name.to_owned());
    }

    /// `deployer` over all of it.
    fn deployer(&self) -> Call {
        let configs = self.clusters.configs().to_owned();
        let call = program("deployer").arg("--configs").arg(configs).args(["--manifests-dir", "manifests"]);
        let call = call
            .env("AVAILABLE_HEALTH_CHECK_GRACE_PERIOD", "2")
            .deadline(std::time::Duration::from_secs(180));
        // Real clusters are shared, and the lease of one inventory lets one deploy at it: each test has its own.
        if self.clusters.are_real() { call.env("KIT_INVENTORY_NAMESPACE", &self.namespace) } else { call }
    }

    fn run(&self, call: Call) -> Answer {
        self.sandbox.run(call)
    }
}
