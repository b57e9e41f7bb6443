//! The URL at which a pushed branch is opened for a review.

/// The page for a new pull or merge request from `branch` to `base`.
///
/// Known by the host's name or, for a server of one's own, by what it said while it took the push.
pub(crate) fn url(repository: &str, branch: &str, base: Option<&str>, said: &[String]) -> Option<String> {
    // GitHub, GitLab and Gitea print the page themselves when a branch is new.
    let printed = said.iter().flat_map(|line| line.split_whitespace()).find(|word| {
        word.starts_with("http")
            && ["/pull/new/", "/merge_requests/", "/compare/", "pull-requests/new"]
                .iter()
                .any(|p| word.contains(p))
    });
    if let Some(url) = printed {
        return Some(url.to_owned());
    }
    let (host, path) = host_and_path(&gitrepo::redact(repository))?;
    let root = format!("https://{host}/{path}");
    let branch = encode(branch);
    let base = base.map(encode);
    if host.contains("gitlab") {
        let target = base.map(|base| format!("&merge_request%5Btarget_branch%5D={base}")).unwrap_or_default();
        return Some(format!(
            "{root}/-/merge_requests/new?merge_request%5Bsource_branch%5D={branch}{target}"
        ));
    }
    if host.contains("bitbucket") {
        let target = base.map(|base| format!("&dest={base}")).unwrap_or_default();
        return Some(format!("{root}/pull-requests/new?source={branch}{target}"));
    }
    let range = base.map_or(branch.clone(), |base| format!("{base}...{branch}"));
    if host.contains("github") {
        return Some(format!("{root}/compare/{range}?expand=1"));
    }
    if host.contains("gitea") || host.contains("forgejo") || host == "codeberg.org" {
        return Some(format!("{root}/compare/{range}"));
    }
    None
}

/// `git@host:acme/manifests.git`, `ssh://git@host:22/acme/manifests`, `https://host/acme/manifests.git`
fn host_and_path(url: &str) -> Option<(String, String)> {
    let (authority, path) = match url.split_once("://") {
        Some(("file", _)) => return None,
        Some((_, rest)) => rest.split_once('/')?,
        None => url.split_once(':').filter(|(host, _)| !host.contains('/'))?,
    };
    let ssh = !url.starts_with("http");
    let host = authority.rsplit('@').next().unwrap_or(authority);
    // The port of ssh is not that of the web.
    let host = if ssh { host.split(':').next().unwrap_or(host) } else { host };
    let path = path.trim_matches('/').trim_end_matches(".git").trim_end_matches('/');
    (!host.is_empty() && !path.is_empty()).then(|| (host.to_owned(), path.to_owned()))
}

fn encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_host_has_its_page() {
        let page = |repository: &str| url(repository, "deploy/web#1", Some("main"), &[]).unwrap_or_default();
        assert_eq!(
            page("https://x:secret@github.com/acme/manifests.git"),
            "https://github.com/acme/manifests/compare/main...deploy/web%231?expand=1"
        );
        assert_eq!(
            page("git@gitlab.example.com:acme/sub/manifests.git"),
            "https://gitlab.example.com/acme/sub/manifests/-/merge_requests/new?merge_request%5Bsource_branch%5D=deploy/web%231&merge_request%5Btarget_branch%5D=main"
        );
        assert_eq!(
            page("ssh://git@bitbucket.org:7999/acme/manifests"),
            "https://bitbucket.org/acme/manifests/pull-requests/new?source=deploy/web%231&dest=main"
        );
        assert_eq!(
            page("https://codeberg.org/acme/manifests"),
            "https://codeberg.org/acme/manifests/compare/main...deploy/web%231"
        );
        assert_eq!(page("/srv/manifests.git"), "");
        assert_eq!(page("file:///srv/manifests.git"), "");
    }

    #[test]
    fn what_the_server_printed_is_taken_before_what_is_guessed() {
        let said = [
            "remote: Create a pull request:".to_owned(),
            "  https://git.acme.com/a/compare/main...x".to_owned(),
        ];
        assert_eq!(
            url("https://git.acme.com/a", "x", None, &said).as_deref(),
            Some("https://git.acme.com/a/compare/main...x")
        );
    }
}
