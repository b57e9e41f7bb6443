//! The wire to one API server: TLS, proxy, HTTP/2 where the server offers it, one connection for many requests.
//!
//! kube's own client speaks HTTP/1.1 only (fifty concurrent requests open fifty connections), has no read timeout, matches
//! `NO_PROXY` wrongly and drops `Warning:` headers; this one is assembled from the same parts under it. kube's typed API works on top
//! of it where it is wanted: a [`Sender`] is a service.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use http::header::{AUTHORIZATION, HeaderName, USER_AGENT};
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use kube::client::{Body, ConfigExt as _};
use kube::config::Cluster;
use tower_layer::Layer as _;
use tower_service::Service;

use super::credentials::Credentials;
use super::kubeconfig::Reach;
use super::{ConnectError, ConnectOptions, proxy};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What one cluster has cost so far.
#[derive(Debug, Default)]
pub struct Traffic {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Traffic {
    /// Requests sent, retries included.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Bytes of request bodies.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Bytes of response bodies as they came over the wire, before decompression.
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }
}

/// What every request carries, and the connection's counters.
pub(super) struct Wire {
    pub(super) base: Uri,
    pub(super) authorization: RwLock<Option<HeaderValue>>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) traffic: Arc<Traffic>,
}

/// The way to the server of `reach`; the first request connects.
pub(super) fn sender(
    reach: &Reach,
    credentials: &Credentials,
    wire: Arc<Wire>,
    options: &ConnectOptions,
) -> Result<Sender, ConnectError> {
    let tls = tls(reach, credentials, &wire.base)?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(options.connect_timeout));
    http.set_keepalive(Some(Duration::from_secs(30)));
    let proxy =
        proxy::choose(&wire.base, reach.cluster.proxy_url.as_deref(), &options.proxy).map_err(|url| {
            ConnectError::Proxy { problem: format!("not the URL of an http, https or socks5 proxy: `{url}`") }
        })?;
    let Some(proxy) = proxy else { return assemble(http, tls, reach, wire) };
    match proxy.scheme_str() {
        Some("socks5" | "socks5h") => assemble(SocksV5::new(proxy, http), tls, reach, wire),
        Some("https") => {
            let secure = hyper_rustls::HttpsConnectorBuilder::new()
                .with_tls_config(
                    kube::Config::new(proxy.clone()).rustls_client_config().map_err(ConnectError::tls)?,
                )
                .https_or_http()
                .enable_http1()
                .wrap_connector(http);
            assemble(tunnel(proxy, secure), tls, reach, wire)
        }
        _ => assemble(tunnel(proxy, http), tls, reach, wire),
    }
}

fn tunnel<C>(proxy: Uri, connector: C) -> Tunnel<C> {
    let user = proxy
        .authority()
        .and_then(|authority| authority.as_str().rsplit_once('@').map(|(user, _)| percent_decoded(user)));
    let tunnel = Tunnel::new(proxy, connector);
    match user.map(|user| HeaderValue::from_str(&format!("Basic {}", STANDARD.encode(user)))) {
        Some(Ok(mut header)) => {
            header.set_sensitive(true);
            tunnel.with_auth(header)
        }
        Some(Err(_)) | None => tunnel,
    }
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                at += 3;
            }
            None => {
                decoded.push(bytes[at]);
                at += 1;
            }
        }
    }
    decoded
}

fn tls(reach: &Reach, credentials: &Credentials, base: &Uri) -> Result<rustls::ClientConfig, ConnectError> {
    let mut config = kube::Config::new(base.clone());
    config.accept_invalid_certs = reach.cluster.insecure_skip_tls_verify.unwrap_or(false);
    if let Some(pem) = ca_pem(&reach.cluster)? {
        use rustls::pki_types::CertificateDer;
        use rustls::pki_types::pem::PemObject as _;
        let certificates: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&pem).map(|found| found.map(|der| der.to_vec())).collect();
        match certificates {
            Ok(found) if !found.is_empty() => config.root_cert = Some(found),
            Ok(_) | Err(_) => {
                return Err(ConnectError::Authority {
                    problem: "the certificate authority of the kubeconfig holds no PEM certificate".into(),
                });
            }
        }
    }
    if let Some((certificate, key)) = &credentials.identity {
        config.auth_info.client_certificate_data = Some(STANDARD.encode(certificate));
        config.auth_info.client_key_data = Some(STANDARD.encode(key).into());
    }
    let mut config = config.rustls_client_config().map_err(ConnectError::tls)?;
    // There is one server; room for the sessions of 256 would be 24 kB for each cluster.
    config.resumption = rustls::client::Resumption::in_memory_sessions(1);
    Ok(config)
}

/// The CA of a cluster entry, PEM; absent means the system's.
pub(super) fn ca_pem(cluster: &Cluster) -> Result<Option<Vec<u8>>, ConnectError> {
    if let Some(data) = cluster.certificate_authority_data.as_deref().filter(|data| !data.is_empty()) {
        let clean: String = data.split_whitespace().collect();
        return match STANDARD.decode(clean) {
            Ok(pem) => Ok(Some(pem)),
            Err(_) => {
                Err(ConnectError::Authority { problem: "`certificate-authority-data` is not base64".into() })
            }
        };
    }
    match cluster.certificate_authority.as_deref().filter(|path| !path.is_empty()) {
        Some(path) => std::fs::read(path).map(Some).map_err(|error| ConnectError::Authority {
            problem: format!("cannot read the certificate authority ({error}): {path}"),
        }),
        None => Ok(None),
    }
}

