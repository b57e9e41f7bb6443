//! The journal on disk: opened, locked, appended to, flushed.
//!
//! A line counts when it is on the disk with its newline. What a kill cut short is overwritten by the next run.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, mpsc};

use cli::{Exit, Failure, Problem};
use cluster::fleet::{Entry, Journal};
use manifest::ClusterName;
use tokio::sync::oneshot;

use super::plan::Planned;

/// A journal that is being written.
#[derive(Debug)]
pub(crate) struct Book {
    path: PathBuf,
    journal: Mutex<Journal>,
    writer: mpsc::Sender<Line>,
}

/// A line on its way to the disk.
struct Line {
    text: String,
    done: oneshot::Sender<Result<(), String>>,
}

impl Book {
    /// Begins a rollout, or goes on with the one that the journal is about. Returns what is worth a line on stderr.
    pub(crate) fn open(planned: &Planned) -> Result<(Self, Option<String>), Failure> {
        let path = &planned.journal;
        let io = |goal: &str, error: &io::Error| failed(path, goal, error);
        if planned.resume && !path.exists() {
            return Err(nothing_to_resume(path));
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .map_err(|error| io("open", &error))?;
        lock(&file, path)?;
        let text = read(&mut file).map_err(|error| io("read", &error))?;
        let before = parse(&text, path)?;
        let (whole, said) = match (planned.resume, &before) {
            (true, Some(journal)) => {
                same_rollout(journal, planned)?;
                (journal.whole_bytes, None)
            }
            // The run was killed before its first line was whole: nothing has been done.
            (true, None) => (0, None),
            (false, Some(journal)) if !journal.complete => {
                let old = kept_as(path);
                std::fs::write(&old, &text).map_err(|error| failed(&old, "write", &error))?;
                let said = format!(
                    "the unfinished rollout of {} is given up for this one; its journal is kept: {}",
                    journal.commit.as_deref().unwrap_or("an earlier deploy"),
                    old.display()
                );
                (0, Some(said))
            }
            (false, Some(_) | None) => (0, None),
        };
        let length = u64::try_from(whole).unwrap_or(u64::MAX);
        let first =
            Journal::begin(&planned.digest, &planned.options, planned.commit.as_deref(), &planned.waves());
        let line = Journal::line(&first);
        file.set_len(length)
            .and_then(|()| file.seek(SeekFrom::Start(length)))
            .and_then(|_| file.write_all(line.as_bytes()))
            .and_then(|()| file.sync_all())
            .and_then(|()| sync_folder(path))
            .map_err(|error| io("write", &error))?;
        let journal = match before.filter(|_| planned.resume) {
            Some(journal) => journal,
            None => Journal::parse(&line, path).ok().flatten().expect("a line of ours is a journal"),
        };
        let (writer, lines) = mpsc::channel();
        let good = length + u64::try_from(line.len()).unwrap_or(0);
        std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || write_lines(&file, good, &lines))
            .map_err(|error| io("write", &error))?;
        Ok((Self { path: path.clone(), journal: Mutex::new(journal), writer }, said))
    }

    /// What it says so far.
    pub(crate) fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an entry; it is on the disk when this comes back.
    ///
    /// # Errors
    /// In one sentence, when it is not.
    pub(crate) async fn append(&self, entry: Entry) -> Result<(), String> {
        let (done, written) = oneshot::channel();
        let sent = self.writer.send(Line { text: Journal::line(&entry), done }).is_ok();
        let outcome = if sent { written.await } else { Ok(Err("it is closed".to_owned())) };
        outcome
            .unwrap_or_else(|_| Err("it is closed".to_owned()))
            .map_err(|why| format!("the journal cannot be written, {}: {why}", self.path.display()))?;
        self.journal().take(entry);
        Ok(())
    }
}

/// The journal of a rollout that is only looked at, for a dry run of a resume.
pub(crate) fn peek(planned: &Planned) -> Result<Journal, Failure> {
    let path = &planned.journal;
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(nothing_to_resume(path)),
        Err(error) => return Err(failed(path, "open", &error)),
    };
    let text = read(&mut file).map_err(|error| failed(path, "read", &error))?;
    match parse(&text, path)? {
        Some(journal) => same_rollout(&journal, planned).map(|()| journal),
        None => Err(nothing_to_resume(path)),
    }
}

