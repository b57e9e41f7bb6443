//! `plugin: {path: env-api-client-v3, options: {apiUrl: URL}}`: kit's environment API, version 3.
//!
//! A container with the annotation `kit-deploymentizer/env-api-service: NAME` gets the variables of that service:
//! `POST <apiUrl>/v3/vars` with `{environment, cluster, metadata, service}` and the token in `X-Auth-Token`. Statuses
//! 200 and 206 answer `{"values": {NAME: VALUE, …}}`, which become `env` entries in that order.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::tls::{RootCerts, TlsConfig};

use super::{Ask, Options, Provider};
use crate::external::Environment;
use crate::node::{Layer, List, Map, Node, Origin, Value};
use crate::problem::Problem;

const ANNOTATION: &str = "kit-deploymentizer/env-api-service";

type Answer = Result<Option<Arc<Node>>, Problem>;

/// Asks an environment API over HTTP.
pub struct HttpProvider {
    url: String,
    token: String,
    retries: u64,
    secret: bool,
    agent: ureq::Agent,
    answers: Mutex<HashMap<String, Arc<Mutex<Option<Answer>>>>>,
}

impl HttpProvider {
    /// Reads the options: `apiUrl` (the variable `ENVAPI_URL` wins over it), `timeoutSeconds` (default 15), `retries`
    /// (default 2; for failed connections and statuses 429 and 5xx), `secret` (default true). The token is the
    /// variable `ENVAPI_ACCESS_TOKEN`.
    ///
    /// # Errors
    /// Options that it does not have, no URL, no token.
    pub fn new(
        options: &serde_json::Map<String, serde_json::Value>,
        environment: &Environment,
    ) -> Result<Self, Problem> {
        let mut options = Options::new(options, "env-api-client-v3");
        let variable = |name: &str| environment.get(name).filter(|value| !value.is_empty()).cloned();
        let url = options.text("apiUrl")?;
        let url = options.required("apiUrl", variable("ENVAPI_URL").or(url))?;
        let timeout = Duration::from_secs(options.count("timeoutSeconds", 15)?);
        let retries = options.count_or_none("retries", 2)?;
        let secret = options.flag("secret", true)?;
        options.flag("supportFallback", false)?;
        options.done(&["apiUrl", "timeoutSeconds", "retries", "secret"])?;
        let token = variable("ENVAPI_ACCESS_TOKEN").ok_or_else(|| {
            Problem::new("plugin `env-api-client-v3` needs the environment variable `ENVAPI_ACCESS_TOKEN`")
        })?;
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            // As the machine has them: such services tend to have a certificate of the company's own authority.
            .tls_config(TlsConfig::builder().root_certs(RootCerts::PlatformVerifier).build())
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { url, token, retries, secret, agent, answers: Mutex::default() })
    }

    fn call(&self, request: &serde_json::Value, service: &str) -> Answer {
        let url = format!("{}/v3/vars", self.url);
        let mut attempt = 0;
        let problem = loop {
            let problem = match self.post(&url, request) {
                Ok((200 | 206, body)) => return self.entries(&body, service).map(Some),
                Ok((status, _)) => {
                    let problem =
                        Problem::new(format!("{url} answered status {status} for service `{service}`"));
                    match status {
                        429 | 500..=599 => problem,
                        401 | 403 => return Err(problem.hint("check `ENVAPI_ACCESS_TOKEN`")),
                        _ => return Err(problem),
                    }
                }
                Err(error) => Problem::new(format!("{url} cannot be reached")).cause(error.to_string()),
            };
            if attempt == self.retries {
                break problem;
            }
            std::thread::sleep(Duration::from_millis(200 << attempt.min(5)));
            attempt += 1;
        };
        Err(problem.cause(format!("tried {} times", attempt + 1)))
    }

    fn post(&self, url: &str, request: &serde_json::Value) -> Result<(u16, String), ureq::Error> {
        let mut response = self.agent.post(url).header("X-Auth-Token", &self.token).send_json(request)?;
        Ok((response.status().as_u16(), response.body_mut().read_to_string()?))
    }

    fn entries(&self, body: &str, service: &str) -> Result<Arc<Node>, Problem> {
        let json: serde_json::Value = serde_json::from_str(body).map_err(|_syntax| {
            Problem::new(format!("{} did not answer JSON for service `{service}`", self.url))
        })?;
        let public = Origin::of(Layer::Provider);
        let origin = Origin { secret: self.secret, ..public };
        let mut items = Vec::new();
        if let Some(values) = json.get("values").and_then(serde_json::Value::as_object) {
            for (name, value) in values {
                let mut entry = Map::default();
                entry.set("name", Node::text(name.as_str(), public));
                entry.set("value", Node::from_json(value, origin));
                items.push(Node::new(Value::Map(entry), public));
            }
        }
        let mut answer = Map::default();
        answer.set("env", Node::new(Value::List(List { items, named: Vec::new() }), public));
        Ok(Node::new(Value::Map(answer), public))
    }
}

/// The body as kit sent it: no `environment` where the cluster's `metadata` has none, and metadata as text but for what
/// is false in JavaScript.
fn request(ask: &Ask<'_>, service: &str) -> serde_json::Value {
    let metadata = ask.merged.definition.get("metadata").and_then(|metadata| metadata.as_map());
    let metadata = metadata.into_iter().flat_map(|metadata| &metadata.entries);
    let mut texts = serde_json::Map::new();
    let mut request = serde_json::Map::new();
    for entry in metadata {
        let text = match entry.value.is_truthy() {
            true => crate::mustache::text(&*entry.value).into(),
            false => entry.value.to_json(),
        };
        texts.insert(entry.key.to_string(), text);
        if &*entry.key == "environment" {
            request.insert("environment".to_owned(), entry.value.to_json());
        }
    }
    request.insert("cluster".to_owned(), (&*ask.merged.cluster.name).into());
    request.insert("metadata".to_owned(), texts.into());
    request.insert("service".to_owned(), service.into());
    request.into()
}

impl Provider for HttpProvider {
    fn fetch(&self, ask: &Ask<'_>) -> Answer {
        let service = ask.container.get("annotations").and_then(|annotations| annotations.get(ANNOTATION));
        let Some(service) = service.filter(|service| service.is_truthy()) else { return Ok(None) };
        let service = service.to_text();
        let request = request(ask, &service);
        let slot = {
            let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
            answers.entry(request.to_string()).or_default().clone()
        };
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert_with(|| self.call(&request, &service)).clone()
    }
}
