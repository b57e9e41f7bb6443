//! Why a server cannot be talked to, as a sentence a person can act on.
//!
//! hyper says "client error (Connect)" and leaves the rest to its sources; the whole chain is read here, and the few things that
//! really happen (dead endpoint, wrong CA, wrong name, expired certificate, refused client certificate) are told apart.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// What kind of trouble; decides whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TroubleKind {
    /// Nobody listens there.
    Refused,
    /// The name does not resolve.
    Name,
    /// No answer in time.
    Silent,
    /// The connection broke.
    Dropped,
    /// The server's certificate is not acceptable.
    ServerCertificate,
    /// The server's certificate is for another name.
    ServerName,
    /// The server does not accept our certificate.
    ClientCertificate,
    /// The other end does not speak TLS, or the TLS that we speak.
    Protocol,
    /// Anything else.
    Other,
}

impl TroubleKind {
    /// Whether the same call can succeed a moment later.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Refused | Self::Name | Self::Silent | Self::Dropped | Self::Other => true,
            Self::ServerCertificate | Self::ServerName | Self::ClientCertificate | Self::Protocol => false,
        }
    }
}

/// A failed connection, explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Which kind.
    pub kind: TroubleKind,
    /// What happened, without the server's address.
    pub sentence: String,
}

impl Trouble {
    /// No answer within a time.
    pub(crate) fn silent(seconds: f64) -> Self {
        Self { kind: TroubleKind::Silent, sentence: format!("no answer within {seconds:.1} s") }
    }

    /// What to do about it. `server` is the API server's URL, `origin` the kubeconfig.
    pub fn hint(&self, server: &str, origin: &str) -> Option<String> {
        match self.kind {
            TroubleKind::Refused | TroubleKind::Silent => Some(format!("curl -k {server}/livez")),
            TroubleKind::Name => {
                let host = server.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
                Some(format!("getent hosts {}", host.unwrap_or_else(|| server.to_owned())))
            }
            TroubleKind::ServerCertificate => {
                let host = server.trim_start_matches("https://").trim_end_matches('/').to_owned();
                Some(format!(
                    "compare `certificate-authority-data` of {origin} with: openssl s_client -connect {host} -showcerts"
                ))
            }
            TroubleKind::ServerName => Some(format!(
                "change `server` in {origin}, or set `tls-server-name` to a name of the certificate"
            )),
            TroubleKind::ClientCertificate => {
                Some(format!("fetch the kubeconfig of the cluster anew: {origin}"))
            }
            TroubleKind::Dropped | TroubleKind::Protocol | TroubleKind::Other => None,
        }
    }
}

/// Reads a chain of errors to its end.
pub fn explain(error: &(dyn Error + 'static)) -> Trouble {
    let mut kind = TroubleKind::Other;
    let mut said: Vec<String> = Vec::new();
    let mut current: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(link) = current {
        if let Some(tls) = link.downcast_ref::<rustls::Error>() {
            return tls_trouble(tls);
        }
        let text = link.to_string();
        if text.contains("failed to lookup address") || text.contains("dns error") {
            kind = TroubleKind::Name;
        }
        if let Some(hyper) = link.downcast_ref::<hyper::Error>() {
            if hyper.is_timeout() {
                kind = TroubleKind::Silent;
            } else if hyper.is_incomplete_message() || hyper.is_closed() || hyper.is_canceled() {
                kind = TroubleKind::Dropped;
            }
        }
        if let Some(io) = link.downcast_ref::<io::Error>() {
            kind = io_kind(io.kind(), kind);
            // `source()` of an io::Error skips the error that it wraps.
            if let Some(inner) = io.get_ref() {
                current = Some(inner);
                continue;
            }
        }
        said.push(text);
        current = link.source();
    }
    let last = said.last().cloned().unwrap_or_default();
    let sentence = match kind {
        TroubleKind::Refused => "connection refused".to_owned(),
        TroubleKind::Name => "the host name does not resolve".to_owned(),
        TroubleKind::Silent => "no answer in time".to_owned(),
        TroubleKind::Dropped => format!("the connection was dropped ({last})"),
        TroubleKind::ServerCertificate
        | TroubleKind::ServerName
        | TroubleKind::ClientCertificate
        | TroubleKind::Protocol
        | TroubleKind::Other => {
            said.dedup();
            said.join(": ")
        }
    };
    Trouble { kind, sentence }
}

fn io_kind(kind: io::ErrorKind, before: TroubleKind) -> TroubleKind {
    if kind == io::ErrorKind::ConnectionRefused {
        TroubleKind::Refused
    } else if kind == io::ErrorKind::TimedOut {
        TroubleKind::Silent
    } else if [
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::BrokenPipe,
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::NotConnected,
    ]
    .contains(&kind)
    {
        TroubleKind::Dropped
    } else {
        before
    }
}

fn tls_trouble(error: &rustls::Error) -> Trouble {
    let (kind, sentence) = if let rustls::Error::InvalidCertificate(problem) = error {
        let another_name = matches!(
            problem,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }
        );
        let kind = if another_name { TroubleKind::ServerName } else { TroubleKind::ServerCertificate };
        (kind, certificate_sentence(problem))
    } else if let rustls::Error::AlertReceived(alert) = error {
        match client_certificate_alert(*alert) {
            Some(text) => (TroubleKind::ClientCertificate, text.to_owned()),
            None => (TroubleKind::Protocol, format!("the server broke off the TLS handshake ({alert:?})")),
        }
    } else if let rustls::Error::InvalidMessage(_) = error {
        (
            TroubleKind::Protocol,
            "the server does not speak TLS (should the URL begin with `http://`?)".to_owned(),
        )
    } else if let rustls::Error::PeerIncompatible(_) = error {
        (TroubleKind::Protocol, "the server speaks no TLS that is still secure (1.2 or newer)".to_owned())
    } else {
        (TroubleKind::Other, format!("TLS failed: {error}"))
    };
    Trouble { kind, sentence }
}

