//! A branch that is looked at again and again, for whoever acts on what is in it.
//!
//! What came once is kept, by id: a look at a branch that has not moved is one question for its tip, and a look at
//! one that has moved fetches the trees and files that differ below the paths that are followed, and nothing else of
//! the repository. What is no longer needed is forgotten, so that memory does not grow with time.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use crate::address::redact;
use crate::fault::GitError;
use crate::object::{self, Mode, Oid};
use crate::remote::RemoteSpec;
use crate::session::{Session, Store, Traffic, Want};
use crate::tip::{self, Tip};
use crate::wire;

/// Objects asked for at once: a request names each by its id.
const AT_ONCE: usize = 2000;

/// Follows one branch of one repository.
pub struct Follower {
    remote: RemoteSpec,
    store: Store,
    traffic: Traffic,
}

/// What a branch holds below the paths that are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The commit, hexadecimal.
    pub commit: String,
    /// The branch, without `refs/heads/`.
    pub branch: String,
    /// The files by path from the root of the repository.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Paths that were asked for and do not exist.
    pub missing: Vec<String>,
}

/// What a look at a branch found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Look {
    /// The branch is at the commit that the caller knows.
    Same,
    /// It is at another one.
    Moved(Snapshot),
}

impl Follower {
    /// Follows [`RemoteSpec::branch`] (default: the remote's `HEAD`). Nothing is sent yet.
    pub fn new(remote: RemoteSpec) -> Self {
        Self { remote, store: Store::default(), traffic: Traffic::default() }
    }

    /// Bytes and requests so far.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// Looks at the branch, and reads all files below `paths` unless it still is at the commit `known`.
    ///
    /// # Errors
    /// What the server and the network do, [`GitError::is_transient`] says whether it is worth another look;
    /// [`GitError::Path`] where a path cannot be followed (a symbolic link, a submodule).
    pub fn look(&mut self, paths: &[&str], known: Option<&str>, within: Duration) -> Result<Look, GitError> {
        self.session(within, |remote, session, store| {
            let (branch, commit) = locate(remote, session, store)?;
            if known.is_some_and(|known| known == commit.to_string()) {
                return Ok(Look::Same);
            }
            let (root, missing) = open(session, store, commit, paths)?;
            let files = read(session, store, root, paths)?;
            forget(store, commit, &files);
            let files = files
                .into_iter()
                .map(|(path, id)| {
                    let data = store.objects.get(&id).map(|blob| blob.data.clone());
                    data.map(|data| (path.clone(), data))
                        .ok_or_else(|| tip::unusable(&path, "it did not come"))
                })
                .collect::<Result<_, _>>()?;
            Ok(Look::Moved(Snapshot { commit: commit.to_string(), branch, files, missing }))
        })
    }

    /// Whether the commit `older` is `newer` or one of its ancestors. Goes back as far as it must.
    ///
    /// # Errors
    /// As [`Follower::look`].
    pub fn descends(&mut self, newer: &str, older: &str, within: Duration) -> Result<bool, GitError> {
        let (Some(newer), Some(older)) = (Oid::parse(newer), Oid::parse(older)) else {
            return Ok(newer == older);
        };
        self.session(within, |remote, session, store| {
            let (branch, _) = locate(remote, session, store)?;
            let mut tip = Tip::open(session, store, &branch, Some(newer))?;
            tip.landed(&[older], None).map(|found| found.is_some())
        })
    }

    /// A session of its own for each look: a connection does not outlive an interval.
    fn session<T>(
        &mut self,
        within: Duration,
        act: impl FnOnce(&RemoteSpec, &mut dyn Session, &mut Store) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        let mut session = wire::open(&self.remote)?;
        session.set_deadline(Some(Instant::now() + within));
        let result = act(&self.remote, session.as_mut(), &mut self.store);
        let traffic = session.traffic();
        self.traffic.received += traffic.received;
        self.traffic.sent += traffic.sent;
        self.traffic.requests += traffic.requests;
        result
    }
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("url", &redact(&self.remote.url)).finish_non_exhaustive()
    }
}

/// The branch and its tip.
fn locate(
    remote: &RemoteSpec,
    session: &mut dyn Session,
    store: &mut Store,
) -> Result<(String, Oid), GitError> {
    let url = redact(&remote.url);
    let prefixes: Vec<String> = remote.branch.iter().map(|name| format!("refs/heads/{name}")).collect();
    let refs = session.refs(&prefixes)?;
    store.format = refs.format;
    let name = match (prefixes.into_iter().next(), &refs.head) {
        (Some(name), _) => name,
        (None, Some(head)) => head.clone(),
        (None, None) if refs.head_commit.is_none() && refs.refs.is_empty() => {
            return Err(GitError::Empty { url });
        }
        (None, None) => return Err(GitError::NoHead { url }),
    };
    let is_head = refs.head.as_ref() == Some(&name);
    let commit = refs.refs.get(&name).copied().or(refs.head_commit.filter(|_| is_head));
    let branch = name.strip_prefix("refs/heads/").unwrap_or(&name).to_owned();
    match commit {
        Some(commit) => Ok((branch, commit)),
        None => Err(GitError::NoBranch { url, branch, others: Vec::new() }),
    }
}

