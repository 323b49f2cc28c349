//! Bringing an upload into memory.
//!
//! What an unclean stop left in doubt is hashed again first, a slice at a time: among the slow jobs,
//! so that nobody else waits for it, and so that a store that closes, or an opener that is gone, ends
//! it between two slices; the next opener begins it anew.
//!
//! What is hashed is what the disk has: the file is flushed and its page cache let go before, for
//! after a flush that failed the cache holds bytes that will never be written.
//!
//! Invariant: what an intent names is not loaded before that is settled, and nothing is proved that
//! was not hashed to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sampan_protocol::block::{BlockHasher, BlockIndex};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{BlockHash, Root, UploadId};

use super::committing::{Ready, Reopen};
use super::db::answers::Request;
use super::db::uploads::{self, UploadRow};
use super::failure::while_doing;
use super::home::Home;
use super::slots::Slot;
use super::uploads::{Upload, blocks_of};
use super::{Inner, Turn};
use crate::store::{AccountId, Opened, OpenedBy, Result, Situation, StoreError};
use crate::upload::Phase;

/// Blocks that are hashed again in one job: a tenth of a second or two.
const BLOCKS_A_SLICE: usize = if cfg!(test) { 4 } else { 64 };

/// How far an upload is loaded.
enum Loading {
    Loaded(Arc<Upload>),
    /// It has to be proved.
    Doubted(Doubted),
}

/// An upload whose journal is only a claim.
struct Doubted {
    upload: Arc<Upload>,
    /// What is still to be hashed, the next one last.
    claimed: Vec<(u64, BlockHash)>,
    /// Whether its page cache was let go.
    settled: bool,
    slot: Arc<Slot>,
}

impl Inner {
    /// The upload, loaded if need be. The slot's turn comes back with it; every job takes it along.
    pub(super) async fn loaded(
        self: &Arc<Self>,
        account: AccountId,
        id: UploadId,
        slot: Arc<Slot>,
        turn: Turn,
    ) -> Result<(Arc<Upload>, Turn)> {
        if let Some(upload) = slot.get() {
            return Ok((upload, turn));
        }
        let (home, account_turn) = self.turn_of_upload(account).await?;
        let inner = self.clone();
        // In the account's turn, so that one that is being made is not made twice.
        let begin = move || {
            inner.settle_left_over(&home)?;
            let loading = inner.begin_loading(account, id, &slot);
            drop(account_turn);
            Ok((loading?, turn))
        };
        let (mut loading, mut turn) = self.job(begin).await?;
        loop {
            match loading {
                Loading::Loaded(upload) => return Ok((upload, turn)),
                Loading::Doubted(doubted) => {
                    let inner = self.clone();
                    let prove = move || Ok((inner.prove_some(doubted)?, turn));
                    (loading, turn) = self.slow_job(prove).await?;
                }
            }
        }
    }

    /// Loads an upload and takes it over.
    pub(super) async fn resume_loaded(self: &Arc<Self>, row: UploadRow) -> Result<Opened> {
        let (slot, turn) = self.slot(row.slot_key()).await?;
        let (upload, turn) = self.loaded(row.account, row.id, slot, turn).await?;
        let (home, account_turn) = self.turn_of_upload(row.account).await?;
        let inner = self.clone();
        self.job(move || {
            // With the slot's turn here, only a commit that left something over can have set that.
            if upload.lock().state.phase() == Phase::Committing {
                inner.settle_left_over(&home)?;
            }
            drop(account_turn);
            if upload.lost.load(Ordering::Relaxed) {
                inner.lose_staging(&upload)?;
            }
            upload.lock().state.reopen();
            if upload.lock().state.phase() == Phase::Gone {
                return Err(Situation::UploadNotFound.into());
            }
            let resumed = inner.resume(&row, &upload);
            drop(turn);
            resumed
        })
        .await
    }

    /// Loads an upload and makes it ready to be published; its slot's turn comes with it.
    pub(super) async fn ready(
        self: &Arc<Self>,
        request: Request,
        by: OpenedBy,
        root: Root,
    ) -> Result<(Ready, Reopen, Turn)> {
        let (slot, turn) = self.slot((request.account, by.upload)).await?;
        let (upload, turn) = self.loaded(request.account, by.upload, slot, turn).await?;
        let inner = self.clone();
        self.job(move || {
            // Whoever stops waiting, from here on, leaves an upload that takes pieces again.
            let reopen = Reopen::of(upload.clone());
            Ok((inner.make_ready(&request, by, root, upload)?, reopen, turn))
        })
        .await
    }

