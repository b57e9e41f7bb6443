//! One commit on top of another: its files, its text, its signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::fault::GitError;
use crate::object::{self, Kind, Mode, ObjectFormat, Oid};

/// What to write on the branch: whole contents of files, and the commit around them.
#[derive(Debug, Clone)]
pub struct Change {
    /// Path from the root of the repository (`/` between parts, no leading one) and new content.
    /// A file that is there keeps its mode; a new one is `100644`; directories are made.
    pub files: Vec<(String, Vec<u8>)>,
    /// Author, message and signature.
    pub commit: CommitSpec,
}

/// The text of a commit.
#[derive(Clone)]
pub struct CommitSpec {
    /// Who made the change.
    pub author: Identity,
    /// Who wrote the commit.
    pub committer: Identity,
    /// The message; a final newline is added if it has none.
    pub message: String,
    /// Signs the commit, if it is to be signed.
    pub signer: Option<Signer>,
}

/// Gets the bytes of the unsigned commit object, gives back the armoured signature
/// (`-----BEGIN SSH SIGNATURE-----…` or `-----BEGIN PGP SIGNATURE-----…`), or why it cannot.
pub type Signer = Arc<dyn Fn(&[u8]) -> Result<String, String> + Send + Sync>;

impl std::fmt::Debug for CommitSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitSpec")
            .field("author", &self.author)
            .field("committer", &self.committer)
            .field("message", &self.message)
            .field("signed", &self.signer.is_some())
            .finish()
    }
}

/// A name, an address, a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The name. `<`, `>` and line breaks are left out, as git does.
    pub name: String,
    /// The e-mail address. `<`, `>` and line breaks are left out, as git does.
    pub email: String,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Minutes east of UTC.
    pub offset_minutes: i32,
}

impl Identity {
    /// A name and an address, now, in UTC.
    pub fn now(name: impl Into<String>, email: impl Into<String>) -> Self {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64);
        Self { name: name.into(), email: email.into(), seconds, offset_minutes: 0 }
    }

    fn line(&self) -> String {
        let clean = |text: &str| {
            let kept: String =
                text.chars().filter(|c| !matches!(c, '<' | '>' | '\n' | '\r' | '\0')).collect();
            kept.trim().to_string()
        };
        let minutes = self.offset_minutes.unsigned_abs();
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        format!(
            "{} <{}> {} {sign}{:02}{:02}",
            clean(&self.name),
            clean(&self.email),
            self.seconds,
            minutes / 60,
            minutes % 60
        )
    }
}

/// An object to be sent.
#[derive(Debug, Clone)]
pub(crate) struct NewObject {
    pub(crate) id: Oid,
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
    /// A tree of the tip that differs by one entry: the first and last so many bytes are equal.
    pub(crate) base: Option<Base>,
}

/// What a new object shares with one that the server has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    pub(crate) id: Oid,
    pub(crate) len: usize,
    pub(crate) prefix: usize,
    pub(crate) suffix: usize,
}

/// A commit with everything that is new in it, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct NewCommit {
    pub(crate) id: Oid,
    pub(crate) objects: Vec<NewObject>,
}

/// The trees of the tip that lie on the paths of a change, by path ("" is the root).
/// A path that is not in it is a directory that does not exist.
pub(crate) type Trees = BTreeMap<String, (Oid, Vec<u8>)>;

/// Builds the blobs, trees and commit of `change` on top of `parent`.
///
/// Pure: reads nothing. `Ok(None)` if the new tree is that of the parent.
///
/// # Errors
/// [`GitError::Path`] if a directory of a path is a file in the tip or the other way round;
/// [`GitError::Sign`] if the signer refuses.
pub(crate) fn build(
    format: ObjectFormat,
    parent: Option<(Oid, Oid)>,
    trees: &Trees,
    change: &Change,
) -> Result<Option<NewCommit>, GitError> {
    let mut objects = Vec::new();
    let mut work: BTreeMap<String, WorkTree> =
        trees.iter().map(|(path, (id, data))| (path.clone(), WorkTree::of_tip(*id, data))).collect();
    work.entry(String::new()).or_default();
    for (path, content) in &change.files {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut prefix = String::new();
        for part in directory.split('/').filter(|part| !part.is_empty()) {
            prefix = join(&prefix, part);
            work.entry(prefix.clone()).or_default();
        }
        let id = format.id(Kind::Blob, content);
        let tree = work.entry(directory.to_string()).or_default();
        let mode = tree.file_mode(format, name, path)?;
        if tree.set(format, name, mode, id, path)? {
            objects.push(NewObject { id, kind: Kind::Blob, data: content.clone(), base: None });
        }
    }
    // Longest paths first: a directory is finished before its parent names it.
    let mut paths: Vec<String> = work.keys().cloned().collect();
    paths.sort_by_key(|path| std::cmp::Reverse((path.matches('/').count(), !path.is_empty())));
    let mut root = None;
    for path in paths {
        let Some(tree) = work.remove(&path) else {
            continue;
        };
        let id = format.id(Kind::Tree, &tree.data);
        if path.is_empty() {
            root = Some(id);
        } else if tree.changed {
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let above = work.entry(above.to_string()).or_default();
            above.set(format, name, Mode::Directory, id, &path)?;
        }
        if tree.changed {
            objects.push(NewObject { id, kind: Kind::Tree, base: tree.base(), data: tree.data });
        }
    }
    let tree = root.unwrap_or_else(|| format.id(Kind::Tree, b""));
    if parent.is_some_and(|(_, old)| old == tree) || objects.is_empty() {
        return Ok(None);
    }
    let data = commit_bytes(format, tree, parent.map(|(id, _)| id), &change.commit)?;
    let id = format.id(Kind::Commit, &data);
    objects.reverse();
    objects.insert(0, NewObject { id, kind: Kind::Commit, data, base: None });
    let mut seen = std::collections::HashSet::new();
    objects.retain(|object| seen.insert(object.id));
    Ok(Some(NewCommit { id, objects }))
}

