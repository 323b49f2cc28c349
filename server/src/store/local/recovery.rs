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
use super::staging;
use crate::store::{Result, StoreError};

/// The setting that says whether the last stop was clean.
const CLEAN: &str = "clean";

impl Inner {
    /// Puts in order what the last run left. Gives the names in staging that may go.
    pub(super) fn recover(&self) -> Result<Vec<String>> {
        self.db.write("opening the store", |connection| {
            if accounts::setting(connection, CLEAN)?.as_deref() != Some(&[1]) {
                uploads::doubt_all(connection)?;
            }
            accounts::set_setting(connection, CLEAN, &[0])
        })?;
        for stored in self.db.read(|connection| intents::all(connection, None))? {
            let home = self.open_home(stored.request.account)?;
            if let Err(error) = self.settle_one(&home, &stored) {
                // One account's trouble is not the others': its next change tries again.
                tracing::error!(%error, account = stored.request.account.0, "cannot finish a change");
            }
        }
        let left = self.db.read(|connection| intents::all(connection, None))?;
        self.orphans(&left)
    }

    /// Says that the next start may trust what is staged.
    pub(super) fn mark_clean(&self) -> Result<()> {
        self.db
            .write("closing the store", |connection| accounts::set_setting(connection, CLEAN, &[1]))
    }

    /// Deals with the intents that a failure left, before the next change. The caller has the turn.
    /// `false`: there were none.
    pub(super) fn settle_left_over(&self, home: &Home) -> Result<bool> {
        if !home.unsettled.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let left = self.db.read(|connection| intents::all(connection, Some(home.account)))?;
        for stored in left {
            self.settle_one(home, &stored)?;
        }
        home.unsettled.store(false, Ordering::Relaxed);
        // Trees among them.
        self.purges.wake.notify_one();
        Ok(true)
    }

    fn settle_one(&self, home: &Home, stored: &Stored) -> Result<()> {
        let (request, id) = (&stored.request, stored.id);
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
                self.step("steps done")?;
                let upload = effect.upload;
                self.settle(request, id, effect, answer.as_ref())?;
                if let Some(upload) = upload {
                    self.end_upload(upload);
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
            needed.insert(staging::of_upload(row.id));
        }
        for stored in left {
            let intent: Intent = decode(&stored.body)?;
            needed.extend(intent.staged());
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
        for name in orphans {
            self.sweep_later(name);
        }
    }
}