    /// Gives an upload up, if then, in its turn and the account's, it is still `meant`. Says
    /// whether it was.
    pub(super) async fn give_up_upload(
        self: &Arc<Self>,
        account: AccountId,
        upload: UploadId,
        (slot, slot_turn): (Arc<Slot>, Turn),
        meant: impl FnOnce(&Slot) -> Result<bool> + Send + 'static,
    ) -> Result<bool> {
        let (home, turn) = match self.turn(account).await {
            // It went with its account.
            Err(StoreError::Refused { situation: Situation::AccountNotFound, .. }) => {
                return Ok(false);
            }
            turn => turn?,
        };
        let inner = self.clone();
        self.job(move || {
            let meant = meant(&slot)?;
            if meant {
                inner.abort(&home, upload, &slot)?;
            }
            drop((slot_turn, turn));
            Ok(meant)
        })
        .await
    }

    /// The turn of the account that an upload belongs to.
    async fn turn_of_upload(self: &Arc<Self>, account: AccountId) -> Result<(Arc<Home>, Turn)> {
        match self.turn(account).await {
            // Its uploads went with it.
            Err(StoreError::Refused { situation: Situation::AccountNotFound, .. }) => {
                Err(Situation::UploadNotFound.into())
            }
            turn => turn,
        }
    }

    fn begin_loading(&self, account: AccountId, id: UploadId, slot: &Arc<Slot>) -> Result<Loading> {
        if let Some(upload) = slot.get() {
            return Ok(Loading::Loaded(upload));
        }
        let row = self.db.read(|connection| uploads::get(connection, account, id))?;
        let Some(row) = row else {
            self.uploads.forget_unused((account, id), slot);
            return Err(Situation::UploadNotFound.into());
        };
        self.make_room_for_upload();
        let upload = self.open_staging(&row)?;
        if row.proved {
            slot.set(Some(upload.clone()));
            return Ok(Loading::Loaded(upload));
        }
        let mut claimed = upload.lock().state.hashes(0, u64::MAX);
        claimed.reverse();
        Ok(Loading::Doubted(Doubted { upload, claimed, settled: false, slot: slot.clone() }))
    }

    /// Hashes some of what the journal says again; what does not match is absent.
    fn prove_some(&self, mut doubted: Doubted) -> Result<Loading> {
        let failed = while_doing("hashing staged blocks again");
        let upload = &doubted.upload;
        let blocks = blocks_of(upload.size)?;
        if !doubted.settled && !doubted.claimed.is_empty() {
            if let Err(error) = self.disk.settle_bytes(&upload.data) {
                tracing::error!(%error, upload = %upload.id, "a flush failed; its bytes are given up");
                self.lose_staging(upload)?;
                // With an empty staging folder.
                return self.begin_loading(upload.account, upload.id, &doubted.slot);
            }
            doubted.settled = true;
        }
        let mut bytes = Vec::new();
        for _ in 0..BLOCKS_A_SLICE {
            let Some((block, hash)) = doubted.claimed.pop() else {
                let id = upload.id;
                self.db.write("noting an upload's proof", move |connection| {
                    uploads::set_proved(connection, id, true)
                })?;
                doubted.slot.set(Some(upload.clone()));
                return Ok(Loading::Loaded(doubted.upload));
            };
            bytes.clear();
            let length = blocks.length_of(BlockIndex(block)).unwrap_or(0);
            let length = usize::try_from(length).expect("a block has at most 1 MiB");
            let read = self.disk.read_at(&upload.data, &mut bytes, length, block * BLOCK_BYTES);
            if let Err(error) = &read {
                // A sector that cannot be read may still be written.
                tracing::warn!(%error, upload = %upload.id, block, "cannot read a staged block");
            }
            let found = BlockHasher::new(blocks, BlockIndex(block)).and_then(|mut hasher| {
                hasher.update(&bytes)?;
                hasher.finish()
            });
            if read.is_err() || found != Ok(hash) {
                tracing::info!(upload = %upload.id, block, "a staged block is not what was staged");
                let mut live = upload.lock();
                live.state.unstage(block);
                live.journal.absent(&self.disk, block).map_err(&failed)?;
            }
        }
        Ok(Loading::Doubted(doubted))
    }
}
