//! The tip of a branch, of which only what is asked for is fetched.

use std::collections::{BinaryHeap, HashSet};

use crate::commit::{self, Trees};
use crate::fault::GitError;
use crate::object::{self, CommitHeader, Kind, Mode, Oid};
use crate::session::{Session, Store, Want};

/// A commit of the history of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id, hexadecimal.
    pub id: String,
    /// The author's name.
    pub author: String,
    /// Seconds since 1970, of the committer.
    pub seconds: i64,
    /// The whole message.
    pub message: String,
}

/// Reads the tip of a branch.
///
/// Paths go from the root of the repository, with `/` between the parts and none at the start.
pub trait TipReader {
    /// The commit, hexadecimal; empty if the repository has none yet.
    fn commit(&self) -> &str;

    /// The branch that will be pushed to, without `refs/heads/`.
    fn branch(&self) -> &str;

    /// The content of a file, `None` if there is none of this name.
    ///
    /// # Errors
    /// What the server and the network do; [`GitError::Path`] if the path is a directory, a
    /// symbolic link or a submodule, or cannot be a path in a repository.
    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GitError>;

    /// The paths of all files below a directory, sorted as git sorts them; the path itself if it
    /// is a file, nothing if it does not exist. Symbolic links and submodules are left out.
    ///
    /// # Errors
    /// As [`TipReader::read`].
    fn list(&mut self, dir: &str) -> Result<Vec<String>, GitError>;

    /// The last `limit` commits that changed a path, newest first, as `git log -- path` finds
    /// them. Goes back as far as it must: to the first commit, if there are fewer.
    ///
    /// # Errors
    /// As [`TipReader::read`].
    fn log(&mut self, path: &str, limit: usize) -> Result<Vec<CommitInfo>, GitError>;

    /// Gets several files in the round trips of one. [`TipReader::read`] finds them at once then.
    ///
    /// # Errors
    /// As [`TipReader::read`].
    fn prefetch(&mut self, paths: &[&str]) -> Result<(), GitError>;
}

/// A branch's tip on a session.
pub(crate) struct Tip<'a> {
    session: &'a mut dyn Session,
    store: &'a mut Store,
    branch: String,
    commit: Option<Oid>,
    hex: String,
    root: Option<Oid>,
    /// A reader's error ends as the caller's own; that it was a fault worth a retry is kept here.
    pub(crate) fault: Option<(String, Option<u64>)>,
}

/// Where a path leads.
pub(crate) enum Walk {
    /// To this.
    Found(Mode, Oid),
    /// To nothing.
    Absent,
    /// Not known before this object is here.
    Missing(Oid),
}

impl<'a> Tip<'a> {
    /// Fetches the commit and its root tree.
    pub(crate) fn open(
        session: &'a mut dyn Session,
        store: &'a mut Store,
        branch: &str,
        commit: Option<Oid>,
    ) -> Result<Self, GitError> {
        let mut root = None;
        if let Some(id) = commit {
            let known = store.objects.get(&id).and_then(|c| object::parse_commit(&c.data));
            if !known.is_some_and(|header| store.has(&header.tree)) {
                let want = store.tip.map_or(Want::Tip(id), |known| Want::Since { tip: id, known });
                session.fetch(want, store)?;
                if !header(store, &id).is_ok_and(|header| store.has(&header.tree)) {
                    session.fetch(Want::Tip(id), store)?;
                }
            }
            store.tip = Some(id);
            root = Some(header(store, &id)?.tree);
        }
        Ok(Self {
            session,
            store,
            branch: branch.to_string(),
            commit,
            hex: commit.map(|id| id.to_string()).unwrap_or_default(),
            root,
            fault: None,
        })
    }

    /// The commit and its tree.
    pub(crate) fn parent(&self) -> Option<(Oid, Oid)> {
        self.commit.zip(self.root)
    }

