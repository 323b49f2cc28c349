//! Purges, flushes, sweeps and expiry: what the store does by itself.
//!
//! Invariant: every task here ends when the store closes, between two batches at the latest; what
//! is left is found again at the next start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sampan_protocol::UploadId;
use tokio::sync::{Notify, Semaphore, mpsc, watch};

use super::change::Answer;
use super::db::answers::{self, Request};
use super::db::intents;
use super::db::uploads::{self, Idle};
use super::encoding::decode;
use super::intent::Intent;
use super::slots::Slot;
use super::step::Step;
use super::uploads::Upload;
use super::{Inner, acquire};
use crate::store::{AccountId, Removed, Result, StoreError};

/// How a purge ended: nothing yet, done, or why not.
type Outcome = Option<std::result::Result<(), String>>;

/// The purges that are running, by their intents.
#[derive(Default)]
pub(super) struct Purges {
    /// There may be intents of purges that do not run.
    pub(super) wake: Notify,
    running: Mutex<HashMap<i64, watch::Receiver<Outcome>>>,
    turns: Mutex<HashMap<AccountId, Arc<Semaphore>>>,
}

impl Purges {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, watch::Receiver<Outcome>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The account's purging turn: whoever has it may delete of its removed trees, or count them.
    /// Taken before the account's turn, never after it.
    pub(super) fn turn(&self, account: AccountId) -> Arc<Semaphore> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        turns.entry(account).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

/// The uploads that wait for a background flush; lent to the task that flushes them.
#[derive(Default)]
pub(super) struct FlushQueue(Mutex<Option<mpsc::Receiver<Arc<Upload>>>>);

impl FlushQueue {
    pub(super) fn put_back(&self, queue: mpsc::Receiver<Arc<Upload>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(queue);
    }

    fn take(&self) -> Option<LentQueue<'_>> {
        let queue = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(LentQueue { home: self, queue: Some(queue) })
    }
}

/// A queue that goes back even if its reader panics.
struct LentQueue<'a> {
    home: &'a FlushQueue,
    queue: Option<mpsc::Receiver<Arc<Upload>>>,
}

impl LentQueue<'_> {
    async fn next(&mut self) -> Option<Arc<Upload>> {
        self.queue.as_mut()?.recv().await
    }
}

impl Drop for LentQueue<'_> {
    fn drop(&mut self) {
        if let Some(queue) = self.queue.take() {
            self.home.put_back(queue);
        }
    }
}

impl Inner {
    /// Starts the purge of an intent, unless it is running.
    pub(super) fn start_purge(
        self: &Arc<Self>,
        id: i64,
        request: &Request,
    ) -> watch::Receiver<Outcome> {
        let mut running = self.purges.lock();
        if let Some(outcome) = running.get(&id) {
            return outcome.clone();
        }
        let (done, outcome) = watch::channel(None);
        running.insert(id, outcome.clone());
        drop(running);
        let (inner, request) = (self.clone(), *request);
        self.spawn(async move {
            let purged = loop {
                match inner.purge_some(id, request).await {
                    Ok(true) => break Ok(()),
                    Ok(false) => {}
                    Err(error) => break Err(error),
                }
            };
            if let Err(error) = &purged {
                tracing::error!(%error, "cannot delete a removed folder; it is tried again");
            }
            inner.purges.lock().remove(&id);
            // Nobody need wait.
            done.send_replace(Some(purged.map_err(|error| error.to_string())));
        });
        outcome
    }

    /// One batch of a purge, in its account's purging turn.
    async fn purge_some(self: &Arc<Self>, id: i64, request: Request) -> Result<bool> {
        let turn = acquire(&self.purges.turn(request.account)).await?;
        let inner = self.clone();
        self.slow_job(move || {
            let done = inner.run_purge(id, &request);
            drop(turn);
            done
        })
        .await
    }

    /// Starts the purges that an earlier run, or a failure, left.
    pub(super) async fn start_purges(self: Arc<Self>) {
        loop {
            self.purges.wake.notified().await;
            let inner = self.clone();
            let found = self.job(move || {
                let intents = inner.db.read(|connection| intents::all(connection, None))?;
                let mut purges = Vec::new();
                for stored in intents {
                    match decode(&stored.body) {
                        Ok(Intent::Purge(_)) => purges.push((stored.id, stored.request)),
                        Ok(_) => {}
                        // One that cannot be read does not hold up the others.
                        Err(error) => {
                            tracing::error!(%error, id = stored.id, "an intent is broken");
                        }
                    }
                }
                Ok(purges)
            });
            match found.await {
                Ok(purges) => {
                    for (id, request) in purges {
                        self.start_purge(id, &request);
                    }
                }
                Err(StoreError::Closed) => return,
                Err(error) => tracing::error!(%error, "cannot look for removed folders"),
            }
        }
    }

