//! Git remotes to test against: bare repositories, and git's own servers on loopback.
//!
//! Nothing is imitated: what answers is `git http-backend`, `git daemon` and `sshd`. Only the http
//! server in front of the backend is ours, because it can be told to fail.

mod ca;
mod daemon;
mod delay;
mod http;
mod repo;
mod ssh;

pub use ca::PrivateCa;
pub use daemon::Daemon;
pub use delay::DelayProxy;
pub use http::{Access, Fault, HttpServer, Incoming};
pub(crate) use repo::output_of;
pub use repo::{BareRepo, git};
pub use ssh::SshServer;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// A port nobody listens on just now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody listens.
fn wait_for_port(port: u16) {
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody listens on port {port}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