fn assemble<H>(
    connector: H,
    tls: rustls::ClientConfig,
    reach: &Reach,
    wire: Arc<Wire>,
) -> Result<Sender, ConnectError>
where
    H: Service<Uri> + Clone + Send + Sync + 'static,
    H::Response: hyper_util::client::legacy::connect::Connection
        + hyper::rt::Read
        + hyper::rt::Write
        + Send
        + Unpin
        + 'static,
    H::Future: Send + 'static,
    H::Error: Into<BoxError>,
{
    let mut builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = reach.cluster.tls_server_name.as_deref().filter(|name| !name.is_empty()) {
        let name = rustls::pki_types::ServerName::try_from(name.to_owned()).map_err(|_| {
            ConnectError::Authority { problem: format!("`tls-server-name` is not a host name: `{name}`") }
        })?;
        builder = builder.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let connector = builder.enable_all_versions().wrap_connector(connector);
    let client = HyperClient::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(16)
        // A connection whose other end has gone without a word is found by unanswered pings.
        .http2_keep_alive_interval(Duration::from_secs(15))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        // Lists come in megabytes; the default windows of 64 kB would cost a round trip each.
        .http2_initial_stream_window_size(1 << 20)
        .http2_initial_connection_window_size(4 << 20)
        .build(connector);
    let gzip = reach.cluster.disable_compression != Some(true);
    let service =
        tower_http::decompression::DecompressionLayer::new().gzip(gzip).layer(Line { client, wire });
    Ok(Sender::from_fn(move |request| {
        let answer = service.clone().call(request);
        Box::pin(async move { Ok(answer.await?.map(BodyExt::boxed_unsync)) })
    }))
}

/// What a server answers; the body comes as it comes.
pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

type Exchange = dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Answer, BoxError>> + Send + Sync;

/// The way to one API server: clones share its connections, also those that it has after it was [led elsewhere](Sender::follow).
///
/// kube's client is one as well, with a task and a queue for a thousand requests in front of it. Most requests need neither.
#[derive(Clone)]
pub(crate) struct Sender(Arc<RwLock<Arc<Exchange>>>);

impl Sender {
    pub(crate) fn from_fn(
        send: impl Fn(Request<Body>) -> BoxFuture<'static, Result<Answer, BoxError>> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(send))))
    }

    /// From here on requests go where those of `other` do; those that are under way stay where they are.
    pub(super) fn follow(&self, other: &Self) {
        let way = other.way();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = way;
    }

    fn way(&self) -> Arc<Exchange> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a request to a path of the server. It is not repeated.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Answer, BoxError> {
        let way = self.way();
        way(request).await
    }
}

impl Service<Request<Body>> for Sender {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let way = self.way();
        way(request)
    }
}

/// Adds to each request what the wire carries, and counts.
struct Line<C> {
    client: HyperClient<C, Body>,
    wire: Arc<Wire>,
}

impl<C> Clone for Line<C>
where
    C: Clone,
{
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), wire: self.wire.clone() }
    }
}

impl<C> Service<Request<Body>> for Line<C>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    type Response = Response<UnsyncBoxBody<Bytes, hyper::Error>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let wire = &self.wire;
        let (mut parts, body) = request.into_parts();
        parts.uri = absolute(&wire.base, &parts.uri);
        for (name, value) in &wire.headers {
            parts.headers.append(name, value.clone());
        }
        if let Some(value) = wire.authorization.read().unwrap_or_else(PoisonError::into_inner).as_ref() {
            parts.headers.insert(AUTHORIZATION, value.clone());
        }
        if !parts.headers.contains_key(USER_AGENT) {
            parts.headers.insert(
                USER_AGENT,
                HeaderValue::from_static(concat!("kit-deployer/", env!("CARGO_PKG_VERSION"))),
            );
        }
        let traffic = wire.traffic.clone();
        traffic.requests.fetch_add(1, Ordering::Relaxed);
        if let Some(length) = hyper::body::Body::size_hint(&body).exact() {
            traffic.sent.fetch_add(length, Ordering::Relaxed);
        }
        let response = self.client.request(Request::from_parts(parts, body));
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| {
                body.map_frame(move |frame| {
                    if let Some(data) = frame.data_ref() {
                        traffic.received.fetch_add(data.len() as u64, Ordering::Relaxed);
                    }
                    frame
                })
                .boxed_unsync()
            }))
        })
    }
}

/// `path` under the server's URL, which may itself have a path (Rancher, proxies).
fn absolute(base: &Uri, path: &Uri) -> Uri {
    let prefix = base.path().trim_end_matches('/');
    let rest = path.path_and_query().map_or("/", |rest| rest.as_str());
    let mut parts = base.clone().into_parts();
    parts.path_and_query = format!("{prefix}{rest}").parse().ok();
    if parts.scheme.is_none() {
        // `server: host:port` means http to kubectl.
        parts.scheme = Some(http::uri::Scheme::HTTP);
    }
    Uri::from_parts(parts).unwrap_or_else(|_| base.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_servers_url_is_kept() {
        let joined =
            |base: &str, path: &str| absolute(&base.parse().unwrap(), &path.parse().unwrap()).to_string();
        assert_eq!(joined("https://a:6443", "/api/v1?limit=5"), "https://a:6443/api/v1?limit=5");
        assert_eq!(joined("https://a/k8s/c-1/", "/api/v1"), "https://a/k8s/c-1/api/v1");
    }

    #[test]
    fn a_proxys_user_is_percent_decoded() {
        assert_eq!(percent_decoded("user:p%40ss%3A"), b"user:p@ss:");
        assert_eq!(percent_decoded("100%"), b"100%");
    }
}