    /// The trees on the way to some paths, for a new commit.
    pub(crate) fn trees(&mut self, paths: &[&str]) -> Result<Trees, GitError> {
        for path in paths {
            check(path)?;
        }
        let directories: Vec<&str> =
            paths.iter().map(|path| path.rsplit_once('/').map_or("", |(directory, _)| directory)).collect();
        self.load(&directories)?;
        let mut trees = Trees::new();
        for directory in directories {
            let mut prefix = String::new();
            let parts = directory.split('/').filter(|part| !part.is_empty());
            for part in std::iter::once("").chain(parts) {
                if !part.is_empty() {
                    prefix = commit::join(&prefix, part);
                }
                if let Walk::Found(Mode::Directory, id) = self.walk(&prefix)?
                    && let Some(tree) = self.store.objects.get(&id)
                {
                    trees.insert(prefix.clone(), (id, tree.data.clone()));
                }
            }
        }
        Ok(trees)
    }

    /// Follows a path as far as the store goes.
    fn walk(&self, path: &str) -> Result<Walk, GitError> {
        let Some(root) = self.root else {
            return Ok(Walk::Absent);
        };
        walk_from(self.store, root, path)
    }

    /// Fetches, level by level and for all paths at once, what they lead to.
    fn load(&mut self, paths: &[&str]) -> Result<(), GitError> {
        loop {
            let mut missing = Vec::new();
            for path in paths {
                match self.walk(path)? {
                    Walk::Missing(id) => missing.push(id),
                    Walk::Found(Mode::Directory | Mode::File | Mode::Executable, id)
                        if !self.store.has(&id) =>
                    {
                        missing.push(id);
                    }
                    Walk::Found(..) | Walk::Absent => {}
                }
            }
            missing.sort_unstable();
            missing.dedup();
            if missing.is_empty() {
                return Ok(());
            }
            self.session.fetch(Want::Objects(&missing), self.store)?;
        }
    }

    fn remember<T>(&mut self, result: Result<T, GitError>) -> Result<T, GitError> {
        if let Err(error) = &result
            && error.is_transient()
        {
            self.fault = Some((error.to_string(), error.retry_after()));
        }
        result
    }

    fn read_file(&mut self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        check(path)?;
        self.load(&[path])?;
        match self.walk(path)? {
            Walk::Found(Mode::File | Mode::Executable, id) => {
                Ok(self.store.objects.get(&id).map(|blob| blob.data.clone()))
            }
            Walk::Found(Mode::Directory, _) => Err(unusable(path, "it is a directory")),
            Walk::Found(Mode::Symlink, _) => Err(unusable(path, "it is a symbolic link")),
            Walk::Found(Mode::Submodule, _) => Err(unusable(path, "it is a submodule")),
            Walk::Absent | Walk::Missing(_) => Ok(None),
        }
    }

    fn list_files(&mut self, dir: &str) -> Result<Vec<String>, GitError> {
        let dir = dir.trim_end_matches('/');
        if !dir.is_empty() {
            check(dir)?;
        }
        let (above, _) = dir.rsplit_once('/').unwrap_or(("", dir));
        self.load(&[above])?;
        let top = match self.walk(dir)? {
            Walk::Found(Mode::Directory, id) | Walk::Missing(id) => id,
            Walk::Found(Mode::File | Mode::Executable, _) => return Ok(vec![dir.to_string()]),
            Walk::Found(Mode::Symlink | Mode::Submodule, _) | Walk::Absent => return Ok(Vec::new()),
        };
        let mut whole = false;
        let mut files = Vec::new();
        // Depth first with the last on top, so that the files come in git's order.
        let mut open = vec![(dir.to_string(), Mode::Directory, top)];
        while let Some((path, mode, id)) = open.pop() {
            if mode != Mode::Directory {
                files.push(path);
                continue;
            }
            if !whole && !self.store.has(&id) {
                whole = true;
                self.session.fetch(Want::TreesBelow(top), self.store)?;
            }
            if !self.store.has(&id) {
                self.session.fetch(Want::Objects(&[id]), self.store)?;
            }
            let tree = self.store.objects.get(&id).ok_or_else(|| unusable(&path, "its tree did not come"))?;
            let mut below = Vec::new();
            for entry in object::entries(self.store.format, &tree.data) {
                let entry = entry.map_err(|bad| unusable(&path, &bad.to_string()))?;
                if matches!(entry.mode, Mode::Directory | Mode::File | Mode::Executable) {
                    let name = String::from_utf8_lossy(entry.name);
                    below.push((commit::join(&path, &name), entry.mode, entry.id));
                }
            }
            open.extend(below.into_iter().rev());
        }
        Ok(files)
    }

