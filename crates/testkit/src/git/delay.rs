//! A longer way: a proxy on loopback that delays every byte and counts them.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Leads to a port of loopback, gone with this value.
pub struct DelayProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    target: u16,
    one_way: Duration,
    stop: AtomicBool,
    to_client: AtomicU64,
    to_server: AtomicU64,
    connections: AtomicU64,
}

impl DelayProxy {
    /// To `target`, with `round_trip` added to every exchange, half of it each way. A connection
    /// takes a round trip to open.
    pub fn start(target: u16, round_trip: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            target,
            one_way: round_trip / 2,
            stop: AtomicBool::new(false),
            to_client: AtomicU64::new(0),
            to_server: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                if accepting.stop.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&accepting);
                std::thread::spawn(move || socket.and_then(|socket| shared.connection(socket)));
            }
        });
        Self { port, shared }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Bytes that went to clients and to the server since the last call, and connections.
    pub fn take_counts(&self) -> (u64, u64, u64) {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
        (take(&self.shared.to_client), take(&self.shared.to_server), take(&self.shared.connections))
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connection(self: Arc<Self>, client: TcpStream) -> io::Result<()> {
        self.connections.fetch_add(1, Ordering::SeqCst);
        // The client believes that it is connected; its first byte waits for what that takes.
        std::thread::sleep(self.one_way * 2);
        let server = TcpStream::connect(("127.0.0.1", self.target))?;
        for socket in [&client, &server] {
            socket.set_nodelay(true)?;
        }
        let up = (client.try_clone()?, server.try_clone()?);
        let this = Arc::clone(&self);
        let upwards = std::thread::spawn(move || pump(up.0, up.1, this.one_way, &this.to_server));
        pump(server, client, self.one_way, &self.to_client);
        let _ = upwards.join();
        Ok(())
    }
}

/// Copies with a delay, as many bytes at once as there are.
fn pump(mut from: TcpStream, mut to: TcpStream, delay: Duration, counter: &AtomicU64) {
    let (sender, receiver) = mpsc::sync_channel::<(Instant, Vec<u8>)>(1024);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (due, bytes) in receiver {
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                if to.write_all(&bytes).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Write);
        });
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(n) = from.read(&mut buffer) {
            if n == 0 || sender.send((Instant::now() + delay, buffer[..n].to_vec())).is_err() {
                break;
            }
            counter.fetch_add(n as u64, Ordering::SeqCst);
        }
        drop(sender);
    });
    let _ = from.shutdown(Shutdown::Read);
}
