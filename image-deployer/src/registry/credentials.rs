//! Credentials for registries, from Docker's `config.json` and its credential helpers.

use std::{
    collections::BTreeMap,
    fmt,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use base64::Engine as _;
use serde::Deserialize;

/// User name and password, or a token that stands for both.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credentials {
    /// For basic authentication, here or at the token server.
    Password { username: String, password: String },
    /// An OAuth2 refresh token for the token server.
    IdentityToken(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Docker's `config.json`, as far as it is about credentials. It has many other keys.
#[derive(Debug, Default, Deserialize)]
pub(super) struct DockerConfig {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: Option<String>,
}

#[derive(Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    identitytoken: String,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(***)")
    }
}

#[derive(Deserialize)]
struct HelperAnswer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: String,
}

impl DockerConfig {
    /// Reads the file; one that is not there is an empty one.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text).map_err(|error| {
                // serde_json's text can quote the input; the position is enough.
                format!("not the JSON of Docker at line {} column {}", error.line(), error.column())
            }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// The credentials for a registry host, if there are any. Docker Hub's are under a name of its own.
    pub(super) fn find(&self, host: &str) -> Result<Option<Credentials>, String> {
        let hub = host == "registry-1.docker.io";
        let names = if hub {
            vec!["https://index.docker.io/v1/".to_owned(), "index.docker.io".into(), "docker.io".into()]
        } else {
            let forms = ["", "https://", "http://"].iter();
            forms
                .flat_map(|scheme| ["", "/", "/v1/", "/v2/"].map(|end| format!("{scheme}{host}{end}")))
                .collect()
        };
        let helper = names.iter().find_map(|name| self.helpers.get(name)).or(self.store.as_ref());
        if let Some(helper) = helper {
            let name = if hub { names[0].as_str() } else { host };
            if let Some(found) = ask_helper(helper, name)? {
                return Ok(Some(found));
            }
        }
        names.iter().find_map(|name| self.auths.get(name)).map_or(Ok(None), Entry::credentials)
    }
}

impl Entry {
    fn credentials(&self) -> Result<Option<Credentials>, String> {
        if !self.identitytoken.is_empty() {
            return Ok(Some(Credentials::IdentityToken(self.identitytoken.clone())));
        }
        if !self.username.is_empty() {
            let (username, password) = (self.username.clone(), self.password.clone());
            return Ok(Some(Credentials::Password { username, password }));
        }
        if self.auth.is_empty() {
            return Ok(None);
        }
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(self.auth.trim())
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) = pair.ok_or("an `auth` of it is not base64 of `user:password`")?;
        Ok(Some(Credentials::Password { username: username.into(), password: password.into() }))
    }
}

/// `docker-credential-<helper> get`, with the registry on stdin.
fn ask_helper(helper: &str, registry: &str) -> Result<Option<Credentials>, String> {
    let valid = !helper.is_empty() && helper.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if !valid {
        return Err(format!("not a name of a credential helper: `{helper}`"));
    }
    let program = format!("docker-credential-{helper}");
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| format!("cannot run `{program}`: {error}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that does not read its input answers without it, or fails below.
        let _ = stdin.write_all(registry.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| format!("`{program}` failed: {error}"))?;
    if !output.status.success() {
        // "credentials not found" is how a helper says that it has none.
        return Ok(None);
    }
    let answer: HelperAnswer = serde_json::from_slice(&output.stdout)
        .map_err(|_error| format!("`{program}` did not answer in the JSON of Docker's helpers"))?;
    Ok(Some(if answer.username == "<token>" {
        Credentials::IdentityToken(answer.secret)
    } else {
        Credentials::Password { username: answer.username, password: answer.secret }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(config: &str, host: &str) -> Result<Option<Credentials>, String> {
        serde_json::from_str::<DockerConfig>(config).unwrap().find(host)
    }

    #[test]
    fn the_entry_of_a_registry_is_found_in_every_spelling() {
        let expected = Some(Credentials::Password { username: "me".into(), password: "pa:ss".into() });
        for name in ["quay.io", "https://quay.io", "https://quay.io/v1/", "quay.io/"] {
            let config =
                format!(r#"{{"auths": {{"{name}": {{"auth": "bWU6cGE6c3M="}}}}, "currentContext": "x"}}"#);
            assert_eq!(find(&config, "quay.io").unwrap(), expected, "{name}");
        }
        let hub = r#"{"auths": {"https://index.docker.io/v1/": {"auth": "bWU6cGE6c3M="}}}"#;
        assert_eq!(find(hub, "registry-1.docker.io").unwrap(), expected);
        assert_eq!(find(hub, "quay.io").unwrap(), None);
        let token = r#"{"auths": {"a.io": {"identitytoken": "t"}}}"#;
        assert_eq!(find(token, "a.io").unwrap(), Some(Credentials::IdentityToken("t".into())));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let error = find(r#"{"auths": {"a.io": {"auth": "c2VjcmV0"}}}"#, "a.io").unwrap_err();
        assert_eq!(error, "an `auth` of it is not base64 of `user:password`");
        let error = find(r#"{"credHelpers": {"a.io": "../x"}}"#, "a.io").unwrap_err();
        assert_eq!(error, "not a name of a credential helper: `../x`");
        assert_eq!(format!("{:?}", Credentials::IdentityToken("secret".into())), "Credentials(***)");
    }
}
