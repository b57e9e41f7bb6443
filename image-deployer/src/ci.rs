//! What the environment of a CI system says about the build that runs us.

use std::collections::BTreeMap;

/// The environment, as `main` read it.
pub(crate) type Environment = BTreeMap<String, String>;

/// A variable that is there and not empty: CI systems set what they do not know to nothing.
pub(crate) fn variable<'e>(environment: &'e Environment, name: &str) -> Option<&'e str> {
    environment.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// The build, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Build {
    /// Where a human sees it.
    pub(crate) url: Option<String>,
    /// The commit of the service's repository.
    pub(crate) commit: Option<String>,
    /// The branch of the service's repository.
    pub(crate) branch: Option<String>,
}

/// One CI system: how to recognise it, and its names for things. `{NAME}` in a URL stands for a variable.
struct System {
    marker: (&'static str, Option<&'static str>),
    url: &'static str,
    commit: &'static [&'static str],
    /// In order of preference; `refs/heads/` and `origin/` in front of the value are dropped.
    branch: &'static [&'static str],
}

/// Each system's own documentation of predefined variables.
const SYSTEMS: &[System] = &[
    // Gitea's and Forgejo's runners set the same ones.
    System {
        marker: ("GITHUB_ACTIONS", None),
        url: "{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
        commit: &["GITHUB_SHA"],
        branch: &["GITHUB_HEAD_REF", "GITHUB_REF_NAME"],
    },
    System {
        marker: ("GITLAB_CI", None),
        url: "{CI_JOB_URL}",
        commit: &["CI_COMMIT_SHA"],
        branch: &["CI_COMMIT_BRANCH", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME", "CI_COMMIT_REF_NAME"],
    },
    System {
        marker: ("JENKINS_URL", None),
        url: "{BUILD_URL}",
        commit: &["GIT_COMMIT"],
        branch: &["CHANGE_BRANCH", "BRANCH_NAME", "GIT_BRANCH"],
    },
    System {
        marker: ("CIRCLECI", None),
        url: "{CIRCLE_BUILD_URL}",
        commit: &["CIRCLE_SHA1"],
        branch: &["CIRCLE_BRANCH"],
    },
    System {
        marker: ("BUILDKITE", None),
        url: "{BUILDKITE_BUILD_URL}#{BUILDKITE_JOB_ID}",
        commit: &["BUILDKITE_COMMIT"],
        branch: &["BUILDKITE_BRANCH"],
    },
    System {
        marker: ("TF_BUILD", None),
        url: "{SYSTEM_COLLECTIONURI}{SYSTEM_TEAMPROJECT}/_build/results?buildId={BUILD_BUILDID}",
        commit: &["BUILD_SOURCEVERSION"],
        branch: &["SYSTEM_PULLREQUEST_SOURCEBRANCH", "BUILD_SOURCEBRANCH"],
    },
    System {
        marker: ("BITBUCKET_BUILD_NUMBER", None),
        url: "{BITBUCKET_GIT_HTTP_ORIGIN}/pipelines/results/{BITBUCKET_BUILD_NUMBER}",
        commit: &["BITBUCKET_COMMIT"],
        branch: &["BITBUCKET_BRANCH"],
    },
    System {
        marker: ("TRAVIS", None),
        url: "{TRAVIS_BUILD_WEB_URL}",
        commit: &["TRAVIS_COMMIT"],
        branch: &["TRAVIS_PULL_REQUEST_BRANCH", "TRAVIS_BRANCH"],
    },
    System {
        marker: ("DRONE", None),
        url: "{DRONE_BUILD_LINK}",
        commit: &["DRONE_COMMIT_SHA"],
        branch: &["DRONE_SOURCE_BRANCH", "DRONE_BRANCH"],
    },
    System {
        marker: ("CI", Some("woodpecker")),
        url: "{CI_PIPELINE_URL}",
        commit: &["CI_COMMIT_SHA"],
        branch: &["CI_COMMIT_SOURCE_BRANCH", "CI_COMMIT_BRANCH"],
    },
    System {
        marker: ("CI_NAME", Some("codeship")),
        url: "{CI_BUILD_URL}",
        commit: &["CI_COMMIT_ID"],
        branch: &["CI_BRANCH"],
    },
];

/// Recognises the CI system by its marker variable.
pub(crate) fn detect(environment: &Environment) -> Build {
    let present = |marker: &(&str, Option<&str>)| {
        variable(environment, marker.0)
            .is_some_and(|value| marker.1.is_none_or(|wanted| value.eq_ignore_ascii_case(wanted)))
    };
    let Some(system) = SYSTEMS.iter().find(|system| present(&system.marker)) else {
        return Build::default();
    };
    let first = |names: &[&str]| names.iter().find_map(|name| variable(environment, name)).map(str::to_owned);
    let plain = |branch: String| {
        let branch = branch.strip_prefix("refs/heads/").unwrap_or(&branch);
        branch.strip_prefix("origin/").unwrap_or(branch).to_owned()
    };
    Build {
        url: fill(system.url, environment),
        commit: first(system.commit),
        branch: first(system.branch).map(plain),
    }
}

/// A URL with its variables; none if one is missing.
fn fill(template: &str, environment: &Environment) -> Option<String> {
    let mut url = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}')?;
        url.push_str(before);
        url.push_str(variable(environment, name)?);
        rest = tail;
    }
    url.push_str(rest);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(variables: &[(&str, &str)]) -> (String, String, String) {
        let environment = variables.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        let build = detect(&environment);
        (build.url.unwrap_or_default(), build.commit.unwrap_or_default(), build.branch.unwrap_or_default())
    }

    #[test]
    fn each_system_is_recognised_by_its_own_variables() {
        let build = |url: &str, branch: &str| (url.to_owned(), "abc".to_owned(), branch.to_owned());
        assert_eq!(
            detected(&[
                ("GITHUB_ACTIONS", "true"),
                ("GITHUB_SERVER_URL", "https://github.com"),
                ("GITHUB_REPOSITORY", "acme/web"),
                ("GITHUB_RUN_ID", "7"),
                ("GITHUB_SHA", "abc"),
                ("GITHUB_HEAD_REF", ""),
                ("GITHUB_REF_NAME", "main"),
            ]),
            build("https://github.com/acme/web/actions/runs/7", "main")
        );
        assert_eq!(
            detected(&[
                ("GITLAB_CI", "true"),
                ("CI_JOB_URL", "https://gitlab.com/j/1"),
                ("CI_COMMIT_SHA", "abc"),
                ("CI_COMMIT_REF_NAME", "main"),
            ]),
            build("https://gitlab.com/j/1", "main")
        );
        assert_eq!(
            detected(&[
                ("JENKINS_URL", "https://j"),
                ("BUILD_URL", "https://j/b/1"),
                ("GIT_COMMIT", "abc"),
                ("GIT_BRANCH", "origin/feature/x"),
            ]),
            build("https://j/b/1", "feature/x")
        );
        assert_eq!(
            detected(&[
                ("TF_BUILD", "True"),
                ("SYSTEM_COLLECTIONURI", "https://dev.azure.com/acme/"),
                ("SYSTEM_TEAMPROJECT", "shop"),
                ("BUILD_BUILDID", "9"),
                ("BUILD_SOURCEVERSION", "abc"),
                ("BUILD_SOURCEBRANCH", "refs/heads/feature/x"),
            ]),
            build("https://dev.azure.com/acme/shop/_build/results?buildId=9", "feature/x")
        );
        assert_eq!(
            detected(&[("CI_NAME", "codeship"), ("CI_COMMIT_ID", "abc"), ("CI_BRANCH", "main")]),
            build("", "main")
        );
        assert_eq!(
            detected(&[
                ("BUILDKITE", "true"),
                ("BUILDKITE_BUILD_URL", "https://b/1"),
                ("BUILDKITE_JOB_ID", "x"),
                ("BUILDKITE_COMMIT", "abc"),
                ("BUILDKITE_BRANCH", "main"),
            ]),
            build("https://b/1#x", "main")
        );
        assert_eq!(
            detected(&[
                ("CIRCLECI", "true"),
                ("CIRCLE_BUILD_URL", "https://c/1"),
                ("CIRCLE_SHA1", "abc"),
                ("CIRCLE_BRANCH", "main"),
            ]),
            build("https://c/1", "main")
        );
    }

    #[test]
    fn a_laptop_is_no_ci_and_a_missing_variable_no_url() {
        assert_eq!(detected(&[("CI", "true")]), <_>::default());
        assert_eq!(detected(&[("GITLAB_CI", "true"), ("CI_JOB_URL", "")]).0, "");
    }
}
