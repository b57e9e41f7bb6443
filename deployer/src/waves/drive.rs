//! The waves, one after the other: deploy, bake, ask the gate; stop where too much has failed; write down every step before
//! it is taken.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use cluster::connect::Target;
use cluster::events::Event;
use cluster::fleet::{Entry, Ledger, Standing, Verdict, Wave};
use cluster::outcome::{ClusterOutcome, ClusterState, ObjectResult, Trouble};
use cluster::rollout::Extent;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use manifest::{ClusterName, ObjectRef};
use tokio::sync::mpsc::UnboundedSender;

use crate::fleet::{self, Fleet};

use super::bake::{self, GoOn, Loaf};
use super::book::Book;
use super::gate;
use super::news::{Teller, Turn};
use super::plan::Planned;

/// Why a rollout stopped that was asked to.
pub(crate) const INTERRUPTED: &str = "the run was stopped";

/// How a rollout went.
#[derive(Default)]
pub(crate) struct Driven {
    /// Clusters that this run has worked on.
    pub(crate) outcomes: BTreeMap<ClusterName, ClusterOutcome>,
    /// Where and why it stopped before its end.
    pub(crate) stopped: Option<(String, String)>,
}

/// Why a wave does not go on.
struct Halt(String);

struct Drive<'a> {
    fleet: Arc<Fleet>,
    planned: &'a Planned,
    targets: BTreeMap<ClusterName, Target>,
    book: &'a Book,
    ledger: Ledger,
    events: UnboundedSender<Event>,
    teller: &'a Teller,
    driven: Driven,
}

/// Rolls out in waves.
pub(crate) async fn drive(
    fleet: Fleet,
    planned: &Planned,
    targets: Vec<Target>,
    book: &Book,
    events: UnboundedSender<Event>,
    teller: &Teller,
) -> Driven {
    let mut drive = Drive {
        fleet: Arc::new(fleet),
        planned,
        targets: targets.into_iter().map(|target| (target.name.clone(), target)).collect(),
        book,
        ledger: Ledger::new(&planned.rollout),
        events,
        teller,
        driven: Driven::default(),
    };
    let waves = &planned.rollout.waves;
    for (index, wave) in waves.iter().enumerate().take(planned.extent) {
        if let Err(Halt(because)) = drive.wave(wave, index + 1, waves.len()).await {
            drive.stopped(wave, because).await;
            return drive.driven;
        }
    }
    if planned.extent == waves.len()
        && !book.journal().complete
        && let Err(why) = book.append(Entry::Complete).await
        && let Some(last) = waves.last()
    {
        drive.driven.stopped = Some((last.name.clone(), why));
    }
    drive.driven
}

