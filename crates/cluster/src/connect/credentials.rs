//! Who we are to a cluster: tokens, certificates, passwords, and the programs that hand them out.
//!
//! A credential plugin is run at most once per user entry, however many clusters share it, never with a terminal, and not
//! longer than its timeout. What it prints on stdout is never shown.

use std::collections::HashMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{AuthInfo, ExecConfig, ExecInteractiveMode};
use serde::Deserialize;
use tokio::sync::Mutex as AsyncMutex;

use super::kubeconfig::Reach;

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file that the kubeconfig names.
    #[error("cannot read the {what}: {path}")]
    File {
        /// `client key`, `token file`, ...
        what: &'static str,
        /// Its path.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Inline data that does not decode.
    #[error("`{field}` of user `{user}` is not base64")]
    Base64 {
        /// The field of the kubeconfig.
        field: &'static str,
        /// The user entry.
        user: String,
    },
    /// Half a pair.
    #[error("user `{user}` has a client {has} but no client {lacks}")]
    HalfPair {
        /// The user entry.
        user: String,
        /// `certificate` or `key`.
        has: &'static str,
        /// The other one.
        lacks: &'static str,
    },
    /// A token or password that cannot be a header.
    #[error("the {what} of user `{user}` contains characters that HTTP does not allow")]
    Header {
        /// `token`, `password`, ...
        what: &'static str,
        /// The user entry.
        user: String,
    },
    /// A plugin that could not be started.
    #[error("cannot run the credential plugin of user `{user}`: {command}")]
    PluginStart {
        /// The user entry.
        user: String,
        /// The program.
        command: String,
        /// `installHint` of the kubeconfig.
        install_hint: Option<String>,
        /// What the system said.
        source: std::io::Error,
    },
    /// A plugin that did not deliver.
    #[error("the credential plugin of user `{user}` {problem}: {command}")]
    Plugin {
        /// The user entry.
        user: String,
        /// The program.
        command: String,
        /// What was wrong, as the end of the sentence.
        problem: String,
    },
    /// `auth-provider`, which Kubernetes removed in 1.26.
    #[error("user `{user}` uses `auth-provider`, which Kubernetes has removed: {provider}")]
    AuthProvider {
        /// The user entry.
        user: String,
        /// `gcp`, `azure`, ...
        provider: String,
    },
}

impl CredentialsError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::File { path, .. } => Some(format!("ls -l {path}")),
            Self::PluginStart { install_hint, command, .. } => {
                Some(install_hint.clone().unwrap_or_else(|| format!("command -v {command}")))
            }
            Self::AuthProvider { provider, .. } => Some(match provider.as_str() {
                "gcp" => {
                    "gcloud container clusters get-credentials NAME (with gke-gcloud-auth-plugin)".into()
                }
                "azure" => "kubelogin convert-kubeconfig".into(),
                _ => "use an `exec` credential plugin".into(),
            }),
            Self::Plugin { .. } | Self::Base64 { .. } | Self::HalfPair { .. } | Self::Header { .. } => None,
        }
    }
}

/// What to present to a cluster.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    /// `Authorization`, marked sensitive.
    pub(super) header: Option<HeaderValue>,
    /// Client certificate and key, PEM.
    pub(super) identity: Option<Identity>,
    /// From when on they are of no use.
    pub(super) expires: Option<Timestamp>,
    /// Whether asking again may give others.
    pub(super) renewable: bool,
}

/// The credential plugins of a fleet and what they have handed out.
#[derive(Clone)]
pub struct Plugins {
    timeout: Duration,
    handed_out: Arc<Mutex<HashMap<String, Slot>>>,
}

/// What one user entry was handed; locked while its plugin runs.
type Slot = Arc<AsyncMutex<Option<Issued>>>;

/// Client certificate and key, PEM.
type Identity = (Vec<u8>, Vec<u8>);