    /// One batch of a purge. `true`: there is no more to do.
    fn run_purge(&self, id: i64, request: &Request) -> Result<bool> {
        let Some(stored) = self.db.read(|connection| intents::get(connection, id))? else {
            return Ok(true);
        };
        let Intent::Purge(purge) = decode(&stored.body)? else {
            // A tree that recovery could not move yet.
            return Ok(true);
        };
        self.purge_batch(request, id, purge)
    }

    /// Waits for a purge and gives its answer.
    pub(super) async fn purged(self: &Arc<Self>, id: i64, request: Request) -> Result<Removed> {
        let mut outcome = self.start_purge(id, &request);
        let ended = match outcome.wait_for(Option::is_some).await {
            Ok(ended) => ended.clone(),
            Err(_) => return Err(StoreError::Closed),
        };
        if let Some(Err(why)) = ended {
            let source = std::io::Error::other(why);
            return Err(StoreError::Disk { doing: "deleting a removed folder", source });
        }
        let inner = self.clone();
        match self.job(move || inner.answer_of(&request)).await? {
            Some(answer) => Answer::removed(answer),
            None => Err(StoreError::Closed),
        }
    }

    /// Flushes uploads of which much is dirty. Not while one is committed: its commit must hear of
    /// a failure itself.
    pub(super) async fn flush_uploads(self: Arc<Self>) {
        let Some(mut queue) = self.flush_queue.take() else { return };
        while let Some(upload) = queue.next().await {
            let Ok((_slot, turn)) = self.slot(upload.slot_key()).await else { return };
            let inner = self.clone();
            let flushed = self
                .job(move || {
                    inner.flush_in_background(&upload);
                    drop(turn);
                    Ok(())
                })
                .await;
            match flushed {
                Ok(()) => {}
                Err(StoreError::Closed) => return,
                Err(error) => tracing::error!(%error, "cannot flush an upload in the background"),
            }
        }
    }

    /// Deletes what nothing needs any more.
    pub(super) async fn sweep_staging(self: Arc<Self>) {
        loop {
            self.sweeps.added.notified().await;
            loop {
                let inner = self.clone();
                match self.slow_job(move || Ok(inner.sweep_slice())).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(StoreError::Closed) => return,
                    Err(error) => {
                        tracing::error!(%error, "cannot sweep staging");
                        break;
                    }
                }
            }
        }
    }

    /// Gives idle uploads up, and forgets old answers.
    pub(super) async fn expire(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.options.expire_every).await;
            // One that failed is tried again.
            self.purges.wake.notify_one();
            self.scans.wake.notify_one();
            if let Err(error) = self.expire_now().await {
                tracing::warn!(%error, "cannot give idle uploads up");
            }
        }
    }

    /// Gives up what is idle for too long; says how many uploads.
    pub(super) async fn expire_now(self: &Arc<Self>) -> Result<u64> {
        let inner = self.clone();
        let now = self.now_seconds();
        let forget = move || {
            inner
                .db
                .write("forgetting answers", move |connection| answers::forget_old(connection, now))
        };
        if let Err(error) = self.job(forget).await {
            tracing::warn!(%error, "cannot forget old answers");
        }
        let (mut given_up, mut after) = (0, None);
        loop {
            let inner = self.clone();
            let page = move || {
                let before = inner.idle_since();
                inner.db.read(|connection| uploads::idle(connection, before, after))
            };
            let idle = self.job(page).await?;
            let Some(last) = idle.last() else { return Ok(given_up) };
            after = Some((last.touched, last.id));
            for Idle { account, id, .. } in idle {
                let inner = self.clone();
                let meant = move |slot: &Slot| inner.is_expired(account, id, slot);
                // One that somebody works on is not idle; proving it may take minutes.
                let Some(taken) = self.free_slot((account, id)) else { continue };
                match self.give_up_upload(account, id, taken, meant).await {
                    Ok(expired) => given_up += u64::from(expired),
                    Err(StoreError::Closed) => return Err(StoreError::Closed),
                    // The others' turn comes all the same.
                    Err(error) => {
                        tracing::warn!(%error, upload = %id, "cannot give an idle upload up");
                    }
                }
            }
        }
    }

    fn is_expired(&self, account: AccountId, id: UploadId, slot: &Slot) -> Result<bool> {
        let before = self.idle_since();
        // Resumed or written to since it was looked up?
        let row = self.db.read(|connection| uploads::get(connection, account, id))?;
        let is_idle = row.is_some_and(|row| row.touched <= before)
            && slot.get().is_none_or(|upload| {
                upload.touched.load(std::sync::atomic::Ordering::Relaxed) <= before
            });
        if is_idle {
            tracing::info!(account = account.0, upload = %id, "an idle upload is given up");
            self.step(Step::UploadExpired)?;
        }
        Ok(is_idle)
    }

    /// Uploads without a byte since then are given up.
    fn idle_since(&self) -> i64 {
        let expiry = i64::try_from(self.options.upload_expiry.as_secs()).unwrap_or(i64::MAX);
        self.now_seconds().saturating_sub(expiry)
    }
}
