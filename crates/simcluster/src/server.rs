//! TLS listeners, HTTP/1.1 and HTTP/2, authentication, faults, counting.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request as HttpRequest, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::auth;
use crate::body::{Body, Stream};
use crate::cluster::Cluster;
use crate::faults::{Action, Seen};
use crate::handler::{self, Answer, Request};
use crate::route::{self, Query};
use crate::status::Refusal;
use crate::tls;

/// Whom a listener serves: one cluster, or all of them below `/clusters/NAME`.
#[derive(Clone)]
pub(crate) enum Served {
    One(Arc<Cluster>),
    All(Arc<HashMap<String, Arc<Cluster>>>),
}

/// Accepts connections until told to stop.
pub(crate) async fn listen(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    served: Served,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (acceptor, served, stop) = (acceptor.clone(), served.clone(), stop.clone());
                    tokio::spawn(connection(stream, acceptor, served, stop));
                }
                // Out of descriptors, mostly: wait for connections to end.
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            },
            _ = stop.changed() => return,
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    served: Served,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Ok(Ok(tls)) = tokio::time::timeout(Duration::from_secs(10), acceptor.accept(stream)).await else {
        return;
    };
    let certificate = tls
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|c| c.first())
        .and_then(|c| tls::common_name(c))
        .map(Arc::<str>::from);
    if let Served::One(cluster) = &served {
        cluster.counters.connections.fetch_add(1, Ordering::Relaxed);
    }
    let (close, mut closed) = watch::channel(false);
    let close = Arc::new(close);
    let service = service_fn(move |request: HttpRequest<Incoming>| {
        let (served, certificate, close) = (served.clone(), certificate.clone(), close.clone());
        async move {
            match serve(served, certificate.as_deref(), request).await {
                Some(response) => Ok::<_, Infallible>(response),
                None => {
                    // The connection is cut; nobody sees this answer.
                    let _ = close.send(true);
                    std::future::pending().await
                }
            }
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(250);
    let serving = builder.serve_connection(TokioIo::new(tls), service);
    tokio::pin!(serving);
    tokio::select! {
        _ = &mut serving => {}
        _ = closed.changed() => {}
        _ = stop.changed() => {}
    }
}

/// Answers one request; `None` cuts the connection.
async fn serve(
    served: Served,
    certificate: Option<&str>,
    request: HttpRequest<Incoming>,
) -> Option<Response<Body>> {
    let (parts, body) = request.into_parts();
    let full_path = parts.uri.path().to_owned();
    let (cluster, path, prefix) = match served {
        Served::One(cluster) => (cluster, full_path, String::new()),
        Served::All(clusters) => {
            let rest = full_path.strip_prefix("/clusters/").unwrap_or_default();
            let (name, path) = rest.split_once('/').unwrap_or((rest, ""));
            match clusters.get(name) {
                Some(cluster) => (cluster.clone(), format!("/{path}"), format!("/clusters/{name}")),
                None => {
                    let r = Refusal::new(404, "NotFound", "no such simulated cluster");
                    return Some(response(Answer::refusal(&r)).0);
                }
            }
        }
    };
    let header =
        |name: &str| parts.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let authorization = Some(header("authorization")).filter(|h| !h.is_empty());
    let user = auth::user(authorization.as_deref(), certificate, &cluster.token, &cluster.limited_token);
    let size = u64::try_from(body.len()).unwrap_or(0);
    let request = Request {
        method: parts.method.as_str().to_owned(),
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        accept: header("accept"),
        content_type: header("content-type"),
        user_agent: header("user-agent"),
        user: user.clone().unwrap_or(auth::User { name: String::new(), groups: Vec::new(), limited: false }),
        path,
        body,
        prefix,
    };
    let resource_route = route::parse(&request.path);
    let verb = handler::verb(&request, resource_route.as_ref());
    cluster.count(verb, size);
    let (latency, fault) = {
        let mut state = cluster.lock();
        let empty = route::Route::default();
        let r = resource_route.as_ref().unwrap_or(&empty);
        let resource = if r.subresource.is_empty() {
            r.resource.clone()
        } else {
            format!("{}/{}", r.resource, r.subresource)
        };
        let seen = Seen {
            verb,
            resource: &resource,
            namespace: &r.ns,
            name: &r.name,
            limited: request.user.limited,
        };
        (state.faults.latency(), state.faults.next(&seen))
    };
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if user.is_none() && !matches!(request.path.as_str(), "/healthz" | "/livez" | "/readyz" | "/version") {
        return Some(finish(&cluster, Answer::refusal(&Refusal::new(401, "Unauthorized", "Unauthorized"))));
    }
    let mut answer = match &fault {
        Some(Action::ResetBefore) => return None,
        Some(Action::Hang) => std::future::pending().await,
        Some(Action::Status { code, retry_after, message }) => Answer::refusal(&refused(
            *code,
            *retry_after,
            message.as_deref(),
            &request,
            resource_route.as_ref(),
            verb,
        )),
        Some(Action::Delay { millis }) => {
            tokio::time::sleep(Duration::from_millis(*millis)).await;
            handler::answer(&cluster, &request, resource_route.as_ref())
        }
        _ => handler::answer(&cluster, &request, resource_route.as_ref()),
    };
    match fault {
        Some(Action::ResetAfter) => return None,
        Some(Action::Truncate) => {
            if let Body::Full(Some(bytes)) = &answer.body {
                answer.body = Body::Broken(Some(bytes.slice(..bytes.len() / 2)));
            }
        }
        Some(Action::DropWatch { millis }) => {
            if let Body::Stream(stream) = &mut answer.body {
                stream.deadline = Stream::until(Duration::from_millis(millis));
                stream.break_off = true;
            }
        }
        _ => {}
    }
    Some(finish(&cluster, answer))
}

fn finish(cluster: &Cluster, answer: Answer) -> Response<Body> {
    let (response, size) = response(answer);
    cluster.counters.bytes_out.fetch_add(size, Ordering::Relaxed);
    response
}

/// A scripted refusal in the words of the real server.
fn refused(
    code: u16,
    retry_after: Option<u64>,
    message: Option<&str>,
    request: &Request,
    route: Option<&route::Route>,
    verb: &str,
) -> Refusal {
    let mut refusal = match code {
        401 => Refusal::new(401, "Unauthorized", "Unauthorized"),
        403 => {
            let empty = route::Route::default();
            let r = route.unwrap_or(&empty);
            let verb = if verb == "apply" { "patch" } else { verb };
            let scope = if r.ns.is_empty() {
                "at the cluster scope".to_owned()
            } else {
                format!("in the namespace {:?}", r.ns)
            };
            let resource = if r.subresource.is_empty() {
                r.resource.clone()
            } else {
                format!("{}/{}", r.resource, r.subresource)
            };
            Refusal::forbidden(
                &r.group,
                &r.resource,
                &r.name,
                &format!(
                    "User {:?} cannot {verb} resource {resource:?} in API group {:?} {scope}",
                    request.user.name, r.group
                ),
            )
        }
        409 => Refusal::new(
            409,
            "Conflict",
            "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest version and try again",
        ),
        410 => Refusal::new(410, "Expired", "too old resource version: 1 (2)"),
        429 => Refusal::new(
            429,
            "TooManyRequests",
            "the server has received too many requests and has asked us to try again later",
        ),
        503 => {
            Refusal::new(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        }
        504 => Refusal::new(504, "Timeout", "request did not complete within the allotted timeout"),
        other => Refusal::new(other, "InternalError", "Internal error occurred: etcdserver: leader changed"),
    };
    if let Some(message) = message {
        refusal.message = message.to_owned();
    }
    refusal.retry_after = retry_after.or((code == 429).then_some(1));
    refusal
}

fn response(answer: Answer) -> (Response<Body>, u64) {
    let mut size = 0;
    if let Body::Full(Some(bytes)) | Body::Broken(Some(bytes)) = &answer.body {
        size = u64::try_from(bytes.len()).unwrap_or(0);
    }
    let mut builder = Response::builder().status(answer.code).header("content-type", answer.content_type);
    builder = builder.header("cache-control", "no-cache, private");
    if let Body::Broken(Some(bytes)) = &answer.body {
        builder = builder.header("content-length", bytes.len() * 2 + 1);
    }
    if let Some(seconds) = answer.retry_after {
        builder = builder.header("retry-after", seconds);
    }
    for warning in &answer.warnings {
        builder = builder.header("warning", format!("299 - {warning:?}"));
    }
    let response =
        builder.body(answer.body).unwrap_or_else(|_| Response::new(Body::Full(Some(Bytes::new()))));
    (response, size)
}
