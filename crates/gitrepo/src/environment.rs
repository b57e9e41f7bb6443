//! What the variables of an environment mean for reaching a git server. They are passed in: nothing is read here.

use crate::auth::Secret;
use crate::remote::Proxy;

/// The token for a server. Variables that are meant for this program go to any host, those that are meant for a host
/// only there: a token of GitHub's CI is not told to another server.
pub fn token(url: &str, variable: &dyn Fn(&str) -> Option<String>) -> Option<Secret> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    let host = host.rsplit('@').next().unwrap_or_default().split(':').next().unwrap_or_default();
    let is_github = host == "github.com"
        || set("GITHUB_SERVER_URL").is_some_and(|url| {
            url.split("://").nth(1).is_some_and(|server| server.trim_end_matches('/') == host)
        });
    let is_gitlab = host == "gitlab.com" || set("CI_SERVER_HOST").is_some_and(|server| server == host);
    [
        ("KIT_TOKEN", true),
        ("GITHUB_AUTH_TOKEN", true),
        ("GITHUB_TOKEN", is_github),
        ("GH_TOKEN", is_github),
        ("GITLAB_TOKEN", is_gitlab),
    ]
    .iter()
    .filter(|(_, here)| *here)
    .find_map(|(name, _)| set(name))
    .map(|token| Secret::new(token.trim()))
}

/// The proxies, as curl and git read them: `http_proxy` in small letters only, because servers set HTTP_PROXY from a
/// request's header.
pub fn proxy(variable: &dyn Fn(&str) -> Option<String>) -> Proxy {
    let first =
        |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
    Proxy {
        http: first(&["http_proxy"]),
        https: first(&["https_proxy", "HTTPS_PROXY"]),
        all: first(&["all_proxy", "ALL_PROXY"]),
        no_proxy: first(&["no_proxy", "NO_PROXY"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_token_is_told_to_that_host_only() {
        let variable = |name: &str| match name {
            "GITHUB_TOKEN" => Some("gh".to_owned()),
            "GITLAB_TOKEN" => Some(" gl\n".to_owned()),
            "CI_SERVER_HOST" => Some("git.example.org".to_owned()),
            _ => None,
        };
        let token = |url| token(url, &variable).map(|token| token.expose().to_owned());
        assert_eq!(token("https://github.com/a/b").as_deref(), Some("gh"));
        assert_eq!(token("https://u@git.example.org:8443/a/b").as_deref(), Some("gl"));
        assert_eq!(token("https://github.com.example.org/a/b"), None);
        assert_eq!(token("git@github.com:a/b"), None);
    }

    #[test]
    fn proxies_are_read_as_git_reads_them() {
        let variable = |name: &str| matches!(name, "HTTP_PROXY" | "HTTPS_PROXY").then(|| name.to_owned());
        let proxy = proxy(&variable);
        assert_eq!((proxy.http, proxy.https.as_deref()), (None, Some("HTTPS_PROXY")));
    }
}
