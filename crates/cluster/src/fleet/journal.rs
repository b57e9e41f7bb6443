//! The journal of a rollout in waves: a file of JSON lines from which `--resume` goes on exactly where a run stopped.
//!
//! The first line says what is being rolled out and in which waves; each further line is one thing that has happened. A
//! line is written and flushed to the disk before what it announces begins, so that a run that was killed at any instant
//! can be told from its journal. A last line without its newline is a write that the kill cut short: it never happened.

use std::collections::{BTreeMap, BTreeSet};
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
        /// The options that decide what is written, as `name=value`; a resume with others is refused.
        #[serde(default)]
        options: Vec<String>,
        /// The commit that is deployed, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        commit: Option<String>,
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
    /// A wave has been deployed and has baked; its gate comes next.
    Baked {
        /// The wave.
        wave: String,
    },
    /// A wave has been deployed, has baked, and its gate has opened.
    Passed {
        /// The wave.
        wave: String,
    },
    /// The rollout has stopped.
    Stopped {
        /// In which wave.
        wave: String,
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
    /// The options that decide what is written.
    pub options: Vec<String>,
    /// The commit that is deployed, where it is known.
    pub commit: Option<String>,
    /// The waves by name, each with its clusters, in order.
    pub waves: Vec<(String, Vec<ClusterName>)>,
    standing: BTreeMap<ClusterName, Standing>,
    baked: BTreeSet<String>,
    passed: BTreeSet<String>,
    /// Why the last run stopped, if it said so.
    pub stopped: Option<String>,
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
    /// Reads the text of a journal; `path` is its name in messages. Nothing, if not even the first line is whole: the
    /// run was killed before it did anything.
    ///
    /// # Errors
    /// When a whole line is not an entry, or the first one does not begin a rollout.
    pub fn parse(text: &str, path: &Path) -> Result<Option<Self>, JournalError> {
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        let mut journal: Option<Self> = None;
        for (number, line) in text[..whole].lines().enumerate() {
            // Another version may have other entries; say that rather than what is strange about this one.
            if journal.is_none()
                && let Ok(Versioned { version }) = serde_json::from_str(line)
                && version != VERSION
            {
                return Err(JournalError::Version { path: path.to_owned(), version });
            }
            let entry: Entry = serde_json::from_str(line).map_err(|error| JournalError::Line {
                path: path.to_owned(),
                line: number + 1,
                message: error.to_string(),
            })?;
            match (&mut journal, entry) {
                (None, Entry::Begin { digest, options, commit, waves, .. }) => {
                    journal = Some(Self {
                        digest,
                        options,
                        commit,
                        waves,
                        standing: BTreeMap::new(),
                        baked: BTreeSet::new(),
                        passed: BTreeSet::new(),
                        stopped: None,
                        complete: false,
                        whole_bytes: whole,
                    });
                }
                (Some(journal), entry) => journal.take(entry),
                (None, _) => return Err(JournalError::NoBegin { path: path.to_owned() }),
            }
        }
        Ok(journal)
    }

    /// The first entry of a journal.
    pub fn begin(
        digest: &str,
        options: &[String],
        commit: Option<&str>,
        waves: &[(String, Vec<ClusterName>)],
    ) -> Entry {
        Entry::Begin {
            version: VERSION,
            digest: digest.to_owned(),
            options: options.to_vec(),
            commit: commit.map(str::to_owned),
            waves: waves.to_vec(),
        }
    }

    /// An entry as the line that is appended to the file.
    pub fn line(entry: &Entry) -> String {
        let text =
            serde_json::to_string(entry).expect("an entry is a map with text keys, which always serialises");
        format!("{text}\n")
    }

    /// Takes an entry that was appended into account.
    pub fn take(&mut self, entry: Entry) {
        self.stopped = None;
        match entry {
            Entry::Start { cluster } => {
                // What is written to again has to bake again.
                if let Some((wave, _)) = self.waves.iter().find(|(_, clusters)| clusters.contains(&cluster)) {
                    self.baked.remove(wave);
                }
                self.complete = false;
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
            Entry::Baked { wave } => {
                self.baked.insert(wave);
            }
            Entry::Passed { wave } => {
                self.passed.insert(wave);
            }
            Entry::Complete => self.complete = true,
            Entry::Stopped { wave, because } => self.stopped = Some(format!("in wave `{wave}`: {because}")),
            // A second beginning is a resume: the rollout is the same.
            Entry::Begin { .. } => {}
        }
    }

    /// Where a cluster stands; nothing if its turn has not come.
    pub fn standing(&self, cluster: &ClusterName) -> Option<&Standing> {
        self.standing.get(cluster)
    }

    /// Whether a wave needs nothing more.
    pub fn has_passed(&self, wave: &str) -> bool {
        self.passed.contains(wave)
    }

    /// Whether a wave has baked since the last of its clusters was written to.
    pub fn has_baked(&self, wave: &str) -> bool {
        self.baked.contains(wave)
    }

    /// Every cluster of the rollout.
    pub fn clusters(&self) -> impl Iterator<Item = &ClusterName> {
        self.waves.iter().flat_map(|(_, clusters)| clusters)
    }

    /// Which clusters of a wave a resume has to deploy: those that are not known to be done. Of a wave that has passed
    /// these are the ones that were out of reach, or borne as failed.
    pub fn open(&self, wave: &str) -> Vec<ClusterName> {
        let of_wave = self.waves.iter().filter(|(name, _)| name == wave).flat_map(|(_, clusters)| clusters);
        of_wave.filter(|cluster| self.standing(cluster) != Some(&Standing::Done)).cloned().collect()
    }
}

/// Just enough of a first line to tell its version.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
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
            Journal::begin("sha256:1", &[], Some("abc"), &waves),
            Entry::Start { cluster: cluster("a") },
            Entry::Done { cluster: cluster("a") },
            Entry::Start { cluster: cluster("b") },
            Entry::Quarantined { cluster: cluster("b"), because: because() },
            Entry::Passed { wave: "canary".to_owned() },
            Entry::Start { cluster: cluster("c") },
        ];
        entries.iter().map(Journal::line).collect()
    }

    fn read(text: &str) -> Journal {
        Journal::parse(text, Path::new("j")).unwrap().unwrap()
    }

    #[test]
    fn a_resume_does_what_is_not_known_to_be_done() {
        let journal = read(&written());
        assert_eq!(journal.standing(&cluster("c")), Some(&Standing::Unknown));
        assert_eq!(journal.standing(&cluster("d")), None);
        assert_eq!(journal.open("canary"), [cluster("b")]);
        assert_eq!(journal.open("rest"), [cluster("c"), cluster("d")]);
        assert!(journal.has_passed("canary") && !journal.has_passed("rest"));
    }

    #[test]
    fn a_wave_that_is_written_to_again_has_not_baked() {
        let baked = Journal::line(&Entry::Baked { wave: "rest".to_owned() });
        let journal = read(&(written() + &baked));
        assert!(journal.has_baked("rest"));
        let again = Journal::line(&Entry::Start { cluster: cluster("d") });
        assert!(!read(&(written() + &baked + &again)).has_baked("rest"));
    }

    #[test]
    fn why_it_stopped_is_known_until_it_goes_on() {
        let stopped = Entry::Stopped { wave: "rest".to_owned(), because: "too many".to_owned() };
        let text = written() + &Journal::line(&stopped);
        assert_eq!(read(&text).stopped.as_deref(), Some("in wave `rest`: too many"));
        let on = Journal::line(&Entry::Start { cluster: cluster("d") });
        assert_eq!(read(&(text + &on)).stopped, None);
    }

    #[test]
    fn a_journal_cut_at_any_byte_is_read_as_what_was_whole() {
        let text = written();
        let first = text.find('\n').unwrap() + 1;
        for end in 0..text.len() {
            match Journal::parse(&text[..end], Path::new("j")).unwrap() {
                Some(journal) => {
                    assert!(end >= first && text[..journal.whole_bytes].ends_with('\n'));
                    // A cluster that was started and not finished is never taken for done.
                    let done = text[..journal.whole_bytes].contains(r#"{"entry":"done","cluster":"a"}"#);
                    assert_eq!(journal.standing(&cluster("a")) == Some(&Standing::Done), done);
                }
                None => assert!(end < first),
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
