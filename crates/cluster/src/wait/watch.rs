//! One watch: a list in pages, then every change since, for as long as somebody asks.
//!
//! kube has a watcher that does the same, and was used here; what it keeps for each watch that waits (8 kB for lines, and the
//! tasks and queues of its client) is most of what a thousand clusters with five watches each would hold. Of kube are the
//! requests. The rules are those of
//! <https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>.

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use futures::stream;
use http::HeaderValue;
use http::header::ACCEPT_ENCODING;
use http_body_util::BodyExt as _;
use hyper::body::Bytes;
use kube::core::params::{ListParams, WatchParams};
use kube::core::{ListMeta, Request};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, timeout};

use super::seen::{Reduce, Seen};
use super::sources::{Break, Change};
use crate::connect::{Answer, Connection, Refusal, RetryPolicy, Sender, Trouble, explain};

/// How long the server may hold a watch: short enough that a connection that died without a word is noticed.
const WATCH: Duration = Duration::from_secs(45);
/// A server that has said nothing for this long after it should have closed the watch has gone.
const MARGIN: Duration = Duration::from_secs(5);
/// Objects per page of the list: what is in memory at once.
const PAGE: u32 = 100;

/// How often a watch that broke is tried again: for as long as the wait lasts, and soon, so that a short wait is not spent in pauses.
/// The pauses differ: the watches of a cluster break together, because they share a connection; were they taken up in step, one that
/// is reset would take the others with it every time.
const AGAIN: RetryPolicy = RetryPolicy {
    attempts: u32::MAX,
    first_contact: u32::MAX,
    initial: Duration::from_millis(200),
    longest: Duration::from_secs(5),
};

/// Where the watches of one wait come from.
#[derive(Clone)]
pub(super) struct Source {
    sender: Sender,
    /// How long a page of a list may take.
    limit: Duration,
}

impl Source {
    pub(super) fn of(connection: &Connection) -> Self {
        Self { sender: connection.sender(), limit: connection.request_timeout() }
    }

    /// Sends a request that has no body; an answer that is a refusal is an error.
    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<Answer, Break> {
        let sent = self.sender.send(request.map(kube::client::Body::from)).await;
        let answer = sent.map_err(|error| Break::passing(explain(&*error).sentence))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let code = answer.status().as_u16();
        let body = self.soon(whole(answer)).await?;
        Err(Break::refused(&Refusal::read(code, &body)))
    }

    /// Within the time that an answer may take.
    async fn soon<T>(&self, asked: impl Future<Output = Result<T, Break>>) -> Result<T, Break> {
        timeout(self.limit, asked).await.unwrap_or_else(|_| Err(silent(self.limit)))
    }
}

/// The objects of one kind, in one namespace or everywhere.
pub(super) struct Watch<T> {
    source: Source,
    /// Of the collection.
    request: Request,
    /// Fields that objects must have to be of interest.
    fields: Option<String>,
    state: State,
    /// What it has brought and nobody has taken.
    brought: VecDeque<Change<T>>,
    /// How often it has ended since a watch of it last brought something, or lasted.
    ends: u32,
    /// It has just ended: a pause is due.
    ended: bool,
}

/// What is done next.
enum State {
    /// A page of the list: the first, or the one that this token continues.
    List(Option<String>),
    /// A watch from this version on.
    Watch(String),
    /// The watch goes on.
    Watching { version: String, answer: Answer, rest: Vec<u8>, since: Instant },
}

/// A page of a list. What the server leaves out, or says to be null, is empty.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Reduce"))]
struct Page<T> {
    #[serde(default)]
    metadata: ListMeta,
    items: Option<Vec<Seen<T>>>,
}

impl<T: Reduce> Watch<T> {
    pub(super) fn new(source: Source, path: String, fields: Option<String>) -> Self {
        let (state, brought) = (State::List(None), VecDeque::new());
        Self { source, request: Request::new(path), fields, state, brought, ends: 0, ended: false }
    }

    /// What it brings, without end: after [`Change::Broken`] it is taken up again, after a pause.
    pub(super) fn changes(self) -> impl Stream<Item = Change<T>> + Send {
        stream::unfold(self, |mut watch| async move {
            let change = watch.next().await;
            Some((change, watch))
        })
    }

