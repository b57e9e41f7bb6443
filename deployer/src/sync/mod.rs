//! `deployer sync`: the same engine inside a cluster that no CI can reach. It follows a branch and deploys it, again and
//! again: look, guard, deploy, tell.

mod gauges;
mod install;
mod notes;
mod pace;
mod source;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use cli::report::Report;
use cli::{Exit, Failure, Format, Printer, Problem};
use cluster::connect::Target;
use cluster::outcome::{ClusterOutcome, ClusterState};
use cluster::pull::PullState;
use cluster::stop::Stop;
use gitrepo::{Follower, Look, Snapshot};
use jiff::Timestamp;

use crate::args::{DeployArgs, Strategy, SyncArgs};
use crate::backup::{self, Backup};
use crate::configs;
use crate::fleet;
use crate::options;
use crate::report::{self, Facts};
use crate::run;
use crate::signals::Interrupted;
use crate::tell;
use crate::webhook::Webhooks;
use gauges::Gauges;
use notes::{Notes, Verdict};
use source::Checkout;

/// For reading the repository.
const GIT_TIME: Duration = Duration::from_secs(5 * 60);

/// `deployer sync`.
pub(crate) fn sync(mut args: SyncArgs) -> Result<Exit, Failure> {
    let output = &args.deploy.output;
    let printer = Printer::new(output.format(), output.quiet, true);
    if args.deploy.mark.strategy == Strategy::FastRollback {
        return Err(Failure::invalid(
            Problem::new(
                "`--strategy fast-rollback` needs another id for every deploy, and `sync` deploys by itself",
            )
            .hint("leave out `--strategy`, or unset `STRATEGY`: `sync` replaces workloads in place")
            .hint("to go back, revert in git"),
        ));
    }
    if args.install {
        printer.result(&install::manifests(&args)?);
        return Ok(Exit::Done);
    }
    crate::waves::plan::refuse(&args.deploy.waves, "sync")?;
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let remote = source::remote(&args.git, &variable)?;
    let folder = source::folder(&args.git.path);
    if args.deploy.manifests_dir.take().is_some() {
        return Err(Failure::invalid(
            Problem::new("`sync` takes the manifests from the repository, not from `--manifests-dir`")
                .hint("name their folder in the repository with `--path`; unset `MANIFESTS_DIR`"),
        ));
    }
    if folder.is_empty() || folder.split('/').any(|part| part == "..") {
        return Err(Failure::invalid(
            Problem::new(format!(
                "`--path` is a folder below the root of the repository: `{}`",
                args.git.path
            ))
            .hint("--path generated"),
        ));
    }
    let targets = configs::targets(&args.deploy.reach)?;
    let backup = backup::of(&args.deploy.set)?;
    let checkout = Checkout::new().map_err(|error| {
        Failure::failed(Problem::from_error(&error).context("cannot make a folder for the manifests"))
    })?;
    let runtime = run::runtime()?;
    let repo = gitrepo::redact(&remote.url);
    let notes = Notes::new(&args, repo.clone(), folder.clone());
    let puller = Puller {
        gauges: Gauges::new(patience(&args)),
        args,
        printer,
        targets,
        folder,
        repo,
        follower: Some(Follower::new(remote)),
        checkout,
        seen: None,
        notes,
        backup,
        failures: 0,
    };
    let end = runtime.block_on(puller.run());
    runtime.shutdown_background();
    end
}

/// After this time without a round the loop hangs.
fn patience(args: &SyncArgs) -> Duration {
    let longest = pace::next(args.interval, u32::MAX, 1.0);
    longest + GIT_TIME + args.deploy.reach.timeout + notes::TIME
}

/// A branch that has been looked at.
#[derive(Debug, Clone)]
struct Seen {
    commit: String,
    branch: String,
}

/// How a round ended.
struct Round {
    state: PullState,
    exit: Exit,
}

struct Puller {
    args: SyncArgs,
    printer: Printer,
    targets: Vec<Target>,
    /// The folder of the repository that holds a folder per cluster.
    folder: String,
    /// The repository's address, without credentials.
    repo: String,
    /// Absent while a thread looks.
    follower: Option<Follower>,
    checkout: Checkout,
    /// What the files in `checkout` are of.
    seen: Option<Seen>,
    notes: Notes,
    gauges: Gauges,
    backup: Option<Backup>,
    failures: u32,
}

