//! A certificate authority, a server certificate and a client certificate, made for one process.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::simulation::Error;

/// What a process needs for TLS.
pub(crate) struct Identity {
    /// The CA that signed the server, PEM.
    pub ca_pem: String,
    /// A CA that signed nothing here, PEM: for kubeconfigs that must fail.
    pub other_ca_pem: String,
    /// A client certificate for `admin` (`system:masters`) and its key, PEM.
    pub client: (String, String),
    pub config: Arc<ServerConfig>,
}

fn name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut out = DistinguishedName::new();
    out.push(DnType::CommonName, common);
    if let Some(organization) = organization {
        out.push(DnType::OrganizationName, organization);
    }
    out
}

fn authority(common: &str) -> Result<(String, Issuer<'static, KeyPair>), rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common, None);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Issuer::new(params, key)))
}

impl Identity {
    /// Makes a new one.
    pub(crate) fn new() -> Result<Identity, Error> {
        let (ca_pem, issuer) = authority("simcluster CA")?;
        let (other_ca_pem, _) = authority("simcluster other CA")?;
        let mut params =
            CertificateParams::new(vec!["localhost".to_owned(), "kubernetes.default.svc".to_owned()])?;
        params.distinguished_name = name("simcluster", None);
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server_key = KeyPair::generate()?;
        let server = params.signed_by(&server_key, &issuer)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name("admin", Some("system:masters"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client_key = KeyPair::generate()?;
        let client = params.signed_by(&client_key, &issuer)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes()).map_err(|e| Error::Tls(e.to_string()))?;
        roots.add(ca)?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| Error::Tls(e.to_string()))?;
        let key =
            PrivateKeyDer::try_from(server_key.serialize_der()).map_err(|e| Error::Tls(e.to_owned()))?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.der().clone()], key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Identity {
            ca_pem,
            other_ca_pem,
            client: (client.pem(), client_key.serialize_pem()),
            config: Arc::new(config),
        })
    }
}

/// The common name of a client certificate. Enough of DER for certificates made by [`Identity`].
pub(crate) fn common_name(der: &[u8]) -> Option<String> {
    // id-at-commonName 2.5.4.3, then a string type and its length. The last one is the subject's.
    let oid = [0x06, 0x03, 0x55, 0x04, 0x03];
    let at = der.windows(oid.len()).rposition(|w| w == oid)?;
    let rest = &der[at + oid.len()..];
    let length = usize::from(*rest.get(1)?);
    String::from_utf8(rest.get(2..2 + length)?.to_vec()).ok()
}
