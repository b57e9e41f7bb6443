//! Read the tip, decide, commit, push; when somebody was faster, from the start.
//!
//! There is one rule for everything that goes wrong on the way: nothing is merged, rebased or
//! forced. The decision is made again on what the branch is now.

use std::time::{Duration, Instant};

use crate::address::{clean, redact};
use crate::commit::{self, Change, NewCommit};
use crate::fault::GitError;
use crate::object::Oid;
use crate::outcome::{Decide, NoChange, Outcome, Planned, PushEvent, Pushed, UpdateError};
use crate::refusal::{self, Refusal, RefusalKind};
use crate::remote::RemoteSpec;
use crate::retry::{Retries, RetryPolicy};
use crate::session::{PushFault, PushRequest, Refs, Session, Store};
use crate::tip::Tip;
use crate::wire;

/// Makes one commit on a branch, and pushes it.
///
/// `decide` is given the tip and says what to change; it is asked again on the new tip whenever
/// somebody else was faster, so it must not carry anything from one call to the next. `Ok(None)`,
/// or contents that are there already, is [`Outcome::NoChange`]: never an empty commit.
///
/// # Errors
/// See [`UpdateError`]. A fault of the network inside of `decide` is retried, whatever `decide`
/// makes of it.
pub fn update<E>(
    remote: &RemoteSpec,
    policy: &RetryPolicy,
    on_event: &mut dyn FnMut(PushEvent),
    decide: &mut Decide<'_, E>,
) -> Result<Outcome, UpdateError<E>> {
    let target = Target { write: remote.branch.clone(), start: None, create: remote.create_branch };
    Update::new(remote, target, policy, on_event)?.run(decide)
}

/// Like [`update`], but on the branch `branch`, which is made from [`RemoteSpec::branch`] if it
/// does not exist: for changes that are reviewed. If it exists, the commit is added to it; it is
/// never forced.
///
/// # Errors
/// See [`UpdateError`].
pub fn push_branch<E>(
    remote: &RemoteSpec,
    branch: &str,
    policy: &RetryPolicy,
    on_event: &mut dyn FnMut(PushEvent),
    decide: &mut Decide<'_, E>,
) -> Result<Outcome, UpdateError<E>> {
    let target = Target { write: Some(branch.to_string()), start: remote.branch.clone(), create: true };
    Update::new(remote, target, policy, on_event)?.run(decide)
}

/// Reads the tip and decides, but pushes nothing. `branch` is that of [`push_branch`], if any.
///
/// # Errors
/// See [`UpdateError`].
pub fn dry_run<E>(
    remote: &RemoteSpec,
    branch: Option<&str>,
    policy: &RetryPolicy,
    on_event: &mut dyn FnMut(PushEvent),
    decide: &mut Decide<'_, E>,
) -> Result<Planned, UpdateError<E>> {
    let target = Target {
        write: branch.map(str::to_string).or_else(|| remote.branch.clone()),
        start: branch.and_then(|_| remote.branch.clone()),
        create: branch.is_some() || remote.create_branch,
    };
    Update::new(remote, target, policy, on_event)?.plan(decide)
}

/// Which branch is written, and what it starts from if it is new.
struct Target {
    /// `None`: the remote's `HEAD`.
    write: Option<String>,
    /// `None`: the remote's `HEAD`.
    start: Option<String>,
    create: bool,
}

/// The branch as it is now.
struct Spot {
    /// `refs/heads/…`
    name: String,
    /// What the ref is; `None` if it must be made.
    old: Option<Oid>,
    /// What the commit goes on top of.
    base: Option<Oid>,
}

/// What a look at the tip led to.
enum Made {
    /// The decision, and its commit unless the tip is that already.
    Commit(Spot, Box<Option<Change>>, Option<NewCommit>),
    /// A commit of an earlier attempt has arrived after all.
    Landed(Outcome),
}

/// Why an attempt did not end.
enum Halt<E> {
    Raced(String),
    Fault(String, Option<u64>),
    Final(UpdateError<E>),
}

impl<E> Halt<E> {
    fn of(error: GitError) -> Self {
        if !error.is_transient() {
            return Self::Final(UpdateError::Git(error));
        }
        Self::Fault(error.to_string(), error.retry_after())
    }
}