fn nothing_to_resume(path: &Path) -> Failure {
    Failure::invalid(
        Problem::new(format!("there is nothing to resume, no journal is there: `{}`", path.display()))
            .hint("`--journal FILE` names it; without `--resume` a rollout begins"),
    )
}

fn failed(path: &Path, goal: &str, error: &io::Error) -> Failure {
    Failure::failed(
        Problem::from_error(error).context(format!("cannot {goal} the journal: `{}`", path.display())),
    )
}

fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    // A write that a kill cut short may end within a character.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn parse(text: &str, path: &Path) -> Result<Option<Journal>, Failure> {
    Journal::parse(text, path).map_err(|error| {
        Failure::invalid(
            Problem::from_error(&error)
                .hint("nothing was written to it: give another file with `--journal`, or remove this one"),
        )
    })
}

fn kept_as(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

/// Two rollouts with one journal would both be wrong.
fn lock(file: &File, path: &Path) -> Result<(), Failure> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Failure::new(
            Exit::Refused,
            Problem::new(format!("another deployer is writing this journal: `{}`", path.display()))
                .hint("wait until it ends, or give this rollout its own with `--journal FILE`"),
        )),
        // A file system without locks: better unlocked than unusable.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(failed(path, "lock", &error)),
    }
}

/// Whether a journal is about what is to be rolled out now.
fn same_rollout(journal: &Journal, planned: &Planned) -> Result<(), Failure> {
    let mut problems = Vec::new();
    let begun = journal.commit.as_deref().map(|commit| format!(" (commit {commit})")).unwrap_or_default();
    if journal.digest != planned.digest {
        problems.push(Problem::new(format!(
            "the manifests are not those of the rollout in the journal{begun}: `{}`",
            planned.journal.display()
        )));
    }
    let missing = |options: &[String], than: &[String]| -> Vec<String> {
        options.iter().filter(|option| !than.contains(option)).cloned().collect()
    };
    let (was, now) =
        (missing(&journal.options, &planned.options), missing(&planned.options, &journal.options));
    if was != now {
        problems.push(Problem::new(format!(
            "the rollout was begun with other options: `{}`, now `{}`",
            was.join(" "),
            now.join(" ")
        )));
    }
    if journal.waves != planned.waves() {
        problems.push(Problem::new(difference(&journal.waves, &planned.waves())));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let hint = "resume with what it was begun with, or begin anew without `--resume`: clusters that are as wanted are left alone";
    let last = problems.len() - 1;
    problems[last].hints.push(hint.to_owned());
    Err(Failure::all(Exit::Refused, problems))
}

fn difference(was: &[(String, Vec<ClusterName>)], now: &[(String, Vec<ClusterName>)]) -> String {
    let names = |waves: &[(String, Vec<ClusterName>)]| {
        waves.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>().join(", ")
    };
    if names(was) != names(now) {
        return format!("the rollout was begun with other waves: {}; now {}", names(was), names(now));
    }
    let other = was.iter().zip(now).find(|(was, now)| was.1 != now.1);
    let name = other.map_or("", |((name, _), _)| name.as_str());
    format!("the rollout was begun with other clusters in wave `{name}`")
}

/// A new file is there after a crash only if its folder is on the disk too.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Writes what comes, everything that is waiting with one flush. After a failure nothing more is written: a line behind half
/// a line would be lost.
fn write_lines(mut file: &File, mut good: u64, lines: &mpsc::Receiver<Line>) {
    let mut broken: Option<String> = None;
    while let Ok(first) = lines.recv() {
        let mut batch = vec![first];
        batch.extend(lines.try_iter());
        if broken.is_none() {
            let text: String = batch.iter().map(|line| line.text.as_str()).collect();
            match file.write_all(text.as_bytes()).and_then(|()| file.sync_data()) {
                Ok(()) => good += u64::try_from(text.len()).unwrap_or(0),
                Err(error) => {
                    // What was cut short goes; if even that fails, the next run drops it.
                    let _ = file.set_len(good);
                    broken = Some(error.to_string());
                }
            }
        }
        for line in batch {
            let _ = line.done.send(broken.clone().map_or(Ok(()), Err));
        }
    }
}
