//! Requests to one registry after the other.

use std::time::Duration;

use base64::Engine as _;
use cli::Problem;
use manifest::ImageRef;
use serde::Deserialize;
use sha2::Digest as _;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode},
    tls::{PemItem, RootCerts, TlsConfig},
};

use super::{
    challenge::Challenge,
    credentials::{Credentials, DockerConfig},
};
use crate::request::RegistryCheck;

/// Manifests and indexes of Docker and OCI, so that an image for several platforms is found as the whole it is.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Attempts when the registry is out of order.
const ATTEMPTS: u32 = 4;
/// A manifest is at most 4 MiB (OCI distribution specification).
const LARGEST: u64 = 4 << 20;

/// Why an image could not be found.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    /// The registry does not have it.
    #[error("the image is not in the registry: `{image}`")]
    NotThere { image: String },
    /// 401 or 403.
    #[error("the registry `{host}` refuses access to `{repository}`: {status}")]
    Access { host: String, repository: String, status: String, sent_credentials: bool },
    /// The credentials cannot be read.
    #[error("no credentials for the registry `{host}`: {reason}")]
    Credentials { host: String, reason: String },
    /// Any other answer.
    #[error("the registry `{host}` failed: {status}")]
    Status { host: String, status: String },
    /// TLS, but not with anybody we trust.
    #[error("the identity of the registry `{host}` cannot be verified: {reason}")]
    Certificate { host: String, reason: String },
    /// No answer.
    #[error("no answer from the registry `{host}`: {reason}")]
    Unreachable { host: String, reason: String },
}

impl RegistryError {
    pub(super) fn hint(&self, image: &ImageRef) -> Option<String> {
        match self {
            Self::NotThere { .. } => Some(format!("push it first: `docker push {image}`")),
            Self::Access { sent_credentials: false, host, .. } => {
                Some(format!("no credentials were sent: log in with `docker login {host}`"))
            }
            Self::Access { host, .. } => {
                Some(format!("the credentials are not enough: log in again with `docker login {host}`"))
            }
            Self::Credentials { .. } => {
                Some("name the folder of Docker's config.json with `--docker-config`".into())
            }
            Self::Certificate { .. } => {
                Some("give the certificate of its authority (PEM) with `--ca-file`".into())
            }
            Self::Status { .. } | Self::Unreachable { .. } => None,
        }
    }
}

/// A client for registries.
pub(super) struct Client {
    agent: Agent,
    docker: DockerConfig,
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
}

/// A registry and a repository in it.
struct Place {
    host: String,
    repository: String,
    reference: String,
}

impl Client {
    pub(super) fn new(check: &RegistryCheck) -> Result<Self, Problem> {
        let mut tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier);
        if let Some(path) = &check.ca_file {
            let unusable = |why: String| {
                Problem::new(format!("the CA file cannot be used, {why}: `{}`", path.display()))
            };
            let pem = std::fs::read(path).map_err(|error| unusable(error.to_string()))?;
            let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
                .filter_map(|item| match item {
                    Ok(PemItem::Certificate(certificate)) => Some(certificate),
                    Ok(_) | Err(_) => None,
                })
                .collect();
            if certificates.is_empty() {
                return Err(unusable("it holds no certificate (PEM)".into()));
            }
            tls = tls.root_certs(RootCerts::from(certificates));
        }
        let docker = match &check.docker_config {
            None => DockerConfig::default(),
            Some(path) => DockerConfig::read(path)
                .map_err(|why| Problem::new(why).context(format!("cannot read `{}`", path.display())))?,
        };
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(tls.build())
            .user_agent(concat!("kit-image-deployer/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_global(Some(Duration::from_secs(60)))
            .build()
            .new_agent();
        Ok(Self { agent, docker })
    }

    /// The digest under which the registry has the image now.
    pub(super) fn digest(&self, image: &ImageRef) -> Result<String, RegistryError> {
        let hub = matches!(image.registry(), None | Some("docker.io" | "index.docker.io"));
        let library = if hub && !image.repository().contains('/') { "library/" } else { "" };
        let place = Place {
            host: if hub {
                "registry-1.docker.io".into()
            } else {
                image.registry().unwrap_or_default().into()
            },
            repository: format!("{library}{}", image.repository()),
            reference: image.digest().or(image.tag()).unwrap_or("latest").to_owned(),
        };
        let mut wait = Duration::from_millis(250);
        for attempt in 1.. {
            match self.try_digest(&place, image) {
                Err(RegistryError::Status { .. } | RegistryError::Unreachable { .. })
                    if attempt < ATTEMPTS =>
                {
                    std::thread::sleep(wait);
                    wait *= 3;
                }
                done => return done,
            }
        }
        unreachable!("the last attempt returns")
    }

    fn try_digest(&self, place: &Place, image: &ImageRef) -> Result<String, RegistryError> {
        // As Docker does: a registry on this machine may go without TLS.
        let name = place.host.rsplit_once(':').map_or(place.host.as_str(), |(name, _)| name);
        let local = matches!(name, "localhost" | "[::1]") || name.starts_with("127.");
        match self.ask("https", place, image) {
            Err(RegistryError::Unreachable { .. }) if local => self.ask("http", place, image),
            answer => answer,
        }
    }

    fn ask(&self, scheme: &str, place: &Place, image: &ImageRef) -> Result<String, RegistryError> {
        let url = format!("{scheme}://{}/v2/{}/manifests/{}", place.host, place.repository, place.reference);
        let mut authorization = None;
        let mut answer = self.get(&url, true, None, &place.host)?;
        let mut sent_credentials = false;
        if answer.status() == StatusCode::UNAUTHORIZED {
            let credentials = self
                .docker
                .find(&place.host)
                .map_err(|reason| RegistryError::Credentials { host: place.host.clone(), reason })?;
            sent_credentials = credentials.is_some();
            authorization = self.authorization(&answer, place, credentials)?;
            if authorization.is_some() {
                answer = self.get(&url, true, authorization.as_deref(), &place.host)?;
            }
        }
        match answer.status().as_u16() {
            200 => {}
            404 => return Err(RegistryError::NotThere { image: image.to_string() }),
            401 | 403 => {
                return Err(RegistryError::Access {
                    host: place.host.clone(),
                    repository: place.repository.clone(),
                    status: answer.status().to_string(),
                    sent_credentials,
                });
            }
            _ => return Err(status(place, &answer)),
        }
        if let Some(digest) = header(&answer, "docker-content-digest") {
            return Ok(digest);
        }
        // The header is optional: the digest is that of the manifest's bytes.
        let mut answer = self.get(&url, false, authorization.as_deref(), &place.host)?;
        if answer.status() != StatusCode::OK {
            return Err(status(place, &answer));
        }
        let body = answer.body_mut().with_config().limit(LARGEST).read_to_vec().map_err(|error| {
            RegistryError::Unreachable { host: place.host.clone(), reason: error.to_string() }
        })?;
        let hex: String = sha2::Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("sha256:{hex}"))
    }

