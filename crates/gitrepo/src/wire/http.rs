//! The smart http line (gitprotocol-http): ureq and rustls.
//!
//! A push is sent without asking for receive-pack's list of refs first: what it would tell is known
//! (the ref's value was read from upload-pack, and the capabilities we ask for are ignored by
//! servers that lack them), it costs a round trip, and it grows with the number of branches.

use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use ureq::http::{Request, Response, StatusCode};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body};

use super::advert::Service;
use super::counting::{CountingConnector, Meter};
use super::credential::{self, Credential};
use super::line::{AskFault, Line};
use super::proxies;
use super::words;
use crate::address::clean;
use crate::address::redact;
use crate::auth::{Auth, Secret, basic};
use crate::fault::GitError;
use crate::remote::RemoteSpec;
use crate::session::Traffic;

/// A line to a server over http or https.
pub(crate) struct Http {
    agent: Agent,
    /// Without user and password. Changes when the server redirects us.
    base: String,
    host: String,
    user_agent: String,
    auth: Auth,
    header: Option<Secret>,
    helper: Option<Credential>,
    git_program: PathBuf,
    meter: Arc<Meter>,
    requests: u64,
    deadline: Option<Instant>,
}

impl Http {
    /// Prepares; nothing is sent.
    ///
    /// # Errors
    /// [`GitError::File`] for a CA file that cannot be used, [`GitError::Url`] for a proxy's URL.
    pub(crate) fn new(
        remote: &RemoteSpec,
        url: String,
        host: String,
        user: Option<(String, Option<Secret>)>,
    ) -> Result<Self, GitError> {
        // What is given beats what stands in the URL.
        let auth = match (&remote.auth, user) {
            (Auth::None, Some((username, Some(password)))) => Auth::Basic { username, password },
            (Auth::Token { token, username: None }, Some((username, _))) => {
                Auth::Token { token: token.clone(), username: Some(username) }
            }
            (auth, _) => auth.clone(),
        };
        let meter = Arc::new(Meter::default());
        let agent = agent(remote, &url, &host, &meter)?;
        Ok(Self {
            agent,
            header: auth.header(&host),
            base: url,
            host,
            user_agent: format!("git/2.0 ({})", remote.agent),
            auth,
            helper: None,
            git_program: remote.git_program.clone(),
            meter,
            requests: 0,
            deadline: None,
        })
    }

    fn url(&self) -> String {
        redact(&self.base)
    }

    /// Sends one request, and again with credentials if the server asks for them and a helper has
    /// some.
    fn send(&mut self, what: &What<'_>) -> Result<Response<Body>, AskFault> {
        let mut response = self.send_once(what)?;
        if response.status() == StatusCode::UNAUTHORIZED
            && matches!(self.auth, Auth::CredentialHelper)
            && self.helper.is_none()
        {
            let found = credential::fill(&self.git_program, &self.base).map_err(AskFault::NotSent)?;
            if let Some(found) = found {
                self.header = Some(basic(&found.username, &found.password));
                self.helper = Some(found);
                response = self.send_once(what)?;
                let good = response.status() != StatusCode::UNAUTHORIZED;
                if let Some(helper) = &self.helper {
                    credential::judge(&self.git_program, &self.base, helper, good);
                }
            }
        }
        Ok(response)
    }

    fn send_once(&mut self, what: &What<'_>) -> Result<Response<Body>, AskFault> {
        let action = what.action();
        self.requests += 1;
        let mut request = Request::builder().header("User-Agent", &self.user_agent);
        if what.service() == Service::UploadPack {
            request = request.header("Git-Protocol", "version=2");
        }
        if let Some(header) = &self.header {
            request = request.header("Authorization", header.expose());
        }
        let left = match self.deadline.map(|deadline| deadline.checked_duration_since(Instant::now())) {
            Some(None) => {
                return Err(AskFault::NotSent(GitError::Network {
                    url: self.url(),
                    action,
                    reason: "the time for all of it is over".to_string(),
                }));
            }
            Some(Some(left)) => Some(left),
            None => None,
        };
        let result = match what {
            What::Greet(service) => request
                .method("GET")
                .uri(format!("{}/info/refs?service={}", self.base, service.program()))
                .header("Accept", "*/*")
                .body(())
                .map_err(ureq::Error::Http)
                .and_then(|request| {
                    let request = self.agent.configure_request(request).timeout_global(left).build();
                    self.agent.run(request)
                }),
            What::Ask(service, body) => request
                .method("POST")
                .uri(format!("{}/{}", self.base, service.program()))
                .header("Content-Type", format!("application/x-{}-request", service.program()))
                .header("Accept", format!("application/x-{}-result", service.program()))
                .body(*body)
                .map_err(ureq::Error::Http)
                .and_then(|request| {
                    let request = self.agent.configure_request(request).timeout_global(left).build();
                    self.agent.run(request)
                }),
        };
        result.map_err(|error| {
            let sent = !never_sent(&error);
            let error = self.transport_error(action, &error);
            if sent { AskFault::Unknown(error) } else { AskFault::NotSent(error) }
        })
    }

