//! Failed logins cost time.
//!
//! What is counted is a name as it was tried and where from, whether or not there is such an
//! account: so the delay says nothing about who exists, and nobody can lock an account for others.
//!
//! A try counts from its beginning: as many may be underway at once as could still fail for free, and
//! one when none could. More wait for those to end, so guessing in parallel is as slow as guessing in
//! turn, while many good logins at once only queue. The wait ends with the login's deadline.
//!
//! Invariant: memory is bounded by [`MAX_ROWS`] and the tries underway, whatever is tried.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

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

type Key = (String, Origin);
type Rows = HashMap<Key, Row>;

/// Counts tries and failures by name and origin.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    rows: Mutex<Rows>,
    /// Told whenever a try ends.
    ended: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    failures: u32,
    /// When the last one failed.
    last: Instant,
    /// Tries that have begun and not ended.
    underway: u32,
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

    /// Tries that may be underway at once.
    fn room(self) -> u32 {
        (FREE_FAILURES + 1).saturating_sub(self.failures).max(1)
    }
}

/// What became of the wish to try.
#[derive(Debug)]
enum Turn<'a> {
    Begun(Attempt<'a>),
    /// Not before so long.
    Wait(Duration),
    /// Not before a try that is underway has ended.
    Full,
}

/// A try that is underway. Dropped without a word it was given up, and proved nothing.
#[derive(Debug)]
pub(crate) struct Attempt<'a> {
    throttle: &'a Throttle,
    key: Key,
    proved: Option<bool>,
}

impl Throttle {
    /// Begins a try of `name` from `origin`, once those that are underway leave room. `Err`: how
    /// long it still has to wait.
    pub(crate) async fn begin(&self, name: &str, origin: Origin) -> Result<Attempt<'_>, Duration> {
        let mut ended = pin!(self.ended.notified());
        loop {
            // From here on no end is missed.
            ended.as_mut().enable();
            match self.turn(name, origin, Instant::now()) {
                Turn::Begun(attempt) => return Ok(attempt),
                Turn::Wait(wait) => return Err(wait),
                Turn::Full => ended.as_mut().await,
            }
            ended.set(self.ended.notified());
        }
    }

    fn turn(&self, name: &str, origin: Origin, now: Instant) -> Turn<'_> {
        let mut rows = self.rows();
        let key = (name.to_owned(), origin);
        if rows.len() >= MAX_ROWS && !rows.contains_key(&key) {
            make_room(&mut rows, now);
        }
        let row = rows.entry(key.clone()).or_insert(Row { failures: 0, last: now, underway: 0 });
        if row.is_forgotten(now) {
            row.failures = 0;
        }
        let wait = row.free_at().saturating_duration_since(now);
        if !wait.is_zero() {
            return Turn::Wait(wait);
        }
        if row.underway >= row.room() {
            return Turn::Full;
        }
        row.underway += 1;
        Turn::Begun(Attempt { throttle: self, key, proved: None })
    }

    fn end(&self, key: &Key, proved: Option<bool>, now: Instant) {
        let mut rows = self.rows();
        if let Some(row) = rows.get_mut(key) {
            row.underway = row.underway.saturating_sub(1);
            match proved {
                Some(true) => row.failures = 0,
                Some(false) => {
                    let before = if row.is_forgotten(now) { 0 } else { row.failures };
                    row.failures = before.saturating_add(1);
                    row.last = now;
                }
                None => {}
            }
            if row.failures == 0 && row.underway == 0 {
                rows.remove(key);
            }
        }
        drop(rows);
        self.ended.notify_waiters();
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// It failed.
    pub(crate) fn failed(mut self) {
        self.proved = Some(false);
    }

    /// It succeeded; what failed before counts no more.
    pub(crate) fn succeeded(mut self) {
        self.proved = Some(true);
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.throttle.end(&self.key, self.proved, Instant::now());
    }
}

