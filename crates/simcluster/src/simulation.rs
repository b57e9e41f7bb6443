//! Starting, scripting and stopping simulated clusters.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_rustls::TlsAcceptor;

use crate::cluster::{Cluster, Timing};
use crate::controllers;
use crate::faults::Fault;
use crate::kubeconfig::{self, Credentials};
use crate::server::{self, Served};
use crate::tls::Identity;

/// Why clusters could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No cluster, or two of one name, or a name that is not a DNS label.
    #[error("invalid cluster names: {0}")]
    Names(String),
    /// The loopback port could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Tls(String),
    /// The thread or its event loop could not be started.
    #[error("cannot start the event loop")]
    Runtime(#[source] std::io::Error),
}

impl From<rcgen::Error> for Error {
    fn from(e: rcgen::Error) -> Error {
        Error::Tls(e.to_string())
    }
}

impl From<rustls::Error> for Error {
    fn from(e: rustls::Error) -> Error {
        Error::Tls(e.to_string())
    }
}

/// How the clusters share ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ports {
    /// A port per cluster.
    #[default]
    Each,
    /// One port; the server is `https://127.0.0.1:PORT/clusters/NAME`.
    Shared,
}

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// The clusters' names.
    pub names: Vec<String>,
    /// How fast things happen.
    pub timing: Timing,
    /// Nodes per cluster.
    pub nodes: usize,
    /// How the clusters share ports.
    pub ports: Ports,
    /// The first port; 0 takes free ones.
    pub port: u16,
    /// How many changes a cluster remembers for watches; older ones get 410 Gone.
    pub history: usize,
    /// Whether controllers run.
    pub controllers: bool,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Threads of the event loop.
    pub threads: usize,
    /// Port for scripts (plain HTTP on loopback); 0 takes a free one.
    pub control_port: Option<u16>,
}

impl Options {
    /// Clusters of these names, everything else as usual.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Options {
        Options {
            names: names.into_iter().map(Into::into).collect(),
            timing: Timing::default(),
            nodes: 2,
            ports: Ports::Each,
            port: 0,
            history: 1000,
            controllers: true,
            seed: 1,
            threads: 2,
            control_port: None,
        }
    }
}

/// What a cluster has counted since it was started.
#[derive(Debug, Clone, Default, Serialize, PartialEq, Eq)]
pub struct Metrics {
    /// Requests, watches included.
    pub requests: u64,
    /// Bytes of request bodies.
    pub bytes_in: u64,
    /// Bytes of response bodies.
    pub bytes_out: u64,
    /// TLS connections (0 where clusters share a port).
    pub connections: u64,
    /// Watches that are open now.
    pub watches: u64,
    /// Objects that are stored now.
    pub objects: u64,
    /// Bytes of these objects.
    pub object_bytes: u64,
    /// Faults that have happened.
    pub faults: u64,
    /// Requests by verb.
    pub by_verb: BTreeMap<String, u64>,
}

/// The clusters of a process; [`Simulation`] and the control port share it.
pub struct Inner {
    clusters: Vec<(Arc<Cluster>, SocketAddr)>,
    by_name: HashMap<String, usize>,
    ports: Ports,
    identity: Identity,
}

/// Running clusters. They stop when this is dropped. Dereferences to [`Inner`].
pub struct Simulation {
    inner: Arc<Inner>,
    control: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl std::ops::Deref for Simulation {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.inner
    }
}