    fn get(
        &self,
        url: &str,
        head: bool,
        authorization: Option<&str>,
        host: &str,
    ) -> Result<Response<Body>, RegistryError> {
        let mut request = if head { self.agent.head(url) } else { self.agent.get(url) };
        request = request.header("Accept", ACCEPT);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        request.call().map_err(|error| unreachable(host, &error))
    }

    /// The `Authorization` header that the registry's challenge asks for; none if there is nothing to send.
    fn authorization(
        &self,
        answer: &Response<Body>,
        place: &Place,
        credentials: Option<Credentials>,
    ) -> Result<Option<String>, RegistryError> {
        let challenges = answer.headers().get_all("www-authenticate").iter();
        let challenge = challenges.filter_map(|value| value.to_str().ok()).find_map(Challenge::parse);
        let basic = |username: &str, password: &str| {
            let pair = format!("{username}:{password}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        };
        let (realm, service, scope) = match challenge {
            Some(Challenge::Bearer { realm, service, scope }) => (realm, service, scope),
            Some(Challenge::Basic) => {
                return Ok(match credentials {
                    Some(Credentials::Password { username, password }) => Some(basic(&username, &password)),
                    Some(Credentials::IdentityToken(_)) | None => None,
                });
            }
            None => return Ok(None),
        };
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", place.repository));
        let service = service.unwrap_or_default();
        let unreachable = |error: ureq::Error| unreachable(&place.host, &error);
        let mut answer = match credentials {
            // https://distribution.github.io/distribution/spec/auth/oauth/
            Some(Credentials::IdentityToken(token)) => self
                .agent
                .post(&realm)
                .send_form([
                    ("grant_type", "refresh_token"),
                    ("client_id", "kit-image-deployer"),
                    ("refresh_token", token.as_str()),
                    ("service", service.as_str()),
                    ("scope", scope.as_str()),
                ])
                .map_err(unreachable)?,
            other => {
                let mut request = self.agent.get(&realm).query("service", &service).query("scope", &scope);
                if let Some(Credentials::Password { username, password }) = other {
                    request = request.header("Authorization", basic(&username, &password));
                }
                request.call().map_err(unreachable)?
            }
        };
        if answer.status() != StatusCode::OK {
            // The registry's own refusal is what is reported, unless the token server is out of order.
            return if answer.status().is_server_error() { Err(status(place, &answer)) } else { Ok(None) };
        }
        let token: TokenAnswer = answer.body_mut().read_json().map_err(|_error| RegistryError::Status {
            host: place.host.clone(),
            status: format!("the token server does not answer in JSON: {realm}"),
        })?;
        let token = if token.token.is_empty() { token.access_token } else { token.token };
        Ok((!token.is_empty()).then(|| format!("Bearer {token}")))
    }
}

fn header(answer: &Response<Body>, name: &str) -> Option<String> {
    answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

fn status(place: &Place, answer: &Response<Body>) -> RegistryError {
    RegistryError::Status { host: place.host.clone(), status: answer.status().to_string() }
}

fn unreachable(host: &str, error: &ureq::Error) -> RegistryError {
    let mut reason = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        let more = source.to_string();
        if !reason.contains(&more) {
            reason = format!("{reason}: {more}");
        }
        next = source.source();
    }
    let host = host.to_owned();
    if reason.to_ascii_lowercase().contains("certificate") {
        return RegistryError::Certificate { host, reason };
    }
    RegistryError::Unreachable { host, reason }
}
