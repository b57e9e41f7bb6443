//! A line that is one stream each way: a program (`ssh`, `git`) or a socket (`git://`).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::advert::Service;
use super::line::{AskFault, Line};
use super::words;
use crate::fault::GitError;
use crate::remote::Timeouts;
use crate::session::Traffic;

/// How a conversation is begun.
pub(crate) enum Dial {
    /// Runs a program that is connected to the service.
    Program {
        program: String,
        /// The arguments for a service.
        arguments: Box<dyn Fn(Service) -> Vec<String>>,
        /// What to call it in messages.
        shown: String,
    },
    /// Connects to a daemon.
    Daemon { host: String, port: u16, path: String },
}

/// A line with at most one conversation open.
pub(crate) struct Stream {
    dial: Dial,
    url: String,
    timeouts: Timeouts,
    deadline: Option<Instant>,
    traffic: Traffic,
    open: Option<Open>,
    prepared: Option<(Service, Open)>,
}

/// A conversation. A thread reads what comes, since a pipe cannot be read with a limit in time,
/// and since whoever holds its other end may outlive the program we started (`ProxyCommand`).
struct Open {
    incoming: Receiver<io::Result<Vec<u8>>>,
    /// What came and was not read yet.
    rest: io::Cursor<Vec<u8>>,
    writer: Option<Box<dyn Write + Send>>,
    what: What,
    errors: Option<Errors>,
    timeouts: Timeouts,
    deadline: Option<Instant>,
    /// Why we ended it.
    expired: Option<String>,
}

/// What a conversation goes through.
enum What {
    Child(Child),
    Socket(TcpStream),
}

/// What a program writes to its standard error.
struct Errors {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    pub(crate) fn new(dial: Dial, url: String, timeouts: Timeouts) -> Self {
        Self { dial, url, timeouts, deadline: None, traffic: Traffic::default(), open: None, prepared: None }
    }

    fn start(&mut self, service: Service) -> Result<Open, GitError> {
        self.traffic.requests += 1;
        match &self.dial {
            Dial::Program { program, arguments, .. } => {
                let arguments = arguments(service);
                self.run(program.clone(), &arguments, service)
            }
            Dial::Daemon { host, port, path } => {
                let (host, port, path) = (host.clone(), *port, path.clone());
                self.connect(&host, port, &path, service)
            }
        }
    }

