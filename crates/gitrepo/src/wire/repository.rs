//! A repository on a server: git's protocol, whatever the line.
//!
//! Three ways of reading, from the best to the last:
//! 1. protocol 2 (or 0 with `allow-…-sha1-in-want`) with filters: exactly the objects wanted;
//! 2. without filters: the server sends the wanted objects first and then all below them; we hang
//!    up as soon as the wanted ones are here;
//! 3. where only tips may be asked for: the whole tip, without history, into a directory that is
//!    thrown away afterwards ([`Spool`]).

use std::time::Instant;

use super::advert::{self, Advert, Service};
use super::line::{AskFault, Line};
use super::pack::{self, End, Reading};
use super::pktline::{self, Packet, SideBand};
use super::report;
use super::requests::{self, FetchRequest};
use super::spool::Spool;
use crate::fault::GitError;
use crate::object::{self, Kind, ObjectFormat, Oid};
use crate::remote::RemoteSpec;
use crate::session::{PushFault, PushReply, PushRequest, Refs, Session, Store, Traffic, Want};
use crate::stop::{Stop, Stoppable};

/// A session with a server.
pub(crate) struct Repository<L> {
    line: L,
    /// For messages, redacted.
    url: String,
    agent: String,
    stop: Stop,
    advert: Option<Advert>,
    /// Whether the conversation with upload-pack is open and can take another request.
    open: bool,
    spool: Option<Spool>,
    notes: Vec<String>,
    /// How many of them were told.
    told: usize,
}

/// Objects of changes by others that are taken before the tip is read as if it were new.
const MOST_CHANGES: usize = 20_000;

const READING: &str = "reading the branch";
const FETCHING: &str = "reading objects";
const PUSHING: &str = "pushing";

impl<L: Line> Repository<L> {
    /// `note` is told to the user.
    pub(crate) fn new(line: L, url: String, remote: &RemoteSpec, note: Option<String>) -> Self {
        Self {
            line,
            url,
            agent: remote.agent.clone(),
            stop: remote.stop.clone(),
            advert: None,
            open: false,
            spool: None,
            notes: note.into_iter().collect(),
            told: 0,
        }
    }

    /// Begins a conversation with upload-pack, so that what it says of refs is of now.
    fn greet(&mut self) -> Result<Advert, GitError> {
        self.open = false;
        let stateless = self.line.stateless();
        let mut words = self.line.greet(Service::UploadPack)?;
        let result = advert::read(&mut *words);
        finish(stateless, &result, &mut *words);
        drop(words);
        let advert = result.map_err(|error| self.line.explain(READING, &error))?;
        if advert.format().is_none() {
            return Err(self.protocol(READING, "its hash function is neither SHA-1 nor SHA-256"));
        }
        self.open = true;
        self.advert = Some(advert.clone());
        Ok(advert)
    }

    fn protocol(&self, action: &'static str, detail: &str) -> GitError {
        GitError::Protocol { url: self.url.clone(), action, detail: detail.to_string() }
    }

    /// The server's first words, from this conversation or (http) an earlier one.
    fn advert(&mut self) -> Result<Advert, GitError> {
        match &self.advert {
            Some(advert) if self.open || self.line.stateless() => Ok(advert.clone()),
            _ => self.greet(),
        }
    }

