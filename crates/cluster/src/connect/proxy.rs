//! Which proxy, if any, stands before a cluster.
//!
//! kube 5 matches `NO_PROXY` against the proxy's own URL instead of the cluster's, so this is decided here: `proxy-url` of the
//! kubeconfig always holds (as in kubectl); otherwise the environment's, unless `NO_PROXY` names the cluster.

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// The environment's proxy variables, read by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyEnvironment {
    /// `HTTPS_PROXY` or `https_proxy`.
    pub https_proxy: Option<String>,
    /// `HTTP_PROXY` or `http_proxy`; holds for `http://` servers only.
    pub http_proxy: Option<String>,
    /// `NO_PROXY` or `no_proxy`.
    pub no_proxy: Option<String>,
}

/// The proxy to use for `server`.
///
/// # Errors
/// The text of a proxy URL that is not one.
pub(super) fn choose(
    server: &Uri,
    kubeconfig: Option<&str>,
    environment: &ProxyEnvironment,
) -> Result<Option<Uri>, String> {
    if let Some(url) = kubeconfig.filter(|url| !url.is_empty()) {
        return parse(url).map(Some);
    }
    let url = match server.scheme_str() {
        Some("http") => environment.http_proxy.as_deref(),
        _ => environment.https_proxy.as_deref(),
    };
    let Some(url) = url.filter(|url| !url.is_empty()) else { return Ok(None) };
    let matcher =
        Matcher::builder().all(url.to_owned()).no(environment.no_proxy.clone().unwrap_or_default()).build();
    if matcher.intercept(server).is_none() { Ok(None) } else { parse(url).map(Some) }
}

fn parse(url: &str) -> Result<Uri, String> {
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|_| without_password(url))?;
    match uri.scheme_str() {
        Some("http" | "https" | "socks5" | "socks5h") if uri.host().is_some() => Ok(uri),
        _ => Err(without_password(url)),
    }
}

/// A proxy URL as it may be shown.
pub(super) fn without_password(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://***@{}", &url[..scheme], &url[at + 1..]),
        (None, Some(at)) => format!("***@{}", &url[at + 1..]),
        (Some(_) | None, None) | (Some(_), Some(_)) => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(server: &str, kubeconfig: Option<&str>, no_proxy: &str) -> Option<String> {
        let environment = ProxyEnvironment {
            https_proxy: Some("http://proxy:3128".into()),
            http_proxy: None,
            no_proxy: Some(no_proxy.into()),
        };
        choose(&server.parse().unwrap(), kubeconfig, &environment).unwrap().map(|uri| uri.to_string())
    }

    #[test]
    fn no_proxy_is_matched_against_the_cluster_not_against_the_proxy() {
        let proxy = Some("http://proxy:3128/".to_owned());
        assert_eq!(chosen("https://10.0.0.1:6443", None, ""), proxy);
        assert_eq!(chosen("https://10.0.0.1:6443", None, "10.0.0.1"), None);
        assert_eq!(chosen("https://10.0.0.1:6443", None, "10.0.0.0/8"), None);
        assert_eq!(chosen("https://api.example.com", None, ".example.com"), None);
        assert_eq!(chosen("https://api.example.com", None, "proxy"), proxy);
        assert_eq!(chosen("https://api.example.com", None, "*"), None);
    }

    #[test]
    fn the_kubeconfigs_proxy_url_holds_whatever_no_proxy_says() {
        assert_eq!(chosen("https://a", Some("socks5://jump:1080"), "*"), Some("socks5://jump:1080/".into()));
    }

    #[test]
    fn a_proxys_password_is_not_shown() {
        assert_eq!(without_password("http://u:p@proxy:1"), "http://***@proxy:1");
        assert_eq!(without_password("http://proxy:1"), "http://proxy:1");
    }
}
