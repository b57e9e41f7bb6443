//! Response bodies: whole, streamed, or broken on purpose.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame};
use tokio::sync::mpsc;
use tokio::time::{Instant, Sleep};

use crate::cluster::Cluster;

/// The body of a response.
pub(crate) enum Body {
    /// All of it.
    Full(Option<Bytes>),
    /// Part of it, then an error: the connection breaks.
    Broken(Option<Bytes>),
    /// A watch.
    Stream(Box<Stream>),
}

/// A running watch's body.
pub(crate) struct Stream {
    pub lines: mpsc::UnboundedReceiver<Bytes>,
    pub deadline: Pin<Box<Sleep>>,
    /// Sent once before the regular end.
    pub last: Option<Box<dyn Fn(u64) -> Bytes + Send + Sync>>,
    pub cluster: Arc<Cluster>,
    pub watch: Option<u64>,
    /// End with an error instead of a regular end.
    pub break_off: bool,
    pub done: bool,
}

impl Stream {
    pub(crate) fn until(after: Duration) -> Pin<Box<Sleep>> {
        Box::pin(tokio::time::sleep_until(Instant::now() + after))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let Some(id) = self.watch {
            self.cluster.lock().store.unwatch(id);
        }
        self.cluster.counters.watches.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The connection is closed without an orderly end.
#[derive(Debug, thiserror::Error)]
#[error("connection closed on purpose")]
pub(crate) struct Closed;

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Closed;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
        match self.get_mut() {
            Body::Full(bytes) => {
                Poll::Ready(bytes.take().filter(|b| !b.is_empty()).map(|b| Ok(Frame::data(b))))
            }
            Body::Broken(bytes) => match bytes.take() {
                Some(b) if !b.is_empty() => Poll::Ready(Some(Ok(Frame::data(b)))),
                _ => Poll::Ready(Some(Err(Closed))),
            },
            Body::Stream(stream) => poll_stream(stream, cx),
        }
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        match self {
            Body::Full(bytes) => hyper::body::SizeHint::with_exact(
                bytes.as_ref().map_or(0, |b| u64::try_from(b.len()).unwrap_or(u64::MAX)),
            ),
            Body::Broken(_) | Body::Stream(_) => hyper::body::SizeHint::default(),
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Body::Full(None))
    }
}

fn poll_stream(stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Closed>>> {
    if stream.done {
        return Poll::Ready(None);
    }
    if let Poll::Ready(line) = stream.lines.poll_recv(cx) {
        return match line {
            Some(line) => {
                let size = u64::try_from(line.len()).unwrap_or(0);
                stream.cluster.counters.bytes_out.fetch_add(size, std::sync::atomic::Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(line))))
            }
            None => Poll::Ready(None),
        };
    }
    if stream.deadline.as_mut().poll(cx).is_ready() {
        stream.done = true;
        if stream.break_off {
            return Poll::Ready(Some(Err(Closed)));
        }
        // A bookmark says that everything before its version has been told: what was written while the lock was waited for, too.
        let rv = {
            let mut state = stream.cluster.lock();
            if let Some(id) = stream.watch.take() {
                state.store.unwatch(id);
            }
            state.store.rv
        };
        let mut end = Vec::new();
        while let Ok(line) = stream.lines.try_recv() {
            end.extend_from_slice(&line);
        }
        if let Some(bookmark) = &stream.last {
            end.extend_from_slice(&bookmark(rv));
        }
        return Poll::Ready((!end.is_empty()).then(|| Ok(Frame::data(end.into()))));
    }
    Poll::Pending
}
