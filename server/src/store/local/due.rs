//! Scans that the store begins by itself, because something came to light that nobody expected.
//!
//! One that fails is tried again, later each time: what stands in its way is an administrator's to
//! mend, and until then each try reads the home for nothing.
//!
//! Invariant: an account stays due until a scan of it ended well.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Inner;
use super::db::scans;
use crate::store::{AccountId, Scanned, StoreError};

/// Before a scan that failed is tried again; twice as long after each further failure.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// At most so long.
const LONGEST_PAUSE: Duration = Duration::from_hours(6);

/// How the task that scans is woken.
#[derive(Default)]
pub(super) struct Scans {
    /// Some may be due.
    pub(super) wake: Notify,
    failing: Mutex<Failing>,
}

impl Scans {
    fn failing(&self) -> MutexGuard<'_, Failing> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A scan ended well, whoever wished it: the next one that fails is a first one.
    pub(super) fn went_well(&self, account: AccountId) {
        self.failing().forget(account);
    }

    pub(super) fn wake_if(&self, due: bool) {
        if due {
            self.wake.notify_one();
        }
    }
}

/// The scans that failed, and when each may be tried again.
#[derive(Debug, Default)]
struct Failing(HashMap<AccountId, (u32, Instant)>);

impl Failing {
    /// Forgets those that are not `due` any more.
    fn keep(&mut self, due: &[AccountId]) {
        self.0.retain(|account, _| due.contains(account));
    }

    fn forget(&mut self, account: AccountId) {
        self.0.remove(&account);
    }

    fn may_try(&self, account: AccountId, now: Instant) -> bool {
        self.0.get(&account).is_none_or(|(_, again)| *again <= now)
    }

    /// Says how long it pauses.
    fn note(&mut self, account: AccountId, now: Instant) -> Duration {
        let (failures, again) = self.0.entry(account).or_insert((0, now));
        let pause = FIRST_PAUSE.saturating_mul(1 << (*failures).min(16)).min(LONGEST_PAUSE);
        *failures += 1;
        *again = now + pause;
        pause
    }
}

impl Inner {
    /// Scans what is due.
    pub(super) async fn scan_what_is_due(self: Arc<Self>) {
        loop {
            self.scans.wake.notified().await;
            let inner = self.clone();
            let due = match self.job(move || inner.db.read(scans::all_due)).await {
                Ok(due) => due,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::error!(%error, "cannot look for homes that are to be counted anew");
                    continue;
                }
            };
            self.scans.failing().keep(&due);
            for account in due {
                if !self.scans.failing().may_try(account, Instant::now()) {
                    continue;
                }
                match self.scan_if_due(account).await {
                    Ok(None) => {}
                    Ok(Some(scanned)) => {
                        let Scanned { used_before, used, entries_before, entries, .. } = scanned;
                        tracing::warn!(
                            account = account.0,
                            used_before,
                            used,
                            entries_before,
                            entries,
                            "a home was changed by hand, and is counted anew"
                        );
                    }
                    Err(StoreError::Closed) => return,
                    // It stays due.
                    Err(error) => {
                        let pause = self.scans.failing().note(account, Instant::now()).as_secs();
                        tracing::error!(%error, account = account.0, again_in_seconds = pause, "cannot count a home anew");
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Local;
    use super::*;
    use crate::store::conformance::user;

    /// A scan that keeps failing is tried less and less often, and as soon as before once it went well.
    #[test]
    fn a_failing_scan_is_tried_less_and_less_often() {
        let (one, other) = (AccountId(1), AccountId(2));
        let (mut failing, start) = (Failing::default(), Instant::now());
        let mut now = start;
        let mut tries = 0;
        while now < start + Duration::from_hours(24) {
            if failing.may_try(one, now) {
                tries += 1;
                failing.note(one, now);
            }
            assert!(failing.may_try(other, now), "the others are not held up");
            now += Duration::from_mins(1);
        }
        assert!((10..=14).contains(&tries), "{tries} tries in a day");
        failing.keep(&[one]);
        assert!(!failing.may_try(one, start));
        failing.keep(&[]);
        assert!(failing.may_try(one, start));
        assert_eq!(failing.note(one, start), FIRST_PAUSE);
    }

    /// Also one that somebody asked for, after which the account may soon be due again.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_scan_that_ends_well_makes_the_next_failure_a_first_one() {
        let local = Local::new().await;
        let anna = user(&local).await;
        let inner = local.local().inner.clone();
        let now = Instant::now();
        let note = || inner.scans.failing().note(anna.id, now);
        assert_eq!(note(), FIRST_PAUSE);
        assert_eq!(note(), 2 * FIRST_PAUSE);
        assert!(!inner.scans.failing().may_try(anna.id, now));
        anna.store.scan(anna.id, Arc::default()).await.unwrap();
        assert!(inner.scans.failing().may_try(anna.id, now));
        assert_eq!(note(), FIRST_PAUSE);
    }
}
