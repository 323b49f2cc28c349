//! Counting homes anew.
//!
//! ```text
//! turn: settle what is left over, note how many changes began → count, outside the turn
//!     → turn: did one begin meanwhile? again, and the third time in the turn
//!     → one transaction: use, credits, "as of"
//! ```
//!
//! What was removed and is not deleted yet stays charged: it is counted in staging, and its purge
//! pauses meanwhile (the account's *purging turn*). What is reserved is not touched, but for credits
//! whose files hands took away: these move into their uploads' reservations.
//!
//! Invariant: the ledger is changed once, at the end, with nothing of the account under way; a scan
//! that ends early, in whatever way, changed nothing.

use std::sync::Arc;

use tokio::sync::Notify;

use super::db::scans::{self, Counted, Credit};
use super::db::{intents, ledger};
use super::disk::Open;
use super::encoding::decode;
use super::failure::while_doing;
use super::home::Home;
use super::intent::Intent;
use super::purge::Purge;
use super::step::Step;
use super::walking::Walk;
use super::{Inner, Turn, acquire};
use crate::quota::Charge;
use crate::store::{AccountId, Result, ScanProgress, Scanned, StoreError};

/// From this round on the account's changes wait.
const HOLDING_ROUND: u64 = 3;
/// Pages in one job: some hundredths of a second.
const PAGES_A_SLICE: usize = if cfg!(test) { 1 } else { 16 };

/// Scans that the store begins by itself.
#[derive(Default)]
pub(super) struct Scans {
    /// Some may be due.
    pub(super) wake: Notify,
}

impl Scans {
    pub(super) fn wake_if(&self, due: bool) {
        if due {
            self.wake.notify_one();
        }
    }
}

/// One round of a scan.
struct Round {
    home: Arc<Home>,
    /// How many changes had begun.
    changes: u64,
    walk: Walk,
    credits: Vec<Credit>,
    /// Trees that are being deleted.
    purges: Vec<Purge>,
    as_of: sampan_protocol::Timestamp,
}

impl Inner {
    /// Counts a home anew and corrects its ledger.
    pub(super) async fn scan(
        self: &Arc<Self>,
        account: AccountId,
        progress: &ScanProgress,
    ) -> Result<Scanned> {
        for number in 1.. {
            progress.begin(number);
            // No purge goes on before it is dropped.
            let purging = acquire(&self.purges.turn(account)).await?;
            let (home, turn) = self.turn(account).await?;
            let inner = self.clone();
            let begin = move || Ok((inner.begin_round(home)?, turn));
            let (round, turn) = self.job(begin).await?;
            // Held, or given back at once.
            let held = (number >= HOLDING_ROUND).then_some(turn);
            let (round, removed) = self.count_round(round, progress).await?;
            let turn = match held {
                Some(turn) => turn,
                None => acquire(&round.home.turn).await?,
            };
            let inner = self.clone();
            let end = move || {
                let scanned = inner.end_round(round, removed, &turn);
                // Only now may a purge go on, also if nobody waits for this any more.
                drop(purging);
                scanned
            };
            if let Some(scanned) = self.job(end).await? {
                return Ok(scanned);
            }
        }
        Err(StoreError::Corrupt("a home changed while its changes were held".to_owned()))
    }

    /// Begins a round in the account's turn.
    fn begin_round(&self, home: Arc<Home>) -> Result<Round> {
        self.settle_left_over(&home)?;
        self.step(Step::ScanBegun)?;
        let account = home.account;
        let as_of = self.now();
        let credits = self.db.read(|connection| scans::credits(connection, account))?;
        let mut purges = Vec::new();
        for stored in self.db.read(|connection| intents::all(connection, Some(account)))? {
            if let Intent::Purge(purge) = decode(&stored.body)? {
                purges.push(purge);
            }
        }
        let folder =
            home.folder(&self.disk, &[], Open::Folder).map_err(while_doing("opening a home"))?;
        let walk = Walk::new(folder, credits.iter().map(|credit| credit.inode).collect());
        Ok(Round { changes: home.changes(), home, walk, credits, purges, as_of })
    }

    /// Counts the home, and what was removed from it.
    async fn count_round(
        self: &Arc<Self>,
        mut round: Round,
        progress: &ScanProgress,
    ) -> Result<(Round, Charge)> {
        loop {
            let inner = self.clone();
            let more;
            (round, more) = self
                .slow_job(move || {
                    let more = inner.count_some(&mut round.walk)?;
                    Ok((round, more))
                })
                .await?;
            progress.counted(round.walk.counted.entries);
            if !more {
                break;
            }
        }
        let inner = self.clone();
        self.slow_job(move || {
            let mut removed = Charge::NONE;
            for purge in &round.purges {
                removed = removed.plus(inner.count_purge(purge)?);
            }
            Ok((round, removed))
        })
        .await
    }

    fn count_some(&self, walk: &mut Walk) -> Result<bool> {
        self.step(Step::ScanCounts)?;
        for _ in 0..PAGES_A_SLICE {
            if !self.walk_on(walk).map_err(while_doing("counting a home"))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Corrects the ledger, in the account's turn; `None` if a change began since the round did.
    fn end_round(&self, round: Round, removed: Charge, _turn: &Turn) -> Result<Option<Scanned>> {
        let Round { home, changes, walk, credits, as_of, .. } = round;
        if home.changes() != changes {
            return Ok(None);
        }
        self.step(Step::ScanCounted)?;
        let account = home.account;
        let counted =
            Counted { used: walk.counted.plus(removed), credits, found: walk.found, as_of };
        let used = counted.used;
        let before = self.db.write("correcting the ledger", move |connection| {
            let before = ledger::ledger(connection, account)?.used;
            scans::correct(connection, account, &counted)?;
            Ok(before)
        })?;
        self.step(Step::ScanSettled)?;
        Ok(Some(Scanned {
            used_before: before.bytes,
            entries_before: before.entries,
            used: used.bytes,
            entries: used.entries,
            as_of,
            oddities: walk.oddities,
        }))
    }

    /// Scans that are due because something came to light that nobody expected.
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
            for account in due {
                match self.scan(account, &ScanProgress::default()).await {
                    Ok(scanned) => {
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
                        tracing::error!(%error, account = account.0, "cannot count a home anew");
                    }
                }
            }
        }
    }
}
