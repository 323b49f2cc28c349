//! Finishing what was cut short.
//!
//! At the start every intent's steps are run again: those that were done are recognised, the rest
//! are done now, and the ledger, the reservation and the answer follow in one transaction. Nothing
//! is counted anew. Trees that wait to be deleted go on in the background, and so does sweeping
//! staging of what nothing names any more.
//!
//! Invariant: no change of an account begins while one of its intents is not settled.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use super::Inner;
use super::change::{Effect, Failure};
use super::db::accounts;
use super::db::intents::{self, Stored};
use super::db::uploads;
use super::encoding::decode;
use super::failure::while_doing;
use super::home::Home;
use super::intent::Intent;
use super::step::Step;
use crate::store::{Result, StoreError};

/// The setting that says whether the last stop was clean: empty, or the boot in which it was.
///
/// Staged bytes need not be on the disk while they come. A clean stop flushes them; what then is on
/// the disk is still only believed while the machine runs on, for a power cut may also take back the
/// row that says that the next run began.
const CLEAN: &str = "clean";

impl Inner {
    /// Puts in order what the last run left. Gives the names in staging that may go.
    pub(super) fn recover(&self) -> Result<Vec<String>> {
        let boot = self.boot();
        self.db.write("opening the store", move |connection| {
            let clean = accounts::setting(connection, CLEAN)?;
            if boot.is_none() || clean != boot {
                uploads::doubt_all(connection)?;
            }
            accounts::set_setting(connection, CLEAN, &[])
        })?;
        self.finish_removals()?;
        for stored in self.db.read(|connection| intents::all(connection, None))? {
            // One account's trouble is not the others': its next change tries again.
            let settled = self
                .open_home(stored.request.account)
                .and_then(|home| self.settle_one(&home, &stored));
            if let Err(error) = settled {
                tracing::error!(%error, account = stored.request.account.0, "cannot finish a change");
            }
        }
        let left = self.db.read(|connection| intents::all(connection, None))?;
        self.orphans(&left)
    }

    /// Makes what is staged durable, and says that the next start may trust it.
    pub(super) fn mark_clean(&self) -> Result<()> {
        let Some(boot) = self.boot() else { return Ok(()) };
        // The next run would take them for proved.
        for upload in self.uploads.lost() {
            self.lose_staging(&upload)?;
        }
        if self.db.read(uploads::any)? {
            self.disk.sync(&self.layout.staging).map_err(while_doing("flushing what is staged"))?;
        }
        self.db.write("closing the store", move |connection| {
            accounts::set_setting(connection, CLEAN, &boot)
        })
    }

    /// `None`: nothing can be trusted over a stop.
    fn boot(&self) -> Option<Vec<u8>> {
        match self.disk.boot() {
            Ok(boot) if !boot.is_empty() => Some(boot),
            Ok(_) => None,
            Err(error) => {
                tracing::warn!(%error, "cannot tell one boot from another; what is staged is hashed again when it is resumed");
                None
            }
        }
    }

    /// Deals with the intents that a failure left, before the next change. The caller has the turn.
    /// `false`: there were none.
    pub(super) fn settle_left_over(&self, home: &Home) -> Result<bool> {
        if !home.unsettled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let left = self.db.read(|connection| intents::all(connection, Some(home.account)))?;
        for stored in left {
            home.note_change();
            // It may be the very change that is asked for again: it will have happened.
            self.settle_one(home, &stored).map_err(StoreError::not_refused)?;
        }
        home.unsettled.store(false, Ordering::Relaxed);
        // Trees among them.
        self.purges.wake.notify_one();
        Ok(true)
    }

    fn settle_one(&self, home: &Home, stored: &Stored) -> Result<()> {
        let (request, id) = (&stored.request, stored.id);
        self.step(Step::IntentFound)?;
        match decode(&stored.body)? {
            Intent::Purge(_) => Ok(()),
            Intent::RemoveTree(take) => match self.take_tree(home, &take) {
                Ok(()) => self.start_purging(id, &take),
                Err(Failure { error: error @ StoreError::Refused { .. }, left: false }) => {
                    tracing::warn!(%error, "a removal that was cut short is given up");
                    self.settle(request, id, Effect::default(), None)
                }
                Err(failure) => Err(failure.error),
            },
            intent => {
                let (effect, carried) = self.carry_out(home, &intent);
                let answer = match carried {
                    Ok(answer) => Some(answer),
                    Err(Failure { error: error @ StoreError::Refused { .. }, left: false }) => {
                        tracing::warn!(%error, "a change that was cut short is given up");
                        None
                    }
                    // Not now; the intent stays.
                    Err(failure) => return Err(failure.error),
                };
                self.step(Step::StepsDone)?;
                let upload = effect.upload;
                self.settle(request, id, effect, answer.as_ref())?;
                if let Some(upload) = upload {
                    self.end_upload((home.account, upload));
                }
                // Of an upload that was not published the staging stays.
                if answer.is_some() || !matches!(intent, Intent::Publish(_)) {
                    intent.staged().into_iter().for_each(|staged| self.sweep(staged));
                }
                Ok(())
            }
        }
    }

    /// Names in staging that neither an upload nor an intent needs.
    fn orphans(&self, left: &[Stored]) -> Result<Vec<String>> {
        let mut needed: HashSet<String> = HashSet::new();
        for row in self.db.read(|connection| uploads::all(connection, None))? {
            needed.insert(row.staging());
        }
        for stored in left {
            let intent: Intent = decode(&stored.body)?;
            needed.extend(intent.staged());
        }
        // Of a removal that could not be finished: what lies there says that the home was taken.
        for removal in self.db.read(accounts::removals)? {
            needed.insert(removal.staged);
        }
        let mut orphans = Vec::new();
        let failed = while_doing("listing staging");
        self.disk.seek(&self.layout.staging, 0).map_err(&failed)?;
        self.disk
            .names(&self.layout.staging, |name, _| {
                let name = String::from_utf8_lossy(name);
                if !needed.contains(&*name) {
                    orphans.push(name.into_owned());
                }
                true
            })
            .map_err(&failed)?;
        Ok(orphans)
    }

    /// Goes on with what recovery left, in the background.
    pub(super) fn go_on(&self, orphans: Vec<String>) {
        self.purges.wake.notify_one();
        self.scans.wake.notify_one();
        for name in orphans {
            self.sweep_later(name);
        }
    }
}
