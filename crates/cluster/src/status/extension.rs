//! What changes the API itself: definitions, aggregated APIs, namespaces, certificates.

use super::{Object, Readiness};

/// kstatus: established; a name conflict does not heal by waiting.
pub(super) fn definition(o: Object<'_>) -> Readiness {
    if let Some(names) = o.condition("NamesAccepted").filter(|c| c.is_false()) {
        return Readiness::failed(names.reason(), names.explains());
    }
    match o.condition("Established") {
        Some(established) if established.is_true() => Readiness::current("established"),
        Some(established) if established.is_false() && established.reason() != "Installing" => {
            Readiness::failed(established.reason(), established.explains())
        }
        Some(_) | None => Readiness::progress("waiting for the definition to be established"),
    }
}

/// The aggregated API answers.
pub(super) fn api_service(o: Object<'_>) -> Readiness {
    match o.condition("Available") {
        Some(available) if available.is_true() => Readiness::current("available"),
        Some(available) => {
            Readiness::progress(format!("waiting for the API to answer: {}", available.says()))
        }
        None => Readiness::progress("waiting for the API to answer"),
    }
}

/// Active.
pub(super) fn namespace(o: Object<'_>) -> Readiness {
    match o.text("/status/phase") {
        Some("Active") => Readiness::current("active"),
        Some("Terminating") => Readiness::failed("Terminating", "the namespace is being deleted"),
        Some(_) | None => Readiness::progress("waiting for the namespace to be active"),
    }
}

/// A certificate was issued; a denied or failed request stays so.
pub(super) fn signing_request(o: Object<'_>) -> Readiness {
    for kind in ["Denied", "Failed"] {
        if let Some(refused) = o.condition(kind).filter(|c| c.is_true()) {
            return Readiness::failed(kind, refused.explains());
        }
    }
    if o.text("/status/certificate").is_some() {
        return Readiness::current("issued");
    }
    match o.condition("Approved").filter(|c| c.is_true()) {
        Some(_) => Readiness::progress("approved, waiting for the certificate"),
        None => Readiness::progress("waiting for approval"),
    }
}