/// A commit that was sent without an answer.
#[derive(Debug, Clone, Copy)]
struct Unanswered {
    commit: Oid,
    /// What it was made on.
    base: Option<Oid>,
    /// What the ref had to be for it to be taken.
    old: Option<Oid>,
}

struct Update<'a> {
    remote: &'a RemoteSpec,
    target: Target,
    session: Box<dyn Session>,
    store: Store,
    retries: Retries,
    races: u32,
    unanswered: Vec<Unanswered>,
    on_event: &'a mut dyn FnMut(PushEvent),
}

impl<'a> Update<'a> {
    fn new<E>(
        remote: &'a RemoteSpec,
        mut target: Target,
        policy: &RetryPolicy,
        on_event: &'a mut dyn FnMut(PushEvent),
    ) -> Result<Self, UpdateError<E>> {
        for name in [&mut target.write, &mut target.start].into_iter().flatten() {
            *name = branch_name(&remote.url, name)?;
        }
        let retries = Retries::new(policy);
        let mut session = wire::open(remote)?;
        session.set_deadline(retries.deadline());
        Ok(Self {
            remote,
            target,
            session,
            store: Store::default(),
            retries,
            races: 0,
            unanswered: Vec::new(),
            on_event,
        })
    }

    fn run<E>(mut self, decide: &mut Decide<'_, E>) -> Result<Outcome, UpdateError<E>> {
        self.repeat(|this| this.attempt(decide))
    }

    fn plan<E>(mut self, decide: &mut Decide<'_, E>) -> Result<Planned, UpdateError<E>> {
        self.repeat(|this| {
            let Made::Commit(spot, change, new) = this.decide(decide)? else {
                return Err(Halt::Fault("a commit arrived that was never sent".to_string(), None));
            };
            Ok(Planned {
                branch: short(&spot.name).to_string(),
                parent: spot.base.map(|id| id.to_string()),
                creates_branch: spot.old.is_none(),
                change: change.filter(|_| new.is_some()),
                traffic: this.session.traffic(),
            })
        })
    }

    /// Attempts until one ends, waiting between them.
    fn repeat<E, T>(
        &mut self,
        mut attempt: impl FnMut(&mut Self) -> Result<T, Halt<E>>,
    ) -> Result<T, UpdateError<E>> {
        loop {
            let started = Instant::now();
            let stop = match attempt(self) {
                Ok(done) => return Ok(done),
                Err(stop) => stop,
            };
            let number = self.retries.attempts();
            let (reason, after, raced) = match stop {
                Halt::Final(error) => return Err(error),
                Halt::Raced(reason) => (reason, None, true),
                Halt::Fault(reason, after) => (reason, after, false),
            };
            self.races += u32::from(raced);
            let after = after.map(Duration::from_secs);
            if self.remote.stop.is_asked() {
                return Err(self.interrupted());
            }
            let Some(wait) = self.retries.next_wait(started.elapsed(), after) else {
                return Err(self.give_up(reason));
            };
            (self.on_event)(if raced {
                PushEvent::Raced { attempt: number, reason, wait }
            } else {
                PushEvent::Fault { attempt: number, reason, wait }
            });
            self.remote.stop.sleep(wait);
            if self.remote.stop.is_asked() {
                return Err(self.interrupted());
            }
        }
    }

    fn branch(&self) -> String {
        self.target.write.clone().unwrap_or_else(|| "HEAD".to_string())
    }

    fn interrupted<E>(&self) -> UpdateError<E> {
        let sent = self.unanswered.last().map(|sent| sent.commit.to_string());
        UpdateError::Interrupted { sent, branch: self.branch() }
    }

    fn give_up<E>(&self, last: String) -> UpdateError<E> {
        match self.unanswered.last() {
            Some(sent) => {
                UpdateError::Unknown { commit: sent.commit.to_string(), branch: self.branch(), reason: last }
            }
            None => UpdateError::Exhausted {
                attempts: self.retries.attempts(),
                races: self.races,
                elapsed: self.retries.elapsed(),
                last,
            },
        }
    }

