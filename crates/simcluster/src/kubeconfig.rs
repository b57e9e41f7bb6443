//! The kubeconfigs that clients are given, as kit's users have them: `kind: Config`, top-level `metadata.name`.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;

/// How a kubeconfig authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Credentials {
    /// A bearer token.
    Token(String),
    /// A client certificate and its key, PEM.
    Certificate {
        /// The certificate.
        certificate: String,
        /// The private key.
        key: String,
    },
}

/// The text of a kubeconfig with one context.
#[must_use]
pub(crate) fn render(
    cluster: &str,
    server: &str,
    ca_pem: &str,
    user: &str,
    credentials: &Credentials,
) -> String {
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mut out = String::new();
    let _ = write!(
        out,
        "apiVersion: v1\nkind: Config\nmetadata:\n  name: {cluster}\nclusters:\n- name: {cluster}\n  cluster:\n    server: {server}\n    certificate-authority-data: {}\nusers:\n- name: {cluster}-{user}\n  user:\n",
        base64(ca_pem)
    );
    let _ = match credentials {
        Credentials::Token(token) => writeln!(out, "    token: {token}"),
        Credentials::Certificate { certificate, key } => writeln!(
            out,
            "    client-certificate-data: {}\n    client-key-data: {}",
            base64(certificate),
            base64(key)
        ),
    };
    let _ = write!(
        out,
        "contexts:\n- name: {cluster}\n  context:\n    cluster: {cluster}\n    user: {cluster}-{user}\ncurrent-context: {cluster}\n"
    );
    out
}

/// Writes a file through a temporary one, readable by its owner only.
///
/// # Errors
/// What the file system says.
pub(crate) fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let directory = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("kubeconfig");
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    drop(file);
    std::fs::rename(&temporary, path)
}
