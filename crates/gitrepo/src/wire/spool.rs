//! The last resort: the whole tip of a branch in a directory of its own.
//!
//! libgit2 indexes the pack and reads from it, so that memory does not grow with the repository.

use std::io::{self, Read, Write};

use crate::fault::GitError;
use crate::local::LocalRepo;
use crate::object::Oid;
use crate::session::{Session, Store, Want};

/// A repository in a temporary directory.
pub(crate) struct Spool {
    repo: LocalRepo,
    dir: tempfile::TempDir,
    held: Vec<(Oid, u32)>,
}

impl Spool {
    /// An empty one.
    ///
    /// # Errors
    /// [`GitError::Local`] if there is no room for it.
    pub(crate) fn new() -> Result<Self, GitError> {
        let dir = tempfile::Builder::new().prefix("kit-tip-").tempdir().map_err(|error| GitError::Local {
            path: std::env::temp_dir(),
            action: "making a directory for the tip",
            reason: error.to_string(),
        })?;
        let repo = LocalRepo::scratch(dir.path())?;
        Ok(Self { repo, dir, held: Vec::new() })
    }

    /// Whether so many generations of this commit are here.
    pub(crate) fn holds(&self, tip: Oid, depth: u32) -> bool {
        self.held.iter().any(|(held, deep)| *held == tip && *deep >= depth)
    }

    /// A tip that is here with everything in it.
    pub(crate) fn newest(&self) -> Option<Oid> {
        self.held.last().map(|(tip, _)| *tip)
    }

    pub(crate) fn add(&mut self, tip: Oid, depth: u32) {
        self.held.push((tip, depth));
    }

    /// Takes a pack in.
    pub(crate) fn take(&mut self, pack: &mut dyn Read) -> io::Result<()> {
        let odb = self.repo.odb().map_err(io::Error::other)?;
        let mut writer = odb.packwriter().map_err(io::Error::other)?;
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let n = pack.read(&mut buffer)?;
            if n == 0 {
                break;
            }
            writer.write_all(&buffer[..n])?;
        }
        writer.commit().map_err(io::Error::other)?;
        drop(writer);
        odb.refresh().map_err(io::Error::other)
    }

    /// Reads from it. Commits beyond what is here are left out.
    pub(crate) fn fetch(&mut self, want: Want<'_>, store: &mut Store) -> Result<(), GitError> {
        debug_assert!(self.dir.path().exists());
        self.repo.fetch(want, store)
    }
}
