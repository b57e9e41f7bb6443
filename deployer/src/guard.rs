//! The guard against older commits: git's history, out of any clone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cli::{Failure, Problem};
use cluster::guard::{Ancestry, Guard, Kinship};
use gitrepo::Relation;

/// A guard for the commit `sha` of the repository that `repo` is a clone of. That the clone holds the commit is checked at once.
pub(crate) fn guard(repo: &Path, sha: Option<&str>) -> Result<Guard, Failure> {
    let invalid = |problem: Problem| Err(Failure::invalid(problem));
    let Some(sha) = sha.filter(|sha| !sha.is_empty()) else {
        return invalid(
            Problem::new("`--repo` compares commits, and it is not said which one is deployed")
                .hint("--sha \"$(git rev-parse HEAD)\" (or set `CI_COMMIT_ID`)"),
        );
    };
    match gitrepo::relation(repo, sha, sha) {
        Ok(Relation::Same) => {}
        Ok(_) => {
            return invalid(
                Problem::new(format!(
                    "the commit of `--sha` is not in the clone `{}`: `{sha}`",
                    repo.display()
                ))
                .hint("`--repo` is a clone of the repository that the commit is of; git fetch --all"),
            );
        }
        Err(error) => {
            return invalid(Problem::from_error(&error).context("`--repo` is not a clone that can be read"));
        }
    }
    let clone = Clone { repo: repo.to_owned(), sha: sha.to_owned(), known: Mutex::default() };
    Ok(Guard { commit: sha.to_owned(), ancestry: Arc::new(clone) })
}

/// A clone, and what was looked up in it: most clusters of a fleet have the same commit.
struct Clone {
    repo: PathBuf,
    sha: String,
    known: Mutex<BTreeMap<String, Kinship>>,
}

impl Ancestry for Clone {
    fn compare(&self, deployed: &str) -> Kinship {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kinship) = known.get(deployed) {
            return kinship.clone();
        }
        let kinship = match gitrepo::relation(&self.repo, &self.sha, deployed) {
            Ok(Relation::Same) => Kinship::Same,
            // `relation` says what the second commit is to the first.
            Ok(Relation::Ancestor) => Kinship::Older,
            Ok(Relation::Descendant) => Kinship::Newer,
            Ok(Relation::Diverged) => Kinship::Unrelated,
            Ok(Relation::Unknown { shallow, .. }) => Kinship::Unknown { shallow },
            Err(error) => Kinship::Unreadable { problem: error.to_string() },
        };
        known.insert(deployed.to_owned(), kinship.clone());
        kinship
    }
}