impl Puller {
    async fn run(mut self) -> Result<Exit, Failure> {
        let interrupted = Interrupted::default();
        let (switch, stop) = Stop::new();
        let speaker = self.printer;
        interrupted.listen(switch, move |line| speaker.say(line)).map_err(|error| {
            Failure::failed(Problem::from_error(&error).context("cannot listen for signals"))
        })?;
        if let Some(address) = self.args.listen {
            let bound = gauges::serve(address, self.gauges.clone()).await.map_err(|error| {
                Failure::invalid(Problem::from_error(&error).context(format!("cannot listen on {address}")))
            })?;
            self.printer.say(&format!("metrics: http://{bound}/metrics"));
        }
        if !self.args.once {
            let pause = pace::first(self.args.interval, pace::draw());
            self.printer
                .say(&format!("following {} of {}, from in {:.0?} on", self.folder, self.repo, pause));
            rest(pause, &stop).await;
        }
        loop {
            if let Some(exit) = interrupted.exit() {
                return Ok(exit);
            }
            let started = Instant::now();
            let round = self.round(&stop, &interrupted).await?;
            if let Some(exit) = interrupted.exit() {
                return Ok(exit);
            }
            self.failures = if round.state == PullState::Synced { 0 } else { self.failures + 1 };
            self.gauges.round(round.state, self.failures, started.elapsed(), patience(&self.args));
            if self.args.once {
                return Ok(round.exit);
            }
            let pause = pace::next(self.args.interval, self.failures, pace::draw());
            if self.failures > 0 {
                self.printer.say(&format!("next look in {pause:.0?}, after {} failed", self.failures));
            }
            rest(pause, &stop).await;
        }
    }

    /// Look, guard, deploy, tell.
    async fn round(&mut self, stop: &Stop, interrupted: &Interrupted) -> Result<Round, Failure> {
        self.notes.remember(&self.targets).await;
        let moved = match self.look().await {
            Ok(moved) => moved,
            Err(trouble) => {
                self.printer.warn(&trouble);
                let branch = self.seen.as_ref().map(|seen| seen.branch.as_str());
                self.notes.note(&self.targets, Verdict::failed(&trouble), branch, &self.printer).await;
                return Ok(Round { state: PullState::Failed, exit: Exit::Failed });
            }
        };
        let Some(seen) = self.seen.clone() else {
            return Ok(Round { state: PullState::Failed, exit: Exit::Failed });
        };
        let (mut targets, mut refused) = (Vec::new(), Vec::new());
        for target in self.targets.clone() {
            match self.guard(&target, &seen).await {
                Ok(()) => targets.push(target),
                Err(why) => {
                    self.printer.warn(&format!("{}: {why}", target.name));
                    let verdict = Verdict { state: PullState::Refused, message: &why, deployed: None };
                    let branch = Some(seen.branch.as_str());
                    self.notes.note(std::slice::from_ref(&target), verdict, branch, &self.printer).await;
                    refused.push(target);
                }
            }
        }
        if targets.is_empty() {
            return Ok(Round { state: PullState::Refused, exit: Exit::Refused });
        }
        let (outcomes, webhooks) = match self.deploy(&seen, &targets, moved, stop).await {
            Ok(dealt) => dealt,
            // What the branch holds cannot be deployed: the next commit may.
            Err(failure) => {
                failure.problems.iter().for_each(|problem| self.printer.error(problem));
                let text: Vec<String> = failure.problems.iter().map(line).collect();
                let text = text.join("; ");
                let branch = Some(seen.branch.as_str());
                self.notes.note(&targets, Verdict::failed(&text), branch, &self.printer).await;
                return Ok(Round { state: PullState::Failed, exit: failure.exit });
            }
        };
        let exit = run::exit_code(&outcomes, &self.args.deploy.change, interrupted);
        let report = report::report(&outcomes, facts(&self.args.deploy, &outcomes, exit));
        self.tell(&outcomes, moved, &report);
        webhooks.ended(&report).await.iter().for_each(|line| self.printer.warn(line));
        if !run::plan_only(&self.args.deploy) {
            for outcome in &outcomes {
                self.note(outcome, &seen).await;
            }
        }
        let done = outcomes.iter().all(|outcome| outcome.state == ClusterState::Done);
        let state = match (done, refused.is_empty()) {
            (false, _) => PullState::Failed,
            (true, false) => PullState::Refused,
            (true, true) => PullState::Synced,
        };
        let exit = if refused.is_empty() || exit != Exit::Done { exit } else { Exit::Partial };
        Ok(Round { state, exit })
    }

