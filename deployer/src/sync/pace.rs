//! When a puller looks next: spread over the interval, so that a thousand clusters do not ask the git server at once,
//! and less and less often while it fails.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The longest pause after failures, unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A number from 0 to 1, another one each time.
pub(crate) fn draw() -> f64 {
    // The keys of a `RandomState` are random; 53 bits are what a float holds.
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}

/// The pause before the first look: anywhere in the interval, as all pods of a fleet may start at once.
pub(crate) fn first(interval: Duration, drawn: f64) -> Duration {
    interval.mul_f64(drawn)
}

/// The pause after a look: the interval, a tenth more or less; doubled with each failure in a row.
pub(crate) fn next(interval: Duration, failures: u32, drawn: f64) -> Duration {
    let longest = LONGEST.max(interval);
    let pause = interval.saturating_mul(1 << failures.min(16)).min(longest);
    pause.mul_f64(0.9 + 0.2 * drawn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_pullers_are_spread_over_the_interval() {
        let minute = Duration::from_secs(60);
        let mut seconds = [0; 60];
        for _ in 0..1000 {
            seconds[first(minute, draw()).as_secs() as usize] += 1;
        }
        assert!(seconds.iter().all(|looks| *looks < 60), "{seconds:?}");
        assert!(seconds.iter().filter(|looks| **looks > 0).count() > 50, "{seconds:?}");
    }

    #[test]
    fn pauses_grow_with_failures_up_to_a_limit() {
        let minute = Duration::from_secs(60);
        assert_eq!(next(minute, 0, 0.5), minute);
        assert_eq!(next(minute, 0, 0.0), Duration::from_secs(54));
        assert_eq!(next(minute, 2, 0.5), minute * 4);
        assert_eq!(next(minute, 30, 0.5), LONGEST);
        assert_eq!(next(minute * 60, 3, 0.5), minute * 60);
    }
}
