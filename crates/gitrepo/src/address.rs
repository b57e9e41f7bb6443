//! Where a repository is: the forms of URL that git accepts, and how they are shown.

use std::path::PathBuf;

use crate::auth::Secret;
use crate::fault::GitError;

/// A repository's URL, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A directory of this machine.
    Local(PathBuf),
    /// `http://` or `https://`, without user and password.
    Http { url: String, host: String, user: Option<(String, Option<Secret>)> },
    /// `ssh://` or `user@host:path`.
    Ssh {
        /// `user@host` or `host`, as given to the `ssh` program.
        destination: String,
        port: Option<u16>,
        path: String,
    },
    /// `git://`, git's own daemon, without any authentication.
    Daemon { host: String, port: u16, path: String },
}

impl Address {
    /// Reads what a user gives as `--repo`.
    ///
    /// # Errors
    /// [`GitError::Url`] for a scheme that git does not speak and for URLs without host or path.
    pub(crate) fn parse(text: &str) -> Result<Self, GitError> {
        let bad = |reason: &str| GitError::Url { url: redact(text), reason: reason.to_string() };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        // Some of what it goes through reads lines: http, and `git credential`.
        if text.chars().any(char::is_control) {
            return Err(bad("it holds a line break or another control character"));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
            return match scheme.to_ascii_lowercase().as_str() {
                "file" => Ok(Self::Local(PathBuf::from(percent_decode(path)))),
                scheme @ ("http" | "https") => {
                    http(scheme, authority, path).ok_or_else(|| bad("expected `https://host/path`"))
                }
                "ssh" | "git+ssh" | "ssh+git" => {
                    ssh_url(authority, path).ok_or_else(|| bad("expected `ssh://[user@]host[:port]/path`"))
                }
                "git" => {
                    let (host, port) =
                        host_port(authority).ok_or_else(|| bad("expected `git://host[:port]/path`"))?;
                    if host.is_empty() || path.len() < 2 {
                        return Err(bad("expected `git://host[:port]/path`"));
                    }
                    Ok(Self::Daemon { host, port: port.unwrap_or(9418), path: path.to_string() })
                }
                _ => Err(bad("its scheme is none of `https`, `http`, `ssh`, `git`, `file`")),
            };
        }
        // `user@host:path` (scp's form): a colon before the first slash, and no such directory.
        if let Some((destination, path)) = text.split_once(':')
            && !destination.contains('/')
            && !destination.is_empty()
        {
            if path.is_empty() {
                return Err(bad("expected `user@host:path`"));
            }
            guard_option(destination).ok_or_else(|| bad("its host starts with a dash"))?;
            return Ok(Self::Ssh {
                destination: destination.trim_matches(['[', ']']).to_string(),
                port: None,
                path: path.to_string(),
            });
        }
        Ok(Self::Local(PathBuf::from(text)))
    }
}

/// A host that starts with a dash would be read as an option by the `ssh` program.
fn guard_option(host: &str) -> Option<()> {
    let host = host.rsplit('@').next().unwrap_or(host);
    (!host.starts_with('-')).then_some(())
}

fn http(scheme: &str, authority: &str, path: &str) -> Option<Address> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    let user = user.map(|user| match user.split_once(':') {
        Some((name, password)) => (percent_decode(name), Some(Secret::new(percent_decode(password)))),
        None => (percent_decode(user), None),
    });
    let (name, _) = host_port(host)?;
    if name.is_empty() {
        return None;
    }
    Some(Address::Http { url: format!("{scheme}://{host}{}", path.trim_end_matches('/')), host: name, user })
}

fn ssh_url(authority: &str, path: &str) -> Option<Address> {
    let (user, host) = match authority.rsplit_once('@') {
        // ssh takes no password from us.
        Some((user, host)) => (user.split(':').next(), host),
        None => (None, authority),
    };
    let (host, port) = host_port(host)?;
    if host.is_empty() || path.len() < 2 {
        return None;
    }
    let destination = match user {
        Some(user) => format!("{user}@{host}"),
        None => host,
    };
    guard_option(&destination)?;
    guard_option(destination.split('@').next().unwrap_or_default())?;
    // `ssh://host/~user/repo`: the home directory, as git reads it.
    let path = path.strip_prefix('/').filter(|p| p.starts_with('~')).unwrap_or(path);
    Some(Address::Ssh { destination, port, path: percent_decode(path) })
}

