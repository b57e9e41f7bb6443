//! A rollout in waves: in which order clusters are deployed, when it stops, and where it goes on.
//!
//! The decisions are plain functions of [`cluster::fleet`]. Here is what surrounds them: the flags ([`args`]), what is rolled
//! out ([`plan`]), the journal on disk ([`book`]), the waves one after the other ([`drive`]), what must hold before the next one
//! ([`bake`], [`gate`]), and how it is told ([`news`], [`tell`]).

pub(crate) mod args;
mod bake;
mod book;
mod drive;
mod gate;
pub(crate) mod news;
pub(crate) mod plan;
mod tell;

use cli::report::{Report, RolloutReport};
use cli::{Exit, Failure, Printer};
use cluster::connect::Target;
use cluster::fleet::{Journal, Standing};
use cluster::outcome::ClusterOutcome;
use cluster::plan::file::RolloutPlan;
use cluster::rollout::{RolloutOptions, Waiting};
use cluster::stop::Stop;

use crate::args::DeployArgs;
use crate::input::Manifests;
use crate::planfile;
use crate::progress;
use crate::run;
use crate::webhook::Webhooks;
use book::Book;
use drive::{Driven, INTERRUPTED};
use news::Teller;
use plan::Planned;

/// What a deploy has done.
pub(crate) struct Acted {
    pub(crate) outcomes: Vec<ClusterOutcome>,
    /// The waves, where there are any.
    pub(crate) rollout: Option<RolloutReport>,
    progress: Option<(Journal, Driven)>,
}

impl Acted {
    /// A deploy to all clusters at once.
    pub(crate) fn at_once(outcomes: Vec<ClusterOutcome>) -> Self {
        Self { outcomes, rollout: None, progress: None }
    }

    /// The exit code, given what the clusters alone would make it: a rollout that stopped is never done.
    pub(crate) fn exit(&self, of_clusters: Exit) -> Exit {
        let stopped = self.progress.as_ref().is_some_and(|(_, driven)| driven.stopped.is_some());
        let fine = matches!(of_clusters, Exit::Done | Exit::Changes);
        if stopped && fine { Exit::Failed } else { of_clusters }
    }

    /// Says of each cluster of the report what the rollout knows of it.
    pub(crate) fn mark(&self, report: &mut Report) {
        if let Some((journal, driven)) = &self.progress {
            tell::mark(report, journal, driven);
        }
    }
}

/// The options of a deploy in waves: everything has to be ready, also what an earlier try has written.
pub(crate) fn options(
    mut options: RolloutOptions,
    planned: Option<&Planned>,
) -> Result<RolloutOptions, Failure> {
    if let Some(plan) = &options.approved {
        let now: Option<RolloutPlan> = planned.map(|planned| (&planned.rollout).into());
        planfile::same_waves(plan, now.as_ref())?;
    }
    if planned.is_some() {
        options.waiting = Waiting::All;
    }
    Ok(options)
}

/// Carries a rollout out, or in a dry run shows what it would do.
#[allow(clippy::too_many_arguments, reason = "the same as of a deploy at once, and the waves")]
pub(crate) async fn act(
    args: &DeployArgs,
    planned: &Planned,
    mut targets: Vec<Target>,
    manifests: Manifests,
    options: RolloutOptions,
    stop: Stop,
    webhooks: &Webhooks,
    printer: &Printer,
) -> Result<Acted, Failure> {
    let concurrency = usize::from(args.reach.concurrency);
    if run::plan_only(args) {
        let journal = if planned.resume { Some(book::peek(planned)?) } else { None };
        let is_open = |target: &Target| {
            let done = journal
                .as_ref()
                .is_some_and(|journal| journal.standing(&target.name) == Some(&Standing::Done));
            planned.concerns(&target.name) && !done
        };
        targets.retain(is_open);
        let outcomes = run::act(args, targets, manifests, options, stop, webhooks, printer).await;
        let rollout = Some(tell::planned(planned, concurrency, journal.as_ref()));
        return Ok(Acted { outcomes, rollout, progress: None });
    }
    let (book, said) = Book::open(planned)?;
    said.iter().for_each(|line| printer.warn(line));
    let (events, heard) = tokio::sync::mpsc::unbounded_channel();
    let (news, told) = tokio::sync::mpsc::unbounded_channel();
    let narration = crate::tell::narration(args, printer, &targets);
    let narrator = tokio::spawn(progress::narrate(heard, told, *printer, narration));
    let fleet = run::fleet(&args.reach, manifests.clone(), options.clone(), stop.clone());
    let teller = Teller::new(news);
    let (driven, silent) = tokio::join!(
        drive::drive(fleet, planned, targets.clone(), &book, events, &teller),
        webhooks.started()
    );
    // The narrator ends with the last sender; a bug in it is not the deploy's.
    let _ = narrator.await;
    silent.iter().for_each(|line| printer.warn(line));
    let journal = book.journal().clone();
    let versions = match &driven.stopped {
        Some((_, because)) if because != INTERRUPTED => {
            printer.say("asking the clusters what they run");
            let fleet = run::fleet(&args.reach, manifests, options, stop);
            tell::versions(planned, &journal, &fleet, &targets).await
        }
        Some(_) | None => Vec::new(),
    };
    let rollout = tell::ended(planned, concurrency, &journal, &driven, versions);
    let outcomes = tell::outcomes(planned, &journal, &driven);
    Ok(Acted { outcomes, rollout: Some(rollout), progress: Some((journal, driven)) })
}
