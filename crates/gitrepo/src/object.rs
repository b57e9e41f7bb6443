//! Git objects as bytes: ids, the two hash formats, trees, commits.
//!
//! Only what one commit on top of another needs: ids are computed over `"<kind> <size>\0<data>"`
//! (gitformat-object), trees are read and written entry by entry in git's order, of a commit the
//! header lines `tree`, `parent` and `committer` are read and the rest is carried as it is.

use std::fmt;

use sha1::Digest as _;

/// The hash function of a repository (`extensions.objectFormat`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum ObjectFormat {
    /// What nearly every repository uses: 20 bytes.
    #[default]
    Sha1,
    /// `git init --object-format=sha256`: 32 bytes.
    Sha256,
}

impl ObjectFormat {
    /// Length of an id in bytes.
    pub(crate) fn raw_len(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The word for it in git's protocol and configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            _ => None,
        }
    }

    /// The id of an object.
    pub(crate) fn id(self, kind: Kind, data: &[u8]) -> Oid {
        let header = format!("{} {}\0", kind.name(), data.len());
        self.digest(&[header.as_bytes(), data])
    }

    /// The checksum at the end of a pack.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Oid {
        match self {
            Self::Sha1 => {
                let mut hash = sha1::Sha1::new();
                parts.iter().for_each(|part| hash.update(part));
                Oid::new(&hash.finalize())
            }
            Self::Sha256 => {
                let mut hash = sha2::Sha256::new();
                parts.iter().for_each(|part| hash.update(part));
                Oid::new(&hash.finalize())
            }
        }
    }

    /// `0000…`, which stands for "no such ref" in a push.
    pub(crate) fn null(self) -> Oid {
        Oid { bytes: [0; 32], len: self.raw_len() as u8 }
    }
}

/// An object's id.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid {
    bytes: [u8; 32],
    len: u8,
}

impl Oid {
    /// From raw bytes, 20 or 32 of them.
    pub(crate) fn new(raw: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let len = raw.len().min(32);
        bytes[..len].copy_from_slice(&raw[..len]);
        Self { bytes, len: len as u8 }
    }

    /// From 40 or 64 hexadecimal digits.
    pub(crate) fn parse(hex: &str) -> Option<Self> {
        if hex.len() != 40 && hex.len() != 64 {
            return None;
        }
        let mut raw = [0; 32];
        for (at, pair) in hex.as_bytes().chunks(2).enumerate() {
            let high = (pair[0] as char).to_digit(16)?;
            let low = (pair[1] as char).to_digit(16)?;
            raw[at] = (high << 4 | low) as u8;
        }
        Some(Self::new(&raw[..hex.len() / 2]))
    }

    pub(crate) fn raw(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.raw().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// An object with its content.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
}

/// What an entry of a tree is, by its mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    Directory,
    File,
    Executable,
    Symlink,
    Submodule,
}

impl Mode {
    fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"40000" | b"040000" => Some(Self::Directory),
            // 100664 is what very old versions of git wrote.
            b"100644" | b"100664" | b"100600" => Some(Self::File),
            b"100755" => Some(Self::Executable),
            b"120000" => Some(Self::Symlink),
            b"160000" => Some(Self::Submodule),
            _ => None,
        }
    }

    fn octal(self) -> &'static str {
        match self {
            Self::Directory => "40000",
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Submodule => "160000",
        }
    }
}

/// One line of a tree, and where its bytes stand in it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry<'a> {
    pub(crate) mode: Mode,
    pub(crate) name: &'a [u8],
    pub(crate) id: Oid,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The entries of a tree, in its order. `Err` at the first byte that is not an entry.
pub(crate) fn entries(format: ObjectFormat, tree: &[u8]) -> impl Iterator<Item = Result<Entry<'_>, BadTree>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        if at >= tree.len() {
            return None;
        }
        let parsed = entry(format, tree, at);
        at = match &parsed {
            Ok(entry) => entry.end,
            Err(_) => tree.len(),
        };
        Some(parsed)
    })
}

fn entry(format: ObjectFormat, tree: &[u8], start: usize) -> Result<Entry<'_>, BadTree> {
    let bad = || BadTree { offset: start };
    let rest = &tree[start..];
    let space = rest.iter().position(|b| *b == b' ').ok_or_else(bad)?;
    let nul = rest.iter().position(|b| *b == 0).ok_or_else(bad)?;
    if nul < space {
        return Err(bad());
    }
    let end = nul + 1 + format.raw_len();
    Ok(Entry {
        mode: Mode::parse(&rest[..space]).ok_or_else(bad)?,
        name: &rest[space + 1..nul],
        id: Oid::new(rest.get(nul + 1..end).ok_or_else(bad)?),
        start,
        end: start + end,
    })
}

/// A tree object that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tree of the repository cannot be read at byte {offset}")]
pub(crate) struct BadTree {
    offset: usize,
}

/// A tree with one entry set: its bytes, and the bytes replaced, as a splice of the old tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Splice {
    /// The new tree.
    pub(crate) data: Vec<u8>,
    /// How many bytes at the start are those of the old tree.
    pub(crate) prefix: usize,
    /// How many bytes at the end are those of the old tree.
    pub(crate) suffix: usize,
}