impl Drive<'_> {
    async fn stopped(&mut self, wave: &Wave, because: String) {
        let entry = Entry::Stopped { wave: wave.name.clone(), because: because.clone() };
        // If the journal is why it stopped, this fails too; the report says it.
        let _ = self.book.append(entry).await;
        self.teller.tell(&wave.name, Turn::WaveStopped { because: because.clone() }).await;
        self.driven.stopped = Some((wave.name.clone(), because));
    }

    /// One wave, as far as it has not passed already.
    async fn wave(&mut self, wave: &Wave, number: usize, of: usize) -> Result<(), Halt> {
        let (passed, open) = {
            let journal = self.book.journal();
            (journal.has_passed(&wave.name), journal.open(&wave.name))
        };
        if passed && open.is_empty() {
            return Ok(());
        }
        let turn = Turn::WaveStarted { number, of, clusters: open.len() };
        self.teller.tell(&wave.name, turn).await;
        self.deploy(wave, open.clone()).await?;
        let baked = self.book.journal().has_baked(&wave.name);
        if !baked {
            // A wave that has passed has baked: only what has been added to it now is looked at.
            self.bake(wave, if passed { &open } else { &wave.clusters }).await?;
            self.write(Entry::Baked { wave: wave.name.clone() }).await?;
        }
        if passed {
            return Ok(());
        }
        if let Some(gate) = &wave.gate {
            self.teller.tell(&wave.name, Turn::WaveGate { gate: gate.to_string() }).await;
            let Fleet { run, .. } = &*self.fleet;
            gate::ask(gate, wave, self.planned.commit.as_deref(), &run.mask, &run.stop)
                .await
                .map_err(Halt)?;
        }
        self.write(Entry::Passed { wave: wave.name.clone() }).await?;
        self.teller.tell(&wave.name, Turn::WavePassed).await;
        Ok(())
    }

    async fn write(&self, entry: Entry) -> Result<(), Halt> {
        self.book.append(entry).await.map_err(Halt)
    }

    /// Deploys to clusters side by side. What is in flight when too much has failed is finished.
    async fn deploy(&mut self, wave: &Wave, clusters: Vec<ClusterName>) -> Result<(), Halt> {
        let concurrency = wave.concurrency.unwrap_or(self.fleet.concurrency);
        let mut queue: VecDeque<ClusterName> = clusters.into();
        let mut flying = FuturesUnordered::new();
        let mut halt: Option<Halt> = None;
        loop {
            while halt.is_none() && flying.len() < concurrency && !self.fleet.run.stop.is_set() {
                let Some(target) = queue.pop_front().and_then(|name| self.targets.get(&name).cloned()) else {
                    break;
                };
                let (fleet, events, book) = (self.fleet.clone(), self.events.clone(), self.book);
                flying.push(async move {
                    let name = target.name.clone();
                    match book.append(Entry::Start { cluster: name.clone() }).await {
                        Ok(()) => (name, Ok(fleet::one_of(&fleet, target, events).await)),
                        Err(why) => (name, Err(why)),
                    }
                });
            }
            let Some((name, outcome)) = flying.next().await else { break };
            let ended = match outcome {
                Ok(outcome) => self.ended(wave, outcome).await,
                // It was not written to.
                Err(why) => {
                    let mut outcome = fleet::failed(name.clone(), Trouble::new(why.clone()));
                    outcome.state = ClusterState::NotStarted;
                    self.driven.outcomes.insert(name, outcome);
                    Err(Halt(why))
                }
            };
            if let Err(why) = ended {
                halt.get_or_insert(why);
            }
        }
        match halt {
            Some(halt) => Err(halt),
            None if self.fleet.run.stop.is_set() => Err(Halt(INTERRUPTED.to_owned())),
            None => Ok(()),
        }
    }

    /// A cluster has come to its end.
    async fn ended(&mut self, wave: &Wave, outcome: ClusterOutcome) -> Result<(), Halt> {
        let cluster = outcome.cluster.clone();
        let because = why(&outcome);
        let (verdict, entry) = match outcome.state {
            ClusterState::Done => (Verdict::Good, Entry::Done { cluster: cluster.clone() }),
            ClusterState::Failed if outcome.unreachable => {
                (Verdict::Unreachable, Entry::Quarantined { cluster: cluster.clone(), because })
            }
            ClusterState::Failed | ClusterState::Refused => {
                (Verdict::Failed, Entry::Failed { cluster: cluster.clone(), because })
            }
            // Where it stands is not known, and the journal says so already.
            ClusterState::Interrupted | ClusterState::NotStarted => {
                self.driven.outcomes.insert(cluster, outcome);
                return Ok(());
            }
        };
        self.driven.outcomes.insert(cluster.clone(), outcome);
        self.write(entry).await?;
        self.count(wave, &cluster, verdict)
    }

    fn count(&mut self, wave: &Wave, cluster: &ClusterName, verdict: Verdict) -> Result<(), Halt> {
        match self.ledger.record(wave, cluster, verdict) {
            Some(breach) => Err(Halt(breach.to_string())),
            None => Ok(()),
        }
    }

    /// Sees to it that those of `clusters` that are done stay well.
    async fn bake(&mut self, wave: &Wave, clusters: &[ClusterName]) -> Result<(), Halt> {
        if wave.bake.is_zero() {
            return Ok(());
        }
        let done: Vec<ClusterName> = {
            let journal = self.book.journal();
            let is_done = |cluster: &&ClusterName| journal.standing(cluster) == Some(&Standing::Done);
            clusters.iter().filter(is_done).cloned().collect()
        };
        let concurrency = wave.concurrency.unwrap_or(self.fleet.concurrency);
        let mut loaves = Vec::new();
        let mut unknown = Vec::new();
        for cluster in done {
            let Some(target) = self.targets.get(&cluster).cloned() else { continue };
            match self.driven.outcomes.get(&cluster) {
                Some(outcome) => loaves.push(Loaf { target, objects: running(outcome) }),
                None => unknown.push(target),
            }
        }
        // Done by an earlier run: a plan says what runs there, and writes nothing.
        for outcome in self.look_up(unknown, concurrency).await {
            let Some(target) = self.targets.get(&outcome.cluster).cloned() else { continue };
            loaves.push(Loaf { target, objects: running(&outcome) });
        }
        let seconds = wave.bake.as_secs_f64();
        self.teller.tell(&wave.name, Turn::WaveBaking { seconds, clusters: loaves.len() }).await;
        let fleet = self.fleet.clone();
        let mut halt = None;
        bake::bake(&fleet, loaves, wave.bake, concurrency, async |burnt| {
            let because = burnt.trouble.line();
            let cluster = burnt.cluster.clone();
            let entry = match burnt.verdict {
                Verdict::Unreachable => Entry::Quarantined { cluster: cluster.clone(), because },
                Verdict::Good | Verdict::Failed => Entry::Failed { cluster: cluster.clone(), because },
            };
            self.blame(&burnt.cluster, burnt.verdict, burnt.trouble);
            let counted = match self.write(entry).await {
                Ok(()) => self.count(wave, &cluster, burnt.verdict),
                Err(halt) => Err(halt),
            };
            match counted {
                Ok(()) => GoOn::Yes,
                Err(why) => {
                    halt = Some(why);
                    GoOn::No
                }
            }
        })
        .await;
        match halt {
            Some(halt) => Err(halt),
            None if self.fleet.run.stop.is_set() => Err(Halt(INTERRUPTED.to_owned())),
            None => Ok(()),
        }
    }

    /// A cluster that was done is not.
    fn blame(&mut self, cluster: &ClusterName, verdict: Verdict, trouble: Trouble) {
        let outcome = self
            .driven
            .outcomes
            .entry(cluster.clone())
            .or_insert_with(|| fleet::failed(cluster.clone(), trouble.clone()));
        outcome.state = ClusterState::Failed;
        outcome.unreachable = verdict == Verdict::Unreachable;
        outcome.trouble = Some(trouble);
    }

    /// Plans for clusters without writing to them.
    async fn look_up(&self, targets: Vec<Target>, concurrency: usize) -> Vec<ClusterOutcome> {
        if targets.is_empty() {
            return Vec::new();
        }
        let Fleet { manifests, options, plugins, run, .. } = &*self.fleet;
        let mut options = options.clone();
        options.extent = Extent::Plan;
        let fleet = Fleet {
            manifests: manifests.clone(),
            options,
            plugins: plugins.clone(),
            run: run.clone(),
            concurrency,
        };
        fleet::deploy_unheard(fleet, targets).await
    }
}

/// What of a cluster runs pods.
fn running(outcome: &ClusterOutcome) -> Vec<ObjectRef> {
    let objects = outcome.objects.iter().map(|object| &object.object);
    objects.filter(|object| cluster::bake::bakes(object)).cloned().collect()
}

/// Why a cluster failed, in one line for the journal.
fn why(outcome: &ClusterOutcome) -> String {
    if let Some(trouble) = &outcome.trouble {
        return trouble.line();
    }
    let bad = outcome.bad().next().map(|(object, trouble)| {
        let how =
            if matches!(object.result, ObjectResult::NotReady { .. }) { "is not ready" } else { "failed" };
        format!("{} {how}: {}", object.object, trouble.line())
    });
    bad.unwrap_or_else(|| "it is not as wanted".to_owned())
}
