//! One request to a server and its retries: ours, bounded, said aloud.
//!
//! Retried within the deadline: 429 (as the server says when), 500, 502, 503, 504, connections that break, answers that are cut
//! off, 409 where nobody owns the field but somebody was quicker. Not retried: everything else the server says. A 401 renews the
//! credentials once.

use std::borrow::Cow;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Method, Request};
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use kube::client::Body;
use serde_json::Value;
use tokio::time::Instant;

use super::endpoint::BoxError;
use super::explain::{Trouble, explain};
use super::refusal::Refusal;
use super::{ConnectError, Connection};
use crate::events::Happening;

/// How often and how long the same request is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// Tries while the server has never answered yet: a dead cluster is reported soon.
    pub first_contact: u32,
    /// Pause after the first failure; doubles.
    pub initial: Duration,
    /// Longest pause.
    pub longest: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 10,
            first_contact: 4,
            initial: Duration::from_millis(200),
            longest: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// The pause after try number `attempt` (from 1), with a jitter of a quarter so that clients do not march in step.
    pub(crate) fn pause(&self, attempt: u32) -> Duration {
        let doubled = self.initial.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.longest);
        let random = RandomState::new().hash_one(attempt) % 1000;
        doubled.mul_f64(0.75 + random as f64 / 4000.0)
    }
}

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it is for, as it appears in messages: `apply Deployment/web/api`.
    pub what: String,
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// `Content-Type` and bytes.
    pub body: Option<(&'static str, Vec<u8>)>,
    /// `Accept`.
    pub accept: Cow<'static, str>,
    /// Whether a plain 409 (someone else was writing) is tried again.
    pub again_on_conflict: bool,
    /// Longer than [`super::ConnectOptions::request_timeout`], where needed.
    pub timeout: Option<Duration>,
    /// Whether a write waits outside once the fence is closed: see `Connection::fence`.
    pub fenced: bool,
}

impl Call {
    /// Read `path`.
    pub fn get(what: impl Into<String>, path: impl Into<String>) -> Self {
        Self::new(what, Method::GET, path)
    }

    /// Any method without a body.
    pub fn new(what: impl Into<String>, method: Method, path: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            method,
            path: path.into(),
            body: None,
            accept: Cow::Borrowed("application/json"),
            again_on_conflict: false,
            timeout: None,
            fenced: true,
        }
    }

    /// With a JSON body of the given content type.
    pub fn with_body(mut self, content_type: &'static str, body: &Value) -> Self {
        self.body = Some((content_type, body.to_string().into_bytes()));
        self
    }
}

/// A server's answer to a request that it accepted.
#[derive(Debug)]
pub struct Reply {
    /// 200 or 201, mostly.
    pub code: u16,
    /// The body.
    pub value: Value,
    /// `Warning:` headers: deprecated APIs, unusual fields, policies that only warn.
    pub warnings: Vec<String>,
    /// How many tries it took.
    pub attempts: u32,
    /// When the server answered, by its own clock.
    pub date: Option<Timestamp>,
}

/// Why a call came to nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum CallError {
    /// No answer, however often asked.
    #[error("{}{}", .trouble.sentence, tries(*.attempts))]
    Unreachable {
        /// The last try's trouble.
        trouble: Trouble,
        /// How many tries.
        attempts: u32,
    },
    /// The server said no.
    #[error("{refusal}{}", tries(*.attempts))]
    Refused {
        /// In its words.
        refusal: Box<Refusal>,
        /// How many tries.
        attempts: u32,
    },
    /// The caller's time was over.
    #[error("out of time after {attempts} {} (last: {last})", if *.attempts == 1 { "try" } else { "tries" })]
    Late {
        /// How many tries.
        attempts: u32,
        /// What the last one ran into.
        last: String,
    },
    /// The credentials could not be renewed.
    #[error("{0}")]
    Credentials(String),
    /// The lease of this deploy has run out or gone to another deployer: nothing more is sent.
    #[error(
        "nothing was sent, because the lease of this deploy has gone to another deployer, or could not be renewed in time"
    )]
    LeaseLost,
}

fn tries(attempts: u32) -> String {
    if attempts > 1 { format!(" ({attempts} tries)") } else { String::new() }
}