    /// Looks at the branch; says whether it has moved since the last round.
    async fn look(&mut self) -> Result<bool, String> {
        let Some(mut follower) = self.follower.take() else {
            return Err("this is a bug in deployer: the repository is being looked at already".to_owned());
        };
        let mut paths = BTreeSet::new();
        for target in &self.targets {
            paths.insert(format!("{}/{}", self.folder, target.name));
            if let Some(namespaces) = &self.args.git.namespaces_path {
                paths.insert(format!("{}/{}", source::folder(namespaces), target.name));
            }
        }
        let known = self.seen.as_ref().map(|seen| seen.commit.clone());
        let looking = tokio::task::spawn_blocking(move || {
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let look = follower.look(&paths, known.as_deref(), GIT_TIME);
            (follower, look)
        });
        let (follower, look) =
            looking.await.map_err(|error| format!("this is a bug in deployer: {error}"))?;
        let traffic = follower.traffic();
        self.follower = Some(follower);
        let look = look.map_err(|error| {
            let mut text = format!("cannot read the repository: {error}");
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                text.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            text
        })?;
        let Look::Moved(snapshot) = look else { return Ok(false) };
        self.take(&snapshot)?;
        self.gauges.saw(&snapshot.branch, &snapshot.commit, traffic);
        let before = self.seen.replace(Seen { commit: snapshot.commit, branch: snapshot.branch });
        let seen = self.seen.as_ref().map(|seen| (seen.branch.as_str(), short(&seen.commit)));
        if let Some((branch, commit)) = seen {
            let was = before.map(|before| format!(" (was {})", short(&before.commit))).unwrap_or_default();
            self.printer.say(&format!("{branch} is at {commit}{was}"));
        }
        Ok(true)
    }

    /// Puts the files of a commit in place, unless they cannot be meant.
    fn take(&mut self, snapshot: &Snapshot) -> Result<(), String> {
        let at = format!("{} at {}", snapshot.branch, short(&snapshot.commit));
        let without: Vec<String> = self
            .targets
            .iter()
            .map(|target| format!("{}/{}", self.folder, target.name))
            .filter(|path| snapshot.missing.contains(path))
            .collect();
        if !without.is_empty() && !self.args.deploy.allow_missing {
            return Err(format!("there is no such folder in {at}: {}", without.join(", ")));
        }
        self.checkout
            .replace(snapshot)
            .map(|_| ())
            .map_err(|error| format!("cannot write the manifests: {error}"))
    }

