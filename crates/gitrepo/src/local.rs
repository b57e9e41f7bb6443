//! A repository on this machine, read and written by libgit2 in this process.
//!
//! Objects are written loose, then the ref is moved under its lock if it still is what we read:
//! the same order and the same lock as `git receive-pack`. libgit2 runs no hooks, knows neither
//! work trees' rules nor SHA-256; [`LocalRepo::open`] gives those repositories to `git` itself.

use std::path::{Path, PathBuf};
use std::time::Instant;

use git2::{ErrorCode, ObjectType, Repository};

use crate::fault::GitError;
use crate::object::{self, Kind, Object, ObjectFormat, Oid};
use crate::session::{PushFault, PushReply, PushRequest, Refs, Session, Store, Traffic, Want};

/// A bare repository without hooks.
pub(crate) struct LocalRepo {
    path: PathBuf,
    repo: Repository,
    /// Whether it is one of ours that holds a part of a history.
    partial: bool,
}

/// How a directory is to be used.
pub(crate) enum Local {
    /// Through libgit2.
    Direct(LocalRepo),
    /// Through `git upload-pack` and `git receive-pack`, because of this.
    ThroughGit(&'static str),
}

impl LocalRepo {
    /// Opens the repository at `path` (or `path/.git`).
    ///
    /// # Errors
    /// [`GitError::NotFound`] if there is none, [`GitError::Local`] if it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Local, GitError> {
        let mut with_suffix = path.as_os_str().to_owned();
        with_suffix.push(".git");
        let found = [path.to_path_buf(), path.join(".git"), with_suffix.into()]
            .into_iter()
            .find(|dir| dir.join("HEAD").is_file() || dir.is_file());
        let Some(found) = found else {
            return Err(GitError::NotFound {
                url: path.display().to_string(),
                server: if path.exists() {
                    "the directory holds no git repository".to_string()
                } else {
                    "there is no such directory".to_string()
                },
            });
        };
        let repo = match Repository::open(&found) {
            Ok(repo) => repo,
            Err(error) if error.message().contains("extension") || error.message().contains("version") => {
                return Ok(Local::ThroughGit("its format is not one that libgit2 reads"));
            }
            Err(error) => return Err(local(path, "opening it", &error)),
        };
        if !repo.is_bare() {
            return Ok(Local::ThroughGit("it has a work tree"));
        }
        let config = repo.config().map_err(|e| local(path, "reading its configuration", &e))?;
        let set = |key| config.get_entry(key).is_ok();
        if set("core.hooksPath") || has_hooks(repo.path()) {
            return Ok(Local::ThroughGit("it has hooks"));
        }
        if ["receive.denyUpdates", "receive.fsckObjects", "receive.certNonceSeed", "core.sharedRepository"]
            .into_iter()
            .any(set)
        {
            return Ok(Local::ThroughGit("it has rules for pushes (`receive.*`, `core.sharedRepository`)"));
        }
        if config.get_string("extensions.objectformat").is_ok_and(|f| f != "sha1")
            || config.get_string("extensions.refstorage").is_ok_and(|f| f != "files")
        {
            return Ok(Local::ThroughGit("its format is not one that libgit2 writes"));
        }
        Ok(Local::Direct(Self { path: path.to_path_buf(), repo, partial: false }))
    }

    /// A new one, for a part of a history that was fetched.
    pub(crate) fn scratch(path: &Path) -> Result<Self, GitError> {
        let repo = Repository::init_bare(path).map_err(|e| local(path, "making it", &e))?;
        Ok(Self { path: path.to_path_buf(), repo, partial: true })
    }

