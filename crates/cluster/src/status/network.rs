//! Service and Ingress.

use super::{Object, Readiness};

/// A Service of type `LoadBalancer` needs an address; the others are done when stored.
pub(super) fn service(o: Object<'_>) -> Readiness {
    if o.text("/spec/type") != Some("LoadBalancer") {
        return Readiness::current("stored");
    }
    match addresses(o) {
        Some(addresses) => Readiness::current(format!("reachable at {addresses}")),
        None => Readiness::progress("waiting for the load balancer's address"),
    }
}

/// Whether a controller publishes an address is its own choice (many on bare metal do not), so kstatus calls an
/// Ingress current at once; the message says what is known.
pub(super) fn ingress(o: Object<'_>) -> Readiness {
    match addresses(o) {
        Some(addresses) => Readiness::current(format!("reachable at {addresses}")),
        None => Readiness::current("stored; its controller has published no address"),
    }
}

fn addresses(o: Object<'_>) -> Option<String> {
    let points = o.list("/status/loadBalancer/ingress").iter().map(Object);
    let points: Vec<_> =
        points.filter_map(|point| point.text("/hostname").or_else(|| point.text("/ip"))).collect();
    (!points.is_empty()).then(|| points.join(", "))
}
