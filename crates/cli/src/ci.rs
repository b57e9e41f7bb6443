//! What a CI's log understands beyond text: groups, annotations, step summaries.

use std::io::Write as _;
use std::path::Path;

use crate::report::{Report, SUMMARY_LIMIT, What, alike, failures};

/// Which CI runs this, as far as its log has a language of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Platform {
    /// GitHub Actions and those that speak its commands (Gitea, Forgejo).
    GitHub,
    /// GitLab CI.
    GitLab,
    /// Some other CI: plain lines.
    Other,
    /// None: a person's terminal, or a script.
    None,
}

/// GitHub shows ten annotations of a kind per step and hides the rest without a word.
pub const ANNOTATIONS: usize = 10;

impl Platform {
    /// Which one the environment names. `lookup` gives a variable's value.
    pub fn detect(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| {
            lookup(name).is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
        };
        if set("GITHUB_ACTIONS") || set("GITEA_ACTIONS") || set("FORGEJO_ACTIONS") {
            Self::GitHub
        } else if set("GITLAB_CI") {
            Self::GitLab
        } else if set("CI") {
            Self::Other
        } else {
            Self::None
        }
    }

    /// Whether a log is read instead of a terminal watched.
    #[must_use]
    pub fn is_ci(self) -> bool {
        self != Self::None
    }

    /// `body` under a heading that can be folded; `id` is unique in the log, `time` is seconds since 1970.
    #[must_use]
    pub fn group(self, id: &str, title: &str, body: &str, time: i64) -> String {
        let body = body.trim_end();
        match self {
            Self::GitHub => format!("::group::{}\n{body}\n::endgroup::\n", data(title)),
            Self::GitLab => {
                let id: String =
                    id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
                format!(
                    "\u{1b}[0Ksection_start:{time}:{id}[collapsed=true]\r\u{1b}[0K{title}\n{body}\n\
                     \u{1b}[0Ksection_end:{time}:{id}\r\u{1b}[0K\n"
                )
            }
            Self::Other | Self::None => format!("{title}\n{body}\n"),
        }
    }

    /// Errors that the platform shows beside the code, the first cluster's first; at most as many as it shows, the
    /// rest counted in the last.
    #[must_use]
    pub fn annotations(self, report: &Report) -> Vec<String> {
        if self != Self::GitHub {
            return Vec::new();
        }
        let mut all = Vec::new();
        for failure in alike(report, false) {
            let who = failure.who();
            all.push(match failure.what {
                What::Cluster(trouble) => error(&who, None, &trouble.message),
                What::Object(object) => {
                    let message = object.trouble.as_ref().map_or("", |trouble| trouble.message.as_str());
                    let text = format!("{} {}: {message}", object.object, object.result.word());
                    error(&who, object.place.as_deref(), &text)
                }
            });
        }
        if all.len() > ANNOTATIONS {
            let rest = all.len() - (ANNOTATIONS - 1);
            all.truncate(ANNOTATIONS - 1);
            all.push(error(
                "deploy",
                None,
                &format!("{rest} more failures are listed in the log and in the summary"),
            ));
        }
        all
    }

    /// The failures of a report as the platform shows them best; empty where there are none.
    #[must_use]
    pub fn failures(self, report: &Report, time: i64) -> String {
        let text = failures(report);
        if text.is_empty() {
            return text;
        }
        match self {
            Self::GitHub | Self::GitLab => self.group("kit_failures", "failures", &text, time),
            Self::Other | Self::None => text,
        }
    }
}

/// Adds to the summary of a step what `text` says within so many bytes: beyond [`SUMMARY_LIMIT`] the platform drops all of it.
///
/// # Errors
/// Why nothing was added, as a sentence.
pub fn append_summary(path: &Path, text: impl FnOnce(usize) -> String) -> Result<(), String> {
    let used = std::fs::metadata(path).map_or(0, |file| usize::try_from(file.len()).unwrap_or(usize::MAX));
    let room = SUMMARY_LIMIT.saturating_sub(used);
    let text = text(room);
    if text.len() > room {
        return Err("the step summary is full: what was done is only in the log".to_owned());
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("the step summary was not written: {error}"))
}

fn error(title: &str, place: Option<&str>, message: &str) -> String {
    let mut parts = place.unwrap_or_default().split(':');
    let file = parts.next().filter(|file| !file.is_empty()).map(|file| format!("file={},", property(file)));
    let line = parts.next().filter(|_| file.is_some()).map(|line| format!("line={},", property(line)));
    let place = file.unwrap_or_default() + &line.unwrap_or_default();
    format!("::error {place}title={}::{}", property(title), data(message))
}

/// A remark that GitHub shows beside a line of the code.
#[must_use]
pub fn notice(place: Option<(&str, u32)>, title: &str, message: &str) -> String {
    let place = place.map(|(file, line)| format!("file={},line={line},", property(file))).unwrap_or_default();
    format!("::notice {place}title={}::{}", property(title), data(message))
}

/// The escapes of GitHub's workflow commands.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_is_what_the_environment_names() {
        let with = |pairs: &[(&str, &str)]| {
            let pairs: Vec<(String, String)> =
                pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            Platform::detect(move |name| {
                pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
            })
        };
        assert_eq!(with(&[]), Platform::None);
        assert_eq!(with(&[("CI", "false")]), Platform::None);
        assert_eq!(with(&[("CI", "true")]), Platform::Other);
        assert_eq!(with(&[("CI", "true"), ("GITHUB_ACTIONS", "true")]), Platform::GitHub);
        assert_eq!(with(&[("CI", "true"), ("GITLAB_CI", "true")]), Platform::GitLab);
    }

    #[test]
    fn an_annotation_is_one_line_whatever_the_message_holds() {
        assert_eq!(
            error("eu:1", Some("eu-1/web.yaml:7:3"), "50%\nof it"),
            "::error file=eu-1/web.yaml,line=7,title=eu%3A1::50%25%0Aof it"
        );
        assert_eq!(error("eu", None, "x"), "::error title=eu::x");
        assert_eq!(notice(Some(("a:b,c", 7)), "t", "50%"), "::notice file=a%3Ab%2Cc,line=7,title=t::50%25");
    }

    #[test]
    fn groups_are_written_in_the_language_of_the_platform() {
        assert_eq!(
            Platform::GitHub.group("f", "failures", "a\nb\n", 7),
            "::group::failures\na\nb\n::endgroup::\n"
        );
        assert_eq!(
            Platform::GitLab.group("f 1", "failures", "a\n", 7),
            "\u{1b}[0Ksection_start:7:f_1[collapsed=true]\r\u{1b}[0Kfailures\na\n\u{1b}[0Ksection_end:7:f_1\r\u{1b}[0K\n"
        );
        assert_eq!(Platform::Other.group("f", "failures", "a\n", 7), "failures\na\n");
    }
}
