//! A stand-in for S3, Google Cloud Storage and Azure Blob Storage: keeps what is put, with its headers, and can refuse.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request that was answered with success.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// With its query.
    pub(crate) path: String,
    /// By their names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

pub(crate) struct Bucket {
    pub(crate) url: String,
    puts: Arc<Mutex<Vec<Put>>>,
    tries: Arc<Mutex<usize>>,
}

impl Bucket {
    /// Answers with these status codes, one after the other, and then with `last`.
    pub(crate) fn answering(codes: &[u16], last: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bucket = Self { url, puts: Arc::default(), tries: Arc::default() };
        let (puts, tries, codes) = (bucket.puts.clone(), bucket.tries.clone(), codes.to_vec());
        // Ends with the process: it waits for connections and holds nothing.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                let Some((method, put)) = read(&stream) else { continue };
                let number = {
                    let mut tries = tries.lock().unwrap();
                    *tries += 1;
                    *tries
                };
                let code = codes.get(number - 1).copied().unwrap_or(last);
                if code < 300 {
                    assert_eq!(method, "PUT");
                    puts.lock().unwrap().push(put);
                }
                answer(&stream, code);
            }
        });
        bucket
    }

    pub(crate) fn puts(&self) -> Vec<Put> {
        let mut puts = self.puts.lock().unwrap().clone();
        puts.sort_by(|one, other| one.path.cmp(&other.path));
        puts
    }

    pub(crate) fn tries(&self) -> usize {
        *self.tries.lock().unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<(String, Put)> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((method, Put { path, headers, body: String::from_utf8(body).unwrap() }))
}

/// A refusal quotes what such servers quote.
fn answer(mut stream: &TcpStream, code: u16) {
    let body = match code {
        403 => {
            "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match</Message><StringToSign>AWS4 canary-secret</StringToSign></Error>"
        }
        _ => "",
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {code} X\r\nETag: \"1\"\r\nLast-Modified: Sat, 01 Jan 2022 00:00:00 GMT\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}
