//! Secrets never leave: what is shown of them is a token that is the same for the same value within one run, so that "changed" and
//! "the same everywhere" can be seen, and that says nothing afterwards (its key is random and kept nowhere).

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// Values shorter than this are not searched for in free text: `true` or `admin` would tear every message apart.
const SHORTEST: usize = 6;

/// Hides the secrets of one run. Clones share what they know.
#[derive(Clone)]
pub struct Mask {
    key: [u8; 32],
    known: Arc<RwLock<BTreeSet<String>>>,
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mask")
    }
}

impl Mask {
    /// With a key of its own.
    pub fn new() -> Self {
        let mut key = [0; 32];
        // Without randomness tokens are only less private towards who sees several runs; nothing to fail for.
        let _ = rustls::crypto::ring::default_provider().secure_random.fill(&mut key);
        Self { key, known: Arc::default() }
    }

    /// Another one with the same tokens that knows no secrets yet: for a cluster, whose texts only hold its own.
    pub fn with_same_key(&self) -> Self {
        Self { key: self.key, known: Arc::default() }
    }

    /// What is shown instead of `secret`.
    pub fn token(&self, secret: &str) -> String {
        let digest = Sha256::new().chain_update(self.key).chain_update(secret).finalize();
        let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("<secret {short}>")
    }

    /// Remembers the secret values of an object, so that they are found in free text too: in what a server says, in arguments.
    pub fn learn(&self, object: &Value) {
        let mut found = BTreeSet::new();
        if is_secret(object) {
            for (_, text) in texts(&object["stringData"]) {
                remember(text, &mut found);
            }
            for (_, text) in texts(&object["data"]) {
                found.insert(text.to_owned());
                if let Some(decoded) = decoded(text) {
                    remember(&decoded, &mut found);
                }
            }
        }
        each_secret(object, None, &mut |secret| remember(secret, &mut found));
        let long = found.into_iter().filter(|text| text.chars().count() >= SHORTEST);
        self.known.write().unwrap_or_else(PoisonError::into_inner).extend(long);
    }

