//! How `object_store` speaks HTTP here: through the client that webhooks and gates use, with its proxies and the certificates of
//! this machine. It brings no second HTTP stack and no second TLS provider.

use std::time::Duration;

use async_trait::async_trait;
use http_body_util::{BodyExt as _, Full};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody,
    HttpService,
};

/// To a server that answers at all; a credential service that is not there must not cost more.
const CONNECT: Duration = Duration::from_secs(5);
/// One request with its answer.
const WHOLE: Duration = Duration::from_secs(30);

/// Makes the client.
#[derive(Debug)]
pub(super) struct Transport;

impl HttpConnector for Transport {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let config = crate::http::config()
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(WHOLE))
            // A signature is good for one address.
            .max_redirects(0)
            .build();
        Ok(HttpClient::new(Wire(ureq::Agent::new_with_config(config))))
    }
}

#[derive(Debug)]
struct Wire(ureq::Agent);

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let agent = self.0.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let answer = if body.is_empty() && matches!(parts.method.as_str(), "GET" | "HEAD" | "DELETE") {
                agent.run(http::Request::from_parts(parts, ()))?
            } else {
                agent.run(http::Request::from_parts(parts, &body[..]))?
            };
            let (parts, mut body) = answer.into_parts();
            Ok((parts, body.read_to_vec()?))
        });
        let answered = answered.await.map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let (parts, body) = answered.map_err(told)?;
        let body = Full::new(body.into()).map_err(|never| match never {});
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(body)))
    }
}

/// What went wrong, without the address: it may hold a token.
fn told(error: ureq::Error) -> HttpError {
    use std::io;
    use ureq::Error;
    let kind = if matches!(error, Error::Timeout(_)) {
        HttpErrorKind::Timeout
    } else if matches!(error, Error::HostNotFound | Error::ConnectionFailed)
        || matches!(&error, Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused)
    {
        HttpErrorKind::Connect
    } else if matches!(error, Error::Io(_)) {
        HttpErrorKind::Interrupted
    } else {
        HttpErrorKind::Unknown
    };
    let error = if let Error::Io(io) = error {
        io
    } else if matches!(error, Error::BadUri(_)) {
        io::Error::other("the address is not valid")
    } else {
        io::Error::other(error.to_string())
    };
    HttpError::new(kind, error)
}