/// `tree` with the entry `name` set to `id`; an entry that is there keeps its place.
///
/// Git sorts entries as if the names of directories ended with `/` (`base_name_compare`).
pub(crate) fn set_entry(
    format: ObjectFormat,
    tree: &[u8],
    name: &[u8],
    mode: Mode,
    id: Oid,
) -> Result<Splice, BadTree> {
    let (mut prefix, mut suffix_start) = (tree.len(), tree.len());
    for entry in entries(format, tree) {
        let entry = entry?;
        if entry.name == name && (entry.mode == Mode::Directory) == (mode == Mode::Directory) {
            (prefix, suffix_start) = (entry.start, entry.end);
            break;
        }
        if prefix == tree.len() && sort_key(entry.name, entry.mode) > sort_key(name, mode) {
            (prefix, suffix_start) = (entry.start, entry.start);
            break;
        }
    }
    let mut data = Vec::with_capacity(tree.len() + name.len() + 64);
    data.extend_from_slice(&tree[..prefix]);
    data.extend_from_slice(mode.octal().as_bytes());
    data.push(b' ');
    data.extend_from_slice(name);
    data.push(0);
    data.extend_from_slice(id.raw());
    data.extend_from_slice(&tree[suffix_start..]);
    Ok(Splice { data, prefix, suffix: tree.len() - suffix_start })
}

fn sort_key(name: &[u8], mode: Mode) -> Vec<u8> {
    let mut key = name.to_vec();
    if mode == Mode::Directory {
        key.push(b'/');
    }
    key
}

/// The header of a commit that matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CommitHeader {
    pub(crate) tree: Oid,
    pub(crate) parents: Vec<Oid>,
    pub(crate) author: String,
    /// Seconds since 1970, of the committer.
    pub(crate) time: i64,
    pub(crate) message: String,
}

/// Reads a commit object.
pub(crate) fn parse_commit(data: &[u8]) -> Option<CommitHeader> {
    let text = String::from_utf8_lossy(data);
    let (header, message) = text.split_once("\n\n").unwrap_or((&text, ""));
    let (mut tree, mut parents, mut author, mut time) = (None, Vec::new(), String::new(), 0);
    for line in header.lines() {
        let Some((key, value)) = line.split_once(' ') else {
            continue;
        };
        match key {
            "tree" if tree.is_none() => tree = Oid::parse(value),
            "parent" => parents.push(Oid::parse(value)?),
            "author" => author = value.split(" <").next().unwrap_or_default().to_string(),
            "committer" => {
                let stamp = value.rsplit_once("> ").map(|(_, stamp)| stamp)?;
                time = stamp.split(' ').next()?.parse().unwrap_or(0);
            }
            _ => {}
        }
    }
    Some(CommitHeader { tree: tree?, parents, author, time, message: message.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree_of(names: &[(&str, Mode)]) -> Vec<u8> {
        let id = ObjectFormat::Sha1.id(Kind::Blob, b"x");
        names.iter().fold(Vec::new(), |tree, (name, mode)| {
            set_entry(ObjectFormat::Sha1, &tree, name.as_bytes(), *mode, id).unwrap().data
        })
    }

    fn names(tree: &[u8]) -> Vec<String> {
        entries(ObjectFormat::Sha1, tree)
            .map(|entry| String::from_utf8_lossy(entry.unwrap().name).into_owned())
            .collect()
    }

    #[test]
    fn ids_are_those_of_git() {
        // `printf hello | git hash-object --stdin`
        let sha1 = ObjectFormat::Sha1.id(Kind::Blob, b"hello");
        assert_eq!(sha1.to_string(), "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0");
        assert_eq!(Oid::parse(&sha1.to_string()), Some(sha1));
        assert_eq!(Oid::parse("b6fc"), None);
    }

    #[test]
    fn entries_are_sorted_as_git_sorts_them() {
        let tree = tree_of(&[
            ("a", Mode::Directory),
            ("a.b", Mode::File),
            ("a0", Mode::File),
            ("Z", Mode::File),
            ("a-b", Mode::File),
        ]);
        // `a` is a directory and sorts as `a/`: after `a-b` and `a.b`, before `a0`.
        assert_eq!(names(&tree), ["Z", "a-b", "a.b", "a", "a0"]);
    }

    #[test]
    fn an_entry_that_is_there_keeps_its_place_and_the_rest_its_bytes() {
        let tree = tree_of(&[("a", Mode::File), ("b", Mode::File), ("c", Mode::File)]);
        let id = ObjectFormat::Sha1.id(Kind::Blob, b"new");
        let splice = set_entry(ObjectFormat::Sha1, &tree, b"b", Mode::File, id).unwrap();
        assert_eq!(names(&splice.data), ["a", "b", "c"]);
        assert_eq!(splice.data[..splice.prefix], tree[..splice.prefix]);
        assert_eq!(splice.prefix, 29);
        assert_eq!(splice.suffix, 29);
    }

    #[test]
    fn a_broken_tree_is_an_error_not_a_panic() {
        let tree = tree_of(&[("a", Mode::File)]);
        for cut in 1..tree.len() {
            assert!(entries(ObjectFormat::Sha1, &tree[..cut]).any(|entry| entry.is_err()));
        }
    }

    #[test]
    fn a_commit_is_read() {
        let id = "b6fc4c620b67d95f953a5c1c1230aaab5db5a1b0";
        let text = format!(
            "tree {id}\nparent {id}\nauthor A B <a@b> 5 +0000\ncommitter C <c@d> 7 +0100\ngpgsig x\n y\n\nsubject\n\nbody\n"
        );
        let commit = parse_commit(text.as_bytes()).unwrap();
        assert_eq!(commit.parents.len(), 1);
        assert_eq!((commit.author.as_str(), commit.time), ("A B", 7));
        assert_eq!(commit.message, "subject\n\nbody\n");
    }
}