    /// Fetches into the store; `Early` if we hung up because we had enough.
    fn fetch_objects(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError> {
        let advert = self.advert()?;
        let filters = match advert.version {
            2 => advert.lists("fetch", "filter"),
            _ => advert.has("filter"),
        };
        if !filters {
            self.note("the server knows no filters: hanging up when the wanted objects are here");
        }
        let request = FetchRequest::new(want, filters);
        let before = store.objects.len();
        let enough = |store: &Store| match want {
            // A branch that was rewritten may differ in everything: then this is no short cut.
            Want::Since { .. } => store.objects.len() > before + MOST_CHANGES,
            Want::Tip(id) => root_of(store, &id).is_some_and(|tree| store.has(&tree)),
            Want::Objects(ids) => ids.iter().all(|id| store.has(id)),
            Want::TreesBelow(_) => false,
            // Commits come first: another object says that there are no more.
            Want::History { tip, .. } => {
                store.has(&tip) && store.newest.is_some_and(|kind| kind != Kind::Commit)
            }
        };
        let never = |_: &Store| false;
        let whole = filters && !matches!(want, Want::Since { .. });
        let how = Reading {
            keep_blobs: matches!(want, Want::Objects(_) | Want::Since { .. }),
            enough: if whole { &never } else { &enough },
        };
        self.exchange(&advert, &request, |pack| pack::read(pack, store, &how))
    }

    /// One fetch: sends the request, gives the pack to `take`.
    fn exchange(
        &mut self,
        advert: &Advert,
        request: &FetchRequest,
        take: impl FnOnce(&mut dyn std::io::Read) -> std::io::Result<End>,
    ) -> Result<(), GitError> {
        let bytes = match advert.version {
            2 => request.v2(advert, &self.agent),
            _ => request.v0(advert, &self.agent),
        };
        // Of protocol 0, a conversation has one fetch.
        self.open = self.open && advert.version == 2;
        let stateless = self.line.stateless();
        let banded = advert.version == 2 || advert.has("side-band-64k");
        let answer = self.line.ask(Service::UploadPack, &bytes).map_err(AskFault::into_error)?;
        let mut answer = Stoppable { inner: answer, stop: self.stop.clone() };
        let result = (|| {
            to_pack(&mut answer, advert.version)?;
            if !banded {
                return take(&mut answer);
            }
            let mut band = SideBand::new(&mut answer);
            let end = take(&mut band)?;
            if end == End::Whole {
                band.drain()?;
            }
            Ok(end)
        })();
        if matches!(result, Ok(End::Whole)) {
            finish(stateless, &result, &mut answer);
        }
        drop(answer);
        match result {
            Ok(End::Whole) => Ok(()),
            Ok(End::Early) => {
                self.line.hang_up();
                self.open = false;
                Ok(())
            }
            Err(error) => {
                self.open = false;
                Err(self.line.explain(FETCHING, &error))
            }
        }
    }

    /// Reads through a copy of the whole tip.
    fn through_spool(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError> {
        let mut spool = match self.spool.take() {
            Some(spool) => spool,
            None => Spool::new()?,
        };
        let (tip, depth) = match want {
            Want::Tip(tip) | Want::Since { tip, .. } => (Some(tip), 1),
            Want::History { tip, depth } => (Some(tip), depth),
            Want::Objects(_) | Want::TreesBelow(_) => (store.tip, 1),
        };
        if let Some(tip) = tip
            && !spool.holds(tip, depth)
        {
            let advert = self.advert()?;
            let mut request = FetchRequest::new(Want::History { tip, depth }, false);
            request.have = spool.newest().filter(|_| depth == 1);
            self.exchange(&advert, &request, |pack| spool.take(pack).map(|()| End::Whole))?;
            spool.add(tip, depth);
        }
        let result = spool.fetch(want, store);
        self.spool = Some(spool);
        result
    }

    fn note(&mut self, text: &str) {
        if !self.notes.iter().any(|note| note == text) {
            self.notes.push(text.to_string());
        }
    }

    /// Whether any object may be asked for by its id.
    fn any_object(advert: &Advert) -> bool {
        advert.version == 2
            || advert.has("allow-any-sha1-in-want")
            || advert.has("allow-reachable-sha1-in-want")
    }

    fn send(
        &mut self,
        request: &PushRequest<'_>,
        format: ObjectFormat,
        thin: bool,
    ) -> Result<PushReply, PushFault> {
        let pack = pack::write(format, request.objects, thin)
            .map_err(|error| PushFault::NotSent(self.protocol(PUSHING, &error.to_string())))?;
        let bytes = requests::push(format, request.old, request.new, request.name, &self.agent, &pack);
        let stateless = self.line.stateless();
        let result = match self.line.ask(Service::ReceivePack, &bytes) {
            Ok(mut answer) => {
                let report = report::read(&mut *answer);
                finish(stateless, &report, &mut *answer);
                report
            }
            Err(AskFault::NotSent(error)) => return Err(PushFault::NotSent(error)),
            Err(AskFault::Unknown(error)) => return Err(PushFault::Unknown(error)),
        };
        result.map_err(|error| PushFault::Unknown(self.line.explain(PUSHING, &error)))
    }
}

/// Reads the end of an answer over http that was understood, which is behind git's own: only then is
/// the connection kept for the next request.
fn finish<T>(stateless: bool, result: &std::io::Result<T>, answer: &mut dyn std::io::Read) {
    if stateless && result.is_ok() {
        let _ = answer.read(&mut [0]);
    }
}

/// Reads up to the first byte of the pack.
fn to_pack(answer: &mut dyn std::io::Read, version: u8) -> std::io::Result<()> {
    loop {
        let data = match pktline::read(answer)? {
            None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            // After the section on shallow commits.
            Some(Packet::Flush) if version != 2 => continue,
            Some(Packet::Delimiter) => continue,
            Some(Packet::Flush | Packet::End) => {
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidData, "it sent no pack"));
            }
            Some(Packet::Data(data)) => data,
        };
        if let Some(words) = pktline::error(&data) {
            return Err(pktline::refused(words));
        }
        let text = pktline::text(&data);
        let ready = match version {
            2 => text == "packfile",
            _ => text == "NAK" || text.starts_with("ACK "),
        };
        if ready {
            return Ok(());
        }
    }
}