    fn history(&mut self, path: &str, limit: usize) -> Result<Vec<CommitInfo>, GitError> {
        check(path)?;
        let Some(tip) = self.commit else {
            return Ok(Vec::new());
        };
        let mut depth = 32;
        loop {
            self.session.fetch(Want::History { tip, depth }, self.store)?;
            let (found, complete) = self.touching(tip, path, limit)?;
            if found.len() >= limit || complete {
                return Ok(found);
            }
            depth = depth.saturating_mul(4);
        }
    }

    /// The commits that changed `path`, among those that are here, and whether these are all.
    ///
    /// As git simplifies history: a commit whose entry is that of one of its parents did not
    /// change it, and only that parent is followed.
    fn touching(&mut self, tip: Oid, path: &str, limit: usize) -> Result<(Vec<CommitInfo>, bool), GitError> {
        self.load_in_all(tip, path)?;
        let mut found = Vec::new();
        let mut complete = true;
        let mut seen = HashSet::from([tip]);
        let mut open = BinaryHeap::from([(header(self.store, &tip)?.time, tip)]);
        while let Some((_, id)) = open.pop() {
            let this = header(self.store, &id)?;
            let entry = self.entry_of(&this, path)?;
            if this.parents.iter().any(|parent| !self.store.has(parent)) {
                complete = false;
                continue;
            }
            let mut parents = Vec::new();
            let mut same = None;
            for parent in &this.parents {
                let above = header(self.store, parent)?;
                if self.entry_of(&above, path)? == entry {
                    same = Some((above.time, *parent));
                    break;
                }
                parents.push((above.time, *parent));
            }
            let changed = match same {
                Some(_) => false,
                None => !this.parents.is_empty() || entry.is_some(),
            };
            if changed {
                found.push(CommitInfo {
                    id: id.to_string(),
                    author: this.author,
                    seconds: this.time,
                    message: this.message,
                });
                if found.len() >= limit {
                    break;
                }
            }
            let follow = same.map_or(parents, |parent| vec![parent]);
            open.extend(follow.into_iter().filter(|(_, id)| seen.insert(*id)));
        }
        Ok((found, complete))
    }

    /// Fetches what `path` leads to in every commit that is here, level by level.
    fn load_in_all(&mut self, tip: Oid, path: &str) -> Result<(), GitError> {
        let mut roots = Vec::new();
        let mut seen = HashSet::from([tip]);
        let mut open = vec![tip];
        while let Some(id) = open.pop() {
            let this = header(self.store, &id)?;
            roots.push(this.tree);
            open.extend(this.parents.into_iter().filter(|p| self.store.has(p) && seen.insert(*p)));
        }
        loop {
            let mut missing = Vec::new();
            for root in &roots {
                if let Walk::Missing(id) = walk_from(self.store, *root, path)? {
                    missing.push(id);
                }
            }
            missing.sort_unstable();
            missing.dedup();
            if missing.is_empty() {
                return Ok(());
            }
            self.session.fetch(Want::Objects(&missing), self.store)?;
        }
    }

    fn entry_of(&self, commit: &CommitHeader, path: &str) -> Result<Option<Oid>, GitError> {
        Ok(match walk_from(self.store, commit.tree, path)? {
            Walk::Found(_, id) => Some(id),
            Walk::Absent | Walk::Missing(_) => None,
        })
    }

