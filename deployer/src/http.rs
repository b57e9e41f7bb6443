//! How everything but clusters is spoken to: webhooks, gates, buckets. Proxies are those of the environment, certificates those of
//! this machine, so that a company's own authority is trusted where the machine trusts it.

use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// What all have in common. An answer is an answer, whatever its status.
pub(crate) fn config() -> ConfigBuilder<AgentScope> {
    // ureq's own default is Mozilla's list as it was when this program was built.
    let tls = TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build();
    Agent::config_builder().http_status_as_error(false).tls_config(tls)
}
