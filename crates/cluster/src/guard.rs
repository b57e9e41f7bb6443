//! An older commit never overwrites a newer one: what a cluster has is compared with what is to be deployed.

use std::fmt;
use std::sync::Arc;

use crate::outcome::Trouble;

/// How the commit that a cluster has stands to the one that is to be deployed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kinship {
    /// They are the same.
    Same,
    /// The cluster's is an ancestor: we bring it forward.
    Older,
    /// The cluster's is a descendant: we would take it back.
    Newer,
    /// Neither: they are on lines of their own.
    Unrelated,
    /// The clone does not hold enough to tell.
    Unknown {
        /// The clone is shallow.
        shallow: bool,
    },
    /// The clone cannot be read.
    Unreadable {
        /// Why.
        problem: String,
    },
}

/// Who knows the history of commits. Called from many tasks at once.
pub trait Ancestry: Send + Sync {
    /// How the commit that a cluster has stands to ours.
    fn compare(&self, deployed: &str) -> Kinship;
}

/// The guard of a deploy.
#[derive(Clone)]
pub struct Guard {
    /// The commit that is to be deployed.
    pub commit: String,
    /// Who knows whether it is newer.
    pub ancestry: Arc<dyn Ancestry>,
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("commit", &self.commit).finish_non_exhaustive()
    }
}

/// Whether a deploy may go on.
///
/// # Errors
/// Why not.
pub(crate) fn judge(deployed: Option<&str>, guard: &Guard, is_rollback: bool) -> Result<(), Trouble> {
    let Some(deployed) = deployed else { return Ok(()) };
    let short = |commit: &str| commit.chars().take(12).collect::<String>();
    let (theirs, ours) = (short(deployed), short(&guard.commit));
    let back = "if the cluster is to go back: `--is-rollback`";
    if is_rollback || deployed == guard.commit {
        return Ok(());
    }
    Err(match guard.ancestry.compare(deployed) {
        Kinship::Same | Kinship::Older => return Ok(()),
        Kinship::Newer => Trouble::new("the cluster has a newer commit, nothing was written")
            .because(format!("it has `{theirs}`, of which `{ours}` is an ancestor"))
            .hint(back),
        Kinship::Unrelated => Trouble::new("the cluster has a commit of another line, nothing was written")
            .because(format!("neither of `{theirs}` (deployed) and `{ours}` is an ancestor of the other"))
            .hint("deploy a commit in which both are merged")
            .hint("if another repository deployed it: give each a `--resource-set` of its own")
            .hint(back),
        Kinship::Unknown { shallow: true } => {
            Trouble::new("it cannot be told which commit is newer, nothing was written")
                .because(format!(
                    "the clone is shallow: `{theirs}` (deployed) or what leads to it is not in it"
                ))
                .hint("git fetch --unshallow (GitHub Actions: `fetch-depth: 0`; GitLab CI: `GIT_DEPTH: 0`)")
        }
        Kinship::Unknown { shallow: false } => {
            Trouble::new("it cannot be told which commit is newer, nothing was written")
                .because(format!("`{theirs}`, which the cluster has, is not in the clone"))
                .hint("git fetch --all")
                .hint("if another repository deployed it: give each a `--resource-set` of its own")
                .hint(back)
        }
        Kinship::Unreadable { problem } => {
            Trouble::new("it cannot be told which commit is newer, nothing was written").because(problem)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Says(Kinship);

    impl Ancestry for Says {
        fn compare(&self, _: &str) -> Kinship {
            self.0.clone()
        }
    }

    fn judged(kinship: Kinship, deployed: Option<&str>, is_rollback: bool) -> Result<(), Trouble> {
        let guard = Guard { commit: "new".into(), ancestry: Arc::new(Says(kinship)) };
        judge(deployed, &guard, is_rollback)
    }

    #[test]
    fn only_a_commit_that_follows_the_deployed_one_goes_on() {
        for good in [Kinship::Same, Kinship::Older] {
            assert_eq!(judged(good, Some("old"), false), Ok(()));
        }
        let bad = [
            Kinship::Newer,
            Kinship::Unrelated,
            Kinship::Unknown { shallow: true },
            Kinship::Unknown { shallow: false },
            Kinship::Unreadable { problem: "x".into() },
        ];
        for bad in bad {
            assert!(judged(bad.clone(), Some("old"), false).is_err());
            assert_eq!(judged(bad.clone(), Some("old"), true), Ok(()), "a rollback goes back on purpose");
            assert_eq!(judged(bad, None, false), Ok(()), "the first deploy");
        }
    }
}
