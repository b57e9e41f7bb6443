//! A proxy between a program and an API server that does, by seed, what networks and servers do now and then.
//!
//! It ends TLS on both sides (its own authority towards the program, the kubeconfig's credentials towards the server), so that it
//! works before simulated and before real servers alike. It speaks HTTP/1.1.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

/// What can happen to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProxyFault {
    /// It takes 50 ms longer.
    Latency,
    /// `429` with `Retry-After: 0`.
    TooMany,
    /// `500`.
    Internal,
    /// `503`.
    Unavailable,
    /// The connection breaks before the server has seen the request.
    ResetBefore,
    /// The server has done what was asked, and the connection breaks.
    ResetAfter,
    /// The answer ends in the middle.
    Truncated,
    /// No answer comes, and the connection stays.
    Hang,
    /// A watch ends early; other requests are left alone.
    WatchDrop,
    /// `410`.
    Gone,
}

const FAULTS: [ProxyFault; 10] = [
    ProxyFault::Latency,
    ProxyFault::TooMany,
    ProxyFault::Internal,
    ProxyFault::Unavailable,
    ProxyFault::ResetBefore,
    ProxyFault::ResetAfter,
    ProxyFault::Truncated,
    ProxyFault::Hang,
    ProxyFault::WatchDrop,
    ProxyFault::Gone,
];

/// A running proxy; its threads end with the process.
pub struct FaultProxy {
    kubeconfig: String,
    state: Arc<State>,
}

struct State {
    /// Of the xorshift that decides.
    random: AtomicU64,
    /// Requests in a thousand that meet a fault.
    per_mille: AtomicU64,
    happened: Mutex<BTreeMap<ProxyFault, u64>>,
    /// Writes that still get through, by namespace.
    writes_left: Mutex<BTreeMap<String, u64>>,
    address: String,
    server_name: ServerName<'static>,
    client: Arc<rustls::ClientConfig>,
    server: Arc<rustls::ServerConfig>,
    token: Option<String>,
}

impl FaultProxy {
    /// Stands before the cluster of a kubeconfig with inline data or absolute paths.
    pub fn before(kubeconfig: &Path) -> Self {
        let text = std::fs::read_to_string(kubeconfig).unwrap();
        let config: serde_json::Value = serde_yaml::from_str(&text).unwrap();
        let (cluster, user) = (&config["clusters"][0]["cluster"], &config["users"][0]["user"]);
        let url = cluster["server"].as_str().unwrap();
        let address = url.trim_start_matches("https://").trim_end_matches('/').to_owned();
        let host = address.rsplit_once(':').unwrap().0.to_owned();

        let mut roots = rustls::RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(&pem(cluster, "certificate-authority").unwrap()) {
            roots.add(der.unwrap()).unwrap();
        }
        let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
        let client = match (pem(user, "client-certificate"), pem(user, "client-key")) {
            (Some(certificate), Some(key)) => {
                let chain = CertificateDer::pem_slice_iter(&certificate).map(Result::unwrap).collect();
                builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(&key).unwrap()).unwrap()
            }
            _ => builder.with_no_client_auth(),
        };
        let (server, ca) = own_identity();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            random: AtomicU64::new(1),
            per_mille: AtomicU64::new(0),
            happened: Mutex::default(),
            writes_left: Mutex::default(),
            address,
            server_name: ServerName::try_from(host).unwrap(),
            client: Arc::new(client),
            server: Arc::new(server),
            token: user["token"].as_str().map(str::to_owned),
        });
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || state.serve(stream));
            }
        });
        let kubeconfig = format!(
            "apiVersion: v1\nkind: Config\nmetadata: {{name: proxied}}\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
             clusters: [{{name: k, cluster: {{server: 'https://127.0.0.1:{port}', certificate-authority-data: {ca}}}}}]\n\
             users: [{{name: u, user: {{token: the-proxy-has-the-real-one}}}}]\n"
        );
        Self { kubeconfig, state }
    }

    /// The kubeconfig that leads to the proxy; the cluster is called `proxied`.
    pub fn kubeconfig(&self) -> &str {
        &self.kubeconfig
    }

    /// From now on `per_mille` of a thousand requests meet a fault, decided by `seed`; 0 for none.
    pub fn set(&self, seed: u64, per_mille: u64) {
        // xorshift never leaves 0.
        self.state.random.store(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1, Ordering::SeqCst);
        self.state.per_mille.store(per_mille, Ordering::SeqCst);
    }

    /// From now on so many writes into `namespace` get through; before the next one reaches the server the connection breaks, as if
    /// the program were gone.
    pub fn let_through(&self, namespace: &str, writes: u64) {
        self.state.writes_left.lock().unwrap().insert(namespace.to_owned(), writes);
    }

    /// All writes get through again.
    pub fn let_all_through(&self) {
        self.state.writes_left.lock().unwrap().clear();
    }

    /// How often each fault has happened.
    pub fn happened(&self) -> BTreeMap<ProxyFault, u64> {
        self.state.happened.lock().unwrap().clone()
    }
}

