//! Taking pieces: onto the disk at their place, and into their block's running hash.
//!
//! Nothing is flushed here; once enough bytes came, a flush is started in the background, so that a
//! commit has little left to wait for and other writers are not drowned.
//!
//! Invariant: a block's record is appended after its last byte was written, never before.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sampan_protocol::limits::{BLOCK_BYTES, PIECE_BYTES};
use sampan_protocol::{BlockHash, Epoch, Mode, RemotePath, Version};

use super::Inner;
use super::db::uploads;
use super::disk::Open;
use super::failure::{if_there, while_doing};
use super::home::Home;
use super::staging;
use super::step::Step;
use super::uploads::{Live, Upload};
use crate::store::{Piece, Result, Situation};
use crate::upload::Phase;

/// Bytes of one upload after which a background flush begins.
const FLUSH_BYTES: u64 = 32 << 20;

/// A block to be filled from a file.
pub(super) struct CopyFrom {
    pub(super) block: u64,
    pub(super) base: RemotePath,
    pub(super) version: Version,
    pub(super) offset: u64,
}

impl Inner {
    /// Takes a piece.
    pub(super) fn write_piece(
        &self,
        upload: &Arc<Upload>,
        epoch: Epoch,
        piece: &Piece,
    ) -> Result<Option<BlockHash>> {
        let failed = while_doing("writing a piece");
        let length = piece.bytes.len() as u64;
        let mut live = upload.lock();
        let mut taken = live.state.begin(epoch, piece.block, piece.offset.into(), length)?;
        let noted =
            if taken.unstaged { live.journal.absent(&self.disk, piece.block) } else { Ok(()) };
        drop(live);

        // The hash while the bytes are warm, then the disk.
        let hashed = taken.hasher.update(&piece.bytes);
        let offset = piece.block * BLOCK_BYTES + u64::from(piece.offset);
        let written = noted
            .and_then(|()| self.disk.write_at(&upload.data, &piece.bytes, offset))
            .and_then(|()| self.disk.step(Step::PieceWritten));

        let mut live = upload.lock();
        let finished = match (written, hashed) {
            (Ok(()), Ok(())) => live.state.finish(taken).map_err(Into::into),
            (Err(error), _) => {
                live.state.give_back(piece.block);
                Err(failed(error))
            }
            (Ok(()), Err(_)) => {
                live.state.give_back(piece.block);
                Err(Situation::BlockRefused.into())
            }
        };
        upload.piece_came_back(&live);
        let hash = finished?;
        if let Some(hash) = hash {
            if piece.expected.is_some_and(|expected| expected != hash) {
                return Err(Situation::BlockRefused.into());
            }
            live.journal.staged(&self.disk, piece.block, &hash).map_err(&failed)?;
            self.step(Step::BlockJournalled)?;
            live.state.stage(piece.block, hash);
            if live.journal.is_overgrown(upload.blocks()?.count()) {
                self.compact_journal(upload, &mut live).map_err(failed)?;
            }
        }
        drop(live);
        self.note_bytes(upload, length);
        Ok(hash)
    }

    /// Writes an upload's journal anew. A crash finds the old one or the new one.
    fn compact_journal(&self, upload: &Upload, live: &mut Live) -> std::io::Result<()> {
        let name = upload.staging();
        let folder = self.disk.open_beneath(&self.layout.staging, name.as_bytes(), Open::Folder)?;
        if_there(self.disk.unlink(&folder, staging::NEW_JOURNAL))?;
        let file = self.disk.create(&folder, staging::NEW_JOURNAL, Mode::new(0o600))?;
        let staged = live.state.hashes(0, u64::MAX);
        let journal = live.journal.compacted(&self.disk, file, &staged)?;
        self.disk.exchange((&folder, staging::NEW_JOURNAL), (&folder, staging::JOURNAL))?;
        live.journal = journal;
        self.disk.unlink(&folder, staging::NEW_JOURNAL)
    }

    /// Fills a block from a file of the home.
    pub(super) fn copy_block(
        &self,
        home: &Home,
        upload: &Arc<Upload>,
        epoch: Epoch,
        from: &CopyFrom,
    ) -> Result<BlockHash> {
        let blocks = upload.blocks()?;
        let length = blocks
            .length_of(sampan_protocol::block::BlockIndex(from.block))
            .ok_or(Situation::BlockRefused)?;
        let (file, meta) = home.open_file(&self.disk, &from.base)?;
        if meta.version() != from.version {
            return Err(Situation::VersionChanged.about(&from.base));
        }
        if from.offset.checked_add(length).is_none_or(|end| end > meta.size) {
            return Err(Situation::BlockRefused.about(&from.base));
        }
        let failed = super::failure::about(&from.base, "reading a file");
        let mut hash = None;
        let mut at = 0;
        while at < length {
            let wanted = (length - at).min(PIECE_BYTES as u64);
            let wanted = usize::try_from(wanted).expect("a piece has at most 256 KiB");
            let mut bytes = Vec::new();
            self.disk.read_at(&file, &mut bytes, wanted, from.offset + at).map_err(&failed)?;
            if bytes.len() < wanted {
                return Err(Situation::VersionChanged.about(&from.base));
            }
            let piece = Piece {
                block: from.block,
                offset: u32::try_from(at).expect("a block has at most 1 MiB"),
                bytes: bytes.into(),
                expected: None,
            };
            at += wanted as u64;
            if at == length {
                // Before the block is staged: what was read must be of the version that was meant.
                let now = self.disk.stat_open(&file).map_err(&failed)?;
                if now.version() != from.version {
                    return Err(Situation::VersionChanged.about(&from.base));
                }
            }
            hash = self.write_piece(upload, epoch, &piece)?;
        }
        hash.ok_or_else(|| Situation::BlockRefused.into())
    }

    fn note_bytes(&self, upload: &Arc<Upload>, bytes: u64) {
        let dirty = upload.dirty.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if dirty >= FLUSH_BYTES && self.disk.is_durable() {
            upload.dirty.store(0, Ordering::Relaxed);
            // If many wait already, they bound what is dirty, and this one's turn comes again.
            if self.flushes.try_send(upload.clone()).is_err() {
                upload.dirty.store(dirty, Ordering::Relaxed);
            }
        }
        let now = self.now_seconds();
        upload.touched.store(now, Ordering::Relaxed);
        let stored = upload.touched_stored.load(Ordering::Relaxed);
        if now - stored >= self.touch_every() {
            upload.note_touch(now);
            let id = upload.id;
            let noted = self.db.write("noting an upload's progress", move |connection| {
                uploads::touch(connection, id, now)
            });
            if let Err(error) = noted {
                tracing::warn!(%error, "cannot note that bytes came");
            }
        }
    }

    /// Seconds after which progress is written down: a small part of what an upload may idle.
    fn touch_every(&self) -> i64 {
        i64::try_from(self.options.upload_expiry.as_secs() / 100).unwrap_or(i64::MAX).clamp(1, 3600)
    }

    /// Flushes in the background. A flush that fails takes all that is staged along: nobody can say
    /// which of its bytes are on the disk.
    pub(super) fn flush_in_background(&self, upload: &Upload) {
        if upload.lock().state.phase() != Phase::Open {
            return;
        }
        if let Err(error) = self.disk.flush_bytes(&upload.data) {
            tracing::error!(%error, upload = %upload.id, "a flush failed; its bytes are given up");
            self.lose_staging_for_now(upload);
        }
    }
}
