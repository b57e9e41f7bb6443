//! Webhooks: kit's (`POST <url>/<name>` per manifest name) and Slack's. Sent at start and end, retried, awaited; one that fails is
//! told and stops nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cli::report::{ClusterReport, Report, counted};
use cli::{Failure, Problem};
use futures::StreamExt as _;
use futures::stream;
use manifest::Object;
use serde_json::{Value, json};

use crate::http;

/// Tries of one message.
const TRIES: u32 = 4;
/// Messages at a time.
const PARALLEL: usize = 8;
/// For one try.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Slack cuts a message after 40,000 characters.
const SLACK_LIMIT: usize = 3500;

/// kit's annotation that gives a manifest another name in webhooks.
const ALIAS: &str = "kit-deployer/alias-name";
/// The name that kit gave a manifest before it changed it.
const ORIGINAL: &str = "kit-deployer/original-name";

/// Where messages go, and about what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Webhooks {
    kit: Vec<String>,
    slack: Vec<String>,
    uuid: Option<String>,
    rollback: bool,
    clusters: BTreeSet<String>,
    /// Names of manifests, and of which objects (`cluster`, `Kind/namespace/name`).
    names: BTreeMap<String, BTreeSet<(String, String)>>,
}

/// One message.
struct Message {
    url: String,
    body: Value,
}

impl Webhooks {
    /// Webhooks to these addresses.
    ///
    /// # Errors
    /// An address that is none.
    pub(crate) fn new(
        kit: Vec<String>,
        slack: Vec<String>,
        uuid: Option<String>,
        rollback: bool,
    ) -> Result<Self, Failure> {
        let wrong: Vec<Problem> = kit
            .iter()
            .chain(&slack)
            .filter(|url| {
                !(url.starts_with("https://") || url.starts_with("http://"))
                    || url.contains(char::is_whitespace)
            })
            .map(|url| Problem::new(format!("a webhook is an http or https address: `{}`", shown(url))))
            .collect();
        if !wrong.is_empty() {
            return Err(Failure::all(cli::Exit::Invalid, wrong));
        }
        Ok(Self { kit, slack, uuid, rollback, ..Self::default() })
    }

    /// Whether anybody wants to know.
    pub(crate) fn is_empty(&self) -> bool {
        self.kit.is_empty() && self.slack.is_empty()
    }

    /// Takes note of what is deployed to a cluster.
    pub(crate) fn learn(&mut self, cluster: &str, objects: &[Object]) {
        self.clusters.insert(cluster.to_owned());
        if self.kit.is_empty() {
            return;
        }
        for object in objects {
            let reference = object.reference();
            let annotation = |name: &str| object.value["metadata"]["annotations"][name].as_str();
            let name =
                annotation(ALIAS).or_else(|| annotation(ORIGINAL)).unwrap_or(&reference.name).to_owned();
            self.names
                .entry(name)
                .or_default()
                .insert((cluster.to_owned(), key(&reference.kind, &reference.name)));
        }
    }

    /// What to send when a run begins.
    fn begin(&self) -> Vec<Message> {
        let progress = self.progress(None);
        let kit = self.names.keys().map(|name| (name, self.body("STARTED", "IN_PROGRESS", None, &progress)));
        let text = format!("deploy started: {}", counted(self.clusters.len(), "cluster"));
        self.messages(kit, &text)
    }

    /// What to send when it is over.
    fn end(&self, report: &Report) -> Vec<Message> {
        let progress = self.progress(Some(report));
        let kit = self.names.iter().map(|(name, objects)| {
            let reasons: Vec<String> =
                report.clusters.iter().filter_map(|cluster| reason(cluster, objects)).collect();
            let body = match reasons.first() {
                None => self.body("COMPLETED", "SUCCESS", None, &progress),
                Some(reason) => self.body("COMPLETED", "FAILURE", Some(reason), &progress),
            };
            (name, body)
        });
        self.messages(kit, &slack_text(report))
    }

    fn messages<'a>(&'a self, kit: impl Iterator<Item = (&'a String, Value)>, text: &str) -> Vec<Message> {
        let kit = kit.flat_map(|(name, body)| {
            self.kit.iter().map(move |url| Message {
                url: format!("{}/{}", url.trim_end_matches('/'), percent(name)),
                body: body.clone(),
            })
        });
        let slack = self.slack.iter().map(|url| Message { url: url.clone(), body: json!({"text": text}) });
        kit.chain(slack).collect()
    }

    /// The payload of the original.
    fn body(&self, phase: &str, status: &str, reason: Option<&str>, progress: &Value) -> Value {
        let mut build = json!({
            "phase": phase,
            "status": status,
            "progress": progress,
            "scm": {},
            "parameters": {"REVERT": if self.rollback { "true" } else { "false" }},
            "artifacts": {},
        });
        if let Some(reason) = reason {
            build["reason"] = json!(reason);
        }
        let mut body =
            json!({"name": "kubernetes-deploy", "provider": "CodeShip/Kubernetes", "build": build});
        if let Some(uuid) = &self.uuid {
            body["uuid"] = json!(uuid);
        }
        body
    }

