//! Bringing an upload into memory.
//!
//! What an unclean stop left in doubt is hashed again first, a slice at a time: among the slow jobs,
//! so that nobody else waits for it, and so that a store that closes, or an opener that is gone, ends
//! it between two slices; the next opener begins it anew.
//!
//! Invariant: what an intent names is not loaded before that is settled, and nothing is proved that
//! was not hashed to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sampan_protocol::block::{BlockHasher, BlockIndex};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{BlockHash, Root, UploadId};

use super::committing::Ready;
use super::db::answers::Request;
use super::db::uploads::{self, UploadRow};
use super::failure::while_doing;
use super::uploads::{Slot, Upload, blocks_of};
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
            return Ok((of_account(upload, account)?, turn));
        }
        self.settled(account).await?;
        let inner = self.clone();
        let begin = move || Ok((inner.begin_loading(account, id, &slot)?, turn));
        let (mut loading, mut turn) = self.job(begin).await?;
        loop {
            match loading {
                Loading::Loaded(upload) => return Ok((of_account(upload, account)?, turn)),
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
        let (slot, turn) = self.slot(row.id).await?;
        let (upload, turn) = self.loaded(row.account, row.id, slot, turn).await?;
        let phase = upload.lock().state.phase();
        if phase == Phase::Committing {
            // With the slot's turn here, only a commit that left something over can have set that.
            self.settled(row.account).await?;
        }
        let inner = self.clone();
        self.job(move || {
            if upload.lost.load(Ordering::Relaxed) {
                inner.lose_staging(&upload);
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
    ) -> Result<(Ready, Turn)> {
        let (slot, turn) = self.slot(by.upload).await?;
        let (upload, turn) = self.loaded(request.account, by.upload, slot, turn).await?;
        let inner = self.clone();
        self.job(move || Ok((inner.make_ready(&request, by, root, upload)?, turn))).await
    }

    /// Gives an upload up, if then, in its turn and the account's, it is still `meant`. Says
    /// whether it was.
    pub(super) async fn give_up_upload(
        self: &Arc<Self>,
        account: AccountId,
        upload: UploadId,
        meant: impl FnOnce(&Slot) -> Result<bool> + Send + 'static,
    ) -> Result<bool> {
        let (slot, slot_turn) = self.slot(upload).await?;
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

    /// The account, with nothing left over of an earlier change.
    async fn settled(self: &Arc<Self>, account: AccountId) -> Result<()> {
        let (home, turn) = match self.turn(account).await {
            // Its uploads went with it.
            Err(StoreError::Refused { situation: Situation::AccountNotFound, .. }) => {
                return Err(Situation::UploadNotFound.into());
            }
            turn => turn?,
        };
        let inner = self.clone();
        self.job(move || {
            let settled = inner.settle_left_over(&home);
            drop(turn);
            settled.map(drop)
        })
        .await
    }

    fn begin_loading(&self, account: AccountId, id: UploadId, slot: &Arc<Slot>) -> Result<Loading> {
        let row = self.db.read(|connection| uploads::get(connection, account, id))?;
        let Some(row) = row else {
            // Another account's slot is none of ours.
            if !self.db.read(|connection| uploads::exists(connection, id))? {
                self.uploads.forget_unused(id, slot);
            }
            return Err(Situation::UploadNotFound.into());
        };
        let upload = self.open_staging(&row)?;
        if row.proved {
            slot.set(Some(upload.clone()));
            return Ok(Loading::Loaded(upload));
        }
        let mut claimed = upload.lock().state.hashes(0, u64::MAX);
        claimed.reverse();
        Ok(Loading::Doubted(Doubted { upload, claimed, slot: slot.clone() }))
    }

    /// Hashes some of what the journal says again; what does not match is absent.
    fn prove_some(&self, mut doubted: Doubted) -> Result<Loading> {
        let failed = while_doing("hashing staged blocks again");
        let upload = &doubted.upload;
        let blocks = blocks_of(upload.size)?;
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
            self.disk
                .read_at(&upload.data, &mut bytes, length, block * BLOCK_BYTES)
                .map_err(&failed)?;
            let found = BlockHasher::new(blocks, BlockIndex(block)).and_then(|mut hasher| {
                hasher.update(&bytes)?;
                hasher.finish()
            });
            if found != Ok(hash) {
                tracing::info!(upload = %upload.id, block, "a staged block is not what was staged");
                let mut live = upload.lock();
                live.state.unstage(block);
                live.journal.absent(&self.disk, block).map_err(&failed)?;
            }
        }
        Ok(Loading::Doubted(doubted))
    }
}

fn of_account(upload: Arc<Upload>, account: AccountId) -> Result<Arc<Upload>> {
    if upload.account == account { Ok(upload) } else { Err(Situation::UploadNotFound.into()) }
}