    async fn next(&mut self) -> Change<T> {
        loop {
            if let Some(change) = self.brought.pop_front() {
                return change;
            }
            // A page may have been large; between changes nothing is held.
            self.brought = VecDeque::new();
            if self.ended {
                tokio::time::sleep(AGAIN.pause(self.ends)).await;
                self.ended = false;
            }
            if let Err(broken) = self.advance().await {
                self.end();
                // After what came before it.
                self.brought.push_back(Change::Broken(broken));
            }
        }
    }

    /// Does the next thing; what comes of it is brought.
    async fn advance(&mut self) -> Result<(), Break> {
        match &mut self.state {
            // Rare, and large while they last.
            State::List(next) => {
                let next = next.clone();
                Box::pin(self.list(next)).await
            }
            State::Watch(version) => {
                let version = version.clone();
                Box::pin(self.start(version)).await
            }
            State::Watching { answer, rest, .. } => {
                match timeout(WATCH + MARGIN, answer.body_mut().frame()).await {
                    Ok(Some(Ok(frame))) => match frame.into_data() {
                        Ok(data) => self.read(&data),
                        Err(_trailers) => Ok(()),
                    },
                    // Its time is over, or its connection is: from where it was.
                    Ok(None) | Err(_) => {
                        let last = std::mem::take(rest);
                        self.end();
                        // A last line may have no end of line; one that was cut is sent again.
                        match serde_json::from_slice::<Value>(&last) {
                            Ok(line) => self.event(line),
                            Err(_) => Ok(()),
                        }
                    }
                    Ok(Some(Err(error))) => {
                        Err(Break { routine: true, ..Break::passing(explain(&*error).sentence) })
                    }
                }
            }
        }
    }

    /// It is over; after a pause it goes on from where it was.
    fn end(&mut self) {
        if let State::Watching { version, since, .. } = &mut self.state {
            if since.elapsed() >= AGAIN.longest {
                self.ends = 0;
            }
            self.state = State::Watch(std::mem::take(version));
        }
        if !self.ended {
            self.ends = self.ends.saturating_add(1);
        }
        self.ended = true;
    }

    /// Asks for a page; `next` is none for the first.
    async fn list(&mut self, next: Option<String>) -> Result<(), Break> {
        let params = ListParams {
            limit: Some(PAGE),
            field_selector: self.fields.clone(),
            continue_token: next.clone(),
            ..ListParams::default()
        };
        let asked = self.request.list(&params).map_err(|error| Break::passing(error.to_string()))?;
        let source = self.source.clone();
        let bytes = source.soon(async { whole(source.send(asked).await?).await }).await;
        let bytes = bytes.map_err(|broken| self.begin_anew_if_expired(broken))?;
        let page: Page<T> =
            serde_json::from_slice(&bytes).map_err(|error| Break::passing(format!("not a list: {error}")))?;
        let some = |text: Option<String>| text.filter(|text| !text.is_empty());
        let (state, listed) = match (some(page.metadata.continue_), some(page.metadata.resource_version)) {
            (Some(token), _) => (State::List(Some(token)), None),
            (None, Some(version)) => (State::Watch(version), Some(Change::Listed)),
            (None, None) => return Err(Break::passing("the server's list has no version".to_owned())),
        };
        self.state = state;
        self.brought.extend(next.is_none().then_some(Change::Relist));
        let items = page.items.into_iter().flatten();
        self.brought.extend(items.map(|seen| Change::Put(Box::new(seen))));
        self.brought.extend(listed);
        Ok(())
    }

