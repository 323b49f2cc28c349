//! A limit of bytes a second over all lanes together.
//!
//! Who wants to move bytes takes them from the pace first; what is over the limit waits. The
//! reckoning is a single moment, until which the pace is paid for, so it needs no ticks.
//!
//! Invariant: over any span, at most the limit times the span and one burst are given out.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How far the pace may be ahead, as time at the limit: little, so that gauges move evenly.
const BURST: Duration = Duration::from_millis(100);

/// Shared by all transfers of an engine.
#[derive(Debug)]
pub(super) struct Pace {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Bytes a second.
    limit: Option<u64>,
    paid_until: Option<Instant>,
}

impl Pace {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { state: Mutex::new(State { limit, paid_until: None }) }
    }

    /// Sets the limit from now on; `None` for none.
    pub(super) fn set(&self, limit: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { limit, paid_until: None };
    }

    /// Whether there is a limit: then bytes should be taken in small portions.
    pub(super) fn is_limited(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).limit.is_some()
    }

    /// Waits until `bytes` may move.
    pub(super) async fn take(&self, bytes: u64) {
        let until = self.pay(bytes, Instant::now());
        if let Some(until) = until {
            tokio::time::sleep_until(until).await;
        }
    }

    fn pay(&self, bytes: u64, now: Instant) -> Option<Instant> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = state.limit?;
        let cost = Duration::from_secs_f64(bytes as f64 / limit.max(1) as f64);
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let start = state.paid_until.map_or(earliest, |paid| paid.max(earliest));
        state.paid_until = Some(start + cost);
        (start + cost > now).then_some(start + cost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When each of `takes` may go, in milliseconds after `now`, if they all ask at once.
    fn waits(pace: &Pace, takes: &[u64], now: Instant) -> Vec<u128> {
        let until = takes.iter().map(|bytes| pace.pay(*bytes, now));
        until.map(|until| until.map_or(0, |until| (until - now).as_millis())).collect()
    }

    #[test]
    fn all_takers_share_one_limit_with_one_burst() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        assert_eq!(waits(&pace, &[100, 200, 200, 500], now), [0, 200, 400, 900]);
        // A second later the first hundred milliseconds are paid for, and one burst is free again.
        assert_eq!(waits(&pace, &[100, 100], now + Duration::from_secs(1)), [0, 100]);
    }

    #[test]
    fn no_limit_does_not_wait_and_a_new_one_holds_at_once() {
        let pace = Pace::new(None);
        let now = Instant::now();
        assert_eq!(waits(&pace, &[1 << 40], now), [0]);
        pace.set(Some(100));
        assert!(pace.is_limited());
        assert_eq!(waits(&pace, &[100], now), [900]);
        pace.set(None);
        assert_eq!(waits(&pace, &[100], now), [0]);
    }

    #[test]
    fn an_idle_span_is_not_saved_up() {
        let pace = Pace::new(Some(1000));
        let now = Instant::now();
        waits(&pace, &[100], now);
        assert_eq!(waits(&pace, &[1100], now + Duration::from_mins(1)), [1000]);
    }
}
