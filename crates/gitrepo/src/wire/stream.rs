//! A line that is one stream each way: a program (`ssh`, `git`) or a socket (`git://`).

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
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
}

struct Open {
    reader: Box<dyn Read + Send>,
    writer: Option<Box<dyn Write + Send>>,
    guard: Arc<Guard>,
    watch: Option<JoinHandle<()>>,
    errors: Option<JoinHandle<Vec<u8>>>,
}

impl Stream {
    pub(crate) fn new(dial: Dial, url: String, timeouts: Timeouts) -> Self {
        Self { dial, url, timeouts, deadline: None, traffic: Traffic::default(), open: None }
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
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            // What exceeds this is read and dropped, so that the program does not block.
            let _ = (&mut stderr).take(64 * 1024).read_to_end(&mut text);
            let _ = io::copy(&mut stderr, &mut io::sink());
            text
        });
        let guard = Arc::new(Guard::new(Killable::Child(child)));
        Ok(self.watched(Box::new(stdout), Box::new(stdin), guard, Some(errors)))
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
        let guard = Arc::new(Guard::new(Killable::Socket(socket)));
        Ok(self.watched(Box::new(reader), Box::new(writer), guard, None))
    }

    /// Ends the conversation from another thread when it has been silent for too long.
    fn watched(
        &self,
        reader: Box<dyn Read + Send>,
        writer: Box<dyn Write + Send>,
        guard: Arc<Guard>,
        errors: Option<JoinHandle<Vec<u8>>>,
    ) -> Open {
        let (watched, idle, deadline) = (Arc::clone(&guard), self.timeouts.idle, self.deadline);
        let watch = std::thread::spawn(move || watched.watch(idle, deadline));
        Open { reader, writer: Some(writer), guard, watch: Some(watch), errors }
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

    fn greet(&mut self, service: Service) -> Result<Box<dyn Read + '_>, GitError> {
        self.hang_up();
        let open = self.start(service)?;
        let open = self.open.insert(open);
        Ok(Box::new(Counted { open, received: &mut self.traffic.received }))
    }

    fn ask(&mut self, _: Service, request: &[u8]) -> Result<Box<dyn Read + '_>, AskFault> {
        let Some(open) = &mut self.open else {
            return Err(AskFault::NotSent(self.no_conversation()));
        };
        let sent = match &mut open.writer {
            Some(writer) => writer.write_all(request).and_then(|()| writer.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        open.guard.touch();
        if let Err(error) = sent {
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
        if let Some(mut open) = self.open.take() {
            // A flush ends the conversation in good order; whoever has ended it does not mind.
            if let Some(mut writer) = open.writer.take() {
                let _ = writer.write_all(b"0000").and_then(|()| writer.flush());
            }
            open.guard.end();
            if let Some(watch) = open.watch.take() {
                let _ = watch.join();
            }
        }
    }

    fn explain(&mut self, action: &'static str, error: &io::Error) -> GitError {
        let Some(mut open) = self.open.take() else {
            return words::of_stream(&self.url, action, error);
        };
        drop(open.writer.take());
        let by_us = open.guard.expired();
        // Its own words come with its end, which is near when the stream has ended.
        let status = open.guard.wait(Duration::from_secs(2));
        open.guard.end();
        if let Some(watch) = open.watch.take() {
            let _ = watch.join();
        }
        let said = open.errors.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
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
            return GitError::Program { program, reason: crate::update::clean(said.trim()) };
        }
        let last = said.lines().rfind(|line| !line.trim().is_empty());
        match last {
            Some(line)
                if error.kind() == io::ErrorKind::UnexpectedEof
                    || error.kind() == io::ErrorKind::BrokenPipe =>
            {
                GitError::Network { url: self.url.clone(), action, reason: crate::update::clean(line) }
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
    }
}

struct Counted<'a> {
    open: &'a mut Open,
    received: &'a mut u64,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.open.reader.read(into)?;
        self.open.guard.touch();
        *self.received += n as u64;
        Ok(n)
    }
}

/// What a conversation goes through, and how it is ended.
enum Killable {
    Child(Child),
    Socket(TcpStream),
}

/// Ends a conversation at its time, or when told to.
struct Guard {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    what: Killable,
    heard: Instant,
    ended: bool,
    expired: Option<String>,
}

impl Guard {
    fn new(what: Killable) -> Self {
        let state = State { what, heard: Instant::now(), ended: false, expired: None };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn touch(&self) {
        self.lock().heard = Instant::now();
    }

    fn expired(&self) -> Option<String> {
        self.lock().expired.clone()
    }

    fn watch(&self, idle: Duration, deadline: Option<Instant>) {
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            let silent = state.heard + idle;
            let until = deadline.map_or(silent, |deadline| deadline.min(silent));
            if now >= until {
                state.expired = Some(if until == silent {
                    format!("nothing came for {} s", idle.as_secs())
                } else {
                    "the time for all of it is over".to_string()
                });
                state.end();
                return;
            }
            let waited = self.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits for a program to end by itself; gives its code.
    fn wait(&self, limit: Duration) -> Option<i32> {
        let started = Instant::now();
        loop {
            match &mut self.lock().what {
                Killable::Socket(_) => return None,
                Killable::Child(child) => {
                    if let Ok(Some(status)) = child.try_wait() {
                        return status.code();
                    }
                }
            }
            if started.elapsed() > limit {
                return None;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn end(&self) {
        self.lock().end();
        self.changed.notify_all();
    }
}

impl State {
    fn end(&mut self) {
        self.ended = true;
        match &mut self.what {
            Killable::Child(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Killable::Socket(socket) => {
                let _ = socket.shutdown(Shutdown::Both);
            }
        }
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