    async fn start(&mut self, version: String) -> Result<(), Break> {
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: u32::try_from(WATCH.as_secs()).ok(),
            ..WatchParams::default()
        };
        let asked = self.request.watch(&params, &version);
        let mut asked = asked.map_err(|error| Break::passing(error.to_string()))?;
        // A server from 1.37 on compresses each event by itself, and what decompresses here reads the first only.
        asked.headers_mut().insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // A proxy may hold the head back until something follows it.
        let limit = WATCH + MARGIN;
        let source = self.source.clone();
        let sent = timeout(limit, source.send(asked)).await.unwrap_or_else(|_| Err(silent(limit)));
        let answer = sent.map_err(|broken| self.begin_anew_if_expired(broken))?;
        self.state = State::Watching { version, answer, rest: Vec::new(), since: Instant::now() };
        Ok(())
    }

    /// What the server does not have any more is listed anew.
    fn begin_anew_if_expired(&mut self, broken: Break) -> Break {
        if broken.expired {
            self.state = State::List(None);
        }
        broken
    }

    /// Events are lines; the end of one may come later.
    fn read(&mut self, data: &[u8]) -> Result<(), Break> {
        let State::Watching { rest, .. } = &mut self.state else { return Ok(()) };
        let Some(end) = data.iter().rposition(|byte| *byte == b'\n') else {
            rest.extend_from_slice(data);
            return Ok(());
        };
        let mut lines = std::mem::take(rest);
        rest.extend_from_slice(&data[end + 1..]);
        lines.extend_from_slice(&data[..end]);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            // It is sent again: the version is that of the event before it.
            let line = serde_json::from_slice(line)
                .map_err(|error| Break::passing(format!("not an event: {error}")))?;
            self.event(line)?;
        }
        Ok(())
    }

    fn event(&mut self, mut line: Value) -> Result<(), Break> {
        let object = line["object"].take();
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        let change = match line["type"].as_str() {
            Some("ADDED" | "MODIFIED") => Some(Change::Put(Box::new(Seen::of(object)))),
            Some("DELETED") => Some(Change::Gone(Box::new(Seen::of(object)))),
            Some("ERROR") => return Err(self.no(&object)),
            // What stands between us and the server may say no in the middle of a watch, without being asked for an event.
            None if line["kind"] == "Status" => return Err(self.no(&line)),
            // A bookmark, or what a later server tells.
            Some(_) | None => None,
        };
        if change.is_some() {
            self.ends = 0;
        }
        self.brought.extend(change);
        if let State::Watching { version: known, .. } | State::Watch(known) = &mut self.state
            && !version.is_empty()
        {
            *known = version;
        }
        Ok(())
    }

    /// The server's no, where it comes as a line.
    fn no(&mut self, status: &Value) -> Break {
        let code = status["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or_default();
        let message = status["message"].as_str().unwrap_or_default().to_owned();
        self.end();
        self.begin_anew_if_expired(Break::refused(&Refusal { code, message, ..Refusal::default() }))
    }
}

async fn whole(answer: Answer) -> Result<Bytes, Break> {
    let collected = answer.into_body().collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| Break::passing(explain(&*error).sentence))
}