    fn run(&self, program: String, arguments: &[String], service: Service) -> Result<Open, GitError> {
        let mut command = Command::new(&program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Set inside of hooks and by `git` aliases: they are about another repository.
        for name in
            ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_QUARANTINE_PATH"]
        {
            command.env_remove(name);
        }
        command.env("LC_ALL", "C");
        match service {
            Service::UploadPack => command.env("GIT_PROTOCOL", "version=2"),
            // Pushing has no version 2.
            Service::ReceivePack => command.env_remove("GIT_PROTOCOL"),
        };
        let not_run =
            |error: io::Error| GitError::Program { program: program.clone(), reason: error.to_string() };
        let mut child = command.spawn().map_err(not_run)?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(mut stderr)) = pipes else {
            return Err(not_run(io::Error::other("it has no pipes")));
        };
        let text = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&text);
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = stderr.read(&mut buffer) {
                let mut text = kept.lock().unwrap_or_else(PoisonError::into_inner);
                // What exceeds this is read and dropped, so that the program does not block.
                if text.len() < 64 * 1024 {
                    text.extend_from_slice(&buffer[..n]);
                }
            }
        });
        let errors = Errors { text, reader };
        Ok(self.opened(Box::new(stdout), Box::new(stdin), What::Child(child), Some(errors)))
    }

    fn connect(&self, host: &str, port: u16, path: &str, service: Service) -> Result<Open, GitError> {
        const ACTION: &str = "connecting";
        let fault = |error: io::Error| {
            let found = words::read(&self.url, ACTION, &error.to_string());
            found.unwrap_or_else(|| words::of_stream(&self.url, ACTION, &error))
        };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        let mut socket = None;
        for address in (host, port).to_socket_addrs().map_err(fault)? {
            match TcpStream::connect_timeout(&address, self.timeouts.connect) {
                Ok(connected) => {
                    socket = Some(connected);
                    break;
                }
                Err(error) => last = error,
            }
        }
        let Some(socket) = socket else {
            return Err(fault(last));
        };
        // Delayed small writes would cost a round trip each.
        let _ = socket.set_nodelay(true);
        let (reader, mut writer) = (socket.try_clone().map_err(fault)?, socket.try_clone().map_err(fault)?);
        let host = if port == 9418 { host.to_string() } else { format!("{host}:{port}") };
        let version = match service {
            Service::UploadPack => "\0version=2\0",
            Service::ReceivePack => "",
        };
        let greeting = format!("{} {path}\0host={host}\0{version}", service.program());
        let mut frame = Vec::new();
        super::pktline::write(&mut frame, greeting.as_bytes());
        writer.write_all(&frame).map_err(fault)?;
        Ok(self.opened(Box::new(reader), Box::new(writer), What::Socket(socket), None))
    }

    fn opened(
        &self,
        mut from: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
        what: What,
        errors: Option<Errors>,
    ) -> Open {
        let (sender, incoming) = mpsc::sync_channel(8);
        std::thread::spawn(move || {
            loop {
                let mut buffer = vec![0; 32 * 1024];
                let result = from.read(&mut buffer).map(|n| {
                    buffer.truncate(n);
                    buffer
                });
                let last = !matches!(&result, Ok(bytes) if !bytes.is_empty());
                if sender.send(result).is_err() || last {
                    break;
                }
            }
        });
        Open {
            incoming,
            rest: io::Cursor::new(Vec::new()),
            writer: Some(writer),
            what,
            errors,
            timeouts: self.timeouts,
            deadline: self.deadline,
            expired: None,
        }
    }

    fn drop_prepared(&mut self) {
        if let Some((_, open)) = self.prepared.take() {
            open.close();
        }
    }

    fn no_conversation(&self) -> GitError {
        GitError::Protocol {
            url: self.url.clone(),
            action: "sending a request",
            detail: "the conversation has ended".to_string(),
        }
    }
}

impl Line for Stream {
    fn stateless(&self) -> bool {
        false
    }

    fn prepare(&mut self, service: Service) {
        self.drop_prepared();
        // If it fails, it will fail again when it is wanted, and be told then.
        self.prepared = self.start(service).ok().map(|open| (service, open));
    }

    fn greet(&mut self, service: Service) -> Result<Box<dyn Read + '_>, GitError> {
        self.hang_up();
        let open = match self.prepared.take() {
            Some((prepared, open)) if prepared == service => open,
            other => {
                self.prepared = other;
                self.start(service)?
            }
        };
        let open = self.open.insert(open);
        Ok(Box::new(Counted { open, received: &mut self.traffic.received }))
    }

    fn ask(&mut self, _: Service, request: &[u8]) -> Result<Box<dyn Read + '_>, AskFault> {
        let Some(open) = &mut self.open else {
            return Err(AskFault::NotSent(self.no_conversation()));
        };
        if let Err(error) = open.send(request) {
            // All of a request must be there before a server acts on it, and the last bytes of
            // this one were not taken.
            return Err(AskFault::NotSent(self.explain("sending a request", &error)));
        }
        self.traffic.sent += request.len() as u64;
        let ended = self.no_conversation();
        match &mut self.open {
            Some(open) => Ok(Box::new(Counted { open, received: &mut self.traffic.received })),
            None => Err(AskFault::NotSent(ended)),
        }
    }

    fn hang_up(&mut self) {
        if let Some(open) = self.open.take() {
            open.close();
        }
    }

    fn explain(&mut self, action: &'static str, error: &io::Error) -> GitError {
        let Some(mut open) = self.open.take() else {
            return words::of_stream(&self.url, action, error);
        };
        drop(open.writer.take());
        let by_us = open.expired.take();
        // Its own words come with its end, which is near when the stream has ended.
        let status = if by_us.is_none() { open.wait(Duration::from_secs(2)) } else { None };
        open.end();
        let said = open.errors.take().map(Errors::text).unwrap_or_default();
        if let Some(limit) = by_us {
            return GitError::Network { url: self.url.clone(), action, reason: limit };
        }
        if let Some(found) = words::read(&self.url, action, &said) {
            return found;
        }
        if status == Some(127) {
            let program = match &self.dial {
                Dial::Program { shown, .. } => shown.clone(),
                Dial::Daemon { .. } => String::new(),
            };
            return GitError::Program { program, reason: crate::address::clean(said.trim()) };
        }
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        match last {
            Some(line)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    || error.kind() == io::ErrorKind::BrokenPipe =>
            {
                GitError::Network { url: self.url.clone(), action, reason: crate::address::clean(line) }
            }
            _ => words::of_stream(&self.url, action, error),
        }
    }

    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.deadline = deadline;
    }

    fn traffic(&self) -> Traffic {
        self.traffic
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.hang_up();
        self.drop_prepared();
    }
}