impl CallError {
    /// The server's refusal, if it is one.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused { refusal, .. } => Some(refusal),
            Self::Unreachable { .. } | Self::Late { .. } | Self::Credentials(_) | Self::LeaseLost => None,
        }
    }

    /// Whether the server refused with this status.
    pub fn is(&self, code: u16) -> bool {
        self.refusal().is_some_and(|refusal| refusal.code == code)
    }
}

enum Attempt {
    Done(Reply),
    Fatal(CallError),
    Again { last: CallError, pause: Option<Duration> },
    Unauthorized(Refusal),
}

impl Connection {
    /// Sends `call`, again and again where that can help, until the connection's deadline.
    ///
    /// # Errors
    /// The last try's.
    pub async fn call(&self, call: &Call) -> Result<Reply, CallError> {
        let policy = self.options.retry;
        let mut renewed = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let last = match self.attempt(call, attempt).await {
                Attempt::Done(reply) => {
                    self.contacted();
                    self.learn_clock(reply.date);
                    return Ok(reply);
                }
                Attempt::Fatal(error) => return Err(error),
                Attempt::Unauthorized(refusal) => {
                    let refused = CallError::Refused { refusal: Box::new(refusal), attempts: attempt };
                    if renewed {
                        return Err(refused);
                    }
                    renewed = true;
                    match self.renew().await {
                        Ok(true) => continue,
                        Ok(false) => return Err(refused),
                        Err(error) => return Err(CallError::Credentials(error.to_string())),
                    }
                }
                Attempt::Again { last, pause } => (last, pause),
            };
            let (last, pause) = last;
            let limit = match &last {
                // A failing webhook answers 500 for ever; an etcd that elects a leader is back soon.
                CallError::Refused { refusal, .. } if refusal.code == 500 => policy.attempts.min(5),
                _ if self.was_contacted() => policy.attempts,
                CallError::Unreachable { .. }
                | CallError::Refused { .. }
                | CallError::Late { .. }
                | CallError::Credentials(_)
                | CallError::LeaseLost => policy.first_contact,
            };
            if attempt >= limit {
                return Err(last);
            }
            let pause = pause.unwrap_or_else(|| policy.pause(attempt));
            if Instant::now() + pause >= self.deadline {
                return Err(CallError::Late { attempts: attempt, last: last.to_string() });
            }
            self.events.emit(Happening::Retrying {
                what: call.what.clone(),
                attempt,
                pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                because: last.to_string(),
            });
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, call: &Call, attempt: u32) -> Attempt {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Attempt::Fatal(CallError::Late {
                attempts: attempt - 1,
                last: "nothing was sent".into(),
            });
        }
        let mut limit = call.timeout.unwrap_or(self.options.request_timeout).min(remaining);
        if call.fenced && call.method != Method::GET {
            // Nothing of ours is to arrive when another deployer may be at work.
            match self.until_fence() {
                Some(left) if left.is_zero() => return Attempt::Fatal(CallError::LeaseLost),
                Some(left) => limit = limit.min(left),
                None => {}
            }
        }
        let unreachable = |trouble: Trouble| {
            let may_pass = trouble.kind.may_pass();
            let last = CallError::Unreachable { trouble, attempts: attempt };
            if may_pass { Attempt::Again { last, pause: None } } else { Attempt::Fatal(last) }
        };
        let request = match self.request(call) {
            Ok(request) => request,
            Err(error) => return Attempt::Fatal(CallError::Credentials(error.to_string())),
        };
        let exchange = async {
            let response = self.sender.send(request).await?;
            let (parts, body) = response.into_parts();
            Ok::<_, BoxError>((parts, body.collect().await?.to_bytes()))
        };
        match tokio::time::timeout(limit, exchange).await {
            Err(_) if limit == remaining => Attempt::Fatal(CallError::Late {
                attempts: attempt,
                last: Trouble::silent(limit.as_secs_f64()).sentence,
            }),
            Err(_) => {
                // Whatever the connection is waiting for, the next try gets a new one.
                self.hang_up();
                unreachable(Trouble::silent(limit.as_secs_f64()))
            }
            Ok(Err(error)) => unreachable(explain(&*error)),
            Ok(Ok((parts, body))) => judge(call, attempt, parts.status.as_u16(), &parts.headers, &body),
        }
    }

    fn request(&self, call: &Call) -> Result<Request<Body>, ConnectError> {
        let mut builder = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(ACCEPT, call.accept.as_ref());
        let body = match &call.body {
            Some((content_type, bytes)) => {
                builder = builder.header(CONTENT_TYPE, *content_type);
                Body::from(bytes.clone())
            }
            None => Body::empty(),
        };
        builder.body(body).map_err(|error| ConnectError::Address { problem: error.to_string() })
    }
}