    /// Its objects.
    pub(crate) fn odb(&self) -> Result<git2::Odb<'_>, git2::Error> {
        self.repo.odb()
    }

    fn fault(&self, action: &'static str, error: &git2::Error) -> GitError {
        local(&self.path, action, error)
    }

    fn has(&self, id: Oid) -> bool {
        let raw = git2::Oid::from_bytes(id.raw());
        raw.is_ok_and(|raw| self.repo.odb().is_ok_and(|odb| odb.exists(raw)))
    }

    fn get(&self, id: Oid, store: &mut Store) -> Result<(), GitError> {
        if store.has(&id) {
            return Ok(());
        }
        let action = "reading an object";
        let odb = self.repo.odb().map_err(|e| self.fault(action, &e))?;
        let raw = git2::Oid::from_bytes(id.raw()).map_err(|e| self.fault(action, &e))?;
        let object = odb.read(raw).map_err(|e| self.fault(action, &e))?;
        let kind = match object.kind() {
            ObjectType::Commit => Kind::Commit,
            ObjectType::Tree => Kind::Tree,
            ObjectType::Tag => Kind::Tag,
            ObjectType::Blob | ObjectType::Any => Kind::Blob,
        };
        let data = object.data().to_vec();
        store.objects.insert(id, Object { kind, data });
        Ok(())
    }

    fn write(&self, request: &PushRequest<'_>) -> Result<(), git2::Error> {
        let odb = self.repo.odb()?;
        // The commit comes first in the request: it is written last, when all it names is there.
        for object in request.objects.iter().rev() {
            let kind = match object.kind {
                Kind::Commit => ObjectType::Commit,
                Kind::Tree => ObjectType::Tree,
                Kind::Blob => ObjectType::Blob,
                Kind::Tag => ObjectType::Tag,
            };
            odb.write(kind, &object.data)?;
        }
        let new = git2::Oid::from_bytes(request.new.raw())?;
        match request.old {
            Some(old) => {
                let old = git2::Oid::from_bytes(old.raw())?;
                self.repo.reference_matching(request.name, new, true, old, "push")?;
            }
            None => {
                self.repo.reference(request.name, new, false, "push")?;
            }
        }
        Ok(())
    }
}

fn has_hooks(git_dir: &Path) -> bool {
    const HOOKS: [&str; 6] =
        ["pre-receive", "update", "post-receive", "post-update", "reference-transaction", "proc-receive"];
    HOOKS.iter().any(|hook| git_dir.join("hooks").join(hook).exists())
}

fn local(path: &Path, action: &'static str, error: &git2::Error) -> GitError {
    GitError::Local { path: path.to_path_buf(), action, reason: error.message().to_string() }
}

impl Session for LocalRepo {
    fn set_deadline(&mut self, _: Option<Instant>) {}

    fn refs(&mut self, prefixes: &[String]) -> Result<Refs, GitError> {
        let action = "reading its branches";
        let mut refs = Refs { format: ObjectFormat::Sha1, ..Refs::default() };
        let head = self.repo.find_reference("HEAD").map_err(|e| self.fault(action, &e))?;
        refs.head = head.symbolic_target().ok().flatten().map(str::to_string);
        refs.head_commit =
            head.resolve().ok().and_then(|head| head.target()).map(|id| Oid::new(id.as_bytes()));
        let all = self.repo.references().map_err(|e| self.fault(action, &e))?;
        for reference in all {
            let reference = reference.map_err(|e| self.fault(action, &e))?;
            let name = String::from_utf8_lossy(reference.name_bytes()).into_owned();
            if let Some(id) = reference.target()
                && prefixes.iter().any(|prefix| name.starts_with(prefix))
            {
                refs.refs.insert(name, Oid::new(id.as_bytes()));
            }
        }
        Ok(refs)
    }

    fn fetch(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError> {
        match want {
            Want::Objects(ids) => ids.iter().try_for_each(|id| self.get(*id, store)),
            // A tree is read when it is asked for: nothing is gained by reading ahead.
            Want::TreesBelow(id) => self.get(id, store),
            Want::Tip(id) | Want::Since { tip: id, .. } => {
                self.get(id, store)?;
                let commit = store.objects.get(&id).and_then(|c| object::parse_commit(&c.data));
                commit.map_or(Ok(()), |commit| self.get(commit.tree, store))
            }
            Want::History { tip, depth } => {
                let mut level = vec![tip];
                for _ in 0..depth {
                    let mut above = Vec::new();
                    for id in level {
                        if self.partial && !self.has(id) {
                            continue;
                        }
                        self.get(id, store)?;
                        let commit = store.objects.get(&id).and_then(|c| object::parse_commit(&c.data));
                        above.extend(commit.into_iter().flat_map(|commit| commit.parents));
                    }
                    above.sort_unstable();
                    above.dedup();
                    level = above;
                }
                Ok(())
            }
        }
    }

    fn push(&mut self, request: &PushRequest<'_>) -> Result<PushReply, PushFault> {
        let mut reply = PushReply::default();
        if let Err(error) = self.write(request) {
            let raced = matches!(
                error.code(),
                ErrorCode::Modified | ErrorCode::Exists | ErrorCode::Locked | ErrorCode::NotFound
            );
            if !raced {
                return Err(PushFault::NotSent(self.fault("writing to it", &error)));
            }
            reply.result = Some(format!("cannot lock ref: {}", error.message()));
        }
        Ok(reply)
    }

    fn traffic(&self) -> Traffic {
        Traffic::default()
    }
}