    fn transport_error(&self, action: &'static str, error: &ureq::Error) -> GitError {
        let url = self.url();
        let text = clean(&chain(error));
        let lower = text.to_ascii_lowercase();
        if lower.contains("certificate") || lower.contains("unknownissuer") {
            return GitError::Certificate { url, reason: text };
        }
        if matches!(error, ureq::Error::HostNotFound) {
            return GitError::NotFound { url, server: "the name of the host is not known".to_string() };
        }
        if let ureq::Error::Io(inner) = error {
            let found = words::read(&url, action, &text);
            return found.unwrap_or_else(|| words::of_stream(&url, action, inner));
        }
        GitError::Network { url, action, reason: text }
    }

    /// The error for an answer that is not 200.
    fn refusal(&self, action: &'static str, service: Service, response: Response<Body>) -> GitError {
        let url = self.url();
        let status = response.status();
        let header = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_string)
        };
        let retry_after = header("retry-after").and_then(|value| value.trim().parse().ok());
        let limited = retry_after.is_some() || header("x-ratelimit-remaining").as_deref() == Some("0");
        let plain = header("content-type").is_some_and(|kind| kind.starts_with("text/plain"));
        let mut text = String::new();
        if plain {
            let mut body = Vec::new();
            let _ = response.into_body().into_reader().take(2000).read_to_end(&mut body);
            let body = String::from_utf8_lossy(&body);
            let lines: Vec<String> =
                body.lines().map(clean).filter(|line| !line.trim().is_empty()).take(5).collect();
            text = lines.join("; ");
        }
        let name = status.canonical_reason().unwrap_or_default();
        let server = match text.as_str() {
            "" => format!("HTTP {} {name}", status.as_u16()).trim_end().to_string(),
            text => format!("HTTP {} {name}: {text}", status.as_u16()),
        };
        match status.as_u16() {
            403 if limited => GitError::Server { url, action, server, retry_after },
            401 | 403 | 407 => GitError::Auth {
                url,
                server,
                sent_credentials: self.header.is_some(),
                pushing: service == Service::ReceivePack,
            },
            404 | 410 => GitError::NotFound { url, server },
            408 | 425 | 429 | 500..=599 => GitError::Server { url, action, server, retry_after },
            _ => GitError::Refused { url, action, server },
        }
    }

    /// Follows the redirects of the first request, as git does (`http.followRedirects=initial`).
    fn redirect(&mut self, response: &Response<Body>, service: Service) -> Result<(), GitError> {
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        let suffix = format!("/info/refs?service={}", service.program());
        let refused =
            |detail: String| GitError::Protocol { url: redact(&self.base), action: "connecting", detail };
        let location = location.ok_or_else(|| refused("it redirects to nowhere".to_string()))?;
        let absolute = if location.starts_with('/') && !location.starts_with("//") {
            let (scheme, rest) = self.base.split_once("://").unwrap_or(("https", &self.base));
            format!("{scheme}://{}{location}", rest.split('/').next().unwrap_or_default())
        } else {
            location.to_string()
        };
        let shown = redact(&absolute);
        let Some(base) = absolute.strip_suffix(&suffix) else {
            return Err(refused(format!("it redirects to what is no repository: {shown}")));
        };
        let crate::address::Address::Http { url, host, .. } = crate::address::Address::parse(base)? else {
            return Err(refused(format!("it redirects to another protocol: {shown}")));
        };
        if self.base.starts_with("https:") && !url.starts_with("https:") {
            return Err(refused(format!("it redirects from https to http: {shown}")));
        }
        if !same_server(&self.base, &url) {
            // Credentials are for the server they were given for.
            self.header = None;
            self.auth = Auth::None;
        }
        self.host = host;
        self.base = url;
        Ok(())
    }
}

/// A request.
enum What<'a> {
    Greet(Service),
    Ask(Service, &'a [u8]),
}

impl What<'_> {
    fn service(&self) -> Service {
        match self {
            Self::Greet(service) | Self::Ask(service, _) => *service,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Greet(_) => "connecting",
            Self::Ask(Service::UploadPack, _) => "reading",
            Self::Ask(Service::ReceivePack, _) => "pushing",
        }
    }
}

impl Line for Http {
    fn stateless(&self) -> bool {
        true
    }

