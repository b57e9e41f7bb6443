//! When is a problem a failure? Pure: what is wrong now, and the time.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::{Diagnosis, Problem};

/// kit's health check: `--available-health-check` and its three companions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthOptions {
    /// Whether a problem can fail a rollout before its deadline. Diagnoses are made in any case.
    pub enabled: bool,
    /// How long a problem may last (some kinds a multiple of it, see [`Problem::patience`]).
    pub grace: Duration,
    /// A problem counts when it has happened more often than this: restarts, or repetitions of its event.
    pub threshold: i64,
    /// Reasons that never fail a rollout: of containers, pods or events, for example `FailedScheduling`.
    pub ignored: BTreeSet<String>,
}

impl Default for HealthOptions {
    fn default() -> Self {
        Self { enabled: true, grace: Duration::from_secs(10), threshold: 0, ignored: BTreeSet::new() }
    }
}

impl HealthOptions {
    /// Whether the caller asked not to fail for this.
    #[must_use]
    pub fn ignores(&self, diagnosis: &Diagnosis) -> bool {
        let known_as = diagnosis.problem.event_reasons();
        self.ignored.contains(&diagnosis.reason)
            || known_as.iter().any(|reason| self.ignored.contains(*reason))
    }

    fn counts(&self, diagnosis: &Diagnosis) -> bool {
        // A problem without any count of its own (a pod without a node) has happened once.
        diagnosis.restarts.max(diagnosis.repeated).max(1) > self.threshold
    }
}

/// The judge's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing that could fail the rollout.
    Fine,
    /// Something is wrong; ask again at this time at the latest, even if nothing changes.
    Suspicious(Duration),
    /// The problem of this index has lasted too long.
    Failed(usize),
}

/// Which problem: of what kind, in which container.
type Key = (Problem, Option<String>);

#[derive(Debug, Clone, Copy)]
struct Clock {
    first: Duration,
    /// Since when it is gone, if it is.
    gone: Option<Duration>,
}

/// Follows the problems of one rollout through time. Times are durations since any fixed moment.
#[derive(Debug, Clone, Default)]
pub struct Judge {
    /// Those that can fail it: one or two as a rule.
    seen: Vec<(Key, Clock)>,
    /// The text that was given last; its hash tells whether it has changed.
    progress: u64,
    progressed: Duration,
}

impl Judge {
    /// Judges what is wrong at `now`. `progress` is any text that changes when the rollout moves on.
    pub fn observe(
        &mut self,
        options: &HealthOptions,
        now: Duration,
        problems: &[Diagnosis],
        progress: &str,
    ) -> Verdict {
        let progress = hash(progress);
        if self.progress != progress {
            (self.progress, self.progressed) = (progress, now);
        }
        // Gone for as long as it would have had to last: recovered. A crash loop is up for moments in between.
        self.seen
            .retain(|(_, clock)| clock.gone.is_none_or(|gone| now.saturating_sub(gone) <= options.grace));
        let present: BTreeSet<Key> = problems.iter().map(key).collect();
        for (_, clock) in self.seen.iter_mut().filter(|(key, _)| !present.contains(key)) {
            clock.gone.get_or_insert(now);
        }
        let mut next: Option<Duration> = None;
        for (index, diagnosis) in problems.iter().enumerate() {
            let Some(patience) = diagnosis.problem.patience(options.grace) else { continue };
            let clock = self.clock(key(diagnosis), now);
            clock.gone = None;
            if !options.enabled || options.ignores(diagnosis) {
                continue;
            }
            let from = if diagnosis.problem.yields_to_progress() {
                clock.first.max(self.progressed)
            } else {
                clock.first
            };
            let due = from + patience;
            if now < due {
                next = Some(next.map_or(due, |earliest| earliest.min(due)));
            } else if diagnosis.acute && options.counts(diagnosis) {
                return Verdict::Failed(index);
            }
        }
        next.map_or(Verdict::Fine, Verdict::Suspicious)
    }

    /// The clock of a problem, which runs from `now` if it is new.
    fn clock(&mut self, key: Key, now: Duration) -> &mut Clock {
        let known = self.seen.iter().position(|(other, _)| *other == key);
        let index = known.unwrap_or_else(|| {
            self.seen.reserve_exact(1);
            self.seen.push((key, Clock { first: now, gone: None }));
            self.seen.len() - 1
        });
        &mut self.seen[index].1
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

fn key(diagnosis: &Diagnosis) -> Key {
    (diagnosis.problem, diagnosis.container.clone())
}
