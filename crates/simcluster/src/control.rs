//! Plain HTTP for scripts: metrics, faults, latency, kubeconfigs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;

use crate::faults::Fault;
use crate::simulation::Inner;

const HELP: &str = "\
GET  /metrics                          counters of every cluster, JSON
GET  /clusters/NAME/metrics            of one
GET  /clusters/NAME/kubeconfig?as=KIND KIND: token, certificate, limited, wrong-ca, wrong-token
POST /clusters/NAME/faults             {\"seed\": 1, \"faults\": [{\"verbs\": [\"apply\"], \"rate\": 0.1, \"action\": {\"do\": \"status\", \"code\": 500}}]}
POST /clusters/NAME/latency            {\"millis\": 30}
POST /clusters/NAME/drop-watches
POST /clusters/NAME/compact
`*` as NAME means every cluster (POST only).
";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    #[serde(default)]
    seed: u64,
    faults: Vec<Fault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Latency {
    millis: u64,
}

/// Serves until the runtime stops.
pub(crate) async fn listen(listener: TcpListener, inner: Arc<Inner>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let inner = inner.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let inner = inner.clone();
                async move { Ok::<_, Infallible>(answer(&inner, request).await) }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(inner: &Inner, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let (code, text) = match act(inner, parts.method.as_str(), parts.uri.path(), &query, &body) {
        Ok(text) => (200, text),
        Err((code, text)) => (code, format!("{text}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    response
}

fn act(inner: &Inner, method: &str, path: &str, query: &str, body: &[u8]) -> Result<String, (u16, String)> {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let bad = |e: serde_json::Error| (400, e.to_string());
    let unknown = |name: &str| (404, format!("no such cluster: {name}"));
    match (method, parts.as_slice()) {
        ("GET", [""]) => Ok(HELP.to_owned()),
        ("GET", ["metrics"]) => {
            let all: serde_json::Map<_, _> =
                inner.names().map(|n| (n.to_owned(), json!(inner.metrics(n)))).collect();
            Ok(serde_json::Value::Object(all).to_string())
        }
        ("GET", ["clusters", name, "metrics"]) => {
            Ok(json!(inner.metrics(name).ok_or_else(|| unknown(name))?).to_string())
        }
        ("GET", ["clusters", name, "kubeconfig"]) => {
            let text = match query.strip_prefix("as=").unwrap_or("token") {
                "token" => inner.kubeconfig(name),
                "certificate" => inner.certificate_kubeconfig(name),
                "limited" => inner.limited_kubeconfig(name),
                "wrong-ca" => inner.wrong_ca_kubeconfig(name),
                "wrong-token" => inner.wrong_token_kubeconfig(name),
                other => return Err((400, format!("unknown kind of kubeconfig: {other}"))),
            };
            text.ok_or_else(|| unknown(name))
        }
        ("POST", ["clusters", name, what]) => {
            let names: Vec<String> = if *name == "*" {
                inner.names().map(str::to_owned).collect()
            } else {
                vec![(*name).to_owned()]
            };
            for name in &names {
                if inner.get(name).is_none() {
                    return Err(unknown(name));
                }
                match *what {
                    "faults" => {
                        let script: Script = serde_json::from_slice(body).map_err(bad)?;
                        inner.set_faults(name, script.faults, script.seed);
                    }
                    "latency" => {
                        let latency: Latency = serde_json::from_slice(body).map_err(bad)?;
                        inner.set_latency(name, Duration::from_millis(latency.millis));
                    }
                    "drop-watches" => inner.drop_watches(name),
                    "compact" => inner.compact(name),
                    other => return Err((404, format!("unknown action: {other}"))),
                }
            }
            Ok("{}".to_owned())
        }
        _ => Err((404, HELP.to_owned())),
    }
}