    /// Remembers values that somebody else has marked secret.
    pub fn learn_values<'a>(&self, values: impl IntoIterator<Item = &'a str>) {
        let mut found = BTreeSet::new();
        values.into_iter().for_each(|value| remember(value, &mut found));
        let long = found.into_iter().filter(|text| text.chars().count() >= SHORTEST);
        self.known.write().unwrap_or_else(PoisonError::into_inner).extend(long);
    }

    /// `text` without any secret that is known.
    pub fn text(&self, text: &str) -> String {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let mut clean = text.to_owned();
        // Longest first: a secret may contain another one.
        let mut hits: Vec<&String> = known.iter().filter(|secret| clean.contains(secret.as_str())).collect();
        hits.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        for secret in hits {
            clean = clean.replace(secret.as_str(), &self.token(secret));
        }
        clean
    }

    /// What an error says, without any secret that is known.
    pub fn said(&self, error: &impl std::fmt::Display) -> String {
        self.text(&error.to_string())
    }

    /// `object` as it may be shown.
    pub fn object(&self, object: &Value) -> Value {
        let mut shown = object.clone();
        if is_secret(&shown) {
            for part in ["data", "stringData"] {
                for value in
                    shown.get_mut(part).and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
                {
                    let secret = match value.as_str() {
                        Some(text) if part == "data" => decoded(text).unwrap_or_else(|| text.to_owned()),
                        Some(text) => text.to_owned(),
                        None => value.to_string(),
                    };
                    *value = Value::from(self.token(&secret));
                }
            }
        }
        self.strings(&mut shown, None);
        shown
    }

    fn strings(&self, value: &mut Value, key: Option<&str>) {
        match value {
            Value::String(text) => {
                let secret_key = key.is_some_and(sounds_secret);
                *text = if secret_key && !text.is_empty() && !text.starts_with("<secret ") {
                    self.token(text)
                } else {
                    self.argument(&self.text(text))
                };
            }
            Value::Array(items) => {
                let mut masked_next = false;
                for item in items {
                    let is_flag = item.as_str().is_some_and(announces_secret);
                    if masked_next && let Some(text) = item.as_str().filter(|text| !text.starts_with('-')) {
                        *item = Value::from(self.token(text));
                    } else {
                        self.strings(item, None);
                    }
                    masked_next = is_flag;
                }
            }
            Value::Object(map) => {
                let named_secret = map.get("name").and_then(Value::as_str).is_some_and(sounds_secret);
                for (key, value) in map {
                    // `{name: DB_PASSWORD, value: x}`
                    let is_value = named_secret && key == "value";
                    let key = if is_value { Some("password") } else { literal_key(key) };
                    self.strings(value, key);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// `--db-password=x` becomes `--db-password=<secret ...>`, and the password of a URL goes.
    fn argument(&self, text: &str) -> String {
        if text.starts_with('-')
            && let Some((flag, value)) = text.split_once('=')
            && sounds_secret(flag)
            && !value.is_empty()
            && !value.starts_with("<secret ")
        {
            return format!("{flag}={}", self.token(value));
        }
        match url_password(text) {
            Some(range) if !text[range.clone()].starts_with("<secret ") => {
                format!("{}{}{}", &text[..range.start], self.token(&text[range.clone()]), &text[range.end..])
            }
            Some(_) | None => text.to_owned(),
        }
    }
}

/// Where in `text` the password of a URL is (`postgres://user:password@host`).
fn url_password(text: &str) -> Option<std::ops::Range<usize>> {
    let start = text.find("://")? + 3;
    let rest = &text[start..];
    let host_end = rest.find(['/', '?', '#', ' ', '"']).unwrap_or(rest.len());
    let at = rest[..host_end].rfind('@')?;
    let colon = rest[..at].find(':')?;
    (colon + 1 < at).then_some(start + colon + 1..start + at)
}

impl Default for Mask {
    fn default() -> Self {
        Self::new()
    }
}

fn is_secret(object: &Value) -> bool {
    object["kind"] == "Secret"
}

fn texts(map: &Value) -> impl Iterator<Item = (&String, &str)> {
    map.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key, value.as_str()?)))
}

fn decoded(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text).ok()?).ok()
}

/// A secret, its lines, its base64 form and the form in which servers quote it.
fn remember(secret: &str, found: &mut BTreeSet<String>) {
    found.insert(secret.to_owned());
    let quoted = Value::from(secret).to_string();
    found.insert(quoted[1..quoted.len() - 1].to_owned());
    found.insert(secret.trim().to_owned());
    found.insert(STANDARD.encode(secret));
    // A PEM key may come back line by line; its first and last line are no secret.
    found
        .extend(secret.lines().filter(|line| !line.contains("-----") && line.len() >= 16).map(str::to_owned));
}

