//! One simulated cluster: its objects, what its controllers remember, and what it counts.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::controllers::pod::PodRun;
use crate::controllers::{self, Task};
use crate::faults::Faults;
use crate::store::Store;

/// How fast things happen, shared by all clusters of a process.
#[derive(Debug, Clone)]
pub struct Timing {
    /// From a pod's scheduling to its readiness; also for load balancers, CRDs and claims.
    pub ready_after: Duration,
    /// When a `slow` pod becomes ready.
    pub slow: Duration,
    /// How long a Job's pod runs.
    pub job: Duration,
    /// From the deletion of a pod to its end.
    pub delete: Duration,
    /// The unit of crash loops and image pull retries.
    pub crash: Duration,
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            ready_after: Duration::from_millis(300),
            slow: Duration::from_secs(8),
            job: Duration::from_millis(500),
            delete: Duration::from_millis(100),
            crash: Duration::from_secs(2),
        }
    }
}

/// Everything that is guarded by the cluster's lock.
pub(crate) struct State {
    pub store: Store,
    pub faults: Faults,
    /// Discovery in one document is not offered, as by servers before 1.26.
    pub old_discovery: bool,
    /// By pod uid.
    pub pods: HashMap<String, PodRun>,
    /// By object uid and reason: the name of the event and its count.
    pub events: HashMap<(String, String, String), (String, u64)>,
    pub next_pod_ip: u32,
    pub next_cluster_ip: u32,
    pub next_node_port: u16,
    pub next_load_balancer: u32,
    pub next_node: usize,
    /// Tasks that wait to be handed to the driver.
    pub tasks: Vec<(Duration, Task)>,
    /// Work that controllers asked to be called back for, by name, so that it is asked for once.
    pub pending: BTreeMap<String, Instant>,
}

/// Counters of a cluster.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub requests: AtomicU64,
    pub bytes_in: AtomicU64,
    pub bytes_out: AtomicU64,
    pub connections: AtomicU64,
    pub watches: AtomicU64,
    pub by_verb: Mutex<BTreeMap<String, u64>>,
}

/// A simulated cluster.
pub(crate) struct Cluster {
    pub name: String,
    pub index: usize,
    pub nodes: usize,
    pub token: String,
    pub limited_token: String,
    pub timing: Timing,
    pub counters: Counters,
    state: Mutex<State>,
    dirty: AtomicBool,
    driver: mpsc::UnboundedSender<controllers::Message>,
    pub controllers: bool,
}

impl Cluster {
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn new(
        name: &str,
        index: usize,
        nodes: usize,
        tokens: (String, String),
        timing: Timing,
        history: usize,
        controllers: bool,
        driver: mpsc::UnboundedSender<controllers::Message>,
        seed: u64,
    ) -> Arc<Cluster> {
        let cluster = Arc::new(Cluster {
            name: name.to_owned(),
            index,
            nodes,
            token: tokens.0,
            limited_token: tokens.1,
            timing,
            counters: Counters::default(),
            state: Mutex::new(State {
                store: Store::new(history, seed),
                faults: Faults::default(),
                old_discovery: false,
                pods: HashMap::new(),
                events: HashMap::new(),
                next_pod_ip: 2,
                next_cluster_ip: 10,
                next_node_port: 30000,
                next_load_balancer: 1,
                next_node: 0,
                tasks: Vec::new(),
                pending: BTreeMap::new(),
            }),
            dirty: AtomicBool::new(false),
            driver,
            controllers,
        });
        controllers::bootstrap::create(&cluster);
        cluster
    }

    /// Locks the state. Call [`Cluster::wake`] after writing.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Tells the controllers that something changed.
    pub(crate) fn wake(self: &Arc<Cluster>) {
        if !self.dirty.swap(true, Ordering::AcqRel) {
            let _ = self.driver.send(controllers::Message::Changed(self.clone()));
        }
    }

    /// The controllers are about to look.
    pub(crate) fn clean(&self) {
        self.dirty.store(false, Ordering::Release);
    }

    /// Counts a request.
    pub(crate) fn count(&self, verb: &str, bytes_in: u64) {
        self.counters.requests.fetch_add(1, Ordering::Relaxed);
        self.counters.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
        let mut verbs = self.counters.by_verb.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *verbs.entry(verb.to_owned()).or_default() += 1;
    }
}

/// Now, as API objects write it (seconds).
pub(crate) fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Now, as events and leases write it (microseconds).
pub(crate) fn now_micro() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}
