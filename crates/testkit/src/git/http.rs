//! `git http-backend` behind an http server that asks for credentials and fails on request.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::PrivateCa;

/// Who may come in.
#[derive(Debug, Clone, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// User and password.
    Basic(String, String),
    /// A bearer token.
    Bearer(String),
    /// Everybody may read, nobody may push (403).
    ReadOnly,
}

/// What a server does to a request in place of answering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: the request is answered.
    None,
    /// This status, without having done anything.
    Status(u16),
    /// 429 with this `Retry-After`, in seconds.
    RetryAfter(u64),
    /// The connection is closed without having done anything.
    ResetAtOnce,
    /// The request is carried out and the connection closed without an answer.
    ResetBeforeAnswer,
    /// The connection is closed after so many bytes of the answer's body.
    ResetAfter(usize),
    /// The request is carried out, and this status is given in place of the answer.
    StatusAfterwards(u16),
    /// The answer comes this much later.
    Slow(Duration),
    /// A redirect of the first request to another prefix of the path.
    Redirect(&'static str),
}

/// A request, as faults see it.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// 0 for the first request of the server.
    pub number: usize,
    /// `GET` or `POST`.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// After the `?`.
    pub query: String,
    /// In lower case.
    pub headers: BTreeMap<String, String>,
}

impl Incoming {
    /// Whether this is a push being sent.
    pub fn is_push(&self) -> bool {
        self.method == "POST" && self.path.ends_with("/git-receive-pack")
    }
}

type Decide = Arc<dyn Fn(&Incoming) -> Fault + Send + Sync>;

/// A server on loopback, gone with this value.
pub struct HttpServer {
    port: u16,
    tls: bool,
    shared: Arc<Shared>,
}

struct Shared {
    root: PathBuf,
    access: Access,
    fault: Decide,
    tls: Option<Arc<rustls::ServerConfig>>,
    protocol_v2: bool,
    stop: AtomicBool,
    requests: AtomicUsize,
    connections: AtomicUsize,
}

/// What a server is made of.
pub struct Builder {
    shared: Shared,
}

impl HttpServer {
    /// Serves the repositories of a directory.
    pub fn serve(root: impl Into<PathBuf>) -> Builder {
        Builder {
            shared: Shared {
                root: root.into(),
                access: Access::Open,
                fault: Arc::new(|_| Fault::None),
                tls: None,
                protocol_v2: true,
                stop: AtomicBool::new(false),
                requests: AtomicUsize::new(0),
                connections: AtomicUsize::new(0),
            },
        }
    }

    /// The URL of the repository `repo.git`.
    pub fn url(&self) -> String {
        format!("{}/repo.git", self.base())
    }

    /// The URL of the server.
    pub fn base(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How many connections there were so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many requests there were so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Builder {
    /// Lets in only some.
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.shared.access = access;
        self
    }

    /// Fails as `fault` says.
    #[must_use]
    pub fn fault(mut self, fault: impl Fn(&Incoming) -> Fault + Send + Sync + 'static) -> Self {
        self.shared.fault = Arc::new(fault);
        self
    }

    /// Speaks https with a certificate of this authority.
    #[must_use]
    pub fn tls(mut self, ca: &PrivateCa) -> Self {
        self.shared.tls = Some(ca.config());
        self
    }

    /// Speaks git's protocol 0 only, as old servers do.
    #[must_use]
    pub fn protocol_v0(mut self) -> Self {
        self.shared.protocol_v2 = false;
        self
    }

    /// Starts.
    pub fn start(self) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(self.shared);
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                // A connection that breaks is the client's affair, and often the test's intention.
                std::thread::spawn(move || socket.and_then(|socket| shared.connection(socket)));
            }
        });
        HttpServer { port, tls: shared.tls.is_some(), shared }
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

