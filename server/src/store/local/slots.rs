//! The places in memory of uploads that somebody works on.
//!
//! An upload is loaded when it is first touched, and forgotten when many others are. Its slot has a
//! turn, taken by whoever loads, resumes, commits or ends it; pieces need no turn.
//!
//! Invariant: a slot is found by its account and upload, so that nobody waits for an upload of
//! somebody else; and one is forgotten only when all that its upload was sent is on the disk, so
//! that what its journal says can still be believed when it is loaded again.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sampan_protocol::UploadId;
use tokio::sync::Semaphore;

use super::uploads::Upload;
use super::{Inner, Turn};
use crate::store::AccountId;

/// Uploads kept in memory: each has two open files and at least its row of hashes.
pub(crate) const LOADED_UPLOADS: usize = 256;

/// Seconds without a byte after which half blocks do not keep an upload in memory.
const HALF_BLOCKS_IDLE: i64 = 60;

/// Most that are forgotten for one that is loaded: each costs two flushes.
const FORGOTTEN_AT_ONCE: usize = 4;

/// Whose upload, and which.
pub(super) type SlotKey = (AccountId, UploadId);

/// An upload's place in memory.
pub(super) struct Slot {
    /// Taken by whoever loads, resumes, commits or ends it.
    pub(super) turn: Arc<Semaphore>,
    upload: Mutex<Option<Arc<Upload>>>,
}

impl Slot {
    pub(super) fn get(&self) -> Option<Arc<Upload>> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set(&self, upload: Option<Arc<Upload>>) {
        *self.upload.lock().unwrap_or_else(PoisonError::into_inner) = upload;
    }

    /// Whether nobody would miss the upload that is in memory. A half block is missed for a while
    /// only: its writer, if there still is one, begins it again.
    fn is_idle(&self, now: i64) -> bool {
        self.get().is_some_and(|upload| {
            let quiet_for = now.saturating_sub(upload.touched.load(Ordering::Relaxed));
            // The slot's and ours.
            Arc::strong_count(&upload) == 2
                && !upload.lost.load(Ordering::Relaxed)
                && (quiet_for > HALF_BLOCKS_IDLE || !upload.lock().state.has_open_blocks())
        })
    }
}

/// An idle upload that is about to be forgotten, and its turn.
struct Forgetting {
    key: SlotKey,
    slot: Arc<Slot>,
    turn: Turn,
}

/// The slots of all uploads that were touched lately.
#[derive(Default)]
pub(super) struct Uploads {
    slots: Mutex<HashMap<SlotKey, Arc<Slot>>>,
}

impl Uploads {
    fn lock(&self) -> MutexGuard<'_, HashMap<SlotKey, Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loaded upload, if it is.
    pub(super) fn get(&self, key: SlotKey) -> Option<Arc<Upload>> {
        self.lock().get(&key).and_then(|slot| slot.get())
    }

    /// The upload's slot; made if need be.
    pub(super) fn slot(&self, key: SlotKey) -> Arc<Slot> {
        let mut slots = self.lock();
        if slots.len() >= LOADED_UPLOADS && !slots.contains_key(&key) {
            // Those that came to nothing.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.get().is_some());
        }
        let new = || Arc::new(Slot { turn: Arc::new(Semaphore::new(1)), upload: Mutex::new(None) });
        slots.entry(key).or_insert_with(new).clone()
    }

    pub(super) fn forget(&self, key: SlotKey) {
        self.lock().remove(&key);
    }

    /// Takes an upload out of its slot, if it is the one there. The slot stays, for those who wait
    /// for its turn: two of them would be two uploads of one staging folder.
    pub(super) fn unload(&self, upload: &Upload) {
        let slots = self.lock();
        let Some(slot) = slots.get(&upload.slot_key()) else { return };
        if slot.get().is_some_and(|held| std::ptr::eq(Arc::as_ptr(&held), upload)) {
            slot.set(None);
        }
    }

    /// Uploads whose staging is lost, while the database does not say so yet.
    pub(super) fn lost(&self) -> Vec<Arc<Upload>> {
        let uploads = self.lock().values().filter_map(|slot| slot.get()).collect::<Vec<_>>();
        uploads.into_iter().filter(|upload| upload.lost.load(Ordering::Relaxed)).collect()
    }

    /// Forgets the slot of an upload that is not there, unless somebody else holds it too.
    pub(super) fn forget_unused(&self, key: SlotKey, slot: &Slot) {
        let mut slots = self.lock();
        // The map's and the caller's.
        let is_unused = |held: &Arc<Slot>| {
            std::ptr::eq(Arc::as_ptr(held), slot) && Arc::strong_count(held) == 2
        };
        if slots.get(&key).is_some_and(is_unused) {
            slots.remove(&key);
        }
    }

    /// Uploads that may be forgotten so that one more can be loaded.
    fn to_forget(&self, now: i64) -> Vec<Forgetting> {
        let slots = self.lock();
        let Some(over) = (slots.len() + 1).checked_sub(LOADED_UPLOADS) else { return Vec::new() };
        let idle = slots.iter().filter(|(_, slot)| Arc::strong_count(slot) == 1);
        idle.filter(|(_, slot)| slot.is_idle(now))
            .filter_map(|(key, slot)| {
                let turn = slot.turn.clone().try_acquire_owned().ok()?;
                Some(Forgetting { key: *key, slot: slot.clone(), turn })
            })
            .take(over.min(FORGOTTEN_AT_ONCE))
            .collect()
    }

    /// Forgets an upload that was flushed, unless it was written to since, or is wanted again.
    fn forget_flushed(&self, key: SlotKey, slot: &Arc<Slot>, now: i64) {
        let mut slots = self.lock();
        // The map's and the caller's.
        let flushed = slot.get().is_some_and(|upload| upload.dirty.load(Ordering::Acquire) == 0);
        if flushed && Arc::strong_count(slot) == 2 && slot.is_idle(now) {
            slots.remove(&key);
        }
    }
}

impl Inner {
    /// Makes room in memory for one more upload: flushes idle ones and forgets them. Of one whose
    /// flush fails all is given up.
    pub(super) fn make_room_for_upload(&self) {
        let now = self.now_seconds();
        for Forgetting { key, slot, turn } in self.uploads.to_forget(now) {
            if let Some(upload) = slot.get() {
                // Whatever comes from here on counts anew.
                upload.dirty.store(0, Ordering::Release);
                if let Err(error) = self.flush_staging(&upload) {
                    tracing::error!(%error, upload = %upload.id, "a flush failed; its bytes are given up");
                    self.lose_staging_for_now(&upload);
                    continue;
                }
            }
            self.uploads.forget_flushed(key, &slot, now);
            drop(turn);
        }
    }

    /// Puts an upload's bytes and its journal on the disk.
    fn flush_staging(&self, upload: &Upload) -> std::io::Result<()> {
        self.disk.flush_bytes(&upload.data)?;
        upload.lock().journal.flush(&self.disk)
    }
}
