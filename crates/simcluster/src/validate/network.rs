//! Services and Ingresses.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde_json::{Value, json};

use super::metadata;
use super::pod::{one_of, port};
use crate::status::Cause;

const PORT: &str = "must be between 1 and 65535, inclusive";

pub(super) fn service(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let kind = spec["type"].as_str().unwrap_or("ClusterIP");
    let headless = spec["clusterIP"] == "None";
    let ports = spec["ports"].as_array().cloned().unwrap_or_default();
    if ports.is_empty() && !headless && kind != "ExternalName" {
        causes.push(Cause::required("spec.ports", ""));
    }
    if kind == "ExternalName" {
        match spec["externalName"].as_str().unwrap_or_default() {
            "" => causes.push(Cause::required("spec.externalName", "")),
            name => {
                for problem in metadata::subdomain(&name.to_lowercase()) {
                    causes.push(Cause::invalid("spec.externalName", &spec["externalName"], &problem));
                }
            }
        }
    }
    let mut names = BTreeSet::new();
    for (i, p) in ports.iter().enumerate() {
        let at = format!("spec.ports[{i}]");
        service_port(p, &at, ports.len() > 1, &mut names, causes);
        if kind == "ClusterIP" && p["nodePort"].as_i64().is_some_and(|n| n != 0) {
            let detail = "may not be used when `type` is 'ClusterIP'";
            causes.push(Cause::forbidden(format!("{at}.nodePort"), detail));
        }
        if p["nodePort"].as_i64().is_some_and(|n| n != 0 && !(30000..=32767).contains(&n))
            && kind != "ClusterIP"
        {
            let detail = "provided port is not in the valid range. The range of valid ports is 30000-32767";
            causes.push(Cause::invalid(format!("{at}.nodePort"), &p["nodePort"], detail));
        }
    }
    for (i, p) in ports.iter().enumerate() {
        let same = |o: &Value| o["port"] == p["port"] && o["protocol"] == p["protocol"];
        if ports[..i].iter().any(same) {
            let value = json!({"Name": "", "Protocol": p["protocol"], "AppProtocol": null, "Port": p["port"], "TargetPort": 0, "NodePort": 0});
            causes.push(Cause::duplicate(format!("spec.ports[{i}]"), &value));
        }
    }
    metadata::labels(&spec["selector"], "spec.selector", causes);
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], "spec", causes);
    one_of(spec, "type", &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"], "spec", causes);
    if let Some(ip) = spec["clusterIP"].as_str().filter(|ip| !ip.is_empty() && *ip != "None")
        && ip.parse::<IpAddr>().is_err()
    {
        let detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
        causes.push(Cause::invalid("spec.clusterIPs[0]", &spec["clusterIP"], detail));
    }
    if spec.get("externalTrafficPolicy").is_some()
        && !matches!(kind, "NodePort" | "LoadBalancer")
        && spec.get("externalIPs").is_none()
    {
        let detail = "may only be set for externally-accessible services";
        causes.push(Cause::invalid("spec.externalTrafficPolicy", &spec["externalTrafficPolicy"], detail));
    } else {
        one_of(spec, "externalTrafficPolicy", &["Cluster", "Local"], "spec", causes);
    }
    one_of(spec, "internalTrafficPolicy", &["Cluster", "Local"], "spec", causes);
}

fn service_port<'a>(
    p: &'a Value,
    at: &str,
    named: bool,
    names: &mut BTreeSet<&'a str>,
    causes: &mut Vec<Cause>,
) {
    let name = p["name"].as_str().unwrap_or_default();
    if name.is_empty() {
        if named {
            causes.push(Cause::required(format!("{at}.name"), ""));
        }
    } else {
        for problem in metadata::label(name) {
            causes.push(Cause::invalid(format!("{at}.name"), &p["name"], &problem));
        }
        if !names.insert(name) {
            causes.push(Cause::duplicate(format!("{at}.name"), &p["name"]));
        }
    }
    if !p["port"].as_i64().is_some_and(|n| (1..=65535).contains(&n)) {
        let value = p.get("port").cloned().unwrap_or_else(|| json!(0));
        causes.push(Cause::invalid(format!("{at}.port"), &value, PORT));
    }
    one_of(p, "protocol", &["SCTP", "TCP", "UDP"], at, causes);
    port(&p["targetPort"], &format!("{at}.targetPort"), causes);
}

pub(super) fn ingress(object: &Value, causes: &mut Vec<Cause>) {
    let spec = &object["spec"];
    let rules = spec["rules"].as_array().cloned().unwrap_or_default();
    if rules.is_empty() && spec.get("defaultBackend").is_none() {
        let detail = "either `defaultBackend` or `rules` must be specified";
        causes.push(Cause::invalid_text("spec", "null", detail));
    }
    if let Some(b) = spec.get("defaultBackend") {
        backend(b, "spec.defaultBackend", causes);
    }
    for (i, rule) in rules.iter().enumerate() {
        let host = rule["host"].as_str().unwrap_or_default();
        let at = format!("spec.rules[{i}]");
        if host.parse::<IpAddr>().is_ok() {
            causes.push(Cause::invalid(
                format!("{at}.host"),
                &rule["host"],
                "must be a DNS name, not an IP address",
            ));
        } else if !host.is_empty() {
            for problem in metadata::subdomain(host.strip_prefix("*.").unwrap_or(host)) {
                causes.push(Cause::invalid(format!("{at}.host"), &rule["host"], &problem));
            }
        }
        let Some(http) = rule.get("http") else { continue };
        if http["paths"].as_array().is_none_or(Vec::is_empty) {
            causes.push(Cause::required(format!("{at}.http.paths"), ""));
        }
        for (j, p) in http["paths"].as_array().into_iter().flatten().enumerate() {
            let at = format!("{at}.http.paths[{j}]");
            match p["pathType"].as_str() {
                None | Some("") => {
                    causes.push(Cause::required(format!("{at}.pathType"), "pathType must be specified"));
                }
                Some("Exact" | "Prefix") => {
                    if !p["path"].as_str().unwrap_or_default().starts_with('/') {
                        let value = p.get("path").cloned().unwrap_or_else(|| json!(""));
                        causes.push(Cause::invalid(format!("{at}.path"), &value, "must be an absolute path"));
                    }
                }
                Some("ImplementationSpecific") => {}
                Some(other) => {
                    let allowed = ["Exact", "ImplementationSpecific", "Prefix"];
                    causes.push(Cause::unsupported(format!("{at}.pathType"), other, &allowed));
                }
            }
            backend(&p["backend"], &format!("{at}.backend"), causes);
        }
    }
}

fn backend(b: &Value, at: &str, causes: &mut Vec<Cause>) {
    let Some(service) = b.get("service") else {
        if b.get("resource").is_none() {
            causes.push(Cause::invalid(at, &json!(""), "resource or service backend is required"));
        }
        return;
    };
    if service["name"].as_str().is_none_or(str::is_empty) {
        causes.push(Cause::required(format!("{at}.service.name"), ""));
    }
    let name = service["port"]["name"].as_str().unwrap_or_default();
    let number = service["port"]["number"].as_i64().unwrap_or(0);
    match (name.is_empty(), number) {
        (true, 0) => causes.push(Cause::required(at, "port name or number is required")),
        (false, n) if n != 0 => {
            causes.push(Cause::invalid(at, &json!(""), "cannot set both port name & port number"));
        }
        (true, n) if !(1..=65535).contains(&n) => {
            causes.push(Cause::invalid(
                format!("{at}.service.port.number"),
                &service["port"]["number"],
                PORT,
            ));
        }
        _ => {}
    }
}