    /// Which of `commits` is the tip or lies below it. Goes back to `since`, which lies below all.
    pub(crate) fn landed(&mut self, commits: &[Oid], since: Option<Oid>) -> Result<Option<Oid>, GitError> {
        let Some(tip) = self.commit else {
            return Ok(None);
        };
        let mut depth = 16;
        loop {
            let mut complete = true;
            let mut seen = HashSet::from([tip]);
            let mut open = vec![tip];
            while let Some(id) = open.pop() {
                if commits.contains(&id) {
                    return Ok(Some(id));
                }
                if since == Some(id) {
                    continue;
                }
                if !self.store.has(&id) {
                    complete = false;
                    continue;
                }
                let parents = header(self.store, &id)?.parents;
                open.extend(parents.into_iter().filter(|parent| seen.insert(*parent)));
            }
            if complete {
                return Ok(None);
            }
            self.session.fetch(Want::History { tip, depth }, self.store)?;
            depth = depth.saturating_mul(4);
        }
    }
}

impl TipReader for Tip<'_> {
    fn commit(&self) -> &str {
        &self.hex
    }

    fn branch(&self) -> &str {
        &self.branch
    }

    fn read(&mut self, path: &str) -> Result<Option<Vec<u8>>, GitError> {
        let result = self.read_file(path);
        self.remember(result)
    }

    fn list(&mut self, dir: &str) -> Result<Vec<String>, GitError> {
        let result = self.list_files(dir);
        self.remember(result)
    }

    fn log(&mut self, path: &str, limit: usize) -> Result<Vec<CommitInfo>, GitError> {
        let result = self.history(path, limit);
        self.remember(result)
    }

    fn prefetch(&mut self, paths: &[&str]) -> Result<(), GitError> {
        let result = paths.iter().try_for_each(|path| check(path)).and_then(|()| self.load(paths));
        self.remember(result)
    }
}

/// Follows a path from a tree as far as the store goes.
pub(crate) fn walk_from(store: &Store, root: Oid, path: &str) -> Result<Walk, GitError> {
    let mut at = (Mode::Directory, root);
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if at.0 != Mode::Directory {
            return Ok(Walk::Absent);
        }
        let Some(tree) = store.objects.get(&at.1) else {
            return Ok(Walk::Missing(at.1));
        };
        if tree.kind != Kind::Tree {
            return Err(unusable(path, "the repository holds something else in place of a tree"));
        }
        let mut next = None;
        for entry in object::entries(store.format, &tree.data) {
            let entry = entry.map_err(|bad| unusable(path, &bad.to_string()))?;
            if entry.name == part.as_bytes() {
                next = Some((entry.mode, entry.id));
                break;
            }
        }
        match next {
            Some(next) => at = next,
            None => return Ok(Walk::Absent),
        }
    }
    Ok(Walk::Found(at.0, at.1))
}

fn header(store: &Store, id: &Oid) -> Result<CommitHeader, GitError> {
    store
        .objects
        .get(id)
        .filter(|object| object.kind == Kind::Commit)
        .and_then(|object| object::parse_commit(&object.data))
        .ok_or_else(|| unusable(&id.to_string(), "it is no commit that can be read"))
}

pub(crate) fn unusable(path: &str, reason: &str) -> GitError {
    GitError::Path { path: path.to_string(), reason: reason.to_string() }
}

/// Refuses what git would refuse to check out (`verify_path` in git).
pub(crate) fn check(path: &str) -> Result<(), GitError> {
    if path.is_empty() {
        return Err(unusable(path, "it is empty"));
    }
    if path.contains('\0') || path.contains('\\') {
        return Err(unusable(path, "it has a zero byte or a backslash"));
    }
    for part in path.split('/') {
        let reason = match part {
            "" => "it has an empty part: give it without `/` at the start or end",
            "." | ".." => "it has a `.` or `..` part",
            part if part.eq_ignore_ascii_case(".git") => "it goes into `.git`",
            _ => continue,
        };
        return Err(unusable(path, reason));
    }
    Ok(())
}
