//! The repository that is followed: how it is reached, and its files on this disk while they are deployed.

use std::io;
use std::path::{Path, PathBuf};

use cli::{Failure, Problem};
use gitrepo::{Auth, RemoteSpec, Secret, Snapshot, environment};

use crate::args::GitArgs;
use crate::parse;

/// How the repository is reached, from flags and environment.
///
/// # Errors
/// No repository, or a token that cannot be used.
pub(crate) fn remote(
    args: &GitArgs,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<RemoteSpec, Failure> {
    let url = parse::given(&args.repo).ok_or_else(|| {
        Failure::invalid(
            Problem::new("there is no repository to follow: `--repo` is missing")
                .hint("--repo https://git.example.org/acme/manifests (or set `KIT_REPO`)"),
        )
    })?;
    let token = match &args.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| {
                let what = format!("cannot read the token: `{}`", file.display());
                Failure::invalid(Problem::from_error(&error).context(what))
            })?;
            Some(Secret::new(text.trim()))
        }
        None => environment::token(&url, variable),
    };
    if token.as_ref().is_some_and(|token| token.is_empty() || !token.is_sendable()) {
        return Err(Failure::invalid(
            Problem::new("the token for the repository is empty, or holds white space")
                .hint("set it without quotes and line breaks around it"),
        ));
    }
    let mut remote = RemoteSpec::new(url);
    remote.branch = parse::given(&args.repo_branch);
    remote.auth = token.map_or(Auth::None, |token| Auth::Token { token, username: None });
    remote.ca_file = args.ca_file.clone().or_else(|| variable("GIT_SSL_CAINFO").map(PathBuf::from));
    remote.proxy = environment::proxy(variable);
    remote.ssh_command = parse::given(&args.ssh_command);
    remote.agent = concat!("kit-deployer/", env!("CARGO_PKG_VERSION")).to_owned();
    Ok(remote)
}

/// A path of the repository as git spells it: `./generated/` is `generated`.
pub(crate) fn folder(path: &str) -> String {
    path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/")
}

/// The files of a commit in a folder of their own, replaced as a whole when the branch moves.
#[derive(Debug)]
pub(crate) struct Checkout {
    root: tempfile::TempDir,
    current: Option<PathBuf>,
    count: u64,
}

impl Checkout {
    /// In the system's folder for temporary files.
    ///
    /// # Errors
    /// What the file system does.
    pub(crate) fn new() -> io::Result<Self> {
        let root = tempfile::Builder::new().prefix("kit-sync-").tempdir()?;
        Ok(Self { root, current: None, count: 0 })
    }

    /// The files of the last commit, if there was one.
    pub(crate) fn current(&self) -> Option<&Path> {
        self.current.as_deref()
    }

    /// Writes the files of `snapshot`; those of the commit before go when they are all here.
    ///
    /// # Errors
    /// What the file system does; the files of before stay then.
    pub(crate) fn replace(&mut self, snapshot: &Snapshot) -> io::Result<&Path> {
        self.count += 1;
        let dir = self.root.path().join(self.count.to_string());
        std::fs::create_dir(&dir)?;
        for (path, data) in &snapshot.files {
            // gitrepo has checked that no part of a path leads out of its folder.
            let file = dir.join(path);
            if let Some(parent) = file.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(file, data)?;
        }
        if let Some(before) = self.current.replace(dir) {
            std::fs::remove_dir_all(before)?;
        }
        Ok(self.current.as_deref().unwrap_or(self.root.path()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_spelled_as_git_does() {
        assert_eq!(folder("./generated//eu/"), "generated/eu");
        assert_eq!(folder("."), "");
        assert_eq!(folder("../x"), "../x");
    }

    #[test]
    fn a_commit_replaces_the_one_before() {
        let snapshot = |path: &str| Snapshot {
            commit: "c".into(),
            branch: "main".into(),
            files: [(path.to_owned(), b"x".to_vec())].into(),
            missing: Vec::new(),
        };
        let mut checkout = Checkout::new().unwrap();
        let first = checkout.replace(&snapshot("generated/eu-1/a.yaml")).unwrap().to_owned();
        assert!(first.join("generated/eu-1/a.yaml").is_file());
        let second = checkout.replace(&snapshot("generated/eu-1/b.yaml")).unwrap().to_owned();
        assert!(second.join("generated/eu-1/b.yaml").is_file() && !first.exists());
        assert_eq!(checkout.current(), Some(second.as_path()));
    }
}