/// Calls `f` with every text that [`Mask::object`] would hide for the place in which it is.
fn each_secret(value: &Value, key: Option<&str>, f: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => {
            let argument =
                text.split_once('=').filter(|(flag, _)| flag.starts_with('-') && sounds_secret(flag));
            if key.is_some_and(sounds_secret) {
                f(text);
            } else if let Some((_, secret)) = argument {
                f(secret);
            } else if let Some(range) = url_password(text) {
                f(&text[range]);
            }
        }
        Value::Array(items) => {
            let mut is_next = false;
            for item in items {
                match item.as_str() {
                    Some(text) if is_next && !text.starts_with('-') => f(text),
                    Some(_) | None => each_secret(item, None, f),
                }
                is_next = item.as_str().is_some_and(announces_secret);
            }
        }
        Value::Object(map) => {
            let named = map.get("name").and_then(Value::as_str).is_some_and(sounds_secret);
            for (key, value) in map {
                let key = if named && key == "value" { Some("password") } else { literal_key(key) };
                each_secret(value, key, f);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether the argument after this one is a secret: `["--password", "x"]`.
fn announces_secret(argument: &str) -> bool {
    argument.starts_with('-') && !argument.contains('=') && sounds_secret(argument)
}

/// A key whose text value may itself be the secret. Keys of the Kubernetes API that only sound like it name a secret or its key.
fn literal_key(key: &str) -> Option<&str> {
    let api = [
        "secretName",
        "secretRef",
        "secretKeyRef",
        "secret",
        "imagePullSecrets",
        "tokenExpirationSeconds",
        "automountServiceAccountToken",
        "serviceAccountToken",
        "key",
        "topologyKey",
        "keys",
    ];
    (!api.contains(&key)).then_some(key)
}

/// Whether a name says that its value is secret.
fn sounds_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let words = [
        "password",
        "passwd",
        "secret",
        "token",
        "credential",
        "apikey",
        "api_key",
        "api-key",
        "private_key",
        "privatekey",
        "access_key",
        "accesskey",
        "encryption_key",
        "signing_key",
    ];
    // A name, a path or a reference to a secret is none.
    let harmless = [
        "_file", "_path", "_name", "-file", "-path", "-name", "name", "_url", "_ttl", "_expiry", "seconds",
        "_id",
    ];
    words.iter().any(|word| lower.contains(word)) && !harmless.iter().any(|end| lower.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_secret_has_the_same_token_within_a_run_and_another_in_the_next() {
        let (one, two) = (Mask::new(), Mask::new());
        assert_eq!(one.token("hunter2"), one.clone().token("hunter2"));
        assert_ne!(one.token("hunter2"), one.token("hunter3"));
        assert_ne!(one.token("hunter2"), two.token("hunter2"));
    }

    #[test]
    fn a_secret_is_hidden_wherever_its_value_turns_up() {
        let mask = Mask::new();
        mask.learn(&json!({"kind": "Secret", "data": {"p": STANDARD.encode("canary-one")}, "stringData": {"q": "canary-two"}}));
        let token = mask.token("canary-one");
        assert_eq!(mask.text("denied: canary-one is weak"), format!("denied: {token} is weak"));
        let encoded = STANDARD.encode("canary-two");
        assert!(!mask.text(&format!("x canary-two {encoded}")).contains("canary-two"));
        assert!(!mask.text(&encoded).contains(&encoded));
        let shown = mask.object(&json!({"kind": "Pod", "spec": {"args": ["--x=canary-one"]}}));
        assert_eq!(shown["spec"]["args"][0], format!("--x={token}"));
    }

    #[test]
    fn names_that_sound_secret_hide_their_literal_values() {
        let mask = Mask::new();
        let object = json!({"env": [
            {"name": "DB_PASSWORD", "value": "p1"}, {"name": "PASSWORD_FILE", "value": "/run/x"},
            {"name": "T", "valueFrom": {"secretKeyRef": {"name": "my-token", "key": "token"}}}],
            "args": ["--api-token", "p2", "--db-password=p3", "--verbose", "postgres://u:p4@db/x"]});
        let shown = mask.object(&object);
        assert_eq!(
            shown,
            json!({"env": [
                {"name": "DB_PASSWORD", "value": mask.token("p1")}, {"name": "PASSWORD_FILE", "value": "/run/x"},
                {"name": "T", "valueFrom": {"secretKeyRef": {"name": "my-token", "key": "token"}}}],
                "args": ["--api-token", mask.token("p2"), format!("--db-password={}", mask.token("p3")), "--verbose",
                    format!("postgres://u:{}@db/x", mask.token("p4"))]})
        );
    }

    #[test]
    fn a_secrets_values_are_tokens_and_its_other_fields_stay() {
        let mask = Mask::new();
        let shown =
            mask.object(&json!({"kind": "Secret", "type": "Opaque", "data": {"a": STANDARD.encode("v")}}));
        assert_eq!(shown, json!({"kind": "Secret", "type": "Opaque", "data": {"a": mask.token("v")}}));
    }
}