/// A tree that entries are set in. Remembers what it still shares with the tip's.
#[derive(Debug, Default)]
struct WorkTree {
    tip: Option<(Oid, usize)>,
    data: Vec<u8>,
    prefix: usize,
    suffix: usize,
    changed: bool,
}

impl WorkTree {
    fn of_tip(id: Oid, data: &[u8]) -> Self {
        Self {
            tip: Some((id, data.len())),
            data: data.to_vec(),
            prefix: data.len(),
            suffix: data.len(),
            changed: false,
        }
    }

    fn find(&self, format: ObjectFormat, name: &str, path: &str) -> Result<Option<(Mode, Oid)>, GitError> {
        for entry in object::entries(format, &self.data) {
            let entry = entry.map_err(|bad| unusable(path, &bad.to_string()))?;
            if entry.name == name.as_bytes() {
                return Ok(Some((entry.mode, entry.id)));
            }
        }
        Ok(None)
    }

    /// The mode a file is written with: its own, if it is there.
    fn file_mode(&self, format: ObjectFormat, name: &str, path: &str) -> Result<Mode, GitError> {
        match self.find(format, name, path)? {
            None => Ok(Mode::File),
            Some((mode @ (Mode::File | Mode::Executable), _)) => Ok(mode),
            Some((Mode::Directory, _)) => Err(unusable(path, "it is a directory")),
            Some((Mode::Symlink, _)) => Err(unusable(path, "it is a symbolic link")),
            Some((Mode::Submodule, _)) => Err(unusable(path, "it is a submodule")),
        }
    }

    /// Sets an entry. `false` if it was there already.
    fn set(
        &mut self,
        format: ObjectFormat,
        name: &str,
        mode: Mode,
        id: Oid,
        path: &str,
    ) -> Result<bool, GitError> {
        match self.find(format, name, path)? {
            Some(found) if found == (mode, id) => return Ok(false),
            Some((found, _)) if (found == Mode::Directory) != (mode == Mode::Directory) => {
                return Err(unusable(path, "a part of it is a file, not a directory"));
            }
            _ => {}
        }
        let splice = object::set_entry(format, &self.data, name.as_bytes(), mode, id)
            .map_err(|bad| unusable(path, &bad.to_string()))?;
        self.prefix = self.prefix.min(splice.prefix);
        self.suffix = self.suffix.min(splice.suffix);
        self.data = splice.data;
        self.changed = true;
        Ok(true)
    }

    fn base(&self) -> Option<Base> {
        let (id, len) = self.tip?;
        // Two splices may meet: then prefix and suffix would overlap.
        (self.prefix + self.suffix <= len.min(self.data.len())).then_some(Base {
            id,
            len,
            prefix: self.prefix,
            suffix: self.suffix,
        })
    }
}

fn unusable(path: &str, reason: &str) -> GitError {
    GitError::Path { path: path.to_string(), reason: reason.to_string() }
}

pub(crate) fn join(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_string() } else { format!("{directory}/{name}") }
}

