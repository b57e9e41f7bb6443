//! A proxy that lets everything through and remembers what it was asked for.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A running proxy; its threads end with the test's process.
pub(crate) struct ConnectProxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl ConnectProxy {
    /// One that takes `CONNECT` (RFC 9110, 9.3.6).
    pub(crate) fn http() -> Self {
        Self::start("http", |client| {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") {
                client.read_exact(&mut byte).ok()?;
                head.extend(byte);
            }
            let head = String::from_utf8(head).ok()?;
            let server = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
            client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").ok()?;
            Some(server)
        })
    }

    /// One that takes SOCKS version 5 without a user (RFC 1928).
    pub(crate) fn socks5() -> Self {
        Self::start("socks5", |client| {
            let mut hello = [0; 2];
            client.read_exact(&mut hello).ok()?;
            client.read_exact(&mut vec![0; usize::from(hello[1])]).ok()?;
            client.write_all(&[5, 0]).ok()?;
            let mut request = [0; 4];
            client.read_exact(&mut request).ok()?;
            let host = match request[3] {
                1 => {
                    let mut ip = [0; 4];
                    client.read_exact(&mut ip).ok()?;
                    std::net::Ipv4Addr::from(ip).to_string()
                }
                _ => {
                    let mut length = [0];
                    client.read_exact(&mut length).ok()?;
                    let mut name = vec![0; usize::from(length[0])];
                    client.read_exact(&mut name).ok()?;
                    String::from_utf8(name).ok()?
                }
            };
            let mut port = [0; 2];
            client.read_exact(&mut port).ok()?;
            client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).ok()?;
            Some(format!("{host}:{}", u16::from_be_bytes(port)))
        })
    }

    fn start(scheme: &str, greet: fn(&mut TcpStream) -> Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://127.0.0.1:{}", listener.local_addr().unwrap().port());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let remembered = asked.clone();
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let asked = remembered.clone();
                std::thread::spawn(move || {
                    let server = greet(&mut client)?;
                    asked.lock().unwrap().push(server.clone());
                    let upstream = TcpStream::connect(&server).ok()?;
                    let (mut from, mut to) = (client.try_clone().ok()?, upstream.try_clone().ok()?);
                    std::thread::spawn(move || std::io::copy(&mut from, &mut to));
                    std::io::copy(&mut &upstream, &mut client).ok()
                });
            }
        });
        Self { url, asked }
    }

    /// Its address, as kubeconfigs name it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `host:port` of every connection that was asked for.
    pub(crate) fn asked_for(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}