fn root_of(store: &Store, commit: &Oid) -> Option<Oid> {
    let commit = store.objects.get(commit)?;
    object::parse_commit(&commit.data).map(|header| header.tree)
}

/// Whether the server says that this object may not be asked for.
fn forbids(error: &GitError) -> bool {
    let GitError::Refused { server, .. } = error else {
        return false;
    };
    let server = server.to_ascii_lowercase();
    ["not our ref", "unadvertised", "not valid", "not allowed", "no such object"]
        .iter()
        .any(|words| server.contains(words))
}

impl<L: Line> Session for Repository<L> {
    fn set_deadline(&mut self, deadline: Option<Instant>) {
        self.line.set_deadline(deadline);
    }

    fn expect_push(&mut self) {
        self.line.prepare(Service::ReceivePack);
    }

    fn refs(&mut self, prefixes: &[String]) -> Result<Refs, GitError> {
        let advert = match &self.advert {
            Some(advert) if self.line.stateless() && advert.version == 2 => advert.clone(),
            _ => self.greet()?,
        };
        if advert.version != 2 {
            return Ok(advert.select(prefixes));
        }
        let format = advert.format().unwrap_or_default();
        let request = requests::ls_refs(&advert, &self.agent, prefixes);
        let stateless = self.line.stateless();
        let mut answer = self.line.ask(Service::UploadPack, &request).map_err(AskFault::into_error)?;
        let result = advert::read_ls_refs(&mut *answer, format);
        finish(stateless, &result, &mut *answer);
        drop(answer);
        result.map_err(|error| self.line.explain(READING, &error))
    }

    fn fetch(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError> {
        let advert = self.advert()?;
        if self.spool.is_none() && Self::any_object(&advert) {
            match self.fetch_objects(want, store) {
                Err(error) if forbids(&error) && !matches!(want, Want::Tip(_) | Want::Since { .. }) => {}
                other => return other.map_err(moved),
            }
        }
        self.note("the server gives out whole tips only: reading all files of the branch");
        self.through_spool(want, store).map_err(moved)
    }

    fn push(&mut self, request: &PushRequest<'_>) -> Result<PushReply, PushFault> {
        let format = match self.advert.as_ref().and_then(Advert::format) {
            Some(format) => format,
            None => ObjectFormat::Sha1,
        };
        let mut thin = true;
        if !self.line.stateless() {
            self.open = false;
            let result = match self.line.greet(Service::ReceivePack) {
                Ok(mut words) => advert::read(&mut *words),
                Err(error) => return Err(PushFault::NotSent(writing(error))),
            };
            let advert =
                result.map_err(|error| PushFault::NotSent(writing(self.line.explain(PUSHING, &error))))?;
            if advert.shows_another(request.name, request.old) {
                // What the server would find out after it has unpacked and checked everything.
                self.line.hang_up();
                return Ok(PushReply { result: Some("fetch first".to_string()), ..PushReply::default() });
            }
            thin = !advert.has("no-thin");
        }
        let reply = self.send(request, format, thin).map_err(|fault| match fault {
            PushFault::NotSent(error) => PushFault::NotSent(writing(error)),
            unknown @ PushFault::Unknown(_) => unknown,
        })?;
        let unpack_failed = reply.result.as_ref().is_some_and(|text| text.starts_with("unpacker error"));
        if unpack_failed && thin && self.line.stateless() {
            return self.send(request, format, false);
        }
        Ok(reply)
    }

    fn traffic(&self) -> Traffic {
        self.line.traffic()
    }

    fn notes(&mut self) -> Vec<String> {
        let new = self.notes[self.told..].to_vec();
        self.told = self.notes.len();
        new
    }
}

/// A tip that is gone since its ref was read: somebody rewrote the branch. Worth another look.
fn moved(error: GitError) -> GitError {
    if let GitError::Refused { url, action, server } = &error
        && server.contains("not our ref")
    {
        let (url, server) = (url.clone(), server.clone());
        return GitError::Server { url, action, server, retry_after: None };
    }
    error
}

/// An access that was refused is one to writing.
fn writing(mut error: GitError) -> GitError {
    if let GitError::Auth { pushing, .. } = &mut error {
        *pushing = true;
    }
    error
}
