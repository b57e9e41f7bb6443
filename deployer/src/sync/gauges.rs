//! What a puller tells Prometheus and the kubelet: `/metrics` and `/healthz`.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use cluster::outcome::Counts;
use cluster::pull::PullState;
use gitrepo::Traffic;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Shared by the loop, which writes, and the server, which reads.
#[derive(Clone, Debug)]
pub(crate) struct Gauges(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    branch: String,
    commit: String,
    rounds: BTreeMap<&'static str, u64>,
    failures: u32,
    last_success: Option<jiff::Timestamp>,
    seconds: f64,
    traffic: Traffic,
    clusters: BTreeMap<String, (PullState, Counts)>,
    /// When the loop must have come round again; after that it hangs.
    alive_until: Instant,
}

impl Gauges {
    pub(crate) fn new(patience: Duration) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            branch: String::new(),
            commit: String::new(),
            rounds: ["synced", "failed", "refused"].into_iter().map(|state| (state, 0)).collect(),
            failures: 0,
            last_success: None,
            seconds: 0.0,
            traffic: Traffic::default(),
            clusters: BTreeMap::new(),
            alive_until: Instant::now() + patience,
        })))
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The branch has been seen at this commit.
    pub(crate) fn saw(&self, branch: &str, commit: &str, traffic: Traffic) {
        self.with(|inner| {
            branch.clone_into(&mut inner.branch);
            commit.clone_into(&mut inner.commit);
            inner.traffic = traffic;
        });
    }

    /// A cluster has been dealt with.
    pub(crate) fn dealt(&self, cluster: &str, state: PullState, counts: Counts) {
        self.with(|inner| inner.clusters.insert(cluster.to_owned(), (state, counts)));
    }

    /// A round is over; the next one ends within `patience`.
    pub(crate) fn round(&self, state: PullState, failures: u32, took: Duration, patience: Duration) {
        self.with(|inner| {
            *inner.rounds.entry(state.name()).or_default() += 1;
            inner.failures = failures;
            inner.seconds = took.as_secs_f64();
            if state == PullState::Synced {
                inner.last_success = Some(jiff::Timestamp::now());
            }
            inner.alive_until = Instant::now() + patience;
        });
    }

    /// Whether the loop still comes round. That deploys fail is no reason to restart the pod.
    fn is_alive(&self) -> bool {
        self.with(|inner| Instant::now() < inner.alive_until)
    }

    /// In Prometheus' text format, version 0.0.4.
    fn text(&self) -> String {
        self.with(|inner| inner.text())
    }
}

/// As the text format escapes the value of a label.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

impl Inner {
    fn text(&self) -> String {
        let mut text = String::new();
        let mut family = |name: &str, kind: &str, help: &str, lines: &[(String, f64)]| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in lines {
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        };
        let rounds: Vec<_> =
            self.rounds.iter().map(|(state, n)| (format!("{{result=\"{state}\"}}"), *n as f64)).collect();
        family("kit_sync_rounds_total", "counter", "Looks at the repository, by how they ended.", &rounds);
        let one = |value: f64| [(String::new(), value)];
        family("kit_sync_failures", "gauge", "Failed looks in a row.", &one(f64::from(self.failures)));
        family(
            "kit_sync_round_seconds",
            "gauge",
            "How long the last look and its deploy took.",
            &one(self.seconds),
        );
        if let Some(at) = self.last_success {
            let help = "When the clusters last were as the branch says.";
            family("kit_sync_last_success_timestamp_seconds", "gauge", help, &one(at.as_second() as f64));
        }
        let labels = format!("{{branch=\"{}\",commit=\"{}\"}}", escaped(&self.branch), escaped(&self.commit));
        family("kit_sync_commit_info", "gauge", "The commit that was seen last.", &[(labels, 1.0)]);
        let traffic = self.traffic;
        family(
            "kit_sync_git_received_bytes_total",
            "counter",
            "From the git server.",
            &one(traffic.received as f64),
        );
        family("kit_sync_git_requests_total", "counter", "To the git server.", &one(traffic.requests as f64));
        let up: Vec<_> = self
            .clusters
            .iter()
            .map(|(name, (state, _))| {
                (format!("{{cluster=\"{}\"}}", escaped(name)), f64::from(*state == PullState::Synced))
            })
            .collect();
        family("kit_sync_synced", "gauge", "Whether the cluster is as the branch says.", &up);
        let objects: Vec<_> = self
            .clusters
            .iter()
            .flat_map(|(name, (_, counts))| {
                let label = |result: &str| format!("{{cluster=\"{}\",result=\"{result}\"}}", escaped(name));
                [
                    (label("created"), counts.created as f64),
                    (label("configured"), counts.configured as f64),
                    (label("unchanged"), counts.unchanged as f64),
                    (label("deleted"), counts.deleted as f64),
                    (label("failed"), (counts.failed + counts.not_ready) as f64),
                ]
            })
            .collect();
        family(
            "kit_sync_objects",
            "gauge",
            "Objects of the last deploy, by what happened to them.",
            &objects,
        );
        text
    }
}

/// Answers on `address` until the process ends.
///
/// # Errors
/// An address that cannot be listened on.
pub(crate) async fn serve(address: SocketAddr, gauges: Gauges) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            // A connection that could not be taken is the client's to try again.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let gauges = gauges.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&gauges, request.uri().path());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // Who asks and hangs up is none of ours.
                let _ = tokio::time::timeout(Duration::from_secs(30), connection).await;
            });
        }
    });
    Ok(bound)
}

fn answer(gauges: &Gauges, path: &str) -> Response<Full<Bytes>> {
    let (status, kind, body) = match path {
        "/metrics" => (200, "text/plain; version=0.0.4; charset=utf-8", gauges.text()),
        "/healthz" if gauges.is_alive() => (200, "text/plain; charset=utf-8", "ok\n".to_owned()),
        "/healthz" => (503, "text/plain; charset=utf-8", "the loop does not come round\n".to_owned()),
        _ => (404, "text/plain; charset=utf-8", "there are /metrics and /healthz\n".to_owned()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_in_the_text_format() {
        let gauges = Gauges::new(Duration::from_secs(60));
        gauges.saw("ma\"in", "abc", Traffic { received: 10, sent: 1, requests: 2 });
        gauges.dealt("eu-1", PullState::Failed, Counts { unchanged: 3, failed: 1, ..Counts::default() });
        gauges.round(PullState::Failed, 2, Duration::from_millis(1500), Duration::from_secs(60));
        let text = gauges.text();
        for line in [
            "# TYPE kit_sync_rounds_total counter",
            "kit_sync_rounds_total{result=\"failed\"} 1",
            "kit_sync_failures 2",
            "kit_sync_round_seconds 1.5",
            "kit_sync_commit_info{branch=\"ma\\\"in\",commit=\"abc\"} 1",
            "kit_sync_synced{cluster=\"eu-1\"} 0",
            "kit_sync_objects{cluster=\"eu-1\",result=\"failed\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("last_success"), "there was none");
    }

    #[test]
    fn a_loop_that_hangs_is_not_healthy() {
        assert_eq!(answer(&Gauges::new(Duration::from_secs(60)), "/healthz").status(), 200);
        assert_eq!(answer(&Gauges::new(Duration::ZERO), "/healthz").status(), 503);
        assert_eq!(answer(&Gauges::new(Duration::ZERO), "/").status(), 404);
    }
}
