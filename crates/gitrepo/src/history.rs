//! Which commit brought something into a repository on this machine.

use std::path::Path;

use crate::fault::GitError;

/// A commit, as far as it tells where something came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub commit: String,
    /// The name of its author.
    pub author: String,
    /// When it was made, in seconds since 1970.
    pub time: i64,
    /// The first line of its message.
    pub subject: String,
    /// `Key: value` lines of the last paragraph of its message.
    pub trailers: Vec<(String, String)>,
}

/// The newest commit, of those that lead to `HEAD` of the repository around `path`, that brought `text` into `file`
/// (relative to `path`): the file has it there, and in none of its parents. `None` if no commit did.
///
/// # Errors
/// [`GitError::Local`] if there is no repository that can be read.
pub fn introduced(path: &Path, file: &str, text: &str) -> Result<Option<Origin>, GitError> {
    let repository = open(path)?;
    let local = |error: git2::Error| fault(path, &error);
    let file = in_repository(&repository, path, file);
    let has = |commit: &git2::Commit<'_>| {
        let blob = commit.tree().ok()?.get_path(Path::new(&file)).ok()?.to_object(&repository).ok()?;
        let content = blob.as_blob()?.content().to_vec();
        Some(String::from_utf8_lossy(&content).contains(text))
    };
    for id in walk(&repository).map_err(local)? {
        let commit = repository.find_commit(id.map_err(local)?).map_err(local)?;
        if has(&commit) == Some(true) && !commit.parents().any(|parent| has(&parent) == Some(true)) {
            return Ok(Some(origin(&commit)));
        }
    }
    Ok(None)
}

/// The newest commit, of those that lead to `HEAD` of the repository around `path`, with this trailer.
///
/// # Errors
/// [`GitError::Local`] if there is no repository that can be read.
pub fn with_trailer(path: &Path, key: &str, value: &str) -> Result<Option<Origin>, GitError> {
    let repository = open(path)?;
    let local = |error: git2::Error| fault(path, &error);
    for id in walk(&repository).map_err(local)? {
        let commit = repository.find_commit(id.map_err(local)?).map_err(local)?;
        let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        if message.contains(value) && trailers(&message).contains(&(key, value)) {
            return Ok(Some(origin(&commit)));
        }
    }
    Ok(None)
}

/// Whether the repository around `path` holds only a part of its history.
///
/// # Errors
/// [`GitError::Local`] if there is no repository that can be read.
pub fn is_shallow(path: &Path) -> Result<bool, GitError> {
    open(path).map(|repository| repository.is_shallow())
}

fn open(path: &Path) -> Result<git2::Repository, GitError> {
    git2::Repository::discover(path).map_err(|error| fault(path, &error))
}

fn fault(path: &Path, error: &git2::Error) -> GitError {
    GitError::Local {
        path: path.to_owned(),
        action: "reading its history",
        reason: error.message().to_owned(),
    }
}

/// The newest first.
fn walk(repository: &git2::Repository) -> Result<git2::Revwalk<'_>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(git2::Sort::TOPOLOGICAL | git2::Sort::TIME)?;
    walk.push_head()?;
    Ok(walk)
}

/// `file`, which is relative to `path`, relative to the top of the repository.
fn in_repository(repository: &git2::Repository, path: &Path, file: &str) -> String {
    let top = repository.workdir().and_then(|top| top.canonicalize().ok());
    let below = path.canonicalize().ok().zip(top).and_then(|(path, top)| {
        let below = path.strip_prefix(&top).ok()?.to_string_lossy().into_owned();
        Some(below)
    });
    match below.filter(|below| !below.is_empty()) {
        Some(below) => format!("{below}/{file}"),
        None => file.to_owned(),
    }
}

fn origin(commit: &git2::Commit<'_>) -> Origin {
    let message = String::from_utf8_lossy(commit.message_bytes()).into_owned();
    Origin {
        commit: commit.id().to_string(),
        author: String::from_utf8_lossy(commit.author().name_bytes()).into_owned(),
        time: commit.time().seconds(),
        subject: message.lines().next().unwrap_or_default().to_owned(),
        trailers: trailers(&message).into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect(),
    }
}

/// The trailers of a commit message: `Key: value` lines of its last paragraph, which is not its first, as
/// `git interpret-trailers` reads them.
pub fn trailers<'m>(message: &'m str) -> Vec<(&'m str, &'m str)> {
    let Some((_, last)) = message.trim_end().rsplit_once("\n\n") else { return Vec::new() };
    let pair = |line: &'m str| {
        let (key, value) = line.split_once(':')?;
        let is_token = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        is_token.then(|| (key, value.trim()))
    };
    last.lines().filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trailers_are_the_last_paragraph_and_nothing_above() {
        let message = "Image: not a trailer\n\ntext: x\n\nImage: a:1\nSource-Commit: abc\nnot one\n";
        assert_eq!(trailers(message), [("Image", "a:1"), ("Source-Commit", "abc")]);
        assert_eq!(trailers("Image: a subject"), []);
        assert_eq!(trailers(""), []);
    }

    #[test]
    fn the_commit_that_brought_a_text_is_the_last_one_that_did() {
        let dir = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init(dir.path()).unwrap();
        let me = git2::Signature::new("Robot", "a@b", &git2::Time::new(7, 0)).unwrap();
        let mut parent: Option<git2::Oid> = None;
        let mut commit = |text: &str, message: &str| {
            let blob = repository.blob(text.as_bytes()).unwrap();
            let mut images = repository.treebuilder(None).unwrap();
            images.insert("web.yaml", blob, 0o100_644).unwrap();
            let mut top = repository.treebuilder(None).unwrap();
            top.insert("images", images.write().unwrap(), 0o040_000).unwrap();
            let tree = repository.find_tree(top.write().unwrap()).unwrap();
            let parents: Vec<_> = parent.iter().map(|id| repository.find_commit(*id).unwrap()).collect();
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            let id = repository.commit(Some("HEAD"), &me, &me, message, &tree, &parents).unwrap();
            parent = Some(id);
            id.to_string()
        };
        commit("image: web:1\n", "one\n\nImage: web:1\n");
        commit("image: web:2\n", "two\n\nImage: web:2\n");
        let back = commit("image: web:1\n", "back\n\nImage: web:1\nBuild-Url: https://ci.example.com/9\n");
        commit("image: web:1\n# note\n", "a note");
        std::fs::create_dir(dir.path().join("images")).unwrap();

        let found = introduced(dir.path(), "images/web.yaml", "web:1").unwrap().unwrap();
        assert_eq!((found.commit.as_str(), found.author.as_str(), found.time), (back.as_str(), "Robot", 7));
        assert_eq!(found.trailers[1], ("Build-Url".into(), "https://ci.example.com/9".into()));
        let below = introduced(&dir.path().join("images"), "web.yaml", "web:1").unwrap();
        assert_eq!(below.as_ref(), Some(&found));
        assert_eq!(with_trailer(dir.path(), "Image", "web:1").unwrap(), Some(found));
        assert_eq!(introduced(dir.path(), "images/web.yaml", "web:9").unwrap(), None);
        assert_eq!(with_trailer(dir.path(), "Image", "web").unwrap(), None);
        assert!(introduced(Path::new("/nonexistent"), "a", "b").is_err());
    }
}
