//! Unfinished uploads that someone works on: open files, and their state in memory.
//!
//! Invariant: there is one [`Upload`] in memory for a staging folder on disk; and a staging folder of
//! which a flush failed is never looked at again.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use sampan_protocol::block::Blocks;
use sampan_protocol::{BlockHash, Epoch, Mode, RemotePath, Timestamp, UploadId};

use super::Inner;
use super::db::uploads::{self, UploadRow};
use super::disk::Open;
use super::failure::{if_there, while_doing};
use super::journal::Journal;
use super::slots::SlotKey;
use super::staging;
use super::step::Step;
use crate::store::{AccountId, Result, Situation, StoreError};
use crate::upload::{Phase, UploadState};

/// An upload that is loaded.
pub(super) struct Upload {
    pub(super) id: UploadId,
    pub(super) account: AccountId,
    /// Which of its staging folders this is.
    pub(super) generation: u64,
    pub(super) path: RemotePath,
    pub(super) size: u64,
    pub(super) data: OwnedFd,
    live: Mutex<Live>,
    quiet: Condvar,
    /// Bytes that came since the last flush began.
    pub(super) dirty: AtomicU64,
    /// Its commit found that what is staged is lost, or may not be on the disk.
    pub(super) lost: AtomicBool,
    /// When bytes last came, seconds.
    pub(super) touched: AtomicI64,
    /// What the database says of it.
    pub(super) touched_stored: AtomicI64,
}

/// What changes of an upload.
pub(super) struct Live {
    pub(super) state: UploadState,
    pub(super) journal: Journal,
    pub(super) wish: Wish,
}

/// What the file will be, as its latest opener says.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) mode: Mode,
    pub(super) mtime: Timestamp,
}

impl Wish {
    pub(super) fn of(row: &UploadRow) -> Self {
        Self { mode: row.mode, mtime: row.mtime }
    }
}

impl Upload {
    pub(super) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no piece is being written: at most as long as a disk takes for a few of them,
    /// for nobody who writes one waits for a peer.
    pub(super) fn when_quiet<'a>(&self, mut live: MutexGuard<'a, Live>) -> MutexGuard<'a, Live> {
        while !live.state.is_quiet() {
            live = self.quiet.wait(live).unwrap_or_else(PoisonError::into_inner);
        }
        live
    }

    pub(super) fn piece_came_back(&self, live: &Live) {
        if live.state.is_quiet() {
            self.quiet.notify_all();
        }
    }

    /// Remembers that the database knows when bytes came.
    pub(super) fn note_touch(&self, now: i64) {
        self.touched.store(now, Ordering::Relaxed);
        self.touched_stored.store(now, Ordering::Relaxed);
    }

    pub(super) fn blocks(&self) -> Result<Blocks> {
        blocks_of(self.size)
    }

    pub(super) fn slot_key(&self) -> SlotKey {
        (self.account, self.id)
    }

    /// The name of its folder in staging.
    pub(super) fn staging(&self) -> String {
        staging::of_upload(self.id, self.generation)
    }
}

pub(super) fn blocks_of(size: u64) -> Result<Blocks> {
    Blocks::of(size).map_err(|error| Situation::LimitExceeded { what: error.to_string() }.into())
}

