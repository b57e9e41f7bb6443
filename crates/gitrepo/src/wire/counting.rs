//! Counts the bytes of a connection below TLS, so that what we report is what the wire carried.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Counters shared by all connections of a session.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    pub(crate) received: AtomicU64,
    pub(crate) sent: AtomicU64,
}

/// A link of ureq's chain of connectors: stands between TCP and TLS.
#[derive(Debug)]
pub(crate) struct CountingConnector(pub(crate) Arc<Meter>);

impl<In: Transport> Connector<In> for CountingConnector {
    type Out = CountingTransport<In>;

    fn connect(&self, _: &ConnectionDetails, chained: Option<In>) -> Result<Option<Self::Out>, Error> {
        Ok(chained.map(|inner| CountingTransport { inner, meter: Arc::clone(&self.0) }))
    }
}

/// A connection that counts.
#[derive(Debug)]
pub(crate) struct CountingTransport<T> {
    inner: T,
    meter: Arc<Meter>,
}

impl<T: Transport> Transport for CountingTransport<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), Error> {
        self.inner.transmit_output(amount, timeout)?;
        self.meter.sent.fetch_add(amount as u64, Ordering::Relaxed);
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, Error> {
        let before = self.inner.buffers().input().len();
        let more = self.inner.await_input(timeout)?;
        let after = self.inner.buffers().input().len();
        self.meter.received.fetch_add(after.saturating_sub(before) as u64, Ordering::Relaxed);
        Ok(more)
    }

    fn is_open(&mut self) -> bool {
        self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}
