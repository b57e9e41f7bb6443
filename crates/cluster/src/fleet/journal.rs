//! The journal of a rollout in waves: a file of JSON lines from which `--resume` goes on exactly where a run stopped.
//!
//! The first line says what is being rolled out and in which waves; each further line is one thing that has happened. A
//! line is written and flushed to the disk before what it announces begins, so that a run that was killed at any instant
//! can be told from its journal. A last line without its newline is a write that the kill cut short: it never happened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use manifest::ClusterName;
use serde::{Deserialize, Serialize};

/// The version of the format.
const VERSION: u32 = 1;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// The first line: what is rolled out, where, in which order.
    Begin {
        /// The version of the format.
        version: u32,
        /// The digest of everything that is deployed: a resume with other manifests is refused.
        digest: String,
        /// The waves by name, each with its clusters, in order.
        waves: Vec<(String, Vec<ClusterName>)>,
    },
    /// A cluster is about to be written to.
    Start {
        /// Which.
        cluster: ClusterName,
    },
    /// A cluster is as wanted and healthy.
    Done {
        /// Which.
        cluster: ClusterName,
    },
    /// A cluster answered, and is not as wanted.
    Failed {
        /// Which.
        cluster: ClusterName,
        /// Why, in one line.
        because: String,
    },
    /// A cluster could not be reached: set aside, counted, and taken up again by a resume.
    Quarantined {
        /// Which.
        cluster: ClusterName,
        /// Why, in one line.
        because: String,
    },
    /// A wave has been deployed, has baked, and its gate has opened.
    Passed {
        /// The wave.
        wave: String,
    },
    /// The rollout has stopped.
    Stopped {
        /// Why, in one line.
        because: String,
    },
    /// Every wave has passed.
    Complete,
}

/// Where a cluster stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Written to, but the run ended before it knew the outcome.
    Unknown,
    /// As wanted and healthy.
    Done,
    /// Not as wanted.
    Failed(String),
    /// Not reached.
    Quarantined(String),
}

/// What a journal says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    /// The digest of everything that is deployed.
    pub digest: String,
    /// The waves by name, each with its clusters, in order.
    pub waves: Vec<(String, Vec<ClusterName>)>,
    standing: BTreeMap<ClusterName, Standing>,
    passed: Vec<String>,
    /// Whether every wave has passed.
    pub complete: bool,
    /// How many bytes of the text are whole lines; what follows them was cut short and is to be overwritten.
    pub whole_bytes: usize,
}

