//! What a puller writes into its clusters about itself, and what it remembers from there after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use cli::Printer;
use cluster::connect::{ConnectOptions, Connection, Plugins, Target};
use cluster::events::Events;
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::pull::{self, Pull, PullState};
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;

use crate::args::SyncArgs;
use crate::{options, run};

/// A puller that has nothing new to say shows at least this often that it is alive.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10 * 60);
/// For reading and writing one note.
pub(super) const TIME: Duration = Duration::from_secs(30);

/// How it went for a cluster.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict<'a> {
    pub(super) state: PullState,
    /// Why; empty if all is well.
    pub(super) message: &'a str,
    /// The commit that was written, if one was.
    pub(super) deployed: Option<&'a str>,
}

impl<'a> Verdict<'a> {
    /// Nothing was written.
    pub(super) fn failed(message: &'a str) -> Self {
        Self { state: PullState::Failed, message, deployed: None }
    }
}

/// The notes of one puller.
pub(super) struct Notes {
    name: String,
    namespace: String,
    repo: String,
    path: String,
    /// A dry run writes nothing.
    silent: bool,
    concurrency: usize,
    connect: ConnectOptions,
    plugins: Plugins,
    /// What the clusters say, by their names.
    memory: BTreeMap<String, Pull>,
}

impl Notes {
    pub(super) fn new(args: &SyncArgs, repo: String, path: String) -> Self {
        let reach = &args.deploy.reach;
        Self {
            name: args.sync_name.clone(),
            namespace: args.system_namespace.clone(),
            repo,
            path,
            silent: run::plan_only(&args.deploy),
            concurrency: usize::from(reach.concurrency),
            connect: options::connect(reach),
            plugins: Plugins::new(reach.plugin_timeout),
            memory: BTreeMap::new(),
        }
    }

    /// What is known of a cluster.
    pub(super) fn of(&self, target: &Target) -> Option<&Pull> {
        self.memory.get(target.name.as_str())
    }

    /// Asks the clusters what earlier rounds, or an earlier process, have left there.
    pub(super) async fn remember(&mut self, targets: &[Target]) {
        let unknown = targets.iter().filter(|target| self.of(target).is_none());
        let read = stream::iter(unknown).map(|target| async {
            let connection = self.connect(target).await.ok()?;
            // What cannot be read now is asked for again in the next round.
            let found = pull::read(&connection, &self.namespace, &self.name).await.ok()?;
            found.map(|pull| (target.name.to_string(), pull))
        });
        let found: Vec<_> = read.buffer_unordered(self.concurrency).collect().await;
        self.memory.extend(found.into_iter().flatten());
    }

    /// Writes down how it went, where that is news or the last sign of life is old.
    pub(super) async fn note(
        &mut self,
        targets: &[Target],
        verdict: Verdict<'_>,
        branch: Option<&str>,
        printer: &Printer,
    ) {
        for target in targets.iter().filter(|_| !self.silent) {
            let before = self.of(target);
            let pull = self.pull(before, verdict, branch, Timestamp::now());
            let news = before.is_none_or(|before| pull.is_news(before));
            let silence = before.map(|before| pull.checked.duration_since(before.checked).unsigned_abs());
            if !news && silence.is_some_and(|silence| silence < SIGN_OF_LIFE) {
                continue;
            }
            match self.write(target, &pull, news).await {
                Ok(()) => {
                    self.memory.insert(target.name.to_string(), pull);
                }
                Err(why) => {
                    printer.warn(&format!("{}: how the sync went could not be noted: {why}", target.name));
                }
            }
        }
    }

    fn pull(
        &self,
        before: Option<&Pull>,
        verdict: Verdict<'_>,
        branch: Option<&str>,
        now: Timestamp,
    ) -> Pull {
        let earlier = |field: fn(&Pull) -> &String| before.map(field).cloned().unwrap_or_default();
        let commit = verdict.deployed.map_or_else(|| earlier(|pull| &pull.commit), str::to_owned);
        let synced = match verdict.state {
            PullState::Synced => commit.clone(),
            PullState::Failed | PullState::Refused => earlier(|pull| &pull.synced),
        };
        let same = before.filter(|before| before.state == verdict.state && before.commit == commit);
        Pull {
            name: self.name.clone(),
            repo: self.repo.clone(),
            branch: branch.map_or_else(|| earlier(|pull| &pull.branch), str::to_owned),
            path: self.path.clone(),
            commit,
            synced,
            state: verdict.state,
            message: verdict.message.to_owned(),
            since: same.map_or(now, |before| before.since),
            checked: now,
        }
    }

    async fn write(&self, target: &Target, pull: &Pull, news: bool) -> Result<(), String> {
        let connection = self.connect(target).await?;
        pull::write(&connection, &self.namespace, pull).await.map_err(|error| error.to_string())?;
        if news {
            pull::announce(&connection, &self.namespace, pull).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn connect(&self, target: &Target) -> Result<Connection, String> {
        let deadline = tokio::time::Instant::now() + TIME;
        let events = Events::unheard(target.name.clone());
        let open = Connection::open(target, &self.connect, &self.plugins, deadline, events);
        open.await.map_err(|error| error.to_string())
    }
}

/// What an outcome means for the notes; nothing, if it was broken off.
pub(super) fn verdict(outcome: &ClusterOutcome) -> Option<(PullState, String)> {
    match outcome.state {
        ClusterState::Done => Some((PullState::Synced, String::new())),
        ClusterState::Failed => Some((PullState::Failed, why(outcome))),
        ClusterState::Refused => Some((PullState::Refused, why(outcome))),
        ClusterState::Interrupted | ClusterState::NotStarted => None,
    }
}

/// The first reason why a cluster is not as it should be, and how many more there are.
fn why(outcome: &ClusterOutcome) -> String {
    if let Some(trouble) = &outcome.trouble {
        return trouble.line();
    }
    let mut reasons = outcome.bad().map(|(object, trouble)| format!("{}: {}", object.object, trouble.line()));
    let first = reasons.next().unwrap_or_default();
    match reasons.count() {
        0 => first,
        more => format!("{first} (and {more} more)"),
    }
}
