//! Who else must agree before the next wave begins.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::waves_file::duration;

/// An outside check between two waves: anything but success stops the rollout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gate {
    /// A program that must exit with 0.
    Exec {
        /// The program and its arguments.
        command: Vec<String>,
        /// How long it may take.
        timeout: Duration,
    },
    /// A URL that must answer a GET with 2xx.
    Http {
        /// The URL.
        url: String,
        /// The environment variable whose value is sent as a bearer token.
        token_env: Option<String>,
        /// How long it may take.
        timeout: Duration,
    },
}

impl fmt::Display for Gate {
    /// For people and plan files: without arguments and queries, in which secrets might be.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exec { command, .. } => write!(f, "exec {}", command.first().map_or("", String::as_str)),
            Self::Http { url, .. } => {
                write!(f, "http {}", url.split(['?', '#']).next().unwrap_or_default())
            }
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGate {
    exec: Option<Vec<String>>,
    http: Option<String>,
    #[serde(rename = "tokenEnv")]
    token_env: Option<String>,
    timeout: Option<String>,
}

/// How long a gate may take unless the file says otherwise.
const GATE_TIMEOUT: Duration = Duration::from_secs(60);

impl Gate {
    pub(super) fn validate(raw: RawGate) -> Result<Self, String> {
        let timeout =
            raw.timeout.as_deref().map_or(Ok(GATE_TIMEOUT), |text| duration("gate.timeout", text))?;
        if timeout.is_zero() {
            return Err("`gate.timeout` is more than 0".to_owned());
        }
        let (token_env, of_exec) = (raw.token_env, raw.exec.is_some());
        match (raw.exec, raw.http) {
            (Some(command), None) if !command.is_empty() && token_env.is_none() => {
                Ok(Self::Exec { command, timeout })
            }
            (Some(_), None) if token_env.is_some() => {
                Err("`gate.tokenEnv` belongs to `http`: a program reads the environment itself".to_owned())
            }
            (None, Some(url)) => Self::address(&url).map(|()| Self::Http { url, token_env, timeout }),
            _ if of_exec => Err("`gate.exec` is `[program, argument, …]`".to_owned()),
            _ => Err("`gate` is either `exec: [program, argument, …]` or `http: https://…`".to_owned()),
        }
    }

    fn address(url: &str) -> Result<(), String> {
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let host = rest.map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
        match host {
            Some(host) if host.contains('@') => {
                Err("`gate.http` carries no credentials: name their variable with `tokenEnv: NAME`"
                    .to_owned())
            }
            Some(host) if !host.is_empty() && !url.contains(char::is_whitespace) => Ok(()),
            _ => Err("`gate.http` is an http or https address".to_owned()),
        }
    }

    /// How long it may take.
    pub fn timeout(&self) -> Duration {
        match self {
            Self::Exec { timeout, .. } | Self::Http { timeout, .. } => *timeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::waves::{Defaults, Member};
    use super::super::waves_file::WavesFile;

    #[test]
    fn a_gate_is_told_without_what_may_be_secret_in_it() {
        let fleet = [Member { name: "dev-1".parse().unwrap(), labels: serde_json::Map::new() }];
        let gate = |text: &str| {
            let text = format!("waves: [{{name: a, rest: true, gate: {text}}}]");
            let file = WavesFile::parse(&text, Path::new("w")).map_err(|e| e[0].to_string())?;
            let rollout = file.assign(&fleet, Defaults::default()).unwrap();
            Ok::<_, String>(rollout.waves[0].gate.clone().unwrap().to_string())
        };
        assert_eq!(gate("{exec: [./rate.sh, --token, s3cret]}").unwrap(), "exec ./rate.sh");
        assert_eq!(
            gate("{http: 'https://m.example/ok?key=s3cret', tokenEnv: T}").unwrap(),
            "http https://m.example/ok"
        );
        for bad in [
            "{http: 'https://u:p@m.example/'}",
            "{http: 'https:///x'}",
            "{exec: []}",
            "{exec: [a], tokenEnv: T}",
            "{exec: [a], timeout: 0s}",
            "{}",
        ] {
            let said = gate(bad).unwrap_err();
            assert!(said.starts_with("w:1:37: wave `a`: ") && !said.contains("u:p"), "{bad}: {said}");
        }
    }
}