fn certificate_sentence(problem: &CertificateError) -> String {
    if let CertificateError::NotValidForNameContext { expected, presented } = problem {
        let presented: Vec<String> = presented.iter().map(|name| plain_name(name)).collect();
        return format!(
            "the server's certificate is not for `{}` but for {}",
            expected.to_str(),
            if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
        );
    }
    if let CertificateError::ExpiredContext { not_after, .. } = problem {
        return format!("the server's certificate expired on {}", day(not_after.as_secs()));
    }
    if let CertificateError::NotValidYetContext { not_before, .. } = problem {
        return format!("the server's certificate is not valid before {}", day(not_before.as_secs()));
    }
    if *problem == CertificateError::Expired {
        return "the server's certificate has expired".to_owned();
    }
    if *problem == CertificateError::NotValidForName {
        return "the server's certificate is for another name".to_owned();
    }
    if [CertificateError::UnknownIssuer, CertificateError::BadSignature].contains(problem) {
        return "the server's certificate is not signed by the certificate authority of the kubeconfig"
            .to_owned();
    }
    if *problem == CertificateError::Revoked {
        return "the server's certificate has been revoked".to_owned();
    }
    format!("the server's certificate is not acceptable ({problem})")
}

/// rustls prints a presented name as `DnsName("a")` or `IpAddress(127.0.0.1)`.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').map_or(name, |(_, rest)| rest.trim_end_matches(')'));
    format!("`{}`", inner.trim_matches('"'))
}

fn day(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| "an unknown day".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

fn client_certificate_alert(alert: AlertDescription) -> Option<&'static str> {
    if alert == AlertDescription::CertificateExpired {
        Some("the server says that our client certificate has expired")
    } else if alert == AlertDescription::CertificateRequired {
        Some("the server asks for a client certificate, and the kubeconfig has none")
    } else if [
        AlertDescription::BadCertificate,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
        AlertDescription::DecryptError,
    ]
    .contains(&alert)
    {
        Some("the server does not accept our client certificate")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_wrapped_in_an_io_error_is_found() {
        let wrapped = io::Error::new(
            io::ErrorKind::InvalidData,
            rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
        );
        let trouble = explain(&wrapped);
        assert_eq!(trouble.kind, TroubleKind::ServerCertificate);
        assert!(!trouble.kind.may_pass());
        assert_eq!(
            trouble.sentence,
            "the server's certificate is not signed by the certificate authority of the kubeconfig"
        );
    }

    #[test]
    fn a_refused_connection_may_pass() {
        let trouble = explain(&io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(trouble, Trouble { kind: TroubleKind::Refused, sentence: "connection refused".into() });
        assert!(trouble.kind.may_pass());
    }

    #[test]
    fn presented_names_are_shown_as_a_person_writes_them() {
        assert_eq!(plain_name(r#"DnsName("api.example.com")"#), "`api.example.com`");
        assert_eq!(plain_name("IpAddress(127.0.0.1)"), "`127.0.0.1`");
    }
}
