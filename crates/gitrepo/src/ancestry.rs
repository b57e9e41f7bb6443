//! Which of two commits is newer, looked up in a clone on this machine.

use std::path::Path;

use crate::fault::GitError;

/// How a commit stands to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// It is the same commit.
    Same,
    /// It is an ancestor of the other one.
    Ancestor,
    /// It descends from the other one.
    Descendant,
    /// Neither: they are on lines of their own.
    Diverged,
    /// The clone does not hold enough to tell.
    Unknown {
        /// The commits that are not in the clone.
        missing: Vec<String>,
        /// The clone is shallow: commits may be there whose ancestors are not.
        shallow: bool,
    },
}

/// How commit `theirs` stands to commit `ours` in the clone at `path` (or around it).
///
/// Both are hexadecimal ids, abbreviated or not.
///
/// # Errors
/// [`GitError::Local`] if there is no repository that can be read.
pub fn relation(path: &Path, ours: &str, theirs: &str) -> Result<Relation, GitError> {
    let local = |error: git2::Error| GitError::Local {
        path: path.to_owned(),
        action: "comparing source commits",
        reason: error.message().to_owned(),
    };
    let repository = git2::Repository::discover(path).map_err(local)?;
    let shallow = repository.is_shallow();
    let mut ids = Vec::new();
    let mut missing = Vec::new();
    for name in [ours, theirs] {
        // Only ids: a name such as `HEAD~3` or `main` means another commit in every clone.
        let is_id = (4..=64).contains(&name.len()) && name.chars().all(|c| c.is_ascii_hexdigit());
        let commit = is_id
            .then(|| repository.revparse_single(name))
            .and_then(Result::ok)
            .and_then(|object| object.peel_to_commit().ok());
        match commit {
            Some(commit) => ids.push(commit.id()),
            None => missing.push(name.to_owned()),
        }
    }
    let [ours, theirs] = ids.as_slice() else {
        return Ok(Relation::Unknown { missing, shallow });
    };
    if ours == theirs {
        return Ok(Relation::Same);
    }
    if repository.graph_descendant_of(*ours, *theirs).map_err(local)? {
        return Ok(Relation::Ancestor);
    }
    if repository.graph_descendant_of(*theirs, *ours).map_err(local)? {
        return Ok(Relation::Descendant);
    }
    if shallow {
        return Ok(Relation::Unknown { missing, shallow });
    }
    Ok(Relation::Diverged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_of_two_commits_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init(dir.path()).unwrap();
        let me = git2::Signature::new("a", "a@b", &git2::Time::new(0, 0)).unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let commit = |message: &str, parents: &[git2::Oid]| {
            let parents: Vec<_> = parents.iter().map(|id| repository.find_commit(*id).unwrap()).collect();
            let parents: Vec<&git2::Commit<'_>> = parents.iter().collect();
            repository.commit(None, &me, &me, message, &tree, &parents).unwrap()
        };
        let first = commit("1", &[]);
        let second = commit("2", &[first]);
        let other = commit("3", &[first]);
        let relation = |ours: &str, theirs: &str| relation(dir.path(), ours, theirs).unwrap();
        let text = |id: git2::Oid| id.to_string();
        assert_eq!(relation(&text(second), &text(first)), Relation::Ancestor);
        assert_eq!(relation(&text(first), &text(second)), Relation::Descendant);
        assert_eq!(relation(&text(first)[..8], &text(first)), Relation::Same);
        assert_eq!(relation(&text(second), &text(other)), Relation::Diverged);
        let nowhere = "0".repeat(40);
        assert_eq!(
            relation(&text(second), &nowhere),
            Relation::Unknown { missing: vec![nowhere], shallow: false }
        );
        assert!(super::relation(Path::new("/nonexistent"), "a", "b").is_err());
    }
}