/// A commit object's bytes, signed if asked for (`gpgsig`, continuation lines start with a space).
fn commit_bytes(
    format: ObjectFormat,
    tree: Oid,
    parent: Option<Oid>,
    spec: &CommitSpec,
) -> Result<Vec<u8>, GitError> {
    let mut header = format!("tree {tree}\n");
    if let Some(parent) = parent {
        header.push_str(&format!("parent {parent}\n"));
    }
    header.push_str(&format!("author {}\ncommitter {}\n", spec.author.line(), spec.committer.line()));
    let mut message = spec.message.replace('\0', "");
    if !message.ends_with('\n') {
        message.push('\n');
    }
    let Some(signer) = &spec.signer else {
        return Ok(format!("{header}\n{message}").into_bytes());
    };
    let unsigned = format!("{header}\n{message}");
    let signature = signer(unsigned.as_bytes()).map_err(|reason| GitError::Sign { reason })?;
    let name = match format {
        ObjectFormat::Sha1 => "gpgsig",
        ObjectFormat::Sha256 => "gpgsig-sha256",
    };
    let folded = signature.trim_end().replace('\n', "\n ");
    Ok(format!("{header}{name} {folded}\n\n{message}").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: ObjectFormat = ObjectFormat::Sha1;

    fn change(files: &[(&str, &str)]) -> Change {
        let someone = Identity {
            name: "A <B>\n".into(),
            email: "a@b".into(),
            seconds: 1_700_000_000,
            offset_minutes: -90,
        };
        Change {
            files: files
                .iter()
                .map(|(path, content)| (path.to_string(), content.as_bytes().to_vec()))
                .collect(),
            commit: CommitSpec {
                author: someone.clone(),
                committer: someone,
                message: "subject".into(),
                signer: None,
            },
        }
    }

    fn tree_of(commit: &NewCommit) -> Oid {
        object::parse_commit(&commit.objects[0].data).unwrap().tree
    }

    fn trees_of(commit: &NewCommit, paths: &[&str]) -> Trees {
        // The trees of a commit in the order they were sent: root first.
        let trees = commit.objects.iter().filter(|o| o.kind == Kind::Tree);
        paths.iter().zip(trees).map(|(path, tree)| (path.to_string(), (tree.id, tree.data.clone()))).collect()
    }

    #[test]
    fn a_commit_is_written_as_git_writes_it() {
        let commit = build(FORMAT, None, &Trees::new(), &change(&[("a/b.yaml", "x\n")])).unwrap().unwrap();
        assert_eq!(
            String::from_utf8(commit.objects[0].data.clone()).unwrap(),
            format!(
                "tree {}\nauthor A B <a@b> 1700000000 -0130\ncommitter A B <a@b> 1700000000 -0130\n\nsubject\n",
                tree_of(&commit)
            )
        );
        let kinds: Vec<Kind> = commit.objects.iter().map(|object| object.kind).collect();
        assert_eq!(kinds, [Kind::Commit, Kind::Tree, Kind::Tree, Kind::Blob]);
    }

    #[test]
    fn the_same_content_again_is_no_commit() {
        let first = change(&[("a/b.yaml", "x\n")]);
        let commit = build(FORMAT, None, &Trees::new(), &first).unwrap().unwrap();
        let trees = trees_of(&commit, &["", "a"]);
        let parent = Some((commit.id, tree_of(&commit)));
        assert!(build(FORMAT, parent, &trees, &first).unwrap().is_none());
        let second = build(FORMAT, parent, &trees, &change(&[("a/b.yaml", "y\n")])).unwrap().unwrap();
        assert_eq!(second.objects.len(), 4);
        let base = second.objects[1].base.unwrap();
        assert_eq!((base.prefix, base.suffix, base.len), (0, 0, trees[""].1.len()));
    }

    #[test]
    fn a_file_in_the_place_of_a_directory_is_refused() {
        let commit = build(FORMAT, None, &Trees::new(), &change(&[("a/b", "x")])).unwrap().unwrap();
        let trees = trees_of(&commit, &["", "a"]);
        let parent = Some((commit.id, tree_of(&commit)));
        for (path, reason) in
            [("a", "it is a directory"), ("a/b/c", "a part of it is a file, not a directory")]
        {
            let error = build(FORMAT, parent, &trees, &change(&[(path, "y")])).unwrap_err();
            assert_eq!(
                error.to_string(),
                format!(
                    "`{}` cannot be used in the repository, {reason}",
                    if path == "a" { "a" } else { "a/b" }
                )
            );
        }
    }

    #[test]
    fn the_signer_gets_the_commit_and_its_answer_is_folded_into_the_header() {
        let mut change = change(&[("a", "x")]);
        change.commit.signer = Some(Arc::new(|data| {
            assert!(data.ends_with(b"\n\nsubject\n"));
            Ok("-----BEGIN\nabc\n-----END\n".to_string())
        }));
        let commit = build(FORMAT, None, &Trees::new(), &change).unwrap().unwrap();
        let text = String::from_utf8(commit.objects[0].data.clone()).unwrap();
        assert!(text.ends_with("\ngpgsig -----BEGIN\n abc\n -----END\n\nsubject\n"));
        change.commit.signer = Some(Arc::new(|_| Err("no key".to_string())));
        let error = build(FORMAT, None, &Trees::new(), &change).unwrap_err();
        assert_eq!(error.to_string(), "the commit cannot be signed: no key");
    }
}
