//! When to try again: pure, so that it can be read as a table.
//!
//! Invariant: a delay is never longer than [`LONGEST`], and never a fixed one, so that many clients
//! that lost the same server do not come back at once.

use std::time::Duration;

/// The delay before the first try; the second waits up to twice as long, and so on.
pub(super) const SHORTEST: Duration = Duration::from_millis(200);
/// A person who looks at the screen must not wait longer than this after the link is back.
pub(super) const LONGEST: Duration = Duration::from_secs(8);

/// Counts tries that failed in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// Which try comes next, from 1.
    pub(super) fn attempt(self) -> u32 {
        self.failed + 1
    }

    /// How long to wait before the next try. `random` is in `0.0..1.0`; the delay lies between half
    /// and all of the step.
    pub(super) fn next(&mut self, random: f64) -> Duration {
        let step = SHORTEST.saturating_mul(1 << self.failed.min(16)).min(LONGEST);
        self.failed = self.failed.saturating_add(1);
        step.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_their_bound_and_begin_again() {
        let mut backoff = Backoff::default();
        let delays: Vec<_> = (0..8).map(|_| backoff.next(1.0).as_millis()).collect();
        assert_eq!(delays, [200, 400, 800, 1600, 3200, 6400, 8000, 8000]);
        assert_eq!(backoff.attempt(), 9);
        assert_eq!(backoff.next(0.0), LONGEST / 2);
        backoff.reset();
        assert_eq!(backoff.attempt(), 1);
        assert_eq!(backoff.next(0.5), Duration::from_millis(150));
    }

    #[test]
    fn a_million_tries_do_not_overflow() {
        let mut backoff = Backoff { failed: u32::MAX - 1 };
        assert_eq!(backoff.next(1.0), LONGEST);
        assert_eq!(backoff.next(1.0), LONGEST);
    }
}