fn judge(call: &Call, attempt: u32, code: u16, headers: &HeaderMap, body: &[u8]) -> Attempt {
    if (200..300).contains(&code) {
        return match serde_json::from_slice::<Value>(body) {
            Ok(value) => Attempt::Done(Reply {
                code,
                value,
                warnings: warnings(headers),
                attempts: attempt,
                date: date(headers),
            }),
            // A body that ends early, or a proxy's page: ask again.
            Err(error) => Attempt::Again {
                last: CallError::Unreachable {
                    trouble: Trouble {
                        kind: super::TroubleKind::Dropped,
                        sentence: format!(
                            "the answer is not complete JSON (broken off at line {}, column {})",
                            error.line(),
                            error.column()
                        ),
                    },
                    attempts: attempt,
                },
                pause: None,
            },
        };
    }
    let refusal = Refusal::read(code, body);
    let asked = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok())
        .or(refusal.details.as_ref().map(|details| details.retry_after_seconds).filter(|wait| *wait > 0))
        .map(Duration::from_secs);
    let conflict = code == 409 && call.again_on_conflict && !refusal.is_field_conflict();
    match code {
        401 => Attempt::Unauthorized(refusal),
        500 if refusal.is_typed_patch_error() => {
            Attempt::Fatal(CallError::Refused { refusal: Box::new(refusal), attempts: attempt })
        }
        429 | 500 | 502 | 503 | 504 => Attempt::Again {
            last: CallError::Refused { refusal: Box::new(refusal), attempts: attempt },
            pause: asked,
        },
        _ if conflict => Attempt::Again {
            last: CallError::Refused { refusal: Box::new(refusal), attempts: attempt },
            pause: None,
        },
        _ => Attempt::Fatal(CallError::Refused { refusal: Box::new(refusal), attempts: attempt }),
    }
}

/// The server's time.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(http::header::DATE)?.to_str().ok()?;
    jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()
}

/// The texts of `Warning: 299 - "..."` headers.
fn warnings(headers: &HeaderMap) -> Vec<String> {
    headers
        .get_all(http::header::WARNING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .map(|text| match text.splitn(3, ' ').nth(2) {
            Some(quoted) => {
                let quoted = quoted.trim();
                let inner = quoted.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
                inner.unwrap_or(quoted).replace("\\\"", "\"")
            }
            None => text.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_never_march_in_step() {
        let policy = RetryPolicy::default();
        for (attempt, doubled) in [(1, 200), (2, 400), (3, 800), (20, 10_000)] {
            let pause = policy.pause(attempt).as_millis();
            assert!((doubled * 3 / 4..=doubled).contains(&pause), "{attempt}: {pause}");
        }
    }

    #[test]
    fn a_warning_header_is_reduced_to_its_text() {
        let mut headers = HeaderMap::new();
        headers.append("warning", r#"299 - "batch/v1beta1 CronJob is \"deprecated\"""#.parse().unwrap());
        assert_eq!(warnings(&headers), [r#"batch/v1beta1 CronJob is "deprecated""#]);
    }

    #[test]
    fn a_retry_after_header_is_obeyed_and_a_field_conflict_never_repeated() {
        let call = Call { again_on_conflict: true, ..Call::get("x", "/x") };
        let mut headers = HeaderMap::new();
        headers.append("retry-after", "7".parse().unwrap());
        let Attempt::Again { pause, .. } = judge(&call, 1, 429, &headers, b"") else { panic!() };
        assert_eq!(pause, Some(Duration::from_secs(7)));
        let body =
            br#"{"code":409,"reason":"Conflict","details":{"causes":[{"reason":"FieldManagerConflict"}]}}"#;
        assert!(matches!(judge(&call, 1, 409, &HeaderMap::new(), body), Attempt::Fatal(_)));
        let body = br#"{"code":409,"reason":"Conflict","message":"the object has been modified"}"#;
        assert!(matches!(judge(&call, 1, 409, &HeaderMap::new(), body), Attempt::Again { .. }));
    }
}
