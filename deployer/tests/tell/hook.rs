//! A listener for webhooks that keeps what it is told, and can refuse.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Path and body of each request that was answered with success.
pub(crate) struct Hook {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
    tries: Arc<Mutex<usize>>,
}

impl Hook {
    /// Answers with these status codes, one after the other, and then with 200.
    pub(crate) fn answering(codes: &[u16]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (heard, tries) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
        let (kept, counted, codes) = (heard.clone(), tries.clone(), codes.to_vec());
        // Ends with the process: it waits for connections and holds nothing.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 {
                    continue;
                }
                let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
                let mut length = 0;
                loop {
                    let mut header = String::new();
                    if reader.read_line(&mut header).unwrap_or(0) == 0 || header == "\r\n" {
                        break;
                    }
                    if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let mut tries = counted.lock().unwrap();
                let code = codes.get(*tries).copied().unwrap_or(200);
                *tries += 1;
                drop(tries);
                if code == 200 {
                    kept.lock().unwrap().push((path, serde_json::from_slice(&body).unwrap()));
                }
                let _ = write!(stream, "HTTP/1.1 {code} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { url, heard, tries }
    }

    pub(crate) fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().unwrap().clone()
    }

    pub(crate) fn tries(&self) -> usize {
        *self.tries.lock().unwrap()
    }
}