fn pem(section: &serde_json::Value, name: &str) -> Option<Vec<u8>> {
    match section[format!("{name}-data")].as_str() {
        Some(data) => Some(STANDARD.decode(data).unwrap()),
        None => section[name].as_str().map(|path| std::fs::read(path).unwrap()),
    }
}

/// A server certificate for loopback and the CA that signed it, as kubeconfigs carry it.
fn own_identity() -> (rustls::ServerConfig, String) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = Issuer::new(ca, ca_key);
    let key = KeyPair::generate().unwrap();
    let leaf =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    (config, STANDARD.encode(ca_pem))
}

impl State {
    fn next(&self) -> u64 {
        let step = |mut x: u64| {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        };
        let updated = self.random.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |x| Some(step(x)));
        step(updated.unwrap_or(1))
    }

    /// Whether a request may reach the server; a write counts.
    fn lets_through(&self, request: &Request) -> bool {
        let Some(namespace) = request.writes_into() else { return true };
        match self.writes_left.lock().unwrap().get_mut(namespace) {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
        }
    }

    fn fault(&self, is_watch: bool) -> Option<ProxyFault> {
        if self.next() % 1000 >= self.per_mille.load(Ordering::SeqCst) {
            return None;
        }
        let fault = FAULTS[(self.next() % FAULTS.len() as u64) as usize];
        if fault == ProxyFault::WatchDrop && !is_watch {
            return None;
        }
        *self.happened.lock().unwrap().entry(fault).or_default() += 1;
        Some(fault)
    }

    /// One connection of the program: request after request.
    fn serve(&self, stream: TcpStream) {
        let Ok(connection) = rustls::ServerConnection::new(self.server.clone()) else { return };
        let Ok(raw) = stream.try_clone() else { return };
        let mut tls = rustls::StreamOwned::new(connection, stream);
        while let Some(request) = Request::read(&mut tls) {
            let fault = match self.lets_through(&request) {
                true => self.fault(request.is_watch()),
                false => Some(ProxyFault::ResetBefore),
            };
            match fault {
                Some(ProxyFault::Latency) => std::thread::sleep(Duration::from_millis(50)),
                Some(ProxyFault::TooMany) => {
                    if refuse(&mut tls, "429 Too Many Requests", "retry-after: 0\r\n").is_err() {
                        return;
                    }
                    continue;
                }
                Some(ProxyFault::Internal) => {
                    if refuse(&mut tls, "500 Internal Server Error", "").is_err() {
                        return;
                    }
                    continue;
                }
                Some(ProxyFault::Unavailable) => {
                    if refuse(&mut tls, "503 Service Unavailable", "").is_err() {
                        return;
                    }
                    continue;
                }
                Some(ProxyFault::Gone) => {
                    if refuse(&mut tls, "410 Gone", "").is_err() {
                        return;
                    }
                    continue;
                }
                Some(ProxyFault::ResetBefore) => {
                    let _ = raw.shutdown(Shutdown::Both);
                    return;
                }
                Some(ProxyFault::Hang) => {
                    // Longer than anybody's patience in a test; the program hangs up.
                    std::thread::sleep(Duration::from_secs(30));
                    return;
                }
                Some(ProxyFault::ResetAfter | ProxyFault::Truncated | ProxyFault::WatchDrop) | None => {}
            }
            if self.forward(&mut tls, &raw, &request, fault).is_err() {
                let _ = raw.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    fn forward(
        &self,
        tls: &mut (impl Read + Write),
        raw: &TcpStream,
        request: &Request,
        fault: Option<ProxyFault>,
    ) -> std::io::Result<()> {
        let upstream = TcpStream::connect(&self.address)?;
        if fault == Some(ProxyFault::WatchDrop) {
            upstream.set_read_timeout(Some(Duration::from_millis(50)))?;
        }
        let connection = rustls::ClientConnection::new(self.client.clone(), self.server_name.clone())
            .map_err(std::io::Error::other)?;
        let mut server = rustls::StreamOwned::new(connection, upstream);
        server.write_all(&request.for_server(&self.address, self.token.as_deref()))?;
        server.flush()?;
        let mut answer = Vec::new();
        let mut buffer = [0; 16384];
        loop {
            // The server closes after its answer, sometimes without saying goodbye.
            let read = match server.read(&mut buffer) {
                Ok(read) => read,
                Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => 0,
                Err(error) => return Err(error),
            };
            match fault {
                Some(ProxyFault::ResetAfter | ProxyFault::Truncated) => {
                    answer.extend_from_slice(&buffer[..read]);
                    if read == 0 {
                        if fault == Some(ProxyFault::Truncated) {
                            tls.write_all(&answer[..answer.len() * 2 / 3])?;
                            tls.flush()?;
                        }
                        let _ = raw.shutdown(Shutdown::Both);
                        return Err(std::io::Error::other("reset on purpose"));
                    }
                }
                _ if read == 0 => {
                    // `connection: close` was asked for, so this was the whole answer, and the program is told the same.
                    let _ = raw.shutdown(Shutdown::Both);
                    return Err(std::io::Error::other("the end"));
                }
                _ => {
                    tls.write_all(&buffer[..read])?;
                    tls.flush()?;
                }
            }
        }
    }
}

fn refuse(tls: &mut impl Write, status: &str, headers: &str) -> std::io::Result<()> {
    let code = status.split(' ').next().unwrap_or_default();
    let body = format!(
        r#"{{"kind":"Status","apiVersion":"v1","status":"Failure","message":"injected","code":{code}}}"#
    );
    let length = body.len();
    write!(
        tls,
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )?;
    tls.flush()
}

struct Request {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    fn read(from: &mut impl Read) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut byte = [0; 1];
        while !bytes.ends_with(b"\r\n\r\n") {
            if from.read(&mut byte).ok()? == 0 {
                return None;
            }
            bytes.push(byte[0]);
        }
        let text = String::from_utf8_lossy(&bytes);
        let head: Vec<String> = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        let length = head
            .iter()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:").map(str::to_owned))
            .and_then(|length| length.trim().parse().ok())
            .unwrap_or(0);
        let mut body = vec![0; length];
        from.read_exact(&mut body).ok()?;
        Some(Self { head, body })
    }

    /// The namespace in which it changes something.
    fn writes_into(&self) -> Option<&str> {
        let mut words = self.head.first()?.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        if !["POST", "PUT", "PATCH", "DELETE"].contains(&method) || path.contains("dryRun=") {
            return None;
        }
        path.split_once("/namespaces/")?.1.split_once('/').map(|(namespace, _)| namespace)
    }

    fn is_watch(&self) -> bool {
        self.head.first().is_some_and(|line| line.contains("watch=true") || line.contains("watch=1"))
    }

    /// The same request for the server, on a connection of its own.
    fn for_server(&self, host: &str, token: Option<&str>) -> Vec<u8> {
        let mut text = String::new();
        for (index, line) in self.head.iter().enumerate() {
            let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
            if index == 0 || !["host", "connection", "authorization"].contains(&name.as_str()) {
                text.push_str(line);
                text.push_str("\r\n");
            }
        }
        text.push_str(&format!("host: {host}\r\nconnection: close\r\n"));
        if let Some(token) = token {
            text.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        text.push_str("\r\n");
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}