    fn progress(&self, report: Option<&Report>) -> Value {
        let ended = report.map_or(&[][..], |report| &report.clusters);
        let names = |wanted: fn(&ClusterReport) -> bool| {
            ended
                .iter()
                .filter(|cluster| wanted(cluster))
                .map(|cluster| cluster.name.as_str())
                .collect::<Vec<_>>()
        };
        let remaining: Vec<&String> =
            self.clusters.iter().filter(|name| !ended.iter().any(|cluster| cluster.name == **name)).collect();
        let (total, completed) = (self.clusters.len().max(1), ended.len());
        let percent = (completed as f64 / total as f64 * 1000.0).round() / 1000.0;
        json!({
            "percent": percent,
            "clusters": {
                "total": self.clusters.len(),
                "completed": completed,
                "found": self.clusters,
                "remaining": remaining,
                "successful": names(|cluster| cluster.state.is_good()),
                "failed": names(|cluster| !cluster.state.is_good()),
            },
        })
    }

    /// Says that the run begins. Returns what could not be said.
    pub(crate) async fn started(&self) -> Vec<String> {
        send(self.begin()).await
    }

    /// Says how the run ended. Returns what could not be said.
    pub(crate) async fn ended(&self, report: &Report) -> Vec<String> {
        send(self.end(report)).await
    }
}

fn key(kind: &str, name: &str) -> String {
    format!("{kind}/{name}")
}

/// Why the manifest that is these objects is not well on `cluster`.
fn reason(cluster: &ClusterReport, objects: &BTreeSet<(String, String)>) -> Option<String> {
    let mut mine = objects.iter().filter(|(name, _)| *name == cluster.name).peekable();
    mine.peek()?;
    let told = |trouble: Option<&cli::report::Trouble>, word: &str| {
        let message = trouble.map_or(word, |trouble| trouble.message.as_str());
        format!("{}: {message}", cluster.name)
    };
    // A cluster that ended before its objects were reached.
    if !cluster.state.is_good() && cluster.objects.is_empty() {
        return Some(told(cluster.trouble.as_ref(), cluster.state.word()));
    }
    mine.find_map(|(_, key_of_mine)| {
        let object = cluster.objects.iter().find(|object| key(&object.kind, &object.name) == *key_of_mine)?;
        let skipped = object.because.is_some() && !cluster.state.is_good();
        (object.result.is_bad() || skipped).then(|| told(object.trouble.as_ref(), object.result.word()))
    })
}

fn slack_text(report: &Report) -> String {
    let (good, bad) = report.good_and_bad();
    let head = match (good, bad) {
        (_, 0) => "deploy done",
        (0, _) => "deploy failed",
        _ => "deploy failed on some clusters",
    };
    let mut text = format!("*{head}*: {}", slack_escape(&report.headline()));
    let failures = cli::report::failures(report);
    if !failures.is_empty() {
        let kept: String = failures.chars().take(SLACK_LIMIT).collect();
        let cut = if kept.len() < failures.len() { "\n…" } else { "" };
        text += &format!("\n```\n{}{cut}\n```", slack_escape(kept.trim_end()));
    }
    text
}

/// The three characters that Slack wants escaped; and its fence.
fn slack_escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace("```", "'''")
}

/// A name as one segment of a path.
fn percent(name: &str) -> String {
    let segment = name.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => (byte as char).to_string(),
        other => format!("%{other:02X}"),
    });
    segment.collect()
}

/// An address without what may be secret in it: Slack's whole path is.
fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}/…") }
}

async fn send(messages: Vec<Message>) -> Vec<String> {
    let sent =
        stream::iter(messages).map(async |message| deliver(message).await.err()).buffer_unordered(PARALLEL);
    // Ten names of one dead endpoint are one problem.
    let mut troubles: Vec<String> = sent.filter_map(|trouble| async { trouble }).collect().await;
    troubles.sort();
    troubles.dedup();
    troubles
}

async fn deliver(message: Message) -> Result<(), String> {
    let place = shown(&message.url);
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_millis(500 << (attempt - 1))).await;
        }
        let (url, body) = (message.url.clone(), message.body.to_string());
        let answer = tokio::task::spawn_blocking(move || post(&url, &body)).await;
        match answer {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(Refused::Again(why))) => last = why,
            Ok(Err(Refused::Final(why))) => return Err(format!("the webhook {place} refused: {why}")),
            Err(error) => return Err(format!("the webhook {place} could not be called: {error}")),
        }
    }
    Err(format!("the webhook {place} could not be called in {TRIES} tries: {last}"))
}

enum Refused {
    /// It may work later.
    Again(String),
    /// It will not.
    Final(String),
}

fn post(url: &str, body: &str) -> Result<(), Refused> {
    let config = http::config().timeout_global(Some(TIMEOUT)).build();
    let agent = ureq::Agent::new_with_config(config);
    let request = agent.post(url).header("Content-Type", "application/json");
    match request.send(body) {
        Ok(answer) if answer.status().is_success() => Ok(()),
        Ok(answer) => {
            let code = answer.status().as_u16();
            let why = format!("HTTP status {code}");
            Err(if code == 429 || code >= 500 { Refused::Again(why) } else { Refused::Final(why) })
        }
        // Its text may quote the address, which may be a secret.
        Err(error) => Err(Refused::Again(error.to_string().replace(url, &shown(url)))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_shown_without_what_may_be_secret_in_it() {
        assert_eq!(
            shown("https://u:p@hooks.slack.com/services/T0/B0/xyz?token=1"),
            "https://hooks.slack.com/…"
        );
        assert_eq!(shown("nonsense token"), "nonsense token");
    }

    #[test]
    fn a_name_is_one_segment_of_the_path() {
        assert_eq!(percent("web/../x y"), "web%2F..%2Fx%20y");
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        assert!(Webhooks::new(vec!["ftp://x".into()], Vec::new(), None, false).is_err());
        assert!(Webhooks::new(vec!["http://x".into()], vec!["https://y/z".into()], None, false).is_ok());
    }
}