struct Counted<'a> {
    open: &'a mut Open,
    received: &'a mut u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.open.receive(into)?;
        *self.received += n as u64;
        Ok(n)
    }
}

impl Open {
    fn receive(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.rest.position() == self.rest.get_ref().len() as u64 {
            match self.within(|open, limit| open.incoming.recv_timeout(limit)) {
                Ok(bytes) => self.rest = io::Cursor::new(bytes?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => return Err(io::ErrorKind::TimedOut.into()),
            }
        }
        self.rest.read(into)
    }

    /// Waits for something, but not for longer than it may take.
    fn within<T>(
        &mut self,
        wait: impl FnOnce(&mut Self, Duration) -> Result<T, RecvTimeoutError>,
    ) -> Result<T, RecvTimeoutError> {
        let idle = self.timeouts.idle;
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let limit = left.map_or(idle, |left| left.min(idle));
        let result = wait(self, limit);
        if matches!(result, Err(RecvTimeoutError::Timeout)) {
            self.expired = Some(if limit == idle {
                format!("nothing came for {:.1} s", idle.as_secs_f64())
            } else {
                "the time for all of it is over".to_string()
            });
        }
        result
    }

    fn send(&mut self, request: &[u8]) -> io::Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // A pipe takes this much without being read from.
        if request.len() <= 32 * 1024 {
            let sent = writer.write_all(request).and_then(|()| writer.flush());
            self.writer = Some(writer);
            return sent;
        }
        let (sender, done) = mpsc::channel();
        let request = request.to_vec();
        std::thread::spawn(move || {
            let sent = writer.write_all(&request).and_then(|()| writer.flush());
            // Nobody waits any more if it took too long.
            let _ = sender.send((sent, writer));
        });
        match self.within(|_, limit| done.recv_timeout(limit)) {
            Ok((sent, writer)) => {
                self.writer = Some(writer);
                sent
            }
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits for a program to end by itself; gives its code.
    fn wait(&mut self, limit: Duration) -> Option<i32> {
        let What::Child(child) = &mut self.what else {
            return None;
        };
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Ok(Some(status)) = child.try_wait() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    /// Ends it in good order: with a flush, which whoever has ended it already does not mind.
    fn close(mut self) {
        if let Some(mut writer) = self.writer.take() {
            let _ = writer.write_all(b"0000").and_then(|()| writer.flush());
        }
        self.end();
    }

    fn end(&mut self) {
        match &mut self.what {
            What::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            What::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
    }
}

impl Errors {
    fn text(self) -> String {
        // All of it is there soon after the program's end, unless something it started lives on.
        let started = Instant::now();
        while !self.reader.is_finished() && started.elapsed() < Duration::from_millis(300) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// `git-upload-pack '<path>'`, as a shell on the server reads it (git's `sq_quote`).
pub(crate) fn remote_command(service: Service, path: &str) -> String {
    let quoted = path.replace('\'', "'\\''").replace('!', "'\\!'");
    format!("{} '{quoted}'", service.program())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_servers_shell() {
        assert_eq!(remote_command(Service::UploadPack, "/a b/it's!"), r"git-upload-pack '/a b/it'\''s'\!''");
    }
}