/// Forgets what is old, else a quarter of the rows: at once, so that a flood of names does not pay
/// for each with a look at all. Tries underway stay.
fn make_room(rows: &mut Rows, now: Instant) {
    rows.retain(|_, row| row.underway > 0 || !row.is_forgotten(now));
    if rows.len() < MAX_ROWS {
        return;
    }
    let idle = rows.values().filter(|row| row.underway == 0);
    let mut ranks: Vec<_> = idle.map(|row| (row.failures, row.last)).collect();
    let mut surplus = (MAX_ROWS / 4).min(ranks.len());
    if surplus == 0 {
        return;
    }
    let (_, bound, _) = ranks.select_nth_unstable(surplus - 1);
    let bound = *bound;
    rows.retain(|_, row| {
        let gives_way = surplus > 0 && row.underway == 0 && (row.failures, row.last) <= bound;
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

    impl Throttle {
        /// A try that failed at `now`, whether or not it was allowed.
        fn fail(&self, name: &str, origin: Origin, now: Instant) {
            let key = (name.to_owned(), origin);
            let mut rows = self.rows();
            if rows.len() >= MAX_ROWS && !rows.contains_key(&key) {
                make_room(&mut rows, now);
            }
            let new = Row { failures: 0, last: now, underway: 0 };
            rows.entry(key.clone()).or_insert(new).underway += 1;
            drop(rows);
            self.end(&key, Some(false), now);
        }

        fn wait(&self, name: &str, origin: Origin, now: Instant) -> Option<Duration> {
            match self.turn(name, origin, now) {
                Turn::Wait(wait) => Some(wait),
                Turn::Begun(_) | Turn::Full => None,
            }
        }

        fn begun(&self, name: &str, origin: Origin, now: Instant) -> Option<Attempt<'_>> {
            match self.turn(name, origin, now) {
                Turn::Begun(attempt) => Some(attempt),
                Turn::Wait(_) | Turn::Full => None,
            }
        }
    }

    #[test]
    fn failures_cost_more_and_more_up_to_a_minute() {
        let (throttle, here, start) = (Throttle::default(), origin("192.0.2.1"), Instant::now());
        let waits: Vec<u64> = (0..12)
            .map(|_| {
                throttle.fail("anna", here, start);
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
        (0..5).for_each(|_| throttle.fail("anna", here, start));
        assert!(throttle.wait("anna", here, start).is_some());
        throttle.begun("anna", here, start + LONGEST_DELAY).unwrap().succeeded();
        assert!(throttle.rows().is_empty());

        (0..5).for_each(|_| throttle.fail("anna", here, start));
        let later = start + FORGET_AFTER;
        throttle.fail("anna", here, later);
        assert_eq!(throttle.wait("anna", here, later), None, "counting began anew");
    }

    #[test]
    fn tries_at_once_are_no_more_than_tries_in_turn() {
        let (throttle, here, start) = (Throttle::default(), origin("192.0.2.1"), Instant::now());
        let underway: Vec<_> = (0..64).map_while(|_| throttle.begun("anna", here, start)).collect();
        assert_eq!(underway.len(), 4);
        // Neither other names nor other places wait for them.
        assert!(throttle.begun("bert", here, start).is_some());
        assert!(throttle.begun("anna", origin("192.0.2.2"), start).is_some());
        underway.into_iter().for_each(Attempt::failed);
        assert!(throttle.wait("anna", here, Instant::now()).is_some());
        // From then on one at a time.
        let later = Instant::now() + LONGEST_DELAY;
        let one = throttle.begun("anna", here, later).unwrap();
        assert!(matches!(throttle.turn("anna", here, later), Turn::Full));
        drop(one);
        throttle.begun("anna", here, later).expect("what was given up proved nothing").succeeded();
        assert_eq!(throttle.rows().len(), 0);
    }

    #[tokio::test]
    async fn whoever_waits_goes_on_when_a_try_ends() {
        let (throttle, here) = (Throttle::default(), origin("192.0.2.1"));
        let mut underway = Vec::new();
        for _ in 0..4 {
            underway.push(throttle.begin("anna", here).await.unwrap());
        }
        let fifth = async { throttle.begin("anna", here).await.unwrap().succeeded() };
        let first = async { underway.remove(0).succeeded() };
        tokio::join!(fifth, first);
        underway.into_iter().for_each(Attempt::failed);
        let fifth = throttle.begin("anna", here);
        fifth.await.expect("three failures are free").failed();
        throttle.begin("anna", here).await.expect_err("the fourth was not");
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
        (0..10).for_each(|_| throttle.fail("anna", here, start));
        let bert = throttle.begun("bert", here, start).unwrap();
        for number in 0..2 * MAX_ROWS {
            throttle.fail(&format!("guess{number}"), here, start);
        }
        let rows = throttle.rows().len();
        assert!((MAX_ROWS / 2..=MAX_ROWS).contains(&rows), "{rows}");
        assert!(throttle.wait("anna", here, start).is_some());
        assert!(throttle.rows().contains_key(&bert.key), "what is underway stays");
    }
}
