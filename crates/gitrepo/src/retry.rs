//! When to try again, and how long to wait.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::{Duration, Instant};

/// How often and for how long a push is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries after the first one.
    pub retries: u32,
    /// The wait before the n-th retry is drawn from 0 to 2ⁿ⁻¹ times this, 30 s at most (or this, if
    /// it is more): writers that met once are spread over a window that doubles with each meeting,
    /// whoever came first, so that none is favoured.
    pub increment: Duration,
    /// No retry begins later than this after the start, and no request outlives it.
    pub deadline: Option<Duration>,
    /// For tests: draws the same waits every time.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { retries: 10, increment: Duration::from_secs(1), deadline: None, seed: None }
    }
}

const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A policy at work.
#[derive(Debug)]
pub(crate) struct Retries {
    policy: RetryPolicy,
    started: Instant,
    tried: u32,
    state: u64,
}

impl Retries {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        let random = || std::hash::RandomState::new().build_hasher().finish();
        Self {
            policy: policy.clone(),
            started: Instant::now(),
            tried: 0,
            state: policy.seed.unwrap_or_else(random),
        }
    }

    /// Attempts begun so far.
    pub(crate) fn attempts(&self) -> u32 {
        self.tried + 1
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// When everything must be over.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.policy.deadline.map(|limit| self.started + limit)
    }

    /// The wait before the next attempt, or `None` if there is to be none.
    ///
    /// `last` is how long the last attempt took: where many writers meet, an attempt takes longer
    /// than the increment, and the window must not be narrower than that. `at_least` is what the
    /// server asked for (`Retry-After`).
    pub(crate) fn next_wait(&mut self, last: Duration, at_least: Option<Duration>) -> Option<Duration> {
        if self.tried >= self.policy.retries {
            return None;
        }
        self.tried += 1;
        let step = self.policy.increment.max(last.min(self.policy.increment * 4));
        let longest = LONGEST_WAIT.max(self.policy.increment);
        let window = step.saturating_mul(1 << (self.tried - 1).min(16)).min(longest);
        let drawn = window.mul_f64(self.draw());
        let wait = drawn.max(at_least.unwrap_or_default());
        match self.policy.deadline {
            Some(limit) if self.elapsed() + wait >= limit => None,
            _ => Some(wait),
        }
    }

    /// A number from 0 to 1 (splitmix64).
    fn draw(&mut self) -> f64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_stay_in_a_window_that_grows_and_end() {
        let mut retries = Retries::new(&RetryPolicy { seed: Some(1), ..RetryPolicy::default() });
        for n in 1..=10 {
            let wait = retries.next_wait(Duration::ZERO, None).unwrap();
            assert!(wait <= Duration::from_secs(1 << (n - 1)).min(LONGEST_WAIT), "{n}: {wait:?}");
        }
        assert_eq!(retries.next_wait(Duration::ZERO, None), None);
        assert_eq!(retries.attempts(), 11);
    }

    #[test]
    fn what_the_server_asks_for_is_waited_but_not_beyond_the_deadline() {
        let mut retries = Retries::new(&RetryPolicy {
            deadline: Some(Duration::from_secs(60)),
            seed: Some(1),
            ..RetryPolicy::default()
        });
        let asked = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(retries.next_wait(Duration::ZERO, asked(20)), asked(20));
        assert_eq!(retries.next_wait(Duration::ZERO, asked(61)), None);
    }
}