/// `host`, `host:port`, `[::1]:port`.
fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host.to_string(), Some(port.parse().ok()?))),
            None if rest.is_empty() => Some((host.to_string(), None)),
            None => None,
        };
    }
    match text.rsplit_once(':') {
        Some((host, "")) => Some((host.to_string(), None)),
        Some((host, port)) => Some((host.to_string(), Some(port.parse().ok()?))),
        None => Some((text.to_string(), None)),
    }
}

fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%')
            .then(|| text.get(at + 1..at + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// `text` with user, password and secrets of the query taken out of every URL in it, and what would move a terminal's cursor: what
/// may be printed.
pub fn redact(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end =
            tail.find(|c: char| c == '/' || c.is_whitespace() || "'\"`<>".contains(c)).unwrap_or(tail.len());
        let authority = &tail[..end];
        let secret_scheme = !head.ends_with("ssh://");
        match authority.rfind('@') {
            Some(user) if secret_scheme || authority[..user].contains(':') => {
                out.push_str(&authority[user + 1..]);
            }
            _ => out.push_str(authority),
        }
        rest = &tail[end..];
        let end = rest.find(|c: char| c.is_whitespace() || "'\"`<>".contains(c)).unwrap_or(rest.len());
        let (url, after) = rest.split_at(end);
        out.push_str(&without_secrets(url));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The path of a URL and its query, in which values are hidden that go by the name of a secret.
fn without_secrets(url: &str) -> String {
    const SECRET: [&str; 8] = ["token", "secret", "passw", "auth", "key", "sig", "credential", "pat="];
    let Some((path, query)) = url.split_once('?') else { return url.to_string() };
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if SECRET.iter().any(|word| pair_name(name).contains(word)) => format!("{name}=***"),
        _ => pair.to_string(),
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

fn pair_name(name: &str) -> String {
    format!("{}=", name.to_ascii_lowercase())
}

/// A server's text without passwords and without what would move a terminal's cursor.
pub(crate) fn clean(text: &str) -> String {
    let visible: String =
        text.chars().map(|c| if c == '\t' { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    redact(visible.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(destination: &str, port: Option<u16>, path: &str) -> Address {
        Address::Ssh { destination: destination.into(), port, path: path.into() }
    }

    #[test]
    fn every_form_of_url_is_read() {
        let parse = |text| Address::parse(text).unwrap();
        assert_eq!(parse("git@host:org/repo.git"), ssh("git@host", None, "org/repo.git"));
        assert_eq!(parse("ssh://git@h:2222/r"), ssh("git@h", Some(2222), "/r"));
        assert_eq!(parse("ssh://h/~me/r"), ssh("h", None, "~me/r"));
        assert_eq!(parse("/srv/r.git"), Address::Local("/srv/r.git".into()));
        assert_eq!(parse("./a:b"), Address::Local("./a:b".into()));
        assert_eq!(parse("file:///srv/a%20b"), Address::Local("/srv/a b".into()));
        assert_eq!(
            parse("git://[::1]/r"),
            Address::Daemon { host: "::1".into(), port: 9418, path: "/r".into() }
        );
        assert_eq!(
            parse("https://me:p%40ss@h.example:8443/o/r.git/"),
            Address::Http {
                url: "https://h.example:8443/o/r.git".into(),
                host: "h.example".into(),
                user: Some(("me".into(), Some(Secret::new("p@ss")))),
            }
        );
    }

    #[test]
    fn what_is_no_url_is_refused_without_its_password() {
        for (url, shown) in [
            ("", ""),
            ("ftp://u:pw@h/x", "ftp://h/x"),
            ("https://u:pw@/x", "https:///x"),
            ("ssh://-oProxyCommand=x/y", "ssh://-oProxyCommand=x/y"),
            ("git://h", "git://h"),
            ("-oProxyCommand=x:y", "-oProxyCommand=x:y"),
            ("https://h/x\u{1b}[2J", "https://h/x[2J"),
            ("https://h/x\nhost=evil", "https://h/x\nhost=evil"),
        ] {
            let Err(GitError::Url { url, .. }) = Address::parse(url) else {
                panic!("{url} was taken");
            };
            assert_eq!(url, shown);
        }
    }

    #[test]
    fn passwords_in_urls_are_taken_out_wherever_they_stand() {
        assert_eq!(
            redact("fatal: 'https://u:tok@h/x' and ssh://git@h/y and https://tok@h"),
            "fatal: 'https://h/x' and ssh://git@h/y and https://h"
        );
        assert_eq!(
            redact("see 'https://h/x?private_token=tok&a=1' or https://h/results?buildId=7&view=logs"),
            "see 'https://h/x?private_token=***&a=1' or https://h/results?buildId=7&view=logs"
        );
    }
}
