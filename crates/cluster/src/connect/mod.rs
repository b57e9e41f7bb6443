//! Reaching a cluster: kubeconfig in, [`Connection`] out.
//!
//! ```text
//! read_kubeconfigs ─ Target ─ Connection::open ─ call / sender
//! ```
//!
//! Everything that kube decides by default and that does not fit a fleet is decided here: retries (ours, bounded, told),
//! timeouts (connect, request, deadline), HTTP/2, proxies, credential plugins (once per user entry), warnings of the server.

mod call;
mod credentials;
mod endpoint;
mod explain;
mod fence;
mod kubeconfig;
mod proxy;
mod refusal;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::header::HeaderName;
use http::{HeaderValue, Uri};
use jiff::Timestamp;
use manifest::ClusterName;
use tokio::time::Instant;

pub use call::{Call, CallError, Reply, RetryPolicy};
pub use credentials::{CredentialsError, Plugins};
#[cfg(test)]
pub(crate) use endpoint::BoxError;
pub use endpoint::Traffic;
pub(crate) use endpoint::{Answer, Sender};
pub use explain::{Trouble, TroubleKind, explain};
pub use kubeconfig::{Contexts, KubeconfigError, Target, read_kubeconfigs};
pub use proxy::ProxyEnvironment;
pub use refusal::{Cause, Refusal};

use crate::events::Events;
use endpoint::Wire;
use fence::Fence;

/// How to connect; the same for all clusters of a run.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Longest wait for a TCP connection.
    pub connect_timeout: Duration,
    /// Longest wait for one answer, body included.
    pub request_timeout: Duration,
    /// How requests are repeated.
    pub retry: RetryPolicy,
    /// The environment's proxies.
    pub proxy: ProxyEnvironment,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            retry: RetryPolicy::default(),
            proxy: ProxyEnvironment::default(),
        }
    }
}

/// Why a connection could not be set up. Nothing has been sent yet.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The CA, or the name to expect in the server's certificate.
    #[error("{problem}")]
    Authority {
        /// As a sentence.
        problem: String,
    },
    /// The proxy.
    #[error("{problem}")]
    Proxy {
        /// As a sentence.
        problem: String,
    },
    /// The server's address, or a header of the kubeconfig.
    #[error("{problem}")]
    Address {
        /// As a sentence.
        problem: String,
    },
    /// No credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// Keys and certificates that do not fit together.
    #[error("the certificates of the kubeconfig cannot be used: {problem}")]
    Tls {
        /// What rustls said.
        problem: String,
    },
}

impl ConnectError {
    fn tls(error: kube::Error) -> Self {
        let mut problem = String::new();
        let mut link: Option<&dyn std::error::Error> = Some(&error);
        while let Some(error) = link {
            problem = error.to_string();
            link = error.source();
        }
        Self::Tls { problem }
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Credentials(error) => error.hint(),
            Self::Authority { .. } | Self::Proxy { .. } | Self::Address { .. } | Self::Tls { .. } => None,
        }
    }
}

/// One cluster, ready to be asked.
pub struct Connection {
    target: Target,
    options: ConnectOptions,
    plugins: Plugins,
    events: Events,
    deadline: Instant,
    wire: Arc<Wire>,
    sender: Sender,
    current: RwLock<Current>,
    renewing: tokio::sync::Mutex<()>,
    contacted: AtomicBool,
    fence: Fence,
}

struct Current {
    credentials: credentials::Credentials,
    since: Timestamp,
}

impl Connection {
    /// Gets credentials and sets up the wire; the first request connects.
    ///
    /// Nothing is sent after `deadline`.
    ///
    /// # Errors
    /// A kubeconfig that cannot be used; a credential plugin that fails.
    pub async fn open(
        target: &Target,
        options: &ConnectOptions,
        plugins: &Plugins,
        deadline: Instant,
        events: Events,
    ) -> Result<Self, ConnectError> {
        let reach = &target.reach;
        let base: Uri = target
            .server()
            .parse()
            .map_err(|error: http::uri::InvalidUri| ConnectError::Address { problem: error.to_string() })?;
        let credentials = plugins.credentials(reach, None).await?;
        let wire = Arc::new(Wire {
            base,
            authorization: RwLock::new(credentials.header.clone()),
            headers: impersonation(target)?,
            traffic: Arc::default(),
        });
        let sender = endpoint::sender(reach, &credentials, wire.clone(), options)?;
        Ok(Self {
            target: target.clone(),
            options: options.clone(),
            plugins: plugins.clone(),
            events,
            deadline,
            wire,
            sender,
            current: RwLock::new(Current { credentials, since: Timestamp::now() }),
            renewing: tokio::sync::Mutex::new(()),
            contacted: AtomicBool::new(false),
            fence: Fence::default(),
        })
    }