impl Shared {
    fn connection(&self, socket: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        socket.set_nodelay(true)?;
        let closing = socket.try_clone()?;
        let stream: Box<dyn Duplex> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let tls = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Box::new(rustls::StreamOwned::new(tls, socket))
            }
        };
        let mut stream = BufReader::new(stream);
        while let Some((incoming, body)) = self.request(&mut stream)? {
            if !self.answer(&incoming, &body, stream.get_mut())? {
                break;
            }
        }
        closing.shutdown(Shutdown::Both)
    }

    fn request(&self, from: &mut BufReader<Box<dyn Duplex>>) -> io::Result<Option<(Incoming, Vec<u8>)>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut incoming = Incoming {
            number: self.requests.fetch_add(1, Ordering::SeqCst),
            method: method.to_string(),
            path: path.to_string(),
            query: query.to_string(),
            headers: BTreeMap::new(),
        };
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            incoming.headers.insert(name.to_ascii_lowercase(), value.trim().to_string());
        }
        if incoming.headers.get("expect").is_some_and(|value| value == "100-continue") {
            from.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Vec::new();
        if let Some(length) = incoming.headers.get("content-length") {
            from.take(length.parse().map_err(io::Error::other)?).read_to_end(&mut body)?;
        } else if incoming.headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
            loop {
                let mut size = String::new();
                from.read_line(&mut size)?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
                from.take(size).read_to_end(&mut body)?;
                from.read_line(&mut String::new())?;
                if size == 0 {
                    break;
                }
            }
        }
        Ok(Some((incoming, body)))
    }

    /// Answers; `false` if the connection is to be closed.
    fn answer(&self, incoming: &Incoming, body: &[u8], to: &mut dyn Write) -> io::Result<bool> {
        let fault = (self.fault)(incoming);
        match fault {
            Fault::Status(status) => {
                return simple(to, status, "", "the server is out of order\n").map(|()| true);
            }
            Fault::RetryAfter(seconds) => {
                let header = format!("Retry-After: {seconds}\r\n");
                return simple(to, 429, &header, "slower, please\n").map(|()| true);
            }
            Fault::ResetAtOnce => return Ok(false),
            Fault::Redirect(prefix) if !incoming.path.starts_with(prefix) => {
                let header = format!("Location: {prefix}{}?{}\r\n", incoming.path, incoming.query);
                return simple(to, 301, &header, "").map(|()| true);
            }
            Fault::Slow(delay) => std::thread::sleep(delay),
            Fault::None
            | Fault::Redirect(_)
            | Fault::ResetBeforeAnswer
            | Fault::ResetAfter(_)
            | Fault::StatusAfterwards(_) => {}
        }
        if let Some(refusal) = self.refuses(incoming) {
            let header = "WWW-Authenticate: Basic realm=\"git\"\r\n";
            return simple(to, refusal, header, "you may not\n").map(|()| true);
        }
        let mut path = incoming.path.as_str();
        if let Fault::Redirect(prefix) = fault {
            path = path.strip_prefix(prefix).unwrap_or(path);
        }
        let mut running = self.backend(incoming, path, body)?;
        if let Fault::ResetBeforeAnswer | Fault::StatusAfterwards(_) = fault {
            io::copy(&mut running.answer, &mut io::sink())?;
            running.child.wait()?;
            if let Fault::StatusAfterwards(status) = fault {
                return simple(to, status, "", "the gateway lost its patience\n").map(|()| true);
            }
            return Ok(false);
        }
        let kept = running.forward(to, fault)?;
        running.child.wait()?;
        Ok(kept)
    }

    fn refuses(&self, incoming: &Incoming) -> Option<u16> {
        use base64::Engine as _;
        let given = incoming.headers.get("authorization").map(String::as_str).unwrap_or_default();
        let push = incoming.path.ends_with("git-receive-pack") || incoming.query.contains("git-receive-pack");
        match &self.access {
            Access::Open => None,
            Access::ReadOnly => push.then_some(403),
            Access::Bearer(token) => (given != format!("Bearer {token}")).then_some(401),
            Access::Basic(user, password) => {
                let pair = format!("{user}:{password}");
                let expected = base64::engine::general_purpose::STANDARD.encode(pair);
                (given != format!("Basic {expected}")).then_some(401)
            }
        }
    }

    /// Starts `git http-backend`.
    fn backend(&self, incoming: &Incoming, path: &str, body: &[u8]) -> io::Result<Running> {
        let header = |name: &str| incoming.headers.get(name).cloned().unwrap_or_default();
        let mut command = Command::new("git");
        command
            .arg("http-backend")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_PROJECT_ROOT", &self.root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", &incoming.method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", &incoming.query)
            .env("CONTENT_TYPE", header("content-type"))
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
            .env("REMOTE_USER", "tester")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        if self.protocol_v2 {
            command.env("GIT_PROTOCOL", header("git-protocol"));
        }
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().unwrap();
        let body = body.to_vec();
        std::thread::spawn(move || stdin.write_all(&body));
        let answer = BufReader::new(child.stdout.take().unwrap());
        Ok(Running { child, answer })
    }
}

/// A backend at work.
struct Running {
    child: Child,
    answer: BufReader<ChildStdout>,
}

impl Running {
    /// Sends the answer on while it comes; `false` if the connection is to be closed.
    fn forward(&mut self, to: &mut dyn Write, fault: Fault) -> io::Result<bool> {
        let (mut status, mut headers) = ("200 OK".to_string(), String::new());
        loop {
            let mut line = String::new();
            self.answer.read_line(&mut line)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            match line.strip_prefix("Status: ") {
                Some(given) => status = given.to_string(),
                None => headers.push_str(&format!("{line}\r\n")),
            }
        }
        let mut left = usize::MAX;
        if let Fault::ResetAfter(bytes) = fault {
            left = bytes;
        }
        write!(to, "HTTP/1.1 {status}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n")?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = self.answer.read(&mut buffer)?.min(left);
            left -= n;
            if n > 0 {
                write!(to, "{n:x}\r\n")?;
                to.write_all(&buffer[..n])?;
                to.write_all(b"\r\n")?;
                to.flush()?;
            }
            if left == 0 {
                // Whatever the backend has still to do, it does.
                io::copy(&mut self.answer, &mut io::sink())?;
                return Ok(false);
            }
            if n == 0 {
                break;
            }
        }
        to.write_all(b"0\r\n\r\n")?;
        to.flush()?;
        Ok(true)
    }
}

fn simple(to: &mut dyn Write, status: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    write!(
        to,
        "HTTP/1.1 {status} Said\r\nContent-Type: text/plain\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    )?;
    to.flush()
}