    fn greet(&mut self, service: Service) -> Result<Box<dyn Read + '_>, GitError> {
        for _ in 0..5 {
            let what = What::Greet(service);
            let response = self.send(&what).map_err(AskFault::into_error)?;
            if response.status().is_redirection() {
                self.redirect(&response, service)?;
                continue;
            }
            if response.status() != StatusCode::OK {
                return Err(self.refusal(what.action(), service, response));
            }
            let expected = format!("application/x-{}-advertisement", service.program());
            let kind = response.headers().get("content-type").and_then(|value| value.to_str().ok());
            let kind = kind.unwrap_or_default().to_string();
            if kind != expected {
                return Err(GitError::Protocol {
                    url: self.url(),
                    action: what.action(),
                    detail: format!("expected `{expected}`, got `{}`", clean(&kind)),
                });
            }
            return Ok(Box::new(response.into_body().into_reader()));
        }
        Err(GitError::Protocol {
            url: self.url(),
            action: "connecting",
            detail: "it redirects in a circle".to_string(),
        })
    }

    fn ask(&mut self, service: Service, request: &[u8]) -> Result<Box<dyn Read + '_>, AskFault> {
        let what = What::Ask(service, request);
        let response = self.send(&what)?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(Box::new(response.into_body().into_reader()));
        }
        let error = self.refusal(what.action(), service, response);
        // What stands between us and the server answers 5xx when the server may have done it.
        Err(if status.is_server_error() { AskFault::Unknown(error) } else { AskFault::NotSent(error) })
    }

    fn hang_up(&mut self) {}

    fn explain(&mut self, action: &'static str, error: &io::Error) -> GitError {
        words::of_stream(&self.url(), action, error)
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn traffic(&self) -> Traffic {
        Traffic {
            received: self.meter.received.load(Ordering::Relaxed),
            sent: self.meter.sent.load(Ordering::Relaxed),
            requests: self.requests,
        }
    }
}

/// Whether a redirect stays with the server: the same host and port, or the step from http to https.
fn same_server(from: &str, to: &str) -> bool {
    let parts = |url: &str| {
        let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
        let authority = rest.split('/').next().unwrap_or_default().to_ascii_lowercase();
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(usual).unwrap_or(&authority).to_string();
        (scheme.to_string(), authority)
    };
    let ((from_scheme, from), (to_scheme, to)) = (parts(from), parts(to));
    from == to && (from_scheme == to_scheme || to_scheme == "https")
}

/// Whether a request failed before anything of it was sent.
fn never_sent(error: &ureq::Error) -> bool {
    use ureq::{Error, Timeout};
    if let Error::Io(error) = error {
        return error.kind() == io::ErrorKind::ConnectionRefused;
    }
    matches!(
        error,
        Error::HostNotFound
            | Error::ConnectionFailed
            | Error::ConnectProxyFailed(_)
            | Error::Http(_)
            | Error::Rustls(_)
            | Error::Timeout(Timeout::Resolve | Timeout::Connect)
    )
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = source.source();
    }
    text
}

fn agent(remote: &RemoteSpec, url: &str, host: &str, meter: &Arc<Meter>) -> Result<Agent, GitError> {
    let roots = match &remote.ca_file {
        None => RootCerts::PlatformVerifier,
        Some(path) => {
            let unusable = |reason: String| GitError::File { path: path.clone(), reason };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let mut certificates = Vec::new();
            for item in ureq::tls::parse_pem(&pem) {
                if let PemItem::Certificate(certificate) =
                    item.map_err(|error| unusable(error.to_string()))?
                {
                    certificates.push(certificate);
                }
            }
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate (PEM)".to_string()));
            }
            RootCerts::from(certificates)
        }
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("https", url));
    let authority = rest.split('/').next().unwrap_or_default();
    let digits = authority.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
    let default = if scheme == "https" { 443 } else { 80 };
    let port = digits.and_then(|digits| digits.parse().ok()).unwrap_or(default);
    let proxy = match proxies::choose(&remote.proxy, scheme, host, port) {
        None => None,
        Some(proxy) => Some(ureq::Proxy::new(proxy).map_err(|error| GitError::Url {
            url: redact(proxy),
            reason: format!("it is not one of a proxy ({error})"),
        })?),
    };
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(proxy)
        .tls_config(TlsConfig::builder().root_certs(roots).build())
        .timeout_connect(Some(remote.timeouts.connect))
        .timeout_per_read(Some(remote.timeouts.idle))
        .timeout_per_write(Some(remote.timeouts.idle))
        .input_buffer_size(32 * 1024)
        .output_buffer_size(32 * 1024)
        .build();
    let connector =
        ().chain(ConnectProxyConnector::default())
            .chain(TcpConnector::default())
            .chain(CountingConnector(Arc::clone(meter)))
            .chain(RustlsConnector::default());
    Ok(Agent::with_parts(config, connector, DefaultResolver::default()))
}

#[cfg(test)]
mod tests {
    use super::same_server;

    #[test]
    fn credentials_stay_with_their_server() {
        for (from, to, same) in [
            ("https://h/a", "https://h/b", true),
            ("https://H:443/a", "https://h/b", true),
            ("http://h/a", "https://h/a", true),
            ("https://h/a", "https://h:8443/a", false),
            ("https://h/a", "http://h/a", false),
            ("https://h/a", "https://h.evil/a", false),
            ("https://h/a", "https://other/a", false),
        ] {
            assert_eq!(same_server(from, to), same, "{from} {to}");
        }
    }
}
