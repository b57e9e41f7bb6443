//! What a server means by refusing a push, in the words of the servers there are.
//!
//! Wordings are those of git's `receive-pack` (`builtin/receive-pack.c`, `refs.c`), JGit (Gerrit,
//! `ReceiveCommand`), GitLab (Gitaly), Gitea, Azure DevOps and Bitbucket. A wording that is not
//! known here is judged by what happened: if the branch has moved, it was a race.

/// What to do about a refused push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Somebody else was first: look at the branch again.
    Race,
    /// The server has trouble of its own: try again.
    Trouble,
    /// It will be refused again.
    Permanent(RefusalKind),
    /// No known words.
    Unclear,
}

/// Why a push was refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalKind {
    /// The branch takes changes by review only, or not from us.
    ProtectedBranch,
    /// A hook of the server said no.
    Hook,
    /// Something else; the server's text says what.
    Other,
}

/// Reads the status of the ref (`ng <ref> <status>`) and what was said beside it.
pub(crate) fn read(status: &str, messages: &[String]) -> Refusal {
    let status = status.to_ascii_lowercase();
    let said = messages.join("\n").to_ascii_lowercase();
    let any = |text: &str, words: &[&str]| words.iter().any(|word| text.contains(word));
    if any(&status, TROUBLE) || any(&said, TROUBLE_SAID) {
        return Refusal::Trouble;
    }
    // What is said beside a status decides between a race and a rule: hosts decline a push to a
    // protected branch with "pre-receive hook declined".
    if any(&status, PROTECTED) || any(&said, PROTECTED) {
        return Refusal::Permanent(RefusalKind::ProtectedBranch);
    }
    if any(&status, RACE) || any(&said, RACE_SAID) {
        return Refusal::Race;
    }
    if any(&status, HOOK) {
        return Refusal::Permanent(RefusalKind::Hook);
    }
    if any(&status, PERMANENT) {
        return Refusal::Permanent(RefusalKind::Other);
    }
    Refusal::Unclear
}

const RACE: &[&str] = &[
    "non-fast-forward",
    "non-fast forward",
    "not fast-forward",
    "fetch first",
    "stale info",
    "cannot lock ref",
    "failed to update ref",
    "incorrect old value provided",
    "reference already exists",
    "reference does not exist",
    "unable to resolve reference",
    "failed to lock",
    "lock failure",
    "lock_failure",
    "lock error",
    "could not lock",
    "unable to create",
    "but expected",
    "already exists",
    "transaction failed",
    "transaction aborted",
    "could not update refs/heads",
    "has already been updated",
    "please refresh and try again",
    "ref updated concurrently",
    "reference has changed",
    "bad old id",
    "old object mismatch",
];

const RACE_SAID: &[&str] =
    &["but expected", "cannot lock ref", "tf401028", "has already been updated by another client"];

const TROUBLE: &[&str] = &[
    "internal error",
    "internal server error",
    "internal api",
    "try again later",
    "temporarily",
    "timeout",
    "timed out",
    "unable to write",
    "no space left",
    "server is busy",
    "service unavailable",
    "too many requests",
    "bad gateway",
];

const TROUBLE_SAID: &[&str] = &[
    "internal api unreachable",
    "internal api error",
    "service unavailable",
    "bad gateway",
    "internal server error",
    "try again later",
];

const PROTECTED: &[&str] = &[
    "protected branch",
    "branch is protected",
    "branch protection",
    "gh006",
    "gh013",
    "repository rule violations",
    "not allowed to push",
    "not allowed to force push",
    "prohibited by gerrit",
    "not permitted",
    "tf402455",
    "only be modified through pull requests",
    "changes must be made through a pull request",
];

const HOOK: &[&str] = &["hook declined", "hook denied", "rejected by hook", "hook rejected"];

const PERMANENT: &[&str] = &[
    "denied",
    "denying",
    "deny",
    "prohibited",
    "permission",
    "hidden ref",
    "checked out",
    "read-only",
    "read only",
    "archived",
    "quota",
    "funny refname",
    "invalid refname",
    "bad ref",
    "unpacker error",
    "missing necessary objects",
    "shallow update not allowed",
    "directory/file conflict",
    "too large",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_servers_words_are_understood() {
        let protected = Refusal::Permanent(RefusalKind::ProtectedBranch);
        for (status, said, expected) in [
            ("non-fast-forward", "", Refusal::Race),
            ("fetch first", "", Refusal::Race),
            (
                "failed to update ref",
                "error: cannot lock ref 'refs/heads/main': is at 1 but expected 2",
                Refusal::Race,
            ),
            ("incorrect old value provided", "", Refusal::Race),
            (
                "cannot lock ref 'refs/heads/main': Unable to create '/srv/r/refs/heads/main.lock': File exists.",
                "",
                Refusal::Race,
            ),
            ("failed to lock", "", Refusal::Race),
            (
                "TF401028: The reference 'refs/heads/main' has already been updated by another client, so you cannot update it. Please try again.",
                "",
                Refusal::Race,
            ),
            (
                "pre-receive hook declined",
                "GitLab: You are not allowed to push code to protected branches on this project.",
                protected,
            ),
            (
                "protected branch hook declined",
                "error: GH006: Protected branch update failed for refs/heads/main.",
                protected,
            ),
            ("push declined due to repository rule violations", "", protected),
            ("prohibited by Gerrit: not permitted: update", "", protected),
            ("pre-receive hook declined", "GitLab: Internal API unreachable", Refusal::Trouble),
            ("pre-receive hook declined", "no tickets, no push", Refusal::Permanent(RefusalKind::Hook)),
            ("hook declined", "", Refusal::Permanent(RefusalKind::Hook)),
            ("branch is currently checked out", "", Refusal::Permanent(RefusalKind::Other)),
            ("deny updating a hidden ref", "", Refusal::Permanent(RefusalKind::Other)),
            ("Internal Server Error", "", Refusal::Trouble),
            ("the moon is wrong", "", Refusal::Unclear),
        ] {
            let said: Vec<String> = said.lines().map(str::to_string).collect();
            assert_eq!(read(status, &said), expected, "{status} / {said:?}");
        }
    }
}
