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

use std::collections::HashSet;
use std::sync::Arc;

use super::aside::PurgeCount;
use super::db::scans::{self, Counted, Credit, Found};
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

/// One round of a scan.
struct Round {
    home: Arc<Home>,
    /// How many changes had begun.
    changes: u64,
    walk: Walk,
    credits: Vec<Credit>,
    /// The numbers of the inodes that they are for.
    wanted: Arc<HashSet<u64>>,
    /// Trees that are being deleted, still to be counted.
    purges: Vec<Purge>,
    counting: Option<PurgeCount>,
    /// What is left of those that are counted, and the files in them that were looked for.
    removed: Charge,
    found: Vec<Found>,
    as_of: sampan_protocol::Timestamp,
}

/// Whose wish a scan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    /// Somebody's.
    Asked,
    /// The store's own: none once it is no longer due.
    Due,
}

impl Inner {
    /// Counts a home anew and corrects its ledger.
    pub(super) async fn scan(
        self: &Arc<Self>,
        account: AccountId,
        progress: &ScanProgress,
    ) -> Result<Scanned> {
        let scanned = self.scan_for(Wish::Asked, account, progress).await?;
        scanned.ok_or_else(|| StoreError::Corrupt("a scan that was asked for ended".to_owned()))
    }

    /// The same if one is due. Somebody's scan may have been quicker, and what hands changed since
    /// then counts from the next one.
    pub(super) async fn scan_if_due(
        self: &Arc<Self>,
        account: AccountId,
    ) -> Result<Option<Scanned>> {
        self.scan_for(Wish::Due, account, &ScanProgress::default()).await
    }

    async fn scan_for(
        self: &Arc<Self>,
        wish: Wish,
        account: AccountId,
        progress: &ScanProgress,
    ) -> Result<Option<Scanned>> {
        for number in 1.. {
            progress.begin(number);
            // No purge goes on before it is dropped.
            let purging = acquire(&self.purges.turn(account)).await?;
            let (home, turn) = self.turn(account).await?;
            let inner = self.clone();
            let begin = move || Ok((inner.begin_round(home, wish)?, turn));
            let (Some(round), turn) = self.job(begin).await? else { return Ok(None) };
            // Held, or given back at once.
            let held = (number >= HOLDING_ROUND).then_some(turn);
            let round = self.count_round(round, progress).await?;
            let turn = match held {
                Some(turn) => turn,
                None => acquire(&round.home.turn).await?,
            };
            let inner = self.clone();
            let end = move || {
                let scanned = inner.end_round(round, &turn);
                // Only now may a purge go on, also if nobody waits for this any more.
                drop(purging);
                scanned
            };
            if let Some(scanned) = self.job(end).await? {
                self.scans.went_well(account);
                return Ok(Some(scanned));
            }
        }
        Err(StoreError::Corrupt("a home changed while its changes were held".to_owned()))
    }

    /// Begins a round in the account's turn; `None` if nobody wants it any more.
    fn begin_round(&self, home: Arc<Home>, wish: Wish) -> Result<Option<Round>> {
        self.settle_left_over(&home)?;
        let account = home.account;
        if wish == Wish::Due && !self.db.read(|connection| scans::is_due(connection, account))? {
            return Ok(None);
        }
        self.step(Step::ScanBegun)?;
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
        let wanted = scans::files(&credits);
        let walk = Walk::new(folder, wanted.clone());
        Ok(Some(Round {
            changes: home.changes(),
            home,
            walk,
            credits,
            wanted,
            purges,
            counting: None,
            removed: Charge::NONE,
            found: Vec::new(),
            as_of,
        }))
    }

    /// Counts the home, and what was removed from it, in slices: a store that closes waits for one.
    async fn count_round(
        self: &Arc<Self>,
        mut round: Round,
        progress: &ScanProgress,
    ) -> Result<Round> {
        loop {
            let inner = self.clone();
            let more;
            (round, more) = self
                .slow_job(move || {
                    let more = inner.count_some(&mut round)?;
                    Ok((round, more))
                })
                .await?;
            progress.counted(round.walk.counted.entries);
            if !more {
                return Ok(round);
            }
        }
    }

    fn count_some(&self, round: &mut Round) -> Result<bool> {
        self.step(Step::ScanCounts)?;
        for _ in 0..PAGES_A_SLICE {
            if !self.count_page_of(round)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// One more page: of the home, then of each tree that was removed from it.
    fn count_page_of(&self, round: &mut Round) -> Result<bool> {
        if self.walk_on(&mut round.walk).map_err(while_doing("counting a home"))? {
            return Ok(true);
        }
        let failed = while_doing("counting a removed folder");
        if let Some(mut counting) = round.counting.take() {
            if self.count_purge_on(&mut counting).map_err(&failed)? {
                round.counting = Some(counting);
                return Ok(true);
            }
            let (charge, found) = self.end_purge_count(counting).map_err(&failed)?;
            round.removed = round.removed.plus(charge);
            round.found.extend(found);
        }
        let Some(purge) = round.purges.pop() else { return Ok(false) };
        let counting = self.begin_purge_count(purge, round.wanted.clone());
        round.counting = Some(counting.map_err(&failed)?);
        Ok(true)
    }

    /// Corrects the ledger, in the account's turn; `None` if a change began since the round did.
    fn end_round(&self, round: Round, _turn: &Turn) -> Result<Option<Scanned>> {
        let Round { home, changes, walk, credits, removed, mut found, as_of, .. } = round;
        if home.changes() != changes {
            return Ok(None);
        }
        self.step(Step::ScanCounted)?;
        let account = home.account;
        found.extend(walk.found);
        let counted = Counted { used: walk.counted.plus(removed), credits, found, as_of };
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
}