/// Fetches the commit and the trees on the way to `paths`; says the root and which paths lead nowhere.
fn open(
    session: &mut dyn Session,
    store: &mut Store,
    commit: Oid,
    paths: &[&str],
) -> Result<(Oid, Vec<String>), GitError> {
    // Not by what differs from the last commit: that may be much, in places that nobody follows.
    let here = |store: &Store| {
        let header = store.objects.get(&commit).and_then(|commit| object::parse_commit(&commit.data));
        header.map(|header| header.tree).filter(|tree| store.has(tree))
    };
    if here(store).is_none() {
        session.fetch(Want::Tip(commit), store)?;
    }
    store.tip = Some(commit);
    let root = here(store).ok_or_else(|| tip::unusable(&commit.to_string(), "its tree did not come"))?;
    let mut missing = Vec::new();
    loop {
        missing.clear();
        let mut wanted = Vec::new();
        for path in paths {
            tip::check(path)?;
            match tip::walk_from(store, root, path)? {
                tip::Walk::Found(Mode::Directory | Mode::File | Mode::Executable, _) => {}
                tip::Walk::Found(Mode::Symlink, _) => {
                    return Err(tip::unusable(path, "it is a symbolic link"));
                }
                tip::Walk::Found(Mode::Submodule, _) => return Err(tip::unusable(path, "it is a submodule")),
                tip::Walk::Absent => missing.push((*path).to_owned()),
                tip::Walk::Missing(id) => wanted.push(id),
            }
        }
        if wanted.is_empty() {
            return Ok((root, missing));
        }
        get(session, store, wanted)?;
    }
}

/// All files below `paths`, level by level, then their contents.
fn read(
    session: &mut dyn Session,
    store: &mut Store,
    root: Oid,
    paths: &[&str],
) -> Result<Vec<(String, Oid)>, GitError> {
    let mut files = Vec::new();
    let mut level = Vec::new();
    for path in paths {
        match tip::walk_from(store, root, path)? {
            tip::Walk::Found(Mode::Directory, id) => level.push(((*path).to_owned(), id)),
            tip::Walk::Found(_, id) => files.push(((*path).to_owned(), id)),
            tip::Walk::Absent | tip::Walk::Missing(_) => {}
        }
    }
    while !level.is_empty() {
        get(session, store, level.iter().map(|(_, id)| *id).collect())?;
        let mut below = Vec::new();
        for (path, id) in level {
            let tree = store.objects.get(&id).ok_or_else(|| tip::unusable(&path, "its tree did not come"))?;
            for entry in object::entries(store.format, &tree.data) {
                let entry = entry.map_err(|bad| tip::unusable(&path, &bad.to_string()))?;
                let name = format!("{path}/{}", String::from_utf8_lossy(entry.name));
                match entry.mode {
                    Mode::Directory => below.push((name, entry.id)),
                    Mode::File | Mode::Executable => files.push((name, entry.id)),
                    Mode::Symlink => return Err(tip::unusable(&name, "it is a symbolic link")),
                    Mode::Submodule => return Err(tip::unusable(&name, "it is a submodule")),
                }
            }
        }
        level = below;
    }
    for (path, _) in &files {
        tip::check(path)?;
    }
    get(session, store, files.iter().map(|(_, id)| *id).collect())?;
    Ok(files)
}

/// Fetches those of `ids` that are not here.
fn get(session: &mut dyn Session, store: &mut Store, mut ids: Vec<Oid>) -> Result<(), GitError> {
    ids.retain(|id| !store.has(id));
    ids.sort_unstable();
    ids.dedup();
    ids.chunks(AT_ONCE).try_for_each(|ids| session.fetch(Want::Objects(ids), store))
}

/// Keeps what the next look may need again: the commit, its trees, and the files that are followed.
fn forget(store: &mut Store, commit: Oid, files: &[(String, Oid)]) {
    let keep: HashSet<Oid> = files.iter().map(|(_, id)| *id).chain([commit]).collect();
    let mut open: Vec<Oid> = store
        .objects
        .get(&commit)
        .and_then(|commit| object::parse_commit(&commit.data))
        .map(|header| header.tree)
        .into_iter()
        .collect();
    let mut trees = HashSet::new();
    while let Some(id) = open.pop() {
        let Some(tree) = store.objects.get(&id) else { continue };
        if !trees.insert(id) {
            continue;
        }
        let entries = object::entries(store.format, &tree.data).filter_map(Result::ok);
        open.extend(entries.filter(|entry| entry.mode == Mode::Directory).map(|entry| entry.id));
    }
    store.objects.retain(|id, _| keep.contains(id) || trees.contains(id));
}
