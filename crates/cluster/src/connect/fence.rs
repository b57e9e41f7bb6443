//! A time after which a connection writes nothing more, and the server's clock.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Connection;

#[derive(Debug, Default)]
pub(super) struct Fence {
    until: Mutex<Option<Instant>>,
    offset: Mutex<SignedDuration>,
}

impl Connection {
    /// From `until` on no write is sent, and writes that are on their way then are given up: somebody else may write by then.
    pub(crate) fn fence(&self, until: Instant) {
        *self.fence.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// Writes are sent at any time.
    pub(crate) fn unfence(&self) {
        *self.fence.until.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// How long writes may still be sent; `None` for ever.
    pub(super) fn until_fence(&self) -> Option<Duration> {
        let until = *self.fence.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.map(|until| until.saturating_duration_since(Instant::now()))
    }

    pub(super) fn learn_clock(&self, date: Option<Timestamp>) {
        if let Some(date) = date {
            let offset = date.duration_since(Timestamp::now());
            *self.fence.offset.lock().unwrap_or_else(PoisonError::into_inner) = offset;
        }
    }

    /// What to add to our clock for the server's.
    pub(crate) fn clock_offset(&self) -> SignedDuration {
        *self.fence.offset.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
