//! Failed logins cost time.
//!
//! What is counted is a name as it was tried and where from, whether or not there is such an
//! account: so the delay says nothing about who exists, and nobody can lock an account for others.
//!
//! Invariant: memory is bounded by [`MAX_ROWS`], whatever is tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures that cost nothing: people mistype.
const FREE_FAILURES: u32 = 3;
/// The delay after the first failure that costs; it doubles with each one more.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_mins(1);
/// A row is forgotten so long after its last failure.
const FORGET_AFTER: Duration = Duration::from_mins(15);
/// Rows that are kept; the least suspicious give way.
const MAX_ROWS: usize = 4096;

/// Where a connection comes from: an IPv4 address or an IPv6 /64, which is what one site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin(IpAddr);

impl From<IpAddr> for Origin {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// Counts failures by name and origin.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    rows: Mutex<HashMap<(String, Origin), Row>>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    last: Instant,
}

impl Row {
    fn free_at(self) -> Instant {
        let Some(over) = self.failures.checked_sub(FREE_FAILURES + 1) else { return self.last };
        let delay = FIRST_DELAY.saturating_mul(1_u32.checked_shl(over).unwrap_or(u32::MAX));
        self.last + delay.min(LONGEST_DELAY)
    }

    fn is_forgotten(self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) >= FORGET_AFTER
    }
}

impl Throttle {
    /// How long a try of `name` from `origin` still has to wait; `None`: it may go on.
    pub(crate) fn wait(&self, name: &str, origin: Origin, now: Instant) -> Option<Duration> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let row = rows.get(&(name.to_owned(), origin)).filter(|row| !row.is_forgotten(now))?;
        Some(row.free_at().saturating_duration_since(now)).filter(|wait| !wait.is_zero())
    }

    /// A try failed.
    pub(crate) fn failed(&self, name: &str, origin: Origin, now: Instant) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (name.to_owned(), origin);
        if rows.len() >= MAX_ROWS && !rows.contains_key(&key) {
            make_room(&mut rows, now);
        }
        let row = rows.entry(key).or_insert(Row { failures: 0, last: now });
        if row.is_forgotten(now) {
            row.failures = 0;
        }
        row.failures = row.failures.saturating_add(1);
        row.last = now;
    }

    /// A try succeeded; what failed before counts no more.
    pub(crate) fn succeeded(&self, name: &str, origin: Origin) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.remove(&(name.to_owned(), origin));
    }
}

fn make_room(rows: &mut HashMap<(String, Origin), Row>, now: Instant) {
    rows.retain(|_, row| !row.is_forgotten(now));
    if rows.len() < MAX_ROWS {
        return;
    }
    // A quarter at once, so that a flood of names does not pay for each with a look at all.
    let mut ranks: Vec<_> = rows.values().map(|row| (row.failures, row.last)).collect();
    let (_, bound, _) = ranks.select_nth_unstable(MAX_ROWS / 4);
    let bound = *bound;
    let mut surplus = MAX_ROWS / 4;
    rows.retain(|_, row| {
        let gives_way = surplus > 0 && (row.failures, row.last) <= bound;
        surplus -= usize::from(gives_way);
        !gives_way
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(address: &str) -> Origin {
        Origin::from(address.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn failures_cost_more_and_more_up_to_a_minute() {
        let (throttle, here, start) = (Throttle::default(), origin("192.0.2.1"), Instant::now());
        let waits: Vec<u64> = (0..12)
            .map(|_| {
                throttle.failed("anna", here, start);
                throttle.wait("anna", here, start).map_or(0, |wait| wait.as_secs())
            })
            .collect();
        assert_eq!(waits, [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(throttle.wait("anna", here, start + LONGEST_DELAY), None);
        assert_eq!(throttle.wait("bert", here, start), None);
        assert_eq!(throttle.wait("anna", origin("192.0.2.2"), start), None);
    }

    #[test]
    fn success_and_time_forget() {
        let (throttle, here, start) = (Throttle::default(), origin("192.0.2.1"), Instant::now());
        (0..5).for_each(|_| throttle.failed("anna", here, start));
        assert!(throttle.wait("anna", here, start).is_some());
        throttle.succeeded("anna", here);
        assert_eq!(throttle.wait("anna", here, start), None);

        (0..5).for_each(|_| throttle.failed("anna", here, start));
        let later = start + FORGET_AFTER;
        throttle.failed("anna", here, later);
        assert_eq!(throttle.wait("anna", here, later), None, "counting began anew");
    }

    #[test]
    fn one_site_is_one_origin() {
        assert_eq!(origin("2001:db8::1"), origin("2001:db8::ffff"));
        assert_ne!(origin("2001:db8::1"), origin("2001:db8:0:1::1"));
        assert_eq!(origin("::ffff:192.0.2.1"), origin("192.0.2.1"));
    }

    /// HARDENING S10, S16: what strangers try takes no more memory than this.
    #[test]
    fn s10_memory_is_bounded_and_the_worst_stay() {
        let (throttle, here, start) = (Throttle::default(), origin("192.0.2.1"), Instant::now());
        (0..10).for_each(|_| throttle.failed("anna", here, start));
        for number in 0..2 * MAX_ROWS {
            throttle.failed(&format!("guess{number}"), here, start);
        }
        let rows = throttle.rows.lock().unwrap().len();
        assert!((MAX_ROWS / 2..=MAX_ROWS).contains(&rows), "{rows}");
        assert!(throttle.wait("anna", here, start).is_some());
    }
}