fn silent(limit: Duration) -> Break {
    Break::passing(Trouble::silent(limit.as_secs_f64()).sentence)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use http_body_util::Full;
    use kube::client::Body;
    use serde_json::json;

    use super::*;
    use crate::connect::BoxError;
    use crate::wait::seen::Slim;

    /// A watch of pods; what it sends is answered so.
    fn of(
        answers: impl Fn(http::Request<Body>) -> BoxFuture<'static, Result<Answer, BoxError>>
        + Send
        + Sync
        + 'static,
    ) -> Watch<Slim> {
        let source = Source { sender: Sender::from_fn(answers), limit: Duration::from_secs(1) };
        Watch::new(source, "/api/v1/pods".into(), None)
    }

    fn answer(body: impl Into<Bytes>) -> Answer {
        Answer::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync())
    }

    /// A watch of version 1 that goes on.
    fn watching() -> Watch<Slim> {
        let mut watch = of(|_| std::future::pending().boxed());
        let (version, since) = ("1".to_owned(), Instant::now());
        watch.state = State::Watching { version, answer: answer(""), rest: Vec::new(), since };
        watch
    }

    fn lines() -> String {
        let pod = |name: &str, version: &str| json!({"metadata": {"name": name, "uid": name, "resourceVersion": version}});
        [
            json!({"type": "ADDED", "object": pod("a\n\u{1f980}", "2")}),
            json!({"type": "MODIFIED", "object": pod("b", "3")}),
            json!({"type": "DELETED", "object": pod("a", "4")}),
            json!({"type": "BOOKMARK", "object": {"apiVersion": "v1", "kind": "Pod", "metadata": {"resourceVersion": "9"}}}),
        ]
        .map(|line| format!("{line}\n"))
        .concat()
    }

    fn told(watch: &mut Watch<Slim>) -> Vec<String> {
        let word = |change: Change<Slim>| match change {
            Change::Put(seen) => format!("put {}", seen.name),
            Change::Gone(seen) => format!("gone {}", seen.name),
            Change::Relist | Change::Listed | Change::Broken(_) => panic!("not of a watch"),
        };
        watch.brought.drain(..).map(word).collect()
    }

    #[test]
    fn events_are_whole_wherever_they_are_cut() {
        let lines = lines().into_bytes();
        for size in 1..=lines.len() {
            let mut watch = watching();
            for piece in lines.chunks(size) {
                assert!(watch.read(piece).is_ok());
            }
            assert_eq!(told(&mut watch), ["put a\n\u{1f980}", "put b", "gone a"], "pieces of {size}");
            assert!(
                matches!(&watch.state, State::Watching { version, rest, .. } if version == "9" && rest.is_empty())
            );
        }
    }

    #[test]
    fn a_version_that_is_gone_begins_a_list_and_any_other_error_goes_on_from_where_it_was() {
        let error = |code: u16| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": "no",
                "reason": "Expired", "code": code});
            format!("{}{}\n", lines(), json!({"type": "ERROR", "object": status}))
        };
        let mut watch = watching();
        let broken = watch.read(error(410).as_bytes()).unwrap_err();
        assert!(broken.routine && broken.expired && matches!(watch.state, State::List(None)));
        assert_eq!(told(&mut watch).len(), 3, "what came before it counts");
        let mut watch = watching();
        let broken = watch.read(error(500).as_bytes()).unwrap_err();
        assert_eq!((broken.because.as_str(), broken.routine), ("no", false));
        assert!(matches!(&watch.state, State::Watch(version) if version == "9"));
    }

    #[tokio::test]
    async fn what_is_no_event_is_said_and_sent_again() {
        let mut watch = watching();
        let broken = watch.read(format!("{}<html>\n", lines()).as_bytes()).unwrap_err();
        assert_eq!(broken.because, "not an event: expected value at line 1 column 1");
        assert!(matches!(&watch.state, State::Watching { version, .. } if version == "9"));
        // A later server's, and a bookmark that says less than today's.
        let strange = b"{\"type\":\"ROTATED\",\"object\":{}}\n{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"11\"}}}\n";
        let mut watch = watching();
        assert!(watch.read(strange).is_ok() && watch.brought.is_empty());
        assert!(matches!(&watch.state, State::Watching { version, .. } if version == "11"));
    }

    #[tokio::test]
    async fn a_no_in_the_middle_of_a_watch_is_understood_with_and_without_an_end_of_line() {
        let status = r#"{"kind":"Status","apiVersion":"v1","message":"token expired","code":401}"#;
        let mut watch = watching();
        let broken = watch.read(format!("{status}\n").as_bytes()).unwrap_err();
        assert!(broken.unauthorized && broken.because == "token expired");

        let mut watch = watching();
        let State::Watching { answer: body, .. } = &mut watch.state else { panic!() };
        *body = answer(status);
        assert!(watch.advance().await.is_ok(), "it may go on");
        let broken = watch.advance().await.unwrap_err();
        assert!(broken.unauthorized && broken.because == "token expired");
        assert!(matches!(&watch.state, State::Watch(version) if version == "1"));
    }

    #[tokio::test]
    async fn a_list_may_be_compressed_and_a_watch_may_not() {
        let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = asked.clone();
        let mut watch = of(move |request| {
            let encoding = request.headers().get(ACCEPT_ENCODING).cloned();
            seen.lock().unwrap().push((request.uri().to_string(), encoding));
            // As a server written in Go says that there is nothing.
            let empty = answer(r#"{"items":null,"metadata":{"resourceVersion":"5"}}"#);
            std::future::ready(Ok(empty)).boxed()
        });
        assert!(matches!(watch.next().await, Change::Relist));
        assert!(matches!(watch.next().await, Change::Listed));
        assert!(watch.advance().await.is_ok());
        let asked = asked.lock().unwrap().clone();
        assert_eq!(asked[0], ("/api/v1/pods?&limit=100".to_owned(), None));
        let watch = "/api/v1/pods?&watch=true&timeoutSeconds=45&allowWatchBookmarks=true&resourceVersion=5";
        assert_eq!(asked[1], (watch.to_owned(), Some(HeaderValue::from_static("identity"))));
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_again_and_again_is_asked_for_less_and_less() {
        let times = Arc::new(std::sync::Mutex::new(Vec::new()));
        let seen = times.clone();
        let mut watch = of(move |request| {
            let watches = request.uri().query().is_some_and(|query| query.contains("watch"));
            if watches {
                seen.lock().unwrap().push(Instant::now());
            }
            let gone = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old"}}"#;
            let body = if watches { gone } else { r#"{"items":[],"metadata":{"resourceVersion":"5"}}"# };
            std::future::ready(Ok(answer(body))).boxed()
        });
        while times.lock().unwrap().len() < 12 {
            watch.next().await;
        }
        let times = times.lock().unwrap();
        let last = times[11] - times[10];
        assert!(last > Duration::from_secs(3) && last < Duration::from_secs(6), "{last:?}");
    }
}