    /// Reads the tip, asks for the decision and makes the commit.
    fn decide<E>(&mut self, decide: &mut Decide<'_, E>) -> Result<Made, Halt<E>> {
        let spot = self.locate().map_err(Halt::of)?;
        let attempt = self.retries.attempts();
        (self.on_event)(PushEvent::Tip {
            branch: short(&spot.name).to_string(),
            commit: spot.base.map(|id| id.to_string()).unwrap_or_default(),
            attempt,
        });
        let branch = short(&spot.name).to_string();
        let mut tip =
            Tip::open(self.session.as_mut(), &mut self.store, &branch, spot.base).map_err(Halt::of)?;
        if let Some(first) = self.unanswered.first() {
            let commits: Vec<Oid> = self.unanswered.iter().map(|sent| sent.commit).collect();
            let landed = tip.landed(&commits, first.base).map_err(Halt::of)?;
            if let Some(commit) = landed {
                return Ok(Made::Landed(self.pushed(&spot, commit, Vec::new())));
            }
            // The server may still be at work on it, but only if the branch is what it was.
            self.unanswered.retain(|sent| sent.old == spot.old);
        }
        let decided = decide(&mut tip);
        let fault = tip.fault.take();
        let change = match (decided, fault) {
            (Ok(change), _) => change,
            (Err(_), Some((reason, after))) => return Err(Halt::Fault(reason, after)),
            (Err(error), None) => return Err(Halt::Final(UpdateError::Decide(error))),
        };
        let mut new = None;
        if let Some(change) = &change {
            let paths: Vec<&str> = change.files.iter().map(|(path, _)| path.as_str()).collect();
            let trees = tip.trees(&paths).map_err(Halt::of)?;
            let parent = tip.parent();
            new = commit::build(self.store.format, parent, &trees, change).map_err(Halt::of)?;
        }
        self.note();
        Ok(Made::Commit(spot, Box::new(change), new))
    }

    fn attempt<E>(&mut self, decide: &mut Decide<'_, E>) -> Result<Outcome, Halt<E>> {
        self.session.expect_push();
        let (spot, new) = match self.decide(decide)? {
            Made::Commit(spot, _, new) => (spot, new),
            Made::Landed(outcome) => return Ok(outcome),
        };
        let Some(new) = new else {
            return Ok(Outcome::NoChange(NoChange {
                branch: short(&spot.name).to_string(),
                commit: spot.base.map(|id| id.to_string()).unwrap_or_default(),
                attempts: self.retries.attempts(),
                traffic: self.session.traffic(),
            }));
        };
        (self.on_event)(PushEvent::Pushing { commit: new.id.to_string(), attempt: self.retries.attempts() });
        if self.remote.stop.is_asked() {
            return Err(Halt::Final(self.interrupted()));
        }
        let request = PushRequest { name: &spot.name, old: spot.old, new: new.id, objects: &new.objects };
        let answer = self.session.push(&request);
        self.note();
        let reply = match answer {
            Ok(reply) => reply,
            Err(PushFault::NotSent(error)) => return Err(Halt::of(error)),
            Err(PushFault::Unknown(error)) => {
                self.unanswered.push(Unanswered { commit: new.id, base: spot.base, old: spot.old });
                return Err(Halt::Fault(error.to_string(), None));
            }
        };
        let messages: Vec<String> = reply.messages.iter().map(|line| clean(line)).collect();
        for line in &messages {
            (self.on_event)(PushEvent::Server(line.clone()));
        }
        match reply.result {
            None => Ok(self.pushed(&spot, new.id, messages)),
            Some(status) => Err(self.refused(&spot, clean(&status), messages)),
        }
    }

    /// What a refused push means.
    fn refused<E>(&mut self, spot: &Spot, status: String, messages: Vec<String>) -> Halt<E> {
        let refused = |kind, reason, server_messages| {
            Halt::Final(UpdateError::Refused {
                branch: short(&spot.name).to_string(),
                kind,
                reason,
                server_messages,
            })
        };
        match refusal::read(&status, &messages) {
            Refusal::Race => Halt::Raced(status),
            Refusal::Trouble => Halt::Fault(messages.into_iter().next().unwrap_or(status), None),
            Refusal::Permanent(kind) => refused(kind, status, messages),
            Refusal::Unclear => match self.locate() {
                Ok(now) if now.old != spot.old => Halt::Raced(status),
                Ok(_) => refused(RefusalKind::Other, status, messages),
                Err(error) => Halt::of(error),
            },
        }
    }