    /// The cluster's name.
    pub fn name(&self) -> &ClusterName {
        &self.target.name
    }

    /// Where it was read from.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The namespace of objects whose manifest names none.
    pub fn namespace(&self) -> &str {
        &self.target.reach.namespace
    }

    /// How long one answer may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.options.request_timeout
    }

    /// When the caller's time is over.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Where events of this cluster go.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// What it has cost so far.
    pub fn traffic(&self) -> &Traffic {
        &self.wire.traffic
    }

    /// The way to the server, for what is neither repeated nor read as a whole. After a 401, [`Connection::renew`].
    pub(crate) fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// A kube client over the same wire, for typed access; it does not retry. Each is a task of its own: keep it.
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.sender(), self.target.reach.namespace.clone())
    }

    /// Asks for new credentials, if others are to be had: `false` means that the present ones are all there is.
    ///
    /// # Errors
    /// A credential plugin that fails.
    pub async fn renew(&self) -> Result<bool, ConnectError> {
        let asked_at = Timestamp::now();
        let _one_at_a_time = self.renewing.lock().await;
        let (since, renewable) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            (current.since, current.credentials.renewable)
        };
        if since > asked_at {
            return Ok(true);
        }
        if !renewable {
            return Ok(false);
        }
        let reach = &self.target.reach;
        let credentials = self.plugins.credentials(reach, Some(since)).await?;
        *self.wire.authorization.write().unwrap_or_else(PoisonError::into_inner) = credentials.header.clone();
        let sender = endpoint::sender(reach, &credentials, self.wire.clone(), &self.options)?;
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        self.sender.follow(&sender);
        *current = Current { credentials, since: Timestamp::now() };
        Ok(true)
    }

    /// Leaves the connection, for example one that does not answer; the next request starts a new one.
    pub(crate) fn hang_up(&self) {
        let credentials = self.current.read().unwrap_or_else(PoisonError::into_inner).credentials.clone();
        if let Ok(sender) =
            endpoint::sender(&self.target.reach, &credentials, self.wire.clone(), &self.options)
        {
            self.sender.follow(&sender);
        }
    }

    fn contacted(&self) {
        self.contacted.store(true, Ordering::Relaxed);
    }

    fn was_contacted(&self) -> bool {
        self.contacted.load(Ordering::Relaxed)
    }
}

/// The `Impersonate-*` headers of a user entry.
fn impersonation(target: &Target) -> Result<Vec<(HeaderName, HeaderValue)>, ConnectError> {
    let user = &target.reach.user;
    let mut pairs: Vec<(String, &str)> = Vec::new();
    if let Some(name) = &user.impersonate {
        pairs.push(("impersonate-user".into(), name));
    }
    if let Some(uid) = &user.impersonate_uid {
        pairs.push(("impersonate-uid".into(), uid));
    }
    for group in user.impersonate_groups.iter().flatten() {
        pairs.push(("impersonate-group".into(), group));
    }
    for (key, values) in user.impersonate_user_extra.iter().flatten() {
        for value in values {
            pairs.push((format!("impersonate-extra-{}", header_escaped(key)), value));
        }
    }
    pairs
        .into_iter()
        .map(|(name, value)| {
            let problem = || ConnectError::Address {
                problem: format!(
                    "the kubeconfig impersonates with characters that HTTP does not allow: `{name}`"
                ),
            };
            Ok((
                HeaderName::try_from(&name).map_err(|_| problem())?,
                HeaderValue::from_str(value).map_err(|_| problem())?,
            ))
        })
        .collect()
}

/// As client-go writes extra keys into header names.
fn header_escaped(key: &str) -> String {
    key.bytes()
        .map(|byte| match byte {
            b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'.'
            | b'_'
            | b'~'
            | b'!'
            | b'#'
            | b'$'
            | b'&'
            | b'\''
            | b'*'
            | b'+'
            | b'^'
            | b'`'
            | b'|' => (byte as char).to_string(),
            b'A'..=b'Z' => (byte.to_ascii_lowercase() as char).to_string(),
            _ => format!("%{byte:02x}"),
        })
        .collect()
}