impl Simulation {
    /// Starts clusters on a thread of their own; returns when they accept connections.
    ///
    /// # Errors
    /// Bad names, no port, no certificates.
    pub fn start(options: Options) -> Result<Simulation, Error> {
        check_names(&options.names)?;
        let identity = Identity::new()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(options.threads.max(1))
            .thread_name("simcluster")
            .enable_all()
            .build()
            .map_err(Error::Runtime)?;
        let (stop, stopped) = watch::channel(false);
        let (driver, messages) = mpsc::unbounded_channel();
        let clusters: Vec<Arc<Cluster>> = options
            .names
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let seed = options
                    .seed
                    .wrapping_mul(0x1_0000_0001)
                    .wrapping_add(u64::try_from(index).unwrap_or(0) << 20);
                Cluster::new(
                    name,
                    index,
                    options.nodes,
                    (format!("admin-token-{name}"), format!("deployer-token-{name}")),
                    options.timing.clone(),
                    options.history,
                    options.controllers,
                    driver.clone(),
                    seed,
                )
            })
            .collect();
        drop(driver);
        let acceptor = TlsAcceptor::from(identity.config.clone());
        let mut addresses = Vec::new();
        // Not `block_on`: a test may start clusters from within its own event loop.
        let guard = runtime.enter();
        let listen = |port: u16| {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            std::net::TcpListener::bind(address)
                .and_then(|listener| {
                    listener.set_nonblocking(true)?;
                    TcpListener::from_std(listener)
                })
                .map_err(|source| Error::Listen { address, source })
        };
        match options.ports {
            Ports::Shared => {
                let listener = listen(options.port)?;
                let address = listener.local_addr().map_err(Error::Runtime)?;
                addresses.resize(clusters.len(), address);
                let all = clusters.iter().map(|c| (c.name.clone(), c.clone())).collect();
                runtime.spawn(server::listen(
                    listener,
                    acceptor,
                    Served::All(Arc::new(all)),
                    stopped.clone(),
                ));
            }
            Ports::Each => {
                for (i, cluster) in clusters.iter().enumerate() {
                    let offset = u16::try_from(i).unwrap_or(u16::MAX);
                    let listener =
                        listen(if options.port == 0 { 0 } else { options.port.saturating_add(offset) })?;
                    addresses.push(listener.local_addr().map_err(Error::Runtime)?);
                    let served = Served::One(cluster.clone());
                    runtime.spawn(server::listen(listener, acceptor.clone(), served, stopped.clone()));
                }
            }
        }
        runtime.spawn(controllers::drive(messages));
        let by_name = clusters.iter().enumerate().map(|(i, c)| (c.name.clone(), i)).collect();
        let inner = Arc::new(Inner {
            clusters: clusters.into_iter().zip(addresses).collect(),
            by_name,
            ports: options.ports,
            identity,
        });
        let mut control = None;
        if let Some(port) = options.control_port {
            let listener = listen(port)?;
            control = listener.local_addr().ok();
            runtime.spawn(crate::control::listen(listener, inner.clone()));
        }
        drop(guard);
        let mut until = stopped;
        let thread = std::thread::Builder::new()
            .name("simcluster-main".into())
            .spawn(move || {
                runtime.block_on(async {
                    while !*until.borrow_and_update() && until.changed().await.is_ok() {}
                });
                runtime.shutdown_timeout(Duration::from_millis(200));
            })
            .map_err(Error::Runtime)?;
        Ok(Simulation { inner, control, stop, thread: Some(thread) })
    }

    /// Where the control port listens.
    #[must_use]
    pub fn control_address(&self) -> Option<SocketAddr> {
        self.control
    }
}

impl Inner {
    pub(crate) fn get(&self, name: &str) -> Option<&(Arc<Cluster>, SocketAddr)> {
        self.by_name.get(name).map(|i| &self.clusters[*i])
    }