/// Why a journal cannot be resumed from.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// A line is not an entry.
    #[error("{}:{line}: not a journal entry: {message}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The first line does not say what is rolled out.
    #[error("{}: not a journal: the first line does not begin a rollout", path.display())]
    NoBegin {
        /// The file.
        path: PathBuf,
    },
    /// Written by a newer kit.
    #[error("{}: the journal has version {version}, this program knows {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl Journal {
    /// Reads the text of a journal; `path` is its name in messages.
    ///
    /// # Errors
    /// When a whole line is not an entry, or the first one does not begin a rollout.
    pub fn parse(text: &str, path: &Path) -> Result<Self, JournalError> {
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut journal = None;
        for (number, line) in text[..whole].lines().enumerate() {
            let entry: Entry = serde_json::from_str(line).map_err(|error| JournalError::Line {
                path: path.to_owned(),
                line: number + 1,
                message: error.to_string(),
            })?;
            match (&mut journal, entry) {
                (None, Entry::Begin { version, digest, waves }) => {
                    if version != VERSION {
                        return Err(JournalError::Version { path: path.to_owned(), version });
                    }
                    journal = Some(Self {
                        digest,
                        waves,
                        standing: BTreeMap::new(),
                        passed: Vec::new(),
                        complete: false,
                        whole_bytes: whole,
                    });
                }
                (Some(journal), entry) => journal.take(entry),
                (None, _) => return Err(JournalError::NoBegin { path: path.to_owned() }),
            }
        }
        journal.ok_or_else(|| JournalError::NoBegin { path: path.to_owned() })
    }

    /// The first entry of a journal.
    pub fn begin(digest: &str, waves: &[(String, Vec<ClusterName>)]) -> Entry {
        Entry::Begin { version: VERSION, digest: digest.to_owned(), waves: waves.to_vec() }
    }

    /// An entry as the line that is appended to the file.
    pub fn line(entry: &Entry) -> String {
        let text =
            serde_json::to_string(entry).expect("an entry is a map with text keys, which always serialises");
        format!("{text}\n")
    }

    fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Start { cluster } => {
                self.standing.insert(cluster, Standing::Unknown);
            }
            Entry::Done { cluster } => {
                self.standing.insert(cluster, Standing::Done);
            }
            Entry::Failed { cluster, because } => {
                self.standing.insert(cluster, Standing::Failed(because));
            }
            Entry::Quarantined { cluster, because } => {
                self.standing.insert(cluster, Standing::Quarantined(because));
            }
            Entry::Passed { wave } => self.passed.push(wave),
            Entry::Complete => self.complete = true,
            // A second beginning is a resume: the rollout is the same.
            Entry::Begin { .. } | Entry::Stopped { .. } => {}
        }
    }

    /// Where a cluster stands; nothing if its turn has not come.
    pub fn standing(&self, cluster: &ClusterName) -> Option<&Standing> {
        self.standing.get(cluster)
    }

    /// Whether a wave needs nothing more.
    pub fn has_passed(&self, wave: &str) -> bool {
        self.passed.iter().any(|passed| passed == wave)
    }

    /// What a resume has to deploy, wave by wave: everything that is not known to be done. A wave that has passed is in
    /// it for those of its clusters that were quarantined or borne as failed.
    pub fn remaining(&self) -> Vec<(String, Vec<ClusterName>)> {
        let open = |cluster: &&ClusterName| self.standing(cluster) != Some(&Standing::Done);
        let rest = |(name, clusters): &(String, Vec<ClusterName>)| {
            (name.clone(), clusters.iter().filter(open).cloned().collect::<Vec<_>>())
        };
        let needed =
            |(name, clusters): &(String, Vec<ClusterName>)| !clusters.is_empty() || !self.has_passed(name);
        self.waves.iter().map(rest).filter(needed).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(name: &str) -> ClusterName {
        name.parse().unwrap()
    }

    fn written() -> String {
        let waves = [
            ("canary".to_owned(), vec![cluster("a"), cluster("b")]),
            ("rest".to_owned(), vec![cluster("c"), cluster("d")]),
        ];
        let because = || "connection refused".to_owned();
        let entries = [
            Journal::begin("sha256:1", &waves),
            Entry::Start { cluster: cluster("a") },
            Entry::Done { cluster: cluster("a") },
            Entry::Start { cluster: cluster("b") },
            Entry::Quarantined { cluster: cluster("b"), because: because() },
            Entry::Passed { wave: "canary".to_owned() },
            Entry::Start { cluster: cluster("c") },
        ];
        entries.iter().map(Journal::line).collect()
    }

    #[test]
    fn a_resume_does_what_is_not_known_to_be_done() {
        let journal = Journal::parse(&written(), Path::new("j")).unwrap();
        assert_eq!(journal.standing(&cluster("c")), Some(&Standing::Unknown));
        assert_eq!(journal.standing(&cluster("d")), None);
        assert_eq!(
            journal.remaining(),
            [
                ("canary".to_owned(), vec![cluster("b")]),
                ("rest".to_owned(), vec![cluster("c"), cluster("d")])
            ]
        );
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_read_as_what_was_whole() {
        let text = written();
        let first = text.find('\n').unwrap() + 1;
        for end in 0..text.len() {
            match Journal::parse(&text[..end], Path::new("j")) {
                Ok(journal) => {
                    assert!(end >= first && text[..journal.whole_bytes].ends_with('\n'));
                    // A cluster that was started and not finished is never taken for done.
                    let done = text[..journal.whole_bytes].contains(r#"{"entry":"done","cluster":"a"}"#);
                    assert_eq!(journal.standing(&cluster("a")) == Some(&Standing::Done), done);
                }
                Err(error) => {
                    assert_eq!((error, end < first), (JournalError::NoBegin { path: "j".into() }, true))
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_journal_is_refused() {
        let parse = |text: &str| Journal::parse(text, Path::new("j")).unwrap_err().to_string();
        assert_eq!(
            parse("{\"entry\":\"complete\"}\n"),
            "j: not a journal: the first line does not begin a rollout"
        );
        assert!(parse("hello\n").starts_with("j:1: not a journal entry: "));
        let newer = written().replacen("\"version\":1", "\"version\":9", 1);
        assert_eq!(parse(&newer), "j: the journal has version 9, this program knows 1");
    }
}
