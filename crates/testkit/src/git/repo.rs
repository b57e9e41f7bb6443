//! Bare repositories in directories of their own.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A bare repository that is gone with this value.
#[derive(Debug)]
pub struct BareRepo {
    dir: TempDir,
}

/// Runs `git` in a directory with nobody's configuration; gives its standard output.
///
/// # Panics
/// If it fails.
#[track_caller]
pub fn git(dir: &Path, args: &[&str]) -> String {
    output_of(command(dir).args(args))
}

/// The standard output of a `git` that must not fail.
#[track_caller]
pub(crate) fn output_of(git: &mut Command) -> String {
    let output = git.output().unwrap();
    assert!(
        output.status.success(),
        "{git:?}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(dir)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "Setup")
        .env("GIT_AUTHOR_EMAIL", "setup@example.org")
        .env("GIT_COMMITTER_NAME", "Setup")
        .env("GIT_COMMITTER_EMAIL", "setup@example.org");
    command
}

impl BareRepo {
    /// An empty one, whose `HEAD` names `main`.
    pub fn empty() -> Self {
        Self::with_format("sha1")
    }

    /// An empty one with a hash function, `sha1` or `sha256`.
    pub fn with_format(format: &str) -> Self {
        let dir = TempDir::with_prefix("git-").unwrap();
        let repo = Self { dir };
        std::fs::create_dir(repo.path()).unwrap();
        git(&repo.path(), &["init", "-q", "--bare", "-b", "main", "--object-format", format, "."]);
        for hook in std::fs::read_dir(repo.path().join("hooks")).into_iter().flatten() {
            std::fs::remove_file(hook.unwrap().path()).unwrap();
        }
        repo.config("http.receivepack", "true");
        repo.config("uploadpack.allowFilter", "true");
        // Otherwise a hundred pushes begin to pack in the background.
        repo.config("gc.auto", "0");
        repo.config("receive.autogc", "false");
        repo
    }

    /// One with these files in a first commit.
    pub fn with_files(files: &[(&str, &str)]) -> Self {
        let repo = Self::empty();
        repo.import(1, files.iter().map(|(path, content)| (path.to_string(), content.to_string())));
        repo
    }

    /// One of about so many files below `images/team-NNN/app-NN/`, ten branches an app, twenty
    /// apps a team, and with so many commits.
    pub fn of_size(files: usize, commits: usize) -> Self {
        let repo = Self::empty();
        let all = (0..files).map(|n| {
            let (team, app, branch) = (n / 200, n / 10 % 20, n % 10);
            let path = format!("images/team-{team:03}/app-{app:02}/branch-{branch}.yaml");
            (path, format!("# built by CI, do not edit\nimage: registry.example.org/team-{team}/app-{app}:build-{n}\n"))
        });
        let config = ("kit.yaml".to_string(), "images:\n  path: images\n  property: image\n".to_string());
        repo.import(commits, all.chain([config]));
        // With a reverse index, as git writes by itself since 2.41: without it each process of a server sorts the whole pack.
        git(&repo.path(), &["-c", "pack.window=2", "-c", "pack.writeReverseIndex=true", "repack", "-adq"]);
        repo
    }

    /// Adds commits to `main`: the first with all files, further ones touch `log`.
    fn import(&self, commits: usize, files: impl Iterator<Item = (String, String)>) {
        let mut child =
            command(&self.path()).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
        let mut to = std::io::BufWriter::new(child.stdin.take().unwrap());
        for n in 0..commits {
            let time = 1_700_000_000 + n;
            write!(to, "commit refs/heads/main\ncommitter Setup <setup@example.org> {time} +0000\n").unwrap();
            write!(to, "data 6\nsetup\n\n").unwrap();
            if n > 0 {
                let log = format!("{n}\n");
                write!(to, "M 100644 inline log\ndata {}\n{log}\n", log.len()).unwrap();
            }
            if n + 1 == commits {
                break;
            }
        }
        // The files belong to the last commit.
        for (path, content) in files {
            write!(to, "M 100644 inline {path}\ndata {}\n{content}\n", content.len()).unwrap();
        }
        drop(to);
        assert!(child.wait().unwrap().success());
    }

    /// Its directory, which is called `repo.git`.
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("repo.git")
    }

    /// The directory it is in, for servers to serve.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// Runs `git` in it.
    pub fn git(&self, args: &[&str]) -> String {
        git(&self.path(), args)
    }

    /// Sets a configuration variable.
    pub fn config(&self, key: &str, value: &str) {
        self.git(&["config", key, value]);
    }

    /// Installs a hook, a script for `sh`.
    pub fn hook(&self, name: &str, script: &str) {
        let path = self.path().join("hooks").join(name);
        std::fs::create_dir_all(self.path().join("hooks")).unwrap();
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// The commit of a branch, or of whatever names one.
    pub fn commit(&self, name: &str) -> String {
        self.git(&["rev-parse", name]).trim().to_string()
    }

    /// A file's content at a commit.
    pub fn file(&self, commit: &str, path: &str) -> String {
        self.git(&["show", &format!("{commit}:{path}")])
    }

    /// All files of a commit with their contents.
    pub fn files(&self, commit: &str) -> BTreeMap<String, String> {
        let names = self.git(&["ls-tree", "-r", "--name-only", commit]);
        names.lines().map(|name| (name.to_string(), self.file(commit, name))).collect()
    }

    /// The subjects of all commits of a branch, newest first. Fails if a commit is a merge.
    ///
    /// # Panics
    /// If the history is not a line, or an object is broken or missing.
    pub fn linear_subjects(&self, branch: &str) -> Vec<String> {
        self.git(&["fsck", "--strict", "--connectivity-only"]);
        assert_eq!(self.git(&["rev-list", "--min-parents=2", branch]), "", "there is a merge");
        self.git(&["log", "--format=%s", branch]).lines().map(str::to_string).collect()
    }
}
