//! Who we are to the server, and how that is kept out of sight.

use std::fmt;

/// A string that is never printed: `Debug` shows `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a token or a password.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that sends it.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it can be sent: what was pasted with quotes and line breaks around it cannot.
    pub fn is_sendable(&self) -> bool {
        !self.0.chars().any(|c| c.is_whitespace() || c.is_control())
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How to authenticate over http(s). ssh authenticates by the user's own `ssh`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing is sent (but for `user:password@` in the URL, which is taken out of it).
    #[default]
    None,
    /// A token of a git host, sent as the password of basic authentication.
    Token {
        /// The token.
        token: Secret,
        /// The user name to send with it. Default: what the host documents for app and job tokens
        /// (`x-access-token` for GitHub and all unknown hosts, `oauth2` for GitLab,
        /// `x-token-auth` for Bitbucket).
        username: Option<String>,
    },
    /// User name and password.
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// `Authorization: Bearer …` (Azure DevOps, Gerrit, proxies in front of a git server).
    Bearer(Secret),
    /// Ask `git credential fill`, that is, the helpers the user has configured, when the server
    /// asks for credentials. The only case in which a `git` program is run for http.
    CredentialHelper,
}

impl Auth {
    /// The value of the `Authorization` header for `host`, if there is one to send at once.
    pub(crate) fn header(&self, host: &str) -> Option<Secret> {
        match self {
            Self::None | Self::CredentialHelper => None,
            Self::Token { token, username } => {
                let username = username.as_deref().unwrap_or(token_user(host, token.expose()));
                Some(basic(username, token))
            }
            Self::Basic { username, password } => Some(basic(username, password)),
            Self::Bearer(token) => Some(Secret::new(format!("Bearer {}", token.expose()))),
        }
    }
}

/// `Basic …` (RFC 7617).
pub(crate) fn basic(username: &str, password: &Secret) -> Secret {
    use base64::Engine as _;
    let pair = format!("{username}:{}", password.expose());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    Secret::new(format!("Basic {encoded}"))
}

/// By the token's prefix, which is the same on every server of a product, then by the host's name.
fn token_user(host: &str, token: &str) -> &'static str {
    let host = host.to_ascii_lowercase();
    if token.starts_with("glcbt-") {
        // A job's own token (`CI_JOB_TOKEN`) is taken from this user only.
        "gitlab-ci-token"
    } else if token.starts_with("glpat-") || host.contains("gitlab") {
        "oauth2"
    } else if host.contains("bitbucket") {
        "x-token-auth"
    } else {
        "x-access-token"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let auth = Auth::Basic { username: "me".into(), password: Secret::new("hunter2") };
        assert_eq!(format!("{auth:?}"), r#"Basic { username: "me", password: *** }"#);
    }

    #[test]
    fn a_token_is_sent_with_the_user_its_host_expects() {
        let auth = Auth::Token { token: Secret::new("t"), username: None };
        let header = |host| auth.header(host).map(|value| value.expose().to_string());
        // base64 of `x-access-token:t` and `oauth2:t`
        assert_eq!(header("github.com").as_deref(), Some("Basic eC1hY2Nlc3MtdG9rZW46dA=="));
        assert_eq!(header("gitlab.example.org").as_deref(), Some("Basic b2F1dGgyOnQ="));
    }
}