    /// The clusters' names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.clusters.iter().map(|(c, _)| c.name.as_str())
    }

    /// The URL of a cluster's API.
    #[must_use]
    pub fn server(&self, name: &str) -> Option<String> {
        let (cluster, address) = self.get(name)?;
        Some(match self.ports {
            Ports::Each => format!("https://{address}"),
            Ports::Shared => format!("https://{address}/clusters/{}", cluster.name),
        })
    }

    fn render(&self, name: &str, ca: &str, user: &str, credentials: &Credentials) -> Option<String> {
        Some(kubeconfig::render(name, &self.server(name)?, ca, user, credentials))
    }

    /// A kubeconfig with the administrator's token.
    #[must_use]
    pub fn kubeconfig(&self, name: &str) -> Option<String> {
        let token = self.get(name)?.0.token.clone();
        self.render(name, &self.identity.ca_pem, "admin", &Credentials::Token(token))
    }

    /// A kubeconfig with a client certificate.
    #[must_use]
    pub fn certificate_kubeconfig(&self, name: &str) -> Option<String> {
        let (certificate, key) = self.identity.client.clone();
        self.render(name, &self.identity.ca_pem, "admin", &Credentials::Certificate { certificate, key })
    }

    /// A kubeconfig of the user `deployer`, whom faults with `limited_user` single out.
    #[must_use]
    pub fn limited_kubeconfig(&self, name: &str) -> Option<String> {
        let token = self.get(name)?.0.limited_token.clone();
        self.render(name, &self.identity.ca_pem, "deployer", &Credentials::Token(token))
    }

    /// A kubeconfig whose certificate authority is not the server's.
    #[must_use]
    pub fn wrong_ca_kubeconfig(&self, name: &str) -> Option<String> {
        let token = self.get(name)?.0.token.clone();
        self.render(name, &self.identity.other_ca_pem, "admin", &Credentials::Token(token))
    }

    /// A kubeconfig with a token that the server does not know.
    #[must_use]
    pub fn wrong_token_kubeconfig(&self, name: &str) -> Option<String> {
        self.render(name, &self.identity.ca_pem, "admin", &Credentials::Token("wrong".into()))
    }

    /// Writes `NAME.yaml` for every cluster into a folder, each at once.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_kubeconfigs(&self, folder: &Path) -> std::io::Result<()> {
        std::fs::create_dir_all(folder)?;
        for name in self.names() {
            if let Some(text) = self.kubeconfig(name) {
                kubeconfig::write(&folder.join(format!("{name}.yaml")), &text)?;
            }
        }
        Ok(())
    }

    /// Replaces a cluster's faults. Which requests a `rate` hits follows from the seed.
    pub fn set_faults(&self, name: &str, faults: Vec<Fault>, seed: u64) {
        if let Some((cluster, _)) = self.get(name) {
            cluster.lock().faults.set(faults, seed);
        }
    }

    /// Delays every answer of a cluster.
    pub fn set_latency(&self, name: &str, latency: Duration) {
        if let Some((cluster, _)) = self.get(name) {
            cluster.lock().faults.set_latency(latency);
        }
    }

    /// Makes a cluster answer discovery as servers before Kubernetes 1.26 do: group by group only.
    pub fn set_old_discovery(&self, name: &str) {
        if let Some((cluster, _)) = self.get(name) {
            cluster.lock().old_discovery = true;
        }
    }

    /// Ends all watches of a cluster.
    pub fn drop_watches(&self, name: &str) {
        if let Some((cluster, _)) = self.get(name) {
            cluster.lock().store.drop_watches();
        }
    }

    /// Forgets a cluster's history: watches that resume get 410 Gone.
    pub fn compact(&self, name: &str) {
        if let Some((cluster, _)) = self.get(name) {
            cluster.lock().store.compact();
        }
    }

    /// What a cluster has counted.
    #[must_use]
    pub fn metrics(&self, name: &str) -> Option<Metrics> {
        let (cluster, _) = self.get(name)?;
        let c = &cluster.counters;
        let state = cluster.lock();
        Some(Metrics {
            requests: c.requests.load(Ordering::Relaxed),
            bytes_in: c.bytes_in.load(Ordering::Relaxed),
            bytes_out: c.bytes_out.load(Ordering::Relaxed),
            connections: c.connections.load(Ordering::Relaxed),
            watches: c.watches.load(Ordering::Relaxed),
            objects: u64::try_from(state.store.objects.len()).unwrap_or(0),
            object_bytes: state
                .store
                .objects
                .values()
                .map(|o| u64::try_from(o.body.len()).unwrap_or(0))
                .sum(),
            faults: state.faults.hits,
            by_verb: c.by_verb.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone(),
        })
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn check_names(names: &[String]) -> Result<(), Error> {
    if names.is_empty() {
        return Err(Error::Names("none given".into()));
    }
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        let fits = !name.is_empty()
            && name.len() <= 63
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
            && name.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !fits {
            return Err(Error::Names(format!("`{name}` is not a lower-case DNS name")));
        }
        if !seen.insert(name) {
            return Err(Error::Names(format!("`{name}` is given twice")));
        }
    }
    Ok(())
}