#[derive(Clone)]
struct Issued {
    status: PluginStatus,
    at: Timestamp,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PluginStatus {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

impl Plugins {
    /// None run yet; each may take `timeout`.
    pub fn new(timeout: Duration) -> Self {
        Self { timeout, handed_out: Arc::default() }
    }

    /// The credentials for one cluster. With `renew_since`, plugins whose answer is not younger than that are run again.
    pub(super) async fn credentials(
        &self,
        reach: &Reach,
        renew_since: Option<Timestamp>,
    ) -> Result<Credentials, CredentialsError> {
        let user = &reach.user;
        let name = || reach.user_name.clone();
        if let Some(provider) = &user.auth_provider {
            return match (provider.name.as_str(), provider.config.get("id-token")) {
                ("oidc", Some(token)) => {
                    Ok(Credentials { header: Some(bearer(token, name)?), ..Credentials::default() })
                }
                _ => Err(CredentialsError::AuthProvider { user: name(), provider: provider.name.clone() }),
            };
        }
        let mut credentials = Credentials { identity: identity(user, name)?, ..Credentials::default() };
        if let Some(path) = user.token_file.as_deref().filter(|path| !path.is_empty()) {
            let token = std::fs::read_to_string(path).map_err(|source| CredentialsError::File {
                what: "token file",
                path: path.to_owned(),
                source,
            })?;
            credentials.header = Some(bearer(token.trim(), name)?);
            // Kubernetes writes a new token into the file before the old one ends.
            credentials.renewable = true;
        } else if let Some(token) = &user.token {
            credentials.header = Some(bearer(expose(token), name)?);
        } else if let (Some(username), Some(password)) = (&user.username, &user.password) {
            let pair = STANDARD.encode(format!("{username}:{}", expose(password)));
            credentials.header = Some(header(&format!("Basic {pair}"), "password", name)?);
        } else if let Some(exec) = &user.exec {
            let issued = self.run_once(exec, reach, renew_since).await?;
            credentials.renewable = true;
            credentials.expires = issued.expiration_timestamp;
            if let Some(token) = &issued.token {
                credentials.header = Some(bearer(token, name)?);
            }
            if let (Some(certificate), Some(key)) = (&issued.client_certificate_data, &issued.client_key_data)
            {
                credentials.identity = Some((certificate.clone().into_bytes(), key.clone().into_bytes()));
            }
        }
        Ok(credentials)
    }

    async fn run_once(
        &self,
        exec: &ExecConfig,
        reach: &Reach,
        renew_since: Option<Timestamp>,
    ) -> Result<PluginStatus, CredentialsError> {
        let request = exec_info(exec, reach);
        // As client-go: what is run the same way is the same user, in whatever file it stands.
        let key = format!("{:?}\0{:?}\0{:?}\0{request}", exec.command, exec.args, exec.env);
        let slot = {
            let mut slots = self.handed_out.lock().unwrap_or_else(PoisonError::into_inner);
            slots.entry(key).or_default().clone()
        };
        // Held while the program runs: whoever else needs the same user waits for this answer.
        let mut slot = slot.lock().await;
        let soon = Timestamp::now() + jiff::SignedDuration::from_secs(60);
        if let Some(issued) = slot.as_ref()
            && issued.status.expiration_timestamp.is_none_or(|expires| expires > soon)
            && renew_since.is_none_or(|since| issued.at > since)
        {
            return Ok(issued.status.clone());
        }
        let status = self.run(exec, &reach.user_name, request).await?;
        *slot = Some(Issued { status: status.clone(), at: Timestamp::now() });
        Ok(status)
    }

    async fn run(
        &self,
        exec: &ExecConfig,
        user: &str,
        request: String,
    ) -> Result<PluginStatus, CredentialsError> {
        let command = exec.command.clone().unwrap_or_default();
        let failed = |problem: String| CredentialsError::Plugin {
            user: user.to_owned(),
            command: command.clone(),
            problem,
        };
        if command.is_empty() {
            return Err(failed("has no `command`".into()));
        }
        if exec.interactive_mode == Some(ExecInteractiveMode::Always) {
            return Err(failed("has `interactiveMode: Always`, and there is nobody to talk to".into()));
        }
        let mut process = tokio::process::Command::new(&command);
        process
            .args(exec.args.iter().flatten())
            .env("KUBERNETES_EXEC_INFO", request)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for entry in exec.env.iter().flatten() {
            if let (Some(name), Some(value)) = (entry.get("name"), entry.get("value")) {
                process.env(name, value);
            }
        }
        let started = process.spawn().map_err(|source| CredentialsError::PluginStart {
            user: user.to_owned(),
            command: command.clone(),
            install_hint: exec.install_hint.clone(),
            source,
        })?;
        let output = tokio::time::timeout(self.timeout, started.wait_with_output())
            .await
            .map_err(|_| failed(format!("did not answer within {} s", self.timeout.as_secs())))?
            .map_err(|error| failed(format!("could not be waited for ({error})")))?;
        if !output.status.success() {
            let said = last_lines(&String::from_utf8_lossy(&output.stderr), 3);
            let said = if said.is_empty() { String::new() } else { format!(" and said `{said}`") };
            return Err(failed(format!("failed with {}{said}", output.status)));
        }
        #[derive(Deserialize)]
        struct Answer {
            status: Option<PluginStatus>,
        }
        // The text of the answer must not get into the message: serde's would quote it.
        let answer: Answer = serde_json::from_slice(&output.stdout)
            .map_err(|error| failed(format!("printed no ExecCredential (line {})", error.line())))?;
        let status =
            answer.status.ok_or_else(|| failed("printed an ExecCredential without `status`".into()))?;
        if status.token.is_none() && status.client_certificate_data.is_none() {
            return Err(failed("handed out neither a token nor a certificate".into()));
        }
        Ok(status)
    }
}

/// The request that a plugin finds in `KUBERNETES_EXEC_INFO` (client.authentication.k8s.io).
fn exec_info(exec: &ExecConfig, reach: &Reach) -> String {
    let mut spec = serde_json::json!({ "interactive": false });
    if exec.provide_cluster_info {
        let cluster = &reach.cluster;
        let config = cluster
            .extensions
            .iter()
            .flatten()
            .find(|extension| extension.name == "client.authentication.k8s.io/exec")
            .map(|extension| extension.extension.clone());
        spec["cluster"] = serde_json::json!({
            "server": cluster.server,
            "tls-server-name": cluster.tls_server_name,
            "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
            "certificate-authority-data": super::endpoint::ca_pem(cluster).ok().flatten().map(|pem| STANDARD.encode(pem)),
            "proxy-url": cluster.proxy_url,
            "config": config,
        });
    }
    let api_version = exec.api_version.as_deref().unwrap_or("client.authentication.k8s.io/v1");
    serde_json::json!({ "apiVersion": api_version, "kind": "ExecCredential", "spec": spec }).to_string()
}

fn identity(user: &AuthInfo, name: impl Fn() -> String) -> Result<Option<Identity>, CredentialsError> {
    let certificate = data_or_file(
        user.client_certificate_data.as_deref(),
        user.client_certificate.as_deref(),
        "client-certificate-data",
        "client certificate",
        &name,
    )?;
    let key = data_or_file(
        user.client_key_data.as_ref().map(expose),
        user.client_key.as_deref(),
        "client-key-data",
        "client key",
        &name,
    )?;
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CredentialsError::HalfPair { user: name(), has: "certificate", lacks: "key" }),
        (None, Some(_)) => Err(CredentialsError::HalfPair { user: name(), has: "key", lacks: "certificate" }),
    }
}