    /// Whether `seen` may follow what was deployed last: a branch that was rewritten is not followed backwards.
    async fn guard(&mut self, target: &Target, seen: &Seen) -> Result<(), String> {
        let before = match self.notes.of(target) {
            Some(pull) if !pull.commit.is_empty() && pull.commit != seen.commit => pull.commit.clone(),
            Some(_) | None => return Ok(()),
        };
        if self.args.deploy.mark.is_rollback {
            return Ok(());
        }
        let Some(mut follower) = self.follower.take() else { return Ok(()) };
        let (new, old) = (seen.commit.clone(), before.clone());
        let asking = tokio::task::spawn_blocking(move || {
            let descends = follower.descends(&new, &old, GIT_TIME);
            (follower, descends)
        });
        let (follower, descends) =
            asking.await.map_err(|error| format!("this is a bug in deployer: {error}"))?;
        self.follower = Some(follower);
        let (branch, new, old) = (&seen.branch, short(&seen.commit), short(&before));
        match descends {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "{branch} at {new} does not follow from {old}, which is deployed: the branch was rewritten; \
                 `--is-rollback` accepts that"
            )),
            Err(error) => Err(format!("cannot tell whether {new} follows from {old}: {error}")),
        }
    }

    /// One deploy of what was seen to those clusters that may have it; and who is to hear how it ended.
    async fn deploy(
        &mut self,
        seen: &Seen,
        allowed: &[Target],
        moved: bool,
        stop: &Stop,
    ) -> Result<(Vec<ClusterOutcome>, Webhooks), Failure> {
        let root = self.checkout.current().map(std::path::Path::to_owned).unwrap_or_default();
        let namespaces = self.args.git.namespaces_path.as_deref().map(|path| root.join(source::folder(path)));
        let args = &mut self.args.deploy;
        args.manifests_dir = Some(root.join(&self.folder));
        args.namespaces_dir = namespaces.filter(|dir| dir.is_dir());
        args.mark.sha = Some(seen.commit.clone());
        let args = &self.args.deploy;
        let (mut targets, manifests) = run::load(args)?;
        targets.retain(|target| allowed.iter().any(|allowed| allowed.name == target.name));
        manifests.check(&targets)?;
        let options = options::rollout(args)?;
        if !moved {
            // Such a round only looks after drift: it is silent unless it finds some.
            let fleet = run::fleet(&args.reach, manifests, options, stop.clone());
            return Ok((fleet::deploy_unheard(fleet, targets).await, Webhooks::default()));
        }
        let webhooks = run::webhooks(args, &targets, &manifests)?;
        let copy = manifests.clone();
        let outcomes =
            run::act(args, targets, manifests, options, stop.clone(), &webhooks, &self.printer).await;
        if let Some(backup) = self.backup.as_ref().filter(|_| !run::plan_only(args)) {
            backup.write(&copy, &outcomes).await.iter().for_each(|line| self.printer.warn(line));
        }
        Ok((outcomes, webhooks))
    }

    /// Writes down how a cluster ended.
    async fn note(&mut self, outcome: &ClusterOutcome, seen: &Seen) {
        let Some((state, message)) = notes::verdict(outcome) else { return };
        self.gauges.dealt(outcome.cluster.as_str(), state, outcome.counts);
        let verdict = Verdict { state, message: &message, deployed: Some(&seen.commit) };
        let target: Vec<Target> =
            self.targets.iter().filter(|target| target.name == outcome.cluster).cloned().collect();
        self.notes.note(&target, verdict, Some(&seen.branch), &self.printer).await;
    }

    /// What people and programs read of a round. One that changed nothing is not told again.
    fn tell(&self, outcomes: &[ClusterOutcome], moved: bool, report: &Report) {
        let quiet = outcomes.iter().all(|outcome| {
            outcome.state == ClusterState::Done && outcome.counts.changes() == 0 && outcome.trouble.is_none()
        });
        if quiet && !moved && !self.args.once {
            return;
        }
        match self.printer.format() {
            Format::Json if self.args.once => self.printer.result(&report.json()),
            // One document per round, each on a line.
            Format::Json | Format::Ndjson => self.printer.result(&report.json_line()),
            Format::Text => tell::deploy(&self.args.deploy, &self.printer, outcomes, report),
        }
    }
}

fn facts(args: &DeployArgs, outcomes: &[ClusterOutcome], exit: Exit) -> Facts {
    let seconds = outcomes.iter().map(|outcome| outcome.seconds).fold(0.0, f64::max);
    let took = jiff::SignedDuration::from_secs_f64(seconds);
    Facts {
        started: Timestamp::now().saturating_sub(took).unwrap_or_default(),
        seconds,
        dry_run: run::plan_only(args),
        commit: args.mark.sha.clone(),
        exit_code: exit.code(),
        shard: None,
        rollout: None,
    }
}

/// A problem on one line.
fn line(problem: &Problem) -> String {
    let parts = std::iter::once(&problem.message).chain(&problem.causes).map(String::as_str);
    parts.collect::<Vec<_>>().join(": ")
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// Sleeps, but not through a wish to stop.
async fn rest(pause: Duration, stop: &Stop) {
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = stop.set() => {}
    }
}