impl Inner {
    /// Opens what is staged of an upload; makes it if it is not there. What it says may still be in
    /// doubt.
    pub(super) fn open_staging(&self, row: &UploadRow) -> Result<Arc<Upload>> {
        let failed = while_doing("opening an upload's staging");
        let blocks = blocks_of(row.size)?;
        let name = row.staging();
        let staging = &self.layout.staging;
        let there = self.disk.open_beneath(staging, name.as_bytes(), Open::Folder);
        let there = if_there(there).map_err(&failed)?;
        let open = |name: &[u8]| match &there {
            Some(folder) => if_there(self.disk.open_beneath(folder, name, Open::OurFile)),
            None => Ok(None),
        };
        let data = open(staging::DATA).map_err(&failed)?;
        let journal = open(staging::JOURNAL).map_err(&failed)?;
        let (data, journal, staged) = if let (Some(data), Some(journal)) = (data, journal) {
            let read = Journal::read(&self.disk, row.id, journal, blocks.count());
            let (journal, staged) = read.map_err(&failed)?;
            (data, journal, staged)
        } else {
            // A crash before or while it was made.
            self.delete_staged(&name, &|| true)?;
            self.make_staging(row)?
        };
        Ok(Arc::new(Upload {
            id: row.id,
            account: row.account,
            generation: row.generation,
            path: row.path.clone(),
            size: row.size,
            data,
            live: Mutex::new(Live {
                state: UploadState::new(blocks, row.epoch, staged),
                journal,
                wish: Wish::of(row),
            }),
            quiet: Condvar::new(),
            dirty: AtomicU64::new(0),
            lost: AtomicBool::new(false),
            touched: AtomicI64::new(row.touched),
            touched_stored: AtomicI64::new(row.touched),
        }))
    }

    /// Makes an upload's staging and takes its space.
    fn make_staging(
        &self,
        row: &UploadRow,
    ) -> Result<(OwnedFd, Journal, BTreeMap<u64, BlockHash>)> {
        let name = row.staging();
        let make = || {
            let (staging, own) = (&self.layout.staging, Mode::new(0o600));
            self.disk.make_folder(staging, name.as_bytes(), Mode::new(0o700))?;
            let folder = self.disk.open_beneath(staging, name.as_bytes(), Open::Folder)?;
            let data = self.disk.create(&folder, staging::DATA, own)?;
            let journal = self.disk.create(&folder, staging::JOURNAL, own)?;
            if !self.disk.allocate(&data, row.size)? {
                tracing::debug!("the file system cannot take a file's space ahead");
            }
            Ok((data, Journal::new(row.id, journal), BTreeMap::new()))
        };
        make().map_err(|error| {
            self.delete_swept(&name);
            match while_doing("making an upload's staging")(error) {
                StoreError::Refused { situation, .. } => situation.about(&row.path),
                other => other,
            }
        })
    }

    /// Gives up what is staged of an upload, whose bytes may not be on the disk: all of it must be
    /// sent again, and nothing of it is read as proof. The caller has its slot's turn.
    ///
    /// First the row says that another staging folder counts, then this one is deleted. If even
    /// the row cannot be written, the upload stays in memory as lost: an orderly stop tries again,
    /// and after another one the next process hashes what the disk, not the page cache, has.
    pub(super) fn lose_staging(&self, upload: &Upload) -> Result<()> {
        upload.lost.store(true, Ordering::Relaxed);
        upload.lock().state.set_phase(Phase::Gone);
        self.step(Step::FlushFailed)?;
        let ((account, id), generation) = (upload.slot_key(), upload.generation);
        self.db.write("giving staged bytes up", move |connection| {
            uploads::lose_staging(connection, account, id, generation)
        })?;
        self.step(Step::StagingGivenUp)?;
        self.uploads.unload(upload);
        self.delete_swept(&upload.staging());
        Ok(())
    }

    /// The same where a failure has been answered already: the upload's next opener tries again.
    pub(super) fn lose_staging_for_now(&self, upload: &Upload) {
        if let Err(error) = self.lose_staging(upload) {
            tracing::error!(%error, upload = %upload.id, "cannot note that staged bytes are lost; it is tried again when the upload is resumed");
        }
    }

    /// The next epoch of an upload that is resumed. Older writers are refused from now on.
    pub(super) fn take_over(&self, upload: &Upload, row: &UploadRow) -> Result<Epoch> {
        let (resumed, now) = (row.clone(), self.now_seconds());
        let epoch = self.db.write("resuming an upload", move |connection| {
            uploads::resume(connection, &resumed, now)
        })?;
        let mut live = upload.lock();
        live.state.take_over(epoch);
        live.wish = Wish::of(row);
        drop(upload.when_quiet(live));
        Ok(epoch)
    }
}