fn data_or_file(
    data: Option<&str>,
    file: Option<&str>,
    field: &'static str,
    what: &'static str,
    name: &impl Fn() -> String,
) -> Result<Option<Vec<u8>>, CredentialsError> {
    if let Some(data) = data.filter(|data| !data.is_empty()) {
        let clean: String = data.split_whitespace().collect();
        return match STANDARD.decode(clean) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(_) => Err(CredentialsError::Base64 { field, user: name() }),
        };
    }
    match file.filter(|file| !file.is_empty()) {
        Some(path) => std::fs::read(path).map(Some).map_err(|source| CredentialsError::File {
            what,
            path: path.to_owned(),
            source,
        }),
        None => Ok(None),
    }
}

fn bearer(token: &str, name: impl Fn() -> String) -> Result<HeaderValue, CredentialsError> {
    header(&format!("Bearer {token}"), "token", name)
}

fn header(
    text: &str,
    what: &'static str,
    name: impl Fn() -> String,
) -> Result<HeaderValue, CredentialsError> {
    let Ok(mut value) = HeaderValue::from_str(text) else {
        return Err(CredentialsError::Header { what, user: name() });
    };
    value.set_sensitive(true);
    Ok(value)
}

/// The text of a secret of the kubeconfig, without naming the crate that wraps it.
fn expose(secret: &impl ExposeText) -> &str {
    secret.text()
}

trait ExposeText {
    fn text(&self) -> &str;
}

impl<T: secrecy::ExposeSecret<str>> ExposeText for T {
    fn text(&self) -> &str {
        self.expose_secret()
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(count)..]
        .join(" / ")
        .chars()
        .filter(|c| !c.is_control())
        .take(400)
        .collect()
}
