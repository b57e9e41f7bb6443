//! What somebody else does to a cluster while a deploy waits, and what its server says meanwhile.

use std::time::Duration;

use cluster::connect::{Call, ConnectOptions, Connection, Contexts, Plugins, read_kubeconfigs};
use cluster::events::Events;
use http::Method;
use serde_json::Value;

use crate::Stage;

/// A connection of our own to one cluster.
pub(crate) struct Api {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
}

impl Api {
    pub(crate) fn of(stage: &Stage, cluster: &str) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let targets = read_kubeconfigs(&[stage.clusters.config(cluster)], Contexts::Current).unwrap();
        let deadline = tokio::time::Instant::now() + Duration::from_secs(600);
        let plugins = Plugins::new(Duration::from_secs(10));
        let events = Events::unheard(cluster.parse().unwrap());
        let options = ConnectOptions::default();
        let connection =
            runtime.block_on(Connection::open(&targets[0], &options, &plugins, deadline, events)).unwrap();
        Self { runtime, connection }
    }

    pub(crate) fn get(&self, path: &str) -> Value {
        self.runtime.block_on(self.connection.call(&Call::get("get", path.to_owned()))).unwrap().value
    }

    /// Applies these fields as somebody else, whoever owns them.
    pub(crate) fn apply(&self, path: &str, object: &Value) {
        let path = format!("{path}?fieldManager=somebody&force=true");
        let call = Call::new("apply", Method::PATCH, path).with_body("application/apply-patch+yaml", object);
        self.runtime.block_on(self.connection.call(&call)).unwrap();
    }
}