    fn pushed(&self, spot: &Spot, commit: Oid, server_messages: Vec<String>) -> Outcome {
        let earlier = self.unanswered.iter().find(|sent| sent.commit == commit);
        let (parent, old) = earlier.map_or((spot.base, spot.old), |sent| (sent.base, sent.old));
        let traffic = self.session.traffic();
        Outcome::Pushed(Pushed {
            commit: commit.to_string(),
            parent: parent.map(|id| id.to_string()),
            branch: short(&spot.name).to_string(),
            created_branch: old.is_none(),
            attempts: self.retries.attempts(),
            bytes_received: traffic.received,
            bytes_sent: traffic.sent,
            requests: traffic.requests,
            server_messages,
        })
    }

    fn note(&mut self) {
        for note in self.session.notes() {
            (self.on_event)(PushEvent::Note(note));
        }
    }

    /// Finds the branch to write and the commit to start from.
    fn locate(&mut self) -> Result<Spot, GitError> {
        let full = |name: &String| format!("refs/heads/{name}");
        let mut prefixes: Vec<String> = self.target.write.iter().map(full).collect();
        prefixes.extend(self.target.start.iter().map(full));
        let refs = self.session.refs(&prefixes)?;
        self.store.format = refs.format;
        let url = redact(&self.remote.url);
        let name = match (&self.target.write, &refs.head) {
            (Some(name), _) => full(name),
            (None, Some(head)) if head.starts_with("refs/heads/") => head.clone(),
            (None, _) if refs.head_commit.is_none() && refs.refs.is_empty() => {
                return Err(GitError::Empty { url });
            }
            (None, _) => return Err(GitError::NoHead { url }),
        };
        let is_head = refs.head.as_ref() == Some(&name);
        let old = refs.refs.get(&name).copied().or(refs.head_commit.filter(|_| is_head));
        if old.is_some() {
            return Ok(Spot { name, old, base: old });
        }
        if !self.target.create {
            return Err(self.no_branch(short(&name), &refs));
        }
        let base = match self.target.start.clone() {
            Some(start) => match refs.refs.get(&full(&start)) {
                Some(id) => Some(*id),
                None => return Err(self.no_branch(&start, &refs)),
            },
            None => refs.head_commit,
        };
        Ok(Spot { name, old, base })
    }

    fn no_branch(&mut self, branch: &str, refs: &Refs) -> GitError {
        let url = redact(&self.remote.url);
        let all = match self.session.refs(&["refs/heads/".to_string()]) {
            Ok(all) => all,
            Err(error) => return error,
        };
        if all.refs.is_empty() && refs.head_commit.is_none() {
            return GitError::Empty { url };
        }
        let mut others: Vec<String> = all.refs.keys().map(|name| short(name).to_string()).collect();
        if others.len() > 10 {
            let wanted = branch.to_ascii_lowercase();
            let near = |other: &String| {
                let other = other.to_ascii_lowercase();
                other.contains(&wanted) || wanted.contains(&other)
            };
            others.retain(near);
            others.truncate(10);
        }
        GitError::NoBranch { url, branch: branch.to_string(), others }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

/// A branch's name as git allows it (`git check-ref-format`), without `refs/heads/`.
fn branch_name(url: &str, name: &str) -> Result<String, GitError> {
    let name = short(name);
    let bad = name.is_empty()
        || name.starts_with('-')
        || name.ends_with('.')
        || name == "@"
        || name.contains("..")
        || name.contains("@{")
        || name.chars().any(|c| c.is_control() || " ~^:?*[\\".contains(c))
        || name.split('/').any(|part| part.is_empty() || part.starts_with('.') || part.ends_with(".lock"));
    if bad {
        return Err(GitError::BranchName { url: redact(url), branch: name.to_string() });
    }
    Ok(name.to_string())
}
