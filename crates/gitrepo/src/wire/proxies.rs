//! Which proxy leads to a host, as curl (and so git) reads the environment's variables.

use std::net::IpAddr;

use crate::remote::Proxy;

/// The proxy for a URL's scheme, host and port; `None` for a direct way.
pub(crate) fn choose<'a>(proxy: &'a Proxy, scheme: &str, host: &str, port: u16) -> Option<&'a str> {
    let given = match scheme {
        "https" => proxy.https.as_deref(),
        _ => proxy.http.as_deref(),
    };
    let chosen = given.or(proxy.all.as_deref()).filter(|url| !url.is_empty())?;
    let direct = proxy.no_proxy.as_deref().unwrap_or_default();
    let excluded = direct.split([',', ' ']).map(str::trim).any(|rule| matches(rule, host, port));
    (!excluded).then_some(chosen)
}

fn matches(rule: &str, host: &str, port: u16) -> bool {
    let host = host.trim_matches(['[', ']']).to_ascii_lowercase();
    let rule = rule.to_ascii_lowercase();
    if rule.is_empty() {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let (Some((network, bits)), Ok(address)) = (rule.split_once('/'), host.parse::<IpAddr>()) {
        let network = network.trim_matches(['[', ']']).parse::<IpAddr>();
        return matches!((network, bits.parse()), (Ok(network), Ok(bits)) if within(address, network, bits));
    }
    // `host:port`, but not an IPv6 address.
    let (name, wanted_port) = match rule.rsplit_once(':') {
        Some((name, digits)) if !name.contains(':') || name.ends_with(']') => (name, digits.parse().ok()),
        _ => (rule.as_str(), None),
    };
    if wanted_port.is_some_and(|wanted: u16| wanted != port) {
        return false;
    }
    let name = name.trim_matches(['[', ']']).trim_start_matches('*').trim_start_matches('.');
    host == name
        || (host.parse::<IpAddr>().is_err()
            && host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.')))
}

fn within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    let (address, network, width) = match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => (u128::from(u32::from(a)), u128::from(u32::from(n)), 32),
        (IpAddr::V6(a), IpAddr::V6(n)) => (u128::from(a), u128::from(n), 128),
        _ => return false,
    };
    bits <= width && (bits == 0 || (address ^ network) >> (width - bits) == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_proxy_is_that_of_the_scheme_and_no_proxy_is_obeyed() {
        let proxy = Proxy {
            https: Some("http://p:1".into()),
            all: Some("http://a:1".into()),
            no_proxy: Some(
                "localhost, .corp.example,git.example:8443,10.0.0.0/8,fd00::/8,192.168.1.1".into(),
            ),
            ..Proxy::default()
        };
        for (scheme, host, port, expected) in [
            ("https", "github.com", 443, Some("http://p:1")),
            ("http", "github.com", 80, Some("http://a:1")),
            ("https", "localhost", 443, None),
            ("https", "a.corp.example", 443, None),
            ("https", "corp.example", 443, None),
            ("https", "notcorp.example", 443, Some("http://p:1")),
            ("https", "git.example", 8443, None),
            ("https", "git.example", 443, Some("http://p:1")),
            ("https", "10.20.30.40", 443, None),
            ("https", "11.20.30.40", 443, Some("http://p:1")),
            ("https", "[fd12::1]", 443, None),
            ("https", "192.168.1.1", 443, None),
            ("https", "2.168.1.1", 443, Some("http://p:1")),
        ] {
            assert_eq!(choose(&proxy, scheme, host, port), expected, "{scheme} {host} {port}");
        }
        let none = Proxy { no_proxy: Some("*".into()), ..proxy };
        assert_eq!(choose(&none, "https", "github.com", 443), None);
    }
}
